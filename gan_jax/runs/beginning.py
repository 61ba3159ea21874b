"""How a run begins from another: from its parameters, averages and statistics. Optimisers, step and key are new.

The average goes on as it was: it does not forget the other run's, as it forgets a random start.
"""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from gan_jax.errors import UserError
from gan_jax.training.hyperparameters import EMA_STEPS
from gan_jax.training.state import GANState

LAYERS = ("all", "fitting")


class Beginning(NamedTuple):
    """The state of the other run, and what is recorded of it: `init_from`, `wanted`, `checkpoint` and `layers`.

    layers: all: every array must fit; fitting: those that do not are the new run's own.
    """

    state: GANState
    record: dict[str, Any]


def check(beginning: Beginning, shapes: GANState) -> list[str]:
    """The names of the new run's arrays that the other run has none for; shapes: those of a fresh state.

    Raises UserError where there are any, and all layers are asked for.
    """
    there, here = _arrays(beginning.state), _arrays(shapes)
    differing = [name for name in here | there if _kind(there.get(name)) != _kind(here.get(name))]
    if differing and beginning.record["layers"] == "all":
        words = [f"{name} ({_kind(there.get(name))} there, {_kind(here.get(name))} here)" for name in differing]
        raise UserError(
            f"--init_from={beginning.record['init_from']}: other arrays than this run's: {few(words, 3)}; "
            "give --init_layers=fitting to begin these afresh"
        )
    return [name for name in differing if name in here]


def few(names: list[str], most: int = 20) -> str:
    """The first of these names, and how many there are beside."""
    more = f" and {len(names) - most} more" if len(names) > most else ""
    return f"{', '.join(names[:most])}{more}"


def begun(beginning: Beginning, state: GANState) -> tuple[GANState, dict[str, Any]]:
    """(the fresh state with the arrays of the other run in it, what is recorded of that)."""
    fresh = check(beginning, state)
    there = _arrays(beginning.state)

    def chosen(path, leaf):
        name = _name(path)
        # A copy: the step donates its arrays, and other members may begin from the same ones.
        return leaf if name in fresh else jnp.copy(jax.device_put(jax.device_get(there[name]), leaf.sharding))

    parts = jax.tree_util.tree_map_with_path(chosen, _parts(state))
    players = {
        name: net.replace(params=parts[name]["params"]).with_stats(parts[name]["stats"], net.memory)
        for name, net in (("generator", state.generator), ("critic", state.critic))
    }
    steps = beginning.state.step + beginning.state.hparams.get(EMA_STEPS, 0.0)
    hparams = state.hparams | {EMA_STEPS: jax.device_put(jnp.float32(steps), state.step.sharding)}
    taken = state.replace(**players, ema=parts["ema"], hparams=hparams)
    return taken, {"step": 0, **beginning.record, "fresh": fresh}


def _parts(state):
    players = {"generator": state.generator, "critic": state.critic}
    return {name: {"params": net.params, "stats": net.collections} for name, net in players.items()} | {
        "ema": state.ema
    }


def _arrays(state):
    return {_name(path): leaf for path, leaf in jax.tree_util.tree_leaves_with_path(_parts(state))}


def _name(path):
    return jax.tree_util.keystr(path, simple=True, separator="/")


def _kind(leaf):
    return "absent" if leaf is None else f"{leaf.dtype}{list(leaf.shape)}"
