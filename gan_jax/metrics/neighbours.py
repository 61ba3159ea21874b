"""Statistics of nearest neighbours among real and generated features, under the Euclidean distance.

Matrices of distances come a chunk of rows at a time from matrix products, which are fast but off by round-off; where
that could decide (copies of a sample, ties), the sums of squared differences do.
"""

import numpy as np
from numpy.typing import ArrayLike, NDArray

from gan_jax.metrics import checked
from gan_jax.reports import progress

_CHUNK = 256  # rows of a matrix of distances, or pairs of samples, at once
_SPARE = 8  # candidates besides k for the k nearest, whose order round-off may have changed

_Array = NDArray[np.float64]


def precision_recall_density_coverage(real: ArrayLike, fake: ArrayLike, k: int = 5) -> dict[str, float]:
    """How far generated features lie where the real ones do, and the reverse.

    The ball of a sample reaches to, and leaves out, its k-th nearest other sample of the same kind. All four depend on
    n, m and k: compare with independent real samples in the place of the generated ones.

    Args:
      real: features of real samples [n, d], n > k.
      fake: features of generated samples [m, d], m > k.
      k: neighbours that make the radius of a ball, >= 1.

    Returns:
      `precision`: in [0, 1], share of the fakes that lie in the ball of a real one.
      `recall`: in [0, 1], share of the reals that lie in the ball of a fake one.
      `density`: in [0, n / k], mean number of real balls that a fake lies in, over k; about 1 for one distribution.
      `coverage`: in [0, 1], share of the reals with a fake in their ball; 1 - 2^-k or so for one distribution, n = m.

    Raises:
      ValueError: shapes other than [n, d] and [m, d], values that are not finite, k < 1, or k samples or fewer.

    References:
      Kynkäänniemi et al. 2019 (precision and recall), arXiv:1904.06991;
      Naeem et al. 2020 (density and coverage), arXiv:2002.09797.

    """
    if k < 1:
        raise ValueError(f"k must be >= 1, got {k}")
    real, fake = _both(real, fake, ("real", "fake"), least=k + 1)
    real_radii, fake_radii = (_nearest(x, x, k, exclude_self=True)[0][:, -1] for x in (real, fake))
    balls = np.zeros(len(fake), dtype=int)
    covered, recalled = np.zeros(len(real), dtype=bool), np.zeros(len(real), dtype=bool)
    for rows in _chunks(len(real)):
        squared, round_off = _squared_distances(real[rows], fake)
        in_real = _are_less(squared, round_off, real_radii[rows, None], real[rows], fake)
        in_fake = _are_less(squared, round_off, fake_radii[None], real[rows], fake)
        balls += in_real.sum(axis=0)
        covered[rows], recalled[rows] = in_real.any(axis=1), in_fake.any(axis=1)
    return {
        "precision": float(np.mean(balls > 0)),
        "recall": float(recalled.mean()),
        "density": float(balls.mean() / k),
        "coverage": float(covered.mean()),
    }


def memorised_share(fake: ArrayLike, real: ArrayLike) -> float:
    """Share of the fakes that lie nearer to their nearest real than that real lies to its nearest other real.

    1 - authenticity. Where fakes follow the law of the reals it is the probability that nearest neighbours are mutual:
    for many samples 2/3 where d = 1, 0.62 where d = 2, and towards 1/2 as d grows; but few samples of many dimensions
    have hubs, which are nearest to many, and then it is far below 1/2. Compare with held-out reals in place of fakes.

    Args:
      fake: features of generated samples [m, d], m >= 1.
      real: features of real samples [n, d], n >= 2, those that the generator was trained on.

    Returns:
      The share, in [0, 1]. A copy counts, unless its original is twice or more among the reals.

    Raises:
      ValueError: other shapes, different d, or values that are not finite.

    References:
      Alaa et al. 2022 (authenticity), arXiv:2102.08921.

    """
    between_reals, _ = nearest(real, real, exclude_self=True)
    to_real, neighbour = nearest(fake, real)
    return float(np.mean(to_real < between_reals[neighbour]))


