"""Names of files and folders: those that a library reads as something else, and whatever they hold, in print."""

import os
import pathlib
import re
import sys
from typing import Any

from gan_jax.errors import UserError, shown

# What orbax writes it looks for with `glob` of absolute paths (google/orbax#924), and so does TFDS: a folder a[1] is
# never found again, and for a* others are. The rest are folders that their `epath` takes for those of a cloud.
_OF_CHECKPOINTS = re.compile(r"[*?\[\\]|gs:(?=/)|(?<=^/)(gs|s3|az|hf)(?=/)")
_OF_TFDS = re.compile(r"[*?\[]|(?<=^/)(gs|s3|az|hf)(?=/)")


def check_workdir(folder: str | os.PathLike[str]) -> None:
    """A UserError where checkpoints could not be read again, since the folder's name, or one above it, is a pattern."""
    _check(folder, _OF_CHECKPOINTS, "--workdir", "orbax, which reads checkpoints,")


def check_data_dir(folder: str, field: str = "data.dir") -> None:
    """A UserError where TFDS could not find its sets in the folder ("": its own), which `field` names."""
    if not folder:
        import tensorflow_datasets as tfds  # takes seconds

        folder, field = str(tfds.core.constants.DATA_DIR), "TFDS_DATA_DIR"
    _check(folder, _OF_TFDS, field, "TFDS")


def _check(folder, patterns, field, library):
    path = str(pathlib.Path(os.path.expanduser(folder)).absolute())
    if found := patterns.search(f"{path}/"):
        raise UserError(
            f"{field}={folder}: {library} takes '{found[0]}' in {path} for a pattern: rename that folder, or give "
            f"another {field}"
        )
    try:
        path.encode()
    except UnicodeEncodeError:
        raise UserError(
            f"{field}={folder}: {library} needs names in UTF-8, and {os.fsencode(path)!r} is none: rename that folder, "
            f"or give another {field}"
        ) from None


def natural(name: str) -> list[Any]:
    """A key by which 999 comes before 1000."""
    return [int(part) if index % 2 else part for index, part in enumerate(re.split(r"([0-9]+)", name))]


def parted(file: str) -> tuple[str, str]:
    """(PATH, ARGUMENT or "") of PATH[:ARGUMENT]. A path may hold colons itself: it is the shortest that is a file."""
    ends = [place for place, letter in enumerate(file) if letter == ":"] + [len(file)]
    end = next((end for end in ends if os.path.isfile(file[:end])), ends[0])
    return file[:end], file[end + 1 :]


def say(*lines: str) -> None:
    """Prints lines on standard output, whatever names are in them: without control characters, and in its encoding."""
    encoding = sys.stdout.encoding or "utf-8"
    print("\n".join(map(shown, lines)).encode(encoding, "backslashreplace").decode(encoding))
