"""Seconds per generator step: ours, the same networks of stock flax, and PyTorch, alternating in one run.

    pip install '.[benchmark]' && python benchmarks/train_step.py [--gpu] [--cases NAME ...] [--rounds N] [--json FILE]

Every contender is a process of its own, and one works while the others wait. In each round each makes a few steps, so
that a busy machine is busy for all of them. What is timed is what training runs: the compiled block of steps of
`gan_jax.runs.loop`, which draws the minibatches too. Columns:

    median, min    seconds per generator step, over the rounds
    images/s       reals that the critic saw in a second: n_critic * batch_size / median
    compile        seconds that the first step took beyond a later one
    memory         peak of the process beyond what it held with its data loaded, MB; of a GPU its whole peak, with the
                   data, and with what was tried to choose kernels
    of GEMM        products and sums of the matrix products, counted by `flops`, in the best round, over the rate
                   of a 2048 x 2048 float32 matrix product in its own best round, as JAX has it by default
    times ours     its median over that of ours; with "8" or "16" it is a step of all of these

Floating-point operations are those of our networks, and of all taps of a kernel, also where they fall on padding;
PyTorch's ResNets take more for the same, since they pool and upsample apart. "stock flax" is our train
step with flax's layers, and XLA's options are ours. "finite_difference" has the penalties by these, on the whole
minibatch or on a quarter of it; "of GEMM" counts the exact ones. "exchanged" lets XLA exchange kernels for images that
are smaller. "scaled" has StyleGAN2's modulated convolutions as one convolution of scaled inputs, as the authors' code
has in training; else PyTorch has a group for each sample.

With --gpu the contenders are those that tell something on a GPU. "ours" is the program as training has it: native
convolutions, and products of float32 in TF32, as JAX has them by default; so has "PyTorch". "float32" is without TF32,
"bfloat16" the networks in bfloat16 (PyTorch's by autocast), "closed" the convolutions of a CPU. There as many as half
the cores compile side by side, so that "compile" is of a busy machine; they race when all are ready.
"""

import argparse
import functools
import importlib.metadata
import itertools
import json
import math
import multiprocessing
import os
import pathlib
import platform
import resource
import runpy
import statistics
import subprocess
import sys
import time
from typing import NamedTuple

from gan_jax.files import atomic


class Case(NamedTuple):
    """A system to train: what differs from the defaults of its data, and what is tried on it, on a CPU and on a GPU."""

    title: str
    experiment: str
    data: str
    fields: dict
    contenders: tuple[str, ...]
    on_gpu: tuple[str, ...]


