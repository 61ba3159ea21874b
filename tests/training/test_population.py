"""Members that train together are the runs that they would be by themselves."""

import json
import pathlib
import re
import subprocess
import sys

import jax
import numpy as np
import pytest

from gan_jax.config import default_config
from gan_jax.data import sources
from gan_jax.runs import loop
from gan_jax.training import population

SETTINGS = ({"seed": 3}, {"seed": 4}, {"seed": 3, "optimizer.critic_lr": 3e-3, "penalty.weight": 0.5})
SYSTEMS = {
    "mlp": ("ring", {"network.width": 16, "network.depth": 1, "n_critic": 2}),
    "dcgan": ("digits", {"network.name": "dcgan", "network.width": 4}),
}


def configured(system):
    data, fields = SYSTEMS[system]
    configs = []
    for setting in SETTINGS:
        config = default_config(data)
        config.update_from_flattened_dict(
            {"penalty.name": "gradient_penalty", "loss": "wasserstein", "batch_size": 8} | fields | setting
        )
        configs.append(config)
    return configs, sources.load(data, "", 0, 100.0)


def trained(configs, source, way, steps):
    carries = loop.fresh_carries(configs, source)
    program = population.compile_program(configs[0], source, carries[0])
    carries, done = population.make_advance(program, way)(carries, steps)
    jax.block_until_ready(done)
    return carries


def numbers(carry):
    leaves = [leaf for leaf in jax.tree.leaves(carry) if not jax.dtypes.issubdtype(leaf.dtype, jax.dtypes.prng_key)]
    return [np.asarray(leaf) for leaf in leaves]


@pytest.fixture(scope="module", params=["mlp", pytest.param("dcgan", marks=pytest.mark.hours)])
def alone(request):
    """Each of the settings in a program of its own, and how the population is made."""
    configs, source = configured(request.param)
    return configs, source, [trained([config], source, "one_after_another", 50)[0] for config in configs]


@pytest.mark.slow
@pytest.mark.parametrize("way", ["one_after_another", "side_by_side"])
def test_a_member_is_the_lone_run_bit_for_bit(alone, way):
    configs, source, expected = alone
    for member, lone in zip(trained(configs, source, way, 50), expected, strict=True):
        assert all(np.array_equal(a, b) for a, b in zip(numbers(member), numbers(lone), strict=True))


@pytest.mark.slow
def test_members_differ(alone):
    finals = [np.concatenate([leaf.ravel() for leaf in numbers(carry[0].ema)]) for carry in alone[2]]
    assert min(np.abs(finals[i] - finals[j]).max() for i, j in ((0, 1), (0, 2), (1, 2))) > 1e-3


@pytest.mark.slow
def test_a_mapped_member_is_the_lone_run_up_to_rounding(alone):
    """Rounding grows from step to step, by Adam's normalisation above all: here after ten.

    One after another, members are lone runs bit for bit, as the test above has it.
    """
    configs, source, _ = alone
    lone = trained(configs, source, "one_after_another", 10)
    for member, expected in zip(trained(configs, source, "vmap", 10), lone, strict=True):
        for a, b in zip(numbers(member[0]), numbers(expected[0]), strict=True):
            np.testing.assert_allclose(a, b, atol=2e-4)


@pytest.mark.slow
def test_a_mapped_population_goes_on_as_members_leave():
    configs, source = configured("mlp")
    carries = loop.fresh_carries(configs, source)
    program = population.compile_program(configs[0], source, carries[0])
    advance = population.make_advance(program, "vmap")
    carries, _ = advance(carries, 4)
    carries, _ = advance([carries[0], carries[2]], 3)
    carries, _ = advance([carries[1]], 3)
    (lone,), _ = population.make_advance(program, "one_after_another")(loop.fresh_carries(configs[2:], source), 10)
    assert len(carries) == 1
    for a, b in zip(numbers(carries[0][0]), numbers(lone[0]), strict=True):
        np.testing.assert_allclose(a, b, atol=2e-4)


