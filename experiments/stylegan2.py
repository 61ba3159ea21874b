"""StyleGAN2 (Karras et al. 2020, arXiv:1912.04958), with the settings of the authors' stylegan2-ada-pytorch.

python -m gan_jax.main --config=experiments/stylegan2.py[:DATA]

digits, 7,000 steps: Frechet distance 5.3 in the features of the small classifier (1,797 against 1,797), seed 0, in 3
minutes on one core of an AMD EPYC. Style mixing was left out after runs of 4,000 steps with gamma 0.3: 19.4 with, 11.3
without.

Theirs are the losses and their intervals, the optimiser and its rates, style mixing, the mapping's two layers and the
average's ramp. Scaled down are the networks, 25 and 23 million parameters in `stylegan2_official.py`; gamma is larger,
for on small images their 0.0002 side^2 / batch lets the critic run away; the average forgets faster.
"""

from gan_jax.config import default_config


def get_config(data="digits"):
    """The configuration for a data set."""
    config = default_config(data)
    network, is_small = config.network, data == "digits"
    network.name, network.generator_norm, network.critic_norm = "stylegan2", "none", "none"
    network.depth, network.minibatch_deviation = 2, 4
    network.width, network.max_width, network.latent_dim = (32, 64, 64) if is_small else (16, 128, 128)
    config.loss, config.batch_size = "non_saturating", 32
    config.penalty.name, config.penalty.weight, config.penalty.every, config.penalty.own_step = "r1", 1.0, 16, True
    paths = config.generator.path_length
    paths.weight, paths.every, paths.own_step = 2.0, 4, True
    config.optimizer.generator_lr = config.optimizer.critic_lr = 0.0025
    config.optimizer.b1, config.optimizer.b2 = 0.0, 0.99
    config.ema_half_life, config.ema_ramp = 10_000.0, 0.05
    config.steps = 20_000
    if is_small:  # with two sizes of images there is little to mix, as in the authors' recipe for CIFAR-10
        config.steps, network.style_mixing = 7000, 0.0
    return config
