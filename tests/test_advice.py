"""What a message says to give, given: it goes through. Messages of sets, of features and of metrics."""

import json
import pathlib

import numpy as np
import pytest
from PIL import Image

from gan_jax.data import about, images, sources
from gan_jax.errors import UserError
from gan_jax.metrics.__main__ import main as measure

PIXELS = ["--metrics=frechet", "--features=pixels", "--num=60"]
RNG = np.random.default_rng(0)


@pytest.fixture(autouse=True)
def here(tmp_path, monkeypatch):
    """A folder with files of each kind."""
    monkeypatch.chdir(tmp_path)
    grey, colour = (RNG.integers(0, 256, (20, 16, 16, channels), dtype=np.uint8) for channels in (1, 3))
    wide, large = (RNG.integers(0, 256, (20, *sides, 1), dtype=np.uint8) for sides in ((16, 24), (32, 32)))
    arrays = {"grey": {"images": grey}, "colour": {"images": colour}, "wide": {"images": wide},
              "tall": {"images": wide.swapaxes(1, 2)}, "large": {"images": large},
              "two": {"images": grey, "points": np.ones((9, 2))},
              "floats": {"images": grey / 255}, "none": {"images": grey[:0]}, "three": {"features": RNG.random((9, 3))},
              "five": {"features": RNG.random((9, 5))}, "few": {"features": RNG.random((8, 3))}}  # fmt: skip
    for name, content in arrays.items():
        np.savez(f"{name}.npz", **content)
    (tmp_path / "folder").mkdir()
    for i in range(20):
        Image.fromarray(grey[i, ..., 0]).save(tmp_path / "folder" / f"{i}.png")


THREE = ["three.npz", "three.npz"]
ADVICE = [
    ([*THREE, "--metrics=fidd"], "give auto, or by commas some of", [*THREE, "--metrics=auto"]),
    ([*THREE, "--features=pixels"], "leave it out", THREE),
    ([*THREE, "--metrics=ms_ssim"], "give wasserstein_1, prdc or another", [*THREE, "--metrics=wasserstein_1,prdc"]),
    (
        ["three.npz", "few.npz", "--metrics=wasserstein_1"],
        "as many reals as samples",
        [*THREE, "--metrics=wasserstein_1"],
    ),
    (["three.npz", "five.npz"], "give those of one network", THREE),
    (["three.npz", "digits", *PIXELS], "give two of one kind", THREE),
    (["digits", "digits", "--metrics=fid", "--features=pixels"], "ask for frechet", ["digits", "digits", *PIXELS]),
    (["grey.npz", "digits", *PIXELS], "give --image-size=16", ["grey.npz", "digits", *PIXELS, "--image-size=16"]),
    (["digits", "grey.npz", *PIXELS], "give --image-size=8", ["digits", "grey.npz", *PIXELS, "--image-size=8"]),
    (["digits", "folder", *PIXELS], "give --image-size=8", ["digits", "folder", *PIXELS, "--image-size=8"]),
    (
        ["wide.npz", "large.npz", *PIXELS],
        "; give --image-size=32",
        ["wide.npz", "large.npz", *PIXELS, "--image-size=32"],
    ),
    (
        ["large.npz", "wide.npz", *PIXELS],
        "; give --image-size=32",
        ["large.npz", "wide.npz", *PIXELS, "--image-size=32"],
    ),
    (["wide.npz", "tall.npz", *PIXELS], "e.g. --image-size=64", ["wide.npz", "tall.npz", *PIXELS, "--image-size=64"]),
    (["colour.npz", "grey.npz", *PIXELS], "give both grey, or both in colour", ["colour.npz", "colour.npz", *PIXELS]),
    (["nowhere/at/all", "digits", *PIXELS], "give a folder of images, an .npz file", ["folder", "grey.npz", *PIXELS]),
    (["two.npz", "grey.npz", *PIXELS], "give one of images, points, features", ["grey.npz", "grey.npz", *PIXELS]),
    (["floats.npz", "grey.npz", *PIXELS], "give uint8 images [n, h, w, 1 or 3]", ["grey.npz", "folder", *PIXELS]),
    (["floats.npz", "grey.npz", *PIXELS], "or floats [n, d]", ["five.npz", "five.npz"]),
    (["digits:test", "digits", *PIXELS], "as 'train' and 'all': use either", ["digits:train", "digits:all", *PIXELS]),
    (["digits", "digits", "--num=-1"], "give a whole number", ["digits", "digits", *PIXELS]),
]


