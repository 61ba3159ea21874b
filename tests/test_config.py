import ast
import functools
import importlib.util
import inspect
import pathlib
import re
import traceback

import pytest
from flax import linen as nn

from gan_jax import networks
from gan_jax.config import (
    FIELDS,
    as_now,
    default_config,
    flat,
    neutral_fields,
    penalty_names,
    validate,
    without_constants,
)
from gan_jax.config import checks as config_module
from gan_jax.data import sources
from gan_jax.errors import UserError
from gan_jax.evaluation import measures
from gan_jax.training.hyperparameters import HPARAMS, MODULES, PENALTIES, TERMS
from tests import shipped

NAN, INF = float("nan"), float("inf")
EXPERIMENTS = sorted(pathlib.Path(__file__).parents[1].glob("experiments/*.py"))
EMBEDDED = ["digits", "ring", "grid", "swiss_roll", "lines", "mnist", "fashion_mnist", "cifar10"]

NO_NAMES = ["", "nothing", "None", "losses", "__doc__"]
POSITIVE_INT, COUNT = (1, [0, -1]), (0, [-1])
NO_STEPS = [0, -1, 2**31, 10**400]
NO_OR_STEPS = (0, [-1, 2**31, 10**400])
FRACTION = (0.0, [1.0, 1.5, -0.1, NAN, INF, 0.99999999999])
POSITIVE = (1e-6, [0.0, -1e-4, NAN, INF, 1e-60, 1e300])
NOT_NEGATIVE = (0.0, [-1.0, NAN, INF, -INF])
NUMBER = (-5.0, [NAN, INF, -INF, 1e300])
NO_UPDATES = [*NO_STEPS, 2**25]
# Schedules are alike for every number of a run: those of these two are gone through.
SCHEDULED = "optimizer.generator_lr", "noise.sigma"


def is_alike(name):
    """Whether it is of the schedule of another number, or a user's own term's."""
    return name.startswith("schedule.") and name != "schedule.unit" and name[9:].rpartition(".")[0] not in SCHEDULED


# field: (a value on the edge of what is allowed, values beyond it)
STYLED = {"name": "stylegan2", "generator_norm": "none"}  # fields of network
OF_STYLED = {f"network.{name}": value for name, value in STYLED.items()}
RANGES = {
    "seed": (2**32 - 1, [-1, 2**32]),
    "steps": (2**31 - 1, NO_STEPS),
    "batch_size": (2, [0, -1]),
    "n_critic": (1, NO_STEPS),
    "n_critic_burst.updates": (10_000, [-1, 10_001]),
    "n_critic_burst.first_steps": NO_OR_STEPS,
    "n_critic_burst.every": (2, [-1, 1, 2**31]),
    "n_generator": (1, NO_STEPS),
    "generator_batch": (1, NO_STEPS),
    "packing": POSITIVE_INT,
    "augment_probability": (1.0, [1.1, -0.1, NAN, INF]),
    "augment_target": FRACTION,
    "augment_images": (1.0, [0.5, 0.0, -1.0, NAN, INF]),
    "augment_every": POSITIVE_INT,
    "augment": ("flip", [*NO_NAMES, "color, cutout", "color,", "augment", "names"]),
    "data.flip": (True, []),
    "data.balanced": (True, []),
    "network.generator_width": COUNT,
    "network.attention": COUNT,
    "network.max_width": POSITIVE_INT,
    "network.residual": (True, []),
    "network.clamp": NOT_NEGATIVE,
    "network.style_mixing": (1.0, [1.1, -0.1, NAN, INF]),
    "loss": ("minimax", [*NO_NAMES, "AdversarialLoss", "softplus", "_up", "none", "pearson", "f_gan", "f_gan:f_gan"]),
    "conditional.name": ("projection", [*NO_NAMES, "Conditional", "labels_of_data", "of", "Projection"]),
    "conditional.classes": (2, [1, 0, -1, 2**16 + 1]),
    "conditional.continuous": (0, [-1, 1001]),
    "conditional.weight": NOT_NEGATIVE,
    "conditional.continuous_weight": NOT_NEGATIVE,
    "smoothing.real": FRACTION,
    "smoothing.fake": FRACTION,
    "least_squares.a": NUMBER,
    "least_squares.b": NUMBER,
    "least_squares.c": NUMBER,
    "f_gan.alpha": (-1.0, [0.0, 1.0, 1e-60, 1.000000000001, NAN, INF]),
    "f_gan.generator": ("alternative", NO_NAMES),
    "noise.sigma": NOT_NEGATIVE,
    "weight_clip": NOT_NEGATIVE,
    "data.name": ("any_set", []),
    "data.dir": ("", []),
    "data.image_size": COUNT,
    "data.memory_mb": NOT_NEGATIVE,
    "data.background": ("#0080ff", ["", "mauvish", "#0080ff80", "rgba(0, 0, 0, 0)"]),
    "data.reading": (1, [0, 3, -1]),
    "network.name": ("mlp", [*NO_NAMES, "conv", "layers"]),
    "network.latent_dim": POSITIVE_INT,
    "network.width": POSITIVE_INT,
    "network.depth": POSITIVE_INT,
    "network.generator_norm": ("layer", [*NO_NAMES, "spectral"]),
    "network.critic_norm": ("layer", [*NO_NAMES, "spectral"]),
    "network.dtype": ("bfloat16", [*NO_NAMES, "float16", "float64"]),
    "network.minibatch_deviation": (0, [-1, 2**20 + 1]),
    "network.spectral_norm": (True, []),
    "optimizer.name": ("rmsprop", [*NO_NAMES, "optax", "arguments"]),
    "optimizer.generator_name": ("lion", [*NO_NAMES[1:], "optax", "arguments"]),
    "optimizer.critic_name": ("adamw", [*NO_NAMES[1:], "optax", "arguments"]),
    "optimizer.generator_lr": POSITIVE,
    "optimizer.critic_lr": POSITIVE,
    "optimizer.b1": FRACTION,
    "optimizer.b2": FRACTION,
    "optimizer.weight_decay": NOT_NEGATIVE,
    "ema_decay": FRACTION,
    "ema_half_life": NOT_NEGATIVE,
    "ema_ramp": NOT_NEGATIVE,
    "ema_start": NOT_NEGATIVE,
    "ema_conditions": ("even", [*NO_NAMES, "as_reals"]),
    "log_every": POSITIVE_INT,
    "sample_every": COUNT,
    "checkpoint_every": POSITIVE_INT,
    "eval_every": COUNT,
    "eval_samples": (2, [1, 0, -5]),
    "eval_reals": COUNT,
    "eval_split": ("test", [""]),
    "eval_metrics": ("fid,kid", ["", "fid, kid", "fid,", "names", "function", "auto,fid"]),
    "eval_features": ("inception", NO_NAMES),
    "eval_conditions": ("even", [*NO_NAMES, "as reals"]),
    "eval_resizer": ("clean", NO_NAMES),
    "wandb.mode": ("offline", [*NO_NAMES, "on"]),
    "schedule.unit": ("images", [*NO_NAMES, "SHAPES", "updates"]),
}
for group in PENALTIES:
    RANGES |= {
        f"{group}.name": ("none", [*NO_NAMES, "clip_weights", "interpolate", "gradient_norms", "_from_one"]),
        f"{group}.weight": NOT_NEGATIVE,
        f"{group}.every": (2**25 - 1, NO_UPDATES),
        f"{group}.own_step": (True, []),
        f"{group}.estimator": ("finite_difference", NO_NAMES),
        f"{group}.sigma": POSITIVE,
        f"{group}.share": (1.0, [0.0, -0.5, 1.1, NAN, INF, 1e-60]),
    }
