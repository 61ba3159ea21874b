"""Runs as they lie in their folders: found at any depth, read, and told how they ended. Nothing is written."""

import os
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

from gan_jax.errors import UserError
from gan_jax.files import atomic
from gan_jax.files.names import natural
from gan_jax.reports import progress, scalars
from gan_jax.runs import workdir

FROZEN = ("diverged", "pruned")  # what frozen.json says of a run that was ended before its last step


class Run(NamedTuple):
    """A run, or a member of a sweep that has not begun.

    name: its folder, as short as tells it from the others. config: flat fields; of a member that has not begun, those
    that are known. status: finished, diverged, pruned, unfinished or not begun. words: why. step: of the last
    checkpoint. metrics, evaluations: records of the .jsonl files, oldest first.
    """

    name: str
    folder: Path
    config: dict[str, Any]
    status: str
    words: str = ""
    step: int = 0
    metrics: tuple[dict[str, Any], ...] = ()
    evaluations: tuple[dict[str, Any], ...] = ()


class Place(NamedTuple):
    """A run's folder; config: that of a member of a sweep that has not begun, None of all others."""

    folder: Path
    config: dict[str, Any] | None = None


def find(folders: Iterable[Path]) -> list[Run]:
    """Every run in the folders, at any depth, once; members of sweeps that have not begun are among them.

    Raises UserError where a folder is missing or holds no run, or a file in it is not as this program writes it.
    """
    given = [Path(os.path.abspath(folder)) for folder in folders]  # links keep the names that they are given by
    if not given:
        raise UserError("nothing to compare: give the folders of runs, or folders with runs in them")
    places: dict[Path, Place] = {}
    for folder in given:
        for place in _places_in(folder):
            places.setdefault(place.folder.resolve(), place)
    base = _base(given, places.values())
    counted = progress.each(places.values(), "reading runs", len(places), "runs")
    return [_read(place, Path(os.path.relpath(place.folder, base)).as_posix()) for place in counted]


def _base(given, places):
    """The deepest folder that all runs are below."""
    common = Path(os.path.commonpath(given))
    return common.parent if common in [place.folder for place in places] else common


# ------------------------------------------------------------------------------------------------ finding


def _places_in(folder: Path) -> list[Place]:
    if not os.path.isdir(folder):
        raise UserError(f"{folder} is {'a file' if os.path.exists(folder) else 'not there'}: give the folder of runs")
    places = list(_walk(folder, set()))
    if not places:
        raise UserError(f"{folder} holds no run, which has a config.json: give a run's folder, or one with runs in it")
    return places


def _walk(folder: Path, seen: set[Path]) -> Iterator[Place]:
    """The runs at or below a folder. What a run's own folder holds is no run; links may lead in circles."""
    if folder.resolve() in seen:
        return
    seen.add(folder.resolve())
    if (folder / "config.json").exists():
        yield Place(folder)
        return
    members = _members(folder)
    for name in sorted({*_folders(folder), *members}, key=natural):
        if name in members and not (folder / name / "config.json").exists():
            yield Place(folder / name, _given(folder, members) | members[name])
        else:
            yield from _walk(folder / name, seen)


def _folders(folder):
    try:
        return [path.name for path in folder.iterdir() if path.is_dir() and not path.name.startswith(".")]
    except OSError as error:
        raise UserError(f"{folder} can't be read: {error.strerror}; give others, or let it be read") from None


def _members(folder: Path) -> dict[str, dict[str, Any]]:
    """{folder's name: fields} of the members of the sweep that the folder holds, if it does."""
    path = folder / "sweep.json"
    if not path.exists():
        return {}
    content = _json(path)
    members = content.get("members") if isinstance(content, dict) else None
    if not isinstance(members, list) or not all(isinstance(fields, dict) for fields in members):
        raise UserError(f"{path} is not a sweep that this program wrote: move it away, or give other folders")
    return {f"{index:03}": fields for index, fields in enumerate(members)}


def _given(folder: Path, members: dict[str, dict[str, Any]]) -> dict[str, Any]:
    """What is known of a member that has not begun: the fields which the sweep left to those that have as they were."""
    known: dict[str, Any] = {}
    for name, fields in members.items():
        if (folder / name / "config.json").exists():
            config = _config(folder / name)
            known |= {field: value for field, value in config.items() if field not in fields}
    return known


# ------------------------------------------------------------------------------------------------ reading


def _read(place: Place, name: str) -> Run:
    folder = place.folder
    if place.config is not None:
        return Run(name, folder, place.config, "not begun")
    config, step = _config(folder), workdir.latest_step(folder)
    status, words = _frozen(folder) or ("finished" if step >= config["steps"] else "unfinished", "")
    records = (tuple(scalars.read(folder / file)) for file in ("metrics.jsonl", "evaluation.jsonl"))
    return Run(name, folder, config, status, words, step, *records)


def _config(folder):
    """Flat fields, and as `began` and `changed` what history.jsonl tells: runs with other pasts are other settings."""
    config = _json(folder / "config.json")
    if (
        not isinstance(config, dict)
        or not isinstance(config.get("steps"), int)
        or any(isinstance(value, dict | list) for value in config.values())
    ):
        raise UserError(
            f"{folder}/config.json is not a configuration that this program wrote: move its folder away, or give others"
        )
    return config | _past(workdir.read_history(folder))


def _past(history):
    began = [f"from {line['init_from']}:{line.get('checkpoint')}" for line in workdir.beginnings(history)]
    others = [(line["step"], {**line.get("changed", {})}) for line in history]
    for _, changed in others:
        changed.pop("steps", None)  # more of them are the same steps, and others behind them
    words = [f"at {step}: {workdir.change_words(changed)}" for step, changed in others if changed]
    return {"began": "; ".join(began) or "by itself", "changed": "; ".join(words) or "nothing"}


def _frozen(folder) -> tuple[str, str] | None:
    path = folder / "frozen.json"
    if not path.exists():
        return None
    record = _json(path)
    if not isinstance(record, dict) or record.get("state") not in FROZEN:
        raise UserError(f"{path} does not say how its run ended ({' or '.join(FROZEN)}): move that folder away")
    return record["state"], str(record.get("reason", ""))


def _json(path: Path) -> Any:
    """What the file holds; None where that can't be read."""
    try:
        return atomic.read_json(path)
    except (OSError, ValueError):
        return None
