"""Files that are either the old one or the new one, never half of one: not after a kill, nor after a power cut."""

import io
import os
import re
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gan_jax.errors import one_line

_TEMPORARY = re.compile(r"\..+\.(\d+)")


def write(path: str | os.PathLike[str], content: bytes) -> None:
    """Replace the file at `path` by `content` in one step; missing folders are made.

    The bytes go to a file beside it first: `os.replace` is atomic only within one file system. They are on the disk
    before the file has its name: or a power cut might leave an empty one under it.
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        temporary.write_bytes(content)
        sync(temporary)
        os.replace(temporary, path)
        sync(path.parent)
    except OSError as error:
        error.filename = str(path)  # that of a full disk names none
        raise
    finally:
        temporary.unlink(missing_ok=True)


def sync(path: str | os.PathLike[str]) -> None:
    """Waits until the file, or the folder's list of files, is on the disk."""
    file = os.open(path, os.O_RDONLY)
    try:
        os.fsync(file)
    finally:
        os.close(file)


def remove_leftovers(folder: str | os.PathLike[str]) -> None:
    """Removes what killed processes left of their writes to this folder."""
    for path in Path(folder).glob(".*.*"):
        if (found := _TEMPORARY.fullmatch(path.name)) and not _is_other_process(int(found[1])):
            path.unlink(missing_ok=True)


def _is_other_process(number):
    """Whether a process with this number is at work. One with our own was our predecessor, in a container mostly."""
    try:
        os.kill(number, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return number != os.getpid()


def write_arrays(path: str | os.PathLike[str], arrays: dict[str, Any], compressed: bool = False) -> None:
    """`write` of an .npz file that holds these arrays under their names."""
    packed = io.BytesIO()
    (np.savez_compressed if compressed else np.savez)(packed, **arrays)
    write(path, packed.getvalue())


def read_arrays(path: str | os.PathLike[str]) -> dict[str, NDArray[Any]]:
    """The arrays of an .npz file. Nothing in it is unpickled.

    Raises:
      OSError: it can't be opened.
      ValueError: it is no such file, or damaged; in one line.

    """
    with open(path, "rb") as stream:
        try:
            with np.load(stream, allow_pickle=False) as file:
                return dict(file)
        except Exception as error:  # NumPy and zipfile raise many kinds, one for each way to be damaged
            raise ValueError(f"not an .npz file, or a damaged one: {one_line(error)[:100]}") from error
