"""The augmentations of StyleGAN2-ADA: strong ones, which do not show in what is generated while p is well below 1.

Karras et al. 2020 (arXiv:2006.06676, appendix B), with the ranges of the authors' code. An augmentation here is a pure
function `(images [b, h, w, c], key, probability) -> images [b, h, w, c]` for float images in [-1, 1]; a policy of
augmentations.py may name it. It is made of single transformations, and each of these is drawn for each sample with the
same probability p in [0, 1], whatever else is drawn. Where nothing is, the sample stays as it is, bit for bit.

A transformation is drawn as a matrix. The moves of a sample become one matrix, so that it is resampled once; its
colours become another. Given the key the images undergo an affine map, and gradients of any order go through it.

The file reads from the whole to its parts: the augmentations, their transformations in the order in which they are
done, the matrices of these, and last what is done with a matrix, `warp` and `recolour`.
"""

import functools

import jax
import jax.numpy as jnp
import numpy as np

_EXACT = jax.lax.Precision.HIGHEST  # in a GPU's faster products, 100 pixels times a cosine are off by 0.05 of a pixel


def blit(images, key, probability):
    """Mirrored left to right, turned by quarters, shifted by whole pixels.

    By `warp`, as in the authors' code. A shift alone copies pixels as they are. What mirrors or turns is off by a tenth
    of a pixel, as the filter is not symmetric: tap 5 counts as its middle, and its mean is at 5.098.
    """
    return _moved(images, key, probability, (flips, quarter_turns, whole_shifts))


def geom(images, key, probability):
    """Scaled, rotated, stretched, rotated again, and shifted by any distance."""
    return _moved(images, key, probability, (scales, rotations, stretches, rotations, fractional_shifts))


def bg(images, key, probability):
    """What `blit` does and then `geom`, as one warp."""
    moves = flips, quarter_turns, whole_shifts, scales, rotations, stretches, rotations, fractional_shifts
    return _moved(images, key, probability, moves)


def bgc(images, key, probability):
    """`bg`, then `ada_color`: what the paper trains with."""
    move_key, color_key = jax.random.split(key)
    return ada_color(bg(images, move_key, probability), color_key, probability)


def ada_color(images, key, probability):
    """Brightness, contrast and luma flip, then hue and saturation where there are three channels; nothing is clipped.

    ValueError: neither 1 nor 3 channels.
    """
    of_colours = (hues, saturations) if images.shape[3] == 3 else ()
    drawn = _drawn((brightnesses, contrasts, luma_flips, *of_colours), key, probability, images.shape)
    matrices = functools.reduce(_product, reversed(drawn))
    return jnp.where(_is_identity(matrices)[:, None, None, None], images, recolour(images, matrices))


def _moved(images, key, probability, moves):
    """The images after all moves, the first first. `warp` asks where a pixel came from: undoing the last comes first.

    While p is 0, or chance leaves the whole batch alone, nothing is computed.
    """
    inverse = functools.reduce(_product, _drawn(moves, key, probability, images.shape))
    as_before = _is_identity(inverse)
    some_changed = lambda: jnp.where(as_before[:, None, None, None], images, warp(images, inverse))  # noqa: E731
    return jax.lax.cond(jnp.all(as_before), lambda: images, some_changed)


def _drawn(transformations, key, probability, shape):
    keys = jax.random.split(key, len(transformations))
    return [draw(own_key, probability, shape) for draw, own_key in zip(transformations, keys, strict=True)]


def _product(one, other):
    return jnp.matmul(one, other, precision=_EXACT)


def _is_identity(matrices):
    return jnp.all(matrices == np.eye(matrices.shape[-1], dtype=np.float32), axis=(1, 2))


# Transformations: (key, probability, shape of the images) -> a matrix for each sample, the identity for those left out.


def flips(key, probability, shape):
    """Mirrored left to right in half of the draws."""
    sign = jnp.where(jax.random.bernoulli(key, 0.5, shape[:1]), -1.0, 1.0)
    return _for_some(scale(sign, jnp.ones_like(sign)), key, probability)


