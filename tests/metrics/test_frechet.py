import functools
import sys
import time
import tracemalloc
import warnings

import numpy as np
import pytest
from scipy.linalg import sqrtm

from gan_jax.metrics import checked
from gan_jax.metrics.frechet import frechet_between, frechet_distance, moments
from gan_jax.reports import progress


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


# Samples n and m, features d, and how many of these vary: fewer samples than features on either side, or on both.
SINGULAR = [(20, 30, 60, 60), (20, 90, 60, 60), (100, 10, 60, 60), (80, 100, 60, 7), (2, 2, 5, 5)]


@pytest.mark.parametrize(("n", "m", "d", "varying"), SINGULAR)
def test_agrees_with_scipys_sqrtm_where_covariances_are_singular(n, m, d, varying):
    """sqrtm is inexact on the singular S_a S_b, but not on the symmetric S_a, nor on S_a^(1/2) S_b S_a^(1/2)."""
    rng = np.random.default_rng(5)
    scale = np.exp(rng.normal(size=d)) * (np.arange(d) < varying)
    a, b = rng.normal(size=(n, d)) * scale, rng.normal(size=(m, d)) * scale + 0.1
    cov_a, cov_b = np.cov(a, rowvar=False), np.cov(b, rowvar=False)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # that they are singular
        root = np.real(sqrtm(cov_a))
        root_trace = np.trace(np.real(sqrtm(root @ cov_b @ root)))
    expected = np.sum((a.mean(0) - b.mean(0)) ** 2) + np.trace(cov_a + cov_b) - 2 * root_trace
    assert frechet_distance(a, b) == pytest.approx(expected, rel=1e-6)
    assert frechet_distance(b, a) == pytest.approx(frechet_distance(a, b), rel=1e-9)


@pytest.mark.parametrize(("n", "d"), [(100, 3), (20, 100), (2, 5), (200, 300), (1000, 300)])
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


def by_nuclear_norm(a, b):
    """tr((S_a S_b)^(1/2)) is the nuclear norm of X_a X_b^T / sqrt((n - 1)(m - 1)): no covariance, no root."""
    mean_a, mean_b = a.mean(axis=0, dtype=np.float64), b.mean(axis=0, dtype=np.float64)
    centred_a, centred_b = (a - mean_a) / np.sqrt(len(a) - 1), (b - mean_b) / np.sqrt(len(b) - 1)
    root_trace = np.linalg.norm(centred_a @ centred_b.T, ord="nuc")
    return np.sum((mean_a - mean_b) ** 2) + np.sum(centred_a**2) + np.sum(centred_b**2) - 2 * root_trace


def skewed(n, d, seed=0, dtype=np.float64):
    """Features as networks give them: not negative, of very different scales, some constant."""
    rng = np.random.default_rng(seed)
    scale = np.exp(np.random.default_rng(9).normal(size=d)) * (np.arange(d) % 5 > 0)
    return (rng.exponential(size=(n, d)) * scale + 1).astype(dtype)


# Samples n and m for 120 features: fewer, one fewer, as many, more, and far more of either.
SIZES = [(2, 2), (2, 400), (20, 30), (900, 20), (59, 400), (119, 119), (119, 200), (120, 120), (119, 300), (121, 150)]


@pytest.mark.parametrize("dtype", [np.float64, np.float32])
@pytest.mark.parametrize(("n", "m"), SIZES)
def test_is_that_of_the_nuclear_norm_for_any_numbers_of_samples(n, m, dtype):
    a, b = skewed(n, 120, 0, dtype), skewed(m, 120, 1, dtype) * 2
    expected = by_nuclear_norm(a, b)
    assert frechet_distance(a, b) == pytest.approx(expected, rel=1e-9)
    assert frechet_distance(b, a) == pytest.approx(expected, rel=1e-9)


@pytest.mark.parametrize("part", [1, 600, 3000, 10**6])
@pytest.mark.parametrize(("n", "m"), [(7, 7), (7, 500), (60, 100), (60, 119), (60, 121)])
def test_does_not_depend_on_the_parts_in_which_it_is_computed(n, m, part, monkeypatch):
    """Nor on how often the rows so far are replaced by a triangle."""
    monkeypatch.setattr(checked, "PART", part)
    a, b = skewed(n, 150), skewed(m, 150, 1)
    assert frechet_distance(a, b) == pytest.approx(by_nuclear_norm(a, b), rel=1e-12)


