"""Checkpoints: the whole training state and the data stream's position, written by orbax in one atomic rename.

The last three are kept, and the one whose evaluation was best.
"""

import pathlib
from typing import Any

import jax
import jax.numpy as jnp
import orbax.checkpoint as ocp
from orbax.checkpoint import checkpoint_managers

from gan_jax import measures, quiet
from gan_jax.errors import DivergedError, UserError, one_line

KEPT = 3


def open_checkpoints(workdir: pathlib.Path, is_read_only: bool = False) -> ocp.CheckpointManager:
    """The manager of DIR/checkpoints. A folder that a killed run left unfinished is not among its steps.

    It is removed, unless the manager is read-only: it may be what a run at work is about to finish.
    """
    if (workdir / "checkpoints").is_file():
        raise UserError(f"{workdir}/checkpoints is a file, and no folder: move it away")
    policies = [
        checkpoint_managers.LatestN(KEPT),
        checkpoint_managers.BestN(get_metric_fn=score, reverse=True, n=1, keep_checkpoints_without_metrics=False),
    ]
    options = ocp.CheckpointManagerOptions(
        preservation_policy=checkpoint_managers.AnyPreservationPolicy(policies),
        best_fn=score,  # without it, orbax doesn't store the metrics
        best_mode="min",
        cleanup_tmp_directories=not is_read_only,
        read_only=is_read_only,
    )
    return ocp.CheckpointManager(workdir.absolute() / "checkpoints", options=options)


def score(evaluation: dict[str, Any]) -> float:
    """The number of an evaluation by which checkpoints are compared; smaller is better."""
    return next(evaluation[name] for name in measures.SCORES if name in evaluation)


def save(manager: ocp.CheckpointManager, carry, about: dict[str, Any], evaluation: dict[str, Any] | None) -> None:
    """Writes (state, metric sums) in the background, and `about`: what else a resumed run needs, as JSON."""
    step = int(carry[0].step)
    if step in manager.all_steps():
        return
    # The next train step overwrites the state in place, and on a CPU the writer would read that very memory.
    state, sums = jax.tree.map(jnp.copy, carry)
    items = {
        "state": ocp.args.StandardSave(state),
        "sums": ocp.args.StandardSave(sums),
        "about": ocp.args.JsonSave(about),
    }
    with quiet.absl_errors_only():  # orbax warns of every checkpoint that has no evaluation
        manager.save(step, args=ocp.args.Composite(**items), metrics=evaluation)


def check_finite(carry) -> None:
    """Raises DivergedError where a number of (state, metric sums) isn't finite."""
    if not bool(_all_finite(carry)):
        raise DivergedError(f"the state is no longer finite at step {int(carry[0].step)}")


def about(manager: ocp.CheckpointManager, step: int) -> dict[str, Any]:
    """What was saved as `about` at a step."""
    return _read(manager, step, "about", ocp.args.JsonRestore())


def restore(manager: ocp.CheckpointManager, step: int, item: str, template) -> Any:
    """The item `state`, or the metrics' `sums`, of a step; `template` gives shapes and types."""
    shapes = jax.tree.map(ocp.utils.to_shape_dtype_struct, template)
    return _read(manager, step, item, ocp.args.StandardRestore(shapes))


def _read(manager, step, item, how):
    try:
        with quiet.absl_errors_only():
            return manager.restore(step, args=ocp.args.Composite(**{item: how}))[item]
    except Exception as error:  # orbax raises as many kinds as there are ways to damage a folder
        reason = one_line(error)[:100]
        folder = manager.directory / str(step)
        raise UserError(f"{folder} can't be read ({reason}): remove it to go on from the checkpoint before") from error


def find_step(manager: ocp.CheckpointManager, wanted: str) -> int:
    """The step that `last`, `best` or a number names; a UserError lists those there are."""
    steps = sorted(manager.all_steps())
    if not steps:
        raise UserError(f"no checkpoint in {manager.directory}: train first, with the same command and --mode=train")
    if wanted == "last":
        return steps[-1]
    if wanted == "best":
        return _best(manager, steps)
    if wanted not in map(str, steps):
        raise UserError(f"--checkpoint={wanted}: give last, best or one of {', '.join(map(str, steps))}")
    return int(wanted)


def last_good(manager: ocp.CheckpointManager) -> str:
    """Where the last checkpoint lies, in words, for the message of a diverged run."""
    manager.wait_until_finished()
    step = manager.latest_step()
    return (
        f"the last good checkpoint is {manager.directory / str(step)}"
        if step is not None
        else "no checkpoint was saved"
    )


def _best(manager, steps):
    scores = {step: score(metrics) for step in steps if (metrics := manager.metrics(step))}
    if not scores:
        raise UserError("--checkpoint=best: no checkpoint was evaluated; train with --config.eval_every, or give last")
    return min(scores, key=lambda step: scores[step])


@jax.jit
def _all_finite(tree):
    numbers = [leaf for leaf in jax.tree.leaves(tree) if jnp.issubdtype(leaf.dtype, jnp.floating)]
    return jnp.all(jnp.stack([jnp.all(jnp.isfinite(leaf)) for leaf in numbers]))
