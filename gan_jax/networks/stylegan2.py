"""StyleGAN2 (Karras et al. 2020, arXiv:1912.04958), as the authors' stylegan2-ada-pytorch has it, for 8 to 511 pixels.

A latent z is mapped to w, and w sets the scales of the channels of every convolution. The generator begins with a
learned image whose smaller side has 4 to 7 pixels, and doubles it; each size adds its part to the image that comes out.
The critic halves it by residual blocks. Sides must halve without a rest. `width` is the number of channels at the
images' own size, and each halving doubles it, up to `max_width`. `depth` is the number of layers that map z to w, of
which each has as many components as z. Neither player has a norm: the convolutions of the generator are demodulated.

Told classes, the generator maps z and an embedding of the class together, and the critic's logit is the inner product
of its features and a mapped class. `dtype` is that of the convolutions, such as bfloat16, for which the authors clamp
at 256; all else is computed in float32.
"""

import math
from typing import Any

import jax
import jax.numpy as jnp
from flax import linen as nn

from gan_jax.networks.conditional import parted
from gan_jax.networks.conv import correlate
from gan_jax.networks.equalized import NORMAL, Conv, Dense, activated, clamped, same
from gan_jax.networks.layers import MinibatchDeviation, halved, halvings, problem_of_images
from gan_jax.networks.resampling import downsampled, transpose_to_double, upsampled

NORMS = ("none",)
LAYERS_OF_CLASS = 8  # that map a class in the critic, whatever the generator has
RATE = 0.01  # of mapping networks


def check_shape(shape: tuple[int, ...]) -> str:
    """What is wrong with samples of this shape, in words; empty where nothing is."""
    return problem_of_images("stylegan2", halvings, shape)


def channels(sides: tuple[int, ...], width: int, max_width: int) -> list[int]:
    """Of images of all sizes, from the smallest to the one of these sides."""
    return [min(width * 2**times, max_width) for times in range(halvings(sides), -1, -1)]


class Generator(nn.Module):
    """Latents [b, latent_dim] -> images [b, h, w, c], of which training makes such in [-1, 1].

    style_mixing: share of the samples in training that take w of another latent, of the same class, from some layer on.
    momentum: of the mean of w. psi, cutoff: after training, w of the first `cutoff` layers, 0 for all, is drawn to that
    mean, mean + psi (w - mean): likelier images, and more alike (Karras et al. 2019, arXiv:1812.04948, appendix B).
    """

    shape: tuple[int, ...]
    width: int
    depth: int
    norm: str = "none"
    momentum: float = 0.995
    dtype: Any = None
    classes: int = 0
    latent_dim: int = 512
    max_width: int = 512
    clamp: float = 0.0
    style_mixing: float = 0.9
    psi: float = 1.0
    cutoff: int = 0

    def setup(self):
        self.mapped = Mapping(self.latent_dim, self.depth)
        self.synthesised = Synthesis(self.shape, self._channels, self.clamp, self.dtype)
        self.w_avg = self.variable("averages", "w_avg", jnp.zeros, (self.latent_dim,))

    @property
    def _channels(self):
        return tuple(channels(self.shape[:2], self.width, self.max_width))

    def __call__(self, inputs, train: bool):
        return self.synthesis(self.mapping(inputs, train), train)

    def mapping(self, inputs, train: bool):
        """Latents [b, latent_dim] -> w [b, layers, latent_dim], all layers alike but where styles are mixed."""
        latents, condition = parted(inputs, self.classes)
        w = self.mapped(latents, condition)
        if train and self.is_mutable_collection("averages"):
            mean = jax.lax.stop_gradient(w.mean(0))
            self.w_avg.value = self.momentum * self.w_avg.value + (1 - self.momentum) * mean
        of_layers = jnp.broadcast_to(w[:, None], (w.shape[0], self.layers, w.shape[1]))
        if not train:
            return self._truncated(of_layers)
        return self._mixed(of_layers, latents, condition) if self.style_mixing else of_layers

    @property
    def layers(self) -> int:
        """That each take a w: two for each size of the images."""
        return 2 * len(self._channels)

    def _truncated(self, w):
        if self.psi == 1:
            return w
        is_drawn = jnp.arange(self.layers) < (self.cutoff or self.layers)
        mean = self.w_avg.value
        return jnp.where(is_drawn[:, None], mean + self.psi * (w - mean), w)

    def _mixed(self, w, latents, condition):
        """From a layer of U{1, ..., layers - 1} on, w of another latent, for each sample by itself.

        What stands beside the latent, as a class does that the generator is told with it, stays.
        """
        latent_key, layer_key, share_key = jax.random.split(self.make_rng("noise"), 3)
        fresh, beside = jax.random.normal(latent_key, latents.shape, latents.dtype), latents[:, self.latent_dim :]
        others = self.mapped(jnp.concatenate([fresh[:, : self.latent_dim], beside], axis=1), condition)
        samples, layers, _ = w.shape
        begins = jax.random.randint(layer_key, (samples, 1), 1, layers)
        is_mixed = jax.random.bernoulli(share_key, self.style_mixing, (samples, 1))
        is_other = is_mixed & (jnp.arange(layers) >= begins)
        return jnp.where(is_other[:, :, None], others[:, None], w)

    def synthesis(self, w, train: bool):
        """w [b, layers, latent_dim] -> images [b, h, w, c]."""
        return self.synthesised(w)


