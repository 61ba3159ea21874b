"""Whether one thing is better than another, from few repeats, and what a search among many settings gains by chance."""

from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import stats

_LEAST_TAIL = 1e-3  # of the resamples beyond an end of the interval: some 10 of 10,000, that the end be no single one
_CHUNK = 2**20  # differences that are drawn in one go


class Difference(NamedTuple):
    """mean: of a - b over pairs. low, high: the ends of its 95 % interval."""

    mean: float
    low: float
    high: float


def paired_difference(
    a: ArrayLike, b: ArrayLike, seed: int = 0, resamples: int = 10_000, groups: ArrayLike | None = None
) -> Difference:
    """Mean of a - b over pairs, with a 95 % bootstrap interval of the expanded percentile method.

    The ends are quantiles of the means of `resamples` resamples of the pairs, but not those at 2.5 % and 97.5 %: these
    would be too close together for few pairs, by a factor sqrt((n - 1) / n) and for want of Student's t. They are
    those at p and 1 - p, p = Phi(-sqrt(n / (n - 1)) t), where t is the 97.5 % quantile of Student's t with n - 1
    degrees of freedom, and p at least 0.001. BCa corrects for bias and skewness, which need more pairs than seeds are
    mostly given to be seen, and for the mean of few pairs covers no better than the plain percentile method.

    No resampling reaches beyond the pairs that there are: for n <= 4 the ends are the smallest and the largest
    difference. Of Gaussian differences, the interval of 2 pairs holds the true mean in 50 % of cases, that of 3 in
    75 %, 4 in 87 %, 5 in 92 %, 8 in 94 %. Where all differences are equal, the ends are the mean.

    Pairs with something in common, such as the setting of two seeds, are no independent evidence: give `groups`. A
    resample then has as many groups as there are, and of each as many pairs as that has, both with replacement; n is
    the number of groups. This is wider than need be where groups do not differ (it then covers up to 99 %).

    Args:
      a: values [n], n >= 2.
      b: values [n]: those at the same place make a pair.
      seed: of the resamples.
      resamples: >= 1000.
      groups: labels [n]; by default there is one group.

    Returns:
      mean, low and high, low <= mean <= high, in the unit of the values.

    Raises:
      ValueError: not two rows of n >= 2 finite values, groups of another length, or resamples < 1000.

    References:
      Hesterberg 2015, "What teachers should know about the bootstrap", arXiv:1411.5279 (expanded percentile);
      Owen 2025, arXiv:2508.10083 (BCa for the mean of few); Davison & Hinkley 1997, "Bootstrap methods and their
      application", section 3.8 (groups); Agarwal et al. 2021, arXiv:2108.13264 (intervals over few runs).

    """
    differences, members = _checked(a, b, groups)
    if resamples < 1000:
        raise ValueError(f"resamples must be >= 1000, got {resamples}")
    means = _means_of_resamples(members, resamples, np.random.default_rng(seed))
    tail = _tail(len(members) if len(members) > 1 else len(differences))
    low, high = np.quantile(means, [tail, 1 - tail])
    mean = float(differences.mean())
    return Difference(mean, min(float(low), mean), max(float(high), mean))  # equal ones may differ by a rounding


def _checked(a, b, groups) -> tuple[NDArray[np.float64], list[NDArray[np.float64]]]:
    """(a - b, the same by groups)."""
    a, b = np.asarray(a, dtype=np.float64), np.asarray(b, dtype=np.float64)
    if a.ndim != 1 or a.shape != b.shape or len(a) < 2:
        raise ValueError(f"a and b must be [n] with n >= 2, got shapes {a.shape} and {b.shape}")
    if not (np.isfinite(a).all() and np.isfinite(b).all()):
        raise ValueError("a or b holds values that are not finite")
    labels = np.zeros(len(a)) if groups is None else np.asarray(groups)
    if labels.shape != a.shape:
        raise ValueError(f"groups must be [n], a label for each of {len(a)} pairs, got shape {labels.shape}")
    return a - b, [(a - b)[labels == label] for label in np.unique(labels)]


def _tail(n: int) -> float:
    return max(_LEAST_TAIL, float(stats.norm.cdf(np.sqrt(n / (n - 1)) * stats.t.ppf(0.025, n - 1))))


def _means_of_resamples(members, resamples, rng) -> NDArray[np.float64]:
    sizes = np.array([len(group) for group in members])
    table = np.zeros((len(members), sizes.max()))
    for row, group in zip(table, members, strict=True):
        row[: len(group)] = group
    step = max(1, _CHUNK // table.size)
    counts = [min(step, resamples - start) for start in range(0, resamples, step)]
    return np.concatenate([_draw_means(table, sizes, count, rng) for count in counts])


def _draw_means(table, sizes, count, rng) -> NDArray[np.float64]:
    rows = rng.integers(len(sizes), size=(count, len(sizes), 1))
    columns = rng.integers(sizes[rows], size=(count, *table.shape))
    is_drawn = np.arange(table.shape[1]) < sizes[rows]  # of a smaller group, fewer
    return np.where(is_drawn, table[rows, columns], 0).sum(axis=(1, 2)) / is_drawn.sum(axis=(1, 2))


def expected_best(values: ArrayLike, k: int, larger_is_better: bool = False) -> float:
    """Expected best of k of the values, drawn at random without replacement: what a search of k settings finds.

    With the values sorted, the best first, the i-th is the best of C(n - i, k - 1) of the C(n, k) possible draws; so
    the result is exact. A failed value counts as a draw that gives nothing: the best is that of the others among the
    k. Where all k failed there is no best: the expectation is over the draws in which at least one did not.

    Args:
      values: [n], n >= 1; None or NaN for those that failed.
      k: draws, 1 <= k <= n.
      larger_is_better: whether the best is the largest one.

    Returns:
      The expectation: for k = 1 the mean of the values, for k = n the best of them. Over values that are themselves
      drawn at random, it is an unbiased estimate of the best of k fresh ones, where none fail. Of a grid, or of a
      search that learns from its own draws, it says what k of these would have found, not what fresh ones would.

    Raises:
      ValueError: not [n], infinite values, k out of range, or none that did not fail.

    References:
      Lucic et al. 2018, arXiv:1711.10337: the minimal FID by the budget of a search, from random subsets.
      Dodge et al. 2019, arXiv:1909.03004: the same expectation for draws with replacement, which is biased towards
      worse values; Tang et al. 2020, arXiv:2004.13705: this one, without.

    """
    given = np.asarray(values, dtype=np.float64)  # None becomes NaN
    if given.ndim != 1 or np.isinf(given).any() or np.isnan(given).all():
        raise ValueError(f"values must be [n] without infinite ones, one at least not failed, got shape {given.shape}")
    if not 1 <= k <= len(given):
        raise ValueError(f"k must be from 1 to {len(given)}, the number of values, got {k}")
    ranked = np.sort(given[~np.isnan(given)])[:: -1 if larger_is_better else 1]
    shares = _shares_of_best(len(given), k)[: len(ranked)]  # failed ones rank last
    return float(shares @ ranked / shares.sum())


def _shares_of_best(n: int, k: int) -> NDArray[np.float64]:
    """C(n - i, k - 1) / C(n, k) for i = 1 ... n, each from the one before: the numbers themselves overflow."""
    i = np.arange(1, n)
    return k / n * np.cumprod(np.concatenate([[1.0], np.maximum(n - i - k + 1, 0) / (n - i)]))
