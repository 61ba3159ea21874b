"""The Fréchet distance between two samples of features, whatever network the features come from."""

from collections.abc import Iterable
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from gan_jax.metrics import checked
from gan_jax.reports import progress


class Moments(NamedTuple):
    """What a Gaussian fitted to features is: their count n >= 2, mean [d] and covariance [d, d] (over n - 1)."""

    count: int  # type: ignore[assignment]  # hides the method of tuples
    mean: NDArray[np.float64]
    covariance: NDArray[np.float64]


def frechet_distance(a: ArrayLike, b: ArrayLike) -> float:
    """Squared 2-Wasserstein distance between the Gaussians fitted to two samples.

    |mu_a - mu_b|^2 + tr(S_a + S_b - 2 (S_a S_b)^(1/2)), with covariances over N - 1, all in float64.
    The value depends on the numbers of samples (few samples: too large), so print n and m beside it.

    Time and memory are those of the smallest of n, m and d: for few samples no covariance is formed, but the nuclear
    norm of products of samples. Only parts of what is given are ever there in float64.

    Args:
      a: features [n, d], n >= 2.
      b: features [m, d], m >= 2.

    Returns:
      The distance, in squared units of the features, in [0, inf).

    Raises:
      ValueError: fewer than 2 samples, values that are not finite, or different d.

    References:
      Dowson and Landau 1982, "The Fréchet distance between multivariate normal distributions";
      Heusel et al. 2017 (FID), arXiv:1706.08500.

    """
    a, b = checked.numbers(a, "a"), checked.numbers(b, "b")
    checked.same_network(a, b)
    few, many = sorted((a, b), key=len)
    if _is_cheaper_by_products(len(few), len(many), few.shape[1]):
        return _by_products(few, many)
    return frechet_between(_moments_of(a), _moments_of(b))


def _is_cheaper_by_products(n: int, m: int, d: int) -> bool:
    """Measured on a CPU: at 2n = d the ways take the same time for any m, at n = d only up to m = 2d."""
    return 2 * n < d or (n < d and m < 2 * d)


def _moments_of(sample):
    parts = checked.parts(sample, rows=sample.shape[1])  # fewer rows would spend their time on adding d x d
    return moments(progress.each(parts, "covariances", len(parts), "parts"))


def _by_products(few, many):
    """The distance where n < d: tr((S_a S_b)^(1/2)) is the nuclear norm of B A^T / sqrt((n - 1)(m - 1)).

    With centred samples A [n, d] and B [m, d], S_a S_b is A^T A B^T B / ((n - 1)(m - 1)), which has the eigenvalues of
    (B A^T)^T (B A^T) and zeros.
    """
    means = [sum(part.sum(axis=0, dtype=np.float64) for part in checked.parts(x)) / len(x) for x in (few, many)]
    variances = [_variance(x, mean) for x, mean in zip((few, many), means, strict=True)]
    root = _nuclear_norm(few, many, *means) / np.sqrt((len(few) - 1.0) * (len(many) - 1.0))
    return max(float(np.sum((means[0] - means[1]) ** 2) + sum(variances) - 2 * root), 0.0)


def _centred(sample, mean):
    return (np.subtract(part, mean, dtype=np.float64) for part in checked.parts(sample))


def _variance(sample, mean):
    """The trace of the covariance."""
    return sum(np.vdot(part, part) for part in _centred(sample, mean)) / (len(sample) - 1)


def _nuclear_norm(few, many, mean_of_few, mean_of_many):
    """The sum of the singular values of B A^T, of whose m rows no more than 2n and a part are kept.

    The triangle of a QR decomposition stands for the rows so far: it has their singular values. A Gram matrix would
    have their squares, and the root of its round-off would not be small.
    """
    rows: Any = np.zeros((0, len(few)))  # of NumPy's stubs, qr has no mode "r"
    parts = progress.each(_centred(many, mean_of_many), "products", len(checked.parts(many)), "parts")
    for part in parts:
        products = [part @ columns.T for columns in _centred(few, mean_of_few)]
        rows = np.concatenate([rows, np.concatenate(products, axis=1)])
        if len(rows) >= 2 * len(few):
            rows = np.linalg.qr(rows, mode="r")
    with progress.clock(f"singular values of {len(rows):,} x {len(few):,}"):
        return np.linalg.svd(rows, compute_uv=False).sum()


