"""The programs that CUDA GPUs and TPUs get, lowered on a CPU: the whole block of steps of every network, and Inception.

What this shows: the steps lower for both platforms, to the very text that they would have if there were no path for a
CPU at all; that text holds native convolutions, no kernel of any one platform's library, and no loop but the steps'
own. What it does not: that the compilers of these platforms take it, that it computes there what it computes on a CPU,
or how fast. Where CUDA's compiler is installed, it is asked too, and so it is by `benchmarks/roofline.py`; the rest
needs the machine.
"""

import importlib
import os
import pathlib
import re
import runpy
import subprocess
import sys

import jax
import numpy as np
import pytest
from jax.experimental import topologies
from jax.sharding import AxisType, Mesh

from gan_jax import networks
from gan_jax.config import default_config, validate
from gan_jax.data import sources
from gan_jax.features import inception
from gan_jax.networks import conv
from gan_jax.runs import loop
from gan_jax.training import conditional, parallel, population

ROOT = pathlib.Path(__file__).parents[1]
TINY = {"network.width": 2, "network.depth": 1, "network.latent_dim": 4, "batch_size": 16, "n_critic": 2}
PENALISED = {"loss": "wasserstein", "penalty.name": "gradient_penalty"}
BATCH_NORM = {"network.name": "dcgan", "network.critic_norm": "batch", "network.dtype": "bfloat16"}
SPECTRAL_NORM = {"network.name": "sn_cnn", "network.spectral_norm": True}
ATTENTION = {"network.name": "resnet", "network.attention": 8, "data.image_size": 16, "network.dtype": "bfloat16"}
NETWORKS = [name for name, value in vars(networks).items() if hasattr(value, "Generator") and hasattr(value, "Critic")]
WAYS = [name for name, value in vars(conditional).items() if isinstance(value, conditional.Conditional)]
NORMLESS = {"stylegan2": {"network.generator_norm": "none"}}
STRIDED = {"dcgan", "resnet", "sn_cnn"}  # networks that must have gradients of strided convolutions
CASES = (
    {f"{name}, penalised": {"network.name": name, **PENALISED} | NORMLESS.get(name, {}) for name in NETWORKS}
    | {f"{name}, batch norm, bfloat16": {"conditional.name": name, **BATCH_NORM} for name in WAYS}
    | {f"{name}, spectral norm": {"conditional.name": name, **SPECTRAL_NORM} for name in ("none", "projection")}
    | {
        "attention, bfloat16": ATTENTION,
        "augmented": {"network.name": "dcgan", "augment": "color,translation,cutout", "data.flip": True},
    }
)
MORE = {f"{name}, batch norm, bfloat16" for name in WAYS if name != "concatenation"}
MORE |= {"none, spectral norm", "attention, bfloat16", "augmented"}
MORE |= {"mlp, penalised"}  # without convolutions, it has no path for a CPU
# Over steps, over tries to find a sample's place in the epoch, over updates of the critic and over the generator's.
LOOPS = 4
# Kernels that a program may call by name: none. Each would be of one platform's library, as LAPACK's of a CPU's, and
# cuSOLVER's or cuDNN's of CUDA's; what shardings need on many devices is in no program for one.
CUSTOM_CALLS: set[str] = set()
COLLECTIVE = re.compile(
    r" (all-reduce|all-gather|all-to-all|ragged-all-to-all|reduce-scatter|collective-permute|collective-broadcast"
    r"|send|recv)(?:-start)?\("
)


def marked(case):
    return pytest.param(CASES[case], marks=pytest.mark.hours if case in MORE else pytest.mark.slow, id=case)


def configured(fields):
    config = default_config("digits")
    config.update_from_flattened_dict(TINY | fields)
    validate(config)
    return config, sources.load("digits", "", config.data.image_size, 100.0)


def traced(config, source, carry):
    """The block of steps that training compiles, not yet lowered for a platform."""
    step_and_sum = population._step_and_sum(config, source.shape)
    block = population._with_done(population._drawing_block(config, source, step_and_sum, config.n_critic))
    return jax.jit(block).trace(carry, source.arrays, 1)


def lowered(program, platform):
    """Its text, in which there are no names of places in our code."""
    return program.lower(lowering_platforms=(platform,)).as_text()


def always_default(*arguments, default, **others):
    """`jax.lax.platform_dependent` with the default for every platform."""
    return PLATFORM_DEPENDENT(*arguments, default=default, **dict.fromkeys(others, default))


PLATFORM_DEPENDENT = jax.lax.platform_dependent


def assert_is_of_no_platform(text):
    found = re.findall(r'custom_call @([\w.$]+)|call_target_name = "([^"]*)"', text)
    assert {a or b for a, b in found} == CUSTOM_CALLS
    assert len(found) == text.count("custom_call")


