"""Two sets of samples, and the numbers that compare them, each with its protocol.

`measure` chooses a feature network, has it work, and asks `measures` by name. Whose the samples are
makes no difference.
"""

import functools
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import numpy as np
from sklearn.model_selection import train_test_split

from gan_jax.data import batches, mixtures, sources
from gan_jax.data.about import About
from gan_jax.errors import UserError
from gan_jax.evaluation import measures
from gan_jax.features import cache, classifier, extraction, inception

# Sets that have a small classifier, for class shares and quick Frechet distances: {name: pixels of a side}.
CLASSIFIED = {"digits": 8, "mnist": 32, "fashion_mnist": 32}
EPSILON = 1e-4  # of a latent path, as for StyleGAN
MOST_PATHS = 5000


class How(NamedTuple):
    """What is asked for.

    metrics: names, by commas, or auto. features: one of measures.FEATURES. resizer, weights: of Inception; "" for the
    weights at hand. num: fakes. reals: at most so many, 0 for as many as fakes. split: of the reals. truncation:
    latents of fakes beyond it are drawn again; 0 for none. conditions: as_reals or even: how often each class is asked
    for.
    """

    metrics: str = "auto"
    features: str = "suitable"
    resizer: str = "tf1"
    weights: str = ""
    num: int = 0
    reals: int = 0
    split: str = "train"
    truncation: float = 0.0
    conditions: str = "as_reals"


class Samples(NamedTuple):
    """Images, or points in the plane, to be measured.

    read: (start, stop) -> uint8 [stop - start, h, w, c] or float32 [stop - start, d].
    shape: (h, w, c) or (d,); (0, 0, c) where each image has a size of its own, and `read` gives a list. protocol: what
    they are, in words. data: the set's name, folder and image size, or ("", "", 0). generate: (count, epsilon) ->
    (both ends of that many latent paths, what these are along); None without a generator. is_kept: whether their
    features may be worth keeping in the cache. labels: int32 [count], the class of each, or that which the generator
    was asked for; None where there are none. codes: likewise of InfoGAN's categorical code.
    classes: the names of the labels. about: the set that they are of, where they are of a stored one. is_resizable:
    whether data.image_size gives them another size.
    """

    read: Callable[[int, int], np.ndarray]
    count: int  # type: ignore[assignment]  # hides the method of tuples
    shape: tuple[int, ...]
    protocol: dict[str, Any]
    data: tuple[str, str, int] = ("", "", 0)
    generate: Callable[..., Any] | None = None
    is_kept: bool = True
    labels: np.ndarray | None = None
    codes: np.ndarray | None = None
    classes: tuple[str, ...] = ()
    about: About | None = None
    is_resizable: bool = False


def chosen(how: How, shape: tuple[int, ...], data: str) -> tuple[list[str], str]:
    """(names of metrics, name of features) that `how` asks for, for samples of this shape of the set `data`.

    Raises UserError where a name is unknown, or does not suit the samples.
    """
    is_points = len(shape) == 1
    names = how.metrics.split(",") if how.metrics != "auto" else suitable(is_points, data)
    for name in names:
        if name not in measures.names():
            raise UserError(f"no metric {name!r}: give auto, or by commas some of {', '.join(measures.names())}")
        _check_suits(name, is_points, shape, data)
    if is_points and how.features not in measures.CHOOSING:
        raise UserError(f"{how.features} are features of images; points are compared as they are: leave it out")
    needs_inception = [name for name in names if name in measures.OF_INCEPTION]
    features = how.features
    if features in measures.CHOOSING:
        is_used = features == "suitable" and not is_points and bool(how.weights or inception.at_hand())
        features = _suitable_features(needs_inception, is_used, data)
    if needs_inception and features != "inception":
        other = measures.OF_INCEPTION[needs_inception[0]]
        raise UserError(f"{needs_inception[0]} is {other} on Inception features, not on {features}: ask for {other}")
    if features == "classifier" and data not in CLASSIFIED:
        raise UserError(f"no classifier for {data or 'these images'}: there is one for {', '.join(CLASSIFIED)}")
    return list(dict.fromkeys(names)), "coordinates" if is_points else features


def _suitable_features(needs_inception, is_used, data):
    """Pixels say little of what an image shows: they are for sets without a classifier, where there is nothing else.

    is_used: whether Inception is then used instead.
    """
    if not needs_inception and data in CLASSIFIED:
        return "classifier"
    return "inception" if needs_inception or is_used else "pixels"


def suitable(is_points: bool, data: str) -> list[str]:
    """The metrics that suit points, or images, of the set `data`."""
    if is_points and not sources.is_points(data):
        return ["frechet", "kernel", "prdc"]  # features of some other network
    if is_points:
        return ["wasserstein_1", *(["mode_coverage"] if data in mixtures.MODES else [])]
    return ["frechet", *(["classes"] if data in CLASSIFIED else [])]


