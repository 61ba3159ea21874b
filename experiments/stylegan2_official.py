"""The recipes of stylegan2-ada-pytorch, networks and all numbers, for pictures of your own, or CIFAR-10.

python -m gan_jax.main --config=experiments/stylegan2_official.py:RECIPE[_SIDE] --config.data.dir=PATH

RECIPE is `auto` (for one GPU), `stylegan2`, `paper256` or `cifar`; SIDE is the images', 256 if none is given. Published
for `cifar`: FID 2.92, and 2.42 with classes, after 100 million images (arXiv:2006.06676). Theirs compute in half
precision at the four largest sizes, which `--config.network.dtype=bfloat16 --config.network.clamp=256` comes near to.
"""

import pathlib
import runpy

# Minibatch, group of the deviation, channels in 16,384ths, learning rate, gamma, half-life in images, ramp, mapping.
RECIPES = {
    "auto": (0, 4, 1, 0.0025, 0.0, 0.0, 0.05, 2),
    "stylegan2": (32, 4, 2, 0.002, 10.0, 10_000.0, 0.0, 8),
    "paper256": (64, 8, 1, 0.0025, 1.0, 20_000.0, 0.0, 8),
    "cifar": (64, 32, 2, 0.0025, 0.01, 500_000.0, 0.05, 2),
}


def get_config(recipe="auto"):
    """The configuration of a recipe, as `auto_64`."""
    name, _, side = recipe.partition("_")
    side = int(side) if side else 32 if name == "cifar" else 256
    ada = runpy.run_path(str(pathlib.Path(__file__).with_name("stylegan2_ada.py")))["get_config"]
    config = ada("cifar10" if name == "cifar" else "folder")
    batch, group, channels, rate, gamma, half_life, ramp, layers = RECIPES[name]
    batch = batch or min(4096 // side, 32)
    config.batch_size, config.network.minibatch_deviation, config.network.depth = batch, group, layers
    config.network.width, config.network.max_width = min(channels * 16_384 // side, 512), 512
    config.network.latent_dim, config.data.image_size = 512, side
    config.optimizer.generator_lr = config.optimizer.critic_lr = rate
    config.penalty.weight = gamma or 0.0002 * side**2 / batch
    config.ema_half_life, config.ema_ramp = half_life or 10_000.0 * batch / 32, ramp
    config.steps = (100_000_000 if name == "cifar" else 25_000_000) // batch
    if name == "cifar":
        config.generator.path_length.weight, config.network.style_mixing, config.network.residual = 0.0, 0.0, False
        config.generator.path_length.every, config.generator.path_length.own_step = 1, False
    return config