def quarter_turns(key, probability, shape):
    """By 0, 90, 180 or 270 degrees. The frame of an image that is not square stays: its longer side is cut."""
    return _for_some(quarter_turn(jax.random.randint(key, shape[:1], 0, 4)), key, probability)


def whole_shifts(key, probability, shape):
    """Across and down by up to an eighth of the width and height, uniform, then rounded to whole pixels."""
    distances = jnp.round(_uniform(key, (shape[0], 2), 1 / 8) * _sides(shape))
    return _for_some(shift(*distances.T), key, probability)


def scales(key, probability, shape):
    """By 2^z, z ~ N(0, 0.2^2)."""
    factor = jnp.exp2(_normal(key, shape[:1], 0.2))
    return _for_some(scale(factor, factor), key, probability)


def rotations(key, probability, shape):
    """By any angle, with probability 1 - sqrt(1 - p): so p is that of at least one of two, as `geom` has them."""
    either = 1 - jnp.sqrt(jnp.maximum(1 - probability, 0))
    return _for_some(rotation(_uniform(key, shape[:1], np.pi)), key, either)


def stretches(key, probability, shape):
    """By 2^z across and 2^-z down, z ~ N(0, 0.2^2)."""
    factor = jnp.exp2(_normal(key, shape[:1], 0.2))
    return _for_some(scale(factor, 1 / factor), key, probability)


def fractional_shifts(key, probability, shape):
    """Across and down by N(0, 1/8^2) of the width and height."""
    distances = _normal(key, (shape[0], 2), 1 / 8) * _sides(shape)
    return _for_some(shift(*distances.T), key, probability)


def brightnesses(key, probability, shape):
    """Plus N(0, 0.2^2)."""
    return _for_some(brightness(_normal(key, shape[:1], 0.2)), key, probability)


def contrasts(key, probability, shape):
    """Times 2^z, z ~ N(0, 0.5^2)."""
    return _for_some(contrast(jnp.exp2(_normal(key, shape[:1], 0.5))), key, probability)


def luma_flips(key, probability, shape):
    """In half of the draws, light for dark at the same hue and saturation."""
    return _for_some(luma_flip(jax.random.bernoulli(key, 0.5, shape[:1])), key, probability)


def hues(key, probability, shape):
    """Colours turned around the axis of grays, by any angle."""
    return _for_some(hue(_uniform(key, shape[:1], np.pi)), key, probability)


def saturations(key, probability, shape):
    """Times 2^z away from gray, z ~ N(0, 1)."""
    return _for_some(saturation(jnp.exp2(_normal(key, shape[:1], 1))), key, probability)


def _for_some(matrices, key, probability):
    """Each matrix, or the identity; the key is folded with a number that no split of it reaches."""
    chance = jax.random.uniform(jax.random.fold_in(key, 2**32 - 1), (len(matrices), 1, 1), jnp.float32)
    return jnp.where(chance < probability, matrices, np.eye(matrices.shape[-1], dtype=np.float32))


def _uniform(key, shape, furthest):
    return jax.random.uniform(key, shape, jnp.float32, -furthest, furthest)


def _normal(key, shape, deviation):
    return deviation * jax.random.normal(key, shape, jnp.float32)


def _sides(shape):
    return np.array([shape[2], shape[1]], np.float32)


# Matrices of moves: [b, 3, 3] of arrays [b]. Each leads from where a pixel of the result lies, as (right, down, 1) from
# the middle of the image, to what it shows.


def scale(across, down):
    """Larger by these factors; a negative one mirrors."""
    return _homogeneous(jnp.stack([1 / across, 1 / down], axis=1)[:, None] * np.eye(2, dtype=np.float32))


def rotation(angle):
    """Counter-clockwise as one sees it, in radians."""
    return _turn(jnp.cos(angle), jnp.sin(angle))


def quarter_turn(count):
    """`rotation` by count * 90 degrees, without rounding; count in 0 ... 3."""
    quarters = jnp.array([1, 0, -1, 0], jnp.float32)
    return _turn(quarters[count], quarters[count - 1])


def _turn(cosine, sine):
    return _homogeneous(jnp.moveaxis(jnp.array([[cosine, -sine], [sine, cosine]]), 2, 0))


