"""--init_from=RUN[:last|best|STEP]: which run a new one begins from, and whether a folder's run did so already."""

import os
import pathlib
from collections.abc import Iterable
from typing import NamedTuple

from gan_jax.errors import UserError
from gan_jax.runs import trained, workdir
from gan_jax.runs.beginning import Beginning


class Asked(NamedTuple):
    """The folder of a run, from the root on; which of its checkpoints; and which layers, see `Beginning`."""

    folder: str
    wanted: str
    layers: str


def asked(text: str, layers: str) -> Asked | None:
    """What --init_from and --init_layers say; None where they say nothing. A name may hold colons, too."""
    if not text:
        return None
    folder, _, wanted = text.rpartition(":")
    if not folder or not (wanted in ("last", "best") or (wanted.isascii() and wanted.isdecimal())):
        folder, wanted = text, "last"
    return Asked(os.path.abspath(os.path.expanduser(folder)), wanted, layers)


def beginning(given: Asked | None, folders: Iterable[pathlib.Path]) -> Beginning | None:
    """What new runs in these folders begin from; None where nothing was asked, or all have begun already.

    Raises UserError where one has begun otherwise than is asked, or there is no such run to begin from.
    """
    has_begun = [_has_begun(given, folder) for folder in folders]
    return None if given is None or all(has_begun) else _load(given)


def _has_begun(given, folder):
    lines = workdir.beginnings(workdir.read_history(folder))
    if not given:
        if lines and not workdir.has_checkpoint(folder):
            raise UserError(f"{folder} was to begin from {_words(lines[0])}, and has no checkpoint: give that again")
        return True
    if not lines and workdir.stored_fields(folder) is not None:
        raise UserError(
            f"--init_from={given.folder}: {folder} holds a run that began by itself; give another --workdir"
        )
    if lines and lines[0] != lines[0] | {"init_from": given.folder, "wanted": given.wanted, "layers": given.layers}:
        raise UserError(
            f"{folder} holds a run that began from {_words(lines[0])}: leave --init_from out to go on with it, or give "
            "another --workdir"
        )
    return workdir.has_checkpoint(folder)


def _words(line):
    return f"--init_from={line['init_from']}:{line.get('wanted')} --init_layers={line.get('layers')}"


def _load(given):
    try:
        state = trained.load(given.folder, given.wanted).state
    except UserError as error:
        raise UserError(f"--init_from={given.folder}:{given.wanted}: {error}") from None
    record = {"init_from": given.folder, "wanted": given.wanted, "checkpoint": int(state.step), "layers": given.layers}
    return Beginning(state, record)
