import numpy as np
import pytest
import scipy.stats

from gan_jax.metrics.modes import mode_statistics, stacked_mode_statistics

MEANS = [[0, 0], [10, 0], [0, 10], [10, 10]]


def test_samples_made_by_hand():
    points = [[0, 0], [0, 2.9], [0, 3.1], [10, 0.5]]  # sigma 1: three near, one (3.1 away) not; two modes
    assert mode_statistics(points, MEANS, sigma=1.0) == {
        "modes_covered": 2,
        "modes_total": 4,
        "share_within_3_sigma": 0.75,
        "reverse_kl": pytest.approx(0.75 * np.log(3) + 0.25 * np.log(1)),
    }


def test_samples_far_from_every_mode_still_count_in_the_kl():
    far = np.add(MEANS, [0, 4])
    statistics = mode_statistics(far, MEANS, sigma=1.0)
    assert (statistics["modes_covered"], statistics["share_within_3_sigma"]) == (0, 0.0)
    assert statistics["reverse_kl"] == pytest.approx(0)


def test_one_mode_only_has_kl_ln_k():
    statistics = mode_statistics(np.zeros((7, 2)), MEANS, sigma=0.1)
    assert statistics["modes_covered"] == 1
    assert statistics["reverse_kl"] == pytest.approx(np.log(4))


def test_real_samples_of_a_ring():
    rng = np.random.default_rng(0)
    angles = 2 * np.pi * np.arange(8) / 8
    means = np.stack([np.cos(angles), np.sin(angles)], axis=1)
    points = means[rng.integers(8, size=20_000)] + 0.02 * rng.normal(size=(20_000, 2))
    statistics = mode_statistics(points, means, sigma=0.02)
    assert statistics["modes_covered"] == 8
    assert statistics["share_within_3_sigma"] == pytest.approx(1 - np.exp(-4.5), abs=0.003)
    assert 0 <= statistics["reverse_kl"] < 0.002


def test_a_point_between_overlapping_modes_covers_both():
    assert mode_statistics([[0.5]], [[0.0], [1.0]], sigma=1.0)["modes_covered"] == 2


@pytest.mark.parametrize(
    ("points", "means", "sigma", "message"),
    [
        (np.zeros((0, 2)), MEANS, 1.0, "neither empty"),
        (np.zeros((3, 3)), MEANS, 1.0, "neither empty"),
        (np.zeros(3), MEANS, 1.0, r"got shapes"),
        (np.full((3, 2), np.nan), MEANS, 1.0, "not finite"),
        (np.zeros((3, 2)), MEANS, 0.0, "sigma"),
    ],
)
def test_refuses(points, means, sigma, message):
    with pytest.raises(ValueError, match=message):
        mode_statistics(points, means, sigma)


EVERY_NUMBER = np.stack(np.meshgrid(*[np.arange(10)] * 3), axis=-1).reshape(-1, 3)


def test_stacked_digits_once_each_cover_all_modes_evenly():
    statistics = stacked_mode_statistics(EVERY_NUMBER)
    assert statistics == {"modes_covered": 1000, "modes_total": 1000, "reverse_kl": pytest.approx(0, abs=1e-12)}


def test_one_stacked_mode_has_kl_ln_1000():
    statistics = stacked_mode_statistics(np.full((7, 3), 9))
    assert statistics == {"modes_covered": 1, "modes_total": 1000, "reverse_kl": pytest.approx(np.log(1000))}


def test_the_order_of_stacked_digits_matters():
    assert stacked_mode_statistics([[1, 2, 3], [3, 2, 1], [1, 3, 2], [1, 2, 3]])["modes_covered"] == 3


def test_stacked_digits_have_the_kl_of_scipys_entropy():
    digits = np.random.default_rng(0).binomial(3, 0.4, size=(500, 3))  # of 4
    shares = np.array([np.mean((digits == mode).all(axis=1)) for mode in np.ndindex(4, 4, 4)])
    statistics = stacked_mode_statistics(digits.astype(np.uint8), classes=4)
    assert statistics["modes_covered"] == np.sum(shares > 0) < statistics["modes_total"] == 64
    assert statistics["reverse_kl"] == pytest.approx(scipy.stats.entropy(shares, np.full(64, 1 / 64)), rel=1e-12)


def test_real_stacked_samples_have_the_kl_of_chance():
    digits = np.random.default_rng(1).integers(10, size=(26_000, 3))
    assert stacked_mode_statistics(digits)["reverse_kl"] == pytest.approx(999 / 52_000, rel=0.2)


@pytest.mark.parametrize(
    ("digits", "message"),
    [
        (np.zeros((0, 3), int), "n >= 1"),
        (np.zeros((5, 2), int), "integers"),
        (np.zeros(5, int), "integers"),
        (np.zeros((5, 3)), "integers"),
        (np.full((5, 3), 10), "got 10 to 10"),
        (np.full((5, 3), -1), "got -1 to -1"),
    ],
)
def test_stacked_refuses(digits, message):
    with pytest.raises(ValueError, match=message):
        stacked_mode_statistics(digits)
