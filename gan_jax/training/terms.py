"""What a player minimises: its adversarial loss, and a sum of named terms, each with a weight and an interval.

A term is a pure function of what its arguments name, as `objectives` has them. A lazy one, of `every` k > 1, comes
with every k-th update and counts k times. It is a part of that update; or, with `own_step`, has a step of the optimiser
to itself after it, as in StyleGAN2 (Karras et al. 2020, arXiv:1912.04958, appendix B): a second moment then knows both
kinds of gradients, and rates and decays are those of fewer steps, see `of_steps`.
"""

import inspect
import math
import zlib
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import ml_collections

from gan_jax.objectives import penalties
from gan_jax.training import conditional
from gan_jax.training.hyperparameters import MODULES, PENALTIES, TERMS, is_on, leaves


class Term(NamedTuple):
    """A summand of what a player minimises.

    name: of its line in metrics.jsonl, and of what it remembers; "" for no line. function: known by what it takes, see
    seen.py. weight: its name in `hparams`. every: updates between two of them. own_step: whether it
    has a step of the optimiser to itself. is_mean: whether its line is of all updates of a step, and not of the last.
    share: of a minibatch that it is computed on. is_estimated: whether squared norms are, by finite differences.
    """

    name: str
    function: Callable[..., Any]
    weight: str
    every: int = 1
    own_step: bool = False
    is_mean: bool = True
    share: float = 1.0
    is_estimated: bool = False

    @property
    def takes(self) -> tuple[str, ...]:
        """The arguments of its function."""
        return tuple(inspect.signature(self.function).parameters)


def of_critic(config: ml_collections.ConfigDict) -> tuple[Term, ...]:
    """Those of a configuration for the critic, in the order in which they are added."""
    way, takes = conditional.of(config)
    recognised = [_recognition("recognition_loss", way.loss, takes, "fake_told")] if way.loss else []
    if way.is_for_reals:
        recognised.append(_recognition("", way.loss, takes, "real_told"))
    chosen = [_penalty(config, group) for group in PENALTIES if config[group].name != "none"]
    return *recognised, *chosen, *_of_player(config, "critic")


def of_generator(config: ml_collections.ConfigDict) -> tuple[Term, ...]:
    """Those for the generator."""
    way, takes = conditional.of(config)
    recognised = [_recognition("", way.loss, takes, "fake_told")] if way.loss else []
    return *recognised, *_of_player(config, "generator")


def _recognition(name, loss, inputs, told):
    """What telling the condition costs, on reals or on fakes."""
    function = {
        "fake_told": lambda fake_told, condition, continuous: loss(fake_told, condition, inputs, continuous),
        "real_told": lambda real_told, condition, continuous: loss(real_told, condition, inputs, continuous),
    }[told]
    return Term(name, function, "conditional_weight", is_mean=False)


def _penalty(config, group):
    given = config[group]
    is_estimated = given.estimator == "finite_difference"
    return Term(
        group, getattr(penalties, given.name), f"{group}_weight", given.every, given.own_step, True, given.share,
        is_estimated,
    )  # fmt: skip


def _of_player(config, player):
    values = dict(leaves(config))
    groups = [group for group in TERMS if group.startswith(f"{player}.") and is_on(values, f"{group}.weight")]
    for group in groups:
        name, line = group.removeprefix(f"{player}."), group.replace(".", "_")
        every, own_step = (values[f"{group}.{field}"] for field in ("every", "own_step"))
        yield Term(line, getattr(MODULES[player], name), f"{line}_weight", every, own_step)


# ------------------------------------------------------------------------------------------ in an update


def fresh_memory(terms: Sequence[Term]) -> dict[str, Any]:
    """What those terms that remember anything begin with, by their names: float32."""
    remember = [term for term in terms if "memory" in term.takes]
    begin = {term.name: inspect.signature(term.function).parameters["memory"].default for term in remember}
    return jax.tree.map(jnp.float32, begin)


def add(terms: Sequence[Term], total: jax.Array, seen: Any, hparams, memory, count=None):
    """(total and the weighted terms, {name: its value, without weight, as often as it counts}, new memory).

    seen: what terms may take, as in seen.py. count: updates of this player before this one, where a lazy term is 0 if
    it does not come; None: all come.
    """
    lines: dict[str, jax.Array] = {}
    for term in terms:
        value, memory = _lazily(term, seen, memory, count)
        total += hparams[term.weight] * value
        lines |= {term.name: value} if term.name else {}
    return total, lines, memory


def _lazily(term, seen, memory, count):
    if term.every == 1:
        return _evaluated(term, seen, memory)

    def comes():
        value, new = _evaluated(term, seen, memory)
        return term.every * value, new

    if count is None:
        return comes()
    return jax.lax.cond(is_due(count, term.every), comes, lambda: (jnp.float32(0), memory))


def _evaluated(term, seen, memory):
    part = seen.part(term)
    given = {name: getattr(part, name)(term) for name in term.takes if name != "memory"}
    if "memory" not in term.takes:
        return term.function(**given), memory
    value, new = term.function(**given, memory=memory[term.name])
    return value, memory | {term.name: new}


def is_due(count: jax.Array, every: int) -> jax.Array:
    """Whether a term comes with the update that has `count` before it: it is the k-th, the 2k-th, and so on."""
    return (count + 1) % every == 0


def period(terms: Sequence[Term]) -> int:
    """After so many updates, which of them come with which update repeats itself."""
    return math.lcm(*(term.every for term in terms))


def key_of(term: Term, key: jax.Array) -> jax.Array:
    """A term's own, whatever others there are; the key itself for a penalty, as it ever was."""
    return key if term.name == PENALTIES[0] else jax.random.fold_in(key, zlib.crc32(term.name.encode()))


def shared(terms: Sequence[Term]) -> tuple[Term, ...]:
    """Those that are a part of the player's update."""
    return tuple(term for term in terms if not term.own_step)


def of_own_steps(terms: Sequence[Term]) -> dict[int, tuple[Term, ...]]:
    """Those with steps of their own, by their intervals: terms of one interval share a step."""
    own = [term for term in terms if term.own_step]
    return {every: tuple(term for term in own if term.every == every) for every in sorted({term.every for term in own})}


def of_steps(terms: Sequence[Term], hparams: dict[str, Any]) -> dict[str, Any]:
    """`hparams` for a player who makes more than one step of the optimiser in an update, on the average.

    The learning rate times c, and b1 and b2 to the power c, so that as many updates move as far and forget as much:
    c = 1 / (1 + 1/k + ...) over the intervals k of own steps, which is k / (k + 1) for one.
    """
    if not (own := of_own_steps(terms)):
        return hparams
    c = 1 / (1 + sum(1 / every for every in own))
    rates = {name: hparams[name] * c for name in ("generator_lr", "critic_lr")}
    return hparams | rates | {name: hparams[name] ** c for name in ("b1", "b2")}


def lines_of_step(terms: Sequence[Term], values: dict[str, jax.Array]) -> dict[str, jax.Array]:
    """Of metrics [updates] of a step, one number each: those of the last update, but means of `is_mean` terms."""
    means = {term.name for term in terms if term.is_mean}
    return {name: jnp.mean(value) if name in means else value[-1] for name, value in values.items()}
