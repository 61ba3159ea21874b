"""The benchmark compares like with like, and counts what is computed."""

import importlib
import pathlib

import jax
import numpy as np
import pytest

from gan_jax.data.batches import Batch
from gan_jax.networks import conv
from gan_jax.training.game import build_networks
from gan_jax.training.state import create_state
from gan_jax.training.step import make_train_step

FOLDER = pathlib.Path(__file__).parents[1] / "benchmarks"


def in_hours(*cases):
    return [pytest.param(case, marks=pytest.mark.hours) for case in cases]


@pytest.fixture
def benchmark(monkeypatch):
    monkeypatch.syspath_prepend(str(FOLDER))
    return importlib.import_module("train_step")


def small(benchmark, case):
    config = benchmark.configuration(case)
    config.batch_size, config.n_critic = 64, 1
    config.penalty.every = config.generator.path_length.every = 1  # XLA counts what comes now and then as often
    return config, benchmark.shape_of(config)


@pytest.mark.slow
@pytest.mark.parametrize(
    "case",
    ["mlp128_wgan_gp", *in_hours("dcgan_wgan_gp", "dcgan_wgan", "resnet_wgan_gp", "dcgan_rp_gan", "stylegan2_32")],
)
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
@pytest.mark.parametrize(
    "case", ["mlp64_wgan_gp", *in_hours("resnet_wgan_gp", "dcgan_wgan_gp", "dcgan_wgan", "dcgan64_gan", "dcgan_rp_gan")]
)
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
    before, seen = [numbers(network) for network in networks], []
    networks[1].register_forward_hook(lambda critic, inputs, logits: seen.append(len(logits)))
    monkeypatch.setattr(peer, "make_networks", lambda config, shape: networks)
    peer.make_step(config, shape, images, is_compiled=False)()
    passes = {"gradient_penalty": 3, "r1_r2": 4}.get(config.penalty.name, 2)
    of_reals = [8] if config.loss == "relativistic" else []
    assert seen == [8] * passes + [8 * config.generator_batch] + of_reals
    for old, network in zip(before, networks, strict=True):
        assert np.isfinite(numbers(network)).all()
        assert (numbers(network) != old).any()


@pytest.mark.slow
@pytest.mark.parametrize("case", ["dcgan_wgan_gp", "mlp64_wgan_gp", "resnet_wgan_gp"])
def test_pytorchs_networks_compute_what_ours_do(benchmark, case):
    """All weights being alike, the order of layers does not matter, but which there are does."""
    torch = pytest.importorskip("torch")
    peer = importlib.import_module("pytorch_peer")
    config, shape = small(benchmark, case)
    config.network.width, config.network.generator_width = 4, 0
    rng, alike = np.random.default_rng(0), 0.1
    for ours, theirs, inputs in zip(
        build_networks(config, shape), peer.make_networks(config, shape), ((8, config.network.latent_dim), (8, *shape)),
        strict=True,
    ):  # fmt: skip
        x = rng.normal(size=inputs).astype(np.float32)
        variables = jax.tree.map(lambda leaf: np.full(leaf.shape, alike, leaf.dtype), variables_of(ours, x))
        for weight in theirs.parameters():
            weight.data.fill_(alike)
        found, _ = jax.jit(lambda v, x, ours=ours: ours.apply(v, x, train=True, mutable=["batch_stats"]))(variables, x)
        expected = theirs.train()(torch.tensor(np.moveaxis(x, -1, 1).copy())).detach().numpy()
        expected = np.moveaxis(expected, 1, -1) if expected.ndim == 4 else expected
        np.testing.assert_allclose(found, expected, rtol=1e-3, atol=1e-5)


def variables_of(network, x):
    return jax.eval_shape(lambda: network.init(jax.random.key(0), x, train=True))


def numbers(network):
    return np.concatenate([weight.detach().numpy().flatten() for weight in network.parameters()])


def test_every_case_is_a_valid_configuration(benchmark):
    from gan_jax.config import validate

    for case in benchmark.CASES:
        validate(benchmark.configuration(case))
