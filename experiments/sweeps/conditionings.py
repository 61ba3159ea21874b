"""Ways to tell a generator the class, over seeds, all else being as in conditional_gan.py.

python -m gan_jax.main --config=experiments/NAME.py[:DATA] --sweep=experiments/sweeps/conditionings.py[:SEEDS[,WEIGHT]]

Labels in further channels, AC-GAN with WEIGHT (0.1, see ac_gan.py) and projection: SEEDS seeds (5).
"""

from gan_jax.sweeps.axes import grid, product, zipped


def get_sweep(argument="5"):
    """Members: ways x seeds."""
    seeds, _, weight = argument.partition(",")
    names, weights = ["concatenation", "auxiliary_classifier", "projection"], [1.0, float(weight or 0.1), 1.0]
    ways = zipped({"conditional.name": names, "conditional.weight": weights})
    return product(ways, grid({"seed": range(int(seeds))}))
