"""One pure train step: n_critic updates of the critic, then n_generator (mostly one) of the generator.

    train_step(state, batch) -> (state, metrics)

`batch.image` is [n_critic, b, ...], or of another number of minibatches in a burst; every critic update sees its own
reals and its own latents. All randomness is a function of (state.key, state.step), so that a resumed run is the
uninterrupted run.
"""

import functools
from collections.abc import Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import ml_collections
import optax

from gan_jax.data import batches, bursts
from gan_jax.objectives import augmentations, penalties
from gan_jax.training import adaptive, averages, conditional, game, judging, schedules, seen, terms
from gan_jax.training.game import Game, build_optimizers
from gan_jax.training.state import GANState, NetState
from gan_jax.training.terms import Term


def make_train_step(config: ml_collections.ConfigDict, shape: tuple[int, ...], shard=lambda latents: latents):
    """The step for a configuration and samples of `shape`; pure, to be compiled by the caller.

    shard: where the step is for many devices, how what is drawn [k, b, ...] for k minibatches lies on them. What a
    device computes follows from that and from where its part of the batch is; unsharded latents, all would compute.

    Its metrics are scalars: `critic_loss` with all weighted terms in it that share its update, `generator_loss`
    likewise, the mean `real_logits` and `fake_logits`, and each term by its name, without its weight, a lazy one as
    often as it counts. For the Wasserstein loss, `wasserstein_estimate` is the difference of these means: at best,
    Wasserstein-1 times the critic's Lipschitz constant. For an f-GAN, `divergence_estimate` is the bound on the
    divergence. Where the critic tells the condition, `recognition_loss` is what that costs on fakes. Where
    augmentations adapt, `augment_probability` is that of this step, and `real_signs` what it follows. All are of the
    last update, but for `real_signs` and the other terms: these are means over the step's updates. The `critic_loss` of
    an update on which a lazy term falls has it as many times as it counts: where `every` divides n_critic, that is
    every last one.
    """
    return functools.partial(train_step, game.make(config, shape, shard=shard))


class Update(NamedTuple):
    """What one update of a player sees beside the states; the updates of a step have it with a leading axis.

    real: [b, ...], in packs once they are shown. inputs: of the generator, [b, sum(takes)], with the conditions in
    them. term_key, noise_key, augment_key: for what each is called after. made: this player's updates before this one,
    modulo the least common multiple of its intervals.
    """

    real: Any
    inputs: jax.Array
    condition: jax.Array
    term_key: jax.Array
    noise_key: jax.Array
    augment_key: jax.Array
    made: jax.Array


def train_step(game: Game, state: GANState, batch: batches.Batch) -> tuple[GANState, dict[str, jax.Array]]:
    """Both players' updates: see `make_train_step`."""
    hparams = schedules.at_step(game.config, state.hparams, state.step)
    hparams = adaptive.at_step(game.config, hparams, state.critic.memory)
    of_critic, of_generator, reals = updates(game, state, batch)
    critic, metrics = jax.lax.scan(
        functools.partial(critic_update, game, hparams, state.generator), state.critic, of_critic
    )
    critic, metrics = adaptive.adjusted(game.config, hparams, critic, metrics, state.step)
    generator, lines = jax.lax.scan(
        lambda generator, update: generator_update(game, hparams, critic, generator, update._replace(real=reals)),
        state.generator,
        of_generator,
    )
    ema = averages.averaged(game.config, state.ema, generator.params, hparams, state.step)
    metrics = terms.lines_of_step(game.critic_terms, metrics) | terms.lines_of_step(game.generator_terms, lines)
    return state.replace(step=state.step + 1, generator=generator, critic=critic, ema=ema), metrics


# --------------------------------------------------------------------------------------- what updates see


def updates(game: Game, state: GANState, batch: batches.Batch) -> tuple[Update, Update, jax.Array]:
    """(the critic's, the generator's without reals, the reals that all of these see)."""
    config, n_critic = game.config, batch.image.shape[0]
    keys = jax.random.split(jax.random.fold_in(state.key, state.step), 8)
    critic_key, generator_key, term_key, noise_key, *condition_keys, flip_key, augment_key = keys
    own_keys = [jax.random.split(key, n_critic + config.n_generator) for key in (noise_key, augment_key)]
    reals = _flipped(game, batch.image, flip_key)
    inputs, conditions = _inputs(game, critic_key, condition_keys[0], batch.label)
    before = _counts(bursts.made(game.bursts, config.n_critic, state.step), game.critic_terms, n_critic)
    noise_key, augment_key = (keys[:n_critic] for keys in own_keys)
    term_key = jax.random.split(term_key, n_critic)
    of_critic = Update(reals, inputs, conditions, term_key, noise_key, augment_key, before)
    # Each pack of reals, and its classes, as often as it has fakes beside it.
    last_reals, labels = (_repeated(x[-1], config) for x in (reals, batch.label))
    labels = jnp.broadcast_to(labels, (config.n_generator, len(labels)))
    inputs, conditions = _inputs(game, generator_key, condition_keys[1], labels)
    before = _counts(bursts.made(bursts.NONE, config.n_generator, state.step), game.generator_terms, config.n_generator)
    noise_key, augment_key = (keys[n_critic:] for keys in own_keys)
    # The generator's terms fold their names into the key of its update: another of their own would be another split.
    return of_critic, Update(None, inputs, conditions, augment_key, noise_key, augment_key, before), last_reals


