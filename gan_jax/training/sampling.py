"""Samples from the averaged generator, for pictures, evaluation and export."""

import functools
import math
import pathlib
from collections.abc import Sequence

import jax
import jax.numpy as jnp
import numpy as np
from numpy.typing import ArrayLike

from gan_jax.data import batches, sources
from gan_jax.errors import DivergedError, UserError
from gan_jax.reports import pictures
from gan_jax.training.conditional import Inputs, condition
from gan_jax.training.judging import STREAM
from gan_jax.training.state import CALIBRATION, CODES, NOISE, SAMPLES

CHUNK, PIXELS = 512, 2**21  # latents in one dispatch, and pixels of their images
DRAWN = 400  # images in one picture
FEWEST = 64  # reals behind points
COLUMNS, MOST_CLASSES = 8, 20  # of a picture with a class in each row


def inputs(
    takes: Inputs, state, num: int, seed: int = 0, labels: ArrayLike | None = None, truncation: float = 0.0
) -> jax.Array:
    """[num, sum(takes)]: what a generator takes. Each latent is a function of (root key, seed) and its own index alone.

    So the first 64 of 10,000 are the 64 of any other call, up to the last bit. labels: the classes [num]; by default
    one after the other, so that each comes equally often. truncation: latents beyond it on either side are drawn again
    (Brock et al. 2019, arXiv:1809.11096); 0 for none. Raises UserError for others than 0 and numbers from 1e-6 on.
    """
    if truncation != 0 and not 1e-6 <= truncation < np.inf:
        raise UserError(f"truncation={truncation}: give 0 for none, or a number from 1e-6 on")
    codes_key = jax.random.fold_in(jax.random.fold_in(state.key, CODES), seed)
    told = condition(takes, proportional_labels(takes, num) if labels is None else labels, codes_key)
    return jnp.concatenate([latents(state, num, takes.latent_dim, seed, truncation), told], axis=1)


def proportional_labels(takes: Inputs, num: int, counts: Sequence[int] = ()) -> np.ndarray:
    """Classes [num], as often as `counts` of each are to their sum, and evenly mixed; zeros where there are none.

    Each comes floor(num counts / sum) times, and once more where the remainder is among the largest (Hamilton's
    apportionment): of num = sum(counts), exactly as often. counts: () for all alike, one after the other.
    """
    if len({*counts}) < 2:
        return np.arange(num) % max(takes.classes, 1)
    quotas = num * np.asarray(counts, float) / sum(counts)
    times = np.floor(quotas).astype(int)
    times[np.argsort(times - quotas, kind="stable")[: num - times.sum()]] += 1
    places = np.concatenate([(np.arange(n) + 0.5) / n for n in times])
    return np.repeat(np.arange(len(times)), times)[np.argsort(places, kind="stable")]


def latents(state, num: int, latent_dim: int, seed: int = 0, truncation: float = 0.0) -> jax.Array:
    """[num, latent_dim] of N(0, 1), or of that between -truncation and truncation."""
    key = jax.random.fold_in(jax.random.fold_in(state.key, SAMPLES), seed)

    def row(index):
        row_key = jax.random.fold_in(key, index)
        if truncation:
            return jax.random.truncated_normal(row_key, -truncation, truncation, (latent_dim,))
        return jax.random.normal(row_key, (latent_dim,))

    return jax.vmap(row)(jnp.arange(num))


def grid(takes: Inputs) -> tuple[int, np.ndarray | None, int | None]:
    """(samples, their labels, columns) of a run's pictures: 64 as they come, or a class in each row, the first 20."""
    if not takes.classes:
        return 64, None, None
    labels = np.repeat(np.arange(min(takes.classes, MOST_CLASSES)), COLUMNS)
    return len(labels), labels, COLUMNS


def between(takes: Inputs, start: jax.Array, end: jax.Array, t: jax.Array) -> jax.Array:
    """Inputs [n, sum(takes)] whose latents lie between those of start and end, as `on_sphere`; start's conditions."""
    dim = takes.latent_dim
    return jnp.concatenate([on_sphere(start[:, :dim], end[:, :dim], t), start[:, dim:]], axis=1)


