"""Images of any kind and size brought to one shape of uint8 arrays, one at a time."""

import contextlib
import os
import warnings
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any, TypeVar

import numpy as np
from PIL import Image, ImageOps, UnidentifiedImageError

from gan_jax.errors import UserError
from gan_jax.reports import progress

# What is decoded, whatever a file is called: of Pillow's other formats, one has another program run it (EPS).
FORMATS = ("PNG", "JPEG", "WEBP", "BMP", "GIF", "TIFF", "PPM")
# Pillow only warns of an image of more than Image.MAX_IMAGE_PIXELS = 89,478,485 pixels, up to twice as many.
warnings.simplefilter("error", Image.DecompressionBombWarning)
LARGEST = 4096  # pixels of a side of what is trained on
AS_THEY_ARE = "as they are"  # what is done to images where nothing is
_CHUNK = 256  # images that a thread reads in one go
_NAMED = 10  # broken images that a message names
T = TypeVar("T")


class BrokenImageError(UserError):
    """An image can't be used. label: what to call it. reason: why, in a few words."""

    label: Any = ""
    reason: str = ""


def broken(label: Any, reason: str) -> BrokenImageError:
    """The error that says so."""
    error = BrokenImageError(f"{label} is not a readable image ({reason}): replace or remove it")
    error.label, error.reason = label, reason
    return error


def all_broken(errors: Sequence[BrokenImageError]) -> UserError:
    """One error that names all of these."""
    if len(errors) == 1:
        return errors[0]
    named = "; ".join(f"{error.label} ({error.reason})" for error in errors[:_NAMED])
    more = f"; and {len(errors) - _NAMED:,} more" if len(errors) > _NAMED else ""
    return UserError(f"{len(errors):,} images are not readable: {named}{more}: replace or remove them")


@dataclass(frozen=True)
class ImageSet:
    """A stored image set with random access (what grain calls a source).

    shape: (h, w, c). classes: their names, in the order of the labels; none where there are none. read: index ->
    (uint8 [h, w, c], label). label: index -> label, without the image. digest: of all that the set holds, in hex.
    left_out: what lies beside its images and why that is none of them, in words. background: the colour that
    transparent pixels are shown on, "" where none are. fitting: what is done to the images as they are read, in words.
    """

    name: str
    shape: tuple[int, int, int]
    classes: tuple[str, ...]
    count: int
    read: Callable[[int], tuple[np.ndarray, int]]
    label: Callable[[int], int]
    digest: str = ""
    left_out: tuple[str, ...] = ()
    background: str = ""
    fitting: str = AS_THEY_ARE

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
    image_size: int,
    background: str = "",
    is_upright: bool = True,
    done: Sequence[str] = (),
    any_size: bool = False,
    **others: Any,
) -> ImageSet:
    """The set of the images raw(i) brought to one shape. size: their (h, w), None where it differs among them.

    background: what transparent pixels are shown on; "" shows the colours that they hide. is_upright: whether a
    camera's note of how it was held is followed. done: what else is done to them, in words. any_size: where they have
    no one shape, and image_size is 0, leave them so: the shape is (0, 0, c). others: classes, label and so on of
    `ImageSet`.

    Raises UserError where they have no one shape, or one of more than `LARGEST` pixels on a side.
    """
    is_any = any_size and size is None and not image_size
    if size is None and not image_size and not is_any:
        raise UserError(f"{name} has images of different sizes: set data.image_size, e.g. data.image_size=64")
    mode = "L" if channels == 1 else "RGB"
    pad = size == (28, 28) and image_size != 28
    borders = [_converted(raw(i)[0], mode, background) for i in range(min(count, 100))] if pad else []
    fill = _commonest_border(borders) if pad else 0
    if is_any:
        height = width = 0
    elif not image_size and size is not None:
        height, width = (32, 32) if pad else size
    else:
        height = width = image_size
    if max(height, width) > LARGEST:
        raise UserError(f"{name} has images of {width} x {height} pixels: set data.image_size, at most {LARGEST}")

    def read(i):
        image, label = raw(i)
        image = ImageOps.exif_transpose(image) if is_upright else image
        if size not in (None, (image.height, image.width)):
            raise UserError(f"image {i} of {name} has {image.width} x {image.height} pixels, not those of the others")
        image = _converted(image, mode, background)
        image = ImageOps.expand(image, 2, fill) if pad else image
        image = _centre_square(image, image_size) if image_size else image
        return np.asarray(image).reshape(image.height, image.width, channels), int(label)

    words = [*done, *_resizing(size, image_size, pad)]
    fitting = "; ".join(["each of its own size"] * is_any + words) or AS_THEY_ARE
    shape = (height, width, channels)
    return ImageSet(name=name, shape=shape, count=count, read=read, background=background, fitting=fitting, **others)


