"""A run at one step, as one pytree: what the train step maps to its successor, and what a checkpoint holds."""

import inspect
from collections.abc import Sequence
from functools import partial
from typing import Any

import flax
import jax
import jax.numpy as jnp
import ml_collections
import numpy as np
from flax import linen as nn

from gan_jax import networks
from gan_jax.errors import UserError
from gan_jax.networks.layers import SpectralNorm
from gan_jax.objectives import divergences, losses
from gan_jax.training import conditional, optimizers
from gan_jax.training.hyperparameters import LOSS_NUMBERS, hyperparameters

# All randomness is a function of (root key, step). What is no step's folds in a number that no step reaches.
DATA, SAMPLES, CALIBRATION, CODES = 2**32 - 1, 2**32 - 2, 2**32 - 3, 2**32 - 5


@flax.struct.dataclass
class NetState:
    """One network: its parameters, every other linen collection ({} if none) and its optimiser's state."""

    params: Any
    stats: Any
    opt_state: Any


@flax.struct.dataclass
class GANState:
    """A run at `step`: int32 scalar, root key, both players, the averaged generator's parameters, float32 scalars."""

    step: jax.Array
    key: jax.Array
    generator: NetState
    critic: NetState
    ema: Any
    hparams: dict[str, jax.Array]


def build_networks(config: ml_collections.ConfigDict, shape: tuple[int, ...]) -> tuple[nn.Module, nn.Module]:
    """(generator, critic) for samples of this shape; a UserError where the network can't make them."""
    settings = config.network
    network = getattr(networks, settings.name)
    if problem := network.check_shape(shape):
        raise UserError(f"config.network.name={settings.name!r} with config.data.name={config.data.name!r}: {problem}")
    dtype = None if settings.dtype == "float32" else settings.dtype  # the inputs' and the parameters' own
    way, takes = conditional.of(config)
    common = {"dtype": dtype} | _attention(network, settings, config.data.name, shape)
    in_norms = {"classes": takes.classes} if way.is_in_norms else {}
    head = {"head": way.head(takes, dtype)} if way.head else {}
    width, depth = settings.width, settings.depth
    generator = network.Generator(
        shape, settings.generator_width or width, depth, settings.generator_norm, **common, **in_norms
    )
    critic = network.Critic(width, depth, settings.critic_norm, **common, **head)
    return generator, SpectralNorm(critic) if settings.spectral_norm else critic


def _attention(network, settings, data, shape):
    if not settings.attention:
        return {}
    if settings.attention not in (allowed := network.attention_sizes(shape[:2])):
        advice = (
            f"give {', '.join(map(str, allowed))}, or 0" if allowed else "give 0, or a larger config.data.image_size"
        )
        raise UserError(
            f"config.network.attention={settings.attention} with config.data.name={data!r}: of images of {shape[0]} "
            f"x {shape[1]} pixels, both players have none of that size in between; {advice}"
        )
    return {"attention": settings.attention}


def loss_function(name: str) -> Any:
    """What `loss` names: a function in objectives/losses.py, or for `f_gan:NAME` one in objectives/divergences.py."""
    divergence = name.removeprefix("f_gan:")
    return getattr(losses if divergence == name else divergences, divergence)


def build_loss(config: ml_collections.ConfigDict, hparams: dict[str, Any]) -> losses.AdversarialLoss:
    """The loss that `config.loss` names, `f_gan:NAME` being made of a divergence, of numbers that may be traced."""
    make = loss_function(config.loss)
    arguments = [*inspect.signature(make).parameters]
    if unknown := [argument for argument in arguments if argument not in LOSS_NUMBERS]:
        raise UserError(
            f"config.loss={config.loss!r} takes {', '.join(unknown)}, which no field gives: LOSS_NUMBERS in "
            f"training/hyperparameters.py has {', '.join(LOSS_NUMBERS)}; add it there, with a field, or take none"
        )
    made, is_f_gan = make(**{argument: hparams[argument] for argument in arguments}), config.loss.startswith("f_gan:")
    kind: Any = divergences.Divergence if is_f_gan else losses.AdversarialLoss
    if not isinstance(made, kind):
        raise UserError(
            f"config.loss={config.loss!r} must return {kind.__name__}(...), returns a {type(made).__name__}"
        )
    return divergences.f_gan(made, config.f_gan.generator) if is_f_gan else made


def build_optimizers(config: ml_collections.ConfigDict, hparams: dict[str, Any]) -> tuple[Any, Any]:
    """(generator's, critic's) optax transforms, of numbers that may be traced arrays."""
    of_generator, of_critic = optimizers.of(config)
    return (
        _optimizer(of_generator, hparams["generator_lr"], hparams),
        _optimizer(of_critic, hparams["critic_lr"], hparams),
    )


def _optimizer(name, learning_rate, hparams):
    numbers = hparams | {"learning_rate": learning_rate}
    return getattr(optimizers, name)(**{argument: numbers[argument] for argument in optimizers.arguments(name)})


def create_state(config: ml_collections.ConfigDict, shape: tuple[int, ...]) -> GANState:
    """The state before the first step, made under jit from `config.seed` and the numbers of `hparams`."""
    return create_states([config], shape)[0]


def create_states(
    configs: Sequence[ml_collections.ConfigDict], shape: tuple[int, ...], sharding: jax.sharding.Sharding | None = None
) -> list[GANState]:
    """`create_state` for each of the configurations, which have one structure, in one compilation.

    sharding: where the states are to lie; None is the first device.
    """
    create = jax.jit(partial(_initial_state, configs[0], shape), out_shardings=sharding)
    return [create(np.uint32(c.seed), jax.tree.map(np.float32, hyperparameters(c))) for c in configs]


def _initial_state(config, shape, seed, hparams):
    generator, critic = build_networks(config, shape)
    generator_key, critic_key, run_key = jax.random.split(jax.random.key(seed), 3)
    transforms = build_optimizers(config, hparams)
    _, takes = conditional.of(config)
    generator_state = _initial(generator, generator_key, jnp.zeros((2, sum(takes))), transforms[0])
    samples, condition = jnp.zeros((2 * config.packing, *shape)), jnp.zeros((2 * config.packing, sum(takes[1:])))
    samples, for_head = packed_for_critic(config, samples, condition)
    critic_state = _initial(critic, critic_key, samples, transforms[1], **for_head)
    ema = jax.tree.map(jnp.copy, generator_state.params)
    return GANState(jnp.int32(0), run_key, generator_state, critic_state, ema, hparams)


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


def _initial(network, key, inputs, transform, **others):
    stats = dict(network.init(key, inputs, train=True, **others))
    params = stats.pop("params")
    return NetState(params, stats, transform.init(params))
