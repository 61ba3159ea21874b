"""Numbers that change as training goes on, against their formulas in NumPy, and in whole runs."""

import math
import pathlib

import jax.numpy as jnp
import numpy as np
import pytest

import gan_jax
from gan_jax.config import FIELDS, default_config
from gan_jax.data import sources
from gan_jax.runs import loop
from gan_jax.training import averages, population, schedules
from gan_jax.training.hyperparameters import HPARAMS, hyperparameters, structure

LINEAR = {"penalty__name": "r1", "penalty__weight": 8.0, "schedule__penalty__weight__shape": "linear",
          "schedule__penalty__weight__start": 10.0, "schedule__penalty__weight__over": 20.0,
          "schedule__penalty__weight__to": 2.0}  # fmt: skip


def configured(**fields):
    config = default_config("ring")
    config.update_from_flattened_dict({name.replace("__", "."): value for name, value in fields.items()})
    return config


def at(config, step):
    numbers = {name: jnp.float32(value) for name, value in hyperparameters(config).items()}
    return {name: float(value) for name, value in schedules.at_step(config, numbers, jnp.int32(step)).items()}


def expected(shape, step, unit, value=8.0, start=10.0, over=20.0, to=2.0, batch_size=4):
    moment = step * (batch_size if unit == "images" else 1)
    share = min(max((moment - start) / over, 0), 1)
    if shape == "warm_up":
        after = moment + (batch_size if unit == "images" else 1)
        return value * min(max((after - start) / over, 0), 1)
    if shape == "cosine":
        return to + (value - to) * (1 + math.cos(math.pi * share)) / 2
    return value + (to - value) * share


@pytest.mark.parametrize("unit", schedules.UNITS)
@pytest.mark.parametrize("shape", ["linear", "cosine", "warm_up"])
def test_a_number_goes_from_its_value_to_another(shape, unit):
    config = configured(**LINEAR | {"schedule__unit": unit, "batch_size": 4, "schedule__penalty__weight__shape": shape})
    if shape == "warm_up":
        config.schedule.penalty.weight.to = 0.0
    for step in (0, 2, 3, 7, 9, 10, 11, 20, 29, 30, 31, 1000):
        assert at(config, step)["penalty_weight"] == pytest.approx(expected(shape, step, unit), abs=1e-5), step


def test_the_ends_are_exact():
    """0.1 (1 - 1) + 0.3 * 1 is 0.3 to the last bit, and no rate of 1e-9 is left of one that falls to 0."""
    config = configured(**LINEAR | {"penalty__weight": 0.1, "schedule__penalty__weight__to": 0.3})
    assert at(config, 10)["penalty_weight"] == np.float32(0.1)
    assert at(config, 30)["penalty_weight"] == np.float32(0.3)
    config.schedule.penalty.weight.to = 0.0
    assert at(config, 30)["penalty_weight"] == 0


@pytest.mark.parametrize(("name", "field"), HPARAMS.items())
def test_every_number_may_follow_a_schedule_and_alone(name, field):
    config = configured()
    parts = {"shape": "linear", "over": 4.0, "to": 0.25}
    config.update_from_flattened_dict({f"schedule.{field}.{part}": value for part, value in parts.items()})
    before, now = at(config, 0), at(config, 2)
    assert now[name] == pytest.approx((before[name] + 0.25) / 2)
    assert {other for other in before if before[other] != now[other]} <= {name}


def test_every_number_has_the_same_fields_for_that():
    parts = {"shape": "constant", "start": 0.0, "over": 0.0, "to": 0.0}
    expected = {f"schedule.{field}.{part}": default for field in HPARAMS.values() for part, default in parts.items()}
    found = {name: field.default for name, field in FIELDS.items() if name.startswith("schedule.")}
    assert found == expected | {"schedule.unit": "steps"}


