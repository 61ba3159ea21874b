"""Tiny originals in the published formats, and a TFDS folder prepared from them."""

import gzip
import hashlib

import numpy as np
import pytest

from gan_jax.data import prepare


def fake_originals(root):
    """mnist, fashion_mnist, cifar10 below root: label k fills its image with 10 k (G: 20 k, B: 30 k)."""
    for name in ("mnist", "fashion_mnist"):
        (root / name).mkdir(parents=True)
        for part, count in (("train", 20), ("t10k", 8)):
            labels = (np.arange(count) * 7 % 10).astype(np.uint8)
            images = np.repeat(10 * labels, 28 * 28)
            for kind, header, content in (("images-idx3", 16, images), ("labels-idx1", 8, labels)):
                packed = gzip.compress(bytes(header) + content.tobytes())
                (root / name / f"{part}-{kind}-ubyte.gz").write_bytes(packed)
    (root / "cifar10/cifar-10-batches-bin").mkdir(parents=True)
    for b, file in enumerate(prepare.CHECKSUMS["cifar10"]):
        rows = [[k, *[10 * k] * 1024, *[20 * k] * 1024, *[30 * k % 256] * 1024] for k in (b, (b + 3) % 10)]
        (root / "cifar10/cifar-10-batches-bin" / file).write_bytes(np.array(rows, np.uint8).tobytes())


def digests(root):
    """The checksums of what lies there, as prepare.CHECKSUMS has them for the published files."""

    def digest(path, published):
        return hashlib.new({32: "md5", 64: "sha256"}[len(published)], path.read_bytes()).hexdigest()

    folder = {"mnist": "mnist", "fashion_mnist": "fashion_mnist", "cifar10": "cifar10/cifar-10-batches-bin"}
    return {
        name: {file: digest(root / folder[name] / file, published) for file, published in files.items()}
        for name, files in prepare.CHECKSUMS.items()
    }


@pytest.fixture(scope="session")
def fakes(tmp_path_factory):
    """(folder of the originals, their checksums)."""
    root = tmp_path_factory.mktemp("originals")
    fake_originals(root)
    return root, digests(root)


@pytest.fixture(scope="session")
def tfds_dir(fakes, tmp_path_factory):
    """A TFDS folder that holds the three sets, prepared from the fakes."""
    folder = tmp_path_factory.mktemp("tfds")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(prepare, "CHECKSUMS", fakes[1])
        for name in fakes[1]:
            prepare.prepare(name, str(fakes[0]), str(folder))
    return folder
