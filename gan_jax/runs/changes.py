"""What a run may become: which fields it takes when it goes on, and what is recorded of that.

See config.KINDS: free fields are taken as they come; changeable ones are taken, and history.jsonl has them with the
step; fixed ones are refused.
"""

import math
import pathlib
from collections.abc import Sequence
from typing import Any

import ml_collections
import numpy as np

from gan_jax.config import CHANGEABLE, FIELDS, FIXED, FREE, as_now, flat, neutral_fields, without_constants
from gan_jax.errors import UserError
from gan_jax.runs import integrity, workdir
from gan_jax.runs.workdir import Fields
from gan_jax.training import schedules
from gan_jax.training.hyperparameters import HPARAMS, RATES


def stored(folder: pathlib.Path) -> Fields | None:
    """The flat configuration that the folder was made with; None for a new folder.

    What an older version of the program did not store is neutral; what a newer one did is refused.
    """
    fields = workdir.stored_fields(folder)
    if fields is None:
        return None
    fields = as_now(fields)
    if unknown := [name for name in fields if name not in FIELDS]:
        raise UserError(
            f"{folder}/config.json does not fit this version of the program, which does not know "
            f"{', '.join(unknown)}: take the version that wrote it, or give another --workdir"
        )
    return neutral_fields(str(fields.get("data.name", "digits"))) | fields


def check(folder: pathlib.Path, given: Fields) -> None:
    """A UserError where the run in the folder can't go on with all these fields, or one there can't begin with them.

    Those that are fixed are as they were, and `steps` are no fewer than were made. Steps at a rate of 0 are refused,
    but to a run that was begun so.
    """
    if before := stored(folder):
        _check_last_saved(folder)
        _check_goes_on(folder, before, given)
    first = no_rate_from(given)
    if first and not (before and no_rate_from(before) == first and before["steps"] == given["steps"]):
        over = given["steps"] * schedules.per_step(given)
        advice = " and ".join(f"--config.schedule.{rate}.over={over}" for rate in RATES)
        raise UserError(
            f"config.steps={given['steps']}: from step {first} on, both learning rates would be 0; give {advice}, or "
            "a `to` above 0"
        )


def _check_last_saved(folder):
    """Of a checkpoint that is damaged nothing is known here: it is set aside later."""
    step = workdir.latest_step(folder)
    try:
        about = integrity.read_about(folder / "checkpoints" / str(step))
        integrity.check_seal(about)
    except (OSError, ValueError, integrity.DamagedError):
        return
    check_saved(folder, step, said(about))


def _check_goes_on(folder, before, given):
    if differing := [name for name in _of_kind(FIXED) if before[name] != given[name]]:
        raise UserError(
            f"{folder} holds a run with another configuration: {_words(differing, before, given)}; give another "
            f"--workdir, there with --init_from={folder} to begin from it"
        )
    if made := workdir.latest_step(folder):
        _check_counts_images_alike(folder, before, given)
    if given["steps"] < made:
        raise UserError(f"config.steps={given['steps']}: {folder} is at step {made}; give {made} or more")


def _check_counts_images_alike(folder, before, given):
    """Images are counted as steps times batch_size, which must then be the same for all steps."""
    lines = [line.get("changed", {}) for line in workdir.read_history(folder)]
    sizes = {*(size for line in lines for size in line.get("batch_size", [])), before["batch_size"]}
    if sizes == {given["batch_size"]}:
        return
    has_schedules = any(given[f"schedule.{field}.shape"] != "constant" for field in HPARAMS.values())
    counting = {"schedule.unit": given["schedule.unit"] == "images" and has_schedules, "ema_ramp": given["ema_ramp"]}
    if there := [name for name, counts in counting.items() if counts]:
        raise UserError(
            f"config.batch_size={given['batch_size']} with config.{there[0]}={given[there[0]]!r}: {folder} has made "
            f"its steps with {' and '.join(map(str, sorted(sizes)))}, and images would be counted anew; give "
            f"{f'{min(sizes)}, or ' * (len(sizes) == 1)}another --workdir"
        )


def no_rate_from(fields: Fields) -> int:
    """The step from which on both learning rates are 0; 0 where none of its steps is so."""
    firsts = []
    for rate in RATES:
        shape, start, over, to = (fields[f"schedule.{rate}.{part}"] for part in ("shape", "start", "over", "to"))
        if shape not in ("linear", "cosine") or to:
            return 0
        firsts.append(math.ceil((start + over) / schedules.per_step(fields)))
    return max(firsts) if max(firsts) < fields["steps"] else 0


def check_same(folder: pathlib.Path, before: Fields, given: Fields, advice: str) -> None:
    """A UserError where a fixed one of these fields is another than that of the run which is to be read.

    given: those of a configuration, or of the command line. advice: what to do about it.
    """
    if differing := [name for name in _of_kind(FIXED) if name in given and before[name] != given[name]]:
        raise UserError(
            f"{folder} holds a run with another configuration: {_words(differing, before, given)}; {advice}, or "
            "give another --workdir"
        )


def check_unchanged(folder: pathlib.Path, before: Fields, given: Fields) -> None:
    """A UserError where a changeable one of the given fields is another than that of the run which is to be read."""
    if differing := _changed(before, before | given):
        words = _words(differing, before, given)
        raise UserError(f"{folder} holds a run with {words}: that is for --mode=train; leave it out")


