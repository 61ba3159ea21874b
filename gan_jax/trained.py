"""What is done with a trained generator: evaluate, sample, export. The data is needed only to evaluate."""

import pathlib

import jax
import ml_collections
import numpy as np
from flax import linen as nn
from jax import export as jax_export

from gan_jax import evaluation, measures, workdir
from gan_jax.config import FIELDS, default_config, validate
from gan_jax.data import sources
from gan_jax.data.fitting import LARGEST
from gan_jax.errors import UserError, one_line
from gan_jax.reports import atomic, pictures, scalars
from gan_jax.training import checkpoint, sampling
from gan_jax.training.integrity import DamagedError
from gan_jax.training.state import GANState, build_networks, create_state

PLATFORMS = ("cpu", "cuda", "tpu")
ROWS, COLUMNS = 8, 10  # of an interpolation


def stored_config(folder: pathlib.Path) -> ml_collections.ConfigDict:
    """The configuration that the folder was made with; a UserError where this version of the program has others."""
    stored, config = workdir.stored_fields(folder) or {}, default_config()
    try:
        config.update_from_flattened_dict(stored)
        if missing := [name for name in FIELDS if name not in stored]:
            raise UserError(f"it has no {', '.join(missing)}")
        validate(config)
    except (UserError, KeyError, TypeError, ValueError, AttributeError) as error:
        raise UserError(f"{folder}/config.json does not fit this version of the program: {one_line(error)}") from None
    return config


def load(config: ml_collections.ConfigDict, folder: pathlib.Path, wanted: str) -> tuple[nn.Module, GANState]:
    """(generator, state) of the checkpoint `last`, `best` or a step; a UserError where there is none."""
    with checkpoint.open_checkpoints(folder, is_read_only=True) as manager:
        step = checkpoint.find_step(manager, wanted)
        try:
            shape = _shape(checkpoint.about(manager, step), config, folder / "checkpoints" / str(step))
            template = jax.eval_shape(lambda: create_state(config, shape))
            return build_networks(config, shape)[0], checkpoint.restore(manager, step, state=template)["state"]
        except DamagedError as error:
            others = [str(other) for other in sorted(manager.all_steps()) if other != step]
            hint = f"give --checkpoint={others[-1]}" if others else "there is no other"
            raise UserError(f"{error}; {hint}, and --mode=train sets it aside") from None


def _shape(about, config, place):
    """That of a sample, as the checkpoint says; a UserError where the configuration's set has none such."""
    match sources.is_points(config.data.name), about:
        case True, {"shape": [2]}:
            return (2,)
        case False, {"shape": [int(h), int(w), 1 | 3 as c]} if min(h, w) > 0 and max(h, w) <= LARGEST:
            return h, w, c
    raise UserError(f"{place} is of samples of another shape than those of {config.data.name}: give another run")


def evaluate(config: ml_collections.ConfigDict, folder: pathlib.Path, wanted: str, how: evaluation.How) -> None:
    """Adds a line to evaluation.jsonl, prints it as a table, and draws evaluation.png."""
    generator, state = load(config, folder, wanted)
    scalars.read(folder / "evaluation.jsonl")  # a UserError where it is damaged, before a line is added
    found = evaluation.evaluate(config, generator, state, how, is_kept=True)
    scalars.append(folder / "evaluation.jsonl", found.record)
    print(evaluation.table(found.record))
    draw_evaluation(folder, found)


def draw_evaluation(folder: pathlib.Path, found: evaluation.Evaluation) -> None:
    """Writes evaluation.png: samples beside their nearest reals; the run's evaluations of the same protocol as a curve.

    Says which of them was the best, and which the last.
    """
    numbers = [name for name, value in found.record.items() if isinstance(value, int | float) and name != "step"]
    name = next((name for name in (*measures.SCORES, *numbers) if name in numbers), "")
    records = scalars.read(folder / "evaluation.jsonl")
    alike = [record for record in records if _is_number(record.get(name)) and _is_alike(record, found.record)]
    curve = dict(sorted((record["step"], record[name]) for record in alike))
    path = folder / "evaluation.png"
    best = (max if name in measures.LARGER_IS_BETTER else min)(curve, key=lambda step: curve[step], default=None)
    pictures.evaluation(path, *evaluation.beside_nearest(found), curve, best, name)
    if curve:
        last = max(curve)
        print(f"{name}, by this protocol: best {curve[best]:.4g} at step {best}, last {curve[last]:.4g} at step {last}")
    print(f"wrote {path}")


def _is_alike(record, other):
    """Whether two evaluations agree in all that both say of their protocols: one may have measured more."""
    protocol = record.get("protocol")
    return isinstance(protocol, dict) and all(
        other["protocol"].get(key, value) == value for key, value in protocol.items()
    )


def _is_number(value):
    return isinstance(value, int | float) and not isinstance(value, bool)


def sample(config: ml_collections.ConfigDict, folder: pathlib.Path, wanted: str, num: int, seed: int) -> None:
    """Writes samples/samples.npz (`images` uint8 [n, h, w, c] or `points` float32 [n, 2]; `latents`), samples.png."""
    generator, state = load(config, folder, wanted)
    latents = sampling.latents(state, num, config.network.latent_dim, seed)
    samples = sampling.samples(generator, state, latents)
    folder = folder / "samples"
    name = "points" if sources.is_points(config.data.name) else "images"
    arrays = {name: samples, "latents": np.asarray(latents)}
    atomic.write_arrays(folder / "samples.npz", arrays, compressed=True)
    sampling.draw(config, folder / "samples.png", samples, f"{num} samples at step {state.step}")
    print(f"wrote {folder / 'samples.npz'} and {folder / 'samples.png'}")


def interpolate(config: ml_collections.ConfigDict, folder: pathlib.Path, wanted: str, seed: int) -> None:
    """Writes samples/interpolation.png: each row leads from one latent to another, along the sphere."""
    generator, state = load(config, folder, wanted)
    ends = sampling.latents(state, 2 * ROWS, config.network.latent_dim, seed).reshape(2, ROWS, -1)
    latents = sampling.spherical(ends[0], ends[1], COLUMNS).reshape(ROWS * COLUMNS, -1)
    path = folder / "samples" / "interpolation.png"
    sampling.draw(config, path, sampling.samples(generator, state, latents), f"{ROWS} interpolations", COLUMNS)
    print(f"wrote {path}")


def export(config: ml_collections.ConfigDict, folder: pathlib.Path, wanted: str) -> None:
    """Writes generator.jax_export: latents float32 [b, latent_dim], any b -> samples float32 [b, ...], weights inside.

    For cpu, cuda and tpu: `jax.export.deserialize(path.read_bytes()).call(latents)`.
    """
    generator, state = load(config, folder, wanted)
    dim = config.network.latent_dim
    variables = sampling.averaged_variables(generator, state, dim)
    latents = jax.ShapeDtypeStruct((jax_export.symbolic_shape("b")[0], dim), np.float32)
    exported = jax_export.export(jax.jit(lambda z: generator.apply(variables, z, train=False)), platforms=PLATFORMS)(
        latents
    )
    path = folder / "generator.jax_export"
    atomic.write(path, bytes(exported.serialize()))
    print(f"wrote {path}: float32 latents [b, {dim}] -> float32 samples [b, {', '.join(map(str, generator.shape))}]")
