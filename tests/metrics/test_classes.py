import itertools

import numpy as np
import pytest
from scipy.linalg import sqrtm
from sklearn.metrics import accuracy_score, recall_score

from gan_jax.metrics.classes import assignment_accuracy, class_accuracy, class_shares, intra_class_frechet


def test_shares_by_hand():
    assert class_shares([0, 2, 2, 1, 2, 2, 0, 2], 4) == [0.25, 0.125, 0.625, 0.0]
    assert class_shares(np.array([1], np.uint8), 2) == [0.0, 1.0]


def test_the_order_does_not_matter_and_they_add_up_to_1():
    classes = np.repeat(np.arange(7, dtype=np.int32), [1, 2, 3, 4, 5, 6, 0])
    shares = class_shares(np.random.default_rng(0).permutation(classes), 7)
    np.testing.assert_allclose(shares, np.array([1, 2, 3, 4, 5, 6, 0]) / 21, rtol=1e-12)
    assert sum(shares) == pytest.approx(1)


@pytest.mark.parametrize(
    ("classes", "message"),
    [
        ([], "n >= 1"),
        ([0.0, 1.0], "integers"),
        ([[0, 1]], r"\[n\]"),
        ([0, 3], r"in \[0, 3\), got 0 to 3"),
        ([-1, 2], r"in \[0, 3\), got -1 to 2"),
    ],
)
def test_refuses(classes, message):
    with pytest.raises(ValueError, match=message):
        class_shares(classes, 3)


# ----------------------------------------------------------------------------------- the class that was asked for


def test_class_accuracy_by_hand():
    wanted, found = [0, 0, 0, 0, 1, 1, 3, 3], [0, 0, 0, 1, 1, 0, 2, 2]
    assert class_accuracy(found, wanted, 4) == (0.5, [0.75, 0.5, None, 0.0])  # 2 was found, but never asked for
    assert class_accuracy(wanted, found, 4) == (0.5, [0.75, 0.5, 0.0, None])


@pytest.mark.parametrize("seed", range(5))
def test_class_accuracy_agrees_with_scikit_learn(seed):
    rng = np.random.default_rng(seed)
    wanted = rng.permutation(np.repeat(np.arange(7), rng.integers(1, 40, 7)))
    found = np.where(rng.random(len(wanted)) < 0.6, wanted, rng.integers(7, size=len(wanted)))
    accuracy, of_class = class_accuracy(found.astype(np.uint8), wanted.astype(np.int32), 7)
    assert accuracy == pytest.approx(accuracy_score(wanted, found), rel=1e-12)
    np.testing.assert_allclose(of_class, recall_score(wanted, found, average=None), rtol=1e-12)


# ------------------------------------------------------------------------------------ codes that name themselves


def best_of_all(classes, codes, num_classes, num_codes):
    """The best of every one-to-one assignment; codes beyond the classes go to none."""
    values = [*range(num_classes), *[-1] * max(0, num_codes - num_classes)]
    assignments = itertools.permutations(values, num_codes)
    return max(np.mean(np.array(assignment)[codes] == classes) for assignment in assignments)


@pytest.mark.parametrize(("num_classes", "num_codes"), [(1, 1), (4, 4), (6, 3), (3, 6), (5, 5), (1, 4), (4, 1)])
@pytest.mark.parametrize("seed", range(4))
def test_the_assignment_is_the_best_of_all(num_classes, num_codes, seed):
    rng = np.random.default_rng(seed)
    codes = rng.integers(num_codes, size=40)
    meant = rng.permutation(max(num_classes, num_codes))[codes] % num_classes
    classes = np.where(rng.random(40) < 0.5, meant, rng.integers(num_classes, size=40))
    accuracy, assigned = assignment_accuracy(classes, codes, num_classes, num_codes)
    assert accuracy == pytest.approx(best_of_all(classes, codes, num_classes, num_codes), rel=1e-12)
    named = [k for k in assigned if k is not None]
    assert len(set(named)) == len(named) == min(num_classes, num_codes)  # one to one
    assert accuracy == pytest.approx(np.mean([assigned[c] == k for c, k in zip(codes, classes, strict=True)]))


def test_the_best_class_of_each_code_is_not_always_the_best_assignment():
    codes = np.repeat([0, 0, 1, 1], [5, 4, 6, 0])
    classes = np.repeat([0, 1, 0], [5, 4, 6])  # both codes are mostly 0: code 1 has it, and code 0 the four of class 1
    assert assignment_accuracy(classes, codes, 2, 2) == (10 / 15, [1, 0])


def test_renamed_codes_have_the_same_accuracy_and_a_renamed_assignment():
    rng = np.random.default_rng(0)
    codes, renamed = rng.integers(10, size=500), rng.permutation(10)
    classes = np.where(rng.random(500) < 0.9, (codes + 3) % 10, rng.integers(10, size=500))
    accuracy, assigned = assignment_accuracy(classes, codes, 10, 10)
    other, other_assigned = assignment_accuracy(classes, renamed[codes], 10, 10)
    assert 0.85 < accuracy == other
    assert assigned == [(code + 3) % 10 for code in range(10)] == [other_assigned[code] for code in renamed]


def test_a_code_that_says_nothing_has_the_share_of_chance():
    classes, codes = np.divmod(np.arange(1000), 10)
    assert assignment_accuracy(classes % 10, codes, 10, 10)[0] == pytest.approx(0.1)


