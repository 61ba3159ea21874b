"""Wasserstein distances between two samples: exact, with the plan that attains it, and sliced."""

from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import sparse
from scipy.optimize import linear_sum_assignment, linprog
from scipy.spatial.distance import cdist

from gan_jax.metrics import checked
from gan_jax.reports import progress

_CHUNK = 2**23  # projections of points that are sorted in one go, 64 MB


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


def sliced_wasserstein(a: ArrayLike, b: ArrayLike, projections: int = 1000, seed: int = 0, p: float = 2) -> float:
    """Sliced p-Wasserstein distance between two samples of any sizes.

    (mean over directions u of W_p(a u, b u)^p)^(1/p), u from `random_directions`. Along a direction W_p is exact: the
    p-norm on [0, 1] of the difference of the two quantile functions, which are steps. All in float64.
    Two samples of one distribution are not at 0: compare with the distance between two independent real samples.

    Args:
      a: points or features [n, d], n >= 1.
      b: points or features [m, d], m >= 1.
      projections: number of directions, >= 1.
      seed: of the directions.
      p: order, in [1, inf).

    Returns:
      The distance, in units of the points, in [0, inf); at most W_p, and for a shift by v about |v| / sqrt(d) (p = 2).

    Raises:
      ValueError: other shapes, different d, values that are not finite, projections < 1, or p < 1.

    References:
      Bonneel et al. 2015, "Sliced and Radon Wasserstein barycenters of measures".

    """
    a, b = checked.features(a, "a", least=1), checked.features(b, "b", least=1)
    checked.same_network(a, b)
    if projections < 1 or not 1 <= p < np.inf:
        raise ValueError(f"projections must be >= 1 and p in [1, inf), got {projections} and {p}")
    directions, at_once = random_directions(projections, a.shape[1], seed), max(1, _CHUNK // (len(a) + len(b)))
    costs = np.empty(projections)
    with progress.counting("projecting", projections, "directions") as add:
        for start in range(0, projections, at_once):
            chunk = slice(start, start + at_once)
            costs[chunk] = _costs_on_lines(directions[chunk] @ a.T, directions[chunk] @ b.T, p)
            add(len(costs[chunk]))
    return float(costs.mean() ** (1 / p))


def random_directions(count: int, d: int, seed: int) -> NDArray[np.float64]:
    """Unit vectors [count, d], evenly distributed: Gaussians of NumPy's default generator, normalised."""
    gaussians = np.random.default_rng(seed).normal(size=(count, d))
    return gaussians / np.linalg.norm(gaussians, axis=1, keepdims=True)


def _costs_on_lines(a, b, p):
    """W_p^p between a_i and b_i, the rows of [k, n] and [k, m]."""
    n, m = a.shape[1], b.shape[1]
    # Where either quantile function steps, in whole numbers of 1 / (n m), so that no step is missed by round-off.
    ends = np.union1d(np.arange(1, n + 1) * m, np.arange(1, m + 1) * n)
    shares = np.diff(ends, prepend=0) / (n * m)
    of_a, of_b = (ends - 1) // m, (ends - 1) // n
    differences = np.sort(a, axis=1)[:, of_a] - np.sort(b, axis=1)[:, of_b]
    return np.abs(differences) ** p @ shares


def _weights(name, weights, n):
    if weights is None:
        return np.full(n, 1 / n)
    weights = np.asarray(weights, dtype=np.float64)
    if weights.shape != (n,) or not (weights >= 0).all() or abs(weights.sum() - 1) > 1e-9:
        raise ValueError(f"{name} must be {n} numbers >= 0 with sum 1, got shape {weights.shape}, sum {weights.sum()}")
    return weights
