"""InfoGAN (Chen et al. 2016, arXiv:1606.03657): ten values of a code, two uniform codes, and no labels.

python -m gan_jax.main --config=experiments/info_gan.py[:DATA]
python -m gan_jax.main --config=experiments/info_gan.py[:DATA] --mode=sample --traverse
"""

from gan_jax.config import SMALL, default_config


def get_config(data="digits"):
    """The configuration for a data set."""
    config = default_config(data)
    config.conditional.name, config.conditional.continuous = "infogan", 2
    config.loss = "non_saturating"
    config.network.generator_norm = "batch"
    config.steps = 5000 if data in SMALL else 20_000
    return config
