import jax
import jax.numpy as jnp
import numpy as np
import pytest

from gan_jax.networks.layers import Norm, mixes_samples

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
