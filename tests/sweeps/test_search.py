"""Adaptive search: what a study proposes is trained, told to it, and resumed."""

import json
import pathlib

import pytest

from gan_jax.reports import scalars
from gan_jax.runs import outputs
from gan_jax.sweeps import search, sweep
from gan_jax.sweeps.axes import choice, log_uniform, uniform

optuna = pytest.importorskip("optuna")
FIELDS = {"eval_every": 20, "eval_metrics": "frechet", "steps": 40}
STUDY = """
import optuna
from gan_jax.sweeps.axes import choice, log_uniform
from gan_jax.sweeps.search import Study

def get_study():
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    study = optuna.create_study({arguments})
    return Study(study, {{"optimizer.critic_lr": log_uniform({limits})}}, num={num}, at_once=2)
"""


@pytest.fixture
def study_of(command):
    """Runs a study into the folder `s`."""

    def run(*flags, num=4, limits="1e-5, 1e-2", pruner="NopPruner()", seed=3, code=0, arguments=None, **fields):
        made = f"sampler=optuna.samplers.TPESampler(seed={seed}, n_startup_trials=2), pruner=optuna.pruners.{pruner}"
        pathlib.Path("study.py").write_text(STUDY.format(arguments=arguments or made, limits=limits, num=num))
        place = [] if any(flag.startswith("--workdir") for flag in flags) else ["--workdir=s"]
        command("wgan_gp.py:ring", "--sweep=study.py", *place, *flags, code=code, **FIELDS | fields)

    return run


def proposed():
    return [member["optimizer.critic_lr"] for member in json.loads(pathlib.Path("s/sweep.json").read_text())["members"]]


@pytest.mark.slow
def test_members_are_what_an_optuna_told_of_their_last_evaluations_proposes(study_of, capsys):
    study_of()
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    study = optuna.create_study(sampler=optuna.samplers.TPESampler(seed=3, n_startup_trials=2))
    values = []
    for start in (0, 2):
        trials = [study.ask() for _ in range(2)]
        rates = [trial.suggest_float("optimizer.critic_lr", 1e-5, 1e-2, log=True) for trial in trials]
        assert proposed()[start : start + 2] == rates
        for trial, index in zip(trials, (start, start + 1), strict=True):
            records = [
                json.loads(line) for line in pathlib.Path(f"s/00{index}/evaluation.jsonl").read_text().splitlines()
            ]
            assert [record["step"] for record in records] == [20, 40]
            for record in records:
                trial.report(record["frechet_distance"], record["step"])
            study.tell(trial, records[-1]["frechet_distance"])
            values.append(records[-1]["frechet_distance"])
    assert f"best of 4: {min(values):.4g}" in capsys.readouterr().out


@pytest.mark.slow
def test_a_search_goes_on_from_where_it_was_stopped(study_of, killed_as_it_saves):
    study_of(num=4)
    whole = proposed(), evaluations()
    pathlib.Path("s").rename("whole")
    study_of(num=3)
    study_of(num=4)
    assert (proposed()[:3], evaluations()[:3]) == (whole[0][:3], whole[1][:3])

    pathlib.Path("s").rename("shorter")
    with killed_as_it_saves(40, "003"):
        study_of(num=4)
    study_of(num=4)
    assert (proposed(), evaluations()) == whole


@pytest.fixture
def stored(study_of):
    """Runs a study that lies in study.db, and gives its trials."""

    def run(*flags, name="n", **given):
        made = f"study_name={name!r}, storage='sqlite:///study.db', load_if_exists=True"
        sampler = "sampler=optuna.samplers.TPESampler(seed=3, n_startup_trials=2), pruner=optuna.pruners.NopPruner()"
        study_of(*flags, arguments=f"{made}, {sampler}", **given)
        return trials_of(name)

    return run


def trials_of(name="n"):
    return optuna.load_study(study_name=name, storage="sqlite:///study.db").trials


def states(trials):
    return [trial.state.name for trial in trials]


