"""The folder of a run: whose configuration it holds, and who may write to it."""

import contextlib
import fcntl
import json
import os
import pathlib
from collections.abc import Iterator
from typing import Any

from gan_jax.config import FIELDS
from gan_jax.errors import UserError


def stored_fields(workdir: pathlib.Path) -> dict[str, Any] | None:
    """The flat configuration that the folder was made with; None for a new folder."""
    path = workdir / "config.json"
    try:
        return json.loads(path.read_text())
    except FileNotFoundError:
        return None
    except NotADirectoryError:
        raise UserError(f"--workdir={workdir}: a part of this path is a file; give a folder") from None
    except (OSError, ValueError) as error:
        raise UserError(f"{path} can't be read ({error}); give another --workdir") from None


def check_same(workdir: pathlib.Path, stored: dict[str, Any], given: dict[str, Any]) -> None:
    """Refuses a folder that was made with other fields, and lists them; `steps` alone may be raised."""
    stored_steps, steps = stored["steps"], given.get("steps", stored["steps"])
    names = [*given, *(name for name in stored if name not in given and len(given) >= len(FIELDS))]
    differing = [name for name in names if name != "steps" and stored.get(name) != given.get(name)]
    if steps < stored_steps:
        differing.append("steps")
    if differing:
        changes = ", ".join(f"{name} (stored {stored.get(name)!r}, given {given.get(name)!r})" for name in differing)
        raise UserError(f"{workdir} holds a run with another configuration: {changes}; give another --workdir")


def store(workdir: pathlib.Path, fields: dict[str, Any]) -> None:
    """Writes config.json in one atomic rename."""
    temporary = workdir / "config.json.tmp"
    temporary.write_text(json.dumps(fields, indent=2) + "\n")
    os.replace(temporary, workdir / "config.json")


@contextlib.contextmanager
def claimed(workdir: pathlib.Path) -> Iterator[None]:
    """Makes the folder and keeps other processes from writing to it until the end of the block."""
    try:
        workdir.mkdir(parents=True, exist_ok=True)
        lock = open(workdir / ".lock", "w")
    except OSError as error:
        raise UserError(f"--workdir={workdir} can't be written to: {error.strerror}; give another folder") from None
    with lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            raise UserError(f"{workdir} is in use by another run; wait for it, or give another --workdir") from None
        yield
