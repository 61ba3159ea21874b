"""Least squares GAN (Mao et al. 2017, arXiv:1611.04076) with targets a = 0, b = c = 1.

python -m gan_jax.main --config=experiments/ls_gan.py[:DATA]

digits, 10,000 steps: pixel-space Frechet distance 0.496 (1,797 against 1,797).

For the Pearson chi-square divergence: --config.least_squares.a=-1 --config.least_squares.c=0.
"""

from gan_jax.config import default_config
from gan_jax.data import sources


def get_config(data="digits"):
    """The configuration for a data set."""
    config = default_config(data)
    config.loss = "least_squares"
    config.optimizer.b2 = 0.999
    if not sources.is_points(data):
        config.network.critic_norm = "batch"
    return config
