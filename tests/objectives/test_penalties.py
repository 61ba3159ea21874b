import jax
import jax.numpy as jnp
import numpy as np
import pytest

from gan_jax.config import penalty_names
from gan_jax.objectives import penalties
from tests import shipped

KEY = jax.random.key(0)


def normal(*shape, seed=0):
    return np.random.default_rng(seed).normal(size=shape).astype(np.float32)


NAMES = penalty_names()


@pytest.fixture
def fixed_t(monkeypatch):
    """Interpolation weights for 5 samples that the test knows, and one number for each pixel; any other draw fails."""
    t = np.float32([0.0, 0.25, 0.5, 0.9, 0.99])

    def uniform(key, shape=(), dtype=float):
        of_pixels = len(shape) > 1 and shape[1] > 1
        return jnp.asarray(pixel_noise(shape) if of_pixels else t.reshape(shape), dtype)

    monkeypatch.setattr(jax.random, "uniform", uniform)
    return t


def pixel_noise(shape):
    return np.random.default_rng(9).uniform(size=shape).astype(np.float32)


# name: the penalty of norms |g|, of a NumPy array in float64 and of a tensor of PyTorch's. The one table for a new one.
OF_NORMS = {
    "gradient_penalty": lambda norms: ((norms - 1) ** 2).mean(),
    "one_sided": lambda norms: ((norms - 1).clip(min=0) ** 2).mean(),
    "zero_centered": lambda norms: (norms**2).mean(),
    "dragan": lambda norms: ((norms - 1) ** 2).mean(),
    "r1": lambda norms: (norms**2).mean() / 2,
    "r2": lambda norms: (norms**2).mean() / 2,
}
SUMS = {"r1_r2": ("r1", "r2")}
WITH_FORMULA = [*OF_NORMS, *SUMS]
OF_OTHER_THINGS: tuple[str, ...] = ()  # than norms: each has a test of its own


def of_norm(name, norm):
    """The penalty where every gradient has this norm."""
    return sum(OF_NORMS[part](np.float64([norm])) for part in SUMS.get(name, (name,)))


def points(name, real, fake, t):
    """Where it takes its gradients: between reals and fakes, but for those that have a place of their own here."""
    t = t.reshape(-1, *[1] * (real.ndim - 1))
    around = real + t * 0.5 * real.std() * pixel_noise(real.shape)
    return {"r1": real, "r2": fake, "dragan": around}.get(name, t * real + (1 - t) * fake)


def expected_penalty(name, norms_at, real, fake, t):
    return sum(OF_NORMS[part](norms_at(points(part, real, fake, t))) for part in SUMS.get(name, (name,)))


@pytest.mark.parametrize("name", NAMES)
def test_has_its_formula_here(name):
    where, rows = "OF_NORMS of tests/objectives/test_penalties.py", {*WITH_FORMULA, *OF_OTHER_THINGS}
    what = "the penalty as a function of the gradients' norms, or to OF_OTHER_THINGS its name"
    shipped.needs_row(name, shipped.PENALTIES, rows, where, what)


@pytest.mark.parametrize("name", WITH_FORMULA)
@pytest.mark.parametrize("norm", [0.4, 1.0, 3.0])
@pytest.mark.parametrize("shape", [(2,), (3, 3, 2)])
def test_of_a_linear_critic_is_exact(name, norm, shape):
    """f(x) = w x has the gradient w everywhere."""
    w = normal(*shape).astype(float)
    w *= norm / np.linalg.norm(w)
    critic = lambda x: jnp.sum(x * np.float32(w), range(1, x.ndim))  # noqa: E731
    value = getattr(penalties, name)(critic, normal(6, *shape), normal(6, *shape, seed=1), KEY)
    np.testing.assert_allclose(value, of_norm(name, norm), rtol=1e-5, atol=1e-10)


@pytest.mark.parametrize("name", WITH_FORMULA)
@pytest.mark.parametrize("norm", [0.4, 3.0])
def test_the_critic_learns_by_the_exact_gradient(name, norm):
    """Of f(x) = w x: with n = |w|, the derivative of the penalty of n, here by differences, times w / n."""
    w = norm * np.float32([0.6, 0.8])
    real, fake = normal(6, 2), normal(6, 2, seed=1)
    gradient = jax.grad(lambda w: getattr(penalties, name)(lambda x: x @ w, real, fake, KEY))(w)
    slope = (of_norm(name, norm + 1e-6) - of_norm(name, norm - 1e-6)) / 2e-6
    np.testing.assert_allclose(gradient, slope * w / norm, rtol=1e-5)


