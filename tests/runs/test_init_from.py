"""A run that begins from another: with which arrays, and what happens when the same command comes again."""

import json
import os
import pathlib

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from gan_jax.config import default_config
from gan_jax.data.batches import Batch
from gan_jax.errors import UserError
from gan_jax.runs import beginning, init_from, trained, workdir
from gan_jax.training.hyperparameters import hyperparameters
from gan_jax.training.state import create_state
from gan_jax.training.step import make_train_step


def begin(command, *flags, folder="new", code=0, experiment="wgan_gp.py:ring", **fields):
    command(experiment, f"--workdir={folder}", *flags, code=code, **fields)


def equal(left, right):
    for a, b in zip(*map(jax.tree.leaves, (left, right)), strict=True):
        np.testing.assert_array_equal(np.asarray(a), np.asarray(b))


def taken(state):
    return state.generator.params, state.generator.stats, state.critic.params, state.critic.stats, state.ema


@pytest.mark.parametrize(
    ("text", "folder", "wanted"),
    [
        ("runs/a", "runs/a", "last"),
        ("runs/a:best", "runs/a", "best"),
        ("runs/a:last", "runs/a", "last"),
        ("runs/a/:40", "runs/a", "40"),
        ("runs/a:b", "runs/a:b", "last"),
        ("runs/a:b:7", "runs/a:b", "7"),
        ("runs/a:²", "runs/a:²", "last"),
        (":best", ":best", "last"),
        ("runs/a:", "runs/a:", "last"),
    ],
)
def test_what_follows_the_last_colon_is_a_checkpoint_or_a_part_of_the_name(text, folder, wanted):
    assert init_from.asked(text, "all") == (os.path.abspath(folder), wanted, "all")


def test_nothing_asked_is_nothing():
    assert init_from.asked("", "all") is None


def state_of(seed=0, **fields):
    config = default_config("digits")
    fields = {"network.width": 8, "network.depth": 1, "network.latent_dim": 4, "seed": seed} | fields
    config.update_from_flattened_dict(fields)
    return config, create_state(config, (8, 8, fields.pop("channels", 1)))


def record(layers="all"):
    return {"init_from": "/there", "wanted": "last", "checkpoint": 7, "layers": layers}


def test_a_new_run_has_the_arrays_of_the_other_and_all_else_of_its_own():
    (_, other), (config, fresh) = state_of(1), state_of(2, **{"optimizer.critic_lr": 0.25, "ema_decay": 0.5})
    other = other.replace(step=other.step + 7, ema=jax.tree.map(lambda leaf: leaf + 1, other.ema))
    state, said = beginning.begun(beginning.Beginning(other, record()), fresh)
    equal(taken(state), taken(other))
    equal((state.generator.opt_state, state.critic.opt_state), (fresh.generator.opt_state, fresh.critic.opt_state))
    assert (int(state.step), float(state.hparams["critic_lr"])) == (0, 0.25)
    assert set(state.hparams) == set(hyperparameters(config))
    equal(jax.random.key_data(state.key), jax.random.key_data(fresh.key))
    assert said == {"step": 0, **record(), "fresh": []}
    for leaf in jax.tree.leaves((state.generator.params, state.critic.params, state.ema)):
        leaf.delete()  # as a step does, to which it is donated: the other members need theirs
    equal(taken(other), taken(other))


@pytest.mark.slow
def test_the_average_goes_on_as_in_the_other_run():
    """After t steps in all, its decay is min(ema_decay, (1 + t) / (10 + t)), whichever of the runs made them."""
    (_, other), (config, fresh) = state_of(1), state_of(2, ema_decay=0.999)
    other = other.replace(step=jnp.int32(90), hparams=other.hparams | {"ema_steps": jnp.float32(10)})
    state, _ = beginning.begun(beginning.Beginning(other, record()), fresh)
    batch = Batch(jnp.zeros((1, config.batch_size, 8, 8, 1)), jnp.zeros((1, config.batch_size), jnp.int32))
    new, _ = make_train_step(config, (8, 8, 1))(state, batch)
    for average, began, now in zip(*map(jax.tree.leaves, (new.ema, state.ema, new.generator.params)), strict=True):
        np.testing.assert_allclose(average, 101 / 110 * began + 9 / 110 * now, rtol=1e-5, atol=1e-6)


def test_what_does_not_fit_is_named_and_where_that_is_asked_for_it_is_fresh():
    (_, other), (_, fresh) = state_of(1), state_of(2, **{"network.latent_dim": 6})
    with pytest.raises(UserError, match="--init_layers=fitting") as error:
        beginning.begun(beginning.Beginning(other, record()), fresh)
    assert "generator/params/Dense_0/kernel (float32[4, 8] there, float32[6, 8] here)" in str(error.value)
    state, said = beginning.begun(beginning.Beginning(other, record("fitting")), fresh)
    assert said["fresh"] == ["ema/Dense_0/kernel", "generator/params/Dense_0/kernel"]
    equal(state.critic, fresh.critic.replace(params=other.critic.params, stats=other.critic.stats))
    for own, there, new in zip(*(leaves(s.generator.params) for s in (state, other, fresh)), strict=True):
        np.testing.assert_array_equal(own[1], new[1] if own[0] == "Dense_0/kernel" else there[1])


