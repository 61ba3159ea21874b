import functools
import itertools
from unittest import mock

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from PIL import Image
from scipy import ndimage, signal, special, stats
from scipy.spatial.transform import Rotation

from gan_jax.objectives import ada, augmentations

KEY = jax.random.key(0)
LIKELY = 1e-3  # the p-value from which on a draw of these fixed seeds is believed
NAMES = ["blit", "geom", "bg", "bgc", "ada_color"]

warp, recolour = jax.jit(ada.warp), jax.jit(ada.recolour)
augment = jax.jit(augmentations.augment, static_argnums=2)


def normal(*shape, seed=0):
    return np.random.default_rng(seed).normal(size=shape).astype(np.float32)


def each(*numbers):
    """What a matrix is made of, for a batch of one."""
    return [np.array([number]) for number in numbers]


def made(name, *numbers):
    return getattr(ada, name)(*each(*numbers))


# The filter


def orthogonal_filters():
    """All filters of 12 taps whose wavelet is orthogonal and has six vanishing moments, from Daubechies' polynomial.

    Its roots y are 2 - 4y = z + 1/z, and a filter has either z or 1/z of each, with a complex y's conjugate alike.
    """
    y = np.roots([special.comb(5 + k, k) for k in range(5, -1, -1)])
    inside = [min(np.roots([1, 4 * root - 2, 1]), key=abs) for root in y[y.imag >= -1e-9]]
    for powers in itertools.product((1, -1), repeat=len(inside)):
        chosen = [z**power for z, power in zip(inside, powers, strict=True)]
        conjugates = [z.conjugate() for z in chosen if abs(z.imag) > 1e-9]
        taps = np.poly([-1] * 6 + chosen + conjugates).real
        yield taps / taps.sum()


def asymmetry(taps):
    """How far its phase is from a straight line, at the frequencies that it lets pass."""
    frequencies = np.linspace(0, np.pi / 2, 50)
    phase = np.unwrap(np.angle(np.exp(1j * np.outer(frequencies, np.arange(12))) @ taps))
    slope = phase @ frequencies / (frequencies @ frequencies)
    return abs(phase - slope * frequencies).max()


def test_the_filter_is_the_least_asymmetric_of_daubechies():
    """Of the eight, four are the others reversed."""
    filters = sorted(orthogonal_filters(), key=asymmetry)
    assert len(filters) == 8
    assert asymmetry(filters[1]) < 0.8 * asymmetry(filters[2])
    assert min(abs(taps - ada.SYM6).max() for taps in filters[:2]) < 1e-11


# The warp, against SciPy: its filters, and its look-up of places between pixels.


def scipy_warp(image, inverse):
    """[h, w, c] in float64, at twice as many places along each axis as pixels and the authors' six more at each end."""
    image = np.asarray(image, float)
    h, w, c = image.shape
    fine = np.pad(image, ((h - 1, h - 1), (w - 1, w - 1), (0, 0)), mode="reflect")
    for axis in (0, 1):
        fine = np.take(signal.upfirdn(2 * ada.SYM6, fine, up=2, axis=axis), range(5, 2 * fine.shape[axis] + 5), axis)
    down, right = np.meshgrid(*(np.arange(2 * n + 12) / 2 - 3 - (n - 1) / 2 for n in (h, w)), indexing="ij")
    across, along, _ = np.einsum("ij,jyx->iyx", inverse, [right, down, np.ones_like(down)])
    places = 2 * (along + (h - 1) / 2 + h - 1), 2 * (across + (w - 1) / 2 + w - 1)
    channels = [ndimage.map_coordinates(fine[..., k], places, order=1, mode="grid-constant") for k in range(c)]
    seen = np.stack(channels, axis=2)[1:-1, 1:-1]
    for axis, n in ((0, h), (1, w)):
        seen = np.take(signal.upfirdn(ada.SYM6[::-1], seen, down=1, axis=axis), 11 + 2 * np.arange(n), axis)
    return seen