@pytest.mark.slow
def test_a_stored_study_is_finished_or_goes_on_and_no_trial_is_left_open(stored, killed_as_it_saves, capsys):
    with killed_as_it_saves(40, "001"):  # within a round
        stored(num=3)
    assert states(trials_of()) == ["RUNNING", "RUNNING"]
    asked = proposed()
    first = stored(num=3)
    assert states(first) == ["COMPLETE"] * 3
    assert [trial.params["optimizer.critic_lr"] for trial in first] == proposed()
    assert proposed()[:2] == asked
    for index, trial in enumerate(first):
        lines = [json.loads(line) for line in pathlib.Path(f"s/00{index}/evaluation.jsonl").read_text().splitlines()]
        assert trial.intermediate_values == {line["step"]: line["frechet_distance"] for line in lines}
        assert trial.value == lines[-1]["frechet_distance"]
    capsys.readouterr()
    again = stored(num=3)
    best = min(trial.value for trial in first)
    assert f"best of 3: {best:.4g}" in capsys.readouterr().out
    assert [(trial.number, trial.value, trial.datetime_complete) for trial in again] == [
        (trial.number, trial.value, trial.datetime_complete) for trial in first
    ]
    more = stored(num=4)
    assert states(more) == ["COMPLETE"] * 4
    assert len({trial.params["optimizer.critic_lr"] for trial in more}) == 4  # the seed proposes none a second time
    assert stored("--workdir=t", num=2)[4:] != []  # the same study has more trials from another folder
    assert stored(num=4)[:4] == more


@pytest.mark.slow
def test_a_kill_between_rounds_or_before_a_member_is_listed_leaves_no_trial_open(stored, monkeypatch):
    def die(*_):
        raise Killed

    for name, place in (("_trials", "between"), ("_train_round", "before")):
        function = getattr(search, name)
        calls = []

        def second(*given, function=function, calls=calls):
            calls.append(1)
            return die() if len(calls) == 2 else function(*given)

        with monkeypatch.context() as patch:
            patch.setattr(search, name, second)
            with pytest.raises(Killed):
                stored(f"--workdir={place}", num=3, name=place)
        open_before = states(trials_of(place)).count("RUNNING")
        assert open_before == (1 if name == "_train_round" else 0)
        assert states(stored(f"--workdir={place}", num=3, name=place)) == ["COMPLETE"] * 3


class Killed(BaseException):
    pass


@pytest.fixture
def kept(tmp_path):
    """A study that lies in a file, made by a sampler that takes no fixed parameters."""
    optuna.logging.set_verbosity(optuna.logging.ERROR)

    def create(**given):
        grid = optuna.samplers.GridSampler({"optimizer.critic_lr": [1e-4, 1e-3]}, seed=0)
        given = {"study_name": "n", "load_if_exists": True, "sampler": grid} | given
        study = optuna.create_study(storage=f"sqlite:///{tmp_path}/study.db", **given)
        return search.Study(study, {"optimizer.critic_lr": log_uniform(1e-5, 1e-2)}, 2)

    return create


@pytest.mark.parametrize("is_asked", [False, True])
def test_a_kill_as_a_trial_is_asked_for_leaves_none_without_its_member(kept, monkeypatch, is_asked):
    def killed(study):
        if is_asked:
            ask(study)
        raise Killed

    asked, found, ask = kept(), sweep.Sweep([], {}, "abc"), optuna.Study.ask
    with monkeypatch.context() as patch:
        patch.setattr(optuna.Study, "ask", killed)
        with pytest.raises(Killed):
            search._trials(asked, found, [0], None)
    assert [(t.state.name, t.user_attrs) for t in asked.study.trials] == [
        ("RUNNING" if is_asked else "WAITING", {"gan_jax": "abc/000"})
    ]
    search._trials(kept(), found, [0, 1], None)
    assert [(t.state.name, t.user_attrs["gan_jax"]) for t in asked.study.trials] == [
        ("RUNNING", "abc/000"),
        ("RUNNING", "abc/001"),
    ]
    assert {t.params["optimizer.critic_lr"] for t in asked.study.trials} == {1e-4, 1e-3}


def test_what_was_enqueued_is_taken_first(kept):
    asked = kept(sampler=optuna.samplers.RandomSampler(seed=0))
    asked.study.enqueue_trial({"optimizer.critic_lr": 2e-3})
    first, second = search._trials(asked, sweep.Sweep([], {}, "abc"), [0, 1], None)
    assert (first.number, first.params) == (0, {"optimizer.critic_lr": 2e-3})
    alone = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=0)).ask()
    assert second.params["optimizer.critic_lr"] == alone.suggest_float("optimizer.critic_lr", 1e-5, 1e-2, log=True)


