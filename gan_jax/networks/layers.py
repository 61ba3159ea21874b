"""Layers that the architectures share."""

import functools
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
from flax import linen as nn

from gan_jax.networks.conv import Conv

_ONES, _ZEROS = nn.initializers.ones_init(), nn.initializers.zeros_init()
_GLOROT = nn.initializers.glorot_uniform()
SIDES = range(8, 512)  # pixels of the smaller side of an image that is made of smaller ones


class Norm(nn.Module):
    """Normalisation by name: `none`, `batch` or `layer`.

    Attributes:
      kind: `batch` is batch normalisation with PyTorch's momentum 0.1 and epsilon 1e-5 (Ioffe & Szegedy 2015); `layer`
        is one mean and deviation for each sample, over all its positions and channels, as in WGAN-GP's critic.
      train: whether `batch` uses the minibatch's statistics, or the running ones.
      momentum: share of the old running statistics that an update keeps; 0 keeps the last minibatch's alone.
      dtype: of what comes out, None for float32, in which means and variances are computed and kept.

    Means and variances are those of samples about their mean: flax's own variance, E x^2 - (E x)^2 in float32, is noise
    where the mean is hundreds of deviations away from 0.

    Given a condition [b, k], such as labels one-hot, scale and shift are `condition @ table`, of tables [k, channels]
    that start at 1 and at 0: conditional batch norm (Dumoulin et al. 2017, arXiv:1610.07629). `none` ignores it.
    """

    kind: str
    train: bool
    momentum: float = 0.9
    dtype: Any = None

    @nn.compact
    def __call__(self, x, condition=None):
        if self.kind == "none":
            return x
        affine = {"use_scale": condition is None, "use_bias": condition is None}
        common = {"epsilon": 1e-5, "dtype": self.dtype, **affine}
        if self.kind == "layer":
            x = nn.GroupNorm(num_groups=1, **common)(_about_mean(x, range(1, x.ndim))[0])
        elif self.train:
            x = self._batch_norm(*_about_mean(x, range(x.ndim - 1)), **common)
        else:
            x = nn.BatchNorm(use_running_average=True, **common)(x)
        return x if condition is None else self._modulated(x, condition)

    def _batch_norm(self, x, mean, **common):
        norm = nn.BatchNorm(use_running_average=False, momentum=self.momentum, **common)
        x = norm(x)
        if not self.is_initializing():  # flax has averaged what is left of the mean
            running: Any = norm.get_variable("batch_stats", "mean")  # there, for `norm` has just updated it
            norm.put_variable("batch_stats", "mean", running + (1 - self.momentum) * mean.reshape(-1))
        return x

    def _modulated(self, x, condition):
        shape = condition.shape[1], x.shape[-1]
        tables = [self.param(name, init, shape) for name, init in (("scale", _ONES), ("bias", _ZEROS))]
        scale, bias = ((condition @ table).astype(x.dtype) for table in tables)
        spread = (x.shape[0], *(1,) * (x.ndim - 2), x.shape[-1])
        return x * scale.reshape(spread) + bias.reshape(spread)


def _about_mean(x, axes):
    """(x less its mean over these axes, the mean), in float32. The norm is the same, and so are its derivatives.

    The difference is exact where the mean is large, so that what comes after does not see how inexact the mean is.
    """
    x = x.astype(jnp.promote_types(x.dtype, jnp.float32))
    mean = jax.lax.stop_gradient(x.mean(tuple(axes), keepdims=True))
    return x - mean, mean