def paths(takes: Inputs, start: jax.Array, end: jax.Array, steps: int) -> jax.Array:
    """Inputs [n, sum(takes)], twice -> [n, steps, sum(takes)], from start to end, evenly along the sphere."""
    return jax.vmap(lambda t: between(takes, start, end, jnp.full(len(start), t)), out_axes=1)(
        jnp.linspace(0.0, 1.0, steps)
    )


def on_sphere(start: jax.Array, end: jax.Array, t: jax.Array) -> jax.Array:
    """[n, d], [n, d], [n] -> [n, d]: sin((1-t)a)/sin(a) start + sin(ta)/sin(a) end, a the angle between the two.

    Latents of N(0, 1) lie near a sphere; the straight line between two leaves it (White 2016, arXiv:1609.04468).
    """
    lengths = jnp.linalg.norm(start, axis=1) * jnp.linalg.norm(end, axis=1)
    cosine = jnp.clip(jnp.sum(start * end, axis=1) / lengths, -1 + 1e-6, 1 - 1e-6)
    angle, t = jnp.arccos(cosine)[:, None], t[:, None]
    return (jnp.sin((1 - t) * angle) * start + jnp.sin(t * angle) * end) / jnp.sin(angle)


def straight(start: np.ndarray, end: np.ndarray, t: np.ndarray) -> np.ndarray:
    """[n, ...], [n, ...], [n] -> [n, ...]: start + t (end - start)."""
    return start + t.reshape(-1, *(1,) * (start.ndim - 1)) * (end - start)


@functools.partial(jax.jit, static_argnums=(0, 2, 3))
def averaged_variables(generator, state, takes: Inputs, counts: tuple[int, ...] = ()):
    """The averaged generator's variables: the averaged parameters, and batch statistics that fit them.

    The running statistics belong to the generator that was trained, not to the average of its past. So they are
    recomputed here from 1,024 latents, of classes in the proportions of `counts`, as it was trained on (of many, the
    first 1,024): momentum 0 keeps exactly this minibatch's, which goes for whatever else a generator averages, as the
    mean of its w. These are the standing statistics of Brock et al. 2019
    (appendix B), in one minibatch.
    """
    key = jax.random.fold_in(state.key, CALIBRATION)
    latents = jax.random.normal(key, (1024, takes.latent_dim))
    told = condition(takes, proportional_labels(takes, 1024, counts), jax.random.fold_in(state.key, CODES))
    inputs = jnp.concatenate([latents, told], axis=1)
    fresh, stats = generator.clone(momentum=0.0), state.generator.collections
    rngs = {STREAM: noise_key(state)}
    _, stats = fresh.apply({"params": state.ema, **stats}, inputs, train=True, mutable=list(stats), rngs=rngs)
    return {"params": state.ema, **stats}


@functools.partial(jax.jit, static_argnums=0)
def generate(generator, variables, inputs, key):
    """Inputs [b, sum(takes)] -> samples [b, ...], each a function of its own input alone.

    key: see `noise_key`; of its own place, too, where the generator draws noise.
    """
    return generator.apply(variables, inputs, train=False, rngs={STREAM: key})


def noise_key(state, chunk: int = 0) -> jax.Array:
    """What a generator draws its noise from, for the chunk-th chunk of inputs: always the same for the same place."""
    return jax.random.fold_in(jax.random.fold_in(state.key, NOISE), chunk)


@functools.partial(jax.jit, static_argnums=0)
def mapped(generator, variables, inputs):
    """Inputs [b, sum(takes)] -> w [b, ...], what a generator with a `mapping` makes its images of."""
    return generator.apply(variables, inputs, train=False, method="mapping")


@functools.partial(jax.jit, static_argnums=0)
def made_of(generator, variables, w, key):
    """w [b, ...] -> samples [b, ...], by a generator with a `synthesis`."""
    return generator.apply(variables, w, train=False, method="synthesis", rngs={STREAM: key})


