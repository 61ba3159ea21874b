"""The modes that read a run: what they need, where they write, what they leave alone."""

import json
import os
import pathlib
import re
import runpy
import shutil
import subprocess
import sys

import numpy as np
import pytest
from PIL import Image

import gan_jax
from gan_jax import main
from gan_jax.config import flat
from gan_jax.reports import pictures
from gan_jax.runs import workdir

ROOT = pathlib.Path(__file__).parents[2]
EXPERIMENT = ROOT / "experiments" / "wgan_gp.py"
FIELDS = {"steps": 40, "batch_size": 8, "n_critic": 2, "network.name": "mlp", "network.width": 8, "network.depth": 1,
          "network.latent_dim": 4, "checkpoint_every": 20, "eval_every": 0, "eval_samples": 64}  # fmt: skip
GIVEN = [f"--config.{name}={value}" for name, value in FIELDS.items()]
PIXELS = ["--mode=evaluate", "--metrics=frechet", "--features=pixels"]


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """The folder of a small run."""
    folder = tmp_path_factory.mktemp("runs") / "run"
    assert main.main(["gan_jax", f"--config={EXPERIMENT}", f"--workdir={folder}", *GIVEN]) == 0
    return folder


@pytest.fixture
def here(tmp_path, monkeypatch, drawn_quickly):
    """The folder in which commands are given."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def run(here, trained):
    """A copy of it there."""
    return shutil.copytree(trained, "run")


@pytest.fixture
def described(here):
    """The configuration of such a run there, which is all that is looked at before any work is done."""
    config = runpy.run_path(str(EXPERIMENT))["get_config"]()
    config.update_from_flattened_dict(FIELDS)
    workdir.store(pathlib.Path("run"), flat(config), [])


def read(*flags, folder="run", code=0):
    assert main.main(["gan_jax", *([f"--workdir={folder}"] if folder else []), *flags]) == code


def refused(capsys, *flags, folder="run"):
    """The one line on standard error; nothing is written."""
    before = snapshot()
    capsys.readouterr()
    read(*flags, folder=folder, code=2)
    (line,) = capsys.readouterr().err.splitlines()
    assert snapshot() == before
    return line


def snapshot(folder="."):
    paths = sorted(pathlib.Path(folder).rglob("*"))
    return {path: (path.lstat().st_mtime_ns, path.read_bytes() if path.is_file() else b"") for path in paths}


# ------------------------------------------------------------------------------------------ which run is read


def test_a_folder_is_enough_wherever_it_lies(run, here):
    expected = gan_jax.load("run").sample(1)
    pathlib.Path("other").mkdir()
    shutil.move("run", "other/moved")
    pathlib.Path("link").symlink_to("other/moved")
    for place in ("other/moved/", "link", str(here / "other" / ".." / "link")):
        read("--mode=sample", "--num=1", "--out=out", "--overwrite", folder=place)
        with np.load("out/samples.npz") as arrays:
            np.testing.assert_array_equal(arrays["images"], expected)


def test_free_fields_count_without_an_experiment(run, capsys, records):
    read("--config.eval_samples=48", "--config.eval_features=pixels", "--mode=evaluate", "--metrics=frechet")
    assert records("run/evaluation.jsonl")[-1]["protocol"]["samples"] == 48
    assert "no field 'eval_sample'" in refused(capsys, "--config.eval_sample=48", "--mode=sample")


SAMPLE = "--mode=sample"
WRONG = [
    ([SAMPLE], None, "--mode=sample without --workdir: give that of a run"),
    ([], "run", "--config is missing: give --config=experiments/wgan.py"),
    ([SAMPLE], "nowhere", "nowhere holds no run: give the --workdir of one, or train first"),
    ([SAMPLE, f"--config={EXPERIMENT}"], "run", "network.width (stored 8, given 256)"),
    ([SAMPLE, f"--config={EXPERIMENT}"], "run", "; leave --config out and give --workdir=run, or give another"),
    ([SAMPLE, f"--config={ROOT}/experiments/gan.py", *GIVEN], "run", "loss (stored 'wasserstein', given 'minimax')"),
    ([SAMPLE, f"--config={EXPERIMENT}:ring", *GIVEN], "run", "data.name (stored 'digits', given 'ring')"),
    ([SAMPLE, "--config.network.depth=3"], "run", "network.depth (stored 1, given 3); leave them out, or give"),
    ([SAMPLE, "--config.loss=hinge"], "run", "loss (stored 'wasserstein', given 'hinge'); leave them out"),
    ([*PIXELS, "--num=1"], "run", "--num=1 with --mode=evaluate: give at least 2"),
    ([SAMPLE, "--num=0"], "run", "num"),
    ([SAMPLE, "--images", "--interpolate"], "run", "--images with --interpolate: rows are one picture"),
    ([*PIXELS, "--images"], "run", "it is for sample; leave it out"),
    ([SAMPLE, "--out=run/config.json"], "run", "run/config.json can't be written to: give another --out"),
    ([SAMPLE], "run", "no checkpoint in "),
    ([SAMPLE, "--config.ema_decay=0.0"], "run", "ema_decay (stored 0.999, given 0.0): that is for --mode=train; leave"),
    ([*PIXELS, "--config.steps=7", "--config.n_critic=2"], "run", "run holds a run with steps (stored 40, given 7): "),
    ([SAMPLE, f"--config={EXPERIMENT}", *GIVEN, "--config.steps=60"], "run", "with steps (stored 40, given 60): that"),
]


@pytest.mark.parametrize(("flags", "folder", "words"), WRONG)
def test_what_is_wrong_is_one_line(described, capsys, flags, folder, words):
    assert words in refused(capsys, *flags, folder=folder)


def test_points_are_no_pictures(described, capsys):
    edited(data__name="ring")
    assert "--images of ring, whose samples are points: leave it out" in refused(capsys, SAMPLE, "--images")


def test_the_experiment_of_the_run_may_be_given_and_names_its_folder(run):
    read(f"--config={EXPERIMENT}", *GIVEN, SAMPLE, "--num=2")
    pathlib.Path("runs").mkdir()
    shutil.move("run", "runs/wgan_gp")
    read(f"--config={EXPERIMENT}", *GIVEN, SAMPLE, "--num=2", "--out=out", folder=None)
    assert pathlib.Path("out/samples.npz").exists()


# ---------------------------------------------------------------------------------------- where results go


KINDS = {
    "samples/samples.npz": [SAMPLE, "--num=2"],
    "samples/samples.png": [SAMPLE, "--num=2"],
    "samples/interpolation.png": [SAMPLE, "--interpolate"],
    "samples/traversal.png": [SAMPLE, "--traverse"],
    "samples/images/000001.png": [SAMPLE, "--num=2", "--images"],
    "generator.jax_export": ["--mode=export"],
}


@pytest.mark.parametrize("file", KINDS)
def test_what_is_there_is_not_replaced_without_a_word(described, capsys, file):
    pathlib.Path("run", file).parent.mkdir(parents=True, exist_ok=True)
    pathlib.Path("run", file).write_bytes(b"mine")
    advice = "is there already: give --out=FOLDER, or --overwrite to replace it"
    assert f"run/{file} {advice}" in refused(capsys, *KINDS[file])
    pathlib.Path("out").mkdir()
    pathlib.Path("out", pathlib.Path(file).name).write_bytes(b"mine")
    assert f"out/{pathlib.Path(file).name} {advice}" in refused(capsys, *KINDS[file], "--out=out")


@pytest.mark.parametrize("file", [file for file in KINDS if "traversal" not in file])
def test_what_is_there_is_replaced_where_that_is_asked_for_and_left_by_out(run, file):
    path = pathlib.Path("run", file)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(b"mine")
    read(*KINDS[file], "--out=out/there")
    assert path.read_bytes() == b"mine"
    read(*KINDS[file], "--overwrite")
    assert not path.exists() or path.read_bytes() != b"mine"


def test_single_images_are_those_of_sample_and_are_replaced(run):
    read(SAMPLE, "--num=2", "--seed=7", "--images", "--out=pictures")
    read(SAMPLE, "--num=3", "--seed=5", "--images", "--out=pictures", "--overwrite")
    assert sorted(os.listdir("pictures")) == ["000000.png", "000001.png", "000002.png"]
    for image, path in zip(
        gan_jax.load("run").sample(3, seed=5), sorted(pathlib.Path("pictures").iterdir()), strict=True
    ):
        with Image.open(path) as picture:
            assert picture.mode == "L"
            np.testing.assert_array_equal(np.asarray(picture), image[..., 0])


@pytest.mark.parametrize("flags", [[], ["--overwrite"]])
def test_more_images_than_are_written_are_of_something_else_and_are_left(run, capsys, flags):
    """Whatever is asked for: they would be measured as of one set. Elsewhere, or without them, it goes through."""
    flags = [SAMPLE, "--num=2", "--images", *flags]
    pathlib.Path("photographs").mkdir()
    for name in ("000002.png", "000050.png", "000700.png"):
        pathlib.Path("photographs", name).write_bytes(b"mine")
    words = "photographs holds more images, from 000002.png on (3); give another --out=FOLDER, or remove them"
    assert words in refused(capsys, *flags, "--out=photographs")
    read(*flags, "--out=out")
    for path in pathlib.Path("photographs").iterdir():
        path.rename(path.name)
    read(*flags, "--out=photographs")


def test_colours_are_written_as_they_are_and_other_files_are_left(tmp_path):
    images = np.random.default_rng(0).integers(0, 256, (2, 3, 5, 3), dtype=np.uint8)
    others = {"samples.png", "1.png", "0000000.png", "000007.png"}
    for name in others:
        (tmp_path / name).write_bytes(b"")
    pictures.single_images(tmp_path, images)
    assert {path.name for path in tmp_path.iterdir()} == others | {"000000.png", "000001.png"}
    for index in range(2):
        with Image.open(tmp_path / f"00000{index}.png") as picture:
            np.testing.assert_array_equal(np.asarray(picture), images[index])


@pytest.mark.parametrize("flags", [[SAMPLE], [SAMPLE, "--images"], PIXELS, ["--mode=export"]])
def test_what_is_of_one_run_is_not_put_into_another(described, capsys, flags):
    shutil.copytree("run", "other")
    pathlib.Path("link").symlink_to("other/samples")
    pathlib.Path("sweep").mkdir()
    pathlib.Path("sweep/sweep.json").write_text("{}")
    for out in ("other", "other/samples", "other/samples/images", "link", "sweep"):
        words = f"--out={out} is of another run, or of a sweep: give another --out"
        assert words in refused(capsys, *flags, "--overwrite", f"--out={out}")
    for out in ("run", "sweep/of_it", "elsewhere"):  # now what is missing is a checkpoint
        read(*flags, "--overwrite", f"--out={out}", code=2)
        assert "no checkpoint in " in capsys.readouterr().err


def test_a_picture_that_is_of_no_evaluation_is_not_replaced_without_a_word(run, capsys):
    pathlib.Path("out").mkdir()
    pathlib.Path("out/evaluation.png").write_bytes(b"mine")
    words = "out/evaluation.png is there already: give --out=FOLDER, or --overwrite to replace it"
    assert words in refused(capsys, *PIXELS, "--num=32", "--out=out")
    read(*PIXELS, "--num=32", "--out=other")
    read(*PIXELS, "--num=32", "--out=out", "--overwrite")
    assert pathlib.Path("out/evaluation.png").read_bytes() != b"mine"
    read(*PIXELS, "--num=32", "--out=out")  # and it is of the lines beside it
    assert len(pathlib.Path("out/evaluation.jsonl").read_text().splitlines()) == 2


@pytest.mark.slow
@pytest.mark.parametrize("data", ["digits", "ring"])
def test_one_sample_is_enough(command, data):
    command(f"wgan_gp.py:{data}", "--workdir=run", steps=20, network__name="mlp")
    model, shape = gan_jax.load("run"), (8, 8, 1) if data == "digits" else (2,)
    assert model.sample(1).shape == (1, *shape)
    assert model.interpolate(1, 1).shape == (1, 1, *shape)
    np.testing.assert_allclose(model.interpolate(1, 1)[0].astype(float), model.sample(2)[:1], atol=1)
    read(SAMPLE, "--num=1")
    with np.load("run/samples/samples.npz") as arrays:
        np.testing.assert_array_equal(arrays["points" if data == "ring" else "images"], model.sample(1))


def test_evaluations_elsewhere_say_of_which_run_they_are(run, here, records):
    shutil.copytree("run", "other")
    for folder in ("run", "other/"):
        read(*PIXELS, "--num=64", "--out=out", folder=folder)
    lines = records("out/evaluation.jsonl")
    assert [line.pop("run") for line in lines] == [str(here / name) for name in ("run", "other")]
    read(*PIXELS, "--num=64")
    assert records("run/evaluation.jsonl") == lines[:1]
    assert sorted(os.listdir("out")) == ["evaluation.jsonl", "evaluation.png"]


def test_the_curve_elsewhere_has_the_evaluations_of_the_run_and_of_no_other(run, monkeypatch):
    drawn = []
    monkeypatch.setattr(pictures, "evaluation", lambda *given: drawn.append(given[3]))
    shutil.copytree("run", "other")
    read(*PIXELS, "--num=64", "--checkpoint=20")
    read(*PIXELS, "--num=32", "--out=out", folder="other")
    read(*PIXELS, "--num=64", "--out=out")
    assert [sorted(curve) for curve in drawn] == [[20], [40], [20, 40]]


ALONE = """
import sys
from gan_jax import main
from gan_jax.runs import workdir
from gan_jax.config import flat
for flags in {commands}:
    code = main.main(["gan_jax", "--workdir=run", *flags])
    print("code", code, flush=True)
