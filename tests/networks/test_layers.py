import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import linen as nn

from gan_jax.networks.conv import Conv
from gan_jax.networks.layers import Norm, SpectralNorm, mixes_samples

SHAPES = [(6, 5), (6, 4, 3, 5)]


def images(*shape):
    """A channel, a position and a sample each have a mean of their own, so that it shows which of them are reduced."""
    rng = np.random.default_rng(0)
    return sum(
        rng.normal(size=np.where(np.arange(len(shape)) == axis, shape, 1)) for axis in range(len(shape))
    ) + rng.normal(size=shape)


def normalised(x, axes):
    return (x - x.mean(axes, keepdims=True)) / np.sqrt(x.var(axes, keepdims=True) + 1e-5)


def apply(kind, x, stats=None, **attributes):
    """(outputs, new statistics) for parameters as they are initialised."""
    norm = Norm(kind, **attributes)
    variables = norm.init(jax.random.key(0), jnp.asarray(x, jnp.float32)) | (stats or {})
    return norm.apply(variables, jnp.asarray(x, jnp.float32), mutable=["batch_stats"])


@pytest.mark.parametrize("shape", SHAPES)
def test_layer_norm_reduces_over_height_width_and_channels(shape):
    """flax's LayerNorm reduces over the channels alone."""
    x = images(*shape)
    y, stats = apply("layer", x, train=True)
    np.testing.assert_allclose(y, normalised(x, tuple(range(1, x.ndim))), atol=1e-5)
    assert not stats


@pytest.mark.parametrize("shape", SHAPES)
def test_batch_norm_reduces_over_all_but_the_channels(shape):
    x = images(*shape)
    y, _ = apply("batch", x, train=True)
    np.testing.assert_allclose(y, normalised(x, tuple(range(x.ndim - 1))), atol=1e-5)


AXES = {"batch": lambda x: tuple(range(x.ndim - 1)), "layer": lambda x: tuple(range(1, x.ndim))}


@pytest.mark.parametrize(("mean", "deviation"), [(3000, 1), (50, 0.01), (0, 1)])
@pytest.mark.parametrize("shape", [(64, 5), (16, 8, 8, 6)])
@pytest.mark.parametrize("kind", AXES)
def test_a_norm_is_exact_far_from_zero(kind, shape, mean, deviation):
    """flax's own outputs reach 1,220 at N(3000, 1): its variance E x^2 - (E x)^2 is round-off there."""
    x = np.random.default_rng(0).normal(mean, deviation, shape).astype(np.float32)
    y, stats = apply(kind, x, train=True)
    in_float64 = x.astype(np.float64)
    np.testing.assert_allclose(y, normalised(in_float64, AXES[kind](x)), atol=3e-6)
    if kind == "batch":
        running = stats["batch_stats"]["BatchNorm_0"]
        np.testing.assert_allclose(running["mean"], 0.1 * in_float64.mean(AXES[kind](x)), rtol=1e-6, atol=1e-6)
        np.testing.assert_allclose(running["var"], 0.9 + 0.1 * in_float64.var(AXES[kind](x)), rtol=1e-6)


@pytest.mark.parametrize(("mean", "deviation"), [(3000, 1), (50, 0.01)])
@pytest.mark.parametrize("kind", AXES)
def test_a_norm_and_its_gradient_are_pytorchs_in_float64(kind, mean, deviation):
    """In float32, PyTorch's group norm of images in channels_last is off by more than 1,000 there, on a CPU."""
    torch = pytest.importorskip("torch")
    rng = np.random.default_rng(0)
    x, weights = rng.normal(mean, deviation, (16, 6, 8, 8)).astype(np.float32), rng.normal(size=(16, 6, 8, 8))
    theirs = torch.tensor(x, dtype=torch.float64, requires_grad=True)
    if kind == "batch":
        output = torch.nn.functional.batch_norm(theirs, None, None, training=True, eps=1e-5)
    else:
        output = torch.nn.functional.group_norm(theirs, 1, eps=1e-5)
    (output * torch.tensor(weights)).sum().backward()

    def weighted(x):
        y, _ = apply(kind, x, train=True)
        return jnp.sum(y * weights.transpose(0, 2, 3, 1)), y

    gradient, y = jax.grad(weighted, has_aux=True)(jnp.asarray(x.transpose(0, 2, 3, 1)))
    np.testing.assert_allclose(y, output.detach().numpy().transpose(0, 2, 3, 1), atol=1e-5)
    expected = theirs.grad.numpy().transpose(0, 2, 3, 1)
    np.testing.assert_allclose(gradient, expected, atol=1e-5 * abs(expected).max())


