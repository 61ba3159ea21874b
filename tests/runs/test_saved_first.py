"""A checkpoint is written before its evaluation begins: what an evaluation runs into costs no step."""

import json
import pathlib

import grain.python as grain
import jax
import numpy as np
import pytest
from PIL import Image

from gan_jax import main
from gan_jax.errors import DivergedError, UserError
from gan_jax.runs import loop, outputs, scores, trained, workdir

RING = "wgan_gp.py:ring"
FIELDS = {"eval_every": 20, "eval_metrics": "frechet"}


class Killed(BaseException):
    pass


def checkpoints(folder):
    return sorted(int(path.name) for path in pathlib.Path(folder, "checkpoints").iterdir())


def evaluations(folder):
    """Beside the checkpoints."""
    return {path.parent.name: path.read_bytes() for path in pathlib.Path(folder).glob("checkpoints/*/evaluation.json")}


def assert_same_evaluations(folder, other):
    a, b = pathlib.Path(folder), pathlib.Path(other)
    assert (a / "evaluation.jsonl").read_bytes() == (b / "evaluation.jsonl").read_bytes()
    assert evaluations(a) == evaluations(b) != {}
    assert checkpoints(a) == checkpoints(b)


# ------------------------------------------------------------------------------------------ killed in between


@pytest.mark.slow
@pytest.mark.parametrize("step", [pytest.param(40, marks=pytest.mark.hours), 60])
def test_a_run_killed_before_an_evaluation_makes_it_first(command, same_run, at_evaluation, capsys, step):
    """60 is the last step: no training is left, and the run not finished."""
    command(RING, "--workdir=whole", **FIELDS)
    with at_evaluation(step, Killed()), pytest.raises(Killed):
        command(RING, "--workdir=killed", **FIELDS)
    assert workdir.latest_step(pathlib.Path("killed")) == step
    assert len(evaluations("killed")) == step // 20 - 1
    command(RING, "--workdir=killed", **FIELDS)
    same_run("whole", "killed")
    assert_same_evaluations("killed", "whole")
    command(RING, "--workdir=killed", **FIELDS)
    assert "finished: killed is at step 60 of 60" in capsys.readouterr().out
    assert_same_evaluations("killed", "whole")


@pytest.mark.slow
def test_a_run_killed_between_a_line_and_its_file_writes_no_second_line(command, monkeypatch):
    def die(*_):
        raise Killed

    command(RING, "--workdir=whole", **FIELDS)
    with monkeypatch.context() as patch:
        patch.setattr(scores, "write", die)
        with pytest.raises(Killed):
            command(RING, "--workdir=killed", **FIELDS)
    assert len(pathlib.Path("killed/evaluation.jsonl").read_text().splitlines()) == 1
    command(RING, "--workdir=killed", **FIELDS)
    assert_same_evaluations("killed", "whole")


@pytest.mark.slow
def test_a_member_killed_before_its_last_evaluation_is_not_over(command, at_evaluation):
    pathlib.Path("seeds.py").write_text("def get_sweep():\n    return [{'seed': 0}, {'seed': 1}]\n")
    command(RING, "--sweep=seeds.py", "--workdir=whole", **FIELDS)
    with at_evaluation(60, Killed()), pytest.raises(Killed):
        command(RING, "--sweep=seeds.py", "--workdir=killed", **FIELDS)
    command(RING, "--sweep=seeds.py", "--workdir=killed", **FIELDS)
    for member in ("000", "001"):
        assert_same_evaluations(f"killed/{member}", f"whole/{member}")


@pytest.mark.slow
def test_a_finished_run_stays_as_it_is(command):
    command(RING, "--workdir=run", **FIELDS)
    before = {path: path.stat().st_mtime_ns for path in pathlib.Path("run").rglob("*")}
    command(RING, "--workdir=run", **FIELDS)
    assert {path: path.stat().st_mtime_ns for path in pathlib.Path("run").rglob("*")} == before


# ------------------------------------------------------------------------------------------ failed


FAILURES = {
    "a folder is gone": (UserError("data/test is not there"), "data/test is not there"),
    "a metric": (ValueError("a class has\none sample"), "ValueError: a class has one sample"),
    "a disk": (OSError(5, "Input/output error", "a.png"), "OSError: [Errno 5] Input/output error: 'a.png'"),
    "no memory": (MemoryError(), "out of memory"),
    "no memory on the device": (jax.errors.JaxRuntimeError("RESOURCE_EXHAUSTED: 1 TB"), "out of memory"),
}