def test_dragans_points_are_the_reals_and_half_a_deviation_of_uniform_noise_weighted_for_each_sample(fixed_t):
    """x + t 0.5 std(X) U[0, 1), never below the reals; a critic that is x^2 / 2 has its points as gradients."""
    real = normal(5, 3, 3, 2, seed=1)
    value = penalties.dragan(lambda x: jnp.sum(x**2 / 2, (1, 2, 3)), real, real, KEY)
    noise = fixed_t[:, None, None, None] * 0.5 * real.std() * pixel_noise(real.shape)
    norms = np.linalg.norm((real + noise).reshape(5, -1), axis=1)
    np.testing.assert_allclose(value, np.mean((norms - 1) ** 2), rtol=1e-5)


@pytest.mark.parametrize("name", WITH_FORMULA)
def test_of_a_quadratic_critic_takes_each_samples_own_norm_at_the_right_points(name, fixed_t):
    """f(x) = a |x|^2 / 2 has the gradient a x. One norm for the batch, or one for each pixel, gives another mean."""
    real, fake = normal(5, 3, 3, 2, seed=1), normal(5, 3, 3, 2, seed=2)
    value = getattr(penalties, name)(lambda x: jnp.sum(0.7 * x**2 / 2, (1, 2, 3)), real, fake, KEY)

    def norms_at(x):
        return np.linalg.norm((0.7 * x).reshape(5, -1), axis=1)

    expected = expected_penalty(name, norms_at, real.astype(float), fake.astype(float), fixed_t.astype(float))
    np.testing.assert_allclose(value, expected, rtol=1e-5)


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


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("scale", [0.0, 1e-30])
def test_zero_gradient_has_an_exact_value_and_finite_derivatives(name, scale):
    """The derivative of a bare root is infinite at 0; a scale of 1e-30 has a square that is 0 in float32."""
    real, fake = normal(4, 3), normal(4, 3, seed=1)

    def penalty(w):
        return getattr(penalties, name)(lambda x: jnp.tanh(x @ w), real, fake, KEY)

    w = np.full(3, scale, np.float32)
    value, gradient = jax.jit(jax.value_and_grad(penalty))(w)
    assert np.isfinite((value, *gradient)).all()
    assert np.isfinite(jax.jit(jax.hessian(penalty))(w)).all()
    if name in WITH_FORMULA:
        assert value == pytest.approx(of_norm(name, 0))
        np.testing.assert_allclose(gradient, 0, atol=1e-25)
    if name in ("gradient_penalty", "one_sided", "dragan"):
        assert (gradient == 0).all()  # the norm's own; a square's is as small as its argument


def smooth_critic(weights):
    """One layer of softplus, then a sum."""
    return lambda x: jnp.sum(jax.nn.softplus(x.reshape(len(x), -1) @ weights), 1)


@pytest.mark.parametrize("name", NAMES)
def test_the_gradient_to_the_critic_is_that_of_central_differences(name):
    """In float64, along one direction, the same numbers being drawn each time."""
    weights, direction = np.random.default_rng(0).normal(size=(2, 18, 4))
    with jax.enable_x64(True):
        real, fake = (normal(6, 3, 3, 2, seed=seed).astype(float) for seed in (1, 2))

        def penalty(weights):
            return getattr(penalties, name)(smooth_critic(weights), real, fake, KEY)

        slope = (penalty(weights + 1e-6 * direction) - penalty(weights - 1e-6 * direction)) / 2e-6
        found = jnp.sum(jax.grad(penalty)(weights) * direction)
    np.testing.assert_allclose(found, slope, rtol=1e-5, atol=1e-8)


@pytest.fixture
def alike(monkeypatch):
    """The samples of a minibatch are all given the numbers that are drawn for the first of them."""

    def of_the_first(draw):
        def drawn(key, shape=(), dtype=float, *limits, **others):
            return jnp.broadcast_to(draw(key, (1, *shape[1:]) if shape else (), dtype, *limits, **others), shape)

        return drawn

    for kind in ("normal", "uniform"):
        monkeypatch.setattr(jax.random, kind, of_the_first(getattr(jax.random, kind)))


