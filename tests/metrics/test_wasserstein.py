from itertools import permutations

import numpy as np
import pytest
import scipy.stats
from scipy.spatial.distance import cdist

from gan_jax.metrics.wasserstein import exact_plan, random_directions, sliced_wasserstein, wasserstein_1


def test_one_dimension_agrees_with_scipy():
    rng = np.random.default_rng(0)
    a, b = rng.normal(size=200), rng.exponential(size=200)
    assert wasserstein_1(a[:, None], b[:, None]) == pytest.approx(
        scipy.stats.wasserstein_distance(a, b), rel=0, abs=1e-9
    )


@pytest.mark.parametrize("theta", [0.0, 0.3, -2.0])
def test_two_parallel_lines_are_theta_apart(theta):
    """Example 1 of the WGAN paper: W(P_0, P_theta) = |theta|."""
    heights = np.random.default_rng(1).uniform(size=100)
    line = np.stack([np.zeros(100), heights], axis=1)
    other = np.stack([np.full(100, theta), heights[::-1]], axis=1)
    assert wasserstein_1(line, other) == pytest.approx(abs(theta), rel=0, abs=1e-9)


@pytest.mark.parametrize("seed", range(3))
def test_agrees_with_brute_force_over_permutations(seed):
    rng = np.random.default_rng(seed)
    a, b = rng.normal(size=(6, 3)), rng.normal(size=(6, 3))
    expected = min(np.linalg.norm(a - b[list(p)], axis=1).mean() for p in permutations(range(6)))
    assert wasserstein_1(a, b) == pytest.approx(expected, rel=0, abs=1e-9)


def test_agrees_with_python_optimal_transport(ot):
    rng = np.random.default_rng(3)
    a, b = rng.normal(size=(60, 5)), rng.exponential(size=(60, 5))
    uniform = np.full(60, 1 / 60)
    assert wasserstein_1(a, b) == pytest.approx(ot.emd2(uniform, uniform, cdist(a, b)), rel=0, abs=1e-9)


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


# Sizes and weights of two samples; None for equal weights.
PLANS = [(20, 20, False), (12, 30, False), (17, 9, True)]


def weighted_samples(n, m, weighted):
    rng = np.random.default_rng(n)
    a, b = rng.normal(size=(n, 2)), rng.normal(size=(m, 2)) + 1
    return (a, b, rng.dirichlet(np.ones(n)), rng.dirichlet(np.ones(m))) if weighted else (a, b, None, None)


@pytest.mark.parametrize("sizes", PLANS)
def test_plan_equals_python_optimal_transport(ot, sizes):
    a, b, a_weights, b_weights = weighted_samples(*sizes)
    uniform = [np.full(len(points), 1 / len(points)) for points in (a, b)]
    weights = [uniform[0] if a_weights is None else a_weights, uniform[1] if b_weights is None else b_weights]
    expected = ot.emd(*weights, cdist(a, b))
    plan = exact_plan(a, b, a_weights, b_weights)
    assert plan.distance == pytest.approx(np.sum(expected * cdist(a, b)), abs=1e-9)
    np.testing.assert_allclose(plan.mass, expected, atol=1e-9)


@pytest.mark.parametrize("sizes", PLANS)
def test_plan_is_a_plan_and_its_potentials_prove_it_optimal(sizes):
    a, b, a_weights, b_weights = weighted_samples(*sizes)
    plan = exact_plan(a, b, a_weights, b_weights)
    a_weights = np.full(len(a), 1 / len(a)) if a_weights is None else a_weights
    b_weights = np.full(len(b), 1 / len(b)) if b_weights is None else b_weights
    np.testing.assert_allclose(plan.mass.sum(axis=1), a_weights, atol=1e-12)
    np.testing.assert_allclose(plan.mass.sum(axis=0), b_weights, atol=1e-12)
    assert plan.mass.min() >= 0
    assert (plan.a_potential[:, None] + plan.b_potential <= cdist(a, b) + 1e-9).all()
    assert plan.a_potential @ a_weights + plan.b_potential @ b_weights == pytest.approx(plan.distance, abs=1e-9)


def test_plan_between_equal_weights_is_the_assignment():
    a, b, _, _ = weighted_samples(40, 40, False)
    assert exact_plan(a, b).distance == pytest.approx(wasserstein_1(a, b), abs=1e-12)


def test_plan_in_one_dimension_agrees_with_scipy():
    rng = np.random.default_rng(0)
    a, b, a_weights, b_weights = (
        rng.normal(size=25),
        rng.normal(size=11),
        rng.dirichlet(np.ones(25)),
        np.full(11, 1 / 11),
    )
    plan = exact_plan(a[:, None], b[:, None], a_weights, b_weights)
    assert plan.distance == pytest.approx(scipy.stats.wasserstein_distance(a, b, a_weights, b_weights), abs=1e-9)


def test_plan_of_a_shift_costs_its_length():
    a = np.random.default_rng(0).normal(size=(30, 2))
    assert exact_plan(a, a[::-1] + np.array([3.0, -4.0])).distance == pytest.approx(5, abs=1e-12)


def test_a_single_point_takes_all():
    a, weights = np.array([[0.0, 1.0], [0.0, 3.0]]), [0.25, 0.75]
    assert exact_plan(a, np.zeros((1, 2)), weights).mass == pytest.approx(np.array([[0.25], [0.75]]))
    assert exact_plan(a, np.zeros((1, 2)), weights).distance == pytest.approx(0.25 * 1 + 0.75 * 3)


