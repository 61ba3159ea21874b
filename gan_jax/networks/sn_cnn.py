"""The "standard CNN" of SNGAN (Miyato et al. 2018, arXiv:1802.05957), for images of 8 to 511 pixels.

The generator projects the latent to an image whose smaller side has 4 to 7 pixels and doubles it by 4x4 transposed
convolutions, down to `width` channels at the image's size. The critic halves its image down to that, each time by a 3x3
convolution of as many channels as its input, `width` in the first, and by a 4x4 one of stride 2 to twice as many, up to
16 widths, and ends in one more 3x3. Sides must halve without a rest. The paper has a `width` of 64, and three halvings
whatever the size. `depth` is not used.

In the paper's table, convolutions of stride 2 keep the channels, and the 3x3 after them doubles them. The authors'
code, chainer-gan-lib, doubles them at stride 2, and so does pytorch-gan-collections: this is theirs, for the published
figures are. Weights are drawn from N(0, 0.02), as in those codes; in the critic, spectral norm scales them. `dtype` is
that of the computation, such as bfloat16, None for the inputs'; what comes out has the inputs' in any case.
"""

import itertools
import math
from typing import Any

import jax.numpy as jnp
from flax import linen as nn

from gan_jax.networks.conditional import parted
from gan_jax.networks.conv import Conv, ConvTranspose
from gan_jax.networks.layers import MinibatchDeviation, Norm, doubled, halved, halvings, problem_of_images

_INIT = nn.initializers.normal(0.02)


def check_shape(shape: tuple[int, ...]) -> str:
    """What is wrong with samples of this shape, in words; empty where nothing is."""
    return problem_of_images("sn_cnn", halvings, shape)


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
        doublings = halvings(self.shape[:2])
        first, *channels = reversed(doubled(self.width, doublings + 1))
        smallest = *halved(self.shape[:2], doublings), first
        x = nn.Dense(math.prod(smallest), kernel_init=_INIT, dtype=self.dtype)(latents)
        x = x.reshape(-1, *smallest)
        x = nn.relu(Norm(self.norm, train, self.momentum, self.dtype)(x, condition))
        for features in channels:
            x = ConvTranspose(features, kernel_init=_INIT, dtype=self.dtype)(x)
            x = nn.relu(Norm(self.norm, train, self.momentum, self.dtype)(x, condition))
        x = Conv(self.shape[2], 3, 1, kernel_init=_INIT, dtype=self.dtype)(x)
        return jnp.tanh(x.astype(jnp.result_type(latents)))


class Critic(nn.Module):
    """Images [b, h, w, c] -> logits [b]. No normalisation on the first layer."""

    width: int
    depth: int
    norm: str
    dtype: Any = None
    head: nn.Module | None = None
    group: int = 0

    @nn.compact
    def __call__(self, samples, train: bool, condition=None):
        channels, x = doubled(self.width, halvings(samples.shape[1:3]) + 1), samples
        pairs = [layer for here, below in itertools.pairwise(channels) for layer in ((here, 3, 1), (below, 4, 2))]
        for layer, (features, size, stride) in enumerate([*pairs, (channels[-1], 3, 1)]):
            x = Conv(features, size, stride, kernel_init=_INIT, dtype=self.dtype)(x)
            x = nn.leaky_relu(Norm(self.norm if layer else "none", train, dtype=self.dtype)(x), 0.1)
        features = MinibatchDeviation(self.group)(x).reshape(x.shape[0], -1)
        logits = nn.Dense(1, kernel_init=_INIT, dtype=self.dtype)(features)[:, 0].astype(jnp.result_type(samples))
        return self.head(logits, features, condition) if self.head else logits
