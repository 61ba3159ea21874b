import sys

import jax
import numpy as np
import pytest
from PIL import Image

from gan_jax.config import f_gans, loss_names, penalty_names, validate
from gan_jax.data import mixtures, sources
from gan_jax.errors import UserError
from gan_jax.runs import loop
from gan_jax.studies import command, mode_collapse
from gan_jax.training import population, sampling
from gan_jax.training.game import build_loss
from gan_jax.training.hyperparameters import hyperparameters
from tests import shipped

TINY = {"steps": 20, "network.width": 8, "network.depth": 2, "batch_size": 16}
PAIR = ("minimax", "remedy:dragan")


@pytest.fixture(scope="module")
def lines():
    return []


@pytest.fixture(scope="module")
def numbers(lines):
    """Two systems and two seeds, of which the second system's diverge: its learning rate is infinite in float32."""
    systems = mode_collapse.SYSTEMS | {"remedy:dragan": {"optimizer.generator_lr": 1e38, "optimizer.critic_lr": 1e38}}
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(mode_collapse, "SYSTEMS", systems)
        sizes = {"steps": 20, "width": 8, "depth": 2, "batch_size": 16}
        return mode_collapse.measure(3, ("ring",), PAIR, seeds=2, report=lines.append, **sizes)


@pytest.mark.parametrize("data", ["ring", "grid"])
@pytest.mark.parametrize("system", mode_collapse.SYSTEMS)
def test_every_system_is_a_valid_configuration(data, system):
    config = mode_collapse.configured(data, system, seed=1, **TINY)
    assert validate(config) is None
    assert (config.data.name, config.seed, config.steps, config.network.width) == (data, 1, 20, 8)


def test_the_systems_are_told_apart_by_what_they_set():
    configs = [mode_collapse.configured("ring", system).to_json() for system in mode_collapse.SYSTEMS]
    assert len(set(configs)) == len(configs)


def test_every_loss_is_in_a_system():
    losses = {mode_collapse.configured("ring", system).loss for system in mode_collapse.SYSTEMS}
    assert losses == {*loss_names(), *f_gans()} - {*mode_collapse.NON_SATURATING}


@pytest.mark.parametrize("name", penalty_names())
def test_every_penalty_is_in_a_system(name):
    penalties = {mode_collapse.configured("ring", system).penalty.name for system in mode_collapse.SYSTEMS}
    where = "SYSTEMS of gan_jax/studies/mode_collapse.py"
    shipped.needs_row(name, shipped.PENALTIES, penalties, where, "a system that has it")


@pytest.mark.parametrize("name", mode_collapse.NON_SATURATING)
def test_those_left_out_have_the_gradients_of_the_non_saturating_game(name):
    """To every logit of both players."""
    config = mode_collapse.configured("ring", "f_gan:pearson")
    logits = np.linspace(-5, 5, 7, dtype=np.float32), np.linspace(-3, 8, 7, dtype=np.float32)
    for player in ("critic", "generator"):
        gradients = []
        for loss in (name, "non_saturating"):
            config.loss = loss
            play = getattr(build_loss(config, hyperparameters(config)), player)
            gradients.append(jax.grad(lambda both, play=play: play(*both))(logits))
        jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, atol=1e-6), *gradients)


def test_noise_is_gone_at_the_end_of_the_run():
    config = mode_collapse.configured("ring", "remedy:noise", steps=70)
    falls = {"shape": "linear", "start": 0, "over": 70, "to": 0}
    assert (config.noise.sigma, config.schedule.noise.sigma.to_dict()) == (0.2, falls)
    assert config.schedule.unit == "steps"


@pytest.mark.slow
def test_a_seed_among_others_is_the_lone_run():
    config, source = mode_collapse.configured("ring", "minimax", **TINY), sources.load("ring", "", 0, 0.0)
    member = mode_collapse.trained(config, (3, 4))[1]
    config.seed = 4
    carries = loop.fresh_carries([config], source)
    program = population.compile_program(config, source, carries[0])
    ((alone, _),), _ = population.make_advance(program, "one_after_another")(carries, 20)
    assert int(member.step) == 20
    np.testing.assert_array_equal(*map(jax.random.key_data, (member.key, alone.key)))
    for one, other in zip(jax.tree.leaves(member.ema), jax.tree.leaves(alone.ema), strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-4, atol=1e-5)


def test_its_members_differ(numbers):
    shares = numbers["data"]["ring"]["systems"]["minimax"]["reverse_kl"]
    assert len(shares) == 2
    assert shares[0] != shares[1]


@pytest.mark.slow
def test_rows_are_the_metrics_of_the_samples(monkeypatch):
    """Of 2,500 points: half on one mode, a quarter on another, a quarter outside of both, but nearest to the first."""
    means = mixtures.MODES["ring"].means
    places = np.stack([means[0], means[0], means[3], 2 * means[0]])
    monkeypatch.setattr(sampling, "samples", lambda generator, state, takes, latents: np.resize(places, latents.shape))
    row = mode_collapse.train(mode_collapse.configured("ring", "minimax", **TINY | {"steps": 1}), (3,))
    assert (row["modes_covered"], row["share_within_3_sigma"], row["failed"]) == ([2], [0.75], [False])
    assert row["reverse_kl"] == pytest.approx([0.75 * np.log(0.75 * 8) + 0.25 * np.log(0.25 * 8)])
    assert row["points"].shape == (300, 2)


