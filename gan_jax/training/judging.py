"""How samples are made and shown to the critic, and what it says of them: in training, and after it."""

from typing import Any

import jax
import jax.numpy as jnp
import ml_collections

from gan_jax.objectives import augmentations
from gan_jax.training import conditional
from gan_jax.training.game import Game
from gan_jax.training.hyperparameters import augments_some, leaves

# Networks draw from the stream `noise`. Its key is folded with a number that no split of the same key reaches.
STREAM, DRAWN = "noise", 2**32 - 1


def generated(game: Game, params, stats, inputs: jax.Array, key: jax.Array) -> tuple[jax.Array, Any]:
    """(samples [b, ...], new statistics) of a generator in training, for inputs [b, sum(takes)]."""
    return _apply(game.generator, params, stats, inputs, key)


def mapped(game: Game, params, stats, inputs: jax.Array, key: jax.Array) -> jax.Array:
    """w [b, ...], what lies between latent and image; the latents where a generator has no `mapping`."""
    if not hasattr(game.generator, "mapping"):
        return inputs[:, : game.takes.latent_dim]
    return _apply(game.generator, params, stats, inputs, key, method="mapping")[0]


def made_of(game: Game, params, stats, inputs: jax.Array, key: jax.Array, w: jax.Array, stride: int = 1) -> jax.Array:
    """Samples of w, those of inputs [b, sum(takes)] 0, stride, 2 stride, ...: with the conditions in these."""
    if hasattr(game.generator, "synthesis"):
        return _apply(game.generator, params, stats, w, key, method="synthesis")[0]
    conditions = inputs[::stride, game.takes.latent_dim :]
    return _apply(game.generator, params, stats, jnp.concatenate([w, conditions], axis=1), key)[0]


def noised_and_packed(game: Game, real, fake, key, hparams):
    """What a critic sees of both: with noise where there is any (Sønderby et al. 2017), and in packs."""
    if game.is_noisy:
        real_key, fake_key = jax.random.split(key)
        real += hparams["noise_sigma"] * jax.random.normal(real_key, real.shape)
        fake += hparams["noise_sigma"] * jax.random.normal(fake_key, fake.shape)
    return pack(real, game.config.packing), pack(fake, game.config.packing)


def judged(game: Game, params, stats, samples, condition, key=None, hparams=None):
    """(logits [b], what is told of the condition or None) of packed samples [b, ...] and conditions, by a critic.

    key, hparams: in training, where samples are augmented first; its statistics stay as they are.
    """
    samples, for_head = shown(game, samples, condition, key, hparams)
    return _judgement(_apply(game.critic, params, stats, samples, key, **for_head)[0])


def logits(game: Game, params, stats, condition, key, hparams, samples) -> jax.Array:
    """The logits alone, as a function of the samples: what a penalty calls `critic_fn`."""
    return judged(game, params, stats, samples, condition, key, hparams)[0]


def draws(game: Game, params, stats, samples, condition) -> bool:
    """Whether the critic has random numbers of its own: found by a trace, in which nothing is computed."""
    samples, for_head = shown(game, samples, condition, None, None)

    def outputs(key):
        variables = {"params": params, **stats}
        rngs = {STREAM: key, "params": key}
        return game.critic.apply(variables, samples, train=True, mutable=[*stats], rngs=rngs, **for_head)

    traced = jax.make_jaxpr(outputs)(jax.random.key(0)).jaxpr
    return any(key is variable for key in traced.invars for step in traced.eqns for variable in step.invars)


def both_judged(game: Game, params, stats, real, fake, condition, keys, hparams, improves=True):
    """((logits, what is told) of reals, of fakes), and new statistics; a key for the augmentation of either.

    improves: whether a spectral norm's vectors make an iteration, or are used as they are.
    Batch norm sees reals and fakes as two minibatches, as in the DCGAN paper; every other critic sees them as one.
    """
    (real, for_head), (fake, _) = (
        shown(game, samples, condition, key, hparams) for samples, key in zip((real, fake), keys, strict=True)
    )
    judge_both = _two_passes if game.mixes_samples else _one_pass
    return judge_both(game.critic, params, stats, real, fake, keys[0], improves, **for_head)


def shown(game: Game, samples, condition, key, hparams):
    """(what the critic's first layer takes, what its head takes besides).

    Gradients and penalties are of the samples as they were before an augmentation.
    """
    config = game.config
    if key is not None and config.augment != "none":
        probability = hparams["augment_probability"] if augments_some(dict(leaves(config))) else None
        samples = augmentations.augment(samples, key, config.augment, probability)
    return conditional.for_critic(game.way, samples, pack(condition, config.packing))


def packed_for_critic(
    config: ml_collections.ConfigDict, samples: jax.Array, condition: jax.Array
) -> tuple[jax.Array, dict[str, jax.Array]]:
    """(what the critic's first layer takes, what its head takes besides) of samples [b, ...] and conditions [b, c]."""
    way, _ = conditional.of(config)
    return conditional.for_critic(way, pack(samples, config.packing), pack(condition, config.packing))


def pack(samples: jax.Array, packing: int) -> jax.Array:
    """[b, ..., c] -> [b / packing, ..., packing * c]: what the critic judges together (PacGAN, Lin et al. 2018)."""
    count = samples.shape[0] // packing
    packs = samples.reshape(count, packing, *samples.shape[1:])
    return jnp.moveaxis(packs, 1, -2).reshape(count, *samples.shape[1:-1], packing * samples.shape[-1])


def _apply(network, params, stats, inputs, key, improves=False, **others):
    """(outputs, new statistics); `spectral` vectors change only where this is the pass for it. No key: no training."""
    if key is None:
        return network.apply({"params": params, **stats}, inputs, train=False, **others), stats
    mutable = [name for name in stats if improves or name != "spectral"]
    # Flax takes `params` for a stream that is not given, such as dropout's.
    rngs = {STREAM: jax.random.fold_in(key, DRAWN), "params": jax.random.fold_in(key, DRAWN - 2)}
    outputs, changed = network.apply(
        {"params": params, **stats}, inputs, train=True, mutable=mutable, rngs=rngs, **others
    )
    return outputs, stats | changed


def _judgement(outputs):
    """(logits [b], what the critic tells of the condition, or None)."""
    return outputs if isinstance(outputs, tuple) else (outputs, None)


def _one_pass(critic, params, stats, real, fake, key, improves, **others):
    """Reals and fakes interleaved, so that a batch sharded over devices stays where it is."""
    both, others = _interleaved(real, fake), {name: _interleaved(value, value) for name, value in others.items()}
    outputs, stats = _apply(critic, params, stats, both, key, improves, **others)
    pairs = jax.tree.map(lambda x: x.reshape(-1, 2, *x.shape[1:]), _judgement(outputs))
    return [jax.tree.map(lambda x, side=side: x[:, side], pairs) for side in (0, 1)], stats


def _interleaved(real, fake):
    return jnp.stack([real, fake], axis=1).reshape(-1, *real.shape[1:])


def _two_passes(critic, params, stats, real, fake, key, improves, **others):
    of_reals, stats = _apply(critic, params, stats, real, key, improves, **others)
    of_fakes, stats = _apply(critic, params, stats, fake, jax.random.fold_in(key, DRAWN - 1), **others)
    return [_judgement(of_reals), _judgement(of_fakes)], stats
