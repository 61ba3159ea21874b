"""Every objective and remedy of the package on the grid of 25 Gaussians, over seeds.

python -m gan_jax.main --config=experiments/ns_gan.py:grid --sweep=experiments/sweeps/grid25_objectives.py[:SEEDS]

The systems, sizes and learning rates of `gan_jax.studies.mode_collapse`, whose table is in experiments/README.md, as
runs with checkpoints, curves and samples of their own, with SEEDS seeds each (3).
"""

from gan_jax.studies import mode_collapse
from gan_jax.sweeps.axes import grid, product


def get_sweep(seeds="3"):
    """Members: systems x seeds."""
    systems = [mode_collapse.system_fields(system) for system in mode_collapse.SYSTEMS]
    return product(systems, grid({"seed": range(int(seeds))}))