def moments(chunks: Iterable[ArrayLike]) -> Moments:
    """Count, mean and covariance of features that come in chunks, in one pass and O(d^2) memory, in float64.

    Each chunk is centred on its own mean before it is merged with those before it, so that the result does not depend
    on the chunks, nor lose digits where the mean is far larger than the deviation.

    Args:
      chunks: features [b, d], b >= 1, of any sizes b with 2 or more samples in all.

    Returns:
      The moments of all samples together.

    Raises:
      ValueError: fewer than 2 samples in all, values that are not finite, or chunks of different d.

    References:
      Chan, Golub and LeVeque 1983, "Algorithms for computing the sample variance".

    """
    count, mean, scatter = 0, np.zeros(0), np.zeros((0, 0))
    for chunk in chunks:
        features = checked.features(chunk, "each chunk", least=1)
        if not count:
            mean, scatter = np.zeros(features.shape[1]), np.zeros((features.shape[1],) * 2)
        if features.shape[1] != len(mean):
            raise ValueError(f"chunks have {len(mean)} and {features.shape[1]} features: all must have as many")
        total, chunk_mean = count + len(features), features.mean(axis=0)
        centred, shift = features - chunk_mean, chunk_mean - mean
        scatter += centred.T @ centred + np.outer(shift, shift) * (count * len(features) / total)
        mean += shift * (len(features) / total)
        count = total
    if count < 2:
        raise ValueError(f"a covariance needs 2 or more samples, got {count}")
    return Moments(count, mean, scatter / (count - 1))


def frechet_between(a: Moments, b: Moments) -> float:
    """`frechet_distance` of samples of which only the moments are at hand: too many for memory, or published.

    Args:
      a: moments of n samples with d features.
      b: moments of m samples with d features.

    Returns:
      The distance, in squared units of the features, in [0, inf).

    Raises:
      ValueError: different d, or moments that are not finite.

    """
    for moment, of_a, of_b in (("means", a.mean, b.mean), ("covariances", a.covariance, b.covariance)):
        if np.shape(of_a) != np.shape(of_b):
            raise ValueError(f"{moment} have shapes {np.shape(of_a)} and {np.shape(of_b)}: they must be the same")
        if not (np.isfinite(of_a).all() and np.isfinite(of_b).all()):
            raise ValueError(f"{moment} hold values that are not finite")
    variances = np.trace(a.covariance) + np.trace(b.covariance)
    distance = np.sum((a.mean - b.mean) ** 2) + variances - 2 * _trace_of_product_root(a, b)
    return max(float(distance), 0.0)  # round-off can leave equal samples a hair below zero


def _trace_of_product_root(a: Moments, b: Moments) -> float:
    """tr((S_a S_b)^(1/2)): with S_a = R R^T, the eigenvalues of S_a S_b are those of the symmetric R^T S_b R."""
    # R of the smaller sample has the fewer columns, so that R^T S_b R has no zeros whose round-off would be rooted.
    smaller, larger = sorted((a, b), key=lambda moments: moments.count)
    with progress.clock(f"eigenvalues of {len(a.mean):,} x {len(a.mean):,}"):
        return _of_symmetric(smaller.covariance, larger.covariance)


def _of_symmetric(smaller, larger):
    eigenvalues, vectors = np.linalg.eigh(smaller)
    # Directions without variance (n < d) hold only round-off, whose square root would be far from negligible.
    kept = eigenvalues > eigenvalues[-1] * len(eigenvalues) * np.finfo(np.float64).eps
    root = vectors[:, kept] * np.sqrt(eigenvalues[kept])
    return float(np.sqrt(np.linalg.eigvalsh(root.T @ larger @ root).clip(min=0)).sum())
