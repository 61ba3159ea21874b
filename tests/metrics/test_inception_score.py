import warnings

import numpy as np
import pytest
from scipy.special import softmax
from scipy.stats import entropy

from gan_jax.metrics.inception_score import inception_score


@pytest.mark.parametrize("classes", [1, 2, 10])
def test_certain_and_even_over_the_classes_is_as_many_as_they_are(classes):
    logits = 1000 * np.tile(np.eye(classes), (30, 1))
    assert inception_score(logits, splits=1) == (pytest.approx(classes, rel=1e-12), None, 1)


@pytest.mark.parametrize("logits", [np.zeros((50, 7)), np.tile(np.arange(7.0), (50, 1)), 1e4 * np.eye(7)[[3] * 50]])
def test_samples_of_one_class_distribution_score_1(logits):
    assert inception_score(logits) == (pytest.approx(1, rel=1e-12), pytest.approx(0, abs=1e-12), 10)


def test_two_classes_that_are_right_with_probability_p():
    """Even over both, KL = ln 2 - H(p)."""
    p = 0.8
    logits = np.log(np.tile([[p, 1 - p], [1 - p, p]], (20, 1)))
    expected = np.exp(np.log(2) + p * np.log(p) + (1 - p) * np.log(1 - p))
    assert inception_score(logits, splits=1).mean == pytest.approx(expected, rel=1e-12)


def by_entropy(logits):
    p = softmax(logits, axis=1)
    return np.exp(entropy(p.mean(axis=0)) - entropy(p, axis=1).mean())


def test_agrees_with_scipys_entropy():
    logits = 3 * np.random.default_rng(0).normal(size=(203, 12))
    assert inception_score(logits, splits=1).mean == pytest.approx(by_entropy(logits), rel=1e-10)


def test_agrees_with_torch_fidelity():
    torch = pytest.importorskip("torch")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        peer = pytest.importorskip("torch_fidelity.metric_isc")
    logits = 3 * np.random.default_rng(1).normal(size=(203, 12)).astype(np.float32)
    expected = peer.isc_features_to_metric(torch.from_numpy(logits), splits=1, shuffle=False)["inception_score_mean"]
    assert inception_score(logits, splits=1).mean == pytest.approx(expected, rel=1e-10)


def test_every_sample_is_in_one_split():
    """7 samples in 3 splits: all of class 0 but one, so that the score of its split alone is above 1."""
    logits = 1000 * np.eye(2)[[0] * 6 + [1]]
    one_of_two, one_of_three = (np.exp(entropy([1 / n, 1 - 1 / n])) for n in (2, 3))
    found = {round(inception_score(logits, splits=3, seed=seed).mean, 10) for seed in range(50)}
    assert found == {round((2 + one_of_two) / 3, 10), round((2 + one_of_three) / 3, 10)}
    sd = inception_score(logits, splits=3).sd
    assert sd == pytest.approx(np.std([1, 1, one_of_two], ddof=1)) or sd == pytest.approx(
        np.std([1, 1, one_of_three], ddof=1)
    )


def test_samples_in_the_order_of_their_classes_score_as_others():
    """Splits of the order itself would hold one class each, and score 1."""
    logits = 1000 * np.repeat(np.eye(10), 100, axis=0)
    found = inception_score(logits)
    assert 9 < found.mean < 10
    assert 0 < found.sd < 0.3


def test_the_splits_depend_on_the_seed_alone():
    logits = np.random.default_rng(2).normal(size=(100, 5))
    assert inception_score(logits, seed=1) == inception_score(logits, seed=1)
    assert inception_score(logits, seed=1) != inception_score(logits, seed=2)


def test_large_logits_lose_no_digits():
    logits = 3 * np.random.default_rng(3).normal(size=(60, 4))
    shifts = 2.0 ** np.arange(60)[:, None] % 1e6  # softmax does not change by them, but exp would overflow
    assert inception_score(logits + shifts, splits=1).mean == pytest.approx(by_entropy(logits), rel=1e-8)


@pytest.mark.parametrize(
    ("logits", "splits", "message"),
    [
        (np.zeros(5), 1, "logits must be"),
        (np.zeros((0, 5)), 1, "logits must be"),
        (np.full((20, 5), np.nan), 1, "not finite"),
        (np.zeros((5, 3)), 10, r"splits must be in \[1, 5\], the number of samples, got 10"),
        (np.zeros((5, 3)), 0, "got 0"),
    ],
)
def test_refuses(logits, splits, message):
    with pytest.raises(ValueError, match=message):
        inception_score(logits, splits)
