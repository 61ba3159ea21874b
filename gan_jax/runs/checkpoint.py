"""Checkpoints: the whole training state, written by orbax in one atomic rename. The data follow from its step.

The last three are kept, and of those before the one whose evaluation was best. One that isn't as it was saved is never
used: a run sets it aside, in DIR/damaged, and goes on from the one before.
"""

import contextlib
import errno
import functools
import os
import pathlib
from collections.abc import Iterator
from typing import Any

import jax
import jax.numpy as jnp
import orbax.checkpoint as ocp

from gan_jax.errors import MachineError, UserError, one_line
from gan_jax.files import atomic, quiet
from gan_jax.reports import progress
from gan_jax.runs import integrity, memory, scores
from gan_jax.runs.integrity import DamagedError
from gan_jax.training import parallel
from gan_jax.training.hyperparameters import EMA_STEPS
from gan_jax.training.state import MEMORY, GANState

KEPT = 3
PLAYERS = "generator", "critic"


@contextlib.contextmanager
def open_checkpoints(workdir: pathlib.Path, is_read_only: bool = False) -> Iterator[ocp.CheckpointManager]:
    """The manager of DIR/checkpoints; what it writes is finished at the end of the block.

    A folder that a killed run left unfinished is not among its steps. It is removed, unless the manager is read-only:
    it may be what a run at work is about to finish.
    """
    directory = workdir.absolute() / "checkpoints"
    if directory.is_file():
        raise UserError(f"{workdir}/checkpoints is a file, and no folder: move it away")
    if not is_read_only:
        parallel.by_lead(lambda: scores.remove_leftovers(directory))
    quiet.silence_failed_reads()
    # Its threads log what is raised in any case, with a traceback.
    with quiet.absl_silent(), memory.without_leaks():
        manager = _manager(directory, is_read_only)
        try:
            yield manager
        except BaseException as error:
            if not parallel.is_alone_in(error):  # else it would wait for the others
                with contextlib.suppress(Exception):  # what has ended the block says more
                    manager.close()
            raise
        with _written(manager):
            manager.close()


def _manager(directory, is_read_only):
    with _written(None, directory):
        options = ocp.CheckpointManagerOptions(
            preservation_policy=_LastAndBest(directory),
            cleanup_tmp_directories=not is_read_only,
            read_only=is_read_only,
            lightweight_initialize=True,  # else it reads the evaluations that it once wrote, and fails at a damaged one
        )
        return ocp.CheckpointManager(directory, options=options)


class _LastAndBest:
    """What orbax asks which checkpoints to keep, as it has written another."""

    def __init__(self, directory):
        self._directory = directory

    def should_preserve(self, checkpoints, *, context):
        steps = [checkpoint.step for checkpoint in checkpoints]
        kept = {*steps[-KEPT:], scores.best(self._directory, steps)}
        return [step in kept for step in steps]


def save(manager: ocp.CheckpointManager, carry, about: dict[str, Any]) -> None:
    """Writes (state, metric sums) in the background, and `about`: what else a resumed run needs, as JSON."""
    step = int(carry[0].step)
    if step in manager.all_steps():
        return
    is_first = not manager.all_steps()
    memory.give_back()
    # The next train step overwrites the state in place, and on a CPU the writer would read that very memory.
    state, sums = jax.tree.map(jnp.copy, carry)
    about = integrity.described(about, {"state": state, "sums": sums})
    items = {
        "state": ocp.args.StandardSave(state),
        "sums": ocp.args.StandardSave(sums),
        "about": ocp.args.JsonSave(about),
    }
    with _written(manager):
        manager.save(step, args=ocp.args.Composite(**items))
    if is_first:
        _check_readable(manager, step, sums)


def _check_readable(manager, step, sums):
    """A UserError where a run's first checkpoint can't be read, as then none could be once it has ended."""
    wait(manager)
    try:
        with open_checkpoints(pathlib.Path(manager.directory).parent, is_read_only=True) as anew:
            restore(anew, step, sums=sums)  # its record, and of its arrays the small ones: a second state may not fit
    except DamagedError as error:
        raise UserError(f"{error}, though it was just written: give another --workdir, or mend its disk") from error


def remove(manager: ocp.CheckpointManager, step: int) -> None:
    """Deletes a checkpoint that is written; to be called by all processes."""
    with _written(manager):
        manager.delete(step)


