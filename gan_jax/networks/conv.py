"""Convolutions closed under differentiation.

A convolution layer is one trilinear form, of images x, a kernel w and images y,

    T(x, w, y) = sum over n, i, j, p, q, c, o of  x[n, s i + p - t, s j + q - l, c]  w[p, q, c, o]  y[n, i, j, o]

with stride s, t rows of zeros above x and l columns to its left. It is read in three ways, each a bilinear map: what
stands in front of y, of w, or of x.

    T(x, w, y)  =  <correlate(x, w), y>  =  <w, weight_gradient(x, y)>  =  <x, input_gradient(y, w)>

The first is the convolution of deep learning, the third its transpose (what GAN generators are made of). And since a
bilinear map is linear in each argument, its derivative in one argument is another reading of the same form:

    correlate:         dx = input_gradient(dy, w)     dw = weight_gradient(x, dy)
    weight_gradient:   dx = input_gradient(y, dw)     dy = correlate(x, dw)
    input_gradient:    dy = correlate(dx, w)          dw = weight_gradient(dx, y)

So the three maps are closed: a gradient, the gradient of a gradient penalty, and all that come after are made of these
three, and whoever makes three things fast has made every derivative fast. That needs doing by hand, because XLA's own
rules lead elsewhere. On a CPU it has fast code for a convolution of images [n, h, w, c] by a kernel [h, w, c, o], of
any stride and with holes in the kernel. Its rule for weights asks for a convolution with batch and channels swapped,
which falls to a naive loop: 200 times slower. So the maps are written, for a CPU, in the words that it understands:

  * `correlate` is a native convolution.
  * `weight_gradient` is one as well, whose batch is x's channels, whose channels are the batch, and whose kernel is y,
    with holes where the stride skips: sum over (i, j, n) of x'[c, p + s i, q + s j, n] y'[i, j, n, o]. Once x and y are
    really transposed, and not only said to be, it is an ordinary convolution.
  * `input_gradient` of stride 1 is `correlate` of y with the kernel turned by 180 degrees. Of a larger stride s, it is
    one matrix product, y times all taps of the kernel, which are then added up where they overlap: k*k planes of which
    each pixel receives about (k/s)^2. The dilated convolution instead would multiply by the zeros between y's pixels.

And an image that is smaller than its kernel, as 2 x 2 pixels under 3 x 3 taps, is padded before it is convolved: XLA
would exchange the two, and so come to the naive loop again.

On other platforms all three are native convolutions, which cuDNN and the TPU compiler know by their shapes. The
platform is asked for inside the maps, while the program is lowered, so networks know nothing of it.

A population under `vmap`, each member with its own kernel, goes through a CPU's convolutions one member after another:
XLA would make grouped convolutions of them, for which a CPU has no fast code.

All images are [n, h, w, c], all kernels [h, w, c_in, c_out], in float32 or bfloat16. A mesh needs Auto axes. Reverse
mode, to any order: a forward-mode derivative (`jax.jvp`, `jax.linearize`, `jax.hessian`) raises a TypeError. What it is
wanted for, two reverse-mode ones give: `jax.jacrev(jax.jacrev(f))` for a Hessian, and for a directional derivative
`jax.vjp` of the linear function that `jax.vjp` returns.
"""

import functools
import math
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from flax import linen as nn

CACHE = 2**22  # bytes that a matrix product may write before they are used: what a few cores keep in their caches
_LAYOUT = ("NHWC", "HWIO", "NHWC")


class Window(NamedTuple):
    """How a kernel moves over an image: in steps of `stride`, from `padding` zeros before it to as many after it.

    `padding` is ((top, bottom), (left, right)) and such that the last step ends at the last padded row and column;
    a negative number leaves rows out. So the three shapes of a convolution determine each other:
    h + top + bottom = s (i - 1) + p, for x [n, h, ...], w [p, ...] and y [n, i, ...], and so for the columns.
    """

    stride: int = 1
    padding: tuple[tuple[int, int], tuple[int, int]] = ((0, 0), (0, 0))


