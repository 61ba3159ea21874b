"""StyleGAN2 against PyTorch, SciPy, NumPy and the numbers of the authors' code."""

import functools
import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import signal

from gan_jax.networks import equalized, resampling, stylegan2
from gan_jax.networks.layers import MinibatchDeviation
from gan_jax.objectives import generator_terms, penalties
from tests.networks import official_stylegan2 as official

FILTER = np.array([1, 3, 3, 1]) / 8


def normal(*shape, seed=0):
    return np.random.default_rng(seed).normal(size=shape).astype(np.float32)


def applied(network, variables, inputs, train=False, **others):
    """network.apply, compiled: a network that is not takes ten times as long."""
    names = {name: others.pop(name) for name in ("method", "mutable") if name in others}
    apply = functools.partial(network.apply, train=train, **names)
    return jax.jit(lambda variables, inputs, others: apply(variables, inputs, **others))(variables, inputs, others)


def mapping_of(beside=0, **fields):
    """(a generator, its variables), of which only the mapping is made."""
    generator = stylegan2.Generator((16, 16, 1), 4, 1, latent_dim=4, max_width=4, **fields)
    inputs = jnp.zeros((1, 4 + generator.classes + beside))
    return generator, generator.init(jax.random.key(0), inputs, train=True, method="mapping")


# ---------------------------------------------------------------------------------------------- filters


def upfirdn(x, up, down, before, after, gain=1.0):
    """scipy.signal.upfirdn along both axes of images [b, h, w, c], with zeros before and after what is filtered."""
    for axis in (1, 2):
        grown = np.zeros([size * (up if i == axis else 1) for i, size in enumerate(x.shape)])
        grown[tuple(slice(None, None, up if i == axis else 1) for i in range(4))] = x
        padded = np.pad(grown, [(before, after) if i == axis else (0, 0) for i in range(4)])
        size = (padded.shape[axis] - 4) // down + 1
        full = signal.upfirdn(gain * FILTER, padded, 1, 1, axis=axis)
        x = np.take(full, 3 + down * np.arange(size), axis)
    return x


@pytest.mark.parametrize("sides", [(4, 4), (6, 10), (2, 8)])
def test_filters_are_those_of_scipy(sides):
    x = normal(2, *sides, 3)
    np.testing.assert_allclose(resampling.upsampled(x), upfirdn(x, 2, 1, 2, 1, gain=2.0), atol=1e-6)
    np.testing.assert_allclose(resampling.downsampled(x), upfirdn(x, 1, 2, 1, 1), atol=1e-6)
    np.testing.assert_allclose(resampling.filtered(x, 2), upfirdn(x, 1, 1, 2, 2), atol=1e-6)


def test_an_even_surface_keeps_its_value_inside():
    x = jnp.ones((1, 6, 6, 1))
    np.testing.assert_allclose(resampling.upsampled(x)[:, 1:-1, 1:-1], 1, rtol=1e-6)
    np.testing.assert_allclose(resampling.downsampled(x)[:, 1:-1, 1:-1], 1, rtol=1e-6)


def test_up_and_down_are_adjoint():
    """<up x, y> = 4 <x, down y>: one filter, read both ways, with four times the gain on the way up."""
    x, y = normal(2, 4, 6, 3), normal(2, 8, 12, 3, seed=1)
    np.testing.assert_allclose(
        np.sum(resampling.upsampled(x) * y), 4 * np.sum(x * resampling.downsampled(y)), rtol=1e-5
    )


def scipy_convolved(x, kernel, mode):
    """Sums over channels of SciPy's correlations of [b, h, w, c] by [3, 3, c, o]."""
    outputs = [
        [sum(signal.correlate2d(image[..., c], kernel[..., c, o], mode) for c in range(x.shape[3])) for o in range(5)]
        for image in x
    ]
    return np.moveaxis(np.array(outputs), 1, 3)


