"""Prepares mnist, fashion_mnist or cifar10 for TFDS without TensorFlow: python -m gan_jax.data.prepare NAME.

The result is what TFDS itself would write as ArrayRecord, and `tfds.data_source(NAME)` reads it. Stock TFDS needs
TensorFlow to prepare any set (tensorflow/datasets#11058): to read the originals and to encode PNGs. So its builders are
subclassed here, to read with NumPy and to hand on PIL images, which TFDS encodes with PIL.
"""

import argparse
import contextlib
import gzip
import hashlib
import io
import logging
import os
import pathlib
import sys
import tarfile
import zlib
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import tensorflow_datasets as tfds
from PIL import Image
from tensorflow_datasets.core.download import downloader
from tensorflow_datasets.image_classification import cifar, mnist

from gan_jax.errors import UserError, shown
from gan_jax.files import names, quiet
from gan_jax.reports import progress

Read = Callable[[str], bytes]  # name of an original file -> its content

_CIFAR10_URL = "https://www.cs.toronto.edu/~kriz/cifar-10-binary.tar.gz"
_CIFAR10_TAR = "cifar-10-binary.tar.gz"
LARGEST = 2 * 10**8  # bytes of an original, and of what cifar10's archive holds
_CIFAR10_FOLDER = "cifar-10-batches-bin"
_CIFAR10_CLASSES = ["airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck"]

# Digests of the published files: sha256 as TFDS registers them (url_checksums/), md5 of what cifar10's archive holds.
CHECKSUMS = {
    "mnist": {
        "train-images-idx3-ubyte.gz": "440fcabf73cc546fa21475e81ea370265605f56be210a4024d2ca8f203523609",
        "train-labels-idx1-ubyte.gz": "3552534a0a558bbed6aed32b30c495cca23d567ec52cac8be1a0730e8010255c",
        "t10k-images-idx3-ubyte.gz": "8d422c7b0a1c1c79245a5bcf07fe86e33eeafee792b84584aec276f5a2dbc4e6",
        "t10k-labels-idx1-ubyte.gz": "f7ae60f92e00ec6debd23a6088c31dbd2371eca3ffa0defaefb259924204aec6",
    },
    "fashion_mnist": {
        "train-images-idx3-ubyte.gz": "3aede38d61863908ad78613f6a32ed271626dd12800ba2636569512369268a84",
        "train-labels-idx1-ubyte.gz": "a04f17134ac03560a47e3764e11b92fc97de4d1bfaf8ba1a3aa29af54cc90845",
        "t10k-images-idx3-ubyte.gz": "346e55b948d973a97e58d2351dde16a484bd415d4595297633bb08f03db6a073",
        "t10k-labels-idx1-ubyte.gz": "67da17c76eaffca5446c3361aaab5c3cd6d1c2608764d35dfb1850b086bf8dd5",
    },
    "cifar10": {
        "data_batch_1.bin": "5dd7e06a14cb22eb9f671a540d1b7c25",
        "data_batch_2.bin": "5ea93a67294ea407fff1d09f752e9692",
        "data_batch_3.bin": "942cd6a4bcdd0dd3c604fbe906cb4421",
        "data_batch_4.bin": "ae636b3ba5c66a11e91e8cb52e771fcb",
        "data_batch_5.bin": "53f37980c15c3d472c316c40844f3f0d",
        "test_batch.bin": "803d5f7f4d78ea53de84dbe85f74fb6d",
    },
}


def prepare(name: str, originals: str = "", folder: str = "") -> str:
    """Prepares the set `name` in TFDS's folder (default: TFDS's own) and returns a line that says where it lies.

    originals: a folder that holds the published files, all of which are compared with their checksums before anything
    is written; "" downloads them. Nothing counts as prepared before it is complete: TFDS renames the finished folder.
    Raises UserError for an unknown name, a file that is missing or not the published one, or a failed download.
    """
    if name not in BUILDERS:
        raise UserError(f"cannot prepare {name!r}: choose from {', '.join(BUILDERS)} (other sets: tfds build)")
    names.check_data_dir(folder, "--dir")
    try:
        with quiet.absl_errors_only():
            builder = BUILDERS[name](data_dir=os.path.expanduser(folder) or None, file_format="array_record")
    except ValueError as error:  # of a set that stock TFDS has prepared as TFRecord
        raise UserError(
            f"{folder or 'TFDS'} holds {name} in another format than array_record: choose another --dir"
        ) from error
    if builder.is_prepared():
        return f"{name} is prepared already, in {builder.data_dir}"
    builder.read_original = find_originals(name, originals) if originals else None
    config = tfds.download.DownloadConfig(force_checksums_validation=True)
    try:
        with contextlib.redirect_stdout(io.StringIO()), _progress(name):
            builder.download_and_prepare(download_config=config)
    except OSError as error:
        raise UserError(f"cannot write {name} to {builder.data_dir} ({error}): choose another --dir") from error
    return f"{name} is prepared in {builder.data_dir}"


