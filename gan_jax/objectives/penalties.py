"""What is added to the critic's loss, or done to its weights, to keep it smooth.

A penalty is a pure function `(critic_fn, real [b, ...], fake [b, ...], key) -> scalar >= 0`, without its weight:
`config.penalty.weight` multiplies it in the train step. `critic_fn` maps a batch to logits [b], all else closed over,
and must treat the samples of a batch independently: no batch norm. |g| is the norm of a sample's own gradient, over all
of its pixels and channels. To add a penalty, write one function of these four arguments: `config.penalty.name` is its
name. A mean of |g|^2 takes a fifth, `squared_norms=squared_gradient_norms`, and is then estimated without a second
derivative where that is `finite_difference` instead: `(critic_fn, x [b, ...], key) -> [b]` either way.
"""

import jax
import jax.numpy as jnp
import numpy as np
import optax


def squared_gradient_norms(critic_fn, x, key=None):
    """|grad_x f(x)|_2^2 of each sample; x [b, ...] -> [b], whatever the key. No root, so none to take care of at 0."""
    return jnp.sum(jnp.square(_gradients(critic_fn, x)), axis=1)


def finite_difference(sigma, judged=()):
    """An estimate of the squared norms: ((f(x + s e) - f(x)) / s)^2 of each sample, with one e ~ N(0, I) for each.

    Recipes of 2025 and later take s = sigma = 0.01, as GAT does with R3GAN's penalties (arXiv:2509.24935). With g the
    gradient, H the Hessian and tr H the Laplacian of a smooth f at x,

        mean = |g|^2 + s^2 ((tr H)^2 / 4 + |H|_F^2 / 2 + g . grad tr H) + O(s^4),    variance = 2 |g|^4 + O(s^2),

    so that a mean over n samples is off by about sqrt(2 / n) of itself. A leaky ReLU has no H, but kinks on the way to
    x + s e, the more of them the larger s. Too small an s is lost in rounding: logits that are right to u |f| add about
    2 (u f / s)^2. At s = 0.01 that is nothing in float32, u = 6e-8; in bfloat16, u = 4e-3, it is more than |g|^2, and
    x + s e has moved on a grid as coarse as the move. `python -m gan_jax.studies.finite_difference` shows all of this.

    judged: what is known already, as (x, critic_fn, f(x) [b]): where the norms of that very array are asked for, its
    logits are these, and its moved samples go through this critic_fn, as where f draws an augmentation that both must
    share. Gradients by the critic's parameters flow through both logits.
    """

    def squared_norms(critic_fn, x, key):
        of_this = [(its_fn, logits) for known, its_fn, logits in judged if known is x]
        critic_fn, logits = of_this[0] if of_this else (critic_fn, critic_fn(x))
        moved = critic_fn(x + sigma * jax.random.normal(key, x.shape, x.dtype))
        return jnp.square((moved - logits) / sigma)

    return squared_norms


def gradient_penalty(critic_fn, real, fake, key):
    """WGAN-GP: E (|grad f(x_hat)| - 1)^2 between reals and fakes (Gulrajani et al. 2017, arXiv:1704.00028)."""
    return _from_one(critic_fn, interpolate(real, fake, key))


def one_sided(critic_fn, real, fake, key):
    """WGAN-LP: E max(0, |grad f(x_hat)| - 1)^2 between reals and fakes (Petzka et al. 2018, arXiv:1709.08894)."""
    norms = gradient_norms(critic_fn, interpolate(real, fake, key))
    return jnp.mean(jnp.square(jax.nn.relu(norms - 1.0)))


def zero_centered(critic_fn, real, fake, key, squared_norms=squared_gradient_norms):
    """E |grad f(x_hat)|^2 between reals and fakes, without a half (Thanh-Tung et al. 2019, arXiv:1902.03984)."""
    return jnp.mean(squared_norms(critic_fn, interpolate(real, fake, key), jax.random.fold_in(key, 1)))


def dragan(critic_fn, real, fake, key):
    """E (|grad f(x_hat)| - 1)^2 around the reals alone (Kodali et al. 2017, arXiv:1705.07215).

    The form of the authors' code: x_hat = x + t * 0.5 * std * u, with u ~ U[0, 1) for every pixel, one t ~ U[0, 1) for
    each sample, and std the standard deviation of all numbers of the minibatch.
    """
    noise_key, interpolation_key = jax.random.split(key)
    noise = 0.5 * jnp.std(real) * jax.random.uniform(noise_key, real.shape, real.dtype)
    return _from_one(critic_fn, interpolate(real + noise, real, interpolation_key))


def r1(critic_fn, real, fake, key, squared_norms=squared_gradient_norms):
    """E |grad f(x)|^2 / 2 on reals: its weight is gamma (Mescheder et al. 2018, arXiv:1801.04406, eq. 9)."""
    return jnp.mean(squared_norms(critic_fn, real, key)) / 2


def r2(critic_fn, real, fake, key, squared_norms=squared_gradient_norms):
    """E |grad f(G(z))|^2 / 2 on fakes (Mescheder et al. 2018, eq. 10)."""
    return jnp.mean(squared_norms(critic_fn, fake, key)) / 2


def r1_r2(critic_fn, real, fake, key, squared_norms=squared_gradient_norms):
    """The sum of `r1` and `r2`, which share their weight, as in R3GAN (Huang et al. 2024, arXiv:2501.05441)."""
    of_reals = r1(critic_fn, real, fake, key, squared_norms)
    return of_reals + r2(critic_fn, real, fake, jax.random.fold_in(key, 1), squared_norms)


def interpolate(real, fake, key):
    """x_hat = t x + (1 - t) G(z), with one t ~ U[0, 1) for each sample; [b, ...] -> [b, ...]."""
    t = jax.random.uniform(key, (real.shape[0],) + (1,) * (real.ndim - 1), real.dtype)
    return t * real + (1.0 - t) * fake


def gradient_norms(critic_fn, x):
    """|grad_x f(x)|_2 of each sample; x [b, ...] -> [b]. Differentiable again, with gradient 0 where the norm is 0."""
    # The root's own derivative is infinite at 0 and would turn the critic's gradient into NaN.
    return optax.safe_norm(_gradients(critic_fn, x), 0.0, axis=1)


def of_share(x, share):
    """The rows that a penalty is computed on: n = max(1, round(share b)) of x [b, ...], evenly spaced -> [n, ...].

    share: a number in (0, 1], not traced. Where n divides b, each device takes those of its own part of the batch.
    """
    b, n = len(x), max(1, round(share * len(x)))
    if n == b:
        return x  # the very array: what is known of it may be told by that
    return x.reshape(n, b // n, *x.shape[1:])[:, 0] if b % n == 0 else x[np.arange(n) * b // n]


def clip_weights(params, bound):
    """Every parameter to [-bound, bound], after each update of the critic (Arjovsky et al. 2017, algorithm 1)."""
    return jax.tree.map(lambda w: jnp.clip(w, -bound, bound), params)


def _from_one(critic_fn, x):
    return jnp.mean(jnp.square(gradient_norms(critic_fn, x) - 1.0))


def _gradients(critic_fn, x):
    """Each sample's own gradient, [b, numbers of a sample]: those of the sum, since samples don't mix."""
    gradients = jax.grad(lambda x: jnp.sum(critic_fn(x)))(x)
    return gradients.reshape(gradients.shape[0], -1)