for group in TERMS:
    RANGES |= {f"{group}.weight": NOT_NEGATIVE, f"{group}.every": (2**25 - 1, NO_UPDATES)}
    RANGES |= {f"{group}.own_step": (True, [])}
for number in SCHEDULED:
    RANGES |= {
        f"schedule.{number}.shape": ("warm_up", [*NO_NAMES, "SHAPES", "_at", "exponential"]),
        f"schedule.{number}.start": NOT_NEGATIVE,
        f"schedule.{number}.over": (1e-6, [-1.0, NAN, INF]),
        f"schedule.{number}.to": (0.0, [NAN, INF, -INF, 1e300]),
    }
WRONG_TYPES = {int: ["1", 1.0, True, None, [1]], float: ["0.1", None, (0.1,)], str: [1, None, True, ["digits"]]}
WRONG_TYPES[bool] = [0, 1, "true", None]
# Numbers that only some losses take.
TAKERS = {"smoothing": "minimax", "least_squares": "least_squares", "f_gan": "f_gan:alpha"}


def with_field(name, value):
    config = default_config()
    *groups, leaf = name.split(".")
    group = functools.reduce(getattr, groups, config)
    with group.unlocked(), group.ignore_type():
        group[leaf] = value
    if groups[0:1] == ["schedule"] and leaf != "unit":
        config.noise.sigma = 0.5
        number = functools.reduce(getattr, groups, config)
        with number.unlocked(), number.ignore_type():
            for part, other in {"shape": "linear", "over": 10.0}.items():
                number[part] = value if part == leaf else other
    if groups == ["n_critic_burst"] and leaf != "updates":
        config.n_critic_burst.updates = 9
    if leaf == "every":
        config.steps = 2**25
    if leaf in ("max_width", "residual", "clamp", "style_mixing"):
        config.network.update(STYLED)
    if groups[0:1] in (["penalty"], ["second_penalty"]) and leaf not in ("name", "weight"):
        config[groups[0]].name = "r1"
    if leaf == "sigma" and groups != ["noise"]:
        config[groups[0]].estimator = "finite_difference"
    if groups[0:1] in (["critic"], ["generator"]) and leaf != "weight":
        config[groups[0]][groups[1]].weight = 1.0
    if (
        ".".join(groups) in TERMS
        and "images_of" in inspect.signature(getattr(MODULES[groups[0]], groups[1])).parameters
    ):
        config.network.generator_norm = "layer"
    if name == "schedule.unit":
        config.schedule.noise.sigma.update(shape="linear", over=10.0, to=0.5)
    if name.startswith("augment_"):
        config.augment = "flip"
    if name in ("augment_images", "augment_every"):
        config.augment_target = 0.6
    if name == "ema_ramp":
        config.ema_half_life = 1000.0
    if leaf == "weight_decay":
        config.optimizer.critic_name = "adamw"
    if leaf == "attention":
        config.network.name = "resnet"
    if leaf in ("weight", "continuous_weight") and groups == ["conditional"]:
        config.conditional.name, config.conditional.continuous = "infogan", 1
    if groups and groups[0] in TAKERS:
        config.loss = TAKERS[groups[0]]
    return config