@contextlib.contextmanager
def _progress(name):
    """On a terminal, the bars of TFDS; in a log file they would stay, so there are lines."""
    if progress.is_terminal():
        yield
        return
    tfds.display_progress_bar(False)
    try:
        with progress.clock(f"preparing {name}"):
            yield
    finally:
        tfds.display_progress_bar(True)


def find_originals(name: str, folder: str) -> Read:
    """How to read the originals of `name` below `folder`, all found and compared with their checksums.

    They lie in `folder` or in folder/name; those of cifar10 there, or in cifar-10-batches-bin or the archive as
    published. Raises UserError with the first file that is missing or differs.
    """
    root = pathlib.Path(os.path.expanduser(folder))
    places = [root / name, root]
    if name == "cifar10":
        places = [inner for place in places for inner in (place / _CIFAR10_FOLDER, place)]
        for archive in (place / _CIFAR10_TAR for place in places):
            if archive.is_file():
                return _checked(name, _untarred(_content(archive), str(archive)), str(archive))
    files = CHECKSUMS[name]
    found = max(places, key=lambda place: sum((place / file).is_file() for file in files))  # the first of equals
    for file in files:
        if not (found / file).is_file():
            raise UserError(f"no {file} in {found}: all of {', '.join(files)} belong in {root} or {root / name}")
    return _checked(name, lambda file: _content(found / file), str(found))


def _content(path: pathlib.Path) -> bytes:
    if path.stat().st_size > LARGEST:
        raise UserError(f"{path} has more than {LARGEST:,} bytes, so it is not the published file: fetch it anew")
    return path.read_bytes()


def _checked(name: str, read: Read, where: str) -> Read:
    """The same reader, once every file that it reads has been compared."""
    for file, digest in CHECKSUMS[name].items():
        kind = {32: "md5", 64: "sha256"}[len(digest)]
        if hashlib.new(kind, read(file)).hexdigest() != digest:
            raise UserError(
                f"{file} in {where} is not the published file of {name} (its {kind} differs): fetch it anew"
            )
    return read


def _untarred(content: bytes, where: str) -> Read:
    """The files of cifar10 out of its archive."""
    try:
        with gzip.open(io.BytesIO(content)) as packed:
            unpacked = packed.read(LARGEST + 1)
        if len(unpacked) > LARGEST:
            raise tarfile.TarError(f"more than {LARGEST:,} bytes when unpacked")
        with tarfile.open(fileobj=io.BytesIO(unpacked), mode="r:") as archive:
            contents = {file: _member(archive, f"{_CIFAR10_FOLDER}/{file}") for file in CHECKSUMS["cifar10"]}
    except (tarfile.TarError, KeyError, EOFError, OSError, zlib.error) as error:
        raise UserError(f"{where} is not the published archive ({error}): fetch it anew") from error
    return contents.__getitem__


def _member(archive: tarfile.TarFile, path: str) -> bytes:
    member = archive.getmember(path)
    file = archive.extractfile(member) if member.isreg() else None  # of a link it would read what that leads to
    return file.read() if file else b""


def _downloaded(name: str, manager: tfds.download.DownloadManager, urls: dict[str, str]) -> Read:
    """TFDS's own download, with the checksums that it registers."""
    downloader.MAX_RETRIES = 5  # its ten leave a machine without network waiting for minutes
    logging.getLogger("urllib3").setLevel(logging.ERROR)  # each of them would print a warning
    try:
        paths = manager.download(urls)
    except Exception as error:  # those of requests, urllib3 and TFDS alike
        raise UserError(
            f"could not download {name} from {os.path.dirname(next(iter(urls.values())))} ({type(error).__name__}): "
            "fetch its files in another way and name their folder with --originals=FOLDER"
        ) from error
    return lambda file: paths[file].read_bytes()


