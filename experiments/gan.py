"""The original GAN: the zero-sum game of Goodfellow et al. 2014 (arXiv:1406.2661), algorithm 1, with k = 1.

python -m gan_jax.main --config=experiments/gan.py[:DATA]

digits, 10,000 steps: pixel-space Frechet distance 0.480 (1,797 against 1,797).

The generator's gradient vanishes where the critic is sure, so this is here to be looked at; ns_gan.py is
the one to use. Adam instead of the paper's momentum.
"""

from gan_jax.config import default_config


def get_config(data="digits"):
    """The configuration for a data set."""
    config = default_config(data)
    config.loss = "minimax"
    config.optimizer.b2 = 0.999
    return config
