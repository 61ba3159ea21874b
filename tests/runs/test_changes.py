"""What a run may become, by its fields alone, and what its history then says."""

import json
import re

import numpy as np
import pytest

from gan_jax.config import FIELDS, default_config, flat, without_constants
from gan_jax.errors import UserError
from gan_jax.runs import changes, workdir
from gan_jax.training.hyperparameters import fields_of

FLAT = flat(default_config())
RATE, SIZE = "optimizer.critic_lr", "batch_size"
# Of schedules, which are alike for all numbers, those of one are gone through.
NAMES = [name for name in FIELDS if not name.startswith("schedule.") or name.startswith("schedule.noise.sigma")]


@pytest.fixture
def run(tmp_path):
    """A folder that holds a run at step 50."""
    workdir.store(tmp_path, FLAT, [])
    (tmp_path / "checkpoints/50").mkdir(parents=True)
    return tmp_path


def another(name):
    """Another value of a field."""
    value = FLAT[name]
    return f"{value}x" if isinstance(value, str) else not value if isinstance(value, bool) else value + 10**6


@pytest.mark.parametrize("name", NAMES)
def test_a_run_takes_all_but_what_is_fixed(run, name):
    given = FLAT | {name: another(name)}
    if FIELDS[name].kind != "fixed":
        return changes.check(run, given)
    with pytest.raises(UserError) as error:
        changes.check(run, given)
    assert f"{name} (stored {FLAT[name]!r}, given {given[name]!r})" in str(error.value)
    assert f"--init_from={run}" in str(error.value)
    changes.check(run / "another", given)


@pytest.mark.parametrize("name", NAMES)
def test_a_run_that_is_read_is_at_odds_with_any_field_that_is_fixed(run, name):
    changes.check_same(run, FLAT, {name: FLAT[name]}, "leave them out")
    if FIELDS[name].kind != "fixed":
        return changes.check_same(run, FLAT, {name: another(name)}, "leave them out")
    with pytest.raises(UserError, match="leave them out, or give another --workdir") as error:
        changes.check_same(run, FLAT, {name: another(name)}, "leave them out")
    assert f"{name} (stored {FLAT[name]!r}, given {another(name)!r})" in str(error.value)


SCHEDULED = {"schedule.noise.sigma.shape": "linear", "schedule.noise.sigma.over": 9.0}
COUNTING = [{"schedule.unit": "images"} | SCHEDULED, {"ema_half_life": 1000.0, "ema_ramp": 0.05}]


@pytest.mark.parametrize("counting", COUNTING)
def test_a_minibatch_is_as_large_as_ever_where_images_are_counted(run, counting):
    workdir.store(run, FLAT | counting, [])
    given = FLAT | counting | {"batch_size": 32}
    with pytest.raises(UserError, match=r"its steps with 64, and images .* anew; give 64, or another --workdir"):
        changes.check(run, given)
    changes.check(run, given | {"batch_size": 64})
    changes.check(run / "another", given)
    for other in (SCHEDULED, {"ema_half_life": 1000.0}, {}):
        changes.check(run, FLAT | other | {"batch_size": 32})
    workdir.store(run, FLAT, [{"step": 20, "changed": {"batch_size": [16, 64]}}])
    changes.check(run, FLAT)
    with pytest.raises(UserError, match=r"its steps with 16 and 64, and images .* anew; give another --workdir"):
        changes.check(run, FLAT | counting)


def test_steps_may_be_fewer_down_to_those_that_were_made(run):
    changes.check(run, FLAT | {"steps": 50})
    with pytest.raises(UserError, match="is at step 50; give 50 or more"):
        changes.check(run, FLAT | {"steps": 49})


def test_what_an_older_program_did_not_store_is_neutral(run):
    older = {name: value for name, value in FLAT.items() if name not in ("noise.sigma", "eval_reals")}
    (run / "config.json").write_text(json.dumps(older))
    assert changes.stored(run) == FLAT
    changes.check(run, FLAT)
    assert changes.record(run, FLAT, 50) == ""
    assert workdir.stored_fields(run) == without_constants(FLAT)
    assert not (run / "history.jsonl").exists()


FELL = {"optimizer.decay_steps": 80, "optimizer.final_lr": 0.5, "noise.steps": 60}
FALLS = {
    **{f"schedule.{rate}.shape": "linear" for rate in (RATE, "optimizer.generator_lr", "noise.sigma")},
    **{f"schedule.{rate}.over": 80.0 for rate in (RATE, "optimizer.generator_lr")},
    **{f"schedule.{rate}.to": 1e-4 for rate in (RATE, "optimizer.generator_lr")},
    "schedule.noise.sigma.over": 60.0,
}