ONE_BY_ONE = Window()


def correlate(x, w, window=ONE_BY_ONE):
    """Cross-correlation: images x [n, h, w, c], kernel w [p, q, c, o] -> images [n, i, j, o]."""
    return _correlate(*_varying_alike(x, w), window)


def weight_gradient(x, y, window=ONE_BY_ONE):
    """Derivative of <correlate(x, w), y> by w: images x [n, h, w, c] and y [n, i, j, o] -> kernel [p, q, c, o]."""
    return _weight_gradient(*_varying_alike(x, y), window)


def input_gradient(y, w, window=ONE_BY_ONE):
    """Derivative of <correlate(x, w), y> by x: images y [n, i, j, o], kernel w [p, q, c, o] -> images [n, h, w, c]."""
    return _input_gradient(*_varying_alike(y, w), window)


def _varying_alike(*arrays):
    """Under `shard_map`, all of them as differing from device to device where one does: derivatives do so then too."""
    varying = [jax.typeof(array).manual_axis_type.varying for array in arrays]
    missing = [tuple(frozenset().union(*varying) - axes) for axes in varying]
    pairs = zip(arrays, missing, strict=True)
    return [jax.lax.pcast(array, axes, to="varying") if axes else array for array, axes in pairs]


def _by_platform(on_cpu, elsewhere):
    """A bilinear map that is one function on a CPU, for each member of a population in turn, and another elsewhere."""

    @functools.partial(jax.custom_vjp, nondiff_argnums=(2,))
    def bilinear(a, b, window):
        cpu = _member_by_member(functools.partial(on_cpu, window=window))
        return jax.lax.platform_dependent(a, b, cpu=cpu, default=functools.partial(elsewhere, window=window))

    return bilinear


def _member_by_member(bilinear):
    """The same function, but for `vmap` over both arguments, which loops over the pairs."""
    mapped = jax.custom_batching.custom_vmap(bilinear)

    @mapped.def_vmap
    def rule(axis_size, batched, a, b):
        if all(batched):
            return jax.lax.map(lambda pair: mapped(*pair), (a, b)), True
        one_sided = jax.vmap(bilinear, [0 if axis else None for axis in batched])
        return _member_by_member(one_sided)(a, b), True  # there may be a population around it

    return mapped


def _correlate_native(x, w, window):
    strides = (window.stride, window.stride)
    return jax.lax.conv_general_dilated(x, w, strides, window.padding, dimension_numbers=_LAYOUT)


def _correlate_on_cpu(x, w, window):
    return _correlate_native(*_not_exchanged(x, w, window))


def _not_exchanged(x, w, window):
    """The arguments of the same convolution, of an image that is at least as large as the kernel.

    The barrier keeps XLA from taking the zeros back into the convolution, whose image would be too small again.
    """
    if all(size >= taps for size, taps in zip(x.shape[1:3], w.shape[:2], strict=True)):
        return x, w, window
    zeros = ((0, 0, 0), *((before, after, 0) for before, after in window.padding), (0, 0, 0))
    padded = jax.lax.pad(x, jnp.zeros((), x.dtype), zeros)
    return jax.lax.optimization_barrier(padded), w, Window(window.stride)


def _weight_gradient_native(x, y, window, layout=("CHWN", "IHWO", "HWNC")):
    """As a convolution whose batch is the channels of x, and whose kernel is y with holes of the stride."""
    holes = (window.stride, window.stride)
    return jax.lax.conv_general_dilated(x, y, (1, 1), window.padding, rhs_dilation=holes, dimension_numbers=layout)


def _weight_gradient_transposed(x, y, window):
    """The same, after transposing in earnest."""
    image, kernel, window = _not_exchanged(x.transpose(3, 1, 2, 0), y.transpose(1, 2, 0, 3), window)
    by_channel = _weight_gradient_native(image, kernel, window, _LAYOUT)
    return by_channel.transpose(1, 2, 0, 3)


