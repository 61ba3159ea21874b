"""The recipes of stylegan2-ada-pytorch, networks and all numbers, for pictures of your own, or CIFAR-10.

python -m gan_jax.main --config=experiments/stylegan2_official.py:RECIPE[_SIDE] --config.data.dir=PATH

RECIPE: `auto` (for one GPU), `stylegan2`, `paper256`, `cifar` (FID 2.92, arXiv:2006.06676); SIDE: 32 to 256 pixels.
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
    if name not in RECIPES or side not in ("", "32", "64", "128", "256"):
        raise ValueError(f"{recipe!r} is no recipe: give {', '.join(RECIPES)}, and perhaps a side, as auto_64")
    side = int(side) if side else 32 if name == "cifar" else 256
    ada = runpy.run_path(str(pathlib.Path(__file__).with_name("stylegan2_ada.py")))["get_config"]
    config = ada("cifar10" if name == "cifar" else "folder")
    batch, group, channels, rate, gamma, half_life, ramp, layers = RECIPES[name]
    config.batch_size = batch = batch or min(4096 // side, 32)
    config.network.update(width=min(channels * 16_384 // side, 512), max_width=512, latent_dim=512, clamp=256.0)
    config.network.update(depth=layers, minibatch_deviation=group)
    config.optimizer.generator_lr = config.optimizer.critic_lr = rate
    config.data.image_size, config.penalty.weight = side, gamma or 0.0002 * side**2 / batch
    config.ema_half_life, config.ema_ramp = half_life or 10_000.0 * batch / 32, ramp
    config.steps = (100_000_000 if name == "cifar" else 25_000_000) // batch
    if name == "cifar":
        config.optimizer.generator_lr *= 0.8  # as with the path length that it leaves out
        config.generator.path_length.update(weight=0.0, every=1, own_step=False)
        config.network.style_mixing, config.network.residual = 0.0, False
    return config
