"""A trained run, to be sampled, interpolated, asked for its critic's opinion, evaluated and exported.

    model = load("runs/wgan")
    images = model.sample(64)

The data is needed only to evaluate.
"""

import dataclasses
import functools
import operator
import os
import pathlib
from collections.abc import Mapping
from numbers import Real
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import ml_collections
import numpy as np
from flax import linen as nn
from jax import export as jax_export
from numpy.typing import ArrayLike

from gan_jax.config import default_config, validate
from gan_jax.data import about, batches, sources
from gan_jax.data.about import MOST_NAMES
from gan_jax.data.fitting import LARGEST
from gan_jax.errors import UserError, one_line
from gan_jax.evaluation import generators, measures, measuring
from gan_jax.files import atomic, names
from gan_jax.reports import pictures, progress, scalars
from gan_jax.runs import changes, checkpoint, workdir
from gan_jax.runs.integrity import DamagedError
from gan_jax.training import conditional, game, judging, sampling
from gan_jax.training.game import build_networks
from gan_jax.training.hyperparameters import fields_of
from gan_jax.training.state import GANState, create_state

PLATFORMS = ("cpu", "cuda", "tpu")
ROWS, COLUMNS = 8, 10  # of an interpolation; a traversal of codes has as many columns, or more
MIXED = 5, 8  # rows and columns of mixed styles
MOST, LAST_SEED = 10**6, 2**32 - 1  # samples that may be asked for at once, and their seed


