"""Ways to tell a generator the class, over seeds, all else being as in conditional_gan.py.

python -m gan_jax.main --config=experiments/NAME.py[:DATA] --sweep=experiments/sweeps/conditionings.py[:SEEDS]

Labels in further channels, AC-GAN with a tenth of its paper's weight (see ac_gan.py), and projection: SEEDS seeds (5).
"""

from gan_jax.axes import grid, product, zipped


def get_sweep(seeds="5"):
    """Members: ways x seeds."""
    names, weights = ["concatenation", "auxiliary_classifier", "projection"], [1.0, 0.1, 1.0]
    ways = zipped({"conditional.name": names, "conditional.weight": weights})
    return product(ways, grid({"seed": range(int(seeds))}))