@pytest.mark.parametrize(("former", "now"), [(FELL, FALLS), (dict.fromkeys(FELL, 0), {})])
def test_falling_rates_and_noise_of_an_older_run_are_read_as_schedules(run, former, now):
    """It goes on with the experiment file of today, and what its history called them stays as it is."""
    today = FLAT | {"noise.sigma": 0.2} | now
    past = [{"step": 30, "changed": {"optimizer.decay_steps": [0, 80], "noise.steps": [9, 60], RATE: [1e-3, 2e-4]}}]
    workdir.store(run, without_constants(FLAT | {"noise.sigma": 0.2}) | former, past)
    assert changes.stored(run) == today
    changes.check(run, today)
    changes.check_saved(run, 50, {"noise.sigma": 0.2, RATE: 2e-4} | former)
    assert changes.record(run, today, 50) == ""
    assert workdir.read_history(run) == past
    assert workdir.stored_fields(run) == without_constants(today)
    assert changes.stored(run) == today
    words = changes.record(run, today | {"schedule.noise.sigma.to": 0.1}, 50)
    assert words == "schedule.noise.sigma.to 0.0 -> 0.1"
    assert workdir.read_history(run) == [*past, {"step": 50, "changed": {"schedule.noise.sigma.to": [0.0, 0.1]}}]


def test_older_runs_go_on_as_they_were(run):
    """Fields whose default is another thing than what runs did from before there were these fields."""
    later = {"eval_conditions": "even", "ema_conditions": "even", "eval_features": "auto", "data.reading": 1}
    given = default_config("folder")
    older = {name: value for name, value in flat(given).items() if name not in later}
    (run / "config.json").write_text(json.dumps(older | {"eval_features": "auto"}))
    kept = flat(changes.as_begun(run, given))
    assert {name: kept[name] for name in later} == later
    assert {name: value for name, value in kept.items() if name not in later} == {
        name: value for name, value in flat(given).items() if name not in later
    }
    changes.check(run, kept)
    workdir.store(run, kept, [])  # as it went on, they are stored, and kept again
    assert flat(changes.as_begun(run, given)) == kept
    assert flat(changes.as_begun(run, given, ["eval_conditions"]))["eval_conditions"] == "as_reals"
    given.eval_features = "pixels"
    assert flat(changes.as_begun(run, given))["eval_features"] == "pixels"


def test_new_runs_have_the_defaults(tmp_path):
    assert flat(changes.as_begun(tmp_path, default_config("folder"))) == flat(default_config("folder"))


def test_what_a_later_program_stored_is_refused(run):
    (run / "config.json").write_text(json.dumps(FLAT | {"momentum": 1, "seed": 3}))
    with pytest.raises(UserError, match="not know momentum: take the version that wrote it, or give another --workdir"):
        changes.stored(run)
    assert changes.stored(run / "another") is None


RATES = "optimizer.generator_lr", RATE


def slope(steps, over, to=0.0, shape="linear", rates=RATES, **others):
    parts = {"shape": shape, "over": over, "to": to, **others}
    return FLAT | {"steps": steps} | {f"schedule.{rate}.{part}": parts[part] for rate in rates for part in parts}


def test_steps_at_a_rate_of_0_are_refused_before_they_are_made(tmp_path):
    some = slope(100, 0, shape="constant"), slope(100, 100), slope(100, 99, 0.01), slope(100, 9, rates=RATES[:1])
    for fields in (*some, slope(100, 9, shape="warm_up"), slope(100, 90, start=10)):
        changes.check(tmp_path, fields)
        assert changes.no_rate_from(fields) == 0
    advice = " and ".join(f"--config.schedule.{rate}.over=101" for rate in RATES)
    for shape in ("linear", "cosine"):
        with pytest.raises(UserError, match=f"from step 100 on.*; give {advice}, or a `to` above 0"):
            changes.check(tmp_path, slope(101, 100, shape=shape))
        changes.check(tmp_path, slope(101, 101, shape=shape))
        changes.check(tmp_path, slope(101, 100, 1e-5, shape=shape))


def test_what_is_said_to_give_is_enough_wherever_the_rates_begin_to_fall(tmp_path):
    """In steps and in images, of 64 for a step."""
    for fields in (slope(101, 80, start=20), slope(101, 6000, start=400) | {"schedule.unit": "images"}):
        with pytest.raises(UserError, match="from step 100 on") as error:
            changes.check(tmp_path, fields)
        given = dict(re.findall(r"--config\.([\w.]+)=(\d+)", str(error.value)))
        assert {*given} == {f"schedule.{rate}.over" for rate in RATES}
        enough = fields | {name: float(value) for name, value in given.items()}
        changes.check(tmp_path, enough)
        assert changes.no_rate_from(enough) == 0