def complaint(config):
    with pytest.raises(UserError) as caught:
        validate(config)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def experiment(path):
    spec = importlib.util.spec_from_file_location(path.stem, path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


# What a run that has begun takes as it comes, and what it never takes; all others it takes and records.
FREE = {"data.dir", "log_every", "sample_every", "checkpoint_every", "eval_every", "wandb.mode"}
FREE |= {"eval_samples", "eval_reals", "eval_split", "eval_metrics", "eval_features", "eval_resizer", "eval_conditions"}
FIXED = {"seed", "packing", "loss", "f_gan.generator", "penalty.name", "optimizer.name", "data.name", "data.image_size"}
FIXED |= {"second_penalty.name", "optimizer.generator_name", "optimizer.critic_name"}
FIXED |= {"conditional.name", "conditional.classes", "conditional.continuous", "data.reading", "ema_conditions"}
# Fields whose default is another thing than what runs did before, and what that was.
LATER = {"eval_conditions": "even", "eval_features": "auto", "ema_conditions": "even"}


def test_fields_are_free_changeable_or_fixed():
    fixed = FIXED | {name for name in FIELDS if name.startswith("network.")}
    kinds = {name: "free" if name in FREE else "fixed" if name in fixed else "changeable" for name in RANGES}
    assert {name: FIELDS[name].kind for name in RANGES} == kinds
    assert {field.kind for field in FIELDS.values()} == {"free", "fixed", "changeable"}


def test_a_field_that_a_run_lacks_is_as_before_there_was_one():
    added = {name: field.neutral for name, field in FIELDS.items() if name not in RANGES and field.neutral is not ...}
    defaults = {name: field.default for name, field in FIELDS.items()} | LATER | added
    assert neutral_fields("cifar10") == defaults | {"data.name": "cifar10"}
    assert neutral_fields("folder") == defaults | {"data.name": "folder", "data.reading": 1}
    assert neutral_fields("ring") == flat(default_config("ring")) | LATER | added
    assert neutral_fields("ring")["conditional.classes"] == 8
    later = FIELDS["eval_reals"]._replace(neutral=7)
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(FIELDS, "eval_reals", later)
        assert neutral_fields("digits")["eval_reals"] == 7


def test_a_run_from_before_there_were_schedules_followed_the_same():
    """Rates fell in a line to a share of themselves, and noise to none: fields of their own said so."""
    rates = {"optimizer.generator_lr": 2e-4, "optimizer.critic_lr": 1e-3, "noise.sigma": 0.5, "seed": 3}
    falls = {"optimizer.decay_steps": 80, "optimizer.final_lr": 0.25, "noise.steps": 30}
    assert as_now(rates | falls) == rates | {
        "schedule.optimizer.generator_lr.shape": "linear",
        "schedule.optimizer.generator_lr.over": 80.0,
        "schedule.optimizer.generator_lr.to": 5e-5,
        "schedule.optimizer.critic_lr.shape": "linear",
        "schedule.optimizer.critic_lr.over": 80.0,
        "schedule.optimizer.critic_lr.to": 2.5e-4,
        "schedule.noise.sigma.shape": "linear",
        "schedule.noise.sigma.over": 30.0,
        "schedule.noise.sigma.to": 0.0,
    }
    stays = dict.fromkeys(falls, 0)
    assert as_now(rates | stays) == as_now(rates) == rates
    for fields in (rates | falls, rates | stays):
        assert as_now(as_now(fields)) == as_now(fields)
        config = default_config()
        config.update_from_flattened_dict(as_now(fields))
        validate(config)


def test_files_leave_out_schedules_that_are_none():
    values = flat(default_config())
    assert not [name for name in without_constants(values) if name.startswith("schedule.")]
    falling = {"schedule.noise.sigma.shape": "linear", "schedule.noise.sigma.over": 9.0}
    assert without_constants(values | falling) == without_constants(values) | falling
    assert neutral_fields("digits") | without_constants(values | falling) == values | falling


@pytest.mark.parametrize("name", [name for name in FIELDS if not is_alike(name)])
def test_has_its_range_here(name):
    what = "a value on the edge of what is allowed, and values beyond it"
    shipped.needs_row(name, shipped.FIELDS, RANGES, "RANGES of tests/test_config.py", what)


PARTS = {"shape": "constant", "start": 0.0, "over": 0.0, "to": 0.0}
UNSCHEDULED = {*HPARAMS.values()} - {*SCHEDULED}


def test_every_number_of_a_run_has_a_schedule_like_the_others():
    of_schedules = [name for name in FIELDS if name.startswith("schedule.") and name != "schedule.unit"]
    assert of_schedules == [f"schedule.{name}.{part}" for name in HPARAMS.values() for part in PARTS]
    for name in of_schedules:
        part, field = name.rpartition(".")[2], FIELDS[name]
        alike = FIELDS[f"schedule.{SCHEDULED[0]}.{part}"]
        assert (field.default, field.kind, field.neutral) == (PARTS[part], "changeable", ...)
        assert field.allowed[1] == alike.allowed[1]
        edge, beyond = RANGES[f"schedule.{SCHEDULED[0]}.{part}"]
        assert field.allowed[0](edge)
        assert not any(field.allowed[0](value) for value in beyond if value != 1e300)


@pytest.mark.parametrize("name", RANGES)
def test_values_on_the_edge_are_allowed(name):
    validate(with_field(name, RANGES[name][0]))


@pytest.mark.parametrize(("name", "value"), [(name, value) for name in RANGES for value in RANGES[name][1]])
def test_values_out_of_range_are_refused_in_one_line_that_names_the_field(name, value):
    assert complaint(with_field(name, value)).startswith(f"config.{name}={value!r}: give ")


@pytest.mark.parametrize(
    ("name", "value"), [(name, value) for name in RANGES for value in WRONG_TYPES[type(FIELDS[name].default)]]
)
def test_values_of_a_wrong_type_are_refused_in_one_line_that_names_the_field(name, value):
    text = complaint(with_field(name, value))
    assert text == f"config.{name}={value!r}: give a value of type {type(FIELDS[name].default).__name__}"


@pytest.mark.parametrize("name", [name for name in RANGES if isinstance(FIELDS[name].default, float)])
def test_a_whole_number_will_do_where_a_float_is_asked_for(name):
    is_at_odds_with_1 = name in ("f_gan.alpha", "least_squares.a")
    validate(with_field(name, 0 if RANGES[name] is FRACTION else 2 if is_at_odds_with_1 else 1))


@pytest.mark.parametrize("name", [name for name in RANGES if "nothing" in RANGES[name][1]])
def test_a_wrong_name_is_answered_with_the_choices(name):
    text = complaint(with_field(name, "nothing"))
    assert RANGES[name][0] in text
    assert FIELDS[name].default in text


@pytest.mark.parametrize("name", ["colour", "optimizer.momentum"])
def test_an_unknown_field_is_named(name):
    config = default_config()
    with config.unlocked():
        config.update_from_flattened_dict({name: 1})
    assert complaint(config).startswith(f"config.{name}: no such field")


@pytest.mark.parametrize("name", ["steps", "penalty.weight"])
def test_a_missing_field_is_named(name):
    config = default_config()
    *groups, leaf = name.split(".")
    del functools.reduce(getattr, groups, config)[leaf]
    assert complaint(config).startswith(f"config.{name} is missing")


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"packing": 3}, ["packing=3", "batch_size=64", "divides"]),
        ({"loss": "hinge", "smoothing.real": 0.1}, ["smoothing.real=0.1", "loss='hinge'", "minimax, non_saturating"]),
        ({"loss": "wasserstein", "least_squares.c": 0.5}, ["least_squares.c=0.5", "only least_squares takes it"]),
        ({"loss": "f_gan:pearson", "f_gan.alpha": 0.2}, ["f_gan.alpha=0.2", "only f_gan:alpha takes it"]),
        ({"smoothing.real": 0.6, "smoothing.fake": 0.5}, ["smoothing.real=0.6", "smoothing.fake=0.5", "below 1"]),
        (
            {"schedule.noise.sigma.over": 9.0},
            ["schedule.noise.sigma", "'constant'", "give config.schedule.noise.sigma.shape"],
        ),
        ({"penalty.name": "r1", "penalty.every": 41, "n_critic": 4, "steps": 10}, ["penalty.every=41", "at most 40"]),
        ({"loss": "least_squares", "least_squares.a": 1.0}, ["least_squares.a=1.0", "least_squares.b=1.0", "give two"]),
        ({"conditional.name": "projection", "network.generator_norm": "none"}, ["projection", "batch or layer"]),
        ({"conditional.name": "infogan", "packing": 2}, ["packing=2", "infogan", "give 1"]),
        ({"conditional.name": "projection", "conditional.continuous": 2}, ["continuous=2", "only infogan"]),
        ({"conditional.name": "projection", "conditional.weight": 2.0}, ["weight=2.0", "auxiliary_classifier"]),
        (
            {"conditional.name": "infogan", "conditional.continuous_weight": 2.0},
            ["weight=2.0", "conditional.continuous"],
        ),
        ({"data.name": "ring", "augment": "color"}, ["augment='color'", "data.name='ring'", "images"]),
        ({"data.name": "ring", "data.flip": True}, ["data.flip=True", "images"]),
        ({"augment": "color", "packing": 2}, ["packing=2", "augment='color'", "packing 1"]),
        ({"network.attention": 8}, ["attention=8", "network.name='mlp'", "only resnet"]),
        ({"network.clamp": 256.0}, ["clamp=256.0", "network.name='mlp'", "only stylegan2 has it", "give 0.0"]),
        (OF_STYLED | {"network.generator_norm": "batch"}, ["generator_norm='batch'", "'stylegan2'", "give none"]),
        (OF_STYLED | {"network.spectral_norm": True}, ["spectral_norm=True", "'stylegan2'", "give False"]),
        ({"penalty.every": 4}, ["penalty.every=4", "penalty.name='none'", "give 1"]),
        (
            {"schedule.ema_decay.shape": "linear"},
            ["schedule.ema_decay.shape='linear'", "over=0.0", "the steps that it takes"],
        ),
        ({"network.critic_norm": "batch", "packing": 64}, ["batch_size=64", "packing=64", "at least 128"]),
        ({"batch_size": 1, "network.generator_norm": "batch"}, ["batch_size=1", "at least 2"]),
        ({"data.name": "folder"}, ["data.name='folder'", "--config.data.dir=PATH"]),
        ({"data.name": "ring", "data.image_size": 16}, ["data.name='ring'", "image_size"]),
        ({"data.name": "ring", "data.dir": "there"}, ["data.name='ring'", "data.dir"]),
    ],
)
def test_fields_at_odds_with_each_other_are_refused(fields, words):
    config = default_config()
    config.update_from_flattened_dict(fields)
    text = complaint(config)
    assert [word for word in words if word not in text] == []