"""


def unprivileged():
    """What a command begins with, by which it may write where its user may, be that root."""
    if os.geteuid():
        return []
    words = ["setpriv", "--bounding-set=-all", "--inh-caps=-all"]
    if not shutil.which("setpriv") or subprocess.run([*words, "true"], capture_output=True).returncode:
        pytest.skip("root, and no setpriv to be less")
    return words


def test_a_run_that_may_only_be_read(run):
    """All that is asked of it goes elsewhere; without an elsewhere, that is said before any work is done."""
    shutil.rmtree("run/samples/images", ignore_errors=True)
    for path in [*pathlib.Path("run").rglob("*"), pathlib.Path("run")]:
        path.chmod(path.stat().st_mode & ~0o222)
    before = snapshot("run")
    modes = [[SAMPLE, "--num=2"], [SAMPLE, "--num=2", "--images"], [*PIXELS, "--num=64"], ["--mode=export"]]
    commands = [*modes, *([*flags, f"--out=out/{index}"] for index, flags in enumerate(modes))]
    code = ALONE.format(commands=commands)
    done = subprocess.run([*unprivileged(), sys.executable, "-c", code], capture_output=True, text=True, timeout=300)
    assert re.findall(r"code (\d)", done.stdout) == ["2"] * 4 + ["0"] * 4, done.stderr
    lines = [line for line in done.stderr.splitlines() if "can't be written to" in line]
    assert len(lines) == 4
    assert all(re.match(r"gan_jax: run\S* can't be written to: give --out=FOLDER", line) for line in lines)
    assert snapshot("run") == before
    assert [sorted(os.listdir(f"out/{index}")) for index in range(4)] == [
        ["samples.npz", "samples.png"],
        ["000000.png", "000001.png"],
        ["evaluation.jsonl", "evaluation.png"],
        ["generator.jax_export"],
    ]
    for path in pathlib.Path("run").rglob("*"):  # or nothing removes it
        path.chmod(path.stat().st_mode | 0o200)


# ---------------------------------------------------------------------------------- a configuration that was edited


def edited(**fields):
    path = pathlib.Path("run/config.json")
    stored = json.loads(path.read_text())
    path.write_text(json.dumps(stored | {name.replace("__", "."): value for name, value in fields.items()}))


def test_a_seed_that_was_edited_is_refused_and_goes_through_where_it_is_put_back(run, capsys):
    edited(seed=3)
    words = "run/checkpoints/40 was made with: seed (3 there, 0 in the checkpoint); put that back"
    assert f"run/config.json is not what {words}" in refused(capsys, SAMPLE)
    with pytest.raises(gan_jax.errors.UserError, match=re.escape(words)):
        gan_jax.load("run")
    fields = [f"--config={EXPERIMENT}", *GIVEN, "--config.steps=60"]
    assert words in refused(capsys, *fields)
    assert words in refused(capsys, *fields, "--config.seed=3")
    edited(seed=0)
    read(*fields)


def test_a_number_that_was_edited_is_refused_and_goes_through_where_it_is_given(run, capsys, records):
    edited(optimizer__critic_lr=0.5, steps=60)
    fields = [f"--config={EXPERIMENT}", *GIVEN, "--config.steps=60", "--config.optimizer.critic_lr=0.5"]
    assert "optimizer.critic_lr (0.5 there, 0.0005 in the checkpoint)" in refused(capsys, *fields)
    edited(optimizer__critic_lr=5e-4, steps=40)
    read(*fields)
    assert records("run/history.jsonl")[-1]["changed"]["optimizer.critic_lr"] == [5e-4, 0.5]
    for step in (20, 40, 60):  # each has the rate of its time
        assert gan_jax.load("run", step).state.step == step
