import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from gan_jax.networks import conv

LAYOUT = ("NHWC", "HWIO", "NHWC")


def normal(*shape, seed=0):
    return np.random.default_rng(seed).normal(size=shape).astype(np.float32)


def lax_conv(x, kernel):
    return jax.lax.conv_general_dilated(x, kernel, (2, 2), ((1, 1), (1, 1)), dimension_numbers=LAYOUT)


def lax_conv_transpose(x, kernel):
    """The adjoint of stride is dilation, that of padding 1 is padding 4 - 1 - 1, that of a kernel is its rotation."""
    rotated, padding = jnp.flip(kernel, (0, 1)), ((2, 2), (2, 2))
    return jax.lax.conv_general_dilated(x, rotated, (1, 1), padding, lhs_dilation=(2, 2), dimension_numbers=LAYOUT)


REFERENCES = {conv.Conv: lax_conv, conv.ConvTranspose: lax_conv_transpose}


def ours(layer, features):
    return lambda x, kernel: layer(features, use_bias=False).apply({"params": {"kernel": kernel}}, x)


def derivatives(function, order):
    """The value of <u, tanh(function)> and its gradients, each projected on random vectors and derived again."""

    def value(*args):
        y = function(*args)
        return jnp.sum(jnp.tanh(y) * normal(*y.shape, seed=1))

    def projection(inner, seed):
        gradients = jax.grad(inner, argnums=(0, 1))
        return lambda *args: sum(jnp.vdot(g, normal(*g.shape, seed=seed)) for g in gradients(*args))

    values = [value]
    for seed in range(2, 1 + order):
        values.append(projection(values[-1], seed))
    return jax.jit(lambda *args: [jax.value_and_grad(value, argnums=(0, 1))(*args) for value in values])


def assert_close(ours, theirs, tolerance=2e-5):
    """Relative to the largest entry: a sum of floats of both signs has no relative accuracy of its own."""
    for a, b in zip(jax.tree.leaves(ours), jax.tree.leaves(theirs), strict=True):
        np.testing.assert_allclose(a, b, atol=tolerance * max(1, np.abs(b).max()), rtol=0)


@pytest.mark.parametrize("layer", REFERENCES)
@pytest.mark.parametrize(
    ("order", "batch", "height", "width", "channels", "features"),
    [(3, 3, 4, 4, 2, 5), (2, 1, 2, 6, 3, 1), (2, 2, 8, 2, 1, 4)],
)
def test_derivatives_are_those_of_laxs_dilated_convolution(layer, order, batch, height, width, channels, features):
    x, kernel = normal(batch, height, width, channels), normal(4, 4, channels, features, seed=9) / 4
    expected = derivatives(REFERENCES[layer], order)(x, kernel)
    assert_close(derivatives(ours(layer, features), order)(x, kernel), expected, tolerance=5e-5)


@pytest.mark.parametrize("layer", REFERENCES)
def test_values_are_laxs_and_the_bias_is_added(layer):
    x, kernel, bias = normal(2, 6, 4, 3), normal(4, 4, 3, 5, seed=1), normal(5, seed=2)
    y = layer(5).apply({"params": {"kernel": kernel, "bias": bias}}, x)
    assert_close(y, REFERENCES[layer](x, kernel) + bias)


@pytest.mark.parametrize("layer", REFERENCES)
def test_parameters_are_flaxs_of_a_4x4_convolution(layer):
    def shapes(layer):
        variables = jax.eval_shape(layer.init, jax.random.key(0), jnp.zeros((1, 4, 4, 3)))
        return jax.tree.map(jnp.shape, variables)

    for use_bias in (True, False):
        assert shapes(layer(5, use_bias=use_bias)) == shapes(nn.Conv(5, (4, 4), use_bias=use_bias))