@pytest.mark.slow
@pytest.mark.parametrize("way", ["one_after_another", "side_by_side", "vmap"])
def test_the_step_is_traced_once_for_all_members(monkeypatch, way):
    traced = []
    make = population.make_train_step

    def counting(config, shape, shard):
        step = make(config, shape, shard)
        return lambda *inputs: (traced.append(None), step(*inputs))[1]

    monkeypatch.setattr(population, "make_train_step", counting)
    configs, source = configured("mlp")
    trained(configs, source, way, 2)
    assert len(traced) == 1


@pytest.mark.slow
def test_the_way_is_the_faster_one(monkeypatch):
    configs, source = configured("mlp")
    carries = loop.fresh_carries(configs, source)
    program = population.compile_program(configs[0], source, carries[0])
    make = population.make_advance
    for slow, fast in (population.WAYS[:2], population.WAYS[1::-1]):

        def slowed(program, way, slow=slow):
            advance = make(program, way)
            return lambda carries, steps: advance(carries, 20 * steps if way == slow else steps)

        monkeypatch.setattr(population, "make_advance", slowed)
        assert population.choose(program, (slow, fast), carries) == fast
    assert not any(leaf.is_deleted() for leaf in jax.tree.leaves(carries))


@pytest.mark.slow
def test_as_many_train_together_as_memory_holds(monkeypatch):
    configs, source = configured("mlp")
    carry = loop.shapes_of_carry(configs[0], source)
    program = population.compile_program(configs[0], source, carry)
    state, sums = loop.fresh_carries(configs[:1], source)[0]
    size = sum(leaf.nbytes for leaf in jax.tree.leaves((state, sums)))
    needed = 4 * size + program.compiled.memory_analysis().temp_size_in_bytes
    for free, members in ((needed * 3 / 0.7 * 1.01, 3), (needed * 3 / 0.7 * 0.99, 2), (0, 1)):
        monkeypatch.setattr(population, "_free_bytes", lambda free=free: free)
        assert population.at_once(program, carry) == members


@pytest.mark.slow
def test_the_readmes_program_trains_three_penalty_weights_at_once(capsys):
    readme = (pathlib.Path(__file__).parents[2] / "README.md").read_text()
    (program,) = re.findall(r"```python\n([^`]*compile_program.*?)```", readme, re.DOTALL)
    names: dict = {}
    exec(program, names)
    penalties = json.loads(capsys.readouterr().out)
    assert [int(state.step) for state, _ in names["carries"]] == [100] * 3
    assert penalties == sorted(penalties, reverse=True)
    assert len({*penalties}) == 3


SHARDED = """
import jax, numpy as np, sys
jax.config.update("jax_num_cpu_devices", 2)
sys.path.insert(0, sys.argv[1])
import test_population as t
from gan_jax.runs import loop
from gan_jax.training import population
configs, source = t.configured("mlp")
def both_ways():
    global shapes
    shapes = loop.shapes_of_carry(configs[0], source)
    program = population.compile_program(configs[0], source, shapes)
    return [population.make_advance(program, way) for way in ("shard_map", "one_after_another")]
def fresh():
    return loop.fresh_carries(configs, source, shapes)
def assert_close(state, expected):
    for x, y in zip(t.numbers(state), t.numbers(expected), strict=True):
        np.testing.assert_allclose(x, y, atol=2e-4)
together, in_turn = both_ways()
restored = [jax.device_put(carry, jax.devices()[0]) for carry in fresh()]  # as orbax does
members, alone = (advance(carries, 5)[0] for advance, carries in ((together, restored), (in_turn, fresh())))
for a, b in zip(members, alone, strict=True):
    assert_close(a[0], b[0])
mixed = [members[0], jax.device_put(fresh()[1], jax.devices()[0])]
two, one = (advance(carries, 5)[0] for advance, carries in ((together, mixed), (in_turn, alone[:1])))
assert_close(two[0][0], one[0][0])
for config in configs:
    config.batch_size = 7  # of which two devices get no equal shares: a run alone takes one, members still take both
members, alone = (advance(fresh(), 5)[0] for advance in both_ways())
assert_close(members[1][0], alone[1][0])
print("devices", jax.device_count(), "members", len(configs))
"""


@pytest.mark.slow
def test_members_are_shared_among_devices():
    """Three members on two devices: one place is filled with a copy."""
    command = [sys.executable, "-c", SHARDED, str(pathlib.Path(__file__).parent)]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-2000:]
    assert done.stdout.split() == ["devices", "2", "members", "3"]