_IMAGES = {"network.width": 64, "batch_size": 64, "data.image_size": 32}
_STYLED = {"network.width": 32, "network.max_width": 256, "network.latent_dim": 256, "batch_size": 32}
_JAX = ("ours", "ours, unrolled", "stock flax")
_PEERS = ("PyTorch", "PyTorch, channels_last", "PyTorch, scaled")
_STYLED_ON_GPU = ("ours", "PyTorch, scaled", "ours, bfloat16", "PyTorch", "ours, float32")
# In the order in which they tell most: where time is short, the last are left out.
_PRECISIONS = ("ours", "PyTorch", "ours, bfloat16", "PyTorch, bfloat16", "ours, float32", "PyTorch, float32")
_ON_GPU = (*_PRECISIONS, "ours, closed", "stock flax", "ours, unrolled")
_ESTIMATED = ("ours, finite_difference", "ours, finite_difference of 1/4")
_POPULATION = ("ours", "ours, 8 side_by_side", "ours, 8 vmap", "stock flax", "stock flax, 8 vmap")
_SEEDS = (
    "ours",
    "ours, 16 one_after_another",
    "ours, 16 side_by_side",
    "ours, 16 vmap",
    "PyTorch, 16 one_after_another",
)
CASES = {
    "dcgan_wgan_gp": Case(
        "DCGAN 32x32x3, width 64, batch 64, WGAN-GP", "wgan_gp", "cifar10", _IMAGES, (*_JAX, "PyTorch"), _ON_GPU
    ),
    "dcgan_wgan": Case(
        "DCGAN 32x32x3, width 64, batch 64, WGAN with clipping",
        "wgan",
        "cifar10",
        _IMAGES,
        (*_JAX, "PyTorch", "PyTorch, compiled"),
        (*_ON_GPU, "PyTorch, compiled"),
    ),
    "dcgan_rp_gan": Case(
        "DCGAN 32x32x3, width 64, batch 64, relativistic with R1 and R2",
        "rp_gan",
        "cifar10",
        _IMAGES,
        ("ours", *_ESTIMATED, "PyTorch"),
        ("ours", *_ESTIMATED, "PyTorch", "ours, bfloat16", "PyTorch, bfloat16"),
    ),
    "dcgan64_gan": Case(
        "DCGAN 64x64x3, width 64, batch 64, non-saturating",
        "ns_gan",
        "cifar10",
        _IMAGES | {"data.image_size": 64},
        ("ours", "stock flax", "PyTorch", "PyTorch, compiled"),
        (*_ON_GPU, "PyTorch, compiled"),
    ),
    "resnet_wgan_gp": Case(
        "ResNet 32x32x3, generator 256, critic 128, batch 64, 128 in the generator's update, WGAN-GP",
        "wgan_gp_cifar10",
        "cifar10",
        {"data.image_size": 32},
        ("ours", "PyTorch"),
        _ON_GPU,
    ),
    "resnet8_wgan_gp": Case(
        "ResNet 8x8x1, width 128, batch 64, WGAN-GP",
        "wgan_gp",
        "digits",
        {"network.name": "resnet", "network.width": 128, "data.image_size": 8},
        ("ours", "ours, exchanged", "PyTorch"),
        ("ours", "PyTorch"),
    ),
    "stylegan2_32": Case(
        "StyleGAN2 32x32x3, width 32 to 256, batch 32, R1 every 16, path length every 4",
        "stylegan2",
        "cifar10",
        _STYLED | {"data.image_size": 32},
        ("ours", *_PEERS),
        _STYLED_ON_GPU,
    ),
    "stylegan2_64": Case(
        "StyleGAN2 64x64x3, width 16 to 256, batch 16, R1 every 16, path length every 4",
        "stylegan2",
        "cifar10",
        _STYLED | {"data.image_size": 64, "network.width": 16, "batch_size": 16},
        ("ours", *_PEERS),
        _STYLED_ON_GPU,
    ),
    "stylegan2_cifar": Case(
        "StyleGAN2 32x32x3, the authors' recipe `cifar`, 512 channels, batch 64, no augmentation",
        "stylegan2_official",
        "cifar",
        {"augment": "none", "augment_target": 0.0},
        (),  # a step takes a CPU minutes
        _STYLED_ON_GPU,
    ),
    "mlp128_wgan_gp": Case(
        "2-D, 3x128, batch 256, WGAN-GP", "wgan_gp", "ring", {"network.width": 128}, ("ours", "PyTorch"), _PRECISIONS
    ),
    "mlp512_wgan_gp": Case(
        "2-D, 3x512, batch 256, WGAN-GP", "wgan_gp", "ring", {"network.width": 512}, ("ours", "PyTorch"), _PRECISIONS
    ),
    "mlp64_wgan_gp": Case(
        "2-D, 3x64, batch 64, WGAN-GP",
        "wgan_gp",
        "ring",
        {"network.width": 64, "batch_size": 64},
        ("ours", "PyTorch"),
        _PRECISIONS,
    ),
    "population": Case(
        "population of DCGANs 32x32x3, width 8, batch 16, WGAN-GP",
        "wgan_gp",
        "cifar10",
        {"network.width": 8, "batch_size": 16, "data.image_size": 32},
        _POPULATION,
        ("ours", "ours, 8 vmap", "ours, 64 vmap", "ours, 8 one_after_another"),
    ),
    "seeds": Case(
        "16 seeds of 2-D, 3x64, batch 64, WGAN-GP",
        "wgan_gp",
        "ring",
        {"network.width": 64, "batch_size": 64},
        _SEEDS,
        ("ours", "ours, 8 vmap", "ours, 64 vmap", "ours, 8 one_after_another", "PyTorch, 8 one_after_another"),
    ),
}
SLOW = ("stock flax", "stock flax, 8 vmap")  # seconds to minutes a step on a CPU: one round is enough
MATRIX = 2048
LONGEST = 60  # seconds that an answer is waited for, also where the time is up
SMALL = {"network.width": 4, "network.generator_width": 0, "batch_size": 8, "n_critic": 1}  # for a rehearsal


