"""InfoGAN (Chen et al. 2016, arXiv:1606.03657): ten values of a code, two uniform codes, and no labels.

python -m gan_jax.main --config=experiments/info_gan.py[:DATA]
python -m gan_jax.main --config=experiments/info_gan.py[:DATA] --mode=sample --traverse

The second draws what each code does. Under the loss and the networks of sn_gan.py, with batch norm in the generator.
With the paper's weight of 1 for the categorical code, the generator of digits makes one image for each of its values;
with its 0.1 for the uniform ones, nothing is to be seen of these. So: 5,000 steps, a minute or two on two cores of an
AMD EPYC, five seeds: the code, assigned to the classes as suits it best, is right on 0.838 +- 0.039 of the samples.
"""

from gan_jax.config import SMALL, default_config


def get_config(data="digits"):
    """The configuration for a data set."""
    config = default_config(data)
    config.conditional.name, config.conditional.continuous = "infogan", 2
    config.conditional.weight, config.conditional.continuous_weight = 0.3, 1.0
    config.loss = "hinge"
    config.network.spectral_norm = True
    config.network.generator_norm = "batch"
    config.optimizer.b2 = 0.999
    config.steps = 5000 if data in SMALL else 20_000
    return config