def wait(manager: ocp.CheckpointManager) -> None:
    """Waits until all that was saved is written; a MachineError where it could not be."""
    with _written(manager):
        manager.wait_until_finished()


@contextlib.contextmanager
def _written(manager, directory=None):
    """What orbax raises within the block, of this save or the one before, as a MachineError in one line."""
    try:
        yield
    except jax.errors.JaxRuntimeError:  # of a device, or of another process that is gone
        raise
    except Exception as error:  # orbax and its threads raise many kinds
        full = os.strerror(errno.ENOSPC)
        reason = full if full in str(error) else one_line(error)[:200]
        raise MachineError(
            f"{directory or manager.directory} can't be written ({reason}): make room, or mend what is wrong "
            "there, and give the same command; it goes on from the last checkpoint"
        ) from error


# ------------------------------------------------------------------------------------------ reading what was saved


def about(manager: ocp.CheckpointManager, step: int) -> dict[str, Any]:
    """What was saved as `about` at a step; a DamagedError where it is no longer so."""
    with _blamed(manager, step):
        found = _read(manager, step, about=ocp.args.JsonRestore())["about"]
        integrity.check_seal(found)
        return found


def restore(manager: ocp.CheckpointManager, step: int, **templates) -> dict[str, Any]:
    """The items `state` and `sums`, or one of them, of a step; `templates` give shapes, types and where they shall lie.

    That is the first device where a template says nothing, wherever they lay when they were saved.

    Raises DamagedError where they are not what was saved, and another UserError where nothing is wrong with them but
    the templates are another configuration's. The state's `hparams`, and what terms remember, are as they were saved:
    which there are depends on numbers that may have changed since, see `renewed`.
    """
    here = jax.sharding.SingleDeviceSharding(jax.local_devices()[0])
    record = about(manager, step)
    templates = _as_saved(record, templates)
    shapes = jax.tree.map(
        lambda leaf: jax.ShapeDtypeStruct(leaf.shape, leaf.dtype, sharding=leaf.sharding or here), templates
    )
    with _blamed(manager, step):
        integrity.check_structure(record, templates)
        items = {name: ocp.args.StandardRestore(shape) for name, shape in shapes.items()}
        found = dict(_read(manager, step, **items).items())
        integrity.check_arrays(record, found)
    return found


def _as_saved(record, templates):
    """The templates with the numbers of `hparams`, sums of metrics and memories of terms that the checkpoint has."""
    saved = dict(templates)
    if state := templates.get("state"):
        number = _scalar(jnp.float32, state.step)
        hparams = dict.fromkeys(_names(record, "state/hparams/"), number)
        players = {player: _with_memory_of(record, player, getattr(state, player), number) for player in PLAYERS}
        saved["state"] = state.replace(hparams=hparams, **players)
    if sums := templates.get("sums"):
        beside = next(iter(sums["broken"].values()))
        types = {"totals": jnp.float32, "broken": jnp.int32}
        saved["sums"] = {
            part: dict.fromkeys(_names(record, f"sums/{part}/"), _scalar(dtype, beside))
            for part, dtype in types.items()
        }
    return saved


def _names(record, prefix):
    return [name.removeprefix(prefix) for name in record["arrays"] if name.startswith(prefix)]


def _with_memory_of(record, player, net, number):
    """Of terms that the configuration no longer has, too: numbers by themselves, or in tuples."""
    names = _names(record, f"state/{player}/stats/{MEMORY}/")
    there: dict[str, Any] = {}
    for name in names:
        term, _, part = name.partition("/")
        there[term] = (*there.get(term, ()), number) if part else number
    return net.with_stats(net.collections, there)


def _scalar(dtype, beside):
    return jax.ShapeDtypeStruct((), dtype, sharding=getattr(beside, "sharding", None))


