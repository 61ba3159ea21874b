"""Stored image sets, read one image at a time: the embedded digits, everything in TFDS, and folders, by `folder`.

Whatever the store, an image leaves it as a PIL image with its label, and `fitting` brings all of them to one shape.
"""

import contextlib
import hashlib
import io
import os
import pathlib
import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from PIL import Image

from gan_jax.data.fitting import ImageSet, fitted, on_all_cores, opened
from gan_jax.data.folder import READING, open_folder
from gan_jax.data.mixtures import MIXTURES
from gan_jax.errors import UserError, shown
from gan_jax.files import atomic, names, quiet

PREPARED_BY_US = ("mnist", "fashion_mnist", "cifar10")  # by gan_jax.data.prepare
NAMES = ("digits", *MIXTURES, *PREPARED_BY_US, "folder")  # what data.name may be without asking TFDS


def open_images(
    name: str,
    data_dir: str,
    image_size: int,
    split: str,
    background: str = "white",
    reading: int = READING,
    any_size: bool = False,
) -> ImageSet:
    """The set `name` (`digits`, `folder`, or a name that TFDS knows), opened and not yet read.

    image_size: 0 keeps the set's own size, 28x28 being padded to 32x32 with the background; else every image is cropped
    to its centre square and resized to image_size x image_size by PIL's Lanczos filter, which smooths where it shrinks.
    background: the colour that transparent pixels are shown on. reading: as in `folder.open_folder`. any_size: as in
    `fitted`.
    Raises UserError where the set, the split, or an image is not what was asked for.
    """
    if name == "digits":
        return _digits(image_size, split)
    if name == "folder":
        return open_folder(data_dir, image_size, split, background, reading, any_size)
    return _tfds(name, data_dir, image_size, split, background, reading, any_size)


def read_images(images: ImageSet, indices: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Those images and labels in memory: (uint8 [n, h, w, c], int32 [n]). On all cores, with a bar if it takes long."""
    pixels = np.empty((len(indices), *images.shape), np.uint8)

    def read(place):
        pixels[place], label = images.read(int(indices[place]))
        return label

    labels = on_all_cores(read, len(indices), f"reading {shown(images.name)}")
    return pixels, np.array(labels, np.int32)


def read_labels(images: ImageSet) -> np.ndarray:
    """The labels of all images, which are not decoded: int32 [n]."""
    return np.array(on_all_cores(images.label, len(images), f"reading labels of {shown(images.name)}"), np.int32)


def resized(pixels: np.ndarray, image_size: int) -> tuple[np.ndarray, str]:
    """uint8 [n, h, w, 1 or 3] as a set's images are brought to that size, and what that is in words."""
    size, channels = pixels.shape[1:3], pixels.shape[3]
    raw = [Image.fromarray(image[..., 0] if channels == 1 else image) for image in pixels]
    found = fitted("arrays", lambda i: (raw[i], 0), len(raw), size, channels, image_size, classes=(), label=lambda i: 0)
    return read_images(found, np.arange(len(raw)))[0], found.fitting


@dataclass(frozen=True)
class OwnSizes:
    """Rows of a set of images of any sizes, read as they are asked for: [i:j] is a list of uint8 [h, w, c]."""

    images: ImageSet
    rows: np.ndarray

    @property
    def shape(self) -> tuple[int, ...]:
        """(n, 0, 0, c)."""
        return len(self.rows), *self.images.shape

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, part: slice) -> list[np.ndarray]:
        rows = self.rows[part].tolist()
        return on_all_cores(lambda place: self.images.read(rows[place])[0], len(rows), "reading")


# ---------------------------------------------------------------------------------------------- digits


def _digits(image_size: int, split: str) -> ImageSet:
    """The 1,797 handwritten digits of UCI's test set in scikit-learn: 8x8, 0..16 -> 0..255 by round(v * 255 / 16)."""
    from sklearn.datasets import load_digits  # takes a second to import

    if split not in ("train", "all"):
        raise UserError(f"digits has no split {split!r}, only one that serves as 'train' and 'all': use either")
    digits = load_digits()
    pixels, labels = np.round(digits.images * 255 / 16).astype(np.uint8), digits.target.tolist()
    return fitted(
        "digits",
        lambda i: (Image.fromarray(pixels[i]), labels[i]),
        1797,
        (8, 8),
        1,
        image_size,
        classes=tuple(map(str, range(10))),
        label=labels.__getitem__,
        digest=hashlib.sha256(pixels.tobytes() + bytes(labels)).hexdigest(),
    )


# ------------------------------------------------------------------------------------------------ TFDS


