"""Inception on this device: images a second, and the FID of real images against others of the same set.

FID of CIFAR-10's 50,000 train images against its 10,000 test images, of 10,000 of the former against them, and what
TF32 would change of the latter: evaluations never use it, this says why or why not.
"""

import time

import numpy as np

from benchmarks import metrics
from benchmarks.accelerator import run, stage
from benchmarks.train_step import machine
from gan_jax.data import sources
from gan_jax.errors import UserError
from gan_jax.features import extraction, inception
from gan_jax.metrics import frechet

FEW = 10_000
IN_REHEARSAL = 32  # images


def main() -> None:
    """Writes features.json, after each of its parts."""
    given = stage.options(__doc__)
    results = {"machine": machine()}
    try:
        weights = inception.load()
    except UserError as error:
        if not given.rehearse:
            raise
        stage.save(given, "features", results | {"left_out": str(error)})
        return
    networks = metrics.networks(weights)
    train, test = images(given, "train"), images(given, "test")
    results["fid"] = fids(networks["ours"], train, test, results)
    stage.save(given, "features", results)
    results["images_per_s"] = metrics.race(networks, 1 if given.rehearse else 5)
    stage.save(given, "features", results)
    if "ours, TF32" in networks:
        results["fid"] |= fids(networks["ours, TF32"], few(train), test, results, ", in TF32")
        stage.save(given, "features", results)


def images(given, split: str) -> np.ndarray:
    """All images of a split; a few digits where a rehearsal has no CIFAR-10."""
    is_real = run.is_there(given.work, "cifar10")
    name = "cifar10" if is_real or not given.rehearse else "digits"
    found, _ = sources.reference(name, run.data_dir(given.work, "cifar10"), 0, split if is_real else "train", 0, 0)
    return found[:IN_REHEARSAL] if given.rehearse else found


def few(train: np.ndarray) -> np.ndarray:
    """As many as there are test images, drawn with seed 0."""
    rows = np.random.default_rng(0).choice(len(train), min(FEW, len(train)), replace=False)
    return train[np.sort(rows)]


def fids(network, train, test, results: dict, words: str = "") -> dict:
    """{pair: FID} of a few of the train images, and of all, against the test images."""
    of_test, pairs = _features(network, test, results), {}
    for some in (few(train), train) if len(train) > FEW else (train,):
        of_some = _features(network, some, results)
        pairs[f"{len(some)} train against {len(test)} test{words}"] = distance(of_some, of_test)
    return pairs


def _features(network, some, results):
    """Kept in the cache, if they are of the products that evaluations use: then the last stage reads them there."""
    start = time.monotonic()
    is_kept = "tensorfloat32" not in network.name
    features = extraction.extract(network, lambda first, last: some[first:last], len(some), is_kept).features
    results.setdefault("extraction", []).append({"images": len(some), "seconds": time.monotonic() - start})
    return features


def distance(a: np.ndarray, b: np.ndarray) -> float:
    """Between Gaussians, as every evaluation here has it."""
    return float(frechet.frechet_distance(a, b))


if __name__ == "__main__":
    main()
