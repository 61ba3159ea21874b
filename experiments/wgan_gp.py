"""WGAN with gradient penalty (Gulrajani et al. 2017, algorithm 1).

python -m gan_jax.main --config=experiments/wgan_gp.py[:DATA]
"""

from gan_jax.config import SMALL, default_config
from gan_jax.data import sources


def get_config(data="digits"):
    """The configuration for a data set."""
    config = default_config(data)
    config.loss = "wasserstein"
    config.n_critic = 5
    config.penalty.name = "gradient_penalty"
    config.optimizer.b1 = 0.0
    if data in SMALL:
        config.steps = 5000
        config.optimizer.generator_lr = config.optimizer.critic_lr = 5e-4
        config.optimizer.b1 = 0.5
    if sources.is_points(data):
        config.penalty.weight = 0.1
    return config