def main():
    """Runs the cases, and prints each table when it is done."""
    options = _options()
    results = {"machine": machine(), "cases": {}}
    print(results["machine"])
    end = time.monotonic() + options.limit
    for i, name in enumerate(options.cases):
        now = time.monotonic()  # the first cases tell most, and have most time
        rows = race(name, options, now + (end - now) * max(0.35, 1 / (len(options.cases) - i)))
        results["cases"][name] = rows
        print(f"\n### {CASES[name].title}\n\n{table(rows)}", flush=True)
        if options.json:
            atomic.write(options.json, (json.dumps(results, indent=1) + "\n").encode())


def _options():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--cases", nargs="+", choices=CASES, help="default: all; on a CPU, all for one")
    contenders = sorted({contender for case in CASES.values() for contender in (*case.contenders, *case.on_gpu)})
    parser.add_argument("--contenders", nargs="+", choices=contenders, help="besides ours; default: all of each case")
    parser.add_argument("--rounds", type=int, default=7, choices=range(1, 1001), metavar="N", help="default: 7")
    parser.add_argument("--seconds", type=float, default=1.0, help="that each contender works in a round; default: 1")
    parser.add_argument("--gpu", action="store_true", help="the contenders that tell something on a GPU")
    parser.add_argument(
        "--limit", type=float, default=math.inf, help="seconds, about: what does not begin in them is left out"
    )
    parser.add_argument("--small", action="store_true", help="networks and minibatches of no use, to rehearse it all")
    parser.add_argument("--json", help="file for the figures, as JSON, after each case")
    options = parser.parse_args()
    options.cases = options.cases or [name for name, case in CASES.items() if options.gpu or case.contenders]
    if options.json and not pathlib.Path(options.json).resolve().parent.is_dir():
        parser.error(f"--json={options.json}: there is no such folder")
    return options


def machine() -> str:
    """Processor, cores, GPU and versions."""
    with open("/proc/cpuinfo") as file:
        names = (line.split(":")[1].strip() for line in file if line.startswith("model name"))
        processor = next(names, platform.machine())
    packages = ["jax", "jaxlib", "flax", "torch"]
    versions = ", ".join(f"{name} {_version(name)}" for name in packages)
    cores = f"{processor}, {len(os.sched_getaffinity(0))} cores"
    return f"{cores}; {gpu()}Python {platform.python_version()}, {versions}"


def gpu() -> str:
    """The first GPU of NVIDIA's, its memory and its driver; "" without one."""
    asked = ["nvidia-smi", "--query-gpu=name,memory.total,driver_version", "--format=csv,noheader"]
    try:
        found = subprocess.run(asked, capture_output=True, text=True, timeout=30, check=True).stdout.splitlines()
    except (OSError, subprocess.SubprocessError):
        return ""
    return f"{len(found)} x {found[0]}; " if found else ""


def _version(package):
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return "not installed"


