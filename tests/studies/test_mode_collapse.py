import sys

import jax
import numpy as np
import pytest
from PIL import Image

from gan_jax.config import f_gans, loss_names, penalty_names, validate
from gan_jax.data import mixtures, sources
from gan_jax.studies import command, mode_collapse
from gan_jax.training import loop

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


def test_every_loss_and_every_penalty_is_in_a_system():
    configs = [mode_collapse.configured("ring", system) for system in mode_collapse.SYSTEMS]
    assert {config.loss for config in configs} == {*loss_names(), *f_gans()}
    assert {config.penalty.name for config in configs} == {"none", *penalty_names()}
    assert len(penalty_names()) > 5


def test_noise_is_gone_at_the_end_of_the_run():
    config = mode_collapse.configured("ring", "remedy:noise", steps=70)
    assert (config.noise.sigma, config.noise.steps) == (0.2, 70)


def test_a_member_of_the_population_is_the_lone_run():
    configs = [mode_collapse.configured("ring", "minimax", seed=seed, **TINY) for seed in (3, 4)]
    source = sources.load("ring", "", 0, 0.0)
    member = mode_collapse.population(configs)[1]
    (alone, _), _ = loop.make_advance(configs[1], source)(loop.fresh_carry(configs[1], source), 20)
    assert int(member.step) == 20
    np.testing.assert_array_equal(*map(jax.random.key_data, (member.key, alone.key)))
    for one, other in zip(jax.tree.leaves(member.ema), jax.tree.leaves(alone.ema), strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-4, atol=1e-5)


def test_its_members_differ(numbers):
    shares = numbers["data"]["ring"]["systems"]["minimax"]["reverse_kl"]
    assert len(shares) == 2
    assert shares[0] != shares[1]


def test_rows_are_the_metrics_of_the_samples(numbers):
    """Counted again by hand, on the first 300 of the 2,500 samples."""
    row = numbers["data"]["ring"]["systems"]["minimax"]
    points, modes = np.asarray(row["points"]), mixtures.MODES["ring"]
    assert points.shape == (300, 2)
    nearest = np.min(np.linalg.norm(points[:, None] - modes.means, axis=2), axis=1)
    share = np.mean(nearest <= 3 * modes.sigma)
    assert row["share_within_3_sigma"][0] == pytest.approx(share, abs=0.1)
    assert 0 <= row["modes_covered"][0] <= 8
    assert 0 <= row["reverse_kl"][0] <= np.log(8)
    assert row["failed"] == [False, False]


def test_a_system_that_diverges_is_reported_as_failed(numbers, lines):
    row = numbers["data"]["ring"]["systems"]["remedy:dragan"]
    assert row["failed"] == [True, True]
    assert np.isnan(row["modes_covered"]).all()
    assert "failed: 2 of 2" in lines[1]


def test_each_row_is_reported_when_it_is_done(lines, numbers):
    assert [line.split()[:2] for line in lines] == [["ring", name] for name in PAIR]


def test_failed_seeds_are_in_no_mean():
    row = {metric: [1.0, np.nan, 3.0] for metric in mode_collapse.METRICS} | {"failed": [False, True, False]}
    text = mode_collapse.table({"steps": 5, "seeds": 3, "data": {"ring": {"modes": 8, "systems": {"x": row}}}})
    assert "2.0 +- 1.0" in text
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
        given = {}
        monkeypatch.setattr(sys, "argv", ["study", f"--out={tmp_path}", *flags])
        options = {"systems": tuple(mode_collapse.SYSTEMS), "steps": 5000}
        command.run("study", "", lambda **arguments: given | arguments, str, lambda path, numbers: None, options)
        return (tmp_path / "study.json").read_text()

    return run


def test_some_systems_can_be_chosen_on_the_command_line(run):
    written = run("--systems=hinge,remedy:packing_2", "--steps=3", "--seed=7")
    assert "".join(written.split()) == '{"seed":7,"systems":["hinge","remedy:packing_2"],"steps":3}'


@pytest.mark.parametrize("flag", ["--systems=hinge,hing", "--systems=", "--steps=0", "--steps=x"])
def test_a_flag_that_is_wrong_is_refused_with_what_is_allowed(run, flag, capsys):
    with pytest.raises(SystemExit) as error:
        run(flag)
    assert error.value.code == 2
    assert "give " in capsys.readouterr().err