@pytest.mark.parametrize(("n", "m"), [(40, 40), (119, 120), (100, 300), (20, 1000), (160, 200)])
def test_is_that_of_the_moments_whichever_way_it_goes(n, m):
    a, b = skewed(n, 120), skewed(m, 120, 1)
    assert frechet_distance(a, b) == pytest.approx(frechet_between(moments([a]), moments([b])), rel=1e-9)


def test_few_samples_need_no_covariance():
    """That of 60,000 features would have 28 GB. Two samples each: one direction, of the known lengths 2 and 6."""
    across, along = np.zeros(60_000), np.zeros(60_000)
    across[:4], along[-9:] = 1, 2
    a, b = np.stack([across, -across]), np.stack([along, -along])
    # Orthogonal directions: tr S_a = 2 * 4, tr S_b = 2 * 36, and no root. The same direction: (sqrt 8 - sqrt 72)^2.
    assert frechet_distance(a, b) == pytest.approx(8 + 72, rel=1e-12)
    assert frechet_distance(a, a * 3 + 5) == pytest.approx((72**0.5 - 8**0.5) ** 2 + 60_000 * 25, rel=1e-12)
    many = np.tile(b, (5, 1))  # 5 times the same 2: tr S_b = 10 * 36 / 9
    assert frechet_distance(a, many) == pytest.approx(8 + 40, rel=1e-12)


def test_samples_that_occur_more_than_once():
    a, b = skewed(5, 80), skewed(30, 80, 1)
    twice = np.concatenate([a, a])
    assert frechet_distance(twice, b) == pytest.approx(by_nuclear_norm(twice, b), rel=1e-12)
    assert frechet_distance(np.tile(a[:1], (7, 1)), b) == pytest.approx(by_nuclear_norm(a[[0, 0]], b), rel=1e-12)


@pytest.mark.parametrize("mean", [1e4, 1e7])
def test_large_means_cost_no_digits(mean):
    """Deviations of few binary digits are exact beside the mean, and so known without it."""
    a, b = (np.round(skewed(n, 80) * 2**8) / 2**8 for n in (10, 30))
    assert frechet_distance(a + mean, b + mean) == pytest.approx(by_nuclear_norm(a, b), rel=1e-9)


def test_pixels_as_they_are_stored():
    a, b = (np.random.default_rng(n).integers(0, 256, (n, 192), np.uint8) for n in (10, 30))
    assert frechet_distance(a, b) == pytest.approx(by_nuclear_norm(a.astype(float), b.astype(float)), rel=1e-12)


def test_features_are_never_copied_whole(monkeypatch):
    """Neither in float64, which would be 12 MB, nor by the check of what is finite."""
    monkeypatch.setattr(checked, "PART", 10**4)
    few, many = skewed(10, 500, 0, np.float32), skewed(3000, 500, 1, np.float32)
    tracemalloc.start()
    try:
        frechet_distance(few, many)
        assert tracemalloc.get_traced_memory()[1] < 10**6
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize(("n", "words"), [(10, "singular values of 10 x 10"), (200, "eigenvalues of 20 x 20")])
def test_says_what_takes_long_and_nothing_where_it_is_quick(n, words, monkeypatch, capsys):
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True)
    a, b = skewed(n, 20), skewed(n, 20, 1)
    frechet_distance(a, b)
    assert capsys.readouterr().err == ""
    monkeypatch.setattr(progress, "DELAY", 0.05)
    for name in ("svd", "eigh"):
        slow = functools.partial(
            lambda f, *args, **kwargs: (time.sleep(0.5), f(*args, **kwargs))[1], getattr(np.linalg, name)
        )
        monkeypatch.setattr(np.linalg, name, slow)
    frechet_distance(a, b)
    shown = capsys.readouterr().err
    assert f"{words} [00:00]" in shown
    assert not shown.split("\r")[-1].strip()


