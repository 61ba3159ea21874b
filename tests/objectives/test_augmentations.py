import functools
import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import stats

from gan_jax.objectives import augmentations

KEY = jax.random.key(0)
DIFF_AUGMENT = ["color", "translation", "cutout", "flip"]
NAMES = [*DIFF_AUGMENT, "blit", "geom", "bg", "bgc", "ada_color"]  # test_ada.py has more on the others
ALL = ",".join([*DIFF_AUGMENT, "bgc"])
LIKELY = 1e-3  # the p-value from which on a draw of these fixed seeds is believed


def normal(*shape, seed=0):
    return np.random.default_rng(seed).normal(size=shape).astype(np.float32)


def numbered(b, h, w):
    """Images that tell at each pixel its sample (thousands) and where it came from (the rest); exact in float32."""
    return (1 + 1000 * np.arange(b)[:, None] + np.arange(h * w)).reshape(b, h, w, 1).astype(np.float32)


augment = jax.jit(augmentations.augment, static_argnums=2)


def augmented(policy, images, key=KEY):
    return np.asarray(augment(images, key, policy))


def assert_uniform(draws, values):
    """Every one of the values is drawn, no other is, and their counts are as likely as not (chi-squared)."""
    counts = dict.fromkeys(values, 0)
    for draw in draws:
        counts[draw] += 1
    assert len(counts) == 1 or stats.chisquare(list(counts.values())).pvalue > LIKELY


def test_names_are_those_tested_here():
    assert augmentations.names() == NAMES


# Color: brightness moves the mean of a sample, and nothing else does; contrast scales what is gray around that mean,
# saturation and contrast what differs from gray. So the draws can be read from the result.


def parts(images):
    """Mean of each sample, its gray part around it, and its colours around the gray; float64."""
    images = images.astype(float)
    mean, gray = images.mean((1, 2, 3), keepdims=True), images.mean(3, keepdims=True)
    return mean, gray - mean, images - gray


def ratio(after, before):
    """The number of each sample by which `before` became `after`, checked at every pixel."""
    ratios = (after * before).sum((1, 2, 3), keepdims=True) / (before**2).sum((1, 2, 3), keepdims=True)
    np.testing.assert_allclose(after, ratios * before, atol=2e-5)
    return ratios.ravel()


def color_draws(images):
    (mean, gray, colours), (new_mean, new_gray, new_colours) = parts(images), parts(augmented("color", images))
    contrast = ratio(new_gray, gray)
    return (new_mean - mean).ravel(), ratio(new_colours, colours) / contrast, contrast


def test_color_draws_of_the_paper():
    draws = color_draws(0.5 * normal(4000, 3, 4, 3))
    for draw, low in zip(draws, (-0.5, 0, 0.5), strict=True):
        assert stats.kstest(draw, stats.uniform(low, {0: 2}.get(low, 1)).cdf).pvalue > LIKELY
    correlations = np.corrcoef(draws)[np.triu_indices(3, 1)]
    assert abs(correlations).max() < 4 / np.sqrt(4000)


def test_color_of_gray_images_is_brightness_and_contrast():
    gray = normal(50, 6, 6, 1)
    (mean, shade, _), (new_mean, new_shade, _) = parts(gray), parts(augmented("color", gray))
    assert np.ptp(ratio(new_shade, shade)) > 0.5
    assert np.ptp(new_mean - mean) > 0.5


def test_color_leaves_a_single_shade_a_single_shade():
    image = np.full((5, 4, 4, 3), 0.25, np.float32)
    after = augmented("color", image)
    np.testing.assert_allclose(after, np.broadcast_to(after[:, :1, :1, :1], after.shape), atol=1e-6)


def shifted(image, down, right):
    result = np.zeros_like(image)
    for i in range(image.shape[0]):
        for j in range(image.shape[1]):
            if 0 <= i - down < image.shape[0] and 0 <= j - right < image.shape[1]:
                result[i, j] = image[i - down, j - right]
    return result


