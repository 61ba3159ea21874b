"""One pure train step: n_critic updates of the critic, then n_generator (mostly one) of the generator.

    train_step(state, batch) -> (state, metrics)

`batch.image` is [n_critic, b, ...], or of another number of minibatches in a burst; every critic update sees its own
reals and its own latents. All randomness is a function of (state.key, state.step), so that a resumed run is the
uninterrupted run.
"""

from typing import Any

import jax
import jax.numpy as jnp
import optax

from gan_jax.data import batches, bursts
from gan_jax.networks.layers import mixes_samples
from gan_jax.objectives import augmentations, penalties
from gan_jax.training import conditional
from gan_jax.training.hyperparameters import EMA_STEPS, at_step
from gan_jax.training.state import NetState, build_loss, build_networks, build_optimizers, pack, packed_for_critic


def make_train_step(config, shape, shard=lambda latents: latents):
    """The step for a configuration and samples of `shape`; pure, to be compiled by the caller.

    shard: where the step is for many devices, how what is drawn [k, b, ...] for k minibatches lies on them. What a
    device computes follows from that and from where its part of the batch is; unsharded latents, all would compute.

    Its metrics are scalars: `critic_loss` with the weighted penalty in it, `generator_loss`, the mean `real_logits`
    and `fake_logits`, and `penalty` without its weight, a lazy one as often as it counts. For the Wasserstein loss,
    `wasserstein_estimate` is the difference of these means: at best, Wasserstein-1 times the critic's Lipschitz
    constant. For an f-GAN, `divergence_estimate` is the bound on the divergence. Where the critic tells the
    condition, `recognition_loss` is what that costs on fakes, without its weight. All are of the last update, but
    for `penalty`: it is the mean over the step's updates. The `critic_loss` of an update on which a lazy penalty
    falls has it as many times as it counts: where `every` divides n_critic, that is every last one.
    """
    generator, critic = build_networks(config, shape)
    penalty: Any = getattr(penalties, config.penalty.name) if config.penalty.name != "none" else None
    # Batch norm sees reals and fakes as two minibatches, as in the DCGAN paper; every other critic sees them as one.
    judge_both = _two_passes if mixes_samples(config.network.critic_norm) else _one_pass

    way, takes = conditional.of(config)
    of_bursts = bursts.of(config)

    def draw_inputs(latent_key, condition_key, labels):
        """What the generator takes for reals of these labels [k, b], and the conditions in it: [k, b, ...] each."""
        latents = shard(jax.random.normal(latent_key, (*labels.shape, takes.latent_dim)))
        conditions = shard(conditional.told(way, takes, labels, condition_key))
        return jnp.concatenate([latents, conditions], axis=-1), conditions

    def as_judged(real, fake, key, hparams):
        """What a critic sees of both: with noise where there is any (Sønderby et al. 2017), and in packs."""
        if config.noise.sigma:
            real_key, fake_key = jax.random.split(key)
            real += hparams["noise_sigma"] * jax.random.normal(real_key, real.shape)
            fake += hparams["noise_sigma"] * jax.random.normal(fake_key, fake.shape)
        return pack(real, config.packing), pack(fake, config.packing)

    def judgements_of_both(params, stats, real, fake, condition, keys):
        """((logits, what is told of the condition) of reals, of fakes), and new statistics."""
        (real, for_head), (fake, _) = shown(real, condition, keys[0]), shown(fake, condition, keys[1])
        return judge_both(critic, params, stats, real, fake, **for_head)

    def judgement_of(params, stats, samples, condition, key):
        samples, for_head = shown(samples, condition, key)
        return _judgement(_apply(critic, params, stats, samples, **for_head)[0])

    def shown(samples, condition, key):
        """What the critic takes; gradients and penalties are of the samples as they were before."""
        if config.augment != "none":
            samples = augmentations.augment(samples, key, config.augment)
        return conditional.for_critic(way, samples, pack(condition, config.packing))

    def recognition(told, condition, hparams):
        assert way.loss
        return way.loss(told, condition, takes, hparams["continuous_weight"])

    def weighted_penalty(critic_fn, real, fake, key, count, hparams):
        """(what is added to the loss, what is reported); every k-th time k times as much, and in between nothing."""
        every = config.penalty.every
        if every == 1:
            value = penalty(critic_fn, real, fake, key)
        else:
            is_due = (count + 1) % every == 0
            value = jax.lax.cond(is_due, lambda: every * penalty(critic_fn, real, fake, key), lambda: jnp.float32(0))
        return hparams["penalty_weight"] * value, value

    def critic_loss(params, critic_stats, hparams, real, fake, condition, key, augment_key, count):
        *both_keys, penalty_key = jax.random.split(augment_key, 3)
        judged, stats = judgements_of_both(params, critic_stats, real, fake, condition, both_keys)
        (real_logits, real_told), (fake_logits, fake_told) = judged
        total = build_loss(config, hparams).critic(real_logits, fake_logits)
        metrics = {"real_logits": jnp.mean(real_logits), "fake_logits": jnp.mean(fake_logits)}
        if config.loss == "wasserstein":
            metrics["wasserstein_estimate"] = metrics["real_logits"] - metrics["fake_logits"]
        if config.loss.startswith("f_gan:"):
            metrics["divergence_estimate"] = -total
        if way.loss:
            metrics["recognition_loss"] = recognition(fake_told, condition, hparams)
            total += hparams["conditional_weight"] * metrics["recognition_loss"]
            if way.is_for_reals:
                total += hparams["conditional_weight"] * recognition(real_told, condition, hparams)
        if penalty:
            # The singular values of a spectral norm are those that the pass over reals and fakes has just improved.
            added, metrics["penalty"] = weighted_penalty(
                lambda x: judgement_of(params, stats, x, condition, penalty_key)[0], real, fake, key, count, hparams
            )
            total += added
        return total, (stats, metrics | {"critic_loss": total})

    def critic_update(generator_state, hparams, transform, critic_state, inputs):
        real, (generator_inputs, condition), penalty_key, noise_key, augment_key, count = inputs
        fake, _ = _apply(generator, generator_state.params, generator_state.stats, generator_inputs)
        real, fake = as_judged(real, fake, noise_key, hparams)
        gradients, (stats, metrics) = jax.grad(critic_loss, has_aux=True)(
            critic_state.params, critic_state.stats, hparams, real, fake, condition, penalty_key, augment_key, count
        )
        critic_state = _updated(critic_state, gradients, stats, transform)
        if config.weight_clip:
            bound = jnp.where(hparams["weight_clip"] > 0, hparams["weight_clip"], jnp.inf)
            critic_state = critic_state.replace(params=penalties.clip_weights(critic_state.params, bound))
        return critic_state, metrics

    def generator_loss(params, generator_stats, critic_state, hparams, real, inputs, noise_key, augment_key):
        # The critic's statistics are read, never changed. A loss that ignores the reals costs no pass over them.
        generator_inputs, condition = inputs
        fake, stats = _apply(generator, params, generator_stats, generator_inputs)
        real, fake = as_judged(real, fake, noise_key, hparams)
        keys = jax.random.split(augment_key)
        real_logits, _ = judgement_of(critic_state.params, critic_state.stats, real, condition, keys[0])
        fake_logits, told = judgement_of(critic_state.params, critic_state.stats, fake, condition, keys[1])
        total = build_loss(config, hparams).generator(real_logits, fake_logits)
        if way.loss:
            total += hparams["conditional_weight"] * recognition(told, condition, hparams)
        return total, stats

    def generator_update(critic_state, hparams, real, transform, generator_state, inputs):
        (loss, stats), gradients = jax.value_and_grad(generator_loss, has_aux=True)(
            generator_state.params, generator_state.stats, critic_state, hparams, real, *inputs
        )
        return _updated(generator_state, gradients, stats, transform), loss

    def train_step(state, batch):
        n_critic, n_generator = batch.image.shape[0], config.n_generator
        hparams = at_step(state.hparams, state.step)
        generator_transform, critic_transform = build_optimizers(config, hparams)
        keys = jax.random.split(jax.random.fold_in(state.key, state.step), 8)
        critic_key, generator_key, penalty_key, noise_key, *condition_keys, flip_key, augment_key = keys
        noise_keys, augment_keys = (jax.random.split(key, n_critic + n_generator) for key in (noise_key, augment_key))
        reals = batch.image
        if config.data.flip:
            flip_keys = jax.random.split(flip_key, n_critic)
            reals = jax.vmap(augmentations.flip)(reals, flip_keys)

        made = bursts.made(of_bursts, config.n_critic, state.step)
        _, count = batches.position_after(made, 1, config.penalty.every)
        counts = count + jnp.arange(n_critic, dtype=jnp.uint32)
        penalty_keys = jax.random.split(penalty_key, n_critic)
        critic_state, metrics = jax.lax.scan(
            lambda critic_state, inputs: critic_update(
                state.generator, hparams, critic_transform, critic_state, inputs
            ),
            state.critic,
            (
                reals,
                draw_inputs(critic_key, condition_keys[0], batch.label),
                penalty_keys,
                noise_keys[:n_critic],
                augment_keys[:n_critic],
                counts,
            ),
        )
        mean_penalty = {name: jnp.mean(values) for name, values in metrics.items() if name == "penalty"}
        metrics = jax.tree.map(lambda values: values[-1], metrics) | mean_penalty

        # Each pack of reals, and its classes, as often as it has fakes beside it.
        last_reals, labels = (_repeated(x[-1], config) for x in (reals, batch.label))
        labels = jnp.broadcast_to(labels, (n_generator, len(labels)))
        generator_state, losses = jax.lax.scan(
            lambda generator_state, inputs: generator_update(
                critic_state, hparams, last_reals, generator_transform, generator_state, inputs
            ),
            state.generator,
            (draw_inputs(generator_key, condition_keys[1], labels), noise_keys[n_critic:], augment_keys[n_critic:]),
        )
        ema = _averaged(state, generator_state.params)
        state = state.replace(step=state.step + 1, generator=generator_state, critic=critic_state, ema=ema)
        return state, metrics | {"generator_loss": losses[-1]}

    return train_step


