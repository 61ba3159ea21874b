import gzip
import os
import pathlib
import shutil
import subprocess
import sys
import tarfile

import numpy as np
import pytest

from gan_jax.data import prepare
from gan_jax.data.images import open_images, read_images

ORIGINALS = pathlib.Path(os.environ.get("GAN_JAX_ORIGINALS", "~/.cache/gan_jax/originals")).expanduser()
NAMES = ["mnist", "fashion_mnist", "cifar10"]
CLASSES = {
    "mnist": [str(digit) for digit in range(10)],
    "fashion_mnist": [
        "T-shirt/top",
        "Trouser",
        "Pullover",
        "Dress",
        "Coat",
        "Sandal",
        "Shirt",
        "Sneaker",
        "Bag",
        "Ankle boot",
    ],
    "cifar10": ["airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck"],
}


@pytest.fixture
def faked(fakes, monkeypatch):
    """The folder of the fake originals, whose checksums are the ones expected."""
    monkeypatch.setattr(prepare, "CHECKSUMS", fakes[1])
    return fakes[0]


def raw(root, name, split):
    """(images [n, h, w, c], labels [n]) straight from the bytes of the originals."""
    if name == "cifar10":
        files = [f"data_batch_{i}.bin" for i in range(1, 6)] if split == "train" else ["test_batch.bin"]
        content = b"".join((root / name / "cifar-10-batches-bin" / file).read_bytes() for file in files)
        rows = np.frombuffer(content, np.uint8).reshape(-1, 3073)
        return np.moveaxis(rows[:, 1:].reshape(-1, 3, 32, 32), 1, 3), rows[:, 0]
    part = "train" if split == "train" else "t10k"
    images = gzip.decompress((root / name / f"{part}-images-idx3-ubyte.gz").read_bytes())[16:]
    labels = gzip.decompress((root / name / f"{part}-labels-idx1-ubyte.gz").read_bytes())[8:]
    return np.frombuffer(images, np.uint8).reshape(-1, 28, 28, 1), np.frombuffer(labels, np.uint8)


def in_any_order(images, labels):
    return sorted((image.tobytes(), int(label)) for image, label in zip(images, labels, strict=True))


def assert_holds(folder, name, split, images, labels):
    """TFDS gives exactly these images with these labels (in its own order), and knows the classes."""
    import tensorflow_datasets as tfds

    opened = open_images(name, str(folder), images.shape[1], split)
    assert len(opened) == len(images)
    assert in_any_order(*read_images(opened, np.arange(len(images)))) == in_any_order(images, labels)
    assert tfds.builder(name, data_dir=folder).info.features["label"].names == CLASSES[name]


@pytest.mark.parametrize("split", ["train", "test"])
@pytest.mark.parametrize("name", NAMES)
def test_what_tfds_reads_is_what_the_originals_hold(name, split, fakes, tfds_dir):
    assert_holds(tfds_dir, name, split, *raw(fakes[0], name, split))


def test_cifar10_has_the_ids_of_the_stock_builder(fakes, tfds_dir):
    import tensorflow_datasets as tfds

    labels = raw(fakes[0], "cifar10", "train")[1]
    examples = list(tfds.data_source("cifar10", data_dir=tfds_dir, split="train"))
    assert {e["id"].decode(): e["label"] for e in examples} == {f"train_{i:05d}": k for i, k in enumerate(labels)}


@pytest.mark.parametrize("name", NAMES)
def test_the_published_files(name, tmp_path):
    """One real split; slow parts (training sets, cifar10's five batches) are covered by the fakes."""
    if not (ORIGINALS / name).is_dir():
        pytest.skip(f"the originals of {name} are not in {ORIGINALS} ($GAN_JAX_ORIGINALS)")
    prepare.find_originals(name, str(ORIGINALS))  # the checksums fit
    if name != "mnist":  # the smallest stands for all three
        return
    prepare.prepare(name, str(ORIGINALS), str(tmp_path))
    assert_holds(tmp_path, name, "test", *raw(ORIGINALS, name, "test"))


def place_folder(root, work):
    return root / "cifar10"


def place_bare(root, work):
    return root / "cifar10/cifar-10-batches-bin"


def place_archive(root, work):
    with tarfile.open(work / "cifar-10-binary.tar.gz", "w:gz") as archive:
        archive.add(root / "cifar10/cifar-10-batches-bin", "cifar-10-batches-bin")
    return work


