"""Layers with an equalised learning rate, of Progressive GAN and StyleGAN (Karras et al. 2018, arXiv:1710.10196, 4.1).

Parameters are drawn from N(0, 1) and divided by the root of their fan-in whenever they are used. So an optimiser that
knows no scale, as Adam, moves all of them alike. Activations are leaky ReLUs of slope 0.2 with a gain of sqrt 2, which
keeps the variance of what comes in.
"""

import math
from typing import Any

import jax.numpy as jnp
from flax import linen as nn

from gan_jax.networks.conv import Window, correlate
from gan_jax.networks.resampling import correlate_to_half

NORMAL = nn.initializers.normal(1.0)


class Dense(nn.Module):
    """[b, c] -> [b, features], in float32.

    rate: what a step of the optimiser counts for, 0.01 in mapping networks: parameters start as much larger. bias: what
    it starts at.
    """

    features: int
    rate: float = 1.0
    bias: float = 0.0

    @nn.compact
    def __call__(self, x):
        kernel = self.param("kernel", nn.initializers.normal(1 / self.rate), (x.shape[-1], self.features))
        bias = self.param("bias", nn.initializers.constant(self.bias), (self.features,))
        return x.astype(kernel.dtype) @ (kernel * (self.rate / math.sqrt(x.shape[-1]))) + bias * self.rate


class Conv(nn.Module):
    """[b, h, w, c] -> [b, h, w, features], or half of the sides: see `correlate_to_half`, for 3 x 3 taps."""

    features: int
    kernel_size: int = 3
    is_down: bool = False
    use_bias: bool = True
    dtype: Any = None

    @nn.compact
    def __call__(self, x):
        shape = self.kernel_size, self.kernel_size, x.shape[-1], self.features
        kernel = self.param("kernel", NORMAL, shape) / math.sqrt(math.prod(shape[:3]))
        bias = self.param("bias", nn.initializers.zeros_init(), (self.features,)) if self.use_bias else None
        x, kernel, bias = nn.dtypes.promote_dtype(x, kernel, bias, dtype=self.dtype)
        x = correlate_to_half(x, kernel) if self.is_down else correlate(x, kernel, same(self.kernel_size))
        return x if bias is None else x + bias


def same(kernel_size: int) -> Window:
    """The window of stride 1 that keeps the sides of an image, for an odd size."""
    return Window(1, ((kernel_size // 2,) * 2,) * 2)


def activated(x, clamp: float = 0.0, gain: float = 1.0):
    """Leaky ReLU times sqrt 2 and gain, cut off at +-clamp times gain where that is not 0."""
    return clamped(nn.leaky_relu(x, 0.2) * (math.sqrt(2) * gain), clamp * gain)


def clamped(x, bound: float):
    """Cut off at +-bound; as it is for 0."""
    return jnp.clip(x, -bound, bound) if bound else x