def nearest(
    queries: ArrayLike, points: ArrayLike, exclude_self: bool = False
) -> tuple[NDArray[np.float64], NDArray[np.intp]]:
    """The nearest of the points to each query, in Euclidean distance.

    Args:
      queries: features [n, d], n >= 1.
      points: features [m, d], m >= 1.
      exclude_self: leaves point i out for query i, where both are the same sample: n = m >= 2. A copy of the query
        elsewhere among the points is a neighbour like any other.

    Returns:
      (distances [n] in units of the features, indices [n] of points): of equally near points, one of them.

    Raises:
      ValueError: other shapes, different d, values that are not finite, or n != m with exclude_self.

    """
    queries, points = _both(queries, points, ("queries", "points"), least=2 if exclude_self else 1)
    if exclude_self and len(queries) != len(points):
        raise ValueError(f"exclude_self needs as many queries as points, got {len(queries)} and {len(points)}")
    squared, indices = _nearest(queries, points, 1, exclude_self)
    return np.sqrt(squared[:, 0]), indices[:, 0]


def _both(a: ArrayLike, b: ArrayLike, names: tuple[str, str], least: int) -> tuple[_Array, _Array]:
    a, b = checked.features(a, names[0], least), checked.features(b, names[1], least)
    checked.same_network(a, b)
    return a, b


def _nearest(queries: _Array, points: _Array, k: int, exclude_self: bool) -> tuple[_Array, NDArray[np.intp]]:
    """Squared distances [n, k] to the k nearest points, in ascending order, and their indices [n, k]."""
    squared, indices = np.empty((len(queries), k)), np.empty((len(queries), k), dtype=np.intp)
    candidates = min(k + _SPARE, len(points) - exclude_self)
    for rows in _chunks(len(queries)):
        estimates, _ = _squared_distances(queries[rows], points)
        if exclude_self:
            np.fill_diagonal(estimates[:, rows], np.inf)
        found = np.sort(np.argpartition(estimates, candidates - 1, axis=1)[:, :candidates], axis=1)
        exact = np.stack([_squared_differences(queries[rows], points[column]) for column in found.T], axis=1)
        order = np.argsort(exact, axis=1, kind="stable")[:, :k]
        squared[rows], indices[rows] = np.take_along_axis(exact, order, 1), np.take_along_axis(found, order, 1)
    return squared, indices


def _chunks(rows: int):
    starts = range(0, rows, _CHUNK)
    slices = (slice(start, min(start + _CHUNK, rows)) for start in starts)
    return progress.each(slices, "distances", len(starts), "chunks")


def _squared_distances(x: _Array, y: _Array) -> tuple[_Array, _Array]:
    """|x|^2 + |y|^2 - 2 x.y [n, m], and what round-off can have changed each by at most."""
    scales = np.add.outer(np.einsum("ij,ij->i", x, x), np.einsum("ij,ij->i", y, y))
    round_off = (x.shape[1] + 4) * np.finfo(np.float64).eps * scales
    return scales - 2 * (x @ y.T), round_off


def _are_less(squared: _Array, round_off: _Array, radii: _Array, x: _Array, y: _Array) -> NDArray[np.bool_]:
    """Where squared distances [n, m] between x and y are less than squared radii, [n, 1] or [1, m]."""
    are_less, radii = squared < radii, np.broadcast_to(radii, squared.shape)
    doubtful = np.argwhere(np.abs(squared - radii) <= round_off)
    for start in range(0, len(doubtful), _CHUNK):
        i, j = doubtful[start : start + _CHUNK].T
        are_less[i, j] = _squared_differences(x[i], y[j]) < radii[i, j]
    return are_less


def _squared_differences(x: _Array, y: _Array) -> _Array:
    return np.sum((x - y) ** 2, axis=1)
