"""Your own pictures at 64 x 64: DCGAN with R1 (Mescheder et al. 2018) and DiffAugment (Zhao et al. 2020, 2006.10738).

python -m gan_jax.main --config=experiments/own_pictures.py --config.data.dir=PATH

For a folder of some thousand pictures, of any sizes: they are cropped to squares. Not trained to its end yet: on two
shared CPU cores (AMD EPYC), busy with much else, its first 165 steps took 0.9 s of one core each.
"""

from gan_jax.config import default_config


def get_config(data="folder"):
    """The configuration for a folder, or for another set of images."""
    config = default_config(data)
    config.steps, config.batch_size, config.data.image_size = 5000, 32, 64
    config.loss = "non_saturating"
    config.penalty.name, config.penalty.weight, config.penalty.every = "r1", 0.1, 4
    config.augment = "color,translation,cutout"
    config.network.name, config.network.width = "dcgan", 32
    config.optimizer.b1, config.optimizer.b2 = 0.0, 0.99
    config.optimizer.generator_lr = config.optimizer.critic_lr = 5e-4
    return config
