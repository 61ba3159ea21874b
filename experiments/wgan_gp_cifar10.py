"""WGAN-GP with ResNets on CIFAR-10 (Gulrajani et al. 2017, arXiv:1704.00028), as in pytorch-gan-collections.

python -m gan_jax.main --config=experiments/wgan_gp_cifar10.py

There it has FID 16.95, Inception score 7.95 (50,000 fakes against 50,000 of train) after 100,000 steps, 23 hours on a
V100. G of width 256 with batch norm, D of 128 without; twice as many fakes in an update of the generator.
"""

from gan_jax.config import default_config


def get_config(data="cifar10"):
    """The configuration; another image set of 32 pixels will do."""
    config = default_config(data)
    config.steps = 100_000
    for rate in (config.schedule.optimizer.generator_lr, config.schedule.optimizer.critic_lr):
        rate.shape, rate.over = "linear", 100_000.0  # to 0
    config.loss, config.penalty.name, config.penalty.weight = "wasserstein", "gradient_penalty", 10.0
    config.batch_size, config.n_critic, config.generator_batch = 64, 5, 2
    config.data.flip = True
    config.network.name, config.network.latent_dim = "resnet", 128
    config.network.width, config.network.generator_width = 128, 256
    config.optimizer.b1, config.optimizer.b2 = 0.0, 0.9
    config.ema_decay = 0.0
    return config
