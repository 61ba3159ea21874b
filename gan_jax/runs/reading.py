"""The modes that read a run: sample, evaluate, export. What they may read, and where they write.

They write into the run's folder, or into another; never over what is there, and nothing before all is checked.
"""

import contextlib
import functools
import os
import pathlib
from collections.abc import Callable
from typing import NamedTuple

from absl import flags
from ml_collections import config_flags

from gan_jax.config import flat
from gan_jax.data import sources
from gan_jax.errors import UserError
from gan_jax.evaluation import generators, measuring
from gan_jax.reports import pictures
from gan_jax.runs import changes, trained, workdir


class Asked(NamedTuple):
    """own: the folder in the run's for what is asked for. files: what is written; (): pictures of single images.

    write: (model, folder) -> None.
    """

    own: pathlib.Path
    files: tuple[str, ...]
    write: Callable[[trained.Trained, pathlib.Path], None]


def run(given: flags.FlagValues, folder: pathlib.Path) -> int:
    """Does what the parsed flags say with the run in the folder."""
    fields, asked = _free_fields(given, folder), _asked(given, folder)
    place = pathlib.Path(os.path.expanduser(given.out or asked.own))
    if os.path.realpath(place) == os.path.realpath(asked.own):
        place = asked.own
    _check_place(place, asked, given, folder)
    # The line of an evaluation goes to a file that a run at work writes, too.
    is_shared = given.mode == "evaluate" and place == folder
    with workdir.claimed(folder, "give --out=FOLDER") if is_shared else contextlib.nullcontext():
        model = trained.load(folder, given.checkpoint, fields)
        asked.write(model.truncated(given.psi, 0 if given.mix else given.cutoff), place)
    return 0


def _asked(given, folder):
    if given.mode == "evaluate":
        evaluate = functools.partial(_evaluate, given, folder)
        return Asked(folder, ("evaluation.jsonl", "evaluation.png"), evaluate)
    if given.mode == "export":
        return Asked(folder, ("generator.jax_export",), trained.export)
    others = given.truncation, given.space, given.cutoff
    which, samples = trained.Wanted(_num(given), given.seed, given.label, *others), folder / "samples"
    if given.images:
        return Asked(samples / "images", (), functools.partial(trained.write_images, which=which))
    if given.interpolate:
        return Asked(samples, ("interpolation.png",), functools.partial(trained.interpolate, which=which))
    if given.mix:
        return Asked(samples, ("mixed.png",), functools.partial(trained.mix, which=which))
    if given.traverse:
        return Asked(samples, ("traversal.png",), functools.partial(trained.traverse, which=which))
    return Asked(samples, ("samples.npz", "samples.png"), functools.partial(trained.sample, which=which))


def _num(given):
    return given.num or 64


def _evaluate(given, folder, model, place):
    trained.evaluate(model, folder, _how(given, model.config), place)


def _how(given, config):
    """How the run has itself evaluated, but for what was given."""
    asked = {name: getattr(given, name) for name in measuring.How._fields if given[name].present}
    return generators.how(config)._replace(**asked)


def _free_fields(given, folder):
    """Those given on the command line, which count; a UserError where the folder holds no run, or quite another one."""
    stored = changes.stored(folder)
    if stored is None:
        raise UserError(f"{folder} holds no run: give the --workdir of one, or train first, with --mode=train")
    fields = config_flags.get_override_values(given["config"])
    changes.check_same(folder, stored, fields, "leave them out")
    changes.check_unchanged(folder, stored, fields)
    if given["config"].present:
        of_file = flat(changes.as_begun(folder, given.config, fields))
        changes.check_same(folder, stored, of_file, f"leave --config out and give --workdir={folder}")
    if given.images and sources.is_points(str(stored["data.name"])):
        raise UserError(f"--images of {stored['data.name']}, whose samples are points: leave it out")
    return changes.free(fields)


# ------------------------------------------------------------------------------------------- where results go


def _check_place(place, asked, given, folder):
    """A UserError where nothing can be written there, or something would be lost, or be taken for something else.

    Whether it can be written is asked of the folder, or of what there is of those above it.
    """
    _check_no_other_run(place, given, folder)
    paths = [place / file for file in asked.files] or pictures.single_paths(place)
    there = [path for path in paths if os.path.lexists(path)]
    above = next(path for path in (place, *place.parents) if os.path.lexists(path))
    closed = [path for path in there if path.exists() and not os.access(path, os.W_OK)]
    if closed or not (above.is_dir() and os.access(above, os.W_OK | os.X_OK)):
        advice = "give another --out" if given.out else "give --out=FOLDER, and the results go there"
        raise UserError(f"{(closed or [above])[0]} can't be written to: {advice}")
    if given.images:
        _check_no_more_images(place, there, _num(given))
    if given.mode == "evaluate" and (place == folder or place / "evaluation.jsonl" in there):
        return  # to whose lines one is added, and whose picture is drawn anew
    if there and not given.overwrite:
        raise UserError(f"{there[0]} is there already: give --out=FOLDER, or --overwrite to replace it")


def _check_no_other_run(place, given, folder):
    """What lies in the folder of another run, or among its samples, would be taken for its own."""
    real = pathlib.Path(os.path.realpath(place))
    above = [real.parents[i] for i, end in enumerate(("samples", "samples/images")) if real.match(end)]
    for owner in (real, *above):
        is_another = os.path.lexists(owner / "config.json") or os.path.lexists(owner / "sweep.json")
        if is_another and owner != pathlib.Path(os.path.realpath(folder)):
            raise UserError(f"--out={given.out} is of another run, or of a sweep: give another --out")


def _check_no_more_images(place, there, num):
    """A set with other pictures in it would be measured as one set."""
    if more := [path for path in there if int(path.stem) >= num]:
        words = f"{place} holds more images, from {more[0].name} on ({len(more):,})"
        raise UserError(f"{words}; give another --out=FOLDER, or remove them")