def test_running_trials_of_nobody_here_are_said_and_can_be_ended(kept, capsys):
    asked = kept(sampler=optuna.samplers.RandomSampler(seed=0))
    search._trials(asked, sweep.Sweep([], {}, "abc"), [0, 1], None)
    search._say_open(asked.study, "abc", 2)
    assert capsys.readouterr().err == ""
    # Fewer members than were asked for, and a folder that was removed.
    for name, num, count, first in (("abc", 1, 1, 1), ("other", 2, 2, 0)):
        search._say_open(asked.study, name, num)
        said = capsys.readouterr().err
        assert f"has {count} running trials that are not of these members, as number {first}:" in said
        assert f"study.tell({first}, state=optuna.trial.TrialState.FAIL)" in said
    for number in (0, 1):
        asked.study.tell(number, state=optuna.trial.TrialState.FAIL)
    search._say_open(asked.study, "other", 2)
    assert capsys.readouterr().err == ""


@pytest.mark.slow
def test_advice_for_a_stored_study_is_of_what_is_wrong(stored, capsys):
    choices = "1e-5, 1e-2), 'loss': __import__('gan_jax.sweeps.axes').sweeps.axes.choice(['hinge'"
    before = stored(num=1, limits=f"{choices}]")
    capsys.readouterr()
    for given, words in (
        ({"name": "other"}, "the study other has no trial of its member 000: give the study that it was begun with"),
        ({"limits": f"{choices}, 'wasserstein']"}, "holds another range of loss"),
        ({}, "holds a search in optimizer.critic_lr, loss, and this one is in optimizer.critic_lr: give ranges"),
    ):
        stored(**{"num": 2, "limits": f"{choices}]", "code": 2} | (given or {"limits": "1e-5, 1e-2"}))
        assert words in capsys.readouterr().err
    assert (trials_of(), trials_of("other")) == (before, [])
    assert states(stored(num=2, limits=f"{choices}]")) == ["COMPLETE"] * 2
    stored("--workdir=t", num=1, name="third", limits=f"{choices}, 'wasserstein']")


def evaluations():
    return [pathlib.Path(f"s/{index:03}/evaluation.jsonl").read_bytes() for index in range(len(proposed()))]


@pytest.mark.slow
def test_pruned_members_stop_and_the_others_go_on(study_of, capsys):
    study_of(num=4, pruner="ThresholdPruner(upper=-1.0)")
    assert "0 of 4 members; 4 pruned" in capsys.readouterr().out
    for index in range(4):
        assert outputs.frozen(pathlib.Path(f"s/00{index}"))["state"] == "pruned"
        assert [record["step"] for record in scalars.read(f"s/00{index}/evaluation.jsonl")] == [20]
        assert pathlib.Path(f"s/00{index}/checkpoints/20").is_dir()


@pytest.mark.slow
@pytest.mark.parametrize("forestalled", ["the evaluation", "the verdict"])
def test_a_member_killed_as_it_is_judged_is_judged_as_it_goes_on(study_of, at_evaluation, monkeypatch, forestalled):
    def die(*_):
        raise Killed

    with monkeypatch.context() as patch:
        if forestalled == "the verdict":
            patch.setattr(outputs, "_freeze", die)
        step = 20 if forestalled == "the evaluation" else None
        with at_evaluation(step, Killed()), pytest.raises(Killed):
            study_of(num=2, pruner="ThresholdPruner(upper=-1.0)")
    assert outputs.frozen(pathlib.Path("s/000")) is None
    study_of(num=2, pruner="ThresholdPruner(upper=-1.0)")
    for index in range(2):
        assert outputs.frozen(pathlib.Path(f"s/00{index}")) == {
            "step": 20,
            "state": "pruned",
            "reason": "the study pruned it at step 20",
        }
        assert [record["step"] for record in scalars.read(f"s/00{index}/evaluation.jsonl")] == [20]


@pytest.mark.slow
def test_members_whose_last_evaluation_failed_count_as_failed_until_they_are_measured(study_of, at_evaluation, capsys):
    with at_evaluation(40, ValueError("no")):
        study_of(num=2)
    output = capsys.readouterr().out
    assert "2 of 2 members" in output
    assert "best of" not in output
    path = pathlib.Path("s/001/evaluation.jsonl")
    by_hand = json.loads(path.read_text().splitlines()[0]) | {"step": 40, "frechet_distance": 0.5}
    scalars.append(path, by_hand)
    study_of(num=2)
    assert f"best of 2: 0.5 with optimizer.critic_lr={proposed()[1]!r} (s/001)" in capsys.readouterr().out


