"""Adaptive search: Optuna proposes the members of a sweep, learns from those that have finished, and prunes others.

    import optuna
    from gan_jax.sweeps.axes import log_uniform
    from gan_jax.sweeps.search import Study

    def get_study():
        study = optuna.create_study(sampler=optuna.samplers.TPESampler(seed=0), pruner=optuna.pruners.MedianPruner())
        return Study(study, {"optimizer.critic_lr": log_uniform(1e-5, 1e-2)}, num=32)

The members of a round train together, as those of a sweep do. What a study minimises is the number by which checkpoints
are compared (`scores.score`), of a member's last evaluation; it may prune a member after each of its evaluations. A
member whose last evaluation failed, or gave no finite number, counts as failed.
Started again, a study in memory proposes the same settings anew, those that were trained are read from their folders,
and the search goes on from there: give its sampler a seed. A study in a storage remembers its trials; each says in an
attribute which member of which folder it is, so that one that a kill cut off is gone on with, and told.
"""

import functools
import math
import pathlib
import uuid
from collections.abc import Callable
from typing import Any, NamedTuple

import ml_collections

from gan_jax.errors import UserError, one_line, shown
from gan_jax.files import names
from gan_jax.reports import scalars
from gan_jax.runs import init_from, loop, outputs, scores, workdir
from gan_jax.sweeps import sweep
from gan_jax.sweeps.axes import Range

MARK = "gan_jax"  # the attribute of a trial: "FOLDER'S SEARCH/MEMBER"


class Study(NamedTuple):
    """study: an optuna.Study that minimises. ranges: of the fields that it chooses. num: members in all.

    at_once: members of a round; the study learns from a round before the next. A setting that is proposed twice, as may
    be where all ranges are choices, is trained twice.
    """

    study: Any
    ranges: dict[str, Range]
    num: int
    at_once: int = 8


def train(
    config: ml_collections.ConfigDict,
    asked: Study,
    folder: pathlib.Path,
    name: str,
    way: str,
    other: init_from.Asked | None = None,
) -> int:
    """Trains `num` members in rounds, and returns the exit code of a sweep. other: what new members begin from."""
    _check(config, asked)
    found = sweep.stored(folder)
    known = found.members + [{}] * (len(found.members) < asked.num)  # one whose folder is yet to be made
    start = sweep.check(sweep.member_configs(config, known, folder), folder, way, other)
    _check_held(asked, found, folder)
    if _is_stored(asked.study) and asked.study.get_trials(deepcopy=False):
        asked.study.sampler.reseed_rng()  # a seed would have it begin again with the proposals that it began with
    with workdir.claimed(folder):
        found = found._replace(search=found.search or uuid.uuid4().hex[:8])
        sweep.store(folder, found)  # before anything is asked: what a trial is marked with must outlive a kill
        _say_open(asked.study, found.search, asked.num)
        for first in range(0, asked.num, asked.at_once):
            trials = _trials(asked, found, range(first, min(first + asked.at_once, asked.num)), folder)
            found = found._replace(members=found.members + [t.params for t in trials[len(found.members) - first :]])
            configs = dict(
                list(sweep.member_configs(config, found.members, folder).items())[first : first + len(trials)]
            )
            if received := _train_round(configs, found, trials, asked.study, folder, name, way, start):
                return loop.stopped(received)
    return _summary(config, found, asked.study, folder)


def _check(config, asked):
    if not isinstance(asked, Study):
        raise UserError("--sweep: get_study() returns no gan_jax.sweeps.search.Study; make one of an optuna.Study")
    directions = [direction.name.lower() for direction in getattr(asked.study, "directions", [])]
    if directions != ["minimize"]:
        raise UserError(f"--sweep: directions of the study: {directions}; give an optuna.Study with one, minimize")
    for name, count in (("num", asked.num), ("at_once", asked.at_once)):
        if not isinstance(count, int) or count < 1:
            raise UserError(f"--sweep: {name}={count!r}: give a whole number, at least 1")
    if not config.eval_every:
        raise UserError("--sweep: a study learns from evaluations, and config.eval_every is 0: give the steps between")
    for name, given in asked.ranges.items():
        if not isinstance(given, Range):
            raise UserError(f"--sweep: {name} is searched in {given!r}: give uniform, log_uniform or choice")
        for value in given.limits if given.kind == "choice" else map(float, given.limits):
            sweep.member_config(config, {name: value})


def _check_held(asked, found, folder):
    """A UserError where the folder's members are of another search, before the study is asked for anything."""
    import optuna

    name, known = shown(asked.study.study_name), _marked(asked.study, found.search)
    if other := next((fields for fields in found.members if {*fields} != {*asked.ranges}), None):
        raise UserError(
            f"{folder} holds a search in {', '.join(other)}, and this one is in {', '.join(asked.ranges)}: give ranges "
            "of the same fields, or another --workdir"
        )
    if _is_stored(asked.study) and (lacking := {*range(min(len(found.members), asked.num))} - {*known}):
        raise UserError(
            f"{folder} holds a search, and the study {name} has no trial of its member {min(lacking):03}: give the "
            "study that it was begun with, or another --workdir"
        )
    ranges = _distributions(asked)
    for trial in asked.study.get_trials(deepcopy=False):
        for field in {*ranges} & {*trial.distributions}:
            try:  # a study takes no other choices later
                optuna.distributions.check_distribution_compatibility(trial.distributions[field], ranges[field])
            except ValueError as error:
                raise UserError(
                    f"--sweep: the study {name} holds another range of {field} ({one_line(error)}): give that one, or "
                    "another study_name and --workdir"
                ) from None


