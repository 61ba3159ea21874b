"""The command as a user gives it: what it does, what it says, and with which exit code it ends."""

import json
import pathlib
import re
import shutil
import subprocess
import sys

import jax
import numpy as np
import pytest
from jax import export as jax_export
from PIL import Image

from gan_jax import main
from gan_jax.config import FIELDS
from gan_jax.evaluation import generators, measuring
from gan_jax.runs import trained

EXPERIMENTS = pathlib.Path(__file__).parents[1] / "experiments"


def test_help_names_every_flag_and_field(capsys):
    assert main.main(["gan_jax", "--help"]) == 0
    text = capsys.readouterr().out
    flags = ["config", "workdir", "mode", "num", "reals", "split", "metrics", "features", "resizer", "weights"]
    flags += ["checkpoint", "interpolate", "seed", "sweep", "way", "measure", "out", "init_from", "init_layers"]
    assert all(f"--{name}=" in text for name in flags)
    numbers = re.findall(r"schedule\.([\w.]+)\.shape", " ".join(FIELDS))
    others = tuple(f"schedule.{number}." for number in numbers[1:])  # which are like those of the first
    shown = [name for name in FIELDS if not name.startswith(others)]
    assert all(f"--config.{name}=" in text for name in shown)
    of_each = re.findall(r"--config\.([\w.]+)=.*\n      .*; (\w+)\)\n", text + "\n")
    assert of_each == [(name, FIELDS[name].kind) for name in shown]
    assert text.splitlines()[-2:] == [
        "  and likewise schedule.FIELD for FIELD any of",
        f"      {', '.join(numbers)}",
    ]


@pytest.mark.usefixtures("drawn_in_full")
def test_training_leaves_what_the_readme_promises(command, records):
    command("wgan_gp.py", eval_every=30)
    run = pathlib.Path("runs/wgan_gp")
    assert [record["step"] for record in records(run / "metrics.jsonl")] == [10, 20, 30, 40, 50, 60]
    assert [record["step"] for record in records(run / "evaluation.jsonl")] == [30, 60]
    assert sorted(path.name for path in (run / "samples").iterdir()) == ["step_0000030.png", "step_0000060.png"]
    assert width(run / "samples/step_0000060.png") == width(run / "samples/step_0000030.png") > 400
    assert width(run / "curves.png") > 500
    of_no_schedule = {name for name in FIELDS if not name.startswith("schedule.")}
    assert set(json.loads((run / "config.json").read_text())) == of_no_schedule


@pytest.mark.slow
def test_the_data_sets_name_is_appended_to_the_folders(command):
    command("ns_gan.py:ring", steps=10)
    assert pathlib.Path("runs/ns_gan_ring/checkpoints/10").is_dir()


@pytest.mark.slow
def test_the_same_command_again_says_finished_and_changes_nothing(command, capsys):
    command("wgan.py")
    before = snapshot(pathlib.Path("runs"))
    capsys.readouterr()
    command("wgan.py")
    assert "finished" in capsys.readouterr().out
    assert snapshot(pathlib.Path("runs")) == before


@pytest.mark.slow
def test_raised_steps_continue_the_run(command, records):
    command("wgan.py", "--workdir=a", steps=40)
    command("wgan.py", "--workdir=b", steps=60)
    command("wgan.py", "--workdir=a", steps=60)
    assert records("a/metrics.jsonl") == records("b/metrics.jsonl")


def snapshot(folder):
    return {path: (path.stat().st_mtime_ns, path.read_bytes()) for path in folder.rglob("*") if path.is_file()}


@pytest.mark.slow
@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"network__width": 16, "seed": 3}, ["seed (stored 0, given 3)", "network.width (stored 8, given 16)"]),
        ({"steps": 59}, ["config.steps=59", "is at step 60; give 60 or more"]),
    ],
)
def test_a_folder_of_another_configuration_is_refused_and_the_fields_are_named(command, capsys, fields, words):
    command("wgan.py")
    before = snapshot(pathlib.Path("runs"))
    capsys.readouterr()
    command("wgan.py", **fields, code=2)
    line = only_line(capsys)
    assert all(word in line for word in words)
    assert snapshot(pathlib.Path("runs")) == before


