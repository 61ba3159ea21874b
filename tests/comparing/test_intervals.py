import itertools
import math
from fractions import Fraction

import numpy as np
import pytest
from scipy import stats

from gan_jax.comparing.intervals import expected_best, paired_difference


def tail(n):
    """The share of resamples below the interval, by Hesterberg's formula."""
    return max(0.001, stats.norm.sf(np.sqrt(n / (n - 1)) * stats.t.isf(0.025, n - 1)))


def some_pairs(n, seed=0):
    rng = np.random.default_rng(seed)
    return rng.gamma(2, size=n), rng.gamma(2.5, size=n)


# ----------------------------------------------------------------------------------------- paired differences


@pytest.mark.parametrize("n", [5, 8, 30])
def test_agrees_with_scipy_at_the_expanded_level(n):
    a, b = some_pairs(n)
    expected = stats.bootstrap(
        (a - b,), np.mean, n_resamples=50_000, confidence_level=1 - 2 * tail(n), method="percentile", rng=1
    ).confidence_interval
    found = paired_difference(a, b, resamples=50_000)
    assert found.mean == pytest.approx(np.mean(a) - np.mean(b))
    assert [found.low, found.high] == pytest.approx([expected.low, expected.high], abs=0.1 * (found.high - found.low))


def shares_around(value, outcomes):
    """P(mean < value) and P(mean <= value), from a list of all outcomes and their probabilities."""
    close = 1e-9
    return [sum(p for mean, p in outcomes if mean < value + sign * close) for sign in (-1, 1)]


@pytest.mark.parametrize("n", [5, 6])
def test_the_ends_are_quantiles_of_all_resamples(n):
    differences = np.random.default_rng(3).normal(size=n)
    outcomes = [(differences[list(i)].mean(), n**-n) for i in itertools.product(range(n), repeat=n)]
    found = paired_difference(differences, np.zeros(n))
    check_ends(found, outcomes, tail(n))


def test_the_ends_are_quantiles_of_all_resamples_of_groups():
    """Three groups of 1, 2 and 2 pairs: 27 choices of groups, and of each as many pairs as it has."""
    groups = [[0.3], [-1.0, 2.0], [0.9, 1.4]]
    outcomes = []
    for chosen in itertools.product(groups, repeat=3):
        draws = [itertools.product(group, repeat=len(group)) for group in chosen]
        means = [np.mean(list(itertools.chain(*draw))) for draw in itertools.product(*draws)]
        outcomes += [(mean, 1 / 27 / len(means)) for mean in means]
    flat = np.concatenate(groups)
    found = paired_difference(flat, np.zeros(5), groups=[0, 1, 1, 2, 2])
    assert found.mean == pytest.approx(flat.mean())
    check_ends(found, outcomes, tail(3))


def test_a_group_weighs_as_much_as_it_has_pairs():
    """Of 8 groups, one has 5 pairs that differ by 1: drawn 4 times of 8, it is 20 pairs of 24; more often in 0.1 %."""
    found = paired_difference([1.0] * 5 + [0.0] * 7, np.zeros(12), groups=[0] * 5 + list(range(1, 8)))
    assert found == pytest.approx((5 / 12, 0, 20 / 24))


def check_ends(found, outcomes, share):
    error = 5 * math.sqrt(share / 10_000)
    below, up_to = shares_around(found.low, outcomes)
    assert below - error < share < up_to + error
    below, up_to = shares_around(found.high, outcomes)
    assert below - error < 1 - share < up_to + error


@pytest.mark.parametrize("differences", [[1.0, 4.0], [-1.0, 0.5, 7.0], [0.0, 1.0, 2.0, 9.0]])
def test_the_interval_of_few_pairs_is_their_range(differences):
    """Resamples of one pair alone come with probability n^-n, 1/256 for n = 4: more than is left out."""
    found = paired_difference(np.array(differences) + 2, [2.0] * len(differences))
    assert found == pytest.approx((np.mean(differences), min(differences), max(differences)))


@pytest.mark.parametrize("n", [2, 3, 7])
def test_equal_differences_have_no_spread(n):
    found = paired_difference(np.arange(n) + 0.1, np.arange(n))
    assert found == pytest.approx((0.1, 0.1, 0.1))
    assert found.low <= found.mean <= found.high


@pytest.mark.parametrize(("n", "coverage"), [(2, 0.5), (3, 0.75), (4, 0.87), (5, 0.92), (8, 0.94)])
def test_coverage_of_gaussian_differences(n, coverage):
    samples = np.random.default_rng(n).normal(3, 2, size=(600, n))
    found = [paired_difference(sample, np.zeros(n), resamples=1000) for sample in samples]
    covered = np.mean([interval.low <= 3 <= interval.high for interval in found])
    assert covered == pytest.approx(coverage, abs=4 * math.sqrt(coverage * (1 - coverage) / 600))