@pytest.mark.parametrize("name", NAMES)
def test_of_a_larger_minibatch_of_the_same_samples_is_the_same(name, alike):
    """One norm of a whole minibatch's gradients would grow with its root, that of a mean logit's fall."""
    weights = normal(18, 4)
    real, fake = normal(2, 1, 3, 3, 2, seed=1)

    def penalty(count):
        minibatches = (np.repeat(samples, count, 0) for samples in (real, fake))
        return getattr(penalties, name)(smooth_critic(weights), *minibatches, KEY)

    np.testing.assert_allclose([penalty(2), penalty(8)], penalty(4), rtol=1e-5)


@pytest.mark.parametrize("name", NAMES)
def test_is_traced_once_and_gives_a_population_what_it_gives_each_run(name):
    """One float32 for each run, of its own critic, samples and key alone."""
    traces, weights = [], normal(3, 2, 4)
    (real, fake), keys = normal(2, 3, 6, 2, seed=1), jax.random.split(KEY, 3)

    def traced(weights, real, fake, key):
        traces.append(None)
        return getattr(penalties, name)(smooth_critic(weights), real, fake, key)

    side_by_side = jax.jit(jax.vmap(traced))
    for scale in (1, 2):
        found = side_by_side(scale * weights, real, fake, keys)
        members = zip(scale * weights, real, fake, keys, strict=True)
        alone = [getattr(penalties, name)(smooth_critic(w), *given) for w, *given in members]
        assert (found.shape, found.dtype) == ((3,), np.float32)
        np.testing.assert_allclose(found, alone, rtol=1e-5)
    assert len(traces) == 1


@pytest.mark.parametrize("norm", [1e-6, 1e-3, 1e3])
def test_no_epsilon_floors_the_norm(norm):
    """An epsilon of 1e-4 inside the root would make every norm at least 0.01."""
    w = norm * np.float32([0.6, 0.8])
    np.testing.assert_allclose(penalties.gradient_norms(lambda x: x @ w, normal(3, 2)), [norm] * 3, rtol=1e-5)


@pytest.mark.parametrize("name", WITH_FORMULA)
def test_critics_gradient_agrees_with_pytorchs_double_backward(name, fixed_t):
    torch = pytest.importorskip("torch")
    real, fake = normal(5, 6, 6, 2, seed=1), normal(5, 6, 6, 2, seed=2)
    kernel, dense = normal(3, 3, 2, 4, seed=3) / 4, normal(4 * 4 * 4, 1, seed=4)

    def penalty(kernel, dense):
        def critic(x):
            y = jax.lax.conv_general_dilated(x, kernel, (1, 1), "VALID", dimension_numbers=("NHWC", "HWIO", "NHWC"))
            return (jax.nn.softplus(y).reshape(len(x), -1) @ dense)[:, 0]

        return getattr(penalties, name)(critic, real, fake, KEY)

    value, gradients = jax.value_and_grad(penalty, argnums=(0, 1))(kernel, dense)

    weights = [torch.tensor(kernel, requires_grad=True), torch.tensor(dense, requires_grad=True)]

    def mean_of(part):
        x = torch.tensor(points(part, real, fake, fixed_t)).requires_grad_()
        y = torch.nn.functional.conv2d(x.permute(0, 3, 1, 2), weights[0].permute(3, 2, 0, 1)).permute(0, 2, 3, 1)
        logits = torch.nn.functional.softplus(y).reshape(5, -1) @ weights[1]
        (slopes,) = torch.autograd.grad(logits.sum(), x, create_graph=True)
        return OF_NORMS[part](slopes.flatten(1).norm(dim=1))

    expected = sum(mean_of(part) for part in SUMS.get(name, (name,)))
    expected.backward()

    np.testing.assert_allclose(value, expected.item(), rtol=1e-5)
    for gradient, weight in zip(gradients, weights, strict=True):
        scale = np.abs(weight.grad.numpy()).max()
        np.testing.assert_allclose(gradient, weight.grad, rtol=1e-5, atol=1e-5 * scale)


def test_clipping_bounds_every_parameter_and_leaves_small_ones():
    params = {"kernel": normal(4, 5), "layer": {"bias": np.float32([-0.3, 0.1, 0.2, 5])}}
    clipped = penalties.clip_weights(params, 0.2)
    assert jax.tree.structure(clipped) == jax.tree.structure(params)
    np.testing.assert_allclose(clipped["layer"]["bias"], [-0.2, 0.1, 0.2, 0.2])
    np.testing.assert_allclose(clipped["kernel"], np.maximum(np.minimum(params["kernel"], 0.2), -0.2))
