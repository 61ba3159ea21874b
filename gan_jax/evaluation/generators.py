"""A trained generator, measured against the data that it was trained on."""

import functools
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import ml_collections
import numpy as np
from scipy.spatial.distance import cdist

from gan_jax.data import mixtures, sources
from gan_jax.data.folder import SPLITS
from gan_jax.errors import UserError
from gan_jax.evaluation import measuring
from gan_jax.evaluation.measuring import How, Samples
from gan_jax.features import extraction
from gan_jax.training import averages, conditional, sampling

# The latents of an evaluation, and those of sample grids, are not the same ones.
EVALUATION_SEED, PATH_SEED = 1, 2


class Proportions(NamedTuple):
    """How often a generator is asked for each class, as a protocol says it, and by numbers; () for all alike."""

    words: str = "even"
    counts: tuple[int, ...] = ()


EVEN = Proportions()


class Evaluation(NamedTuple):
    """record: a line of evaluation.jsonl; fakes, reals: what was compared; features: of both, computed on demand."""

    record: dict[str, Any]
    fakes: Samples
    reals: Samples
    features: dict[str, Callable[[], extraction.Features]]


def how(config: ml_collections.ConfigDict) -> How:
    """How the configuration has its generator evaluated."""
    names = ("metrics", "features", "resizer", "split", "reals", "conditions")
    found = How(**{name: config[f"eval_{name}"] for name in names})
    if found.metrics != "auto" or not (of_conditions := _suit_conditions(config)):
        return found
    suitable = measuring.suitable(sources.is_points(config.data.name), config.data.name)
    return found._replace(metrics=",".join([*suitable, *of_conditions]))


def _suit_conditions(config):
    """Whether the generator does what it is told, where a classifier can say so."""
    way, _ = conditional.of(config)
    if not way.labels or config.data.name not in measuring.CLASSIFIED:
        return []
    return ["class_accuracy"] if way.is_told_labels else ["code_accuracy"]


def _check_conditions(config, names):
    way, _ = conditional.of(config)
    wanted = {
        "class_accuracy": way.is_told_labels,
        "intra_class": way.is_told_labels,
        "code_accuracy": way.is_told_codes,
    }
    for name in names:
        if not wanted.get(name, True):
            told = "infogan" if name == "code_accuracy" else "concatenation, auxiliary_classifier or projection"
            raise UserError(f"{name} with config.conditional.name={config.conditional.name!r}: it is for {told}")


def check(config: ml_collections.ConfigDict, source: sources.Source) -> None:
    """A UserError where evaluations of a run that is trained on this would fail. Their reals are read, and kept."""
    asked, shape = how(config), source.shape
    names, features = measuring.chosen(asked, shape, config.data.name)
    _check_conditions(config, names)
    trained_later = extraction.Network("classifier", lambda images: (None, None), has_logits=True)
    network = (
        trained_later if features == "classifier" else measuring.feature_network(features, asked, shape, ("", "", 0))
    )
    reals = _reals(config, asked, source.reference or functools.partial(sources.reference_of, config.data))
    fakes = min(config.eval_samples, reals.count)
    measuring.check_counts(names, network, fakes, reals.count)
    if "intra_class" in names:
        _check_classes(config, asked, reals, fakes)


def _check_classes(config, asked, reals, fakes):
    """Each class that is drawn must come twice on either side."""
    _, takes = conditional.of(config)
    told = sampling.proportional_labels(takes, fakes, proportions(config, asked.conditions, reals).counts)
    for side, labels in (("reals", reals.labels), ("samples", told)):
        counts = np.bincount(labels, minlength=takes.classes)
        present = np.flatnonzero(np.bincount(reals.labels, minlength=takes.classes))
        for label in present:
            if counts[label] < 2:
                name = reals.classes[label] if reals.classes else label
                raise UserError(
                    f"intra_class with config.eval_samples={config.eval_samples}: class {name} has {counts[label]} of "
                    f"the {len(labels):,} {side}, and needs 2: give more images of it, a larger eval_samples, or leave "
                    "intra_class out"
                )


@jax.enable_x64(False)
def evaluate(
    config: ml_collections.ConfigDict,
    generator,
    state,
    how: How,
    is_kept: bool = False,
    reference: Callable[[str, int, int], sources.Reference] | None = None,
    counts: tuple[int, ...] = (),
    classes: tuple[str, ...] = (),
) -> Evaluation:
    """The averaged generator's samples against reals of the data that it was trained on.

    `how.num` fakes, 0 for `eval_samples`, and then no more than there are reals; as many reals, or `how.reals`, or all
    that the split has. The record's `protocol` says what its numbers depend on. is_kept: whether features of the fakes
    are kept in the cache, so that a second call has less to do. reference: (split, num, seed) -> reals; they are read
    anew where it is not given. counts: of each class among what the generator was trained on; () for all alike.
    classes: their names, where these are known.
    """
    num = how.num or config.eval_samples
    _check_conditions(config, measuring.chosen(how, generator.shape, config.data.name)[0])  # before any work is done
    reals = _reals(config, how, reference or functools.partial(sources.reference_of, config.data))
    wanted = proportions(config, how.conditions, reals, counts, classes)
    fakes = generated_samples(
        config, generator, state, how.num or min(num, reals.count), how.truncation, counts, wanted
    )
    numbers, protocol, features = measuring.measure(how, fakes._replace(is_kept=is_kept, classes=classes), reals)
    return Evaluation({"step": int(state.step), **numbers, "protocol": protocol}, fakes, reals, features)