# ------------------------------------------------------------------------------------------- within each class


def by_sqrtm(a, b):
    cov_a, cov_b = np.cov(a, rowvar=False), np.cov(b, rowvar=False)
    return np.sum((a.mean(0) - b.mean(0)) ** 2) + np.trace(cov_a + cov_b - 2 * np.real(sqrtm(cov_a @ cov_b)))


def features_of(counts, rng, d=5):
    """A Gaussian of its own for each class, one after another."""
    return np.concatenate([rng.normal(k, 1, (n, d)) @ rng.normal(size=(d, d)) for k, n in enumerate(counts)])


def test_agrees_with_scipys_sqrtm_in_each_class_whatever_the_order():
    rng = np.random.default_rng(0)
    counts = (30, 0, 50, 20), (25, 0, 12, 90)
    fakes, reals = (features_of(n, rng) for n in counts)
    labels = [np.repeat(np.arange(4, dtype=np.int32), n) for n in counts]
    parts = [np.split(x, np.cumsum(n)[:-1]) for x, n in zip((fakes, reals), counts, strict=True)]
    expected = [by_sqrtm(parts[0][k], parts[1][k]) for k in (0, 2, 3)]
    orders = [rng.permutation(len(x)) for x in (fakes, reals)]
    shuffled = [x[order] for x, order in zip((fakes, reals, *labels), orders * 2, strict=True)]
    for given in ((fakes, reals, *labels), shuffled):
        mean, of_class = intra_class_frechet(*given)
        assert of_class[1] is None
        np.testing.assert_allclose([of_class[k] for k in (0, 2, 3)], expected, rtol=1e-8)
        assert mean == pytest.approx(np.mean(expected), rel=1e-8)


def test_classes_in_each_others_place_are_seen():
    """Two classes of 0 and 6 +- 1: exchanged, each is 6 from itself, and together they are as they were."""
    reals, labels = np.array([[-1.0], [1.0], [5.0], [7.0]]), np.array([0, 0, 1, 1])
    mean, of_class = intra_class_frechet(reals, reals, labels, labels)
    assert (mean, of_class) == (pytest.approx(0, abs=1e-9), pytest.approx([0, 0], abs=1e-9))
    mean, of_class = intra_class_frechet(reals, reals, 1 - labels, labels)
    assert (mean, of_class) == (pytest.approx(36), pytest.approx([36, 36]))


# ------------------------------------------------------------------------------------------------ wrong input


@pytest.mark.parametrize(
    ("classes", "others", "message"),
    [
        ([], [], "NAME must be integers .* n >= 1"),
        ([0, 1], [0, 1, 1], "of the same samples, got 2 and 3 of them"),
        ([0, 3], [0, 1], r"classes must be in \[0, 3\), got 0 to 3"),
        ([0, 1], [0, -1], r"NAME must be in \[0, 3\), got -1 to 0"),
        ([0, 1], [0.0, 1.0], "NAME must be integers"),
        ([0.0, 1.0], [0, 1], "classes must be integers"),
        ([0, 1], [[0, 1]], r"NAME must be integers \[n\]"),
    ],
)
def test_accuracies_refuse(classes, others, message):
    with pytest.raises(ValueError, match=message.replace("NAME", "wanted")):
        class_accuracy(classes, others, 3)
    with pytest.raises(ValueError, match=message.replace("NAME", "codes")):
        assignment_accuracy(classes, others, 3, 3)


def test_an_assignment_has_a_range_for_codes_and_one_for_classes():
    assert assignment_accuracy([0, 1], [3, 2], 2, 4)[0] == 1
    with pytest.raises(ValueError, match=r"codes must be in \[0, 2\), got 2 to 3"):
        assignment_accuracy([0, 1], [3, 2], 4, 2)


X = np.arange(8.0).reshape(4, 2)
INTRA = [
    (X, [0, 0, 1, 1], [0, 0, 0, 0], "class 1 has 2 fake and 0 real samples"),
    (X, [0, 0, 0, 0], [0, 0, 2, 2], "class 2 has 0 fake and 2 real samples"),
    (X, [0, 0, 1, 1], [1, 1, 1, 0], "class 0 has 2 fake and 1 real samples: 2 or more of either are needed"),
    (X, [0, 0, 1], [0, 0, 1, 1], "fake_classes must be one for each of 4 features, got 3"),
    (X, [0, 0, 1, 1], [0, 0, 1, 1, 1], "real_classes must be one for each of 4 features, got 5"),
    (X, [0, 0, -1, -1], [0, 0, 1, 1], r"fake_classes must be in \[0, inf\), got -1 to 0"),
    (X, [0, 0, 1, 1], [0.0, 0.0, 1.0, 1.0], "real_classes must be integers"),
    (X[:, :1], [0, 0, 1, 1], [0, 0, 1, 1], "same network"),
    (X * np.nan, [0, 0, 1, 1], [0, 0, 1, 1], "fake_features holds values that are not finite"),
]


@pytest.mark.parametrize(("fakes", "fake_classes", "real_classes", "message"), INTRA)
def test_distances_within_classes_refuse(fakes, fake_classes, real_classes, message):
    with pytest.raises(ValueError, match=message) as refused:
        intra_class_frechet(fakes, X, fake_classes, real_classes)
    assert "\n" not in str(refused.value)
