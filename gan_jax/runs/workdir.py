"""The folder of a run: whose configuration it holds, what that was before, and who may write to it.

history.jsonl has a first line where the run began from another, and one for every change of fields that are changeable:
{"step": 100, "changed": {"optimizer.critic_lr": [0.0002, 1e-05]}}.
"""

import contextlib
import fcntl
import json
import pathlib
from collections.abc import Iterator, Sequence
from typing import Any

from gan_jax.errors import UserError
from gan_jax.files import atomic
from gan_jax.reports import scalars

HISTORY = "history.jsonl"
Fields = dict[str, Any]


def stored_fields(workdir: pathlib.Path) -> Fields | None:
    """The flat configuration in the folder, as it is; None for a new folder."""
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
    except PermissionError as error:
        raise UserError(f"{path} can't be read: {error.strerror}; ask its owner, or give another --workdir") from None
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


def read_history(workdir: pathlib.Path) -> list[Fields]:
    """The lines of history.jsonl; a UserError where one is damaged."""
    lines = scalars.read(workdir / HISTORY)
    for number, line in enumerate(lines, start=1):
        pairs = changed.values() if isinstance(changed := line.get("changed", {}), dict) else [None]
        if not all(isinstance(pair, list) and len(pair) == 2 for pair in pairs):
            raise UserError(f"{workdir / HISTORY}, line {number} does not say what was changed: remove that line")
    return lines


def beginnings(history: Sequence[Fields]) -> list[Fields]:
    """The line that says which other run this one began from; none where it began by itself."""
    return [line for line in history if "init_from" in line][:1]


def change_words(changed: Fields) -> str:
    """{"optimizer.critic_lr": [0.0002, 1e-05]}, to be read."""
    return ", ".join(f"{name} {old} -> {new}" for name, (old, new) in changed.items())


def store(workdir: pathlib.Path, fields: Fields, history: Sequence[Fields]) -> None:
    """Writes history.jsonl and then config.json, where they are not yet so."""
    if history != read_history(workdir):
        atomic.write(workdir / HISTORY, b"".join(json.dumps(line).encode() + b"\n" for line in history))
    if fields != stored_fields(workdir):
        atomic.write(workdir / "config.json", json.dumps(fields, indent=2).encode() + b"\n")


@contextlib.contextmanager
def claimed(workdir: pathlib.Path, otherwise: str = "give another --workdir") -> Iterator[None]:
    """Makes the folder and keeps other processes from writing to it until the end of the block.

    The claim is the process's: it ends with it, however that ends. What a killed one left of a write is removed.
    otherwise: what else is to be done where there is no claim to be had.
    """
    try:
        workdir.mkdir(parents=True, exist_ok=True)
        lock = open(workdir / ".lock", "a")  # noqa: SIM115 - closed below
    except OSError as error:
        raise UserError(f"--workdir={workdir} can't be written to: {error.strerror}; {otherwise}") from None
    with lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            raise UserError(f"{workdir} is in use by another run; wait for it, or {otherwise}") from None
        for part in (workdir, workdir / "samples"):
            atomic.remove_leftovers(part)
        yield