@pytest.mark.slow
@pytest.mark.parametrize("failure", FAILURES)
def test_an_evaluation_that_fails_is_said_recorded_and_skipped(command, records, at_evaluation, capsys, failure):
    error, reason = FAILURES[failure]
    with at_evaluation(40, error):
        command(RING, "--workdir=run", **FIELDS)
    (line,) = [line for line in capsys.readouterr().err.splitlines() if line.startswith("gan_jax:")]
    assert line == (
        f"gan_jax: warning: run: the evaluation of step 40 failed ({reason}): it is left out, and the run goes on"
    )
    first, failed, last = records("run/evaluation.jsonl")
    assert failed == {"step": 40, "failed": reason}
    assert (first["step"], last["step"]) == (20, 60)
    assert checkpoints("run") == [20, 40, 60]
    best = 20 if first["frechet_distance"] < last["frechet_distance"] else 60
    assert int(trained.load("run", "best").state.step) == best


@pytest.mark.slow
def test_all_that_reads_evaluations_stands_one_that_failed(command, records, at_evaluation, capsys):
    """Even where it is the last one; measured by hand, it has numbers after all."""
    with at_evaluation(60, ValueError("no")):
        command(RING, "--workdir=run", **FIELDS)
    assert main.main(["gan_jax", "--mode=compare", "run"]) == 0
    assert "1 finished, but were last evaluated before their last step (run)" in capsys.readouterr().out
    command(RING, "--workdir=run", **FIELDS)
    assert "finished: run is at step 60 of 60" in capsys.readouterr().out
    command(RING, "--workdir=run", "--mode=evaluate", "--num=64", **FIELDS)
    *_, failed, by_hand = records("run/evaluation.jsonl")
    assert failed == {"step": 60, "failed": "ValueError: no"}
    assert f"last {by_hand['frechet_distance']:.4g} at step 60" in capsys.readouterr().out


@pytest.mark.slow
def test_a_run_killed_after_a_failed_evaluation_does_not_try_it_again(command, records, at_evaluation, monkeypatch):
    with at_evaluation(40, ValueError("no")), at_evaluation(60, Killed()), pytest.raises(Killed):
        command(RING, "--workdir=run", **FIELDS)
    with at_evaluation(40, Killed()):
        command(RING, "--workdir=run", **FIELDS)
    assert ["failed" in record for record in records("run/evaluation.jsonl")] == [False, True, False]


@pytest.mark.slow
def test_a_generator_whose_samples_are_not_finite_has_no_checkpoint(command, at_evaluation, capsys):
    """Its parameters are; the last good checkpoint is the one before, and a kill in between changes nothing."""
    error = DivergedError("the samples are no longer finite")
    with at_evaluation(40, error):
        command(RING, "--workdir=run", **FIELDS, code=3)
    (line,) = [line for line in capsys.readouterr().err.splitlines() if line.startswith("gan_jax:")]
    assert "diverged: the samples are no longer finite" in line
    assert line.endswith("run/checkpoints/20")
    with at_evaluation(40, Killed()), pytest.raises(Killed):
        command(RING, "--workdir=killed", **FIELDS)
    with at_evaluation(40, error):
        command(RING, "--workdir=killed", **FIELDS, code=3)
    for folder in ("run", "killed"):
        assert checkpoints(folder) == [20]
        assert outputs.frozen(pathlib.Path(folder)) == {"step": 40, "state": "diverged", "reason": str(error)}


@pytest.mark.slow
def test_all_members_are_saved_before_the_first_is_evaluated(command, at_evaluation):
    pathlib.Path("seeds.py").write_text("def get_sweep():\n    return [{'seed': 0}, {'seed': 1}]\n")
    with at_evaluation(20, Killed()), pytest.raises(Killed):
        command(RING, "--sweep=seeds.py", "--workdir=s", **FIELDS)
    assert [workdir.latest_step(pathlib.Path("s", member)) for member in ("000", "001")] == [20, 20]


# ------------------------------------------------------------------------------------------ a set that breaks


