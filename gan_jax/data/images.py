"""Stored image sets, read one image at a time: the embedded digits, image folders, and everything in TFDS.

Whatever the store, an image leaves it as a PIL image with its label, and `_fitted` brings all of them to one shape.
"""

import contextlib
import io
import os
import pathlib
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import numpy as np
from PIL import Image, ImageOps
from tqdm import tqdm

from gan_jax.errors import UserError

PREPARED_BY_US = ("mnist", "fashion_mnist", "cifar10")  # by gan_jax.data.prepare
_SUFFIXES = (".png", ".jpg", ".jpeg", ".webp", ".bmp")
_GREY = ("1", "L", "LA")  # PIL's modes that become one channel; 8-bit modes besides these become RGB
_CHUNK = 256  # images that a thread reads in one go


@dataclass(frozen=True)
class ImageSet:
    """A stored image set with random access (what grain calls a source).

    shape: (h, w, c). num_classes: 0 where there are none. read: index -> (uint8 [h, w, c], label).
    """

    name: str
    shape: tuple[int, int, int]
    num_classes: int
    count: int
    read: Callable[[int], tuple[np.ndarray, int]]

    def __len__(self) -> int:
        return self.count

    def __getitem__(self, index: int) -> dict[str, Any]:
        image, label = self.read(int(index))
        return {"image": image, "label": np.int32(label)}

    def __repr__(self) -> str:
        return f"ImageSet({self.name}, {self.count} x {self.shape})"


def open_images(name: str, data_dir: str, image_size: int, split: str) -> ImageSet:
    """The set `name` (`digits`, `folder`, or a name that TFDS knows), opened and not yet read.

    image_size: 0 keeps the set's own size, 28x28 being padded to 32x32 with the background; else every image is cropped
    to its centre square and resized to image_size x image_size with PIL's Lanczos filter, which smooths when it shrinks.
    Raises UserError where the set, the split, or an image is not what was asked for.
    """
    if name == "digits":
        return _digits(image_size, split)
    if name == "folder":
        return _folder(data_dir, image_size, split)
    return _tfds(name, data_dir, image_size, split)