def race(name, options, deadline):
    """Rows of figures, by contender, of one case; those that would begin after the deadline have {"error"} instead."""
    listed = CASES[name].on_gpu if options.gpu else CASES[name].contenders
    wanted = [c for c in listed if not options.contenders or c == "ours" or c in options.contenders]
    contenders = {c: _Contender(name, c, options) for c in ["GEMM", *wanted]}
    first = _first_steps(list(contenders.values()), deadline, options.gpu)
    first = dict(zip(contenders, first, strict=True))
    running = [contender for contender in contenders if "error" not in first[contender]]
    steps = {c: max(1, round(options.seconds / first[c]["second"])) for c in running}
    times = {c: [] for c in running}
    for round_ in range(options.rounds):
        for contender in [c for c in running if "error" not in first[c]]:
            if round_ == 0 or (time.monotonic() < deadline and (options.gpu or contender not in SLOW)):
                answer = contenders[contender].run(steps[contender], deadline)
                if "error" in answer:
                    first[contender] = answer
                else:
                    times[contender].append(answer["seconds"])
    peaks = {contender: contenders[contender].stop() for contender in running if "error" not in first[contender]}
    return _figures(configuration(name, options.small), wanted, first, times, peaks)


def _first_steps(processes, deadline, is_gpu):
    """What each says of its first step, one after another; the first two thirds of the time are for that.

    On a GPU, where to compile is most of it, those that are next do so beside it.
    """
    began = time.monotonic()
    latest = began + (deadline - began) * 2 / 3
    ahead = max(1, len(os.sched_getaffinity(0)) // 2) if is_gpu else 1
    answers = []
    for i, process in enumerate(processes):
        for other in processes[(i + ahead - 1 if i else 0) : i + ahead]:
            other.start()
        answers.append(process.first(latest))
    return answers


def _figures(config, contenders, first, times, peaks):
    rate = 2 * MATRIX**3 / min(times["GEMM"]) if times.get("GEMM") else math.nan
    rows = {}
    for contender in contenders:
        if "error" in first[contender]:
            rows[contender] = first[contender]
            continue
        members, _ = population_of(contender)
        median, best = statistics.median(times[contender]), min(times[contender])
        rows[contender] = {
            "median_s": median,
            "min_s": best,
            "images_per_s": members * config.n_critic * config.batch_size / median,
            "compile_s": first[contender]["first"] - first[contender]["second"],
            "memory_mb": peaks[contender],
            "of_gemm": members * flops(config, shape_of(config)) / best / rate,
            "rounds": len(times[contender]),
            "gemm_gflops": rate / 1e9,
        }
    return rows


def table(rows) -> str:
    """The figures as a table in Markdown."""
    ours = rows["ours"].get("median_s", math.nan)
    lines = ["| | median s | min s | images/s | compile s | memory MB | of GEMM | times ours |", "|---" * 8 + "|"]
    for contender, row in rows.items():
        if "error" in row:
            lines.append(f"| {contender} | {row['error']} |")
            continue
        lines.append(
            f"| {contender} | {row['median_s']:.4g} | {row['min_s']:.4g} | {row['images_per_s']:.0f} | "
            f"{row['compile_s']:.1f} | {row['memory_mb']:.0f} | {row['of_gemm']:.1%} | "
            f"{row['median_s'] / ours:.2f} |"
        )
    rate = next((row["gemm_gflops"] for row in rows.values() if "error" not in row), math.nan)
    return "\n".join(lines) + f"\n\nA {MATRIX} x {MATRIX} float32 matrix product: {rate:.0f} GFLOP/s."


# The contenders' processes.


class _Contender:
    """A process that makes steps when it is told to."""

    def __init__(self, case, name, options):
        context = multiprocessing.get_context("spawn")
        self._pipe, other = context.Pipe()
        arguments = (other, case, name, options.small, options.gpu)
        self._process = context.Process(target=_serve, args=arguments, daemon=True)

    def start(self):
        """Has it get ready."""
        self._process.start()

    def first(self, latest):
        """{"first", "second"}: the seconds of the first step and of a later one; or {"error"}, in a line.

        latest: of `time.monotonic()`, when it must have answered.
        """
        if time.monotonic() >= latest:
            return self._ended("not begun: no time was left")
        ready = self._answer(latest)
        return ready if "error" in ready else self.run(0, latest)

    def run(self, steps, latest):
        """{"seconds"} per step, or {"error"}."""
        try:
            self._pipe.send(steps)
        except OSError:
            return self._ended("its process has ended")
        return self._answer(max(latest, time.monotonic() + LONGEST))

    def _answer(self, latest):
        left = None if math.isinf(latest) else max(0, latest - time.monotonic())
        try:
            answer = self._pipe.recv() if self._pipe.poll(left) else {"error": "did not answer in time"}
        except (EOFError, OSError):  # as where the system has killed it
            answer = {"error": "its process has ended"}
        return self._ended(answer["error"]) if "error" in answer else answer

    def _ended(self, reason):
        self._process.kill()
        return {"error": reason}

    def stop(self):
        """The peak of its memory, in MB."""
        answer = self.run(-1, 0)
        self._process.join()
        return answer.get("peak", math.nan)


def _serve(pipe, case, name, is_small, is_gpu):
    os.environ["XLA_PYTHON_CLIENT_PREALLOCATE"] = "false"  # the contenders share a GPU
    try:
        advance, memory = _build(configuration(case, is_small), name)
        first = _timed(advance, 1) if is_gpu else None
        pipe.send({"ready": True})
        while (steps := pipe.recv()) >= 0:  # 0: the first ones; below: the end
            pipe.send({"seconds": _timed(advance, steps)} if steps else _first_and_second(advance, name, first))
        pipe.send({"peak": memory()})
    except Exception as error:
        pipe.send({"error": f"{type(error).__name__}: {error}".splitlines()[0][:200]})


def _first_and_second(advance, name, first):
    """Of the first step, unless it was made already, and of a later one."""
    first = first or _timed(advance, 1)
    second = _timed(advance, 1) if name in SLOW else _timed(advance, max(1, round(0.3 / _timed(advance, 1))))
    return {"first": first, "second": second}


def _timed(advance, steps):
    start = time.perf_counter()
    advance(steps)
    return (time.perf_counter() - start) / steps


def _build(config, name):
    """(a function that makes so many steps, a function that gives the peak of memory in MB)."""
    if name.startswith("PyTorch"):
        return _build_pytorch(config, name)
    import jax

    if name == "GEMM":
        return _build_gemm(jax), lambda: 0
    return _build_ours(jax, config, name)


def _build_gemm(jax):
    matrix = jax.random.normal(jax.random.key(0), (MATRIX, MATRIX))
    scaled = matrix / MATRIX**0.5  # so that powers stay finite

    @jax.jit
    def powers(n):
        return jax.lax.fori_loop(0, n, lambda _, power: power @ scaled, matrix)

    return lambda n: powers(n).block_until_ready()


def _build_ours(jax, config, name):
    from gan_jax.runs import loop
    from gan_jax.training import population

    source, device = _source(config), jax.devices()[0]
    memory = _memory_of_process()
    if device.platform != "cpu":
        memory = lambda: device.memory_stats()["peak_bytes_in_use"] / 1e6  # noqa: E731
    _change(jax, config, name)
    members, way = population_of(name)
    carries = loop.fresh_carries(_members(config, members), source)
    advance = None

    def run(steps):
        nonlocal carries, advance
        if not advance:  # the first step is timed with its compilation
            advance = population.make_advance(population.compile_program(config, source, carries[0]), way)
        carries, done = advance(carries, steps)
        jax.block_until_ready(done)

    return run, memory


def _change(jax, config, name):
    """What tells this contender from ours; the process and the configuration are its own."""
    from flax import linen as nn

    from gan_jax.networks import conv, dcgan

    if name.startswith("stock flax"):
        geometry = {"kernel_size": (4, 4), "strides": (2, 2), "padding": "SAME"}
        dcgan.Conv = functools.partial(nn.Conv, **geometry)
        dcgan.ConvTranspose = functools.partial(nn.ConvTranspose, **geometry)
    if name.endswith("exchanged"):
        conv._not_exchanged = lambda x, w, window: (x, w, window)
    if name.endswith("unrolled"):
        jax.lax.scan = functools.partial(jax.lax.scan, unroll=True)
    if name.endswith("closed"):
        jax.lax.platform_dependent = lambda *arguments, cpu, default: cpu(*arguments)
        conv.CACHE = 2**62  # a GPU does not go through the batch in parts
    if name.endswith("float32"):
        jax.config.update("jax_default_matmul_precision", "highest")
    if name.endswith("bfloat16"):
        config.network.dtype = "bfloat16"
        config.network.clamp = 256.0 if config.network.name == "stylegan2" else 0.0
    if "finite_difference" in name:
        config.penalty.estimator = "finite_difference"
        config.penalty.share = 0.25 if name.endswith("1/4") else 1.0


def population_of(contender: str) -> tuple[int, str]:
    """(members, way): "ours, 16 vmap" -> (16, "vmap"); "ours" -> (1, "one_after_another")."""
    _, _, members = contender.partition(", ")
    count, _, way = members.partition(" ")
    return (int(count), way) if count.isdigit() else (1, "one_after_another")


def _members(config, count):
    configs = [config.copy_and_resolve_references() for _ in range(count)]
    for seed, member in enumerate(configs):
        member.seed = seed
    return configs


def _build_pytorch(config, name):
    import torch

    if gpu() and not torch.cuda.is_available():
        raise RuntimeError("this build of PyTorch sees no GPU")
    count, _ = population_of(name)
    precision = next((word for word in ("float32", "bfloat16") if name.endswith(word)), "tf32")

    pixels = _source(config).arrays.get("image")
    images = None if pixels is None else pixels.astype("float32") / 127.5 - 1
    memory = _memory_of_process()
    if torch.cuda.is_available():
        memory = lambda: torch.cuda.max_memory_allocated() / 1e6  # noqa: E731
    if config.network.name == "stylegan2":
        from stylegan2_peer import step_of

        members = [step_of(config, shape_of(config), images, name.rpartition(", ")[2])]
    else:
        from pytorch_peer import make_step

        given = shape_of(config), images, name.endswith("compiled"), precision
        members = [make_step(config, *given) for _ in range(count)]

    def run(steps):
        for step in members * steps:
            step()
        if torch.cuda.is_available():
            torch.cuda.synchronize()

    return run, memory


def _memory_of_process():
    def peak():
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024

    before = peak()
    return lambda: peak() - before


# What is trained.


def configuration(case: str, is_small: bool = False):
    """The case's configuration: its experiment's, with its fields."""
    path = pathlib.Path(__file__).parents[1] / "experiments" / f"{CASES[case].experiment}.py"
    config = runpy.run_path(str(path))["get_config"](CASES[case].data)
    config.update_from_flattened_dict(CASES[case].fields | (SMALL if is_small else {}))
    return config


def shape_of(config) -> tuple[int, ...]:
    """(h, w, c) of the images, or (2,)."""
    return (2,) if config.data.name == "ring" else (config.data.image_size, config.data.image_size, 3)


def _source(config):
    """Random pixels instead of images, which would have to be fetched; or the mixture itself."""
    import numpy as np

    from gan_jax.data import batches, sources

    if sources.is_points(config.data.name):
        return sources.load(config.data.name, "", 0, 0.0)
    shape = shape_of(config)
    pixels = np.random.default_rng(0).integers(0, 256, (5000, *shape), np.uint8)
    labels = np.zeros(len(pixels), np.int32)
    return sources.Source(config.data.name, shape, 0, {"image": pixels, "label": labels}, batches.draw, None)


def flops(config, shape: tuple[int, ...]) -> int:
    """Floating-point operations of a step's matrix products, each multiplication and each addition counted as one.

    With g and d the products of a pass of one sample through generator and critic: a critic update makes the fakes (g),
    and passes reals and fakes forwards, back to the weights and back to the inputs (3 d each, but for the first layer's
    inputs). A penalty passes its points forwards and back to the inputs, and derives the latter by cotangents and by
    weights (4 d), for reals and for fakes where it is of both. The generator's step is 3 g (but for the latents) + 2 d,
    for generator_batch times as many fakes, and d more for the reals of a relativistic loss. Lazy terms count for their
    share of the steps. Where slopes follow from what the pass forward gave, as with products of styles and with
    minibatch deviations, its derivative is taken too: 6 g for a path length, of half of the samples, and 6 d for R1.
    """
    generator, critic = _layers(config, shape)
    g, d = sum(generator), sum(critic)
    penalties = {"none": 0, "r1_r2": 2}.get(config.penalty.name, 1)
    of_penalty = 6 if config.network.minibatch_deviation else 4
    critic_update = g + 2 * (3 * d - critic[0]) + penalties * of_penalty * d / config.penalty.every
    judged = 3 if config.loss.startswith("relativistic") else 2
    generator_update = config.generator_batch * (3 * g - generator[0] + judged * d)
    if config.generator.path_length.weight:
        generator_update += 6 * g / 2 / config.generator.path_length.every
    return round(2 * config.batch_size * (config.n_critic * critic_update + generator_update))


def _layers(config, shape):
    """Multiplications that each layer of the generator, and of the critic, needs for one sample."""
    width, latent = config.network.width, config.network.latent_dim
    if config.network.name == "mlp":
        sizes = [width] * config.network.depth
        return tuple(
            [a * b for a, b in zip([first, *sizes], [*sizes, last], strict=True)]
            for first, last in ((latent, shape[0]), (shape[0], 1))
        )
    size, _, colours = shape
    if config.network.name == "resnet":
        return _layers_of_resnet(config.network, size, colours)
    if config.network.name == "stylegan2":
        return _layers_of_stylegan2(config.network, size, colours)
    channels, pixels = [colours], []
    while size > 4:
        size //= 2
        channels.append(width * 2 ** len(pixels))
        pixels.append(size**2)
    convolutions = [16 * a * b * n for a, b, n in zip(channels, channels[1:], pixels, strict=False)]
    flat = 16 * channels[-1]
    return [latent * flat, *reversed(convolutions)], [*convolutions, flat]


def _layers_of_stylegan2(network, size, colours):
    """A convolution to twice the size counts its pixels before, one to half of it those after."""
    from gan_jax.networks import stylegan2

    latent, channels = network.latent_dim, stylegan2.channels((size, size), network.width, network.max_width)
    generator, critic = [latent**2] * network.depth + [9 * channels[0] ** 2 * 16], [colours * channels[-1] * size**2]
    for i, (smaller, larger) in enumerate(itertools.pairwise(channels)):
        pixels = 16 * 4**i
        generator += [9 * smaller * larger * pixels, 9 * larger**2 * 4 * pixels]
        critic += [9 * larger**2 * 4 * pixels, 10 * smaller * larger * pixels]  # the last with its shortcut
    return generator, [*critic, 9 * channels[0] ** 2 * 16, 16 * channels[0] ** 2, channels[0]]


def _layers_of_resnet(network, size, colours):
    """Up to 32 pixels. With its pooling or upsampling, a convolution has 16 taps on the smaller image, as in ours."""
    width, channels = network.width, network.generator_width or network.width
    generator, pixels = [16 * network.latent_dim * channels], 16
    while pixels < size**2:
        generator += [17 * channels**2 * pixels, 9 * channels**2 * 4 * pixels]  # the first 1 is the shortcut
        pixels *= 4
    generator += [9 * channels * colours * pixels]
    half, quarter = size**2 // 4, size**2 // 16
    first = [9 * colours * width * size**2 + colours * width * half, 16 * width**2 * half]
    return generator, [*first, (9 * half + 17 * quarter) * width**2, 36 * width**2 * quarter, width]


if __name__ == "__main__":
    try:
        main()
    except KeyboardInterrupt:
        sys.exit(130)
