import jax
import jax.numpy as jnp
import numpy as np
import pytest

from gan_jax.config import default_config, loss_names
from gan_jax.objectives import losses
from gan_jax.training.game import build_loss
from gan_jax.training.hyperparameters import hyperparameters
from tests import shipped


def sigmoid(x):
    return 1 / (1 + np.exp(-x))


def log_sigmoid(x):
    return np.log(sigmoid(x))


def average(cost):
    """Relativistic average losses, each written out for both players."""
    return (
        lambda real, fake: (
            np.mean([cost(r - fake.mean()) for r in real]) + np.mean([cost(real.mean() - f) for f in fake])
        ),
        lambda real, fake: (
            np.mean([cost(f - real.mean()) for f in fake]) + np.mean([cost(fake.mean() - r) for r in real])
        ),
    )


def logistic_critic(real, fake):
    return -np.mean(np.log(sigmoid(real))) - np.mean(np.log(1 - sigmoid(fake)))


def cross_entropy(logit, target):
    return -np.mean(target * np.log(sigmoid(logit)) + (1 - target) * np.log(1 - sigmoid(logit)))


# name: (critic's loss, generator's loss) of float64 logits, as the papers write them.
FORMULAS = {
    "minimax": (logistic_critic, lambda real, fake: np.mean(np.log(1 - sigmoid(fake)))),
    "non_saturating": (logistic_critic, lambda real, fake: -np.mean(np.log(sigmoid(fake)))),
    "log_odds": (logistic_critic, lambda real, fake: -np.mean(np.log(sigmoid(fake) / (1 - sigmoid(fake))))),
    "least_squares": (
        lambda real, fake: np.mean((real - 1) ** 2) / 2 + np.mean(fake**2) / 2,
        lambda real, fake: np.mean((fake - 1) ** 2) / 2,
    ),
    "wasserstein": (lambda real, fake: np.mean(fake) - np.mean(real), lambda real, fake: -np.mean(fake)),
    "hinge": (
        lambda real, fake: -np.mean(np.minimum(0, -1 + real)) - np.mean(np.minimum(0, -1 - fake)),
        lambda real, fake: -np.mean(fake),
    ),
    "relativistic": (
        lambda real, fake: -np.mean(log_sigmoid(real - fake)),
        lambda real, fake: -np.mean(log_sigmoid(fake - real)),
    ),
    "relativistic_average": average(lambda x: -log_sigmoid(x)),
    "relativistic_average_least_squares": average(lambda x: (x - 1) ** 2),
    "relativistic_average_hinge": average(lambda x: max(0, 1 - x)),
}
RELATIVISTIC = [name for name in FORMULAS if name.startswith("relativistic")]
WITH_FORMULA = [(name, player) for name in FORMULAS for player in range(2)]
CASES = [(name, player) for name in loss_names() for player in range(2)]


def made(name):
    """With the numbers that the fields of a configuration have by default."""
    config = default_config()
    config.loss = name
    return build_loss(config, hyperparameters(config))


@pytest.mark.parametrize("name", loss_names())
def test_has_its_formula_here(name):
    where = "FORMULAS of tests/objectives/test_losses.py"
    shipped.needs_row(name, shipped.LOSSES, FORMULAS, where, "its formula in NumPy")


@pytest.mark.parametrize(("name", "player"), WITH_FORMULA)
@pytest.mark.parametrize("scale", [0.01, 1.0, 10.0])
def test_is_its_formula(name, player, scale):
    real, fake = np.random.default_rng(0).normal(size=(2, 16)) * scale
    expected = FORMULAS[name][player](real, fake)
    np.testing.assert_allclose(made(name)[player](np.float32(real), np.float32(fake)), expected, rtol=1e-5, atol=1e-7)


def differences(loss, both, step=1e-6):
    """Central ones in float64, for reals and fakes alike: both hear of the averages that they are in."""

    def slope(place):
        ahead, behind = both.copy(), both.copy()
        ahead[place] += step
        behind[place] -= step
        return (loss(*ahead) - loss(*behind)) / (2 * step)

    return [[float(slope((of, index))) for index in range(6)] for of in range(2)]