def test_a_run_that_has_such_steps_already_goes_on(tmp_path):
    workdir.store(tmp_path, slope(101, 100), [])
    changes.check(tmp_path, slope(101, 100))
    assert changes.no_rate_from(slope(101, 100)) == 100
    for other in (slope(102, 100), slope(101, 99)):
        with pytest.raises(UserError, match="rates would be 0"):
            changes.check(tmp_path, other)
    changes.check(tmp_path, slope(102, 102))


def test_a_change_is_recorded_with_its_step_before_it_is_stored(run, monkeypatch):
    words = changes.record(run, FLAT | {RATE: 1e-5, "log_every": 7, SIZE: 32}, 50)
    assert words == f"batch_size 64 -> 32, {RATE} 0.0002 -> 1e-05"
    assert workdir.read_history(run) == [{"step": 50, "changed": {RATE: [2e-4, 1e-5], SIZE: [64, 32]}}]
    assert workdir.stored_fields(run) == without_constants(FLAT) | {RATE: 1e-5, "log_every": 7, SIZE: 32}
    before = (run / "history.jsonl").stat().st_mtime_ns
    assert changes.record(run, FLAT | {RATE: 1e-5, SIZE: 32}, 60) == ""
    assert (run / "history.jsonl").stat().st_mtime_ns == before


def changed(step, **fields):
    return {"step": step, "changed": {{"rate": RATE, "size": SIZE}[name]: pair for name, pair in fields.items()}}


def fields(rate=2e-4, size=64):
    return FLAT | {RATE: rate, SIZE: size}


# past, step, stored, given -> history
HISTORIES = {
    "the first change": ([], 50, fields(), fields(1e-5), [changed(50, rate=[2e-4, 1e-5])]),
    "nothing": ([], 50, fields(), fields(), []),
    "another change": ([changed(20, rate=[2e-4, 1e-5])], 50, fields(1e-5), fields(1e-6),
                       [changed(20, rate=[2e-4, 1e-5]), changed(50, rate=[1e-5, 1e-6])]),
    "again before a step was made": ([changed(50, rate=[2e-4, 1e-5])], 50, fields(1e-5), fields(1e-6, 8),
                                     [changed(50, rate=[2e-4, 1e-6], size=[64, 8])]),
    "taken back before a step was made": ([changed(50, rate=[2e-4, 1e-5])], 50, fields(1e-5), fields(), []),
    "killed before it was stored, and given again": ([changed(50, rate=[2e-4, 1e-5])], 50, fields(), fields(1e-5),
                                                     [changed(50, rate=[2e-4, 1e-5])]),
    "killed before it was stored, and not given again": ([changed(50, rate=[2e-4, 1e-5])], 50, fields(), fields(), []),
    "killed, and another is given": ([changed(50, rate=[2e-4, 1e-5])], 50, fields(), fields(1e-3),
                                     [changed(50, rate=[2e-4, 1e-3])]),
    "killed as a second change at a step was stored": ([changed(50, rate=[2e-4, 1e-6])], 50, fields(1e-5), fields(1e-5),
                                                       [changed(50, rate=[2e-4, 1e-5])]),
    "checkpoints were damaged": ([changed(20, rate=[2e-4, 1e-5]), changed(40, size=[64, 8], rate=[1e-5, 1e-6])],
                                 30, fields(1e-6, 8), fields(1e-6, 8),
                                 [changed(20, rate=[2e-4, 1e-5]), changed(30, size=[64, 8], rate=[1e-5, 1e-6])]),
    "damaged before them all": ([changed(20, rate=[2e-4, 1e-5]), changed(40, size=[64, 8], rate=[1e-5, 1e-6])],
                                10, fields(1e-6, 8), fields(1e-6, 9),
                                [changed(10, size=[64, 9], rate=[2e-4, 1e-6])]),
}  # fmt: skip


@pytest.mark.parametrize("kind", HISTORIES)
def test_the_history_neither_loses_nor_doubles_a_change(kind):
    past, step, before, given, expected = HISTORIES[kind]
    found = changes.history(past, step, before, given)
    assert found == expected
    assert changes.history(found, step, given, given) == expected


@pytest.mark.parametrize("writes", [0, 1])
def test_a_kill_between_the_writes_is_made_good_by_the_same_command(run, monkeypatch, writes):
    class Killed(BaseException):
        pass

    def write_or_die(path, content):
        if not left:
            raise Killed
        left.pop()
        write(path, content)

    write, left = workdir.atomic.write, [None] * writes
    with monkeypatch.context() as patch:
        patch.setattr(workdir.atomic, "write", write_or_die)
        with pytest.raises(Killed):
            changes.record(run, fields(1e-5), 50)
    changes.record(run, fields(1e-5), 50)
    assert workdir.read_history(run) == [changed(50, rate=[2e-4, 1e-5])]
    assert workdir.stored_fields(run) == without_constants(fields(1e-5))


