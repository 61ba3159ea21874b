"""Multi-layer perceptrons, for points and for small images; the toy networks of Gulrajani et al. 2017 for width 512.

`dtype` is that of the computation, such as bfloat16, None for the inputs'; what comes out has the inputs' in any case.
"""

import math
from typing import Any

import jax.numpy as jnp
from flax import linen as nn

from gan_jax.networks.conditional import parted
from gan_jax.networks.layers import MinibatchDeviation, Norm


def check_shape(shape: tuple[int, ...]) -> str:
    """What is wrong with samples of this shape: nothing ever."""
    return ""


class Generator(nn.Module):
    """Latents [b, latent_dim] -> points [b, d] in data units, or images [b, h, w, c] in [-1, 1] by tanh."""

    shape: tuple[int, ...]
    width: int
    depth: int
    norm: str
    momentum: float = 0.9
    dtype: Any = None
    classes: int = 0

    @nn.compact
    def __call__(self, latents, train: bool):
        x, condition = parted(latents, self.classes)
        for _ in range(self.depth):
            x = _dense(self.width, self.dtype, self.norm != "batch")(x)
            x = nn.relu(Norm(self.norm, train, self.momentum, self.dtype)(x, condition))
        x = _dense(math.prod(self.shape), self.dtype)(x).reshape(-1, *self.shape).astype(jnp.result_type(latents))
        return jnp.tanh(x) if len(self.shape) == 3 else x


class Critic(nn.Module):
    """Samples [b, ...] -> logits [b]."""

    width: int
    depth: int
    norm: str
    dtype: Any = None
    head: nn.Module | None = None
    group: int = 0

    @nn.compact
    def __call__(self, samples, train: bool, condition=None):
        x = samples.reshape(samples.shape[0], -1)
        for layer in range(self.depth):
            norm = self.norm if layer else "none"
            x = _dense(self.width, self.dtype, norm != "batch")(x)
            x = nn.leaky_relu(Norm(norm, train, dtype=self.dtype)(x), 0.2)
        x = MinibatchDeviation(self.group)(x)
        logits = _dense(1, self.dtype)(x)[:, 0].astype(jnp.result_type(samples))
        return self.head(logits, x, condition) if self.head else logits


def _dense(features, dtype, use_bias=True):
    return nn.Dense(features, use_bias, dtype, kernel_init=nn.initializers.he_normal())
