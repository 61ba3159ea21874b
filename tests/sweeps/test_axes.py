"""What a sweep is made of."""

import itertools
import math

import numpy as np
import pytest
from scipy import stats

from gan_jax.errors import UserError
from gan_jax.sweeps.axes import choice, draws, grid, log_uniform, product, uniform, zipped


def test_a_grid_is_every_combination_the_last_field_fastest():
    members = grid({"loss": ["hinge", "minimax"], "seed": range(3)})
    expected = [(loss, seed) for loss in ("hinge", "minimax") for seed in (0, 1, 2)]
    assert [(member["loss"], member["seed"]) for member in members] == expected


def test_zipped_fields_go_together():
    assert zipped({"a": [1, 2], "b": ["x", "y"]}) == [{"a": 1, "b": "x"}, {"a": 2, "b": "y"}]


def test_a_product_is_every_member_of_one_with_every_member_of_the_other():
    parts = grid({"loss": ["hinge", "minimax"]}), [{"b": 1, "c": 2}, {"b": 3}], grid({"seed": [5, 6]})
    expected = [{**a, **b, **c} for a, b, c in itertools.product(*parts)]
    assert product(*parts) == expected
    assert len(expected) == 8


def test_values_are_plain_numbers_that_json_takes():
    for member in (*grid({"a": np.linspace(0, 1, 3), "b": np.arange(2)}), *draws(3, {"c": uniform(0, 1)})):
        assert all(type(value) in (int, float) for value in member.values())


@pytest.mark.parametrize(
    ("made", "distribution"),
    [
        (uniform(-2, 3), stats.uniform(-2, 5)),
        (log_uniform(1e-5, 1e-2), stats.loguniform(1e-5, 1e-2)),
    ],
)
def test_draws_have_the_distribution_that_they_are_named_after(made, distribution):
    values = [member["x"] for member in draws(2000, {"x": made})]
    assert stats.kstest(values, distribution.cdf).pvalue > 0.001


def test_each_value_of_a_choice_is_as_likely():
    values = [member["x"] for member in draws(3000, {"x": choice(["a", "b", "c"])})]
    assert stats.chisquare([values.count(name) for name in "abc"]).pvalue > 0.001


def test_fields_are_drawn_independently():
    members = draws(2000, {"x": uniform(0, 1), "y": uniform(0, 1)})
    assert abs(np.corrcoef([(m["x"], m["y"]) for m in members], rowvar=False)[0, 1]) < 4 / math.sqrt(2000)


def test_more_draws_begin_with_the_same_ones_and_another_seed_has_others():
    ranges = {"x": log_uniform(1e-4, 1), "n": choice([1, 2, 5])}
    assert draws(20, ranges)[:7] == draws(7, ranges)
    assert draws(7, ranges, seed=1) != draws(7, ranges)


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: grid({"seed": []}), "seed has no values"),
        (lambda: grid({"seed": 8}), "seed=8: give a list"),
        (lambda: grid({"loss": "hinge"}), "loss='hinge': give a list"),
        (lambda: grid({"lr": uniform(0, 1)}), "draw from it with draws"),
        (lambda: zipped({"a": [1, 2], "b": [1]}), "a 2, b 1"),
        (lambda: draws(0, {"a": uniform(0, 1)}), "at least 1"),
        (lambda: draws(3, {"a": [0, 1]}), "a is drawn from [0, 1]"),
        (lambda: uniform(1, 0), "uniform(1, 0): give a lower and an upper limit, in this order"),
        (lambda: uniform(0, math.inf), "uniform(0, inf)"),
        (lambda: uniform(0, math.nan), "uniform(0, nan)"),
        (lambda: log_uniform(1e-2, 1e-5), "in this order"),
        (lambda: log_uniform(0, 1), "above 0"),
        (lambda: choice([]), "choice has no values"),
        (lambda: product(grid({"seed": [1]}), grid({"seed": [2]})), "seed is in two parts"),
        (lambda: product(grid({"seed": [1]}), []), "no members"),
        (lambda: product(grid({"seed": [1]}), {"seed": 1}), "no members"),
        (lambda: product([{"a": 1}, {"a": 2, "b": 3}], [{"b": 1}]), "b is in two parts"),
    ],
)
def test_what_makes_no_sense_is_refused_in_a_line(make, words):
    with pytest.raises(UserError) as error:
        make()
    assert words in str(error.value)
    assert "\n" not in str(error.value)
