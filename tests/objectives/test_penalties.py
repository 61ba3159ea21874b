import jax
import jax.numpy as jnp
import numpy as np
import pytest

from gan_jax.objectives import penalties

KEY = jax.random.key(0)


def normal(*shape, seed=0):
    return np.random.default_rng(seed).normal(size=shape).astype(np.float32)


@pytest.fixture
def fixed_t(monkeypatch):
    """Interpolation weights for 5 samples that the test knows; a draw of any other number of weights fails."""
    t = np.float32([0.0, 0.25, 0.5, 0.9, 0.99])
    monkeypatch.setattr(jax.random, "uniform", lambda key, shape=(), dtype=float: jnp.asarray(t, dtype).reshape(shape))
    return t


@pytest.mark.parametrize("shape", [(2,), (4, 4, 1), (3, 3, 2)])
def test_of_a_linear_critic_is_the_same_at_all_points(shape):
    w = normal(*shape)
    penalty = penalties.gradient_penalty(
        lambda x: jnp.sum(x * w, range(1, x.ndim)), normal(6, *shape), normal(6, *shape), KEY
    )
    np.testing.assert_allclose(penalty, (np.sqrt(np.sum(w.astype(float) ** 2)) - 1) ** 2, rtol=1e-5)


def test_of_a_quadratic_critic_takes_each_samples_own_norm(fixed_t):
    """f(x) = a |x|^2 / 2 has the gradient a x. One norm for the batch, or one for each pixel, gives another mean."""
    real, fake = normal(5, 3, 3, 2, seed=1), normal(5, 3, 3, 2, seed=2)
    penalty = penalties.gradient_penalty(lambda x: jnp.sum(0.7 * x**2 / 2, (1, 2, 3)), real, fake, KEY)
    t = fixed_t.astype(float)[:, None, None, None]
    norms = np.linalg.norm((0.7 * (t * real + (1 - t) * fake)).reshape(5, -1), axis=1)
    np.testing.assert_allclose(penalty, np.mean((norms - 1) ** 2), rtol=1e-5)


@pytest.mark.parametrize("shape", [(2,), (4, 4, 3)])
def test_interpolation_has_one_uniform_weight_for_each_sample(shape):
    """With reals 1 and fakes 0 the interpolate is the weight: equal within a sample, different between samples."""
    t = np.asarray(penalties.interpolate(jnp.ones((512, *shape)), jnp.zeros((512, *shape)), KEY)).reshape(512, -1)
    assert (t == t[:, :1]).all()
    assert len(np.unique(t[:, 0])) == 512
    assert t.min() >= 0
    assert t.max() < 1
    assert np.abs(np.sort(t[:, 0]) - np.linspace(0, 1, 512)).max() < 0.09  # Kolmogorov-Smirnov, p = 0.0005


def test_interpolates_lie_on_the_line_from_fake_to_real(fixed_t):
    real, fake = normal(5, 4, 4, 1, seed=1), normal(5, 4, 4, 1, seed=2)
    expected = [fake[i] + fixed_t[i] * (real[i] - fake[i]) for i in range(5)]
    np.testing.assert_allclose(penalties.interpolate(real, fake, KEY), expected, atol=1e-6)


@pytest.mark.parametrize("scale", [0.0, 1e-30])
def test_zero_gradient_has_penalty_1_and_finite_derivatives(scale):
    """The derivative of a bare root is infinite at 0; a scale of 1e-30 has a square that is 0 in float32."""
    real, fake = normal(4, 3), normal(4, 3, seed=1)

    def penalty(w):
        return penalties.gradient_penalty(lambda x: jnp.tanh(x @ w), real, fake, KEY)

    w = np.full(3, scale, np.float32)
    value, gradient = jax.jit(jax.value_and_grad(penalty))(w)
    assert value == pytest.approx(1)
    assert (gradient == 0).all()
    assert np.isfinite(jax.jit(jax.hessian(penalty))(w)).all()


@pytest.mark.parametrize("norm", [1e-6, 1e-3, 1e3])
def test_no_epsilon_floors_the_norm(norm):
    """An epsilon of 1e-4 inside the root would make every norm at least 0.01."""
    w = norm * np.float32([0.6, 0.8])
    np.testing.assert_allclose(penalties.gradient_norms(lambda x: x @ w, normal(3, 2)), [norm] * 3, rtol=1e-5)


def test_critics_gradient_agrees_with_pytorchs_double_backward(fixed_t):
    torch = pytest.importorskip("torch")
    real, fake = normal(5, 6, 6, 2, seed=1), normal(5, 6, 6, 2, seed=2)
    kernel, dense = normal(3, 3, 2, 4, seed=3) / 4, normal(4 * 4 * 4, 1, seed=4)

    def penalty(kernel, dense):
        def critic(x):
            y = jax.lax.conv_general_dilated(x, kernel, (1, 1), "VALID", dimension_numbers=("NHWC", "HWIO", "NHWC"))
            return (jax.nn.softplus(y).reshape(len(x), -1) @ dense)[:, 0]

        return penalties.gradient_penalty(critic, real, fake, KEY)

    value, gradients = jax.value_and_grad(penalty, argnums=(0, 1))(kernel, dense)

    weights = [torch.tensor(kernel, requires_grad=True), torch.tensor(dense, requires_grad=True)]
    t = torch.tensor(fixed_t)[:, None, None, None]
    x = (t * torch.tensor(real) + (1 - t) * torch.tensor(fake)).requires_grad_()
    y = torch.nn.functional.conv2d(x.permute(0, 3, 1, 2), weights[0].permute(3, 2, 0, 1)).permute(0, 2, 3, 1)
    logits = torch.nn.functional.softplus(y).reshape(5, -1) @ weights[1]
    (slopes,) = torch.autograd.grad(logits.sum(), x, create_graph=True)
    expected = ((slopes.flatten(1).norm(dim=1) - 1) ** 2).mean()
    expected.backward()

    np.testing.assert_allclose(value, expected.item(), rtol=1e-5)
    for gradient, weight in zip(gradients, weights, strict=True):
        np.testing.assert_allclose(gradient, weight.grad, rtol=1e-4, atol=1e-5)


def test_clipping_bounds_every_parameter_and_leaves_small_ones():
    params = {"kernel": normal(4, 5), "layer": {"bias": np.float32([-0.3, 0.1, 0.2, 5])}}
    clipped = penalties.clip_weights(params, 0.2)
    assert jax.tree.structure(clipped) == jax.tree.structure(params)
    np.testing.assert_allclose(clipped["layer"]["bias"], [-0.2, 0.1, 0.2, 0.2])
    np.testing.assert_allclose(clipped["kernel"], np.maximum(np.minimum(params["kernel"], 0.2), -0.2))
