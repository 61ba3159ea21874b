"""What a generator may minimise beside its adversarial loss.

A term is a pure function that returns a scalar, without its weight, and is known by what it takes, some of

    params       of the generator
    fake         [b, ...]: the samples of this minibatch's latents
    w            [b, ...]: what this minibatch's latents were mapped to; the latents, where a generator maps none
    images_of    (w, stride=1) -> samples, all else closed over; stride k: those of w[::k], with their conditions. For
                 derivatives by w, of each sample by its own: not of a generator with batch norm. One that draws
                 noise draws it anew
    key          random numbers of this update
    memory       what it returned for the update before

`memory` is as in critic_terms.py. To add a term, write one function: `config.generator.NAME.weight` turns it on.
"""

import math

import jax
import jax.numpy as jnp
import optax

from gan_jax.objectives.critic_terms import orthogonal

__all__ = ["orthogonal", "path_length"]

TAKEN = {"params", "fake", "w", "images_of", "key", "memory"}
PATH_DECAY, PATH_STRIDE = 0.01, 2


def path_length(images_of, w, key, memory=0.0):
    """E (|J^T y| - a)^2: a step in w shall change images by as much everywhere (Karras et al. 2020, arXiv:1912.04958).

    J is the derivative of an image by its w, y ~ N(0, I) / sqrt(pixels), and |.| the root of the sum of squares, or of
    its mean over layers where w is [b, layers, d]. a is remembered, and follows the mean of |J^T y| by a hundredth in
    each update. The authors' code has weight 2, every 4 in a step of its own, and half of a minibatch, as here.
    """
    some = w[::PATH_STRIDE]
    images, back = jax.vjp(lambda w: images_of(w, PATH_STRIDE), some)
    noise = jax.random.normal(key, images.shape, images.dtype) / math.sqrt(math.prod(images.shape[1:-1]))
    (slopes,) = back(noise)
    layers = math.prod(slopes.shape[1:-1])
    lengths = optax.safe_norm(slopes.reshape(len(some), -1), 0.0, axis=1) / math.sqrt(layers)
    mean = memory + PATH_DECAY * (jnp.mean(lengths) - memory)
    return jnp.mean(jnp.square(lengths - mean)), jax.lax.stop_gradient(mean)
