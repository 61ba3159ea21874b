import warnings

import numpy as np
import pytest
from sklearn.metrics.pairwise import polynomial_kernel

from gan_jax.metrics import kernel
from gan_jax.metrics.kernel import kernel_distance


def two_samples(n, m, d, seed=0):
    rng = np.random.default_rng(seed)
    return rng.gamma(2, size=(n, d)), rng.gamma(2.5, size=(m, d))


@pytest.mark.parametrize("d", [1, 3])
def test_agrees_with_loops(d):
    a, b = two_samples(6, 6, d)
    total = 0.0
    for i in range(6):
        for j in range(6):
            total -= 2 * (sum(a[i] * b[j]) / d + 1) ** 3 / 36
            if i != j:
                total += ((sum(a[i] * a[j]) / d + 1) ** 3 + (sum(b[i] * b[j]) / d + 1) ** 3) / 30
    found = kernel_distance(a, b)
    assert found.mean == pytest.approx(total, rel=1e-10)
    assert found[1:4] == (None, (6,), (6,))


def test_agrees_with_scikit_learn():
    a, b = two_samples(200, 200, 30)
    of_a, of_b, across = (polynomial_kernel(x, y, degree=3) for x, y in ((a, a), (b, b), (a, b)))
    others = ~np.eye(200, dtype=bool)
    expected = of_a[others].mean() + of_b[others].mean() - 2 * across.mean()
    assert kernel_distance(a, b).mean == pytest.approx(expected, rel=1e-10)


def test_agrees_with_torch_fidelity():
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        peer = pytest.importorskip("torch_fidelity.metric_kid")
    a, b = two_samples(300, 300, 64)
    options = {"kid_kernel_poly_degree": 3, "kid_kernel_poly_gamma": None, "kid_kernel_poly_coef0": 1}
    of_a, across, of_b = (peer.kernel_poly(x, y, **options) for x, y in ((a, a), (a, b), (b, b)))
    assert kernel_distance(a, b).mean == pytest.approx(peer.mmd2(of_a, across, of_b), rel=1e-10)


def test_agrees_with_clean_fid():
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        peer = pytest.importorskip("cleanfid.fid")
    a, b = two_samples(300, 300, 64)
    expected = peer.kernel_distance(a, b, num_subsets=1, max_subset_size=300)
    assert kernel_distance(a, b).mean == pytest.approx(expected, rel=1e-10)


def test_the_kernel_of_constant_samples():
    """(0 + 1)^3 + (4 + 1)^3 - 2 (0 + 1)^3."""
    assert kernel_distance(np.zeros((3, 2)), np.full((3, 2), 2.0)).mean == pytest.approx(124)


def test_one_distribution_is_at_zero_on_average_and_below_it_at_times():
    samples = np.random.default_rng(1).normal(size=(400, 2, 20, 5))
    means = np.array([kernel_distance(a, b).mean for a, b in samples])
    error = means.std(ddof=1) / np.sqrt(len(means))
    assert abs(means.mean()) < 3 * error
    assert (means < 0).any()
    # Diagonals would add 2 (E k(x, x) - E k(x, y)) / n = 2 (10.72 - 1.6) / 20, which would not go unseen.
    assert 3 * error < 0.9


def test_the_expected_value_of_two_distributions():
    """For d = 1 the distance is sum_p C(3, p) (E x^p - E y^p)^2, by the binomial theorem."""
    rng = np.random.default_rng(2)
    found = kernel_distance(rng.normal(0, 1, (20_000, 1)), rng.normal(1, 1, (20_000, 1)), subset_size=200)
    expected = 3 * (0 - 1) ** 2 + 3 * (1 - 2) ** 2 + (0 - 4) ** 2  # E x, E x^2, E x^3 of N(0, 1) and N(1, 1)
    assert found[2:4] == ((200,) * 100,) * 2
    assert abs(found.mean - expected) < 4 * found.sd / np.sqrt(100)


