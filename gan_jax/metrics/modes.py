"""How well a sample covers the modes of a mixture whose modes are known."""

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.spatial.distance import cdist


def mode_statistics(points: ArrayLike, means: ArrayLike, sigma: float) -> dict[str, int | float]:
    """Mode coverage of a mixture of k equally likely Gaussians, after PacGAN's protocol.

    Args:
      points: generated points [n, d], n >= 1; PacGAN draws 2,500 (more points cover more modes).
      means: centres of the modes [k, d], k >= 1.
      sigma: standard deviation of every mode, > 0, in units of the points.

    Returns:
      `modes_covered`: int in [0, k], modes with at least one point within 3 sigma of their mean.
      `modes_total`: k.
      `share_within_3_sigma`: in [0, 1], share of the points within 3 sigma of their nearest mean ("high quality").
        Real samples of a 2-D Gaussian reach 1 - exp(-9/2) = 0.989, not 1.
      `reverse_kl`: KL(q || uniform) = sum_i q_i ln(k q_i) in nats, in [0, ln k], where q_i is the share of ALL
        points, high quality or not, whose nearest mean is i.

    Raises:
      ValueError: shapes other than [n, d] and [k, d], points that are not finite, or sigma <= 0.

    References:
      Lin et al. 2018 (PacGAN), arXiv:1712.04086, section 4.1; Srivastava et al. 2017 (VEEGAN), arXiv:1705.07761.

    """
    points, means = np.asarray(points, dtype=np.float64), np.asarray(means, dtype=np.float64)
    _check(points, means, sigma)
    distances = cdist(points, means)
    nearest, is_near = distances.argmin(axis=1), distances.min(axis=1) <= 3 * sigma
    # A point can lie within 3 sigma of two overlapping modes, and then covers both.
    covered = (distances <= 3 * sigma).any(axis=0)
    shares = np.bincount(nearest, minlength=len(means)) / len(points)
    return {
        "modes_covered": int(covered.sum()),
        "modes_total": len(means),
        "share_within_3_sigma": float(is_near.mean()),
        "reverse_kl": _kl_to_uniform(shares),
    }


def stacked_mode_statistics(digits: ArrayLike, classes: int = 10) -> dict[str, int | float]:
    """Mode coverage of stacked MNIST: each of three channels is a digit, and the mode is the number that they make.

    Published numbers are of about 26,000 samples. The statistics are no better than the classifier that reads the
    digits: print its accuracy beside them. n samples of a generator that makes each of k modes equally often have a
    reverse KL of about (k - 1) / (2 n), not 0.

    Args:
      digits: what a classifier reads off the channels of each image, integers [n, 3] in [0, classes), n >= 1.
      classes: digits that there are, >= 1.

    Returns:
      `modes_covered`: int in [1, k], modes with at least one sample.
      `modes_total`: k = classes^3.
      `reverse_kl`: KL(q || uniform) = sum_i q_i ln(k q_i) in nats, in [0, ln k], where q_i is the share of mode i.

    Raises:
      ValueError: digits that are not integers [n, 3] in [0, classes), or none.

    References:
      Metz et al. 2017 (unrolled GAN), arXiv:1611.02163; Srivastava et al. 2017 (VEEGAN), arXiv:1705.07761;
      Lin et al. 2018 (PacGAN), arXiv:1712.04086, section 4.2.

    """
    digits = np.asarray(digits)
    if digits.ndim != 2 or digits.shape[1] != 3 or not len(digits) or not np.issubdtype(digits.dtype, np.integer):
        raise ValueError(f"digits must be integers [n, 3] with n >= 1, got {digits.dtype} {digits.shape}")
    if digits.min() < 0 or digits.max() >= classes:
        raise ValueError(f"digits must be in [0, {classes}), got {digits.min()} to {digits.max()}")
    numbers = np.ravel_multi_index(tuple(digits.T), (classes,) * 3)
    counts = np.bincount(numbers, minlength=classes**3)
    return {
        "modes_covered": int(np.count_nonzero(counts)),
        "modes_total": classes**3,
        "reverse_kl": _kl_to_uniform(counts / len(digits)),
    }


def _check(points: NDArray[np.float64], means: NDArray[np.float64], sigma: float) -> None:
    shapes = f"got shapes {points.shape} and {means.shape}"
    if points.ndim != 2 or means.ndim != 2 or points.shape[1] != means.shape[1] or not len(points) or not len(means):
        raise ValueError(f"points must be [n, d] and means [k, d], neither empty, {shapes}")
    if not np.isfinite(points).all():
        raise ValueError("points holds values that are not finite")
    if not sigma > 0:
        raise ValueError(f"sigma must be > 0, got {sigma}")


def _kl_to_uniform(shares: NDArray[np.float64]) -> float:
    seen = shares[shares > 0]  # 0 ln 0 = 0
    return float(np.sum(seen * np.log(seen * len(shares))))
