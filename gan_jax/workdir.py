"""The folder of a run: whose configuration it holds, what that may become, what it was before, and who may write to it.

history.jsonl has a line for every change of a field that is `changeable`, and a first one of a run that began from
another: {"step": 100, "changed": {"optimizer.critic_lr": [0.0002, 1e-05]}}.
"""

import contextlib
import fcntl
import json
import pathlib
from collections.abc import Iterator, Sequence
from typing import Any

from gan_jax.config import CHANGEABLE, FIELDS, FREE, neutral_fields
from gan_jax.errors import UserError
from gan_jax.reports import atomic, scalars

HISTORY = "history.jsonl"
# Fields that are fixed, and of no matter to what a trained run is asked for.
ONLY_TRAINING = ("loss", "f_gan.generator", "penalty.name", "optimizer.name")
Fields = dict[str, Any]


def stored_fields(workdir: pathlib.Path) -> Fields | None:
    """The flat configuration that the folder was made with; None for a new folder.

    What an older version of the program did not store is neutral; what a newer one did is refused.
    """
    stored = _read(workdir)
    if stored is None:
        return None
    if unknown := [name for name in stored if name not in FIELDS]:
        raise UserError(
            f"{workdir}/config.json has fields that this version of the program does not know: {', '.join(unknown)}; "
            "take the version that wrote it, or give another --workdir"
        )
    return neutral_fields(str(stored.get("data.name"))) | stored


def _read(workdir):
    path = workdir / "config.json"
    try:
        fields = atomic.read_json(path)
        fields["steps"] + 0
        return fields
    except FileNotFoundError:
        if has_checkpoint(workdir):
            raise UserError(f"{workdir} holds checkpoints and no config.json: give another --workdir") from None
        return None
    except NotADirectoryError:
        raise UserError(f"--workdir={workdir}: a part of this path is a file; give a folder") from None
    except (OSError, ValueError, TypeError, KeyError):
        raise UserError(f"{path} is not a configuration that this program wrote; give another --workdir") from None


def latest_step(workdir: pathlib.Path) -> int:
    """The step of the last checkpoint in the folder, by its name alone; 0 where there is none."""
    return max(_steps(workdir), default=0)


def has_checkpoint(workdir: pathlib.Path) -> bool:
    """Whether there is any, be it of step 0."""
    return bool(_steps(workdir))


def _steps(workdir):
    return [int(path.name) for path in (workdir / "checkpoints").glob("[0-9]*") if path.name.isdecimal()]


# ------------------------------------------------------------------------------------------ what a run may become


def check(workdir: pathlib.Path, given: Fields) -> None:
    """A UserError where the run in the folder can't go on with all these fields, or one there can't begin with them.

    Those that are fixed are as they were, and `steps` are no fewer than were made. Steps at a rate of 0 are refused,
    but to a run that was begun so.
    """
    stored = stored_fields(workdir)
    if stored:
        if differing := [
            name for name, field in FIELDS.items() if field.kind == "fixed" and _differ(name, stored, given)
        ]:
            raise UserError(
                f"{workdir} holds a run with another configuration: {_words(differing, stored, given)}; give another "
                f"--workdir, there with --init_from={workdir} to begin from it"
            )
        if given["steps"] < (made := latest_step(workdir)):
            raise UserError(f"config.steps={given['steps']}: {workdir} is at step {made}; give {made} or more")
    rates = ("steps", "optimizer.decay_steps", "optimizer.final_lr")
    if no_rate_from(given) and not (stored and all(stored[name] == given[name] for name in rates)):
        raise UserError(
            f"config.steps={given['steps']} with config.optimizer.decay_steps={given['optimizer.decay_steps']}: both "
            "rates would be 0 from there on; give "
            f"--config.optimizer.decay_steps={given['steps']}, or a config.optimizer.final_lr above 0"
        )


def no_rate_from(fields: Fields) -> int:
    """The step from which on both learning rates are 0; 0 where none of its steps is so."""
    falls_to_0 = fields["optimizer.decay_steps"] and not fields["optimizer.final_lr"]
    return fields["optimizer.decay_steps"] if falls_to_0 and fields["steps"] > fields["optimizer.decay_steps"] else 0


def check_used(workdir: pathlib.Path, stored: Fields, given: Fields) -> None:
    """A UserError where these fields are at odds with the run that is to be sampled, evaluated or exported.

    given: those of the command line. The ones that are free, or that only training uses, are at odds with none.
    """
    names = [name for name in given if FIELDS[name].kind == "fixed" and name not in ONLY_TRAINING]
    if differing := [name for name in names if _differ(name, stored, given)]:
        raise UserError(
            f"{workdir} holds a run with another configuration: {_words(differing, stored, given)}; leave them out, or "
            "give another --workdir"
        )


