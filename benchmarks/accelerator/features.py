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
    rows = np.sort(np.random.default_rng(0).choice(len(train), min(FEW, len(train)), replace=False))
    few = f"{len(rows)} train against {len(test)} test"
    of_train, of_test = (_features(networks["ours"], some, results) for some in (train, test))
    results["fid"] = {
        few: frechet.frechet_distance(of_train[rows], of_test),
        f"{len(train)} train against {len(test)} test": frechet.frechet_distance(of_train, of_test),
    }
    stage.save(given, "features", results)
    results["images_per_s"] = metrics.race(networks, 1 if given.rehearse else 5)
    stage.save(given, "features", results)
    if rounded := networks.get("ours, TF32"):
        by_tf32 = (_features(rounded, some, results) for some in (train[rows], test))
        results["fid"][f"{few}, in TF32"] = frechet.frechet_distance(*by_tf32)
        stage.save(given, "features", results)


def images(given, split: str) -> np.ndarray:
    """All images of a split; a few digits where a rehearsal has no CIFAR-10."""
    is_real = run.is_there(given.work, "cifar10")
    name = "cifar10" if is_real or not given.rehearse else "digits"
    found, *_ = sources.reference(name, run.data_dir(given.work, "cifar10"), 0, split if is_real else "train", 0, 0)
    return found[:IN_REHEARSAL] if given.rehearse else found


def _features(network, some, results):
    """Kept in the cache, if they are of the products that evaluations use: then the last stage reads them there."""
    start = time.monotonic()
    is_kept = "tensorfloat32" not in network.name
    features = extraction.extract(network, lambda first, last: some[first:last], len(some), is_kept).features
    results.setdefault("extraction", []).append({"images": len(some), "seconds": time.monotonic() - start})
    return features


if __name__ == "__main__":
    main()
