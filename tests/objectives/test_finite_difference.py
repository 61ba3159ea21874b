"""Squared norms of a critic's gradient from two of its values, and the share of a minibatch that a penalty takes."""

import os
import subprocess
import sys

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from gan_jax.config import penalty_names
from gan_jax.objectives import penalties

KEY = jax.random.key(0)
ESTIMATED = ("r1", "r2", "r1_r2", "zero_centered")
RNG = np.random.default_rng(0)
A, B = RNG.normal(size=(6, 16)) / 3, RNG.normal(size=16) / 4  # of a smooth critic: softplus(x A) B
X = RNG.normal(size=(8, 6)).astype(np.float32)


def normal(*shape, seed=0):
    return np.random.default_rng(seed).normal(size=shape).astype(np.float32)


def smooth(a, b):
    return lambda x: jax.nn.softplus(x @ a) @ b


def smooth_gradients(a, b, x):
    """In float64; the derivative of softplus is the logistic function."""
    return (1 / (1 + np.exp(-(x.astype(float) @ a))) * b) @ a.T


@pytest.fixture
def known_directions(monkeypatch):
    """Has the next draws be these arrays, one after another; any draw beyond them fails."""
    left = []

    def drawn(key, shape, dtype):
        (e, *left[:]) = left
        assert e.shape == shape
        return jnp.asarray(e, dtype)

    monkeypatch.setattr(jax.random, "normal", drawn)
    return left.extend


@pytest.mark.parametrize("shape", [(3,), (4, 4, 2)])
@pytest.mark.parametrize("sigma", [0.01, 2.0])
def test_of_a_linear_critic_is_the_square_of_its_slope_along_each_samples_direction(shape, sigma, known_directions):
    """f(x) = w x + 1 has (w e)^2, whatever sigma is."""
    w, x, e = normal(*shape), normal(5, *shape, seed=1), normal(5, *shape, seed=2)
    known_directions([e])
    critic = lambda x: jnp.sum(x * w, range(1, x.ndim)) + 1  # noqa: E731
    norms = penalties.finite_difference(sigma)(critic, x, KEY)
    expected = np.square((e.astype(float) * w).reshape(5, -1).sum(1))
    np.testing.assert_allclose(norms, expected, rtol=1e-4, atol=1e-3)


def test_of_a_linear_critic_has_the_mean_and_the_variance_that_it_says():
    """|w|^2 and 2 |w|^4, of 20,000 samples: within four of their standard errors, sqrt(2 / n) and sqrt(56 / n)."""
    w, n = normal(3), 20000
    norms = penalties.finite_difference(0.1)(lambda x: x @ w, jnp.zeros((n, 3)), KEY) / np.sum(np.square(w))
    assert np.mean(norms) == pytest.approx(1, abs=4 * np.sqrt(2 / n))
    assert np.var(norms) == pytest.approx(2, abs=4 * np.sqrt(56 / n))


@pytest.mark.parametrize("name", ESTIMATED)
def test_of_a_smooth_critic_is_within_two_percent_of_exact(name):
    """At sigma = 0.01, over 10,000 draws for a minibatch of 8; the exact one is in closed form."""
    real, fake = X, normal(8, 6, seed=1)
    keys = jax.random.split(KEY, 10000)

    def mean(squared_norms, keys):
        penalty, critic = getattr(penalties, name), smooth(A, B)
        values = jax.vmap(lambda key: penalty(critic, real, fake, key, squared_norms))(keys)
        return np.mean(np.asarray(values, float))

    def closed(critic_fn, x, key):
        weights = 1 / (1 + jnp.exp(-x @ A)) * B
        return jnp.sum(jnp.square(weights @ A.T), axis=1)

    assert mean(penalties.finite_difference(0.01), keys) == pytest.approx(mean(closed, keys), rel=0.02)


