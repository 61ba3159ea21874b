import functools
import re

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from gan_jax import networks
from gan_jax.config import default_config
from gan_jax.config.choices import is_network, names_in
from gan_jax.training.game import build_networks
from tests import shipped

NAMES = names_in(networks, is_network)
SHAPES = {
    "mlp": [(2,), (8, 8, 1), (12, 6, 3)],
    "dcgan": [(size, size, channels) for size in (8, 16, 32, 64) for channels in (1, 3)],
    "resnet": [(8, 8, 1), (32, 32, 3), (64, 64, 1)],
    "sn_cnn": [(8, 8, 1), (32, 32, 3), (64, 64, 1)],
    "stylegan2": [(8, 8, 1), (32, 32, 3), (64, 64, 1)],
}
IMAGES = ("dcgan", "resnet", "sn_cnn", "stylegan2")
NORMS = ("none", "batch", "layer")
TRIED = [(8, 8, 1), (2,), (32, 32, 3), (64, 64, 1)]  # by a network that has no row above, where it takes them
CASES = [(name, shape) for name in NAMES for shape in SHAPES.get(name, TRIED)]
NAMES_AND_NORMS = [(name, norm) for name in NAMES for norm in getattr(getattr(networks, name), "NORMS", NORMS)]
REMEMBERED = {("stylegan2", "Generator"): {"averages"}}  # besides batch statistics
OTHERS = [(24, 16, 1), (64, 96, 3), (28, 28, 1), (128, 128, 3), (256, 256, 3)]


def players(name, shape, norm, width=4, depth=2):
    network = getattr(networks, name)
    return network.Generator(shape, width, depth, norm), network.Critic(width, depth, norm)


def variables_of(network, inputs):
    """Every parameter of U[-1, 1], every running statistic of U[0.1, 1], all else that is remembered of U[0, 1]."""
    rng = np.random.default_rng(0)
    variables = jax.eval_shape(functools.partial(network.init, train=True), jax.random.key(0), inputs)
    lows = {"params": -1.0, "batch_stats": 0.1, "averages": 0.0}
    return {
        kind: jax.tree.map(lambda leaf, low=lows[kind]: rng.uniform(low, 1, leaf.shape).astype(leaf.dtype), tree)
        for kind, tree in variables.items()
    }


def small(name):
    """The first of the shapes that it is for."""
    return next(shape for shape in [*TRIED, *SHAPES.get(name, [])] if not getattr(networks, name).check_shape(shape))


@pytest.mark.parametrize("name", NAMES)
def test_has_its_shapes_here(name):
    where = "SHAPES of tests/networks/test_architectures.py"
    shipped.needs_row(name, shipped.NETWORKS, SHAPES, where, "the shapes that it is for")


@pytest.mark.parametrize(
    ("name", "shape", "norm"),
    [
        *((name, shape, norm) for name, shape in CASES for its_name, norm in NAMES_AND_NORMS if its_name == name),
        *((name, shape, "none" if name == "stylegan2" else "batch") for name in IMAGES for shape in OTHERS),
    ],
)
def test_shapes_and_statistics(name, shape, norm):
    """Only batch norm adds a collection, where a network has a place for it, and all is computed in float32."""
    if name not in SHAPES and getattr(networks, name).check_shape(shape):
        return  # it is not for this shape, and says so
    assert getattr(networks, name).check_shape(shape) == ""
    latents, samples = jax.ShapeDtypeStruct((5, 3), jnp.float32), jax.ShapeDtypeStruct((5, *shape), jnp.float32)
    outputs = samples, jax.ShapeDtypeStruct((5,), jnp.float32)
    for network, inputs, output in zip(players(name, shape, norm), (latents, samples), outputs, strict=True):
        init = functools.partial(network.init_with_output, train=True)
        actual, variables = jax.eval_shape(init, jax.random.key(0), inputs)
        assert (actual.shape, actual.dtype) == (output.shape, output.dtype)
        kinds = {"params", "batch_stats"} if norm == "batch" else {"params"}
        kinds |= REMEMBERED.get((name, type(network).__name__), set())
        assert set(variables) == kinds if name in SHAPES else {"params"} <= set(variables) <= kinds
        assert {leaf.dtype for leaf in jax.tree.leaves(variables)} == {jnp.dtype("float32")}


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "norm"),
    [
        pytest.param(name, norm, marks=[] if norm == "batch" or name == "stylegan2" else pytest.mark.hours)
        for name, norm in NAMES_AND_NORMS
    ],
)
def test_bfloat16_is_computed_in_and_what_is_kept_and_given_is_float32(name, norm):
    """To 8 bits, what float32 gives; and not to more, or it would not have been computed in bfloat16."""
    rng, shape = np.random.default_rng(0), (2,) if name == "mlp" else small(name)
    inputs = rng.normal(size=(64, 3)).astype(np.float32), rng.normal(size=(64, *shape)).astype(np.float32)
    for network, x in zip(players(name, shape, norm), inputs, strict=True):
        variables = variables_of(network, x)
        if name != "stylegan2":  # whose kernels are scaled as they are used
            variables = jax.tree.map(scaled, variables)
        low = network.clone(dtype="bfloat16")
        drawn = {"mutable": ["batch_stats"], "rngs": {"noise": jax.random.key(0)}}
        applied = [functools.partial(n.apply, train=True, **drawn) for n in (network, low)]
        (expected, _), (found, stats) = (jax.jit(apply)(variables, x) for apply in applied)
        assert {leaf.dtype for leaf in jax.tree.leaves((found, stats))} == {jnp.dtype("float32")}
        assert 1e-5 < np.abs(found - expected).max() / np.abs(expected).max() < 0.1
        shapes = jax.eval_shape(functools.partial(low.init, train=True), jax.random.key(0), x)
        assert jax.tree.map(jnp.shape, shapes) == jax.tree.map(jnp.shape, variables)


