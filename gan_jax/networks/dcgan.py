"""DCGAN (Radford, Metz & Chintala 2016), for images of 8, 16, 32 or 64 pixels.

The generator projects the latent to a 4x4 image (2x2 for 8 pixels) and doubles it by 4x4 transposed convolutions; the
critic mirrors it. `width` is the number of channels at half the image's size, and each halving doubles it. `dtype` is
that of the computation, such as bfloat16, None for the inputs'; what comes out has the inputs' in any case.
"""

import math
from typing import Any

import jax.numpy as jnp
from flax import linen as nn

from gan_jax.networks.conditional import parted
from gan_jax.networks.conv import Conv, ConvTranspose
from gan_jax.networks.layers import Norm, problem_of_square

SIZES = (8, 16, 32, 64)
# The paper draws the weights from N(0, 0.02), which leaves a critic without batch norm nearly flat for its first
# thousand updates. He's variance, fan-in for fan-in, does not.
_INIT = nn.initializers.he_normal()
# Of a transposed convolution's 4x4 taps, an output pixel hears 2x2: a quarter of the fan-in that he_normal counts.
_INIT_TRANSPOSE = nn.initializers.variance_scaling(8.0, "fan_in", "truncated_normal")


def check_shape(shape: tuple[int, ...]) -> str:
    """What is wrong with samples of this shape, in words; empty where nothing is."""
    return problem_of_square("dcgan", SIZES, shape)


class Generator(nn.Module):
    """Latents [b, latent_dim] -> images [b, h, w, c] in [-1, 1]."""

    shape: tuple[int, ...]
    width: int
    depth: int
    norm: str
    momentum: float = 0.9
    dtype: Any = None
    classes: int = 0

    @nn.compact
    def __call__(self, latents, train: bool):
        latents, condition = parted(latents, self.classes)
        base, doublings = _plan(self.shape[0])
        use_bias = self.norm != "batch"  # batch norm has a shift of its own
        channels = self.width * 2 ** (doublings - 1)
        x = nn.Dense(base * base * channels, use_bias=use_bias, kernel_init=_INIT, dtype=self.dtype)(latents)
        x = x.reshape(-1, base, base, channels)
        for _ in range(doublings - 1):
            x = nn.relu(Norm(self.norm, train, self.momentum, self.dtype)(x, condition))
            channels //= 2
            x = ConvTranspose(channels, use_bias=use_bias, kernel_init=_INIT_TRANSPOSE, dtype=self.dtype)(x)
        x = nn.relu(Norm(self.norm, train, self.momentum, self.dtype)(x, condition))
        # Half of that deviation: the first images lie where tanh is steep, and 500 steps on they are visibly cleaner.
        x = ConvTranspose(self.shape[2], kernel_init=_INIT, dtype=self.dtype)(x)
        return jnp.tanh(x.astype(jnp.result_type(latents)))


class Critic(nn.Module):
    """Images [b, h, w, c] -> logits [b]. No normalisation on the first layer, as in the paper."""

    width: int
    depth: int
    norm: str
    dtype: Any = None
    head: nn.Module | None = None

    @nn.compact
    def __call__(self, samples, train: bool, condition=None):
        _, halvings = _plan(samples.shape[1])
        x = samples
        for layer in range(halvings):
            norm = self.norm if layer else "none"
            x = Conv(self.width * 2**layer, use_bias=norm != "batch", kernel_init=_INIT, dtype=self.dtype)(x)
            x = nn.leaky_relu(Norm(norm, train, dtype=self.dtype)(x), 0.2)
        features = x.reshape(x.shape[0], -1)
        logits = nn.Dense(1, kernel_init=_INIT, dtype=self.dtype)(features)[:, 0].astype(jnp.result_type(samples))
        return self.head(logits, features, condition) if self.head else logits


def _plan(size):
    """Pixels of the smallest image, and how often it is doubled."""
    base = 4 if size > 8 else 2
    return base, int(math.log2(size // base))
