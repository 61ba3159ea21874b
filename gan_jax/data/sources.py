"""Where samples come from, by name: what `data.name` may be, loaded to train on or to evaluate against."""

import functools
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, NamedTuple

import jax
import numpy as np
from numpy.typing import ArrayLike

from gan_jax.data import batches, mixtures
from gan_jax.data.about import About, about, digest_of
from gan_jax.data.batches import Batch
from gan_jax.data.fitting import AS_THEY_ARE
from gan_jax.data.folder import READING
from gan_jax.data.images import OwnSizes, open_images, read_images, read_labels
from gan_jax.data.stream import BatchStream
from gan_jax.errors import UserError

# Training splits key(seed); folding in a number of its own keeps the reference apart from all that training draws.
_REFERENCE = 2**32 - 4


class Source(NamedTuple):
    """Where the minibatches of a run come from: either `draw`, inside the compiled step, or `stream`, on the host.

    shape: (h, w, c), or (2,) for points. num_classes: classes or components of a mixture; 0 where there are none.
    arrays: pytree of NumPy arrays to be put on the device; {"image": uint8 [n, h, w, c], "label": int32 [n]}, or {}.
    draw: pure (arrays, key, step, n_critic, batch_size, made=()) -> Batch, as `batches.draw`; None for a stream.
    stream: (seed, n_critic, batch_size, share=(0, 1), bursts=NONE) -> BatchStream, uint8 batches; None otherwise.
    about: what the set is; None for mixtures. count_classes: () -> images of each class; of a set that is streamed, all
      labels are read for it. Both are of the set before its classes are balanced.
    reference: as the function of this name, of this set: (split, num, seed) -> what is read once. None: of no such set.
    is_given: whether the images are arrays of the caller's, which are taken as they are, whatever fields say.
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
    is_given: bool = False


class Reference(NamedTuple):
    """Real samples: uint8 [n, h, w, c] or float32 points [n, 2]; int32 labels [n]; what set they are of, or None.

    background, fitting: as for `ImageSet`; "" of points.
    """

    samples: Any
    labels: np.ndarray
    about: About | None
    background: str = ""
    fitting: str = ""


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
        return _drawn(pixels, labels, num, seed, found, images.background, images.fitting)

    rows = balanced_rows(labels) if is_balanced else slice(None)
    arrays = {"image": pixels[rows], "label": labels[rows]}
    count_classes = functools.partial(tuple, found.counts)
    return Source(name, images.shape, classes, arrays, batches.draw, None, found, count_classes, once(in_memory))


def of_arrays(
    images: ArrayLike,
    labels: ArrayLike | None = None,
    name: str = "arrays",
    classes: Sequence[str] = (),
    test: ArrayLike | tuple[ArrayLike, ArrayLike] | None = None,
) -> Source:
    """A set of one's own arrays, to train on and to evaluate against; they are taken as they are.

    Args:
      images: uint8 [n, h, w, 1 or 3], n >= 1.
      labels: their classes [n], integers from 0; None where there are none.
      name: what protocols call it, and the `data.name` of a run that is trained on it.
      classes: the names of the classes, in the order of the labels; by default their numbers.
      test: images of the split `test`, of the same shape, or the pair (images, labels), as it must be where the others
        have labels.

    Raises:
      UserError: arrays of another type or shape, none, too many, or labels that are no classes.

    """
    pixels, numbers = _checked("train", images, labels, classes)
    names = tuple(classes) or tuple(map(str, range(int(numbers.max()) + 1))) if labels is not None else ()
    splits = {"train": (pixels, numbers)}
    if test is not None:
        splits["test"] = _checked_test(test, pixels.shape[1:], names)
    found = {split: _about_arrays(name, split, x, y, names) for split, (x, y) in splits.items()}

    def of_split(asked, num, seed):
        split = "train" if asked == "all" and test is None else asked
        if split not in splits:
            raise UserError(f"{name} has no split {asked!r}: give one of {', '.join(splits)}")
        return _drawn(*splits[split], num, seed, found[split], "", AS_THEY_ARE)

    arrays = {"image": pixels, "label": numbers}
    count_classes = partial(tuple, found["train"].counts)
    return Source(
        name, pixels.shape[1:], len(names), arrays, batches.draw, None, found["train"], count_classes, of_split, True
    )


def _checked_test(test, shape, classes):
    images, labels = test if isinstance(test, tuple | list) and len(test) == 2 else (test, None)
    pixels, numbers = _checked("test", images, labels, classes)
    if pixels.shape[1:] != shape:
        raise UserError(f"test: images {list(pixels.shape[1:])}, and the others are {list(shape)}: give these alike")
    if classes and labels is None:
        raise UserError("test: images without labels, and the others have some: give test=(images, labels)")
    return pixels, numbers


def _checked(split, images, labels, classes):
    """(uint8 [n, h, w, c], int32 [n], zeros where there are no labels); a UserError where they are no such arrays."""
    images, most = _array(split, images), len(classes) or 2**16
    if images.dtype != np.uint8 or images.ndim != 4 or images.shape[-1] not in (1, 3) or not images.size:
        raise UserError(f"{split}: {images.dtype} {list(images.shape)}: give uint8 images [n, h, w, 1 or 3], n >= 1")
    if len(images) >= batches.MAX_ROWS:
        raise UserError(f"{split}: {len(images):,} images: give fewer than {batches.MAX_ROWS:,}, or a folder")
    labels = np.zeros(len(images), np.int32) if labels is None else _array(split, labels)
    if labels.shape != (len(images),) or labels.dtype.kind not in "iu" or not 0 <= labels.min() <= labels.max() < most:
        raise UserError(
            f"{split}: labels {labels.dtype} {list(labels.shape)}: give {len(images)} integers from 0 to {most - 1}"
        )
    return images, labels.astype(np.int32)


def _array(split, values):
    try:
        return np.asarray(values)
    except ValueError:  # lists of several lengths, or images of several shapes
        raise UserError(f"{split}: no array: give uint8 images [n, h, w, 1 or 3] of one shape, labels [n]") from None


def _about_arrays(name, split, pixels, labels, classes):
    digest = digest_of(f"{pixels.shape} {classes}", pixels, labels)
    counts = tuple(np.bincount(labels, minlength=len(classes)).tolist()) if classes else ()
    return About(name, split, len(pixels), pixels.shape[1:], classes, counts, digest=digest)


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
    any_size: bool = False,
) -> Reference:
    """`num` real samples to evaluate against.

    Images: a random subset without replacement, a function of the seed, in the set's order; nothing else is read. The
    whole split where it has no more than `num`, or for num = 0. Mixtures: drawn from the seed; num is required.
    any_size: images that have no one size stay as they are, and are read when they are asked for: see `OwnSizes`.
    """
    if num < 0 or (is_points(name) and num == 0):
        raise UserError(f"{num} reference samples of {name}: ask for a positive number" + " (or 0 for all)" * (num < 0))
    if is_points(name):
        points, component = mixtures.MIXTURES[name][0](jax.random.fold_in(jax.random.key(seed), _REFERENCE), num)
        return Reference(np.asarray(points), np.asarray(component), None)
    images = open_images(name, data_dir, image_size, split, background, reading, any_size)
    rows = _rows(len(images), num, seed)
    is_any = not images.shape[0]
    samples, labels = (OwnSizes(images, rows), read_labels(images)[rows]) if is_any else read_images(images, rows)
    found = about(images, split, labels if len(rows) == len(images) else None)
    return Reference(samples, labels, found, images.background, images.fitting)


def reference_of(data: Any, split: str, num: int, seed: int) -> Reference:
    """`reference` of the set that a configuration's `data` names."""
    return reference(split=split, num=num, seed=seed, **asked(data))


def _drawn(pixels, labels, num, seed, *known):
    """`num` of the samples that are in memory; known: what else a `Reference` says of them."""
    rows = _rows(len(pixels), num, seed)
    return Reference(pixels[rows], labels[rows], *known)


def _rows(count, num, seed):
    rows = np.arange(count)
    return np.sort(np.random.default_rng(seed).choice(rows, num, replace=False)) if 0 < num < count else rows