class Mapping(nn.Module):
    """(latents [b, d] or None, condition [b, k] or None) -> [b, features]: both normalised, then so many layers."""

    features: int
    layers: int

    @nn.compact
    def __call__(self, latents, condition=None):
        inputs = [] if latents is None else [normalised(latents)]
        if condition is not None:
            inputs.append(normalised(Dense(self.features, name="embedding")(condition)))
        x = jnp.concatenate(inputs, axis=1)
        for _ in range(self.layers):
            x = activated(Dense(self.features, RATE)(x))
        return x


def normalised(x):
    """[b, d] over the root of its mean square."""
    return x * jax.lax.rsqrt(jnp.mean(jnp.square(x), axis=1, keepdims=True) + 1e-8)


class Synthesis(nn.Module):
    """w [b, layers, d] -> images [b, h, w, c]; `channels` of all sizes, from the smallest on, two layers for each."""

    shape: tuple[int, ...]
    channels: tuple[int, ...]
    clamp: float
    dtype: Any = None

    @nn.compact
    def __call__(self, w):
        smallest = *halved(self.shape[:2], len(self.channels) - 1), self.channels[0]
        x = jnp.broadcast_to(self.param("constant", NORMAL, smallest), (w.shape[0], *smallest))
        layers = iter(jnp.moveaxis(w, 1, 0))
        x, image = self._convolved(x, next(layers)), 0.0
        for features in self.channels[1:]:
            # What makes pixels shares its w with the convolution after it.
            of_both = next(layers)
            image = upsampled(image + self._pixels(x, of_both))
            x = self._convolved(x, of_both, features, is_up=True)
            x = self._convolved(x, next(layers))
        return image + self._pixels(x, next(layers))

    def _convolved(self, x, w, features=0, is_up=False):
        return StyledConv(features or x.shape[-1], is_up, self.clamp, self.dtype)(x, w)

    def _pixels(self, x, w):
        return ToPixels(self.shape[2], self.clamp, self.dtype)(x, w)


class StyledConv(nn.Module):
    """A 3 x 3 modulated convolution, noise with a learned strength that starts at 0, bias and activation."""

    features: int
    is_up: bool
    clamp: float
    dtype: Any = None

    @nn.compact
    def __call__(self, x, w):
        styles = Dense(x.shape[-1], bias=1.0, name="style")(w)
        kernel = self.param("kernel", NORMAL, (3, 3, x.shape[-1], self.features))
        x = modulated(x.astype(self.dtype or x.dtype), kernel, styles, self.is_up)
        strength = self.param("noise_strength", nn.initializers.zeros_init(), ())
        noise = drawn(self.make_rng("noise"), x)
        bias = self.param("bias", nn.initializers.zeros_init(), (self.features,))
        return activated(x + (strength * noise).astype(x.dtype) + bias.astype(x.dtype), self.clamp)


