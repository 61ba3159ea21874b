"""The references are jax.lax's convolution in float64, loops over the definition, flax and PyTorch."""

import functools
import itertools
import os
import pathlib
import subprocess
import sys

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.sharding import AxisType, NamedSharding, PartitionSpec

from gan_jax.networks import conv

LAYERS = [conv.Conv, conv.ConvTranspose]

# Nearly all the time here is compilation; this halves it, and the programs compute the same.
jit = functools.partial(jax.jit, compiler_options={"xla_backend_optimization_level": 0})


def normal(*shape, seed=0):
    return np.random.default_rng(seed).normal(size=shape).astype(np.float32)


def ours(layer, features, *options, **fields):
    """Of images and a kernel."""
    module = layer(features, *options, use_bias=False, **fields)
    return lambda x, kernel: module.apply({"params": {"kernel": kernel}}, x)


def lax_conv(x, kernel, stride=2, padding="SAME"):
    return jax.lax.conv_general_dilated(x, kernel, (stride,) * 2, padding, dimension_numbers=("NHWC", "HWIO", "NHWC"))


def lax_conv_transpose(x, kernel, stride=2, padding="SAME"):
    """The adjoint of lax's convolution, of images as large as the docstring says."""
    batch, *sizes, _ = x.shape
    sizes = [stride * n if padding == "SAME" else stride * (n - 1) + max(kernel.shape[0], stride) for n in sizes]
    image = jax.ShapeDtypeStruct((batch, *sizes, kernel.shape[-1]), x.dtype)
    return jax.linear_transpose(lambda image: lax_conv(image, kernel.swapaxes(2, 3), stride, padding), image)(x)[0]


REFERENCES = {conv.Conv: lax_conv, conv.ConvTranspose: lax_conv_transpose}


def derivatives(function, order=2):
    """The function, the gradients of <u, tanh(function)>, those of their projection on random vectors, and so on."""

    def value(*args):
        y = function(*args)
        return jnp.sum(jnp.tanh(y) * normal(*y.shape, seed=1))

    def projection(gradients, seed):
        return lambda *args: sum(jnp.vdot(g, normal(*g.shape, seed=seed)) for g in gradients(*args))

    gradients = [jax.grad(value, argnums=(0, 1))]
    for seed in range(2, 1 + order):
        gradients.append(jax.grad(projection(gradients[-1], seed), argnums=(0, 1)))
    return lambda *args: [f(*args) for f in (function, *gradients)]


def in_float64(function, *args):
    with jax.enable_x64(True):
        return jax.tree.map(np.asarray, jit(function)(*jax.tree.map(lambda a: np.asarray(a, np.float64), args)))


def assert_close(ours, theirs, tolerance=1e-5):
    """Relative to the largest entry: a sum of floats of both signs has no relative accuracy of its own."""
    for a, b in zip(jax.tree.leaves(ours), jax.tree.leaves(theirs), strict=True):
        assert np.shape(a) == np.shape(b)
        np.testing.assert_allclose(np.asarray(a, np.float64), b, atol=tolerance * np.abs(b).max(), rtol=0)


SHAPES = [(2, 5, 6, 2, 3), (1, 6, 7, 1, 4), (2, 8, 5, 3, 1)]  # batch, height, width, channels, features
CASES = list(zip(itertools.product((1, 3, 4, 5), (1, 2), ("SAME", "VALID")), itertools.cycle(SHAPES)))


def assert_derivatives_are_laxs(layer, options, shape, order):
    (size, *window), (batch, height, width, channels, features) = options, shape
    x, kernel = normal(batch, height, width, channels), normal(size, size, channels, features, seed=9) / size
    found = jit(derivatives(ours(layer, features, *options), order))(x, kernel)
    assert_close(found, in_float64(derivatives(lambda x, k: REFERENCES[layer](x, k, *window), order), x, kernel))