def free(fields: Fields) -> Fields:
    """Those of the fields that are free."""
    return {name: value for name, value in fields.items() if FIELDS[name].kind == FREE}


def is_changed(workdir: pathlib.Path, given: Fields) -> bool:
    """Whether the run in the folder would train on in another way: with a change that is more than of its steps."""
    stored = stored_fields(workdir)
    return stored is not None and any(name != "steps" for name in _changes(stored, given))


def _differ(name, stored, given):
    return stored[name] != given[name]


def _words(names, stored, given):
    return ", ".join(f"{name} (stored {stored[name]!r}, given {given[name]!r})" for name in names)


def _changes(stored, given):
    return [name for name, field in FIELDS.items() if field.kind == CHANGEABLE and _differ(name, stored, given)]


# ------------------------------------------------------------------------------------------ what it was before


def store(workdir: pathlib.Path, fields: Fields, step: int = 0, beginning: Fields | None = None) -> str:
    """Writes config.json, and before it history.jsonl, where they are not yet so; returns what was changed, in words.

    step: from which on the run trains with these fields. beginning: the first line of a run that begins from another.
    """
    stored, history = stored_fields(workdir) or fields, read_history(workdir)
    updated = ([beginning] if beginning else beginnings(history)) + changes(history, step, stored, fields)
    if updated != history:
        atomic.write(workdir / HISTORY, b"".join(json.dumps(line).encode() + b"\n" for line in updated))
    if fields != _read(workdir):
        atomic.write(workdir / "config.json", json.dumps(fields, indent=2).encode() + b"\n")
    return change_words({name: [stored[name], fields[name]] for name in _changes(stored, fields)})


def read_history(workdir: pathlib.Path) -> list[Fields]:
    """The lines of history.jsonl; a UserError where one is damaged."""
    lines = scalars.read(workdir / HISTORY)
    for number, line in enumerate(lines, start=1):
        changed = line.get("changed", {})
        if not isinstance(changed, dict) or not all(
            isinstance(pair, list) and len(pair) == 2 for pair in changed.values()
        ):
            raise UserError(f"{workdir / HISTORY}, line {number} does not say what was changed: remove that line")
    return lines


def beginnings(history: Sequence[Fields]) -> list[Fields]:
    """The line that says which other run this one began from; none where it began by itself."""
    return [line for line in history if "init_from" in line][:1]


def changes(history: Sequence[Fields], step: int, stored: Fields, given: Fields) -> list[Fields]:
    """The history of a run that goes on at `step` with the given fields instead of the stored ones.

    What a line says that a field became follows from the next one, and at last from the fields given: so a line
    whose fields were never stored, after a kill, is mended or dropped. Changes later than `step` are undone steps'.
    """
    before: dict[tuple[int, str], Any] = {}
    for line in history:
        for name, (old, _) in line.get("changed", {}).items():
            before.setdefault((min(line["step"], step), name), old)
    for name in _changes(stored, given):
        before.setdefault((step, name), stored[name])
    after, changed = dict(given), dict[int, Fields]()
    for (at, name), old in reversed(before.items()):
        new, after[name] = after.get(name), old
        if old != new:
            changed[at] = {name: [old, new]} | changed.get(at, {})
    return [{"step": at, "changed": changed[at]} for at in sorted(changed)]


def change_words(changed: Fields) -> str:
    """{"optimizer.critic_lr": [0.0002, 1e-05]}, to be read."""
    return ", ".join(f"{name} {old} -> {new}" for name, (old, new) in changed.items())


@contextlib.contextmanager
def claimed(workdir: pathlib.Path) -> Iterator[None]:
    """Makes the folder and keeps other processes from writing to it until the end of the block.

    The claim is the process's: it ends with it, however that ends. What a killed one left of a write is removed.
    """
    try:
        workdir.mkdir(parents=True, exist_ok=True)
        lock = open(workdir / ".lock", "a")  # noqa: SIM115 - closed below
    except OSError as error:
        raise UserError(f"--workdir={workdir} can't be written to: {error.strerror}; give another folder") from None
    with lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            raise UserError(f"{workdir} is in use by another run; wait for it, or give another --workdir") from None
        for part in (workdir, workdir / "samples"):
            atomic.remove_leftovers(part)
        yield
