"""Real processes, killed at any moment, on a full disk, on damaged files: the bits are those of a run left alone."""

import gc
import json
import os
import pathlib
import random
import shutil
import signal
import subprocess
import sys
import time

import jax
import numpy as np
import pytest

from gan_jax import main
from gan_jax.data import sources
from gan_jax.errors import UserError
from gan_jax.runs import checkpoint, loop, trained

EXPERIMENT = pathlib.Path(__file__).parents[1] / "experiments" / "wgan.py"
SMALL = {"steps": 160, "batch_size": 8, "n_critic": 1, "network.width": 8, "network.depth": 1, "network.latent_dim": 4,
         "log_every": 7, "sample_every": 60, "checkpoint_every": 20, "eval_every": 0}  # fmt: skip
EVALUATED = {"eval_every": 20, "eval_features": "pixels", "eval_metrics": "frechet", "eval_samples": 64}
SEED = 8
# A process that has all imported, and forks one for each command line: that takes no time, and JAX has not begun.
NURSERY = """
import json, os, sys, traceback
from gan_jax import main
for line in sys.stdin:
    argv, log = json.loads(line)
    if not (pid := os.fork()):
        file = os.open(log, os.O_CREAT | os.O_WRONLY | os.O_TRUNC)
        os.dup2(file, 1), os.dup2(file, 2)
        code = 1
        try:
            code = main.main(argv)
        except BaseException:
            traceback.print_exc()
        sys.stdout.flush(), sys.stderr.flush()
        os._exit(code)
    print(pid, flush=True)
    print(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]), flush=True)
"""


class Nursery:
    """Starts the command in processes of their own, one at a time."""

    def __init__(self, folder):
        self.log = folder / "log"
        own = {"GAN_JAX_CACHE": str(folder / "cache"), "PYTHONPATH": str(EXPERIMENT.parents[1])}
        pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
        self.process = subprocess.Popen([sys.executable, "-c", NURSERY], env=os.environ | own, cwd=folder, **pipes)

    def start(self, workdir, *flags, **fields):
        values = SMALL | {name.replace("__", "."): value for name, value in fields.items()}
        overrides = [f"--config.{name}={value}" for name, value in values.items()]
        argv = ["gan_jax", f"--config={EXPERIMENT}", f"--workdir={workdir}", *flags, *overrides]
        self.process.stdin.write(json.dumps([argv, str(self.log)]) + "\n")
        self.process.stdin.flush()
        return int(self.process.stdout.readline())

    def ended(self):
        return int(self.process.stdout.readline())

    def run(self, *arguments, **fields):
        self.start(*arguments, **fields)
        return self.ended()

    def lines(self):
        """What was said, but for how far the run is, and what its set is."""
        lines = self.log.read_text().splitlines()
        return [line for line in lines if not line.startswith("step ") and " images of " not in line]


@pytest.fixture(scope="module")
def nursery(tmp_path_factory):
    started = Nursery(tmp_path_factory.mktemp("nursery"))
    yield started
    started.process.stdin.close()
    assert started.process.wait(60) == 0
    started.process.stdout.close()


@pytest.fixture(scope="module")
def whole(nursery, tmp_path_factory):
    """The folder of a run that was left alone."""
    folder = tmp_path_factory.mktemp("whole") / "run"
    assert nursery.run(folder) == 0
    return folder


def saved(folder):
    """All arrays of the last checkpoint, and its step."""
    config = trained.stored_config(folder)
    shapes = loop.shapes_of_carry(config, sources.load("digits", "", 0, config.data.memory_mb))
    with checkpoint.open_checkpoints(folder, is_read_only=True) as manager:
        step = manager.latest_step()
        return step, checkpoint.restore(manager, step, state=shapes[0], sums=shapes[1])


def bits(tree):
    keys = jax.dtypes.prng_key
    leaves = [jax.random.key_data(x) if jax.dtypes.issubdtype(x.dtype, keys) else x for x in jax.tree.leaves(tree)]
    return [np.asarray(leaf).tobytes() for leaf in leaves]


def files(folder):
    """What lies in the folder, but for what orbax has in a checkpoint, which has other names each time."""
    paths = [path.relative_to(folder) for path in folder.rglob("*")]
    return sorted(str(path) for path in paths if path.parts[0] != "checkpoints" or len(path.parts) == 2)


