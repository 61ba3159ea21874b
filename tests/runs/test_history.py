"""A run that goes on with other fields: what it computes from there on, and what its folder says of it."""

import json
import pathlib

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from gan_jax import main
from gan_jax.config import default_config
from gan_jax.data import sources
from gan_jax.reports import pictures
from gan_jax.runs import changes, checkpoint, loop, trained, workdir
from gan_jax.training import population
from gan_jax.training.hyperparameters import HPARAMS


def same(left, right):
    for a, b in zip(*map(jax.tree.leaves, (left, right)), strict=True):
        if jax.dtypes.issubdtype(a.dtype, jax.dtypes.prng_key):
            a, b = jax.random.key_data(a), jax.random.key_data(b)
        np.testing.assert_array_equal(np.asarray(a), np.asarray(b))


def continued(carry, config, steps):
    """The state after so many steps more of this configuration, its numbers put in by hand."""
    numbers = {name: jnp.float32(getattr_of(config, field)) for name, field in HPARAMS.items()}
    for name, field in HPARAMS.items():
        if getattr_of(config.schedule, field).shape != "constant":
            parts = getattr_of(config.schedule, field)
            numbers |= {f"{name}_{part}": jnp.float32(parts[part]) for part in ("start", "over", "to")}
    numbers["ema_steps"] = jnp.float32(0)
    source = sources.load(config.data.name, "", 0, config.data.memory_mb)
    carry = (carry[0].replace(hparams=numbers), carry[1])
    program = population.compile_program(config, source, carry)
    stream = source.stream(config.seed, config.n_critic, config.batch_size) if source.stream else None
    if stream:
        stream.seek(int(carry[0].step))
    return program.block(carry, stream, steps)[0][0]


def getattr_of(config, field):
    for part in field.split("."):
        config = config[part]
    return config


def carry_of(folder):
    config = trained.stored_config(pathlib.Path(folder))
    shapes = loop.shapes_of_carry(config, sources.load(config.data.name, "", 0, config.data.memory_mb))
    with checkpoint.open_checkpoints(pathlib.Path(folder), is_read_only=True) as manager:
        found = checkpoint.restore(manager, manager.latest_step(), state=shapes[0], sums=shapes[1])
    return found["state"], found["sums"]


def falling(over, to=0.0, numbers=("optimizer.generator_lr", "optimizer.critic_lr")):
    """Fields of linear schedules."""
    parts = {"shape": "linear", "over": float(over)} | ({"to": to} if to else {})
    return {f"schedule.{number}.{part}": value for number in numbers for part, value in parts.items()}


SLOW = pytest.mark.slow
NOISE_FALLS = {"noise__sigma": 0.3, **falling(50, numbers=["noise.sigma"])}
CHANGES = [
    {"optimizer__critic_lr": 3e-3, "penalty__weight": 1.0},
    pytest.param({"batch_size": 16, "n_critic": 3}, marks=SLOW),
    pytest.param({"ema_decay": 0.5, "optimizer__b2": 0.99, "weight_clip": 0.1}, marks=SLOW),
    pytest.param({**NOISE_FALLS, "n_generator": 2, "penalty__every": 2}, marks=SLOW),
    pytest.param(falling(80), marks=SLOW),
]


@pytest.mark.slow
@pytest.mark.parametrize("fields", CHANGES)
def test_from_the_change_on_a_run_is_that_of_its_new_fields(command, capsys, fields):
    command("wgan_gp.py:ring", "--workdir=run", steps=30)
    carry, before = carry_of("run"), changes.stored(pathlib.Path("run"))
    command("wgan_gp.py:ring", "--workdir=run", steps=60, **fields)
    given = {name.replace("__", "."): value for name, value in fields.items()}
    (line,) = workdir.read_history(pathlib.Path("run"))
    assert line["step"] == 30
    assert line["changed"] == {name: [before[name], value] for name, value in {"steps": 60, **given}.items()}
    printed = capsys.readouterr().out
    assert "run, from step 30 on: steps 30 -> 60, " in printed
    assert all(f"{name} {before[name]} -> {value}" in printed for name, value in given.items())
    same(trained.load("run").state, continued(carry, trained.stored_config(pathlib.Path("run")), 30))