@pytest.mark.parametrize(("name", "player"), CASES)
def test_the_gradient_is_that_of_its_formula(name, player):
    """Of the loss itself in float64, where it has no formula here."""
    both = np.random.default_rng(0).normal(size=(2, 6))
    gradients = jax.grad(made(name)[player], argnums=(0, 1))(*np.float32(both))
    with jax.enable_x64(True):
        expected = differences(FORMULAS.get(name, made(name))[player], both)
    np.testing.assert_allclose(gradients, expected, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize(("name", "player"), CASES)
def test_is_traced_once_for_any_logits_and_gives_a_population_what_it_gives_each_run(name, player):
    """One float32 for each run, of its own logits alone."""
    traces, logits = [], np.random.default_rng(0).normal(size=(2, 3, 16)).astype(np.float32)

    def traced(real, fake):
        traces.append(None)
        return made(name)[player](real, fake)

    side_by_side = jax.jit(jax.vmap(traced))
    for real, fake in (logits, 5 * logits):
        found = side_by_side(real, fake)
        alone = [made(name)[player](*pair) for pair in zip(real, fake, strict=True)]
        assert (found.shape, found.dtype) == ((3,), np.float32)
        np.testing.assert_allclose(found, alone, rtol=1e-5, atol=1e-6)
    assert len(traces) == 1


@pytest.mark.parametrize(("name", "player"), CASES)
@pytest.mark.parametrize("real", [-100.0, 100.0])
@pytest.mark.parametrize("fake", [-100.0, 100.0])
def test_finite_value_and_gradient_at_logits_of_100(name, player, real, fake):
    loss = made(name)[player]
    logits = np.full(4, real, np.float32), np.full(4, fake, np.float32)
    value, gradients = jax.value_and_grad(loss, argnums=(0, 1))(*logits)
    assert np.isfinite(value)
    assert np.isfinite(gradients).all()
    assert not np.isnan(jax.hessian(loss, argnums=1)(*logits)).any()


@pytest.mark.parametrize("name", ["minimax", "non_saturating"])
@pytest.mark.parametrize(("smoothing_real", "smoothing_fake"), [(0.1, 0.0), (0.0, 0.2), (0.3, 0.1)])
def test_smoothing_is_cross_entropy_with_soft_targets(name, smoothing_real, smoothing_fake):
    real, fake = np.random.default_rng(0).normal(size=(2, 16)) * 3
    plain, smooth = made(name), getattr(losses, name)(smoothing_real, smoothing_fake)
    expected = cross_entropy(real, 1 - smoothing_real) + cross_entropy(fake, smoothing_fake)
    np.testing.assert_allclose(smooth.critic(np.float32(real), np.float32(fake)), expected, rtol=1e-5)
    assert smooth.generator(real, fake) == plain.generator(real, fake)


@pytest.mark.parametrize("name", ["minimax", "non_saturating"])
def test_a_smoothed_critic_is_best_at_the_logit_of_its_target(name):
    """One-sided smoothing of 0.1: D = 0.9 on reals that have no fakes near them, and not infinity."""
    critic = getattr(losses, name)(smoothing_real=0.1).critic
    slope = jax.grad(lambda logit: critic(jnp.full(3, logit), jnp.full(3, -50.0)))
    assert slope(np.log(9.0)) == pytest.approx(0, abs=1e-6)
    assert slope(50.0) == pytest.approx(0.1, rel=1e-5)


@pytest.mark.parametrize(("a", "b", "c"), [(-1.0, 1.0, 0.0), (0.0, 0.9, 2.0)])
def test_least_squares_has_targets_a_b_c(a, b, c):
    real, fake = np.random.default_rng(0).normal(size=(2, 16))
    loss = losses.least_squares(a, b, c)
    np.testing.assert_allclose(loss.critic(real, fake), np.mean((real - b) ** 2 + (fake - a) ** 2) / 2, rtol=1e-5)
    np.testing.assert_allclose(loss.generator(real, fake), np.mean((fake - c) ** 2) / 2, rtol=1e-5)


def test_least_squares_is_of_logits_not_of_sigmoids():
    assert made("least_squares").generator(np.zeros(2), np.full(2, 3.0)) == pytest.approx(2)


@pytest.mark.parametrize("name", RELATIVISTIC)
def test_relativistic_losses_depend_on_differences_alone(name):
    """Seen elsewhere: sigmoid(D(real)) - sigmoid(D(fake)). Here all logits may be raised alike, and the generator hears
    the reals."""
    real, fake = np.random.default_rng(0).normal(size=(2, 8)).astype(np.float32)
    for loss in made(name):
        np.testing.assert_allclose(loss(real + 5, fake + 5), loss(real, fake), rtol=1e-5)
    assert np.abs(jax.grad(made(name).generator)(real, fake)).max() > 1e-3


def test_relativistic_pairs_each_real_with_one_fake():
    real, fake = np.float32([0, 10]), np.float32([10, 0])
    assert losses.relativistic().critic(real, fake) == pytest.approx((10 + 0) / 2, rel=1e-4)
    assert losses.relativistic().critic(real, fake[::-1]) == pytest.approx(np.log(2), rel=1e-5)


@pytest.mark.parametrize("name", ["minimax", "non_saturating", "log_odds"])
def test_wrong_logits_of_100_cost_100_nats(name):
    """log(sigmoid(x) + 1e-8) would say 18, and sigmoid followed by a with-logits loss 1.3."""
    wrong = np.full(4, -100, np.float32), np.full(4, 100, np.float32)
    assert made(name).critic(*wrong) == pytest.approx(200)


@pytest.mark.parametrize("name", ["minimax", "non_saturating"])
def test_logistic_critic_that_cannot_tell_pays_2_log_2(name):
    assert made(name).critic(np.zeros(4), np.zeros(4)) == pytest.approx(2 * np.log(2))


def test_minimax_generator_is_not_the_non_saturating_one():
    """Against a sure critic, E log(1 - D) has a vanishing gradient: -D = -sigmoid(-20) for each logit."""
    sure = np.full(1, -20, np.float32)
    gradients = {
        name: jax.grad(made(name).generator, argnums=1)(sure, sure)[0] for name in ("minimax", "non_saturating")
    }
    assert gradients["minimax"] == pytest.approx(-sigmoid(-20.0), rel=1e-5)
    assert gradients["non_saturating"] == pytest.approx(-sigmoid(20.0), rel=1e-5)
    assert losses.minimax().generator(sure, -sure) == pytest.approx(-20, rel=1e-5)


@pytest.mark.parametrize("name", [name for name in FORMULAS if "least_squares" not in name])
def test_players_pull_the_logits_in_opposite_directions(name):
    """The critic wants reals up and fakes down, the generator fakes up, and reals down if it hears them at all."""
    real, fake = np.random.default_rng(0).normal(size=(2, 8)).astype(np.float32) / 4
    critic, generator = (jax.grad(loss, argnums=(0, 1))(real, fake) for loss in made(name))
    assert (critic[0] < 0).all()
    assert (critic[1] > 0).all()
    assert (generator[0] > 0).all() if name in RELATIVISTIC else (generator[0] == 0).all()
    assert (generator[1] < 0).all()
