"""Images at twice and at half their size through the filter [1, 3, 3, 1], as in StyleGAN2 (arXiv:1912.04958).

The filter is separable, its taps sum to 1, and beyond the border lie zeros. Going up, zeros come between the pixels and
the filter has four times its gain, so that an even surface keeps its value. Each output is a sum of neighbours with
fixed weights: shifted copies of the image, which a CPU adds up faster than it convolves channel by channel.

The two convolutions with 3 x 3 taps are those of the authors' code: the filter comes after the transposed convolution,
and before the one of stride 2, and neither cuts anything off in between.
"""

import jax.numpy as jnp

from gan_jax.networks.conv import Window, correlate, input_gradient

TAPS = 1 / 8, 3 / 8, 3 / 8, 1 / 8
_FULL = Window(2)  # of a convolution of stride 2 that sees nothing beyond the image


def upsampled(x):
    """[b, h, w, c] -> [b, 2 h, 2 w, c]: pixels at 1/4 and 3/4 between two of the former, linearly; 0 beyond them."""
    for axis in (1, 2):
        before, after = _shifted(x, axis, -1), _shifted(x, axis, 1)
        pairs = jnp.stack([(before + 3 * x) / 4, (3 * x + after) / 4], axis + 1)
        x = pairs.reshape(*x.shape[:axis], 2 * x.shape[axis], *x.shape[axis + 1 :])
    return x


def downsampled(x):
    """[b, 2 h, 2 w, c] -> [b, h, w, c]: the weighted mean of four pixels along each axis, of which two are its own."""
    for axis in (1, 2):
        pairs = x.reshape(*x.shape[:axis], x.shape[axis] // 2, 2, *x.shape[axis + 1 :])
        first, second = (jnp.take(pairs, index, axis + 1) for index in (0, 1))
        x = (_shifted(second, axis, -1) + 3 * (first + second) + _shifted(first, axis, 1)) / 8
    return x


def filtered(x, around: int):
    """[b, h, w, c] -> [b, h + 2 around - 3, w + 2 around - 3, c]: with so many zeros on every side first."""
    for axis in (1, 2):
        zeros = [(0, 0)] * 4
        zeros[axis] = around, around
        padded, size = jnp.pad(x, zeros), x.shape[axis] + 2 * around - 3
        a, b, c, d = (_slice(padded, axis, start, size) for start in range(4))
        x = TAPS[0] * (a + d) + TAPS[1] * (b + c)
    return x


def correlate_to_half(x, kernel):
    """The filter, then a convolution of stride 2: [b, 2 h, 2 w, c], kernel [3, 3, c, o] -> [b, h, w, o]."""
    return correlate(filtered(x, 2), kernel, _FULL)


def transpose_to_double(x, kernel):
    """A transposed convolution of stride 2, then the filter: [b, h, w, c], kernel [3, 3, c, o] -> [b, 2 h, 2 w, o].

    Pixel (i, j) adds x[i, j, c] kernel[p, q, c, o] to pixel (2 i + p, 2 j + q) of what is filtered.
    """
    return 4 * filtered(input_gradient(x, kernel.swapaxes(2, 3), _FULL), 1)


def _shifted(x, axis, step):
    """x[i + step] along an axis, 0 beyond its ends; step is 1 or -1."""
    zeros = [(0, 0)] * x.ndim
    zeros[axis] = (0, 1) if step > 0 else (1, 0)
    return _slice(jnp.pad(x, zeros), axis, max(step, 0), x.shape[axis])


def _slice(x, axis, start, size):
    return x[(slice(None),) * axis + (slice(start, start + size),)]