def schedule(field, to, shape="linear", over=9.0):
    parts = {"shape": shape, "over": over, "to": to}
    return {f"schedule.{field}.{part}": value for part, value in parts.items()}


IMAGES, POINTS = {"data.name": "mnist"}, {"data.name": "ring"}
PAIRS = [{"batch_size": 8}, {"batch_size": 12}]
RAW = {"network.generator_norm": "none"}
ESTIMATED = {"penalty.name": "r1", "penalty.estimator": "finite_difference"}
OFTEN = {"penalty.name": "r1", "critic.drift.weight": 1.0, "steps": 2**25}
RISING = {"shape": "linear", "over": 9.0, "to": 0.5}
SIGMA_FALLS = {"penalty.name": "r1", **{f"schedule.penalty.sigma.{part}": value for part, value in RISING.items()}}
WARM_SIGMA = {"penalty.estimator": "finite_difference", "schedule.penalty.sigma.shape": "warm_up",
              "schedule.penalty.sigma.to": 0.0}  # fmt: skip
WARM = {"schedule.optimizer.b1.shape": "warm_up", "schedule.optimizer.b1.over": 9.0}
# (fields at odds, what is said, what it says to give: each a way out)
ADVICE = [
    ({"penalty.name": "r1", "network.critic_norm": "batch"}, "give critic_norm none or layer",
     [{"network.critic_norm": "none"}, {"network.critic_norm": "layer"}]),
    ({"batch_size": 1, "network.generator_norm": "batch"}, "give at least 2, or in a new run another norm",
     [{"batch_size": 2}, {"network.generator_norm": "layer"}, {"network.generator_norm": "none"}]),
    ({"batch_size": 4, "packing": 4, "network.critic_norm": "batch"}, "give at least 8", PAIRS),
    ({"loss": "minimax", "smoothing.real": 0.6, "smoothing.fake": 0.5}, "a sum below 1", [{"smoothing.fake": 0.3}]),
    ({"loss": "least_squares", "least_squares.a": 1.0}, "give two", [{"least_squares.a": -1.0}]),
    ({"penalty.name": "r1", "penalty.every": 41, "n_critic": 4, "steps": 10}, "at most 40", [{"penalty.every": 40}]),
    ({"penalty.name": "r1", "penalty.every": 100, "steps": 10, "n_critic_burst.updates": 9,
      "n_critic_burst.first_steps": 2, "n_critic_burst.every": 5}, "at most 34", [{"penalty.every": 34}]),
    ({"n_critic_burst.updates": 9, "n_critic_burst.first_steps": 0, "n_critic_burst.every": 0}, "or one of the others",
     [{"n_critic_burst.first_steps": 1}, {"n_critic_burst.every": 2},
      {"n_critic_burst.updates": 0, "n_critic_burst.first_steps": 25, "n_critic_burst.every": 500}]),
    ({"n_critic_burst.first_steps": 9}, "give 25, or config.n_critic_burst.updates too",
     [{"n_critic_burst.first_steps": 25}, {"n_critic_burst.updates": 9}]),
    ({"n_critic_burst.every": 9}, "give 500, or", [{"n_critic_burst.every": 500}, {"n_critic_burst.updates": 9}]),
    ({"eval_metrics": "prdc"}, "add one of", [{"eval_metrics": f"prdc,{name}"} for name in measures.SCORING]),
    ({"packing": 3}, "a batch size that 3 divides, or in a new run a packing that divides it",
     [{"batch_size": 66}, {"packing": 4}]),
    ({"network.attention": 8}, "give 0", [{"network.attention": 0}]),
    ({"network.clamp": 256.0}, "give 0.0", [{"network.clamp": 0.0}]),
    ({"network.residual": False}, "give True", [{"network.residual": True}]),
    ({"network.max_width": 64}, "give 512", [{"network.max_width": 512}]),
    ({"network.style_mixing": 0.5}, "give 0.9", [{"network.style_mixing": 0.9}]),
    (OF_STYLED | {"network.generator_norm": "batch"}, "give none", [{"network.generator_norm": "none"}]),
    (OF_STYLED | {"network.critic_norm": "layer"}, "give none", [{"network.critic_norm": "none"}]),
    (OF_STYLED | {"network.spectral_norm": True}, "give False", [{"network.spectral_norm": False}]),
    ({"data.name": "folder"}, "give --config.data.dir=PATH", [{"data.dir": "there"}]),
    (POINTS | {"data.image_size": 16}, "give 0", [{"data.image_size": 0}]),
    (POINTS | {"augment": "color"}, "give 'none', or in a new run a set of images", [{"augment": "none"}, IMAGES]),
    (POINTS | {"data.flip": True}, "give False, or in a new run a set of images", [{"data.flip": False}, IMAGES]),
    (POINTS | {"data.balanced": True}, "give False, or in a new run a set of images",
     [{"data.balanced": False}, IMAGES]),
    ({"augment": "color", "packing": 2}, "give augment none, or in a new run packing 1",
     [{"augment": "none"}, {"packing": 1}]),
    ({"data.dir": "there"}, "leave it empty", [{"data.dir": ""}]),
    ({"conditional.name": "projection", **RAW}, "give batch or layer, or another conditional.name",
     [{"network.generator_norm": "batch"}, {"network.generator_norm": "layer"}, {"conditional.name": "concatenation"}]),
    ({"conditional.name": "infogan", "packing": 2, "conditional.continuous": 1}, "give 1 ", [{"packing": 1}]),
    ({"conditional.name": "projection", "packing": 2}, "only concatenation goes with more",
     [{"packing": 1}, {"conditional.name": "concatenation"}]),
    ({"conditional.name": "projection", "conditional.continuous": 2}, "only infogan has such codes; give 0",
     [{"conditional.continuous": 0}, {"conditional.name": "infogan"}]),
    ({"conditional.weight": 2.0}, "only auxiliary_classifier and infogan take it; give 1.0",
     [{"conditional.weight": 1.0}, {"conditional.name": "auxiliary_classifier"}, {"conditional.name": "infogan"}]),
    ({"conditional.continuous_weight": 2.0}, "only infogan takes it; give 0.1",
     [{"conditional.continuous_weight": 0.1}, {"conditional.name": "infogan", "conditional.continuous": 1}]),
    ({"conditional.name": "infogan", "conditional.continuous_weight": 2.0},
     "give 0.1, or in a new run config.conditional.continuous too",
     [{"conditional.continuous_weight": 0.1}, {"conditional.continuous": 1}]),
    ({"loss": "hinge", "smoothing.real": 0.6, "smoothing.fake": 0.0}, "give 0.0, or in a new run another loss",
     [{"smoothing.real": 0.0}, {"loss": "minimax"}, {"loss": "non_saturating"}]),
    ({"loss": "hinge", "least_squares.a": 1.0}, "give 0.0, or in a new run another loss", [{"least_squares.a": 0.0}]),
    ({"loss": "hinge", "least_squares.b": 2.0}, "give 1.0, or in a new run another loss",
     [{"least_squares.b": 1.0}, {"loss": "least_squares"}]),
    ({"f_gan.alpha": 2.0}, "give 0.5, or in a new run another loss", [{"f_gan.alpha": 0.5}, {"loss": "f_gan:alpha"}]),
    ({"optimizer.weight_decay": 0.1, "optimizer.generator_name": "sgd", "optimizer.critic_name": "rmsprop"},
     "the critic's rmsprop takes it; give 0.0, or in a new run optimizer.critic_name adamw or lion",
     [{"optimizer.weight_decay": 0.0}, {"optimizer.critic_name": "adamw"}, {"optimizer.critic_name": "lion"}]),
    ({"penalty.every": 4}, "give 1, or in a new run config.penalty.name too",
     [{"penalty.every": 1}, {"penalty.name": "r1"}]),
    ({"penalty.every": 10**6}, "give 1, or in a new run config.penalty.name too", [{"penalty.every": 1}]),
    ({"second_penalty.own_step": True}, "give False, or in a new run config.second_penalty.name too",
     [{"second_penalty.own_step": False}, {"second_penalty.name": "r2"}]),
    ({"penalty.estimator": "finite_difference"}, "give 'exact', or in a new run config.penalty.name too",
     [{"penalty.estimator": "exact"}, {"penalty.name": "r1_r2"}]),
    ({"penalty.share": 0.5}, "give 1.0, or in a new run config.penalty.name too",
     [{"penalty.share": 1.0}, {"penalty.name": "r1"}]),
    ({"penalty.name": "r1", "penalty.sigma": 0.1}, "give 0.01, or config.penalty.estimator too",
     [{"penalty.sigma": 0.01}, {"penalty.estimator": "finite_difference"}]),
    (SIGMA_FALLS, "give 'constant', or config.penalty.estimator too",
     [{"schedule.penalty.sigma.shape": "constant", "schedule.penalty.sigma.over": 0.0,
       "schedule.penalty.sigma.to": 0.0}, {"penalty.estimator": "finite_difference"}]),
    ({"critic.drift.every": 4}, "give 1, or config.critic.drift.weight too",
     [{"critic.drift.every": 1}, {"critic.drift.weight": 1e-3}]),
    ({"generator.orthogonal.own_step": True}, "give False, or config.generator.orthogonal.weight too",
     [{"generator.orthogonal.own_step": False}, {"generator.orthogonal.weight": 1e-4},
      {f"schedule.generator.orthogonal.weight.{part}": value for part, value in RISING.items()}]),
    ({"augment": "flip,blit"}, "give config.augment_target 0.6, or a probability below 1, such as 0.2",
     [{"augment_target": 0.6}, {"augment_probability": 0.2}]),
    ({"augment_target": 0.6}, "give 0.0, or config.augment too", [{"augment_target": 0.0}, {"augment": "flip"}]),
    ({"augment_images": 9.0, "augment": "flip"}, "give 500000.0, or config.augment_target too",
     [{"augment_images": 500_000.0}, {"augment_target": 0.6}]),
    ({"augment_every": 9, "augment": "flip"}, "give 4, or config.augment_target too",
     [{"augment_every": 4}, {"augment_target": 0.6}]),
    ({"augment_target": 0.6, "augment": "flip", "schedule.augment_probability.shape": "linear",
      "schedule.augment_probability.over": 9.0}, "give 'constant', or config.augment_target 0.0",
     [{"schedule.augment_probability.shape": "constant", "schedule.augment_probability.over": 0.0},
      {"augment_target": 0.0}]),
    ({"augment_target": 0.6, "augment": "flip", "augment_probability": 0.5}, "give 1.0, or config.augment_target 0.0",
     [{"augment_probability": 1.0}, {"augment_target": 0.0}]),
    ({"augment_target": 0.6, "augment": "flip", "loss": "wasserstein"}, "give 0.0, or in a new run a loss of minimax, "
     "non_saturating, log_odds, hinge", [{"augment_target": 0.0}, {"loss": "hinge"}, {"loss": "log_odds"}]),
    ({"augment_probability": 0.5}, "give 1.0, or config.augment too",
     [{"augment_probability": 1.0}, {"augment": "flip"}]),
    ({"ema_ramp": 0.05}, "give 0.0, or config.ema_half_life too", [{"ema_ramp": 0.0}, {"ema_half_life": 1000.0}]),
    ({"network.minibatch_deviation": 5}, "a batch size that makes a multiple of 5, or in a new run 0 or a group that "
     "divides 64", [{"batch_size": 65}, {"network.minibatch_deviation": 0}, {"network.minibatch_deviation": 4}]),
    ({"network.minibatch_deviation": 4, "packing": 2, "batch_size": 36}, "in a new run 0 or a group that divides 18",
     [{"batch_size": 40}, {"network.minibatch_deviation": 0}, {"network.minibatch_deviation": 3}]),
    ({"penalty.name": "r1", "penalty.share": 0.5, "packing": 2}, "give share 1, or in a new run packing 1",
     [{"penalty.share": 1.0}, {"packing": 1}]),
    (ESTIMATED | {"penalty.name": "gradient_penalty"}, "give exact, or in a new run one of these",
     [{"penalty.estimator": "exact"}, *({"penalty.name": name} for name in ("zero_centered", "r1", "r2", "r1_r2"))]),
    (ESTIMATED | {"network.dtype": "bfloat16"}, "give exact, or in a new run float32",
     [{"penalty.estimator": "exact"}, {"network.dtype": "float32"}]),
    (OFTEN | {"penalty.every": 4097, "critic.drift.every": 8192}, "give intervals that divide one another",
     [{"penalty.every": 4096}, {"penalty.every": 1}, {"critic.drift.every": 2 * 4097}]),
    ({"generator.orthogonal.weight": 1.0, "generator.orthogonal.every": 41, "n_generator": 4, "steps": 10},
     "at most 40", [{"generator.orthogonal.every": 40}]),
    ({"schedule.noise.sigma.over": 9.0}, "give config.schedule.noise.sigma.shape too, or over 0.0",
     [{"schedule.noise.sigma.shape": "linear", "noise.sigma": 0.1}, {"schedule.noise.sigma.over": 0.0}]),
    (schedule("noise.sigma", 0.0), "changes nothing: give config.noise.sigma too, or config.schedule.noise.sigma.to,",
     [{"noise.sigma": 0.1}, {"schedule.noise.sigma.to": 0.1}, schedule("noise.sigma", 0.0, "constant", 0.0)]),
    (schedule("critic.drift.weight", 0.0, "warm_up"), "changes nothing: give config.critic.drift.weight too, or",
     [{"critic.drift.weight": 0.1}, schedule("critic.drift.weight", 0.0, "constant", 0.0)]),
    ({"schedule.noise.sigma.shape": "cosine", "noise.sigma": 0.1}, "give config.schedule.noise.sigma.over, the steps",
     [{"schedule.noise.sigma.over": 1.0}]),
    ({"schedule.noise.sigma.shape": "warm_up", "noise.sigma": 0.1, "schedule.unit": "images"},
     "over, the images that it takes", [{"schedule.noise.sigma.over": 1.0}]),
    (WARM | {"schedule.optimizer.b1.to": 0.5}, "give config.schedule.optimizer.b1.to 0.0",
     [{"schedule.optimizer.b1.to": 0.0}]),
    (WARM | {"schedule.optimizer.b1.shape": "linear", "schedule.optimizer.b1.to": 1.0},
     "optimizer.b1 is at least 0 and below 1; give another number",
     [{"schedule.optimizer.b1.to": 0.0}, {"schedule.optimizer.b1.to": 0.99}]),
    ({"schedule.f_gan.alpha.shape": "cosine", "schedule.f_gan.alpha.over": 9.0, "loss": "f_gan:alpha"},
     "a number but 0 and 1; give another number", [{"schedule.f_gan.alpha.to": 0.3}]),
    (schedule("f_gan.alpha", 2.0) | {"loss": "f_gan:alpha"}, "on the way it would be 1; give two numbers",
     [{"schedule.f_gan.alpha.to": 0.9}, {"f_gan.alpha": 1.5}, {"f_gan.alpha": -0.5, "schedule.f_gan.alpha.to": -2.0}]),
    (SIGMA_FALLS | WARM_SIGMA, "shape='warm_up': penalty.sigma is above 0; give linear, and what it shall begin at",
     [{"schedule.penalty.sigma.shape": "linear", "penalty.sigma": 0.1, "schedule.penalty.sigma.to": 0.01}]),
    (schedule("weight_clip", 0.0) | {"weight_clip": 0.1}, "is none where it is 0, and works most just above",
     [{"schedule.weight_clip.to": 0.01}]),
    (schedule("ema_half_life", 1000.0), "config.ema_half_life=0.0 with config.schedule.ema_half_life.shape='linear'",
     [{"ema_half_life": 10.0}]),
    (schedule("optimizer.critic_lr", 0.0, "warm_up") | {"schedule.optimizer.critic_lr.start": 1e4, "steps": 100},
     "would be 0 to the end; give a start below 100 steps", [{"schedule.optimizer.critic_lr.start": 99.0}]),
    (schedule("smoothing.real", 0.8) | {"loss": "minimax", "smoothing.fake": 0.2},
     "config.schedule.smoothing.real.to=0.8 with config.smoothing.fake=0.2", [{"schedule.smoothing.real.to": 0.7}]),
    (schedule("least_squares.b", -1.0) | {"loss": "least_squares"},
     "might have one target for reals and fakes; give two ranges that do",
     [{"schedule.least_squares.b.to": 0.5}, {"least_squares.a": -2.0}]),
    ({"schedule.unit": "images"}, "give 'steps', or config.schedule.FIELD.shape too",
     [{"schedule.unit": "steps"}, schedule("noise.sigma", 1.0)]),
    (schedule("second_penalty.weight", 1.0), "give 'constant', or in a new run config.second_penalty.name too",
     [schedule("second_penalty.weight", 0.0, "constant", 0.0), {"second_penalty.name": "r2"}]),
    ({"ema_decay": 0.99, "ema_half_life": 1e4}, "give 0.999, or config.ema_half_life 0.0",
     [{"ema_decay": 0.999}, {"ema_half_life": 0.0}]),
    ({"generator.path_length.weight": 2.0}, "give 0.0, or in a new run generator_norm none or layer",
     [{"generator.path_length.weight": 0.0}, {"network.generator_norm": "none"}, {"network.generator_norm": "layer"}]),
    (ESTIMATED | {"network.minibatch_deviation": 4, "penalty.share": 0.1}, "whole groups; give 0.0625 or 0.125 or 0.25",
     [{"penalty.share": share} for share in (0.0625, 0.125, 0.25, 0.5, 1.0)]),
    (schedule("smoothing.real", 0.3) | {"loss": "hinge"}, "give 'constant', or in a new run another loss",
     [schedule("smoothing.real", 0.0, "constant", 0.0), {"loss": "minimax"}]),
    ({f"schedule.conditional.weight.{part}": value for part, value in RISING.items()},
     "give 'constant', or in a new run another conditional.name",
     [{"schedule.conditional.weight.shape": "constant", "schedule.conditional.weight.over": 0.0,
       "schedule.conditional.weight.to": 0.0}, {"conditional.name": "infogan"}]),
    ({f"schedule.optimizer.weight_decay.{part}": value for part, value in RISING.items()},
     "give 'constant', or in a new run optimizer.critic_name adamw or lion",
     [{"schedule.optimizer.weight_decay.shape": "constant", "schedule.optimizer.weight_decay.over": 0.0,
       "schedule.optimizer.weight_decay.to": 0.0}, {"optimizer.critic_name": "lion"}]),
]  # fmt: skip


