"""DCGAN on CIFAR-10 (Radford et al. 2016) with the recipe of pytorch-gan-collections, and SNGAN's CNN with batch norm.

python -m gan_jax.main --config=experiments/dcgan_cifar10.py

There, with 100,000 steps of Adam 2e-4 (0.5, 0.9), it has FID 42.72, Inception score 6.01 (50,000 fakes against 50,000
of train); its critic is another, so the figures need not be these.
"""

from gan_jax.config import default_config


def get_config(data="cifar10"):
    """The configuration; another image set of 32 pixels will do."""
    config = default_config(data)
    config.steps = 100_000
    for rate in (config.schedule.optimizer.generator_lr, config.schedule.optimizer.critic_lr):
        rate.shape, rate.over = "linear", 100_000.0  # to 0
    config.loss = "non_saturating"
    config.batch_size, config.generator_batch = 128, 2
    config.data.flip = True
    config.network.name, config.network.latent_dim, config.network.width = "sn_cnn", 100, 64
    config.network.critic_norm = "batch"
    config.optimizer.b1, config.optimizer.b2 = 0.5, 0.9
    config.ema_decay = 0.0
    return config
