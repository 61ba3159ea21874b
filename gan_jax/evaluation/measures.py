"""What an evaluation may measure: every function here that returns `Measured` is a name for `--metrics`.

Each asks by the names of its arguments for what it needs, and `evaluation.measure` has it ready:

    fakes, reals                   as they are: uint8 images [n, h, w, c], or points float32 [n, 2]
    fake_features, real_features   float32 [n, d], of the chosen feature network
    fake_logits                    [n, classes], of its classifier
    fake_labels, real_labels       int32 [n]: the classes that the generator was asked for, and those of the reals
    fake_codes                     int32 [n], the value of InfoGAN's categorical code that each sample was made from
    classify                       uint8 images -> (their classes [n], how many there are, the classifier's name)
    read_digits                    the same with the classifier of mnist, whatever the set is
    mixture                        the means and the deviation of the mixture that the points are of
    path                           (a, b, epsilon, ways): features epsilon of a path apart, and what paths are along
"""

import inspect
import math
import textwrap
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

from gan_jax.metrics import classes as class_metrics
from gan_jax.metrics import frechet as frechet_metrics
from gan_jax.metrics import inception_score, modes, neighbours, path_length, similarity, wasserstein
from gan_jax.metrics import kernel as kernel_metrics

LARGEST_ASSIGNMENT = 10_000  # points of an exact Wasserstein-1: its matrix of costs then takes 800 MB
LEAST = {"prdc": 6, "score": 10, "is": 10}  # samples and reals; of the others 2
COMPARED = 1000  # pairs of images for their similarity


# suitable: inception for fid, kid and is; else the set's classifier, or inception where its weights are at hand, or
# pixels. auto: the same without that: as runs were evaluated before.
CHOOSING = ("suitable", "auto")
FEATURES = (*CHOOSING, "pixels", "classifier", "inception")
# Metrics on the features of the Inception network, by the names that they are known by, and so for their numbers.
OF_INCEPTION = {"fid": "frechet", "kid": "kernel", "is": "score"}
_NUMBERS = {"frechet_distance": "fid", "kernel_distance": "kid", "kernel_distance_sd": "kid_sd",
            "classifier_score": "inception_score", "classifier_score_sd": "inception_score_sd",
            "intra_class_frechet": "intra_fid", "intra_class_frechets": "intra_fids"}  # fmt: skip
# What decides which evaluation is the best, where an evaluation has it; smaller is better.
SCORES = ("fid", "frechet_distance", "wasserstein_1", "kid", "kernel_distance", "sliced_wasserstein")
LARGER_IS_BETTER = (
    "inception_score",
    "classifier_score",
    "precision",
    "recall",
    "density",
    "coverage",
    "modes_covered",
    "share_within_3_sigma",
    "class_accuracy",
    "code_accuracy",
)
SCORING = ("fid", "frechet", "wasserstein_1", "kid", "kernel", "sliced")  # the metrics that give them
# A list, with a value for each class, or each code.
OF_CLASSES = ("class_shares", "class_accuracies", "intra_class_frechets", "intra_fids", "classes_of_codes")
# Of a protocol: what is drawn decides it, so that it is not the same for runs that differ in their seed alone.
CLASS_SAMPLES = "class_samples"


class Measured(NamedTuple):
    """numbers: by the names that a record of evaluation.jsonl has them under; protocol: what they depend on besides."""

    numbers: dict[str, Any]
    protocol: dict[str, Any] = {}  # noqa: RUF012 - never changed


def names() -> list[str]:
    """All that `--metrics` may name."""
    return [*OF_INCEPTION, *(name for name, value in globals().items() if _is_measure(value))]


def _is_measure(value):
    return inspect.isfunction(value) and inspect.signature(value).return_annotation is Measured


def function(name: str) -> Callable[..., Measured]:
    """The function that a name stands for."""
    return globals()[OF_INCEPTION.get(name, name)]


def needs(function: Callable[..., Measured]) -> list[str]:
    """The names of its arguments."""
    return list(inspect.signature(function).parameters)


