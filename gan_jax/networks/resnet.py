"""Residual networks of WGAN-GP (Gulrajani et al. 2017, arXiv:1704.00028) and SNGAN (Miyato et al. 2018, 1802.05957).

For images of 8 to 511 pixels. The generator doubles one whose smaller side has 4 to 7 pixels by as many blocks as that
takes. Below 64 pixels, all blocks have `width` channels, and the critic halves its image twice and adds two blocks
without, as both papers have it for CIFAR-10. From 64 on, channels fall from 16 `width` to `width` in the generator, and
rise from `width` to 16 `width` in the critic: from 64 pixels on in four blocks and in five, all of which halve, and
from 128 on in five and in six, of which the last does not halve (Miyato & Koyama 2018, arXiv:1802.05637); from 256 on
with one more of each, and BigGAN's channels (Brock et al. 2019, arXiv:1809.11096). Sides must halve without a rest.
`depth` is not used.

What the two papers do not share is as in SNGAN's code, github.com/pfnet-research/sngan_projection: the initialisation,
and that the critic sums over positions where WGAN-GP's takes the mean. Both have 128 channels in the critic; in the
generator, WGAN-GP's code has 128 and SNGAN's 256. SNGAN's critic of 32 pixels has no bias in its last layer; this one
has.

`attention` is the smaller side of the images, in pixels, that both players apply self-attention to (0: none); those
that they both have are `attention_sizes`. `dtype` is that of the computation, such as bfloat16, None for the inputs';
what comes out has the inputs' in any case.
"""

import math
from typing import Any

import jax.numpy as jnp
from flax import linen as nn

from gan_jax.networks.conditional import parted
from gan_jax.networks.conv import Conv, ConvMeanPool, UpsampleConv
from gan_jax.networks.layers import MinibatchDeviation, Norm, SelfAttention, halved, halvings, problem_of_images

# By halvings: the generator's channels, in widths, of its first image and after each block; and of the critic's blocks,
# with whether they halve the image.
_UPS = {4: (16, 8, 4, 2, 1), 5: (16, 16, 8, 4, 2, 1), 6: (16, 16, 8, 8, 4, 2, 1)}
_DOWNS = {
    4: tuple((factor, True) for factor in (1, 2, 4, 8, 16)),
    5: (*((factor, True) for factor in (1, 2, 4, 8, 16)), (16, False)),
    6: (*((factor, True) for factor in (1, 2, 4, 8, 8, 16)), (16, False)),
}
# Glorot's, of variance 2 / (fan_in + fan_out); before a relu, twice that.
_INIT = nn.initializers.glorot_uniform()
_INIT_RESIDUAL = nn.initializers.variance_scaling(2.0, "fan_avg", "uniform")


def check_shape(shape: tuple[int, ...]) -> str:
    """What is wrong with samples of this shape, in words; empty where nothing is."""
    return problem_of_images("resnet", _most_halvings, shape)


def attention_sizes(sides: tuple[int, ...]) -> tuple[int, ...]:
    """What `attention` may be for images of these sides: the smaller one of what a block of both players gives."""
    ups = {min(halved(sides, times)) for times in range(halvings(sides))}
    downs = {min(halved(sides, times + 1)) for times in range(_halvings_of_critic(sides))}
    return tuple(sorted(ups & downs))


def _most_halvings(sides):
    return max(halvings(sides), _halvings_of_critic(sides))


def _halvings_of_critic(sides):
    return sum(is_down for _, is_down in _downs(sides))


class Generator(nn.Module):
    """Latents [b, latent_dim] -> images [b, h, w, c] in [-1, 1]."""

    shape: tuple[int, ...]
    width: int
    depth: int
    norm: str
    momentum: float = 0.9
    dtype: Any = None
    classes: int = 0
    attention: int = 0

    @nn.compact
    def __call__(self, latents, train: bool):
        latents, condition = parted(latents, self.classes)
        first, *channels = (self.width * factor for factor in _ups(self.shape[:2]))
        smallest = *halved(self.shape[:2], len(channels)), first
        x = nn.Dense(math.prod(smallest), kernel_init=_INIT, dtype=self.dtype)(latents)
        x = x.reshape(-1, *smallest)
        for features in channels:
            x = UpBlock(features, self.norm, self.momentum, self.dtype)(x, train, condition)
            x = SelfAttention(self.dtype)(x) if min(x.shape[1:3]) == self.attention else x
        x = nn.relu(Norm(self.norm, train, self.momentum, self.dtype)(x))  # both codes leave the condition out here
        x = Conv(self.shape[2], 3, 1, kernel_init=_INIT, dtype=self.dtype)(x)
        return jnp.tanh(x.astype(jnp.result_type(latents)))


