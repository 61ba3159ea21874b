"""Distributions in the plane that are drawn, not stored: `ring`, `grid`, `swiss_roll`, `lines`.

Each is a pure function (key, n) -> (points float32 [n, 2] in data units, component int32 [n]).
"""

from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from gan_jax.data.batches import Batch, Made


class Modes(NamedTuple):
    """Equally weighted isotropic Gaussians: their means, float64 [k, 2], and their common standard deviation."""

    means: np.ndarray
    sigma: float


_ANGLES = 2 * np.pi * np.arange(8) / 8

# Both as in PacGAN (Lin et al. 2018, arXiv:1712.04086, section 4.1 and Table 1).
MODES = {
    "ring": Modes(np.stack([np.cos(_ANGLES), np.sin(_ANGLES)], axis=1), sigma=0.01),
    "grid": Modes(np.array([(x, y) for x in range(-4, 5, 2) for y in range(-4, 5, 2)], float), sigma=0.05),
}


def gaussians(modes: Modes, key: jax.Array, n: int) -> tuple[jax.Array, jax.Array]:
    """mean[k] + sigma * N(0, 1), k uniform over the modes; the component is k."""
    choose, spread = jax.random.split(key)
    component = jax.random.randint(choose, (n,), 0, len(modes.means))
    noise = modes.sigma * jax.random.normal(spread, (n, 2), jnp.float32)
    return jnp.asarray(modes.means, jnp.float32)[component] + noise, component


def swiss_roll(key: jax.Array, n: int) -> tuple[jax.Array, jax.Array]:
    """(t cos t, t sin t) / 7.5, t = 1.5 pi (1 + 2 U[0, 1)), with noise N(0, 0.25^2) before the division; no components.

    The x and z of scikit-learn's `make_swiss_roll(noise=0.25)`, scaled as in WGAN-GP's toy experiment (Gulrajani et al.
    2017, arXiv:1704.00028, `gan_toy.py`).
    """
    along, spread = jax.random.split(key)
    t = 1.5 * jnp.pi * (1 + 2 * jax.random.uniform(along, (n,), jnp.float32))
    roll = jnp.stack([t * jnp.cos(t), t * jnp.sin(t)], axis=1)
    return (roll + 0.25 * jax.random.normal(spread, (n, 2), jnp.float32)) / 7.5, jnp.zeros(n, jnp.int32)


def lines(key: jax.Array, n: int) -> tuple[jax.Array, jax.Array]:
    """Two parallel lines, x = -1 (component 0) or x = +1 (component 1), y uniform on [-1, 1).

    The family of Example 1 in Arjovsky et al. 2017 (arXiv:1701.07875): supports of measure zero in the plane.
    """
    side, along = jax.random.split(key)
    component = jax.random.randint(side, (n,), 0, 2)
    y = jax.random.uniform(along, (n,), jnp.float32, -1, 1)
    return jnp.stack([2.0 * component - 1.0, y], axis=1), component


# name: (how it is drawn, number of components; 0 where there are none)
MIXTURES: dict[str, tuple[Callable, int]] = {
    "ring": (partial(gaussians, MODES["ring"]), 8),
    "grid": (partial(gaussians, MODES["grid"]), 25),
    "swiss_roll": (swiss_roll, 0),
    "lines": (lines, 2),
}


def draw(
    name: str, arrays: Any, key: jax.Array, step: jax.Array, n_critic: int, batch_size: int, made: Made = ()
) -> Batch:
    """The minibatches of step `step` of the mixture `name`, drawn from `fold_in(key, step)`; nothing else is used."""
    points, component = MIXTURES[name][0](jax.random.fold_in(key, step), n_critic * batch_size)
    return Batch(points.reshape(n_critic, batch_size, 2), component.reshape(n_critic, batch_size))