def assert_same(folder, other, are_files_same=True, leftovers=frozenset()):
    """leftovers: what may lie in the first folder besides."""
    (step, items), (other_step, other_items) = saved(folder), saved(other)
    assert step == other_step
    assert bits(items) == bits(other_items)
    assert (folder / "metrics.jsonl").read_bytes() == (other / "metrics.jsonl").read_bytes()
    for picture in (folder / "samples").iterdir():
        assert picture.read_bytes() == (other / "samples" / picture.name).read_bytes()
    if are_files_same:
        assert [file for file in files(folder) if file not in leftovers] == files(other)


# ------------------------------------------------------------------------------------------ kill -9


def names(folder):
    return {path.name for path in (folder / "checkpoints").glob("*")}


def changed(folder):
    file = folder / "metrics.jsonl"
    return file.stat().st_mtime_ns if file.exists() else 0


def wait_until(happened, pid):
    """Waits for it, or for the end of the process; whether it is still there."""
    while not happened():
        time.sleep(0.001)
        if pathlib.Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z" or not alive(pid):
            return False
    return True


def alive(pid):
    return pathlib.Path(f"/proc/{pid}").exists()


def kill_somewhere(nursery, folder, rng, **fields):
    """Starts the run and kills it, mostly as a checkpoint is begun: (exit code, was one half written)."""
    before, lines = names(folder), changed(folder)
    pid = nursery.start(folder, **fields)
    try:
        if rng.random() < 0.6:
            count = rng.randint(1, 3)
            wait_until(lambda: len(names(folder) - before) >= count, pid)
            time.sleep(rng.uniform(0, 0.05))
        else:
            wait_until(lambda: changed(folder) != lines, pid)
            time.sleep(rng.uniform(0, 1.0))
        os.kill(pid, signal.SIGKILL)
    except (ProcessLookupError, FileNotFoundError):
        pass
    return nursery.ended(), any("tmp" in name for name in names(folder))


@pytest.mark.parametrize("kills", [3, pytest.param(200, marks=pytest.mark.hours)])
def test_killed_at_random_moments_a_run_gives_the_bits_of_one_left_alone(nursery, whole, tmp_path, kills):
    rng, start, done, saving, runs = random.Random(SEED), time.monotonic(), 0, 0, 0
    folder = tmp_path / "run"
    while done < kills:
        code, is_saving = kill_somewhere(nursery, folder, rng)
        assert code in (0, -signal.SIGKILL), nursery.lines()
        done, saving = done + (code != 0), saving + (code != 0 and is_saving)
        if code == 0 or done == kills:
            assert nursery.run(folder) == 0, nursery.lines()
            # A kill between the last checkpoint and the removal of the first leaves that.
            assert_same(folder, whole, leftovers={"checkpoints/100"})
            shutil.rmtree(folder)
            runs += 1
    print(f"{done} kills over {runs} runs, seed {SEED}, {saving} as a checkpoint was written,", end=" ")
    print(f"{time.monotonic() - start:.0f} s")


@pytest.mark.hours
def test_killed_at_random_moments_a_run_has_the_evaluations_of_one_left_alone(nursery, tmp_path):
    rng, done, others = random.Random(SEED), 0, tmp_path / "whole"
    assert nursery.run(others, **EVALUATED) == 0
    while done < 100:
        code, _ = kill_somewhere(nursery, tmp_path / "run", rng, **EVALUATED)
        assert code in (0, -signal.SIGKILL), nursery.lines()
        done += code != 0
        if code == 0:
            assert_same(tmp_path / "run", others, are_files_same=False)
            for name in ("evaluation.jsonl", *(f"checkpoints/{step}/evaluation.json" for step in names(others))):
                assert (tmp_path / "run" / name).read_bytes() == (others / name).read_bytes()
            shutil.rmtree(tmp_path / "run")


@pytest.mark.hours  # in one process, tests/runs/test_loop.py shows it every day
def test_a_run_stopped_by_sigterm_again_and_again_gives_the_same_bits(nursery, whole, tmp_path):
    folder, rng = tmp_path / "run", random.Random(SEED)
    codes = []
    while codes[-1:] != [0]:
        lines = changed(folder)
        pid = nursery.start(folder)
        if len(codes) < 2 and wait_until(lambda lines=lines: changed(folder) != lines, pid):
            time.sleep(rng.uniform(0, 0.3))
            os.kill(pid, signal.SIGTERM)
        codes.append(nursery.ended())
    assert {*codes} <= {0, 128 + signal.SIGTERM}
    assert_same(folder, whole, are_files_same=False)  # the steps at which it was stopped have checkpoints as well