@pytest.mark.slow
def test_each_line_of_metrics_is_the_mean_of_its_own_steps(command, records):
    """Another interval from step 30 on, and one more, before there was a line: 20, | 45, | 56, 60."""
    command("wgan_gp.py:ring", "--workdir=each", log_every=1)
    command("wgan_gp.py:ring", "--workdir=run", log_every=20, checkpoint_every=10, steps=30)
    command("wgan_gp.py:ring", "--workdir=run", log_every=45, checkpoint_every=10, steps=50)
    command("wgan_gp.py:ring", "--workdir=run", log_every=28, steps=57)
    command("wgan_gp.py:ring", "--workdir=run", log_every=20, steps=60)
    of_each = {record.pop("step"): record for record in records("each/metrics.jsonl")}
    lines = records("run/metrics.jsonl")
    assert [line["step"] for line in lines] == [20, 45, 56, 60]
    for first, line in zip([0, 20, 45, 56], lines, strict=True):
        steps = range(first + 1, line["step"] + 1)
        for name, value in line.items():
            if name != "step":
                assert value == pytest.approx(np.mean([of_each[step][name] for step in steps]), rel=1e-4, abs=1e-6)


@pytest.mark.slow
def test_a_change_that_is_given_again_after_a_kill_is_one(command, killed_as_it_saves, same_run):
    command("wgan_gp.py:ring", "--workdir=run", steps=30)
    command("wgan_gp.py:ring", "--workdir=alone", steps=30)
    with killed_as_it_saves(40, "run"):
        command("wgan_gp.py:ring", "--workdir=run", optimizer__b1=0.7)
    for folder in ("run", "alone"):
        command("wgan_gp.py:ring", f"--workdir={folder}", optimizer__b1=0.7)
    same_run("run", "alone")
    histories = [workdir.read_history(pathlib.Path(folder)) for folder in ("run", "alone")]
    assert histories[0] == histories[1] == [{"step": 30, "changed": {"steps": [30, 60], "optimizer.b1": [0.5, 0.7]}}]


@pytest.mark.hours
def test_changes_after_a_damaged_checkpoint_are_moved_to_the_one_that_is_left(command, damage_arrays, records):
    command("wgan_gp.py:ring", "--workdir=run", steps=20)
    command("wgan_gp.py:ring", "--workdir=run", steps=40, optimizer__b1=0.7)
    command("wgan_gp.py:ring", "--workdir=run", steps=60, optimizer__b1=0.8)
    for step in (40, 60):
        damage_arrays(pathlib.Path(f"run/checkpoints/{step}"))
    command("wgan_gp.py:ring", "--workdir=run", steps=60, optimizer__b1=0.8)
    assert records("run/history.jsonl") == [{"step": 20, "changed": {"steps": [20, 60], "optimizer.b1": [0.5, 0.8]}}]


# Nothing bounds a Wasserstein critic; by gradient descent at such a rate its first update is its last.
WILD = {"optimizer__name": "sgd", "optimizer__critic_lr": 1e30, "loss": "wasserstein", "penalty__name": "none"}


@pytest.mark.slow
def test_a_diverged_run_goes_on_with_a_lower_rate_in_its_own_folder(command, capsys):
    command("wgan_gp.py:ring", "--workdir=run", **WILD, code=3)
    assert "lower optimizer.critic_lr (now 1e+30)" in capsys.readouterr().err
    command("wgan_gp.py:ring", "--workdir=run", **WILD | {"steps": 70, "log_every": 5}, code=3)
    assert "as an earlier command found" in capsys.readouterr().err
    command("wgan_gp.py:ring", "--workdir=run", **WILD | {"optimizer__critic_lr": 1e-4})
    assert not pathlib.Path("run/frozen.json").exists()
    assert int(trained.load("run").state.step) == 60
    assert workdir.read_history(pathlib.Path("run"))[-1]["changed"]["optimizer.critic_lr"] == [1e30, 1e-4]


@pytest.mark.slow
def test_diverged_members_of_a_sweep_go_on_too_and_the_others_are_as_they_were(command, capsys):
    pathlib.Path("s.py").write_text("def get_sweep():\n    return [{'seed': 1}, {'optimizer.critic_lr': 1e30}]\n")
    tame = WILD | {"optimizer__critic_lr": 1e-4}
    command("wgan_gp.py:ring", "--sweep=s.py", "--workdir=s", **tame)
    assert "1 of 2 members; 1 diverged" in capsys.readouterr().out
    before = pathlib.Path("s/000/metrics.jsonl").read_bytes()
    command("wgan_gp.py:ring", "--sweep=s.py", "--workdir=s", **tame | {"weight_clip": 0.01})
    assert "2 of 2 members" in capsys.readouterr().out
    assert workdir.read_history(pathlib.Path("s/001")) == [{"step": 0, "changed": {"weight_clip": [0.0, 0.01]}}]
    assert pathlib.Path("s/000/metrics.jsonl").read_bytes() == before
    assert not pathlib.Path("s/000/history.jsonl").exists()