def _tfds(
    name: str, data_dir: str, image_size: int, split: str, background: str, reading: int, any_size: bool
) -> ImageSet:
    """A prepared TFDS set; needs features `image` (uint8) and, for classes, `label`. Decoded by PIL."""
    import tensorflow_datasets as tfds  # here, so that the other sets do without it

    _check_name(name, data_dir)
    with quiet.absl_errors_only(), _tfds_errors(name, "open it"):
        _check_metadata(name, data_dir)
        builder = _prepared(name, data_dir)
        features, splits = dict(builder.info.features.items()), builder.info.splits
        image, label = features.get("image"), features.get("label")
        if not isinstance(image, tfds.features.Image) or image.np_dtype != np.uint8:
            raise UserError(f"data.name={name}: this TFDS set has no 8-bit feature 'image'; choose an image set")
        if split not in splits:
            raise UserError(f"data.name={name} has no split {split!r}: choose from {', '.join(splits)}")
        encoded = {key: tfds.decode.SkipDecoding() for key, f in features.items() if isinstance(f, tfds.features.Image)}
        source = builder.as_data_source(split=split, decoders=encoded)
        count = len(source)
    classes = tuple(label.names) if isinstance(label, tfds.features.ClassLabel) else ()

    def example(i):
        with _tfds_errors(name, f"read image {i}"):
            return source[i]

    def raw(i):
        found = example(i)
        return opened(io.BytesIO(found["image"]), f"image {i} of {name}"), found["label"] if classes else 0

    height, width, channels = image.shape
    size = (height, width) if height and width else None
    return fitted(
        name,
        raw,
        count,
        size,
        1 if channels == 1 else 3,
        image_size,
        background if channels == 4 and reading > 1 else "",
        is_upright=reading > 1,
        done=["the colours that transparency hides"] if channels == 4 and reading == 1 else [],
        any_size=any_size,
        classes=classes,
        label=lambda i: int(example(i)["label"]) if classes else 0,
        digest=_digest_of_tfds(builder.info, split, classes),
    )


def _digest_of_tfds(info, split, classes):
    """Of what TFDS knows of a split: its version, how many examples are in each file, and how many bytes in all."""
    found = info.splits[split]
    known = info.full_name, split, found.shard_lengths, found.num_bytes, classes
    return hashlib.sha256(repr(known).encode()).hexdigest()


_CHOICES = f"{', '.join(NAMES)}, or any image set of TFDS"
_OF_ARRAYS = "; a run on arrays of Python is evaluated there, by gan_jax.load(WORKDIR).evaluate(images)"
# The names of TFDS that are of files at hand, and of a folder of the same name, as one of another case is not. With a
# namespace, TFDS would fetch the set's code and run it.
_TFDS_NAME = re.compile(r"[a-z][a-z0-9_]*(/[\w+-][\w+.-]*)?(:[\d*]+\.[\d*]+\.[\d*]+)?", re.ASCII)


def _check_name(name: str, data_dir: str) -> None:
    if not _TFDS_NAME.fullmatch(name):
        choices = f"choose {_CHOICES}, as NAME, NAME/CONFIG or NAME:1.2.3{_OF_ARRAYS}"
        raise UserError(f"data.name={name}: no name of a set; {choices}")
    if "://" in data_dir:
        raise UserError(f"data.dir={data_dir} is not on this machine: give a folder")
    names.check_data_dir(data_dir)


@contextlib.contextmanager
def _tfds_errors(name: str, what: str) -> Iterator[None]:
    """Turns what TFDS raises within, which is many kinds, into a UserError: it cannot do `what` with the set."""
    try:
        yield
    except UserError:
        raise
    except Exception as error:  # a configuration, a version or a file that is not there, or is damaged
        reason = (str(error) or type(error).__name__).splitlines()[0]
        raise UserError(f"data.name={name}: TFDS cannot {what} ({reason})") from error


def _check_metadata(name: str, data_dir: str) -> None:
    """A UserError where the set's own files name a module that TFDS would import, or files in another folder."""
    import tensorflow_datasets as tfds

    root = pathlib.Path(os.path.expanduser(data_dir or tfds.core.constants.DATA_DIR)) / re.split("[/:]", name)[0]
    for path in sorted(root.rglob("*.json")):
        try:
            content = atomic.read_json(path)
        except ValueError as error:
            raise UserError(f"{path} is damaged ({error}): fetch it anew") from error
        for key, value in _texts([content]):
            is_foreign = key == "pythonClassName" and not value.startswith("tensorflow_datasets.")
            if is_foreign or (key == "filepathTemplate" and pathlib.Path(value).name != value):
                raise UserError(f"{path} has {key} {value[:100]!r}, which no set of TFDS's own needs: fetch it anew")


def _texts(node: Any) -> Iterator[tuple[str, str]]:
    """(key, text) of every text in a tree of JSON."""
    for key, child in node.items() if isinstance(node, dict) else enumerate(node):
        if isinstance(child, dict | list):
            yield from _texts(child)
        elif isinstance(child, str):
            yield str(key), child


def _prepared(name: str, data_dir: str) -> Any:
    """TFDS's builder of `name`, once it is known to lie in data_dir in a form that can be read without TensorFlow."""
    import tensorflow_datasets as tfds

    folder = os.path.expanduser(data_dir) if data_dir else None
    try:
        builder = tfds.builder(name, data_dir=folder, file_format="array_record")
    except tfds.core.DatasetNotFoundError as error:
        raise UserError(f"data.name={name}: not known; choose {_CHOICES}{_OF_ARRAYS}") from error
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