# ------------------------------------------------------------------------------- the three builders


class MNIST(mnist.MNIST, skip_registration=True):  # type: ignore[call-arg]
    """The stock builder's mnist, read without TensorFlow."""

    read_original: Read | None = None  # None: download

    def _split_generators(self, dl_manager):
        urls = {file: self.URL + file for file in CHECKSUMS[self.name]}
        read = self.read_original or _downloaded(self.name, dl_manager, urls)
        return {"train": _idx_examples(read, "train"), "test": _idx_examples(read, "t10k")}


class FashionMNIST(MNIST, mnist.FashionMNIST, skip_registration=True):  # type: ignore[call-arg]
    """The stock builder's fashion_mnist, read without TensorFlow."""


class Cifar10(cifar.Cifar10, skip_registration=True):  # type: ignore[call-arg]
    """The stock builder's cifar10, read without TensorFlow."""

    read_original: Read | None = None  # None: download

    def _split_generators(self, dl_manager):
        self.info.features["label"].names = _CIFAR10_CLASSES
        read = self.read_original
        if read is None:
            archive = _downloaded(self.name, dl_manager, {_CIFAR10_TAR: _CIFAR10_URL})(_CIFAR10_TAR)
            read = _untarred(archive, _CIFAR10_URL)
        train = [file for file in CHECKSUMS[self.name] if file.startswith("data")]
        return {
            "train": _cifar_examples(read, train, "train"),
            "test": _cifar_examples(read, ["test_batch.bin"], "test"),
        }


BUILDERS: dict[str, Any] = {"mnist": MNIST, "fashion_mnist": FashionMNIST, "cifar10": Cifar10}


def _idx_examples(read: Read, part: str) -> Iterator[tuple[int, dict]]:
    """IDX: a header of 16 bytes, then 28x28 bytes an image; a header of 8 bytes, then one byte a label."""
    images = np.frombuffer(gzip.decompress(read(f"{part}-images-idx3-ubyte.gz"))[16:], np.uint8).reshape(-1, 28, 28)
    labels = np.frombuffer(gzip.decompress(read(f"{part}-labels-idx1-ubyte.gz"))[8:], np.uint8)
    for i, (image, label) in enumerate(zip(images, labels, strict=True)):
        yield i, {"image": Image.fromarray(image), "label": label}


def _cifar_examples(read: Read, files: list[str], part: str) -> Iterator[tuple[int, dict]]:
    """A row: one byte of label, then 32x32 bytes of each of red, green, blue. Keys and ids are the stock builder's."""
    i = 0
    for file in files:
        for row in np.frombuffer(read(file), np.uint8).reshape(-1, 1 + 3 * 32 * 32):
            image = np.ascontiguousarray(row[1:].reshape(3, 32, 32).transpose(1, 2, 0))
            yield i, {"image": Image.fromarray(image), "label": row[0], "id": f"{part}_{i:05d}"}
            i += 1


# ---------------------------------------------------------------------------------- the command line


class _Parser(argparse.ArgumentParser):
    def error(self, message):
        raise UserError(f"{message}; see python -m gan_jax.data.prepare --help")


def _parser() -> argparse.ArgumentParser:
    parser = _Parser(
        prog="python -m gan_jax.data.prepare",
        description="Prepares a set for TFDS without TensorFlow, from its published files.",
    )
    parser.add_argument("name", metavar="NAME", help=", ".join(BUILDERS))
    parser.add_argument(
        "--originals",
        default="",
        metavar="FOLDER",
        help="where the published files lie (in FOLDER or FOLDER/NAME); without it they are downloaded. "
        "mnist, fashion_mnist: the four .gz files. cifar10: the six .bin files, also in cifar-10-batches-bin, or "
        "cifar-10-binary.tar.gz. Checksums are compared first.",
    )
    parser.add_argument(
        "--dir",
        default="",
        metavar="TFDS_FOLDER",
        help="TFDS's folder (default: $TFDS_DATA_DIR, else ~/tensorflow_datasets); the data.dir of a run",
    )
    return parser


def main(argv: list[str] | None = None) -> int:
    """The command; 0: the set is prepared, 2: it is not, and one line on stderr says why."""
    try:
        args = _parser().parse_args(argv)
        names.say(prepare(args.name, args.originals, args.dir))
    except UserError as error:
        print(shown(error), file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
