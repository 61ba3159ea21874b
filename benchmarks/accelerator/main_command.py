"""The README's command on this machine, as a user gives it, from outside.

For each run: seconds from the command to the first line of metrics.jsonl, generator steps a second from there on, and
what `--mode=evaluate` says.
"""

import json
import math
import pathlib
import shutil
import signal
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


MAIN = (sys.executable, "-m", "gan_jax.main")
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
    start = time.monotonic()
    ended, found = watched([*_main(command, workdir), *command.train, *more], workdir)
    if ended:
        raise SystemExit(f"{command.experiment}: the command ended with {ended}")
    return found | {"steps": last_step(workdir), "whole_s": time.monotonic() - start}


def watched(command: list[str], workdir: pathlib.Path, seconds: float = math.inf, lines: float = math.inf):
    """(exit code, {"first_line_s", "steps_per_s"}) of a command that trains.

    It is told to end after so many seconds, or new lines. Lines that were there before tell nothing of this command.
    """
    start, seen, step = time.monotonic(), [], last_step(workdir)
    process = subprocess.Popen(command)
    while process.poll() is None and time.monotonic() - start < seconds and len(seen) < lines:
        time.sleep(0.01)
        before, step = step, last_step(workdir)
        if step > before:
            seen.append((time.monotonic() - start, step))
    if process.poll() is None:
        process.send_signal(signal.SIGTERM)
    ended = process.wait()
    (first, first_step), (last, last_seen) = (seen[0], seen[-1]) if seen else [(None, 0)] * 2
    rate = (last_seen - first_step) / (last - first) if len(seen) > 1 else None
    return ended, {"first_line_s": first, "steps_per_s": rate}


def _main(command, workdir):
    file = f"--config=experiments/{command.experiment}"
    return [*MAIN, file, f"--workdir={workdir}"]


def last_step(workdir: pathlib.Path) -> int:
    """The step of the last whole line of metrics.jsonl, 0 for none."""
    path = workdir / "metrics.jsonl"
    lines = path.read_text().split("\n")[:-1] if path.is_file() else []
    return json.loads(lines[-1])["step"] if lines else 0


def evaluated(command: Command, workdir: pathlib.Path, more: tuple[str, ...] = ()) -> dict:
    """The numbers and the protocol of the run, as it has stored them."""
    start = time.monotonic()
    record = evaluation(workdir, [*command.evaluate, *more])
    return {"evaluation": record, "evaluate_s": time.monotonic() - start}


def evaluation(workdir: pathlib.Path, flags: list[str]) -> dict:
    """Has the run evaluated, and returns the line that this adds to evaluation.jsonl."""
    subprocess.run([*MAIN, f"--workdir={workdir}", "--mode=evaluate", *flags], check=True)
    return json.loads((workdir / "evaluation.jsonl").read_text().splitlines()[-1])


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
