"""How fast images become numbers: Inception features against PyTorch and the machine, and the statistics on features.

    python benchmarks/metrics.py [--weights=FILE] [--rounds=N] [--num=10000]

Inception takes turns with the published archive run by PyTorch (frozen, channels last; where it is installed) and with
a matrix product of 2,048 x 2,048 in float32, whose rate is what the machine can do. On a GPU, in minibatches of 256,
both networks also in TF32; a number of evaluation is never made with it. The operations of the network are
counted by its convolutions, 11.4e9 an image. Statistics are measured in a process each, for its peak of memory
(Linux); the Frechet distance also on the pixels of few pictures of 64 x 64.
"""

import argparse
import functools
import pathlib
import statistics
import subprocess
import sys
import time
import warnings

import jax
import jax.numpy as jnp
import numpy as np

from gan_jax.features import cache, extraction, inception
from gan_jax.metrics import frechet, kernel, neighbours, wasserstein

OPERATIONS = 11.4e9  # of an image: two for each multiplication with an addition
STATISTICS = {
    "frechet": frechet.frechet_distance,
    "kernel": kernel.kernel_distance,
    "prdc": neighbours.precision_recall_density_coverage,
    "memorised": neighbours.memorised_share,
    "sliced": wasserstein.sliced_wasserstein,
}
PIXELS = 64 * 64 * 3


def main() -> None:
    """Prints both tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--weights", default="", help="Inception's; default: those used before")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--num", type=int, default=10_000, help="features on either side of a statistic")
    parser.add_argument("--statistic", choices=STATISTICS, help="measure this one alone")
    parser.add_argument("--dimensions", type=int, default=inception.DIMENSIONS, help="of the features of --statistic")
    args = parser.parse_args()
    if args.statistic:
        measure_statistic(args.statistic, args.num, args.dimensions)
        return
    show(race(networks(inception.load(args.weights)), args.rounds))
    print("\nstatistic", "of", "seconds", "peak memory, MB", sep="\t")
    pictures = [("frechet", num, PIXELS) for num in (100, 3000)]
    for name, num, dimensions in [*((name, args.num, args.dimensions) for name in STATISTICS), *pictures]:
        case = [f"--statistic={name}", f"--num={num}", f"--dimensions={dimensions}"]
        subprocess.run([sys.executable, __file__, *case], check=True)


def networks(weights: inception.Weights) -> dict[str, extraction.Network]:
    """Ours: as every evaluation has it; and where products of float32 can be in TF32, so."""
    rounded = {"ours, TF32": inception.network(weights, precision="tensorfloat32")}
    return {"ours": inception.network(weights)} | (rounded if jax.default_backend() != "cpu" else {})


def race(ours: dict[str, extraction.Network], rounds: int) -> dict[str, float]:
    """Images a second of these and of PyTorch, as medians over rounds in which they take turns.

    Of `matrix products`, operations a second.
    """
    is_on_cpu = jax.default_backend() == "cpu"
    batch = extraction.BATCH_ON_CPU if is_on_cpu else extraction.PART
    images = np.random.default_rng(0).integers(0, 256, (batch, 32, 32, 3), dtype=np.uint8)
    contenders = {name: functools.partial(_features, network, images) for name, network in ours.items()}
    if (peer := by_pytorch(images)) is not None:
        contenders["PyTorch"] = functools.partial(peer, allows_tf32=False)
        if not is_on_cpu:
            contenders["PyTorch, TF32"] = functools.partial(peer, allows_tf32=True)
    square = jnp.ones((2048, 2048))
    product = jax.jit(lambda x: jnp.matmul(x, x, precision="highest"))
    contenders["matrix products"] = lambda: [product(square).block_until_ready() for _ in range(4)]
    seconds: dict[str, list[float]] = {name: [] for name in contenders if _runs(name, contenders[name])}
    for name in [*seconds] * rounds:
        start = time.perf_counter()
        contenders[name]()
        seconds[name].append(time.perf_counter() - start)
    rate = 4 * 2 * 2048**3 / statistics.median(seconds.pop("matrix products"))
    return {name: batch / statistics.median(times) for name, times in seconds.items()} | {"matrix products": rate}


def _runs(name, run):
    """Runs it once, which compiles; whether it can. An opponent that can't ends no race."""
    try:
        run()
    except Exception as error:
        if not name.startswith("PyTorch"):
            raise
        print(f"{name} is left out: {type(error).__name__}: {error}".splitlines()[0][:300])
        return False
    return True


def _features(network, images):
    return jax.block_until_ready(network.apply(images))


def show(speeds: dict[str, float]) -> None:
    """Prints what `race` found as a table."""
    rate = speeds.pop("matrix products")
    print(f"matrix products: {rate / 1e9:.0f} GFlop/s", "images/s", "of that rate", "10,000 images", sep="\t")
    for name, speed in speeds.items():
        print(name, f"{speed:.2f}", f"{speed * OPERATIONS / rate:.0%}", f"{10_000 / speed / 60:.1f} min", sep="\t")


def by_pytorch(images):
    """The published archive, on images that are resized already; None without PyTorch or without the archive."""
    path = cache.originals() / "inception" / "default_1.pt"
    try:
        import torch
    except ImportError:
        return None
    if not path.is_file():
        return None
    device = "cuda" if torch.cuda.is_available() else "cpu"
    with warnings.catch_warnings(), torch.no_grad():
        warnings.simplefilter("ignore")
        module = torch.jit.freeze(torch.jit.load(path, map_location=device).eval())
    with jax.default_matmul_precision("highest"):
        large = np.array(inception.resized(images, "tf1")).transpose(0, 3, 1, 2)
    batch = torch.tensor(large).to(device, memory_format=torch.channels_last)

    def run(allows_tf32):
        torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = allows_tf32
        with torch.no_grad():
            module(batch).cpu()  # which waits for it

    return run


def measure_statistic(name: str, num: int, dimensions: int) -> None:
    """One line of the second table, on features of the kind that Inception gives: float32, not negative, skewed."""
    rng = np.random.default_rng(0)
    a, b = (rng.exponential(size=(num, dimensions)).astype(np.float32) ** 2 for _ in range(2))
    start = time.perf_counter()
    STATISTICS[name](a, b)
    seconds = time.perf_counter() - start
    status = pathlib.Path("/proc/self/status").read_text()  # getrusage would count what the parent had too
    peak = next(int(line.split()[1]) for line in status.splitlines() if line.startswith("VmHWM"))
    print(name, f"{num:,} x {num:,} x {dimensions:,}", f"{seconds:.1f}", f"{peak / 1000:.0f}", sep="\t")


if __name__ == "__main__":
    main()