# An eighth of the size, rounded: 8 pixels move by one, 12 by 1.5 and so by two, 3 not at all.
@pytest.mark.slow
@pytest.mark.parametrize(
    ("sides", "furthest"),
    [((28, 28), (4, 4)), ((8, 8), (1, 1)), ((12, 4), (2, 1)), ((3, 16), (0, 2))],
)
def test_translation_draws_every_allowed_shift_alike(sides, furthest):
    images = numbered(2500, *sides)
    after = augmented("translation", images)
    # The middle is never padding: what lies there now says which pixel moved, and by how much.
    middle = sides[0] // 2, sides[1] // 2
    came_from = (after[:, *middle, 0] - 1) % 1000
    shifts = list(zip(middle[0] - came_from // sides[1], middle[1] - came_from % sides[1], strict=True))
    allowed = [range(-d, d + 1) for d in furthest]
    assert_uniform(shifts, itertools.product(*allowed))
    for image, result, shift in list(zip(images, after, shifts, strict=True))[:100]:
        np.testing.assert_array_equal(result, shifted(image, *map(int, shift)))


def hole(side, size, offset):
    """The indices that the authors' code sets to zero: `size` of them around the offset, clipped to the border."""
    return tuple(sorted({min(max(k + offset - size // 2, 0), side - 1) for k in range(size)}))


@pytest.mark.slow
@pytest.mark.parametrize(
    ("sides", "sizes"), [((8, 8), (4, 4)), ((28, 6), (14, 3)), ((5, 7), (3, 4)), ((2, 10), (1, 5)), ((1, 1), (1, 1))]
)
def test_cutout_draws_every_place_alike(sides, sizes):
    images = np.repeat(numbered(2500, *sides), 2, axis=3)
    after = augmented("cutout", images)
    gone = after == 0
    np.testing.assert_array_equal(after[~gone], images[~gone])
    rows, columns = gone.any((2, 3)), gone.any((1, 3))
    # A full rectangle, in both channels.
    np.testing.assert_array_equal(gone, np.broadcast_to((rows[:, :, None] & columns[:, None])[..., None], gone.shape))
    drawn = [(tuple(np.flatnonzero(r)), tuple(np.flatnonzero(c))) for r, c in zip(rows, columns, strict=True)]
    places = [
        [hole(side, size, offset) for offset in range(side + 1 - size % 2)]
        for side, size in zip(sides, sizes, strict=True)
    ]
    assert_uniform(drawn, itertools.product(*places))


def test_flip_mirrors_half_of_the_samples():
    images = normal(1000, 2, 5, 2)
    after = augmented("flip", images)
    mirrored = np.array([np.array_equal(a, [row[::-1] for row in x]) for a, x in zip(after, images, strict=True)])
    np.testing.assert_array_equal(after[~mirrored], images[~mirrored])
    assert stats.binomtest(int(mirrored.sum()), 1000, 0.5).pvalue > LIKELY


# Under a fixed key each augmentation is an affine map x -> J x + a. Values at unit images give its columns, and those
# give all derivatives.
SHAPE = (2, 8, 4, 3)


@functools.cache
def affine(name):
    """J [n, n] and a [n] in float64, n = the numbers of the batch: from values alone."""
    n = np.prod(SHAPE)
    inputs = np.concatenate([np.zeros((1, n)), np.eye(n)]).reshape(n + 1, *SHAPE).astype(np.float32)
    values = jax.jit(jax.vmap(lambda images, key: augmentations.augment(images, key, name), (0, None)))(inputs, KEY)
    values = np.asarray(values, float).reshape(n + 1, n)
    return (values[1:] - values[0]).T, values[0]


@pytest.mark.slow
@pytest.mark.parametrize("name", NAMES)
def test_derivatives_are_those_of_an_affine_map(name):
    """Of f(x) = sum v y^2 / 2, y = Jx + a: gradient g = J'(v y), and that of the penalty |g|^2 is 2 J'(v J g)."""
    x, v = normal(*SHAPE), normal(*SHAPE, seed=1)
    critic = lambda x, key: jnp.sum(v * augmentations.augment(x, key, name) ** 2) / 2  # noqa: E731
    penalty = lambda x, key: jnp.sum(jax.grad(critic)(x, key) ** 2)  # noqa: E731
    jacobian, origin = affine(name)
    y = jacobian @ x.ravel() + origin
    np.testing.assert_allclose(augmented(name, x).ravel(), y, atol=1e-5)
    gradient = jacobian.T @ (v.ravel() * y)
    second = 2 * jacobian.T @ (v.ravel() * (jacobian @ gradient))
    assert min(np.linalg.norm(gradient), np.linalg.norm(second)) > 1
    both = jax.jit(lambda x, key: (jax.grad(critic)(x, key), jax.grad(penalty)(x, key)))(x, KEY)
    for result, expected in zip(both, (gradient, second), strict=True):
        np.testing.assert_allclose(result.ravel(), expected, atol=1e-3)


@pytest.mark.slow
@pytest.mark.parametrize("name", NAMES)
def test_samples_are_independent(name):
    """No pixel of one sample moves another sample."""
    jacobian, _ = affine(name)
    b = SHAPE[0]
    of_samples = abs(jacobian).reshape(b, jacobian.shape[0] // b, b, -1).max((1, 3))
    assert (np.diag(of_samples) > 0).all()
    np.testing.assert_array_equal(of_samples - np.diag(np.diag(of_samples)), 0)


@pytest.mark.slow
@pytest.mark.parametrize("policy", NAMES)
def test_the_key_decides(policy):
    images = normal(64, 8, 8, 3)
    after = augmented(policy, images)
    assert after.shape == images.shape
    assert after.dtype == np.float32
    np.testing.assert_array_equal(after, augmented(policy, images))
    assert (after != augmented(policy, images, jax.random.key(1))).any()


@pytest.mark.slow
def test_populations_in_a_compiled_loop_change_nothing():
    images, keys = normal(4, 8, 8, 3), jax.random.split(KEY, (3, 2))
    expected = [[augmented(ALL, images, key) for key in of_step] for of_step in keys]
    of_population = jax.vmap(lambda key: augment(images, key, ALL))
    results = jax.jit(lambda keys: jax.lax.scan(lambda _, keys: (None, of_population(keys)), None, keys)[1])(keys)
    np.testing.assert_allclose(results, expected, atol=1e-5)


def test_a_policy_has_a_key_for_each_of_its_names():
    """Two flips by one key would undo each other in every sample; by two they do so in half of the samples."""
    images = normal(1000, 1, 4, 1)
    same = (augmented("flip,flip", images) == images).all((1, 2, 3)).sum()
    assert stats.binomtest(int(same), 1000, 0.5).pvalue > LIKELY


@pytest.mark.slow
def test_a_policy_is_applied_from_left_to_right():
    """What is cut out last is zero; brightness that comes later fills the hole."""
    images = 3 + normal(20, 8, 8, 3)
    assert (augmented("color,cutout", images) == 0).any((1, 2, 3)).all()
    assert not (augmented("cutout,color", images) == 0).any()


def test_an_empty_policy_changes_nothing():
    images = normal(2, 4, 4, 1)
    np.testing.assert_array_equal(augmented("", images), images)


@pytest.mark.parametrize("policy", ["colour", "color,", "color, cutout", "_brightness", "augment", "names", "jax"])
def test_unknown_names_are_refused(policy):
    with pytest.raises(ValueError, match=r"no augmentation .*color, translation, cutout, flip"):
        augmented(policy, normal(1, 4, 4, 1))