# ------------------------------------------------------------------------------------------ two at a time


def test_a_second_process_is_refused_until_the_first_is_dead(nursery, whole, tmp_path, capsys):
    folder = tmp_path / "run"
    owner = nursery.start(folder)
    wait_until(lambda: any(name.isdigit() for name in names(folder)), owner)
    overrides = [f"--config.{name}={value}" for name, value in SMALL.items()]
    assert main.main(["gan_jax", f"--config={EXPERIMENT}", f"--workdir={folder}", *overrides]) == 2
    assert "in use by another run" in capsys.readouterr().err
    assert main.main(["gan_jax", f"--workdir={folder}", "--mode=evaluate", "--num=64"]) == 2
    assert "in use by another run" in capsys.readouterr().err
    assert main.main(["gan_jax", f"--workdir={folder}", "--mode=sample", "--num=4"]) == 0
    os.kill(owner, signal.SIGKILL)
    assert nursery.ended() in (0, -signal.SIGKILL)
    assert nursery.run(folder) == 0
    shutil.rmtree(folder / "samples" / "samples.npz", ignore_errors=True)
    assert_same(whole, folder, are_files_same=False)


# ------------------------------------------------------------------------------------------ a full disk


@pytest.fixture
def small_disk(tmp_path):
    """small_disk(kilobytes): a file system of that size; called again, it grows to that size."""
    place = tmp_path / "disk"
    place.mkdir()

    def mount(kilobytes, *options):
        command = ["mount", "-t", "tmpfs", "-o", ",".join([*options, f"size={kilobytes}k"]), "tmpfs", str(place)]
        if subprocess.run(command, capture_output=True).returncode:
            pytest.skip("only root may mount a small file system here")
        return place

    yield mount
    subprocess.run(["umount", str(place)], capture_output=True)


@pytest.mark.parametrize("kilobytes", [400, *(pytest.param(size, marks=pytest.mark.hours) for size in (100, 250))])
def test_a_run_on_a_full_disk_is_one_line_and_goes_on_when_there_is_room(nursery, whole, small_disk, kilobytes):
    """The first has no room for one checkpoint, the others for one or two."""
    folder = small_disk(kilobytes) / "run"
    assert nursery.run(folder) == 1, nursery.lines()
    (line,) = nursery.lines()
    assert "No space left on device" in line or "no room" in line
    assert "the same command" in line
    small_disk(64 * 1024, "remount")
    assert nursery.run(folder) == 0, nursery.lines()
    assert_same(folder, whole)


# ------------------------------------------------------------------------------------------ damaged checkpoints


@pytest.fixture(scope="module")
def evaluated(nursery, tmp_path_factory):
    """A run whose checkpoints hold evaluations too."""
    folder = tmp_path_factory.mktemp("evaluated") / "run"
    assert nursery.run(folder, steps=40, **EVALUATED) == 0
    return folder


def flipped(content, rng):
    place = rng.randrange(len(content))
    return content[:place] + bytes([content[place] ^ 1 << rng.randrange(8)]) + content[place + 1 :]