def renewed(saved: tuple[GANState, Any], fresh: tuple[GANState, Any]) -> tuple[GANState, Any]:
    """A saved carry with the numbers that the configuration gives now; the one that it does not give is as saved.

    Terms that were not there begin as they do in the fresh carry: what they remember, and the sums of their lines.
    """
    (state, sums), (anew, zeros) = saved, fresh
    kept = {name: state.hparams[name] for name in (EMA_STEPS,) if name in state.hparams}
    players = {}
    for player in PLAYERS:
        net, new = getattr(state, player), getattr(anew, player)
        players[player] = net.with_stats(
            net.collections, {name: net.memory.get(name, new.memory[name]) for name in new.memory}
        )
    sums = {part: {name: sums[part].get(name, zero) for name, zero in zeros[part].items()} for part in zeros}
    return state.replace(hparams=anew.hparams | kept, **players), sums


def restore_newest(manager: ocp.CheckpointManager, carry) -> tuple[int, Any] | None:
    """(step, carry) of the last checkpoint that is as it was saved; None where there never was one.

    Those after it are set aside, which is said on standard error. Where none is left, a UserError: a run never begins
    anew by itself.
    """
    damaged: list[DamagedError] = []
    steps = sorted(manager.all_steps(), reverse=True)
    for step in steps:
        try:
            found = restore(manager, step, state=carry[0], sums=carry[1])
        except DamagedError as error:
            damaged.append(error)
            continue
        for broken, why in zip(steps, damaged, strict=False):
            words = f"{why}; the run goes on from step {step}"
            parallel.by_lead(functools.partial(_set_aside, pathlib.Path(manager.directory), broken, words))
        if damaged:
            manager.reload()
        return step, (found["state"], found["sums"])
    if damaged:
        words = f"and no other checkpoint is left to go on from: remove {manager.directory} to begin at step 0"
        raise UserError(f"{damaged[0]}, {words}")
    return None


def _set_aside(directory, step, why):
    """Moves a checkpoint to DIR/damaged, under a name that is free, and says so."""
    place = directory.parent / "damaged"
    place.mkdir(exist_ok=True)
    names = (f"{step}{suffix}" for suffix in ("", *(f"_{i}" for i in range(1, 10**6))))
    target = next(place / name for name in names if not (place / name).exists())
    (directory / str(step)).rename(target)
    atomic.sync(directory)
    progress.warn(f"{why}; it was moved to {target}")


def _read(manager, step, **items):
    return manager.restore(step, args=ocp.args.Composite(**items))


@contextlib.contextmanager
def _blamed(manager, step):
    """Whatever goes wrong within the block, as an error in one line that names the checkpoint."""
    folder = manager.directory / str(step)
    try:
        yield
    except DamagedError as error:
        raise DamagedError(f"{folder} is damaged ({error})") from error
    except UserError as error:
        raise UserError(f"{folder} does not fit: {error}") from error
    except (jax.errors.JaxRuntimeError, MemoryError):  # no room on the device, or none on the host
        raise
    except Exception as error:  # orbax raises as many kinds as there are ways to damage a folder
        reason = one_line(error)[:100]
        quiet.end_failed_reads(error)
        if isinstance(error, PermissionError) or "PERMISSION_DENIED" in str(error):
            raise MachineError(f"{folder} can't be read ({reason})") from error
        raise DamagedError(f"{folder} is damaged (it can't be read: {reason})") from error


def find_step(manager: ocp.CheckpointManager, wanted: str) -> int:
    """The step that `last`, `best` or a number names; a UserError lists those there are."""
    steps = sorted(manager.all_steps())
    if not steps:
        raise UserError(f"no checkpoint in {manager.directory}: train first, with --mode=train")
    if wanted == "last":
        return steps[-1]
    if wanted == "best":
        return _best(manager.directory, steps)
    if wanted not in map(str, steps):
        best = "" if scores.best(pathlib.Path(manager.directory), steps) is None else ", best"
        there = ", ".join(map(str, steps))
        raise UserError(f"{manager.directory} has no checkpoint {wanted}: give last{best} or one of {there}")
    return int(wanted)


def last_good(manager: ocp.CheckpointManager) -> str:
    """Where the last checkpoint lies, in words, for the message of a diverged run."""
    wait(manager)
    step = manager.latest_step()
    return (
        f"the last good checkpoint is {manager.directory / str(step)}"
        if step is not None
        else "no checkpoint was saved"
    )


def _best(directory, steps):
    step = scores.best(pathlib.Path(directory), steps)
    if step is None:
        raise UserError(
            f"best: no checkpoint was evaluated to a finite number in {directory}; train with --config.eval_every, or "
            "give last"
        )
    return step
