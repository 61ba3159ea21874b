"""A run at one step, as one pytree: what the train step maps to its successor, and what a checkpoint holds."""

from collections.abc import Sequence
from functools import partial
from typing import Any

import flax
import jax
import jax.numpy as jnp
import ml_collections
import numpy as np

from gan_jax.training import adaptive, conditional, terms
from gan_jax.training.game import build_networks, build_optimizers
from gan_jax.training.hyperparameters import hyperparameters
from gan_jax.training.judging import packed_for_critic

MEMORY = "memory"
# All randomness is a function of (root key, step). What is no step's folds in a number that no step reaches.
DATA, SAMPLES, CALIBRATION, CODES, NOISE = 2**32 - 1, 2**32 - 2, 2**32 - 3, 2**32 - 5, 2**32 - 6


class NetState(flax.struct.PyTreeNode):
    """One network: its parameters, every other linen collection ({} if none) and its optimiser's state.

    Beside these collections, stats has one of MEMORY where terms of its loss remember anything: that, by their names.
    """

    params: Any
    stats: Any
    opt_state: Any

    @property
    def collections(self) -> dict[str, Any]:
        """Those of the network alone."""
        return {name: values for name, values in self.stats.items() if name != MEMORY}

    @property
    def memory(self) -> dict[str, Any]:
        """What terms of its loss remember, {} for nothing."""
        return self.stats.get(MEMORY, {})

    def with_stats(self, collections: dict[str, Any], memory: dict[str, Any]) -> "NetState":
        """The same with other statistics."""
        return self.replace(stats={**collections, **({MEMORY: memory} if memory else {})})


class GANState(flax.struct.PyTreeNode):
    """A run at `step`: int32 scalar, root key, both players, the averaged generator's parameters, float32 scalars."""

    step: jax.Array
    key: jax.Array
    generator: NetState
    critic: NetState
    ema: Any
    hparams: dict[str, jax.Array]


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
    latents = jnp.zeros((2, sum(takes)))
    memory = terms.fresh_memory(terms.of_generator(config))
    generator_state = _initial(generator, generator_key, latents, transforms[0], memory)
    count = max(2, config.network.minibatch_deviation) * config.packing
    samples, condition = jnp.zeros((count, *shape)), jnp.zeros((count, sum(takes[1:])))
    samples, for_head = packed_for_critic(config, samples, condition)
    memory = terms.fresh_memory(terms.of_critic(config)) | adaptive.fresh_memory(config)
    critic_state = _initial(critic, critic_key, samples, transforms[1], memory, **for_head)
    ema = jax.tree.map(jnp.copy, generator_state.params)
    return GANState(jnp.int32(0), run_key, generator_state, critic_state, ema, hparams)


def _initial(network, key, inputs, transform, memory, **others):
    stats = dict(network.init(key, inputs, train=True, **others))
    params = stats.pop("params")
    return NetState(params, stats, transform.init(params)).with_stats(stats, memory)
