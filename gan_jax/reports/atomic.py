"""Files that are either the old one or the new one, never half of one."""

import io
import os
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gan_jax.errors import one_line


def write(path: str | os.PathLike[str], content: bytes) -> None:
    """Replace the file at `path` by `content` in one step; missing folders are made.

    The bytes go to a file beside it first: `os.replace` is atomic only within one file system.
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        temporary.write_bytes(content)
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)


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
