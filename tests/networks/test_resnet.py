"""The references are the papers' codes: their layers written out, and networks that a PyTorch user makes of them."""

import functools
import itertools
import math
import re

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from gan_jax.config import default_config
from gan_jax.data import sources
from gan_jax.networks import conditional, layers, resnet
from gan_jax.runs import loop
from gan_jax.training import population

try:
    import torch
    from torch import nn
    from torch.nn import functional as F
except ImportError:
    torch = None
needs_torch = pytest.mark.skipif(torch is None, reason="PyTorch is the reference")


def normal(*shape, seed=0):
    return np.random.default_rng(seed).normal(size=shape).astype(np.float32)


def leaves(tree):
    """{"UpBlock_0/Conv_0/kernel": ...}."""
    paths = jax.tree_util.tree_leaves_with_path(tree)
    return {jax.tree_util.keystr(path, simple=True, separator="/"): leaf for path, leaf in paths}


def shapes_of(network, *inputs, **options):
    return jax.eval_shape(functools.partial(network.init, train=True, **options), jax.random.key(0), *inputs)


def drawn(network, *inputs, **options):
    """Variables of which none is what it starts as: parameters of N(0, 1/fan_in), variances of U[0.5, 1.5]."""
    rng = np.random.default_rng(1)

    def draw(path, leaf):
        if path[0].key == "spectral":
            return rng.normal(size=leaf.shape).astype(np.float32)
        if path[-1].key == "var":
            return rng.uniform(0.5, 1.5, leaf.shape).astype(np.float32)
        fan_in = math.prod(leaf.shape[:-1]) if leaf.ndim > 1 else 4
        return (rng.normal(size=leaf.shape) / fan_in**0.5 + (path[-1].key == "scale")).astype(np.float32)

    return jax.tree_util.tree_map_with_path(draw, shapes_of(network, *inputs, **options))


# ---------------------------------------- the networks of a PyTorch user

