"""Images of any kind and size brought to one shape of uint8 arrays, one at a time."""

import contextlib
import warnings
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from PIL import Image, ImageOps

from gan_jax.errors import UserError

# What is decoded, whatever a file is called: of Pillow's other formats, one has another program run it (EPS).
FORMATS = ("PNG", "JPEG", "WEBP", "BMP", "GIF")
# Pillow only warns of an image of more than Image.MAX_IMAGE_PIXELS = 89,478,485 pixels, up to twice as many.
warnings.simplefilter("error", Image.DecompressionBombWarning)
LARGEST = 4096  # pixels of a side of what is trained on


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


def fitted(
    name: str,
    raw: Callable[[int], tuple[Image.Image, int]],
    count: int,
    size: tuple[int, int] | None,
    channels: int,
    num_classes: int,
    image_size: int,
) -> ImageSet:
    """The set of the images raw(i) brought to one shape. size: their (h, w), None where it differs among them.

    Raises UserError where they have no one shape, or one of more than `LARGEST` pixels on a side.
    """
    if size is None and not image_size:
        raise UserError(f"{name} has images of different sizes: set data.image_size, e.g. data.image_size=64")
    mode = "L" if channels == 1 else "RGB"
    pad = size == (28, 28) and image_size != 28
    fill = _background([_converted(raw(i)[0], mode) for i in range(min(count, 100))]) if pad else 0
    if not image_size and size is not None:
        height, width = (32, 32) if pad else size
    else:
        height = width = image_size
    if max(height, width) > LARGEST:
        raise UserError(f"{name} has images of {width} x {height} pixels: set data.image_size, at most {LARGEST}")

    def read(i):
        image, label = raw(i)
        if size not in (None, (image.height, image.width)):
            raise UserError(f"image {i} of {name} has {image.width} x {image.height} pixels, not those of the others")
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


def opened(file: Any, label: Any) -> Image.Image:
    """The image in a file, wholly decoded; UserError with the label (what to call it) where that fails."""
    with decodable(file, label) as image:
        image.load()
    return image


@contextlib.contextmanager
def decodable(file: Any, label: Any) -> Iterator[Image.Image]:
    """The image in a file, of which so far the header was read, and which is one image of a size that is decoded."""
    with named_errors(label), Image.open(file, formats=FORMATS) as image:
        if not image.width * image.height:
            raise ValueError("it has no pixels")
        if getattr(image, "is_animated", False) and image.format != "MPO":  # of a camera, which shows one of its two
            raise ValueError("it is animated")
        yield image


@contextlib.contextmanager
def named_errors(label: Any) -> Iterator[None]:
    """Turns what PIL raises within into a UserError that names the image."""
    try:
        yield
    except Exception as error:  # PIL's decoders raise OSError, SyntaxError, ValueError and errors of their own
        reason = (str(error) or type(error).__name__).splitlines()[0]
        raise UserError(f"{label} is not a readable image ({reason}): replace or remove it") from error
