"""Numbers for a generator, each with its protocol."""

from typing import Any

import ml_collections

from gan_jax.data import batches, mixtures, sources
from gan_jax.errors import UserError
from gan_jax.metrics import classes, frechet, modes, wasserstein
from gan_jax.training import sampling

# Sets in which a classifier on pixels is accurate enough for its histogram to mean something, and its training reals.
CLASSIFIED, CLASSIFIER_REALS = ("digits", "mnist", "fashion_mnist"), 6000
# Exact Wasserstein-1 takes a matrix of n x n costs: 800 MB at this n.
MOST_POINTS = 10_000
# The latents of an evaluation, and those of sample grids, are not the same ones.
EVALUATION_SEED = 1


def check_size(config: ml_collections.ConfigDict, num: int) -> None:
    """A UserError where an evaluation of `num` samples can't be done."""
    if sources.is_points(config.data.name) and num > MOST_POINTS:
        raise UserError(f"{num} points to evaluate (--num, config.eval_samples): give at most {MOST_POINTS}")


def evaluate(config: ml_collections.ConfigDict, generator, state, num: int | None = None) -> dict[str, Any]:
    """The averaged generator's samples against reals: a record of evaluation.jsonl.

    `num` fakes against as many reals, or all that the set has; without it, at most `eval_samples` on both sides alike.

    Images: the Frechet distance in pixel space, and for `CLASSIFIED` sets the share of each class. Points: exact
    Wasserstein-1, and for mixtures of Gaussians the modes covered. `protocol` says what the numbers depend on.
    """
    check_size(config, num or config.eval_samples)
    reals, _ = _reals(config, num or config.eval_samples)
    if len(reals) < 2:
        raise UserError(f"data.name={config.data.name} has {len(reals)} sample: an evaluation needs at least 2")
    latents = sampling.latents(state, num or len(reals), config.network.latent_dim, EVALUATION_SEED)
    fakes = sampling.samples(generator, state, latents)
    is_points = sources.is_points(config.data.name)
    statistics, features = (_of_points if is_points else _of_images)(config, fakes, reals)
    protocol = {
        "data": config.data.name,
        "split": f"drawn from seed {config.seed}" if is_points else "train",
        "reals": len(reals),
        "samples": len(fakes),
        "generator": "average (ema)" if config.ema_decay else "last",
    }
    return {"step": int(state.step), **statistics, "protocol": protocol | features}


def _reals(config, num):
    data = config.data
    return sources.reference(data.name, data.dir, data.image_size, "train", num, config.seed)


def _of_points(config, fakes, reals):
    statistics = {"wasserstein_1": wasserstein.wasserstein_1(fakes, reals)}
    if config.data.name in mixtures.MODES:
        statistics |= modes.mode_statistics(fakes, *mixtures.MODES[config.data.name])
    return statistics, {"features": "coordinates", "method": "exact, by assignment, Euclidean cost"}


def _of_images(config, fakes, reals):
    pixels = [batches.to_unit(images).reshape(len(images), -1) for images in (fakes, reals)]
    statistics: dict[str, Any] = {"frechet_distance": frechet.frechet_distance(*pixels)}
    protocol = {"features": f"pixels in [-1, 1], {pixels[0].shape[1]} dimensions", "covariance": "N - 1"}
    if config.data.name in CLASSIFIED:
        images, labels = _reals(config, CLASSIFIER_REALS)
        shares = classes.class_shares(fakes, images, labels, seed=0)
        statistics["class_shares"] = shares.pop("class_shares")
        protocol |= shares
    return statistics, protocol


def table(record: dict[str, Any]) -> str:
    """A record of evaluation.jsonl as lines for the terminal."""
    protocol = record["protocol"]
    numbers = {name: value for name, value in record.items() if name != "protocol"}
    return "\n".join(f"{name:24} {_words(value)}" for name, value in [*numbers.items(), *protocol.items()])


def _words(value):
    if isinstance(value, list):
        return " ".join(map(_words, value))
    return f"{value:.4g}" if isinstance(value, float) else str(value)
