"""WGAN with gradient penalty (Gulrajani et al. 2017, algorithm 1).

python -m gan_jax.main --config=experiments/wgan_gp.py[:DATA]
"""

from gan_jax.config import default_config


def get_config(data="digits"):
    """The configuration for a data set."""
    config = default_config(data)
    config.loss = "wasserstein"
    config.n_critic = 5
    config.penalty.name = "gradient_penalty"
    return config
