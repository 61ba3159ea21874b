"""The numbers of a run that may change without a new compilation: traced scalars, which a sweep varies.

Each may follow a schedule, see `schedules`.
"""

from collections.abc import Iterator
from typing import Any

import ml_collections
import numpy as np

from gan_jax.objectives import critic_terms, generator_terms, terms_in

# The arguments of the functions in objectives/, by the fields that give them.
LOSS_NUMBERS = {
    "smoothing_real": "smoothing.real",
    "smoothing_fake": "smoothing.fake",
    "a": "least_squares.a",
    "b": "least_squares.b",
    "c": "least_squares.c",
    "alpha": "f_gan.alpha",
}

PENALTIES = "penalty", "second_penalty"  # groups of fields that each choose one in objectives/penalties.py
# Groups of fields of the other terms, each of which is there where its weight is not 0.
MODULES = {"critic": critic_terms, "generator": generator_terms}
TERMS = tuple(f"{player}.{name}" for player, module in MODULES.items() for name in terms_in(module))

# Steps that the average has behind it as a run begins: those of the run that it begins from. No field gives them.
EMA_STEPS = "ema_steps"
# The other numbers of a state's `hparams`, and the fields that give them.
HPARAMS = {
    "generator_lr": "optimizer.generator_lr",
    "critic_lr": "optimizer.critic_lr",
    "b1": "optimizer.b1",
    "b2": "optimizer.b2",
    "weight_decay": "optimizer.weight_decay",
    "weight_clip": "weight_clip",
    "ema_decay": "ema_decay",
    "ema_half_life": "ema_half_life",
    "ema_ramp": "ema_ramp",
    "ema_start": "ema_start",
    "noise_sigma": "noise.sigma",
    "augment_probability": "augment_probability",
    "augment_target": "augment_target",
    "augment_images": "augment_images",
    "conditional_weight": "conditional.weight",
    "continuous_weight": "conditional.continuous_weight",
    **{f"{group}_{number}": f"{group}.{number}" for group in PENALTIES for number in ("weight", "sigma")},
    **{f"{group.replace('.', '_')}_weight": f"{group}.weight" for group in TERMS},
    **LOSS_NUMBERS,
}
RATES = HPARAMS["generator_lr"], HPARAMS["critic_lr"]
PARTS = "start", "over", "to"  # the numbers of a schedule
# Those that a program has no part for where they are 0, and stay so: another program than where they are not.
SWITCHES = "noise.sigma", "weight_clip", "ema_half_life", "ema_ramp", "ema_start", *(f"{term}.weight" for term in TERMS)


def hyperparameters(config: ml_collections.ConfigDict) -> dict[str, float]:
    """The numbers that may change from run to run without a new compilation."""
    values = dict(leaves(config))
    of_schedules = {name: values[field] for name, field in fields_of_schedules(values).items()}
    return {name: values[field] for name, field in HPARAMS.items()} | of_schedules | {EMA_STEPS: 0.0}


def fields_of(hparams: dict[str, Any]) -> dict[str, float]:
    """Those numbers of a state by the names of the fields that gave them, in as few digits as tell them in 32 bits."""
    of_schedules = {f"{name}_{part}": f"schedule.{field}.{part}" for name, field in HPARAMS.items() for part in PARTS}
    fields = HPARAMS | of_schedules
    return {fields[name]: float(str(np.float32(value))) for name, value in hparams.items() if name in fields}


def fields_of_schedules(values: dict[str, Any]) -> dict[str, str]:
    """The numbers of all schedules of a flat configuration, as in `hparams`, and the fields that give them."""
    scheduled = {name: field for name, field in HPARAMS.items() if values[f"schedule.{field}.shape"] != "constant"}
    return {f"{name}_{part}": f"schedule.{field}.{part}" for name, field in scheduled.items() for part in PARTS}


def is_on(values: dict[str, Any], field: str) -> bool:
    """Whether the number of a field is ever another than 0, in a flat configuration."""
    return any(ends(values, field).values())


def ends(values: dict[str, Any], field: str) -> dict[str, float]:
    """{the field, or that of its schedule, which gives it: the number} at both ends of the way that a number takes."""
    shape, to = (f"schedule.{field}.{part}" for part in ("shape", "to"))
    others = {"constant": {}, "warm_up": {shape: 0.0}}
    return {field: values[field]} | others.get(values[shape], {to: values[to]})


def structure(config: ml_collections.ConfigDict) -> tuple[tuple[str, Any], ...]:
    """What the compiled program of a configuration depends on: all fields but the seed and those of `hparams`."""
    values = dict(leaves(config))
    traced = {"seed", *HPARAMS.values(), *(f"schedule.{f}.{p}" for f in HPARAMS.values() for p in PARTS)}
    fixed = {name: value for name, value in values.items() if name not in traced}
    augments = ("augments_some", augments_some(values)), ("adapts", adapts(values))
    return *fixed.items(), *((f"{field} is on", is_on(values, field)) for field in SWITCHES), *augments


def augments_some(values: dict[str, Any]) -> bool:
    """Whether a critic sees samples that were left as they are beside those that were augmented."""
    field = "augment_probability"
    changes = values[field] != 1 or values[f"schedule.{field}.shape"] != "constant" or adapts(values)
    return values["augment"] != "none" and changes


def adapts(values: dict[str, Any]) -> bool:
    """Whether the probability of augmentations follows what the critic says of reals."""
    return values["augment"] != "none" and is_on(values, "augment_target")


def leaves(config: ml_collections.ConfigDict, prefix: str = "") -> Iterator[tuple[str, Any]]:
    """("penalty.weight", 10.0) and so on: all fields of a configuration, as they come."""
    for name, value in config.items():
        if isinstance(value, ml_collections.ConfigDict):
            yield from leaves(value, f"{prefix}{name}.")
        else:
            yield prefix + name, value
