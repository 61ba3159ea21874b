"""The README's command on this machine, as a user gives it, from outside.

For each run: seconds from the command to the first line of metrics.jsonl, generator steps a second from there on, and
what `--mode=evaluate` says.
"""

import json
import pathlib
import shutil
import subprocess
import sys
import time
from typing import NamedTuple

import numpy as np
from matplotlib.figure import Figure
from PIL import Image

from benchmarks.accelerator import run, stage
from benchmarks.train_step import machine


class Command(NamedTuple):
    """An experiment, the flags that it is trained with, and those that it is evaluated with."""

    experiment: str
    train: tuple[str, ...] = ()
    evaluate: tuple[str, ...] = ()
    needs: str = ""


PIXELS = ("--metrics=frechet", "--features=pixels")
COMMANDS = {
    "WGAN, digits": Command("wgan.py", evaluate=(*PIXELS, "--num=1797")),
    "WGAN-GP, ring of 8": Command("wgan_gp.py:ring", evaluate=("--num=2500",)),
    "WGAN-GP, Fashion-MNIST": Command(
        "wgan_gp.py:fashion_mnist", ("--config.steps=500",), (*PIXELS, "--num=1797"), needs="fashion_mnist"
    ),
}
SHORT = ("--config.steps=40", "--config.log_every=10", "--config.network.width=4", "--config.batch_size=8",
         "--config.eval_every=0")  # fmt: skip


def main() -> None:
    """Writes main_command.json and main_command.png, after each run."""
    given = stage.options(__doc__)
    results, pictures = {"machine": machine(), "runs": {}}, {}
    for title, command in COMMANDS.items():
        if command.needs and not run.is_there(given.work, command.needs):
            results["runs"][title] = {"left_out": f"{command.needs} is not at hand"}
            continue
        workdir = given.work / "main_command" / command.experiment.replace(":", "_")
        shutil.rmtree(workdir, ignore_errors=True)  # it is the first seconds that are measured
        data = (f"--config.data.dir={run.data_dir(given.work, command.needs)}",) if command.needs else ()
        found = trained(command, workdir, (*data, *(SHORT if given.rehearse else ())))
        results["runs"][title] = found
        stage.save(given, "main_command", results)
        results["runs"][title] = found | evaluated(command, workdir, ("--num=64",) if given.rehearse else ())
        stage.save(given, "main_command", results)
        pictures[title] = max((workdir / "samples").glob("step_*.png"))
        draw(pictures, stage.place(given, "main_command.png"))


def trained(command: Command, workdir: pathlib.Path, more: tuple[str, ...] = ()) -> dict:
    """{"first_line_s", "steps", "steps_per_s", "whole_s"}, by looking at metrics.jsonl as it grows."""
    start, seen = time.monotonic(), []
    process = subprocess.Popen([*_main(command, workdir), *command.train, *more])
    while process.poll() is None:
        time.sleep(0.01)
        step = last_step(workdir)
        if step and (not seen or step > seen[-1][1]):
            seen.append((time.monotonic() - start, step))
    if process.returncode:
        raise SystemExit(f"{command.experiment}: the command ended with {process.returncode}")
    (first, first_step), (last, last_seen) = seen[0], seen[-1]
    rate = (last_seen - first_step) / (last - first) if last > first else None
    whole = time.monotonic() - start
    return {"first_line_s": first, "steps": last_seen, "steps_per_s": rate, "whole_s": whole}


def _main(command, workdir):
    file = f"--config=experiments/{command.experiment}"
    return [sys.executable, "-m", "gan_jax.main", file, f"--workdir={workdir}"]


def last_step(workdir: pathlib.Path) -> int:
    """The step of the last whole line of metrics.jsonl, 0 for none."""
    path = workdir / "metrics.jsonl"
    lines = path.read_text().split("\n")[:-1] if path.is_file() else []
    return json.loads(lines[-1])["step"] if lines else 0


def evaluated(command: Command, workdir: pathlib.Path, more: tuple[str, ...] = ()) -> dict:
    """The numbers and the protocol of the run, as it has stored them."""
    start = time.monotonic()
    subprocess.run([*_main(command, workdir), "--mode=evaluate", *command.evaluate, *more], check=True)
    record = json.loads((workdir / "evaluation.jsonl").read_text().splitlines()[-1])
    return {"evaluation": record, "evaluate_s": time.monotonic() - start}


def draw(pictures: dict[str, pathlib.Path], path: pathlib.Path) -> None:
    """The last samples of each run, beside one another."""
    figure = Figure(figsize=(5 * len(pictures), 5), layout="constrained")
    for i, (title, file) in enumerate(pictures.items()):
        axes = figure.add_subplot(1, len(pictures), i + 1)
        axes.imshow(np.asarray(Image.open(file).convert("RGB")))
        axes.set_title(title)
        axes.axis("off")
    figure.savefig(path, dpi=80)


if __name__ == "__main__":
    main()