def shift(right, down):
    """By these distances, in pixels."""
    offset = -jnp.stack([right, down], axis=1)
    return _homogeneous(jnp.broadcast_to(np.eye(2, dtype=np.float32), (len(offset), 2, 2)), offset)


# Matrices of colours: [b, 4, 4] of arrays [b], from (red, green, blue, 1) to the new ones. GRAY keeps of a colour what
# is gray, COLOUR the rest, and QUARTER the rest turned by 90 degrees.

GRAY = np.full((3, 3), 1 / 3, np.float32)
COLOUR = np.eye(3, dtype=np.float32) - GRAY
QUARTER = np.array([[0, -1, 1], [1, 0, -1], [-1, 1, 0]], np.float32) / np.sqrt(np.float32(3))


def brightness(offset):
    """Plus the offset, in each channel."""
    offsets = jnp.repeat(offset[:, None], 3, axis=1)
    return _homogeneous(jnp.broadcast_to(GRAY + COLOUR, (len(offset), 3, 3)), offsets)


def contrast(factor):
    """Times the factor, around 0."""
    return _homogeneous(_each(factor) * np.eye(3, dtype=np.float32))


def luma_flip(is_flipped):
    """The sign of a colour's gray part changed, or not."""
    return _homogeneous(COLOUR + jnp.where(_each(is_flipped), -1, 1) * GRAY)


def hue(angle):
    """What is not gray is turned by the angle: from red by 120 degrees to green, by 240 to blue."""
    return _homogeneous(GRAY + _each(jnp.cos(angle)) * COLOUR + _each(jnp.sin(angle)) * QUARTER)


def saturation(factor):
    """What is not gray, times the factor."""
    return _homogeneous(GRAY + _each(factor) * COLOUR)


def _each(numbers):
    return numbers[:, None, None]


def _homogeneous(linear, offset=0.0):
    """x -> linear x + offset as one matrix of (x, 1): [b, n, n], [b, n] -> [b, n + 1, n + 1]."""
    b, n, _ = linear.shape
    matrices = jnp.broadcast_to(np.eye(n + 1, dtype=np.float32), (b, n + 1, n + 1))
    return matrices.at[:, :n, :n].set(linear).at[:, :n, n].set(offset)


# What is done with a matrix.

# The low-pass filter of the "least asymmetric" wavelet with six vanishing moments (Daubechies, Ten Lectures on
# Wavelets, 1992, table 6.3). These digits, in this direction, are PyWavelets' sym6 dec_lo; here they add up to 1.
SYM6 = np.array(
    [
        0.015404109327027373, 0.0034907120842174702, -0.11799011114819057, -0.048311742585633,
        0.4910559419267466, 0.787641141030194, 0.3379294217276218, -0.07263752278646252,
        -0.021060292512300564, 0.04472490177066578, 0.0017677118642428036, -0.007800708325034148,
    ]
) / np.sqrt(2)  # fmt: skip
_AROUND = len(SYM6) - 2  # more places than twice the pixels, for the filter to end on
_TOGETHER = 8  # samples; see `_in_parts`


def warp(images, inverse):
    """images[inverse p] for each pixel p, without aliasing: [b, h, w, c] and matrices [b, 3, 3] -> [b, h, w, c].

    As the authors' code has it: mirrored at the edges (without repeating them) as far as a mirror image reaches, and
    zero beyond; made twice as fine by SYM6; looked up bilinearly at twice as many places as pixels along each axis; and
    made coarser by the same filter reversed. That code mirrors no further than the moves of the minibatch seem to need,
    which changes images by thousandths, at their edges, if they shrink to half. A shift by whole pixels is exact where
    the mirror image goes on for another three, as the filter reaches so far.

    images: float, any h and w of at least 2; in less than float32 they are computed with in float32.
    """
    return jax.lax.platform_dependent(images, inverse, cpu=_in_parts, default=jax.vmap(_warp_one))


def _in_parts(images, inverse):
    """A few samples at a time, whose finer images stay in a CPU's caches: gradients at 64 pixels take 0.6 of the time.

    The samples are not neighbours: each of up to eight devices that share a batch has one of them.
    """
    parts = len(images) // _TOGETHER if len(images) % _TOGETHER == 0 else 1
    parted = [a.reshape(-1, parts, *a.shape[1:]).swapaxes(0, 1) for a in (images, inverse)]
    warped = jax.lax.map(lambda part: jax.vmap(_warp_one)(*part), parted)
    return warped.swapaxes(0, 1).reshape(images.shape)