def _repeated(samples, config):
    """[b, ...] -> [b * generator_batch, ...], pack by pack, and where they lie: no device asks another for any."""
    packs = samples.reshape(-1, config.packing, *samples.shape[1:])
    return jnp.repeat(packs, config.generator_batch, axis=0).reshape(-1, *samples.shape[1:])


def judge(config, critic, variables, samples, condition):
    """(logits, what is told of the condition or None) of samples [b, ...] and conditions [b, c], not in training."""
    samples, for_head = packed_for_critic(config, samples, condition)
    return _judgement(critic.apply(variables, samples, train=False, **for_head))


def _apply(network, params, stats, inputs, improves=False, **others):
    """(outputs, new statistics) in training mode; `spectral` vectors change only where this is the pass for it."""
    mutable = [name for name in stats if improves or name != "spectral"]
    outputs, changed = network.apply({"params": params, **stats}, inputs, train=True, mutable=mutable, **others)
    return outputs, stats | changed


def _judgement(outputs):
    """(logits [b], what the critic tells of the condition, or None)."""
    return outputs if isinstance(outputs, tuple) else (outputs, None)


def _one_pass(critic, params, stats, real, fake, **others):
    """Reals and fakes interleaved, so that a batch sharded over devices stays where it is."""
    both, others = _interleaved(real, fake), {name: _interleaved(value, value) for name, value in others.items()}
    outputs, stats = _apply(critic, params, stats, both, improves=True, **others)
    pairs = jax.tree.map(lambda x: x.reshape(-1, 2, *x.shape[1:]), _judgement(outputs))
    return [jax.tree.map(lambda x, side=side: x[:, side], pairs) for side in (0, 1)], stats


def _interleaved(real, fake):
    return jnp.stack([real, fake], axis=1).reshape(-1, *real.shape[1:])


def _two_passes(critic, params, stats, real, fake, **others):
    of_reals, stats = _apply(critic, params, stats, real, improves=True, **others)
    of_fakes, stats = _apply(critic, params, stats, fake, **others)
    return [_judgement(of_reals), _judgement(of_fakes)], stats


def _updated(net: NetState, gradients, stats, transform):
    updates, opt_state = transform.update(gradients, net.opt_state, net.params)
    return NetState(optax.apply_updates(net.params, updates), stats, opt_state)


def _averaged(state, params):
    """ema <- d ema + (1 - d) params, d = min(ema_decay, (1 + t) / (10 + t)): so that it forgets the random start.

    t: the step, and those of the run that this one began from.
    """
    steps = state.step + state.hparams[EMA_STEPS]
    decay = jnp.minimum(state.hparams["ema_decay"], (1.0 + steps) / (10.0 + steps))
    return jax.tree.map(lambda average, new: decay * average + (1.0 - decay) * new, state.ema, params)
