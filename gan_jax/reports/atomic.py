"""Files that are either the old one or the new one, never half of one."""

import os
from pathlib import Path


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