def only_line(capsys):
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == 1, lines
    return lines[0]


def test_a_folder_in_use_is_refused(command, capsys):
    from gan_jax.runs import workdir

    with workdir.claimed(pathlib.Path("run")):
        command("wgan.py", "--workdir=run", code=2)
    assert "in use" in only_line(capsys)


@pytest.mark.slow
def test_evaluate_writes_a_line_with_its_protocol(command, records, capsys):
    command("wgan.py", steps=20)
    command("wgan.py", "--mode=evaluate", "--num=100", steps=20)
    assert "frechet_distance" in capsys.readouterr().out
    (record,) = records("runs/wgan/evaluation.jsonl")
    protocol = record["protocol"]
    assert (record["step"], protocol["samples"], protocol["reals"], protocol["data"]) == (20, 100, 100, "digits")
    assert {"features", "covariance", "split", "generator", "classifier"} <= set(protocol)
    assert sum(record["class_shares"]) == pytest.approx(1)


@pytest.mark.slow
@pytest.mark.usefixtures("drawn_in_full")
def test_evaluate_measures_what_is_asked_for_and_draws_best_and_last(command, records, capsys):
    command("wgan.py", "--workdir=run", eval_every=20, eval_features="pixels")
    capsys.readouterr()
    asked = ["--metrics=frechet,prdc", "--features=pixels", "--num=64", "--reals=64"]
    command("wgan.py", "--workdir=run", "--mode=evaluate", *asked, eval_every=20, eval_features="pixels")
    *earlier, record = records("run/evaluation.jsonl")
    assert [*record] == ["step", "frechet_distance", "precision", "recall", "density", "coverage", "protocol"]
    assert record["frechet_distance"] == earlier[-1]["frechet_distance"]
    scores = {record["step"]: record["frechet_distance"] for record in earlier}
    best = min(scores, key=scores.get)
    assert f"best {scores[best]:.4g} at step {best}, last {scores[60]:.4g} at step 60" in capsys.readouterr().out
    assert width("run/evaluation.png") > 500


@pytest.mark.slow
def test_a_run_at_work_may_be_measured(command):
    """What its checkpoint writer is about to finish must not be cleaned away."""
    command("wgan.py", "--workdir=run", steps=20)
    unfinished = pathlib.Path("run/checkpoints/40.orbax-checkpoint-tmp")
    shutil.copytree("run/checkpoints/20", unfinished)
    trained.load("run")
    assert unfinished.is_dir()


@pytest.mark.slow
def test_best_is_the_largest_or_the_least_as_the_metric_has_it(command, records, capsys):
    printed = {}
    for steps in (20, 40):
        command("wgan.py", "--workdir=run", steps=steps)
        for metrics in ("prdc", "memorised", "classes"):
            capsys.readouterr()
            flags = ["--mode=evaluate", "--num=64", f"--metrics={metrics}", "--features=pixels"]
            command("wgan.py", "--workdir=run", *flags, steps=steps)
            printed[metrics] = capsys.readouterr().out
    for metrics, name, best in (("prdc", "precision", max), ("memorised", "memorised_share", min)):
        first, last = (record[name] for record in records("run/evaluation.jsonl") if name in record)
        assert f"{name}, by this protocol: best {best(first, last):.4g} at step " in printed[metrics]
    assert "best" not in printed["classes"]


@pytest.mark.slow
@pytest.mark.usefixtures("drawn_in_full")
def test_modes_covered_and_wasserstein_are_given_for_points(command, records):
    command("wgan_gp.py:ring", steps=20)
    command("wgan_gp.py:ring", "--mode=evaluate", steps=20)
    (record,) = records("runs/wgan_gp_ring/evaluation.jsonl")
    assert record["modes_total"] == 8
    assert record["wasserstein_1"] > 0
    assert width("runs/wgan_gp_ring/evaluation.png") > 500