@pytest.mark.parametrize("layer", REFERENCES)
def test_agrees_with_pytorch_to_the_second_derivative(layer):
    torch = pytest.importorskip("torch")
    x, kernel = normal(2, 4, 6, 3), normal(4, 4, 3, 5, seed=1) / 4

    def penalty(x, kernel):
        slopes = jax.grad(lambda x: jnp.sum(jnp.tanh(ours(layer, 5)(x, kernel))))(x)
        return jnp.sum(slopes**4)

    def torch_penalty(x, kernel):
        function, order = {
            conv.Conv: (torch.nn.functional.conv2d, (3, 2, 0, 1)),
            conv.ConvTranspose: (torch.nn.functional.conv_transpose2d, (2, 3, 0, 1)),
        }[layer]
        y = function(x.permute(0, 3, 1, 2), kernel.permute(order), stride=2, padding=1)
        (slopes,) = torch.autograd.grad(torch.tanh(y).sum(), x, create_graph=True)
        return (slopes**4).sum()

    arguments = torch.tensor(x, requires_grad=True), torch.tensor(kernel, requires_grad=True)
    expected = torch_penalty(*arguments)
    expected.backward()
    value, gradients = jax.jit(jax.value_and_grad(penalty, argnums=(0, 1)))(x, kernel)
    assert_close(value, expected.item())
    assert_close(gradients, [argument.grad.numpy() for argument in arguments])


@pytest.mark.parametrize("weight_gradient", [conv._weight_gradient_by_taps, conv._weight_gradient_native])
@pytest.mark.parametrize(("rows", "columns"), [(1, 1), (2, 2), (3, 1), (2, 4)])
def test_correlate_and_both_weight_gradients_are_their_sums(weight_gradient, rows, columns):
    """The definitions of the module's docstring, written with loops in float64."""
    x, w = normal(2, 5, 4, 3).astype(float), normal(rows, columns, 3, 2, seed=1).astype(float)
    y = normal(2, 6 - rows, 5 - columns, 2, seed=2).astype(float)
    window = {(p, q): x[:, p : p + y.shape[1], q : q + y.shape[2]] for p in range(rows) for q in range(columns)}
    correlated = sum(window[p, q] @ w[p, q] for p, q in window)
    gradient = np.stack(
        [[np.tensordot(window[p, q], y, ((0, 1, 2),) * 2) for q in range(columns)] for p in range(rows)]
    )
    assert_close(conv.correlate(np.float32(x), np.float32(w)), correlated)
    assert_close(weight_gradient(np.float32(x), np.float32(y)), gradient)


def test_space_to_depth_takes_2x2_blocks_in_the_order_row_column_channel():
    image = np.arange(4 * 2 * 2).reshape(1, 4, 2, 2)  # pixel (i, j) has channels 4i + 2j and 4i + 2j + 1
    assert conv.space_to_depth(image).tolist() == [[[[0, 1, 2, 3, 4, 5, 6, 7]], [[8, 9, 10, 11, 12, 13, 14, 15]]]]
    other = normal(2, 3, 6, 4, 5)
    np.testing.assert_array_equal(conv.depth_to_space(conv.space_to_depth(other)), other)
    np.testing.assert_array_equal(conv.space_to_depth(conv.depth_to_space(other[..., :4])), other[..., :4])


@pytest.mark.parametrize("layer", REFERENCES)
def test_a_population_under_vmap_has_its_own_kernels(layer):
    x, kernels = normal(3, 2, 4, 4, 2), normal(3, 4, 4, 2, 3, seed=1)
    together = jax.jit(jax.vmap(derivatives(ours(layer, 3), 2)))(x, kernels)
    reference = derivatives(REFERENCES[layer], 2)
    one_by_one = [reference(*pair) for pair in zip(x, kernels, strict=True)]
    assert_close(together, jax.tree.map(lambda *members: np.stack(members), *one_by_one), tolerance=5e-5)


@pytest.mark.parametrize("layer", REFERENCES)
def test_gradient_descent_in_a_scan_is_that_of_lax_in_a_python_loop(layer):
    xs, kernel = normal(3, 2, 4, 4, 2), normal(4, 4, 2, 3, seed=1) / 4

    def descent(function):
        return lambda kernel, x: kernel - 0.01 * derivatives(function, 2)(x, kernel)[1][1][1]

    scanned, _ = jax.jit(lambda k: jax.lax.scan(lambda k, x: (descent(ours(layer, 3))(k, x), None), k, xs))(kernel)
    looped, step = kernel, jax.jit(descent(REFERENCES[layer]))
    for x in xs:
        looped = step(looped, x)
    assert np.abs(looped - kernel).max() > 0.01
    assert_close(scanned, looped)


def test_forward_mode_is_refused():
    x, w = normal(1, 3, 3, 1), normal(2, 2, 1, 1)
    with pytest.raises(TypeError, match="forward-mode"):
        jax.jvp(conv.correlate, (x, w), (x, w))
