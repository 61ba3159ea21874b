import numpy as np
import pytest
from PIL import Image
from scipy import stats

from gan_jax.studies import equilibrium


@pytest.fixture(scope="module")
def numbers():
    return equilibrium.measure(game_steps=400, n_critic=5, critic_steps=1000, batch_size=128, width=32)


@pytest.fixture(scope="module")
def densities(numbers):
    """p and q [looks, n], by SciPy."""
    p = stats.norm(equilibrium.DATA.mean, equilibrium.DATA.deviation).pdf(numbers["x"])
    sides = zip(numbers["mean"][numbers["look"]], numbers["deviation"][numbers["look"]], strict=True)
    q = np.stack([stats.norm(mean, abs(deviation)).pdf(numbers["x"]) for mean, deviation in sides])
    return np.broadcast_to(p, q.shape), q


def test_the_trained_critic_is_p_over_p_plus_q(numbers, densities):
    p, q = densities
    error = np.abs(numbers["trained"] - p / (p + q))
    assert np.where(p + q > 0.04, error, 0).max() < 0.02
    np.testing.assert_allclose(numbers["max_error"], np.where(p + q > 0.04, error, 0).max(axis=1), atol=1e-4)
    means = [np.average(of_look, weights=mass) for of_look, mass in zip(error, p + q, strict=True)]
    np.testing.assert_allclose(numbers["mean_error"], means, atol=1e-4)


def test_the_closed_form_is_that_of_scipy(numbers, densities):
    p, q = densities
    np.testing.assert_allclose(numbers["p"], p, rtol=1e-3, atol=1e-6)
    np.testing.assert_allclose(numbers["q"], q, rtol=1e-3, atol=1e-6)
    np.testing.assert_allclose(numbers["optimal"], p / (p + q), atol=1e-4)


def test_the_game_begins_where_the_critic_can_tell(numbers):
    assert numbers["trained"][0].max() > 0.9
    assert numbers["trained"][0].min() < 0.05
    assert numbers["mean"][0] == equilibrium.START.mean
    assert numbers["real_d"][:20].max() > 0.7


def test_the_generator_finds_the_data_and_d_goes_to_a_half(numbers):
    assert numbers["mean"][-1] == pytest.approx(equilibrium.DATA.mean, abs=0.05)
    assert numbers["deviation"][-1] == pytest.approx(equilibrium.DATA.deviation, abs=0.05)
    np.testing.assert_allclose([numbers["real_d"][-20:], numbers["fake_d"][-20:]], 0.5, atol=0.02)
    has_mass = numbers["p"][-1] + numbers["q"][-1] > 0.04
    np.testing.assert_allclose(numbers["trained"][-1][has_mass], 0.5, atol=0.1)


def test_the_table_names_errors_and_looks(numbers):
    text = equilibrium.table(numbers)
    assert all(word in text for word in ("game step", "mean", "deviation", "error of D", "on data", "on fakes"))
    assert all(f"{look:>9} " in text for look in numbers["look"])


def test_the_picture_is_one(numbers, tmp_path):
    equilibrium.draw(tmp_path / "a.png", numbers)
    with Image.open(tmp_path / "a.png") as picture:
        assert picture.format == "PNG"
        assert 600 <= min(picture.size) <= max(picture.size) <= 2000