@dataclasses.dataclass(frozen=True)
class Trained:
    """A run at one of its checkpoints: its configuration, both networks as flax modules, and its state.

    classes: their names, in the order of the labels, where the generator is told labels and the run knows them. counts:
    how often it was told each, () for all alike.
    """

    config: ml_collections.ConfigDict
    generator: nn.Module
    critic: nn.Module
    state: GANState
    classes: tuple[str, ...] = ()
    counts: tuple[int, ...] = ()

    @property
    def takes(self) -> conditional.Inputs:
        """Sizes of the parts of the generator's input: latent, class one-hot, continuous codes."""
        return conditional.of(self.config)[1]

    @jax.enable_x64(False)  # as it was trained, whatever the caller's own setting is, which stays as it is
    def inputs(
        self, num: int = 64, seed: int = 0, label: int | str | None = None, truncation: float = 0.0
    ) -> jax.Array:
        """What the generator takes [num, sum(takes)]: latents of N(0, 1), and classes.

        label: the class, by its name or its number; None for all, as often as the generator was told of each.
        truncation: latents beyond it on either side are drawn again; 0 for none. Raises UserError where there is no
        such class, or no such truncation.
        """
        num, seed = _whole("num", num, 1, MOST), _whole("seed", seed, 0, LAST_SEED)
        if label is None:
            labels = sampling.proportional_labels(self.takes, num, self.counts)
        else:
            labels = np.full(num, self.label(label))
        return sampling.inputs(self.takes, self.state, num, seed, labels, truncation)

    def label(self, wanted: int | str) -> int:
        """The number of a class that is given by its name or number; a UserError where there is none such.

        A text is a name first, and a number only where no class is called so.
        """
        if not self.takes.classes:
            raise UserError(f"label={wanted}: give none, for the run is unconditional")
        if isinstance(wanted, str) and wanted in self.classes:
            return self.classes.index(wanted)
        if isinstance(wanted, str) and wanted.isdecimal() and len(wanted) < 10:
            wanted = int(wanted)
        if isinstance(wanted, str):
            named = f"{', '.join(self.classes[:MOST_NAMES])}{', ...' if len(self.classes) > MOST_NAMES else ''}, or "
            raise UserError(
                f"label={wanted!r}: give {named if self.classes else ''}a whole number from 0 to "
                f"{self.takes.classes - 1}"
            )
        return _whole("label", wanted, 0, self.takes.classes - 1)

    @jax.enable_x64(False)
    def generate(self, inputs: jax.Array) -> np.ndarray:
        """The averaged generator at inputs [n, sum(takes)]: uint8 images [n, h, w, c], or float32 points [n, 2]."""
        return sampling.samples(self.generator, self.state, self.takes, self._checked(inputs), self.counts)

    def _checked(self, inputs):
        if np.ndim(inputs) != 2 or not len(inputs) or np.shape(inputs)[1] != sum(self.takes):
            raise UserError(f"inputs of shape {np.shape(inputs)}: give [n, {sum(self.takes)}], such as model.inputs(n)")
        return jnp.asarray(np.asarray(inputs, np.float32))  # of whatever type they were given

    def truncated(self, psi: float, cutoff: int = 0) -> "Trained":
        """The same, whose generator draws w nearer to its mean, mean + psi (w - mean): likelier samples, more alike.

        psi: 1 leaves w as it is, 0 gives the mean. cutoff: layers, from the first on, of which this is done; 0 for all.
        Raises UserError where the network has no such thing, or no so many layers.
        """
        if not hasattr(self.generator, "psi"):
            if psi == 1 and not cutoff:
                return self
            is_mapped = hasattr(self.generator, "mapping")
            lacks = f"{self._network}: its generator has no fields psi and cutoff" if is_mapped else self._no_mapping
            raise UserError(
                f"psi={psi}, cutoff={cutoff}: {lacks}; give 1.0 and 0, or truncation for latents nearer to 0"
            )
        if not isinstance(psi, Real) or not abs(psi) <= 10:
            raise UserError(f"psi={psi}: give a number from -10 to 10, such as 0.7")
        if psi == 1 and cutoff:
            raise UserError(f"cutoff={cutoff} with psi=1, which leaves w as it is: give another psi, or 0")
        return dataclasses.replace(self, generator=self.generator.clone(psi=float(psi), cutoff=self._layer(cutoff)))

    def _layer(self, value):
        return _whole("cutoff", value, 0, getattr(self._mapping, "layers", 1))

    @jax.enable_x64(False)
    def w(self, inputs: jax.Array, psi: float | None = None) -> np.ndarray:
        """What the averaged generator maps inputs to, w [n, ...], from which `made_of` makes samples.

        psi: see `truncated`, of all layers; None for as it is. Raises UserError where the network has no `mapping`.
        """
        model = self if psi is None else self.truncated(psi)
        return np.asarray(sampling.mapped(model._mapping, self._variables, self._checked(inputs)))

    @jax.enable_x64(False)
    def made_of(self, w: ArrayLike) -> np.ndarray:
        """The averaged generator's samples of w [n, ...]: as those of `generate`."""
        return self._made(sampling.made_of, w)

    def _made(self, make, w):
        expected = jax.eval_shape(lambda: self._mapping.apply(self._variables, self.inputs(1), False, method="mapping"))
        if np.ndim(w) != expected.ndim or not len(w) or np.shape(w)[1:] != expected.shape[1:]:
            wanted = ", ".join(map(str, expected.shape[1:]))
            raise UserError(f"w of shape {np.shape(w)}: give [n, {wanted}], such as model.w(model.inputs(n))")
        make = functools.partial(make, self._mapping, self._variables)
        w = jnp.asarray(np.asarray(w, np.float32))
        return sampling.presentable(sampling.in_chunks(make, self.state, w, self.generator.shape))

    @property
    def _mapping(self):
        if not hasattr(self.generator, "mapping"):
            raise UserError(f"{self._no_mapping}; take the inputs themselves, space z")
        return self.generator

    @property
    def _no_mapping(self):
        return f"{self._network}: its generator maps no latents"

    @property
    def _network(self):
        return f"config.network.name={self.config.network.name!r}"

    @functools.cached_property
    def _variables(self):
        return sampling.averaged_variables(self.generator, self.state, self.takes, self.counts)

    def sample(
        self, num: int = 64, seed: int = 0, label: int | str | None = None, truncation: float = 0.0
    ) -> np.ndarray:
        """Samples, uint8 images [n, h, w, c] or float32 points [n, 2], of `inputs`."""
        return self.generate(self.inputs(num, seed, label, truncation))

    @jax.enable_x64(False)
    def interpolate(
        self,
        rows: int = ROWS,
        columns: int = COLUMNS,
        seed: int = 0,
        label: int | str | None = None,
        truncation: float = 0.0,
        space: str = "z",
    ) -> np.ndarray:
        """[rows, columns, ...]: each row leads from one latent to another, along the sphere, within a class.

        space: w for a straight line from what the one is mapped to, to what the other is, and the same noise for all.
        """
        if space not in ("z", "w"):
            raise UserError(f"space={space!r}: give 'z' or 'w'")
        rows, columns = _whole("rows", rows, 1, MOST // 2), _whole("columns", columns, 1, MOST)
        start, end = self.inputs(2 * rows, seed, label, truncation).reshape(2, rows, -1)
        if space == "w":
            first, last = (np.repeat(self.w(inputs), columns, axis=0) for inputs in (start, end))
            w = sampling.straight(first, last, np.tile(np.linspace(0, 1, columns, dtype=np.float32), rows))
            samples = self._made(sampling.made_alike, w)
        else:
            inputs = sampling.paths(self.takes, start, end, columns)
            samples = self.generate(inputs.reshape(rows * columns, -1))
        return samples.reshape(rows, columns, *samples.shape[1:])

    @jax.enable_x64(False)
    def mix(
        self,
        rows: int = MIXED[0],
        columns: int = MIXED[1],
        seed: int = 0,
        label: int | str | None = None,
        truncation: float = 0.0,
        cutoff: int = 0,
    ) -> np.ndarray:
        """Styles mixed, uint8 [rows + 1, columns + 1, h, w, c]: the first layers of rows, the others of columns.

        The first column has the samples that rows take their coarse layers from, and the first row those that columns
        take their fine ones from; between them is a white one. All have the same noise. cutoff: 0 for half of the
        layers. Raises UserError where the generator does not take a w for each layer.
        """
        rows, columns = _whole("rows", rows, 1, MOST), _whole("columns", columns, 1, MOST)
        if not (layers := getattr(self.generator, "layers", 0)):
            raise UserError(f"{self._no_mapping} to a w for each layer; there are no styles to mix")
        inputs = self.inputs(rows + columns, seed, label, truncation)
        coarse, fine = np.split(self.w(inputs), [rows])
        is_coarse = np.arange(layers) < (self._layer(cutoff) or layers // 2)
        mixed = np.where(is_coarse[:, None], coarse[:, None], fine[None])
        cells = mixed.reshape(-1, *coarse.shape[1:])
        sources, samples = (self._made(sampling.made_alike, w) for w in (np.concatenate([coarse, fine]), cells))
        table = np.full((rows + 1, columns + 1, *samples.shape[1:]), 255, samples.dtype)
        table[1:, 0], table[0, 1:] = np.split(sources, [rows])
        table[1:, 1:] = samples.reshape(rows, columns, *samples.shape[1:])
        return table

    @jax.enable_x64(False)
    def traverse(self, rows: int = 4, seed: int = 0, truncation: float = 0.0) -> np.ndarray:
        """[rows * (1 + continuous), columns, ...]: one latent a row, and along the row all classes, or one code.

        The first `rows` of these go through the classes, the first 20; the next ones through the first continuous
        code, from -1 to 1, and so on. Where there are such codes there are 10 columns or more, and fewer classes than
        that begin anew. Raises UserError where the generator is told nothing.
        """
        rows = _whole("rows", rows, 1, MOST)
        samples = self.generate(jnp.asarray(self._traversal(rows, seed, truncation).reshape(-1, sum(self.takes))))
        return samples.reshape(rows * (1 + self.takes.continuous), -1, *samples.shape[1:])

    def _traversal(self, rows, seed, truncation=0.0):
        dim, classes, continuous = self.takes
        if not classes:
            raise UserError("an unconditional run has neither classes nor codes to go through: see interpolate")
        columns = max(min(classes, sampling.MOST_CLASSES), COLUMNS if continuous else 1)
        starts = np.array(self.inputs(rows, seed, truncation=truncation))
        starts[:, dim + classes :] = 0
        blocks = np.repeat(starts[None, :, None], 1 + continuous, axis=0).repeat(columns, axis=2)
        blocks[0, :, :, dim : dim + classes] = np.arange(columns)[:, None] % classes == np.arange(classes)
        for code in range(continuous):
            blocks[1 + code, :, :, dim + classes + code] = np.linspace(-1, 1, columns)
        return blocks

    @jax.enable_x64(False)
    def score(self, samples: np.ndarray, labels: ArrayLike | None = None) -> np.ndarray:
        """The critic's logits [n] of uint8 images [n, h, w, c] or points [n, 2]: the larger, the more like reals.

        labels: the classes [n], where the critic is told them. Raises UserError where they are missing, or the samples
        have another shape; a critic with packing judges as many at once, one logit each, and one with a minibatch
        deviation as many as a group has.
        """
        way, takes = conditional.of(self.config)
        samples, shape = np.asarray(samples), self.generator.shape
        together = self.config.packing * max(self.config.network.minibatch_deviation, 1)
        if samples.shape[1:] != shape or not len(samples) or len(samples) % together:
            wanted, what = ", ".join(map(str, shape)), "packing" if together == self.config.packing else "groups"
            raise UserError(
                f"samples of shape {samples.shape}: give [n, {wanted}], n a multiple of the {what} ({together})"
            )
        if len(shape) == 3 and samples.dtype != np.uint8:
            raise UserError(f"images of type {samples.dtype}: give uint8, from 0 to 255")
        if labels is None and (way.is_joined or way.is_in_norms):
            raise UserError(f"a critic with conditional.name={self.config.conditional.name} needs labels: give classes")
        if labels is not None and not takes.classes:
            raise UserError("labels: give none, for the run is unconditional")
        labels = np.zeros(len(samples), int) if labels is None else np.asarray(labels)
        is_right = labels.shape == (len(samples),) and labels.dtype.kind in "iu"
        if not is_right or not 0 <= labels.min() <= labels.max() <= max(takes.classes - 1, 0):
            raise UserError(f"labels: give {len(samples)} classes from 0 to {takes.classes - 1}")
        x = batches.to_unit(samples) if samples.ndim == 4 else samples
        told = conditional.condition(takes, labels, jax.random.key(0))
        step = max(sampling.CHUNK * self.config.packing // together, 1) * together
        chunks = [slice(start, start + step) for start in range(0, len(x), step)]
        return np.concatenate([np.asarray(self._logits(x[chunk], told[chunk])) for chunk in chunks])

    def evaluate(
        self,
        images: ArrayLike,
        labels: ArrayLike | None = None,
        metrics: str = "auto",
        features: str = "suitable",
        name: str = "arrays",
        **how: Any,
    ) -> dict[str, Any]:
        """Numbers of as many samples against uint8 images [n, h, w, 1 or 3], with their protocol, as a dict.

        labels: the classes [n] of the images, numbered as the generator's. name: what the protocol calls them. metrics,
        features and `how` (resizer, weights, num, reals, truncation, conditions): as for `measuring.How`. Nothing is
        written. Raises UserError where the arrays, or what is asked for, do not suit.
        """
        source = sources.of_arrays(images, labels, name, self.classes)
        names = [field for field in measuring.How._fields if field not in ("metrics", "features", "split")]
        if others := {*how} - {*names}:
            raise UserError(f"{', '.join(sorted(others))}: give some of metrics, features, {', '.join(names)}")
        config = self.config.copy_and_resolve_references()
        config.data.name, config.data.dir = name, ""
        asked = measuring.How(metrics, features, **({"num": len(source.arrays["image"])} | how))
        return generators.evaluate(
            config, self.generator, self.state, asked, False, source.reference, self.counts, self.classes
        ).record

    @functools.cached_property
    def _logits(self):
        played, critic = game.make(self.config, self.generator.shape), self.state.critic
        packed = functools.partial(judging.pack, packing=self.config.packing)
        return jax.jit(lambda x, told: judging.judged(played, critic.params, critic.collections, packed(x), told)[0])


def _whole(name, value, least, most):
    """The value as an int; a UserError where it is none from least to most."""
    try:
        number = -1 if isinstance(value, bool | np.bool_) else operator.index(value)
    except TypeError:
        number = -1
    if not least <= number <= most:
        raise UserError(f"{name}={value!r}: give a whole number from {least} to {most}")
    return number


def stored_config(folder: pathlib.Path) -> ml_collections.ConfigDict:
    """The configuration that the folder was made with; a UserError where this version of the program has others."""
    stored, config = changes.stored(folder) or {}, default_config()
    try:
        config.update_from_flattened_dict(stored)
        validate(config)
    except (UserError, KeyError, TypeError, ValueError, AttributeError) as error:
        raise UserError(f"{folder}/config.json does not fit this version of the program: {one_line(error)}") from None
    return config


@jax.enable_x64(False)
def load(
    folder: str | os.PathLike[str], wanted: str | int = "last", fields: Mapping[str, Any] | None = None
) -> Trained:
    """The run in a folder at its checkpoint `last`, `best` or of a step; a UserError where there is none.

    fields: free ones that shall be others than stored, as {"data.dir": ...} of a set that has moved.
    """
    folder = pathlib.Path(os.path.expanduser(folder))
    names.check_workdir(folder)
    if workdir.stored_fields(folder) is None:
        raise UserError(f"{folder} holds no run: give the folder of one, such as runs/wgan, or train first")
    config, wanted = _with_fields(stored_config(folder), fields or {}), str(wanted)
    with checkpoint.open_checkpoints(folder, is_read_only=True) as manager:
        step = checkpoint.find_step(manager, wanted)
        try:
            about_it = checkpoint.about(manager, step)
            changes.check_saved(folder, step, changes.said(about_it))
            shape = _shape(about_it, config, folder / "checkpoints" / str(step))
            template = jax.eval_shape(lambda: create_state(config, shape))
            state = checkpoint.restore(manager, step, state=template)["state"]
            changes.check_saved(folder, step, fields_of(state.hparams))
            return Trained(config, *build_networks(config, shape), state, *_classes(config, folder))
        except DamagedError as error:
            others = sorted({*manager.all_steps()} - {step})
            if not others:
                raise UserError(f"{error}, and there is no other checkpoint: give another run") from None
            aside = ", and --mode=train sets it aside" if step > others[-1] else ""
            raise UserError(f"{error}; give checkpoint {others[-1]}{aside}") from None


def _classes(config, folder):
    """(names of the classes that the generator is told, how often it was told each), as the run remembers its set."""
    way, takes = conditional.of(config)
    known = about.remembered(folder) if way.is_told_labels else None
    if known is None or len(known.classes) != takes.classes:
        return (), ()
    return known.classes, conditional.counts(config, lambda: known.counts)


def _with_fields(config, fields):
    if others := {*fields} - {*changes.free(fields)}:
        raise UserError(f"{', '.join(sorted(others))}: not free in a run that is trained; leave them out")
    config.update_from_flattened_dict(fields)
    validate(config)
    return config


def _shape(said, config, place):
    """That of a sample, as the checkpoint says; a UserError where the configuration's set has none such."""
    match sources.is_points(config.data.name), said:
        case True, {"shape": [2]}:
            return (2,)
        case False, {"shape": [int(h), int(w), 1 | 3 as c]} if min(h, w) > 0 and max(h, w) <= LARGEST:
            return h, w, c
    raise UserError(f"{place} is of samples of another shape than those of {config.data.name}: give another run")


def evaluate(model: Trained, folder: pathlib.Path, how: measuring.How, place: pathlib.Path | None = None) -> None:
    """Adds a line to evaluation.jsonl, prints it as a table, and draws evaluation.png.

    place: the folder of both, if not the run's; a line there says by `run` of which run it is.
    """
    place = place or folder
    scalars.read(place / "evaluation.jsonl")  # a UserError where it is damaged, before a line is added
    found = generators.evaluate(
        model.config, model.generator, model.state, how, is_kept=True, counts=model.counts, classes=model.classes
    )
    if found.reals.about:
        _compare_set(folder, found.reals.about)
    place.mkdir(parents=True, exist_ok=True)
    scalars.append(place / "evaluation.jsonl", _of_run(folder, place) | found.record)
    names.say(*measuring.table(found.record).splitlines())
    draw_evaluation(folder, found, place)


def _of_run(folder, place):
    return {} if place == folder else {"run": os.path.abspath(folder)}


def _compare_set(folder, found):
    """Says what the set is, and how it differs from what the run remembers of it, since it trained."""
    names.say(about.line(found))
    known = about.remembered(folder, found.split)
    if known and (words := about.differences(known, found)):
        progress.warn(f"{found.name} is not the set that {folder} knows: {words}")


def draw_evaluation(folder: pathlib.Path, found: generators.Evaluation, place: pathlib.Path) -> None:
    """Writes evaluation.png: samples beside their nearest reals; the run's evaluations of the same protocol as a curve.

    Says which of them was the best, and which the last. place: the folder of the picture, as for `evaluate`.
    """
    numbers = measures.numbers(found.record)
    name = next((name for name in (*measures.SCORES, *numbers) if name in numbers), "")
    records = scalars.read(folder / "evaluation.jsonl")
    if of_run := _of_run(folder, place):
        records += [record for record in scalars.read(place / "evaluation.jsonl") if record == record | of_run]
    alike = [record for record in records if measures.is_number(record.get(name)) and _is_alike(record, found.record)]
    curve = dict(sorted((record["step"], record[name]) for record in alike))
    path = place / "evaluation.png"
    best = (max if name in measures.LARGER_IS_BETTER else min)(curve, key=lambda step: curve[step], default=None)
    pictures.evaluation(path, *generators.beside_nearest(found), curve, best, name)
    if curve:
        last = max(curve)
        names.say(
            f"{name}, by this protocol: best {curve[best]:.4g} at step {best}, last {curve[last]:.4g} at step {last}"
        )
    names.say(f"wrote {path}")


def _is_alike(record, other):
    protocol = record.get("protocol")
    return isinstance(protocol, dict) and measures.is_alike(protocol, other["protocol"])


class Wanted(NamedTuple):
    """Which samples: how many, of which seed, of which class alone, and how far latents may be from 0 (0: any).

    space: in which to interpolate. cutoff: of styles that are mixed.
    """

    num: int = 64
    seed: int = 0
    label: int | str | None = None
    truncation: float = 0.0
    space: str = "z"
    cutoff: int = 0

    @property
    def inputs(self) -> tuple[Any, ...]:
        """Those of `Trained.inputs`."""
        return self[:4]


def sample(model: Trained, place: pathlib.Path, which: Wanted) -> None:
    """Writes PLACE/samples.npz (`images` uint8 [n, h, w, c] or `points` float32 [n, 2]; `latents`), and samples.png.

    Where the generator is told a class, `latents` has it one-hot in further columns, `labels` as an integer, and
    `classes` holds the names of all.
    """
    inputs = model.inputs(*which.inputs)
    samples, takes = model.generate(inputs), model.takes
    name = "points" if sources.is_points(model.config.data.name) else "images"
    arrays = {name: samples, "latents": np.asarray(inputs)}
    if takes.classes:
        told = arrays["latents"][:, takes.latent_dim : takes.latent_dim + takes.classes]
        arrays["labels"] = told.argmax(axis=1).astype(np.int32)
    if model.classes:
        arrays["classes"] = np.array(model.classes)
    atomic.write_arrays(place / "samples.npz", arrays, compressed=True)
    sampling.draw(model.config, place / "samples.png", samples, f"{which.num} samples at step {model.state.step}")
    whose = f"{_of_class(model, which.label)}{_drawn(model)}"
    names.say(f"wrote {place / 'samples.npz'} and {place / 'samples.png'}{whose}")


def write_images(model: Trained, place: pathlib.Path, which: Wanted) -> None:
    """Writes the images of `sample` alone, each as a picture of its own size: PLACE/000000.png and so on."""
    pictures.single_images(place, model.sample(*which.inputs))
    last = pictures.single_path(place, which.num - 1)
    names.say(f"wrote {which.num:,} images, up to {last}{_of_class(model, which.label)}{_drawn(model)}")


def _drawn(model):
    """How w is drawn to its mean, in words."""
    return "".join(f", {name} {value:g}" for name, value in sampling.truncation_in_w(model.generator).items())


def _of_class(model, label):
    return "" if label is None or not model.classes else f", of class {_named(model, label)}"


def _named(model, label):
    number = model.label(label)
    return f"{number} ({model.classes[number]})"


def interpolate(model: Trained, place: pathlib.Path, which: Wanted) -> None:
    """Writes PLACE/interpolation.png: each row leads from one latent to another, along the sphere, or straight in w."""
    rows = model.interpolate(seed=which.seed, label=which.label, truncation=which.truncation, space=which.space)
    _draw_rows(model.config, place / "interpolation.png", rows, f"{len(rows)} interpolations")


def traverse(model: Trained, place: pathlib.Path, which: Wanted) -> None:
    """Writes PLACE/traversal.png: rows of one latent, through all classes, or through one code."""
    rows = model.traverse(seed=which.seed, truncation=which.truncation)
    _draw_rows(model.config, place / "traversal.png", rows, f"{len(rows)} traversals", model.classes)


def mix(model: Trained, place: pathlib.Path, which: Wanted) -> None:
    """Writes PLACE/mixed.png: coarse layers of the first column's samples, fine ones of the first row's."""
    rows = model.mix(seed=which.seed, label=which.label, truncation=which.truncation, cutoff=which.cutoff)
    _draw_rows(model.config, place / "mixed.png", rows, "mixed styles")


def _draw_rows(config, path, rows, title, columns=()):
    sampling.draw(config, path, rows.reshape(-1, *rows.shape[2:]), title, rows.shape[1], columns, is_of_columns=True)
    names.say(f"wrote {path}")


@jax.enable_x64(False)
def export(model: Trained, place: pathlib.Path) -> None:
    """Writes PLACE/generator.jax_export: float32 [b, latent_dim], any b -> samples float32 [b, ...], weights inside.

    For cpu, cuda and tpu: `jax.export.deserialize(bytearray(path.read_bytes())).call(latents)`. Where the generator is
    told a class or codes, they stand in further columns, one-hot the former. Noise is of a sample's place in b, where
    `Trained.generate` has it of the place among as many as it makes at once: the same for these first ones.
    """
    generator, takes = model.generator, model.takes
    variables = sampling.averaged_variables(generator, model.state, takes, model.counts)
    rngs = {judging.STREAM: sampling.noise_key(model.state)}
    inputs = jax.ShapeDtypeStruct((jax_export.symbolic_shape("b")[0], sum(takes)), np.float32)
    exported = jax_export.export(
        jax.jit(lambda z: generator.apply(variables, z, train=False, rngs=rngs)), platforms=PLATFORMS
    )(inputs)
    path = place / "generator.jax_export"
    atomic.write(path, bytes(exported.serialize()))
    parts = [f"{size} {name}" for name, size in zip(("latent", "class one-hot", "codes"), takes, strict=True) if size]
    shape = ", ".join(map(str, generator.shape))
    what = f" ({', '.join(parts)})" if len(parts) > 1 else ""
    what += f", classes {', '.join(model.classes)}" if model.classes else ""
    names.say(f"wrote {path}{_drawn(model)}: float32 latents [b, {sum(takes)}]{what} -> float32 samples [b, {shape}]")