def configured(fields):
    config = default_config()
    config.update_from_flattened_dict(fields)
    return config


@pytest.mark.parametrize(("fields", "words", "ways_out"), ADVICE)
def test_what_a_message_says_to_give_goes_through(fields, words, ways_out):
    assert words in complaint(configured(fields))
    for given in ways_out:
        validate(configured(fields | given))


def is_fixed(name):
    return FIELDS[name].kind == "fixed"


@pytest.mark.parametrize(("fields", "ways_out"), [(fields, ways) for fields, _, ways in ADVICE])
def test_a_begun_run_is_told_what_it_can_be_given(fields, ways_out):
    """Fixed fields are for a new run, wherever a changeable one may have made the trouble."""
    begun = {name: value for name, value in fields.items() if is_fixed(name)}
    words = complaint(configured(fields))
    if begun == fields or not is_valid(configured(begun)):  # no run can have begun so
        return
    refused = [given for given in ways_out if any(is_fixed(name) for name in given)]
    assert len(refused) < len(ways_out)
    assert "in a new run" in words or not refused


def is_valid(config):
    try:
        validate(config)
    except UserError:
        return False
    return True


class Groupless(nn.Module):
    """A critic of one's own, which knows of no minibatch deviation."""

    width: int


GROUPED = {"network.name": "mlp", "network.minibatch_deviation": 4}


