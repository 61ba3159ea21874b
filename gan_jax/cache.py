"""The folder of what is computed once and kept: converted weights, trained classifiers, features of images.

Nothing in it is needed: whatever is removed is made again.
"""

import functools
import os
import pathlib
import sys
from typing import Any

from gan_jax import home
from gan_jax.errors import shown
from gan_jax.reports import atomic


def folder() -> pathlib.Path:
    """$GAN_JAX_CACHE, else ~/.cache/gan_jax."""
    given = os.environ.get("GAN_JAX_CACHE")
    return pathlib.Path(os.path.expanduser(given)) if given else pathlib.Path(home.folder(), ".cache/gan_jax")


def originals() -> pathlib.Path:
    """Where published files lie that were fetched by other means: $GAN_JAX_ORIGINALS, else originals/ in `folder()`."""
    return pathlib.Path(os.path.expanduser(os.environ.get("GAN_JAX_ORIGINALS") or folder() / "originals"))


def keep(path: pathlib.Path, arrays: dict[str, Any]) -> None:
    """Writes an .npz file. A folder that can't be written, or a full disk, ends no work: it is said, once."""
    try:
        atomic.write_arrays(path, arrays)
    except OSError as error:
        _say(
            f"gan_jax: {folder()} can't be written ({error.strerror}), so nothing is kept; $GAN_JAX_CACHE names another"
        )


@functools.cache
def _say(words):
    print(shown(words), file=sys.stderr)
