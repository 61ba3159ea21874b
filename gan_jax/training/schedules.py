"""Numbers that change as training goes on: every number of `hparams` may follow a schedule of its own.

`schedule.FIELD.shape` is one of SHAPES. From `start` on, over so many steps, or images, as `schedule.unit` says, the
number goes from what FIELD gives to what `schedule.FIELD.to` gives; before and after, it stays. All but shape and unit
is traced, so that a sweep may vary it, and a function of the step, so that a resumed run has nothing to remember.
"""

from typing import Any

import jax
import jax.numpy as jnp
import ml_collections

from gan_jax.training.hyperparameters import HPARAMS, PARTS, leaves

SHAPES = ("constant", "linear", "cosine", "warm_up")
UNITS = ("steps", "images")


def at_step(config: ml_collections.ConfigDict, hparams: dict[str, jax.Array], step: jax.Array) -> dict[str, jax.Array]:
    """The same numbers, each as its schedule has it at a step, counted from 0."""
    values = dict(leaves(config))
    scheduled = {name: values[f"schedule.{field}.shape"] for name, field in HPARAMS.items()}
    counted = per_step(values)
    return hparams | {
        name: _at(shape, hparams[name], _numbers(hparams, name), step, counted)
        for name, shape in scheduled.items()
        if shape != "constant"
    }


def per_step(values: dict[str, Any]) -> int:
    """What schedules of a flat configuration count in a step: 1, or its images."""
    return values["batch_size"] if values["schedule.unit"] == "images" else 1


def _numbers(hparams, name):
    return tuple(hparams[f"{name}_{part}"] for part in PARTS)


def _at(shape, value, numbers, step, per_step):
    """linear: v (1 - x) + w x for x from 0 to 1; cosine: so for (1 - cos(pi x)) / 2; warm_up: v x, x > 0 at once."""
    (start, over, to), moment = numbers, jnp.float32(step) * per_step
    if shape == "warm_up":
        return value * _share(moment + per_step, start, over)
    x = _share(moment, start, over)
    x = (1 - jnp.cos(jnp.pi * x)) / 2 if shape == "cosine" else x
    return value * (1 - x) + to * x


def _share(moment, start, over):
    return jnp.clip((moment - start) / jnp.maximum(over, 1), 0, 1)
