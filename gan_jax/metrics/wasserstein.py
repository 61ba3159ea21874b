"""The exact 1-Wasserstein (earth mover's) distance between two samples, and the plan that attains it."""

from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import sparse
from scipy.optimize import linear_sum_assignment, linprog
from scipy.spatial.distance import cdist


class Plan(NamedTuple):
    """An optimal plan between two weighted samples of n and m points, and the proof that none is better.

    distance: sum_ij mass_ij |a_i - b_j|, in units of the points.
    mass: what goes from a_i to b_j, float64 [n, m] >= 0; its rows sum to a's weights, its columns to b's.
    a_potential, b_potential: u [n] and v [m] with u_i + v_j <= |a_i - b_j| and sum u a_weights + sum v b_weights =
      distance. Neither is unique: a constant may go from one to the other.
    """

    distance: float
    mass: NDArray[np.float64]
    a_potential: NDArray[np.float64]
    b_potential: NDArray[np.float64]


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


def exact_plan(
    a: ArrayLike, b: ArrayLike, a_weights: ArrayLike | None = None, b_weights: ArrayLike | None = None
) -> Plan:
    """Exact W1 between two weighted samples of any sizes, with the Euclidean distance as cost.

    min over P >= 0 of sum_ij P_ij |a_i - b_j| with P 1 = a_weights and P^T 1 = b_weights, solved as a linear programme
    of n m unknowns (HiGHS, float64). Far slower than `wasserstein_1`, which it equals for equal weights and sizes: a
    few seconds at n = m = 256.

    Args:
      a: points [n, d], n >= 1.
      b: points [m, d], m >= 1.
      a_weights: of the points of a, [n], none negative, with sum 1; by default 1/n each.
      b_weights: likewise of b, [m].

    Returns:
      The distance, the plan and its dual potentials.

    Raises:
      ValueError: points of two dimensions or not finite, weights of another length, sign or sum.
      RuntimeError: the solver gave up.

    References:
      Arjovsky et al. 2017 (WGAN), arXiv:1701.07875, equations 1 (the plan) and 2 (its dual).

    """
    a, b = np.asarray(a, dtype=np.float64), np.asarray(b, dtype=np.float64)
    if a.ndim != 2 or b.ndim != 2 or not len(a) or not len(b) or a.shape[1] != b.shape[1]:
        raise ValueError(f"a and b must be [n, d] and [m, d] with n, m >= 1, got shapes {a.shape} and {b.shape}")
    if not (np.isfinite(a).all() and np.isfinite(b).all()):
        raise ValueError("a or b holds values that are not finite")
    n, m = len(a), len(b)
    marginals = np.concatenate([_weights("a_weights", a_weights, n), _weights("b_weights", b_weights, m)])
    rows, columns = sparse.kron(sparse.eye(n), np.ones((1, m))), sparse.kron(np.ones((1, n)), sparse.eye(m))
    # The solver's own tolerances, 1e-7, would let it stop at a neighbour of the best plan.
    tight = {"primal_feasibility_tolerance": 1e-10, "dual_feasibility_tolerance": 1e-10}
    constraints = sparse.vstack([rows, columns], format="csr")
    solved = linprog(cdist(a, b).ravel(), A_eq=constraints, b_eq=marginals, method="highs", options=tight)
    if solved.status != 0:
        raise RuntimeError(f"no optimal plan between {n} and {m} points: {solved.message}")
    potentials = solved.eqlin.marginals
    return Plan(float(solved.fun), solved.x.reshape(n, m), potentials[:n], potentials[n:])


def _weights(name, weights, n):
    if weights is None:
        return np.full(n, 1 / n)
    weights = np.asarray(weights, dtype=np.float64)
    if weights.shape != (n,) or not (weights >= 0).all() or abs(weights.sum() - 1) > 1e-9:
        raise ValueError(f"{name} must be {n} numbers >= 0 with sum 1, got shape {weights.shape}, sum {weights.sum()}")
    return weights
