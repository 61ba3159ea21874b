"""What is added to the critic's loss, or done to its weights, to keep it smooth.

A penalty is a pure function `(critic_fn, real [b, ...], fake [b, ...], key) -> scalar >= 0`, without its weight:
`config.penalty.weight` multiplies it in the train step. `critic_fn` maps a batch to logits [b], all else closed over,
and must treat the samples of a batch independently: no batch norm.
"""

import jax
import jax.numpy as jnp
import optax


def gradient_penalty(critic_fn, real, fake, key):
    """E (|grad f(x_hat)|_2 - 1)^2 on random points x_hat between reals and fakes (Gulrajani et al. 2017, eq. 3).

    The norm is each sample's own, over all of its pixels and channels.
    """
    norms = gradient_norms(critic_fn, interpolate(real, fake, key))
    return jnp.mean(jnp.square(norms - 1.0))


def interpolate(real, fake, key):
    """x_hat = t x + (1 - t) G(z), with one t ~ U[0, 1) for each sample; [b, ...] -> [b, ...]."""
    t = jax.random.uniform(key, (real.shape[0],) + (1,) * (real.ndim - 1), real.dtype)
    return t * real + (1.0 - t) * fake


def gradient_norms(critic_fn, x):
    """|grad_x f(x)|_2 of each sample; x [b, ...] -> [b]. Differentiable again, with gradient 0 where the norm is 0."""
    gradients = jax.grad(lambda x: jnp.sum(critic_fn(x)))(x)
    flat = gradients.reshape(gradients.shape[0], -1)
    # The root's own derivative is infinite at 0 and would turn the critic's gradient into NaN.
    return optax.safe_norm(flat, 0.0, axis=1)


def clip_weights(params, bound):
    """Every parameter to [-bound, bound], after each update of the critic (Arjovsky et al. 2017, algorithm 1)."""
    return jax.tree.map(lambda w: jnp.clip(w, -bound, bound), params)