def scipy_doubled(x, kernel):
    """Zeros between the pixels, SciPy's convolution without a cut, then the filter."""
    grown = np.zeros((x.shape[0], 2 * x.shape[1] - 1, 2 * x.shape[2] - 1, x.shape[3]))
    grown[:, ::2, ::2] = x
    return upfirdn(scipy_convolved(grown, kernel[::-1, ::-1], "full"), 1, 1, 1, 1, gain=2.0)


def test_a_convolution_to_half_filters_first():
    x, kernel = normal(2, 6, 8, 3), normal(3, 3, 3, 5, seed=1)
    expected = scipy_convolved(upfirdn(x, 1, 1, 2, 2), kernel, "valid")[:, ::2, ::2]
    np.testing.assert_allclose(resampling.correlate_to_half(x, kernel), expected, atol=1e-5)


def test_a_convolution_to_double_filters_last_and_cuts_nothing_off_between():
    x, kernel = normal(2, 4, 5, 3), normal(3, 3, 3, 5, seed=1)
    expected = scipy_doubled(x, kernel)
    found = resampling.transpose_to_double(x, kernel)
    assert found.shape == (2, 8, 10, 5)
    np.testing.assert_allclose(found, expected, atol=1e-5)


# ------------------------------------------------------------------------------- modulation, equalised rates


@pytest.mark.parametrize("is_up", [False, True])
def test_modulated_is_a_kernel_of_its_own_for_each_sample(is_up):
    x, kernel, styles = normal(3, 4, 4, 6), normal(3, 3, 6, 5, seed=1), 1 + normal(3, 6, seed=2)
    found = stylegan2.modulated(x, kernel, styles, is_up)
    for sample in range(3):
        own = kernel * styles[sample][:, None]
        own = own / np.sqrt(np.square(own).sum((0, 1, 2)) + 1e-8)
        one = x[sample : sample + 1]
        plain = scipy_convolved(np.pad(one, ((0, 0), (1, 1), (1, 1), (0, 0))), own, "valid")
        expected = scipy_doubled(one, own) if is_up else plain
        np.testing.assert_allclose(found[sample], expected[0], atol=2e-5)


def test_demodulated_outputs_have_unit_variance():
    """Inside, where all taps see pixels: of white inputs, whatever the styles and however large the kernel."""
    x, kernel = normal(64, 8, 8, 16), 30 * normal(3, 3, 16, 8, seed=1)
    styles = np.exp(normal(64, 16, seed=2))
    inside = np.asarray(stylegan2.modulated(x, kernel, styles))[:, 1:-1, 1:-1]
    np.testing.assert_allclose(inside.var((0, 1, 2)), 1, atol=0.1)


def test_outputs_without_demodulation_grow_with_the_styles():
    x, kernel, styles = normal(2, 4, 4, 6), normal(1, 1, 6, 3, seed=1), normal(2, 6, seed=2)
    expected = np.einsum("bhwc,co->bhwo", x * styles[:, None, None], kernel[0, 0])
    np.testing.assert_allclose(stylegan2.modulated(x, kernel, styles, is_demodulated=False), expected, atol=1e-5)


@pytest.mark.parametrize("rate", [1.0, 0.01])
def test_dense_keeps_variance_and_moves_by_its_rate(rate):
    layer, x = equalized.Dense(256, rate), normal(64, 128)
    variables = layer.init(jax.random.key(0), x)
    assert np.isclose(np.std(variables["params"]["kernel"]), 1 / rate, rtol=0.02)
    np.testing.assert_allclose(np.var(layer.apply(variables, x)), 1, rtol=0.1)
    moved = jax.tree.map(lambda leaf: leaf + 1, variables)
    step = layer.apply(moved, x) - layer.apply(variables, x)
    np.testing.assert_allclose(step, np.tile(rate * (x.sum(1) / math.sqrt(128) + 1)[:, None], 256), atol=2e-4)


def test_the_bias_of_styles_starts_at_one_and_noise_at_none():
    params = stylegan2.StyledConv(3, False, 0.0).init(jax.random.key(0), jnp.zeros((1, 4, 4, 2)), jnp.zeros((1, 5)))
    of_layer = params["params"]
    assert of_layer["noise_strength"] == 0
    np.testing.assert_array_equal(of_layer["style"]["bias"], 1)
    np.testing.assert_array_equal(of_layer["bias"], 0)


