"""Resizers as matrices, against their definitions and the programs that they stand for."""

import numpy as np
import pytest
from PIL import Image

from gan_jax.features import resize

SIZES = [(32, 299), (8, 299), (299, 299), (300, 299), (1024, 299), (1, 5), (7, 3)]


@pytest.mark.parametrize(("n", "size"), SIZES)
def test_tf1_reads_between_the_pixels_below_and_above_i_n_over_size(n, size):
    line = np.random.default_rng(0).normal(size=n)
    expected = []
    for i in range(size):
        place = i * n / size
        low = int(place)
        expected.append(line[low] + (place - low) * (line[min(low + 1, n - 1)] - line[low]))
    np.testing.assert_allclose(resize.tf1(n, size) @ line, expected, atol=1e-4)


@pytest.mark.parametrize(("n", "size"), SIZES)
def test_clean_is_pils_bicubic_filter_on_floats(n, size):
    image = np.random.default_rng(1).uniform(0, 255, (n, n)).astype(np.float32)
    expected = np.asarray(Image.fromarray(image).resize((size, size), Image.Resampling.BICUBIC))
    matrix = resize.clean(n, size)
    np.testing.assert_allclose(matrix @ image @ matrix.T, expected, atol=2e-3)


@pytest.mark.parametrize("name", resize.NAMES)
@pytest.mark.parametrize(("n", "size"), SIZES)
def test_weights_of_every_pixel_sum_to_1(name, n, size):
    np.testing.assert_allclose(getattr(resize, name)(n, size).sum(axis=1), 1, atol=1e-5)


def test_only_clean_smooths_where_it_shrinks():
    stripes = np.tile([0.0, 255.0], 299)  # one pixel black, one white
    assert np.ptp((resize.clean(598, 299) @ stripes)[3:-3]) < 60
    assert set(resize.tf1(598, 299) @ stripes) == {0.0}  # every other pixel is never read


def test_tf1_against_an_implementation_for_pytorch():
    torch = pytest.importorskip("torch")
    peer = pytest.importorskip("torch_fidelity.interpolate_compat_tensorflow")
    images = np.random.default_rng(2).integers(0, 256, (2, 3, 32, 48)).astype(np.float32)
    expected = peer.interpolate_bilinear_2d_like_tensorflow1x(torch.tensor(images), (299, 299), align_corners=False)
    found = np.einsum("ih,nchw,jw->ncij", resize.tf1(32, 299), images, resize.tf1(48, 299))
    np.testing.assert_allclose(found, expected.numpy(), atol=1e-3)
