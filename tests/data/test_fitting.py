import io
import struct
import zlib

import numpy as np
import pytest
from PIL import Image

from gan_jax.data.fitting import BrokenImageError, fitted, is_deep, opened
from gan_jax.errors import UserError


def one(image, channels, image_size, size="own"):
    """The only image of a set of one, fitted."""
    size = (image.height, image.width) if size == "own" else size
    images = fitted(
        "test", lambda i: (image, 5), 1, size, channels, image_size, classes=tuple("0123456789"), label=lambda i: 5
    )
    pixels, label = images.read(0)
    assert (pixels.shape, pixels.dtype, label) == (images.shape, np.uint8, 5)
    return pixels


def noise(*shape):
    return np.random.default_rng(0).integers(0, 256, shape, dtype=np.uint8)


@pytest.mark.parametrize(("shape", "image_size", "fitted_shape"), [
    ((8, 8), 0, (8, 8, 1)),
    ((20, 30, 3), 0, (20, 30, 3)),
    ((20, 30, 3), 16, (16, 16, 3)),
    ((8, 8), 32, (32, 32, 1)),
    ((28, 28), 0, (32, 32, 1)),
    ((28, 28), 28, (28, 28, 1)),
    ((28, 28), 64, (64, 64, 1)),
])  # fmt: skip
def test_shapes(shape, image_size, fitted_shape):
    assert one(Image.fromarray(noise(*shape)), fitted_shape[-1], image_size).shape == fitted_shape


def test_28_is_padded_with_the_colour_of_its_border():
    pixels = noise(28, 28, 3)
    pixels[0] = pixels[:, 0] = (10, 20, 30)
    image = one(Image.fromarray(pixels), 3, 0).copy()
    np.testing.assert_array_equal(image[2:-2, 2:-2], pixels)
    image[2:-2, 2:-2] = (10, 20, 30)
    np.testing.assert_array_equal(image, np.full((32, 32, 3), (10, 20, 30)))


def test_the_centre_square_is_kept_untouched_where_nothing_is_resized():
    pixels = noise(20, 31, 3)
    np.testing.assert_array_equal(one(Image.fromarray(pixels), 3, 20), pixels[:, 5:25])


def test_shrinking_smooths():
    stripes = np.tile(np.array([0, 255], np.uint8), (64, 32))  # without smoothing: all 0 or all 255
    assert np.abs(one(Image.fromarray(stripes), 1, 16)[2:-2, 2:-2] - 127.5).max() < 4


@pytest.mark.parametrize("mode", ["L", "LA", "1", "P", "RGBA", "CMYK"])
def test_every_8_bit_mode_becomes_rgb(mode):
    colour = Image.new("RGB", (8, 8), (255, 0, 0) if mode in ("P", "RGBA", "CMYK") else (255, 255, 255))
    expected = np.asarray(colour)
    np.testing.assert_array_equal(one(colour.convert(mode), 3, 0), expected)


def test_different_sizes_need_an_image_size():
    with pytest.raises(UserError, match=r"data\.image_size"):
        one(Image.new("L", (8, 8)), 1, 0, size=None)
    assert one(Image.new("L", (9, 8)), 1, 4, size=None).shape == (4, 4, 1)


@pytest.mark.parametrize(("size", "image_size", "words"), [
    ((8, 8), 0, "as they are"),
    ((20, 30), 0, "as they are"),
    ((8, 8), 8, "as they are"),
    ((20, 30), 20, "centre square"),
    ((8, 8), 32, "Lanczos to 32 x 32"),
    ((20, 30), 16, "centre square; Lanczos to 16 x 16"),
    (None, 16, "centre square; Lanczos to 16 x 16"),
    ((28, 28), 0, "padded from 28 x 28 to 32 x 32"),
    ((28, 28), 32, "padded from 28 x 28 to 32 x 32"),
    ((28, 28), 28, "as they are"),
    ((28, 28), 64, "padded from 28 x 28 to 32 x 32; Lanczos to 64 x 64"),
])  # fmt: skip
def test_what_is_done_to_sizes_is_said_in_words(size, image_size, words):
    image = Image.new("L", (size or (9, 8))[::-1])
    found = fitted("test", lambda i: (image, 0), 1, size, 1, image_size, classes=(), label=lambda i: 0)
    assert found.fitting == words
    pixels = found.read(0)[0]  # and nothing else is done
    assert (pixels.shape == (image.height, image.width, 1)) == (words in ("as they are",))


# ------------------------------------------------------------------------------------------------ 16 bits a channel

LEVELS = np.array([[0, 1, 255, 256], [511, 32767, 32768, 65535]], np.uint16)
HIGH = [[0, 0, 0, 1], [1, 127, 128, 255]]  # v // 256


def png(pixels, transparent=b""):
    """A PNG file of 16 bits a channel, which Pillow writes of grey alone: after the standard, big-endian."""
    height, width, channels = pixels.shape
    kind = {1: 0, 2: 4, 3: 2, 4: 6}[channels]
    rows = b"".join(b"\0" + row.astype(">u2").tobytes() for row in pixels)
    chunks = [(b"IHDR", struct.pack(">IIBBBBB", width, height, 16, kind, 0, 0, 0)), (b"tRNS", transparent),
              (b"IDAT", zlib.compress(rows)), (b"IEND", b"")]  # fmt: skip
    chunks = [(name, content) for name, content in chunks if content or name != b"tRNS"]
    packed = (struct.pack(">I", len(c)) + name + c + struct.pack(">I", zlib.crc32(name + c)) for name, c in chunks)
    return b"\x89PNG\r\n\x1a\n" + b"".join(packed)


