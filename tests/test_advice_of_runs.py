"""What a message says to give, given: it goes through. Messages of the command, of folders of runs, and of a run's API.

Two runs and a sweep are written once. What would train is checked as ever, and then not trained.
"""

import argparse
import fcntl
import json
import os
import pathlib
import shutil

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from PIL import Image

import gan_jax
from gan_jax import main
from gan_jax.comparing import comparison
from gan_jax.config import FIELDS as config_fields
from gan_jax.config import default_config, flat, validate
from gan_jax.data import sources
from gan_jax.errors import UserError
from gan_jax.evaluation import measuring
from gan_jax.features import cache
from gan_jax.files import names
from gan_jax.metrics.__main__ import main as measure
from gan_jax.networks import conv
from gan_jax.reports import scalars, tracking
from gan_jax.runs import changes, checkpoint, loop, scores, workdir
from gan_jax.studies import command as study
from gan_jax.sweeps import axes, search, sweep
from gan_jax.training import finite, parallel, sampling

pytestmark = pytest.mark.slow
EXPERIMENTS = pathlib.Path(__file__).parents[1] / "experiments"
FIELDS = {"steps": 20, "batch_size": 8, "n_critic": 1, "network.name": "mlp", "network.width": 8, "network.depth": 1,
          "network.latent_dim": 4, "checkpoint_every": 10, "eval_every": 0, "eval_samples": 64}  # fmt: skip
GIVEN = [f"--config.{name}={value}" for name, value in FIELDS.items()]
EVALUATED = [*GIVEN, "--config.eval_every=10", "--config.eval_metrics=frechet", "--config.eval_features=pixels"]
DIGITS = [f"--config={EXPERIMENTS}/conditional_gan.py", *EVALUATED]  # of `digits`, and of `sweep` by sweep.py
RING = [f"--config={EXPERIMENTS}/wgan_gp.py:ring", *GIVEN]  # of `ring`
FILES = {
    "sweep.py": "def get_sweep(seed='0'):\n    return [{'seed': int(seed)}]\n",
    "two.py": "def get_sweep():\n    return [{'seed': 1}, {'seed': 2}]\n",
    "mine.py": "def get_config():\n    return {}\n",
    "begun.py": "from gan_jax.config import default_config as get_config\n",
}


