import jax
import numpy as np
import pytest
import scipy.stats
from PIL import Image
from scipy.spatial.distance import cdist

from gan_jax.studies import transport

EPSILONS = (1.0, 0.1, 0.03)


@pytest.fixture(scope="module")
def numbers():
    return transport.measure(points=48, epsilons=EPSILONS, width=32, depth=2, steps=300)


def bound(critic):
    return float(critic["estimate"]) / float(critic["slope"])


def test_exact_values_agree_and_the_dual_has_the_primal_value(numbers):
    assignment, *others = numbers["exact"].values()
    assert others == pytest.approx([assignment] * 2, abs=1e-9)
    assert np.linalg.norm(numbers["noise"] - numbers["real"], axis=1).mean() == pytest.approx(assignment, abs=1e-6)


def test_exact_value_is_that_of_python_optimal_transport(ot, numbers):
    cost = cdist(numbers["noise"], numbers["real"])
    assert numbers["exact"]["linear programme"] == pytest.approx(ot.emd2([], [], cost), abs=1e-9)


def test_sinkhorns_cost_falls_to_the_exact_one_within_epsilon_log_n(numbers):
    above = np.array(numbers["sinkhorn"]["cost"]) - numbers["exact"]["assignment"]
    assert (np.diff(above) < 0).all()
    assert (above > 0).all()
    assert (above <= np.array(EPSILONS) * np.log(48)).all()
    assert above[-1] < 0.05 * numbers["exact"]["assignment"]


def test_sinkhorn_is_that_of_python_optimal_transport(ot):
    rng = np.random.default_rng(0)
    cost = cdist(rng.normal(size=(15, 2)), rng.normal(size=(20, 2)))
    mass, _, _ = transport.sinkhorn(cost, 0.2, np.zeros(20), tolerance=1e-12)
    expected = ot.sinkhorn(np.full(15, 1 / 15), np.full(20, 1 / 20), cost, 0.2, stopThr=1e-12, numItermax=10000)
    np.testing.assert_allclose(mass, expected, atol=1e-11)


def test_sinkhorn_stops_by_its_marginals():
    rng = np.random.default_rng(0)
    cost = cdist(rng.normal(size=(15, 2)), rng.normal(size=(20, 2)))
    mass, _, iterations = transport.sinkhorn(cost, 0.05, np.zeros(20), tolerance=1e-4)
    assert 1 < iterations < 20000
    np.testing.assert_allclose(mass.sum(axis=1), 1 / 15, rtol=1e-12)
    assert 1e-6 < np.abs(mass.sum(axis=0) - 1 / 20).sum() < 1e-4


def test_sinkhorn_at_a_large_epsilon_sends_everything_everywhere():
    cost = cdist(np.arange(3.0)[:, None], np.arange(4.0)[:, None])
    np.testing.assert_allclose(transport.sinkhorn(cost, 1e6, np.zeros(4))[0], 1 / 12, rtol=1e-5)


def test_sinkhorn_stays_finite_where_the_kernel_underflows():
    """exp(-1000 / 0.01) is 0 in float64; the plan between points and themselves moved is known all the same."""
    points = np.array([[0.0], [1000.0], [3000.0]])
    cost = cdist(points, points + 0.5)
    mass, _, _ = transport.sinkhorn(cost, 0.01, np.zeros(3))
    np.testing.assert_allclose(mass, np.eye(3) / 3, atol=1e-6)


def test_no_critic_exceeds_the_exact_value_once_divided_by_its_slope(numbers):
    exact = numbers["exact"]["assignment"]
    for name, critic in numbers["critics"].items():
        assert 0 < bound(critic) <= exact * (1 + 1e-5), name
        # The mean value theorem, on nine points of each line.
        assert float(critic["slope"]) <= 1.05 * float(critic["gradient"]), name


def test_penalties_find_the_distance_as_they_are_and_the_others_do_not(numbers):
    exact, critics = numbers["exact"]["assignment"], numbers["critics"]
    for name in ("gradient penalty", "one-sided penalty"):
        assert float(critics[name]["estimate"]) == pytest.approx(exact, rel=0.25)
        assert bound(critics[name]) > 0.6 * exact
    assert float(critics["spectral norm"]["gradient"]) < 1.05
    assert float(critics["spectral norm"]["estimate"]) < 0.8 * exact
    assert abs(np.log(float(critics["weight clipping"]["estimate"]) / exact)) > np.log(1.3)


@pytest.mark.slow
def test_a_critic_between_two_lines_finds_the_way_from_one_to_the_other():
    """Two samples that are one another's translations by d: W1 = |d|, and in one dimension SciPy says the same."""
    heights = np.random.default_rng(0).uniform(-1, 1, size=(32, 1)).astype(np.float32)
    real, fake = np.hstack([0 * heights + 0.5, heights]), np.hstack([0 * heights - 0.5, heights])
    assert scipy.stats.wasserstein_distance(real[:, 0], fake[:, 0]) == 1
    critic = transport.judged("gradient penalty", real, fake, jax.random.key(0), 32, 2, 1000)
    assert float(critic["estimate"]) == pytest.approx(1, rel=0.15)
    assert bound(critic) <= 1 + 1e-5


def test_table_names_what_it_holds(numbers):
    table = transport.table(numbers)
    for name in ("assignment", "linear programme", "dual", "Sinkhorn", "epsilon 0.03", *transport.CRITICS):
        assert name in table
    assert f"{numbers['exact']['assignment']:.9f}" in table


def test_draws(tmp_path, numbers):
    transport.draw(tmp_path / "transport.png", numbers)
    with Image.open(tmp_path / "transport.png") as image:
        assert 800 < image.width < 2000
        assert 500 < image.height < 1500