@pytest.mark.parametrize("shape", [(2, 2, 1), (8, 8, 3), (9, 12, 2), (13, 4, 1)])
def test_the_warp_is_scipys(shape):
    """Of matrices up to those that shrink an image so far that its mirror images end within the frame."""
    random = np.random.default_rng(1)
    inverse = np.tile(np.eye(3), (8, 1, 1))
    inverse[:, :2, :2] += np.arange(8)[:, None, None] / 2 * random.normal(size=(8, 2, 2))
    inverse[:, :2, 2] = random.normal(size=(8, 2)) * shape[:2] / 4
    images = normal(8, *shape)
    expected = [scipy_warp(*pair) for pair in zip(images, inverse.astype(np.float32), strict=True)]
    assert np.any(np.array(expected) == 0) == (shape != (2, 2, 1))
    np.testing.assert_allclose(warp(images, inverse.astype(np.float32)), expected, atol=1e-4)


def test_a_shift_by_whole_pixels_copies_them_and_mirrors_at_the_edges():
    image = normal(9, 12, 3)
    wide = np.pad(image, ((8, 8), (11, 11), (0, 0)), mode="reflect")
    for right, down in ((0, 0), (1, 0), (-2, 3), (5, -4)):
        expected = wide[8 - down : 17 - down, 11 - right : 23 - right]
        np.testing.assert_allclose(warp(image[None], ada.shift(*each(right, down)))[0], expected, atol=1e-5)


def lattice(h, w):
    """(right, down, 1) of every pixel, from the middle: [h, w, 3]."""
    down, right = np.meshgrid(np.arange(h) - (h - 1) / 2, np.arange(w) - (w - 1) / 2, indexing="ij")
    return np.stack([right, down, np.ones_like(down)], axis=2)


TURNS = {f"{k} quarters": (("quarter_turn", k), functools.partial(np.rot90, k=k)) for k in range(4)}
TURNS |= {"left to right": (("scale", -1, 1), np.fliplr), "upside down": (("scale", 1, -1), np.flipud)}


@pytest.mark.parametrize("name", TURNS)
def test_flips_and_quarter_turns_lead_to_the_pixels_that_numpy_takes(name):
    """Exactly; the warp, whose filter is not symmetric, is a tenth of a pixel off."""
    (matrix, expected), places = (made(*TURNS[name][0]), TURNS[name][1]), lattice(8, 8)
    np.testing.assert_array_equal((places @ np.asarray(matrix[0]).T)[..., :2], expected(places)[..., :2])
    image = np.sin(places[..., :1] / 4) + np.cos(places[..., 1:2] / 5 + 1)
    np.testing.assert_allclose(warp(image[None].astype(np.float32), matrix)[0], expected(image), atol=0.06)


def bump(right, down):
    """A smooth image that looks another way from each side, and is nothing at its edge."""
    return np.exp(-((right - 2) ** 2) / 10 - (down + 1) ** 2 / 20) + 0.5 * np.exp(-((right + 3) ** 2 + down**2) / 8)


def bump_moved(matrix, side):
    image = bump(*np.moveaxis(lattice(side, side), 2, 0)[:2])
    return image, warp(image[None, :, :, None].astype(np.float32), matrix)[0, ..., 0]


def pillow_affine(*from_new_to_old):
    """Of edges, not of the middle, in Pillow's order: x = a x' + b y' + c, then y."""
    return lambda image: image.transform(image.size, Image.Transform.AFFINE, from_new_to_old, Image.Resampling.BICUBIC)


PILLOWS = {  # how Pillow does the same to an image of 32 x 32
    ("rotation", 0.5): lambda image: image.rotate(np.degrees(0.5), Image.Resampling.BICUBIC),
    ("quarter_turn", 1): lambda image: image.transpose(Image.Transpose.ROTATE_90),
    ("scale", -1, 1): lambda image: image.transpose(Image.Transpose.FLIP_LEFT_RIGHT),
    ("scale", 1.25, 0.8): pillow_affine(0.8, 0, 3.2, 0, 1.25, -4),
    ("shift", 1.25, -2.5): pillow_affine(1, 0, -1.25, 0, 1, 2.5),
}


@pytest.mark.parametrize("move", PILLOWS)
def test_moves_are_pillows(move):
    """But for a tenth of a pixel, 0.04 where it is steep."""
    image, moved = bump_moved(made(*move), 32)
    expected = np.asarray(PILLOWS[move](Image.fromarray(image.astype(np.float32))))
    assert abs(expected - image).max() > 0.15
    np.testing.assert_allclose(moved, expected, atol=0.04)


