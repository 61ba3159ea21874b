"""Any configuration whatever either trains or is refused in a line that names a field: hypothesis looks for others."""

import functools

import jax
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from gan_jax import networks
from gan_jax.config import FIELDS, default_config, f_gans, loss_names, optimizer_names, penalty_names, validate
from gan_jax.config.choices import is_network, names_in
from gan_jax.data import batches
from gan_jax.errors import UserError
from gan_jax.training import schedules
from gan_jax.training.game import build_networks
from gan_jax.training.hyperparameters import HPARAMS, PENALTIES, TERMS
from gan_jax.training.state import create_state
from gan_jax.training.step import make_train_step

SETTINGS = settings(
    derandomize=True,
    deadline=None,
    database=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],  # a busy machine is no fault
)
NETWORKS = names_in(networks, is_network)
NAMES = ["none", "batch", "layer", "digits", "ring", "folder", "mnist", "minimax", "alternative", "auto", "pixels",
         "offline", "disabled", *NETWORKS, *optimizer_names(), *loss_names(), *f_gans(), *penalty_names()]  # fmt: skip
NUMBERS = [0, 1, -1, 2, 2**31 - 1, 2**31, 2**32, 2**63, 10**400, 0.0, -0.0, 0.5, 1.0, 1e-46, 1e-38, 3.4e38, 3.5e38,
           1e308, float("inf"), float("nan"), -1e300, 1 - 1e-9]  # fmt: skip
OTHERS = [None, True, False, (), [1], {}, b"x", np.float32(1), np.int64(3), "", "\0", "\n", "a\nb", "é\x1b[31m", "../x"]


# Of schedules, which are alike for all numbers, those of one.
ANY = [name for name in FIELDS if not name.startswith("schedule.") or name.startswith("schedule.ema_decay.")]


def anything(name):
    """Values of a field: its default, those near it, those of other fields, and others that it can't have."""
    default = FIELDS[name].default
    near = {bool: st.booleans(), int: st.integers(-2, 100), float: st.floats(0, 2), str: st.sampled_from(NAMES)}
    wild = [st.integers(), st.floats(), st.text(), st.sampled_from(NUMBERS), st.sampled_from(OTHERS)]
    return st.one_of(st.just(default), near[type(default)], *wild)


def some_of(strategies, most):
    """{field: value} of at most so many fields."""
    chosen = st.lists(st.sampled_from(sorted(strategies)), max_size=most, unique=True)
    return chosen.flatmap(lambda names: st.fixed_dictionaries({name: strategies[name] for name in names}))


def with_fields(config, fields):
    """The configuration with these values, of whatever type."""
    for name, value in fields.items():
        *groups, leaf = name.split(".")
        group = functools.reduce(getattr, groups, config)
        with group.unlocked():
            del group[leaf]  # or ml_collections would make it a value of the former one's type
            group[leaf] = value
    return config


def is_refused(config, fields):
    """Whether it is, and then in a line that names one of the fields that were changed."""
    words = complaint(lambda: validate(config))
    assert "\n" not in words
    assert not words or any(f"config.{name}" in words for name in fields), (words, fields)
    return bool(words)


def complaint(function):
    """The words of its UserError, "" where there is none; any other error is the test's."""
    try:
        function()
    except UserError as error:
        return str(error)
    return ""


@pytest.mark.slow
@settings(SETTINGS, max_examples=500)
@given(some_of({name: anything(name) for name in ANY}, 6), st.sampled_from(["digits", "ring", "mnist"]))
def test_a_configuration_is_valid_or_is_refused_in_a_line_that_names_a_field(fields, data):
    is_refused(with_fields(default_config(data), fields), fields)


# Sizes at which a step compiles in a moment; numbers and names as they may be, and some at the ends of their ranges.
SIZES = {"batch_size": [1, 2, 4], "n_critic": [1, 2], "n_generator": [1, 2], "packing": [1, 2], "network.width": [1, 3],
         "network.depth": [1, 2], "network.latent_dim": [1, 2], "generator_batch": [1, 2],
         "conditional.classes": [2, 10], "n_critic_burst.updates": [0, 3], "network.minibatch_deviation": [0, 1, 2],
         "conditional.continuous": [0, 2], "network.generator_width": [0, 5]}  # fmt: skip