def _check_suits(name, is_points, shape, data):
    is_classified = "classify" in measures.needs(measures.function(name))
    if is_points and (is_classified or name in (*measures.OF_INCEPTION, "stacked", "ms_ssim", "score")):
        raise UserError(f"{name} is for images, and these are points: give wasserstein_1, prdc or another")
    if name == "mode_coverage" and data not in mixtures.MODES:
        raise UserError(f"mode_coverage is for {', '.join(mixtures.MODES)}, whose modes are known; not for {data!r}")
    if is_classified and data not in CLASSIFIED:
        raise UserError(f"{name} is for {', '.join(CLASSIFIED)}, which have a classifier; not for {data!r}")
    if name == "stacked" and shape[-1] != 3:
        raise UserError("stacked is for images of three channels, each of which is a digit of MNIST")
    if name == "ms_ssim" and 0 < min(shape[:2]) < 11:
        raise UserError(f"ms_ssim is for images of at least 11 x 11 pixels, not {shape[0]} x {shape[1]}")


@jax.enable_x64(False)
def measure(how: How, fakes: Samples, reals: Samples) -> tuple[dict[str, Any], dict[str, Any], dict[str, Any]]:
    """(numbers, protocol, features): what `how` asks for, of `fakes` against `reals`, and all that it depends on."""
    if len(fakes.shape) != len(reals.shape):
        raise UserError(f"samples of shape {fakes.shape} against reals of shape {reals.shape}: give two of one kind")
    data = reals.data if reals.data[0] else fakes.data
    names, features = chosen(how, fakes.shape, data[0])
    sizes = [_size(samples.shape) for samples in (fakes, reals)]
    _check_sizes(names, features, fakes, reals)
    network = feature_network(features, how, reals.shape, data)
    check_counts(names, network, fakes.count, reals.count)
    if "intra_class" in names and fakes.classes and reals.classes and fakes.classes != reals.classes:
        both = [", ".join(samples.classes[:20]) for samples in (fakes, reals)]
        raise UserError(f"intra_class: classes are {both[0]} of samples and {both[1]} of reals: give those alike")
    of_fakes = functools.cache(lambda: _extract(network, fakes))
    of_reals = functools.cache(lambda: _extract(network, reals))
    ready = {
        "fakes": lambda: fakes.read(0, fakes.count),
        "reals": lambda: reals.read(0, reals.count),
        "fake_features": lambda: of_fakes().features,
        "real_features": lambda: of_reals().features,
        "fake_logits": lambda: of_fakes().logits,
        "fake_labels": lambda: _given(fakes.labels, "the classes that were asked for: give a conditional run"),
        "real_labels": lambda: _given(reals.labels, "the classes of the reals: give a labelled set"),
        "fake_codes": lambda: _given(fakes.codes, "the codes that samples were made from: give a run of infogan"),
        "classify": lambda: functools.partial(_classify, data),
        "read_digits": lambda: functools.partial(_classify, ("mnist", data[1] if data[0] != "folder" else "", 0)),
        "mixture": lambda: mixtures.MODES[data[0]],
        "path": lambda: _path(network, fakes),
    }
    numbers: dict[str, Any] = {}
    protocol = fakes.protocol | reals.protocol
    protocol |= {"samples": fakes.count, "reals": reals.count, "size": " against ".join(dict.fromkeys(sizes))}
    protocol["features"] = network.name
    classes = reals.classes if data == reals.data else fakes.classes
    for name in names:
        function = measures.function(name)
        try:
            found, depends = function(*(ready[argument]() for argument in measures.needs(function)))
        except ValueError as error:
            raise UserError(f"{name}: {error}") from None
        numbers |= measures.of_inception(found) if features == "inception" else found
        protocol |= depends
    if classes and {*measures.OF_CLASSES} & {*numbers}:
        numbers["classes"] = list(classes)
    return numbers, protocol, {"fakes": of_fakes, "reals": of_reals}


def _extract(network, samples):
    return extraction.extract(network, samples.read, samples.count, samples.is_kept, not samples.shape[0])


def _size(shape):
    return "x".join(map(str, shape)) if shape[0] else f"each its own, {shape[2]} channels"


def _check_sizes(names, features, fakes, reals):
    """A UserError where samples have not one size, and something needs it: Inception's features do not."""
    compared = [name for name in names if {"fakes", "reals"} & {*measures.needs(measures.function(name))}]
    if features == "inception" and not compared:
        return
    needing = features if features != "inception" else compared[0]
    if not (fakes.shape[0] and reals.shape[0]):
        raise UserError(
            f"images are of different sizes, and {needing} takes those of one: {_one_size(fakes, reals)}, or features "
            "of inception with fid, kid or prdc, which takes each as it is"
        )
    if features != "inception" and fakes.shape != reals.shape:
        if len(fakes.shape) == 1:
            advice = "give those of one network"
        elif fakes.shape[2] != reals.shape[2]:
            advice = "give both grey, or both in colour"
        else:
            advice = _one_size(fakes, reals)
        both = [_size(samples.shape) for samples in (fakes, reals)]
        raise UserError(
            f"samples are {both[0]} and reals {both[1]}: {features} compare only what has one size; {advice}"
        )