def test_a_system_that_diverges_is_reported_as_failed(numbers, lines):
    row = numbers["data"]["ring"]["systems"]["remedy:dragan"]
    assert row["failed"] == [True, True]
    assert np.isnan(row["modes_covered"]).all()
    assert "failed: 2 of 2" in lines[1]


def test_each_row_is_reported_when_it_is_done(lines, numbers):
    assert [line.split()[:2] for line in lines] == [["ring", name] for name in PAIR]


def test_rows_are_kept_and_found_again(monkeypatch, tmp_path):
    """But for other seeds or sizes."""
    made = []

    def train(config, seeds):
        made.append((config.steps, list(seeds)))
        return {metric: [1.0, np.nan] for metric in mode_collapse.METRICS} | {"failed": [False, True], "points": []}

    monkeypatch.setattr(mode_collapse, "train", train)
    for arguments in ({}, {}, {"steps": 7}, {"seed": 1}, {"seeds": 3}, {}):
        numbers = mode_collapse.measure(
            **{"data": ("ring",), "systems": PAIR, "seeds": 2, "folder": tmp_path / "rows", "report": str} | arguments
        )
    assert made == [
        setting for setting in [(5000, [0, 1]), (7, [0, 1]), (5000, [1, 2]), (5000, [0, 1, 2])] for _ in PAIR
    ]
    assert numbers["data"]["ring"]["systems"]["minimax"]["modes_covered"] == [1.0, None]
    assert "1.0 " in mode_collapse.table(numbers)
    for row in (tmp_path / "rows").iterdir():
        row.write_text('{"mod')
    with pytest.raises(UserError, match=r"ring_minimax_.* is damaged"):
        mode_collapse.measure(data=("ring",), systems=("minimax",), seeds=2, folder=tmp_path / "rows", report=str)


def test_seeds_beyond_the_last_are_refused():
    with pytest.raises(UserError, match="seed=4294967296"):
        mode_collapse.measure(2**32 - 1, ("ring",), PAIR, seeds=2, report=str)


def test_failed_seeds_are_in_no_mean():
    row = {metric: [1.0, np.nan, 3.0] for metric in mode_collapse.METRICS} | {"failed": [False, True, False]}
    text = mode_collapse.table({"steps": 5, "seeds": 3, "data": {"ring": {"modes": 8, "systems": {"x": row}}}})
    assert "2.0 +- 1.4" in text  # the deviation of a sample: root 2
    assert "failed: 1 of 3" in text


def test_table_names_the_quantities(numbers):
    text = mode_collapse.table(numbers)
    assert all(word in text for word in ("ring", "modes of 8", "within 3 sigma", "reverse KL", "2 seeds", *PAIR))


def test_draws_a_picture(numbers, tmp_path):
    mode_collapse.draw(tmp_path / "modes.png", numbers)
    with Image.open(tmp_path / "modes.png") as image:
        assert image.format == "PNG"
        assert 600 <= image.width <= 2500
        assert 400 <= image.height <= 2500
        assert len(np.unique(np.asarray(image))) > 50


@pytest.fixture
def run(monkeypatch, tmp_path):
    """run("--steps=3") -> what `measure` was called with."""

    def run(*flags):
        monkeypatch.setattr(sys, "argv", ["study", f"--out={tmp_path}", *flags])

        def measure(seed=0, systems=tuple(mode_collapse.SYSTEMS), steps=5000):
            if steps == 9:
                raise UserError("nine; give ten")
            if steps == 10:
                raise KeyboardInterrupt
            return {"seed": seed, "systems": systems, "steps": steps}

        command.run("study", "", measure, str, lambda path, numbers: None, ("systems", "steps"))
        return (tmp_path / "study.json").read_text()

    return run


def test_some_systems_can_be_chosen_on_the_command_line(run):
    written = run("--systems=hinge,remedy:packing_2,hinge", "--steps=3", "--seed=7")
    assert "".join(written.split()) == '{"seed":7,"systems":["hinge","remedy:packing_2"],"steps":3}'


@pytest.mark.parametrize("flag", ["--systems=hinge,hing", "--systems=", "--steps=0", "--steps=x", "--steps=9"])
def test_a_flag_that_is_wrong_is_refused_with_what_is_allowed(run, flag, capsys):
    with pytest.raises(SystemExit) as error:
        run(flag)
    assert error.value.code == 2
    assert "give " in capsys.readouterr().err


def test_ctrl_c_ends_in_one_line(run, capsys):
    with pytest.raises(SystemExit) as error:
        run("--steps=10")
    assert error.value.code == 130
    assert capsys.readouterr().err == "stopped by Ctrl-C\n"


def test_a_folder_that_cannot_be_written_is_refused_before_anything_is_measured(run, monkeypatch, capsys):
    monkeypatch.setattr(command.os, "access", lambda path, mode: False)  # root may write anywhere
    with pytest.raises(SystemExit) as error:
        run()
    assert error.value.code == 2
    assert "Permission denied; give a folder that can be written" in capsys.readouterr().err