def samples(generator, state, takes: Inputs, inputs, counts: tuple[int, ...] = ()) -> np.ndarray:
    """The averaged generator at any number of inputs: uint8 images [n, h, w, c], or float32 points [n, 2].

    counts: see `averaged_variables`.
    """
    return presentable(outputs(generator, state, takes, inputs, counts))


def outputs(generator, state, takes: Inputs, inputs, counts: tuple[int, ...] = ()) -> np.ndarray:
    """What the averaged generator puts out at any number of inputs: images float32 in [-1, 1], or points."""
    variables = averaged_variables(generator, state, takes, counts)
    return in_chunks(functools.partial(generate, generator, variables), state, inputs, generator.shape)


def in_chunks(function, state, inputs, shape: tuple[int, ...] = ()) -> np.ndarray:
    """function(some of the inputs [n, ...], key) of all of them; the last are filled up, and cut again.

    shape: of the samples that it makes. From it follows after how many a new chunk begins, with noise of its own.
    """
    size = min(CHUNK, max(1, PIXELS // math.prod(shape[:2])), len(inputs))
    chunks = []
    for start in range(0, len(inputs), size):
        chunk = inputs[start : start + size]
        full = jnp.pad(chunk, ((0, size - len(chunk)), *((0, 0),) * (chunk.ndim - 1)))
        chunks.append(np.asarray(function(full, noise_key(state, start // size)))[: len(chunk)])
    return np.concatenate(chunks)


@functools.partial(jax.jit, static_argnums=0)
def made_alike(generator, variables, w, key):
    """`made_of`, with the same noise for all samples."""
    return jax.vmap(lambda one: made_of(generator, variables, one[None], key)[0])(w)


def truncation_in_w(generator) -> dict[str, float]:
    """How w is drawn to its mean: `psi`, and the `cutoff` where there is one; {} where w stays as it is."""
    psi, cutoff = getattr(generator, "psi", 1.0), getattr(generator, "cutoff", 0)
    return {} if psi == 1 else {"psi": psi} | ({"cutoff": cutoff} if cutoff else {})


def outputs_between(generator, state, takes: Inputs, counts: tuple[int, ...] = ()):
    """A function (inputs, inputs [n, sum(takes)], t [n]) -> outputs between them: on the sphere, or straight in w."""
    if not hasattr(generator, "mapping"):
        return lambda start, end, t: outputs(generator, state, takes, between(takes, start, end, t), counts)
    variables = averaged_variables(generator, state, takes, counts)

    def in_w(start, end, t):
        a, b = (in_chunks(lambda some, _: mapped(generator, variables, some), state, x) for x in (start, end))
        w = jnp.asarray(straight(a, b, t))
        return in_chunks(functools.partial(made_of, generator, variables), state, w, generator.shape)

    return in_w


def presentable(samples) -> np.ndarray:
    """What a generator puts out, as it is shown, stored and measured: images as uint8, points as they are.

    Raises DivergedError where it isn't finite: parameters that are may still be too large to compute with.
    """
    samples = np.asarray(samples)
    if not np.isfinite(samples).all():
        raise DivergedError("the averaged generator's samples are no longer finite")
    return batches.to_uint8(samples) if samples.ndim == 4 else samples


def draw(
    config,
    path: pathlib.Path,
    samples: np.ndarray,
    title: str,
    columns: int | None = None,
    names: Sequence[str] = (),
    is_of_columns: bool = False,
) -> None:
    """Writes a grid of the first 400 images (uint8 [n, h, w, c]), or a scatter of points [n, 2] over reals.

    Of these there are as many, and enough to show where the data lie.

    names: what the first rows of a grid, or its columns, are called.
    """
    if samples.ndim == 4:
        pictures.image_grid(path, samples[:DRAWN], columns, names, is_of_columns)
        return
    reals, *_ = sources.reference(config.data.name, "", 0, "train", max(len(samples), FEWEST), config.seed)
    pictures.scatter(path, samples, reals, title)