@pytest.mark.parametrize("sigma", [0.25, 0.5, 1.0])
def test_bias_is_the_one_of_the_docstring(sigma, known_directions):
    """f = b x + x H x / 2 + c x0^2 x1 / 2 at 0, averaged over all e by a quadrature that is exact for polynomials.

    There tr H is that of H, its gradient (0, c); the square of the third differential, s^2 (3 c e0^2 e1) / 6, adds
    s^4 c^2 / 4 E e0^4 e1^2 = 3 s^4 c^2 / 4, and no more follows.
    """
    b, h, c = np.array([0.5, -1.0]), np.array([[1.0, 0.3], [0.3, -0.4]]), 0.7
    nodes, weights = np.polynomial.hermite_e.hermegauss(8)
    e = np.stack(np.meshgrid(nodes, nodes), axis=-1).reshape(-1, 2)
    of_each = np.outer(weights, weights).ravel() / np.sum(weights) ** 2
    known_directions([e])

    def critic(x):
        return x @ b + jnp.sum((x @ h) * x, axis=1) / 2 + c * x[:, 0] ** 2 * x[:, 1] / 2

    norms = penalties.finite_difference(sigma)(critic, jnp.zeros(e.shape), KEY)
    bias = sigma**2 * (np.trace(h) ** 2 / 4 + np.sum(h**2) / 2 + b[1] * c) + 0.75 * sigma**4 * c**2
    assert np.sum(of_each * np.asarray(norms, float)) == pytest.approx(np.sum(b**2) + bias, rel=1e-4)


def test_of_a_kink_is_below_exact_by_what_the_moved_samples_find_behind_it():
    """f(x) = max(x, 0) at x = s has ((max(s + s e, 0) - s) / s)^2: e^2, but 1 where e < -1."""
    draws = jnp.full((100000, 1), 0.1)
    mean = np.mean(np.asarray(penalties.finite_difference(0.1)(lambda x: jax.nn.relu(x[:, 0]), draws, KEY), float))
    e = np.linspace(-9, 9, 1000001)
    density = np.exp(-(e**2) / 2) / np.sqrt(2 * np.pi)
    expected = np.trapezoid(np.where(e < -1, 1, e**2) * density, e)
    assert mean == pytest.approx(expected, abs=0.015)
    assert expected < 0.77  # the exact one is 1


def test_the_critic_learns_by_the_exact_gradient_in_the_mean():
    """Of |g|^2 / 2 with g = A (logistic(x A) * B): by B its derivative times g, by A by differences in float64."""
    keys = jax.random.split(KEY, 5000)

    def penalty(a, b, key):
        return penalties.r1(smooth(a, b), X, X, key, penalties.finite_difference(0.01))

    by_a, by_b = jax.vmap(jax.grad(penalty, argnums=(0, 1)), (None, None, 0))(jnp.float32(A), jnp.float32(B), keys)
    logistic = 1 / (1 + np.exp(-(X.astype(float) @ A)))
    expected = np.mean(logistic * (smooth_gradients(A, B, X) @ A), axis=0)
    np.testing.assert_allclose(np.asarray(by_b, float).mean(axis=0), expected, atol=0.03 * np.abs(expected).max())

    def exact(a):
        return np.mean(np.sum(np.square(smooth_gradients(a, B, X)), axis=1)) / 2

    for direction in np.random.default_rng(2).normal(size=(3, *A.shape)):
        slope = (exact(A + 1e-5 * direction) - exact(A - 1e-5 * direction)) / 2e-5
        assert np.sum(np.asarray(by_a, float).mean(axis=0) * direction) == pytest.approx(slope, abs=0.05)


def test_what_is_judged_already_is_not_judged_again(known_directions):
    """Only for the array itself; an equal one is judged by the critic that is given, at both places."""
    known, other, e = jnp.asarray(X), jnp.array(X, copy=True), normal(8, 6, seed=3)
    known_directions([e, e])
    seen = []

    def of(name, slope):
        def critic_fn(x):
            seen.append(name)
            return slope * jnp.sum(x, axis=1)

        return critic_fn

    squared_norms = penalties.finite_difference(
        0.5, [(other + 1, of("third", 9.0), None), (known, of("its", 2.0), X[:, 0])]
    )
    moved = 2 * (X.astype(float) + 0.5 * e).sum(axis=1)
    np.testing.assert_allclose(squared_norms(of("given", 3.0), known, KEY), ((moved - X[:, 0]) / 0.5) ** 2, rtol=1e-4)
    assert seen == ["its"]
    np.testing.assert_allclose(
        squared_norms(of("given", 3.0), other, KEY), 9 * e.astype(float).sum(axis=1) ** 2, rtol=1e-3, atol=1e-4
    )
    assert seen == ["its", "given", "given"]


