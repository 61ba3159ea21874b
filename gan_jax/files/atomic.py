"""Files that are either the old one or the new one, never half of one: not after a kill, nor after a power cut.

And reading those that others may have made.
"""

import contextlib
import errno
import io
import json
import math
import os
import re
import stat
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gan_jax.errors import one_line

_TEMPORARY = re.compile(r"\..+\.(\d+)")
MOST_JSON = 2**26  # bytes of a .json file
# Of the arrays in an .npz file: 10^9 bytes, or if the file is large, so many times its own; images hardly pack better.
MOST_UNPACKED, MOST_TIMES = 10**9, 20


def read(path: str | os.PathLike[str], most: int = -1) -> bytes:
    """The file's content, or its first bytes. OSError: it can't be opened, or is a folder, a pipe or a device."""
    _check_regular(path)
    with open(path, "rb") as file:
        return file.read(most)


def write(path: str | os.PathLike[str], content: bytes, is_lasting: bool = True) -> None:
    """Replace the file at `path` by `content` in one step; missing folders are made.

    The bytes go to a file beside it first: `os.replace` is atomic only within one file system. They are on the disk
    before the file has its name: or a power cut might leave an empty one under it. is_lasting: whether to wait for
    that, which takes minutes for thousands of files.
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        with naming(path):
            temporary.write_bytes(content)
            if is_lasting:
                sync(temporary)
            os.replace(temporary, path)
            if is_lasting:
                sync(path.parent)
    finally:
        temporary.unlink(missing_ok=True)


@contextlib.contextmanager
def naming(path: str | os.PathLike[str]) -> Iterator[None]:
    """An OSError with a number that is raised within the block names this file: that of a full disk names none."""
    try:
        yield
    except OSError as error:
        if error.errno:
            error.filename = str(path)
        raise


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
    except (ProcessLookupError, OverflowError):  # or no number of a process
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
    """The arrays of an .npz file. Nothing in it is unpickled, and no more is unpacked than its size explains.

    Raises:
      OSError: it can't be opened.
      ValueError: it is no such file, damaged, or larger when unpacked than `MOST_UNPACKED` and `MOST_TIMES` allow; in
        one line.

    """
    _check_regular(path)
    with open(path, "rb") as stream:
        try:
            with zipfile.ZipFile(stream) as archive:
                _check_unpacked(archive, os.fstat(stream.fileno()).st_size)
                return {info.filename.removesuffix(".npy"): _array(archive, info) for info in archive.infolist()}
        except Exception as error:  # NumPy and zipfile raise many kinds, one for each way to be damaged
            raise ValueError(f"not an .npz file, or a damaged one: {one_line(error)[:100]}") from error


def is_whole(path: str | os.PathLike[str]) -> bool:
    """Whether it is a zip file, as .npz files are, with something in it, all as it was written."""
    try:
        with zipfile.ZipFile(path) as archive:
            return bool(archive.namelist()) and archive.testzip() is None
    except Exception:  # no such file, no zip, or damaged in one of many ways
        return False


def _check_unpacked(archive, file_size):
    unpacked = sum(info.file_size for info in archive.infolist())
    if unpacked > max(MOST_UNPACKED, MOST_TIMES * file_size):
        raise ValueError(f"{unpacked:,} bytes when unpacked, out of {file_size:,}")


def _array(archive, info):
    """The array of an entry, whose header must ask for the bytes that there are: NumPy would first make room for it."""
    with archive.open(info) as entry:
        version = np.lib.format.read_magic(entry)
        read_header = {(1, 0): np.lib.format.read_array_header_1_0, (2, 0): np.lib.format.read_array_header_2_0}
        shape, _, dtype = read_header[version](entry)
        if dtype.hasobject:
            raise ValueError(f"{one_line(info.filename)} holds a pickle, which is not opened")
        if math.prod(shape) * dtype.itemsize != info.file_size - entry.tell():
            raise ValueError(f"{one_line(info.filename)} has another size than its header says")
    with archive.open(info) as entry:
        return np.lib.format.read_array(entry, allow_pickle=False)


def read_json(path: str | os.PathLike[str]) -> Any:
    """What a .json file holds.

    Raises:
      OSError: it can't be opened.
      ValueError: it is no such file, or one that `parse_json` refuses.

    """
    return parse_json(read(path, MOST_JSON + 1))


def parse_json(text: bytes) -> Any:
    """The value of a JSON text of at most `MOST_JSON` bytes; NaN and Infinity are none, nor integers beyond 64 bits.

    Raises ValueError for anything else.
    """
    if len(text) > MOST_JSON:
        raise ValueError(f"more than {MOST_JSON:,} bytes of JSON")
    try:
        return json.loads(text, parse_int=_whole, parse_constant=_no_number)
    except RecursionError:
        raise ValueError("JSON that is nested too deeply") from None


def _whole(digits: str) -> int:
    if len(digits) > 19:
        raise ValueError(f"{digits[:20]}... is too large for 64 bits")
    return int(digits)


def _no_number(name: str) -> None:
    raise ValueError(f"{name} is no number in JSON")


def _check_regular(path):
    """A pipe would be waited for, and a device be read without end."""
    mode = os.stat(path).st_mode
    if stat.S_ISDIR(mode):
        raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), str(path))
    if not stat.S_ISREG(mode):
        raise OSError(errno.EINVAL, "it is no file", str(path))