SIZE, COUNT, BROKEN = 8, 48, 21
STREAMED = {"data__name": "folder", "data__dir": "images", "data__memory_mb": 0, "checkpoint_every": 1000}


@pytest.fixture
def images(command):
    """A folder `images` of noise in the current folder."""
    pathlib.Path("images").mkdir()
    for i, pixels in enumerate(np.random.default_rng(0).integers(0, 256, (COUNT, SIZE, SIZE, 3), np.uint8)):
        Image.fromarray(pixels).save(f"images/{i:03}.png")
    return [pathlib.Path(f"images/{i:03}.png") for i in range(COUNT)]


def cut(path):
    content = path.read_bytes()
    path.write_bytes(content[: len(content) // 2])
    return content


def step_of(place, batch, seed=0):
    """The step whose minibatches have the image in them, counted from 0."""
    rows = grain.MapDataset.range(COUNT).shuffle(seed=seed).repeat()
    return next(i for i in range(COUNT) if rows[i] == place) // batch


@pytest.mark.slow
@pytest.mark.parametrize("is_swept", [False, pytest.param(True, marks=pytest.mark.hours)])
def test_a_broken_image_in_a_stream_ends_a_run_saved_at_the_step_before(
    command, images, same_run, capsys, monkeypatch, is_swept
):
    """With blocks of one step each. Mended, the same command makes the bits of a run that never met it."""
    monkeypatch.setattr(loop, "BLOCK_SECONDS", 0.0)
    pathlib.Path("seeds.py").write_text("def get_sweep():\n    return [{'seed': 0}, {'seed': 1}]\n")
    flags, members = (["--sweep=seeds.py"], ["000", "001"]) if is_swept else ([], ["."])
    fields = STREAMED | {"batch_size": 4, "n_critic": 1, "steps": 30}
    command("wgan_gp.py", "--workdir=whole", *flags, **fields)
    content = cut(images[BROKEN])
    capsys.readouterr()
    command("wgan_gp.py", "--workdir=broken", *flags, **fields, code=2)
    (line,) = [line for line in capsys.readouterr().err.splitlines() if line.startswith("gan_jax:")]
    assert str(images[BROKEN]) in line
    assert line.endswith("; all steps are saved, and once that is mended the same command resumes")
    expected = min(step_of(BROKEN, 4, seed) for seed in range(len(members)))
    for member in members:
        assert checkpoints(f"broken/{member}") == [expected]
    assert 0 < expected < 12
    command("wgan_gp.py", "--workdir=broken", *flags, **fields, code=2)
    images[BROKEN].write_bytes(content)
    command("wgan_gp.py", "--workdir=broken", *flags, **fields)
    for member in members:
        same_run(f"whole/{member}", f"broken/{member}")


@pytest.mark.slow
def test_a_set_that_breaks_while_a_run_trains_costs_it_nothing(command, images, records, capsys, monkeypatch):
    """Training has it in memory, and so have evaluations, whose reals are read once."""

    def save_and_break(*arguments):
        if arguments[0].step == 20:
            cut(images[BROKEN])
        save(*arguments)

    save = outputs.save
    monkeypatch.setattr(outputs, "save", save_and_break)
    fields = STREAMED | {"data__memory_mb": 100, "eval_every": 10, "steps": 40, "eval_samples": 48}
    command("wgan_gp.py", "--workdir=run", eval_metrics="frechet", eval_features="pixels", **fields)
    assert "the evaluation of step" not in capsys.readouterr().err
    found = records("run/evaluation.jsonl")
    assert [(record["step"], "frechet_distance" in record) for record in found] == [(i, True) for i in (10, 20, 30, 40)]
    assert {10, 20, 30, 40} >= {*checkpoints("run")} >= {20, 30, 40}
    assert json.loads(pathlib.Path("run/config.json").read_text())["steps"] == 40


@pytest.mark.slow
def test_a_finished_run_is_not_checked_against_reals_that_it_no_longer_needs(command, monkeypatch, capsys):
    """One with more steps to make is."""

    def refuse(*_):
        raise UserError("reals were read")

    command(RING, "--workdir=run", steps=20, **FIELDS)
    monkeypatch.setattr(loop.generators, "check", refuse)
    command(RING, "--workdir=run", steps=20, **FIELDS)
    assert "finished" in capsys.readouterr().out
    command(RING, "--workdir=run", steps=30, code=2, **FIELDS)