def test_a_critic_without_a_minibatch_deviation_is_given_none(monkeypatch):
    validate(configured(GROUPED))
    monkeypatch.setattr(networks.mlp, "Critic", Groupless)
    assert "network.name='mlp': its Critic has no group; give 0" in complaint(configured(GROUPED))
    validate(configured(GROUPED | {"network.minibatch_deviation": 0}))


def test_every_message_on_fields_at_odds_has_its_advice_tried(monkeypatch):
    """Each place in the code that says something of this kind; of a field alone, RANGES has what it may be."""
    of_one_field = "_check_names", "_check_value"
    functions = [node for node in ast.parse(inspect.getsource(config_module)).body if isinstance(node, ast.FunctionDef)]
    nodes = [node for function in functions if function.name not in of_one_field for node in ast.walk(function)]
    places = [range(node.lineno, node.end_lineno + 1) for node in nodes if isinstance(node, ast.Raise)]
    tried = [raised_at(configured(fields)) for fields, _, _ in ADVICE]
    monkeypatch.setattr(networks.mlp, "Critic", Groupless)
    tried.append(raised_at(configured(GROUPED)))
    assert len(places) > 15
    assert [place for place in places if not {*place} & {*tried}] == []


def raised_at(config):
    """The line of config/checks.py that refuses it."""
    try:
        validate(config)
    except UserError as error:
        *_, last = traceback.extract_tb(error.__traceback__)
        return last.lineno


