"""Sweeps: many runs that differ in seeds, in numbers or in anything else, by one command.

Members that differ in seeds and in the numbers of `hparams` alone share one compiled program and train together; other
fields (loss, network, n_critic, batch size) form groups, which train one after another. A member's folder, DIR/000,
DIR/001, ..., is that of the run which the same configuration makes by itself. DIR/sweep.json lists the members.
"""

import contextlib
import difflib
import functools
import json
import os
import pathlib
import runpy
from typing import Any, NamedTuple

import ml_collections
import numpy as np

from gan_jax.config import FIELDS, flat, validate
from gan_jax.data import about, sources
from gan_jax.errors import UserError, one_line
from gan_jax.files import atomic, names
from gan_jax.reports.progress import Progress
from gan_jax.runs import changes, checkpoint, init_from, loop, outputs, workdir
from gan_jax.runs.beginning import Beginning
from gan_jax.sweeps.axes import Members
from gan_jax.training import population
from gan_jax.training.hyperparameters import structure

MOST = 10_000  # members of a sweep
OPEN = 256  # members of a group that are open at the same time
Configs = dict[str, ml_collections.ConfigDict]  # by the names of the members' folders


class Sweep(NamedTuple):
    """members: the fields of each, in the order of its folders. ways: how the group of a first member was trained.

    search: what the trials of an adaptive search are marked with; "" of any other sweep.
    """

    members: Members
    ways: dict[str, str]
    search: str = ""


def train(
    config: ml_collections.ConfigDict,
    members: Members,
    folder: pathlib.Path,
    name: str,
    way: str,
    asked: init_from.Asked | None = None,
) -> int:
    """Trains all members, each from where it is, and returns the exit code.

    That is 0, 3 where every member has diverged, or 128 + its number where a signal ended it. Nothing is written before
    all that was given is checked. way: one of `population.WAYS`, or auto. asked: what new members begin from.
    """
    sweep = extended(stored(folder), members, folder)
    configs = member_configs(config, sweep.members, folder)
    _check_alike(configs)
    start = check(configs, folder, way, asked)
    with workdir.claimed(folder):
        _set_aside_damaged(configs, folder)
        received = train_members(configs, sweep, folder, name, way, start=start)
    return loop.stopped(received) if received else summary(configs, folder)


# ------------------------------------------------------------------------------------------ what is asked for


def read(file: str) -> tuple[str, Any]:
    """(its name, what it returns) of the function get_sweep() or get_study() in FILE.py.

    It is called with ARGUMENT where the file is given as FILE.py:ARGUMENT.
    """
    path, argument = names.parted(file)
    if not os.path.isfile(path):
        raise UserError(f"--sweep={file}: there is no such file")
    try:
        functions = runpy.run_path(path)
        for name in ("get_sweep", "get_study"):
            if name in functions:
                return name, functions[name](*([argument] if argument else []))
    except UserError as error:
        raise UserError(f"--sweep={file}: {error}") from None
    except Exception as error:  # whatever may go wrong in a user's file
        hint = "; pip install '.[search]' has it" if getattr(error, "name", "") == "optuna" else ""
        raise UserError(f"--sweep={file} can't be read: {type(error).__name__}: {one_line(error)}{hint}") from None
    raise UserError(f"--sweep={file} has neither get_sweep() nor get_study()")


def stored(folder: pathlib.Path) -> Sweep:
    """The sweep that the folder holds; one without members for a new folder."""
    path = folder / "sweep.json"
    try:
        found = Sweep(**atomic.read_json(path))
        if (
            _are_members(found.members)
            and {*found.ways.values()} <= {*population.WAYS}
            and isinstance(found.search, str)
        ):
            return found
        raise ValueError
    except (FileNotFoundError, NotADirectoryError):
        return Sweep([], {})
    except PermissionError as error:
        raise UserError(f"{path} can't be read: {error.strerror}; ask its owner, or give another --workdir") from None
    except (OSError, ValueError, TypeError, AttributeError):
        raise UserError(f"{path} is not a sweep that this program wrote; give another --workdir") from None


def store(folder: pathlib.Path, sweep: Sweep) -> None:
    """Writes sweep.json, where it is not yet so."""
    if sweep != stored(folder):
        fields = sweep._asdict() if sweep.search else {"members": sweep.members, "ways": sweep.ways}
        atomic.write(folder / "sweep.json", json.dumps(fields, indent=1).encode() + b"\n")


