import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from gan_jax.training import optimizers

START, LR, B1, B2 = np.float32([1, -2, 0, 0.5]), 0.01, 0.5, 0.9
# Gradients of 1e-9 and 0 show whether epsilon is inside the root.
GRADIENTS = np.float32([[1, -3, 1e-9, 0], [0.5, 2, 1e-9, 0], [-4, 0.1, -1e-9, 0], [2, 1, 1e-9, 1]])


def descend(name):
    """Parameters after each update, the hyperparameters being traced."""

    @jax.jit
    def run(lr, b1, b2):
        transform = getattr(optimizers, name)(lr, b1, b2)

        def update(carry, gradient):
            params, state = carry
            updates, state = transform.update(gradient, state, params)
            params = optax.apply_updates(params, updates)
            return (params, state), params

        return jax.lax.scan(update, (jnp.asarray(START), transform.init(START)), GRADIENTS)[1]

    return run(LR, B1, B2)


def numpy_rmsprop(gradients):
    x, square = START.astype(float), np.zeros(4)
    for g in gradients:
        square = 0.99 * square + 0.01 * g**2
        x = x - LR * g / (np.sqrt(square) + 1e-8)
        yield x


def numpy_adam(gradients):
    x, mean, square = START.astype(float), np.zeros(4), np.zeros(4)
    for t, g in enumerate(gradients, start=1):
        mean, square = B1 * mean + (1 - B1) * g, B2 * square + (1 - B2) * g**2
        x = x - LR * (mean / (1 - B1**t)) / (np.sqrt(square / (1 - B2**t)) + 1e-8)
        yield x


def numpy_sgd(gradients):
    return START - LR * np.cumsum(gradients, axis=0)


@pytest.mark.parametrize(("name", "by_hand"), [("rmsprop", numpy_rmsprop), ("adam", numpy_adam), ("sgd", numpy_sgd)])
def test_is_its_formula(name, by_hand):
    """For RMSprop that is decay 0.99 and epsilon 1e-8 outside the root; optax's own default is 0.9 and inside."""
    np.testing.assert_allclose(descend(name), list(by_hand(GRADIENTS.astype(float))), rtol=1e-5, atol=1e-8)


@pytest.mark.parametrize(
    ("name", "peer", "arguments"),
    [("rmsprop", "RMSprop", {}), ("adam", "Adam", {"betas": (B1, B2)}), ("sgd", "SGD", {})],
)
def test_is_pytorchs_with_pytorchs_defaults(name, peer, arguments):
    torch = pytest.importorskip("torch")
    params = torch.tensor(START, requires_grad=True)
    optimizer = getattr(torch.optim, peer)([params], lr=LR, **arguments)
    for gradient, ours in zip(GRADIENTS, descend(name), strict=True):
        params.grad = torch.tensor(gradient)
        optimizer.step()
        np.testing.assert_allclose(ours, params.detach(), rtol=1e-5, atol=1e-8)
