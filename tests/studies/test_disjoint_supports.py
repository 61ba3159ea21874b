import numpy as np
import pytest
from PIL import Image
from scipy import stats

from gan_jax.studies import disjoint_supports

THETAS = (-1.0, -0.25, 0.0, 0.5)


@pytest.fixture(scope="module")
def numbers():
    return disjoint_supports.measure(thetas=THETAS, steps=600, batch_size=64)


@pytest.fixture(scope="module")
def apart():
    return np.array(THETAS) != 0


def test_jensen_shannon_is_log_2_however_near_the_lines_are(numbers, apart):
    np.testing.assert_allclose(numbers["jensen_shannon"][apart], np.log(2), rtol=0.01)
    np.testing.assert_allclose(numbers["total_variation"][apart], 1, rtol=0.01)


def test_wasserstein_is_the_distance_of_the_lines(numbers, apart):
    np.testing.assert_allclose(numbers["wasserstein"][apart], np.abs(THETAS)[apart], rtol=0.05)


def test_all_distances_of_a_line_from_itself_are_0(numbers, apart):
    for name in disjoint_supports.NAMES:
        np.testing.assert_allclose(numbers[name][~apart], 0, atol=0.01)


def test_wasserstein_alone_says_where_to_go(numbers, apart):
    np.testing.assert_allclose(numbers["wasserstein_gradient"][apart], np.sign(THETAS)[apart], atol=0.1)
    assert np.abs(numbers["jensen_shannon_gradient"][apart]).max() < 0.1
    assert np.abs(numbers["total_variation_gradient"][apart]).max() < 0.1


@pytest.mark.parametrize("theta", [-0.7, 0.0, 0.2])
def test_exact_distances_are_those_of_the_lines_cut_into_pieces(theta):
    """Two uniform distributions on n points each, in one list of places: all by their sums, the last by SciPy."""
    exact, n = disjoint_supports.exact(np.array([theta])), 8
    p, q = (np.full(n, 1 / n), np.full(n, 1 / n)) if theta == 0 else np.repeat([[1, 0], [0, 1]], n, axis=1) / n
    mean = (p + q) / 2
    halves = [np.sum(stats.entropy(side, mean)) / 2 for side in (p, q)]
    assert exact["jensen_shannon_exact"][0] == pytest.approx(sum(halves))
    assert exact["total_variation_exact"][0] == pytest.approx(np.abs(p - q).sum() / 2)
    assert exact["kullback_leibler_exact"][0] == pytest.approx(stats.entropy(p, q))
    assert exact["reverse_kullback_leibler_exact"][0] == pytest.approx(stats.entropy(q, p))
    z = np.arange(n) / n
    lines = (np.stack([np.full(n, x), z], axis=1) for x in (0.0, theta))
    assert exact["wasserstein_exact"][0] == pytest.approx(stats.wasserstein_distance_nd(*lines))


def test_the_table_has_every_theta_and_every_distance(numbers):
    text = disjoint_supports.table(numbers)
    assert all(name in text for name in ("Jensen-Shannon", "total variation", "KL", "Wasserstein-1", "inf", "0.693"))
    assert all(f"{theta:.2f} " in text for theta in THETAS)


def test_the_picture_is_one(numbers, tmp_path):
    disjoint_supports.draw(tmp_path / "a.png", numbers)
    with Image.open(tmp_path / "a.png") as picture:
        assert picture.format == "PNG"
        assert 600 <= min(picture.size) <= max(picture.size) <= 2000
