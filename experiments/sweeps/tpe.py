"""Adaptive search for learning rates and b1 by Optuna: pip install '.[search]'.

python -m gan_jax.main --config=experiments/NAME.py[:DATA] --sweep=experiments/sweeps/tpe.py[:MEMBERS]

A tree-structured Parzen estimator (Bergstra et al. 2011) proposes MEMBERS (32) settings, eight at a time; those that
are worse than the median of the earlier ones at the same step are pruned. It learns from evaluations: on sets that have
none by default, give --config.eval_every=500.
"""

from gan_jax.sweeps.axes import log_uniform, uniform
from gan_jax.sweeps.search import Study


def get_study(members="32"):
    """Proposals of a seeded sampler, so that a search that was stopped goes on."""
    import optuna

    optuna.logging.set_verbosity(optuna.logging.WARNING)
    sampler, pruner = optuna.samplers.TPESampler(seed=0), optuna.pruners.MedianPruner(n_startup_trials=8)
    rates = {f"optimizer.{player}_lr": log_uniform(1e-5, 1e-2) for player in ("generator", "critic")}
    study = optuna.create_study(direction="minimize", sampler=sampler, pruner=pruner)
    return Study(study, {**rates, "optimizer.b1": uniform(0, 0.9)}, int(members))
