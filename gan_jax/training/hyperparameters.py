"""The numbers of a run that may change without a new compilation: traced scalars, which a sweep varies."""

from collections.abc import Iterator
from typing import Any

import jax
import jax.numpy as jnp
import ml_collections
import numpy as np

# The arguments of the functions in objectives/, by the fields that give them.
LOSS_NUMBERS = {
    "smoothing_real": "smoothing.real",
    "smoothing_fake": "smoothing.fake",
    "a": "least_squares.a",
    "b": "least_squares.b",
    "c": "least_squares.c",
    "alpha": "f_gan.alpha",
}

# Steps that the average has behind it as a run begins: those of the run that it begins from. No field gives them.
EMA_STEPS = "ema_steps"
# The other numbers of a state's `hparams`, and the fields that give them.
HPARAMS = {
    "generator_lr": "optimizer.generator_lr",
    "critic_lr": "optimizer.critic_lr",
    "b1": "optimizer.b1",
    "b2": "optimizer.b2",
    "weight_decay": "optimizer.weight_decay",
    "penalty_weight": "penalty.weight",
    "weight_clip": "weight_clip",
    "ema_decay": "ema_decay",
    "decay_steps": "optimizer.decay_steps",
    "final_lr": "optimizer.final_lr",
    "noise_sigma": "noise.sigma",
    "noise_steps": "noise.steps",
    "conditional_weight": "conditional.weight",
    "continuous_weight": "conditional.continuous_weight",
    **LOSS_NUMBERS,
}


def hyperparameters(config: ml_collections.ConfigDict) -> dict[str, float]:
    """The numbers that may change from run to run without a new compilation."""
    values = dict(leaves(config))
    return {name: values[field] for name, field in HPARAMS.items()} | {EMA_STEPS: 0.0}


def fields_of(hparams: dict[str, Any]) -> dict[str, float]:
    """Those numbers of a state by the names of the fields that gave them, in as few digits as tell them in 32 bits."""
    return {HPARAMS[name]: float(str(np.float32(value))) for name, value in hparams.items() if name in HPARAMS}


def structure(config: ml_collections.ConfigDict) -> tuple[tuple[str, Any], ...]:
    """What the compiled program of a configuration depends on: all fields but the seed and those of `hparams`.

    A program whose configuration has no noise, or no weight clipping, has no part that these numbers could change.
    """
    fixed = {name: value for name, value in dict(leaves(config)).items() if name not in ("seed", *HPARAMS.values())}
    return *fixed.items(), ("noise", config.noise.sigma > 0), ("clipping", config.weight_clip > 0)


def at_step(hparams: dict[str, jax.Array], step: jax.Array) -> dict[str, jax.Array]:
    """The same numbers, with the learning rates and the instance noise as far down their slopes as `step` is."""
    rate = _slope(step, hparams["decay_steps"], hparams["final_lr"])
    return hparams | {
        "generator_lr": hparams["generator_lr"] * rate,
        "critic_lr": hparams["critic_lr"] * rate,
        "noise_sigma": hparams["noise_sigma"] * _slope(step, hparams["noise_steps"], 0.0),
    }


def _slope(step, steps, end):
    """From 1 at step 0 in a straight line to `end` at `steps` and after; 1 throughout where `steps` is 0."""
    return jnp.where(steps > 0, 1 - (1 - end) * jnp.minimum(step / jnp.maximum(steps, 1), 1), 1.0)


def leaves(config: ml_collections.ConfigDict, prefix: str = "") -> Iterator[tuple[str, Any]]:
    """("penalty.weight", 10.0) and so on: all fields of a configuration, as they come."""
    for name, value in config.items():
        if isinstance(value, ml_collections.ConfigDict):
            yield from leaves(value, f"{prefix}{name}.")
        else:
            yield prefix + name, value