def _input_gradient_native(y, w, window):
    """As a convolution of y, with stride - 1 zeros between its pixels, by the turned kernel."""
    turned, padding = _turned(w, window)
    holes = (window.stride, window.stride)
    return jax.lax.conv_general_dilated(y, turned, (1, 1), padding, lhs_dilation=holes, dimension_numbers=_LAYOUT)


def _input_gradient_on_cpu(y, w, window):
    if window.stride > 1:
        return _input_gradient_by_taps(y, w, window)
    turned, padding = _turned(w, window)
    return _correlate_on_cpu(y, turned, Window(1, padding))


def _turned(w, window):
    """The kernel that leads back, and the zeros around y."""
    around = zip(w.shape[:2], window.padding, strict=True)
    padding = tuple((size - 1 - before, size - 1 - after) for size, (before, after) in around)
    return jnp.flip(w, (0, 1)).swapaxes(2, 3), padding


def _input_gradient_by_taps(y, w, window):
    """As one matrix product with all taps, [n i j, o] x [o, p q c], whose overlapping planes are then added up.

    A part of the batch at a time, so that the planes are still in the cache when they are added up. A part takes one
    sample out of so many, not neighbours: of a batch that is sharded over devices, each device adds to every part.
    """
    taps = jnp.moveaxis(w, 3, 0).reshape(w.shape[3], -1)

    def of_part(y):
        products = jnp.einsum("nijo,ot->nijt", y, taps, preferred_element_type=jnp.float32)
        return _overlap_add(products.reshape(*y.shape[:3], *w.shape[:3]), window).astype(y.dtype)

    parts = _parts_in_cache(y.shape[0], math.prod(y.shape[1:3]) * math.prod(w.shape[:3]) * y.dtype.itemsize)
    if parts == 1:
        return of_part(y)
    images = jax.lax.map(of_part, y.reshape(-1, parts, *y.shape[1:]).swapaxes(0, 1)).swapaxes(0, 1)
    return images.reshape(-1, *images.shape[2:])


def _parts_in_cache(batch, bytes_per_sample):
    """The least number of parts of which each takes no more than CACHE bytes, or as many as there can be.

    Each is of a multiple of eight samples, so that up to eight devices have equal shares in it.
    """
    if jax.export.is_symbolic_dim(batch):
        return 1
    allowed = [parts for parts in range(1, batch + 1) if batch % (8 * parts) == 0] or [1]
    return next((parts for parts in allowed if batch * bytes_per_sample <= CACHE * parts), allowed[-1])