def tiff(pixels, order="<"):
    """An uncompressed TIFF file of 16 bits a channel, grey or RGB, of either byte order."""
    height, width, channels = pixels.shape
    data = pixels.astype(f"{order}u2").tobytes()
    bits = 8 + len(data)
    tags = [(256, 3, 1, width), (257, 3, 1, height), (258, 3, channels, bits if channels > 2 else 16), (259, 3, 1, 1),
            (262, 3, 1, 2 if channels == 3 else 1), (273, 4, 1, 8), (277, 3, 1, channels), (278, 3, 1, height),
            (279, 4, 1, len(data))]  # fmt: skip
    header = (b"II*\0" if order == "<" else b"MM\0*") + struct.pack(f"{order}I", bits + 2 * channels)
    entries = b""
    for tag, kind, count, value in tags:
        is_short = kind == 3 and count == 1
        entries += struct.pack(f"{order}HHI", tag, kind, count)
        entries += struct.pack(f"{order}HH", value, 0) if is_short else struct.pack(f"{order}I", value)
    lengths = struct.pack(f"{order}{channels}H", *[16] * channels)
    return header + data + lengths + struct.pack(f"{order}H", len(tags)) + entries + bytes(4)


def netpbm(pixels):
    height, width, channels = pixels.shape
    return f"P{5 if channels == 1 else 6} {width} {height} 65535\n".encode() + pixels.astype(">u2").tobytes()


DEEP = {
    "png": (png, 1), "png in colour": (png, 3), "png with alpha": (png, 4), "tiff": (tiff, 1),
    "tiff in colour": (tiff, 3), "big-endian tiff": (lambda a: tiff(a, ">"), 1),
    "big-endian tiff in colour": (lambda a: tiff(a, ">"), 3), "pgm": (netpbm, 1),
}  # fmt: skip


@pytest.mark.parametrize("kind", DEEP)
def test_16_bits_are_read_by_their_high_byte_in_grey_and_in_colour(kind):
    write, channels = DEEP[kind]
    pixels = np.repeat(LEVELS[..., None], channels, axis=2)
    if channels == 4:
        pixels[..., 3] = 65535
    image = opened(io.BytesIO(write(pixels)), "a")
    found = one(image, min(channels, 3), 0)
    np.testing.assert_array_equal(found, np.repeat(np.array(HIGH)[..., None], min(channels, 3), axis=2))


def test_16_bits_written_by_pillow_too():
    for options in ({"format": "PNG"}, {"format": "TIFF"}, {"format": "TIFF", "compression": "tiff_lzw"}):
        file = io.BytesIO()
        Image.fromarray(LEVELS).save(file, **options)
        np.testing.assert_array_equal(one(opened(file, "a"), 1, 0)[..., 0], HIGH)


@pytest.mark.parametrize("channels", [1, 3])
def test_a_transparent_level_of_16_bits(channels):
    pixels = np.full((2, 4, channels), 0x4000, np.uint16)
    pixels[0] = 0x8000
    image = opened(io.BytesIO(png(pixels, struct.pack(">H", 0x8000) * channels)), "a")
    shown = fitted("test", lambda i: (image, 0), 1, (2, 4), channels, 0, "white", classes=(), label=lambda i: 0)
    np.testing.assert_array_equal(shown.read(0)[0][..., 0], [[255] * 4, [0x40] * 4])


def test_colours_of_16_bits_that_pillow_rounds_are_refused_and_read_as_png():
    pixels = np.repeat(LEVELS[..., None], 3, axis=2)
    with pytest.raises(BrokenImageError, match=r"netpbm's colours of 16 bits a channel.*; convert it to PNG"):
        opened(io.BytesIO(netpbm(pixels)), "a")
    np.testing.assert_array_equal(one(opened(io.BytesIO(png(pixels)), "a"), 3, 0)[..., 1], HIGH)
    for most in (255, 100):
        content = f"P6 1 1 {most}\n".encode() + bytes([0, most, most // 5])
        np.testing.assert_array_equal(one(opened(io.BytesIO(content), "a"), 3, 0), [[[0, 255, 51]]])


def test_16_bits_a_pixel_are_no_16_bits_a_channel():
    masks = struct.pack("<III", 0xF800, 0x7E0, 0x1F)
    header = struct.pack("<IiiHHIIiiII", 40, 2, 1, 1, 16, 3, 4, 0, 0, 0, 0)
    file = b"BM" + struct.pack("<IHHI", 70, 0, 0, 66) + header + masks + struct.pack("<HH", 0xF800, 0x1F)
    image = Image.open(io.BytesIO(file))
    assert not is_deep(image)
    np.testing.assert_array_equal(one(opened(io.BytesIO(file), "a"), 3, 0), [[[255, 0, 0], [0, 0, 255]]])


@pytest.mark.parametrize(("mode", "format"), [("I", "TIFF"), ("F", "TIFF"), ("F", "PFM")])
def test_32_bits_are_refused(mode, format):
    file = io.BytesIO()
    if format == "PFM":
        file.write(b"Pf\n4 4\n-1.0\n" + np.full(16, 0.5, "<f4").tobytes())
    else:
        Image.new(mode, (4, 4)).save(file, format)
    with pytest.raises(BrokenImageError, match=f"it has '{mode}' pixels; only those of 8 or 16 bits are read"):
        opened(file, "a")
