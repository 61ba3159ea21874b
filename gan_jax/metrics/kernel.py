"""The kernel distance between two samples of features (KID, where the features are Inception's)."""

from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from gan_jax.metrics import checked
from gan_jax.reports import progress

_PART = 2**23  # values of the kernel that are computed in one go, 64 MB


class KernelDistance(NamedTuple):
    """mean and sd of the estimates of disjoint subsets, sd over subsets - 1 (None of one).

    a_sizes, b_sizes: how many samples each subset has of either. part: in parts of about how many those of the larger
    sample are compared with each other, 0 where each is with all others of its subset.
    """

    mean: float
    sd: float | None
    a_sizes: tuple[int, ...]
    b_sizes: tuple[int, ...]
    part: int = 0


def kernel_distance(a: ArrayLike, b: ArrayLike, subset_size: int = 1000, seed: int = 0) -> KernelDistance:
    """Squared maximum mean discrepancy of two samples under the kernel k(x, y) = (x.y / d + 1)^3, without bias.

    mean_{i != j} k(a_i, a_j) + mean_{i != j} k(b_i, b_j) - 2 mean_{i, j} k(a_i, b_j), in float64, of each pair of
    subsets of the samples. The subsets are disjoint, after a random permutation, and hold all samples: their estimates
    are independent, and sd / sqrt(subsets) is the standard error of the mean. There are as many as the smaller sample
    has of `subset_size`, and two at least, so that there is a deviation; in either sample, their sizes differ by at
    most one. Where a sample is smaller than `subset_size`, all is one subset, for the mean of two would vary more.

    Where the other sample is larger, and a subset has 2 `subset_size` of it or more, i and j are of one part of these
    alone, of about `subset_size`: a mean over disjoint parts, without bias too. So the cost grows with the larger one
    as with the smaller: at most about 4 subset_size (n + m) values of the kernel, of 500 samples against 10,000 some 15
    million, where all pairs are 105 million.

    Args:
      a: features [n, d], n >= 2.
      b: features [m, d], m >= 2.
      subset_size: features in a subset of the smaller sample, or a few more, >= 2.
      seed: of the permutations.

    Returns:
      The mean, whose expectation does not depend on n, m or `subset_size`, is >= 0, and is 0 for one distribution: the
      mean itself can then be below 0. Its unit is that of the kernel, which has none of its own.

    Raises:
      ValueError: fewer than 2 samples, values that are not finite, different d, or subset_size < 2.

    References:
      Binkowski et al. 2018 (KID), arXiv:1801.01401; Gretton et al. 2012, "A kernel two-sample test".

    """
    a, b = checked.features(a, "a"), checked.features(b, "b")
    checked.same_network(a, b)
    if subset_size < 2:
        raise ValueError(f"subset_size must be >= 2, got {subset_size}")
    least, rng = min(len(a), len(b)), np.random.default_rng(seed)
    subsets = max(least // subset_size, 2) if least >= max(subset_size, 4) else 1
    rows_a, rows_b = (np.array_split(rng.permutation(len(x)), subsets) for x in (a, b))
    pairs = progress.each(zip(rows_a, rows_b, strict=True), "kernels", subsets, "subsets")
    estimates = [_discrepancy(a[i], b[j], subset_size) for i, j in pairs]
    part = subset_size if _parts(max(len(rows_a[0]), len(rows_b[0])), subset_size) > 1 else 0
    sd = float(np.std(estimates, ddof=1)) if subsets > 1 else None
    return KernelDistance(float(np.mean(estimates)), sd, tuple(map(len, rows_a)), tuple(map(len, rows_b)), part)


def _discrepancy(a: NDArray[np.float64], b: NDArray[np.float64], size: int) -> float:
    of_a, of_b = (np.mean([_mean_of_others(part) for part in np.array_split(x, _parts(len(x), size))]) for x in (a, b))
    return float(of_a + of_b - 2 * _total(a, b) / (len(a) * len(b)))


def _parts(count: int, size: int) -> int:
    return max(count // size, 1)


def _mean_of_others(x: NDArray[np.float64]) -> float:
    """Without the diagonal: what a sample has with itself would bias the estimate."""
    diagonal = ((x * x).sum(axis=1) / x.shape[1] + 1) ** 3
    return (_total(x, x) - float(diagonal.sum())) / (len(x) * (len(x) - 1))


def _total(x: NDArray[np.float64], y: NDArray[np.float64]) -> float:
    """sum_ij k(x_i, y_j), so many rows at a time that the memory does not depend on how many there are."""
    rows = max(1, _PART // len(y))
    parts = (x[start : start + rows] for start in range(0, len(x), rows))
    return sum(float(((part @ y.T / x.shape[1] + 1) ** 3).sum()) for part in parts)