def _flipped(game, reals, key):
    """Each minibatch mirrored, left and right, half of the time, where that is asked for."""
    return jax.vmap(augmentations.flip)(reals, jax.random.split(key, len(reals))) if game.config.data.flip else reals


def _inputs(game, latent_key, condition_key, labels):
    """What the generator takes for reals of these labels [k, b], and the conditions in it: [k, b, ...] each."""
    latents = game.shard(jax.random.normal(latent_key, (*labels.shape, game.takes.latent_dim)))
    conditions = game.shard(conditional.told(game.way, game.takes, labels, condition_key))
    return jnp.concatenate([latents, conditions], axis=-1), conditions


def _counts(made, minimised, number):
    """How many updates of a player come before each of these, modulo what its lazy terms need."""
    _, count = batches.position_after(made, 1, terms.period(minimised))
    return count + jnp.arange(number, dtype=jnp.uint32)


def _repeated(samples, config):
    """[b, ...] -> [b * generator_batch, ...], pack by pack, and where they lie: no device asks another for any."""
    packs = samples.reshape(-1, config.packing, *samples.shape[1:])
    return jnp.repeat(packs, config.generator_batch, axis=0).reshape(-1, *samples.shape[1:])


# ------------------------------------------------------------------------------------------------ the critic


def critic_update(
    game: Game, hparams: dict[str, Any], generator: NetState, critic: NetState, update: Update
) -> tuple[NetState, dict[str, jax.Array]]:
    """(the critic after an update, and the steps that are some terms' own, on reals and fresh fakes; its metrics)."""
    fake, _ = judging.generated(game, generator.params, generator.collections, update.inputs, update.augment_key)
    real, fake = judging.noised_and_packed(game, update.real, fake, update.noise_key, hparams)
    hparams = terms.of_steps(game.critic_terms, hparams)
    _, transform = build_optimizers(game.config, hparams)
    sees = game, hparams, update._replace(real=real), fake
    loss, of_own = functools.partial(critic_loss, *sees), functools.partial(critic_own_terms, *sees)
    gradients, (stats, memory, metrics) = jax.grad(loss, has_aux=True)(critic.params, critic)
    critic = _updated(critic, gradients, transform).with_stats(stats, memory)
    critic, lines = _own_steps(game.critic_terms, of_own, transform, critic, update.made)
    if game.clips_weights:
        bound = jnp.where(hparams["weight_clip"] > 0, hparams["weight_clip"], jnp.inf)
        critic = critic.replace(params=penalties.clip_weights(critic.params, bound))
    return critic, metrics | lines


def critic_loss(game: Game, hparams, update: Update, fake, params, critic: NetState):
    """(the critic's loss, with all terms that share its update; its statistics, what terms remember, metrics)."""
    judged, stats = _judged(game, hparams, update, fake, params, critic)
    (real_logits, _), (fake_logits, _) = judged
    total = game.loss(hparams).critic(real_logits, fake_logits)
    metrics = _readings(game.config, total, real_logits, fake_logits)
    # The singular values of a spectral norm are those that the pass over reals and fakes has just improved.
    by_critic = _by_critic(game, hparams, update, fake, params, stats, lambda: judged)
    shared = terms.shared(game.critic_terms)
    total, lines, memory = terms.add(shared, total, by_critic, hparams, critic.memory, update.made)
    return total, (stats, memory, metrics | lines | {"critic_loss": total})


def critic_own_terms(game: Game, hparams, update: Update, fake, own: Sequence[Term], params, critic: NetState):
    """(the weighted sum of these terms alone, (their values, what they remember)); the critic as it is."""
    # Not at all where no term asks for it, nor twice where two do.
    judged = functools.cache(lambda: _judged(game, hparams, update, fake, params, critic, improves=False)[0])
    by_critic = _by_critic(game, hparams, update, fake, params, critic.collections, judged)
    total, lines, memory = terms.add(own, jnp.float32(0), by_critic, hparams, critic.memory)
    return total, (lines, memory)


