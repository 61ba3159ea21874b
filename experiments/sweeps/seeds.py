"""Seeds of one setting: how much of a result is luck.

python -m gan_jax.main --config=experiments/NAME.py[:DATA] --sweep=experiments/sweeps/seeds.py[:SEEDS]

SEEDS is 5, where it is not given.
"""

from gan_jax.sweeps.axes import grid


def get_sweep(seeds="5"):
    """Members: seeds."""
    return grid({"seed": range(int(seeds))})
