"""The f-GAN family against numerical conjugates, integrals, and closed forms of divergences."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from gan_jax.config import default_config, f_gans, validate
from gan_jax.objectives import divergences, losses
from gan_jax.training.game import build_loss
from gan_jax.training.hyperparameters import hyperparameters
from tests import shipped

NAMES = [name.removeprefix("f_gan:") for name in f_gans()]
ALPHAS = [-1.0, 0.3, 0.5, 2.0, 2.5]
# (name in the ids, divergence, domain of f*: from, to)
EVERYWHERE = {"kullback_leibler": (-3, 3), "pearson": (-2, 6), "total_variation": (-0.5, 0.5)}
BELOW = {"reverse_kullback_leibler": 0, "neyman": 1, "squared_hellinger": 1, "jensen_shannon": np.log(2), "gan": 0}


def domain(name, alpha):
    """Where f* is finite, or a part of it; Pearson's from the slope of f at u = 0."""
    if name in EVERYWHERE:
        return EVERYWHERE[name]
    if name in BELOW:
        return BELOW[name] - 4, BELOW[name] - 1e-3
    if name != "alpha":
        return made(name, alpha).activation(np.array([-3.0, 3.0]))
    return (-3, 1 / (1 - alpha) - 1e-2) if alpha < 1 else (-1 / (alpha - 1) + 1e-3, 4)


CASES = [(name, None) for name in NAMES if name != "alpha"] + [("alpha", alpha) for alpha in ALPHAS]
every_divergence = pytest.mark.parametrize(("name", "alpha"), CASES)
WITH_DOMAIN = {"alpha", *EVERYWHERE, *BELOW}


def every_one_of(names):
    return pytest.mark.parametrize(("name", "alpha"), [case for case in CASES if case[0] in names])


@pytest.fixture(autouse=True)
def float64():
    with jax.enable_x64(True):
        yield


def made(name, alpha):
    return getattr(divergences, name)(*([] if alpha is None else [alpha]))


# KL(P|Q) and so on, written from their definitions for discrete p and q.
DEFINITIONS = {
    "kullback_leibler": lambda p, q: np.sum(p * np.log(p / q)),
    "reverse_kullback_leibler": lambda p, q: np.sum(q * np.log(q / p)),
    "pearson": lambda p, q: np.sum((p - q) ** 2 / q),
    "neyman": lambda p, q: np.sum((p - q) ** 2 / p),
    "squared_hellinger": lambda p, q: np.sum((np.sqrt(p) - np.sqrt(q)) ** 2),
    "jensen_shannon": lambda p, q: np.sum(p * np.log(2 * p / (p + q))) + np.sum(q * np.log(2 * q / (p + q))),
    "gan": lambda p, q: np.sum(p * np.log(p / (p + q))) + np.sum(q * np.log(q / (p + q))),
    "total_variation": lambda p, q: np.sum(np.abs(p - q)) / 2,
    "alpha": lambda p, q, alpha: (np.sum(p**alpha * q ** (1 - alpha)) - 1) / (alpha * (alpha - 1)),
}
P, Q = np.array([0.1, 0.2, 0.3, 0.4]), np.array([0.4, 0.15, 0.25, 0.2])


def defined(name, alpha, p=P, q=Q):
    """Where it has no definition here, E_Q f(P/Q) of its own f."""
    if name not in DEFINITIONS:
        return np.sum(q * made(name, alpha).f(p / q))
    return DEFINITIONS[name](p, q, *([] if alpha is None else [alpha]))


@pytest.mark.parametrize("name", NAMES)
def test_has_its_definition_here(name):
    where = "DEFINITIONS of tests/objectives/test_divergences.py"
    shipped.needs_row(name, shipped.F_DIVERGENCES, DEFINITIONS, where, "its formula in NumPy")


@pytest.mark.parametrize("name", NAMES)
def test_has_its_domain_here(name):
    where = "EVERYWHERE or BELOW of tests/objectives/test_divergences.py"
    shipped.needs_row(name, shipped.F_DIVERGENCES, WITH_DOMAIN, where, "where its conjugate is finite")