@pytest.mark.parametrize("move", PILLOWS)
def test_a_smooth_image_is_what_its_formula_says(move):
    """With what is missing to symmetry: the filter's mean lies 0.098 finer pixels beyond the tap that counts as it."""
    matrix = np.asarray(made(*move)[0], float)
    late = (ada.SYM6 @ np.arange(12) - 5) / 2 * np.array([1, 1, 0])
    places = (lattice(32, 32) + late) @ matrix.T - late
    _, moved = bump_moved(made(*move), 32)
    np.testing.assert_allclose(moved, bump(places[..., 0], places[..., 1]), atol=0.01)


# Against the official code: `AugmentPipe` of stylegan2-ada-pytorch, run on a CPU (its reference operations) as
#     pipe = AugmentPipe(scale=1, rotate=1, ...)
#     y = pipe(torch.tensor(picture(h, w, c)).permute(0, 3, 1, 2), debug_percentile=d)[0].permute(1, 2, 0).double()
# and rounded to six digits: of y the sum, the sum weighted as in `told`, the four corners, and one pixel within.
# A percentile d stands for the draws of `drawn_at`, whose normal ones lack a factor sqrt(2) there.

OFFICIAL = {
    ("flips", 0.7, (9, 12, 3)): [-1.264073, 1.097489, -0.568239, -0.682319, 0.793048, 0.858979, 0.820507],
    ("quarter_turns", 0.7, (9, 12, 3)): [-1.283699, -1.097541, 0.78265, 0.846295, -0.552575, -0.6655, 0.784514],
    ("whole_shifts", 0.2, (9, 12, 3)): [-1.518098, -2.145217, 0.070737, 0.022127, 0.346635, -0.258101, 0.795815],
    ("whole_shifts", 0.7, (9, 12, 3)): [-1.845995, 0.003768, 0.877582, -0.82931, -0.602012, 0.673507, -0.475537],
    ("scales", 0.2, (9, 12, 3)): [-1.792916, -1.681639, 0.940108, -0.55904, -0.012424, -0.292761, 0.032501],
    ("scales", 0.7, (9, 12, 3)): [-1.118794, 1.351537, 0.95926, -0.360918, -0.093291, -0.606372, 0.214707],
    ("rotations", 0.2, (9, 12, 3)): [-2.13368, -1.200299, -0.460743, -0.608933, 0.693637, 0.993263, 0.965166],
    ("rotations", 0.7, (9, 12, 3)): [-2.047273, -0.894819, -1.008271, -0.830336, 1.003277, 0.376108, -0.298361],
    ("stretches", 0.2, (9, 12, 3)): [-1.185291, 1.115693, 0.952262, -0.549807, -0.062652, -0.266782, 0.028778],
    ("stretches", 0.7, (9, 12, 3)): [-1.449607, -0.44181, 0.954841, -0.376958, -0.067045, -0.614892, 0.218079],
    ("fractional_shifts", 0.2, (9, 12, 3)): [-1.426917, -1.250387, 0.505514, -0.397245, 0.014909, 0.029782, 0.74797],
    ("fractional_shifts", 0.7, (9, 12, 3)): [-1.62955, 0.544451, 0.896594, -0.551445, 0.005606, -0.230986, -0.321779],
    ("brightnesses", 0.2, (2, 3, 3)): [-2.731691, 0.065662, 0.880977, 0.841147, 0.421279, 0.634879, -1.05548],
    ("brightnesses", 0.7, (2, 3, 3)): [0.745632, 0.129571, 1.074161, 1.034332, 0.614464, 0.828064, -0.862295],
    ("contrasts", 0.2, (2, 3, 3)): [-0.479449, 0.085461, 0.813628, 0.781222, 0.439605, 0.613396, -0.761928],
    ("contrasts", 0.7, (2, 3, 3)): [-0.670083, 0.119441, 1.137135, 1.091843, 0.614397, 0.857289, -1.064878],
    ("luma_flips", 0.7, (2, 3, 3)): [0.589273, -0.132707, 1.046527, 1.03325, 0.650988, 0.722188, -0.831757],
    ("hues", 0.2, (2, 3, 3)): [-0.589273, 0.833797, -0.209062, -0.214133, -0.938762, -0.911566, 0.571138],
    ("hues", 0.7, (2, 3, 3)): [-0.589273, -0.596053, 0.162535, 0.141053, 0.828076, 0.94328, -0.675838],
    ("saturations", 0.2, (2, 3, 3)): [-0.589273, 0.109713, 0.654128, 0.623273, 0.338969, 0.504437, -0.637621],
    ("saturations", 0.7, (2, 3, 3)): [-0.589273, 0.100982, 1.299894, 1.252282, 0.714872, 0.970206, -1.195567],
    ("blit", 0.2, (9, 12, 3)): [-1.518098, -2.145217, 0.070737, 0.022127, 0.346635, -0.258101, 0.795815],
    ("blit", 0.2, (8, 8, 1)): [4.854318, -1.218619, 0.070737, 0.988705, 0.976587, 0.424179, -0.997172],
    ("blit", 0.7, (9, 12, 3)): [-1.863886, -1.057625, -0.584626, 0.657301, 0.866646, -0.816749, -0.513085],
    ("blit", 0.7, (8, 8, 1)): [5.130077, 0.455981, 0.767003, 0.997275, 0.999036, 0.818078, 0.237921],
    ("geom", 0.2, (9, 12, 3)): [-1.204814, -1.380724, 0.4116, 0.972405, 0.464405, -0.857957, 0.739596],
    ("geom", 0.2, (8, 8, 1)): [0.950197, -4.563763, -0.242564, 0.91976, 0.176405, 0.001548, -0.357527],
    ("geom", 0.7, (9, 12, 3)): [-1.755619, -4.686796, -0.750085, -0.675027, 1.105646, 0.236541, -0.787973],
    ("geom", 0.7, (8, 8, 1)): [-2.451103, -0.410367, 0.878537, -0.608517, 0.234794, -0.405581, 0.858969],
    ("bg", 0.2, (9, 12, 3)): [-1.416078, -1.736943, -0.019674, 0.701781, -0.166085, -0.605695, 0.510119],
    ("bg", 0.2, (8, 8, 1)): [6.024669, -0.090439, -0.811846, 0.706616, 0.099825, 0.698207, -0.340674],
    ("bg", 0.7, (9, 12, 3)): [-1.60472, 0.581522, 0.261128, -0.048006, -0.219367, -0.596132, -0.81251],
    ("bg", 0.7, (8, 8, 1)): [0.095757, 1.638869, 0.453702, 0.444258, 0.866106, 0.175982, -0.864853],
    ("ada_color", 0.2, (9, 12, 3)): [-32.366089, -0.219155, -0.215842, -0.512452, -0.616319, 0.261728, -0.644904],
    ("ada_color", 0.2, (8, 8, 1)): [-1.900735, 1.511788, 0.716788, 0.559277, 0.516556, 0.713914, 0.684381],
    ("ada_color", 0.7, (9, 12, 3)): [-25.940179, -0.18227, 0.21532, 1.10757, 1.28298, -1.052015, 1.420152],
    ("ada_color", 0.7, (8, 8, 1)): [-11.402843, -2.28641, -1.221466, -1.001328, -0.94162, -1.21745, -1.176175],
    ("bgc", 0.2, (9, 12, 3)): [-32.528532, 2.506024, 0.427136, -0.03205, 0.027574, 0.221346, -0.649379],
    ("bgc", 0.2, (8, 8, 1)): [-1.295962, -0.150077, -0.757382, 0.478082, -0.01562, 0.471241, -0.374022],
    ("bgc", 0.7, (9, 12, 3)): [-25.498637, -5.57458, -1.548508, -1.100974, 1.11519, -0.372111, 0.054458],
    ("bgc", 0.7, (8, 8, 1)): [-5.506107, -1.930228, -0.600252, -0.589513, -1.069211, -0.284447, 0.899123],
}


