"""The folder of a run: whose configuration it holds, and who may write to it."""

import contextlib
import fcntl
import json
import pathlib
from collections.abc import Iterator
from typing import Any

from gan_jax.errors import UserError
from gan_jax.reports import atomic

FREE = ("wandb.mode",)  # changes nothing of what a run computes


def stored_fields(workdir: pathlib.Path) -> dict[str, Any] | None:
    """The flat configuration that the folder was made with; None for a new folder."""
    path = workdir / "config.json"
    try:
        fields = atomic.read_json(path)
        fields["steps"] + 0
        return fields
    except FileNotFoundError:
        if any((workdir / "checkpoints").glob("[0-9]*")):
            raise UserError(f"{workdir} holds checkpoints and no config.json: give another --workdir") from None
        return None
    except NotADirectoryError:
        raise UserError(f"--workdir={workdir}: a part of this path is a file; give a folder") from None
    except (OSError, ValueError, TypeError, KeyError):
        raise UserError(f"{path} is not a configuration that this program wrote; give another --workdir") from None


def latest_step(workdir: pathlib.Path) -> int:
    """The step of the last checkpoint in the folder, by its name alone; 0 where there is none."""
    names = (path.name for path in (workdir / "checkpoints").glob("[0-9]*"))
    return max((int(name) for name in names if name.isdecimal()), default=0)


def check_same(workdir: pathlib.Path, stored: dict[str, Any], given: dict[str, Any], partial: bool = False) -> None:
    """Refuses a folder that was made with other fields, and lists them; `steps` may be raised, FREE fields may change.

    `partial`: what is given are some of the fields, and the others are as stored.
    """
    names = [name for name in {**given, **({} if partial else stored)} if name != "steps" and name not in FREE]
    differing = [name for name in names if stored.get(name) != given.get(name)]
    if given.get("steps", stored["steps"]) < stored["steps"]:
        differing.append("steps")
    if differing:
        changes = ", ".join(f"{name} (stored {stored.get(name)!r}, given {given.get(name)!r})" for name in differing)
        raise UserError(f"{workdir} holds a run with another configuration: {changes}; give another --workdir")


def store(workdir: pathlib.Path, fields: dict[str, Any]) -> None:
    """Writes config.json, where it is not yet so."""
    if fields == stored_fields(workdir):
        return
    atomic.write(workdir / "config.json", json.dumps(fields, indent=2).encode() + b"\n")


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