@pytest.mark.parametrize("layer", LAYERS)
@pytest.mark.parametrize(
    ("options", "shape"), [pytest.param(*case, marks=[] if case in CASES[::5] else pytest.mark.slow) for case in CASES]
)
def test_values_and_first_and_second_derivatives_are_laxs(layer, options, shape):
    assert_derivatives_are_laxs(layer, options, shape, order=2)


@pytest.mark.slow
@pytest.mark.parametrize("layer", LAYERS)
def test_third_derivatives_are_laxs(layer):
    assert_derivatives_are_laxs(layer, (3, 2, "SAME"), (2, 4, 3, 2, 3), order=3)


@pytest.mark.slow
@pytest.mark.parametrize("layer", LAYERS)
@pytest.mark.parametrize(("batch", "parts"), [(16, 2), (24, 3), (17, 1)])
def test_an_input_gradient_in_parts_has_the_same_derivatives(monkeypatch, layer, batch, parts):
    monkeypatch.setattr(conv, "CACHE", 1)
    assert conv._parts_in_cache(batch, 100) == parts
    assert_derivatives_are_laxs(layer, (4, 2, "SAME"), (batch, 4, 6, 2, 3), order=2)


def test_a_part_is_as_large_as_the_cache_allows():
    assert [conv._parts_in_cache(64, conv.CACHE // n) for n in (64, 63, 16, 15, 2)] == [1, 2, 4, 8, 8]


def pooled_conv(x, kernel):
    """Of stride 1, and then the means."""
    y = lax_conv(x, kernel, 1)
    return y.reshape(y.shape[0], y.shape[1] // 2, 2, y.shape[2] // 2, 2, -1).mean((2, 4))


def conv_of_upsampled(x, kernel):
    return lax_conv(x.repeat(2, 1).repeat(2, 2), kernel, 1)


FUSED = {conv.ConvMeanPool: pooled_conv, conv.UpsampleConv: conv_of_upsampled}


@pytest.mark.slow
@pytest.mark.parametrize("layer", FUSED)
@pytest.mark.parametrize("size", [1, 3, 5])
def test_a_convolution_and_its_pooling_or_upsampling_are_what_they_are_one_after_the_other(layer, size):
    x, kernel = normal(2, 4, 6, 3), normal(size, size, 3, 2, seed=9) / size
    found = jit(derivatives(ours(layer, 2, size)))(x, kernel)
    assert_close(found, in_float64(derivatives(FUSED[layer]), x, kernel))


@pytest.mark.parametrize(
    ("layer", "one_by_one"), [(conv.ConvMeanPool, pooled_conv), (conv.UpsampleConv, conv_of_upsampled)]
)
def test_a_1x1_convolution_and_pooling_or_upsampling_may_change_places(layer, one_by_one):
    """As the shortcuts of a residual network have it, with a bias too."""
    x, kernel, bias = normal(2, 4, 6, 3), normal(1, 1, 3, 2, seed=1), normal(2, seed=2)
    pooled = x.reshape(2, 2, 2, 3, 2, 3).mean((2, 4))
    swapped = pooled @ kernel[0, 0] if layer is conv.ConvMeanPool else (x @ kernel[0, 0]).repeat(2, 1).repeat(2, 2)
    assert_close(swapped + bias, one_by_one(x, kernel) + bias)
    assert_close(layer(2, 1).apply({"params": {"kernel": kernel, "bias": bias}}, x), swapped + bias)


@pytest.mark.parametrize(("layer", "size", "shape"), [(conv.ConvMeanPool, 4, (4, 4)), (conv.ConvMeanPool, 3, (4, 5))])
def test_what_has_no_pairs_is_refused(layer, size, shape):
    with pytest.raises(ValueError, match="give an odd size and even images"):
        layer(3, size).init(jax.random.key(0), normal(1, *shape, 2))


# stride, kernel, ((top, bottom), (left, right)); images y of 3 x 2 pixels determine how large x is
WINDOWS = [
    (1, (3, 3), ((1, 1), (1, 1))),
    (1, (2, 3), ((0, 2), (2, -1))),
    (1, (4, 1), ((-1, 2), (0, 0))),
    (2, (4, 4), ((1, 1), (1, 1))),
    (2, (3, 5), ((0, 1), (2, 1))),
    (2, (1, 1), ((0, -1), (0, 0))),
    (2, (4, 2), ((0, -1), (0, -1))),
    (2, (3, 4), ((-1, 2), (-2, 0))),
    (3, (4, 5), ((1, 0), (2, 2))),
    (3, (2, 3), ((1, -1), (0, -2))),
]


def trilinear(stride, kernel_size, padding):
    """Images x, kernel w, images y, and the map in front of each in T(x, w, y): the sums of the docstring, in loops."""
    rows, columns = (stride * (n - 1) + k - sum(p) for n, k, p in zip((3, 2), kernel_size, padding, strict=True))
    arrays = normal(3, rows, columns, 2), normal(*kernel_size, 2, 4, seed=1), normal(3, 3, 2, 4, seed=2)
    x, w, y = (a.astype(np.float64) for a in arrays)
    by_x, by_w, by_y = np.zeros_like(x), np.zeros_like(w), np.zeros_like(y)
    for i, j, p, q in itertools.product(*map(range, y.shape[1:3] + w.shape[:2])):
        row, column = stride * i + p - padding[0][0], stride * j + q - padding[1][0]
        if 0 <= row < rows and 0 <= column < columns:
            by_x[:, row, column] += y[:, i, j] @ w[p, q].T
            by_w[p, q] += x[:, row, column].T @ y[:, i, j]
            by_y[:, i, j] += x[:, row, column] @ w[p, q]
    return arrays, (by_x, by_w, by_y)


@pytest.mark.parametrize("window", WINDOWS)
@pytest.mark.parametrize(
    ("function", "arguments", "result"),
    [
        (conv._correlate_native, (0, 1), 2),
        (conv._weight_gradient_native, (0, 2), 1),
        (conv._weight_gradient_transposed, (0, 2), 1),
        (conv._input_gradient_native, (2, 1), 0),
        (conv._input_gradient_by_taps, (2, 1), 0),
    ],
)
def test_every_variant_of_the_maps_is_its_sum(function, arguments, result, window):
    arrays, sums = trilinear(*window)
    found = jit(function, static_argnums=2)(*(arrays[i] for i in arguments), conv.Window(window[0], window[2]))
    assert_close(found, sums[result])


@pytest.mark.parametrize("window", WINDOWS)
def test_the_three_maps_are_adjoint(window):
    (x, w, y), _ = trilinear(*window)
    window = conv.Window(window[0], window[2])

    @jit
    def products(x, w, y):
        images = conv.correlate(x, w, window)
        found = jnp.vdot(images, y), jnp.vdot(w, conv.weight_gradient(x, y, window))
        scale = jnp.linalg.norm(images) * jnp.linalg.norm(y)
        return *found, jnp.vdot(x, conv.input_gradient(y, w, window)), scale

    *found, scale = products(x, w, y)
    np.testing.assert_allclose(found, found[:1] * 3, atol=1e-6 * scale, rtol=0)


@pytest.mark.slow
@pytest.mark.parametrize("padding", ["SAME", "VALID"])
@pytest.mark.parametrize(("size", "stride"), list(itertools.product((1, 3, 4, 5), (1, 2))))
def test_conv_transpose_is_flaxs_of_the_transposed_kernel(size, stride, padding):
    x, kernel, bias = normal(2, 3, 4, 2), normal(size, size, 2, 3, seed=1), normal(3, seed=2)
    flaxs = nn.ConvTranspose(3, (size, size), (stride, stride), padding, transpose_kernel=True)
    expected = flaxs.apply({"params": {"kernel": kernel.swapaxes(2, 3), "bias": bias}}, x)
    found = conv.ConvTranspose(3, size, stride, padding).apply({"params": {"kernel": kernel, "bias": bias}}, x)
    assert_close(found, expected)


@pytest.mark.parametrize("layer", LAYERS)
def test_parameters_are_flaxs_and_a_bias_is_added(layer):
    def shapes(layer):
        return jax.tree.map(jnp.shape, jax.eval_shape(layer.init, jax.random.key(0), jnp.zeros((1, 5, 6, 3))))

    for size, use_bias in ((4, True), (4, False), (3, True)):
        assert shapes(layer(5, size, use_bias=use_bias)) == shapes(nn.Conv(5, (size, size), use_bias=use_bias))
    x, kernel, bias = normal(2, 6, 4, 3), normal(4, 4, 3, 5, seed=1), normal(5, seed=2)
    assert_close(layer(5).apply({"params": {"kernel": kernel, "bias": bias}}, x), REFERENCES[layer](x, kernel) + bias)


@pytest.mark.parametrize("layer", LAYERS)
@pytest.mark.parametrize("wrong", [{"kernel_size": 0}, {"kernel_size": (4, 4)}, {"stride": 0}, {"stride": 1.5}])
def test_sizes_that_are_no_whole_numbers_are_refused(layer, wrong):
    with pytest.raises(ValueError, match="give whole numbers"):
        layer(3, **wrong).init(jax.random.key(0), normal(1, 4, 4, 2))


def test_an_image_smaller_than_a_valid_kernel_is_refused():
    with pytest.raises(ValueError, match="too small for a VALID kernel of 5"):
        conv.Conv(3, 5, 1, "VALID").init(jax.random.key(0), normal(1, 4, 6, 2))


@pytest.mark.parametrize("layer", LAYERS)
def test_a_wrong_padding_is_named_with_those_that_are_allowed(layer):
    with pytest.raises(ValueError, match="padding") as caught:
        layer(5, padding="REFLECT").init(jax.random.key(0), jnp.zeros((1, 5, 6, 3)))
    assert str(caught.value) == "padding='REFLECT' of a convolution; give SAME or VALID"


def test_the_gradient_of_a_wgan_gp_critic_is_flaxs():
    def critic(first, second):
        return nn.Sequential([first, nn.leaky_relu, second, nn.leaky_relu, lambda y: jnp.sum(y, (1, 2, 3))])

    def gradient(critic):
        def loss(params, real, fake, between):
            f = functools.partial(critic.apply, {"params": params})
            slopes = jax.grad(lambda x: f(x).sum())(between)
            norms = jnp.sqrt(jnp.sum(slopes**2, (1, 2, 3)))
            return f(fake).mean() - f(real).mean() + 10 * ((norms - 1) ** 2).mean()

        return jax.value_and_grad(loss)

    real, fake = normal(3, 6, 5, 2), normal(3, 6, 5, 2, seed=1)
    images = real, fake, 0.3 * real + 0.7 * fake
    params = {
        "layers_0": {"kernel": normal(4, 4, 2, 4, seed=2) / 5, "bias": normal(4, seed=3)},
        "layers_2": {"kernel": normal(3, 3, 4, 3, seed=4) / 5, "bias": normal(3, seed=5)},
    }
    found = jit(gradient(critic(conv.Conv(4), conv.Conv(3, 3, 1))))(params, *images)
    flaxs = critic(nn.Conv(4, (4, 4), (2, 2)), nn.Conv(3, (3, 3)))
    assert_close(found, in_float64(gradient(flaxs), params, *images))


@pytest.mark.parametrize("layer", LAYERS)
@pytest.mark.parametrize(
    ("size", "stride", "padding", "torch_padding", "height", "width"),
    [
        (3, 1, "SAME", 1, 4, 3),
        (4, 1, "VALID", 0, 4, 6),
        (5, 1, "SAME", 2, 3, 6),
        (3, 2, "VALID", 0, 5, 6),
        (4, 2, "SAME", 1, 4, 6),
        (5, 2, "VALID", 0, 5, 8),
    ],
)
def test_agrees_with_pytorch_to_the_second_derivative(layer, size, stride, padding, torch_padding, height, width):
    torch = pytest.importorskip("torch")
    x, kernel = normal(2, height, width, 2), normal(size, size, 2, 3, seed=1) / size

    def penalty(x, kernel):
        slopes = jax.grad(lambda x: jnp.sum(jnp.tanh(ours(layer, 3, size, stride, padding)(x, kernel))))(x)
        return jnp.sum(slopes**4)

    def torch_penalty(x, kernel):
        function, order = {
            conv.Conv: (torch.nn.functional.conv2d, (3, 2, 0, 1)),
            conv.ConvTranspose: (torch.nn.functional.conv_transpose2d, (2, 3, 0, 1)),
        }[layer]
        y = function(x.permute(0, 3, 1, 2), kernel.permute(order), stride=stride, padding=torch_padding)
        (slopes,) = torch.autograd.grad(torch.tanh(y).sum(), x, create_graph=True)
        return (slopes**4).sum()

    arguments = [torch.tensor(a, dtype=torch.float64, requires_grad=True) for a in (x, kernel)]
    expected = torch_penalty(*arguments)
    expected.backward()
    found = jit(jax.value_and_grad(penalty, argnums=(0, 1)))(x, kernel)
    assert_close(found, (expected.item(), [argument.grad.numpy() for argument in arguments]))


@pytest.mark.parametrize(
    ("size", "torch_padding", "output_padding", "aside"), [(3, 1, 1, 1), (4, 1, 0, 0), (5, 2, 1, 1)]
)
def test_a_same_conv_transpose_of_an_odd_kernel_lies_a_pixel_aside_of_pytorchs(
    size, torch_padding, output_padding, aside
):
    torch = pytest.importorskip("torch")
    x, kernel = normal(2, 3, 4, 2), normal(size, size, 2, 3, seed=1)
    images, weight = torch.tensor(x.transpose(0, 3, 1, 2).copy()), torch.tensor(kernel.transpose(2, 3, 0, 1).copy())
    expected = torch.nn.functional.conv_transpose2d(
        images, weight, stride=2, padding=torch_padding, output_padding=output_padding
    )
    found = np.asarray(ours(conv.ConvTranspose, 3, size)(x, kernel))
    assert found.shape == (2, 6, 8, 3)
    expected = expected.numpy().transpose(0, 2, 3, 1)[:, : 6 - aside, : 8 - aside]
    assert_close(found[:, aside:, aside:], expected)
    assert aside == 0 or np.abs(found[:, : 6 - aside, : 8 - aside] - expected).max() > 0.1


# of images that are smaller than the kernel
SMALL = [(2, 2), (1, 1), (1, 4), (4, 2)]


@pytest.mark.parametrize("layer", LAYERS)
@pytest.mark.parametrize(("size", "stride"), [(3, 1), pytest.param(5, 2, marks=pytest.mark.slow)])
@pytest.mark.parametrize("sides", [SMALL[0], *(pytest.param(sides, marks=pytest.mark.slow) for sides in SMALL[1:])])
def test_an_image_smaller_than_the_kernel_is_not_exchanged_for_it(
    assert_convolutions_are_fast, layer, size, stride, sides
):
    """Nor in the derivatives, which are right."""
    x, kernel = normal(2, *sides, 2), normal(size, size, 2, 3, seed=1) / size
    compiled = jit(derivatives(ours(layer, 3, size, stride))).lower(x, kernel).compile()
    assert_convolutions_are_fast(compiled.as_text())
    expected = in_float64(derivatives(lambda *args: REFERENCES[layer](*args, stride)), x, kernel)
    assert_close(compiled(x, kernel), expected)


@pytest.mark.slow
@pytest.mark.parametrize("layer", LAYERS)
@pytest.mark.parametrize("axes", [[(0, None)], [(None, 0)], [(0, 0)]])
def test_nor_is_it_where_images_or_kernels_are_of_a_population(assert_convolutions_are_fast, layer, axes):
    x, kernel = normal(2, *SMALL[0], 2), normal(3, 3, 2, 3, seed=1) / 3
    function, arguments = derivatives(ours(layer, 3, 3, 1)), population(axes, x, kernel)
    compiled = jit(vmapped(function, axes)).lower(*arguments).compile()
    assert_convolutions_are_fast(compiled.as_text())
    reference = derivatives(lambda *args: REFERENCES[layer](*args, 1))
    assert_close(compiled(*arguments), in_float64(one_by_one(reference, axes), *arguments))


# in_axes of images and kernel, the outer vmap first
AXES = {
    "kernels of their own": [(0, 0)],
    "images": [(0, None)],
    "kernels": [(None, 0)],
    "other axes": [(1, 3)],
    "populations of populations": [(0, 0), (0, 0)],
    "images of each member": [(0, 0), (0, None)],
    "images of each kernel": [(None, 0), (0, None)],
}
REPEATED = "images", "kernels", "populations of populations"  # as parts of the others


def vmapped(function, axes):
    return functools.reduce(jax.vmap, reversed(axes), function)


def one_by_one(function, axes):
    """What vmap is, in a loop."""
    if not axes:
        return function
    inner = one_by_one(function, axes[1:])

    def outer(*args):
        moved = [None if axis is None else jnp.moveaxis(a, axis, 0) for a, axis in zip(args, axes[0], strict=True)]
        return jax.lax.map(lambda at: inner(*(a if m is None else m for a, m in zip(args, at, strict=True))), moved)

    return outer


def population(axes, x, kernel):
    """Of two members in each dimension, made of images and a kernel."""
    for axis_of_x, axis_of_kernel in reversed(axes):
        x = x if axis_of_x is None else np.stack([x, -2 * x], axis_of_x)
        kernel = kernel if axis_of_kernel is None else np.stack([kernel, kernel / 2], axis_of_kernel)
    return x, kernel


@pytest.mark.slow
@pytest.mark.parametrize("layer", LAYERS)
@pytest.mark.parametrize(
    "axes",
    [pytest.param(axes, marks=[pytest.mark.hours] if name in REPEATED else [], id=name) for name, axes in AXES.items()],
)
def test_vmap_before_and_after_the_derivatives_is_one_by_one(layer, axes):
    def both(transform, function):
        before, after = derivatives(transform(function, axes)), transform(derivatives(function), axes)
        return lambda *args: (before(*args), after(*args))

    arguments = population(axes, normal(2, 3, 4, 2), normal(3, 3, 2, 3, seed=1) / 3)
    found = jit(both(vmapped, ours(layer, 3, 3)))(*arguments)
    assert_close(found, in_float64(both(one_by_one, REFERENCES[layer]), *arguments))


def on_four_devices():
    """Run in a process of its own, that has them."""
    mesh = jax.make_mesh((4,), ("batch",), axis_types=(AxisType.Auto,))
    shards, everywhere = PartitionSpec("batch"), PartitionSpec()
    x, kernel = normal(8, 4, 3, 2), normal(4, 4, 2, 3, seed=1) / 4
    placed = jax.device_put(x, NamedSharding(mesh, shards)), jax.device_put(kernel, NamedSharding(mesh, everywhere))
    assert len(placed[0].sharding.device_set) == 4

    def gradients(function):
        def penalty(x, kernel):
            slopes = jax.grad(lambda x: jnp.sum(jnp.tanh(function(x, kernel))))(x)
            return jnp.sum(slopes**4)

        return jax.grad(penalty, argnums=(0, 1))

    for layer, reference in REFERENCES.items():
        expected = in_float64(derivatives(reference), x, kernel)
        found = jit(derivatives(ours(layer, 3)))(*placed)
        assert_close(found, expected)
        assert found[0].sharding.spec[0] == "batch"

        def of_shard(x, kernel, layer=layer):
            return gradients(ours(layer, 3))(x, kernel)  # by the kernel, which is everybody's: summed over the devices

        sharded = jax.shard_map(of_shard, mesh=mesh, in_specs=(shards, everywhere), out_specs=(shards, everywhere))
        assert_close(jit(sharded)(*placed), in_float64(gradients(reference), x, kernel))

    conv.CACHE = 1  # in as many parts as can be: still nothing but sums of kernel gradients travels
    x = jax.device_put(normal(32, 4, 3, 2), NamedSharding(mesh, shards))
    for layer in LAYERS:
        program = jit(gradients(ours(layer, 3))).lower(x, placed[1]).compile().as_text()
        assert "while(" in program
        assert "all-reduce" in program
        assert not any(word in program for word in ("all-gather", "all-to-all", "collective-permute"))


@pytest.mark.slow
def test_a_batch_spread_over_four_devices_gives_what_one_gives():
    code = f"import runpy; runpy.run_path({__file__!r})['on_four_devices']()"
    flags = f"{os.environ['XLA_FLAGS']} --xla_force_host_platform_device_count=4"
    environment = {"JAX_PLATFORMS": "cpu", "XLA_FLAGS": flags}
    root = pathlib.Path(__file__).parents[2]
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=root, env=os.environ | environment, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr


@pytest.mark.slow
@pytest.mark.parametrize("layer", LAYERS)
@pytest.mark.parametrize("everything", [False, True], ids=["computed in bfloat16", "all of bfloat16"])
def test_bfloat16_is_float32_to_its_accuracy(layer, everything):
    x, params = normal(1, 2, 3, 2), {"kernel": normal(4, 4, 2, 3, seed=1) / 4, "bias": normal(3, seed=2)}

    def value_and_gradients(layer):
        def value(x, params):
            y = layer.apply({"params": params}, x)
            return jnp.sum(jnp.tanh(y.astype(jnp.float32))), y

        return jit(jax.value_and_grad(value, argnums=(0, 1), has_aux=True))

    (_, y), gradients = value_and_gradients(layer(3))(x, params)
    dtype = jnp.bfloat16 if everything else jnp.float32
    module = layer(3, dtype=None if everything else jnp.bfloat16)
    arguments = jax.tree.map(lambda a: jnp.asarray(a, dtype), (x, params))
    (_, low_y), low_gradients = value_and_gradients(module)(*arguments)
    assert low_y.dtype == jnp.bfloat16
    assert {gradient.dtype for gradient in jax.tree.leaves(low_gradients)} == {jnp.dtype(dtype)}
    assert_close((low_y, low_gradients), (y, gradients), tolerance=2e-2)
    made = jax.eval_shape(module.init, jax.random.key(0), arguments[0])
    assert {parameter.dtype for parameter in jax.tree.leaves(made)} == {jnp.dtype(jnp.float32)}


def descent(function):
    """One step along a kernel's second-order gradient."""
    return lambda kernel, x: kernel - 0.01 * derivatives(function)(x, kernel)[2][1]


@pytest.mark.parametrize("layer", LAYERS)
def test_gradient_descent_in_a_scan_is_that_of_lax_in_a_python_loop(layer):
    xs, kernel = normal(3, 2, 4, 4, 2), normal(4, 4, 2, 3, seed=1) / 4
    step = descent(ours(layer, 3))
    scanned = jit(lambda k: jax.lax.scan(lambda k, x: (step(k, x), None), k, xs)[0])(kernel)
    looped = kernel
    for x in xs:
        looped = in_float64(descent(REFERENCES[layer]), looped, x)
    assert np.abs(looped - kernel).max() > 0.01
    assert_close(scanned, looped)


@pytest.mark.parametrize("layer", LAYERS)
def test_a_checkpointed_layer_has_the_same_second_derivatives(layer):
    x, kernel = normal(2, 4, 3, 2), normal(4, 4, 2, 3, seed=1) / 4
    found = jit(derivatives(jax.checkpoint(ours(layer, 3))))(x, kernel)
    assert_close(found, in_float64(derivatives(REFERENCES[layer]), x, kernel))


@pytest.mark.parametrize("function", [conv.correlate, conv.weight_gradient, conv.input_gradient])
def test_forward_mode_is_refused(function):
    a, b = normal(3, 3, 3, 3), normal(3, 3, 3, 3)  # images or kernel
    with pytest.raises(TypeError, match="forward-mode"):
        jax.jvp(function, (a, b), (a, b))


def test_a_vjp_of_a_vjp_is_the_forward_mode_derivative():
    primals = normal(2, 4, 5, 2), normal(3, 3, 2, 3, seed=1)
    tangents = normal(2, 4, 5, 2, seed=2), normal(3, 3, 2, 3, seed=3)

    @jit
    def forward(primals, tangents):
        y, pull = jax.vjp(ours(conv.Conv, 3, 3), *primals)
        return jax.vjp(pull, jnp.zeros_like(y))[1](tangents)[0]

    assert_close(forward(primals, tangents), jax.jvp(lax_conv, primals, tangents)[1])


def penalised_critics(layer, size, stride, axes, sides=(5, 6)):
    """Descent of gradient penalties in a scan, of the slopes of all images at once and of each; and its arguments."""
    function = ours(layer, 3, size, stride)

    def slopes(x, kernel):
        return jax.grad(lambda x: jnp.sum(jnp.tanh(function(x, kernel))))(x)

    def penalty(kernel, x):
        of_each = jax.vmap(lambda x: slopes(x[None], kernel))(x)
        return jnp.sum(slopes(x, kernel) ** 4) + jnp.sum(of_each**4)

    def descend(x, kernel):
        return jax.lax.scan(lambda k, _: (k - jax.grad(penalty)(k, x), None), kernel, length=2)[0]

    return jit(vmapped(descend, axes)), population(axes, normal(3, *sides, 2), normal(size, size, 2, 3))


@pytest.mark.slow
@pytest.mark.parametrize("layer", LAYERS)
@pytest.mark.parametrize(
    ("size", "stride", "axes", "sides"),
    [
        (3, 1, [(0, 0)], (5, 6)),
        (3, 1, [(0, 0)], (2, 2)),
        (4, 1, [(0, 0)], (5, 6)),
        (3, 2, [(0, 0)], (5, 6)),
        (4, 2, [(0, 0)], (5, 6)),
        (4, 2, [], (5, 6)),
        (4, 2, [], (2, 3)),
        (4, 2, [(0, 0), (None, 0)], (5, 6)),
    ],
)
def test_a_cpus_program_has_none_but_fast_convolutions(assert_convolutions_are_fast, layer, axes, size, stride, sides):
    function, arguments = penalised_critics(layer, size, stride, axes, sides)
    assert_convolutions_are_fast(function.lower(*arguments).compile().as_text())


@pytest.mark.parametrize("platform", ["cuda", "tpu"])
def test_other_platforms_get_native_convolutions_of_a_whole_population(platform):
    function, arguments = penalised_critics(conv.Conv, 4, 2, [(0, 0)])
    program = function.trace(*arguments).lower(lowering_platforms=(platform,)).as_text()
    assert "stablehlo.convolution" in program
    assert "stablehlo.dot" not in program
    assert program.count("stablehlo.while") == 1