@every_one_of(DEFINITIONS)
def test_expectation_of_f_is_the_divergence(name, alpha):
    np.testing.assert_allclose(np.sum(Q * made(name, alpha).f(P / Q)), defined(name, alpha), rtol=1e-10)


@every_divergence
def test_fenchels_inequality_holds_on_a_grid(name, alpha):
    """f(u) + f*(t) >= u t, with equality at t = f'(u)."""
    divergence = made(name, alpha)
    u, t = np.geomspace(1e-3, 1e3, 301), np.linspace(*domain(name, alpha), 211)
    slack = divergence.f(u)[:, None] + divergence.conjugate(t) - u[:, None] * t
    assert (slack > -1e-9 * (1 + np.abs(u[:, None] * t))).all()
    best = divergence.optimal_critic(u)
    np.testing.assert_allclose(divergence.f(u) + divergence.conjugate(best), u * best, rtol=1e-9, atol=1e-6)


@every_one_of(WITH_DOMAIN)
def test_conjugate_is_the_numerical_supremum(name, alpha):
    """sup over u >= 0 of u t - f(u), on a fine grid, which falls short of it by the square of its spacing."""
    divergence, t = made(name, alpha), np.linspace(*domain(name, alpha), 23)[:-1]
    u = np.concatenate([[1e-12], np.geomspace(1e-9, 1e5, 400_001), [1.0]])
    f = np.asarray(divergence.f(u))
    expected = [np.max(u * slope - f) for slope in t]
    np.testing.assert_allclose(divergence.conjugate(t), expected, rtol=1e-5, atol=1e-5)


def test_alpha_above_1_has_its_supremum_at_0_below_its_bound():
    divergence = divergences.alpha(2.5)
    t = np.array([-1.0, -5.0])  # the bound is -1 / 1.5
    np.testing.assert_allclose(divergence.conjugate(t), -np.asarray(divergence.f(np.zeros(2))), rtol=1e-12)
    assert np.isfinite(jax.grad(lambda t: divergence.conjugate(t).sum())(t)).all()


@every_divergence
def test_optimal_critic_is_the_derivative_of_f(name, alpha):
    divergence, u = made(name, alpha), np.array([0.05, 0.5, 0.9, 1.3, 4.0, 20.0])
    numerical = (divergence.f(u * (1 + 1e-6)) - divergence.f(u * (1 - 1e-6))) / (2e-6 * u)
    np.testing.assert_allclose(divergence.optimal_critic(u), numerical, rtol=1e-6, atol=1e-8)


@every_divergence
def test_activation_rises_within_the_domain_and_its_conjugate_is_exact(name, alpha):
    divergence, v = made(name, alpha), np.linspace(-10, 10, 201)
    t = divergence.activation(v)
    assert (np.diff(t) > 0).all()
    if name in BELOW:
        assert (t < BELOW[name]).all()
    expected = divergence.conjugate(t)
    np.testing.assert_allclose(divergence.conjugate_of_activation(v), expected, rtol=1e-6, atol=1e-9)


@every_divergence
def test_activation_reaches_the_optimal_critic(name, alpha):
    """Or comes near it: total variation's critic is a step, which tanh only approaches."""
    divergence, ratio = made(name, alpha), np.array([0.1, 0.5, 2.0, 10.0])
    t, v = divergence.activation(np.linspace(-60, 60, 240_001)), divergence.optimal_critic(ratio)
    distance = np.abs(np.asarray(t)[:, None] - v) / (1 + np.abs(v))
    assert distance.min(axis=0).max() < 1e-2


@every_divergence
def test_bound_is_tight_at_the_optimal_critic_of_a_discrete_pair(name, alpha):
    divergence = made(name, alpha)
    critic = divergence.optimal_critic(P / Q)
    bound = np.sum(P * critic) - np.sum(Q * divergence.conjugate(critic))
    np.testing.assert_allclose(bound, defined(name, alpha), rtol=1e-6)
    for other in (0.9 * critic, 1.1 * critic):
        if name != "total_variation" or np.abs(other).max() <= 0.5:
            assert np.sum(P * other) - np.sum(Q * divergence.conjugate(other)) < bound


