import jax
import jax.numpy as jnp
import numpy as np
import pytest
from PIL import Image

from gan_jax.studies import finite_difference

SIGMAS = (1e-3, 0.01, 0.1, 0.3)


@pytest.fixture(scope="module")
def numbers():
    return finite_difference.measure(
        sigmas=SIGMAS, steps=100, width=32, depth=2, draws=320, image_size=8, image_width=4, rounds=1
    )


def at(numbers, critic, sigma, key="mean"):
    return numbers["critics"][critic][key][SIGMAS.index(sigma)]


def test_curvature_is_that_of_a_polynomial():
    """f = b x + x H x / 2 + x0^2 x1: at (1, 2), by hand."""
    b, h = np.array([0.5, -1.0]), np.array([[1.0, 0.3], [0.3, -0.4]])
    x = np.array([1.0, 2.0])
    gradient = b + h @ x + np.array([2 * x[0] * x[1], x[0] ** 2])
    hessian = h + np.array([[2 * x[1], 2 * x[0]], [2 * x[0], 0]])
    expected = np.trace(hessian) ** 2 / 4 + np.sum(hessian**2) / 2 + 2 * gradient[1]  # grad tr H is (0, 2)

    def critic(x):
        x = x.reshape(len(x), 2)
        return x @ b + jnp.sum((x @ h) * x, axis=1) / 2 + x[:, 0] ** 2 * x[:, 1]

    found = finite_difference.curvature(critic, jnp.array(x, jnp.float32).reshape(1, 2, 1, 1))
    np.testing.assert_allclose(found, [expected], rtol=1e-5)


def test_estimates_of_a_linear_critic_are_shares_of_its_penalty():
    """f(x) = w x: R1 + R2 is |w|^2, nothing is curved, and a mean over 2 n samples spreads by sqrt(2 / (2 n))."""
    w, n = jnp.array([3.0, 4.0]), 8

    def critic(w, x):
        return x.reshape(len(x), 2) @ w

    samples = jnp.zeros((n, 2, 1, 1))
    keys = jax.random.split(jax.random.key(0), 4000)
    found = finite_difference.estimates(critic, critic, w, samples, samples, np.array([0.1, 1.0]), keys)
    assert found["exact"] == pytest.approx(25)
    np.testing.assert_allclose(found["predicted"], [1, 1], atol=1e-6)
    assert found["spread"] == pytest.approx(np.sqrt(1 / n))
    np.testing.assert_allclose(found["deviation"], np.sqrt(1 / n), rtol=0.1)
    np.testing.assert_allclose(found["error"], np.sqrt(1 / n / 4000), rtol=0.1)
    np.testing.assert_allclose(found["mean"], [1, 1], atol=4 * np.sqrt(1 / n / 4000))


@pytest.mark.parametrize("kind", ["at random", "trained"])
def test_a_smooth_critics_mean_is_exact_up_to_taylors_term(numbers, kind):
    for sigma in SIGMAS[:-1]:
        error = at(numbers, f"smooth, {kind}", sigma, "error")
        predicted = at(numbers, f"smooth, {kind}", sigma, "predicted")
        assert at(numbers, f"smooth, {kind}", sigma) == pytest.approx(predicted, abs=0.01 + 4 * error)
    assert at(numbers, f"smooth, {kind}", 0.01) == pytest.approx(1, abs=0.05)


def test_kinks_take_some_of_the_mean_at_random_and_add_to_it_where_a_critic_is_trained(numbers):
    for kind in ("at random", "trained"):
        error = at(numbers, f"kinks, {kind}", 1e-3, "error")
        assert at(numbers, f"kinks, {kind}", 1e-3) == pytest.approx(1, abs=0.01 + 4 * error)
        assert at(numbers, f"kinks, {kind}", 0.01) == pytest.approx(1, abs=0.02 + 4 * error)
    assert 0.9 < at(numbers, "kinks, at random", 0.3) < 0.995
    assert at(numbers, "kinks, trained", 0.3) > 1.05


def test_bfloat16_is_rounding_at_a_small_sigma(numbers):
    for name in finite_difference.ACTIVATIONS:
        assert abs(at(numbers, f"{name}, bfloat16", 1e-3) - 1) > 1


def test_one_estimate_spreads_as_gaussian_directions_do(numbers):
    for name in ("smooth, at random", "smooth, trained", "kinks, at random", "kinks, trained"):
        assert at(numbers, name, 0.01, "deviation") == pytest.approx(numbers["critics"][name]["spread"], rel=0.2)


def test_every_step_is_timed(numbers):
    assert {*numbers["seconds"]} == {*numbers["ratio"]} == {*finite_difference.COSTS}
    assert min(numbers["seconds"].values()) > 0
    assert numbers["ratio"]["exact"] == 1


def test_the_table_has_every_critic_and_every_cost(numbers):
    text = finite_difference.table(numbers)
    for name in numbers["critics"]:  # its mean, its deviation and, where there is one, what Taylor's formula says
        assert text.count(f"  {name} ") == (3 if name in ("smooth, at random", "smooth, trained") else 2)
    assert all(title in text for title in (*finite_difference.COSTS.values(), "Taylor", "0.001"))
    assert "its deviation / 18." in text  # the root of the draws


def test_the_picture_is_one(numbers, tmp_path):
    finite_difference.draw(tmp_path / "a.png", numbers)
    with Image.open(tmp_path / "a.png") as picture:
        assert picture.format == "PNG"
        assert 400 <= min(picture.size) <= max(picture.size) <= 2000