@pytest.mark.parametrize("place", [place_folder, place_bare, place_archive])
def test_originals_are_found_where_people_have_them(place, faked, tmp_path):
    read = prepare.find_originals("cifar10", str(place(faked, tmp_path)))
    for file in prepare.CHECKSUMS["cifar10"]:
        assert read(file) == (faked / "cifar10/cifar-10-batches-bin" / file).read_bytes()


def run(capsys, *args):
    code = prepare.main(list(args))
    said = capsys.readouterr()
    return code, said.out, said.err


def test_already_prepared(tfds_dir, capsys):
    code, out, _ = run(capsys, "mnist", f"--dir={tfds_dir}")
    assert (code, out) == (0, f"mnist is prepared already, in {tfds_dir}/mnist/3.0.1\n")


def test_a_set_in_another_format_is_refused(tfds_dir, tmp_path, capsys):
    shutil.copytree(tfds_dir / "mnist", tmp_path / "mnist")
    info = tmp_path / "mnist/3.0.1/dataset_info.json"
    info.write_text(info.read_text().replace('"array_record"', '"tfrecord"'))
    code, _, err = run(capsys, "mnist", f"--dir={tmp_path}")
    assert (code, err.count("\n")) == (2, 1)
    assert "choose another --dir" in err
    with pytest.raises(prepare.UserError, match="TFDS cannot open it"):
        open_images("mnist", str(tmp_path), 0, "train")


def without_labels(folder):
    (folder / "mnist/train-labels-idx1-ubyte.gz").unlink()


def altered(folder):
    with open(folder / "mnist/t10k-images-idx3-ubyte.gz", "ab") as file:
        file.write(b"\0")


@pytest.mark.parametrize(("harm", "args", "words"), [
    (without_labels, ["mnist"], "no train-labels-idx1-ubyte.gz in "),
    (altered, ["mnist"], "t10k-images-idx3-ubyte.gz in "),
    (None, ["imagenet"], "choose from mnist, fashion_mnist, cifar10"),
    (None, [], "NAME"),
    (None, ["mnist", "--data=x"], "--data=x"),
])  # fmt: skip
def test_errors_are_one_line_and_write_nothing(harm, args, words, faked, tmp_path, capsys):
    shutil.copytree(faked, tmp_path / "originals")
    if harm:
        harm(tmp_path / "originals")
    code, out, err = run(capsys, *args, f"--originals={tmp_path / 'originals'}", f"--dir={tmp_path / 'tfds'}")
    assert (code, out, err.count("\n")) == (2, "", 1)
    assert words in err
    assert not (tmp_path / "tfds").exists()


@pytest.mark.parametrize("name", NAMES)
def test_a_failed_download_points_to_originals(name, tmp_path, monkeypatch, capsys):
    def fail(self, urls):
        assert set(urls.values()) <= set(self._url_infos)  # TFDS has checksums for them
        raise ConnectionError("no network\nat all")

    monkeypatch.setattr(prepare.tfds.download.DownloadManager, "download", fail)
    code, out, err = run(capsys, name, f"--dir={tmp_path}")
    assert (code, out) == (2, "")
    assert "--originals=FOLDER" in err.splitlines()[-1]
    assert "Traceback" not in err
    assert not list(tmp_path.rglob("*incomplete*"))


def test_a_kill_half_way_leaves_nothing_that_counts_as_prepared(fakes, tmp_path):
    code = (
        "import os, sys; from gan_jax.data import prepare\n"
        "prepare.find_originals = lambda *_: lambda f: os._exit(9) if 't10k' in f else "
        f"open(os.path.join({str(fakes[0] / 'mnist')!r}, f), 'rb').read()\n"
        f"prepare.main(['mnist', '--originals=x', {'--dir=' + str(tmp_path)!r}])"
    )
    assert subprocess.run([sys.executable, "-c", code], capture_output=True).returncode == 9
    assert list(tmp_path.rglob("*incomplete*"))  # it was under way
    with pytest.raises(prepare.UserError, match=r"python -m gan_jax\.data\.prepare mnist"):
        open_images("mnist", str(tmp_path), 0, "train")


def test_help_names_sets_and_options():
    done = subprocess.run([sys.executable, "-m", "gan_jax.data.prepare", "--help"], capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "")
    for word in ("mnist, fashion_mnist, cifar10", "--originals", "--dir", "tensorflow_datasets"):
        assert word in done.stdout