def extended(sweep: Sweep, members: Members, folder: pathlib.Path) -> Sweep:
    """The stored sweep with the members that it lacks behind its own: so every one keeps its folder.

    Raises UserError where these are no members, or the stored ones are not among them.
    """
    _check_members(members)
    if missing := next((fields for fields in sweep.members if fields not in members), None):
        raise UserError(
            f"{folder} holds a sweep with a member {words(missing)}, and this one has none; give another --workdir"
        )
    return sweep._replace(members=sweep.members + [fields for fields in members if fields not in sweep.members])


def _check_members(members):
    if not _are_members(members):
        raise UserError("--sweep: get_sweep() returns no list of members: make it with grid, zipped, draws or product")
    if not 1 <= len(members) <= MOST:
        raise UserError(f"--sweep: {len(members):,} members: give 1 to {MOST:,}")


def _are_members(members):
    are_dicts = isinstance(members, list) and all(isinstance(fields, dict) for fields in members)
    return are_dicts and all(isinstance(name, str) for fields in members for name in fields)


def _check_alike(configs):
    """Two members with one configuration would count as a repeat, and are none."""
    seen: dict[Any, str] = {}
    for name, config in configs.items():
        other = seen.setdefault(tuple(flat(config).items()), name)
        if other != name:
            raise UserError(f"--sweep: members {int(other)} and {int(name)} are alike in all fields: give each once")


def words(fields: dict[str, Any]) -> str:
    """The fields of a member, to be read."""
    return ", ".join(f"{name}={value!r}" for name, value in fields.items()) or "that changes no field"


def member_configs(config: ml_collections.ConfigDict, members: Members, folder: pathlib.Path) -> Configs:
    """The configuration of each member, by the name of its folder; a UserError where a field does not fit."""
    named = {f"{index:03}": fields for index, fields in enumerate(members)}
    changed = {name: member_config(config, fields) for name, fields in named.items()}
    return {name: changes.as_begun(folder / name, changed[name], list(fields)) for name, fields in named.items()}


def member_config(config: ml_collections.ConfigDict, fields: dict[str, Any]) -> ml_collections.ConfigDict:
    """The configuration with these fields changed; a UserError where one does not fit."""
    changed = config.copy_and_resolve_references()
    for name, value in fields.items():
        value = value.item() if isinstance(value, np.generic) else value
        if name not in FIELDS:
            close = difflib.get_close_matches(name, FIELDS, 1)
            hint = f"did you mean {close[0]}? " if close else ""
            raise UserError(f"--sweep: config has no field {name!r}; {hint}--help lists them")
        try:
            changed.update_from_flattened_dict({name: value})
        except (TypeError, OverflowError):
            kind = type(FIELDS[name].default).__name__
            raise UserError(f"--sweep: config.{name}={value!r}: give a value of type {kind}") from None
    try:
        validate(changed)
    except UserError as error:
        raise UserError(f"--sweep: the member {words(fields)}: {error}") from None
    return changed


def check(configs: Configs, folder: pathlib.Path, way: str, asked: init_from.Asked | None) -> Beginning | None:
    """What new members begin from; a UserError where the data, network, evaluation or folder of one is wrong."""
    if workdir.stored_fields(folder) is not None:
        raise UserError(f"{folder} holds a run by itself, and no sweep; give another --workdir")
    for name, config in configs.items():
        changes.check(folder / name, flat(config))
        outputs.frozen(folder / name)
    start = init_from.beginning(asked, [folder / name for name in configs])
    lines: dict[str, None] = {}
    for group in groups(configs):
        config = next(iter(group.values()))
        source = _source(config)
        loop.check_group(config, source, [folder / name for name in group], start)
        if source.about:
            lines[about.line(source.about)] = None
        if source.stream and way not in ("auto", *population.ways(source)):
            raise UserError(f"--way={way} with a set that is streamed: give auto, or a larger config.data.memory_mb")
    if lines:
        names.say(*lines)
    return start


# ------------------------------------------------------------------------------------------ training, in groups


def groups(configs: Configs) -> list[Configs]:
    """The members that share a compiled program, at most OPEN of them; groups in the order of their first members."""
    found: dict[Any, list[str]] = {}
    for name, config in configs.items():
        found.setdefault(structure(config), []).append(name)
    parts = [names[i : i + OPEN] for names in found.values() for i in range(0, len(names), OPEN)]
    return [{name: configs[name] for name in names} for names in parts]


