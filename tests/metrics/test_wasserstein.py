from itertools import permutations

import numpy as np
import pytest
import scipy.stats

from gan_jax.metrics.wasserstein import wasserstein_1


def test_one_dimension_agrees_with_scipy():
    rng = np.random.default_rng(0)
    a, b = rng.normal(size=200), rng.exponential(size=200)
    assert wasserstein_1(a[:, None], b[:, None]) == pytest.approx(scipy.stats.wasserstein_distance(a, b))


@pytest.mark.parametrize("theta", [0.0, 0.3, -2.0])
def test_two_parallel_lines_are_theta_apart(theta):
    """Example 1 of the WGAN paper: W(P_0, P_theta) = |theta|."""
    heights = np.random.default_rng(1).uniform(size=100)
    line = np.stack([np.zeros(100), heights], axis=1)
    other = np.stack([np.full(100, theta), heights[::-1]], axis=1)
    assert wasserstein_1(line, other) == pytest.approx(abs(theta))


@pytest.mark.parametrize("seed", range(3))
def test_agrees_with_brute_force_over_permutations(seed):
    rng = np.random.default_rng(seed)
    a, b = rng.normal(size=(6, 3)), rng.normal(size=(6, 3))
    expected = min(np.linalg.norm(a - b[list(p)], axis=1).mean() for p in permutations(range(6)))
    assert wasserstein_1(a, b) == pytest.approx(expected)


@pytest.mark.parametrize(
    ("a", "b", "message"),
    [
        (np.zeros((3, 2)), np.zeros((4, 2)), "both be"),
        (np.zeros((3, 2)), np.zeros((3, 1)), "both be"),
        (np.zeros(3), np.zeros(3), "both be"),
        (np.zeros((0, 2)), np.zeros((0, 2)), "both be"),
        (np.full((3, 2), np.nan), np.zeros((3, 2)), "not finite"),
    ],
)
def test_refuses(a, b, message):
    with pytest.raises(ValueError, match=message):
        wasserstein_1(a, b)
