"""What is added to the critic's loss, or done to its weights, to keep it smooth.

A penalty is a pure function `(critic_fn, real [b, ...], fake [b, ...], key) -> scalar >= 0`, without its weight:
`config.penalty.weight` multiplies it in the train step. `critic_fn` maps a batch to logits [b], all else closed over,
and must treat the samples of a batch independently: no batch norm. |g| is the norm of a sample's own gradient, over all
of its pixels and channels. To add a penalty, write one function of these four arguments: `config.penalty.name` is its
name.
"""

import jax
import jax.numpy as jnp
import optax


def gradient_penalty(critic_fn, real, fake, key):
    """WGAN-GP: E (|grad f(x_hat)| - 1)^2 between reals and fakes (Gulrajani et al. 2017, arXiv:1704.00028)."""
    return _from_one(critic_fn, interpolate(real, fake, key))


def one_sided(critic_fn, real, fake, key):
    """WGAN-LP: E max(0, |grad f(x_hat)| - 1)^2 between reals and fakes (Petzka et al. 2018, arXiv:1709.08894)."""
    norms = gradient_norms(critic_fn, interpolate(real, fake, key))
    return jnp.mean(jnp.square(jax.nn.relu(norms - 1.0)))


def zero_centered(critic_fn, real, fake, key):
    """E |grad f(x_hat)|^2 between reals and fakes, without a half (Thanh-Tung et al. 2019, arXiv:1902.03984)."""
    return jnp.mean(squared_gradient_norms(critic_fn, interpolate(real, fake, key)))


def dragan(critic_fn, real, fake, key):
    """E (|grad f(x_hat)| - 1)^2 around the reals alone (Kodali et al. 2017, arXiv:1705.07215).

    The form of the authors' code: x_hat = x + t * 0.5 * std * u, with u ~ U[0, 1) for every pixel, one t ~ U[0, 1) for
    each sample, and std the standard deviation of all numbers of the minibatch.
    """
    noise_key, interpolation_key = jax.random.split(key)
    noise = 0.5 * jnp.std(real) * jax.random.uniform(noise_key, real.shape, real.dtype)
    return _from_one(critic_fn, interpolate(real + noise, real, interpolation_key))


def r1(critic_fn, real, fake, key):
    """E |grad f(x)|^2 / 2 on reals: its weight is gamma (Mescheder et al. 2018, arXiv:1801.04406, eq. 9)."""
    return jnp.mean(squared_gradient_norms(critic_fn, real)) / 2


def r2(critic_fn, real, fake, key):
    """E |grad f(G(z))|^2 / 2 on fakes (Mescheder et al. 2018, eq. 10)."""
    return jnp.mean(squared_gradient_norms(critic_fn, fake)) / 2


def r1_r2(critic_fn, real, fake, key):
    """The sum of `r1` and `r2`, which share their weight, as in R3GAN (Huang et al. 2024, arXiv:2501.05441)."""
    return r1(critic_fn, real, fake, key) + r2(critic_fn, real, fake, key)


def interpolate(real, fake, key):
    """x_hat = t x + (1 - t) G(z), with one t ~ U[0, 1) for each sample; [b, ...] -> [b, ...]."""
    t = jax.random.uniform(key, (real.shape[0],) + (1,) * (real.ndim - 1), real.dtype)
    return t * real + (1.0 - t) * fake


def gradient_norms(critic_fn, x):
    """|grad_x f(x)|_2 of each sample; x [b, ...] -> [b]. Differentiable again, with gradient 0 where the norm is 0."""
    # The root's own derivative is infinite at 0 and would turn the critic's gradient into NaN.
    return optax.safe_norm(_gradients(critic_fn, x), 0.0, axis=1)


def squared_gradient_norms(critic_fn, x):
    """|grad_x f(x)|_2^2 of each sample; x [b, ...] -> [b]. No root, so none that would need care at 0."""
    return jnp.sum(jnp.square(_gradients(critic_fn, x)), axis=1)


def clip_weights(params, bound):
    """Every parameter to [-bound, bound], after each update of the critic (Arjovsky et al. 2017, algorithm 1)."""
    return jax.tree.map(lambda w: jnp.clip(w, -bound, bound), params)


def _from_one(critic_fn, x):
    return jnp.mean(jnp.square(gradient_norms(critic_fn, x) - 1.0))


def _gradients(critic_fn, x):
    """Each sample's own gradient, [b, numbers of a sample]: those of the sum, since samples don't mix."""
    gradients = jax.grad(lambda x: jnp.sum(critic_fn(x)))(x)
    return gradients.reshape(gradients.shape[0], -1)