class SelfAttention(nn.Module):
    """x + gamma o(x), where o(x) is what each pixel finds at all others (SAGAN, Zhang et al. 2019, arXiv:1805.08318).

    Of images [b, h, w, c] with even h and w. A pixel's query, of c / 8 components, is compared with keys by their inner
    product; a softmax of these over the keys weights values of c / 2 components, which a last map takes to c. All maps
    are 1x1 convolutions without bias. Keys and values are the maxima over 2 x 2 pixels, as in the authors' code. gamma
    is a scalar that starts at 0.
    """

    dtype: Any = None

    @nn.compact
    def __call__(self, x):
        batch, height, width, channels = x.shape
        few, half = max(channels // 8, 1), max(channels // 2, 1)
        queries = self._mapped(x, few, "queries").reshape(batch, height * width, few)
        keys = _maxima(self._mapped(x, few, "keys")).reshape(batch, -1, few)
        values = _maxima(self._mapped(x, half, "values")).reshape(batch, -1, half)
        weights = nn.softmax(jnp.einsum("bqc,bkc->bqk", queries, keys))
        found = jnp.einsum("bqk,bkc->bqc", weights, values).reshape(batch, height, width, half)
        found = self._mapped(found, channels, "outputs")
        return x + self.param("gamma", _ZEROS, ()).astype(found.dtype) * found

    def _mapped(self, x, features, name):
        return Conv(features, 1, 1, use_bias=False, kernel_init=_GLOROT, dtype=self.dtype, name=name)(x)


class MinibatchDeviation(nn.Module):
    """One more channel: how much a group of samples differ, the same number at all pixels of all of them.

    Of features [b, ..., c]: the deviation of each number over the group, with 1e-8 under the root, and its mean over
    all numbers (Karras et al. 2018, arXiv:1710.10196, section 3). Groups of `group` samples are strided, as in
    StyleGAN2: of 8 in groups of 4, those at 0, 2, 4, 6 and at 1, 3, 5, 7. So where reals and fakes take turns, a group
    holds samples of one kind, if `group` divides the minibatch of either. 0: no channel. More `channels` than one, of
    which each is of as many neighbours among the c, divide c.
    """

    group: int
    channels: int = 1

    @nn.compact
    def __call__(self, x):
        if not self.group:
            return x
        grouped = x.astype(jnp.float32).reshape(self.group, -1, *x.shape[1:])
        deviations = jnp.sqrt(jnp.mean(jnp.square(grouped - grouped.mean(0)), 0) + 1e-8)
        parted = deviations.reshape(len(deviations), -1, self.channels, x.shape[-1] // self.channels).swapaxes(1, 2)
        means = jnp.tile(parted.reshape(len(parted), self.channels, -1).mean(2), (self.group, 1))
        shape = *x.shape[:-1], self.channels
        spread = jnp.broadcast_to(means.reshape(len(x), *(1,) * (x.ndim - 2), self.channels), shape)
        return jnp.concatenate([x, spread.astype(x.dtype)], axis=-1)


def _maxima(x):
    """[b, h, w, c] -> [b, h / 2, w / 2, c]."""
    batch, height, width, channels = x.shape
    return x.reshape(batch, height // 2, 2, width // 2, 2, channels).max((2, 4))


class SpectralNorm(nn.Module):
    """A network whose every kernel W is divided by an estimate of its norm (Miyato et al. 2018, arXiv:1802.05957).

    W is taken as a matrix, [all other axes, outputs]; biases and scales are left alone. Its norm is the largest
    singular value, estimated as u W v with vectors that one power iteration improves whenever the collection `spectral`
    is mutable and `train` is true. Else they are used as they are. Gradients flow through W, not through the vectors,
    as in PyTorch.
    """

    network: nn.Module

    @nn.compact
    def __call__(self, samples, train: bool, **others):
        improves = train and (self.is_initializing() or self.is_mutable_collection("spectral"))
        normalise = functools.partial(self._normalised, improves)
        call = nn.map_variables(
            lambda network: network(samples, train=train, **others),
            "params",
            lambda params: jax.tree_util.tree_map_with_path(normalise, params),
            init=self.is_initializing(),
            mutable=True,
        )
        return call(self.network)

    def _normalised(self, improves, path, w):
        if w.ndim < 2:
            return w
        matrix, name = w.reshape(-1, w.shape[-1]), jax.tree_util.keystr(path, simple=True, separator="/")
        vectors = self.variable("spectral", name, self._random_vectors, matrix.shape)
        if improves:
            vectors.value = jax.lax.stop_gradient(_power_iteration(matrix, vectors.value))
        u, v = vectors.value
        if self.is_initializing():  # what is returned then, flax stores
            return w
        sigma = u @ matrix @ v
        return w / jnp.where(sigma == 0, 1.0, sigma)  # a kernel of zeros, as residual branches may begin with, stays

    def _random_vectors(self, shape):
        v = jax.random.normal(self.make_rng("params"), shape[1:])
        return jnp.zeros(shape[:1]), v


def _power_iteration(matrix, vectors):
    u, v = vectors
    u = _unit(matrix @ v, u)
    return u, _unit(u @ matrix, v)


def _unit(vector, former):
    """The vector at length 1. A matrix of zeros tells no direction, and from 0 no iteration would get away again."""
    norm = jnp.linalg.norm(vector)
    return jnp.where(norm > 0, vector / jnp.maximum(norm, 1e-12), former)


def halvings(sides: tuple[int, ...]) -> int:
    """How often an image of these sides is halved until the smaller has 4 to 7 pixels."""
    return (min(sides) // 4).bit_length() - 1


def halved(sides: tuple[int, ...], times: int) -> tuple[int, ...]:
    """The sides of an image that was halved so often."""
    return tuple(side // 2**times for side in sides)


def doubled(width: int, count: int) -> list[int]:
    """Channels of so many images, each half as large as the one before: `width`, twice that, up to 16 times."""
    return [width * min(2**i, 16) for i in range(count)]


def problem_of_images(name: str, most_halvings: Callable, shape: tuple[int, ...]) -> str:
    """What is wrong with samples of this shape for a network of images, and what to give; empty where nothing is.

    most_halvings: how often, at most, a player halves an image of these sides, which must come out whole.
    """
    if len(shape) != 3:
        return f"{name} makes images, not samples of shape {shape}; give --config.network.name=mlp"
    height, width, _ = shape
    smaller, multiple = min(height, width), 2 ** most_halvings((height, width))
    if smaller in SIDES and height % multiple == width % multiple == 0:
        return ""
    squares = [side for side in SIDES if side % 2 ** most_halvings((side, side)) == 0]
    nearest = min(squares, key=lambda side: abs(side - smaller))
    sides = f"{height} x {width} pixels to be"
    needs = f"both sides of {sides} multiples of {multiple}"
    if smaller not in SIDES:
        needs = f"the smaller side of {sides} from {SIDES[0]} to {SIDES[-1]}"
    crops = "" if height == width else ", which crops to a square,"
    return (
        f"{name} needs {needs}; nearest: {nearest} x {nearest}; give --config.data.image_size={nearest}{crops} or "
        "--config.network.name=mlp"
    )


def mixes_samples(norm: str) -> bool:
    """Whether a sample's output under `norm` depends on the other samples of its minibatch."""
    return norm == "batch"
