"""What a sweep is made of: lists of members, each the fields in which it differs from the experiment.

    def get_sweep():
        settings = draws(16, {"optimizer.critic_lr": log_uniform(1e-5, 1e-2)})
        return product(grid({"loss": ["hinge", "wasserstein"]}), settings, grid({"seed": range(3)}))

A member is a plain dict, {"loss": "hinge", "optimizer.critic_lr": 3e-4}, so that any list of them is a sweep.
"""

import itertools
import math
from collections.abc import Callable, Iterable, Sequence
from typing import Any, NamedTuple

import numpy as np

from gan_jax.errors import UserError

Members = list[dict[str, Any]]


class Range(NamedTuple):
    """What a field is drawn from. at: a number in [0, 1) -> a value. kind, limits: how it was made."""

    at: Callable[[float], Any]
    kind: str
    limits: tuple[Any, ...]


def grid(axes: dict[str, Iterable[Any]]) -> Members:
    """Every combination of the values of the fields; the last field varies fastest."""
    values = _values(axes)
    return [dict(zip(values, combination, strict=True)) for combination in itertools.product(*values.values())]


def zipped(axes: dict[str, Iterable[Any]]) -> Members:
    """The first values of all fields, the second values of all, ...: they have equally many."""
    values = _values(axes)
    if len({len(axis) for axis in values.values()}) > 1:
        counts = ", ".join(f"{name} {len(axis)}" for name, axis in values.items())
        raise UserError(f"zipped axes have different numbers of values ({counts}): give equally many")
    return [dict(zip(values, row, strict=True)) for row in zip(*values.values(), strict=True)]


def draws(num: int, ranges: dict[str, Range], seed: int = 0) -> Members:
    """`num` random settings. Each is a function of the seed and its own number: more of them begin with the same."""
    if num < 1:
        raise UserError(f"{num} draws: give at least 1")
    for name, given in ranges.items():
        if not isinstance(given, Range):
            raise UserError(
                f"{name} is drawn from {given!r}: give uniform, log_uniform or choice of gan_jax.sweeps.axes"
            )
    uniforms = (np.random.default_rng([seed, number]).uniform(size=len(ranges)) for number in range(num))
    return [{name: r.at(float(u)) for (name, r), u in zip(ranges.items(), row, strict=True)} for row in uniforms]


def product(*parts: Members) -> Members:
    """Every member of the first part with every one of the second, ...; the last part varies fastest."""
    for part in parts:
        if not isinstance(part, list) or not part or not all(isinstance(fields, dict) for fields in part):
            raise UserError("a part of the product has no members: give lists of dicts, such as grid and draws make")
    names = [name for part in parts for name in {name: None for fields in part for name in fields}]
    if twice := next((name for name in names if names.count(name) > 1), None):
        raise UserError(f"{twice} is in two parts of the product: give it in one")
    return [{name: v for part in row for name, v in part.items()} for row in itertools.product(*parts)]


def uniform(low: float, high: float) -> Range:
    """Any number in [low, high), each as likely."""
    _check_order("uniform", low, high)
    return Range(lambda u: low + u * (high - low), "uniform", (low, high))


def log_uniform(low: float, high: float) -> Range:
    """exp(U[log low, log high)): for learning rates and weights, whose order of magnitude is in question."""
    _check_order("log_uniform", low, high)
    if low <= 0:
        raise UserError(f"log_uniform({low}, {high}): give numbers above 0")
    return Range(lambda u: low * math.exp(u * math.log(high / low)), "log_uniform", (low, high))


def choice(values: Iterable[Any]) -> Range:
    """Any of the values, each as likely."""
    chosen = _values({"choice": values})["choice"]
    return Range(lambda u: chosen[int(u * len(chosen))], "choice", tuple(chosen))


def _check_order(kind, low, high):
    if not (math.isfinite(low) and math.isfinite(high) and low < high):
        raise UserError(f"{kind}({low}, {high}): give a lower and an upper limit, in this order")


def _values(axes: dict[str, Iterable[Any]]) -> dict[str, Sequence[Any]]:
    """The axes as lists of plain values; a UserError where one is empty, or no list."""
    values: dict[str, Sequence[Any]] = {}
    for name, axis in axes.items():
        if isinstance(axis, Range):
            raise UserError(f"{name} is a range: give values, or draw from it with draws")
        if isinstance(axis, str) or not isinstance(axis, Iterable):
            raise UserError(f"{name}={axis!r}: give a list of values")
        values[name] = [value.item() if isinstance(value, np.generic) else value for value in axis]
        if not values[name]:
            raise UserError(f"{name} has no values: give at least one")
    return values