def _distributions(asked):
    """Those of Optuna that our ranges are."""
    import optuna

    make: dict[str, Callable[..., Any]] = {
        "uniform": optuna.distributions.FloatDistribution,
        "log_uniform": functools.partial(optuna.distributions.FloatDistribution, log=True),
        "choice": lambda *values: optuna.distributions.CategoricalDistribution(values),
    }
    return {name: make[given.kind](*given.limits) for name, given in asked.ranges.items()}


def _is_stored(study):
    from optuna.storages import InMemoryStorage

    return not isinstance(study._storage, InMemoryStorage)


def _marked(study, search):
    """{member: trial} of those that were asked for in this folder."""
    marks = [(trial.user_attrs.get(MARK, "").partition("/"), trial) for trial in study.get_trials(deepcopy=False)]
    return {int(member): trial for (folder, _, member), trial in marks if search and folder == search}


def _trials(asked, found, indices, folder):
    """The trials of these members: those that the study remembers, of which finished ones are frozen, and new ones."""
    known = _marked(asked.study, found.search)
    return [_trial(asked, found, index, known.get(index), folder) for index in indices]


def _trial(asked, found, index, known, folder):
    import optuna

    if known and known.state.is_finished():
        return known
    if known and known.state.name == "WAITING":  # a kill came before it was taken up, and nothing was proposed
        known = None
    if known:
        trial = optuna.trial.Trial(asked.study, known._trial_id)
    else:
        trial = _new_trial(asked.study, f"{found.search}/{index:03}")
    for name, distribution in _distributions(asked).items():
        trial._suggest(name, distribution)  # what was chosen for it before a kill stays
    if not known and found.members[index : index + 1] not in ([], [trial.params]):
        raise _other_proposed(asked, found.members[index], folder)
    return trial


def _new_trial(study, mark):
    """The first trial that waits in the study, or one more; marked before it runs, so that a kill leaves none open."""
    from optuna.trial import TrialState, create_trial

    if waiting := study.get_trials(deepcopy=False, states=(TrialState.WAITING,)):
        study._storage.set_trial_user_attr(waiting[0]._trial_id, MARK, mark)
    else:
        study.add_trial(create_trial(state=TrialState.WAITING, user_attrs={MARK: mark}))
    trial = study.ask()
    trial.set_user_attr(MARK, mark)  # where another process has taken the one that was marked
    return trial


def _say_open(study, search, num):
    """How many trials of the study are running and none of these members', which nobody may work on."""
    from optuna.trial import TrialState

    own = [trial.number for member, trial in _marked(study, search).items() if member < num]
    running = study.get_trials(deepcopy=False, states=(TrialState.RUNNING,))
    if others := [trial.number for trial in running if trial.number not in own]:
        outputs.warn(
            f"the study {shown(study.study_name)} has {len(others)} running trials that are not of these members, as "
            f"number {others[0]}: another search's, or left by one that was stopped; "
            f"study.tell({others[0]}, state=optuna.trial.TrialState.FAIL) ends one that nothing works on"
        )


def _other_proposed(asked, held, folder):
    remedy = "give the study's sampler the seed that it had, the ranges and the fields as they were"
    for name, value in held.items():
        kind, limits = asked.ranges[name][1:]
        if not (value in limits if kind == "choice" else limits[0] <= value <= limits[1]):
            remedy = f"give {name} the range that it had"
    return UserError(
        f"{folder} holds a search that has proposed other settings, {sweep.words(held)}: {remedy}, or another --workdir"
    )


def _train_round(configs, found, trials, study, folder, name, way, start):
    """Trains the members of these trials, tells the study of them, and returns the signal that ended it, or 0."""
    open_trials = {place: trial for trial, place in zip(trials, configs, strict=True) if not hasattr(trial, "state")}
    for place, trial in open_trials.items():
        step = workdir.latest_step(folder / place)
        for record in scalars.read(folder / place / outputs.EVALUATIONS):
            if record["step"] <= step:
                _report(study, trial, record)
    steps = next(iter(configs.values())).steps
    judges = {place: functools.partial(_judge, study, trial, steps) for place, trial in open_trials.items()}
    if received := sweep.train_members(configs, found, folder, name, way, judges, start):
        return received
    for place, trial in open_trials.items():
        _tell(study, trial, folder / place)
    return 0


def _judge(study, trial, steps, record):
    _report(study, trial, record)
    if record["step"] < steps and trial.should_prune():
        return f"the study pruned it at step {record['step']}"
    return ""


def _report(study, trial, record):
    """Once: a member that goes on after a kill is judged again by the evaluation that it goes on from."""
    is_told = record["step"] in study.trials[trial.number].intermediate_values
    if math.isfinite(score := scores.score(record)) and not is_told:
        trial.report(score, record["step"])


def _tell(study, trial, place):
    from optuna.trial import TrialState

    states = {"pruned": TrialState.PRUNED, "diverged": TrialState.FAIL}
    if ended := outputs.frozen(place):
        study.tell(trial, state=states[ended["state"]])
    else:
        records = scalars.read(place / outputs.EVALUATIONS)
        step = max((record["step"] for record in records), default=0)
        # Of several at the last step, others were asked for by hand, perhaps since the member's own failed.
        found = [scores.score(record) for record in records if record["step"] == step]
        score = next(filter(math.isfinite, found), None)
        study.tell(trial, score, state=TrialState.FAIL if score is None else TrialState.COMPLETE)


def _summary(config, found, study, folder):
    configs = sweep.member_configs(config, found.members, folder)
    code = sweep.summary(configs, folder)
    values = {i: trial.value for i, trial in _marked(study, found.search).items() if trial.state.name == "COMPLETE"}
    if values:
        best = min(values, key=lambda index: values[index])
        words, place = sweep.words(found.members[best]), folder / list(configs)[best]
        names.say(f"best of {len(configs)}: {values[best]:.4g} with {words} ({place})")
    return code
