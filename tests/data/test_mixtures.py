import jax
import numpy as np
import pytest
from scipy import stats
from sklearn.datasets import make_swiss_roll

from gan_jax.data import mixtures

N = 20000
COMPONENTS = {"ring": 8, "grid": 25, "swiss_roll": 0, "lines": 2}


def points_of(name):
    points, component = mixtures.MIXTURES[name][0](jax.random.key(0), N)
    return np.asarray(points, np.float64), np.asarray(component)


@pytest.mark.slow
@pytest.mark.parametrize("name", COMPONENTS)
def test_shapes_types_and_components(name):
    draw, components = mixtures.MIXTURES[name]
    points, component = draw(jax.random.key(0), N)
    assert (points.shape, points.dtype, component.shape, component.dtype) == ((N, 2), "float32", (N,), "int32")
    assert components == COMPONENTS[name]
    shares = np.bincount(component, minlength=max(components, 1)) / N
    np.testing.assert_allclose(shares, 1 / max(components, 1), atol=4 * np.sqrt(0.25 / N))


@pytest.mark.parametrize(("name", "sigma"), [("ring", 0.01), ("grid", 0.05)])
def test_gaussians_lie_about_the_means_of_their_component(name, sigma):
    points, component = points_of(name)
    modes = mixtures.MODES[name]
    assert modes.sigma == sigma
    noise = ((points - modes.means[component]) / sigma).ravel()
    assert stats.kstest(noise, "norm").pvalue > 1e-4


def test_the_means_are_those_of_the_paper():
    np.testing.assert_allclose(np.linalg.norm(mixtures.MODES["ring"].means, axis=1), 1)
    turned = mixtures.MODES["ring"].means @ np.array([[1, 1], [-1, 1]]) / np.sqrt(2)  # by 45 degrees: the same eight
    assert {tuple(m) for m in np.round(turned, 6) + 0.0} == {
        tuple(m) for m in np.round(mixtures.MODES["ring"].means, 6) + 0.0
    }
    assert {tuple(m) for m in mixtures.MODES["grid"].means} == {
        (x, y) for x in (-4, -2, 0, 2, 4) for y in (-4, -2, 0, 2, 4)
    }


def test_swiss_roll_is_that_of_scikit_learn():
    points, _ = points_of("swiss_roll")
    expected = make_swiss_roll(N, noise=0.25, random_state=0)[0][:, [0, 2]] / 7.5
    for projection in ([1, 0], [0, 1], [1, 1], [1, -2]):
        assert stats.ks_2samp(points @ projection, expected @ projection).pvalue > 1e-4


def test_lines_are_two_lines():
    points, component = points_of("lines")
    np.testing.assert_array_equal(points[:, 0], np.array([-1, 1])[component])
    assert stats.kstest(points[:, 1], "uniform", args=(-1, 2)).pvalue > 1e-4


@pytest.mark.slow
@pytest.mark.parametrize("name", COMPONENTS)
def test_draw_is_a_function_of_key_and_step(name):
    draw = jax.jit(lambda key, step: mixtures.draw(name, {}, key, step, 3, 16))
    key = jax.random.key(0)
    batch = draw(key, 4)
    assert (batch.image.shape, batch.label.shape) == ((3, 16, 2), (3, 16))
    np.testing.assert_array_equal(draw(key, 4).image, batch.image)
    assert not np.array_equal(draw(key, 5).image, batch.image)
    assert not np.array_equal(draw(jax.random.key(1), 4).image, batch.image)
    assert not np.array_equal(batch.image[0], batch.image[1])  # trap: the same minibatch for every critic step
