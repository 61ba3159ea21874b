"""The kernel distance between two samples of features (KID, where the features are Inception's)."""

from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from gan_jax.metrics import checked
from gan_jax.reports import progress


class KernelDistance(NamedTuple):
    """mean and sd of the estimates of disjoint subsets, sd over subsets - 1 (None of one); how many, and their size."""

    mean: float
    sd: float | None
    subsets: int
    subset_size: int


def kernel_distance(a: ArrayLike, b: ArrayLike, subset_size: int = 1000, seed: int = 0) -> KernelDistance:
    """Squared maximum mean discrepancy of two samples under the kernel k(x, y) = (x.y / d + 1)^3, without bias.

    mean_{i != j} k(a_i, a_j) + mean_{i != j} k(b_i, b_j) - 2 mean_{i, j} k(a_i, b_j), in float64, of each pair of
    subsets of the samples. The subsets are disjoint, as many as both samples have after a random permutation, so that
    their estimates are independent and sd / sqrt(subsets) is the standard error of the mean. Where a sample has fewer
    than `subset_size`, there is one subset, as large as the smaller sample.

    Args:
      a: features [n, d], n >= 2.
      b: features [m, d], m >= 2.
      subset_size: features in a subset, >= 2.
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
    size = min(subset_size, len(a), len(b))
    subsets, rng = min(len(a), len(b)) // size, np.random.default_rng(seed)
    rows_a, rows_b = (rng.permutation(len(x))[: subsets * size].reshape(subsets, size) for x in (a, b))
    pairs = progress.each(zip(rows_a, rows_b, strict=True), "kernels", subsets, "subsets")
    estimates = [_discrepancy(a[i], b[j]) for i, j in pairs]
    sd = float(np.std(estimates, ddof=1)) if subsets > 1 else None
    return KernelDistance(float(np.mean(estimates)), sd, subsets, size)


def _discrepancy(a: NDArray[np.float64], b: NDArray[np.float64]) -> float:
    return _mean_of_others(_kernel(a, a)) + _mean_of_others(_kernel(b, b)) - 2 * float(_kernel(a, b).mean())


def _kernel(x: NDArray[np.float64], y: NDArray[np.float64]) -> NDArray[np.float64]:
    return (x @ y.T / x.shape[1] + 1) ** 3


def _mean_of_others(kernel: NDArray[np.float64]) -> float:
    """Mean without the diagonal: what a sample has with itself would bias the estimate."""
    return float((kernel.sum() - kernel.trace()) / (kernel.size - len(kernel)))
