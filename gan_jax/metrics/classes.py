"""Which classes a generator makes, by a classifier trained on the real images."""

from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from sklearn.model_selection import train_test_split
from sklearn.svm import SVC

MAX_TRAIN, MAX_HELD_OUT = 5000, 1000  # an SVC's time grows with the square of its training set


def class_shares(images: ArrayLike, real_images: ArrayLike, real_labels: ArrayLike, seed: int) -> dict[str, Any]:
    """Share of the generated images that fall into each class; a missing class is a missing mode.

    The classifier is scikit-learn's SVC (rbf, C = 1, gamma = "scale") on pixels / 255. It is trained on at most 5,000
    real images; its accuracy is measured on others: a fifth of the real images, at most 1,000. Both parts are drawn
    with `seed` and stratified by class. The shares are no better than that accuracy: read them together.

    Args:
      images: generated images, uint8 [n, h, w, c], n >= 1.
      real_images: real images, uint8 [m, h, w, c], m >= 10.
      real_labels: their classes [m], integers in [0, k); two or more classes, each present at least twice.
      seed: of the split, in [0, 2^32).

    Returns:
      `class_shares`: list of k floats that add up to 1; `classifier`: what it was, in words;
      `classifier_accuracy`: in [0, 1], on the held-out real images.

    Raises:
      ValueError: images that are not uint8 [n, h, w, c], different image shapes, as many labels as images missing,
        or too few real images of a class to split.

    """
    images, real_images, labels = np.asarray(images), np.asarray(real_images), np.asarray(real_labels)
    _check(images, real_images, labels)
    held_out = min(len(labels) // 5, MAX_HELD_OUT)
    train = min(len(labels) - held_out, MAX_TRAIN)
    train_x, test_x, train_y, test_y = train_test_split(
        _pixels(real_images), labels, train_size=train, test_size=held_out, stratify=labels, random_state=seed
    )
    classifier = SVC(kernel="rbf").fit(train_x, train_y)
    counts = np.bincount(classifier.predict(_pixels(images)), minlength=labels.max() + 1)
    return {
        "class_shares": (counts / len(images)).tolist(),
        "classifier": f"SVC (rbf) on pixels, trained on {train} reals",
        "classifier_accuracy": float(classifier.score(test_x, test_y)),
    }


def _check(images: NDArray[Any], real_images: NDArray[Any], labels: NDArray[Any]) -> None:
    if images.dtype != np.uint8 or real_images.dtype != np.uint8:
        raise ValueError(f"images must be uint8, got {images.dtype} (generated) and {real_images.dtype} (real)")
    if images.ndim != 4 or images.shape[1:] != real_images.shape[1:] or not len(images):
        raise ValueError(f"images must be [n, h, w, c] and [m, h, w, c], got {images.shape} and {real_images.shape}")
    if labels.shape != real_images.shape[:1] or not np.issubdtype(labels.dtype, np.integer) or labels.min() < 0:
        raise ValueError(f"real_labels must be {len(real_images)} integers >= 0, got {labels.dtype} {labels.shape}")


def _pixels(images: NDArray[np.uint8]) -> NDArray[np.float64]:
    return images.reshape(len(images), -1) / 255.0