def test_subsets_are_disjoint():
    """Of three disjoint pairs out of one 1 and five 2s, exactly one holds the 1; with replacement none or two might."""
    a, b = np.array([[1.0], [2], [2], [2], [2], [2]]), np.ones((7, 1))
    of_twos = 125 + 8 - 2 * 27
    of_both = 27 + 8 - (27 + 8)
    for seed in range(20):
        found = kernel_distance(a, b, subset_size=2, seed=seed)
        assert found[2:4] == ((2, 2, 2), (3, 2, 2))
        assert found.mean == pytest.approx((2 * of_twos + of_both) / 3)
        assert found.sd == pytest.approx(np.std([of_twos, of_twos, of_both], ddof=1))


def test_the_subsets_depend_on_the_seed_alone():
    a, b = two_samples(100, 90, 4)
    first = kernel_distance(a, b, subset_size=20, seed=1)
    assert first == kernel_distance(a, b, subset_size=20, seed=1)
    assert first != kernel_distance(a, b, subset_size=20, seed=2)
    assert first[2:4] == ((25,) * 4, (23, 23, 22, 22))


def by_torch_fidelity(a, b):
    """Of m and m samples, as its `mmd2` (est="unbiased") has it: sums of rows without the diagonal, over m (m - 1)."""
    m = len(a)
    of_a, across, of_b = (
        np.power(np.tensordot(x, y, (1, 1)) / a.shape[1] + 1.0, 3) for x, y in ((a, a), (a, b), (b, b))
    )
    rows = [k.sum(axis=1) - np.diagonal(k) for k in (of_a, of_b)]
    return (rows[0].sum() + rows[1].sum()) / (m * (m - 1)) - 2 * across.sum(axis=0).sum() / (m * m)


@pytest.mark.parametrize(("n", "sizes"), [
    (99, [99]), (100, [50, 50]), (199, [100, 99]), (250, [125, 125]), (301, [101, 100, 100])
])  # fmt: skip
def test_nobody_is_left_out(n, sizes):
    """Each subset's estimate, by another formula, of the rows that the generator's permutations give it."""
    a, b = two_samples(n, n, 3)
    rng = np.random.default_rng(0)
    orders = [rng.permutation(n), rng.permutation(n)]
    ends = np.cumsum(sizes)
    parts = [
        (a[orders[0][end - size : end]], b[orders[1][end - size : end]]) for size, end in zip(sizes, ends, strict=True)
    ]
    estimates = [by_torch_fidelity(*part) for part in parts]
    found = kernel_distance(a, b, subset_size=100)
    assert found.mean == pytest.approx(np.mean(estimates), rel=1e-10)
    assert found[2:4] == (tuple(sizes), tuple(sizes))
    if n < 100:
        assert found.sd is None
    else:
        assert found.sd == pytest.approx(np.std(estimates, ddof=1), rel=1e-7)


def test_a_thousand_are_two_subsets():
    assert kernel_distance(*two_samples(1000, 1000, 2))[2:4] == ((500, 500),) * 2


def test_its_standard_error_is_that_of_many_draws():
    """Of N(0, 1) and N(1, 1) in one dimension, of 50 and 90 in five subsets: 22 on average, within the error."""
    rng = np.random.default_rng(3)
    draws = [kernel_distance(rng.normal(size=(50, 1)), rng.normal(1, 1, (90, 1)), 10, seed) for seed in range(400)]
    means = np.array([draw.mean for draw in draws])
    assert draws[0][2:4] == ((10,) * 5, (18,) * 5)
    assert abs(means.mean() - 22) < 4 * means.std() / np.sqrt(400)
    variances = np.array([draw.sd**2 / 5 for draw in draws])
    assert abs(variances.mean() - means.var()) < 0.3 * means.var()


def test_parts_of_the_kernel_change_nothing(monkeypatch):
    a, b = two_samples(83, 57, 4)
    whole = kernel_distance(a, b, 30)
    monkeypatch.setattr(kernel, "_PART", 100)
    in_parts = kernel_distance(a, b, 30)
    assert in_parts.mean == pytest.approx(whole.mean, rel=1e-9)
    assert in_parts.sd == pytest.approx(whole.sd, rel=1e-9)


