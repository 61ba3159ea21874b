import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from gan_jax.config import default_config
from gan_jax.data import bursts
from gan_jax.data.bursts import NONE, Bursts

KINDS = [NONE, *itertools.starmap(Bursts, [(7, 0, 0), (7, 3, 0), (1, 0, 3), (7, 3, 3), (7, 5, 3), (100, 25, 500)])]
STEPS = 2000


def counted(kind):
    """Updates in each step, as WGAN's code counts them."""
    updates, first_steps, every = kind
    numbers = []
    for gen_iterations in range(STEPS):
        is_due = gen_iterations < first_steps or (every and gen_iterations % every == 0)
        numbers.append(updates if updates and is_due else 5)
    return np.array(numbers)


@pytest.mark.parametrize("kind", KINDS)
def test_the_updates_of_a_step_and_of_those_before_it_are_those_of_a_loop(kind):
    numbers = counted(kind)
    assert [bursts.at(kind, 5, step) for step in range(STEPS)] == numbers.tolist()
    before = np.concatenate([[0], np.cumsum(numbers)[:-1]])
    assert [bursts.updates_before(kind, 5, step) for step in range(STEPS)] == before.tolist()
    traced = jax.jit(lambda step: sum(n * steps for n, steps in bursts.made(kind, 5, step)))
    np.testing.assert_array_equal(traced(jnp.arange(STEPS, dtype=jnp.int32)), before)
    assert {*numbers} <= {*bursts.numbers(kind, 5)}


@pytest.mark.parametrize("kind", KINDS)
def test_steps_that_are_alike_are_as_many_as_it_says(kind):
    numbers = counted(kind)
    for step in range(STEPS):
        assert len({*numbers[step : step + bursts.steps_alike(kind, step)]}) == 1
    ends, step = [], 0
    while step < STEPS:
        step += bursts.steps_alike(kind, step)
        ends.append(step)
    assert len(ends) <= 2 + 2 * np.count_nonzero(np.diff(numbers))  # no more blocks than there are changes


@pytest.mark.parametrize("step", [2**31 - 1, 2**31 - 300])
@pytest.mark.parametrize("kind", [Bursts(100, 25, 500), Bursts(9, 2**31 - 1, 2), Bursts(9, 0, 2**31 - 1)])
def test_steps_before_the_last_are_counted_without_overflow(kind, step):
    first = min(step, kind.first_steps)
    in_bursts = first + len(range(-(-first // kind.every) * kind.every, step, kind.every))
    outside, inside = jax.jit(lambda step: [steps for _, steps in bursts.made(kind, 5, step)])(jnp.int32(step))
    assert (int(outside), int(inside)) == (step - in_bursts, in_bursts)


def test_none_are_the_default():
    assert bursts.numbers(bursts.of(default_config()), 5) == (5,)