@pytest.fixture(scope="module")
def made(shared_folder):
    """A folder with `digits`, which is told classes and evaluated, `ring`, which is neither, and the sweep `sweep`.

    Made by whichever process is first. The only member of the sweep is a copy of `digits`.
    """
    folder = shared_folder / "made_for_advice"
    with open(f"{folder}.lock", "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not folder.exists():
            saved(folder / "digits", DIGITS)
            saved(folder / "ring", RING)
            evaluated(folder / "digits")
            shutil.copytree(folder / "digits", folder / "sweep/000")
            (folder / "sweep/sweep.json").write_text('{"members": [{"seed": 0}], "ways": {}}')
            for name, text in FILES.items():
                (folder / name).write_text(text)
    return folder


def saved(folder, flags):
    """The run of a command, as it would be at its steps 10 and 20, had no step changed a parameter."""
    config = main.parse(["gan_jax", *flags])[0].config
    source = sources.of_config(config.data)
    state, sums = loop.fresh_carries([config], source)[0]
    workdir.store(folder, flat(config), [])
    (folder / "samples").mkdir()
    with checkpoint.open_checkpoints(folder) as manager:
        for step in (10, 20):
            said = {"shape": list(source.shape), "fields": changes.kept(flat(config))}
            checkpoint.save(manager, (state.replace(step=jnp.int32(step)), sums), said)


def evaluated(folder):
    records = [{"step": step, "frechet_distance": 30.0 - step, "protocol": {}} for step in (10, 20)]
    for record in records:
        scores.write(folder / "checkpoints" / str(record["step"]), record)
        scalars.append(folder / "evaluation.jsonl", record)


@pytest.fixture
def here(made, tmp_path, monkeypatch, drawn_quickly, cached_here):
    """A copy of all that, as the working folder."""
    shutil.copytree(made, tmp_path / "here")
    monkeypatch.chdir(tmp_path / "here")
    return tmp_path / "here"


@pytest.fixture
def untrained(monkeypatch):
    """All is checked, and neither a step made nor a sample drawn."""

    def samples(generator, state, takes, inputs, counts):
        return np.zeros((len(inputs), *generator.shape), np.uint8 if len(generator.shape) == 3 else np.float32)

    monkeypatch.setattr(sampling, "samples", samples)
    monkeypatch.setattr(sampling, "draw", lambda *given, **named: None)
    monkeypatch.setattr(loop, "train", lambda *given: 0)
    monkeypatch.setattr(sweep, "train_members", lambda *given, **named: 0)


def run(*flags):
    return main.main(["gan_jax", *flags])


SAMPLE, OF_DIGITS = ["--mode=sample", "--overwrite"], ["--workdir=digits", "--mode=sample", "--overwrite"]
PIXELS = ["--workdir=digits", "--mode=evaluate", "--metrics=frechet", "--features=pixels"]
NEW, COMPARE = ["--workdir=new"], ["--mode=compare", "digits", "sweep"]
RESNET = [*DIGITS, *NEW, "--config.network.name=resnet"]
# (what is refused, what is said, what it says to give: each a way out)
FLAGS = [
    ([*DIGITS, "--workdir=sweep", "--sweep=sweep.py", "--mode=sample"], "give --workdir=sweep/000 alone",
     [["--workdir=sweep/000", *SAMPLE]]),
    ([*RING, *NEW, "--way=vmap"], "leave it out", [[*RING, *NEW]]),
    ([*DIGITS, "--workdir=sweep"], "give --workdir=sweep/000 or another member, or --sweep to train it",
     [[*DIGITS, "--workdir=sweep/000"], [*DIGITS, "--workdir=sweep", "--sweep=sweep.py"]]),
    ([*RING, *NEW, "--label=3"], "it is for sample; leave it out", [[*RING, *NEW], [*OF_DIGITS, "--label=3"]]),
    ([*OF_DIGITS, "--traverse", "--label=3"], "leave one of them out",
     [[*OF_DIGITS, "--traverse"], [*OF_DIGITS, "--label=3"]]),
    ([*OF_DIGITS, "--traverse", "--interpolate"], "leave one of them out",
     [[*OF_DIGITS, "--traverse"], [*OF_DIGITS, "--interpolate"]]),
    ([*OF_DIGITS, "--interpolate", "--num=3"], "leave it out", [[*OF_DIGITS, "--interpolate"]]),
    ([*OF_DIGITS, "--interpolate", "--images"], "leave one of them out",
     [[*OF_DIGITS, "--interpolate"], [*OF_DIGITS, "--images"]]),
    ([*PIXELS, "--num=1"], "give at least 2, or --mode=sample, which takes one",
     [[*PIXELS, "--num=2"], [*OF_DIGITS, "--num=1"]]),
    ([*RING, *NEW, "--init_layers=fitting"], "give that too, or leave it out",
     [[*RING, *NEW, "--init_layers=fitting", "--init_from=ring"], [*RING, *NEW]]),
    ([*COMPARE, "--out=page.pdf"], "give a file that ends in .html", [[*COMPARE, "--out=page.html"]]),
    ([*COMPARE, "--out=/proc/page.html"], "give another --out", [[*COMPARE, "--out=page.html"]]),
    (["--mode=compare"], "give those of runs or sweeps, or one with runs in it",
     [["--mode=compare", "digits"], ["--mode=compare", "sweep"]]),
    ([*OF_DIGITS, "num=3"], "write --NAME=VALUE", [[*OF_DIGITS, "--num=3"]]),
    (NEW, "give --config=experiments/wgan.py", [[*NEW, f"--config={EXPERIMENTS}/wgan.py"]]),
    (SAMPLE, "give that of a run", [OF_DIGITS]),
    (["--config=mine.py", *NEW], "begin with gan_jax.config.default_config()", [["--config=begun.py", *NEW]]),
    (["--workdir=nowhere", *SAMPLE], "give the --workdir of one, or train first, with --mode=train",
     [OF_DIGITS, [*RING, "--workdir=nowhere", "--mode=train"]]),
    (["--workdir=ring", *SAMPLE, "--images"], "leave it out", [["--workdir=ring", *SAMPLE]]),
    ([*OF_DIGITS, "--out=digits/config.json"], "give another --out", [[*OF_DIGITS, "--out=other"]]),
    ([*OF_DIGITS, "--config.network.depth=3"], "leave them out, or give another --workdir", [OF_DIGITS]),
    ([*OF_DIGITS, "--config.ema_decay=0.5"], "that is for --mode=train; leave it out",
     [OF_DIGITS, [*OF_DIGITS, "--config.ema_decay=0.999"],
      [*DIGITS, "--workdir=digits", "--config.ema_decay=0.5", "--mode=train"]]),
    ([*OF_DIGITS, "--out=ring"], "of another run, or of a sweep: give another --out", [[*OF_DIGITS, "--out=other"]]),
    ([*OF_DIGITS, *RING], "leave --config out and give --workdir=digits, or give another",
     [OF_DIGITS, ["--workdir=ring", *SAMPLE, *RING]]),
    ([*OF_DIGITS, "--checkpoint=7"], "give last, best or one of 10, 20",
     [[*OF_DIGITS, f"--checkpoint={wanted}"] for wanted in ("last", "best", 10, 20)]),
    (["--workdir=ring", *SAMPLE, "--checkpoint=7"], "give last or one of 10, 20",
     [["--workdir=ring", *SAMPLE, f"--checkpoint={wanted}"] for wanted in ("last", 10, 20)]),
    (["--workdir=ring", *SAMPLE, "--label=3"], "give none, for the run is unconditional",
     [["--workdir=ring", *SAMPLE]]),
    (["--workdir=ring", *SAMPLE, "--traverse"], "see interpolate", [["--workdir=ring", *SAMPLE, "--interpolate"]]),
    ([*DIGITS, *NEW, "--config.conditional.classes=3"], "give --config.conditional.classes=10",
     [[*DIGITS, *NEW, "--config.conditional.classes=10"]]),
    ([f"--config={EXPERIMENTS}/conditional_gan.py:swiss_roll", *NEW], "give conditional.name none or infogan",
     [[f"--config={EXPERIMENTS}/conditional_gan.py:swiss_roll", *NEW, f"--config.conditional.name={name}"]
      for name in ("none", "infogan")]),
    ([*RING, *NEW, "--config.network.name=dcgan"], "give --config.network.name=mlp",
     [[*RING, *NEW, "--config.network.name=mlp"]]),
    ([*DIGITS, *NEW, "--config.network.name=dcgan", "--config.data.image_size=21"],
     "give --config.data.image_size=20 or --config.network.name=mlp",
     [[*DIGITS, *NEW, "--config.network.name=dcgan", "--config.data.image_size=20"],
      [*DIGITS, *NEW, "--config.network.name=mlp", "--config.data.image_size=21"]]),
    ([*RESNET, "--config.network.attention=16"], "give 0, or a larger config.data.image_size",
     [RESNET, [*RESNET, "--config.network.attention=16", "--config.data.image_size=32"]]),
    ([*RESNET, "--config.network.attention=3", "--config.data.image_size=32"], "; give 8, 16, or 0",
     [[*RESNET, f"--config.network.attention={size}", "--config.data.image_size=32"] for size in (8, 16, 0)]),
    ([*RING, *NEW, "--init_from=ring", "--config.network.latent_dim=6"], "give --init_layers=fitting",
     [[*RING, *NEW, "--init_from=ring", "--config.network.latent_dim=6", "--init_layers=fitting"]]),
    ([*RING, "--workdir=ring", "--init_from=digits"], "began by itself; give another --workdir",
     [[*RING, *NEW, "--init_from=ring"]]),
    ([*RING, "--workdir=ring", "--sweep=sweep.py"], "and no sweep; give another --workdir",
     [[*RING, *NEW, "--sweep=sweep.py"]]),
    ([*DIGITS, "--workdir=sweep", "--sweep=sweep.py:2"], "and this one has none; give another --workdir",
     [[*DIGITS, *NEW, "--sweep=sweep.py:2"]]),
    ([*DIGITS, *NEW, "--sweep=two.py", "--way=vmap", "--config.data.memory_mb=0"],
     "give auto, or a larger config.data.memory_mb",
     [[*DIGITS, *NEW, "--sweep=two.py", "--way=auto", "--config.data.memory_mb=0"],
      [*DIGITS, *NEW, "--sweep=two.py", "--way=vmap", "--config.data.memory_mb=1"]]),
    ([*DIGITS, "--workdir=sweep.py/run"], "a part of this path is a file; give a folder", [[*DIGITS, *NEW]]),
    (["--mode=compare", "nowhere"], "give the folder of runs", [["--mode=compare", "digits"]]),
    (["--mode=compare", "digits/samples"], "give a run's folder, or one with runs in it",
     [["--mode=compare", "digits"], ["--mode=compare", "sweep"]]),
    (["--mode=compare", "digits", "ring"], "give folders of one set alone", [COMPARE, ["--mode=compare", "ring"]]),
    ([*COMPARE, "--measure=fid"], "give one of frechet_distance", [[*COMPARE, "--measure=frechet_distance"]]),
    (["--mode=compare", "ring", "--measure=fid"], "none was evaluated; see --mode=evaluate", [COMPARE]),
]  # fmt: skip


@pytest.mark.usefixtures("here", "untrained")
@pytest.mark.parametrize(("refused", "words", "ways_out"), FLAGS, ids=[row[1][:50] for row in FLAGS])
def test_what_the_command_advises(refused, words, ways_out, capsys):
    assert run(*refused) == 2
    assert words in capsys.readouterr().err
    for given in ways_out:
        assert run(*given) == 0


# --------------------------------------------------------------------------------------------- what folders hold


def moved(name):
    return lambda: pathlib.Path(name).rename("away")


def written(name, text):
    return lambda: pathlib.Path(name).write_text(text)


def removed(name):
    return lambda: pathlib.Path(name).unlink()


def nothing():
    pass


def emptied(name):
    """A folder in place of a file."""

    def change():
        pathlib.Path(name).unlink(missing_ok=True)
        pathlib.Path(name).mkdir()

    return change


def filed(name):
    """A file in place of a folder."""

    def change():
        shutil.rmtree(name, ignore_errors=True)
        pathlib.Path(name).write_text("")

    return change


def begun_from(folder, has_checkpoint=True):
    """`ring` says that it began from the run in that folder."""

    def change():
        line = {"step": 0, "init_from": os.path.abspath(folder), "wanted": "last", "checkpoint": 20, "layers": "all"}
        pathlib.Path("ring/history.jsonl").write_text(json.dumps(line | {"fresh": []}) + "\n")
        if not has_checkpoint:
            shutil.copytree("ring", "old")
            shutil.rmtree("ring/checkpoints")

    return change


def damaged(*steps):
    def change():
        for step in steps:
            shutil.rmtree(f"digits/checkpoints/{step}/state/d")

    return change


TO_RING, TO_DIGITS = [*RING, "--workdir=ring"], [*DIGITS, "--workdir=digits"]
TO_SWEEP = [*DIGITS, "--workdir=sweep", "--sweep=sweep.py"]
# (what has happened, what is refused then, what is said, what one is told to do, what goes through after that)
FOLDERS = [
    (moved("ring/config.json"), TO_RING, "give another --workdir", nothing, [*RING, *NEW]),
    (written("ring/config.json", "{"), TO_RING, "give another --workdir", nothing, [*RING, *NEW]),
    (written("sweep/sweep.json", "{"), TO_SWEEP, "give another --workdir", nothing,
     [*DIGITS, *NEW, "--sweep=sweep.py"]),
    (written("ring/history.jsonl", '{"step": 1, "changed": 3}\n'), TO_RING, "line 1 does not say what was changed: "
     "remove that line", written("ring/history.jsonl", ""), TO_RING),
    (filed("ring/samples"), TO_RING, "move it away", moved("ring/samples"), TO_RING),
    (filed("ring/damaged"), TO_RING, "move it away", moved("ring/damaged"), TO_RING),
    (emptied("ring/curves.png"), TO_RING, "move it away", moved("ring/curves.png"), TO_RING),
    (written("ring/wandb_id", "../x"), TO_RING, "remove it", removed("ring/wandb_id"), TO_RING),
    (emptied("ring/wandb_id"), TO_RING, "move it away", moved("ring/wandb_id"), TO_RING),
    (begun_from("digits"), [*TO_RING, "--init_from=ring"], "leave --init_from out to go on with it", nothing, TO_RING),
    (begun_from("digits"), [*TO_RING, "--init_from=ring"], "or give another --workdir", nothing,
     [*RING, *NEW, "--init_from=ring"]),
    (begun_from("old", has_checkpoint=False), TO_RING, "has no checkpoint: give that again", nothing,
     [*TO_RING, "--init_from=old:last", "--init_layers=all"]),
    (lambda: shutil.rmtree("ring/checkpoints"), ["--workdir=ring", *SAMPLE], "train first, with --mode=train", nothing,
     [*TO_RING, "--mode=train"]),
    (damaged(20), OF_DIGITS, "give checkpoint 10, and --mode=train sets it aside", nothing,
     [*OF_DIGITS, "--checkpoint=10"]),
    (damaged(10), [*OF_DIGITS, "--checkpoint=10"], "give checkpoint 20", nothing, [*OF_DIGITS, "--checkpoint=20"]),
    (lambda: (shutil.rmtree("digits/checkpoints/10"), damaged(20)()), OF_DIGITS, "there is no other checkpoint: give "
     "another run", nothing, ["--workdir=ring", *SAMPLE]),
    (written("sweep/sweep.json", "{"), COMPARE, "move it away", moved("sweep/sweep.json"), COMPARE),
    (written("sweep/sweep.json", "{"), COMPARE, "or give other folders", nothing, ["--mode=compare", "digits"]),
    (written("digits/comparison.csv", "mine"), COMPARE, "is there already: give another --out=PAGE.html", nothing,
     [*COMPARE, "--out=page.html"]),
    (written("digits/comparison.html", "mine"), COMPARE, "or --overwrite to replace it", nothing,
     [*COMPARE, "--overwrite"]),
    (written("sweep/000/config.json", "{"), COMPARE, "move its folder away", moved("sweep/000"), COMPARE),
    (written("sweep/000/config.json", "{"), COMPARE, "or give others", nothing, ["--mode=compare", "digits"]),
    (written("sweep/000/frozen.json", "{"), COMPARE, "move that folder away", moved("sweep/000"), COMPARE),
]  # fmt: skip


@pytest.mark.usefixtures("here", "untrained")
@pytest.mark.parametrize(("happened", "refused", "words", "done", "taken"), FOLDERS, ids=[r[2][:50] for r in FOLDERS])
def test_what_is_advised_of_a_folder(happened, refused, words, done, taken, capsys):
    happened()
    assert run(*refused) == 2
    assert words in capsys.readouterr().err
    done()
    assert run(*taken) == 0


# A run's samples keep their size, whichever side they are: in this table `digits/` is the run, of 8 x 8.
OF_SIZES = [
    (["large.npz", "digits/"], "; give --image-size=8"),
    (["digits/", "large.npz"], "; give --image-size=8"),
    (["digits/", "wide.npz"], "; give --image-size=8"),
    (["mixed", "digits/"], "and pixels takes those of one: give --image-size=8, or features of inception"),
]


@pytest.mark.usefixtures("here", "untrained")
@pytest.mark.parametrize(("sides", "words"), OF_SIZES)
def test_what_the_metrics_advise_beside_a_run(sides, words, capsys):
    for name, shape in (("large", (9, 32, 32, 1)), ("wide", (9, 16, 24, 1))):
        np.savez(f"{name}.npz", images=np.zeros(shape, np.uint8))
    pathlib.Path("mixed").mkdir()
    for side in range(9, 18):
        Image.new("L", (side, 12)).save(f"mixed/{side}.png")
    flags = [*sides, "--metrics=frechet", "--features=pixels", "--num=9"]
    assert measure(flags) == 2
    assert words in capsys.readouterr().err
    assert measure([*flags, "--image-size=8"]) == 0


def test_what_is_advised_where_a_run_is_no_square():
    """Then it is the other side that is brought to its size, by whoever made it."""
    run, file = (measuring.of_array(np.zeros((4, *sides, 1), np.uint8), {}) for sides in ((24, 16), (32, 32)))
    run, file = run._replace(generate=lambda *_: None), file._replace(is_resizable=True)
    how = measuring.How("frechet", "pixels")
    for sides, words in (
        ((run, file), "resize the reals first to 24 x 16"),
        ((file, run), "resize the samples first to 24 x 16"),
        ((run, run._replace(shape=(16, 24, 1))), "give runs of one size"),
    ):
        with pytest.raises(UserError, match=f"; {words}$"):
            measuring.measure(how, *sides)


# ------------------------------------------------------------------------------------------------ what is called


@pytest.fixture(scope="module")
def model(made):
    """The run `digits`, which judges two samples at once; nothing that is asked of it is computed."""
    found = gan_jax.load(made / "digits")
    found.config.packing = 2
    return found


IMAGES, CLASSES = np.zeros((4, 8, 8, 1), np.uint8), [0, 9, 3, 3]
OF_MODELS = [
    (lambda model: model.label("10"), "give a whole number from 0 to 9",
     lambda model: [model.label(wanted) for wanted in ("0", 9)]),
    (lambda model: model.inputs(0), "give a whole number from 1 to 1000000", lambda model: model.inputs(1)),
    (lambda model: model.generate(IMAGES), "give [n, 14], such as model.inputs(n)",
     lambda model: model.generate(model.inputs(4))),
    (lambda model: model.score(IMAGES[:3], CLASSES[:3]), "give [n, 8, 8, 1], n a multiple of the packing",
     lambda model: model.score(IMAGES, CLASSES)),
    (lambda model: model.score(IMAGES / 255, CLASSES), "give uint8, from 0 to 255",
     lambda model: model.score(IMAGES, CLASSES)),
    (lambda model: model.score(IMAGES), "needs labels: give classes", lambda model: model.score(IMAGES, CLASSES)),
    (lambda model: model.score(IMAGES, [0, 9, 3, 10]), "give 4 classes from 0 to 9",
     lambda model: model.score(IMAGES, CLASSES)),
    (lambda model: model.inputs(4, truncation=1e-7), "give 0 for none, or a number from 1e-6 on",
     lambda model: [model.inputs(4, truncation=number) for number in (0, 1e-6)]),
    (lambda model: model.evaluate(IMAGES, metric="frechet"), "give some of metrics, features, resizer",
     lambda model: model.evaluate(IMAGES, metrics="frechet", features="pixels", resizer="tf1")),
    (lambda model: model.evaluate(np.zeros((4, 16, 12, 1), np.uint8), metrics="frechet", features="pixels"),
     "; resize the reals first to 8 x 8", lambda model: model.evaluate(IMAGES, metrics="frechet", features="pixels")),
]  # fmt: skip


@pytest.mark.parametrize(("refused", "words", "taken"), OF_MODELS, ids=[row[1][:50] for row in OF_MODELS])
def test_what_a_run_advises(refused, words, taken, model, untrained, monkeypatch):
    monkeypatch.setitem(vars(model), "_logits", lambda x, told: np.zeros(len(x) // 2))
    with pytest.raises(UserError) as error:
        refused(model)
    assert words in str(error.value)
    assert taken(model) is not None


def test_a_run_that_is_told_nothing_takes_no_labels(here):
    model = gan_jax.load("ring")
    points = np.zeros((2, 2), np.float32)
    with pytest.raises(UserError, match="give none, for the run is unconditional"):
        model.score(points, [0, 1])
    assert model.score(points).shape == (2,)


def configured(**fields):
    config = default_config()
    config.update_from_flattened_dict({name.replace("__", "."): value for name, value in fields.items()})
    return config


def locked(folder):
    with workdir.claimed(pathlib.Path(folder)):
        pass


def judged(**fields):
    """What six devices of several processes say of a configuration."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(jax, "device_count", lambda: 6)
        patch.setattr(parallel, "is_one_of_several", lambda: True)
        parallel.check(configured(**fields))


def held(content):
    """A cached file of that content: what is kept there, read as {"a": ...}."""
    np.savez("kept.npz", **content)
    return cache.kept(pathlib.Path("kept.npz"), lambda arrays: arrays["a"])


def image(layer, size, *shape, **options):
    return jax.eval_shape(layer(3, size, **options).init, jax.random.key(0), jnp.zeros((1, *shape, 2)))


UNIFORM = axes.uniform(0, 1)
CALLS = [
    (lambda: gan_jax.load("nowhere"), "give the folder of one, such as runs/wgan, or train first",
     [lambda: gan_jax.load("ring")]),
    (lambda: gan_jax.load("ring", fields={"seed": 3}), "leave them out", [lambda: gan_jax.load("ring", fields={})]),
    (lambda: comparison.compare([]), "give the folders of runs, or folders with runs in them",
     [lambda: comparison.compare([pathlib.Path("ring")]), lambda: comparison.compare([pathlib.Path("sweep")])]),
    (lambda: names.check_workdir("a[1]/run"), "rename that folder, or give another --workdir",
     [lambda: names.check_workdir("a1/run")]),
    (lambda: locked("/proc/run"), "give another --workdir", [lambda: locked("new/run")]),
    # sweeps, and what they are made of
    (lambda: axes.zipped({"a": [1, 2], "b": [1]}), "give equally many", [lambda: axes.zipped({"a": [1], "b": [2]})]),
    (lambda: axes.draws(0, {"a": UNIFORM}), "give at least 1", [lambda: axes.draws(1, {"a": UNIFORM})]),
    (lambda: axes.draws(3, {"a": [0, 1]}), "give uniform, log_uniform or choice",
     [lambda: axes.draws(3, {"a": UNIFORM, "b": axes.log_uniform(1, 2), "c": axes.choice([0, 1])})]),
    (lambda: axes.product([]), "give lists of dicts, such as grid and draws make",
     [lambda: axes.product(axes.grid({"a": [1]}), axes.draws(2, {"b": UNIFORM}), [{"c": 1}])]),
    (lambda: axes.product([{"a": 1}], [{"a": 2}]), "give it in one", [lambda: axes.product([{"a": 1}], [{"b": 2}])]),
    (lambda: axes.log_uniform(0, 1), "give numbers above 0", [lambda: axes.log_uniform(1e-9, 1)]),
    (lambda: axes.uniform(1, 0), "a lower and an upper limit, in this order", [lambda: axes.uniform(0, 1)]),
    (lambda: axes.grid({"a": UNIFORM}), "give values, or draw from it with draws",
     [lambda: axes.grid({"a": [0, 0.5]}), lambda: axes.draws(2, {"a": UNIFORM})]),
    (lambda: axes.grid({"a": 3}), "give a list of values", [lambda: axes.grid({"a": [3]})]),
    (lambda: axes.grid({"a": []}), "give at least one", [lambda: axes.grid({"a": [3]})]),
    (lambda: sweep._check_members({"seed": [1]}), "make it with grid, zipped, draws or product",
     [lambda: [sweep._check_members(made) for made in (axes.grid({"a": [1]}), axes.zipped({"a": [1]}),
                                                       axes.draws(1, {"a": UNIFORM}), axes.product([{"a": 1}]))]]),
    (lambda: sweep._check_members([]), "give 1 to 10,000",
     [lambda: [sweep._check_members([{}] * count) for count in (1, 10_000)]]),
    (lambda: sweep._check_alike({"000": configured(), "001": configured()}), "give each once",
     [lambda: sweep._check_alike({"000": configured()})]),
    (lambda: sweep.member_config(configured(), {"n_critic": 1.5}), "give a value of type int",
     [lambda: sweep.member_config(configured(), {"n_critic": 2})]),
    (lambda: sweep.member_config(configured(), {"optimizer.critic_rl": 0.1}), "did you mean optimizer.critic_lr?",
     [lambda: sweep.member_config(configured(), {"optimizer.critic_lr": 0.1})]),
    # several processes
    (lambda: parallel._check_given("auto", 2, 0), "leave them out",
     [lambda: parallel._check_given("auto", None, None)]),
    (lambda: parallel._check_given("host", 2, 0), "give HOST:PORT of process 0, or auto",
     [lambda: parallel._check_given("host:1", 2, 0), lambda: parallel._check_given("auto", None, None)]),
    (lambda: parallel._check_given("host:1", 2, None), "give --num_processes and --process_id too",
     [lambda: parallel._check_given("host:1", 2, 0)]),
    (lambda: parallel._check_given("host:1", 2, 2), "so give at most 1",
     [lambda: parallel._check_given("host:1", 2, 1)]),
    (lambda: judged(batch_size=8), "give a multiple of 6", [lambda: judged(batch_size=12)]),
    (lambda: judged(batch_size=12, packing=3), "give a multiple of 18", [lambda: judged(batch_size=18, packing=3)]),
    # one thing or another
    (lambda: study._count("0"), "give a whole number above 0", [lambda: study._count("1")]),
    (lambda: study._seed("-1"), "from 0 to 2**32 - 1", [lambda: study._seed("0"), lambda: study._seed(f"{2**32 - 1}")]),
    (lambda: study._some_of(("a", "b"))("a,c"), "give some of a, b", [lambda: study._some_of(("a", "b"))("b,a")]),
    (lambda: study._writable(argparse.ArgumentParser(exit_on_error=False), "/proc/here"),
     "give a folder that can be written",
     [lambda: study._writable(None, "here")]),
    (lambda: tracking.check_login("on"), "choose one of disabled, offline", [lambda: tracking.check_login("disabled")]),
    (lambda: image(conv.ConvMeanPool, 4, 8, 8), "give an odd size and even images",
     [lambda: image(conv.ConvMeanPool, 3, 8, 8)]),
    (lambda: image(conv.ConvMeanPool, 3, 8, 7), "give an odd size and even images",
     [lambda: image(conv.ConvMeanPool, 3, 8, 8)]),
    (lambda: image(conv.Conv, 1.5, 8, 8), "give whole numbers", [lambda: image(conv.Conv, 3, 8, 8)]),
    (lambda: image(conv.Conv, 3, 8, 8, padding="FULL"), "give SAME or VALID",
     [lambda: image(conv.Conv, 3, 8, 8, padding="SAME"), lambda: image(conv.Conv, 3, 8, 8, padding="VALID")]),
]  # fmt: skip
ERRORS = UserError, ValueError, argparse.ArgumentTypeError, SystemExit


@pytest.mark.usefixtures("here")
@pytest.mark.parametrize(("refused", "words", "ways_out"), CALLS, ids=[row[1][:50] for row in CALLS])
def test_what_is_advised_of_a_call(refused, words, ways_out, capsys):
    with pytest.raises(ERRORS) as error:
        refused()
    assert words in f"{error.value} {capsys.readouterr().err}"
    for taken in ways_out:
        taken()


@pytest.mark.usefixtures("here", "untrained")
def test_a_page_that_a_comparison_made_is_made_anew_where_it_has_its_own_place(capsys):
    for _ in range(2):
        assert run(*COMPARE) == 0
    kept = pathlib.Path("digits/comparison.html").read_bytes()
    assert run(*COMPARE, "--out=page.html") == 0
    assert run(*COMPARE, "--out=page.html") == 2
    assert "page.html is there already: give another --out=PAGE.html, or --overwrite" in capsys.readouterr().err
    assert run(*COMPARE, "--out=digits/comparison.html") == 2
    assert pathlib.Path("digits/comparison.html").read_bytes() == kept
    assert run(*COMPARE, "--out=page.html", "--overwrite") == 0


@pytest.mark.usefixtures("here", "untrained")
def test_a_run_at_work_is_evaluated_once_it_is_done_or_elsewhere(capsys):
    with workdir.claimed(pathlib.Path("digits")):
        assert run(*PIXELS, "--num=2") == 2
        assert "digits is in use by another run; wait for it, or give --out=FOLDER" in capsys.readouterr().err
        assert run(*PIXELS, "--num=2", "--out=out") == 0
    assert run(*PIXELS, "--num=2") == 0


def test_a_folder_in_use_is_waited_for(here):
    """Or another is taken. A claim is the file's, so that a second one of this process is refused too."""
    with workdir.claimed(here / "ring"):
        with pytest.raises(UserError, match="wait for it, or give another --workdir"):
            locked(here / "ring")
        locked(here / "new")
    locked(here / "ring")


def test_what_something_else_is_in_the_way_of_is_kept_once_that_is_moved_away(here, capsys):
    assert held({"b": np.ones(2)}) is None
    assert "move it away, or give another $GAN_JAX_CACHE" in capsys.readouterr().err
    pathlib.Path("kept.npz").rename("away.npz")
    cache.keep(pathlib.Path("kept.npz"), {"a": np.ones(2)})
    np.testing.assert_array_equal(cache.kept(pathlib.Path("kept.npz"), lambda arrays: arrays["a"]), np.ones(2))


def test_checkpoints_in_the_place_of_a_file_and_without_any_that_is_whole(here):
    """The former is moved away, the latter are removed: then the run begins at step 0."""
    config = main.parse(["gan_jax", *RING])[0].config
    shapes = loop.shapes_of_carry(config, sources.of_config(config.data))

    def newest():
        with checkpoint.open_checkpoints(here / "ring") as manager:
            return checkpoint.restore_newest(manager, shapes)

    for step in (10, 20):
        shutil.rmtree(f"ring/checkpoints/{step}/state/d")
    with pytest.raises(UserError, match=r"remove .*ring/checkpoints to begin at step 0"):
        newest()
    shutil.rmtree("ring/checkpoints")
    assert newest() is None
    filed("ring/checkpoints")()
    with pytest.raises(UserError, match="is a file, and no folder: move it away"):
        newest()
    moved("ring/checkpoints")()
    assert newest() is None


def test_another_network_goes_to_another_folder(here):
    """Than that of checkpoints that do not fit it."""
    config = main.parse(["gan_jax", *RING, "--config.network.width=16"])[0].config
    shapes = loop.shapes_of_carry(config, sources.of_config(config.data))
    with checkpoint.open_checkpoints(here / "ring") as manager, pytest.raises(UserError, match="another --workdir"):
        checkpoint.restore_newest(manager, shapes)
    with checkpoint.open_checkpoints(here / "new") as manager:
        assert checkpoint.restore_newest(manager, shapes) is None


def test_what_keeps_a_run_finite_is_taken_in_its_own_folder():
    """But for what is said to be of another."""
    config = configured(loss="wasserstein", penalty__weight=10.0)
    assert "weight_clip=0.01, or in another --workdir penalty.name=gradient_penalty or" in finite.remedies(config)
    for name in ("weight_clip", "optimizer.critic_lr", "optimizer.generator_lr", "penalty.weight"):
        assert config_fields[name].kind == "changeable"
    for fields in ({"weight_clip": 0.01}, {"penalty__name": "gradient_penalty"}, {"network__spectral_norm": True}):
        validate(configured(loss="wasserstein", **fields))
    config = configured(loss="f_gan:pearson")
    assert "as non_saturating, in another --workdir" in finite.remedies(config)
    validate(configured(loss="non_saturating"))


OF_STUDIES = [
    (lambda made: None, "make one of an optuna.Study"),
    (lambda made: made._replace(study=None), "give an optuna.Study with one, minimize"),
    (lambda made: made._replace(num=0), "give a whole number, at least 1"),
    (lambda made: made._replace(at_once=1.5), "give a whole number, at least 1"),
    (lambda made: made._replace(ranges={"loss": ["hinge"]}), "give uniform, log_uniform or choice"),
]


@pytest.mark.parametrize(("spoilt", "words"), OF_STUDIES)
def test_what_is_advised_of_a_search(spoilt, words):
    optuna = pytest.importorskip("optuna")
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    ranges = {"optimizer.critic_lr": axes.log_uniform(1e-5, 1e-2), "penalty.weight": axes.uniform(1, 2),
              "loss": axes.choice(["hinge"])}  # fmt: skip
    made = search.Study(optuna.create_study(direction="minimize"), ranges, 1, 1)
    config = configured(eval_every=10)
    with pytest.raises(UserError) as error:
        search._check(config, spoilt(made))
    assert words in str(error.value)
    with pytest.raises(UserError, match="give the steps between"):
        search._check(configured(eval_every=0), made)
    search._check(config, made)
