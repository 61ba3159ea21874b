"""The folder of what is computed once and kept: converted weights, trained classifiers, features of images.

Nothing in it is needed: whatever is removed is made again.
"""

import os
import pathlib


def folder() -> pathlib.Path:
    """$GAN_JAX_CACHE, else ~/.cache/gan_jax."""
    return pathlib.Path(os.environ.get("GAN_JAX_CACHE") or "~/.cache/gan_jax").expanduser()


def originals() -> pathlib.Path:
    """Where published files lie that were fetched by other means: $GAN_JAX_ORIGINALS, else originals/ in `folder()`."""
    return pathlib.Path(os.environ.get("GAN_JAX_ORIGINALS") or folder() / "originals").expanduser()
