"""DiffAugment: random changes of every image that a critic sees, reals and fakes alike, so that few reals are enough.

Zhao et al. 2020 (arXiv:2006.10738), with the ranges of the authors' code. An augmentation is a pure function
`(images [b, h, w, c], key) -> images [b, h, w, c]` for float images in [-1, 1], with draws of its own for each sample.
Given the key it is an affine map of the images: gradients go through it, to any order, from the critic to the
generator or to a penalty. To add one, write one function of these two arguments: a policy may name it.

It may name those of ada.py as well, which take the probability as a third argument: each draws more than one change.
"""

import inspect

import jax
import jax.numpy as jnp
import numpy as np

from gan_jax.objectives import ada

_TAKEN = ("images", "key")
_FURTHEST = 1 / 8  # of the height and width: how far `translation` goes
_HOLE = 1 / 2  # of the height and width: what `cutout` takes


def augment(images: jax.Array, key: jax.Array, policy: str, probability: jax.Array | None = None) -> jax.Array:
    """The images after all that `policy` names by commas, as in "color,translation,cutout", from left to right.

    Each has a key of its own, even if named twice. An empty policy changes nothing. probability: of each of them for
    each sample, which stays as it is otherwise; of those of ada.py, of each change that they are made of. None for 1.
    ValueError: an unknown name.
    """
    known, of_ada = _augmentations(), names_of_ada()
    chosen = policy.split(",") if policy else []
    for name in chosen:
        if name not in known:
            allowed = ", ".join(known)
            raise ValueError(f"no augmentation {name!r} in the policy {policy!r}: join some of {allowed} by commas")
    for name, own_key in zip(chosen, jax.random.split(key, len(chosen)), strict=True):
        if name in of_ada:
            images = known[name](images, own_key, 1.0 if probability is None else probability)
        else:
            changed = known[name](images, own_key)
            images = changed if probability is None else _some(changed, images, own_key, probability)
    return images


def _some(changed, images, key, probability):
    """Each sample changed, or left as it is; the key is folded with a number that no split of it reaches."""
    is_changed = jax.random.bernoulli(jax.random.fold_in(key, 2**32 - 1), probability, (len(images), 1, 1, 1))
    return jnp.where(is_changed, changed, images)


def names() -> list[str]:
    """All that a policy may name: the augmentations below, and those of ada.py."""
    return list(_augmentations())


def names_of_ada() -> list[str]:
    """Those of ada.py."""
    return [name for name, value in _augmentations().items() if _takes(value, *_TAKEN, "probability")]


def _augmentations():
    """By name; they are told from other functions of both files by the arguments that they take."""
    found = [item for item in (*globals().items(), *vars(ada).items()) if not item[0].startswith("_")]
    return {name: value for name, value in found if _takes(value, *_TAKEN) or _takes(value, *_TAKEN, "probability")}


def _takes(value, *arguments):
    return inspect.isfunction(value) and tuple(inspect.signature(value).parameters) == arguments


def color(images, key):
    """Brightness, then saturation, then contrast; the result may leave [-1, 1], and is not clipped."""
    brightness_key, saturation_key, contrast_key = jax.random.split(key, 3)
    return _contrast(_saturation(_brightness(images, brightness_key), saturation_key), contrast_key)


def _brightness(images, key):
    """x + u - 1/2, with one u ~ U[0, 1) for each sample."""
    return images + _uniform(images, key) - 0.5


def _saturation(images, key):
    """2u (x - m) + m, with m the mean over the channels of a pixel: from gray to twice the colour, nothing if c = 1."""
    gray = jnp.mean(images, axis=3, keepdims=True)
    return 2 * _uniform(images, key) * (images - gray) + gray


def _contrast(images, key):
    """(u + 1/2) (x - m) + m, with m the mean over all of a sample."""
    mean = jnp.mean(images, axis=(1, 2, 3), keepdims=True)
    return (_uniform(images, key) + 0.5) * (images - mean) + mean


def _uniform(images, key):
    return jax.random.uniform(key, (images.shape[0], 1, 1, 1), images.dtype)


def translation(images, key):
    """A shift by whole pixels, uniform in -d ... d for rows and for columns, with zeros where nothing is left.

    d is an eighth of the size, rounded: 4 of 28 or 32 pixels, 1 of 8, and 0 of 3 or fewer.
    """
    b, h, w, c = images.shape
    furthest = _rounded_share((h, w), _FURTHEST)
    padded = jnp.pad(images, ((0, 0), *((d, d) for d in furthest), (0, 0)))
    starts = jax.random.randint(key, (b, 2), 0, 2 * furthest + 1)
    # Slices beat products with shifted unit matrices, and gathers by index, on a CPU with and without derivatives.
    return jax.vmap(lambda image, start: jax.lax.dynamic_slice(image, (*start, 0), (h, w, c)))(padded, starts)


def cutout(images, key):
    """Zeros in a rectangle of half the height and half the width, rounded, as far as it lies inside the image.

    Its middle (for even sizes the pixel right of it, or below) is uniform over all pixels; with an even size also one
    beyond the last, so that either border cuts off at most half.
    """
    sides = images.shape[1:3]
    sizes = _rounded_share(sides, _HOLE)
    middles = jax.random.randint(key, (images.shape[0], 2), 0, np.array(sides) + 1 - sizes % 2)
    rows, columns = (_covered(*of_axis) for of_axis in zip(sides, sizes, middles.T, strict=True))
    return jnp.where(rows[:, :, None, None] & columns[:, None, :, None], 0, images)


def _covered(side, size, middles):
    """Which of the places 0 ... side-1 an interval of `size` places around each middle [b] covers: bool [b, side]."""
    place = jnp.arange(side) - (middles[:, None] - size // 2)
    return (place >= 0) & (place < size)


def flip(images, key):
    """Mirrored left to right, or not, with probability 1/2.

    No part of DiffAugment, whose authors mirror the reals alone, as they are loaded: call it on them for that. In a
    policy it is one more name, for reals and fakes.
    """
    mirrored = jax.random.bernoulli(key, 0.5, (images.shape[0], 1, 1, 1))
    return jnp.where(mirrored, jnp.flip(images, axis=2), images)


def _rounded_share(sizes, share):
    """The share of each size, to the nearest whole number, halves up."""
    return np.array([int(size * share + 0.5) for size in sizes])
