"""`train_step.py --gpu`: seconds for a generator step, by every contender that tells something on a GPU.

The cases go in the order in which they tell most, each with its share of the time; what does not begin in it is left
out, and said to be.
"""

import json
import subprocess
import sys
import time

from matplotlib.figure import Figure

from benchmarks.accelerator import run, stage
from benchmarks.train_step import CASES

ORDER = ("stylegan2_cifar", "resnet_wgan_gp", "dcgan_wgan_gp", "population", "seeds", "dcgan64_gan", "dcgan_wgan",
         "mlp512_wgan_gp", "mlp128_wgan_gp", "mlp64_wgan_gp")  # fmt: skip
IN_REHEARSAL = ("--small", "--rounds=1", "--seconds=0.01", "--cases", "dcgan_wgan_gp",
                "--contenders", "ours", "PyTorch, bfloat16", "ours, closed")  # fmt: skip


def main() -> None:
    """Writes speed.json after each case, and speed.png at the end."""
    given = stage.options(__doc__)
    raw = given.work / "train_step.json"
    raw.unlink(missing_ok=True)
    chosen = IN_REHEARSAL if given.rehearse else ("--rounds=5", "--seconds=0.3", "--cases", *ORDER)
    flags = [f"--limit={0.9 * given.seconds:.0f}", f"--json={raw}", *chosen]
    process = subprocess.Popen([sys.executable, str(run.ROOT / "benchmarks" / "train_step.py"), "--gpu", *flags])
    while process.poll() is None:
        time.sleep(1)
        if raw.is_file():
            stage.save(given, "speed", json.loads(raw.read_text()))
    if process.returncode:
        sys.exit(f"train_step.py ended with {process.returncode}")
    results = json.loads(raw.read_text())
    stage.save(given, "speed", results)
    draw(results["cases"], stage.place(given, "speed.png"))


def draw(cases: dict, path) -> None:
    """Steps a second of each contender, as bars, for each case."""
    figure = Figure(figsize=(12, 2.2 * len(cases)), layout="constrained")
    for i, (name, rows) in enumerate(cases.items()):
        axes = figure.add_subplot(len(cases), 1, i + 1)
        measured = {contender: 1 / row["median_s"] for contender, row in rows.items() if "error" not in row}
        bars = axes.barh(list(measured), list(measured.values()))
        axes.bar_label(bars, fmt="%.3g", padding=3)
        axes.invert_yaxis()
        axes.set_title(CASES[name].title, loc="left")
    axes.set_xlabel("generator steps a second; of a population, steps of all its members")
    figure.savefig(path, dpi=80)


if __name__ == "__main__":
    main()