def test_the_order_of_the_rows_does_not_matter_to_one_subset():
    a, b = two_samples(100, 100, 4)
    expected = kernel_distance(a, b).mean
    assert kernel_distance(a[::-1], np.roll(b, 7, axis=0), seed=3).mean == pytest.approx(expected, rel=1e-12)


def test_what_is_smaller_than_a_subset_is_one():
    a, b = two_samples(50, 20, 3)
    assert kernel_distance(a, b)[1:4] == (None, (50,), (20,))
    across = ((a @ b.T / 3 + 1) ** 3).mean()
    of_a, of_b = (((x @ x.T / 3 + 1) ** 3)[~np.eye(len(x), dtype=bool)].mean() for x in (a, b))
    assert kernel_distance(a, b).mean == pytest.approx(of_a + of_b - 2 * across, rel=1e-10)


@pytest.mark.parametrize(("n", "m", "parts"), [(8, 47, (1, 4)), (65, 20, (3, 1)), (23, 50, (1, 2)), (19, 19, (1, 1))])
def test_the_larger_sample_is_compared_with_itself_in_parts(n, m, parts):
    """Loops over the pairs of each part, and over all pairs across, of the permuted rows of either."""
    a, b = two_samples(n, m, 3)
    rng = np.random.default_rng(0)
    orders = [rng.permutation(len(x)) for x in (a, b)]
    subsets, estimates = (2 if min(n, m) >= 10 else 1), []
    for rows in zip(*(np.array_split(order, subsets) for order in orders), strict=True):
        found = []
        for x, own, count in zip((a, b), rows, parts, strict=True):
            pieces = np.array_split(own, count)
            assert count == 1 or min(map(len, pieces)) >= 10
            found.append(np.mean([np.mean([(x[i] @ x[j] / 3 + 1) ** 3 for i in piece for j in piece if i != j])
                                  for piece in pieces]))  # fmt: skip
        estimates.append(sum(found) - 2 * np.mean([(a[i] @ b[j] / 3 + 1) ** 3 for i in rows[0] for j in rows[1]]))
    given = kernel_distance(a, b, 10)
    assert given.mean == pytest.approx(np.mean(estimates), rel=1e-10)
    assert given.part == (10 if max(parts) > 1 else 0)


def test_parts_have_no_bias():
    """Of N(0, 1) and N(1, 1), of 8 against 60: 22 on average, within the error."""
    rng = np.random.default_rng(4)
    means = [kernel_distance(rng.normal(size=(8, 1)), rng.normal(1, 1, (60, 1)), 10).mean for _ in range(2000)]
    assert abs(np.mean(means) - 22) < 4 * np.std(means) / np.sqrt(2000)


def test_the_cost_grows_with_the_larger_sample_and_not_with_its_square(monkeypatch):
    counted: list[int] = []
    total = kernel._total
    monkeypatch.setattr(kernel, "_total", lambda x, y: (counted.append(len(x) * len(y)), total(x, y))[1])
    for n, m in ((5, 1000), (1000, 50), (200, 200)):
        counted.clear()
        kernel_distance(*two_samples(n, m, 1), subset_size=10)
        assert sum(counted) <= 4 * 10 * (n + m)


def test_float32_features_are_computed_in_float64():
    a, b = (x.astype(np.float32) for x in two_samples(100, 100, 8))
    assert kernel_distance(a, b) == kernel_distance(a.astype(np.float64), b.astype(np.float64))


@pytest.mark.parametrize(
    ("a", "b", "subset_size", "message"),
    [
        (np.zeros((1, 3)), np.zeros((5, 3)), 1000, "a must be .* n >= 2"),
        (np.zeros((5, 3)), np.zeros(5), 1000, "b must be .* n >= 2"),
        (np.zeros((5, 3)), np.zeros((5, 4)), 1000, "same network"),
        (np.full((5, 3), np.nan), np.zeros((5, 3)), 1000, "a holds values that are not finite"),
        (np.zeros((5, 3)), np.zeros((5, 3)), 1, "subset_size must be >= 2, got 1"),
    ],
)
def test_refuses(a, b, subset_size, message):
    with pytest.raises(ValueError, match=message):
        kernel_distance(a, b, subset_size)
