"""How a condition enters a network, and what a critic says of it. A condition is [b, k]: labels one-hot, or codes.

A generator takes one array, its latent and the condition side by side, and a generator with `classes` hands the
condition to its norms. A critic takes samples, which may have the condition in further channels, and ends in a head.
"""

from typing import Any

import jax.numpy as jnp
from flax import linen as nn


def joined(x, condition):
    """[b, ..., c] and [b, k] -> [b, ..., c + k]: each number of the condition as a channel (Mirza & Osindero 2014)."""
    spread = condition.reshape(x.shape[0], *(1,) * (x.ndim - 2), -1)
    return jnp.concatenate([x, jnp.broadcast_to(spread, (*x.shape[:-1], condition.shape[-1]))], axis=-1)


def parted(inputs, classes: int):
    """A generator's input [b, latent_dim + classes] -> (latents [b, latent_dim], condition); all, and None, for 0."""
    return (inputs[:, :-classes], inputs[:, -classes:]) if classes else (inputs, None)


class Projection(nn.Module):
    """logit + <condition V, features>: the projection critic (Miyato & Koyama 2018, arXiv:1802.05637, eq. 4)."""

    dtype: Any = None

    @nn.compact
    def __call__(self, logits, features, condition):
        projected = nn.Dense(features.shape[-1], use_bias=False, kernel_init=_GLOROT, dtype=self.dtype, name="table")
        return logits + jnp.sum(projected(condition) * features, axis=-1).astype(logits.dtype)


class Recognition(nn.Module):
    """(logits [b], what the features tell of the condition [b, outputs]): logits of classes, means of codes.

    One affine layer, as in AC-GAN (Odena et al. 2017, arXiv:1610.09585); a further hidden layer before it, of
    `hidden` units, as in InfoGAN (Chen et al. 2016, arXiv:1606.03657).
    """

    outputs: int
    hidden: int = 0
    dtype: Any = None

    @nn.compact
    def __call__(self, logits, features, condition):
        if self.hidden:
            features = nn.leaky_relu(nn.Dense(self.hidden, dtype=self.dtype)(features), 0.1)
        return logits, nn.Dense(self.outputs, dtype=self.dtype)(features).astype(logits.dtype)


_GLOROT = nn.initializers.glorot_uniform()