@pytest.mark.parametrize("penalty", penalty_names())
def test_batch_norm_in_a_penalised_critic_is_refused(penalty):
    """The gradients that a penalty takes would be no sample's own."""
    config = default_config()
    config.penalty.name, config.network.critic_norm = penalty, "batch"
    assert complaint(config).endswith("give critic_norm none or layer")


def test_every_command_of_the_readme_has_a_valid_configuration():
    text = (pathlib.Path(__file__).parents[1] / "README.md").read_text()
    commands = re.findall(r"--config=experiments/(\w+)\.py(?::(\w+))?((?: --config\.[\w.]+=\w+)*)", text)
    assert ("gan", "", " --config.penalty.name=r1") in commands
    for name, data, flags in commands:
        if name != "NAME":
            get_config = experiment(EXPERIMENTS[0].with_stem(name)).get_config
            config = get_config(data) if data else get_config()
            for field, value in re.findall(r"--config\.([\w.]+)=(\w+)", flags):
                config.update_from_flattened_dict({field: type(FIELDS[field].default)(value)})
            validate(config)


@pytest.mark.parametrize("data", EMBEDDED)
def test_defaults_are_valid_and_name_the_set(data):
    config = default_config(data)
    validate(config)
    assert config.data.name == data
    assert list(flat(config)) == list(FIELDS)


@pytest.mark.parametrize("path", EXPERIMENTS, ids=lambda path: path.stem)
def test_an_experiment_is_a_lab_note_of_at_most_40_lines(path):
    assert len(path.read_text().splitlines()) <= 40
    module = experiment(path)
    assert f"python -m gan_jax.main --config=experiments/{path.name}" in module.__doc__
    sets = {"own_pictures": "folder", "stylegan2_official": "folder"} | {
        path.stem: "cifar10" for path in EXPERIMENTS if path.stem.endswith("cifar10")
    }
    assert module.get_config().data.name == sets.get(path.stem, "digits")


@pytest.mark.parametrize("path", EXPERIMENTS, ids=lambda path: path.stem)
@pytest.mark.parametrize("data", EMBEDDED)
def test_an_experiment_is_valid_on_every_embedded_set(path, data):
    """An added one need be on the digits alone: where it is refused, one line says why."""
    if path.stem.endswith("cifar10") and data not in ("mnist", "fashion_mnist", "cifar10"):
        return  # its networks are for images of 32 pixels
    if path.stem in ("own_pictures", "stylegan2_ada") and sources.is_points(data):
        return
    if path.stem == "stylegan2_official":  # it is told a recipe instead
        return
    config = experiment(path).get_config(data)
    assert config.data.name == data
    if path.stem in shipped.EXPERIMENTS or data == "digits" or is_valid(config):
        return validate(config)
    assert complaint(config).startswith("config.")


