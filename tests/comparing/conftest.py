"""Folders of runs as training leaves them, made up by the tests."""

import json
import pathlib

import pytest
from PIL import Image

CONFIG = {
    "seed": 0,
    "steps": 100,
    "batch_size": 64,
    "loss": "hinge",
    "penalty.name": "none",
    "data.name": "digits",
    "data.dir": "",
    "network.spectral_norm": False,
    "optimizer.generator_lr": 2e-4,
    "optimizer.critic_lr": 2e-4,
    "ema_decay": 0.999,
    "log_every": 50,
    "eval_every": 50,
    "wandb.mode": "disabled",
}
PROTOCOL = {"generator": "average (ema)", "data": "digits", "split": "train", "samples": 1000, "reals": 1000}


def write_lines(path, records):
    path.write_text("".join(json.dumps(record) + "\n" for record in records))


@pytest.fixture
def runs(tmp_path, monkeypatch):
    """An empty folder, in which the test is."""
    (tmp_path / "runs").mkdir()
    monkeypatch.chdir(tmp_path / "runs")
    return tmp_path / "runs"


@pytest.fixture
def make_run(runs):
    """make_run("a/000", last, loss="wasserstein"): a run that was evaluated at steps 50 and 100, as 2 * last and last.

    values: {step: number} instead; None for no evaluations. step: of the last checkpoint; frozen: (state, reason).
    """

    def make(name, last=None, values=None, protocol=None, step=None, frozen=None, measure="frechet_distance", **fields):
        folder = runs / name
        config = CONFIG | {field.replace("__", "."): value for field, value in fields.items()}
        step = config["steps"] if step is None else step
        (folder / "checkpoints" / str(step // 2)).mkdir(parents=True)
        (folder / "checkpoints" / str(step)).mkdir(exist_ok=True)
        (folder / "config.json").write_text(json.dumps(config))
        if last is not None:
            values = {50: 2 * last, 100: last}
        if values is not None:
            said = {"protocol": PROTOCOL | (protocol or {})}
            write_lines(folder / "evaluation.jsonl", [{"step": s, measure: v} | said for s, v in values.items()])
        write_lines(folder / "metrics.jsonl", [{"step": s, "critic_loss": -s / 10, "fps": 3} for s in (50, 100)])
        if frozen:
            record = {"step": step, "state": frozen[0], "reason": frozen[1]}
            (folder / "frozen.json").write_text(json.dumps(record))
        return folder

    return make


@pytest.fixture
def make_sweep(make_run, runs):
    """make_sweep("s", [({"loss": "hinge", "seed": 0}, 0.5), ({...}, None)]): None for members that have not begun."""

    def make(name, members, **fields):
        (runs / name).mkdir()
        (runs / name / "sweep.json").write_text(json.dumps({"members": [own for own, _ in members], "ways": {}}))
        for index, (own, last) in enumerate(members):
            if last is not None:
                given = {field.replace(".", "__"): value for field, value in own.items()}
                make_run(f"{name}/{index:03}", last, **fields | given)

    return make


@pytest.fixture
def make_pictures():
    """Grids of samples at these steps in a run's folder."""

    def make(folder, steps):
        (folder / "samples").mkdir()
        for step in steps:
            Image.new("RGB", (8, 8), (step % 256, 0, 0)).save(folder / "samples" / f"step_{step:07d}.png")

    return make


@pytest.fixture
def records():
    """The lines of a file, to be changed and written again."""

    def read_and_write(path: pathlib.Path, change):
        write_lines(path, change([json.loads(line) for line in path.read_text().splitlines()]))

    return read_and_write
