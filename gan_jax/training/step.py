"""One pure train step: n_critic updates of the critic, then n_generator (mostly one) of the generator.

    train_step(state, batch) -> (state, metrics)

`batch.image` is [n_critic, b, ...], or of another number of minibatches in a burst; every critic update sees its own
reals and its own latents. All randomness is a function of (state.key, state.step), so that a resumed run is the
uninterrupted run.
"""

import functools
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import ml_collections
import optax

from gan_jax.data import batches, bursts
from gan_jax.objectives import augmentations, penalties
from gan_jax.training import averages, conditional, game, judging, schedules, terms
from gan_jax.training.game import Game, build_optimizers
from gan_jax.training.state import GANState, NetState


def make_train_step(config: ml_collections.ConfigDict, shape: tuple[int, ...], shard=lambda latents: latents):
    """The step for a configuration and samples of `shape`; pure, to be compiled by the caller.

    shard: where the step is for many devices, how what is drawn [k, b, ...] for k minibatches lies on them. What a
    device computes follows from that and from where its part of the batch is; unsharded latents, all would compute.

    Its metrics are scalars: `critic_loss` with all weighted terms in it that share its update, `generator_loss`
    likewise, the mean `real_logits` and `fake_logits`, and each term by its name, without its weight, a lazy one as
    often as it counts. For the Wasserstein loss, `wasserstein_estimate` is the difference of these means: at best,
    Wasserstein-1 times the critic's Lipschitz constant. For an f-GAN, `divergence_estimate` is the bound on the
    divergence. Where the critic tells the condition, `recognition_loss` is what that costs on fakes. All are of the
    last update, but for the other terms: these are means over the step's updates. The `critic_loss` of an update on
    which a lazy term falls has it as many times as it counts: where `every` divides n_critic, that is every last one.
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
    of_critic, of_generator, reals = updates(game, state, batch)
    critic, metrics = jax.lax.scan(
        functools.partial(critic_update, game, hparams, state.generator), state.critic, of_critic
    )
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
    update = update._replace(real=real)
    hparams = terms.of_steps(game.critic_terms, hparams)
    _, transform = build_optimizers(game.config, hparams)
    loss = functools.partial(critic_loss, game, hparams, critic, fake, update)
    gradients, (stats, memory, metrics) = jax.grad(loss, has_aux=True)(critic.params)
    critic = _updated(critic, gradients, transform).with_stats(stats, memory)
    own_loss = functools.partial(own_critic_loss, game, hparams, fake, update)
    critic, lines = _own_steps(game.critic_terms, own_loss, transform, critic, update.made)
    if game.clips_weights:
        bound = jnp.where(hparams["weight_clip"] > 0, hparams["weight_clip"], jnp.inf)
        critic = critic.replace(params=penalties.clip_weights(critic.params, bound))
    return critic, metrics | lines


def critic_loss(game: Game, hparams, critic: NetState, fake, update: Update, params):
    """(the critic's loss, with all terms that share its update; its statistics, what terms remember, metrics)."""
    *both_keys, own_key = jax.random.split(update.augment_key, 3)
    judged, stats = judging.both_judged(
        game, params, critic.collections, update.real, fake, update.condition, both_keys, hparams
    )
    (real_logits, _), (fake_logits, _) = judged
    total = game.loss(hparams).critic(real_logits, fake_logits)
    metrics = _readings(game.config, total, real_logits, fake_logits)
    # The singular values of a spectral norm are those that the pass over reals and fakes has just improved.
    ready = _ready_for_critic(game, hparams, params, stats, fake, update, own_key, lambda: judged, both_keys)
    shared = terms.shared(game.critic_terms)
    total, lines, memory = terms.add(shared, total, ready, hparams, critic.memory, update.made)
    return total, (stats, memory, metrics | lines | {"critic_loss": total})


def _readings(config, loss, real_logits, fake_logits):
    readings = {"real_logits": jnp.mean(real_logits), "fake_logits": jnp.mean(fake_logits)}
    if config.loss == "wasserstein":
        readings["wasserstein_estimate"] = readings["real_logits"] - readings["fake_logits"]
    if config.loss.startswith("f_gan:"):
        readings["divergence_estimate"] = -loss
    return readings


def own_critic_loss(game: Game, hparams, fake, update: Update, own, critic: NetState, params):
    """(the weighted sum of these terms alone, (their values, what they remember))."""
    *both_keys, own_key = jax.random.split(update.augment_key, 3)
    both = params, critic.collections, update.real, fake, update.condition, both_keys, hparams
    ready = _ready_for_critic(
        game,
        hparams,
        params,
        critic.collections,
        fake,
        update,
        own_key,
        lambda: judging.both_judged(game, *both)[0],
        both_keys,
    )
    total, lines, memory = terms.add(own, jnp.float32(0), ready, hparams, critic.memory)
    return total, (lines, memory)


def _ready_for_critic(game, hparams, params, stats, fake, update, key, judged, keys):
    """What the critic's terms may take, by the names of their arguments, made for a term that asks for it."""
    some = functools.cache(lambda side, share: penalties.of_share((update.real, fake)[side], share))

    def critic_fn(share, key=key):
        condition = penalties.of_share(update.condition, share)
        return lambda x: judging.judged(game, params, stats, x, condition, key, hparams)[0]

    def known_of(side, share):
        return some(side, share), critic_fn(share, keys[side]), penalties.of_share(judged()[side][0], share)

    def squared_norms(term):
        """By finite differences from logits that are known, where an augmentation can be made once more."""
        if not term.is_estimated:
            return penalties.squared_gradient_norms
        is_known = term.share == 1 or game.config.augment == "none"
        known = [known_of(side, term.share) for side in (0, 1) if is_known]
        return penalties.finite_difference(hparams[f"{term.name}_sigma"], known)

    return {
        "params": lambda term: params,
        "real": lambda term: some(0, term.share),
        "fake": lambda term: some(1, term.share),
        "critic_fn": lambda term: critic_fn(term.share),
        "squared_norms": squared_norms,
        "key": lambda term: terms.key_of(term, update.term_key),
        "real_logits": lambda term: judged()[0][0],
        "fake_logits": lambda term: judged()[1][0],
        "real_told": lambda term: judged()[0][1],
        "fake_told": lambda term: judged()[1][1],
        "condition": lambda term: update.condition,
        "continuous": lambda term: hparams["continuous_weight"],
    }


# --------------------------------------------------------------------------------------------- the generator


def generator_update(
    game: Game, hparams: dict[str, Any], critic: NetState, generator: NetState, update: Update
) -> tuple[NetState, dict[str, jax.Array]]:
    """(the generator after an update, and the steps that are some terms' own; its metrics)."""
    hparams = terms.of_steps(game.generator_terms, hparams)
    transform, _ = build_optimizers(game.config, hparams)
    loss = functools.partial(generator_loss, game, hparams, critic, generator, update)
    gradients, (stats, memory, lines) = jax.grad(loss, has_aux=True)(generator.params)
    generator = _updated(generator, gradients, transform).with_stats(stats, memory)
    own_loss = functools.partial(own_generator_loss, game, hparams, update)
    generator, own_lines = _own_steps(game.generator_terms, own_loss, transform, generator, update.made)
    return generator, lines | own_lines


def generator_loss(game: Game, hparams, critic: NetState, generator: NetState, update: Update, params):
    """(the generator's loss, with all terms that share its update; its statistics, what terms remember, metrics).

    The critic's statistics are read, never changed. A loss that ignores the reals costs no pass over them.
    """
    fake, stats = judging.generated(game, params, generator.collections, update.inputs, update.augment_key)
    real, fake = judging.noised_and_packed(game, update.real, fake, update.noise_key, hparams)
    keys = jax.random.split(update.augment_key)
    (real_logits, _), (fake_logits, told) = (
        judging.judged(game, critic.params, critic.collections, samples, update.condition, key, hparams)
        for samples, key in zip((real, fake), keys, strict=True)
    )
    total = game.loss(hparams).generator(real_logits, fake_logits)
    ready = _ready_for_generator(game, hparams, params, generator.collections, update) | {
        "fake_told": lambda term: told
    }
    shared = terms.shared(game.generator_terms)
    total, lines, memory = terms.add(shared, total, ready, hparams, generator.memory, update.made)
    return total, (stats, memory, lines | {"generator_loss": total})


def own_generator_loss(game: Game, hparams, update: Update, own, generator: NetState, params):
    """(the weighted sum of these terms alone, (their values, what they remember))."""
    ready = _ready_for_generator(game, hparams, params, generator.collections, update)
    total, lines, memory = terms.add(own, jnp.float32(0), ready, hparams, generator.memory)
    return total, (lines, memory)


def _ready_for_generator(game, hparams, params, stats, update):
    """What the generator's terms may take, by the names of their arguments."""
    return {
        "params": lambda term: params,
        "w": lambda term: judging.mapped(game, params, stats, update.inputs, update.augment_key),
        "images_of": lambda term: lambda w: judging.made_of(game, params, stats, w, update.inputs, update.augment_key),
        "key": lambda term: terms.key_of(term, update.term_key),
        "condition": lambda term: update.condition,
        "continuous": lambda term: hparams["continuous_weight"],
    }


# ----------------------------------------------------------------------------------------------- both of them


def _updated(net, gradients, transform):
    steps, opt_state = transform.update(gradients, net.opt_state, net.params)
    return net.replace(params=optax.apply_updates(net.params, steps), opt_state=opt_state)


def _own_steps(minimised, loss, transform, net, count):
    """(the network after the steps of the terms that have their own, {name: value, 0 where it did not come})."""
    lines: dict[str, jax.Array] = {}
    for every, own in terms.of_own_steps(minimised).items():

        def step(net, own=own):
            gradients, (lines, memory) = jax.grad(functools.partial(loss, own, net), has_aux=True)(net.params)
            return _updated(net, gradients, transform).with_stats(net.collections, memory), lines

        def none(net, own=own):
            return net, {term.name: jnp.float32(0) for term in own}

        net, found = jax.lax.cond(terms.is_due(count, every), step, none, net)
        lines |= found
    return net, lines