@pytest.mark.slow
def test_the_best_checkpoint_outlives_the_last_three_and_a_resumed_run(command, records, monkeypatch):
    scores = {20: 3.0, 40: 1.0, 60: 2.0, 80: 5.0, 100: 4.0}

    def made_up(config, generator, state, how, **given):
        record = {"step": int(state.step), "frechet_distance": scores[int(state.step)], "protocol": {}}
        none = measuring.of_array(np.zeros((2, 8, 8, 1), np.uint8), {})
        return generators.Evaluation(record, none, none, {})

    fields = {"checkpoint_every": 10, "eval_every": 20}
    with monkeypatch.context() as patch:
        patch.setattr(generators, "evaluate", made_up)
        command("wgan_gp.py", "--workdir=run", steps=60, **fields)
        command("wgan_gp.py", "--workdir=run", steps=100, **fields)
    assert {int(path.name) for path in pathlib.Path("run/checkpoints").iterdir()} == {40, 80, 90, 100}
    command("wgan_gp.py", "--workdir=run", "--mode=evaluate", "--checkpoint=best", steps=100, **fields)
    assert records("run/evaluation.jsonl")[-1]["step"] == 40


@pytest.mark.slow
def test_more_samples_than_can_be_had_are_refused(command, capsys):
    command("wgan_gp.py:ring", "--workdir=run", steps=10, eval_every=5, eval_samples=10001, code=2)
    assert "at most 10000" in only_line(capsys)
    command("wgan_gp.py:ring", "--workdir=run", steps=10)
    for mode, num, words in (("evaluate", 10001, "at most 10000"), ("sample", 3 * 10**9, "num")):
        capsys.readouterr()
        command("wgan_gp.py:ring", "--workdir=run", f"--mode={mode}", f"--num={num}", steps=10, code=2)
        assert words in only_line(capsys)


@pytest.mark.slow
def test_two_samples_are_enough_for_an_evaluation(command, records):
    command("wgan.py", "--workdir=run", steps=10)
    command("wgan.py", "--workdir=run", "--mode=evaluate", "--num=2", steps=10)
    (record,) = records("run/evaluation.jsonl")
    assert record["protocol"]["samples"] == 2
    assert sum(record["class_shares"]) == pytest.approx(1)


@pytest.mark.slow
def test_wandb_may_be_turned_on_and_off_between_runs(command):
    command("wgan.py", "--workdir=run", steps=10)
    command("wgan.py", "--workdir=run", steps=20, wandb__mode="offline")
    assert pathlib.Path("run/wandb").is_dir()
    command("wgan.py", "--workdir=run", steps=30)


@pytest.mark.slow
def test_curves_that_a_kill_kept_from_being_drawn_are_drawn_by_the_next_run(command):
    command("wgan.py", "--workdir=run", steps=10)
    pathlib.Path("run/curves.png").unlink()
    command("wgan.py", "--workdir=run", steps=10)
    assert width("run/curves.png") > 500


@pytest.mark.slow
@pytest.mark.usefixtures("drawn_in_full")
@pytest.mark.parametrize("data", ["digits", "ring"])
def test_samples_are_in_the_npz_and_in_the_picture(command, data):
    command(f"wgan_gp.py:{data}", "--workdir=run", steps=20)
    command(f"wgan_gp.py:{data}", "--workdir=run", "--mode=sample", "--num=70", steps=20)
    arrays = sampled()
    name, shape, dtype = ("points", (70, 2), np.float32) if data == "ring" else ("images", (70, 8, 8, 1), np.uint8)
    assert set(arrays) == {name, "latents"}
    assert (arrays[name].shape, arrays[name].dtype, arrays["latents"].shape[0]) == (shape, dtype, 70)
    assert width("run/samples/samples.png") > 400


