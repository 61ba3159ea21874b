"""Where samples come from, by name: what `data.name` may be, loaded to train on or to evaluate against."""

import math
from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple

import jax
import numpy as np

from gan_jax.data import batches, mixtures
from gan_jax.data.batches import Batch
from gan_jax.data.images import open_images, read_images
from gan_jax.data.stream import BatchStream
from gan_jax.errors import UserError

# Training splits key(seed); folding in a number of its own keeps the reference apart from all that training draws.
_REFERENCE = 2**32 - 4


class Source(NamedTuple):
    """Where the minibatches of a run come from: either `draw`, inside the compiled step, or `stream`, on the host.

    shape: (h, w, c), or (2,) for points. num_classes: classes or components of a mixture; 0 where there are none.
    arrays: pytree of NumPy arrays to be put on the device; {"image": uint8 [n, h, w, c], "label": int32 [n]}, or {}.
    draw: pure (arrays, key, step, n_critic, batch_size) -> Batch, the last two static; None for a stream.
    stream: (seed, n_critic, batch_size, share=(0, 1)) -> BatchStream, whose batches are uint8; None otherwise.
    """

    name: str
    shape: tuple[int, ...]
    num_classes: int
    arrays: Any
    draw: Callable[..., Batch] | None
    stream: Callable[..., BatchStream] | None


def is_points(name: str) -> bool:
    """Whether the set consists of points in the plane, not of images."""
    return name in mixtures.MIXTURES


def load(
    name: str, data_dir: str, image_size: int, memory_mb: float, split: str = "train", is_balanced: bool = False
) -> Source:
    """The set `name`, ready to train on.

    data_dir: the folder of `folder`, or TFDS's ("" is its default). image_size, split: see `images.open_images`;
    mixtures ignore both. memory_mb: a set whose uint8 pixels take more than this many 10^6 bytes is streamed; 0 streams
    every stored set. is_balanced: images of rarer classes are repeated, until every class has as many as any other.
    Raises UserError where there is no such set, split or folder, it is not prepared, or an image is broken.
    """
    if is_points(name):
        return Source(name, (2,), mixtures.MIXTURES[name][1], {}, partial(mixtures.draw, name), None)
    images = open_images(name, data_dir, image_size, split)
    if len(images) >= batches.MAX_ROWS or len(images) * np.prod(images.shape) > memory_mb * 1e6:
        if is_balanced:
            raise UserError(
                f"data.balanced with data.name={name}: it is streamed, unread; give data.memory_mb or false"
            )
        return Source(name, images.shape, images.num_classes, {}, None, partial(BatchStream, images))
    pixels, labels = read_images(images, np.arange(len(images)))
    if is_balanced:
        rows = balanced_rows(labels)
        pixels, labels = pixels[rows], labels[rows]
    return Source(name, images.shape, images.num_classes, {"image": pixels, "label": labels}, batches.draw, None)


def balanced_rows(labels: np.ndarray) -> np.ndarray:
    """Rows, each at least once, among which every class is as frequent as the most frequent one; in order."""
    _, counts = np.unique(labels, return_counts=True)
    by_class = np.split(np.argsort(labels, kind="stable"), np.cumsum(counts)[:-1])
    return np.sort(np.concatenate([np.resize(rows, counts.max()) for rows in by_class]))


def count(name: str, data_dir: str, image_size: int, split: str) -> float:
    """How many samples a split of the set `name` has; mixtures have as many as are asked for."""
    return math.inf if is_points(name) else len(open_images(name, data_dir, image_size, split))


def reference(
    name: str, data_dir: str, image_size: int, split: str, num: int, seed: int
) -> tuple[np.ndarray, np.ndarray]:
    """`num` real samples to evaluate against: (uint8 [n, h, w, c] or float32 points [n, 2], int32 labels [n]).

    Images: a random subset without replacement, a function of the seed, in the set's order; nothing else is read. The
    whole split where it has no more than `num`, or for num = 0. Mixtures: drawn from the seed; num is required.
    """
    if num < 0 or (is_points(name) and num == 0):
        raise UserError(f"{num} reference samples of {name}: ask for a positive number" + " (or 0 for all)" * (num < 0))
    if is_points(name):
        points, component = mixtures.MIXTURES[name][0](jax.random.fold_in(jax.random.key(seed), _REFERENCE), num)
        return np.asarray(points), np.asarray(component)
    images = open_images(name, data_dir, image_size, split)
    rows = np.arange(len(images))
    if 0 < num < len(images):
        rows = np.sort(np.random.default_rng(seed).choice(rows, num, replace=False))
    return read_images(images, rows)