@pytest.mark.slow
def test_a_run_of_an_older_program_is_resumed_sampled_and_evaluated(command, same_run):
    """Its configuration lacks fields, and its checkpoint the number that one of them now gives.

    What it calls falling rates and noise are schedules by now, which it goes on with as a run of today does.
    """
    rate = default_config("ring").optimizer.critic_lr
    today = falling(60, 0.5 * rate) | falling(30, numbers=["noise.sigma"]) | {"noise.sigma": 0.25}
    today |= {"optimizer.generator_lr": rate, "optimizer.critic_lr": rate}
    former = {"optimizer.decay_steps": 60, "optimizer.final_lr": 0.5, "noise.steps": 30}
    past = {"step": 10, "changed": {"optimizer.decay_steps": [0, 60], "noise.steps": [20, 30]}}
    command("wgan_gp.py:ring", "--workdir=alone", steps=20, **today)
    command("wgan_gp.py:ring", "--workdir=old", steps=20, **today)
    with pytest.MonkeyPatch.context() as patch:
        for number in ("continuous_weight", "weight_decay"):
            patch.delitem(HPARAMS, number)
        without = dict(HPARAMS)
    state, sums = carry_of("old")
    numbers = {"decay_steps": 60, "final_lr": 0.5, "noise_steps": 30}
    numbers = {name: jnp.float32(value) for name, value in numbers.items()}
    state = state.replace(hparams={name: state.hparams[name] for name in without} | numbers)
    about = {"shape": [2], "fields": {"noise.sigma": 0.25, "optimizer.critic_lr": rate} | former}
    for path in pathlib.Path("old/checkpoints").iterdir():
        path.rename(path.parents[1] / f"was_{path.name}")
    with checkpoint.open_checkpoints(pathlib.Path("old")) as manager:
        checkpoint.save(manager, (state, sums), about)
    lacking = {"conditional.continuous_weight", "eval_reals", "data.balanced", "conditional.classes"}
    lacking |= {f"optimizer.{name}" for name in ("weight_decay", "generator_name", "critic_name")}
    lacking |= {f"n_critic_burst.{name}" for name in ("updates", "first_steps", "every")}
    stored = json.loads(pathlib.Path("old/config.json").read_text())
    lacking |= {name for name in stored if name.startswith(("schedule.", "second_penalty.", "critic.", "generator."))}
    lacking |= {f"penalty.{name}" for name in ("own_step", "estimator", "sigma", "share")}
    older = {name: value for name, value in stored.items() if name not in lacking} | former
    pathlib.Path("old/config.json").write_text(json.dumps(older))
    pathlib.Path("old/history.jsonl").write_text(json.dumps(past) + "\n")
    for flags in (["--mode=sample", "--num=4"], ["--mode=evaluate", "--num=8"], ["--mode=export"]):
        command("wgan_gp.py:ring", "--workdir=old", *flags, steps=20, **today)
    for folder in ("alone", "old"):
        command("wgan_gp.py:ring", f"--workdir={folder}", steps=40, **today)
    same_run("alone", "old")
    assert workdir.read_history(pathlib.Path("old")) == [past, {"step": 20, "changed": {"steps": [20, 40]}}]
    assert json.loads(pathlib.Path("old/config.json").read_text()) == stored | {"steps": 40}


def test_curves_show_where_something_was_changed(tmp_path, monkeypatch):
    drawn = []
    monkeypatch.setattr(pictures, "save", lambda path, figure: drawn.append(figure))
    records = [{"step": step, "critic_loss": 1.0, "real_logits": float(step)} for step in range(10)]
    pictures.curves(
        tmp_path / "curves.png", records, "a run", (), {4: "batch_size 8 -> 16, steps 6 -> 10", 7: "ema_decay 0 -> 0.9"}
    )
    first, second = drawn[0].axes
    for axes in (first, second):
        assert [list(line.get_xdata()) for line in axes.lines[1:]] == [[4, 4], [7, 7]]
    words = {text.xy[0]: text.get_text().splitlines() for text in first.texts}
    assert words == {4: ["batch_size 8 -> 16", "steps 6 -> 10"], 7: ["ema_decay 0 -> 0.9"]}
    assert not second.texts