def _resizing(size, image_size, pad):
    """What is done to their sizes, in words."""
    if pad:
        yield "padded from 28 x 28 to 32 x 32"
        size = (32, 32)
    if image_size and (size is None or size[0] != size[1]):
        yield "centre square"
    if image_size and (size is None or min(size) != image_size):
        yield f"Lanczos to {image_size} x {image_size}"


def _converted(image: Image.Image, mode: str, background: str) -> Image.Image:
    if background and image.has_transparency_data:
        below = Image.new("RGBA", image.size, background)
        image = Image.alpha_composite(below, image.convert("RGBA"))
    if image.mode == "P":  # by way of RGBA: a palette may hold transparency
        image = image.convert("RGBA")
    return image if image.mode == mode else image.convert(mode)


def _commonest_border(images: list[Image.Image]) -> Any:
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
    """The image in a file, wholly decoded; BrokenImageError with the label (what to call it) where that fails."""
    with decodable(file, label) as image:
        deep = is_deep(image)
        image.load()
    return _in_8_bits(image) if deep else image


def _in_8_bits(image: Image.Image) -> Image.Image:
    """The high byte of 16 bits, which is all that PIL has read of colours, and so the rule for grey too."""
    info = dict(image.info)  # how it is to be turned, and which colour is transparent
    if image.mode.startswith("I"):
        image = Image.fromarray((np.asarray(image) >> 8).astype(np.uint8))
    if isinstance(colour := info.get("transparency"), int | tuple):
        info["transparency"] = colour >> 8 if isinstance(colour, int) else tuple(part >> 8 for part in colour)
    image.info = info
    return image


def is_deep(image: Any) -> bool:
    """Whether the file of an image, of which so far the header was read, has 16 bits a channel.

    A BMP of 16 bits has them for all three.
    """
    return (image.format != "BMP" and any(";16" in str(tile[3]) for tile in image.tile)) or image.mode.startswith("I")


@contextlib.contextmanager
def decodable(file: Any, label: Any) -> Iterator[Image.Image]:
    """The image in a file, of which so far the header was read, and which is one image of a size that is decoded."""
    with named_errors(label), Image.open(file, formats=FORMATS) as image:
        if not image.width * image.height:
            raise ValueError("it has no pixels")
        is_netpbm = image.format == "PPM"
        if image.mode.startswith(("I", "F")) and not (
            image.mode.startswith("I;16") or (is_netpbm and image.mode == "I")
        ):
            raise ValueError(f"it has {image.mode!r} pixels; only those of 8 or 16 bits are read")
        if is_netpbm and image.mode == "RGB" and isinstance(args := image.tile[0][3], tuple) and args[1] > 255:
            raise ValueError("netpbm's colours of 16 bits a channel, which PIL rounds to 8; convert it to PNG")
        if getattr(image, "is_animated", False) and image.format != "MPO":  # of a camera, which shows one of its two
            raise ValueError("it has more than one frame")
        yield image


@contextlib.contextmanager
def named_errors(label: Any) -> Iterator[None]:
    """Turns what PIL raises within into a BrokenImageError that names the image."""
    try:
        yield
    except UnidentifiedImageError as error:
        raise broken(label, f"its content is none of {', '.join(FORMATS)}") from error
    except Exception as error:  # PIL's decoders raise OSError, SyntaxError, ValueError and errors of their own
        reason = (str(error) or type(error).__name__).splitlines()[0]
        raise broken(label, reason) from error


def on_all_cores(function: Callable[[int], T], count: int, words: str) -> list[T]:
    """[function(0), ..., function(count - 1)], with a bar if it takes long.

    All images that can't be used are named in one error.
    """
    errors: list[BrokenImageError] = []

    def chunk(start):
        found = []
        for index in range(start, min(start + _CHUNK, count)):
            try:
                found.append(function(index))
            except BrokenImageError as error:
                errors.append(error)
        return found

    found: list[T] = []
    starts = range(0, count, _CHUNK)
    with progress.counting(words, count, "images") as add, ThreadPoolExecutor(os.cpu_count()) as pool:
        for start, values in zip(starts, pool.map(chunk, starts), strict=True):
            found += values
            add(min(_CHUNK, count - start))
    if errors:
        raise all_broken(sorted(errors, key=lambda error: str(error.label)))
    return found