def leaves(tree):
    flat = jax.tree_util.tree_leaves_with_path(tree)
    return [(jax.tree_util.keystr(path, simple=True, separator="/"), np.asarray(leaf)) for path, leaf in flat]


def test_an_array_that_the_other_run_alone_has_is_named_too():
    (_, other), (_, fresh) = state_of(1), state_of(2)
    other = other.replace(critic=other.critic.replace(stats={"spectral": {"u": np.ones(3, np.float32)}}))
    with pytest.raises(UserError, match=r"critic/stats/spectral/u \(float32\[3\] there, absent here\); give"):
        beginning.check(beginning.Beginning(other, record()), fresh)
    assert beginning.check(beginning.Beginning(other, record("fitting")), fresh) == []


def test_few_names_are_named_and_the_others_counted():
    assert beginning.few(["a", "b"], 2) == "a, b"
    assert beginning.few(["a", "b", "c", "d"], 2) == "a, b and 2 more"


@pytest.mark.slow
def test_a_run_begins_from_another_and_is_that_run_at_step_0(command, capsys, records):
    """Of another seed, loss, penalty, batch and rate; and by the checkpoint that was asked for."""
    begin(command, folder="old", steps=40)
    before = snapshot("old")
    given = {"seed": 3, "loss": "hinge", "penalty__name": "none", "batch_size": 16, "optimizer__critic_lr": 1e-3}
    capsys.readouterr()
    begin(command, "--init_from=old:20", steps=20, **given)
    assert f"new begins from {os.path.abspath('old')}\n" in capsys.readouterr().out
    assert snapshot("old") == before
    (line,) = records("new/history.jsonl")
    place = os.path.abspath("old")
    assert line == {"step": 0, "init_from": place, "wanted": "20", "checkpoint": 20, "layers": "all", "fresh": []}
    start, source = trained.load("new", 0).state, trained.load("old", 20).state
    equal(taken(start), taken(source))
    fresh = create_state(trained.stored_config(pathlib.Path("new")), (2,))
    equal((start.generator.opt_state, start.critic.opt_state), (fresh.generator.opt_state, fresh.critic.opt_state))
    # The same again, though the other run has gone on, or away: this one goes on by itself.
    pathlib.Path("old").rename("gone")
    begin(command, "--init_from=old/:20", steps=40, **given)
    begin(command, steps=40, **given)
    capsys.readouterr()
    for other in ("--init_from=old", "--init_from=old:40", "--init_from=gone:20"):
        begin(command, other, steps=40, **given, code=2)
        assert f"began from --init_from={place}:20 --init_layers=all: leave --init_from out" in capsys.readouterr().err
    begin(command, "--init_from=gone", "--workdir=gone", steps=60, code=2)
    assert "holds a run that began by itself" in capsys.readouterr().err


def snapshot(folder):
    return {
        path: (path.stat().st_mtime_ns, path.read_bytes()) for path in pathlib.Path(folder).rglob("*") if path.is_file()
    }


@pytest.mark.slow
def test_a_kill_after_the_beginning_resumes_to_the_same_bits_though_the_other_run_has_gone_on(
    command, killed_as_it_saves, same_run
):
    begin(command, folder="old", steps=20)
    begin(command, "--init_from=old", folder="alone", seed=1)
    with killed_as_it_saves(20, "killed"):
        begin(command, "--init_from=old", folder="killed", seed=1)
    begin(command, folder="old", steps=40)
    begin(command, "--init_from=old", folder="killed", seed=1)
    same_run("alone", "killed")
    assert workdir.read_history(pathlib.Path("killed")) == workdir.read_history(pathlib.Path("alone"))


@pytest.mark.slow
def test_a_kill_before_the_beginning_is_saved_begins_once_more(command, killed_as_it_saves, capsys, records):
    begin(command, folder="old", steps=20)
    with killed_as_it_saves(0, "new"):
        begin(command, "--init_from=old")
    begin(command, folder="old", steps=40)
    capsys.readouterr()
    begin(command, code=2)
    assert "has no checkpoint: give that again" in capsys.readouterr().err
    begin(command, "--init_from=old")
    (line,) = records("new/history.jsonl")
    assert line["checkpoint"] == 40