# What they all have: w86763777/pytorch-gan-collections.
CIFAR10 = {
    "steps": 100_000,
    **{
        f"schedule.optimizer.{rate}.{part}": value
        for rate in ("generator_lr", "critic_lr")
        for part, value in {"shape": "linear", "start": 0, "over": 100_000, "to": 0}.items()
    },
    "schedule.unit": "steps",
    "data.flip": True,
    "ema_decay": 0,
}
CIFAR10 |= {"generator_batch": 2, "optimizer.name": "adam", "optimizer.b1": 0, "optimizer.b2": 0.9}
CIFAR10 |= {"optimizer.generator_lr": 2e-4, "optimizer.critic_lr": 2e-4}
# What a paper says, by experiment, for cifar10.
STYLEGAN2 = {
    "network.name": "stylegan2", "loss": "non_saturating", "optimizer.b1": 0.0, "optimizer.b2": 0.99,
    "optimizer.generator_lr": 0.0025, "optimizer.critic_lr": 0.0025, "penalty.name": "r1", "penalty.every": 16,
    "penalty.own_step": True, "generator.path_length.weight": 2.0, "generator.path_length.every": 4,
    "generator.path_length.own_step": True, "network.style_mixing": 0.9, "network.minibatch_deviation": 4,
    "network.depth": 2, "ema_ramp": 0.05,
}  # fmt: skip
PAPERS = {
    "stylegan2": STYLEGAN2,
    "stylegan2_ada": STYLEGAN2 | {"augment": "bgc", "augment_target": 0.6},
    "stylegan2_official": {},  # see test_official.py
    "gan": {"loss": "minimax", "n_critic": 1, "penalty.name": "none"},
    "ns_gan": {"loss": "non_saturating", "optimizer.b1": 0.5, "optimizer.b2": 0.999},
    "dcgan": {"network.name": "dcgan", "batch_size": 128, "network.critic_norm": "batch", "optimizer.critic_lr": 2e-4}
    | {"network.generator_norm": "batch", "optimizer.b1": 0.5, "optimizer.b2": 0.999, "loss": "non_saturating"},
    "ls_gan": {"loss": "least_squares", "least_squares.a": 0, "least_squares.b": 1, "least_squares.c": 1},
    "f_gan": {"loss": "f_gan:squared_hellinger", "f_gan.generator": "alternative"},
    "wgan": {"loss": "wasserstein", "n_critic": 5, "weight_clip": 0.01, "penalty.name": "none"}
    | {"optimizer.name": "rmsprop", "optimizer.critic_lr": 5e-5, "optimizer.generator_lr": 5e-5},
    "wgan_gp": {"loss": "wasserstein", "n_critic": 5, "weight_clip": 0, "penalty.name": "gradient_penalty"}
    | {"penalty.weight": 10, "optimizer.name": "adam", "optimizer.b2": 0.9},
    "wgan_lp": {"loss": "wasserstein", "n_critic": 5, "penalty.name": "one_sided", "penalty.weight": 10},
    "dragan": {"loss": "non_saturating", "penalty.name": "dragan", "penalty.weight": 10, "n_critic": 1},
    "sn_gan": {"loss": "hinge", "network.spectral_norm": True, "network.critic_norm": "none"}
    | {"optimizer.critic_lr": 2e-4, "optimizer.b1": 0.5, "optimizer.b2": 0.999, "n_critic": 1},
    "r1_gan": {"loss": "non_saturating", "penalty.name": "r1", "penalty.weight": 10, "optimizer.critic_lr": 1e-4}
    | {"optimizer.name": "rmsprop", "penalty.every": 1},
    "conditional_gan": {"conditional.name": "concatenation"},
    "ac_gan": {"conditional.name": "auxiliary_classifier"},
    "projection_gan": {"conditional.name": "projection", "loss": "hinge", "network.spectral_norm": True}
    | {"network.generator_norm": "batch"},
    "info_gan": {"conditional.name": "infogan", "conditional.classes": 10, "conditional.continuous": 2}
    | {"loss": "hinge", "network.spectral_norm": True},
    "wgan_gp_cifar10": CIFAR10
    | {"loss": "wasserstein", "penalty.name": "gradient_penalty", "penalty.weight": 10}
    | {"network.name": "resnet", "network.width": 128, "network.generator_width": 256, "network.latent_dim": 128}
    | {"network.generator_norm": "batch", "network.critic_norm": "none", "batch_size": 64, "n_critic": 5},
    "sn_gan_cifar10": CIFAR10
    | {"loss": "hinge", "network.spectral_norm": True, "batch_size": 64, "n_critic": 5}
    | {"network.name": "resnet", "network.width": 128, "network.generator_width": 256, "penalty.name": "none"},
    "wgan_cifar10": CIFAR10
    | {"loss": "wasserstein", "weight_clip": 0.1, "batch_size": 128, "n_critic": 1}
    | {"network.name": "sn_cnn", "network.latent_dim": 100},
    "dcgan_cifar10": CIFAR10
    | {"loss": "non_saturating", "batch_size": 128, "n_critic": 1, "optimizer.b1": 0.5}
    | {"network.name": "sn_cnn", "network.latent_dim": 100},
    "own_pictures": {"loss": "non_saturating", "penalty.name": "r1", "augment": "color,translation,cutout"},
    "rp_gan": {"loss": "relativistic", "penalty.name": "r1_r2", "penalty.every": 1, "optimizer.b1": 0},
}


@pytest.mark.parametrize("path", EXPERIMENTS, ids=lambda path: path.stem)
def test_an_experiment_has_its_paper_here(path):
    where = "PAPERS of tests/test_config.py"
    what = "the fields that its paper gives, for cifar10; {} without a paper"
    shipped.needs_row(path.stem, shipped.EXPERIMENTS, PAPERS, where, what)


@pytest.mark.parametrize("name", PAPERS)
def test_experiments_have_the_numbers_of_their_papers(name):
    (path,) = (path for path in EXPERIMENTS if path.stem == name)
    values = flat(experiment(path).get_config(*([] if name == "stylegan2_official" else ["cifar10"])))
    assert {field: values[field] for field in PAPERS[name]} == PAPERS[name]
