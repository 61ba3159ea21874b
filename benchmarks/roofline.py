"""What the hardware allows: the operations and bytes of a step, over those that an H200 and a TPU v5e have in a second.

    pip install '.[cuda]' 'jax[tpu]' && python benchmarks/roofline.py [--experiments NAME ...] [--devices NAME ...]

Nothing is run, and neither device has to be there: each step is compiled ahead of time, by the device's own compiler,
for a description of the device. A device whose compiler is not installed is left out. On two CPU cores a GPU's compiler
takes up to a minute for a step, and a TPU's ten or more. One row for each system, its networks' dtype, and device:

    GFLOP       floating-point operations of a step, by XLA's analysis of the program before it is optimised, with the
                loop over the critic's updates unrolled: that analysis counts the body of a loop once
    GB          what the kernels of the compiled program read and write: of each its operands and results that lie in
                the device's memory, padded as they lie there, and those of a loop's body as often as it runs
    FLOP/byte   the one over the other
    ms          the larger of operations over their rate and of bytes over the bandwidth: no step is faster than that
    bound by    which of the two it is
    steps/s     what follows: no more than these
    in turn     steps/s where kernels with products have the tensor cores, or the memory, to themselves, and all others
                come after them: so it is on a GPU, and nearly so on a TPU, which copies in the background
    kernels     that a GPU launches in a step, and the share of the bound that each of them has: where a launch takes
                longer than this, the launches are the bound, of which this table knows nothing

Inception is for an image, of a minibatch of 256. XLA's analysis counts all arithmetic, not products alone.
"""

import argparse
import functools
import importlib.metadata
import math
import os
import pathlib
import re
import runpy
import sys
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple
from unittest import mock

import jax
import jax.numpy as jnp
import numpy as np
from jax.experimental import topologies
from jax.sharding import SingleDeviceSharding

from gan_jax.data.batches import Batch
from gan_jax.features import extraction, inception
from gan_jax.training.state import create_state
from gan_jax.training.step import make_train_step


class System(NamedTuple):
    """What is trained: an experiment, its data, and the fields in which it differs."""

    experiment: str
    data: str = "cifar10"
    shape: tuple[int, int, int] = (32, 32, 3)
    fields: dict[str, Any] = {}  # noqa: RUF012


class Device(NamedTuple):
    """A device: how XLA finds its description, and its maker's figures.

    rates: operations a second of dense products, by their precision. bandwidth: bytes a second.
    """

    title: str
    description: dict[str, str]
    rates: dict[str, float]
    bandwidth: float


class Cost(NamedTuple):
    """Bytes that kernels read and write, those of them that do without products, and how many kernels there are."""

    bytes: int
    without_products: int
    kernels: int


# The published recipe of SNGAN's CNN, as its experiment has it.
_CNN = {"network.name": "sn_cnn", "network.width": 64, "network.generator_width": 64, "network.latent_dim": 100}
SYSTEMS = {
    "dcgan_cifar10": System("dcgan_cifar10"),
    "wgan_cifar10": System("wgan_cifar10"),
    "sn_gan_cifar10_cnn": System("sn_gan_cifar10", fields=_CNN | {"batch_size": 128, "n_critic": 1}),
    "sn_gan_cifar10": System("sn_gan_cifar10"),
    "wgan_gp_cifar10": System("wgan_gp_cifar10"),
    "projection_gan:cifar10": System("projection_gan"),
    "dcgan:digits": System("dcgan", "digits", (8, 8, 1)),
}
INCEPTION = "inception"
# What XLA's compiler is told of an H200.
_H200 = """
gpu_device_info {
  threads_per_block_limit: 1024 threads_per_warp: 32 threads_per_core_limit: 2048 core_count: 132 fpus_per_core: 128
  block_dim_limit_x: 2147483647 block_dim_limit_y: 65535 block_dim_limit_z: 65535
  shared_memory_per_block: 49152 shared_memory_per_core: 233472 shared_memory_per_block_optin: 232448
  registers_per_core_limit: 65536 registers_per_block_limit: 65536 cuda_compute_capability { major: 9 }
  memory_bandwidth: 4800000000000 l2_cache_size: 52428800 clock_rate_ghz: 1.98 device_memory_size: 151397597184
}
platform_name: "CUDA" dnn_version_info { major: 9 minor: 10 } runtime_version { major: 13 }
device_description_str: "NVIDIA H200"
"""
# Of float32 products, JAX has a GPU round the factors to TF32 and a TPU to bfloat16 where nobody asks for more.
# Inception does: a GPU then leaves its tensor cores, and a TPU makes six products of bfloat16 for one.
DEVICES = {
    "h200": Device(
        "H200",
        {"topology_name": "h200", "platform": "cuda", "target_config": _H200, "topology": "1x1x1"},
        {"float32": 495e12, "bfloat16": 989e12, "float32, highest": 67e12},
        4.8e12,
    ),
    "v5e": Device(
        "TPU v5e",
        {"topology_name": "v5e:2x2", "platform": "tpu"},
        {"float32": 197e12, "bfloat16": 197e12, "float32, highest": 197e12 / 6},
        819e9,
    ),
}
# libtpu would ask the cloud about the machine that it is on.
_ON_NO_TPU = {"TPU_SKIP_MDS_QUERY": "1", "TPU_ACCELERATOR_TYPE": "v5litepod-4", "TPU_WORKER_HOSTNAMES": "localhost"}
_HEADER = "| system | networks | GFLOP | device | GB | FLOP/byte | ms | bound by | steps/s | in turn | kernels |"