@pytest.mark.parametrize(
    ("a", "b", "a_weights", "message"),
    [
        (np.zeros((3, 2)), np.zeros((4, 1)), None, "must be"),
        (np.zeros((3, 2)), np.zeros((0, 2)), None, "must be"),
        (np.full((3, 2), np.inf), np.zeros((3, 2)), None, "not finite"),
        (np.zeros((3, 2)), np.zeros((4, 2)), [0.5, 0.5], "a_weights must be 3 numbers"),
        (np.zeros((2, 2)), np.zeros((4, 2)), [1.5, -0.5], ">= 0"),
        (np.zeros((2, 2)), np.zeros((4, 2)), [0.5, 0.4], "sum 1"),
        (np.zeros((2, 2)), np.zeros((4, 2)), [0.5, np.nan], "sum 1"),
    ],
)
def test_plan_refuses(a, b, a_weights, message):
    with pytest.raises(ValueError, match=message):
        exact_plan(a, b, a_weights)


SLICED = [(30, 30), (12, 30), (17, 9), (1, 6)]


def skewed(n, m, d, seed=0):
    rng = np.random.default_rng(seed)
    return rng.normal(size=(n, d)), rng.exponential(size=(m, d)) * np.arange(1, d + 1)


@pytest.mark.parametrize("p", [1, 2, 3])
@pytest.mark.parametrize(("n", "m"), SLICED)
def test_sliced_agrees_with_python_optimal_transport(ot, n, m, p):
    a, b = skewed(n, m, 4)
    expected = ot.sliced_wasserstein_distance(a, b, projections=random_directions(50, 4, seed=1).T, p=p)
    assert sliced_wasserstein(a, b, 50, seed=1, p=p) == pytest.approx(expected, rel=0, abs=1e-9)


@pytest.mark.parametrize(("n", "m"), SLICED)
def test_sliced_in_one_dimension_agrees_with_scipy(n, m):
    a, b = skewed(n, m, 1)
    expected = scipy.stats.wasserstein_distance(a[:, 0], b[:, 0])
    assert sliced_wasserstein(a, b, projections=3, p=1) == pytest.approx(expected, rel=0, abs=1e-9)


def test_sliced_distance_by_hand():
    """{0, 3} to {0, 1, 5}: 1/3 of the mass stays, 1/6 goes by 1, 1/6 by 2, and 1/3 by 2."""
    a, b = [[0.0], [3.0]], [[5.0], [0.0], [1.0]]
    assert sliced_wasserstein(a, b, 1, p=1) == pytest.approx(1 / 6 + 2 / 6 + 2 / 3)
    assert sliced_wasserstein(a, b, 1, p=2) == pytest.approx(np.sqrt(1 / 6 + 4 / 6 + 4 / 3))


def test_sliced_distance_of_a_shift():
    """Its part along a direction is squared to |v|^2 / d on average: in one dimension exactly, in three nearly."""
    a = np.random.default_rng(0).normal(size=(40, 3))
    assert sliced_wasserstein(a[:, :1], a[::-1, :1] - 2.5) == pytest.approx(2.5, abs=1e-12)
    shifted = a[::-1] + np.array([3.0, -4.0, 12.0])
    assert sliced_wasserstein(a, shifted, 20_000) == pytest.approx(13 / np.sqrt(3), rel=0.01)
    assert sliced_wasserstein(a, a[::-1]) == pytest.approx(0, abs=1e-12)


@pytest.mark.slow
def test_sliced_distance_of_more_points_than_are_sorted_at_once():
    a, b = skewed(300_000, 150_000, 2)
    directions = random_directions(20, 2, 0)  # 18 at a time
    lines = [scipy.stats.wasserstein_distance(a @ u, b @ u) for u in directions]
    assert sliced_wasserstein(a, b, 20, p=1) == pytest.approx(np.mean(lines), rel=1e-9)


def test_directions_are_evenly_distributed_on_the_sphere():
    directions = random_directions(20_000, 3, 0)
    np.testing.assert_allclose(np.linalg.norm(directions, axis=1), 1, atol=1e-12)
    np.testing.assert_allclose(directions.mean(axis=0), 0, atol=0.02)
    np.testing.assert_allclose(directions.T @ directions / 20_000, np.eye(3) / 3, atol=0.02)
    heights = scipy.stats.kstest(directions[:, 0], scipy.stats.uniform(-1, 2).cdf)  # Archimedes
    assert heights.pvalue > 1e-3


@pytest.mark.parametrize(
    ("a", "b", "projections", "p", "message"),
    [
        (np.zeros((3, 2)), np.zeros((4, 1)), 10, 2, "same network"),
        (np.zeros((3, 2)), np.zeros((0, 2)), 10, 2, "b must be"),
        (np.zeros(3), np.zeros((3, 1)), 10, 2, "a must be"),
        (np.full((3, 2), np.nan), np.zeros((3, 2)), 10, 2, "not finite"),
        (np.zeros((3, 2)), np.zeros((3, 2)), 0, 2, "projections"),
        (np.zeros((3, 2)), np.zeros((3, 2)), 10, 0.5, "p in"),
        (np.zeros((3, 2)), np.zeros((3, 2)), 10, np.inf, "p in"),
    ],
)
def test_sliced_refuses(a, b, projections, p, message):
    with pytest.raises(ValueError, match=message):
        sliced_wasserstein(a, b, projections, p=p)