@pytest.mark.parametrize("fields", [marked(case) for case in CASES])
def test_a_step_is_lowered_for_cuda_and_tpu_as_if_there_were_no_path_for_a_cpu(monkeypatch, fields):
    monkeypatch.setattr(conv, "CACHE", 1)  # so that a CPU has loops of its own, over parts of the batch
    config, source = configured(fields)
    carry = loop.shapes_of_carry(config, source)
    program = traced(config, source, carry)
    texts = {platform: lowered(program, platform) for platform in ("cpu", "cuda", "tpu")}
    monkeypatch.setattr(jax.lax, "platform_dependent", always_default)
    assert texts["cuda"] == texts["tpu"] == lowered(traced(config, source, carry), "cuda")
    assert_is_of_no_platform(texts["cuda"])
    assert texts["cuda"].count("stablehlo.while") == LOOPS
    assert_convolutions_are_native(texts, config.network.name)


def assert_convolutions_are_native(texts, network):
    """With zeros between pixels for the gradients of strided ones, which a CPU's program never has."""
    native, on_cpu = (texts[platform].count("lhs_dilate = [2, 2]") for platform in ("cuda", "cpu"))
    assert on_cpu == 0
    assert native or network not in STRIDED
    if native:
        assert texts["cuda"].count("stablehlo.convolution") == texts["cpu"].count("stablehlo.convolution") + native


@pytest.mark.slow
def test_inception_is_lowered_for_cuda_and_tpu(monkeypatch):
    """In float32 throughout: GPUs and TPUs would round its factors otherwise."""
    monkeypatch.syspath_prepend(str(ROOT / "benchmarks"))
    weights = importlib.import_module("roofline").inception_weights()
    apply = inception.network(weights).apply
    program = apply.func.trace(*apply.args, np.zeros((2, 32, 32, 3), np.uint8))
    texts = {platform: lowered(program, platform) for platform in ("cuda", "tpu")}
    assert texts["cuda"] == texts["tpu"]
    assert_is_of_no_platform(texts["cuda"])
    assert "stablehlo.while" not in texts["cuda"]
    assert "precision DEFAULT" not in texts["cuda"]
    assert texts["cuda"].count("precision HIGHEST") > inception.CONVOLUTIONS


def compiled_for_eight_devices(*cases):
    """What a process with eight devices does: compiles what other platforms than a CPU get, and lists what travels."""
    jax.lax.platform_dependent = always_default
    for case in cases:
        config, source = configured(CASES[case])
        compiled = population.compile_program(config, source, loop.shapes_of_carry(config, source)).compiled
        text = compiled.as_text()
        assert "lhs_dilate=2x2" in text, case
        assert_only_sums_travel(text, case)


def compiled_for_eight_gpus(*cases):
    """The same by CUDA's own compiler, for a description of eight GPUs that need not be there."""
    described = runpy.run_path(str(ROOT / "benchmarks" / "roofline.py"))["DEVICES"]["h200"].description
    devices = topologies.get_topology_desc(**described | {"topology": "1x8x1"}).devices
    mesh = Mesh(np.array(devices), ("data",), axis_types=(AxisType.Auto,))
    parallel.mesh = lambda config: mesh
    whole = parallel.replicated(mesh)
    for case in cases:
        config, source = configured(CASES[case])
        step_and_sum = population._step_and_sum(config, source.shape, parallel.sharded(mesh))
        block = population._with_done(population._drawing_block(config, source, step_and_sum, config.n_critic))
        steps = jax.jit(block, in_shardings=(whole, whole, whole), out_shardings=whole)
        text = steps.lower(loop.shapes_of_carry(config, source), source.arrays, 1).compile().as_text()
        assert "__cudnn$conv" in text, case
        assert " convolution(" not in text, case
        assert_only_sums_travel(text, case)


def assert_only_sums_travel(text, case):
    found = {*COLLECTIVE.findall(text)}
    assert found == {"all-reduce"}, (case, found)


def run_apart(function, cases):
    """A function of this file, in a process of its own that sees eight devices."""
    command = f"import runpy, sys; runpy.run_path({__file__!r})[{function!r}](*sys.argv[1:])"
    flags = f"{os.environ['XLA_FLAGS']} --xla_force_host_platform_device_count=8"
    environment = {"JAX_PLATFORMS": "cpu", "XLA_FLAGS": flags}
    done = subprocess.run(
        [sys.executable, "-c", command, *cases], env=os.environ | environment, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr[-3000:]


ALL = [*(f"{name}, penalised" for name in sorted(STRIDED)), "none, batch norm, bfloat16"]
ON_EIGHT = pytest.mark.parametrize(
    "cases", [["sn_cnn, penalised"], pytest.param(ALL, marks=pytest.mark.hours)], ids=["one", "all"]
)


@pytest.mark.slow
@ON_EIGHT
def test_of_native_convolutions_on_eight_devices_nothing_but_sums_travels(cases):
    """XLA's partitioner, which decides that, is one pass for all platforms, and has been given what a GPU gets.

    The passes before and after it are a CPU's here. A GPU's or a TPU's own may put a sum in other forms, such as a
    reduce-scatter where a device needs a part of it alone: what they make of it is not shown.
    """
    run_apart("compiled_for_eight_devices", cases)


@pytest.mark.slow
@ON_EIGHT
def test_between_eight_gpus_nothing_but_sums_travels(cases):
    """By the compiler that they have, where it is installed; that they compute it is not shown."""
    pytest.importorskip("jax_cuda13_plugin")
    run_apart("compiled_for_eight_gpus", cases)
