"""Numbers over time, as one JSON object a line: `metrics.jsonl` and `evaluation.jsonl`."""

import errno
import json
import math
import os
from pathlib import Path
from typing import Any

from gan_jax.errors import UserError
from gan_jax.files import atomic


def append(path: str | os.PathLike[str], record: dict[str, Any]) -> None:
    """Add `record` as the last line of the file, which is made when missing.

    Numbers that are not finite become null, for JSON has no NaN; NumPy and JAX scalars and arrays become numbers
    and lists. The line goes out in a single write. What a killed process left of a line is cut off first.

    Args:
      path: the file; its folder exists.
      record: JSON values under string keys, with `step` (int, generator updates) among them.

    Raises:
      ValueError: no `step` in the record.
      UserError: the file is a link: the line would be added to what it leads to.
      OSError: the line did not fit on the disk.

    """
    if "step" not in record:
        raise ValueError(f"a record needs a step, got {sorted(record)}")
    if os.path.islink(path):
        raise UserError(f"{path} is a link, and lines are added to files alone: put the file in its place")
    line = json.dumps(plain(record), allow_nan=False).encode() + b"\n"
    file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_APPEND, 0o666)
    try:
        with atomic.naming(path):
            _cut_half_line(file)
            if os.write(file, line) < len(line):
                raise OSError(errno.ENOSPC, "no room for another line")
    finally:
        os.close(file)


def sync(path: str | os.PathLike[str]) -> None:
    """Waits until the file, where there is one, and its lines are on the disk."""
    if Path(path).exists():
        atomic.sync(path)
        atomic.sync(Path(path).parent)


def read(path: str | os.PathLike[str]) -> list[dict[str, Any]]:
    """All records, oldest first; none where there is no file. A last line without its newline is left out.

    Numbers that were not finite come back as None.

    Raises:
      UserError: the file can't be read, or a line is no JSON object with a `step`; the text names file and line.

    """
    return [_parse(line, f"{path}, line {number}") for number, line in enumerate(_lines(path), start=1)]


def truncate_after(path: str | os.PathLike[str], step: int) -> None:
    """Keep the records up to and including `step`, byte for byte, and drop the rest; nothing where there is no file.

    Raises:
      UserError: as in `read`; the file is then left as it was.

    """
    numbered = enumerate(_lines(path), start=1)
    kept = [line for number, line in numbered if _parse(line, f"{path}, line {number}")["step"] <= step]
    if Path(path).exists():
        atomic.write(path, b"".join(kept))


def plain(value: Any) -> Any:
    """The value as JSON has it: NumPy and JAX scalars and arrays as numbers and lists, what is not finite as None."""
    if hasattr(value, "tolist"):  # NumPy and JAX, scalars and arrays
        value = value.tolist()
    if isinstance(value, dict):
        return {key: plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [plain(item) for item in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


def _cut_half_line(file: int) -> None:
    size = os.fstat(file).st_size
    if size and os.pread(file, 1, size - 1) != b"\n":
        os.ftruncate(file, os.pread(file, size, 0).rfind(b"\n") + 1)


def _lines(path: str | os.PathLike[str]) -> list[bytes]:
    try:
        content = atomic.read(path)
    except FileNotFoundError:
        return []
    except OSError as error:
        raise UserError(f"{path} can't be read: {error.strerror}; move it away") from None
    return [line for line in content.splitlines(keepends=True) if line.endswith(b"\n")]


def _parse(line: bytes, place: str) -> dict[str, Any]:
    try:
        record = atomic.parse_json(line)
        if type(record["step"]) is int and record["step"] >= 0:
            return record
    except (ValueError, TypeError, KeyError):
        pass
    raise UserError(f"{place} is not a JSON object with a whole number as step: remove that line")
