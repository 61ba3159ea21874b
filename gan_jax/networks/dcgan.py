"""DCGAN (Radford, Metz & Chintala 2016), for images of 8 to 511 pixels whose sides halve well.

The generator projects the latent to an image whose smaller side has 4 to 7 pixels (2 for 8 pixels) and doubles it by
4x4 transposed convolutions; the critic mirrors it. `width` is the number of channels at half the image's size, and each
halving doubles it, up to 16 widths. `dtype` is that of the computation, such as bfloat16, None for the inputs'; what
comes out has the inputs' in any case.
"""

import math
from typing import Any

import jax.numpy as jnp
from flax import linen as nn

from gan_jax.networks.conditional import parted
from gan_jax.networks.conv import Conv, ConvTranspose
from gan_jax.networks.layers import MinibatchDeviation, Norm, doubled, halved, halvings, problem_of_images

# The paper draws the weights from N(0, 0.02), which leaves a critic without batch norm nearly flat for its first
# thousand updates. He's variance, fan-in for fan-in, does not.
_INIT = nn.initializers.he_normal()
# Of a transposed convolution's 4x4 taps, an output pixel hears 2x2: a quarter of the fan-in that he_normal counts.
_INIT_TRANSPOSE = nn.initializers.variance_scaling(8.0, "fan_in", "truncated_normal")


def check_shape(shape: tuple[int, ...]) -> str:
    """What is wrong with samples of this shape, in words; empty where nothing is."""
    return problem_of_images("dcgan", _halvings, shape)


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
        doublings = _halvings(self.shape[:2])
        first, *channels = reversed(doubled(self.width, doublings))
        smallest = *halved(self.shape[:2], doublings), first
        use_bias = self.norm != "batch"  # batch norm has a shift of its own
        x = nn.Dense(math.prod(smallest), use_bias=use_bias, kernel_init=_INIT, dtype=self.dtype)(latents)
        x = x.reshape(-1, *smallest)
        for features in channels:
            x = nn.relu(Norm(self.norm, train, self.momentum, self.dtype)(x, condition))
            x = ConvTranspose(features, use_bias=use_bias, kernel_init=_INIT_TRANSPOSE, dtype=self.dtype)(x)
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
    group: int = 0

    @nn.compact
    def __call__(self, samples, train: bool, condition=None):
        x = samples
        for layer, features in enumerate(doubled(self.width, _halvings(samples.shape[1:3]))):
            norm = self.norm if layer else "none"
            x = Conv(features, use_bias=norm != "batch", kernel_init=_INIT, dtype=self.dtype)(x)
            x = nn.leaky_relu(Norm(norm, train, dtype=self.dtype)(x), 0.2)
        features = MinibatchDeviation(self.group)(x).reshape(x.shape[0], -1)
        logits = nn.Dense(1, kernel_init=_INIT, dtype=self.dtype)(features)[:, 0].astype(jnp.result_type(samples))
        return self.head(logits, features, condition) if self.head else logits


def _halvings(sides):
    return halvings(sides) if min(sides) > 8 else 2
