"""Your own pictures at 64 x 64: DCGAN with R1 (Mescheder et al. 2018) and DiffAugment (Zhao et al. 2020, 2006.10738).

python -m gan_jax.main --config=experiments/own_pictures.py --config.data.dir=PATH

For a folder of some thousand pictures, of any sizes: they are cropped to squares. Chosen by trying on 2,624 photographs
of solar cells (elpv: Buerhop-Lutz et al. 2018, CC BY-NC-SA 4.0), one seed each, by eye, from samples after 1,000 steps:
with gamma of R1 at 0.1 the critic tells the two apart more than at 1, and cells vary more than at 0.02; R3GAN's loss
with both its penalties was no further after 500 steps. The hinge with spectral norm made one cell over and over, and
minibatches of 16 at twice the rate left the pattern of the transposed convolutions in all.

Trained to its end: 48 minutes on two shared cores of an AMD EPYC that were busy with other work too, 1.8 steps/s. FID
90.8 and KID 0.062 of 1,000 samples against as many reals (`--metrics=fid,kid --num=1000`): a start, no record.
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