def main() -> None:
    """Prints the table, row by row, and the versions of what it depends on."""
    options = _options()
    jax.config.update("jax_platforms", "cpu")
    places = {name: place for name in options.devices if (place := _place(DEVICES[name]))}
    if not places:
        sys.exit("no compiler is left: see --help")
    print(_HEADER + "\n" + "|---" * (_HEADER.count("|") - 1) + "|")
    for name in options.experiments:
        for precision in ("float32, highest",) if name == INCEPTION else options.precisions:
            for row in rows(name, precision, places):
                print(row, flush=True)
    print("\n" + ", ".join(_versions("jax", "jaxlib", "jax-cuda13-plugin", "nvidia-cudnn-cu13", "libtpu")))


def _options():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    systems, precisions = [*SYSTEMS, INCEPTION], ["float32", "bfloat16"]
    parser.add_argument("--experiments", nargs="+", choices=systems, default=systems, help="default: all")
    parser.add_argument("--precisions", nargs="+", choices=precisions, default=precisions, help="default: both")
    parser.add_argument("--devices", nargs="+", choices=DEVICES, default=list(DEVICES), help="default: both")
    return parser.parse_args()


def _place(device):
    """Where a program lies that is compiled for this device; None, and a word, without its compiler."""
    for name, value in _ON_NO_TPU.items():
        os.environ.setdefault(name, value)
    try:
        described = topologies.get_topology_desc(**device.description)
    except (RuntimeError, NotImplementedError) as error:
        print(f"{device.title} is left out: {str(error).splitlines()[0]}", file=sys.stderr)
        return None
    return SingleDeviceSharding(described.devices[0])


def _versions(*packages):
    for package in packages:
        try:
            yield f"{package} {importlib.metadata.version(package)}"
        except importlib.metadata.PackageNotFoundError:
            continue


# What is computed.


def rows(name: str, precision: str, places: dict[str, SingleDeviceSharding]) -> Iterator[str]:
    """The rows of a system in the table, one for each device."""
    make = functools.partial(program, name, precision)
    images = extraction.PART if name == INCEPTION else 1
    operations = flops(make) / images
    for device, place in places.items():
        function, shapes = make()
        placed = jax.tree.map(
            lambda leaf, place=place: jax.ShapeDtypeStruct(leaf.shape, leaf.dtype, sharding=place), shapes
        )
        found = cost(function.lower(*placed).compile().as_text())
        yield _row((name, precision), operations, DEVICES[device], found, images)


def _row(system, operations, device, found, images):
    moved, rate = found.bytes / images, device.rates[system[1]]
    times = {"operations": operations / rate, "bytes": moved / device.bandwidth}
    limit = max(times, key=lambda what: times[what])
    after = found.without_products / images / device.bandwidth
    in_turn = max(times["operations"], times["bytes"] - after) + after
    share = f"{found.kernels}, {images * times[limit] / found.kernels * 1e6:.2g} µs" if device.title == "H200" else ""
    numbers = (f"{moved / 1e9:.3g}", f"{operations / moved:.0f}", f"{times[limit] * 1e3:.3g}", limit)
    numbers += (f"{1 / times[limit]:,.0f}", f"{1 / in_turn:,.0f}", share)
    return f"| {' | '.join((*system, f'{operations / 1e9:,.4g}', device.title, *numbers))} |"


