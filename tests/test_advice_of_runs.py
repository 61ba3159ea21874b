"""What a message says to give, given: it goes through. Messages of the command, of folders of runs, and of a run's API.

Two runs and a sweep are written once. What would train is checked as ever, and then not trained.
"""

import argparse
import fcntl
import json
import os
import pathlib
import shutil
import zlib

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import gan_jax
from gan_jax import axes, cache, changes, comparison, main, names, search, sweep, trained, workdir
from gan_jax.comparing import runs
from gan_jax.config import default_config, flat
from gan_jax.data import sources
from gan_jax.errors import UserError
from gan_jax.networks import conv
from gan_jax.reports import scalars, tracking
from gan_jax.studies import command as study
from gan_jax.training import checkpoint, finite, loop, parallel, sampling, scores

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
def made(shared_folder, compiled_quickly):
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