def _source(config):
    return _load(ml_collections.FrozenConfigDict(config.data))


@functools.lru_cache(maxsize=2)  # groups share their data, mostly
def _load(data):
    return sources.of_config(data)


def train_members(
    configs: Configs, sweep: Sweep, folder: pathlib.Path, name: str, way: str, judges=None, start=None
) -> int:
    """Trains what is not done yet, and returns the signal that ended it, or 0.

    judges: what ends a member early, by its name; start: what new members begin from; see `outputs.Run`.
    """
    given = {member: {"judge": (judges or {}).get(member), "start": start} for member in configs}
    store(folder, sweep)
    with Progress(sum(c.steps for c in configs.values()), sum(_done(folder, configs).values())) as bar:
        for group in groups(configs):
            pending = {member: config for member, config in group.items() if not is_over(folder / member, config)}
            choose_way = functools.partial(_choose_way, folder, sweep, next(iter(group)), way)
            if pending and (received := _train_group(pending, folder, name, choose_way, bar, given)):
                return received
            for member, config in group.items():
                loop.finish(config, folder / member, f"{name}/{member}")
            if (done := sum(_done(folder, configs).values())) > bar.done:  # what frozen members did not make
                bar.at(done)
    return 0


def is_over(place: pathlib.Path, config: ml_collections.ConfigDict) -> bool:
    """Whether a member is at its last step, and evaluated where that is due, or was frozen."""
    return loop.frozen(config, place) is not None or loop.is_done(config, place)


def _set_aside_damaged(configs, folder):
    """A member at its last step is not over where its last checkpoint is damaged."""
    for group in groups(configs):
        finished = {name: c for name, c in group.items() if workdir.latest_step(folder / name) >= c.steps}
        shapes = [loop.shapes_of_carry(config, _source(config)) for config in list(finished.values())[:1]]
        for name in finished:
            with workdir.claimed(folder / name), checkpoint.open_checkpoints(folder / name) as manager:
                checkpoint.restore_newest(manager, *shapes)


def _done(folder, configs):
    """The steps of each member that are not to be made any more."""
    return {
        name: config.steps if is_over(folder / name, config) else workdir.latest_step(folder / name)
        for name, config in configs.items()
    }


def _choose_way(folder, sweep, group, given, program, source, carries):
    """What is given, or else what was used when the group was begun: another way may give other roundings."""
    found = sweep.ways.get(group) if given == "auto" else given
    sweep.ways[group] = found or population.choose(program, population.ways(source), carries)
    store(folder, sweep)
    return sweep.ways[group]


def _train_group(group, folder, name, choose_way, bar, given):
    with contextlib.ExitStack() as stack:
        runs = [
            _opened(stack, folder / member, config, name)._replace(**given[member]) for member, config in group.items()
        ]
        _, received = loop.train_together(runs, choose_way, bar)
        for run in runs:
            loop.close_run(run)
    return received


def _opened(stack, place, config, name):
    stack.enter_context(workdir.claimed(place))
    manager = stack.enter_context(checkpoint.open_checkpoints(place))
    return loop.open_run(config, _source(config), place, f"{name}/{place.name}", manager, group=name)


def summary(configs: Configs, folder: pathlib.Path) -> int:
    """Says how the members ended, and returns the exit code."""
    frozen = {name: record for name in configs if (record := outputs.frozen(folder / name))}
    states = [record["state"] for record in frozen.values()]
    counts = ", ".join(f"{states.count(state)} {state}" for state in dict.fromkeys(states))
    names.say(
        f"finished: {folder}, {len(configs) - len(frozen)} of {len(configs)} members" + f"; {counts}" * bool(frozen)
    )
    for name, record in list(frozen.items())[:5]:
        names.say(f"  {name} ({record['state']}): {record['reason']}")
    if len(frozen) > 5:
        names.say(f"  ... {folder}/*/{outputs.FROZEN} say why")
    if len({config.data.name for config in configs.values()}) == 1:  # numbers of different sets do not compare
        names.say(f"compare them: python -m gan_jax.main --mode=compare {folder}")
    return 3 if states.count("diverged") == len(configs) else 0