DAMAGES = {"a flipped bit": flipped, "cut": lambda content, rng: content[: len(content) // 2], "empty": lambda *_: b""}


@pytest.mark.slow
@pytest.mark.parametrize(
    ("damage", "times"), [("a flipped bit", 1), *(pytest.param(name, 10, marks=pytest.mark.hours) for name in DAMAGES)]
)
def test_damage_to_any_file_of_a_checkpoint_is_the_same_bits_or_the_checkpoint_before(
    evaluated, tmp_path, capsys, damage, times
):
    config = trained.stored_config(evaluated)
    carry = loop.shapes_of_carry(config, sources.load("digits", "", 0, config.data.memory_mb))
    expected, rng, set_aside, unharmed = bits(saved(evaluated)[1]), random.Random(SEED), [], set()
    newest = evaluated / "checkpoints" / "40"
    paths = [path.relative_to(evaluated) for path in sorted(newest.rglob("*")) if path.is_file()]
    if times == 1:  # of files whose names are drawn by chance, one in each folder; all files have their turn in hours
        paths = [*{path.parent if path.parent.name == "d" else path: path for path in paths}.values()]
    for path in paths * times:
        folder = tmp_path / "run"
        shutil.copytree(evaluated, folder)
        (folder / path).write_bytes(DAMAGES[damage]((evaluated / path).read_bytes(), rng))
        with checkpoint.open_checkpoints(folder) as manager:
            step, (state, sums) = checkpoint.restore_newest(manager, carry)
        lines = capsys.readouterr().err.splitlines()
        if step == 40:
            assert bits({"state": state, "sums": sums}) == expected
            assert lines == []
            unharmed.add(path.name)
        else:
            assert (step, int(state.step), len(lines)) == (20, 20, 1)
            assert "checkpoints/40 is damaged" in lines[0]
            assert names(folder) == {"20"}
            assert (folder / "damaged" / "40" / path.relative_to("checkpoints/40")).exists()
            set_aside.append(path)
        shutil.rmtree(folder)
    gc.collect()  # nothing is left of reads that failed: what they would raise as they go is an error in a test
    assert any("/d/" in str(path) for path in set_aside)
    assert {path.name for path in set_aside} >= {"metadata"}
    assert "evaluation.json" in unharmed


@pytest.mark.hours
def test_a_run_whose_newest_checkpoint_is_damaged_goes_on_from_the_one_before(nursery, whole, tmp_path, damage_arrays):
    """Twice: the second finds the name under which the first was set aside taken. A read-only mode moves nothing."""
    folder = tmp_path / "run"
    shutil.copytree(whole, folder)
    for target in ("160", "160_1"):
        damage_arrays(folder / "checkpoints" / "160")
        before = files(folder)
        if target == "160":
            assert nursery.run(folder, "--mode=sample") == 2
            (line,) = nursery.lines()
            assert "checkpoints/160 is damaged" in line
            assert "give checkpoint 140" in line
            assert nursery.run(folder, "--mode=sample", "--checkpoint=140") == 0
        assert nursery.run(folder) == 0, nursery.lines()
        (line, finished) = nursery.lines()
        assert line.startswith("gan_jax: warning: ")
        assert line.endswith(f"moved to {folder}/damaged/{target}")
        assert finished.startswith("finished")
        assert {*files(folder)} >= {*before}
        assert_same(whole, folder, are_files_same=False)


def test_a_run_without_an_undamaged_checkpoint_is_refused_and_left_as_it_is(nursery, whole, tmp_path, damage_arrays):
    folder = tmp_path / "run"
    shutil.copytree(whole, folder)
    for step in names(folder):
        damage_arrays(folder / "checkpoints" / step)
    before = files(folder)
    assert nursery.run(folder) == 2
    (line,) = nursery.lines()
    assert "no other checkpoint is left" in line
    assert "begin at step 0" in line
    assert files(folder) == before


def test_a_run_whose_evaluations_are_all_damaged_goes_on_and_makes_the_last_again(nursery, evaluated, tmp_path):
    folder, last = tmp_path / "run", pathlib.Path("checkpoints", "40", "evaluation.json")
    shutil.copytree(evaluated, folder)
    for step, content in zip(names(folder), ("{", "[" * 200_000), strict=True):
        (folder / "checkpoints" / step / "evaluation.json").write_text(content)
    assert nursery.run(folder, steps=60, **EVALUATED) == 0, nursery.lines()
    said = [line for line in nursery.lines() if "from step 40 on: steps 40 -> 60" not in line]
    assert [line.endswith("it counts as not evaluated") for line in said] == [True, True, False]
    assert names(folder) == {"20", "40", "60"}
    assert (folder / last).read_bytes() == (evaluated / last).read_bytes()
    lines, before = [(run / "evaluation.jsonl").read_text().splitlines() for run in (folder, evaluated)]
    assert lines[:2] == before
    assert [json.loads(line)["step"] for line in lines] == [20, 40, 60]


@pytest.mark.slow
def test_checkpoints_of_another_network_are_not_taken_for_damaged(whole, tmp_path):
    folder = tmp_path / "run"
    shutil.copytree(whole, folder)
    config = trained.stored_config(folder)
    config.network.width = 16
    carry = loop.shapes_of_carry(config, sources.load("digits", "", 0, config.data.memory_mb))
    with checkpoint.open_checkpoints(folder) as manager, pytest.raises(UserError, match="does not fit") as refused:
        checkpoint.restore_newest(manager, carry)
    assert "float32[8" in str(refused.value)
    assert files(folder) == files(whole)