@pytest.mark.slow
def test_a_sweep_over_where_a_schedule_ends_is_one_population_and_each_member_is_the_run_alone():
    """One structure, one program; and its members differ, as the penalty's weight does."""
    small = {"network__width": 4, "network__depth": 1, "batch_size": 8}
    configs = [configured(**LINEAR | small | {"schedule__penalty__weight__to": to}) for to in (0.0, 2.0, 50.0)]
    assert len({structure(config) for config in configs}) == 1
    source = sources.load("ring", "", 0, 0)
    carries = loop.fresh_carries(configs, source)
    program = population.compile_program(configs[0], source, carries[0])
    together, _ = population.make_advance(program, "side_by_side")(carries, 40)
    kernels = [np.asarray(state.critic.params["Dense_0"]["kernel"]) for state, _ in together]
    for config, kernel in zip(configs, kernels, strict=True):
        (carry,) = loop.fresh_carries([config], source)
        alone = population.compile_program(config, source, carry)
        (found,), _ = population.make_advance(alone, "one_after_another")([carry], 40)
        np.testing.assert_array_equal(found[0].critic.params["Dense_0"]["kernel"], kernel)
    assert np.abs(kernels[0] - kernels[2]).max() > 1e-3


def test_where_there_is_a_schedule_is_another_program():
    plain, falling = configured(penalty__name="r1"), configured(**LINEAR)
    assert structure(plain) != structure(falling)
    assert structure(falling) != structure(configured(**LINEAR | {"schedule__penalty__weight__shape": "cosine"}))
    noisy = {"schedule__noise__sigma__shape": "linear", "schedule__noise__sigma__over": 5.0}
    assert structure(configured(**noisy)) != structure(configured(**noisy, schedule__noise__sigma__to=0.1))


@pytest.mark.slow
def test_a_scheduled_run_goes_on_bit_for_bit_and_its_folder_holds_the_schedules_it_has(
    command, goes_on_bit_for_bit, records
):
    fields = LINEAR | {"schedule__optimizer__critic_lr__shape": "cosine", "schedule__optimizer__critic_lr__over": 60.0,
                       "schedule__optimizer__critic_lr__to": 1e-5, "schedule__optimizer__b2__shape": "linear",
                       "schedule__optimizer__b2__over": 60.0, "schedule__optimizer__b2__to": 0.99}  # fmt: skip
    goes_on_bit_for_bit("ns_gan.py:ring", **fields)
    text = pathlib.Path("whole/config.json").read_text()
    assert text.count('"schedule.') == 4 + 3 + 3  # all that is no default
    assert '"schedule.optimizer.b2.to": 0.99' in text


# ---------------------------------------------------------------------------------------------- the average


def decays(config, steps):
    numbers = {name: jnp.float32(value) for name, value in hyperparameters(config).items()}
    return [float(averages.decay(config, numbers, jnp.int32(step))) for step in steps]


def test_an_average_by_half_life_forgets_half_in_so_many_images():
    """StyleGAN2's: 0.5^(batch / min(half-life, ramp * images)); at first it is a copy."""
    config = configured(batch_size=32, ema_half_life=10_000.0)
    (d,) = decays(config, [5])
    assert d ** (10_000 / 32) == pytest.approx(0.5, rel=1e-3)
    config.ema_ramp = 0.05
    found = decays(config, [0, 10, 100, 10**6])
    assert found == pytest.approx([0, 0.5 ** (1 / 0.5), 0.5 ** (1 / 5), 0.5 ** (32 / 10_000)], abs=1e-6)


def test_an_average_may_begin_later():
    """BigGAN's: a copy before that step; then the decay, which has forgotten the start."""
    config = configured(ema_decay=0.9999, ema_start=1000.0)
    assert decays(config, [0, 999]) == [0, 0]
    assert decays(config, [1000, 10**6]) == pytest.approx([1001 / 1010, 0.9999])


def test_a_decay_by_the_step_is_as_it_was():
    assert decays(configured(ema_decay=0.5), [0, 1, 10**6]) == pytest.approx([0.1, 2 / 11, 0.5])


@pytest.mark.slow
def test_an_average_in_a_run_is_the_weighted_sum_of_its_past(command):
    """Here with a decay of 0 up to step 20, so that the average is the generator itself."""
    command("ns_gan.py:ring", "--workdir=run", steps=20, ema_start=1000.0)
    state = gan_jax.load("run").state
    np.testing.assert_array_equal(state.ema["Dense_0"]["kernel"], state.generator.params["Dense_0"]["kernel"])
