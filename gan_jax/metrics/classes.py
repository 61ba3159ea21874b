"""Which classes a generator makes."""

import numpy as np
from numpy.typing import ArrayLike


def class_shares(classes: ArrayLike, num_classes: int) -> list[float]:
    """Share of the samples that fall into each class; a missing class is a missing mode.

    The shares are no better than the classifier that names the classes: print its accuracy beside them.

    Args:
      classes: the class of each sample, integers [n] in [0, num_classes), n >= 1.
      num_classes: k >= 1.

    Returns:
      k shares in [0, 1] that add up to 1.

    Raises:
      ValueError: classes that are not integers [n] in [0, num_classes), or none.

    """
    classes = np.asarray(classes)
    if classes.ndim != 1 or not len(classes) or not np.issubdtype(classes.dtype, np.integer):
        raise ValueError(f"classes must be integers [n] with n >= 1, got {classes.dtype} {classes.shape}")
    if classes.min() < 0 or classes.max() >= num_classes:
        raise ValueError(f"classes must be in [0, {num_classes}), got {classes.min()} to {classes.max()}")
    return (np.bincount(classes, minlength=num_classes) / len(classes)).tolist()