def test_gradients_flow_through_the_logits_that_are_known(known_directions):
    """Of f(x) = w x that is the derivative of (w e)^2; of the moved part alone it would have x + s e instead of s e."""
    x, e, w = normal(4, 3), normal(4, 3, seed=1), jnp.float32([0.5, -1.0, 2.0])
    known_directions([e])

    def penalty(w):
        critic_fn = lambda x: x @ w  # noqa: E731
        squared_norms = penalties.finite_difference(0.1, [(x, critic_fn, critic_fn(x))])
        return penalties.r1(critic_fn, x, x, KEY, squared_norms)

    expected = np.mean(e.astype(float) * (e.astype(float) @ np.asarray(w))[:, None], axis=0)
    np.testing.assert_allclose(jax.grad(penalty)(w), expected, rtol=1e-3, atol=1e-4)


def asked(name, real, fake, norms):
    """(value, the samples whose norms a penalty asks for, the keys that it gives for them)."""
    samples, keys = [], []

    def squared_norms(critic_fn, x, key):
        samples.append(x)
        keys.append(jax.random.key_data(key).tolist())
        return norms[len(keys) - 1]

    return getattr(penalties, name)(None, real, fake, KEY, squared_norms), samples, keys


def test_penalties_are_means_of_the_squared_norms_that_they_are_given():
    """r1 and r2 of half of them, each on the very array: what is known of it is known by that."""
    real, fake, norms = jnp.asarray(X), jnp.asarray(X) + 1, [normal(8, seed=4) ** 2, normal(8, seed=5) ** 2]
    for name, where in ("r1", [real]), ("r2", [fake]), ("r1_r2", [real, fake]):
        value, samples, keys = asked(name, real, fake, norms)
        assert [id(x) for x in samples] == [id(x) for x in where]
        assert value == pytest.approx(sum(norms[: len(where)]).mean() / 2, rel=1e-6)
        assert len({*map(tuple, keys)}) == len(where)  # both parts have a direction of their own
    value, (x,), keys = asked("zero_centered", real, fake, norms)
    assert value == pytest.approx(norms[0].mean(), rel=1e-6)
    np.testing.assert_array_equal(x, penalties.interpolate(real, fake, KEY))
    assert keys != [jax.random.key_data(KEY).tolist()]  # which has drawn where the interpolates lie


def test_those_that_can_be_estimated_are_choices_too():
    assert {*ESTIMATED} <= {*penalty_names()}
    assert not {"finite_difference", "squared_gradient_norms", "of_share"} & {*penalty_names()}


@pytest.mark.parametrize(
    ("b", "share", "rows"),
    [
        (8, 0.25, [0, 4]),
        (8, 0.5, [0, 2, 4, 6]),
        (8, 0.375, [0, 2, 5]),
        (8, 0.01, [0]),
        (6, 0.5, [0, 2, 4]),
        (1, 0.5, [0]),
    ],
)
def test_a_share_is_rows_evenly_spaced(b, share, rows):
    x = normal(b, 3, 2)
    np.testing.assert_array_equal(penalties.of_share(x, share), x[rows])
    np.testing.assert_array_equal(penalties.of_share(np.arange(b), share), rows)


def test_the_whole_is_the_array_itself():
    x = jnp.asarray(X)
    assert penalties.of_share(x, 1.0) is x
    assert penalties.of_share(x, 0.99) is x


ON_DEVICES = """
import jax, jax.numpy as jnp
from jax.sharding import NamedSharding, PartitionSpec
from gan_jax.objectives import penalties
cut = NamedSharding(jax.make_mesh((4,), ("data",)), PartitionSpec("data"))
x = jax.device_put(jnp.arange(32.0).reshape(16, 2), cut)
of_share = jax.jit(lambda x: penalties.of_share(x, 0.5), in_shardings=cut)
program = of_share.lower(x).compile()
print(program.output_shardings.is_equivalent_to(cut, 2))
print([word for word in program.as_text().split() if "all-" in word or "permute" in word])
print(of_share(x)[:, 0].tolist())
"""


@pytest.mark.slow
def test_each_device_takes_its_share_of_its_own_rows():
    flags = f"{os.environ['XLA_FLAGS']} --xla_force_host_platform_device_count=4"
    environment = os.environ | {"XLA_FLAGS": flags, "JAX_PLATFORMS": "cpu"}
    process = subprocess.run([sys.executable, "-c", ON_DEVICES], env=environment, capture_output=True, text=True)
    assert process.stdout.splitlines() == ["True", "[]", str([4.0 * i for i in range(8)])], process.stderr