def _reals(config, how, reference):
    num = how.reals or how.num or config.eval_samples
    if config.data.name == "folder":  # so that one split has one name in protocols
        how = how._replace(split=SPLITS.get(how.split, how.split))
    return _of_reference(config.data.name, config.data.dir, config.data.image_size, how.split, config.seed,
                         reference(how.split, num, config.seed))  # fmt: skip


def proportions(
    config: ml_collections.ConfigDict,
    conditions: str,
    reals: Samples,
    counts: tuple[int, ...] = (),
    classes: tuple[str, ...] = (),
) -> Proportions:
    """How often each class is asked for: as often as among the reals, if their classes are the generator's.

    Otherwise as `counts` has them, of what it was trained on. classes: the generator's; () where names are unknown.
    """
    way, takes = conditional.of(config)
    if not way.is_told_labels or conditions == "even":
        return EVEN
    is_alike = reals.classes == classes if classes else len(reals.classes) == takes.classes
    if reals.labels is None or not is_alike:
        return Proportions("as trained", counts) if counts else EVEN
    return Proportions("as the reals", tuple(np.bincount(reals.labels, minlength=takes.classes).tolist()))


SHOWN, NEIGHBOURS = 8, 4  # samples beside their nearest reals, in a picture


def beside_nearest(found: Evaluation) -> tuple[np.ndarray, np.ndarray]:
    """A few samples [s, ...], and of each the nearest reals by their features, the nearest first: [s, k, ...]."""
    shown = min(SHOWN, found.fakes.count)
    distances = cdist(found.features["fakes"]().features[:shown], found.features["reals"]().features)
    nearest = distances.argsort(axis=1)[:, :NEIGHBOURS]
    reals = np.stack([[found.reals.read(i, i + 1)[0] for i in row] for row in nearest.tolist()])
    return found.fakes.read(0, shown), reals


def real_samples(name: str, data_dir: str, image_size: int, split: str, num: int, seed: int, **others: Any) -> Samples:
    """`num` samples of a split of the set `name`, at random, or all that it has; with labels where it has classes.

    others: background, reading and any_size, as for `images.open_images`.
    """
    found = sources.reference(name, data_dir, image_size, split, num, seed, **others)
    samples = _of_reference(name, data_dir, image_size, split, seed, found)
    return samples._replace(is_resizable=not sources.is_points(name))


def _of_reference(name, data_dir, image_size, split, seed, found):
    protocol: dict[str, Any] = {"data": name, "split": f"drawn from seed {seed}" if found.about is None else split}
    if found.about is not None:
        protocol["digest"] = found.about.digest[:12]
    if found.background:
        protocol["background"] = found.background
    if found.fitting:
        protocol["images"] = found.fitting
    classes = found.about.classes if found.about else tuple(map(str, range(mixtures.MIXTURES[name][1])))
    labels = found.labels if classes else None
    samples = measuring.of_array(found.samples, protocol, (name, data_dir, image_size))
    return samples._replace(labels=labels, classes=classes, about=found.about)


def generated_samples(
    config: ml_collections.ConfigDict,
    generator,
    state,
    num: int,
    truncation: float = 0.0,
    counts: tuple[int, ...] = (),
    wanted: Proportions = EVEN,
) -> Samples:
    """`num` samples of the averaged generator, always of the same latents.

    counts: of each class among what the generator was trained on, () for all alike. wanted: how often each class is
    asked for.
    """
    way, takes = conditional.of(config)
    told = sampling.proportional_labels(takes, num, wanted.counts)
    inputs = sampling.inputs(takes, state, num, EVALUATION_SEED, told, truncation)
    samples = sampling.samples(generator, state, takes, inputs, counts)

    def generate(count, epsilon):
        """Samples at both ends of `count` arcs, each of `epsilon` of the great circle between two latents.

        Or of the straight line between their w, where the generator maps them. Images in [0, 255], but not rounded: the
        ends would be equal.
        """
        labels = np.tile(sampling.proportional_labels(takes, count, wanted.counts), 2)
        start, end = sampling.inputs(takes, state, 2 * count, PATH_SEED, labels).reshape(2, count, sum(takes))
        at = np.random.default_rng(PATH_SEED).uniform(size=count).astype(np.float32)
        outputs = sampling.outputs_between(generator, state, takes, counts)
        ends = [outputs(start, end, t) for t in (at, at + epsilon)]
        ways = "straight lines in w" if hasattr(generator, "mapping") else "great circles"
        return (ends if len(generator.shape) == 1 else [(images + 1) * 127.5 for images in ends]), ways

    is_average = averages.is_average(config, state.hparams, state.step)
    protocol: dict[str, Any] = {"generator": "average (ema)" if is_average else "last"}
    if truncation:
        protocol["truncation"] = truncation
    protocol |= sampling.truncation_in_w(generator)
    if way.is_told_labels:
        protocol["conditions"] = wanted.words
    found = measuring.of_array(samples, protocol, generate=generate)
    return found._replace(labels=told if way.is_told_labels else None, codes=told if way.is_told_codes else None)
