import re
import subprocess
import sys

import numpy as np
import pytest
from absl import logging
from PIL import Image
from sklearn.datasets import load_digits

from gan_jax.data.images import open_images, read_images
from gan_jax.errors import UserError


def write(path, colour, size=(6, 4), mode="RGB"):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new(mode, size, colour).save(path)


def read_all(images):
    return read_images(images, np.arange(len(images)))


def test_digits_are_those_of_scikit_learn():
    pixels, labels = read_all(open_images("digits", "", 0, "all"))
    assert (pixels.shape, pixels.dtype, labels.dtype) == ((1797, 8, 8, 1), np.uint8, np.int32)
    np.testing.assert_allclose(pixels[..., 0] / 255 * 16, load_digits().images, atol=0.5 * 16 / 255)
    np.testing.assert_array_equal(labels, load_digits().target)


def test_read_images_takes_the_indices_in_their_order():
    images = open_images("digits", "", 0, "train")
    pixels, labels = read_all(images)
    indices = np.random.default_rng(0).permutation(1797)[:700]
    some, some_labels = read_images(images, indices)
    np.testing.assert_array_equal(some, pixels[indices])
    np.testing.assert_array_equal(some_labels, labels[indices])


def test_folder_sorted_with_sub_folders_as_classes(tmp_path):
    for i, name in enumerate(["b/2.png", "a/z/1.PNG", "b/1.webp", "a/0.bmp", "c/x.jpg"]):
        write(tmp_path / name, (50 * i, 0, 0))
    write(tmp_path / "a/.hidden.png", (1, 2, 3))
    (tmp_path / "notes.txt").write_text("no image")
    images = open_images("folder", str(tmp_path), 0, "train")
    pixels, labels = read_all(images)
    assert (images.shape, images.classes, len(images)) == ((4, 6, 3), ("a", "b", "c"), 5)
    np.testing.assert_array_equal(labels, [0, 0, 1, 1, 2])
    np.testing.assert_allclose(pixels[:, 0, 0, 0].astype(int), [150, 50, 100, 0, 200], atol=3)  # lossy formats


def test_flat_folder_has_no_classes_and_grey_stays_grey(tmp_path):
    write(tmp_path / "1.png", 7, mode="L")
    write(tmp_path / "2.png", 9, mode="L")
    images = open_images("folder", str(tmp_path), 0, "train")
    pixels, labels = read_all(images)
    assert (images.shape, images.classes, labels.tolist()) == ((4, 6, 1), (), [0, 0])
    assert pixels[:, 0, 0, 0].tolist() == [7, 9]
    write(tmp_path / "3.png", (1, 2, 3))  # one in colour: all are
    assert open_images("folder", str(tmp_path), 0, "train").shape == (4, 6, 3)


def truncated(folder):
    Image.fromarray(np.random.default_rng(0).integers(0, 256, (64, 64), dtype=np.uint8)).save(folder / "a.png")
    content = (folder / "a.png").read_bytes()
    (folder / "a.png").write_bytes(content[: len(content) // 2])


FOLDERS = {
    "empty": (lambda folder: None, "holds no image"),
    "broken": (lambda folder: (folder / "a.png").write_bytes(b"no image"), "a.png is not a readable image"),
    "truncated": (truncated, "a.png is not a readable image"),
    "deep": (lambda folder: Image.new("F", (4, 4)).save(folder / "a.png", format="TIFF"), "it has 'F' pixels"),
    "mixed": (lambda folder: [write(folder / f"{i}.png", 0, (4, i)) for i in (4, 5)], "data.image_size"),
}


@pytest.mark.parametrize("kind", FOLDERS)
def test_a_folder_that_cannot_be_used_is_refused_in_one_line(kind, tmp_path):
    make, words = FOLDERS[kind]
    make(tmp_path)
    with pytest.raises(UserError) as error:
        read_all(open_images("folder", str(tmp_path), 0, "train"))
    assert words in str(error.value)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(("name", "split", "words"), [
    ("digits", "test", "digits has no split 'test'"),
    ("folder", "train", "data.dir"),
    ("mnist", "train", "python -m gan_jax.data.prepare mnist --dir="),
    ("cats_vs_dogs", "train", "tfds build cats_vs_dogs --file_format=array_record"),
    ("no_such_set", "train", "swiss_roll, lines, mnist, fashion_mnist, cifar10, folder, or any image set of TFDS"),
    ("mnist:9.9.9", "train", "TFDS cannot open it"),
])  # fmt: skip
def test_what_is_not_there_is_refused_with_what_to_do(name, split, words, tmp_path):
    before = logging.get_verbosity()
    with pytest.raises(UserError) as error:
        open_images(name, "" if name == "folder" else str(tmp_path), 0, split)
    assert words in str(error.value)
    assert "\n" not in str(error.value)
    assert logging.get_verbosity() == before
    assert not list(tmp_path.iterdir())


def test_tfds_sets_are_those_prepared(tfds_dir):
    images = open_images("mnist", str(tfds_dir), 0, "test")
    pixels, labels = read_all(images)
    assert (images.shape, images.classes) == ((32, 32, 1), tuple("0123456789"))
    assert pixels[:, 2, 2, 0].tolist() == [10 * k for k in labels]  # as the fixture has drawn them
    with pytest.raises(UserError, match=r"no split 'validation': choose from train, test"):
        open_images("mnist", str(tfds_dir), 0, "validation")


@pytest.mark.slow
def test_tfds_sets_load_quietly_and_without_tensorflow(tfds_dir):
    code = (
        "import sys; from gan_jax.data import sources\n"
        f"s = sources.load('cifar10', {str(tfds_dir)!r}, 0, 100)\n"
        "assert s.arrays['image'].shape == (10, 32, 32, 3)\n"
        "sys.exit('tensorflow' in sys.modules or 'torch' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert (done.returncode, done.stdout) == (0, ""), done.stderr
    # What takes more than a second on a busy machine shows its progress, and nothing else.
    lines = [line.strip() for line in re.split(r"[\r\n]", done.stderr)]
    assert all(not line or line.startswith("reading cifar10") for line in lines), done.stderr