@pytest.mark.parametrize(("attributes", "share"), [({}, 0.1), ({"momentum": 0.0}, 1.0)])
def test_batch_norms_momentum_is_pytorchs_tenth(attributes, share):
    """From mean 0 and variance 1, one minibatch moves the statistics by a tenth; flax's default is a hundredth."""
    x = images(6, 4, 3, 5)
    _, stats = apply("batch", x, train=True, **attributes)
    running = stats["batch_stats"]["BatchNorm_0"]
    np.testing.assert_allclose(running["mean"], share * x.mean((0, 1, 2)), rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(running["var"], (1 - share) + share * x.var((0, 1, 2)), rtol=1e-5)


def test_batch_norm_outside_of_training_uses_and_keeps_the_running_statistics():
    x, running = images(6, 5), {"mean": jnp.arange(5.0), "var": jnp.arange(1.0, 6.0)}
    y, stats = apply("batch", x, {"batch_stats": {"BatchNorm_0": running}}, train=False)
    np.testing.assert_allclose(y, (x - np.arange(5)) / np.sqrt(np.arange(1, 6) + 1e-5), rtol=1e-5, atol=1e-6)
    np.testing.assert_array_equal(stats["batch_stats"]["BatchNorm_0"]["mean"], np.arange(5))
    np.testing.assert_array_equal(stats["batch_stats"]["BatchNorm_0"]["var"], np.arange(1, 6))


@pytest.mark.parametrize("kind", ["none", "batch", "layer"])
def test_mixes_samples_says_whether_one_sample_moves_another(kind):
    x = images(4, 3)
    moved = np.concatenate([x[:3], x[3:] + 1])
    assert mixes_samples(kind) == (
        not np.array_equal(apply(kind, x, train=True)[0][:3], apply(kind, moved, train=True)[0][:3])
    )


def test_none_is_the_identity():
    x = images(4, 3).astype(np.float32)
    np.testing.assert_array_equal(apply("none", x, train=True)[0], x)


class Linear(nn.Module):
    """Every kind of leaf: a dense kernel, a convolution's, biases."""

    @nn.compact
    def __call__(self, x, train: bool):
        x = nn.Dense(8)(x.reshape(len(x), -1)).reshape(len(x), 2, 2, 2)
        return Conv(3, kernel_size=1, stride=1)(x).reshape(len(x), -1)


def spectral(x, passes=1):
    """(variables before, after) some passes in training."""
    module = SpectralNorm(Linear())
    first = variables = module.init(jax.random.key(0), x, train=True)
    for _ in range(passes):
        _, changed = module.apply(variables, x, train=True, mutable=["spectral"])
        variables = variables | changed
    return module, first, variables


@pytest.mark.slow
def test_spectral_norm_divides_every_kernel_by_its_largest_singular_value():
    x = images(5, 6).astype(np.float32)
    module, _, variables = spectral(x, passes=60)
    outputs = module.apply(variables, x, train=False)
    divided = {
        "params": jax.tree.map(
            lambda w: w if w.ndim < 2 else w / np.linalg.svd(np.asarray(w).reshape(-1, w.shape[-1]))[1][0],
            variables["params"]["network"],
        )
    }
    np.testing.assert_allclose(outputs, Linear().apply(divided, x, train=False), rtol=1e-4, atol=1e-5)


@pytest.mark.slow
def test_spectral_norm_leaves_the_initialisation_as_it_is():
    """What is stored is W, as PyTorch's `weight_orig`, not W divided by its norm."""
    _, variables, _ = spectral(images(5, 6).astype(np.float32))
    kernel = np.asarray(variables["params"]["network"]["Dense_0"]["kernel"])
    assert kernel.std() == pytest.approx(np.sqrt(1 / len(kernel)), rel=0.15)  # flax's own, of variance 1 / inputs


@pytest.mark.parametrize("train", [True, False])
def test_spectral_vectors_improve_only_in_training_and_where_they_may(train):
    x = images(5, 6).astype(np.float32)
    module, variables, _ = spectral(x)
    _, changed = module.apply(variables, x, train=train, mutable=["spectral"])
    moved = jax.tree.map(lambda a, b: not np.array_equal(a, b), changed["spectral"], variables["spectral"])
    assert all(jax.tree.leaves(moved)) == any(jax.tree.leaves(moved)) == train
    module.apply(variables, x, train=True, mutable=False)  # and no error where they may not


def test_spectral_norm_leaves_a_kernel_of_zeros_as_it_is():
    """Residual branches may begin with one: 0 / 0 would be NaN, in the value and in every gradient."""
    x = images(5, 6).astype(np.float32)
    module = SpectralNorm(Linear())
    variables = module.init(jax.random.key(0), x, train=True)
    variables["params"]["network"]["Conv_0"]["kernel"] *= 0

    def total(params):
        outputs, _ = module.apply(variables | {"params": params}, x, train=True, mutable=["spectral"])
        return outputs.sum(), outputs

    gradients, outputs = jax.grad(total, has_aux=True)(variables["params"])
    np.testing.assert_array_equal(outputs, 0)  # its bias is 0, too
    assert all(np.isfinite(leaf).all() for leaf in jax.tree.leaves(gradients))
    assert np.abs(gradients["network"]["Conv_0"]["kernel"]).max() > 0


@pytest.mark.parametrize("begins_with_zeros", [True, False])
def test_spectral_norm_finds_the_norm_of_a_kernel_that_grows_from_zeros(begins_with_zeros):
    zeros = nn.initializers.zeros_init()

    class Dense(nn.Module):
        @nn.compact
        def __call__(self, x, train: bool):
            return nn.Dense(4, kernel_init=zeros if begins_with_zeros else nn.initializers.lecun_normal())(x)

    module, x = SpectralNorm(Dense()), np.eye(6, dtype=np.float32)
    variables = module.init(jax.random.key(0), x, train=True)
    kernel = np.random.default_rng(0).normal(size=(6, 4)).astype(np.float32)
    for size in (0, 0, *[3] * 50):  # passes over zeros, and over what comes of them
        variables["params"]["network"]["Dense_0"]["kernel"] = size * kernel
        outputs, changed = module.apply(variables, x, train=True, mutable=["spectral"])
        variables |= changed
    np.testing.assert_allclose(np.linalg.norm(outputs, 2), 1, rtol=1e-4)


def test_spectral_norm_is_pytorchs_in_value_vectors_and_gradient():
    """One power iteration a pass; the gradient flows through the singular value, to which the vectors are constants."""
    torch = pytest.importorskip("torch")
    x = images(5, 6).astype(np.float32)

    class Dense(nn.Module):
        @nn.compact
        def __call__(self, x, train: bool):
            return nn.Dense(4)(x)

    module = SpectralNorm(Dense())
    variables = module.init(jax.random.key(0), x, train=True)
    kernel, bias = (np.asarray(variables["params"]["network"]["Dense_0"][key]) for key in ("kernel", "bias"))
    (vectors,) = variables["spectral"].values()
    twin = torch.nn.Linear(6, 4)
    twin.weight.data, twin.bias.data = torch.tensor(kernel.T.copy()), torch.tensor(bias)
    twin = torch.nn.utils.spectral_norm(twin)  # the parametrised form starts from fifteen iterations
    twin.weight_u.data, twin.weight_v.data = torch.tensor(np.asarray(vectors[1])), torch.tensor(np.asarray(vectors[0]))

    def loss(params):
        y, changed = module.apply(variables | {"params": params}, x, train=True, mutable=["spectral"])
        return jnp.sum(jnp.sin(y)), (y, changed)

    gradients, (y, changed) = jax.grad(loss, has_aux=True)(variables["params"])
    expected = twin(torch.tensor(x))
    torch.sin(expected).sum().backward()
    np.testing.assert_allclose(y, expected.detach(), rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(gradients["network"]["Dense_0"]["kernel"], twin.weight_orig.grad.T, rtol=1e-4, atol=1e-5)
    (vectors,) = changed["spectral"].values()
    np.testing.assert_allclose(vectors[0], twin.weight_v, rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(vectors[1], twin.weight_u, rtol=1e-5, atol=1e-6)
