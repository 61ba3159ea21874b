"""What is done with a trained generator: evaluate, sample, export. The data is needed only to evaluate."""

import io
import pathlib
from typing import Any

import jax
import ml_collections
import numpy as np
from flax import linen as nn
from jax import export as jax_export

from gan_jax import evaluation
from gan_jax.data import sources
from gan_jax.reports import atomic, scalars
from gan_jax.training import checkpoint, sampling
from gan_jax.training.state import GANState, build_networks, create_state

PLATFORMS = ("cpu", "cuda", "tpu")
ROWS, COLUMNS = 8, 10  # of an interpolation


def load(config: ml_collections.ConfigDict, workdir: pathlib.Path, wanted: str) -> tuple[nn.Module, GANState]:
    """(generator, state) of the checkpoint `last`, `best` or a step; a UserError where there is none."""
    with checkpoint.open_checkpoints(workdir) as manager:
        step = checkpoint.find_step(manager, wanted)
        shape = tuple(checkpoint.about(manager, step)["shape"])
        template = jax.eval_shape(lambda: create_state(config, shape))
        return build_networks(config, shape)[0], checkpoint.restore(manager, step, "state", template)


def evaluate(config: ml_collections.ConfigDict, workdir: pathlib.Path, wanted: str, num: int | None) -> None:
    """Adds a line to evaluation.jsonl, of `num` samples, and prints it as a table."""
    generator, state = load(config, workdir, wanted)
    record = evaluation.evaluate(config, generator, state, num)
    scalars.append(workdir / "evaluation.jsonl", record)
    print(evaluation.table(record))


def sample(config: ml_collections.ConfigDict, workdir: pathlib.Path, wanted: str, num: int, seed: int) -> None:
    """Writes samples/samples.npz (`images` uint8 [n, h, w, c] or `points` float32 [n, 2]; `latents`), samples.png."""
    generator, state = load(config, workdir, wanted)
    latents = sampling.latents(state, num, config.network.latent_dim, seed)
    samples = sampling.samples(generator, state, latents)
    folder = workdir / "samples"
    name = "points" if sources.is_points(config.data.name) else "images"
    packed = io.BytesIO()
    arrays: dict[str, Any] = {name: samples, "latents": np.asarray(latents)}
    np.savez_compressed(packed, **arrays)
    atomic.write(folder / "samples.npz", packed.getvalue())
    sampling.draw(config, folder / "samples.png", samples, f"{num} samples at step {state.step}")
    print(f"wrote {folder / 'samples.npz'} and {folder / 'samples.png'}")


def interpolate(config: ml_collections.ConfigDict, workdir: pathlib.Path, wanted: str, seed: int) -> None:
    """Writes samples/interpolation.png: each row leads from one latent to another, along the sphere."""
    generator, state = load(config, workdir, wanted)
    ends = sampling.latents(state, 2 * ROWS, config.network.latent_dim, seed).reshape(2, ROWS, -1)
    latents = sampling.spherical(ends[0], ends[1], COLUMNS).reshape(ROWS * COLUMNS, -1)
    path = workdir / "samples" / "interpolation.png"
    sampling.draw(config, path, sampling.samples(generator, state, latents), f"{ROWS} interpolations", COLUMNS)
    print(f"wrote {path}")


def export(config: ml_collections.ConfigDict, workdir: pathlib.Path, wanted: str) -> None:
    """Writes generator.jax_export: latents float32 [b, latent_dim], any b -> samples float32 [b, ...], weights inside.

    For cpu, cuda and tpu: `jax.export.deserialize(path.read_bytes()).call(latents)`.
    """
    generator, state = load(config, workdir, wanted)
    dim = config.network.latent_dim
    variables = sampling.averaged_variables(generator, state, dim)
    latents = jax.ShapeDtypeStruct((jax_export.symbolic_shape("b")[0], dim), np.float32)
    exported = jax_export.export(jax.jit(lambda z: generator.apply(variables, z, train=False)), platforms=PLATFORMS)(
        latents
    )
    path = workdir / "generator.jax_export"
    atomic.write(path, bytes(exported.serialize()))
    print(f"wrote {path}: float32 latents [b, {dim}] -> float32 samples [b, {', '.join(map(str, generator.shape))}]")
