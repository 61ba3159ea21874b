"""SNGAN on CIFAR-10 (Miyato et al. 2018, arXiv:1802.05957), as in pytorch-gan-collections.

python -m gan_jax.main --config=experiments/sn_gan_cifar10.py

There, after 100,000 steps, 50,000 fakes against 50,000 of train: ResNet, FID 14.32, Inception score 8.31; and the CNN,
17.81 and 7.84, which is --config.network.name=sn_cnn --config.network.width=64 --config.network.generator_width=64
--config.network.latent_dim=100 --config.batch_size=128 --config.n_critic=1.
"""

from gan_jax.config import default_config


def get_config(data="cifar10"):
    """The configuration; another image set of 32 pixels will do."""
    config = default_config(data)
    config.steps = 100_000
    for rate in (config.schedule.optimizer.generator_lr, config.schedule.optimizer.critic_lr):
        rate.shape, rate.over = "linear", 100_000.0  # to 0
    config.loss, config.network.spectral_norm = "hinge", True
    config.batch_size, config.n_critic, config.generator_batch = 64, 5, 2
    config.data.flip = True
    config.network.name, config.network.latent_dim = "resnet", 128
    config.network.width, config.network.generator_width = 128, 256
    config.optimizer.b1, config.optimizer.b2 = 0.0, 0.9
    config.ema_decay = 0.0
    return config