if torch:

    class CondNorm(nn.Module):
        """Batch norm, then the scale and shift of a class."""

        def __init__(self, channels, classes):
            super().__init__()
            self.norm = nn.BatchNorm2d(channels, affine=not classes)
            if classes:
                self.scale, self.shift = nn.Embedding(classes, channels), nn.Embedding(classes, channels)

        def forward(self, x, labels):
            x = self.norm(x)
            if labels is None:
                return x
            return x * self.scale(labels)[:, :, None, None] + self.shift(labels)[:, :, None, None]

    class Up(nn.Module):
        def __init__(self, c_in, c_out, classes):
            super().__init__()
            self.shortcut = nn.Conv2d(c_in, c_out, 1)
            self.norm1, self.conv1 = CondNorm(c_in, classes), nn.Conv2d(c_in, c_out, 3, padding=1)
            self.norm2, self.conv2 = CondNorm(c_out, classes), nn.Conv2d(c_out, c_out, 3, padding=1)

        def forward(self, x, labels):
            h = F.interpolate(F.relu(self.norm1(x, labels)), scale_factor=2, mode="nearest")
            h = self.conv2(F.relu(self.norm2(self.conv1(h), labels)))
            return h + self.shortcut(F.interpolate(x, scale_factor=2, mode="nearest"))

    class Down(nn.Module):
        def __init__(self, c_in, c_out, is_down):
            super().__init__()
            self.is_down = is_down
            self.conv1, self.conv2 = nn.Conv2d(c_in, c_in, 3, padding=1), nn.Conv2d(c_in, c_out, 3, padding=1)
            if is_down:
                self.shortcut = nn.Conv2d(c_in, c_out, 1)

        def forward(self, x):
            h = self.conv2(F.relu(self.conv1(F.relu(x))))
            return F.avg_pool2d(h, 2) + F.avg_pool2d(self.shortcut(x), 2) if self.is_down else h + x

    class First(nn.Module):
        def __init__(self, colours, channels):
            super().__init__()
            self.shortcut = nn.Conv2d(colours, channels, 1)
            self.conv1, self.conv2 = (
                nn.Conv2d(colours, channels, 3, padding=1),
                nn.Conv2d(channels, channels, 3, padding=1),
            )

        def forward(self, x):
            return F.avg_pool2d(self.conv2(F.relu(self.conv1(x))), 2) + self.shortcut(F.avg_pool2d(x, 2))

    class Attention(nn.Module):
        def __init__(self, channels):
            super().__init__()
            few, half = max(channels // 8, 1), channels // 2
            self.theta, self.phi = nn.Conv2d(channels, few, 1, bias=False), nn.Conv2d(channels, few, 1, bias=False)
            self.g, self.o = nn.Conv2d(channels, half, 1, bias=False), nn.Conv2d(half, channels, 1, bias=False)
            self.gamma = nn.Parameter(torch.zeros(()))

        def forward(self, x):
            theta, phi = self.theta(x).flatten(2), F.max_pool2d(self.phi(x), 2).flatten(2)
            beta = torch.softmax(theta.transpose(1, 2) @ phi, -1)
            found = F.max_pool2d(self.g(x), 2).flatten(2) @ beta.transpose(1, 2)
            return x + self.gamma * self.o(found.unflatten(2, x.shape[2:]))

    class TorchGenerator(nn.Module):
        def __init__(self, latent, channels, colours=3, classes=0, attention=0, of=0):
            super().__init__()
            self.dense = nn.Linear(latent, 16 * channels[0])
            self.blocks = nn.ModuleList(Up(a, b, classes) for a, b in itertools.pairwise(channels))
            self.size, self.attention = attention, Attention(of) if attention else None
            self.norm, self.last = nn.BatchNorm2d(channels[-1]), nn.Conv2d(channels[-1], colours, 3, padding=1)

        def forward(self, z, labels=None):
            x = self.dense(z).unflatten(1, (4, 4, -1)).permute(0, 3, 1, 2)
            for block in self.blocks:
                x = block(x, labels)
                x = self.attention(x) if x.shape[2] == self.size else x
            return torch.tanh(self.last(F.relu(self.norm(x))))

    class TorchCritic(nn.Module):
        def __init__(self, channels, downs, colours=3, classes=0, attention=0, of=0):
            super().__init__()
            self.first = First(colours, channels[0])
            triples = zip(channels, channels[1:], downs, strict=False)
            self.blocks = nn.ModuleList(Down(*triple) for triple in triples)
            self.size, self.attention = attention, Attention(of) if attention else None
            self.dense = nn.Linear(channels[-1], 1)
            if classes:
                self.embedding = nn.Embedding(classes, channels[-1])

        def forward(self, x, labels=None):
            x = self.first(x)
            x = self.attention(x) if x.shape[2] == self.size else x
            for block in self.blocks:
                x = block(x)
                x = self.attention(x) if block.is_down and x.shape[2] == self.size else x
            h = F.relu(x).sum((2, 3))
            logit = self.dense(h)[:, 0]
            return logit if labels is None else logit + (self.embedding(labels) * h).sum(1)


PLACES = {  # of the twin's modules, and ours
    "blocks.": "BLOCK_",
    "first.": "FirstBlock_0.",
    "norm1.": "Norm_0.",
    "norm2.": "Norm_1.",
    "norm.": "BatchNorm_0.",
    "scale.weight": "scale",
    "shift.weight": "bias",
    "BatchNorm_0.weight": "BatchNorm_0.scale",
    "running_": "",
    "dense.": "Dense_0.",
    "last.": "Conv_0.",
    "attention.": "SelfAttention_0.",
    "theta.": "queries.",
    "phi.": "keys.",
    "g.": "values.",
    "o.": "outputs.",
    "embedding.weight": "head.table.kernel",
    "weight": "kernel",
    ".": "/",
}


def our_name(name, block):
    name = "Norm_0." + name if name.startswith("norm.") else name
    for theirs, ours in PLACES.items():
        name = re.sub(rf"(^|(?<=[._])){re.escape(theirs)}" if theirs != "." else r"\.", ours, name)
    return name.replace("BLOCK", block)


def as_torch(name, array):
    """Kernels [h, w, c, o] -> [o, c, h, w], matrices [c, o] -> [o, c]; an embedding's [classes, c] stays."""
    if array.ndim == 4:
        return array.transpose(3, 2, 0, 1)
    return array.T if "Dense" in name else array


def carried(twin, variables, block):
    """The twin, with our variables."""
    ours = leaves(variables["params"]) | leaves(variables.get("batch_stats", {}))
    theirs = {name: tensor for name, tensor in twin.state_dict().items() if "num_batches" not in name}
    names = {name: our_name(name, block) for name in theirs}
    assert sorted(names.values()) == sorted(ours)
    arrays = {name: torch.tensor(as_torch(names[name], np.array(ours[names[name]])).copy()) for name in theirs}
    twin.load_state_dict(arrays, strict=False)
    return twin


def assert_close(ours, theirs, tolerance=1e-5):
    """Relative to the largest entry."""
    theirs = theirs.detach().numpy()
    np.testing.assert_allclose(ours, theirs, atol=tolerance * np.abs(theirs).max(), rtol=0)


def images(x):
    return torch.tensor(x.transpose(0, 3, 1, 2).copy())


UPS = {8: (1, 1), 16: (1, 1, 1), 32: (1, 1, 1, 1), 64: (16, 8, 4, 2, 1)}  # channels, in widths, of both papers' tables
DOWNS = dict.fromkeys((8, 16, 32), ((1, 1, 1, 1), (True, False, False))) | {64: ((1, 2, 4, 8, 16), (True,) * 4)}
# size, width, attention, classes
CASES = [(32, 8, 0, 0), (64, 2, 32, 0), (16, 16, 8, 3), (8, 4, 0, 3)]
SOME_SLOW = [*(pytest.param(case, marks=pytest.mark.slow) for case in CASES[:-1]), CASES[-1]]


def generators(size, width, attention, classes):
    channels = [width * factor for factor in UPS[size]]
    of = channels[int(math.log2(attention // 4))] if attention else 0
    ours = resnet.Generator((size, size, 3), width, 0, "batch", classes=classes, attention=attention)
    return ours, functools.partial(TorchGenerator, 5, channels, 3, classes, attention, of)


@needs_torch
@pytest.mark.parametrize("train", [True, False])
@pytest.mark.parametrize("case", SOME_SLOW)
def test_the_generator_is_a_pytorch_users(case, train):
    ours, twin = generators(*case)
    classes = case[3]
    latents, labels = normal(3, 5), np.arange(3) % max(classes, 1)
    inputs = np.concatenate([latents, np.eye(classes, dtype=np.float32)[labels]], 1) if classes else latents
    variables = drawn(ours, inputs)
    twin = carried(twin(), variables, "UpBlock").train(train)
    found, _ = jax.jit(functools.partial(ours.apply, train=train, mutable=["batch_stats"]))(variables, inputs)
    with torch.no_grad():
        expected = twin(torch.tensor(latents), torch.tensor(labels) if classes else None)
    assert_close(found, expected.permute(0, 2, 3, 1))


def critics(size, width, attention, classes):
    factors, downs = DOWNS[size]
    channels = [width * factor for factor in factors]
    of = channels[int(math.log2(size // attention)) - 1] if attention else 0
    head = conditional.Projection() if classes else None
    ours = resnet.Critic(width, 0, "none", head=head, attention=attention)
    return ours, functools.partial(TorchCritic, channels, downs, 3, classes, attention, of)


@needs_torch
@pytest.mark.parametrize("case", SOME_SLOW)
def test_the_critic_is_a_pytorch_users_and_so_is_its_gradient_penaltys_derivative(case):
    """The second derivative of PyTorch's double backward, of convolutions before pooling and pooling after them."""
    ours, twin = critics(*case)
    size, _, _, classes = case
    samples, labels = normal(3, size, size, 3), np.arange(3) % max(classes, 1)
    condition = np.eye(classes, dtype=np.float32)[labels] if classes else None
    variables = drawn(ours, samples, condition=condition)

    @jax.jit
    def logits_and_gradients(params):
        def penalty(params):
            critic = functools.partial(ours.apply, {"params": params}, train=True, condition=condition)
            logits, pull = jax.vjp(critic, samples)
            (slopes,) = pull(jnp.ones_like(logits))
            return jnp.mean((jnp.linalg.norm(slopes.reshape(3, -1), axis=1) - 1) ** 2), logits

        gradients, logits = jax.grad(penalty, has_aux=True)(params)
        return logits, gradients

    twin = carried(twin(), variables, "DownBlock")
    x = images(samples).requires_grad_()
    expected = twin(x, torch.tensor(labels) if classes else None)
    (slopes,) = torch.autograd.grad(expected.sum(), x, create_graph=True)
    ((slopes.flatten(1).norm(dim=1) - 1) ** 2).mean().backward()
    logits, gradients = logits_and_gradients(variables["params"])
    assert_close(logits, expected)
    gradients, largest = leaves(gradients), max(np.abs(g).max() for g in jax.tree.leaves(gradients))
    for name, parameter in twin.named_parameters():
        found = as_torch(our_name(name, "DownBlock"), np.asarray(gradients[our_name(name, "DownBlock")]))
        theirs = np.zeros(found.shape) if parameter.grad is None else parameter.grad.numpy()
        np.testing.assert_allclose(found, theirs, atol=1e-4 * max(np.abs(theirs).max(), 1e-3 * largest), rtol=0)


@pytest.mark.slow
def test_a_cpus_step_on_digits_exchanges_no_image_for_a_kernel(assert_convolutions_are_fast):
    """Of 2 x 2 pixels under 3 x 3 taps, of which XLA's own way is a naive loop."""
    config = default_config("digits")
    fields = {"loss": "wasserstein", "penalty.name": "gradient_penalty", "batch_size": 8, "network.name": "resnet"}
    config.update_from_flattened_dict(fields | {"network.width": 4, "network.latent_dim": 4})
    source = sources.load("digits", "", 0, 100.0)
    program = population.compile_program(config, source, loop.shapes_of_carry(config, source)).compiled.as_text()
    assert program.count(" convolution(") > 50
    assert_convolutions_are_fast(program)


# ---------------------------------------- what the papers' tables add up to


def count(rows):
    """Parameters of layers (taps, inputs, outputs) with biases; a norm is a scale and a shift, (1, 1, channels)."""
    return sum(taps * inputs * outputs + outputs for taps, inputs, outputs in rows)


def up_rows(a, b):
    return [(1, 1, a), (9, a, b), (1, 1, b), (9, b, b), (1, a, b)]


def down_rows(a, b):
    return [(9, a, a), (9, a, b), (1, a, b)]


def first_rows(b):
    return [(9, 3, b), (9, b, b), (1, 3, b)]


def generator_rows(channels):
    blocks = [row for a, b in itertools.pairwise(channels) for row in up_rows(a, b)]
    return [(1, 128, 16 * channels[0]), *blocks, (1, 1, channels[-1]), (9, channels[-1], 3)]


COUNTS = {  # size, generator's width, critic's: the layers in the order of the papers' code
    "WGAN-GP": (32, 128, 128, generator_rows((128,) * 4),
                [*first_rows(128), *down_rows(128, 128), *[(9, 128, 128)] * 4, (1, 128, 1)]),
    "SNGAN": (32, 256, 128, generator_rows((256,) * 4),
              [*first_rows(128), *down_rows(128, 128), *[(9, 128, 128)] * 4, (1, 128, 1)]),
    "64 pixels": (64, 64, 64, generator_rows((1024, 512, 256, 128, 64)),
                  [*first_rows(64), *down_rows(64, 128), *down_rows(128, 256), *down_rows(256, 512),
                   *down_rows(512, 1024), (1, 1024, 1)]),
    # sngan_projection, gen_models/resnet.py and dis_models/snresnet.py; and BigGAN-PyTorch's channels for 256 pixels
    "128 pixels": (128, 64, 64, generator_rows((1024, 1024, 512, 256, 128, 64)),
                   [*first_rows(64), *down_rows(64, 128), *down_rows(128, 256), *down_rows(256, 512),
                    *down_rows(512, 1024), *[(9, 1024, 1024)] * 2, (1, 1024, 1)]),
    "256 pixels": (256, 64, 64, generator_rows((1024, 1024, 512, 512, 256, 128, 64)),
                   [*first_rows(64), *down_rows(64, 128), *down_rows(128, 256), *down_rows(256, 512),
                    *down_rows(512, 512), *down_rows(512, 1024), *[(9, 1024, 1024)] * 2, (1, 1024, 1)]),
}  # fmt: skip


@pytest.mark.parametrize("name", COUNTS)
def test_parameters_are_as_many_as_in_the_papers(name):
    size, generator_width, critic_width, *rows = COUNTS[name]
    shape = (size, size, 3)
    generator = resnet.Generator(shape, generator_width, 0, "batch")
    networks = (generator, jnp.zeros((1, 128))), (resnet.Critic(critic_width, 0, "none"), jnp.zeros((1, *shape)))
    for (network, inputs), expected in zip(networks, rows, strict=True):
        params = shapes_of(network, inputs)["params"]
        assert sum(math.prod(leaf.shape) for leaf in jax.tree.leaves(params)) == count(expected)


@needs_torch
def test_a_pytorch_user_has_as_many():
    twins = TorchGenerator(128, (256,) * 4), TorchCritic((128,) * 4, DOWNS[32][1])
    assert [sum(p.numel() for p in twin.parameters()) for twin in twins] == [
        count(rows) for rows in COUNTS["SNGAN"][3:]
    ]


# ---------------------------------------- what they start as, attention, spectral norm


@pytest.mark.slow
def test_initial_kernels_have_glorots_variance_and_twice_that_within_the_blocks():
    generator = resnet.Generator((16, 16, 3), 32, 0, "batch", attention=8)
    critic = resnet.Critic(32, 0, "none", attention=8)
    for network, inputs in ((generator, jnp.zeros((1, 64))), (critic, jnp.zeros((1, 16, 16, 3)))):
        params = jax.jit(functools.partial(network.init, train=True))(jax.random.key(0), inputs)["params"]
        for name, leaf in leaves(params).items():
            if name.endswith("kernel"):
                *taps, fan_in, fan_out = leaf.shape
                gain = 2 if re.search("conv[12]", name) else 1
                variance = gain * 2 / (math.prod(taps) * (fan_in + fan_out))
                assert np.mean(np.square(leaf)) == pytest.approx(variance, rel=6 / leaf.size**0.5), name
                assert np.abs(leaf).max() <= (3 * variance) ** 0.5 * (1 + 1e-6)  # of a uniform distribution
            elif not name.endswith("scale"):
                assert (np.asarray(leaf) == 0).all(), name


def test_the_norm_of_each_class_starts_as_the_same_batch_norm():
    params = shapes_of(resnet.Generator((16, 16, 3), 4, 0, "batch", classes=3), jnp.zeros((2, 8)))["params"]
    tables = {name: leaf.shape for name, leaf in leaves(params).items() if re.search("/Norm_./[a-z]+$", name)}
    assert set(tables) == {f"UpBlock_{i}/Norm_{j}/{k}" for i in (0, 1) for j in (0, 1) for k in ("scale", "bias")}
    assert set(tables.values()) == {(3, 4)}
    norm = layers.Norm("batch", True)
    x, condition = normal(6, 2, 2, 4), np.eye(3, dtype=np.float32)[[0, 1, 2, 0, 1, 2]]
    variables = norm.init(jax.random.key(0), x, condition)
    np.testing.assert_array_equal(variables["params"]["scale"], np.ones((3, 4)))
    np.testing.assert_array_equal(variables["params"]["bias"], np.zeros((3, 4)))
    y, _ = norm.apply(variables, x, condition, mutable=["batch_stats"])
    expected = (x - x.mean((0, 1, 2))) / np.sqrt(x.var((0, 1, 2)) + 1e-5)
    np.testing.assert_allclose(y, expected, atol=1e-5)


def test_self_attention_starts_as_the_identity():
    x = normal(2, 4, 6, 8)
    variables = layers.SelfAttention().init(jax.random.key(0), x)
    np.testing.assert_array_equal(layers.SelfAttention().apply(variables, x), x)
    assert variables["params"]["gamma"].shape == ()


def test_self_attention_is_its_sums():
    """In loops over pixels, of images that are not square."""
    x = normal(2, 4, 6, 16)
    variables = drawn_attention(x)
    kernels = {name: np.asarray(v["kernel"][0, 0], np.float64) for name, v in variables.items() if name != "gamma"}
    expected = np.array(x, np.float64)
    for n, i, j in itertools.product(range(2), range(4), range(6)):
        query, scores, values = x[n, i, j] @ kernels["queries"], [], []
        for a, b in itertools.product(range(2), range(3)):
            block = x[n, 2 * a : 2 * a + 2, 2 * b : 2 * b + 2].reshape(4, 16)
            scores.append(query @ (block @ kernels["keys"]).max(0))
            values.append((block @ kernels["values"]).max(0))
        weights = np.exp(scores) / np.exp(scores).sum()
        expected[n, i, j] += variables["gamma"] * (weights @ np.array(values) @ kernels["outputs"])
    found = jax.jit(layers.SelfAttention().apply)({"params": variables}, x)
    np.testing.assert_allclose(found, expected, atol=1e-5)


def drawn_attention(x):
    shapes = jax.eval_shape(layers.SelfAttention().init, jax.random.key(0), x)["params"]
    rng = np.random.default_rng(2)
    params = jax.tree.map(lambda leaf: rng.normal(size=leaf.shape).astype(np.float32) / 4, shapes)
    return params | {"gamma": np.float32(0.7)}


@pytest.mark.slow
def test_attention_may_be_where_both_players_have_such_images():
    sizes = [resnet.attention_sizes((size, size)) for size in (8, 16, 32, 64, 96)]
    assert sizes == [(), (8,), (8, 16), (8, 16, 32), (12, 24, 48)]
    assert [resnet.attention_sizes((size, size))[-1] for size in (128, 256)] == [64, 128]
    assert resnet.attention_sizes((24, 16)) == (8,)
    for size, sizes in ((16, (4, 8, 16)), (64, (4, 8, 16, 32, 64))):
        shape = (size, size, 3)
        for attention in sizes:
            generator = resnet.Generator(shape, 2, 0, "batch", attention=attention)
            critic = resnet.Critic(2, 0, "none", attention=attention)
            players = shapes_of(generator, jnp.zeros((1, 4))), shapes_of(critic, jnp.zeros((1, *shape)))
            have = [[name for name in player["params"] if "SelfAttention" in name] for player in players]
            assert (have == [["SelfAttention_0"]] * 2) == (attention in resnet.attention_sizes((size, size)))


@pytest.mark.slow
def test_spectral_norm_brings_every_kernel_of_a_critic_to_1_and_leaves_gamma_alone():
    critic = resnet.Critic(4, 0, "none", head=conditional.Projection(), attention=8)
    module, samples, condition = layers.SpectralNorm(critic), normal(2, 16, 16, 3), np.eye(2, dtype=np.float32)
    variables = drawn(module, samples, condition=condition)
    params = variables["params"]

    @jax.jit
    def many_passes(spectral):
        def one(spectral, _):
            variables = {"params": params, "spectral": spectral}
            _, changed = module.apply(variables, samples, train=True, condition=condition, mutable=["spectral"])
            return changed["spectral"], None

        return jax.lax.scan(one, spectral, length=400)[0]

    spectral = many_passes(variables["spectral"])
    kernels = {name: leaf for name, leaf in leaves(params["network"]).items() if leaf.ndim > 1}
    assert {f"params/{name}" for name in kernels} == set(spectral)
    assert {"head/table/kernel", "SelfAttention_0/keys/kernel"} < set(kernels)
    for name, kernel in kernels.items():
        u, v = spectral[f"params/{name}"]
        matrix = kernel.reshape(-1, kernel.shape[-1])
        largest = np.linalg.svd(matrix / (u @ matrix @ v), compute_uv=False)[0]
        assert largest == pytest.approx(1, abs=1e-3), name
    divided = jax.tree.map(
        lambda w: w if w.ndim < 2 else w / np.linalg.svd(w.reshape(-1, w.shape[-1]), compute_uv=False)[0],
        params["network"],
    )
    expected = critic.apply({"params": divided}, samples, train=False, condition=condition)
    found = module.apply({"params": params, "spectral": spectral}, samples, train=False, condition=condition)
    np.testing.assert_allclose(found, expected, atol=1e-3 * np.abs(expected).max())