def program(name: str, precision: str) -> tuple[Any, tuple[Any, ...]]:
    """(a jitted function, the shapes of its arguments): a train step of a system, or Inception's of a minibatch."""
    if name == INCEPTION:
        images = jax.ShapeDtypeStruct((extraction.PART, 32, 32, 3), jnp.uint8)
        return jax.jit(_features), (jax.eval_shape(lambda: inception_weights().convolutions), images)
    return step_of(configuration(SYSTEMS[name], precision), SYSTEMS[name].shape)


def step_of(config, shape: tuple[int, ...]) -> tuple[Any, tuple[Any, ...]]:
    """(a jitted train step, the shapes of its state and batch)."""
    rows = (config.n_critic, config.batch_size)
    state = jax.eval_shape(lambda: create_state(config, shape))
    batch = Batch(jax.ShapeDtypeStruct((*rows, *shape), jnp.float32), jax.ShapeDtypeStruct(rows, jnp.int32))
    return jax.jit(make_train_step(config, shape), donate_argnums=0), (state, batch)


def configuration(system: System, precision: str):
    """The configuration of a system, its networks in this precision."""
    path = pathlib.Path(__file__).parents[1] / "experiments" / f"{system.experiment}.py"
    config = runpy.run_path(str(path))["get_config"](system.data)
    config.update_from_flattened_dict(system.fields | {"network.dtype": precision})
    return config


def _features(convolutions, images):
    with jax.default_matmul_precision("highest"):
        return inception.pool3(convolutions, inception.resized(images, "tf1"))


def inception_weights() -> inception.Weights:
    """Zeros in the shapes of the published weights."""
    kernels = [np.zeros(shape, np.float32) for shape in _kernels()]
    return inception.Weights([(kernel, kernel[0, 0, 0]) for kernel in kernels], None, "0")


def _kernels():
    """[p, q, c, o] of all convolutions, in the order in which they are stored."""
    yield from ((3, 3, 3, 32), (3, 3, 32, 32), (3, 3, 32, 64), (1, 1, 64, 80), (3, 3, 80, 192))
    for c, pool in ((192, 32), (256, 64), (288, 64)):
        yield from ((1, 1, c, 64), (1, 1, c, 48), (5, 5, 48, 64))
        yield from ((1, 1, c, 64), (3, 3, 64, 96), (3, 3, 96, 96), (1, 1, c, pool))
    yield from ((3, 3, 288, 384), (1, 1, 288, 64), (3, 3, 64, 96), (3, 3, 96, 96))
    for c in (128, 160, 160, 192):
        yield from ((1, 1, 768, 192), (1, 1, 768, c), (1, 7, c, c), (7, 1, c, 192), (1, 1, 768, c))
        yield from ((7, 1, c, c), (1, 7, c, c), (7, 1, c, c), (1, 7, c, 192), (1, 1, 768, 192))
    yield from ((1, 1, 768, 192), (3, 3, 192, 320))
    yield from ((1, 1, 768, 192), (1, 7, 192, 192), (7, 1, 192, 192), (3, 3, 192, 192))
    for c in (1280, 2048):
        yield from ((1, 1, c, 320), (1, 1, c, 384), (1, 3, 384, 384), (3, 1, 384, 384))
        yield from ((1, 1, c, 448), (3, 3, 448, 384), (1, 3, 384, 384), (3, 1, 384, 384), (1, 1, c, 192))


# What it costs.


def flops(make: Callable[[], tuple[Any, tuple[Any, ...]]]) -> float:
    """Operations of what make() gives, as other platforms than a CPU get it, every loop's body as often as it runs."""
    with mock.patch.object(jax.lax, "scan", functools.partial(jax.lax.scan, unroll=True)):
        function, shapes = make()
        lowered = function.trace(*shapes).lower(lowering_platforms=("tpu",))
    return lowered.cost_analysis()["flops"]


