"""Where samples come from, by name: what `data.name` may be, loaded to train on or to evaluate against."""

import functools
from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple

import jax
import numpy as np

from gan_jax.data import batches, mixtures
from gan_jax.data.about import About, about
from gan_jax.data.batches import Batch
from gan_jax.data.folder import READING
from gan_jax.data.images import open_images, read_images, read_labels
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
    about: what the set is; None for mixtures. count_classes: () -> images of each class; of a set that is streamed, all
      labels are read for it. Both are of the set before its classes are balanced.
    reference: as the function of this name, of this set: (split, num, seed) -> what is read once. None: of no such set.
    """

    name: str
    shape: tuple[int, ...]
    num_classes: int
    arrays: Any
    draw: Callable[..., Batch] | None
    stream: Callable[..., BatchStream] | None
    about: About | None = None
    count_classes: Callable[[], tuple[int, ...]] = tuple
    reference: Callable[[str, int, int], "Reference"] | None = None


class Reference(NamedTuple):
    """Real samples: uint8 [n, h, w, c] or float32 points [n, 2]; int32 labels [n]; what set they are of, or None."""

    samples: np.ndarray
    labels: np.ndarray
    about: About | None
    background: str = ""


def is_points(name: str) -> bool:
    """Whether the set consists of points in the plane, not of images."""
    return name in mixtures.MIXTURES


def asked(data: Any) -> dict[str, Any]:
    """The arguments by which a configuration's `data` names its set, for the functions below."""
    return {
        "name": data.name,
        "data_dir": data.dir,
        "image_size": data.image_size,
        "background": data.background,
        "reading": data.reading,
    }


def of_config(data: Any) -> Source:
    """The set that a configuration's `data` names, ready to train on."""
    return load(memory_mb=data.memory_mb, is_balanced=data.balanced, **asked(data))


def load(
    name: str,
    data_dir: str,
    image_size: int,
    memory_mb: float,
    split: str = "train",
    is_balanced: bool = False,
    background: str = "white",
    reading: int = READING,
) -> Source:
    """The set `name`, ready to train on.

    data_dir: the folder of `folder`, or TFDS's ("" is its default). image_size, split, background, reading: see
    `images.open_images`; mixtures ignore all four. memory_mb: a set whose uint8 pixels take more than this many 10^6
    bytes is streamed; 0 streams every stored set. is_balanced: images of rarer classes are repeated, until every class
    has as many as any other.
    Raises UserError where there is no such set, split or folder, it is not prepared, or an image is broken.
    """
    elsewhere = partial(reference, name, data_dir, image_size, background=background, reading=reading)
    once = functools.lru_cache(1)  # all evaluations of a run ask for the same reals
    if is_points(name):
        draw, classes = partial(mixtures.draw, name), mixtures.MIXTURES[name][1]
        return Source(name, (2,), classes, {}, draw, None, None, tuple, once(elsewhere))
    images = open_images(name, data_dir, image_size, split, background, reading)
    classes = len(images.classes)
    if len(images) >= batches.MAX_ROWS or len(images) * np.prod(images.shape) > memory_mb * 1e6:
        if is_balanced:
            raise UserError(
                f"data.balanced with data.name={name}: it is streamed, unread; give data.memory_mb or false"
            )
        count_classes: Callable = functools.cache(lambda: about(images, split, read_labels(images)).counts)
        stream, found = partial(BatchStream, images), about(images, split)
        return Source(name, images.shape, classes, {}, None, stream, found, count_classes, once(elsewhere))
    pixels, labels = read_images(images, np.arange(len(images)))
    found = about(images, split, labels)

    def in_memory(asked, num, seed):
        if asked != split:
            return elsewhere(asked, num, seed)
        rows = _rows(len(pixels), num, seed)
        return Reference(pixels[rows], labels[rows], found, images.background)

    rows = balanced_rows(labels) if is_balanced else slice(None)
    arrays = {"image": pixels[rows], "label": labels[rows]}
    count_classes = functools.partial(tuple, found.counts)
    return Source(name, images.shape, classes, arrays, batches.draw, None, found, count_classes, once(in_memory))


def balanced_rows(labels: np.ndarray) -> np.ndarray:
    """Rows, each at least once, among which every class is as frequent as the most frequent one; in order."""
    _, counts = np.unique(labels, return_counts=True)
    by_class = np.split(np.argsort(labels, kind="stable"), np.cumsum(counts)[:-1])
    return np.sort(np.concatenate([np.resize(rows, counts.max()) for rows in by_class]))


@jax.enable_x64(False)
def reference(
    name: str,
    data_dir: str,
    image_size: int,
    split: str,
    num: int,
    seed: int,
    background: str = "white",
    reading: int = READING,
) -> Reference:
    """`num` real samples to evaluate against.

    Images: a random subset without replacement, a function of the seed, in the set's order; nothing else is read. The
    whole split where it has no more than `num`, or for num = 0. Mixtures: drawn from the seed; num is required.
    """
    if num < 0 or (is_points(name) and num == 0):
        raise UserError(f"{num} reference samples of {name}: ask for a positive number" + " (or 0 for all)" * (num < 0))
    if is_points(name):
        points, component = mixtures.MIXTURES[name][0](jax.random.fold_in(jax.random.key(seed), _REFERENCE), num)
        return Reference(np.asarray(points), np.asarray(component), None)
    images = open_images(name, data_dir, image_size, split, background, reading)
    rows = _rows(len(images), num, seed)
    samples, labels = read_images(images, rows)
    found = about(images, split, labels if len(rows) == len(images) else None)
    return Reference(samples, labels, found, images.background)


def reference_of(data: Any, split: str, num: int, seed: int) -> Reference:
    """`reference` of the set that a configuration's `data` names."""
    return reference(split=split, num=num, seed=seed, **asked(data))


def _rows(count, num, seed):
    rows = np.arange(count)
    return np.sort(np.random.default_rng(seed).choice(rows, num, replace=False)) if 0 < num < count else rows
