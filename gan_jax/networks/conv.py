"""Convolutions closed under differentiation.

A gradient penalty needs gradients of gradients of convolutions. XLA on a CPU has no fast path for the convolutions that
these produce (dilated ones, and ones with batch and features swapped), and inside a loop it has none for a plain weight
gradient either. So every convolution here is written with stride-1, undilated maps alone, of two kinds:

    correlate(x, w)[n, i, j, o]        = sum over p, q, c of  x[n, i+p, j+q, c] w[p, q, c, o]
    weight_gradient(x, y)[p, q, c, o]  = sum over n, i, j of  x[n, i+p, j+q, c] y[n, i, j, o]

Both are bilinear, and <correlate(x, w), y> = <w, weight_gradient(x, y)>. The third way to read this trilinear form,
as linear in x, is a correlation again: of y, padded by the kernel's size less one, with the kernel turned by 180
degrees and its channels swapped (`input_gradient`). So each map's derivatives are the two maps again, to any order:

    correlate:        dx = input_gradient(dy, w)      dw = weight_gradient(x, dy)
    weight_gradient:  dx = input_gradient(y, dw)      dy = correlate(x, dw)

Strides become reshapes. A 4x4 convolution of stride 2 sees its input in 2x2 blocks: after `space_to_depth` it is a 2x2
convolution of stride 1 over 4 times the channels. Its transpose is a 2x2 convolution to 4 times the channels, followed
by `depth_to_space`.

On a CPU `weight_gradient` is one matrix product for each kernel tap; elsewhere the native convolution is the right one.
All images are [n, h, w, c], all kernels [h, w, c_in, c_out]. Reverse mode only: a forward-mode derivative (`jax.jvp`)
of these raises a TypeError.
"""

import jax
import jax.numpy as jnp
from flax import linen as nn

_LAYOUT = ("NHWC", "HWIO", "NHWC")


@jax.custom_vjp
def correlate(x, w):
    """Valid, stride-1 cross-correlation: x [n, h, w, c], w [p, q, c, o] -> [n, h-p+1, w-q+1, o]."""
    return jax.lax.conv_general_dilated(x, w, (1, 1), "VALID", dimension_numbers=_LAYOUT)


@jax.custom_vjp
def weight_gradient(x, y):
    """Derivative of <correlate(x, w), y> by w: x [n, h, w, c], y [n, h-p+1, w-q+1, o] -> [p, q, c, o]."""
    return jax.lax.platform_dependent(x, y, cpu=_weight_gradient_by_taps, default=_weight_gradient_native)


def input_gradient(y, w):
    """Derivative of <correlate(x, w), y> by x: y [n, h-p+1, w-q+1, o], w [p, q, c, o] -> [n, h, w, c]."""
    height, width = w.shape[0] - 1, w.shape[1] - 1
    padded = jnp.pad(y, ((0, 0), (height, height), (width, width), (0, 0)))
    return correlate(padded, jnp.flip(w, (0, 1)).swapaxes(2, 3))


def _weight_gradient_by_taps(x, y):
    rows, columns = y.shape[1], y.shape[2]

    def tap(p, q):
        return jnp.einsum("nijc,nijo->co", x[:, p : p + rows, q : q + columns], y)

    taps = [[tap(p, q) for q in range(x.shape[2] - columns + 1)] for p in range(x.shape[1] - rows + 1)]
    return jnp.stack([jnp.stack(row) for row in taps])


def _weight_gradient_native(x, y):
    """As a convolution whose batch is the channels of x, and whose kernel is y."""
    return jax.lax.conv_general_dilated(x, y, (1, 1), "VALID", dimension_numbers=("CHWN", "IHWO", "HWNC"))


correlate.defvjp(
    lambda x, w: (correlate(x, w), (x, w)),
    lambda saved, dy: (input_gradient(dy, saved[1]), weight_gradient(saved[0], dy)),
)
weight_gradient.defvjp(
    lambda x, y: (weight_gradient(x, y), (x, y)),
    lambda saved, dw: (input_gradient(saved[1], dw), correlate(saved[0], dw)),
)


def space_to_depth(x):
    """Each 2x2 block becomes one pixel: [..., 2h, 2w, c] -> [..., h, w, 4c], channels in the order (row, column, c)."""
    *lead, height, width, channels = x.shape
    blocks = x.reshape(*lead, height // 2, 2, width // 2, 2, channels)
    return jnp.moveaxis(blocks, -4, -3).reshape(*lead, height // 2, width // 2, 4 * channels)


def depth_to_space(x):
    """The inverse of `space_to_depth`: [..., h, w, 4c] -> [..., 2h, 2w, c]."""
    *lead, height, width, channels = x.shape
    pixels = x.reshape(*lead, height, width, 2, 2, channels // 4)
    return jnp.moveaxis(pixels, -3, -4).reshape(*lead, 2 * height, 2 * width, channels // 4)


class Conv(nn.Module):
    """4x4 convolution of stride 2 and padding 1, which halves an even image: [n, 2h, 2w, c] -> [n, h, w, features].

    The kernel parameter is [4, 4, c, features], as in flax and PyTorch.
    """

    features: int
    use_bias: bool = True
    kernel_init: nn.initializers.Initializer = nn.initializers.lecun_normal()

    @nn.compact
    def __call__(self, x):
        kernel = self.param("kernel", self.kernel_init, (4, 4, x.shape[-1], self.features))
        # The kernel, as an image whose channels are (c_in, c_out), falls into the same 2x2 blocks as the input.
        blocks = space_to_depth(kernel.reshape(4, 4, -1)).reshape(2, 2, 4 * x.shape[-1], self.features)
        padded = jnp.pad(x, ((0, 0), (1, 1), (1, 1), (0, 0)))
        return _add_bias(self, correlate(space_to_depth(padded), blocks))


class ConvTranspose(nn.Module):
    """4x4 transposed convolution of stride 2 and padding 1, which doubles an image: [n, h, w, c] -> [n, 2h, 2w, o].

    The kernel parameter is [4, 4, c, features]: input pixel (i, j) adds x[i, j, c] kernel[p, q, c, o] to output pixel
    (2i + p - 1, 2j + q - 1), as PyTorch's `ConvTranspose2d(kernel_size=4, stride=2, padding=1)` does.
    """

    features: int
    use_bias: bool = True
    kernel_init: nn.initializers.Initializer = nn.initializers.lecun_normal()

    @nn.compact
    def __call__(self, x):
        kernel = self.param("kernel", self.kernel_init, (4, 4, x.shape[-1], self.features))
        # Output (2I + r - 1, 2J + s - 1), of block (I, J), hears input (I - a, J - b) through kernel (2a + r, 2b + s).
        taps = kernel.reshape(2, 2, 2, 2, x.shape[-1], self.features)[::-1, :, ::-1]
        blocks = taps.transpose(0, 2, 4, 1, 3, 5).reshape(2, 2, x.shape[-1], 4 * self.features)
        padded = jnp.pad(x, ((0, 0), (1, 1), (1, 1), (0, 0)))
        return _add_bias(self, depth_to_space(correlate(padded, blocks))[:, 1:-1, 1:-1])


def _add_bias(module, y):
    if not module.use_bias:
        return y
    return y + module.param("bias", nn.initializers.zeros_init(), (module.features,))
