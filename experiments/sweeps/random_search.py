"""Two losses in the same random settings: which is better, when neither is tuned?

python -m gan_jax.main --config=experiments/NAME.py[:DATA] --sweep=experiments/sweeps/random_search.py[:SETTINGS]

SETTINGS (32) draws of both learning rates and b1, each with the non-saturating and with the hinge loss; all settings of
a loss train as one population.
"""

from gan_jax.sweeps.axes import draws, grid, log_uniform, product, uniform


def get_sweep(settings="32"):
    """Members: losses x settings."""
    rates = {f"optimizer.{player}_lr": log_uniform(1e-5, 1e-2) for player in ("generator", "critic")}
    return product(
        grid({"loss": ["non_saturating", "hinge"]}), draws(int(settings), {**rates, "optimizer.b1": uniform(0, 0.9)})
    )
