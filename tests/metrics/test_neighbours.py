import warnings

import numpy as np
import pytest
from scipy.spatial import KDTree
from scipy.spatial.distance import cdist
from sklearn.neighbors import NearestNeighbors

from gan_jax.metrics import neighbours
from gan_jax.metrics.neighbours import memorised_share, nearest, precision_recall_density_coverage


def two_samples(n, m, d, seed=0):
    """Of two laws that overlap, of few dimensions that are mixed into d: else all distances would be about the same."""
    rng = np.random.default_rng(seed)
    mix = rng.normal(size=(min(d, 5), d))
    return rng.normal(size=(n, len(mix))) @ mix, (0.8 * rng.normal(size=(m, len(mix))) + 0.3) @ mix


def by_cdist(real, fake, k):
    """From whole matrices of distances, which hold no round-off between copies."""

    def radii(x):
        distances = cdist(x, x)
        np.fill_diagonal(distances, np.inf)
        return np.sort(distances, axis=1)[:, k - 1]

    between = cdist(real, fake)
    in_real, in_fake = between < radii(real)[:, None], between < radii(fake)[None]
    return {
        "precision": in_real.any(axis=0).mean(),
        "recall": in_fake.any(axis=1).mean(),
        "density": in_real.sum(axis=0).mean() / k,
        "coverage": in_real.any(axis=1).mean(),
    }


# n, m, d, k: one more sample than k; fewer than candidates; more than a chunk; as wide as Inception's.
SIZES = [(3, 3, 2, 2), (9, 12, 3, 5), (300, 600, 2, 1), (600, 300, 10, 3), (300, 270, 2048, 5)]


@pytest.mark.parametrize(("n", "m", "d", "k"), SIZES)
def test_agrees_with_whole_matrices(n, m, d, k):
    real, fake = two_samples(n, m, d)
    expected = by_cdist(real, fake, k)
    assert precision_recall_density_coverage(real, fake, k) == pytest.approx(expected, rel=1e-12)
    assert n < 10 or 0 < expected["coverage"] < 1


@pytest.mark.parametrize(("n", "m", "d", "k"), SIZES[1:])  # prdc needs more than k + 1 samples
def test_agrees_with_prdc(n, m, d, k, capsys):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        peer = pytest.importorskip("prdc.prdc")
    real, fake = two_samples(n, m, d, seed=1)
    expected = peer.compute_prdc(real, fake, nearest_k=k)
    capsys.readouterr()
    assert precision_recall_density_coverage(real, fake, k) == pytest.approx(expected, rel=1e-12)


def samples_with_copies(d, offset):
    real, fake = two_samples(200, 300, d)
    real[50:100] = real[:50]  # pairs
    real[100:110] = real[0]  # more copies than neighbours: balls of radius 0
    fake[:120] = real[80:]  # copies of reals, on the edges of each other's balls
    fake[120:170] = fake[0]
    return real + offset, fake + offset


@pytest.mark.parametrize("offset", [0, 1000])
@pytest.mark.parametrize("d", [2, 30, 500])
def test_copies_are_at_no_distance_whatever_the_round_off(d, offset):
    """Products of matrices give copies distances of about 1e-7 of their norms: enough for a ball of radius 0."""
    real, fake = samples_with_copies(d, offset)
    for k in (1, 2, 5):
        expected = by_cdist(real, fake, k)
        assert precision_recall_density_coverage(real, fake, k) == pytest.approx(expected, rel=1e-12)


def test_ties_are_not_nearer_whatever_the_round_off():
    """On a lattice many distances are as large as a radius."""
    rng = np.random.default_rng(3)
    real, fake = rng.integers(0, 7, size=(101, 6)), rng.integers(0, 7, size=(150, 6))
    for k in (1, 5):
        expected = by_cdist(real, fake, k)
        assert precision_recall_density_coverage(real, fake, k) == pytest.approx(expected, rel=1e-12)


def test_copies_of_all_reals():
    """Each fake lies in its own ball and those of the reals that it is nearer to than their k-th: k in the mean."""
    real = np.random.default_rng(4).normal(size=(300, 100))
    expected = {"precision": 1, "recall": 1, "density": 1, "coverage": 1}
    assert precision_recall_density_coverage(real, real[::-1]) == pytest.approx(expected, rel=1e-12)


def test_far_fakes_and_a_collapsed_generator():
    real, fake = two_samples(300, 300, 5)
    assert set(precision_recall_density_coverage(real, fake + 100).values()) == {0}
    collapsed = precision_recall_density_coverage(real, np.tile(real.mean(axis=0), (300, 1)))
    assert collapsed["precision"] == 1
    assert collapsed["recall"] == 0
    assert collapsed["coverage"] == pytest.approx(collapsed["density"] * 5 / 300)


def test_one_distribution_has_the_expected_coverage():
    """A real has a fake in its ball unless its k nearest of the 2n - 1 others are all real."""
    real, fake = np.random.default_rng(5).normal(size=(2, 2000, 3))
    found = precision_recall_density_coverage(real, fake, k=3)
    expected = 1 - np.prod([(1999 - i) / (3999 - i) for i in range(3)])
    assert found["coverage"] == pytest.approx(expected, abs=0.03)
    assert found["density"] == pytest.approx(1, abs=0.05)


@pytest.mark.parametrize("chunk", [1, 7, 10_000])
def test_the_size_of_chunks_changes_nothing(monkeypatch, chunk):
    real, fake = samples_with_copies(30, offset=1)
    expected = precision_recall_density_coverage(real, fake), memorised_share(fake, real)
    distances, indices = nearest(fake[170:], real[:50])
    monkeypatch.setattr(neighbours, "_CHUNK", chunk)
    assert (precision_recall_density_coverage(real, fake), memorised_share(fake, real)) == expected
    found_distances, found_indices = nearest(fake[170:], real[:50])
    np.testing.assert_array_equal(found_distances, distances)
    np.testing.assert_array_equal(found_indices, indices)