@every_divergence
def test_bound_is_tight_at_the_optimal_critic_of_two_gaussians(name, alpha):
    """By quadrature; N(0, 1) against N(0.4, 0.9), near enough for every divergence of this table to be finite."""
    divergence, x = made(name, alpha), np.linspace(-12, 12, 200_001)
    p, q = (np.exp(-((x - mean) ** 2) / (2 * s * s)) / (s * np.sqrt(2 * np.pi)) for mean, s in ((0, 1), (0.4, 0.9)))
    critic, dx = divergence.optimal_critic(p / q), x[1] - x[0]
    bound = np.sum(p * critic - q * divergence.conjugate(critic)) * dx
    np.testing.assert_allclose(bound, defined(name, alpha, p * dx, q * dx), rtol=1e-6)


@every_divergence
@pytest.mark.parametrize("generator", divergences.GENERATORS)
def test_losses_are_the_bound_and_the_two_generators(name, alpha, generator):
    """-(E g(v) - E f*(g(v))); -E f*(g(v)), or with section 3.2 -E g(v)."""
    divergence = made(name, alpha)
    real, fake = np.random.default_rng(0).normal(size=(2, 32))
    loss = divergences.f_gan(divergence, generator)
    t, conjugate = divergence.activation(real), divergence.conjugate(divergence.activation(fake))
    np.testing.assert_allclose(loss.critic(real, fake), np.mean(conjugate) - np.mean(t), rtol=1e-9)
    expected = -np.mean(conjugate if generator == "minimax" else divergence.activation(fake))
    np.testing.assert_allclose(loss.generator(real, fake), expected, rtol=1e-9)


def test_gan_is_the_minimax_loss_and_its_alternative_the_non_saturating_one():
    real, fake = np.random.default_rng(0).normal(size=(2, 32))
    minimax = divergences.f_gan(divergences.gan())
    alternative = divergences.f_gan(divergences.gan(), "alternative")
    for ours, known in (*zip(minimax, losses.minimax(), strict=True), (alternative[1], losses.non_saturating()[1])):
        np.testing.assert_allclose(ours(real, fake), known(real, fake), rtol=1e-12)


@pytest.mark.parametrize(("name", "alpha"), [case for case in CASES if case != ("alpha", -1.0)])
@pytest.mark.parametrize("generator", divergences.GENERATORS)
def test_finite_value_and_gradient_at_large_logits(name, alpha, generator):
    """Of 100 where the formula is finite there; of 80 where it grows exponentially, as the module says."""
    size = 100.0 if name in ("pearson", "jensen_shannon", "gan", "total_variation") else 80.0
    with jax.enable_x64(False):
        for loss in divergences.f_gan(made(name, alpha), generator):
            for real, fake in ((size, -size), (-size, size)):
                logits = np.full(4, real, np.float32), np.full(4, fake, np.float32)
                value, gradients = jax.value_and_grad(loss, argnums=(0, 1))(*logits)
                assert np.isfinite(value)
                assert np.isfinite(gradients).all()


@pytest.mark.parametrize("name", NAMES)
def test_is_found_by_its_name_with_its_numbers(name):
    """config.f_gan.alpha reaches the formula, also when it is traced."""
    config = default_config("ring")
    config.loss, config.f_gan.generator = f"f_gan:{name}", "alternative"
    config.f_gan.alpha = 2.5 if name == "alpha" else config.f_gan.alpha
    validate(config)
    real, fake = np.random.default_rng(0).normal(size=(2, 8))
    expected = divergences.f_gan(made(name, 2.5 if name == "alpha" else None), "alternative")

    @jax.jit
    def both(hparams):
        loss = build_loss(config, hparams)
        return loss.critic(real, fake), loss.generator(real, fake)

    values = both(jax.tree.map(jnp.float64, hyperparameters(config)))
    np.testing.assert_allclose(values, (expected.critic(real, fake), expected.generator(real, fake)), rtol=1e-9)
