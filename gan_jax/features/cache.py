"""The folder of what is computed once and kept: converted weights, trained classifiers, features of images.

Nothing in it is needed: whatever is removed is made again. What is damaged is replaced. What is whole and something
else, as of another version or another program, is left alone, and not used.
"""

import functools
import os
import pathlib
import sys
from collections.abc import Callable
from typing import Any, TypeVar

from gan_jax.errors import one_line, shown
from gan_jax.files import atomic, home

T = TypeVar("T")


def folder() -> pathlib.Path:
    """$GAN_JAX_CACHE, else ~/.cache/gan_jax."""
    given = os.environ.get("GAN_JAX_CACHE")
    return pathlib.Path(os.path.expanduser(given)) if given else pathlib.Path(home.folder(), ".cache/gan_jax")


def originals() -> pathlib.Path:
    """Where published files lie that were fetched by other means: $GAN_JAX_ORIGINALS, else originals/ in `folder()`."""
    return pathlib.Path(os.path.expanduser(os.environ.get("GAN_JAX_ORIGINALS") or folder() / "originals"))


def kept(path: pathlib.Path, made_of: Callable[[dict[str, Any]], T]) -> T | None:
    """What `made_of` makes of the arrays in an .npz file; None where there is none, or one that is damaged.

    None also where it is whole and `made_of` raises ValueError, KeyError or TypeError: it is something else, which is
    said, once.
    """
    try:
        return made_of(atomic.read_arrays(path))
    except (OSError, ValueError, KeyError, TypeError) as error:
        if atomic.is_whole(path):
            _say(
                f"gan_jax: {path} holds something else ({one_line(error)[:200]}): it is left as it is, not used, and "
                "what is made instead is not kept; move it away, or give another $GAN_JAX_CACHE"
            )
        return None


def keep(path: pathlib.Path, arrays: dict[str, Any]) -> None:
    """Writes an .npz file, unless one is there that isn't damaged.

    A folder that can't be written, or a full disk, ends no work: it is said, once.
    """
    if atomic.is_whole(path):
        return
    try:
        atomic.write_arrays(path, arrays)
    except OSError as error:
        _say(
            f"gan_jax: {folder()} can't be written ({error.strerror}), so nothing is kept; $GAN_JAX_CACHE names another"
        )


@functools.cache
def _say(words):
    print(shown(words), file=sys.stderr)
