"""StyleGAN2 (Karras et al. 2020, arXiv:1912.04958).

python -m gan_jax.main --config=experiments/stylegan2.py[:DATA]
"""

from gan_jax.config import default_config


def get_config(data="digits"):
    """The configuration for a data set."""
    config = default_config(data)
    config.network.name, config.network.width, config.network.depth = "stylegan2", 32, 2
    config.network.generator_norm, config.network.latent_dim, config.network.max_width = "none", 64, 128
    config.network.minibatch_deviation = 4
    config.batch_size = 32
    config.penalty.name, config.penalty.weight, config.penalty.every, config.penalty.own_step = "r1", 0.01, 16, True
    config.generator.path_length.weight, config.generator.path_length.every = 2.0, 4
    config.generator.path_length.own_step = True
    config.optimizer.generator_lr = config.optimizer.critic_lr = 0.0025
    config.optimizer.b1, config.optimizer.b2 = 0.0, 0.99
    config.ema_half_life, config.ema_ramp = 10_000.0, 0.05
    return config
