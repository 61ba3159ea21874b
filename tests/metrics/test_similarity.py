import warnings

import numpy as np
import pytest

from gan_jax.metrics.similarity import ms_ssim, ms_ssim_diversity


def pairs(size, n=3, channels=3, seed=0):
    """Smooth images with noise, and noisier versions of them: similarities well inside (0, 1)."""
    rng = np.random.default_rng(seed)
    coarse = rng.uniform(0, 255, size=(n, -(-size[0] // 8), -(-size[1] // 8), channels))
    images = np.kron(coarse, np.ones((1, 8, 8, 1)))[:, : size[0], : size[1]]
    noisy = (images + rng.normal(0, 40, images.shape) * (1 + i) for i in range(2))
    return [image.clip(0, 255).astype(np.uint8) for image in noisy]


@pytest.fixture
def msssim():
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return pytest.importorskip("pytorch_msssim")


def by_peer(function, a, b, **options):
    """In float64, for which the peer must be given a window: its own is rounded to float32."""
    import torch

    a, b = (torch.from_numpy(image.astype(np.float64).transpose(0, 3, 1, 2)) for image in (a, b))
    window = np.exp(-(np.arange(-5.0, 6) ** 2) / (2 * 1.5**2))
    window = torch.from_numpy(window / window.sum()).repeat(a.shape[1], 1, 1, 1)
    return function(a, b, data_range=255, size_average=False, win=window, **options).numpy()


WEIGHTS = [0.0448, 0.2856, 0.3001, 0.2363, 0.1333]


@pytest.mark.parametrize(("size", "channels"), [((176, 176), 3), ((192, 224), 1)])
def test_five_scales_agree_with_pytorch_msssim(msssim, size, channels):
    """At sizes that halve without a rest: it pads odd sides with zeros, which darkens the border."""
    a, b = pairs(size, channels=channels)
    expected = by_peer(msssim.ms_ssim, a, b)
    assert 0.1 < expected.min() <= expected.max() < 0.95
    np.testing.assert_allclose(ms_ssim(a, b), expected, rtol=1e-6)


def test_one_scale_agrees_with_pytorch_msssim(msssim):
    a, b = pairs((20, 16), n=8)
    b[:2] = 255 - a[:2]  # negative similarities
    expected = by_peer(msssim.ssim, a, b, nonnegative_ssim=True)
    assert expected.min() == 0
    np.testing.assert_allclose(ms_ssim(a, b), expected, rtol=1e-9, atol=1e-12)


def slowly(a, b, weights):
    """One pair of one channel, window by window, its moments as those of weighted deviations from weighted means."""
    a, b, result = a.astype(float), b.astype(float), 1.0
    ticks = np.arange(11) - 5
    window = np.exp(-(ticks[:, None] ** 2 + ticks[None, :] ** 2) / (2 * 1.5**2))
    window = window / window.sum()
    for scale, weight in enumerate(weights):
        terms = []
        for y in range(a.shape[0] - 10):
            for x in range(a.shape[1] - 10):
                u, v = a[y : y + 11, x : x + 11], b[y : y + 11, x : x + 11]
                mean_u, mean_v = (window * u).sum(), (window * v).sum()
                variances = (window * (u - mean_u) ** 2).sum() + (window * (v - mean_v) ** 2).sum()
                covariance = (window * (u - mean_u) * (v - mean_v)).sum()
                term = (2 * covariance + 58.5225) / (variances + 58.5225)
                if scale == len(weights) - 1:
                    term *= (2 * mean_u * mean_v + 6.5025) / (mean_u**2 + mean_v**2 + 6.5025)
                terms.append(term)
        result *= max(np.mean(terms), 0) ** weight
        a, b = (np.array([[quarter(image, y, x) for x in range(0, image.shape[1], 2)]
                          for y in range(0, image.shape[0], 2)]) for image in (a, b))  # fmt: skip
    return result


def quarter(image, y, x):
    below, beside = min(y + 1, image.shape[0] - 1), min(x + 1, image.shape[1] - 1)
    return (image[y, x] + image[below, x] + image[y, beside] + image[below, beside]) / 4


LOOPS = [((12, 12), 1), ((20, 30), 1), ((21, 24), 2), ((25, 22), 2), ((41, 43), 3)]


@pytest.mark.parametrize(("size", "scales"), LOOPS)
def test_agrees_with_a_loop_over_windows(size, scales):
    a, b = pairs(size, n=2, channels=2)
    weights = np.divide(WEIGHTS[:scales], np.sum(WEIGHTS[:scales]))
    expected = [np.mean([slowly(a[i, :, :, c], b[i, :, :, c], weights) for c in range(2)]) for i in range(2)]
    assert min(expected) > 0.01
    np.testing.assert_allclose(ms_ssim(a, b), expected, rtol=1e-9)


def test_flat_images_differ_by_luminance_alone():
    """(2 x y + C1) / (x^2 + y^2 + C1), to the power of the last of two weights."""
    dark, bright = np.full((1, 32, 32, 1), 50, np.uint8), np.full((1, 32, 32, 1), 150, np.uint8)
    luminance = (2 * 50 * 150 + 6.5025) / (50**2 + 150**2 + 6.5025)
    assert ms_ssim(dark, bright) == pytest.approx(luminance ** (0.2856 / (0.0448 + 0.2856)), rel=1e-9)


@pytest.mark.parametrize("size", [(11, 11), (33, 64)])
def test_equal_images_have_1_and_negatives_0(size):
    images = np.random.default_rng(0).integers(256, size=(3, *size, 3), dtype=np.uint8)
    assert ms_ssim(images, images) == pytest.approx(np.ones(3), abs=1e-12)
    assert ms_ssim(images, 255 - images) == pytest.approx(np.zeros(3), abs=0)


def test_many_pairs_are_those_of_each_chunk():
    a, b = pairs((11, 11), n=9000, channels=1)  # over a million pixels
    np.testing.assert_array_equal(ms_ssim(a, b)[-500:], ms_ssim(a[-500:], b[-500:]))


def test_diversity_is_the_mean_over_pairs_of_different_images():
    """Of two images all pairs are one pair; an image beside itself would have raised the mean."""
    a, b = pairs((24, 24), n=1)
    expected = {"ms_ssim": pytest.approx(ms_ssim(a, b)[0], rel=1e-9), "pairs": 50, "scales": 2}
    assert ms_ssim_diversity(np.concatenate([a, b]), pairs=50) == expected


def test_diversity_draws_all_pairs_alike():
    images = np.concatenate(pairs((16, 16), n=2, channels=1))
    every = [ms_ssim(images[i : i + 1], images[j : j + 1])[0] for i in range(4) for j in range(4) if i != j]
    assert np.std(every) > 0.1
    found = [ms_ssim_diversity(images, 3000, seed)["ms_ssim"] for seed in range(2)]
    assert found == pytest.approx([np.mean(every)] * 2, abs=5 * np.std(every) / np.sqrt(3000))
    assert found[0] != found[1]
    assert found[0] == ms_ssim_diversity(images, 3000, 0)["ms_ssim"]


@pytest.mark.parametrize(("side", "scales"), [(11, 1), (20, 1), (21, 2), (40, 2), (41, 3), (81, 4), (160, 4), (161, 5)])
def test_scales(side, scales):
    images = np.zeros((2, side, 200, 1), np.uint8)
    assert ms_ssim_diversity(images, pairs=1) == {"ms_ssim": pytest.approx(1), "pairs": 1, "scales": scales}


IMAGES = np.zeros((3, 12, 12, 1), np.uint8)


@pytest.mark.parametrize(
    ("a", "b", "message"),
    [
        (IMAGES, IMAGES.astype(float), "b must be uint8"),
        (IMAGES[0], IMAGES[0], "a must be uint8"),
        (IMAGES[:0], IMAGES[:0], "a must be uint8"),
        (IMAGES, IMAGES[:2], "pairs of images of one size"),
        (IMAGES[:, :10], IMAGES[:, :10], "at least 11 x 11"),
    ],
)
def test_refuses(a, b, message):
    with pytest.raises(ValueError, match=message):
        ms_ssim(a, b)


@pytest.mark.parametrize(("images", "pairs"), [(IMAGES[:1], 5), (IMAGES, 0)])
def test_diversity_refuses(images, pairs):
    with pytest.raises(ValueError, match="need 2 images and pairs >= 1"):
        ms_ssim_diversity(images, pairs)