@pytest.mark.slow
def test_a_last_evaluation_without_a_finite_number_counts_as_failed(study_of, capsys):
    study_of(num=2)
    for index in range(2):
        path = pathlib.Path(f"s/00{index}/evaluation.jsonl")
        first, last = path.read_text().splitlines()
        path.write_text(f"{first}\n{json.dumps(json.loads(last) | {'frechet_distance': None})}\n")
    capsys.readouterr()
    study_of(num=2)
    assert "best of" not in capsys.readouterr().out


@pytest.mark.slow
def test_a_member_that_has_made_all_its_steps_is_not_pruned(study_of, capsys):
    study_of(num=2, pruner="ThresholdPruner(upper=-1.0)", eval_every=40)
    assert "2 of 2 members" in capsys.readouterr().out


@pytest.mark.slow
def test_a_member_that_diverges_fails_and_the_search_goes_on(study_of, capsys):
    """Gradient descent at 1e30, on a Wasserstein critic that nothing bounds."""
    fields = {"optimizer__name": "sgd", "penalty__name": "none"}
    study_of(num=3, limits="1e29, 1e30", code=3, **fields)
    assert "3 diverged" in capsys.readouterr().out
    study_of(num=3, limits="1e29, 1e30", code=3, **fields)


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({"arguments": "direction='maximize'"}, "one, minimize"),
        ({"num": 0}, "num=0"),
        ({"num": "'4'"}, "num='4'"),
        ({"arguments": "directions=['minimize', 'minimize']"}, "one, minimize"),
        ({"limits": "1e-5, 1e-2), 'n_critic': log_uniform(1, 5"}, "n_critic=1.0: give a value of type int"),
        ({"limits": "1e-5, 1e-2), 'optimizer.critc_lr': log_uniform(1, 5"}, "did you mean optimizer.critic_lr?"),
        ({"limits": "1e-5, 1e-2), 'loss': choice(['hinge', 'hing']"}, "config.loss='hing'"),
        ({"limits": "1e-5, 1e-2), 'loss': (['hinge']"}, "loss is searched in ['hinge']"),
        ({"eval_every": 0}, "config.eval_every is 0"),
        ({"limits": "1e-2, 1e-5"}, "log_uniform(0.01, 1e-05)"),
        ({"eval_metrics": "prdc"}, "which checkpoint is the best"),
    ],
)
def test_a_wrong_study_is_refused_in_a_line(study_of, capsys, given, words):
    study_of(**given, code=2)
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == 1
    assert words in lines[0]
    assert not pathlib.Path("s/000").exists()


@pytest.mark.slow
def test_another_study_in_the_same_folder_is_refused(study_of, capsys):
    study_of(num=2)
    capsys.readouterr()
    study_of(num=2, seed=4, code=2)
    error = capsys.readouterr().err
    assert "has proposed other settings" in error
    assert "the seed that it had" in error
    study_of(num=2, limits="1e-9, 1e-8", code=2)
    assert "give optimizer.critic_lr the range that it had" in capsys.readouterr().err
    study_of(num=2)


def test_our_ranges_are_optunas():
    ranges = {"a": uniform(-1, 2), "b": log_uniform(1e-3, 1), "c": choice([1, 2, 5])}
    found = search._distributions(search.Study(None, ranges, 1))
    expected = optuna.distributions
    assert found["a"] == expected.FloatDistribution(-1, 2)
    assert found["b"] == expected.FloatDistribution(1e-3, 1, log=True)
    assert found["c"] == expected.CategoricalDistribution((1, 2, 5))


@pytest.mark.hours
def test_members_of_a_search_may_begin_from_a_run(command, study_of, records, capsys):
    command("wgan_gp.py:ring", "--workdir=old", steps=20)
    study_of("--init_from=old", num=2)
    study_of("--init_from=old", num=4, n_critic=1)  # later members, and these are as they were
    assert [records(f"s/00{i}/history.jsonl")[0]["checkpoint"] for i in range(4)] == [20] * 4
    assert [json.loads(pathlib.Path(f"s/00{i}/config.json").read_text())["n_critic"] for i in range(4)] == [2, 2, 1, 1]
    capsys.readouterr()
    study_of("--init_from=old:20", num=4, code=2)
    assert "s/000 holds a run that began from" in capsys.readouterr().err
