import numpy as np
import pytest
from PIL import Image

from gan_jax.data.fitting import fitted
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
