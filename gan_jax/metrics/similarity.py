"""How alike images are to the eye, and so how diverse a set of them is."""

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.ndimage import correlate1d

from gan_jax.reports import progress

_WEIGHTS = np.array([0.0448, 0.2856, 0.3001, 0.2363, 0.1333])  # of the scales, the finest first
_WINDOW, _SIGMA = 11, 1.5  # pixels
_LUMINANCE, _CONTRAST = (0.01 * 255) ** 2, (0.03 * 255) ** 2  # what keeps the two quotients from 0 / 0
_CHUNK = 2**20  # pixel values that are compared in one go


def ms_ssim(a: ArrayLike, b: ArrayLike) -> NDArray[np.float64]:
    """Multi-scale structural similarity of pairs of images.

    prod_s c_s^(w_s), where c_s is the mean over a scale of contrast times structure,
    (2 cov + C2) / (var_a + var_b + C2), and at the last scale also times luminance,
    (2 mean_a mean_b + C1) / (mean_a^2 + mean_b^2 + C1). Moments are those within a Gaussian window of 11 x 11 pixels,
    sigma 1.5, that lies wholly in the image; C1 = (0.01 * 255)^2, C2 = (0.03 * 255)^2. The next scale has the means of
    2 x 2 pixels (an odd last row or column counts twice). Channels are compared one by one and the products averaged.
    A negative c_s counts as 0, so that such a pair has similarity 0.

    There are five scales, of weights 0.0448, 0.2856, 0.3001, 0.2363 and 0.1333, from 161 x 161 pixels on. Smaller
    images have only the first ones, as many as the window fits into (one from 11 pixels on, two from 21, three from 41,
    four from 81), with weights that are scaled to sum to 1. Numbers of different scales don't compare.

    Args:
      a: uint8 images [n, h, w, c], n >= 1, h and w >= 11.
      b: uint8 images [n, h, w, c].

    Returns:
      A similarity [n] for each pair, in [0, 1]; 1 where they are equal.

    Raises:
      ValueError: not two uint8 arrays of one shape [n, h, w, c], or images smaller than 11 x 11.

    References:
      Wang et al. 2003, "Multiscale structural similarity for image quality assessment".

    """
    a, b = _images(a, "a"), _images(b, "b")
    if a.shape != b.shape:
        raise ValueError(f"a and b must be pairs of images of one size, got shapes {a.shape} and {b.shape}")
    return _of_pairs(a, np.arange(len(a)), b, np.arange(len(b)))


def ms_ssim_diversity(images: ArrayLike, pairs: int = 1000, seed: int = 0) -> dict[str, int | float]:
    """Mean `ms_ssim` of random pairs of different images of a set: the higher, the less diverse; 1 if all are equal.

    It says something beside the same number for real images. Odena et al. compare only images of the same class.

    Args:
      images: uint8 [n, h, w, c], n >= 2, h and w >= 11.
      pairs: how many to draw, >= 1, with replacement.
      seed: of the draw.

    Returns:
      `ms_ssim`: mean similarity, in [0, 1].
      `pairs`: as given.
      `scales`: how many scales the images have, int in [1, 5]; numbers of different scales don't compare.

    Raises:
      ValueError: not uint8 [n, h, w, c] with n >= 2, images smaller than 11 x 11, or pairs < 1.

    References:
      Odena et al. 2017 (AC-GAN), arXiv:1610.09585, section 4.2.

    """
    images = _images(images, "images")
    if len(images) < 2 or pairs < 1:
        raise ValueError(f"pairs of different images need 2 images and pairs >= 1, got {len(images)} and {pairs}")
    rng = np.random.default_rng(seed)
    first = rng.integers(len(images), size=pairs)
    second = (first + rng.integers(1, len(images), size=pairs)) % len(images)
    similarities = _of_pairs(images, first, images, second)
    return {"ms_ssim": float(similarities.mean()), "pairs": pairs, "scales": _scales(images.shape)}


def _images(values: ArrayLike, name: str) -> NDArray[np.uint8]:
    images = np.asarray(values)
    if images.dtype != np.uint8 or images.ndim != 4 or not images.size:
        raise ValueError(f"{name} must be uint8 [n, h, w, c], none of them 0, got {images.dtype} {images.shape}")
    if not _scales(images.shape):
        raise ValueError(f"images must be at least {_WINDOW} x {_WINDOW} pixels, got {images.shape[1:3]}")
    return images


def _scales(shape):
    side, scales = min(shape[1:3]), 0
    while side >= _WINDOW and scales < len(_WEIGHTS):
        side, scales = (side + 1) // 2, scales + 1
    return scales


def _of_pairs(a, of_a, b, of_b):
    """Similarities of the pairs (a[of_a[i]], b[of_b[i]]), a chunk at a time."""
    at_once = max(1, _CHUNK // a[0].size)
    similarities = np.empty(len(of_a))
    with progress.counting("comparing images", len(of_a), "pairs") as add:
        for start in range(0, len(of_a), at_once):
            chunk = slice(start, start + at_once)
            left, right = a[of_a[chunk]].astype(np.float64), b[of_b[chunk]].astype(np.float64)
            similarities[chunk] = _similarities(left, right, _scales(a.shape))
            add(len(similarities[chunk]))
    return similarities


def _similarities(a, b, scales):
    product = np.ones((len(a), a.shape[3]))
    weights = _WEIGHTS[:scales]
    if scales < len(_WEIGHTS):  # all five stay as they were published, with sum 1.0001
        weights = weights / weights.sum()
    for scale, weight in enumerate(weights, start=1):
        luminance, contrast = _terms(a, b)
        term = luminance * contrast if scale == scales else contrast
        product *= term.mean(axis=(1, 2)).clip(min=0) ** weight
        a, b = _halved(a), _halved(b)
    return product.mean(axis=1)


def _terms(a, b):
    """(luminance, contrast times structure) at each place of the window, [n, h - 10, w - 10, c]."""
    mean_a, mean_b = _blurred(a), _blurred(b)
    variance_a, variance_b = _blurred(a * a) - mean_a**2, _blurred(b * b) - mean_b**2
    covariance = _blurred(a * b) - mean_a * mean_b
    luminance = (2 * mean_a * mean_b + _LUMINANCE) / (mean_a**2 + mean_b**2 + _LUMINANCE)
    return luminance, (2 * covariance + _CONTRAST) / (variance_a + variance_b + _CONTRAST)


def _blurred(images):
    half = _WINDOW // 2
    window = np.exp(-(np.arange(-half, half + 1) ** 2) / (2 * _SIGMA**2))
    window /= window.sum()
    rows = correlate1d(images, window, axis=1)[:, half:-half]
    return correlate1d(rows, window, axis=2)[:, :, half:-half]


def _halved(images):
    n, height, width, channels = images.shape
    even = np.pad(images, ((0, 0), (0, height % 2), (0, width % 2), (0, 0)), mode="edge")
    return even.reshape(n, (height + 1) // 2, 2, (width + 1) // 2, 2, channels).mean(axis=(2, 4))