def read_images(images: ImageSet, indices: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Those images and labels in memory: (uint8 [n, h, w, c], int32 [n]), on all cores, with a bar where it takes long."""
    pixels = np.empty((len(indices), *images.shape), np.uint8)
    labels = np.empty(len(indices), np.int32)

    def read_chunk(start):
        for place in range(start, min(start + _CHUNK, len(indices))):
            pixels[place], labels[place] = images.read(int(indices[place]))

    starts = range(0, len(indices), _CHUNK)
    with (
        ThreadPoolExecutor(os.cpu_count()) as pool,
        tqdm(total=len(indices), desc=f"reading {images.name}", unit=" images", delay=1, leave=False) as bar,
    ):
        for start, _ in zip(starts, pool.map(read_chunk, starts), strict=True):
            bar.update(min(_CHUNK, len(indices) - start))
    return pixels, labels


# ---------------------------------------------------------------------------------------------- digits


def _digits(image_size: int, split: str) -> ImageSet:
    """The 1,797 handwritten digits of UCI's test set in scikit-learn: 8x8, 0..16 -> 0..255 by round(v * 255 / 16)."""
    from sklearn.datasets import load_digits  # takes a second to import

    _whole_set_only("digits", split)
    digits = load_digits()
    pixels = np.round(digits.images * 255 / 16).astype(np.uint8)
    return _fitted(
        "digits", lambda i: (Image.fromarray(pixels[i]), int(digits.target[i])), 1797, (8, 8), 1, 10, image_size
    )


def _whole_set_only(name: str, split: str) -> None:
    if split not in ("train", "all"):
        raise UserError(f"{name} has no split {split!r}, only one that serves as 'train' and 'all': use either")


# ---------------------------------------------------------------------------------------------- folder


def _folder(data_dir: str, image_size: int, split: str) -> ImageSet:
    """All images below data_dir, sorted by path; where all lie in sub-folders, those of the first level are the classes.

    Grey images stay grey where all are; else all become RGB (alpha is dropped).
    """
    _whole_set_only("folder", split)
    root = pathlib.Path(data_dir).expanduser()
    if not data_dir or not root.is_dir():
        raise UserError(f"data.name=folder needs data.dir to be a folder of images; got {data_dir!r}")
    paths = [path.relative_to(root) for path in sorted(root.rglob("*")) if path.suffix.lower() in _SUFFIXES]
    paths = [path for path in paths if not any(part.startswith(".") for part in path.parts)]
    if not paths:
        raise UserError(
            f"data.dir={data_dir} holds no image ({', '.join(_SUFFIXES)}) at any depth: name another folder"
        )
    classes = sorted({path.parts[0] for path in paths}) if all(len(path.parts) > 1 for path in paths) else []
    headers = [_header(root / path) for path in tqdm(paths, desc="looking at images", delay=1, leave=False)]
    sizes = {size for size, _ in headers}
    channels = 1 if all(mode in _GREY for _, mode in headers) else 3

    def raw(i):
        return _opened(root / paths[i], root / paths[i]), classes.index(paths[i].parts[0]) if classes else 0

    one_size = sizes.pop()[::-1] if len(sizes) == 1 else None  # PIL says (width, height)
    return _fitted(f"folder {data_dir}", raw, len(paths), one_size, channels, len(classes), image_size)


def _header(path: pathlib.Path) -> tuple[tuple[int, int], str]:
    with _named_errors(path), Image.open(path) as image:
        size, mode = image.size, image.mode
    if mode.startswith(("I", "F")):
        raise UserError(f"{path} has {mode!r} pixels (16 bits or more); only 8-bit images are read: convert it")
    return size, mode


def _opened(file: Any, label: Any) -> Image.Image:
    with _named_errors(label), Image.open(file) as image:
        image.load()
    return image


@contextlib.contextmanager
def _named_errors(path: Any) -> Iterator[None]:
    try:
        yield
    except Exception as error:  # PIL's decoders raise OSError, SyntaxError, ValueError and errors of their own
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise UserError(f"{path} is not a readable image ({reason}): replace or remove it") from error


# ------------------------------------------------------------------------------------------------ TFDS


def _tfds(name: str, data_dir: str, image_size: int, split: str) -> ImageSet:
    """A prepared TFDS set; needs features `image` (uint8) and, for classes, `label`. Images are decoded here, by PIL."""
    import tensorflow_datasets as tfds  # here, so that the other sets do without it

    with _quiet():
        builder = _prepared(name, data_dir)
        features, splits = builder.info.features, builder.info.splits
        image, label = features.get("image"), features.get("label")
        if not isinstance(image, tfds.features.Image) or image.np_dtype != np.uint8:
            raise UserError(f"data.name={name}: this TFDS set has no 8-bit feature 'image'; choose an image set")
        if split not in splits:
            raise UserError(f"data.name={name} has no split {split!r}: choose from {', '.join(splits)}")
        encoded = {key: tfds.decode.SkipDecoding() for key, f in features.items() if isinstance(f, tfds.features.Image)}
        source = builder.as_data_source(split=split, decoders=encoded)
    classes = label.num_classes if isinstance(label, tfds.features.ClassLabel) else 0

    def raw(i):
        example = source[i]
        return _opened(io.BytesIO(example["image"]), f"image {i} of {name}"), example["label"] if classes else 0

    height, width, channels = image.shape
    size = (height, width) if height and width else None
    return _fitted(name, raw, len(source), size, 1 if channels == 1 else 3, classes, image_size)


def _prepared(name: str, data_dir: str) -> Any:
    """TFDS's builder of `name`, once it is known to lie in data_dir in a form that can be read without TensorFlow."""
    import tensorflow_datasets as tfds

    folder = os.path.expanduser(data_dir) if data_dir else None
    try:
        builder = tfds.builder(name, data_dir=folder, file_format="array_record")
    except tfds.core.DatasetNotFoundError as error:
        ours = ", ".join(("digits", *PREPARED_BY_US, "folder"))
        raise UserError(f"data.name={name}: not known; choose {ours}, or any image set of TFDS") from error
    except Exception as error:  # TFDS raises many kinds: a configuration or a version that is not there, ...
        raise UserError(f"data.name={name}: TFDS cannot open it ({str(error).splitlines()[0]})") from error
    if not builder.is_prepared() or builder.info.file_format.value != "array_record":
        raise UserError(
            f"data.name={name} is not prepared in {builder.data_dir}; run: {_how_to_prepare(name, data_dir)}"
        )
    return builder


def _how_to_prepare(name: str, data_dir: str) -> str:
    if name in PREPARED_BY_US:
        return f"python -m gan_jax.data.prepare {name}" + (f" --dir={data_dir}" if data_dir else "")
    where = f" --data_dir={data_dir}" if data_dir else ""
    return (
        f"tfds build {name} --file_format=array_record{where} (on a machine that has TensorFlow; then copy the folder)"
    )


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """TFDS remarks on folders it passes by; only its errors belong on the terminal."""
    from absl import logging

    before = logging.get_verbosity()
    logging.set_verbosity(logging.ERROR)
    try:
        yield
    finally:
        logging.set_verbosity(before)


# --------------------------------------------------------------------------------- to one shape, as uint8


def _fitted(
    name: str,
    raw: Callable[[int], tuple[Image.Image, int]],
    count: int,
    size: tuple[int, int] | None,
    channels: int,
    num_classes: int,
    image_size: int,
) -> ImageSet:
    """The set whose images, raw(i), are brought to one shape; size is their (h, w), None where it is not the same for all."""
    if size is None and not image_size:
        raise UserError(f"{name} has images of different sizes: set data.image_size, e.g. data.image_size=64")
    mode = "L" if channels == 1 else "RGB"
    pad = size == (28, 28) and image_size != 28
    fill = _background([_converted(raw(i)[0], mode) for i in range(min(count, 100))]) if pad else 0
    if not image_size and size is not None:
        height, width = (32, 32) if pad else size
    else:
        height = width = image_size

    def read(i):
        image, label = raw(i)
        image = _converted(image, mode)
        image = ImageOps.expand(image, 2, fill) if pad else image
        image = _centre_square(image, image_size) if image_size else image
        return np.asarray(image).reshape(height, width, channels), int(label)

    return ImageSet(name, (height, width, channels), num_classes, count, read)


def _converted(image: Image.Image, mode: str) -> Image.Image:
    if image.mode == "P":  # by way of RGBA: a palette may hold transparency
        image = image.convert("RGBA")
    return image if image.mode == mode else image.convert(mode)


def _background(images: list[Image.Image]) -> Any:
    """The most frequent colour on the images' borders, as PIL takes it."""
    colours: Counter = Counter()
    for image in images:
        pixels = np.asarray(image).reshape(image.height, image.width, -1)
        border = np.concatenate([pixels[0], pixels[-1], pixels[1:-1, 0], pixels[1:-1, -1]])
        colours.update(map(tuple, border.tolist()))
    colour = colours.most_common(1)[0][0]
    return colour if len(colour) > 1 else colour[0]


def _centre_square(image: Image.Image, size: int) -> Image.Image:
    side = min(image.size)
    left, top = (image.width - side) // 2, (image.height - side) // 2
    square = image.crop((left, top, left + side, top + side))
    return square if side == size else square.resize((size, size), Image.Resampling.LANCZOS)
