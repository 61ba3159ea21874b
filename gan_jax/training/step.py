"""One pure train step: n_critic updates of the critic, then n_generator (mostly one) of the generator.

    train_step(state, batch) -> (state, metrics)

`batch.image` is [n_critic, b, ...]; every critic update sees its own reals and its own latents. All randomness is a
function of (state.key, state.step), so that a resumed run is the uninterrupted run.
"""

from typing import Any

import jax
import jax.numpy as jnp
import optax

from gan_jax.networks.layers import mixes_samples
from gan_jax.objectives import penalties
from gan_jax.training.state import NetState, at_step, build_loss, build_networks, build_optimizers, pack


def make_train_step(config, shape, shard=lambda latents: latents):
    """The step for a configuration and samples of `shape`; pure, to be compiled by the caller.

    shard: where the step is for many devices, how the latents [k, b, latent_dim] of k minibatches lie on them. What a
    device computes follows from that and from where its part of the batch is; unsharded latents, all would compute.

    Its metrics are scalars: `critic_loss` with the weighted penalty in it, `generator_loss`, the mean `real_logits` and
    `fake_logits`, and `penalty` without its weight, a lazy one as often as it counts. For the Wasserstein loss,
    `wasserstein_estimate` is the difference of these means: at best, Wasserstein-1 times the critic's Lipschitz
    constant. For an f-GAN, `divergence_estimate` is the bound on the divergence. All are of the last update, but for
    `penalty`: it is the mean over the step's updates. The `critic_loss` of an update on which a lazy penalty falls has
    it as many times as it counts: where `every` divides n_critic, that is every last one.
    """
    generator, critic = build_networks(config, shape)
    penalty: Any = getattr(penalties, config.penalty.name) if config.penalty.name != "none" else None
    # Batch norm sees reals and fakes as two minibatches, as in the DCGAN paper; every other critic sees them as one.
    logits_of_both = _two_passes if mixes_samples(config.network.critic_norm) else _one_pass

    def draw_latents(key, *leading):
        return shard(jax.random.normal(key, (*leading, config.batch_size, config.network.latent_dim)))

    def as_judged(real, fake, key, hparams):
        """What a critic sees of both: with noise where there is any (Sønderby et al. 2017), and in packs."""
        if config.noise.sigma:
            real_key, fake_key = jax.random.split(key)
            real += hparams["noise_sigma"] * jax.random.normal(real_key, real.shape)
            fake += hparams["noise_sigma"] * jax.random.normal(fake_key, fake.shape)
        return pack(real, config.packing), pack(fake, config.packing)

    def weighted_penalty(critic_fn, real, fake, key, count, hparams):
        """(what is added to the loss, what is reported); every k-th time k times as much, and in between nothing."""
        every = config.penalty.every
        if every == 1:
            value = penalty(critic_fn, real, fake, key)
        else:
            is_due = (count + 1) % every == 0
            value = jax.lax.cond(is_due, lambda: every * penalty(critic_fn, real, fake, key), lambda: jnp.float32(0))
        return hparams["penalty_weight"] * value, value

    def critic_loss(params, critic_stats, hparams, real, fake, key, count):
        (real_logits, fake_logits), stats = logits_of_both(critic, params, critic_stats, real, fake)
        total = build_loss(config, hparams).critic(real_logits, fake_logits)
        metrics = {"real_logits": jnp.mean(real_logits), "fake_logits": jnp.mean(fake_logits)}
        if config.loss == "wasserstein":
            metrics["wasserstein_estimate"] = metrics["real_logits"] - metrics["fake_logits"]
        if config.loss.startswith("f_gan:"):
            metrics["divergence_estimate"] = -total
        if penalty:
            # The singular values of a spectral norm are those that the pass over reals and fakes has just improved.
            added, metrics["penalty"] = weighted_penalty(
                lambda x: _apply(critic, params, stats, x)[0], real, fake, key, count, hparams
            )
            total += added
        return total, (stats, metrics | {"critic_loss": total})

    def critic_update(generator_state, hparams, transform, critic_state, inputs):
        real, latents, penalty_key, noise_key, count = inputs
        fake, _ = _apply(generator, generator_state.params, generator_state.stats, latents)
        real, fake = as_judged(real, fake, noise_key, hparams)
        gradients, (stats, metrics) = jax.grad(critic_loss, has_aux=True)(
            critic_state.params, critic_state.stats, hparams, real, fake, penalty_key, count
        )
        critic_state = _updated(critic_state, gradients, stats, transform)
        if config.weight_clip:
            bound = jnp.where(hparams["weight_clip"] > 0, hparams["weight_clip"], jnp.inf)
            critic_state = critic_state.replace(params=penalties.clip_weights(critic_state.params, bound))
        return critic_state, metrics

    def generator_loss(params, generator_stats, critic_state, hparams, real, latents, key):
        # The critic's statistics are read, never changed. A loss that ignores the reals costs no pass over them.
        fake, stats = _apply(generator, params, generator_stats, latents)
        real, fake = as_judged(real, fake, key, hparams)
        real_logits, _ = _apply(critic, critic_state.params, critic_state.stats, real)
        fake_logits, _ = _apply(critic, critic_state.params, critic_state.stats, fake)
        return build_loss(config, hparams).generator(real_logits, fake_logits), stats

    def generator_update(critic_state, hparams, real, transform, generator_state, inputs):
        (loss, stats), gradients = jax.value_and_grad(generator_loss, has_aux=True)(
            generator_state.params, generator_state.stats, critic_state, hparams, real, *inputs
        )
        return _updated(generator_state, gradients, stats, transform), loss

    def train_step(state, batch):
        n_critic, n_generator = config.n_critic, config.n_generator
        hparams = at_step(state.hparams, state.step)
        generator_transform, critic_transform = build_optimizers(config, hparams)
        keys = jax.random.split(jax.random.fold_in(state.key, state.step), 4)
        critic_key, generator_key, penalty_key, noise_key = keys
        noise_keys = jax.random.split(noise_key, n_critic + n_generator)

        counts = state.step * n_critic + jnp.arange(n_critic)
        latents, penalty_keys = draw_latents(critic_key, n_critic), jax.random.split(penalty_key, n_critic)
        critic_state, metrics = jax.lax.scan(
            lambda critic_state, inputs: critic_update(
                state.generator, hparams, critic_transform, critic_state, inputs
            ),
            state.critic,
            (batch.image, latents, penalty_keys, noise_keys[:n_critic], counts),
        )
        mean_penalty = {name: jnp.mean(values) for name, values in metrics.items() if name == "penalty"}
        metrics = jax.tree.map(lambda values: values[-1], metrics) | mean_penalty

        generator_state, losses = jax.lax.scan(
            lambda generator_state, inputs: generator_update(
                critic_state, hparams, batch.image[-1], generator_transform, generator_state, inputs
            ),
            state.generator,
            (draw_latents(generator_key, n_generator), noise_keys[n_critic:]),
        )
        ema = _averaged(state, generator_state.params)
        state = state.replace(step=state.step + 1, generator=generator_state, critic=critic_state, ema=ema)
        return state, metrics | {"generator_loss": losses[-1]}

    return train_step