class Critic(nn.Module):
    """Images [b, h, w, c] -> logits [b]. No normalisation in the first block, as in the papers."""

    width: int
    depth: int
    norm: str
    dtype: Any = None
    head: nn.Module | None = None
    attention: int = 0
    group: int = 0

    @nn.compact
    def __call__(self, samples, train: bool, condition=None):
        (first, _), *downs = _downs(samples.shape[1:3])
        x = FirstBlock(self.width * first, self.dtype)(samples)
        x = SelfAttention(self.dtype)(x) if min(x.shape[1:3]) == self.attention else x
        for factor, is_down in downs:
            x = DownBlock(self.width * factor, is_down, self.norm, self.dtype)(x, train)
            x = SelfAttention(self.dtype)(x) if is_down and min(x.shape[1:3]) == self.attention else x
        features = jnp.sum(nn.relu(MinibatchDeviation(self.group)(x)), (1, 2))
        logits = nn.Dense(1, kernel_init=_INIT, dtype=self.dtype)(features)[:, 0].astype(jnp.result_type(samples))
        return self.head(logits, features, condition) if self.head else logits


def _ups(sides):
    return _UPS.get(halvings(sides), (1,) * (1 + halvings(sides)))


def _downs(sides):
    return _DOWNS.get(halvings(sides), ((1, True), (1, True), (1, False), (1, False)))


class UpBlock(nn.Module):
    """[b, h, w, c] -> [b, 2 h, 2 w, features]: norm, relu, upsampling, 3x3, norm, relu, 3x3, beside a shortcut.

    The shortcut is upsampled and goes through a 1x1 convolution. Here it does so in the other order: all copies of a
    pixel become the same, so one of them is enough, for a quarter of the products.
    """

    features: int
    norm: str
    momentum: float = 0.9
    dtype: Any = None

    @nn.compact
    def __call__(self, x, train: bool, condition=None):
        shortcut = _upsampled(Conv(self.features, 1, 1, kernel_init=_INIT, dtype=self.dtype, name="shortcut")(x))
        x = nn.relu(Norm(self.norm, train, self.momentum, self.dtype)(x, condition))
        x = UpsampleConv(self.features, kernel_init=_INIT_RESIDUAL, dtype=self.dtype, name="conv1")(x)
        x = nn.relu(Norm(self.norm, train, self.momentum, self.dtype)(x, condition))
        return shortcut + Conv(self.features, 3, 1, kernel_init=_INIT_RESIDUAL, dtype=self.dtype, name="conv2")(x)


class DownBlock(nn.Module):
    """[b, h, w, c] -> [b, h / 2, w / 2, features]: norm, relu, 3x3, norm, relu, 3x3, mean pooling, beside a shortcut.

    The shortcut goes through a 1x1 convolution and is pooled. Here it does so in the other order: the mean of affine
    functions of pixels is that of their mean, for a quarter of the products. A block that is not `is_down` does not
    pool, and has the identity for a shortcut, of as many channels.
    """

    features: int
    is_down: bool
    norm: str
    dtype: Any = None

    @nn.compact
    def __call__(self, x, train: bool):
        shortcut = (
            Conv(self.features, 1, 1, kernel_init=_INIT, dtype=self.dtype, name="shortcut")(_pooled(x))
            if self.is_down
            else x
        )
        x = nn.relu(Norm(self.norm, train, dtype=self.dtype)(x))
        x = Conv(x.shape[-1], 3, 1, kernel_init=_INIT_RESIDUAL, dtype=self.dtype, name="conv1")(x)
        x = nn.relu(Norm(self.norm, train, dtype=self.dtype)(x))
        if self.is_down:
            return shortcut + ConvMeanPool(self.features, kernel_init=_INIT_RESIDUAL, dtype=self.dtype, name="conv2")(x)
        return shortcut + Conv(self.features, 3, 1, kernel_init=_INIT_RESIDUAL, dtype=self.dtype, name="conv2")(x)


class FirstBlock(nn.Module):
    """Pixels [b, h, w, c] -> [b, h / 2, w / 2, features]: 3x3, relu, 3x3, mean pooling, beside a 1x1 shortcut."""

    features: int
    dtype: Any = None

    @nn.compact
    def __call__(self, x):
        shortcut = Conv(self.features, 1, 1, kernel_init=_INIT, dtype=self.dtype, name="shortcut")(_pooled(x))
        x = nn.relu(Conv(self.features, 3, 1, kernel_init=_INIT_RESIDUAL, dtype=self.dtype, name="conv1")(x))
        return shortcut + ConvMeanPool(self.features, kernel_init=_INIT_RESIDUAL, dtype=self.dtype, name="conv2")(x)


def _upsampled(x):
    """[b, h, w, c] -> [b, 2 h, 2 w, c]: each pixel as 2 x 2 equal ones."""
    batch, height, width, channels = x.shape
    blocks = jnp.broadcast_to(x[:, :, None, :, None], (batch, height, 2, width, 2, channels))
    return blocks.reshape(batch, 2 * height, 2 * width, channels)


def _pooled(x):
    """[b, h, w, c] -> [b, h / 2, w / 2, c]: the mean of every 2 x 2 pixels."""
    batch, height, width, channels = x.shape
    return x.reshape(batch, height // 2, 2, width // 2, 2, channels).mean((2, 4))
