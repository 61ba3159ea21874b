"""SNGAN's CNN on CIFAR-10 by the published recipe, for the seconds that there are, and its FID.

100,000 generator steps, batch 128, one critic update for each, Adam 2e-4 (0, 0.9) that falls to 0, hinge, flips, 256
fakes in an update of the generator (pytorch-gan-collections: FID 17.81, 50,000 fakes against 50,000 of train). The run
saves as it is told to end; the next command goes on with it, also on another machine whose parts hold the checkpoint
that this one brought home, in files of 15 MiB.
"""

import math
import pathlib
import shutil
import signal
import sys
import tarfile

from benchmarks.accelerator import main_command, pieces, run, stage
from benchmarks.train_step import machine
from gan_jax.files import atomic

STEPS, PUBLISHED = 100_000, {"fid": 17.81, "of": "SNGAN, CNN; w86763777/pytorch-gan-collections"}
FIELDS = ("network.name=sn_cnn", "network.width=64", "network.generator_width=64", "network.latent_dim=100",
          "batch_size=128", "n_critic=1")  # fmt: skip
SMALL = ("network.width=4", "network.generator_width=4", "batch_size=16", "eval_every=0", "log_every=10")
EVERY = ("log_every=1000", "sample_every=10000", "checkpoint_every=10000", "eval_every=0")
EVALUATION = 150.0  # seconds that it may take, much of it to read the images and to compile Inception
PIECE = 15 * 2**20


def main() -> None:
    """Writes recipe.json, the files of its checkpoint, and recipe.png."""
    given = stage.options(__doc__)
    workdir = given.work / "recipe"
    is_real = run.is_there(given.work, "cifar10") or not given.rehearse
    flags = [f"--config.{field}" for field in (*FIELDS, *(SMALL if given.rehearse else EVERY))]
    folder = run.data_dir(given.work, "cifar10")
    flags += [f"--config.data.dir={folder}"] if is_real else ["--config.data.image_size=32"]
    name = "sn_gan_cifar10.py" if is_real else "sn_gan_cifar10.py:digits"
    command = [sys.executable, "-m", "gan_jax.main", f"--config=experiments/{name}", f"--workdir={workdir}"]
    before = run.read_json(given.work / "results" / "recipe.json").get("results", {})
    results = before | {"machine": machine(), "published": PUBLISHED, "fields": FIELDS, "steps": STEPS}
    stage.save(given, "recipe", results, "unfinished")
    results |= trained([*command, *flags], workdir, given.seconds - EVALUATION, given.rehearse)
    stage.save(given, "recipe", results, "unfinished")
    if not results["step"]:
        return
    pack(workdir, given.work / "results")
    results["evaluation"] = evaluated(given, workdir)
    ended = "done" if results["step"] >= STEPS else "unfinished"
    stage.save(given, "recipe", results, ended)
    shutil.copyfile(workdir / "evaluation.png", stage.place(given, "recipe.png"))  # samples above their nearest reals


def trained(command: list[str], workdir: pathlib.Path, seconds: float, is_rehearsal: bool) -> dict:
    """{"step", "steps_per_s", "first_line_s"}: trains until the time is up, and has it save.

    A rehearsal has seen enough with the first line. Step 0: the time did not suffice to begin.
    """
    enough = 1 if is_rehearsal else math.inf
    ended, found = main_command.watched(command, workdir, seconds, enough)
    if ended not in (0, 128 + signal.SIGTERM, -signal.SIGTERM):
        sys.exit(f"the command ended with {ended}")
    return found | {"step": last_saved(workdir)}


def last_saved(workdir: pathlib.Path) -> int:
    """The step of the last checkpoint, 0 for none."""
    return max((int(path.name) for path in workdir.glob("checkpoints/*") if path.name.isdigit()), default=0)


def evaluated(given, workdir: pathlib.Path) -> dict:
    """The last line of evaluation.jsonl, of as many fakes and reals as the published number has."""
    fid = ["--metrics=fid", "--num=50000", "--reals=50000", "--split=train"]
    short = ["--metrics=frechet", "--features=pixels", "--num=64"]
    return main_command.evaluation(workdir, short if given.rehearse else fid)


def pack(workdir: pathlib.Path, folder: pathlib.Path) -> None:
    """The last checkpoint and the records beside it, as a tar file that is cut: checkpoint-01-of-09-SHA256.part, ..."""
    for old in folder.glob("checkpoint-*.part"):
        old.unlink()
    whole = workdir.with_suffix(".tar")
    kept = [workdir / "checkpoints" / str(last_saved(workdir)), *workdir.glob("*.json*"), *workdir.glob("samples")]
    with tarfile.open(whole, "w") as archive:
        for path in kept:
            archive.add(path, pathlib.Path(workdir.name) / path.relative_to(workdir))
    for name, content in pieces.cut(whole, PIECE):
        atomic.write(folder / f"checkpoint-{name}.part", content)
    whole.unlink()


if __name__ == "__main__":
    main()
