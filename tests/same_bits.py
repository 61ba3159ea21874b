"""Whether two commits train alike, to the last bit: the same commands by both, and their metrics.jsonl compared.

python tests/same_bits.py BASE [--head=COMMIT] [--steps=200] [--experiments wgan.py wgan_gp.py:ring ...]

For a change that is to change no number, before it is pushed; not collected by pytest, for it takes another commit.
Both run in work trees of their own, or HEAD where this file lies, with the Python that runs this, one after the other,
on one machine. A run of the older commit that was stopped half way is also taken to its end by the newer one. Exits
with 1 where any line differs, and says which.
"""

import argparse
import contextlib
import os
import pathlib
import subprocess
import sys
import tempfile

HERE = pathlib.Path(__file__).resolve().parents[1]
EXPERIMENTS = (
    "wgan.py", "wgan_gp.py", "wgan_gp.py:ring", "dcgan.py", "sn_gan.py", "r1_gan.py", "rp_gan.py", "projection_gan.py",
    "info_gan.py", "ac_gan.py", "conditional_gan.py", "dragan.py", "f_gan.py", "gan.py", "ls_gan.py", "ns_gan.py",
    "wgan_lp.py",
)  # fmt: skip
PERIODS = ("log_every=10", "sample_every=0", "checkpoint_every=100", "eval_every=0")


def run(tree, experiment, workdir, steps):
    """Trains in a process that imports the package of this tree alone."""
    flags = [f"--config=experiments/{experiment}", f"--workdir={workdir}", f"--config.steps={steps}"]
    periods = [f"--config.{period}" for period in PERIODS]
    environment = {**os.environ, "PYTHONPATH": str(tree), "JAX_PLATFORMS": "cpu"}
    command = [sys.executable, "-m", "gan_jax.main", *flags, *periods]
    done = subprocess.run(command, cwd=tree, env=environment, capture_output=True, text=True)
    if done.returncode:
        raise SystemExit(f"{tree}, {experiment}: {done.stderr.strip() or done.stdout.strip()}")


def lines(workdir):
    """Those of its metrics.jsonl, as bytes."""
    return (workdir / "metrics.jsonl").read_bytes().splitlines()


def differences(before, after):
    """What is said of two lists of lines."""
    if before == after:
        return ""
    pairs = zip(before, after, strict=False)
    first = next((i for i, (one, other) in enumerate(pairs) if one != other), min(len(before), len(after)))
    one, other = (lines[first].decode() if first < len(lines) else "none" for lines in (before, after))
    return f"line {first + 1} of {len(before)} and {len(after)}:\n  before {one}\n  after  {other}"


def compare(base, head, experiment, steps, folder):
    """What differs in the runs of both commits, and in one that the first began and the second ended."""
    name = experiment.replace(":", "_")
    before, after, both = (folder / kind / name for kind in ("before", "after", "both"))
    run(base, experiment, before, steps)
    run(head, experiment, after, steps)
    run(base, experiment, both, steps // 2)
    run(head, experiment, both, steps)
    alike = lines(before)
    return differences(alike, lines(after)), differences(alike, lines(both))


@contextlib.contextmanager
def tree_of(commit, folder):
    """A work tree of a commit; that in which this file lies where none is named."""
    if not commit:
        yield HERE
        return
    git = ["git", "-C", str(HERE), "worktree"]
    subprocess.run([*git, "add", "--detach", str(folder), commit], check=True, capture_output=True)
    try:
        yield folder
    finally:
        subprocess.run([*git, "remove", "--force", str(folder)], check=True)


def main():
    """Prints a line for each experiment."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("base", help="a commit")
    parser.add_argument("--head", default="", help="another; by default the work tree with this file")
    parser.add_argument("--steps", type=int, default=200)
    parser.add_argument("--experiments", nargs="+", default=EXPERIMENTS)
    given = parser.parse_args()
    is_same = True
    with tempfile.TemporaryDirectory() as folder:
        place = pathlib.Path(folder)
        with tree_of(given.base, place / "base") as base, tree_of(given.head, place / "head") as head:
            for experiment in given.experiments:
                of_one, of_both = compare(base, head, experiment, given.steps, place)
                is_same &= not (of_one or of_both)
                print(f"{experiment:24}{of_one or 'the same bits'}", flush=True)
                print(f"{'  begun before':24}{of_both or 'the same bits'}", flush=True)
    return 0 if is_same else 1


if __name__ == "__main__":
    sys.exit(main())