# name = types operation(operands), attributes
_INSTRUCTION = re.compile(r"^\s+(?:ROOT )?%([\w.\-]+) = (.*?) ([a-z][\w\-]*)\(([^)]*)\)(.*)$", re.M)
# kind[sizes]{order, from the fastest axis on:T(tile)memory}
_ARRAY = re.compile(r"\b([a-z]+)(\d*)\[([\d,]*)\](?:\{([\d,]*)(?::(?:T\(([\d,]*)\))?([^}]*))?\})?")
_FREE = {"parameter", "constant", "tuple", "get-tuple-element", "bitcast", "after-all", "partition-id", "opt-barrier"}


def cost(text: str) -> Cost:
    """What a compiled program reads and writes, from its text; a ValueError where that depends on its numbers."""
    parts = re.split(r"\n(?=(?:ENTRY )?%[\w.\-]+ \()", text)[1:]
    bodies = {_names(part)[0]: part for part in parts}
    (entry,) = (_names(part)[0] for part in parts if part.startswith("ENTRY"))
    return _cost_of(entry, bodies)


def _names(text):
    return re.findall(r"%([\w.\-]+)", text)


def _cost_of(name, bodies):
    arrays, costs = {}, []
    for result, kinds, operation, operands, attributes in _INSTRUCTION.findall(bodies[name]):
        arrays[result] = _arrays(kinds)
        if operation in _FREE or operation.endswith("-done"):
            continue
        if operation == "conditional":
            raise ValueError(f"%{result} computes one of several things, each of which has its own cost")
        if operation in ("while", "call"):
            (called,) = re.findall(r"(?:body|to_apply)=%([\w.\-]+)", attributes)
            costs += [_cost_of(called, bodies)] * (_trips(attributes, bodies) if operation == "while" else 1)
        else:
            moved = _moved(
                operation, [array for operand in _names(operands) for array in arrays[operand]], arrays[result]
            )
            costs.append(Cost(moved, 0 if _is_product(operation, attributes, bodies) else moved, 1))
    return Cost(*map(sum, zip(Cost(0, 0, 0), *costs, strict=True)))


def _is_product(operation, attributes, bodies):
    """Whether a kernel makes products, by itself, in a library or inside a fusion; or copies while others do."""
    called = re.search(r"calls=%([\w.\-]+)", attributes)
    return (
        operation in ("dot", "convolution")
        or operation.endswith("-start")
        or bool(re.search(r'custom_call_target="__(cudnn|cublas)', attributes))
        or bool(called and re.search(r" (dot|convolution)\(", bodies[called[1]]))
    )


def _trips(attributes, bodies):
    """How often a loop's body runs: what XLA has found, or the one number that its counter is compared with."""
    if known := re.search(r'"known_trip_count":\{"n":"(\d+)"', attributes):
        return int(known[1])
    condition = re.search(r"condition=%([\w.\-]+)", attributes)[1]
    numbers = re.findall(r" constant\((\d+)\)", bodies[condition])
    if len(numbers) != 1:
        raise ValueError(f"how often does the loop of %{condition} run? It is compared with {numbers}")
    return int(numbers[0])


def _moved(operation, operands, results):
    """Bytes of the device's memory; of a copy in the background, whose results are both of its ends, those copied."""
    if operation.endswith("-start"):
        ends = results[:2]
        return min(size for size, _ in ends) * sum(is_in_memory for _, is_in_memory in ends)
    return sum(size for size, is_in_memory in (*operands, *results) if is_in_memory)


def _arrays(kinds):
    """[(bytes, whether it lies in the device's memory, and not in a faster or the host's)] of the arrays of a type."""
    return [
        (max(1, int(width or 8) // 8) * math.prod(_padded(_numbers(sizes), order, _numbers(tile))), "S(" not in place)
        for _, width, sizes, order, tile, place in _ARRAY.findall(kinds)
    ]


def _padded(sizes, order, tile):
    """The sizes from the fastest axis on, of which a TPU fills up the first ones to whole tiles."""
    sizes = [sizes[axis] for axis in _numbers(order)] if order else sizes[::-1]
    sizes += [1] * (len(tile) - len(sizes))
    whole = [-(-size // part) * part for size, part in zip(sizes, tile[::-1], strict=False)]
    return whole + sizes[len(whole) :]


def _numbers(text):
    return [int(number) for number in text.split(",") if number]


if __name__ == "__main__":
    main()
