"""The reference is a PyTorch user's network, with the layers of the authors' code."""

import functools
import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from gan_jax.networks import sn_cnn

# The layers (taps, inputs, outputs) of chainer-gan-lib for 32 pixels, 3 colours and 128 latents; all have a bias.
GENERATOR = [(1, 128, 4 * 4 * 512), (16, 512, 256), (16, 256, 128), (16, 128, 64), (9, 64, 3)]
NORMS = [512, 256, 128, 64]
CRITIC = [(9, 3, 64), (16, 64, 128), (9, 128, 128), (16, 128, 256), (9, 256, 256), (16, 256, 512), (9, 512, 512),
          (1, 4 * 4 * 512, 1)]  # fmt: skip


def networks(size, width):
    return sn_cnn.Generator((size, size, 3), width, 0, "batch"), sn_cnn.Critic(width, 0, "none")


def shapes_of(network, inputs):
    return jax.eval_shape(functools.partial(network.init, train=True), jax.random.key(0), inputs)


def drawn(network, inputs):
    """Kernels of N(0, 1/fan_in), variances and scales of U[0.5, 1.5], the rest of N(0, 0.1)."""
    rng = np.random.default_rng(1)

    def draw(path, leaf):
        if path[-1].key in ("var", "scale"):
            return rng.uniform(0.5, 1.5, leaf.shape).astype(np.float32)
        deviation = math.prod(leaf.shape[:-1]) ** -0.5 if leaf.ndim > 1 else 0.1
        return (deviation * rng.normal(size=leaf.shape)).astype(np.float32)

    return jax.tree_util.tree_map_with_path(draw, shapes_of(network, inputs))


def test_parameters_are_as_many_as_in_the_authors_code():
    counts = [
        sum(math.prod(leaf.shape) for leaf in jax.tree.leaves(shapes_of(network, inputs)["params"]))
        for network, inputs in zip(networks(32, 64), (jnp.zeros((1, 128)), jnp.zeros((1, 32, 32, 3))), strict=True)
    ]
    by_hand = [sum(taps * a * b + b for taps, a, b in layers) for layers in (GENERATOR, CRITIC)]
    assert counts == [by_hand[0] + sum(2 * channels for channels in NORMS), by_hand[1]]


def torch_layers(torch, size, width):
    """(generator's first layer, its others, critic's convolutions, its last layer)."""
    nn, doublings = torch.nn, int(math.log2(size // 4))
    first, up = nn.Linear(5, 16 * width * 2**doublings), []
    for i in range(doublings, 0, -1):
        up += [nn.BatchNorm2d(width * 2**i), nn.ReLU(), nn.ConvTranspose2d(width * 2**i, width * 2 ** (i - 1), 4, 2, 1)]
    up += [nn.BatchNorm2d(width), nn.ReLU(), nn.Conv2d(width, 3, 3, 1, 1), nn.Tanh()]
    down, c = [nn.Conv2d(3, width, 3, 1, 1), nn.LeakyReLU(0.1)], width
    for _ in range(doublings):
        down += [nn.Conv2d(c, 2 * c, 4, 2, 1), nn.LeakyReLU(0.1), nn.Conv2d(2 * c, 2 * c, 3, 1, 1), nn.LeakyReLU(0.1)]
        c *= 2
    return first, nn.Sequential(*up), nn.Sequential(*down), nn.Linear(16 * c, 1)


def carry(torch, modules, variables):
    """Our variables into the modules, kind by kind in the order of the layers."""
    params, stats, count = variables["params"], variables.get("batch_stats", {}), {}
    for module in modules:
        kind = {"Linear": "Dense", "Conv2d": "Conv", "ConvTranspose2d": "ConvTranspose", "BatchNorm2d": "Norm"}.get(
            type(module).__name__
        )
        if not kind:
            continue
        name = f"{kind}_{count.setdefault(kind, 0)}"
        count[kind] += 1
        ours = params[name]["BatchNorm_0"] if kind == "Norm" else params[name]
        order = {"Dense": (1, 0), "Conv": (3, 2, 0, 1), "ConvTranspose": (2, 3, 0, 1)}.get(kind)
        weight = ours["scale"] if kind == "Norm" else ours["kernel"].transpose(order)
        assert module.weight.shape == weight.shape
        module.weight.data, module.bias.data = torch.tensor(weight.copy()), torch.tensor(ours["bias"])
        if kind == "Norm":
            running = stats[name]["BatchNorm_0"]
            module.running_mean, module.running_var = torch.tensor(running["mean"]), torch.tensor(running["var"])
    assert sum(count.values()) == len(params)


@pytest.mark.parametrize("train", [True, False])
@pytest.mark.parametrize("size", [8, 32])
def test_both_players_are_a_pytorch_users(size, train):
    torch = pytest.importorskip("torch")
    generator, critic = networks(size, 4)
    rng = np.random.default_rng(0)
    latents = rng.normal(size=(8, 5)).astype(np.float32)
    samples = rng.normal(size=(8, size, size, 3)).astype(np.float32)
    first, up, down, last = torch_layers(torch, size, 4)
    variables = drawn(generator, latents), drawn(critic, samples)
    carry(torch, [first, *up], variables[0])
    carry(torch, [*down, last], variables[1])
    with torch.no_grad():
        image = first(torch.tensor(latents)).unflatten(1, (4, 4, -1)).permute(0, 3, 1, 2)
        expected = up.train(train)(image).permute(0, 2, 3, 1).numpy()
        features = down(torch.tensor(samples.transpose(0, 3, 1, 2).copy()))
        logits = last(features.permute(0, 2, 3, 1).flatten(1))[:, 0].numpy()  # we flatten [h, w, c]
    found, _ = jax.jit(functools.partial(generator.apply, train=train, mutable=["batch_stats"]))(variables[0], latents)
    np.testing.assert_allclose(found, expected, atol=1e-5)
    found = jax.jit(functools.partial(critic.apply, train=train))(variables[1], samples)
    np.testing.assert_allclose(found, logits, atol=1e-5 * np.abs(logits).max())


@pytest.mark.slow
def test_initial_kernels_have_a_deviation_of_a_fiftieth():
    for network, inputs in zip(networks(8, 32), (jnp.zeros((1, 64)), jnp.zeros((1, 8, 8, 3))), strict=True):
        params = jax.jit(functools.partial(network.init, train=True))(jax.random.key(0), inputs)["params"]
        for kernel in [leaf for leaf in jax.tree.leaves(params) if leaf.ndim > 1]:
            assert np.std(kernel) == pytest.approx(0.02, rel=4 / kernel.size**0.5)
            assert abs(np.mean(kernel)) < 5 * 0.02 / kernel.size**0.5