def test_activation_and_clamp():
    x = jnp.array([-200.0, -1.0, 0.0, 1.0, 300.0])
    root = math.sqrt(2)
    np.testing.assert_allclose(equalized.activated(x), np.array([-40, -0.2, 0, 1, 300]) * root, rtol=1e-6)
    np.testing.assert_allclose(equalized.activated(x, 20.0, 0.5), [-10, -0.1 * root, 0, 0.5 * root, 10], rtol=1e-6)


@pytest.mark.parametrize(("group", "channels"), [(2, 1), (4, 2), (8, 3)])
def test_minibatch_deviation_of_parts_of_the_channels(group, channels):
    x = normal(8, 3, 2, 6)
    found = np.asarray(MinibatchDeviation(group, channels).apply({}, x))
    np.testing.assert_array_equal(found[..., :6], x)
    for sample in range(8):
        alike = [other for other in range(8) if other % (8 // group) == sample % (8 // group)]
        deviations = np.sqrt(x[alike].var(0) + 1e-8)
        expected = [deviations[..., part].mean() for part in np.split(np.arange(6), channels)]
        np.testing.assert_allclose(found[sample, ..., 6:], np.broadcast_to(expected, (3, 2, channels)), rtol=1e-5)


# ---------------------------------------------------------------------------------- both players in PyTorch


SMALL = {"side": 16, "channels": 3, "width": 6, "max_width": 10, "depth": 3, "latent_dim": 8, "classes": 0,
         "clamp": 0.0, "group": 4, "residual": True}  # fmt: skip
CASES = {
    "residual": {},
    "grey, plain": {"channels": 1, "residual": False},
    "classes": {"classes": 3},
    "clamped": {"clamp": 0.8, "group": 2},
    "of 8 pixels": {"side": 8, "width": 12, "max_width": 16, "depth": 1},
}


def players(**fields):
    """(generator, its variables), (critic, its variables), and what they were made of."""
    given = SMALL | fields
    common = {name: given[name] for name in ("classes", "max_width", "clamp")}
    shape = given["side"], given["side"], given["channels"]
    generator = stylegan2.Generator(shape, given["width"], given["depth"], latent_dim=given["latent_dim"], **common)
    critic = stylegan2.Critic(
        given["width"], given["depth"], group=given["group"], residual=given["residual"], **common
    )
    latents, condition = jnp.zeros((4, given["latent_dim"] + given["classes"])), jnp.zeros((4, given["classes"]))
    images, key = jnp.zeros((4, *shape)), jax.random.key(0)
    both = [
        jax.jit(functools.partial(generator.init, train=True))(key, latents),
        jax.jit(functools.partial(critic.init, train=True))(key, images, condition=condition),
    ]
    for variables in both:  # no bias and no strength where it begins, where a mistake would not be seen
        variables["params"] = jax.tree.map(lambda leaf: leaf + 0.3 * normal(*leaf.shape), variables["params"])
    return (generator, both[0]), (critic, both[1]), given


def twins(generator, critic, given):
    """PyTorch's two with the same weights."""
    peer = pytest.importorskip("benchmarks.stylegan2_peer", exc_type=ImportError)
    made = peer.make_networks(
        given["side"], given["width"], given["channels"], given["latent_dim"], given["max_width"], given["depth"],
        given["classes"], given["clamp"], given["group"], critic="residual" if given["residual"] else "plain",
    )  # fmt: skip
    for twin, weights in zip(made, (of_generator(generator["params"]), of_critic(critic["params"])), strict=True):
        twin.load_state_dict({name: tensor(value) for name, value in weights.items()})
    return peer, *made


def tensor(array):
    import torch

    return torch.tensor(np.asarray(array))


def of_layer(prefix, params):
    """{name in PyTorch: array}, of the parameters of one layer: kernels [o, c, p, q], or [o, c]."""
    found = {}
    for name, value in params.items():
        if name == "style":
            found |= of_layer(f"{prefix}.style", value)
        else:
            order = {4: (3, 2, 0, 1), 2: (1, 0)}.get(value.ndim, range(value.ndim))
            called = {"kernel": "weight", "noise_strength": "strength"}.get(name, name)
            found[f"{prefix}.{called}"] = np.transpose(value, order)
    return found


def of_mapping(params):
    embedding = of_layer("mapping.embed", params["embedding"]) if "embedding" in params else {}
    layers = sum(name.startswith("Dense") for name in params)
    return embedding | {
        k: v for i in range(layers) for k, v in of_layer(f"mapping.dense.{i}", params[f"Dense_{i}"]).items()
    }


def of_generator(params):
    layers = params["synthesised"]
    found = of_mapping(params["mapped"]) | {"const": np.transpose(layers["constant"], (2, 0, 1))}
    for i in range(sum(name.startswith("ToPixels") for name in layers)):
        block = f"blocks.{4 * 2**i}"
        found |= of_layer(f"{block}.conv", layers[f"StyledConv_{2 * i}"])
        found |= of_layer(f"{block}.rgb", layers[f"ToPixels_{i}"])
        found |= of_layer(f"{block}.up", layers[f"StyledConv_{2 * i - 1}"]) if i else {}
    return found


def of_critic(params):
    found = of_mapping(params["of_class"]) if "of_class" in params else {}
    blocks = sum(name.startswith("Block") for name in params)
    for i in range(blocks):
        for name, layer in params[f"Block_{i}"].items():
            called = {"Conv_0": "conv", "Conv_1": "down", "shortcut": "skip"}[name]
            found |= of_layer(f"blocks.{4 * 2 ** (blocks - i)}.{called}", layer)
    for name, called in {"from_pixels": "from_rgb", "last_conv": "conv", "hidden": "dense", "last": "out"}.items():
        found |= of_layer(called, params[name])
    rows = np.reshape(params["hidden"]["kernel"], (4, 4, -1, params["hidden"]["bias"].size))
    return found | {
        "dense.weight": rows.transpose(3, 2, 0, 1).reshape(len(rows[0, 0, 0]), -1)
    }  # channels before pixels


def one_hot(given, count=4):
    return np.eye(given["classes"], dtype=np.float32)[np.arange(count) % given["classes"]] if given["classes"] else None


@pytest.fixture
def noises(monkeypatch):
    """What the layers of the next synthesis take for noise, in their order, as PyTorch is given it too."""

    def given(side, count=4):
        sizes = [4, *(size for i in range(1, int(math.log2(side)) - 1) for size in (4 * 2**i,) * 2)]
        drawn = [normal(count, size, size, 1, seed=i) for i, size in enumerate(sizes)]
        left = iter(drawn)
        monkeypatch.setattr(stylegan2, "drawn", lambda key, x: next(left))
        return [tensor(noise.transpose(0, 3, 1, 2)) for noise in drawn]

    return given


def assert_close(found, expected, rtol):
    expected = expected.detach().numpy()
    assert np.abs(found - expected).max() < rtol * np.abs(expected).max()


@pytest.mark.slow
@pytest.mark.parametrize("name", CASES)
def test_both_players_are_those_in_pytorch(name, noises):
    (generator, variables), (critic, its_variables), given = players(**CASES[name])
    _, twin, twin_critic = twins(variables, its_variables, given)
    z, c = normal(4, given["latent_dim"]), one_hot(given)
    inputs = z if c is None else np.concatenate([z, c], 1)
    told = None if c is None else tensor(c)
    w = applied(generator, variables, inputs, method="mapping")
    twin_w = twin.mapping(tensor(z), told)
    assert_close(w, twin_w, 1e-5)
    w = w + 0.5 * normal(*w.shape)  # another w for each layer
    drawn = noises(given["side"])
    keys = {"noise": jax.random.key(0)}
    images = np.asarray(applied(generator, variables, w, method="synthesis", rngs=keys))
    assert_close(images.transpose(0, 3, 1, 2), twin.synthesis(tensor(w), drawn), 1e-5)
    logits = applied(critic, its_variables, images, train=True, condition=c)
    assert_close(logits, twin_critic(tensor(images.transpose(0, 3, 1, 2)), told), 1e-5)


# ------------------------------------------------------------------------------- derivatives of derivatives


def of_torch(loss, twin):
    """{name: gradient} of a loss by the parameters of a network in PyTorch."""
    import torch

    parameters = dict(twin.named_parameters())
    found = torch.autograd.grad(loss, list(parameters.values()), allow_unused=True)
    return {name: None if slope is None else slope.numpy() for name, slope in zip(parameters, found, strict=True)}


def assert_slopes(found, expected):
    """Each to 1e-4 of the largest of the network; what PyTorch says the loss does not depend on is 0."""
    largest = max(np.abs(slope).max() for slope in expected.values() if slope is not None)
    assert found.keys() == expected.keys()
    for name, slope in expected.items():
        assert np.abs(found[name] - (0 if slope is None else slope)).max() < 1e-4 * largest, name


@pytest.mark.slow
@pytest.mark.parametrize("name", ["residual", "classes", "clamped"])
def test_gradients_of_r1_are_those_of_pytorchs_double_backward(name):
    (_, variables), (critic, its_variables), given = players(**CASES[name])
    peer, _, twin = twins(variables, its_variables, given)
    real, c = normal(4, 16, 16, 3), one_hot(given)

    def loss(params):
        critic_fn = functools.partial(critic.apply, {"params": params}, train=True, condition=c)
        return penalties.r1(critic_fn, real, None, jax.random.key(0))

    value, slopes = jax.jit(jax.value_and_grad(loss))(its_variables["params"])
    twice = peer.r1(twin, tensor(real.transpose(0, 3, 1, 2)), None if c is None else tensor(c))
    np.testing.assert_allclose(value, twice.item() / 2, rtol=1e-4)
    assert_slopes(of_critic(slopes), of_torch(twice / 2, twin))


@pytest.mark.slow
def test_gradients_of_path_length_are_those_of_pytorchs_double_backward(noises, monkeypatch):
    (generator, variables), (_, its_variables), given = players()
    peer, twin, _ = twins(variables, its_variables, given)
    z, direction = normal(8, given["latent_dim"]), normal(4, 16, 16, 3, seed=1) / 16
    monkeypatch.setattr(generator_terms.jax.random, "normal", lambda *_: direction * 16)
    drawn, keys = noises(16), {"noise": jax.random.key(0)}

    def loss(params):
        of_z = functools.partial(generator.apply, variables | {"params": params}, train=False)
        w = of_z(z, method="mapping")

        def images_of(w, stride):
            return of_z(w, method="synthesis", rngs=keys)

        return generator_terms.path_length(images_of, w, jax.random.key(0), 0.5)

    (value, mean), slopes = jax.jit(jax.value_and_grad(loss, has_aux=True))(variables["params"])
    w = twin.mapping(tensor(z[::2]))
    expected, new = peer.path_length(twin, w, drawn, 0.5, tensor(direction.transpose(0, 3, 1, 2)))
    np.testing.assert_allclose([value, mean], [expected.item(), new.item()], rtol=1e-4)
    assert_slopes(of_generator(slopes), of_torch(expected, twin))


# ------------------------------------------------------------------------- what is drawn, and what is remembered


def test_styles_of_two_latents_are_mixed_in_training_alone():
    """From a layer of U{1, ..., 5} on w is another's, for 0.9 of the samples, each with a place of its own."""
    generator, variables = mapping_of()
    z, key = normal(20_000, 4), {"noise": jax.random.key(1)}
    as_mapped = applied(generator, variables, z, method="mapping")
    assert as_mapped.shape == (20_000, 6, 4)
    np.testing.assert_array_equal(as_mapped, np.broadcast_to(as_mapped[:, :1], as_mapped.shape))
    mixed = np.asarray(applied(generator, variables, z, True, method="mapping", rngs=key))
    is_own = (mixed == as_mapped).all(2)
    assert (np.diff(is_own.astype(int), axis=1) <= 0).all()  # once another's, so to the end
    shares = np.bincount(is_own.sum(1), minlength=7) / 20_000
    np.testing.assert_allclose(shares, [0, *[0.9 / 5] * 5, 0.1], atol=0.01)
    others = mixed[:, -1][~is_own[:, -1]]
    np.testing.assert_allclose(others.mean(0), as_mapped[:, 0].mean(0), atol=0.05)
    np.testing.assert_allclose(others.std(0), as_mapped[:, 0].std(0), atol=0.05)


@pytest.mark.parametrize("classes", [2, 0], ids=["mapped", "beside the latent"])
def test_classes_of_both_latents_that_are_mixed_are_the_same(classes):
    generator, variables = mapping_of(2 - classes, classes=classes, style_mixing=1.0)
    z = np.concatenate([normal(400, 4), np.eye(2, dtype=np.float32)[np.arange(400) % 2]], 1)
    of_class = jnp.asarray(normal(4 if classes else 2, 4)) * 100
    variables["params"]["mapped"]["Dense_0"]["kernel"] = jnp.concatenate([jnp.zeros((4, 4)), of_class])
    mixed = applied(generator, variables, z, True, method="mapping", rngs={"noise": jax.random.key(1)})
    if classes:  # else how large it is beside the latent depends on that
        np.testing.assert_allclose(mixed[:, -1], mixed[:, 0], rtol=1e-6)
    np.testing.assert_array_equal(np.sign(mixed[:, -1]), np.sign(mixed[:, 0]))
    assert np.abs(mixed[0] - mixed[1]).max() > 0.1


def test_the_mean_of_w_follows_by_a_two_hundredth():
    generator, variables = mapping_of()
    z, drawn = normal(8, 4), {"method": "mapping", "mutable": ["averages"], "rngs": {"noise": jax.random.key(1)}}
    before = jnp.arange(4.0)
    variables["averages"] = {"w_avg": before}
    w = applied(generator, variables, z, method="mapping")[:, 0]
    _, stats = applied(generator, variables, z, True, **drawn)
    np.testing.assert_allclose(stats["averages"]["w_avg"], 0.995 * before + 0.005 * w.mean(0), rtol=1e-5)
    _, fresh = applied(generator.clone(momentum=0.0), variables, z, True, **drawn)
    np.testing.assert_allclose(fresh["averages"]["w_avg"], w.mean(0), rtol=1e-5)


def test_noise_is_one_number_for_each_pixel_times_the_strength():
    layer = stylegan2.StyledConv(3, False, 0.0)
    x, w, rngs = jnp.zeros((2, 4, 4, 2)), jnp.zeros((2, 5)), {"noise": jax.random.key(3)}
    variables = layer.init(jax.random.key(0), x, w)
    variables["params"]["noise_strength"] = jnp.float32(0.5)
    found = layer.apply(variables, x, w, rngs=rngs)
    np.testing.assert_array_equal(found, np.broadcast_to(found[..., :1], found.shape))
    slopes = np.where(found[..., 0] > 0, 1, 0.2) * math.sqrt(2) * 0.5
    noise = np.asarray(found[..., 0]) / slopes
    assert 0.5 < noise.std() < 1.5
    assert len(np.unique(noise)) == noise.size


# ------------------------------------------------------------------------------------------------- speed


@pytest.mark.slow
@pytest.mark.parametrize("members", [1, 3])
def test_no_convolution_is_grouped_or_has_holes(members, assert_convolutions_are_fast):
    """Neither of one run nor of several side by side, with gradients of both players through both terms."""
    (generator, variables), (critic, its_variables), given = players(side=8, width=4, max_width=8, depth=1)
    z, real, rngs = normal(4, given["latent_dim"]), normal(4, 8, 8, 3), {"noise": jax.random.key(0)}

    def losses(params, of_critic):
        made = functools.partial(generator.apply, variables | {"params": params}, train=True, rngs=rngs)
        w = made(z, method="mapping")
        lengths = generator_terms.path_length(lambda w, stride: made(w, method="synthesis"), w, jax.random.key(0), 0.5)[
            0
        ]
        critic_fn = functools.partial(critic.apply, {"params": of_critic}, train=True)
        return lengths + penalties.r1(critic_fn, real, None, None) + critic_fn(made(w, method="synthesis")).sum()

    slopes = jax.grad(losses, (0, 1))
    given_to = variables["params"], its_variables["params"]
    if members > 1:
        slopes = jax.vmap(slopes)
        given_to = jax.tree.map(lambda leaf: jnp.broadcast_to(leaf, (members, *leaf.shape)), given_to)
    assert_convolutions_are_fast(jax.jit(slopes).lower(*given_to).compile().as_text())


# ----------------------------------------------------------------------------- the numbers of the authors' code


def assert_official(name, found, is_thinned=False):
    """Images [b, h, w, c] as the authors have them, channels first."""
    found = np.asarray(found)
    found = found.transpose(0, 3, 1, 2) if found.ndim == 4 else found
    expected = official.NUMBERS[name]
    np.testing.assert_allclose(official.thinned(found) if is_thinned else found, expected, rtol=1e-5, atol=3e-6)


def channels_last(images):
    return images.transpose(0, 2, 3, 1)


def with_official(network, inputs, renamed, shapes, **others):
    """Variables of ours whose parameters are the authors' closed forms, placed as `renamed` has those of ours."""
    init = functools.partial(network.init, train=True, **others)
    variables = jax.eval_shape(init, jax.random.key(0), inputs)
    leaves, tree = jax.tree.flatten(variables["params"])
    ends = np.cumsum([math.prod(leaf.shape) for leaf in leaves])
    numbers = np.split(np.arange(ends[-1]), ends[:-1])
    places = renamed(tree.unflatten([n.reshape(leaf.shape) for n, leaf in zip(numbers, leaves, strict=True)]))
    values = np.zeros(ends[-1], np.float32)
    for name, array in official.parameters(shapes).items():
        values[places[name]] = array
    params = [values[n].reshape(leaf.shape) for n, leaf in zip(numbers, leaves, strict=True)]
    others = {name: jax.tree.map(lambda leaf: jnp.zeros(leaf.shape), variables[name]) for name in variables}
    return others | {"params": tree.unflatten(params)}


def generator_of_official(classes=0):
    generator = stylegan2.Generator((8, 8, 2), 2, 2, latent_dim=4, max_width=3, classes=classes)
    shapes = official.GENERATOR_OF_CLASSES if classes else official.GENERATOR
    return generator, with_official(generator, jnp.zeros((2, 4 + classes)), of_generator, shapes)


def test_filters_and_convolutions_are_official():
    image, x = channels_last(official.inputs((1, 1, 4, 4))), channels_last(official.inputs((1, 2, 4, 4)))
    kernel, pointwise = (official.weights((3, 2, size, size)).transpose(2, 3, 1, 0) for size in (3, 1))
    assert_official("upsample2d", resampling.upsampled(image), True)
    assert_official("downsample2d", resampling.downsampled(image))
    assert_official("conv_up", resampling.transpose_to_double(x, kernel), True)
    assert_official("conv_down", resampling.correlate_to_half(x, kernel))
    assert_official("conv_1x1_down", resampling.downsampled(x) @ pointwise[0, 0])


def test_modulation_is_official():
    x, styles = channels_last(official.inputs((2, 2, 4, 4))), official.inputs((2, 2), 1)
    kernel, pointwise = (official.weights((3, 2, size, size)).transpose(2, 3, 1, 0) for size in (3, 1))
    assert_official("modulated", stylegan2.modulated(x, kernel, styles), True)
    up = np.asarray(stylegan2.modulated(x, kernel, styles, is_up=True))[1]
    assert_official("modulated_up", official.thinned(up.transpose(2, 0, 1)))
    assert_official("to_rgb", stylegan2.modulated(x, pointwise, styles, is_demodulated=False), True)


@pytest.mark.parametrize("channels", [1, 2])
def test_the_minibatch_deviation_is_official(channels):
    found = MinibatchDeviation(4, channels).apply({}, channels_last(official.inputs((8, 4, 2, 2))))
    assert_official(f"deviation_{channels}", found[:, 0, 0, 4:])


def test_a_dense_layer_is_official():
    params = {"kernel": 100 * official.weights((3, 4)).T, "bias": 100 * official.weights((3,), 1)}
    x = official.inputs((2, 4))
    assert_official("dense", equalized.activated(equalized.Dense(3, 0.01).apply({"params": params}, x)))


def test_mappings_and_images_are_official(monkeypatch):
    generator, variables = generator_of_official()
    of_classes = generator_of_official(classes=3)
    z = official.inputs((2, 4))
    w = applied(generator, variables, z, method="mapping")
    for layer in range(4):
        assert_official("mapping", w[:, layer])
    monkeypatch.setattr(stylegan2, "drawn", lambda key, x: jnp.zeros((*x.shape[:3], 1)))
    rngs = {"noise": jax.random.key(0)}
    assert_official("generator", applied(generator, variables, z, rngs=rngs), True)
    noises = iter([official.inputs((1, side, side, 1), k) for k, side in enumerate((4, 8, 8))])
    monkeypatch.setattr(stylegan2, "drawn", lambda key, x: next(noises))
    of_layers = applied(generator, variables, official.inputs((2, 4, 4), 1), method="synthesis", rngs=rngs)
    assert_official("generator_of_layers", official.thinned(np.asarray(of_layers)[1].transpose(2, 0, 1)))
    told = np.concatenate([z, np.eye(3, dtype=np.float32)[[2, 0]]], 1)
    assert_official("mapping_of_classes", applied(*of_classes, told, method="mapping")[:, 0])


@pytest.mark.parametrize(
    ("name", "fields"),
    [
        ("critic", {}),
        ("critic_clamped", {"clamp": 1.0}),
        ("critic_plain", {"residual": False}),
        ("critic_of_classes", {"classes": 3}),
    ],
)
def test_critics_are_official(name, fields):
    critic = stylegan2.Critic(2, 0, group=2, max_width=3, **fields)
    shapes = official.CRITIC_OF_CLASSES if "classes" in fields else official.CRITIC | official.SKIP
    condition = np.eye(3, dtype=np.float32)[[2, 0, 1, 0]]
    images = channels_last(5 * official.inputs((4, 2, 8, 8)))
    if "residual" in fields:
        shapes = official.CRITIC
    variables = with_official(critic, images, of_critic, shapes, condition=condition)
    assert_official(name, applied(critic, variables, images, condition=condition))


def test_slopes_are_official(monkeypatch):
    critic, images = stylegan2.Critic(2, 0, group=2, max_width=3), channels_last(5 * official.inputs((4, 2, 8, 8)))
    variables = with_official(critic, images, of_critic, official.CRITIC | official.SKIP)
    norms = penalties.squared_gradient_norms(functools.partial(critic.apply, variables, train=False), images)
    assert_official("squared_slopes", norms)
    generator, variables = generator_of_official()
    w = applied(generator, variables, official.inputs((2, 4)), method="mapping")
    direction = channels_last(official.inputs((2, 2, 8, 8), 3))
    monkeypatch.setattr(stylegan2, "drawn", lambda key, x: jnp.zeros((*x.shape[:3], 1)))
    rngs = {"noise": jax.random.key(0)}
    for i, length in enumerate(official.NUMBERS["path_lengths"]):
        monkeypatch.setattr(generator_terms.jax.random, "normal", lambda *_, i=i: direction[i : i + 1])
        _, mean = generator_terms.path_length(
            lambda w, _: generator.apply(variables, w, train=False, method="synthesis", rngs=rngs), w[i : i + 1], None
        )
        np.testing.assert_allclose(100 * mean, length, rtol=2e-5)
