"""WGAN with gradient penalty (Gulrajani et al. 2017, algorithm 1).

python -m gan_jax.main --config=experiments/wgan_gp.py[:DATA]

On 2 CPU cores (AMD EPYC): digits, 5,000 steps, 40 s, pixel-space Frechet distance 0.141 (1,797 against 1,797); ring and
grid, 5,000 steps, 30 s, all modes covered; fashion_mnist, 500 steps, 5 minutes, garments that can be told apart.

The paper's learning rate is 1e-4, with b1 = 0; five times that shows what an image set is about within 500 steps. For
the paper's: --config.optimizer.{generator_lr,critic_lr}=1e-4 --config.optimizer.b1=0.
"""

from gan_jax.config import SMALL, default_config
from gan_jax.data import sources


def get_config(data="digits"):
    """The configuration for a data set."""
    config = default_config(data)
    config.loss = "wasserstein"
    config.n_critic = 5
    config.penalty.name = "gradient_penalty"
    config.optimizer.generator_lr = config.optimizer.critic_lr = 5e-4
    if data in SMALL:
        config.steps = 5000
    if sources.is_points(data):
        config.penalty.weight = 0.1  # as in the paper's own toy experiments
    return config
