import numpy as np
import pytest
from scipy.linalg import sqrtm

from gan_jax.metrics.frechet import frechet_distance


def by_sqrtm(a, b):
    cov_a, cov_b = np.cov(a, rowvar=False), np.cov(b, rowvar=False)
    root = np.real(sqrtm(cov_a @ cov_b))
    return np.sum((a.mean(0) - b.mean(0)) ** 2) + np.trace(cov_a + cov_b - 2 * root)


@pytest.mark.parametrize(("n", "m", "d"), [(50, 80, 2), (200, 100, 10), (500, 400, 64)])
def test_agrees_with_scipys_sqrtm(n, m, d):
    rng = np.random.default_rng(0)
    a = rng.normal(size=(n, d)) @ rng.normal(size=(d, d))
    b = rng.normal(size=(m, d)) @ rng.normal(size=(d, d)) + 1
    np.testing.assert_allclose(frechet_distance(a, b), by_sqrtm(a, b), rtol=1e-8)
    np.testing.assert_allclose(frechet_distance(b, a), by_sqrtm(a, b), rtol=1e-8)


@pytest.mark.parametrize(("n", "d"), [(100, 3), (20, 100), (2, 5)])
def test_equal_samples_are_at_zero_and_a_shift_adds_its_square(n, d):
    a = np.random.default_rng(1).normal(size=(n, d))
    shift = np.arange(d) / d
    assert frechet_distance(a, a) == pytest.approx(0, abs=1e-6)
    assert frechet_distance(a, a + shift) == pytest.approx(np.sum(shift**2), abs=1e-6)


def test_one_dimensional_gaussians():
    rng = np.random.default_rng(2)
    a, b = rng.normal(1, 2, size=(300, 1)), rng.normal(-1, 5, size=(200, 1))
    expected = (a.mean() - b.mean()) ** 2 + (a.std(ddof=1) - b.std(ddof=1)) ** 2
    assert frechet_distance(a, b) == pytest.approx(expected, rel=1e-10)


def test_fewer_samples_than_features():
    """tr((S_a S_b)^(1/2)) is the nuclear norm of X_a X_b^T / sqrt((n - 1)(m - 1)): no covariance, no root."""
    rng = np.random.default_rng(3)
    a, b = rng.normal(size=(20, 300)), 2 * rng.normal(size=(30, 300))
    centred_a, centred_b = (a - a.mean(0)) / np.sqrt(19), (b - b.mean(0)) / np.sqrt(29)
    root_trace = np.linalg.norm(centred_a @ centred_b.T, ord="nuc")
    expected = np.sum((a.mean(0) - b.mean(0)) ** 2) + np.sum(centred_a**2) + np.sum(centred_b**2) - 2 * root_trace
    assert frechet_distance(a, b) == pytest.approx(expected, rel=1e-6)
    assert frechet_distance(b, a) == pytest.approx(expected, rel=1e-6)


def test_constant_features_leave_only_the_means():
    assert frechet_distance(np.zeros((4, 3)), np.ones((5, 3))) == pytest.approx(3)


def test_float32_features_are_computed_in_float64():
    a = np.random.default_rng(4).normal(1000, 1, size=(500, 4)).astype(np.float32)
    b = a[:250]
    assert frechet_distance(a, b) == pytest.approx(by_sqrtm(a.astype(float), b.astype(float)), rel=1e-6)


@pytest.mark.parametrize(
    ("a", "b", "message"),
    [
        (np.zeros((1, 3)), np.zeros((5, 3)), "n >= 2"),
        (np.zeros((5, 3)), np.zeros((1, 3)), "n >= 2"),
        (np.zeros(5), np.zeros((5, 3)), "n >= 2"),
        (np.zeros((5, 3)), np.zeros((5, 4)), "same network"),
        (np.full((5, 3), np.nan), np.zeros((5, 3)), "not finite"),
        (np.zeros((5, 3)), np.full((5, 3), np.inf), "not finite"),
    ],
)
def test_refuses(a, b, message):
    with pytest.raises(ValueError, match=message):
        frechet_distance(a, b)
