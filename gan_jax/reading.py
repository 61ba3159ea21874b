"""The modes that read a run: sample, evaluate, export. What they may read, and where they write.

They write into the run's folder, or into another; never over what is there, and nothing before all is checked.
"""

import contextlib
import os
import pathlib

from absl import flags
from ml_collections import config_flags

from gan_jax import changes, evaluation, trained, workdir
from gan_jax.config import flat
from gan_jax.data import sources
from gan_jax.errors import UserError
from gan_jax.reports import pictures

# What each writes; of --images, the pictures of single images.
SAMPLES, IMAGES, ROWS, TRAVERSAL = ("samples.npz", "samples.png"), (), ("interpolation.png",), ("traversal.png",)
EXPORT, EVALUATION = ("generator.jax_export",), ("evaluation.jsonl", "evaluation.png")


def run(given: flags.FlagValues, folder: pathlib.Path) -> int:
    """Does what the parsed flags say with the run in the folder."""
    fields, (place, files) = _free_fields(given, folder), _place(given, folder)
    _check_place(place, files, given)
    # The line of an evaluation goes to a file that a run at work writes, too.
    is_shared = given.mode == "evaluate" and place == folder
    with workdir.claimed(folder) if is_shared else contextlib.nullcontext():
        model = trained.load(folder, given.checkpoint, fields)
        if given.mode == "evaluate":
            trained.evaluate(model, folder, _how(given, model.config), place)
        elif given.mode == "export":
            trained.export(model, place)
        else:
            draw = {SAMPLES: trained.sample, IMAGES: trained.write_images, ROWS: trained.interpolate}
            which = trained.Wanted(given.num or 64, given.seed, given.label, given.truncation)
            draw.get(files, trained.traverse)(model, place, which)
    return 0


def _how(given, config):
    """How the run has itself evaluated, but for what was given."""
    asked = {name: getattr(given, name) for name in evaluation.How._fields if given[name].present}
    return evaluation.how(config)._replace(**asked)


def _free_fields(given, folder):
    """Those given on the command line, which count; a UserError where the folder holds no run, or quite another one."""
    stored = changes.stored(folder)
    if stored is None:
        raise UserError(f"{folder} holds no run: give the --workdir of one, or train first, with --mode=train")
    fields = config_flags.get_override_values(given["config"])
    changes.check_same(folder, stored, fields, "leave them out")
    if given["config"].present:
        of_file = flat(changes.as_begun(folder, given.config, fields))
        changes.check_same(folder, stored, of_file, f"leave --config out and give --workdir={folder}")
    if given.images and sources.is_points(str(stored["data.name"])):
        raise UserError(f"--images of {stored['data.name']}, whose samples are points: leave it out")
    return changes.free(fields)


# ------------------------------------------------------------------------------------------- where results go


def _place(given, folder):
    """(the folder for the results, the files that they are)."""
    if given.mode == "sample":
        files = ROWS if given.interpolate else TRAVERSAL if given.traverse else IMAGES if given.images else SAMPLES
        own = folder / "samples" / "images" if given.images else folder / "samples"
    else:
        own, files = folder, EXPORT if given.mode == "export" else EVALUATION
    place = pathlib.Path(os.path.expanduser(given.out or own))
    return own if os.path.realpath(place) == os.path.realpath(own) else place, files


def _check_place(place, files, given):
    """A UserError where nothing can be written there, or something would be lost; an evaluation adds to what is there.

    It is asked of the folder, or of what there is of those above it.
    """
    paths = [place / file for file in files] or pictures.single_paths(place)
    there = [path for path in paths if os.path.lexists(path)]
    folder = next(path for path in (place, *place.parents) if os.path.lexists(path))
    closed = [path for path in there if path.exists() and not os.access(path, os.W_OK)]
    if closed or not (folder.is_dir() and os.access(folder, os.W_OK | os.X_OK)):
        advice = "give another --out" if given.out else "give --out=FOLDER, and the results go there"
        raise UserError(f"{(closed or [folder])[0]} can't be written to: {advice}")
    if there and given.mode != "evaluate" and not given.overwrite:
        raise UserError(f"{there[0]} is there already: give --out=FOLDER, or --overwrite to replace it")
