"""Which classes a generator makes, and whether they are those that it was asked for."""

import math

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.optimize import linear_sum_assignment

from gan_jax.metrics import checked
from gan_jax.metrics.frechet import frechet_distance


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
    classes = _checked(classes, "classes", num_classes)
    return (np.bincount(classes, minlength=num_classes) / len(classes)).tolist()


def class_accuracy(classes: ArrayLike, wanted: ArrayLike, num_classes: int) -> tuple[float, list[float | None]]:
    """Share of the samples whose class is the one that the generator was asked for.

    It is no better than the classifier that names the classes, whose own accuracy is what perfect samples would have:
    print that beside it. A generator that makes one sample of each class has it too.

    Args:
      classes: the class of each sample, integers [n] in [0, num_classes), n >= 1.
      wanted: the class that was asked for, of the same samples.
      num_classes: k >= 1.

    Returns:
      The share in [0, 1], and k shares: of the samples of each wanted class alone, None where it was never asked for.

    Raises:
      ValueError: classes or wanted that are not integers [n] in [0, num_classes), or none, or not as many.

    References:
      Odena et al. 2017 (AC-GAN), arXiv:1610.09585, section 4.1.

    """
    counts = _contingency(("wanted", wanted, num_classes), ("classes", classes, num_classes))
    of_class = zip(np.diag(counts).tolist(), counts.sum(axis=1).tolist(), strict=True)
    return float(np.trace(counts) / counts.sum()), [hits / asked if asked else None for hits, asked in of_class]


def assignment_accuracy(
    classes: ArrayLike, codes: ArrayLike, num_classes: int, num_codes: int
) -> tuple[float, list[int | None]]:
    """Share of the samples whose class is that of their code, where each code has a class of its own: the best such.

    What the values of an unsupervised code stand for is known only after the fact: the max over one-to-one assignments
    a of mean [classes = a(codes)]. Codes that say nothing have about 1 / max(k, m) where all classes are as frequent,
    and more for few samples, for the assignment is chosen on the samples that it is scored by.

    Args:
      classes: the class of each sample, integers [n] in [0, num_classes), n >= 1.
      codes: the value of the code that each sample was made from, integers [n] in [0, num_codes).
      num_classes: k >= 1.
      num_codes: m >= 1.

    Returns:
      The share in [0, 1], and the classes of the m codes: None for those left over where m > k, whose samples all count
      as wrong. A code without samples has some class that is left over.

    Raises:
      ValueError: classes or codes that are not integers [n] in their range, or none, or not as many.

    References:
      Chen et al. 2016 (InfoGAN), arXiv:1606.03657, section 7.2; Kuhn 1955, "The Hungarian method for the assignment
      problem".

    """
    counts = _contingency(("codes", codes, num_codes), ("classes", classes, num_classes))
    chosen = linear_sum_assignment(counts, maximize=True)
    class_of = dict(np.transpose(chosen).tolist())
    return float(counts[chosen].sum() / counts.sum()), [class_of.get(code) for code in range(num_codes)]


def intra_class_frechet(
    fake_features: ArrayLike, real_features: ArrayLike, fake_classes: ArrayLike, real_classes: ArrayLike
) -> tuple[float, list[float | None]]:
    """Frechet distance between fakes and reals of each class, and their mean over classes: with Inception, intra-FID.

    It sees what the distance between all samples does not: classes that are mixed up, or a class of few modes. A class
    has fewer samples than the whole, so that the bias is larger: print the least of their numbers beside it.

    Args:
      fake_features: [n, d], n >= 2.
      real_features: [m, d], m >= 2.
      fake_classes: integers [n], >= 0: the classes that were asked for.
      real_classes: integers [m], >= 0: 2 or more of each class that fakes have, and of no other; so for the fakes.

    Returns:
      The mean, in squared units of the features, in [0, inf), and the distance of each class from 0 to the largest
      one, None where neither side has it.

    Raises:
      ValueError: features that `frechet_distance` refuses, classes that are not integers or not as many as features,
        or a class of which one side has fewer than 2 samples.

    References:
      Miyato and Koyama 2018, "cGANs with projection discriminator", arXiv:1802.05637, section 5.

    """
    fakes, fake_classes = _labelled(fake_features, fake_classes, "fake")
    reals, real_classes = _labelled(real_features, real_classes, "real")
    checked.same_network(fakes, reals)
    present = np.union1d(fake_classes, real_classes).tolist()
    _check_counts(present, fake_classes, real_classes)
    found = {k: frechet_distance(fakes[fake_classes == k], reals[real_classes == k]) for k in present}
    return float(np.mean(list(found.values()))), [found.get(k) for k in range(present[-1] + 1)]


def _contingency(rows, columns) -> NDArray[np.int64]:
    """Samples by both: either is (name, integers [n], how many values there are)."""
    (row_name, row, row_count), (column_name, column, column_count) = rows, columns
    row, column = _checked(row, row_name, row_count), _checked(column, column_name, column_count)
    if len(row) != len(column):
        raise ValueError(
            f"{column_name} and {row_name} must be of the same samples, got {len(column)} and {len(row)} of them"
        )
    counts = np.zeros((row_count, column_count), np.int64)
    np.add.at(counts, (row, column), 1)
    return counts


def _labelled(features, classes, side):
    features, classes = checked.numbers(features, f"{side}_features"), _checked(classes, f"{side}_classes")
    if len(features) != len(classes):
        raise ValueError(f"{side}_classes must be one for each of {len(features)} features, got {len(classes)}")
    return features, classes


def _check_counts(present, fake_classes, real_classes) -> None:
    for k in present:
        fakes, reals = np.count_nonzero(fake_classes == k), np.count_nonzero(real_classes == k)
        if min(fakes, reals) < 2:
            raise ValueError(
                f"class {k} has {fakes} fake and {reals} real samples: 2 or more of either are needed; give more"
            )


def _checked(classes, name, count=math.inf) -> NDArray[np.integer]:
    classes = np.asarray(classes)
    if classes.ndim != 1 or not len(classes) or not np.issubdtype(classes.dtype, np.integer):
        raise ValueError(f"{name} must be integers [n] with n >= 1, got {classes.dtype} {classes.shape}")
    if classes.min() < 0 or classes.max() >= count:
        raise ValueError(f"{name} must be in [0, {count}), got {classes.min()} to {classes.max()}")
    return classes