def _overlap_add(products, window):
    """image[s i + p - top, s j + q - left] is the sum of products[i, j, p, q]: [n, i, j, p, q, c] -> [n, h, w, c].

    A step of the stride moves the kernel by one block of s x s pixels: so the products are cut into such blocks, and
    those that lie in the same place are added up.
    """
    stride, ((top, bottom), (left, right)) = window
    batch, rows, columns, height, width, channels = products.shape
    down, across = -(-height // stride), -(-width // stride)
    filled = ((0, down * stride - height), (0, across * stride - width))
    blocks = jnp.pad(products, ((0, 0), (0, 0), (0, 0), *filled, (0, 0)))
    blocks = blocks.reshape(batch, rows, columns, down, stride, across, stride, channels)
    first, *others = (
        jnp.pad(blocks[:, :, :, a, :, b], ((0, 0), (a, down - 1 - a), (b, across - 1 - b), (0, 0), (0, 0), (0, 0)))
        for a in range(down)
        for b in range(across)
    )
    summed = sum(others, first)
    image = summed.swapaxes(2, 3).reshape(batch, (rows + down - 1) * stride, (columns + across - 1) * stride, channels)
    image_height = stride * (rows - 1) + height - top - bottom
    image_width = stride * (columns - 1) + width - left - right
    below, beyond = top + image_height - image.shape[1], left + image_width - image.shape[2]
    cuts = ((0, 0, 0), (-top, below, 0), (-left, beyond, 0), (0, 0, 0))  # negative ones add rows of zeros
    return jax.lax.pad(image, jnp.zeros((), image.dtype), cuts)


_correlate = _by_platform(_correlate_on_cpu, _correlate_native)
_weight_gradient = _by_platform(_weight_gradient_transposed, _weight_gradient_native)
_input_gradient = _by_platform(_input_gradient_on_cpu, _input_gradient_native)

_correlate.defvjp(
    lambda x, w, window: (correlate(x, w, window), (x, w)),
    lambda window, saved, dy: (input_gradient(dy, saved[1], window), weight_gradient(saved[0], dy, window)),
)
_weight_gradient.defvjp(
    lambda x, y, window: (weight_gradient(x, y, window), (x, y)),
    lambda window, saved, dw: (input_gradient(saved[1], dw, window), correlate(saved[0], dw, window)),
)
_input_gradient.defvjp(
    lambda y, w, window: (input_gradient(y, w, window), (y, w)),
    lambda window, saved, dx: (correlate(dx, saved[1], window), weight_gradient(dx, saved[0], window)),
)


class Conv(nn.Module):
    """Convolution, with flax's parameters: [n, h, w, c] -> [n, i, j, features].

    Attributes:
      features: channels of the output.
      kernel_size, stride: the same for rows and columns.
      padding: `SAME` for ceil(h / stride) rows, as if zeros lay around the image (an odd one more after it than before
        it), or `VALID` for as many as whole windows fit.
      use_bias, kernel_init: as in flax.
      dtype: of the computation, such as bfloat16; None for that of the input and the parameters, which are float32.
    """

    features: int
    kernel_size: int = 4
    stride: int = 2
    padding: str = "SAME"
    use_bias: bool = True
    kernel_init: nn.initializers.Initializer = nn.initializers.lecun_normal()
    dtype: Any = None

    @nn.compact
    def __call__(self, x):
        window = _window(self, x.shape[1:3])
        return _with_parameters(self, x, lambda x, kernel: correlate(x, kernel, window))


class ConvTranspose(nn.Module):
    """Transposed convolution, [n, i, j, c] -> [n, h, w, features]; attributes as those of `Conv`.

    The kernel parameter is [p, q, c, features]: input pixel (i, j) adds x[i, j, c] kernel[p, q, c, o] to output pixel
    (s i + p - t, s j + q - l); flax's `ConvTranspose` turns its kernel. There are s i output rows for `SAME`, and
    s (i - 1) + max(k, s) for `VALID`, of kernels of k pixels; t and l are floor((k - s) / 2) for `SAME`, else 0.

    So for k >= s `VALID` is PyTorch's `ConvTranspose2d(padding=0)`, and `SAME` its `padding=(k - s) / 2` if k - s is
    even. If it is odd, as of 3 x 3 or 5 x 5 taps and stride 2, PyTorch's users give `padding=(k - s + 1) / 2` and
    `output_padding=1`: that is ours moved by a pixel, up and to the left.
    """

    features: int
    kernel_size: int = 4
    stride: int = 2
    padding: str = "SAME"
    use_bias: bool = True
    kernel_init: nn.initializers.Initializer = nn.initializers.lecun_normal()
    dtype: Any = None

    @nn.compact
    def __call__(self, x):
        _check_sizes(self)
        overhang = max(self.kernel_size - self.stride, 0) if self.padding == "VALID" else 0
        window = _window(self, [self.stride * size + overhang for size in x.shape[1:3]])
        return _with_parameters(self, x, lambda x, kernel: input_gradient(x, kernel.swapaxes(2, 3), window))


class ConvMeanPool(nn.Module):
    """A convolution of stride 1, then the mean of every 2 x 2 pixels: [n, 2 h, 2 w, c] -> [n, h, w, features].

    Both at once, as one convolution of stride 2, by the kernel that is the sum of the layer's four times, each a pixel
    further, over 4. For 3 x 3 taps on 2 x 2 pixels, these are 16 products instead of 36, and the image before pooling
    is never written. Attributes and parameters are those of `Conv`, for odd sizes and even images.
    """

    features: int
    kernel_size: int = 3
    use_bias: bool = True
    kernel_init: nn.initializers.Initializer = nn.initializers.lecun_normal()
    dtype: Any = None

    @nn.compact
    def __call__(self, x):
        window = _window_of_pairs(self, x.shape[1:3])
        return _with_parameters(self, x, lambda x, kernel: correlate(x, _summed_over_pairs(kernel) / 4, window))


class UpsampleConv(nn.Module):
    """Each pixel as 2 x 2 equal ones, then a convolution of stride 1: [n, h, w, c] -> [n, 2 h, 2 w, features].

    Both at once, as `ConvMeanPool` does it: its transpose, times 4, by the turned kernel.
    """

    features: int
    kernel_size: int = 3
    use_bias: bool = True
    kernel_init: nn.initializers.Initializer = nn.initializers.lecun_normal()
    dtype: Any = None

    @nn.compact
    def __call__(self, x):
        window = _window_of_pairs(self, [2 * size for size in x.shape[1:3]])

        def upsampled(x, kernel):
            turned = jnp.flip(kernel, (0, 1)).swapaxes(2, 3)
            return input_gradient(x, _summed_over_pairs(turned), window)

        return _with_parameters(self, x, upsampled)


def _window_of_pairs(layer, sizes):
    """The window of stride 2 that sees what one of stride 1 sees from both pixels of a pair."""
    if layer.kernel_size % 2 != 1 or any(size % 2 for size in sizes):
        raise ValueError(f"a kernel of {layer.kernel_size} on {tuple(sizes)} pixels; give an odd size and even images")
    around = (layer.kernel_size // 2,) * 2
    return Window(2, (around, around))


def _summed_over_pairs(kernel):
    """[p, q, c, o] -> [p + 1, q + 1, c, o]: the sum of the kernel in each of four places."""
    for axis in (0, 1):
        after, before = ([(0, 0)] * 4 for _ in range(2))
        after[axis], before[axis] = (0, 1), (1, 0)
        kernel = jnp.pad(kernel, after) + jnp.pad(kernel, before)
    return kernel


def _with_parameters(layer, x, bilinear):
    kernel = layer.param("kernel", layer.kernel_init, (layer.kernel_size,) * 2 + (x.shape[-1], layer.features))
    bias = layer.param("bias", nn.initializers.zeros_init(), (layer.features,)) if layer.use_bias else None
    x, kernel, bias = nn.dtypes.promote_dtype(x, kernel, bias, dtype=layer.dtype)
    return bilinear(x, kernel) if bias is None else bilinear(x, kernel) + bias


def _window(layer, sizes):
    """The window of a layer over an image of these sizes; a ValueError where there is none."""
    _check_sizes(layer)

    def around(size):
        if layer.padding == "SAME":
            steps = -(-size // layer.stride)
        elif layer.padding == "VALID":
            steps = (size - layer.kernel_size) // layer.stride + 1
        else:
            raise ValueError(f"padding={layer.padding!r} of a convolution; give SAME or VALID")
        if steps < 1:
            raise ValueError(f"an image of {size} pixels is too small for a VALID kernel of {layer.kernel_size}")
        total = layer.stride * (steps - 1) + layer.kernel_size - size
        before = max(total, 0) // 2
        return before, total - before

    height, width = map(around, sizes)
    return Window(layer.stride, (height, width))


def _check_sizes(layer):
    if not all(isinstance(size, int) and size > 0 for size in (layer.kernel_size, layer.stride)):
        raise ValueError(f"kernel_size={layer.kernel_size}, stride={layer.stride} of a convolution; give whole numbers")
