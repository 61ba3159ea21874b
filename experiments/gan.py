"""The original GAN with the non-saturating loss (Goodfellow et al. 2014, section 3), on DCGAN's networks.

python -m gan_jax.main --config=experiments/gan.py[:DATA]
"""

from gan_jax.config import default_config


def get_config(data="digits"):
    """The configuration for a data set."""
    return default_config(data)