def scaled(leaf):
    """A kernel under which numbers stay as large as they are: where tanh is flat, its sign alone would be compared."""
    return leaf / np.float32(np.prod(leaf.shape[:-1]) ** 0.5) if leaf.ndim > 1 else leaf


@pytest.mark.parametrize("name", IMAGES)
@pytest.mark.parametrize(
    ("shape", "sides", "nearest"),
    [
        ((50, 50, 3), "50 x 50", 48),
        ((4, 4, 1), "4 x 4", 8),
        ((1000, 1000, 3), "1000 x 1000", 448),
        ((50, 70, 3), "50 x 70", 48),
        ((64, 100, 1), "64 x 100", 64),
        ((300, 300, 3), "300 x 300", 320),
    ],
)
def test_networks_of_images_name_the_nearest_size_and_what_to_give_which_goes_through(name, shape, sides, nearest):
    problem = getattr(networks, name).check_shape(shape)
    which = "both sides" if sides not in ("4 x 4", "1000 x 1000") else "the smaller side"
    assert problem.startswith(f"{name} needs {which} of {sides} pixels to be ")
    assert f"nearest: {nearest} x {nearest}; give --config.data.image_size={nearest}" in problem
    assert (", which crops to a square, or" in problem) == (shape[0] != shape[1])
    assert "\n" not in problem
    size, other = re.search(r"image_size=(\d+).* or --config.network.name=(\w+)$", problem).groups()
    config = default_config("digits")
    config.network.name, config.network.width = name, 2
    build_networks(config, (int(size), int(size), shape[2]))
    config.network.name = other
    build_networks(config, shape)


@pytest.mark.parametrize("name", IMAGES)
@pytest.mark.parametrize("shape", [(32, 32), (2,)])
def test_networks_of_images_make_no_points(name, shape):
    problem = getattr(networks, name).check_shape(shape)
    assert problem == f"{name} makes images, not samples of shape {shape}; give --config.network.name=mlp"
    assert networks.mlp.check_shape((2,)) == ""


@pytest.mark.parametrize("name", ["dcgan", "resnet", "sn_cnn"])
def test_channels_of_large_images_end_at_sixteen_widths(name):
    generator, critic = players(name, (256, 256, 3), "none", width=2)
    inputs = jnp.zeros((1, 7)), jnp.zeros((1, 256, 256, 3))
    for network, x in zip((generator, critic), inputs, strict=True):
        shapes = jax.eval_shape(functools.partial(network.init, train=True), jax.random.key(0), x)
        kernels = [leaf.shape for leaf in jax.tree.leaves(shapes) if len(leaf.shape) == 4]
        assert max(max(kernel[2:]) for kernel in kernels) == 2 * 16


def test_dcgan_doubles_its_width_at_each_halving():
    generator, critic = players("dcgan", (32, 32, 3), "none", width=4)
    inputs = jnp.zeros((1, 7)), jnp.zeros((1, 32, 32, 3))
    kernels = [
        [leaf.shape for leaf in jax.tree.leaves(variables_of(network, x)["params"]) if leaf.ndim > 1]
        for network, x in zip((generator, critic), inputs, strict=True)
    ]
    assert kernels[0] == [(4, 4, 16, 8), (4, 4, 8, 4), (4, 4, 4, 3), (7, 4 * 4 * 16)]
    assert kernels[1] == [(4, 4, 3, 4), (4, 4, 4, 8), (4, 4, 8, 16), (4 * 4 * 16, 1)]


def largest_number(name, shape):
    generator, _ = players(name, shape, "none")
    latents = 100 * np.random.default_rng(0).normal(size=(8, 3))
    return np.abs(generator.apply(variables_of(generator, latents), latents, train=True)).max()


@pytest.mark.parametrize("name", NAMES)
def test_images_are_in_the_unit_range(name):
    if len(shape := small(name)) == 3 and name != "stylegan2":  # which training makes such
        assert (0.9 if name in SHAPES else 0) < largest_number(name, shape) <= 1


def test_points_are_not():
    assert largest_number("mlp", (2,)) > 10


@pytest.mark.slow
@pytest.mark.parametrize(("name", "norm"), NAMES_AND_NORMS)
def test_a_critics_logit_depends_on_other_samples_under_batch_norm_alone(name, norm):
    samples = np.random.default_rng(0).normal(size=(4, *small(name))).astype(np.float32)
    _, critic = players(name, small(name), norm)
    variables = variables_of(critic, samples)

    def logit(samples):
        return critic.apply(variables, samples, train=True, mutable=list(variables))[0][1]

    gradient = np.abs(jax.jit(jax.grad(logit))(samples)).reshape(4, -1).max(1)
    assert gradient[1] > 0
    if norm != "batch":
        assert (np.delete(gradient, 1) == 0).all()
    elif name in SHAPES:
        assert (np.delete(gradient, 1) > 0).all()


@pytest.mark.slow
@pytest.mark.parametrize(("name", "norm"), NAMES_AND_NORMS)
def test_outside_of_training_a_sample_is_a_function_of_its_own_latent(name, norm):
    latents = np.random.default_rng(0).normal(size=(4, 3)).astype(np.float32)
    generator, _ = players(name, small(name), norm)
    variables = variables_of(generator, latents)
    generate = jax.jit(functools.partial(generator.apply, train=False, rngs={"noise": jax.random.key(0)}))
    np.testing.assert_allclose(generate(variables, latents)[:2], generate(variables, latents[:2]), atol=1e-6)
