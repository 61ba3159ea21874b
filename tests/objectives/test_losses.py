import jax
import numpy as np
import pytest

from gan_jax.objectives import losses


def sigmoid(x):
    return 1 / (1 + np.exp(-x))


# name: (critic's loss, generator's loss) of float64 logits, as the papers write them.
FORMULAS = {
    "minimax": (
        lambda real, fake: -np.mean(np.log(sigmoid(real))) - np.mean(np.log(1 - sigmoid(fake))),
        lambda real, fake: np.mean(np.log(1 - sigmoid(fake))),
    ),
    "non_saturating": (
        lambda real, fake: -np.mean(np.log(sigmoid(real))) - np.mean(np.log(1 - sigmoid(fake))),
        lambda real, fake: -np.mean(np.log(sigmoid(fake))),
    ),
    "wasserstein": (lambda real, fake: np.mean(fake) - np.mean(real), lambda real, fake: -np.mean(fake)),
}
CASES = [(name, player) for name in FORMULAS for player in range(2)]


def test_every_loss_has_its_formula_here():
    assert {name for name, value in vars(losses).items() if isinstance(value, losses.AdversarialLoss)} == set(FORMULAS)


@pytest.mark.parametrize(("name", "player"), CASES)
@pytest.mark.parametrize("scale", [0.01, 1.0, 10.0])
def test_is_its_formula(name, player, scale):
    real, fake = np.random.default_rng(0).normal(size=(2, 16)) * scale
    expected = FORMULAS[name][player](real, fake)
    np.testing.assert_allclose(getattr(losses, name)[player](np.float32(real), np.float32(fake)), expected, rtol=1e-5)


@pytest.mark.parametrize(("name", "player"), CASES)
@pytest.mark.parametrize("real", [-100.0, 100.0])
@pytest.mark.parametrize("fake", [-100.0, 100.0])
def test_finite_value_and_gradient_at_logits_of_100(name, player, real, fake):
    loss = getattr(losses, name)[player]
    logits = np.full(4, real, np.float32), np.full(4, fake, np.float32)
    value, gradients = jax.value_and_grad(loss, argnums=(0, 1))(*logits)
    assert np.isfinite(value)
    assert np.isfinite(gradients).all()
    assert not np.isnan(jax.hessian(loss, argnums=1)(*logits)).any()


@pytest.mark.parametrize("name", ["minimax", "non_saturating"])
def test_wrong_logits_of_100_cost_100_nats(name):
    """log(sigmoid(x) + 1e-8) would say 18, and sigmoid followed by a with-logits loss 1.3."""
    wrong = np.full(4, -100, np.float32), np.full(4, 100, np.float32)
    assert getattr(losses, name).critic(*wrong) == pytest.approx(200)


@pytest.mark.parametrize("name", ["minimax", "non_saturating"])
def test_logistic_critic_that_cannot_tell_pays_2_log_2(name):
    assert getattr(losses, name).critic(np.zeros(4), np.zeros(4)) == pytest.approx(2 * np.log(2))


def test_minimax_generator_is_not_the_non_saturating_one():
    """Against a sure critic, E log(1 - D) has a vanishing gradient: -D = -sigmoid(-20) for each logit."""
    sure = np.full(1, -20, np.float32)
    gradients = {name: jax.grad(getattr(losses, name).generator, argnums=1)(sure, sure)[0] for name in FORMULAS}
    assert gradients["minimax"] == pytest.approx(-sigmoid(-20.0), rel=1e-5)
    assert gradients["non_saturating"] == pytest.approx(-sigmoid(20.0), rel=1e-5)
    assert losses.minimax.generator(sure, -sure) == pytest.approx(-20, rel=1e-5)


@pytest.mark.parametrize("name", FORMULAS)
def test_players_pull_the_logits_in_opposite_directions(name):
    """The critic wants reals up and fakes down, the generator wants fakes up and cannot move reals."""
    real, fake = np.random.default_rng(0).normal(size=(2, 8)).astype(np.float32)
    critic, generator = (jax.grad(loss, argnums=(0, 1))(real, fake) for loss in getattr(losses, name))
    assert (critic[0] < 0).all()
    assert (critic[1] > 0).all()
    assert (generator[0] == 0).all()
    assert (generator[1] < 0).all()
