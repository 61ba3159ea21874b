"""Learning rates over seeds: how much of a difference is the setting, and how much is luck.

python -m gan_jax.main --config=experiments/NAME.py[:DATA] --sweep=experiments/sweeps/lr_seed.py[:SEEDS]

Five common learning rates of both networks, a factor of 3 apart around the usual ones, each with SEEDS seeds (3).
"""

from gan_jax.sweeps.axes import grid, product, zipped

RATES = [3e-5, 1e-4, 3e-4, 1e-3, 3e-3]


def get_sweep(seeds="3"):
    """Members: rates x seeds."""
    rates = zipped({"optimizer.generator_lr": RATES, "optimizer.critic_lr": RATES})
    return product(rates, grid({"seed": range(int(seeds))}))
