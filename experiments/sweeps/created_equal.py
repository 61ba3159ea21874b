"""Are GANs created equal? Six losses, each searched at random in the same wide ranges (Lucic et al. 2018).

python -m gan_jax.main --config=experiments/ns_gan.py:fashion_mnist --config.network.critic_norm=none \
    --sweep=experiments/sweeps/created_equal.py[:SETTINGS] --config.eval_every=1000

arXiv:1711.10337, the wide search: b1 in [0, 1], learning rate 10^[-5, -2], n_critic 1 or 5, clipping 10^[-3, 0], weight
of a penalty 10^[-1, 2]; 100 settings of each loss, the best of them over 50 seeds. Here: the first SETTINGS (10) draws,
the same for every loss, so that losses are compared in pairs. The best of k settings falls with k: compare says k.
"""

from gan_jax.sweeps.axes import choice, draws, log_uniform, uniform

LOSSES = {
    "minimax": {"loss": "minimax"},
    "non_saturating": {"loss": "non_saturating"},
    "least_squares": {"loss": "least_squares"},
    "wgan": {"loss": "wasserstein", "weight_clip": "clip"},
    "wgan_gp": {"loss": "wasserstein", "penalty.name": "gradient_penalty", "penalty.weight": "penalty"},
    "dragan": {"loss": "non_saturating", "penalty.name": "dragan", "penalty.weight": "penalty"},
}
RANGES = {
    "rate": log_uniform(1e-5, 1e-2),
    "b1": uniform(0, 1),
    "n_critic": choice([1, 5]),
    "clip": log_uniform(1e-3, 1),
    "penalty": log_uniform(0.1, 100),
}


def get_sweep(settings="10"):
    """Members: losses x settings, each setting with those of its numbers that the loss has a place for."""
    drawn = draws(int(settings), RANGES)
    return [_member(loss, numbers) for loss in LOSSES.values() for numbers in drawn]


def _member(loss, numbers):
    rates = {"optimizer.generator_lr": numbers["rate"], "optimizer.critic_lr": numbers["rate"]}
    common = {"optimizer.b1": numbers["b1"], "n_critic": numbers["n_critic"]}
    return {field: numbers.get(value, value) for field, value in loss.items()} | rates | common