@pytest.mark.slow
def test_another_seed_gives_other_samples_and_the_same_seed_the_same(command):
    command("wgan_gp.py", "--workdir=run", steps=20)
    drawn = []
    for seed in (0, 0, 1):
        command("wgan_gp.py", "--workdir=run", "--mode=sample", f"--seed={seed}", "--overwrite", steps=20)
        drawn.append(sampled()["images"])
    assert np.array_equal(drawn[0], drawn[1])
    assert not np.array_equal(drawn[0], drawn[2])


@pytest.mark.slow
def test_interpolation_is_drawn(command):
    command("wgan_gp.py", "--workdir=run", steps=20)
    command("wgan_gp.py", "--workdir=run", "--mode=sample", "--interpolate", steps=20)
    assert width("run/samples/interpolation.png") > 400


def sampled():
    with np.load("run/samples/samples.npz", allow_pickle=False) as file:
        return dict(file)


def width(path):
    with Image.open(path) as image:
        return image.size[0]


@pytest.mark.slow
@pytest.mark.parametrize("network", ["dcgan", pytest.param("mlp", marks=pytest.mark.hours)])
def test_the_exported_generator_gives_the_samples_at_any_batch_size(command, network):
    fields = {"steps": 20, "network__name": network}
    command("wgan_gp.py", "--workdir=run", **fields)
    command("wgan_gp.py", "--workdir=run", "--mode=sample", "--num=9", **fields)
    command("wgan_gp.py", "--workdir=run", "--mode=export", **fields)
    exported = jax_export.deserialize(pathlib.Path("run/generator.jax_export").read_bytes())
    assert set(exported.platforms) == {"cpu", "cuda", "tpu"}
    arrays = sampled()
    for rows in (9, 1, 4):
        images = np.asarray(jax.jit(exported.call)(arrays["latents"][:rows]))
        expected = arrays["images"][:rows] / 127.5 - 1
        np.testing.assert_allclose(images, expected, atol=0.51 / 127.5)


@pytest.mark.slow
def test_tensorflow_is_never_imported(tmp_path):
    code = (
        "import sys; from gan_jax import main;"
        f"flags = ['--config={EXPERIMENTS / 'wgan.py'}', '--workdir={tmp_path / 'run'}', '--config.steps=2'];"
        "small = ['--config.network.width=8', '--config.network.depth=1', '--config.eval_samples=64'];"
        "measured = ['--config.eval_features=pixels', '--config.eval_metrics=frechet,prdc'];"
        "code = main.main(['gan_jax', *flags, *small, *measured]);"
        "sys.exit(code or 'tensorflow' in sys.modules or 'torch' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, timeout=120).returncode == 0


def compare(*arguments, code=0):
    assert main.main(["gan_jax", "--mode=compare", *arguments]) == code


@pytest.mark.slow
def test_compare_prints_tables_and_writes_a_page_and_a_csv_file(command, capsys):
    for seed in (0, 1):
        command("wgan.py:ring", f"--workdir=runs/{seed}", steps=20, eval_every=20, seed=seed)
    capsys.readouterr()
    compare("runs")
    out = capsys.readouterr().out
    assert "2 runs of 1 setting" in out
    values = [json.loads(pathlib.Path(f"runs/{i}/evaluation.jsonl").read_text())["wasserstein_1"] for i in (0, 1)]
    assert f"{np.mean(values):.4g} +- {np.std(values, ddof=1):.2g} (2)" in out
    assert pathlib.Path("runs/comparison.html").read_text().startswith("<!doctype html>")
    lines = pathlib.Path("runs/comparison.csv").read_text().splitlines()
    assert [line.split(",")[0] for line in lines] == ["run", "0", "1"]
    compare("runs/0", "runs/1", "--out=elsewhere/page.html", "--measure=wasserstein_1")
    assert pathlib.Path("elsewhere/page.csv").read_text().splitlines()[1:] == lines[1:]