def free(fields: Fields) -> Fields:
    """Those of the fields that are free."""
    return {name: fields[name] for name in _of_kind(FREE) if name in fields}


def as_begun(folder: pathlib.Path, config: ml_collections.ConfigDict, explicit: Sequence[str] = ()) -> Any:
    """The configuration, in which the run in the folder keeps what was neutral before a field had another default.

    explicit: names of fields that were given for themselves, and are taken as they are.
    """
    before, given = stored(folder), flat(config)
    later = [name for name, field in FIELDS.items() if field.neutral is not ... and name not in explicit]
    kept = {name: FIELDS[name].neutral for name in later if given.get(name) == FIELDS[name].default}
    changed = config.copy_and_resolve_references()
    if before:
        changed.update_from_flattened_dict({name: old for name, old in kept.items() if before[name] == old})
    return changed


def is_changed(folder: pathlib.Path, given: Fields) -> bool:
    """Whether the run in the folder would train on in another way: with a change that is more than of its steps."""
    before = stored(folder)
    return before is not None and any(name != "steps" for name in _changed(before, given))


def _changed(before, given):
    return [name for name in _of_kind(CHANGEABLE) if before[name] != given[name]]


def _of_kind(kind):
    return [name for name, field in FIELDS.items() if field.kind == kind]


def _words(names, before, given):
    return ", ".join(f"{name} (stored {before[name]!r}, given {given[name]!r})" for name in names)


# ------------------------------------------------------------------------------------------ what is recorded


def record(folder: pathlib.Path, given: Fields, step: int, beginning: Fields | None = None) -> str:
    """Stores the fields with which the run trains from `step` on; returns what they change, in words.

    beginning: the first line of the history, of a run that begins from another.
    """
    before, past = stored(folder) or given, workdir.read_history(folder)
    first = [beginning] if beginning else workdir.beginnings(past)
    workdir.store(folder, without_constants(given), first + history(past, step, before, given))
    return workdir.change_words({name: [before[name], given[name]] for name in _changed(before, given)})


def history(past: Sequence[Fields], step: int, before: Fields, given: Fields) -> list[Fields]:
    """The changes of a run that goes on at `step` with the given fields instead of those before.

    What a line says that a field became follows from the next one, and at last from the fields given: so a line
    whose fields were never stored, after a kill, is mended or dropped. Changes later than `step` are of undone steps.
    """
    olds: dict[tuple[int, str], Any] = {}
    for line in past:
        for name, (old, _) in line.get("changed", {}).items():
            olds.setdefault((min(line["step"], step), name), old)
    for name in _changed(before, given):
        olds.setdefault((step, name), before[name])
    former = {name: new for line in past for name, (_, new) in line.get("changed", {}).items()}
    news, changes = former | given, dict[int, Fields]()
    for (at, name), old in reversed(olds.items()):
        new, news[name] = news.get(name), old
        if old != new:
            changes[at] = {name: [old, new]} | changes.get(at, {})
    return [{"step": at, "changed": changes[at]} for at in sorted(changes)]


# ------------------------------------------------------------------------------- what a checkpoint says of that


def kept(fields: Fields) -> Fields:
    """Those that a checkpoint keeps: all that its parameters come from, so neither free ones nor `steps`."""
    return {name: fields[name] for name in FIELDS if name != "steps" and FIELDS[name].kind != FREE}


def said(about: Fields) -> Fields:
    """The fields that a checkpoint keeps with what else is known `about` it; none of one from before they were kept."""
    found = about.get("fields")
    return found if isinstance(found, dict) else {}


def check_saved(folder: pathlib.Path, step: int, saved: Fields) -> None:
    """A UserError where config.json does not say that the run trained with these fields up to the checkpoint of a step.

    So it is where config.json was edited. Floats are compared as the state holds them.
    """
    fields = stored(folder) or {}  # before the history: whoever trains writes them in the other order
    there = _known_at(step, fields, workdir.read_history(folder))
    if differing := [name for name in saved if name in there and not _is_one(saved[name], there[name])]:
        words = ", ".join(f"{name} ({there[name]!r} there, {saved[name]!r} in the checkpoint)" for name in differing)
        raise UserError(
            f"{folder}/config.json is not what {folder}/checkpoints/{step} was made with: {words}; put that back, and "
            "give a number that shall be another to --mode=train, which records it"
        )


def _known_at(step, fields, history):
    """The fields without the changes after a step; and without those that were changed at it.

    A checkpoint of that very step may have been written before the change, or after.
    """
    found = dict(fields)
    for line in sorted(history, key=lambda line: line["step"], reverse=True):
        changed = line.get("changed", {})
        if line["step"] > step:
            found |= {name: old for name, (old, _) in changed.items()}
        elif line["step"] == step:
            found = {name: value for name, value in found.items() if name not in changed}
    return found


def _is_one(saved, value):
    """Whether they are the same, a float being one of 32 bits: so are the numbers of a state."""
    if isinstance(saved, float) and isinstance(value, int | float):
        return np.float32(saved) == np.float32(value)
    return saved == value