@pytest.mark.parametrize(("refused", "words", "taken"), ADVICE, ids=[row[1][:40] for row in ADVICE])
def test_what_the_metrics_command_advises(refused, words, taken, capsys):
    assert measure(refused) == 2
    assert words in capsys.readouterr().err
    assert measure(taken) == 0
    assert np.isfinite(next(iter(json.loads(capsys.readouterr().out.splitlines()[-1]).values())))


def opened(folder="folder", image_size=0, split="train"):
    return images.open_images("folder", folder, image_size, split)


def larger():
    Image.new("L", (5000, 8)).save("folder/wide.png")
    pathlib.Path("other").mkdir()
    pathlib.Path("folder/wide.png").rename("other/wide.png")


def mixed():
    Image.new("L", (9, 7)).save("folder/small.png")


def split_up():
    for name in ("train", "test"):
        pathlib.Path("folder", name).mkdir()
    for i, path in enumerate(sorted(pathlib.Path("folder").glob("*.png"))):
        path.rename(path.parent / ("test" if i % 2 else "train") / path.name)


def labelled_elsewhere():
    pathlib.Path("folder/dataset.json").write_text(json.dumps({"labels": [["no.png", 1]]}))


# (what is there, what is refused, what is said, what is done of that, what is then taken)
OF_SETS = [
    (None, lambda: sources.reference("ring", "", 0, "train", 0, 0), "ask for a positive number", None,
     lambda: sources.reference("ring", "", 0, "train", 5, 0)),
    (None, lambda: sources.reference("digits", "", 0, "train", -1, 0), "or 0 for all", None,
     lambda: sources.reference("digits", "", 0, "train", 0, 0)),
    (None, lambda: sources.load("digits", "", 0, 0, is_balanced=True), "give data.memory_mb or false", None,
     lambda: (sources.load("digits", "", 0, 100, is_balanced=True), sources.load("digits", "", 0, 0))),
    (None, lambda: opened("nowhere"), "needs data.dir to be a folder of images", None, opened),
    (None, lambda: opened(split="test"), "or sort the images into train/ and test/", split_up,
     lambda: opened(split="test")),
    (None, lambda: opened(split="test"), "only one that serves as 'train' and 'all': use either", None,
     lambda: (opened(split="train"), opened(split="all"))),
    (mixed, opened, "set data.image_size, e.g. data.image_size=64", None, lambda: opened(image_size=64).read(20)),
    (larger, lambda: opened("other"), "set data.image_size, at most 4096", None, lambda: opened("other", 4096)),
    (labelled_elsewhere, opened, "mend it, or move it away",
     lambda: pathlib.Path("folder/dataset.json").unlink(), opened),
]  # fmt: skip


@pytest.mark.parametrize(
    ("before", "refused", "words", "mended", "taken"), OF_SETS, ids=[row[2][:40] for row in OF_SETS]
)
def test_what_sets_advise(before, refused, words, mended, taken):
    if before:
        before()
    with pytest.raises(UserError) as error:
        refused()
    assert words in str(error.value)
    if mended:
        mended()
    assert taken() is not None


def test_a_data_file_that_is_moved_away_is_made_anew(tmp_path):
    set_of = about.About("folder x", "train", 3, (4, 4, 1), digest="0" * 64)
    (tmp_path / about.FILE).write_text('{"step": 0, "split": "train"}\n')
    with pytest.raises(UserError, match="move it away, and the set is looked at anew"):
        about.remember(tmp_path, 0, set_of)
    (tmp_path / about.FILE).rename(tmp_path / "away")
    about.remember(tmp_path, 0, set_of)
    assert about.remembered(tmp_path) == set_of
