import numpy as np
import pytest

from gan_jax.metrics.path_length import path_length


def test_linear_generator_along_straight_lines():
    """G(z) = A z changes at the constant speed A (z2 - z1), so epsilon need not be small."""
    rng = np.random.default_rng(0)
    matrix, start, end, t = rng.normal(size=(5, 3)), *rng.normal(size=(2, 400, 3)), rng.uniform(size=(400, 1))
    a, b = ((start + at * (end - start)) @ matrix.T for at in (t, t + 0.1))
    speeds = np.linalg.norm((end - start) @ matrix.T, axis=1) ** 2
    found = path_length(a, b, 0.1, trim=0)
    assert found["path_length"] == pytest.approx(speeds.mean(), rel=1e-9)
    assert found["path_length_sd"] == pytest.approx(speeds.std(), rel=1e-9)


@pytest.mark.parametrize(("epsilon", "rel"), [(0.1, 1e-2), (1e-4, 1e-6)])
def test_identity_along_great_circles(epsilon, rel):
    """A point on a circle of radius r that runs through an angle in unit time has the squared speed angle^2 r^2."""
    rng = np.random.default_rng(1)
    angle, radius, t = rng.uniform(0, np.pi, 500), 3.0, rng.uniform(size=500)
    a, b = (radius * np.stack([np.cos(at * angle), np.sin(at * angle)], axis=1) for at in (t, t + epsilon))
    assert path_length(a, b, epsilon, trim=0)["path_length"] == pytest.approx(np.mean(angle**2) * radius**2, rel=rel)


def test_trimming_by_hand():
    """101 squared lengths 0 to 100: their 1st and 99th percentiles are 1 and 99, which stay."""
    b = np.sqrt(np.random.default_rng(2).permutation(np.arange(101.0)))[:, None]
    found = path_length(np.zeros((101, 1)), b, 1.0)
    assert found["path_length"] == pytest.approx(50)
    assert found["path_length_sd"] == pytest.approx(np.arange(1, 100).std())


@pytest.mark.parametrize(("trim", "kept"), [(0.0, [5, 7, 8, 9, 97]), (0.2, [5, 7, 8, 9, 97]), (0.3, [7, 8, 9])])
def test_a_percentile_between_two_lengths_is_the_outer_one(trim, kept):
    """Of 5 lengths, the percentiles at 0.2 and 0.8 lie at places 0.8 and 3.2 from 0 on, those at 0.3 at 1.2 and 2.8."""
    b = np.sqrt([[97.0], [5.0], [8.0], [9.0], [7.0]])
    assert path_length(np.zeros((5, 1)), b, 1.0, trim)["path_length"] == pytest.approx(np.mean(kept))


def test_float32_features_are_computed_in_float64():
    a = np.full((4, 2), 1000, np.float32)
    b = np.nextafter(a, np.float32(2000))
    step = float(b[0, 0]) - 1000.0
    assert path_length(a, b, 1e-4)["path_length"] == pytest.approx(2 * (step / 1e-4) ** 2, rel=1e-12)


@pytest.mark.parametrize(
    ("a", "b", "epsilon", "trim", "message"),
    [
        (np.zeros((3, 2)), np.zeros((4, 2)), 1e-4, 0.01, "same paths"),
        (np.zeros((3, 2)), np.zeros((3, 1)), 1e-4, 0.01, "same paths"),
        (np.zeros(3), np.zeros(3), 1e-4, 0.01, "a must be"),
        (np.zeros((3, 2)), np.full((3, 2), np.nan), 1e-4, 0.01, "not finite"),
        (np.zeros((3, 2)), np.zeros((3, 2)), 0.0, 0.01, "epsilon"),
        (np.zeros((3, 2)), np.zeros((3, 2)), np.nan, 0.01, "epsilon"),
        (np.zeros((3, 2)), np.zeros((3, 2)), 1e-4, 0.5, "trim"),
        (np.zeros((3, 2)), np.zeros((3, 2)), 1e-4, -0.1, "trim"),
    ],
)
def test_refuses(a, b, epsilon, trim, message):
    with pytest.raises(ValueError, match=message):
        path_length(a, b, epsilon, trim)