@pytest.mark.slow
def test_other_classes_are_named_and_started_fresh(command, capsys, records):
    begin(command, folder="old", experiment="conditional_gan.py:ring", steps=20)
    begin(command, "--init_from=old", experiment="conditional_gan.py:grid", steps=20, code=2)
    error = capsys.readouterr().err
    assert "other arrays than this run's: " in error
    assert "--init_layers=fitting" in error
    begin(command, "--init_from=old", "--init_layers=fitting", experiment="conditional_gan.py:grid", steps=20)
    (line,) = records("new/history.jsonl")
    fresh = {"generator/params/Dense_0/kernel", "critic/params/network/Dense_0/kernel", "ema/Dense_0/kernel"}
    assert set(line["fresh"]) == fresh | {"critic/stats/spectral/params/Dense_0/kernel/0"}
    assert f"new begins from {os.path.abspath('old')}, but for " in capsys.readouterr().out


@pytest.mark.slow
def test_members_of_a_sweep_begin_from_one_run(command, records, same_run, capsys):
    begin(command, folder="old", steps=20)
    pathlib.Path("s.py").write_text("def get_sweep(n='2'):\n    return [{'seed': i} for i in range(int(n))]\n")
    begin(command, "--sweep=s.py", "--init_from=old", folder="s", steps=40)
    begin(command, "--init_from=old", folder="alone", seed=1, steps=40)
    same_run("s/001", "alone")
    begin(command, "--sweep=s.py:3", "--init_from=old", folder="s", steps=40)
    assert [records(f"s/00{i}/history.jsonl")[0]["checkpoint"] for i in range(3)] == [20] * 3
    capsys.readouterr()
    begin(command, "--sweep=s.py:3", "--init_from=old:20", folder="s", steps=60, code=2)
    assert "s/000 holds a run that began from" in capsys.readouterr().err
    begin(command, "--sweep=s.py", "--init_from=old", folder="t", network__width=16, code=2)
    assert not pathlib.Path("t").exists()


@pytest.mark.slow
def test_a_checkpoint_that_is_not_there_is_said_of_the_run_that_is_begun_from(command, capsys):
    begin(command, folder="old", steps=20)
    for wanted, words in (("999", "has no checkpoint 999: give last or one of 20"), ("best", "or give last")):
        capsys.readouterr()
        begin(command, f"--init_from=old:{wanted}", code=2)
        line = capsys.readouterr().err
        assert line.startswith(f"gan_jax: --init_from={os.path.abspath('old')}:{wanted}: ")
        assert words in line
        assert "--checkpoint" not in line
    begin(command, "--init_from=old:20", steps=20)


@pytest.mark.parametrize(
    ("flags", "words"),
    [
        (["--init_from=nowhere"], "holds no run"),
        (["--init_from=nowhere", "--mode=sample"], "it is for train"),
        (["--init_layers=fitting"], "without --init_from"),
        (["--init_layers=some", "--init_from=nowhere"], "init_layers"),
    ],
)
def test_what_can_not_be_begun_from_is_one_line(command, capsys, flags, words):
    begin(command, *flags, code=2)
    (line,) = capsys.readouterr().err.splitlines()
    assert words in line
    assert not pathlib.Path("new").exists()


@pytest.mark.slow
def test_the_data_of_the_other_run_are_not_needed(command):
    from PIL import Image

    for name, seed in (("here", 0), ("other", 1)):
        pathlib.Path(name).mkdir()
        for i, pixels in enumerate(np.random.default_rng(seed).integers(0, 256, (16, 8, 8, 3), dtype=np.uint8)):
            Image.fromarray(pixels).save(f"{name}/{i}.png")
    fields = {"experiment": "wgan_gp.py:folder", "network__name": "mlp", "steps": 20}
    begin(command, folder="old", data__dir="here", **fields)
    pathlib.Path("here").rename("gone")
    begin(command, "--init_from=old", data__dir="other", **fields)
    equal(taken(trained.load("new", 0).state), taken(trained.load("old").state))


@pytest.mark.hours
def test_a_comparison_tells_runs_of_another_past_apart(command, capsys):
    from gan_jax import main

    begin(command, folder="runs/old", steps=20)
    begin(command, folder="runs/alone", steps=40, seed=1)
    begin(command, "--init_from=runs/old", folder="runs/begun", steps=40, seed=1)
    begin(command, folder="runs/more", steps=20, seed=2)
    begin(command, folder="runs/more", steps=40, seed=2)
    begin(command, folder="runs/changed", steps=20, seed=3, optimizer__b1=0.9)
    begin(command, folder="runs/changed", steps=40, seed=3)
    older = json.loads(pathlib.Path("runs/alone/config.json").read_text())
    del older["noise.sigma"], older["eval_reals"]
    pathlib.Path("runs/alone/config.json").write_text(json.dumps(older))
    capsys.readouterr()
    assert main.main(["gan_jax", "--mode=compare", "runs/alone", "runs/begun", "runs/more", "runs/changed"]) == 0
    assert "4 runs of 3 settings" in capsys.readouterr().out