@pytest.mark.parametrize(("scale", "offset"), [(1, 0), (1e-6, 0), (1, 1e5)])
@pytest.mark.parametrize(("n", "m", "d"), [(700, 300, 2), (300, 700, 64), (1, 1, 1), (5, 1, 3)])
def test_nearest_agrees_with_scipy(n, m, d, scale, offset):
    """Two clusters: products of matrices alone would be wrong where they are small, or far from 0."""
    points, queries = (scale * x + np.arange(len(x))[:, None] % 2 + offset for x in two_samples(m, n, d))
    distances, indices = nearest(queries, points)
    expected, expected_indices = KDTree(points).query(queries)
    np.testing.assert_allclose(distances, expected, rtol=1e-8)
    np.testing.assert_array_equal(indices, expected_indices)


def test_nearest_other_agrees_with_scikit_learn():
    points, _ = two_samples(700, 1, 20)
    distances, indices = nearest(points, points, exclude_self=True)
    expected, expected_indices = NearestNeighbors(n_neighbors=1, algorithm="kd_tree").fit(points).kneighbors()
    np.testing.assert_allclose(distances, expected[:, 0], rtol=1e-10)
    np.testing.assert_array_equal(indices, expected_indices[:, 0])


def test_nearest_other_of_copies_is_the_copy():
    points = np.random.default_rng(6).normal(size=(300, 50))
    points[299] = points[10]
    distances, indices = nearest(points, points, exclude_self=True)
    assert (distances[10], distances[299]) == (0, 0)
    assert (indices[10], indices[299]) == (299, 10)
    assert np.count_nonzero(distances) == 298


def test_nearest_of_float32_is_exact_to_float64():
    points, queries = (x.astype(np.float32) for x in two_samples(100, 50, 16))
    distances, _ = nearest(queries, points)
    expected = cdist(queries.astype(np.float64), points.astype(np.float64)).min(axis=1)
    np.testing.assert_allclose(distances, expected, rtol=1e-12)


def test_copies_of_reals_are_memorised_and_far_fakes_are_not():
    real = np.random.default_rng(7).normal(size=(300, 200)).astype(np.float32)
    assert memorised_share(real[50:], real) == 1
    assert memorised_share(real + 100, real) == 0
    assert memorised_share(np.concatenate([real[:100], real + 100]), real) == 0.25


@pytest.mark.parametrize(("d", "expected"), [(1, 2 / 3), (2, 6 * np.pi / (8 * np.pi + 3 * np.sqrt(3))), (3, 16 / 27)])
def test_fakes_of_the_reals_law_are_memorised_as_often_as_neighbours_are_mutual(d, expected):
    """The unit ball's volume over that of two whose centres are 1 apart: which falls to 1/2 as d grows."""
    rng = np.random.default_rng(8)
    shares = [memorised_share(rng.uniform(size=(500, d)), rng.uniform(size=(500, d))) for _ in range(10)]
    assert np.mean(shares) == pytest.approx(expected, abs=0.03)


def test_fakes_of_the_reals_law_are_memorised_less_often_where_there_are_hubs():
    """As many points of one sample have a mutual nearest neighbour: far fewer than half for a Gaussian's 500."""
    rng = np.random.default_rng(9)
    shares, mutual = [], []
    for _ in range(10):
        shares.append(memorised_share(rng.normal(size=(500, 100)), rng.normal(size=(500, 100))))
        neighbour = NearestNeighbors(n_neighbors=1).fit(rng.normal(size=(501, 100))).kneighbors()[1][:, 0]
        mutual.append(np.mean(neighbour[neighbour] == np.arange(501)))
    assert np.mean(mutual) < 0.3
    assert np.mean(shares) == pytest.approx(np.mean(mutual), abs=0.03)


@pytest.mark.parametrize(
    ("function", "a", "b", "arguments", "message"),
    [
        (precision_recall_density_coverage, np.zeros((5, 3)), np.zeros((6, 3)), {}, "real must be .* n >= 6"),
        (precision_recall_density_coverage, np.zeros((6, 3)), np.zeros((5, 3)), {}, "fake must be .* n >= 6"),
        (precision_recall_density_coverage, np.zeros((6, 3)), np.zeros((6, 4)), {}, "same network"),
        (precision_recall_density_coverage, np.zeros((6, 3)), np.full((6, 3), np.inf), {}, "fake holds values"),
        (precision_recall_density_coverage, np.zeros((6, 3)), np.zeros((6, 3)), {"k": 0}, "k must be >= 1, got 0"),
        (memorised_share, np.zeros((5, 3)), np.zeros((1, 3)), {}, "n >= 2"),
        (memorised_share, np.zeros((5, 2)), np.zeros((5, 3)), {}, "same network"),
        (nearest, np.zeros((0, 3)), np.zeros((5, 3)), {}, "queries must be .* n >= 1"),
        (nearest, np.zeros((4, 3)), np.zeros((5, 3)), {"exclude_self": True}, "as many queries as points, got 4 and 5"),
        (nearest, np.zeros((1, 3)), np.zeros((1, 3)), {"exclude_self": True}, "n >= 2"),
        (nearest, np.zeros((4, 3)), np.full((5, 3), np.nan), {}, "points holds values"),
    ],
)
def test_refuses(function, a, b, arguments, message):
    with pytest.raises(ValueError, match=message):
        function(a, b, **arguments)
