"""Numbers that are no longer finite: the step at which each metric was so first, what is said of it, what would help.

Beside the sums of the metrics, the compiled step keeps that step for each of them; the host reads it after each block.
"""

from collections.abc import Mapping
from typing import Any

import jax
import jax.numpy as jnp
import ml_collections

from gan_jax.errors import DivergedError
from gan_jax.training.hyperparameters import PENALTIES, TERMS, ends, is_on, leaves


def fresh_sums(metrics: dict[str, Any]) -> dict[str, dict[str, jax.Array]]:
    """Sums of no step: `totals`, float32 zeros, and `broken`, int32: the step at which each was not finite, 0 for none.

    metrics: what has the shape and the type of each, by its name.
    """
    totals = {name: jnp.zeros(metric.shape, metric.dtype) for name, metric in metrics.items()}
    return {"totals": totals, "broken": {name: jnp.zeros(total.shape, jnp.int32) for name, total in totals.items()}}


def added(sums: dict[str, Any], metrics: dict[str, jax.Array], step: jax.Array) -> dict[str, Any]:
    """The sums with the metrics of a step, the `step`-th from the beginning."""
    totals = {name: total + metrics[name] for name, total in sums["totals"].items()}
    broken = {
        name: jnp.where((first == 0) & ~jnp.isfinite(metrics[name]), step, first)
        for name, first in sums["broken"].items()
    }
    return {"totals": totals, "broken": broken}


def first_broken(broken: Mapping[str, Any]) -> tuple[int, str]:
    """(the step at which the first metrics were not finite, what is said of them); (0, "") where all are."""
    steps = {name: int(first) for name, first in broken.items() if int(first)}
    if not steps:
        return 0, ""
    first = min(steps.values())
    names = sorted(name for name, step in steps.items() if step == first)
    words = names[0] if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]}"
    return first, f"{words} {'is' if len(names) == 1 else 'are'} not finite at step {first}"


def check_state(state: Any) -> None:
    """Raises DivergedError where a number of a state isn't finite, and names the first array that holds one."""
    leaves = [(path, leaf) for path, leaf in jax.tree_util.tree_leaves_with_path(state) if _is_real(leaf)]
    for (path, _), is_finite in zip(leaves, jax.device_get(_are_finite([leaf for _, leaf in leaves])), strict=True):
        if not is_finite:
            name = jax.tree_util.keystr(path, simple=True, separator="/")
            raise DivergedError(f"{name} is not finite at step {int(state.step)}")


def remedies(config: ml_collections.ConfigDict) -> str:
    """What would keep a run of this configuration finite, in words: in its own folder, but for what is fixed."""
    found = []
    values = dict(leaves(config))
    penalised = [group for group in PENALTIES if config[group].name != "none"]
    is_bounded = penalised or config.weight_clip > 0 or config.network.spectral_norm
    if config.loss == "wasserstein" and not is_bounded:
        in_another = "penalty.name=gradient_penalty or network.spectral_norm=True"
        found.append(f"bound the critic (weight_clip=0.01, or in another --workdir {in_another})")
    if config.loss.startswith("f_gan:"):
        found.append("give a loss that grows no faster than its logits, as non_saturating, in another --workdir")
    rates = [(f"optimizer.{name}", config.optimizer[name]) for name in ("critic_lr", "generator_lr")]
    rates.sort(key=lambda rate: -rate[1])
    found.append("lower " + " or ".join(f"{name} (now {value:g})" for name, value in rates))
    there = penalised + [group for group in TERMS if is_on(values, f"{group}.weight")]
    for group in there:
        name, weight = max(ends(values, f"{group}.weight").items(), key=lambda end: end[1])
        found += [f"lower {name} (now {weight:g})"] * (weight * values[f"{group}.every"] > 1)
    return f"to stay finite, {', or '.join(found)}, with the same command"


def _is_real(leaf):
    return jnp.issubdtype(leaf.dtype, jnp.floating)


@jax.jit
def _are_finite(leaves):
    return jnp.stack([jnp.all(jnp.isfinite(leaf)) for leaf in leaves])
