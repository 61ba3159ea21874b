"""f-GAN (Nowozin, Cseke & Tomioka 2016, arXiv:1606.00709) of the squared Hellinger distance.

python -m gan_jax.main --config=experiments/f_gan.py[:DATA]

digits, 10,000 steps: pixel-space Frechet distance 2.76 (1,797 against 1,797).
In the features of the classifier it was nearest at half of the steps.

--config.loss=f_gan:NAME takes any divergence of objectives/divergences.py; the generator is that of the paper's section
3.2, --config.f_gan.generator=minimax that of its algorithm 1. metrics.jsonl has the bound on the divergence.
"""

from gan_jax.config import default_config
from gan_jax.data import sources


def get_config(data="digits"):
    """The configuration for a data set."""
    config = default_config(data)
    config.loss = "f_gan:squared_hellinger"
    config.f_gan.generator = "alternative"
    config.optimizer.b2 = 0.999
    if not sources.is_points(data):
        config.network.critic_norm = "batch"
    return config
