"""Checks of what the statistics are given: samples of features, and two of them from one network."""

from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

PART = 2**22  # values that are looked at in one go: 32 MB in float64


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
    return numbers(values, name, least).astype(np.float64, copy=False)


def numbers(values: ArrayLike, name: str, least: int = 2) -> NDArray[Any]:
    """The sample [n, d] in its own type, without a copy of an array: `features`, for what converts it in parts."""
    sample = np.asarray(values)
    if sample.dtype.kind not in "biuf":
        sample = np.asarray(values, dtype=np.float64)
    if sample.ndim != 2 or len(sample) < least or not sample.shape[1]:
        raise ValueError(f"{name} must be [n, d] with n >= {least} and d >= 1, got shape {sample.shape}")
    if not all(np.isfinite(part).all() for part in parts(sample)):
        raise ValueError(f"{name} holds values that are not finite")
    return sample


def parts(sample: NDArray[Any], rows: int = 1) -> list[NDArray[Any]]:
    """Views of the rows of a sample [n, d]: of `PART` values each, and of no fewer rows than that."""
    size = max(rows, PART // sample.shape[1])
    return [sample[start : start + size] for start in range(0, len(sample), size)]


def same_network(a: NDArray[Any], b: NDArray[Any]) -> None:
    """Raises ValueError where features [n, d] and [m, d] differ in d."""
    if a.shape[1] != b.shape[1]:
        raise ValueError(f"samples have {a.shape[1]} and {b.shape[1]} features: they must come from the same network")
