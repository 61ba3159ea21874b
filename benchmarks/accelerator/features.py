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
    results["images_per_s"] = metrics.race("", 1 if given.rehearse else 5, 4 if given.rehearse else 0)
    stage.save(given, "features", results)
    train, test = images(given, "train"), images(given, "test")
    results["fid"] = fids(given, weights, train, test, results)
    stage.save(given, "features", results)


def images(given, split: str) -> np.ndarray:
    """All images of a split; a few digits where a rehearsal has no CIFAR-10."""
    is_real = run.is_there(given.work, "cifar10")
    name = "cifar10" if is_real or not given.rehearse else "digits"
    found, _ = sources.reference(name, str(run.data_dir(given.work)), 0, split if is_real else "train", 0, 0)
    return found[:IN_REHEARSAL] if given.rehearse else found


def fids(given, weights, train, test, results: dict) -> dict:
    """{pair: FID} by float32's products, and by TF32's."""
    few = train[np.sort(np.random.default_rng(0).choice(len(train), min(FEW, len(train)), replace=False))]
    found = {}
    exact = inception.network(weights)
    of_test = _features(exact, test, results, "test")
    found[f"{len(train)} train against {len(test)} test"] = distance(_features(exact, train, results, "train"), of_test)
    stage.save(given, "features", results | {"fid": found})
    pair = f"{len(few)} train against {len(test)} test"
    found[pair] = distance(_features(exact, few, results, "few"), of_test)
    rounded = inception.network(weights, precision="tensorfloat32")
    both = [_features(rounded, some, results, "tf32") for some in (few, test)]
    found[f"{pair}, TF32"] = distance(*both)
    found["largest difference of a feature by TF32"] = float(np.abs(both[1] - of_test).max())
    return found


def _features(network, some, results, name):
    """Kept in the cache, if they are of the products that evaluations use."""
    start = time.monotonic()
    is_kept = "tensorfloat32" not in network.name
    features = extraction.extract(network, lambda first, last: some[first:last], len(some), is_kept).features
    results.setdefault("extraction", {})[name] = {"images": len(some), "seconds": time.monotonic() - start}
    return features


def distance(a: np.ndarray, b: np.ndarray) -> float:
    """Between Gaussians, as every evaluation here has it."""
    return float(frechet.frechet_distance(a, b))


if __name__ == "__main__":
    main()
