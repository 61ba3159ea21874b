"""Checks of what the statistics are given: samples of features, and two of them from one network."""

import numpy as np
from numpy.typing import ArrayLike, NDArray


def features(values: ArrayLike, name: str, least: int = 2) -> NDArray[np.float64]:
    """The sample as float64 [n, d].

    Args:
      values: features [n, d], n >= least and d >= 1.
      name: what the error calls them.
      least: the fewest samples that are allowed.

    Returns:
      The features, without a copy where they are float64 already.

    Raises:
      ValueError: another shape, fewer samples, or values that are not finite.

    """
    sample = np.asarray(values, dtype=np.float64)
    if sample.ndim != 2 or len(sample) < least or not sample.shape[1]:
        raise ValueError(f"{name} must be [n, d] with n >= {least} and d >= 1, got shape {sample.shape}")
    if not np.isfinite(sample).all():
        raise ValueError(f"{name} holds values that are not finite")
    return sample


def same_network(a: NDArray[np.float64], b: NDArray[np.float64]) -> None:
    """Raises ValueError where features [n, d] and [m, d] differ in d."""
    if a.shape[1] != b.shape[1]:
        raise ValueError(f"samples have {a.shape[1]} and {b.shape[1]} features: they must come from the same network")