ENDS = {"seed": [0, 2**32 - 1], "steps": [1, 2**31 - 1], "f_gan.alpha": [-3.0, 0.5, 2]}
CHOICES = {
    "loss": [*loss_names(), *f_gans()],
    "conditional.name": ["none", "concatenation", "auxiliary_classifier", "projection", "infogan"],
    "augment": ["none", "color,translation,cutout", "flip"],
    "data.flip": [False, True],
    "network.name": ["mlp", *NETWORKS],
    "network.generator_norm": ["none", "batch", "layer"],
    "network.critic_norm": ["none", "batch", "layer"],
    "network.spectral_norm": [False, True],
    "optimizer.name": optimizer_names(),
    "optimizer.critic_name": ["", *optimizer_names()],
    "f_gan.generator": ["minimax", "alternative"],
    "schedule.unit": ["steps", "images"],
}
LARGE = [0, 1e-38, 1e-3, 1, 1e10, 3.4e38]
# What says nothing by itself comes together.
LAZY = {"weight": LARGE[1:], "every": [1, 2, 3], "own_step": [False, True]}
PENALTY = {"name": penalty_names(), "estimator": ["exact", "finite_difference"], "sigma": [1e-38, 0.01, 3.4e38],
           "share": [1e-38, 0.3, 1.0]}  # fmt: skip
SCHEDULE = {"shape": schedules.SHAPES[1:], "start": LARGE, "over": LARGE[1:], "to": [0, 0, 0.5]}
TOGETHER = {
    **dict.fromkeys(PENALTIES, PENALTY | LAZY),
    **dict.fromkeys(TERMS, LAZY),
    **{f"schedule.{number}": SCHEDULE for number in HPARAMS.values()},
}
ALONE = [
    name
    for name, field in FIELDS.items()
    if isinstance(field.default, float) and name not in ENDS and name.rpartition(".")[0] not in TOGETHER
]
SINGLY = SIZES | ENDS | CHOICES | dict.fromkeys(ALONE, LARGE)
TRAINABLE = {name: st.fixed_dictionaries({name: st.sampled_from(values)}) for name, values in SINGLY.items()} | {
    group: st.fixed_dictionaries({f"{group}.{part}": st.sampled_from(values) for part, values in parts.items()})
    for group, parts in TOGETHER.items()
}
SHAPES = {"digits": (8, 8, 1), "ring": (2,)}
TINY = {"batch_size": 4, "network.width": 2, "network.latent_dim": 2, "network.depth": 1}


def trains_a_step(fields, data):
    """It does, or is refused; whether the numbers stay finite is another question."""
    fields = functools.reduce(dict.__or__, fields.values(), {})
    config = with_fields(default_config(data), TINY | fields)
    if is_refused(config, TINY | fields):
        return
    shape = SHAPES[data]
    if words := complaint(lambda: build_networks(config, shape)):
        assert config.network.name != "mlp"
        assert f"config.network.name={config.network.name!r}" in words
        return
    state = create_state(config, shape)
    rows = config.n_critic, config.batch_size
    batch = batches.Batch(np.full((*rows, *shape), 0.5, np.float32), np.zeros(rows, np.int32))
    after, metrics = jax.jit(make_train_step(config, shape))(state, batch)
    assert jax.tree.structure(after) == jax.tree.structure(state)
    for old, new in zip(jax.tree.leaves(state), jax.tree.leaves(after), strict=True):
        assert (old.shape, old.dtype) == (new.shape, new.dtype)
    assert int(after.step) == 1
    assert all(metric.shape == () for metric in metrics.values())


@pytest.mark.slow
@settings(SETTINGS, max_examples=10)
@given(some_of(TRAINABLE, 12), st.sampled_from(["digits", "ring"]))
def test_a_valid_configuration_trains_a_step(fields, data):
    trains_a_step(fields, data)


@pytest.mark.hours
@settings(SETTINGS, max_examples=300)
@given(st.one_of(some_of(TRAINABLE, 12), st.fixed_dictionaries(TRAINABLE)), st.sampled_from(["digits", "ring"]))
def test_many_valid_configurations_train_a_step(fields, data):
    trains_a_step(fields, data)
