"""The Fréchet distance between two samples of features, whatever network the features come from."""

import numpy as np
from numpy.typing import ArrayLike, NDArray


def frechet_distance(a: ArrayLike, b: ArrayLike) -> float:
    """Squared 2-Wasserstein distance between the Gaussians fitted to two samples.

    |mu_a - mu_b|^2 + tr(S_a + S_b - 2 (S_a S_b)^(1/2)), with covariances over N - 1, all in float64.
    The value depends on the numbers of samples (few samples: too large), so print n and m beside it.

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
    a, b = _features(a, "a"), _features(b, "b")
    if a.shape[1] != b.shape[1]:
        raise ValueError(f"a has {a.shape[1]} features and b has {b.shape[1]}: they must come from the same network")
    mean_term = np.sum((a.mean(axis=0) - b.mean(axis=0)) ** 2)
    cov_a, cov_b = _covariance(a), _covariance(b)
    distance = mean_term + np.trace(cov_a) + np.trace(cov_b) - 2 * _trace_of_product_root(cov_a, cov_b)
    return max(float(distance), 0.0)  # round-off can leave equal samples a hair below zero


def _features(values: ArrayLike, name: str) -> NDArray[np.float64]:
    features = np.asarray(values, dtype=np.float64)
    if features.ndim != 2 or len(features) < 2 or features.shape[1] < 1:
        raise ValueError(f"{name} must be [n, d] with n >= 2 and d >= 1, got shape {features.shape}")
    if not np.isfinite(features).all():
        raise ValueError(f"{name} holds values that are not finite")
    return features


def _covariance(features: NDArray[np.float64]) -> NDArray[np.float64]:
    centred = features - features.mean(axis=0)
    return centred.T @ centred / (len(features) - 1)


def _trace_of_product_root(cov_a: NDArray[np.float64], cov_b: NDArray[np.float64]) -> float:
    """tr((S_a S_b)^(1/2)): with S_a = R R^T, the eigenvalues of S_a S_b are those of the symmetric R^T S_b R."""
    eigenvalues, vectors = np.linalg.eigh(cov_a)
    # Directions without variance (n < d) hold only round-off, whose square root would be far from negligible.
    kept = eigenvalues > eigenvalues[-1] * len(cov_a) * np.finfo(np.float64).eps
    root = vectors[:, kept] * np.sqrt(eigenvalues[kept])
    return float(np.sqrt(np.linalg.eigvalsh(root.T @ cov_b @ root).clip(min=0)).sum())
