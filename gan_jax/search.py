"""Adaptive search: Optuna proposes the members of a sweep, learns from those that have finished, and prunes others.

    import optuna
    from gan_jax.axes import log_uniform
    from gan_jax.search import Study

    def get_study():
        study = optuna.create_study(sampler=optuna.samplers.TPESampler(seed=0), pruner=optuna.pruners.MedianPruner())
        return Study(study, {"optimizer.critic_lr": log_uniform(1e-5, 1e-2)}, num=32)

The members of a round train together, as those of a sweep do. What a study minimises is the number by which checkpoints
are compared (`scores.score`), of a member's last evaluation; it may prune a member after each of its evaluations. A
member whose last evaluation failed, or gave no finite number, counts as failed.
Started again, the same study proposes the same settings anew, those that were trained are read from their folders, and
the search goes on from there: give the sampler a seed.
"""

import functools
import math
import pathlib
from collections.abc import Callable
from typing import Any, NamedTuple

import ml_collections

from gan_jax import init_from, names, sweep, workdir
from gan_jax.axes import Range
from gan_jax.errors import UserError
from gan_jax.reports import scalars
from gan_jax.training import loop, outputs, scores


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
    with workdir.claimed(folder):
        for first in range(0, asked.num, asked.at_once):
            trials = [asked.study.ask(_distributions(asked)) for _ in range(min(asked.at_once, asked.num - first))]
            found = _with_proposed(found, first, [trial.params for trial in trials], folder)
            configs = dict(
                list(sweep.member_configs(config, found.members, folder).items())[first : first + len(trials)]
            )
            if received := _train_round(configs, found, trials, asked.study, folder, name, way, start):
                return loop.stopped(received)
    return _summary(config, found, asked.study, folder)


def _check(config, asked):
    if not isinstance(asked, Study):
        raise UserError("--sweep: get_study() returns no gan_jax.search.Study; make one of an optuna.Study")
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


def _distributions(asked):
    """Those of Optuna that our ranges are."""
    import optuna

    make: dict[str, Callable[..., Any]] = {
        "uniform": optuna.distributions.FloatDistribution,
        "log_uniform": functools.partial(optuna.distributions.FloatDistribution, log=True),
        "choice": lambda *values: optuna.distributions.CategoricalDistribution(values),
    }
    return {name: make[given.kind](*given.limits) for name, given in asked.ranges.items()}


def _with_proposed(found, start, members, folder):
    """The sweep with the members of a round; a UserError where the folder holds others in their place."""
    held = found.members[start : start + len(members)]
    if held != members[: len(held)]:
        raise UserError(
            f"{folder} holds a search that has proposed other settings, {sweep.words(held[0])}: give the study's "
            "sampler a seed, the ranges and the fields as they were, or another --workdir"
        )
    return found._replace(members=found.members + members[len(held) :])


def _train_round(configs, found, trials, study, folder, name, way, start):
    """Trains the members of these trials, tells the study of them, and returns the signal that ended it, or 0."""
    for trial, place in zip(trials, configs, strict=True):
        step = workdir.latest_step(folder / place)
        for record in scalars.read(folder / place / outputs.EVALUATIONS):
            if record["step"] <= step:
                _report(study, trial, record)
    steps = next(iter(configs.values())).steps
    judges = {
        place: functools.partial(_judge, study, trial, steps) for trial, place in zip(trials, configs, strict=True)
    }
    if received := sweep.train_members(configs, found, folder, name, way, judges, start):
        return received
    for trial, place in zip(trials, configs, strict=True):
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
    if any(trial.state.name == "COMPLETE" for trial in study.trials):
        best = study.best_trial
        place = list(configs)[found.members.index(best.params)]
        names.say(f"best of {len(configs)}: {best.value:.4g} with {sweep.words(best.params)} ({folder}/{place})")
    return code
