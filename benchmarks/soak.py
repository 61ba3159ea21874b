"""Whether anything grows in a long run: memory, open files, threads, and the time for a step.

    python benchmarks/soak.py [--steps N] [--data NAME] [--streamed]

Trains a small WGAN for N steps (100,000) by the command itself, with all that is periodic often: lines, pictures,
checkpoints, evaluations. Looks at the process from outside, and prints a row for every 5,000 steps. Memory is what lies
in pages of no file (RssAnon; on other systems than Linux, RSS), the median of looks half a second apart. The first row
is left out of the growth: there things are imported, compiled and filled for the first time. Ends with 1 where memory
grew by 1 % or more. MALLOC_MMAP_THRESHOLD_=131072 in the environment tells a leak from what glibc keeps in its arenas.
"""

import argparse
import json
import pathlib
import statistics
import subprocess
import sys
import tempfile
import time
from typing import NamedTuple

import psutil
from train_step import machine

ROOT = pathlib.Path(__file__).parents[1]
WINDOW = 5_000  # steps of a row
SECONDS = 0.5  # between two looks
FIELDS = {
    "batch_size": 16,
    "n_critic": 1,
    "network.width": 32,
    "network.depth": 2,
    "network.latent_dim": 8,
    "log_every": 100,
    "sample_every": 2_500,
    "checkpoint_every": 500,
    "eval_every": 2_500,
    "eval_samples": 200,
    "eval_features": "pixels",
}


class Look(NamedTuple):
    """The process at a moment: steps done, seconds since it was started, MB, open files, threads."""

    step: int
    seconds: float
    memory: float
    files: int
    threads: int


def main():
    """Prints the table, and returns the exit code."""
    options = _options()
    with tempfile.TemporaryDirectory() as folder:
        looks = soaked(options, pathlib.Path(folder) / "run")
    rows = [row for start in range(0, options.steps, WINDOW) if (row := _row(looks, start))]
    print(f"{machine()}\n\n| steps | memory, MB | open files | threads | ms a step |\n|---|---|---|---|---|")
    for start, memory, files, threads, milliseconds in rows:
        print(f"| {start:,} to {start + WINDOW:,} | {memory:.1f} | {files} | {threads} | {milliseconds:.3f} |")
    second, last = rows[1], rows[-1]
    growth = last[1] / second[1] - 1
    print(f"\nmemory grew by {100 * growth:.2f} % after the first {WINDOW:,} steps;", end=" ")
    print(f"files {second[2]} -> {last[2]}, threads {second[3]} -> {last[3]}, a step {last[4] / second[4]:.2f} times")
    return int(growth >= 0.01)


def _options():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--steps", type=int, default=100_000, help="default: 100,000; at least three rows")
    parser.add_argument("--data", default="digits", help="default: digits")
    parser.add_argument("--streamed", action="store_true", help="stream the set instead of keeping it on the device")
    options = parser.parse_args()
    if options.steps < 3 * WINDOW:
        parser.error(f"--steps={options.steps}: give at least {3 * WINDOW}")
    return options


def soaked(options, folder: pathlib.Path) -> list[Look]:
    """Looks at a run from its first line of metrics.jsonl to its end."""
    fields = FIELDS | {"steps": options.steps, "data.memory_mb": 0.0 if options.streamed else 1000.0}
    flags = [f"--config.{name}={value}" for name, value in fields.items()]
    experiment = f"--config={ROOT / 'experiments' / 'wgan.py'}:{options.data}"
    command = [sys.executable, "-m", "gan_jax.main", experiment, f"--workdir={folder}", *flags]
    looks: list[Look] = []
    with subprocess.Popen(command) as process:
        watched, start = psutil.Process(process.pid), time.monotonic()
        while process.poll() is None:
            if step := _last_step(folder / "metrics.jsonl"):
                looks += _look(watched, step, time.monotonic() - start)
            time.sleep(SECONDS)
    if process.returncode:
        raise SystemExit(f"the run ended with {process.returncode}")
    return looks


def _last_step(path):
    lines = path.read_bytes()[-2_000:].splitlines() if path.exists() else []
    return json.loads(lines[-1])["step"] if lines else 0


def _look(process, step, seconds):
    """A look, in a list; an empty one where the process has just ended."""
    try:
        with process.oneshot():
            pages = process.memory_info()
            memory = (pages.rss - getattr(pages, "shared", 0)) / 2**20  # a library's pages come and go by themselves
            return [Look(step, seconds, memory, process.num_fds(), process.num_threads())]
    except psutil.Error:
        return []


def _row(looks, start):
    """(first step, MB, files, threads, milliseconds for a step) of the looks from a step on; None of fewer than two."""
    some = [look for look in looks if start <= look.step < start + WINDOW]
    if len(some) < 2 or some[0].step == some[-1].step:
        return None
    milliseconds = 1e3 * (some[-1].seconds - some[0].seconds) / (some[-1].step - some[0].step)
    medians = [statistics.median(look[i] for look in some) for i in (2, 3, 4)]
    return start, medians[0], int(medians[1]), int(medians[2]), milliseconds


if __name__ == "__main__":
    sys.exit(main())