def picture(h, w, c):
    i, j, k = np.ogrid[:h, :w, :c]
    return np.cos(i + 0.5 * j * j + 2 * k)[None].astype(np.float32)


def told(image):
    image = np.asarray(image, float)
    h, w, c = image.shape
    i, j, k = np.ogrid[:h, :w, :c]
    weighted = (image * np.cos(3 * i + 5 * j + 7 * k)).sum()
    corners = image[0, 0, 0], image[0, -1, -1], image[-1, 0, 0], image[-1, -1, -1]
    return [image.sum(), weighted, *corners, image[h // 2, w // 3, c // 2]]


def drawn_at(d, h, w):
    """By the transformation, its matrices in the order in which it is called: the second rotation there is none."""
    uniform, normal = 2 * d - 1, special.erfinv(2 * d - 1)
    size, ratio = 2 ** (0.2 * normal), 2 ** (0.2 * normal)
    return {
        "flips": [ada.scale(*each(1 - 2 * (d >= 0.5), 1))],
        "quarter_turns": [ada.quarter_turn(np.array([int(4 * d)]))],
        "whole_shifts": [ada.shift(*each(round(uniform / 8 * w), round(uniform / 8 * h)))],
        "scales": [ada.scale(*each(size, size))],
        "rotations": [ada.rotation(*each(np.pi * uniform)), np.eye(3, dtype=np.float32)[None]],
        "stretches": [ada.scale(*each(ratio, 1 / ratio))],
        "fractional_shifts": [ada.shift(*each(normal / 8 * w, normal / 8 * h))],
        "brightnesses": [ada.brightness(*each(0.2 * normal))],
        "contrasts": [ada.contrast(*each(2 ** (0.5 * normal)))],
        "luma_flips": [ada.luma_flip(np.array([d >= 0.5]))],
        "hues": [ada.hue(*each(np.pi * uniform))],
        "saturations": [ada.saturation(*each(2**normal))],
    }


@functools.partial(jax.jit, static_argnums=0)
def with_drawn(name, images, matrices):
    """What the augmentation does where its transformations are drawn as these."""
    waiting = {transformation: iter(several) for transformation, several in matrices.items()}
    draws = {name: lambda key, probability, shape, name=name: next(waiting[name]) for name in waiting}
    with mock.patch.multiple(ada, **draws):
        return getattr(ada, name)(images, KEY, 1.0)


def identities(matrices):
    return [np.broadcast_to(np.eye(m.shape[1], dtype=np.float32), m.shape) for m in matrices]


@pytest.mark.parametrize(("name", "d", "shape"), OFFICIAL)
def test_numbers_of_the_official_code(name, d, shape):
    """Of what is no augmentation but a transformation: with `bgc`, in which no other is drawn."""
    drawn, of_all = drawn_at(d, *shape[:2]), name in NAMES
    matrices = {each: m if of_all or each == name else identities(m) for each, m in drawn.items()}
    result = with_drawn(name if of_all else "bgc", picture(*shape), matrices)
    np.testing.assert_allclose(told(result[0]), OFFICIAL[name, d, shape], atol=3e-5)


# Colours

COLOURS = {
    ("brightness", 0.3): lambda x: x + 0.3,
    ("contrast", 1.7): lambda x: 1.7 * x,
    ("luma_flip", True): lambda x: x - 2 * x.mean(-1, keepdims=True),
    ("luma_flip", False): lambda x: x,
    ("hue", 0.4): lambda x: x @ Rotation.from_rotvec(np.full(3, 0.4 / np.sqrt(3))).as_matrix().T,
    ("hue", 2 * np.pi / 3): lambda x: np.roll(x, 1, axis=-1),
    ("saturation", 2.5): lambda x: 2.5 * x - 1.5 * x.mean(-1, keepdims=True),
}


@pytest.mark.parametrize("change", COLOURS)
def test_colours_are_those_of_their_formulas(change):
    matrix, formula = made(*change), COLOURS[change]
    images = normal(1, 3, 4, 3)
    np.testing.assert_allclose(recolour(images, matrix), formula(images), atol=1e-6)
    gray = normal(1, 3, 4, 1)
    expected = formula(np.repeat(gray, 3, axis=3)).mean(3, keepdims=True)
    np.testing.assert_allclose(recolour(gray, matrix), expected, atol=1e-6)


@pytest.mark.parametrize("name", ["bgc", "ada_color"])
def test_other_channels_have_no_colours(name):
    with pytest.raises(ValueError, match="2 channels: give images of 1 or 3"):
        augment(normal(1, 4, 4, 2), KEY, name, 0.5)


# Draws

SHAPE = (4000, 4096, 2048, 3)  # sides so long that next to no shift is rounded to nothing


@functools.cache
def drawn(name, probability=1.0):
    """Matrices of the transformation in float64; nothing of the size of SHAPE is made."""
    return np.asarray(getattr(ada, name)(jax.random.key(3), probability, SHAPE), float)


def angle(matrices, i=0, j=1):
    return np.arctan2(matrices[:, j, i], matrices[:, i, i])


def hue_angle(matrices):
    """By the trace, 1 + 2 cos, and the antisymmetric part, sin / sqrt(3)."""
    cosine = (np.trace(matrices[:, :3, :3], axis1=1, axis2=2) - 1) / 2
    return np.arctan2(np.sqrt(3) / 2 * (matrices[:, 1, 0] - matrices[:, 0, 1]), cosine)


STANDARD, EVEN = stats.norm().cdf, stats.uniform(-1, 2).cdf
PARAMETERS = {  # of the matrices drawn, a number that is N(0, 1) or U(-1, 1)
    "scales": [(lambda m: -np.log2(m[:, 0, 0]) / 0.2, STANDARD), (lambda m: -np.log2(m[:, 1, 1]) / 0.2, STANDARD)],
    "rotations": [(lambda m: angle(m) / np.pi, EVEN)],
    "stretches": [(lambda m: -np.log2(m[:, 0, 0]) / 0.2, STANDARD), (lambda m: np.log2(m[:, 1, 1]) / 0.2, STANDARD)],
    "fractional_shifts": [(lambda m: m[:, 0, 2] / 256, STANDARD), (lambda m: m[:, 1, 2] / 512, STANDARD)],
    "whole_shifts": [(lambda m: m[:, 0, 2] / 256, EVEN), (lambda m: m[:, 1, 2] / 512, EVEN)],
    "brightnesses": [(lambda m: m[:, 0, 3] / 0.2, STANDARD)],
    "contrasts": [(lambda m: np.log2(m[:, 1, 1]) / 0.5, STANDARD)],
    "hues": [(lambda m: hue_angle(m) / np.pi, EVEN)],
    "saturations": [(lambda m: np.log2(np.trace(m[:, :3, :3], axis1=1, axis2=2) / 2 - 0.5), STANDARD)],
}


@pytest.mark.parametrize("name", PARAMETERS)
def test_draws_are_distributed_as_the_authors_have_them(name):
    numbers = [number(drawn(name)) for number, _ in PARAMETERS[name]]
    for values, (_, cdf) in zip(numbers, PARAMETERS[name], strict=True):
        assert stats.kstest(values, cdf).pvalue > LIKELY
    if name.endswith("_shifts"):
        assert abs(np.corrcoef(numbers)[0, 1]) < 4 / np.sqrt(len(numbers[0]))


def test_whole_shifts_are_whole_and_no_further_than_an_eighth():
    shifts = np.asarray(ada.whole_shifts(KEY, 1.0, (4000, 9, 24, 1)), float)[:, :2, 2]
    counts = {side: np.unique(-shifts[:, axis], return_counts=True) for axis, side in enumerate((24, 9))}
    for side, shares in {24: np.array([1, 2, 2, 2, 2, 2, 1]) / 12, 9: np.array([0.625, 1, 0.625]) / 2.25}.items():
        furthest = len(shares) // 2
        np.testing.assert_array_equal(counts[side][0], range(-furthest, furthest + 1))
        assert stats.chisquare(counts[side][1], 4000 * shares).pvalue > LIKELY


def test_flips_and_quarter_turns_are_as_likely_as_not():
    mirrored = drawn("flips")[:, 0, 0] < 0
    negative = np.trace(drawn("luma_flips")[:, :3, :3], axis1=1, axis2=2) < 2
    for share in (mirrored, negative):
        assert stats.binomtest(int(share.sum()), len(share), 0.5).pvalue > LIKELY
    quarters = np.round(angle(drawn("quarter_turns")) / (np.pi / 2)) % 4
    assert stats.chisquare(np.bincount(quarters.astype(int))).pvalue > LIKELY


# What is drawn of those that are to change: a flip or a turn may be none.
SHARES = {"flips": 1 / 2, "quarter_turns": 3 / 4, "luma_flips": 1 / 2}
P = 0.3


@pytest.mark.parametrize("name", [*PARAMETERS, *SHARES])
def test_a_share_p_of_the_samples_is_changed(name):
    changed = (drawn(name, P) != np.eye(len(drawn(name)[0]))).any((1, 2))
    share = 1 - np.sqrt(1 - P) if name == "rotations" else P * SHARES.get(name, 1)
    assert stats.binomtest(int(changed.sum()), len(changed), share).pvalue > LIKELY


@pytest.mark.parametrize("name", [*PARAMETERS, *SHARES])
def test_a_probability_beyond_1_is_1(name):
    """As an adaptive one may be for a while."""
    np.testing.assert_array_equal(drawn(name, 1.01), drawn(name))


@pytest.mark.parametrize("name", [*PARAMETERS, *SHARES])
def test_what_is_drawn_does_not_depend_on_whether_it_is_used(name):
    """So a run whose p has moved differs by the samples that this adds or takes away."""
    some, all_of_them = drawn(name, P), drawn(name)
    changed = (some != np.eye(some.shape[1])).any((1, 2))
    np.testing.assert_array_equal(some[changed], all_of_them[changed])


@pytest.mark.parametrize(("c", "count"), [(3, 13), (1, 11)])
def test_every_transformation_has_a_key_of_its_own(c, count):
    """Two are rotations; grays have no hue and no saturation."""
    keys = []

    def draw(size, key, probability, shape):
        keys.append(tuple(jax.random.key_data(key).tolist()))
        return np.eye(size, dtype=np.float32)[None]

    draws = {name: functools.partial(draw, drawn(name).shape[1]) for name in [*PARAMETERS, *SHARES]}
    with mock.patch.multiple(ada, warp=lambda images, inverse: images, **draws):
        ada.bgc(normal(1, 4, 4, c), KEY, 1.0)
    assert len(keys) == len(set(keys)) == count


# The whole: what stays, and derivatives


IMAGES = normal(16, 6, 5, 3)  # for all that follows, so that it is compiled once
IMAGES[:, 1, 2] = -0.0
by_itself = jax.jit(ada.bgc)


def assert_same_bits(result, images):
    assert (np.asarray(result).view(np.uint8) == np.asarray(images).view(np.uint8)).all()


@pytest.mark.parametrize("name", NAMES)
def test_no_bit_changes_at_a_probability_of_zero(name):
    assert_same_bits(augment(IMAGES, KEY, name, 0.0), IMAGES)


def test_no_bit_changes_without_a_compiler_either():
    assert_same_bits(ada.bgc(IMAGES, KEY, 0.0), IMAGES)


@pytest.mark.parametrize("name", NAMES)
def test_no_bit_changes_of_samples_that_are_left_out(name):
    results = [augment(IMAGES, key, name, 0.1) for key in jax.random.split(KEY, 5)]
    same = (np.array(results) == IMAGES).all((2, 3, 4)).ravel()
    least = 0.9 ** {"blit": 3, "geom": 4, "bg": 7, "ada_color": 5, "bgc": 12}[name]  # more, as a flip may be none
    assert stats.binomtest(int(same.sum()), len(same), least, "less").pvalue > LIKELY
    assert not same.all()


@pytest.mark.slow
def test_bfloat16_is_float32_rounded():
    images = jnp.asarray(IMAGES, jnp.bfloat16)
    assert_same_bits(by_itself(images, KEY, 0.0), images)
    result = by_itself(images, KEY, 0.5)
    assert result.dtype == jnp.bfloat16
    expected = by_itself(images.astype(jnp.float32), KEY, 0.5)
    np.testing.assert_allclose(result.astype(np.float32), expected, rtol=0.01, atol=0.03)


def test_moves_are_linear_in_the_images():
    other = normal(*IMAGES.shape, seed=1)
    moved = lambda images: np.asarray(augment(images, KEY, "bg", 0.7))  # noqa: E731
    np.testing.assert_allclose(moved(2 * IMAGES - 3 * other), 2 * moved(IMAGES) - 3 * moved(other), atol=5e-5)


@pytest.mark.slow
def test_the_derivative_of_a_penalty_is_that_of_finite_differences():
    """R1 of a critic behind `bgc`, along a random direction, in float64."""
    with jax.enable_x64(True):
        x, v, direction = (jnp.asarray(normal(8, 5, 6, 3, seed=seed), float) for seed in range(3))
        critic = lambda x: jnp.sum(jnp.sin(v * ada.bgc(x, KEY, 0.5)))  # noqa: E731
        penalty = jax.jit(lambda x: jnp.sum(jax.grad(critic)(x) ** 2))
        slope = jnp.vdot(jax.jit(jax.grad(penalty))(x), direction)
        steps = np.array([-2, -1, 1, 2]) * 1e-3
        values = np.array([penalty(x + step * direction) for step in steps])
        assert values.dtype == float
        assert abs(slope) > 1
        assert slope == pytest.approx(values @ [1, -8, 8, -1] / 12e-3, rel=1e-7)


@pytest.mark.parametrize("b", [6, 16])
def test_samples_keep_their_places(b):
    """Whether the warp takes the minibatch as a whole, or in parts: each sample is moved by its own matrix."""
    images, distances = normal(b, 4, 12, 1), np.arange(b, dtype=np.float32) % 5
    moved = warp(images, ada.shift(distances, 0 * distances))
    wide = np.pad(images, ((0, 0), (0, 0), (5, 0), (0, 0)), mode="reflect")
    expected = [image[:, 5 - k : 17 - k] for image, k in zip(wide, distances.astype(int), strict=True)]
    np.testing.assert_allclose(moved, expected, atol=1e-5)


def test_populations_have_draws_of_their_own():
    keys, probabilities = jax.random.split(KEY, 3), np.array([0, 0.5, 1], np.float32)
    results = jax.jit(jax.vmap(lambda key, p: ada.bgc(IMAGES, key, p)))(keys, probabilities)
    assert_same_bits(results[0], IMAGES)
    for result, key, probability in zip(results, keys, probabilities, strict=True):
        np.testing.assert_allclose(result, by_itself(IMAGES, key, float(probability)), atol=5e-5)


# Policies


def test_a_policy_hands_the_probability_on():
    """No sample is left out once more; without a probability it is 1."""
    (key,) = jax.random.split(KEY, 1)
    np.testing.assert_allclose(augment(IMAGES, KEY, "bgc", 0.4), by_itself(IMAGES, key, 0.4), atol=5e-5)
    np.testing.assert_allclose(augment(IMAGES, KEY, "bgc"), by_itself(IMAGES, key, 1.0), atol=5e-5)


def test_a_policy_may_mix_them_with_those_of_diffaugment():
    """Of two names the second has the second key; what is cut out last is zero, whatever was done before."""
    _, key = jax.random.split(KEY, 2)
    result = np.asarray(augment(IMAGES, KEY, "ada_color,cutout", 1.0))
    hole = np.asarray(augmentations.cutout(jnp.ones_like(IMAGES), key)) == 0
    np.testing.assert_array_equal(result[hole], 0)
    assert (result[~hole] != IMAGES[~hole]).mean() > 0.9


@pytest.mark.parametrize("policy", ["bgcf", "ada", "warp", "scales", "bg, color", "_moved"])
def test_unknown_names_are_refused(policy):
    with pytest.raises(ValueError, match=r"no augmentation .* color, .*, blit, geom, bg, bgc, ada_color by commas"):
        augment(IMAGES, KEY, policy, 0.5)


def test_a_gpu_warps_a_minibatch_at_once():
    """A loop over a few samples at a time is for the caches of a CPU."""

    def slopes(images):
        return jax.grad(lambda images: jnp.sum(jnp.square(ada.bgc(images, jax.random.key(0), 0.5))))(images)

    traced = jax.jit(slopes).trace(jnp.zeros((32, 8, 8, 3)))
    loops = [traced.lower(lowering_platforms=(name,)).as_text().count("stablehlo.while") for name in ("cuda", "cpu")]
    assert loops[0] == 0 < loops[1]