@pytest.mark.slow
def test_the_curves_of_a_run_show_its_own_changes(command, monkeypatch):
    shown = []
    monkeypatch.setattr(pictures, "curves", lambda *given: shown.append(given[-1]))
    command("wgan_gp.py:ring", "--workdir=run", steps=20)
    command("wgan_gp.py:ring", "--workdir=run", steps=40, optimizer__b1=0.7)
    assert shown == [{}, {20: "steps 20 -> 40, optimizer.b1 0.5 -> 0.7"}]


@pytest.mark.slow
def test_fewer_steps_than_were_asked_for_end_a_run_where_it_is(command, at_20, capsys):
    assert json.loads(pathlib.Path("run/config.json").read_text())["steps"] == 60
    command("wgan_gp.py:ring", "--workdir=run", steps=20)
    assert "finished: run is at step 20 of 20" in capsys.readouterr().out
    assert json.loads(pathlib.Path("run/config.json").read_text())["steps"] == 20
    assert workdir.read_history(pathlib.Path("run")) == [{"step": 20, "changed": {"steps": [60, 20]}}]
    command("wgan_gp.py:ring", "--workdir=run", steps=20, optimizer__b1=0.9)
    assert "raise --config.steps to go on with what you change" in capsys.readouterr().out
    assert json.loads(pathlib.Path("run/config.json").read_text())["optimizer.b1"] == 0.5


@pytest.fixture
def at_20(command, killed_as_it_saves):
    """A run of 60 steps, killed at 30 with the checkpoint of 20."""
    with killed_as_it_saves(30, "run"):
        command("wgan_gp.py:ring", "--workdir=run", checkpoint_every=10)


@pytest.mark.slow
def test_steps_beyond_the_slope_of_the_rates_are_refused_until_it_is_longer(command, capsys):
    command("wgan_gp.py:ring", "--workdir=run", steps=20, **falling(20))
    command("wgan_gp.py:ring", "--workdir=run", steps=30, **falling(20), code=2)
    over = [f"--config.schedule.optimizer.{rate}.over=30" for rate in ("generator_lr", "critic_lr")]
    assert f"give {' and '.join(over)}, or a `to` above 0" in capsys.readouterr().err
    command("wgan_gp.py:ring", "--workdir=run", steps=30, **falling(30))
    stored = json.loads(pathlib.Path("run/config.json").read_text())
    older = stored | {"steps": 40}  # begun by a program that let it
    pathlib.Path("run/config.json").write_text(json.dumps(older))
    capsys.readouterr()
    command("wgan_gp.py:ring", "--workdir=run", steps=40, **falling(30))
    assert "warning: run: from step 30 on, both learning rates are 0" in capsys.readouterr().err


@pytest.mark.slow
def test_free_fields_count_where_a_run_is_evaluated_and_others_are_its_own(command, records, capsys):
    command("wgan_gp.py:ring", "--workdir=run", steps=20)
    given = ["gan_jax", "--workdir=run", "--mode=evaluate", "--config.eval_samples=48"]
    assert main.main([*given, "--config.batch_size=4"]) == 2
    assert "batch_size (stored 8, given 4): that is for --mode=train; leave it out" in capsys.readouterr().err
    assert main.main([*given, "--config.batch_size=8"]) == 0
    assert records("run/evaluation.jsonl")[-1]["protocol"]["samples"] == 48


@pytest.mark.slow
def test_a_set_that_has_moved_is_trained_on_and_evaluated_with(command, same_run):
    from PIL import Image

    pathlib.Path("here").mkdir()
    for i, pixels in enumerate(np.random.default_rng(0).integers(0, 256, (16, 8, 8, 3), dtype=np.uint8)):
        Image.fromarray(pixels).save(f"here/{i}.png")
    fields = {"network__name": "mlp", "eval_features": "pixels"}
    command("wgan_gp.py:folder", "--workdir=alone", data__dir="here", steps=40, **fields)
    command("wgan_gp.py:folder", "--workdir=run", data__dir="here", steps=20, **fields)
    pathlib.Path("here").rename("there")
    command("wgan_gp.py:folder", "--workdir=run", data__dir="there/", steps=40, **fields)
    same_run("alone", "run")
    assert not any("data.dir" in line["changed"] for line in workdir.read_history(pathlib.Path("run")))
    pathlib.Path("there").rename("elsewhere")
    command(
        "wgan_gp.py:folder", "--workdir=run", "--mode=evaluate", "--num=8", data__dir="elsewhere", steps=40, **fields
    )