def of_inception(numbers: dict[str, Any]) -> dict[str, Any]:
    """Numbers under the names that they are known by where their features are Inception's."""
    return {_NUMBERS.get(name, name): value for name, value in numbers.items()}


def is_alike(a: dict[str, Any], b: dict[str, Any]) -> bool:
    """Whether two protocols agree in all that both say: one evaluation may have measured more than the other.

    Which generator was evaluated, its average or its last parameters, follows from the run's own fields.
    """
    return not differences(a, b)


def differences(a: dict[str, Any], b: dict[str, Any]) -> str:
    """What of protocol a is otherwise in b, in words; "" where nothing is.

    Of truncation silence says something too: that there was none.
    """
    none = {"truncation": 0.0, "psi": 1.0, "cutoff": 0}
    a, b = none | a, none | b
    keys = [key for key in a if key != "generator" and key in b and a[key] != b[key]]
    return "; ".join(f"{key} {_few(a[key])} instead of {_few(b[key])}" for key in keys)


def _few(value):
    return textwrap.shorten(str(value), 50, placeholder=" ...")


# ----------------------------------------------------------------------------------------------- the metrics


def frechet(fake_features, real_features) -> Measured:
    """Frechet distance between Gaussians fitted to features; with Inception's it is `fid`."""
    distance = frechet_metrics.frechet_distance(fake_features, real_features)
    protocol = {"covariance": "N - 1"}
    least, dimensions = min(len(fake_features), len(real_features)), fake_features.shape[1]
    if least <= dimensions:
        protocol["warning"] = (
            f"{least} samples for {dimensions} dimensions: covariances are singular, and the Frechet distance is "
            "biased upwards; compare it with others of the same numbers of samples alone"
        )
    return Measured({"frechet_distance": distance}, protocol)


def kernel(fake_features, real_features) -> Measured:
    """Squared maximum mean discrepancy between features, unbiased; with Inception's it is `kid`."""
    found = kernel_metrics.kernel_distance(fake_features, real_features)
    numbers = {"kernel_distance": found.mean}
    if found.sd is not None:
        numbers["kernel_distance_sd"] = found.sd
    return Measured(numbers, {"kernel": f"(x.y / d + 1)^3, unbiased, over {_subsets(found)}"})


def _subsets(found):
    """As ever where all subsets have one size, so that numbers of before compare."""
    of_a, of_b = (" or ".join(map(str, sorted({*sizes}))) for sizes in (found.a_sizes, found.b_sizes))
    against = f" against {of_b}" if of_a != of_b else ""
    parts = f", in parts of {found.part}" if found.part else ""
    return f"{len(found.a_sizes)} disjoint subsets of {of_a}{against}{parts}"


def score(fake_logits) -> Measured:
    """Exponential of the information that a sample gives on its class; with Inception's logits it is `is`."""
    mean, sd, splits = inception_score.inception_score(fake_logits)
    return Measured({"classifier_score": mean, "classifier_score_sd": sd}, {"score": f"{splits} splits"})


def prdc(fake_features, real_features) -> Measured:
    """Improved precision and recall, density and coverage, of 5 nearest neighbours."""
    numbers = neighbours.precision_recall_density_coverage(real_features, fake_features, k=5)
    return Measured(numbers, {"neighbours": 5})


def memorised(fake_features, real_features) -> Measured:
    """Share of samples nearer to a real one than that one is to any other real; compare with held-out reals."""
    return Measured({"memorised_share": neighbours.memorised_share(fake_features, real_features)})


def sliced(fake_features, real_features) -> Measured:
    """Sliced 2-Wasserstein distance between features, over 1,000 random directions."""
    distance = wasserstein.sliced_wasserstein(fake_features, real_features)
    return Measured({"sliced_wasserstein": distance}, {"sliced": "2-Wasserstein, 1000 directions"})


