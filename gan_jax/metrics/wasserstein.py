"""The exact 1-Wasserstein (earth mover's) distance between two samples."""

import numpy as np
from numpy.typing import ArrayLike
from scipy.optimize import linear_sum_assignment
from scipy.spatial.distance import cdist


def wasserstein_1(a: ArrayLike, b: ArrayLike) -> float:
    """Exact W1 between two equally large samples, with the Euclidean distance as cost.

    min over permutations p of (1/n) sum_i |a_i - b_p(i)|, solved as an assignment problem in float64.
    Memory is O(n^2) and time up to O(n^3): a second or so at n = 2,000. Two samples of one
    distribution are not at 0: compare with the distance between two independent real samples.

    Args:
      a: points [n, d], n >= 1.
      b: points [n, d].

    Returns:
      The distance, in units of the points, in [0, inf).

    Raises:
      ValueError: not two arrays of one shape [n, d], or values that are not finite.

    References:
      Arjovsky et al. 2017 (WGAN), arXiv:1701.07875, equation 1.

    """
    a, b = np.asarray(a, dtype=np.float64), np.asarray(b, dtype=np.float64)
    if a.ndim != 2 or len(a) < 1 or a.shape != b.shape:
        raise ValueError(f"a and b must both be [n, d] with n >= 1, got shapes {a.shape} and {b.shape}")
    if not (np.isfinite(a).all() and np.isfinite(b).all()):
        raise ValueError("a or b holds values that are not finite")
    cost = cdist(a, b)
    return float(cost[linear_sum_assignment(cost)].mean())