def test_coverage_where_settings_differ():
    """Eight settings of three seeds: pairs as if independent are too sure, groups of them are not."""
    rng = np.random.default_rng(5)
    samples = rng.normal(size=(200, 8, 1)) + 0.5 * rng.normal(size=(200, 8, 3))
    groups = np.repeat(np.arange(8), 3)
    shares = []
    for labels in (None, groups):
        found = [paired_difference(s.ravel(), np.zeros(24), resamples=1000, groups=labels) for s in samples]
        shares.append(np.mean([interval.low <= 0 <= interval.high for interval in found]))
    assert shares[0] < 0.85
    assert shares[1] > 0.9


def test_depends_on_the_seed_alone():
    a, b = some_pairs(9)
    first = paired_difference(a, b, seed=1)
    assert first == paired_difference(list(a), list(b), seed=1)
    assert first.mean == paired_difference(a, b, seed=2).mean
    assert first.low != paired_difference(a, b, seed=2).low
    assert first == paired_difference(a, b, seed=1, groups=["all"] * 9)


def test_resamples_in_parts_are_as_good_as_at_once():
    """5,000 pairs are more than are drawn in one go."""
    a, b = some_pairs(5000)
    found = paired_difference(a, b, resamples=1000)
    error = np.std(a - b, ddof=1) / np.sqrt(5000)
    assert [found.low, found.high] == pytest.approx(found.mean + error * np.array([-1.96, 1.96]), abs=0.4 * error)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (([1.0], [2.0]), "n >= 2, got shapes"),
        (([1.0, 2.0], [2.0]), "n >= 2, got shapes"),
        ((np.zeros((3, 2)), np.zeros((3, 2))), "n >= 2, got shapes"),
        (([1.0, math.nan], [2.0, 3.0]), "not finite"),
        (([1.0, 2.0], [math.inf, 3.0]), "not finite"),
        (([1.0, 2.0], [2.0, 3.0], 0, 10), "resamples must be >= 1000, got 10"),
        (([1.0, 2.0], [2.0, 3.0], 0, 1000, [1]), "a label for each of 2 pairs"),
    ],
)
def test_differences_refuse(arguments, message):
    with pytest.raises(ValueError, match=message):
        paired_difference(*arguments)


# --------------------------------------------------------------------------------------------- expected best


def best_of_all_draws(values, k, larger_is_better):
    """Mean over all subsets of k in which one value at least did not fail."""
    draws = [[v for v in draw if v is not None] for draw in itertools.combinations(values, k)]
    bests = [(max if larger_is_better else min)(draw) for draw in draws if draw]
    return float(np.mean(bests))


@pytest.mark.parametrize("larger_is_better", [False, True])
@pytest.mark.parametrize(
    "values", [[3.0, 1.0, 2.0], [5.0], [2.0, 2.0, 1.0, 7.0], [4.0, None, 1.0, None, -2.5, 8.0, None], [None, None, 1.0]]
)
def test_agrees_with_all_draws(values, larger_is_better):
    for k in range(1, len(values) + 1):
        expected = best_of_all_draws(values, k, larger_is_better)
        assert expected_best(values, k, larger_is_better) == pytest.approx(expected, rel=1e-12)


@pytest.mark.parametrize("k", [1, 2, 150, 299, 300])
def test_is_exact_for_many_values(k):
    """By whole numbers: the i-th of the values is the best of C(300 - i, k - 1) draws."""
    values = np.random.default_rng(0).normal(size=300)
    counts = [math.comb(300 - i, k - 1) for i in range(1, 301)]
    total = sum(Fraction(value) * count for value, count in zip(np.sort(values), counts, strict=True))
    assert expected_best(values, k) == pytest.approx(float(total / math.comb(300, k)), rel=1e-12, abs=1e-12)


def test_thousands_of_values_do_not_overflow():
    values = np.arange(5000.0)
    assert expected_best(values, 2500) == pytest.approx(5001 / 2501 - 1)  # the least of k of 1 ... n: (n + 1) / (k + 1)


def test_draws_with_replacement_find_less():
    """Dodge et al.: sum of v_i (P(V >= v_i)^k - P(V > v_i)^k), which is biased towards worse values."""
    values = np.sort(np.random.default_rng(1).normal(size=20))
    left = np.arange(20, 0, -1) / 20
    dodge = float(np.sum(values * (left**8 - (left - 1 / 20) ** 8)))
    assert expected_best(values, 8) < dodge


def test_a_failure_among_the_draws_costs_nothing_but_its_place():
    assert expected_best([1.0, math.nan], 1) == 1.0
    assert expected_best([1.0, 3.0, None], 2) == pytest.approx((1 + 1 + 3) / 3)


@pytest.mark.parametrize(
    ("values", "k", "message"),
    [
        ([1.0, 2.0], 0, "k must be from 1 to 2, the number of values, got 0"),
        ([1.0, 2.0], 3, "got 3"),
        ([None, None], 1, "one at least not failed"),
        ([], 1, "one at least not failed"),
        ([[1.0], [2.0]], 1, "got shape"),
        ([1.0, math.inf], 1, "without infinite ones"),
    ],
)
def test_expected_best_refuses(values, k, message):
    with pytest.raises(ValueError, match=message):
        expected_best(values, k)
