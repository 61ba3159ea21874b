"""Samples from the averaged generator, for pictures, evaluation and export."""

import functools
import pathlib

import jax
import jax.numpy as jnp
import numpy as np

from gan_jax.data import batches, sources
from gan_jax.errors import DivergedError
from gan_jax.reports import pictures
from gan_jax.training.state import CALIBRATION, SAMPLES

CHUNK = 512  # latents in one dispatch
DRAWN = 400  # images in one picture


def latents(state, num: int, latent_dim: int, seed: int = 0) -> jax.Array:
    """[num, latent_dim] of N(0, 1), a function of (root key, seed) and each row of its own index alone.

    So the first 64 of 10,000 latents are the 64 of any other call, up to the last bit.
    """
    key = jax.random.fold_in(jax.random.fold_in(state.key, SAMPLES), seed)
    return jax.vmap(lambda row: jax.random.normal(jax.random.fold_in(key, row), (latent_dim,)))(jnp.arange(num))


def spherical(start: jax.Array, end: jax.Array, steps: int) -> jax.Array:
    """[n, d] and [n, d] -> [n, steps, d], from start to end, evenly along the sphere."""
    return jax.vmap(lambda t: on_sphere(start, end, jnp.full(len(start), t)), out_axes=1)(jnp.linspace(0.0, 1.0, steps))


def on_sphere(start: jax.Array, end: jax.Array, t: jax.Array) -> jax.Array:
    """[n, d], [n, d], [n] -> [n, d]: sin((1-t)a)/sin(a) start + sin(ta)/sin(a) end, a the angle between the two.

    Latents of N(0, 1) lie near a sphere; the straight line between two leaves it (White 2016, arXiv:1609.04468).
    """
    lengths = jnp.linalg.norm(start, axis=1) * jnp.linalg.norm(end, axis=1)
    cosine = jnp.clip(jnp.sum(start * end, axis=1) / lengths, -1 + 1e-6, 1 - 1e-6)
    angle, t = jnp.arccos(cosine)[:, None], t[:, None]
    return (jnp.sin((1 - t) * angle) * start + jnp.sin(t * angle) * end) / jnp.sin(angle)


@functools.partial(jax.jit, static_argnums=(0, 2))
def averaged_variables(generator, state, latent_dim: int):
    """The averaged generator's variables: the averaged parameters, and batch statistics that fit them.

    The running statistics belong to the generator that was trained, not to the average of its past. So they are
    recomputed here from 1,024 latents: momentum 0 keeps exactly this minibatch's.
    """
    key = jax.random.fold_in(state.key, CALIBRATION)
    inputs = jax.random.normal(key, (1024, latent_dim))
    fresh, stats = generator.clone(momentum=0.0), state.generator.stats
    _, stats = fresh.apply({"params": state.ema, **stats}, inputs, train=True, mutable=list(stats))
    return {"params": state.ema, **stats}


@functools.partial(jax.jit, static_argnums=0)
def generate(generator, variables, latents):
    """Latents [b, latent_dim] -> samples [b, ...], each a function of its own latent alone."""
    return generator.apply(variables, latents, train=False)


def samples(generator, state, latents) -> np.ndarray:
    """The averaged generator at any number of latents: uint8 images [n, h, w, c], or float32 points [n, 2]."""
    return presentable(outputs(generator, state, latents))


def outputs(generator, state, latents) -> np.ndarray:
    """What the averaged generator puts out at any number of latents: images float32 in [-1, 1], or points.

    In chunks of one size; the last one is filled up, and cut again.
    """
    variables = averaged_variables(generator, state, latents.shape[1])
    size = min(CHUNK, len(latents))
    chunks = []
    for start in range(0, len(latents), size):
        chunk = latents[start : start + size]
        full = jnp.pad(chunk, ((0, size - len(chunk)), (0, 0)))
        chunks.append(np.asarray(generate(generator, variables, full))[: len(chunk)])
    return np.concatenate(chunks)


def presentable(samples) -> np.ndarray:
    """What a generator puts out, as it is shown, stored and measured: images as uint8, points as they are.

    Raises DivergedError where it isn't finite: parameters that are may still be too large to compute with.
    """
    samples = np.asarray(samples)
    if not np.isfinite(samples).all():
        raise DivergedError("the averaged generator's samples are no longer finite")
    return batches.to_uint8(samples) if samples.ndim == 4 else samples


def draw(config, path: pathlib.Path, samples: np.ndarray, title: str, columns: int | None = None) -> None:
    """Writes a grid of the first 400 images (uint8 [n, h, w, c]), or a scatter of points [n, 2] over as many reals."""
    if samples.ndim == 4:
        pictures.image_grid(path, samples[:DRAWN], columns)
        return
    reals, _ = sources.reference(config.data.name, "", 0, "train", len(samples), config.seed)
    pictures.scatter(path, samples, reals, title)