def drawn(key, x):
    """N(0, 1) for each pixel of x [b, h, w, c]: [b, h, w, 1]."""
    return jax.random.normal(key, (*x.shape[:3], 1))


class ToPixels(nn.Module):
    """A 1 x 1 modulated convolution without demodulation, and bias, in float32 from there on."""

    features: int
    clamp: float
    dtype: Any = None

    @nn.compact
    def __call__(self, x, w):
        styles = Dense(x.shape[-1], bias=1.0, name="style")(w) / math.sqrt(x.shape[-1])
        kernel = self.param("kernel", NORMAL, (1, 1, x.shape[-1], self.features))
        bias = self.param("bias", nn.initializers.zeros_init(), (self.features,))
        pixels = modulated(x.astype(self.dtype or x.dtype), kernel, styles, is_demodulated=False)
        return clamped(pixels + bias.astype(pixels.dtype), self.clamp).astype(kernel.dtype)


def modulated(x, kernel, styles, is_up: bool = False, is_demodulated: bool = True):
    """Images [b, h, w, c], kernel [p, p, c, o], styles [b, c] -> images [b, h, w, o], or twice as high and wide.

    A convolution whose kernel is kernel[..., c, o] styles[c], another one for each sample, over the root of the sum of
    its squares + 1e-8 for each o: outputs have unit variance for inputs that have. It is computed as one convolution by
    the kernel that all share: input channels times styles before it, output channels over those roots after it.
    """
    x = x * styles[:, None, None].astype(x.dtype)
    shared = kernel.astype(x.dtype)
    x = transpose_to_double(x, shared) if is_up else correlate(x, shared, same(kernel.shape[0]))
    if not is_demodulated:
        return x
    squares = jnp.square(styles) @ jnp.sum(jnp.square(kernel), (0, 1))
    return x * jax.lax.rsqrt(squares + 1e-8)[:, None, None].astype(x.dtype)


class Critic(nn.Module):
    """Images [b, h, w, c] -> logits [b]. Blocks are residual, or plain as in the authors' recipe for CIFAR-10.

    group, deviation_channels: of the minibatch deviation. classes: of a condition [b, classes] that is projected.
    """

    width: int
    depth: int
    norm: str = "none"
    dtype: Any = None
    head: nn.Module | None = None
    group: int = 0
    classes: int = 0
    max_width: int = 512
    clamp: float = 0.0
    residual: bool = True
    deviation_channels: int = 1

    @nn.compact
    def __call__(self, samples, train: bool, condition=None):
        first, *others = reversed(channels(samples.shape[1:3], self.width, self.max_width))
        x = activated(Conv(first, 1, dtype=self.dtype, name="from_pixels")(samples), self.clamp)
        for features in others:
            x = Block(features, self.residual, self.clamp, self.dtype)(x)
        x = MinibatchDeviation(self.group, self.deviation_channels)(x.astype(samples.dtype))
        x = activated(Conv(others[-1], name="last_conv")(x), self.clamp)
        features = activated(Dense(others[-1], name="hidden")(x.reshape(x.shape[0], -1)))
        if self.classes:
            mapped = Mapping(others[-1], LAYERS_OF_CLASS, name="of_class")(None, condition)
            told = Dense(others[-1], name="last")(features)
            return jnp.sum(told * mapped, axis=1) / math.sqrt(others[-1])
        logits = Dense(1, name="last")(features)[:, 0]
        return self.head(logits, features, condition) if self.head else logits


class Block(nn.Module):
    """[b, h, w, c] -> [b, h / 2, w / 2, features]: 3 x 3, 3 x 3 to half; beside it a 1 x 1 shortcut, times sqrt 1/2."""

    features: int
    residual: bool
    clamp: float
    dtype: Any = None

    @nn.compact
    def __call__(self, x):
        gain = math.sqrt(1 / 2) if self.residual else 1.0
        y = activated(Conv(x.shape[-1], dtype=self.dtype)(x), self.clamp)
        y = activated(Conv(self.features, is_down=True, dtype=self.dtype)(y), self.clamp, gain)
        if not self.residual:
            return y
        return y + gain * Conv(self.features, 1, use_bias=False, dtype=self.dtype, name="shortcut")(downsampled(x))
