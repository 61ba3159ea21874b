"""The recipes of stylegan2-ada-pytorch against the numbers that its train.py prints, and its networks' sizes."""

import functools
import math
import pathlib
import runpy

import jax
import jax.numpy as jnp
import pytest

from gan_jax.config import validate
from gan_jax.config.fields import flat
from gan_jax.training.game import build_networks

EXPERIMENT = pathlib.Path(__file__).parents[1] / "experiments/stylegan2_official.py"
ALL = {
    "augment": "bgc", "augment_target": 0.6, "augment_every": 4,
    "augment_images": 500_000.0,
    "loss": "non_saturating", "optimizer.name": "adam", "optimizer.b1": 0.0, "optimizer.b2": 0.99,
    "network.latent_dim": 512, "network.max_width": 512, "network.clamp": 256.0, "penalty.name": "r1",
    "penalty.every": 16, "penalty.own_step": True,
}  # fmt: skip
WITH_PATHS = {
    "generator.path_length.weight": 2.0, "generator.path_length.every": 4, "generator.path_length.own_step": True,
    "network.style_mixing": 0.9, "network.residual": True,
}  # fmt: skip
# Of the first GPU alone; gamma of `auto` is 0.0002 side^2 / batch.
RECIPES = {
    "auto_32": {"batch_size": 32, "penalty.weight": 0.0064, "optimizer.critic_lr": 0.0025, "network.depth": 2,
                "ema_half_life": 10_000.0, "ema_ramp": 0.05, "network.minibatch_deviation": 4},
    "auto_256": {"batch_size": 16, "penalty.weight": 0.8192, "optimizer.critic_lr": 0.0025, "network.depth": 2,
                 "ema_half_life": 5_000.0, "ema_ramp": 0.05, "network.minibatch_deviation": 4},
    "stylegan2_64": {"batch_size": 32, "penalty.weight": 10.0, "optimizer.critic_lr": 0.002, "network.depth": 8,
                     "ema_half_life": 10_000.0, "ema_ramp": 0.0, "network.minibatch_deviation": 4},
    "paper256": {"batch_size": 64, "penalty.weight": 1.0, "optimizer.critic_lr": 0.0025, "network.depth": 8,
                 "ema_half_life": 20_000.0, "ema_ramp": 0.0, "network.minibatch_deviation": 8},
    "cifar": {"batch_size": 64, "penalty.weight": 0.01, "optimizer.critic_lr": 0.0025, "network.depth": 2,
              "ema_half_life": 500_000.0, "ema_ramp": 0.05, "network.minibatch_deviation": 32,
              "generator.path_length.weight": 0.0, "network.style_mixing": 0.0, "network.residual": False},
}  # fmt: skip
SIZES = {
    "auto_32": (19_947_539, 21_507_073),
    "auto_64": (22_243_608, 23_407_361),
    "auto_128": (22_949_277, 23_882_369),
    "auto": (23_191_522, 24_001_089),
    "stylegan2_32": (21_523_475, 21_507_073),
    "stylegan2_64": (27_032_600, 26_488_833),
    "stylegan2_128": (29_328_669, 28_389_121),
    "stylegan2": (30_034_338, 28_864_129),
    "paper256": (24_767_458, 24_001_089),
    "cifar": (19_947_539, 20_720_641),
}


def recipe(name):
    config = runpy.run_path(str(EXPERIMENT))["get_config"](name)
    config.data.dir = "pictures" if config.data.name == "folder" else ""
    validate(config)
    return config


@pytest.mark.parametrize("name", RECIPES)
def test_recipes_have_the_authors_numbers(name):
    values, common = flat(recipe(name)), ALL if name == "cifar" else ALL | WITH_PATHS
    rate = RECIPES[name]["optimizer.critic_lr"] * (0.8 if name == "cifar" else 1)  # without the lazy term, but its c
    expected = common | RECIPES[name] | {"optimizer.generator_lr": rate}
    assert {field: values[field] for field in expected} == pytest.approx(expected)


def sizes(config, classes=0):
    """Parameters of both players."""
    shape = config.data.image_size, config.data.image_size, 3
    inputs, told = (
        (jnp.zeros((32, 512 + classes)), jnp.zeros((32, *shape))),
        ({}, {"condition": jnp.zeros((32, classes))}),
    )
    made = [
        jax.eval_shape(functools.partial(network.init, train=True, **others), jax.random.key(0), x)["params"]
        for network, x, others in zip(build_networks(config, shape), inputs, told, strict=True)
    ]
    return tuple(sum(math.prod(leaf.shape) for leaf in jax.tree.leaves(params)) for params in made)


@pytest.mark.parametrize("name", SIZES)
def test_recipes_have_the_authors_networks(name):
    assert sizes(recipe(name)) == SIZES[name]


def test_with_ten_classes_the_networks_are_the_authors_too():
    config = recipe("cifar")
    config.conditional.name = "projection"
    validate(config)
    assert sizes(config, 10) == (20_215_315, 23_089_664)


@pytest.mark.parametrize("name", ["digits", "auto_48"])
def test_what_is_no_recipe_is_answered_with_those_there_are(name):
    with pytest.raises(ValueError, match=f"'{name}' is no recipe: give auto, stylegan2, paper256, cifar"):
        recipe(name)
