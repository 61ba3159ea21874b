"""The benchmark compares like with like, and counts what is computed."""

import importlib
import pathlib

import jax
import numpy as np
import pytest

from gan_jax.data.batches import Batch
from gan_jax.networks import conv
from gan_jax.training.state import create_state
from gan_jax.training.step import make_train_step

FOLDER = pathlib.Path(__file__).parents[1] / "benchmarks"


@pytest.fixture
def benchmark(monkeypatch):
    monkeypatch.syspath_prepend(str(FOLDER))
    return importlib.import_module("train_step")


def small(benchmark, case):
    config = benchmark.configuration(case)
    config.batch_size, config.n_critic = 64, 1
    return config, benchmark.shape_of(config)


@pytest.mark.parametrize("case", ["dcgan_wgan_gp", "dcgan_wgan", "mlp128_wgan_gp", "resnet_wgan_gp"])
def test_flops_are_those_that_xla_counts_in_matrix_products(benchmark, case, monkeypatch):
    """XLA counts, before it optimises, all other arithmetic too, but no taps that fall on padding: within 15 %."""
    monkeypatch.setattr(jax.lax, "platform_dependent", lambda *args, cpu, default: cpu(*args))  # not both branches
    monkeypatch.setattr(jax.lax, "scan", scan_of_one_step)  # XLA counts a loop's body as one run of it, or not at all
    monkeypatch.setattr(conv, "CACHE", 2**40)  # nor a convolution in parts
    config, shape = small(benchmark, case)
    state = create_state(config, shape)
    batch = Batch(np.zeros((1, 64, *shape), np.float32), np.zeros((1, 64), np.int32))
    counted = jax.jit(make_train_step(config, shape)).lower(state, batch).cost_analysis()["flops"]
    assert 0.87 < benchmark.flops(config, shape) / counted < 1.15


def scan_of_one_step(step, carry, inputs):
    carry, output = step(carry, jax.tree.map(lambda leaf: leaf[0], inputs))
    return carry, jax.tree.map(lambda leaf: leaf[None], output)


@pytest.mark.slow
@pytest.mark.parametrize("case", ["dcgan_wgan_gp", "dcgan_wgan", "dcgan64_gan", "mlp64_wgan_gp", "resnet_wgan_gp"])
def test_pytorchs_networks_have_our_parameters_and_learn(benchmark, case, monkeypatch):
    torch = pytest.importorskip("torch")
    peer = importlib.import_module("pytorch_peer")
    config, shape = small(benchmark, case)
    config.network.width, config.network.generator_width, config.batch_size = 4, 0, 8
    state = create_state(config, shape)
    for ours, theirs in zip((state.generator, state.critic), peer.make_networks(config, shape), strict=True):
        sizes = sorted(leaf.size for leaf in jax.tree.leaves(ours.params))
        assert sorted(weight.numel() for weight in theirs.parameters()) == sizes
    images = None if len(shape) == 1 else np.zeros((16, *shape), np.float32)
    torch.manual_seed(0)
    networks = peer.make_networks(config, shape)
    before = [numbers(network) for network in networks]
    monkeypatch.setattr(peer, "make_networks", lambda config, shape: networks)
    peer.make_step(config, shape, images, is_compiled=False)()
    for old, network in zip(before, networks, strict=True):
        assert np.isfinite(numbers(network)).all()
        assert (numbers(network) != old).any()


def numbers(network):
    return np.concatenate([weight.detach().numpy().flatten() for weight in network.parameters()])


def test_every_case_is_a_valid_configuration(benchmark):
    from gan_jax.config import validate

    for case in benchmark.CASES:
        validate(benchmark.configuration(case))