def _apply(network, params, stats, inputs, improves=False):
    """(outputs, new statistics) in training mode; `spectral` vectors change only where this is the pass for it."""
    mutable = [name for name in stats if improves or name != "spectral"]
    outputs, changed = network.apply({"params": params, **stats}, inputs, train=True, mutable=mutable)
    return outputs, stats | changed


def _one_pass(critic, params, stats, real, fake):
    """Reals and fakes interleaved, so that a batch sharded over devices stays where it is."""
    both = jnp.stack([real, fake], axis=1).reshape(-1, *real.shape[1:])
    logits, stats = _apply(critic, params, stats, both, improves=True)
    logits = logits.reshape(-1, 2)
    return (logits[:, 0], logits[:, 1]), stats


def _two_passes(critic, params, stats, real, fake):
    real_logits, stats = _apply(critic, params, stats, real, improves=True)
    fake_logits, stats = _apply(critic, params, stats, fake)
    return (real_logits, fake_logits), stats


def _updated(net: NetState, gradients, stats, transform):
    updates, opt_state = transform.update(gradients, net.opt_state, net.params)
    return NetState(optax.apply_updates(net.params, updates), stats, opt_state)


def _averaged(state, params):
    """ema <- d ema + (1 - d) params, d = min(ema_decay, (1 + t) / (10 + t)): so that it forgets the random start."""
    decay = jnp.minimum(state.hparams["ema_decay"], (1.0 + state.step) / (10.0 + state.step))
    return jax.tree.map(lambda average, new: decay * average + (1.0 - decay) * new, state.ema, params)
