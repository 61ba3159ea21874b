"""Features of any number of images: in batches of one compiled size, with a progress bar, and resumable.

What has been computed is kept under cache.folder()/features by its content: the pixels and the network's name. So a
killed run goes on where it was, and a reference is computed once, whatever folder or file it comes from.
"""

import functools
import hashlib
import pathlib
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import numpy as np
from numpy.typing import NDArray

from gan_jax.features import cache
from gan_jax.reports import progress

VERSION = 1  # of what is kept: to be raised by whatever changes a feature of a costly network
PART = 256  # images of one file in the cache: what a kill may cost
BATCH_OF_ANY_SIZE = 16  # images that are in memory at once, as photographs may be large
BATCH_ON_CPU = 16  # of a large network; a larger one no longer fits the processor's cache


class Network(NamedTuple):
    """A feature network.

    name: all that its features depend on, for protocols and for the cache.
    apply: uint8 images [b, h, w, c], or points [b, 2] -> (features [b, d], logits [b, classes] or None).
    enlarged: a uint8 image [h, w, c] of any size -> what `apply` takes of it as well, of one size; None where it can't.
    has_logits: whether it has a classifier. is_costly: whether what it gives is worth being kept on the disk.
    """

    name: str
    apply: Callable[[Any], tuple[Any, Any]]
    has_logits: bool = False
    is_costly: bool = False
    enlarged: Callable[[NDArray[Any]], NDArray[Any]] | None = None


class Features(NamedTuple):
    """features: float32 [n, d]; logits: float32 [n, classes], None where the network has no classifier."""

    features: NDArray[np.float32]
    logits: NDArray[np.float32] | None


@jax.enable_x64(False)
def extract(
    network: Network, read: Callable[[int, int], Any], count: int, is_kept: bool = True, any_size: bool = False
) -> Features:
    """The features of `count` images, of which `read(start, stop)` gives some: uint8 [stop - start, h, w, c].

    any_size: it gives a list of uint8 [h, w, c], which a network with `enlarged` takes. The last batch is filled up
    with zeros, and cut again. Of a costly network, parts of `PART` images are kept in the cache, unless the images are
    such as will not be seen again.
    """
    part = BATCH_OF_ANY_SIZE if any_size else PART
    parts = []
    with progress.counting("features", count, "images") as add:
        for start in range(0, count, part):
            images = read(start, min(start + part, count))
            parts.append(
                _kept(network, images, add) if network.is_costly and is_kept else _computed(network, images, add)
            )
    return _joined(parts)


def _kept(network, images, add):
    path = part_path(network, images)
    if found := cache.kept(path, functools.partial(_of_arrays, network, len(images))):
        add(len(images))
        return found
    features, logits = _computed(network, images, add)
    cache.keep(path, {"features": features} | ({} if logits is None else {"logits": logits}))
    return features, logits


def _of_arrays(network, count, arrays):
    """The features of so many images in a file of the cache."""
    names = ["features", "logits"] if network.has_logits else ["features"]
    for name in names:
        if arrays[name].dtype != np.float32 or arrays[name].ndim != 2 or len(arrays[name]) != count:
            raise ValueError(f"{name} {arrays[name].dtype} {list(arrays[name].shape)}, not float32 [{count}, d]")
    return Features(arrays["features"], arrays["logits"] if network.has_logits else None)


def part_path(network: Network, images: NDArray[Any] | list[NDArray[Any]]) -> pathlib.Path:
    """Where the features of these images are kept."""
    content = hashlib.sha256()
    for array in images if isinstance(images, list) else [images]:
        content.update(f"v{VERSION} {network.name} {array.dtype} {array.shape}".encode())
        content.update(np.ascontiguousarray(array).data)
    digest = content.hexdigest()
    return cache.folder() / "features" / digest[:2] / f"{digest}.npz"


def _computed(network, images, add):
    size = BATCH_ON_CPU if jax.default_backend() == "cpu" else PART
    if isinstance(images, list):
        size, images = BATCH_OF_ANY_SIZE, np.stack([network.enlarged(image) for image in images])
    parts = []
    for start in range(0, len(images), size):
        batch = images[start : start + size]
        full = np.pad(batch, ((0, size - len(batch)), *((0, 0),) * (batch.ndim - 1)))
        parts.append([None if array is None else np.asarray(array)[: len(batch)] for array in network.apply(full)])
        add(len(batch))
    return _joined(parts)


def _joined(parts):
    """(features, logits or None) of each part, as those of all."""
    features, logits = zip(*parts, strict=True)
    return Features(np.concatenate(features), None if logits[0] is None else np.concatenate(logits))
