"""DCGAN (Radford, Metz & Chintala 2016, arXiv:1511.06434): batch norm in both networks, Adam 2e-4 (0.5, 0.999).

python -m gan_jax.main --config=experiments/dcgan.py[:DATA]

digits, 10,000 steps: pixel-space Frechet distance 0.110 (1,797 against 1,797).

The paper's batch of 128. On points, where there is nothing to convolve, the networks are perceptrons.
"""

from gan_jax.config import default_config
from gan_jax.data import sources


def get_config(data="digits"):
    """The configuration for a data set."""
    config = default_config(data)
    config.loss = "non_saturating"
    config.batch_size = 128
    config.optimizer.b2 = 0.999
    if not sources.is_points(data):
        config.network.name, config.network.width = "dcgan", 64
        config.network.critic_norm = "batch"
    return config
