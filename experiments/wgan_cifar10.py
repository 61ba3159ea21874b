"""WGAN with weight clipping on CIFAR-10 (Arjovsky et al. 2017), SNGAN's CNN, as in pytorch-gan-collections.

python -m gan_jax.main --config=experiments/wgan_cifar10.py

There it has FID 40.03, Inception score 6.62 (50,000 fakes against 50,000 of train) after 100,000 steps: c = 0.1, Adam.
"""

from gan_jax.config import default_config


def get_config(data="cifar10"):
    """The configuration; another image set of 32 pixels will do."""
    config = default_config(data)
    config.steps = 100_000
    for rate in (config.schedule.optimizer.generator_lr, config.schedule.optimizer.critic_lr):
        rate.shape, rate.over = "linear", 100_000.0  # to 0
    config.loss, config.weight_clip = "wasserstein", 0.1
    config.batch_size, config.generator_batch = 128, 2
    config.data.flip = True
    config.network.name, config.network.latent_dim, config.network.width = "sn_cnn", 100, 64
    config.optimizer.b1, config.optimizer.b2 = 0.0, 0.9
    config.ema_decay = 0.0
    return config