def test_constant_features_leave_only_the_means():
    assert frechet_distance(np.zeros((4, 3)), np.ones((5, 3))) == pytest.approx(3)


def test_float32_features_are_computed_in_float64():
    a = np.random.default_rng(4).normal(1000, 1, size=(500, 4)).astype(np.float32)
    b = a[:250]
    assert frechet_distance(a, b) == pytest.approx(by_sqrtm(a.astype(float), b.astype(float)), rel=1e-6)


def two_moments():
    rng = np.random.default_rng(6)
    return [moments([rng.normal(size=(n, 32)) @ rng.normal(size=(32, 32)) + n / 99]) for n in (200, 99)]


def test_agrees_with_torch_fidelity():
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        peer = pytest.importorskip("torch_fidelity.metric_fid")
    a, b = two_moments()
    as_dicts = ({"mu": x.mean, "sigma": x.covariance} for x in (a, b))
    expected = peer.fid_statistics_to_metric(*as_dicts, False)["frechet_inception_distance"]
    assert frechet_between(a, b) == pytest.approx(expected, rel=1e-6)


def test_agrees_with_clean_fid():
    a, b = two_moments()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # its call of sqrtm is deprecated
        peer = pytest.importorskip("cleanfid.fid")
        try:
            expected = peer.frechet_distance(a.mean, a.covariance, b.mean, b.covariance)
        except (TypeError, ValueError) as error:
            pytest.skip(f"clean-fid can't work with this SciPy: {error}")
    assert frechet_between(a, b) == pytest.approx(expected, rel=1e-6)


CHUNKS = [[1000], [500, 500], [300, 300, 300, 100], [1] * 7 + [993], [999, 1]]


@pytest.mark.parametrize("sizes", CHUNKS)
@pytest.mark.parametrize("mean", [0, 1e4])
def test_moments_do_not_depend_on_the_chunks(sizes, mean):
    """Against NumPy's of all at once, from values without the large mean, which is exact in binary with them."""
    deviations = np.round(np.random.default_rng(7).normal(size=(1000, 5)) * 2**20) / 2**20
    found = moments(np.split(deviations + mean, np.cumsum(sizes)[:-1]))
    assert found.count == 1000
    np.testing.assert_allclose(found.mean, deviations.mean(axis=0) + mean, rtol=1e-10)
    covariance = np.cov(deviations, rowvar=False)
    np.testing.assert_allclose(found.covariance, covariance, rtol=1e-10, atol=1e-10 * covariance.max())


def test_moments_of_a_generator_of_float32_chunks_whose_means_differ():
    chunks = [np.random.default_rng(n).normal(n, 1, size=(n, 3)).astype(np.float32) for n in (64, 64, 17)]
    found, every = moments(chunk for chunk in chunks), np.concatenate(chunks).astype(np.float64)
    assert found.count == 145
    np.testing.assert_allclose(found.mean, every.mean(axis=0), rtol=1e-10)
    np.testing.assert_allclose(found.covariance, np.cov(every, rowvar=False), rtol=1e-10)


@pytest.mark.parametrize(
    ("chunks", "message"),
    [
        ([], "got 0"),
        ([np.zeros((1, 3))], "got 1"),
        ([np.zeros((4, 3)), np.zeros((4, 2))], "3 and 2 features"),
        ([np.zeros((4, 3)), np.full((1, 3), np.nan)], "not finite"),
        ([np.zeros((4, 3)), np.zeros(3)], "each chunk must be"),
    ],
)
def test_moments_refuse(chunks, message):
    with pytest.raises(ValueError, match=message):
        moments(chunks)


def test_moments_of_two_networks_or_not_finite_are_refused():
    three, four = moments([np.eye(3)]), moments([np.eye(4)])
    with pytest.raises(ValueError, match="means have shapes"):
        frechet_between(three, four)
    with pytest.raises(ValueError, match="covariances have shapes"):
        frechet_between(three, three._replace(covariance=np.eye(4)))
    with pytest.raises(ValueError, match="covariances hold values that are not finite"):
        frechet_between(three, three._replace(covariance=np.full((3, 3), np.inf)))


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
