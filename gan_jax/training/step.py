"""One pure train step: n_critic updates of the critic, then one of the generator.

    train_step(state, batch) -> (state, metrics)

`batch.image` is [n_critic, b, ...]; every critic update sees its own reals and its own latents. All randomness is a
function of (state.key, state.step), so that a resumed run is the uninterrupted run.
"""

import jax
import jax.numpy as jnp
import optax

from gan_jax.networks.layers import mixes_samples
from gan_jax.objectives import losses, penalties
from gan_jax.training.state import NetState, build_networks, build_optimizers


def make_train_step(config, shape):
    """The step for a configuration and samples of `shape`; pure, to be compiled by the caller.

    Its metrics are scalars: `critic_loss` with the weighted penalty in it, `generator_loss`, the mean `real_logits` and
    `fake_logits`, `penalty` without its weight, and for the Wasserstein loss `wasserstein_estimate`, the difference
    of these means: at best, Wasserstein-1 times the critic's Lipschitz constant. The critic's are of its last update.
    """
    generator, critic = build_networks(config, shape)
    loss = getattr(losses, config.loss)
    penalty = getattr(penalties, config.penalty.name) if config.penalty.name != "none" else None
    # Batch norm sees reals and fakes as two minibatches, as in the DCGAN paper; every other critic sees them as one.
    logits_of_both = _two_passes if mixes_samples(config.network.critic_norm) else _one_pass

    def draw_latents(key, *leading):
        return jax.random.normal(key, (*leading, config.batch_size, config.network.latent_dim))

    def critic_loss(params, state, critic_state, real, fake, key):
        def critic_fn(x):
            return _apply(critic, params, critic_state.stats, x)[0]

        (real_logits, fake_logits), stats = logits_of_both(critic, params, critic_state.stats, real, fake)
        total = loss.critic(real_logits, fake_logits)
        metrics = {"real_logits": jnp.mean(real_logits), "fake_logits": jnp.mean(fake_logits)}
        if config.loss == "wasserstein":
            metrics["wasserstein_estimate"] = metrics["real_logits"] - metrics["fake_logits"]
        if penalty:
            metrics["penalty"] = penalty(critic_fn, real, fake, key)
            total += state.hparams["penalty_weight"] * metrics["penalty"]
        return total, (stats, metrics | {"critic_loss": total})

    def critic_update(state, transform, critic_state, real, latents, penalty_key):
        fake, _ = _apply(generator, state.generator.params, state.generator.stats, latents)
        gradients, (stats, metrics) = jax.grad(critic_loss, has_aux=True)(
            critic_state.params, state, critic_state, real, fake, penalty_key
        )
        critic_state = _updated(critic_state, gradients, stats, transform)
        if config.weight_clip:
            clipped = penalties.clip_weights(critic_state.params, state.hparams["weight_clip"])
            critic_state = critic_state.replace(params=clipped)
        return critic_state, metrics

    def generator_loss(params, state, critic_state, real, latents):
        # The critic's statistics are read, never changed. A loss that ignores the reals costs no pass over them.
        fake, stats = _apply(generator, params, state.generator.stats, latents)
        real_logits, _ = _apply(critic, critic_state.params, critic_state.stats, real)
        fake_logits, _ = _apply(critic, critic_state.params, critic_state.stats, fake)
        return loss.generator(real_logits, fake_logits), stats

    def train_step(state, batch):
        generator_transform, critic_transform = build_optimizers(config, state.hparams)
        critic_key, generator_key, penalty_key = jax.random.split(jax.random.fold_in(state.key, state.step), 3)

        def update(critic_state, inputs):
            return critic_update(state, critic_transform, critic_state, *inputs)

        latents, keys = draw_latents(critic_key, config.n_critic), jax.random.split(penalty_key, config.n_critic)
        critic_state, metrics = jax.lax.scan(update, state.critic, (batch.image, latents, keys))
        metrics = jax.tree.map(lambda values: values[-1], metrics)
        (metrics["generator_loss"], stats), gradients = jax.value_and_grad(generator_loss, has_aux=True)(
            state.generator.params, state, critic_state, batch.image[-1], draw_latents(generator_key)
        )
        generator_state = _updated(state.generator, gradients, stats, generator_transform)
        ema = _averaged(state, generator_state.params)
        state = state.replace(step=state.step + 1, generator=generator_state, critic=critic_state, ema=ema)
        return state, metrics

    return train_step


def _apply(network, params, stats, inputs):
    """(outputs, new statistics) in training mode."""
    return network.apply({"params": params, **stats}, inputs, train=True, mutable=list(stats))


def _one_pass(critic, params, stats, real, fake):
    """Reals and fakes interleaved, so that a batch sharded over devices stays where it is."""
    both = jnp.stack([real, fake], axis=1).reshape(-1, *real.shape[1:])
    logits, stats = _apply(critic, params, stats, both)
    logits = logits.reshape(-1, 2)
    return (logits[:, 0], logits[:, 1]), stats


def _two_passes(critic, params, stats, real, fake):
    real_logits, stats = _apply(critic, params, stats, real)
    fake_logits, stats = _apply(critic, params, stats, fake)
    return (real_logits, fake_logits), stats


def _updated(net: NetState, gradients, stats, transform):
    updates, opt_state = transform.update(gradients, net.opt_state, net.params)
    return NetState(optax.apply_updates(net.params, updates), stats, opt_state)


def _averaged(state, params):
    """ema <- d ema + (1 - d) params, d = min(ema_decay, (1 + t) / (10 + t)): so that it forgets the random start."""
    decay = jnp.minimum(state.hparams["ema_decay"], (1.0 + state.step) / (10.0 + state.step))
    return jax.tree.map(lambda average, new: decay * average + (1.0 - decay) * new, state.ema, params)