def _warp_one(image, inverse):
    """[h, w, c], [3, 3] -> [h, w, c]. Along an axis, filters and mirror are linear, and so one constant matrix."""
    h, w, _ = image.shape
    wide = image.astype(jnp.promote_types(image.dtype, jnp.float32))
    fine = jnp.einsum("hwc,Hh,Ww->HWc", wide, _finer(h), _finer(w), precision=_EXACT)
    seen = _bilinear(fine, *_places(inverse, h, w))
    return jnp.einsum("HWc,hH,wW->hwc", seen, _coarser(h), _coarser(w), precision=_EXACT).astype(image.dtype)


def _finer(size):
    """[6 size - 2, size]: mirrored at both ends, filtered to twice as many, and a zero at each end."""
    mirrored = np.pad(np.eye(size), ((size - 1, size - 1), (0, 0)), mode="reflect")
    half = _AROUND // 2
    return np.pad(2 * _spread(mirrored)[half:-half], ((1, 1), (0, 0))).astype(np.float32)


def _coarser(size):
    """[size, 2 size + 10]: `_finer` without mirror, transposed and halved; as SYM6 is orthogonal, that undoes it."""
    return _spread(np.eye(size)).T.astype(np.float32)


def _spread(rows):
    """Row i, times the filter, added to rows 2i, 2i + 1, ...: [n, m] -> [2n + 10, m]."""
    spread = np.zeros((2 * len(rows) + _AROUND, rows.shape[1]))
    for tap, weight in enumerate(SYM6):
        spread[tap : tap + 2 * len(rows) : 2] += weight * rows
    return spread


def _places(inverse, h, w):
    """Where in the fine image the result, twice as fine, is looked up: rows and columns, [2h + 10, 2w + 10] each.

    Both are measured in pixels from the middle, and half a pixel is one step of either grid.
    """
    down, right = (np.arange(2 * n + _AROUND, dtype=np.float32) / 2 - (n + _AROUND / 2 - 1) / 2 for n in (h, w))
    across, along = (row[0] * right + row[1] * down[:, None] + row[2] for row in inverse[:2])
    return 2 * along + 3 * h - 2, 2 * across + 3 * w - 2


def _bilinear(fine, rows, columns):
    """[H, W, c] at fractional rows and columns [...] -> [..., c]; beyond it is what lies at its ends, zero."""
    height, width, c = fine.shape
    (row, below), (column, beside) = _whole_and_rest(rows, height), _whole_and_rest(columns, width)
    pixels, first = fine.reshape(-1, c), row * width + column
    upper, lower = (
        (1 - beside) * pixels.at[at].get(mode="promise_in_bounds")
        + beside * pixels.at[at + 1].get(mode="promise_in_bounds")
        for at in (first, first + width)
    )
    return (1 - below) * upper + below * lower


def _whole_and_rest(places, size):
    places = jnp.clip(places, 0, size - 1)
    whole = jnp.minimum(jnp.floor(places), size - 2)
    return whole.astype(jnp.int32), (places - whole)[..., None]


def recolour(images, matrices):
    """Each pixel's colours (x, 1) times the matrix: [b, h, w, c] and [b, 4, 4] -> [b, h, w, c].

    One channel, x, is taken for (x, x, x), and the mean of what these become is the result. ValueError: another number.
    """
    b, h, w, c = images.shape
    if c not in (1, 3):
        raise ValueError(f"colours of images with {c} channels: give images of 1 or 3")
    linear, offset = matrices[:, :3, :3], matrices[:, None, :3, 3]
    if c == 1:
        linear, offset = (jnp.sum(a, axis=(1, 2), keepdims=True) / 3 for a in (linear, offset))
    pixels = images.reshape(b, h * w, c)
    changed = jnp.matmul(pixels, linear.swapaxes(1, 2), precision=_EXACT) + offset
    return changed.reshape(images.shape).astype(images.dtype)
