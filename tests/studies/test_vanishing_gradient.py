import jax
import jax.numpy as jnp
import numpy as np
import pytest
from PIL import Image

from gan_jax.studies import vanishing_gradient

LENGTHS = (20, 150)
pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def numbers():
    return vanishing_gradient.measure(lengths=LENGTHS, critic_steps=1000, every=50, width=64)


def test_the_gradient_of_log_1_minus_d_falls_by_a_thousand(numbers):
    """Within 1,000 steps of the critic for the generator of 20; that of 150 steps leaves the critic more to learn."""
    assert numbers["fall"][0] > 1000
    assert numbers["fall"][1] > 30
    np.testing.assert_allclose(numbers["fall"], numbers["minimax"][:, 0] / numbers["minimax"][:, -1], rtol=1e-5)


def test_noise_keeps_it_from_vanishing(numbers):
    assert (numbers["minimax_noisy"][:, 0] < 10 * numbers["minimax_noisy"].min(axis=1)).all()


def test_a_wasserstein_critic_can_be_trained_as_far_as_one_likes(numbers):
    """From its first step on, the norm stays within a factor of 3."""
    norms = numbers["wasserstein"]
    assert norms.shape == (len(LENGTHS), 20)
    assert (norms.max(axis=1) < 3 * norms.min(axis=1)).all()
    np.testing.assert_allclose(numbers["span"], norms.max(axis=1) / norms.min(axis=1), rtol=1e-5)


def test_the_critic_is_not_the_one_that_the_generator_was_trained_with(monkeypatch):
    """Nor of the same seed: its keys are none of those that made the generator's state."""
    keys = []
    monkeypatch.setattr(vanishing_gradient, "fit_watched", lambda f, params, key, *rest: (params, key))
    monkeypatch.setattr(
        vanishing_gradient, "_course", lambda *rest: lambda generators, sigma, key: keys.append(key) or {}
    )
    monkeypatch.setattr(vanishing_gradient, "_trained", lambda *rest: None)
    with pytest.raises(KeyError):  # there is nothing to sum up
        vanishing_gradient.measure(seed=3)
    assert not jnp.array_equal(jax.random.key_data(keys[0]), jax.random.key_data(jax.random.key(3)))


def test_the_gradient_of_minus_log_d_does_not_vanish(numbers):
    assert (numbers["non_saturating"][:, -1] > numbers["non_saturating"][:, 0]).all()


def test_norm_and_spread_are_those_of_known_gradients():
    """The gradient of a . z by a is z: of minibatches of one, the mean and the deviation of the latents."""
    latents = np.random.default_rng(0).normal(size=(8, 1, 3)).astype(np.float32)
    norm, spread = vanishing_gradient.norm_and_spread(lambda a, z, key: (z @ a)[0], np.zeros(3), latents, np.zeros(8))
    np.testing.assert_allclose(norm, np.linalg.norm(latents[:, 0].mean(axis=0)), rtol=1e-5)
    np.testing.assert_allclose(spread, np.sqrt(np.trace(np.cov(latents[:, 0].T))), rtol=1e-5)


def test_all_numbers_are_finite_and_shaped_alike(numbers):
    for name in ("minimax", "non_saturating", "minimax_noisy", "non_saturating_noisy", "wasserstein"):
        assert numbers[name].shape == numbers[f"{name}_spread"].shape == (len(LENGTHS), len(numbers["critic_step"]))
    assert all(np.isfinite(leaf).all() for leaf in jax.tree.leaves(numbers))


def test_the_table_has_every_generator_and_every_loss(numbers):
    text = vanishing_gradient.table(numbers)
    assert all(name in text for name in ("log(1-D)", "-log D", "with noise", "W-1", "fall", "span"))
    assert all(f"{length} steps" in text for length in LENGTHS)


def test_the_picture_is_one(numbers, tmp_path):
    vanishing_gradient.draw(tmp_path / "a.png", numbers)
    with Image.open(tmp_path / "a.png") as picture:
        assert picture.format == "PNG"
        assert 400 <= min(picture.size) <= max(picture.size) <= 2000