def _judged(game, hparams, update, fake, params, critic, improves=True):
    *keys, _ = jax.random.split(update.augment_key, 3)
    both = update.real, fake, update.condition
    return judging.both_judged(game, params, critic.collections, *both, keys, hparams, improves)


def _by_critic(game, hparams, update, fake, params, stats, judged):
    augment_keys = tuple(jax.random.split(update.augment_key, 3))
    sees = update.real, fake, update.condition, update.term_key, augment_keys
    return seen.ByCritic(game, hparams, params, stats, *sees, judged)


def _readings(config, loss, real_logits, fake_logits):
    readings = {"real_logits": jnp.mean(real_logits), "fake_logits": jnp.mean(fake_logits)}
    readings |= adaptive.reading(config, real_logits)
    if config.loss == "wasserstein":
        readings["wasserstein_estimate"] = readings["real_logits"] - readings["fake_logits"]
    if config.loss.startswith("f_gan:"):
        readings["divergence_estimate"] = -loss
    return readings


# --------------------------------------------------------------------------------------------- the generator


def generator_update(
    game: Game, hparams: dict[str, Any], critic: NetState, generator: NetState, update: Update
) -> tuple[NetState, dict[str, jax.Array]]:
    """(the generator after an update, and the steps that are some terms' own; its metrics)."""
    hparams = terms.of_steps(game.generator_terms, hparams)
    transform, _ = build_optimizers(game.config, hparams)
    loss = functools.partial(generator_loss, game, hparams, update, critic)
    gradients, (stats, memory, lines) = jax.grad(loss, has_aux=True)(generator.params, generator)
    generator = _updated(generator, gradients, transform).with_stats(stats, memory)
    loss_of_own = functools.partial(generator_own_terms, game, hparams, update)
    generator, own_lines = _own_steps(game.generator_terms, loss_of_own, transform, generator, update.made)
    return generator, lines | own_lines


def generator_loss(game: Game, hparams, update: Update, critic: NetState, params, generator: NetState):
    """(the generator's loss, with all terms that share its update; its statistics, what terms remember, metrics).

    The critic's statistics are read, never changed. A loss that ignores the reals costs no pass over them.
    """
    fake, stats = _generated(game, update, params, generator)
    both = judging.noised_and_packed(game, update.real, fake, update.noise_key, hparams)
    (real_logits, _), (fake_logits, told) = (
        judging.judged(game, critic.params, critic.collections, samples, update.condition, key, hparams)
        for samples, key in zip(both, jax.random.split(update.augment_key), strict=True)
    )
    total = game.loss(hparams).generator(real_logits, fake_logits)
    by_generator = _by_generator(game, hparams, update, params, generator, lambda: fake, told)
    shared = terms.shared(game.generator_terms)
    total, lines, memory = terms.add(shared, total, by_generator, hparams, generator.memory, update.made)
    return total, (stats, memory, lines | {"generator_loss": total})


def generator_own_terms(game: Game, hparams, update: Update, own: Sequence[Term], params, generator: NetState):
    """(the weighted sum of these terms alone, (their values, what they remember))."""
    made = functools.cache(lambda: _generated(game, update, params, generator)[0])
    by_generator = _by_generator(game, hparams, update, params, generator, made)
    total, lines, memory = terms.add(own, jnp.float32(0), by_generator, hparams, generator.memory)
    return total, (lines, memory)


def _generated(game, update, params, generator):
    return judging.generated(game, params, generator.collections, update.inputs, update.augment_key)


def _by_generator(game, hparams, update, params, generator, made, told=None):
    sees = update.inputs, update.condition, update.term_key
    return seen.ByGenerator(game, hparams, params, generator.collections, *sees, made, told)


# ----------------------------------------------------------------------------------------------- both of them


def _updated(net, gradients, transform):
    steps, opt_state = transform.update(gradients, net.opt_state, net.params)
    return net.replace(params=optax.apply_updates(net.params, steps), opt_state=opt_state)


def _own_steps(minimised, loss, transform, net, count):
    """(the network after the steps of the terms that have their own, {name: value, 0 where it did not come})."""
    lines: dict[str, jax.Array] = {}
    for every, own in terms.of_own_steps(minimised).items():

        def step(net, own=own):
            gradients, (lines, memory) = jax.grad(functools.partial(loss, own), has_aux=True)(net.params, net)
            net = _updated(net, gradients, transform).with_stats(net.collections, memory)
            return net, jax.tree.map(jnp.float32, lines)  # as `none` has them, whatever they are computed in

        def none(net, own=own):
            return net, {term.name: jnp.float32(0) for term in own}

        net, found = jax.lax.cond(terms.is_due(count, every), step, none, net)
        lines |= found
    return net, lines