def wasserstein_1(fake_features, real_features) -> Measured:
    """Exact 1-Wasserstein distance between features, for as many samples as reals, at most 10,000."""
    distance = wasserstein.wasserstein_1(fake_features, real_features)
    return Measured({"wasserstein_1": distance}, {"method": "exact, by assignment, Euclidean cost"})


def mode_coverage(fakes, mixture) -> Measured:
    """Modes of a 2-D mixture that the points cover, the share within 3 sigma of one, reverse KL to evenness."""
    return Measured(modes.mode_statistics(fakes, *mixture))


def classes(fakes, classify) -> Measured:
    """Share of each class among the samples, by the set's small classifier."""
    found, count, classifier = classify(fakes)
    return Measured({"class_shares": class_metrics.class_shares(found, count)}, {"classifier": classifier})


def class_accuracy(fakes, fake_labels, classify) -> Measured:
    """Share of samples of the class that was asked for, and the share for each, by the set's small classifier."""
    found, count, classifier = classify(fakes)
    accuracy, of_class = class_metrics.class_accuracy(found, fake_labels, count)
    return Measured({"class_accuracy": accuracy, "class_accuracies": of_class}, {"classifier": classifier})


def intra_class(fake_features, real_features, fake_labels, real_labels) -> Measured:
    """Frechet distance between features within each class, and their mean over classes."""
    mean, of_class = class_metrics.intra_class_frechet(fake_features, real_features, fake_labels, real_labels)
    least = min(np.unique(labels, return_counts=True)[1].min() for labels in (fake_labels, real_labels))
    dimensions = fake_features.shape[1]
    protocol = {"covariance": "N - 1", CLASS_SAMPLES: f"{least} or more on either side"}
    if least <= dimensions:
        protocol["class_warning"] = (
            f"a class has no more samples than the {dimensions} dimensions: its covariances are singular, and its "
            "Frechet distance is biased upwards; compare it with others of the same numbers of samples alone"
        )
    return Measured({"intra_class_frechet": mean, "intra_class_frechets": of_class}, protocol)


def code_accuracy(fakes, fake_codes, classify) -> Measured:
    """Accuracy of InfoGAN's categorical code as a classifier, its values assigned to classes as suits it best."""
    found, count, classifier = classify(fakes)
    accuracy, assigned = class_metrics.assignment_accuracy(found, fake_codes, count, int(np.max(fake_codes)) + 1)
    protocol = {"classifier": classifier, "codes": len(assigned)}
    return Measured({"code_accuracy": accuracy, "classes_of_codes": assigned}, protocol)


def stacked(fakes, read_digits) -> Measured:
    """Modes of stacked MNIST: the 1,000 numbers that the classifier of mnist reads off three channels."""
    digits, _, classifiers = zip(*(read_digits(fakes[..., i : i + 1]) for i in range(3)), strict=True)
    return Measured(modes.stacked_mode_statistics(np.stack(digits, axis=1)), {"classifier": classifiers[0]})


def ms_ssim(fakes, reals) -> Measured:
    """Multi-scale structural similarity of pairs of samples, and of pairs of reals: the less, the more diverse."""
    of_fakes, of_reals = (similarity.ms_ssim_diversity(images, COMPARED) for images in (fakes, reals))
    protocol = {"similarity": f"{of_fakes['pairs']} pairs, {of_fakes['scales']} scales"}
    return Measured({"ms_ssim": of_fakes["ms_ssim"], "ms_ssim_of_reals": of_reals["ms_ssim"]}, protocol)


def path(path) -> Measured:
    """Latent path length: squared distance of features over that of latents, or of their w; of runs alone."""
    start, end, epsilon, ways = path
    numbers = path_length.path_length(start, end, epsilon)
    return Measured(numbers, {"path": f"{len(start)} {ways}, epsilon {epsilon:g}, 1 % trimmed at each end"})


def numbers(record: dict[str, Any]) -> dict[str, int | float]:
    """The finite numbers of a record, but for its step."""
    return {name: value for name, value in record.items() if name != "step" and is_number(value)}


def is_number(value: Any) -> bool:
    """Whether it is one that can be compared."""
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)
