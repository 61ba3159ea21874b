"""Steps in which the critic moves more often: what a run with them computes, by itself and among others."""

import pathlib

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from gan_jax.config import default_config
from gan_jax.data import bursts, sources
from gan_jax.data.batches import Batch
from gan_jax.runs import loop
from gan_jax.training import population
from gan_jax.training.state import DATA
from gan_jax.training.step import make_train_step

# Steps 0, 1, 2, 6 and 12 have five updates, the others two.
BURSTS = {"n_critic_burst__updates": 5, "n_critic_burst__first_steps": 3, "n_critic_burst__every": 6}
NUMBERS = [5, 5, 5, 2, 2, 2, 5, 2, 2, 2, 2, 2, 5, 2]


@pytest.fixture(scope="module")
def members():
    """Two configurations with bursts and a lazy penalty on the digits, and their set."""
    configs = []
    for seed, critic_lr in ((0, 1e-3), (1, 2e-3)):
        config = default_config()
        fields = {name.replace("__", "."): value for name, value in BURSTS.items()}
        small = {"network.width": 8, "network.depth": 1, "network.latent_dim": 4, "batch_size": 8, "n_critic": 2}
        lazy = {"loss": "wasserstein", "penalty.name": "gradient_penalty", "penalty.every": 4}
        config.update_from_flattened_dict(fields | small | lazy | {"seed": seed, "optimizer.critic_lr": critic_lr})
        configs.append(config)
    return configs, sources.load("digits", "", 0, 100.0)


def alone(config, source):
    """(state, penalties of each step) of a loop over steps, with the minibatches of a run that has one in each."""
    draw = jax.jit(lambda key, update: source.draw(source.arrays, key, update, 1, config.batch_size))
    train_step = jax.jit(make_train_step(config, source.shape))
    (state, _), minibatches, penalties = loop.fresh_carries([config], source)[0], 0, []
    for number in NUMBERS:
        drawn = [draw(jax.random.fold_in(state.key, DATA), minibatches + i) for i in range(number)]
        batch = Batch(*(jnp.concatenate([getattr(one, name) for one in drawn]) for name in Batch._fields))
        state, metrics = train_step(state, batch)
        minibatches += number
        penalties.append(float(metrics["penalty"]))
    return state, penalties


@pytest.fixture(scope="module")
def lone(members):
    configs, source = members
    return [alone(config, source) for config in configs]


def assert_close(state, expected):
    networks = [(one.generator, one.critic, one.ema, one.step) for one in (state, expected)]
    for a, b in zip(*map(jax.tree.leaves, networks), strict=True):
        np.testing.assert_allclose(a, b, atol=2e-4)


@pytest.mark.slow
@pytest.mark.parametrize(
    "way",
    [
        "side_by_side",
        *(pytest.param(way, marks=pytest.mark.hours) for way in ("one_after_another", "vmap", "shard_map")),
    ],
)
def test_members_with_bursts_have_the_data_and_the_updates_of_a_loop(members, lone, way):
    configs, source = members
    carries = loop.fresh_carries(configs, source)
    program = population.compile_program(configs[0], source, carries[0])
    advance, step = population.make_advance(program, way), 0
    while step < len(NUMBERS):
        steps = min(len(NUMBERS) - step, bursts.steps_alike(bursts.of(configs[0]), step))
        assert len({*NUMBERS[step : step + steps]}) == 1
        carries, _ = advance(carries, steps, None, NUMBERS[step])
        step += steps
    for carry, (state, _) in zip(carries, lone, strict=True):
        assert_close(carry[0], state)


@pytest.mark.slow
def test_a_lazy_penalty_counts_the_updates_of_bursts(lone):
    """Of 4 it has the fourth: so steps whose updates hold one of 3, 7, 11, ..."""
    ends = np.cumsum(NUMBERS)
    expected = [any(update % 4 == 3 for update in range(end - n, end)) for n, end in zip(NUMBERS, ends, strict=True)]
    for _, penalties in lone:
        assert [penalty > 0 for penalty in penalties] == expected
    assert {*expected} == {True, False}


@pytest.mark.slow
def test_a_run_with_bursts_goes_on_bit_for_bit(command, same_run):
    command("wgan_gp.py", "--workdir=whole", steps=20, **BURSTS)
    for steps in (2, 7, 20):
        command("wgan_gp.py", "--workdir=parts", steps=steps, **BURSTS)
    same_run("whole", "parts")


@pytest.mark.slow
@pytest.mark.parametrize("way", ["side_by_side", pytest.param("one_after_another", marks=pytest.mark.hours)])
def test_members_with_bursts_are_lone_runs_and_schedules_are_groups(command, same_run, way):
    members = [{"seed": 3}, {"seed": 4}, {"n_critic_burst.every": 7}]
    pathlib.Path("s.py").write_text(f"def get_sweep():\n    return {members}\n")
    for steps in (7, 20):
        command("wgan_gp.py", "--sweep=s.py", "--workdir=s", f"--way={way}", steps=steps, **BURSTS)
    for index, fields in enumerate(members):
        own = {name.replace(".", "__"): value for name, value in fields.items()}
        command("wgan_gp.py", f"--workdir=alone{index}", steps=20, **BURSTS | own)
        same_run(f"s/00{index}", f"alone{index}")


@pytest.mark.slow
def test_what_a_lazy_penalty_loses_is_said_once_for_members_alike(command, capsys):
    lines = ["{'seed': 1}", "{'seed': 2}", "{'optimizer.b2': 0.99}"]
    pathlib.Path("s.py").write_text(f"def get_sweep():\n    return [{', '.join(lines)}]\n")
    command("wgan_gp.py:ring", "--sweep=s.py", "--workdir=s", steps=10, penalty__every=16)
    (line,) = [line for line in capsys.readouterr().err.splitlines() if "warning" in line]
    assert line.startswith("gan_jax: warning: config.penalty.every=16 with adam, whose second moment (b2=0.9)")
    assert line.endswith("give config.optimizer.b2=0.99, or config.penalty.every=1")


@pytest.mark.slow
def test_a_run_may_begin_and_end_bursts_as_it_goes_on(command, capsys, records):
    command("wgan_gp.py", "--workdir=run", steps=10)
    command("wgan_gp.py", "--workdir=run", steps=20, **BURSTS)
    assert "from step 10 on: steps 10 -> 20, n_critic_burst.updates 0 -> 5" in capsys.readouterr().out
    command("wgan_gp.py", "--workdir=run", steps=30)
    changed = [line["changed"].get("n_critic_burst.updates") for line in records("run/history.jsonl")]
    assert changed == [[0, 5], [5, 0]]
    command("wgan_gp.py", "--workdir=other", steps=30)
    assert pathlib.Path("run/metrics.jsonl").read_bytes() != pathlib.Path("other/metrics.jsonl").read_bytes()