def test_more_steps_alone_change_nothing_of_how_a_run_trains(run):
    assert not changes.is_changed(run, FLAT | {"steps": 10**6, "log_every": 3})
    assert changes.is_changed(run, FLAT | {"penalty.weight": 3.0})


# ---------------------------------------------------------------------------- what a checkpoint says of config.json


def saved(rate=2e-4, size=64):
    return {RATE: rate, SIZE: size}


OTHER = {RATE: 0.5}
# history, stored, step, what its checkpoint was made with
UNTOUCHED = {
    "nothing was changed": ([], fields(), 50, saved()),
    "by the state, whose numbers have 32 bits": ([], fields(), 50, {RATE: float(np.float32(2e-4))}),
    "changed before": ([changed(20, rate=[1e-3, 2e-4])], fields(), 50, saved()),
    "changed later": ([changed(60, rate=[1e-3, 2e-4])], fields(), 50, saved(1e-3)),
    "changed twice later": ([changed(60, rate=[1e-3, 1e-5]), changed(70, rate=[1e-5, 2e-4], size=[8, 64])], fields(),
                            50, saved(1e-3, 8)),
    "changed at its step, before it was written": ([changed(50, rate=[1e-3, 2e-4])], fields(), 50, saved()),
    "changed at its step, and killed": ([changed(50, rate=[1e-3, 2e-4])], fields(), 50, saved(1e-3)),
    "killed before it was stored": ([changed(50, rate=[2e-4, 1e-3])], fields(), 50, saved()),
    "begun from another run": ([{"step": 0, "init_from": "there"}], fields(), 0, saved()),
    "of a program that had other fields": ([], fields(), 50, saved() | {"momentum": 3}),
    "of a program that kept none": ([], fields(), 50, {}),
    "a whole number in place of a float": ([], FLAT | {"penalty.weight": 10}, 50, {"penalty.weight": 10.0}),
}  # fmt: skip
TOUCHED = {
    "an edit": ([], fields(0.5), 50, saved(), f"{RATE} (0.5 there, 0.0002 in the checkpoint); put that back"),
    "an edit, by the state": ([], fields(0.5), 50, fields_of({"critic_lr": np.float32(2e-4)}), "(0.5 there, 0.0002 in"),
    "an edit after a change": ([changed(20, rate=[1e-3, 1e-5])], fields(0.5), 50, saved(1e-5), "(0.5 there, 1e-05"),
    "an edit of what was never changed": ([changed(60, rate=[1e-3, 2e-4])], fields(size=8), 50, saved(1e-3),
                                          "batch_size (8 there, 64 in the checkpoint)"),
    "what is fixed": ([], FLAT | {"seed": 3, "loss": "hinge"}, 50, {"seed": 0, "loss": "non_saturating"},
                      "seed (3 there, 0 in the checkpoint), loss ('hinge' there, 'non_saturating' in the checkpoint)"),
}  # fmt: skip


@pytest.mark.parametrize("kind", UNTOUCHED)
def test_what_the_program_wrote_is_believed(tmp_path, kind):
    history, stored, step, said = UNTOUCHED[kind]
    workdir.store(tmp_path, stored, history)
    changes.check_saved(tmp_path, step, said)


@pytest.mark.parametrize("kind", TOUCHED)
def test_what_was_edited_is_named(tmp_path, kind):
    history, stored, step, said, words = TOUCHED[kind]
    workdir.store(tmp_path, stored, history)
    with pytest.raises(UserError, match=re.escape(f"{tmp_path}/config.json is not what")) as error:
        changes.check_saved(tmp_path, step, said)
    assert words in str(error.value)


def test_a_checkpoint_keeps_all_that_its_parameters_come_from():
    found = changes.kept(FLAT)
    assert {"seed", "loss", "network.width", RATE, SIZE, "n_critic"} <= {*found}
    assert not {"steps", "data.dir", "log_every", "eval_every", "wandb.mode"} & {*found}
    assert changes.said({"fields": found}) == found
    assert changes.said({"shape": [2]}) == changes.said({"fields": [1]}) == {}


def test_the_experiment_of_an_older_run_is_still_the_runs(run):
    """It has defaults that are others than what the run does by itself."""
    given = default_config("folder")
    older = {name: value for name, value in flat(given).items() if name not in ("ema_conditions", "data.reading")}
    (run / "config.json").write_text(json.dumps(older))
    stored = changes.stored(run)
    assert (stored["ema_conditions"], stored["data.reading"]) == ("even", 1)
    changes.check_same(run, stored, flat(changes.as_begun(run, given)), "leave --config out")
    with pytest.raises(UserError, match=re.escape("ema_conditions (stored 'even', given 'as_trained')")):
        changes.check_same(run, stored, flat(given), "leave --config out")