def _one_size(fakes, reals):
    """What gives both the size of one that is square, as all are that data.image_size resizes: a run's stays."""
    for one, other in ((fakes, reals), (reals, fakes)):
        if 0 < one.shape[0] == one.shape[1] and other.is_resizable:
            return f"give data.image_size={one.shape[0]}"
    if fakes.is_resizable and reals.is_resizable:
        return "give data.image_size, e.g. data.image_size=64"
    if fakes.generate and reals.generate:
        return "give runs of one size"
    resized, kept = ("samples", reals) if reals.generate else ("reals", fakes)
    return f"resize the {resized} first to {kept.shape[0]} x {kept.shape[1]}"


def check_counts(names, network, fakes, reals):
    """A UserError where that many samples, or that network, are not what a metric needs."""
    for name in names:
        least = measures.LEAST.get(name, 2)
        if min(fakes, reals) < least:
            raise UserError(f"{name} needs at least {least} samples and reals, not {fakes} and {reals}")
    most = measures.LARGEST_ASSIGNMENT
    if "wasserstein_1" in names and (fakes != reals or fakes > most):
        raise UserError(f"wasserstein_1 takes as many reals as samples, at most {most}, not {reals} and {fakes}")
    if {"is", "score"} & {*names} and not network.has_logits:
        raise UserError(
            f"is and score need a classifier, and {network.name} has none; for inception, give "
            "--weights=pt_inception-2015-12-05-6726825d.pth"
        )


def _classify(data, images):
    found = small_classifier(*data)
    _, logits = classifier.features_and_logits(found, images)
    return logits.argmax(axis=1), found.num_classes, found.protocol


def _given(values, words):
    if values is None:
        raise ValueError(f"it compares with {words}")
    return values


def _path(network, samples):
    if samples.generate is None:
        raise ValueError("it follows a generator's latents: give a run, not images")
    both, ways = samples.generate(min(samples.count, MOST_PATHS), EPSILON)
    ends = (of_array(end, {})._replace(is_kept=False) for end in both)
    return *(_extract(network, end).features for end in ends), EPSILON, ways


# ----------------------------------------------------------------------------------------- feature networks


def feature_network(name: str, how: How, shape: tuple[int, ...], data: tuple[str, str, int]) -> extraction.Network:
    """The network of that name; `shape` is that of a sample, and `data` tells which classifier."""
    if name == "inception":
        return _inception(how.weights, how.resizer)
    if name == "classifier":
        return classifier.network(small_classifier(*data))
    if name == "pixels":
        count = int(np.prod(shape))
        return extraction.Network(f"pixels in [-1, 1], {count} dimensions", _pixels)
    return extraction.Network("coordinates", lambda points: (points, None))


def _pixels(images):
    return batches.to_unit(images).reshape(len(images), -1), None


@functools.cache
def _inception(weights, resizer):
    return inception.network(inception.load(weights), resizer)


@functools.cache
@jax.enable_x64(False)
def small_classifier(name: str, data_dir: str, image_size: int) -> classifier.Classifier:
    """The classifier of a set of `CLASSIFIED`, trained on first use and then kept in the cache."""
    path = cache.folder() / "classifiers" / f"{name}_{image_size or 'full'}_v{classifier.VERSION}.npz"
    size = image_size or CLASSIFIED[name]
    if found := classifier.load(path, name, (size, size, 1)):
        return found
    images, labels, *_ = sources.reference(name, data_dir, image_size, "train", 0, 0)
    if name == "digits":  # has no test split: a fifth of each class is held out
        parts = train_test_split(images, labels, test_size=0.2, stratify=labels, random_state=0)
        images, test_images, labels, test_labels = parts
    else:
        test_images, test_labels, *_ = sources.reference(name, data_dir, image_size, "test", 0, 0)
    found = classifier.train_classifier(name, images, labels, test_images, test_labels)
    classifier.save(path, found)
    return found


def of_array(samples: np.ndarray, protocol: dict[str, Any], data=("", "", 0), generate=None) -> Samples:
    """Samples that are in memory."""
    return Samples(lambda i, j: samples[i:j], len(samples), samples.shape[1:], protocol, data, generate)


def table(record: dict[str, Any]) -> str:
    """A record of evaluation.jsonl as lines for the terminal."""
    numbers = {name: value for name, value in record.items() if name not in ("protocol", "classes")}
    for name in {*measures.OF_CLASSES} & {*numbers}:
        numbers[name] = _by_class(name, numbers[name], record.get("classes") or [])
    return "\n".join(f"{name:24} {_words(value)}" for name, value in [*numbers.items(), *record["protocol"].items()])


def _by_class(name, values, classes):
    """Each value with the name of its class; codes with the names of the classes that they are assigned to."""
    if name == "classes_of_codes":
        return [classes[value] if value is not None and value < len(classes) else value for value in values]
    if len(values) > len(classes):
        return values
    return [f"{classes[label]} {_words(value)}," for label, value in enumerate(values)]


def _words(value):
    if isinstance(value, list):
        return " ".join(map(_words, value)).removesuffix(",")
    return f"{value:.4g}" if isinstance(value, float) else str(value)
