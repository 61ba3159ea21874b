"""A run that diverges: found within a block, at the exact step, by one that steps without any of it."""

import json
import pathlib
import types

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from gan_jax.config import default_config
from gan_jax.data import sources
from gan_jax.reports import tracking
from gan_jax.runs import trained
from gan_jax.training import finite
from gan_jax.training.state import DATA, create_state
from gan_jax.training.step import make_train_step

# Nothing bounds a Wasserstein critic; by gradient descent at such a rate it overflows after some steps.
FIELDS = {"loss": "wasserstein", "optimizer__name": "sgd", "optimizer__critic_lr": 0.03, "network__critic_norm": "none",
          "network__depth": 3,
          "checkpoint_every": 2, "log_every": 4, "sample_every": 0}  # fmt: skip


def first_step_that_is_not_finite(config):
    """(step, names of the metrics that are not), one compiled step after another."""
    source = sources.load("digits", "", 0, config.data.memory_mb)
    state, arrays = create_state(config, source.shape), source.arrays
    train_step = jax.jit(make_train_step(config, source.shape))
    for step in range(1, config.steps + 1):
        key = jax.random.fold_in(state.key, DATA)
        state, metrics = train_step(state, source.draw(arrays, key, state.step, config.n_critic, config.batch_size))
        if broken := [name for name, value in sorted(metrics.items()) if not np.isfinite(float(value))]:
            return step, broken
    raise AssertionError("it stays finite")


def checkpoints():
    return sorted(int(path.name) for path in pathlib.Path("run/checkpoints").iterdir())


@pytest.mark.slow
def test_a_diverged_run_names_the_first_metrics_and_the_exact_step(command, records, capsys, monkeypatch):
    ended: list[str] = []
    wandb = types.SimpleNamespace(log=lambda *_, **__: None, finish=lambda: ended.append("finished"))
    monkeypatch.setattr(tracking, "start_wandb", lambda *_: wandb)
    command("ns_gan.py", "--workdir=run", **FIELDS, code=3)
    assert ended == ["finished"]
    assert pathlib.Path("run/curves.png").is_file()
    config = trained.stored_config(pathlib.Path("run"))
    step, broken = first_step_that_is_not_finite(config)
    assert step > 2, "there is no checkpoint before it"
    (line,) = [line for line in capsys.readouterr().err.splitlines() if line.startswith("gan_jax:")]
    frozen = json.loads(pathlib.Path("run/frozen.json").read_text())
    found = frozen["reason"]
    if frozen["step"] == step:
        assert found.endswith(f"not finite at step {step}")
        assert all(name in found for name in broken)
    else:  # parameters that were found as a checkpoint was due, one step before any metric
        assert frozen["step"] == step - 1
        assert found.startswith(("critic/", "generator/", "ema/"))
    assert line.startswith(f"gan_jax: diverged: {found}; to stay finite, bound the critic (weight_clip=0.01, or in")
    assert "lower optimizer.critic_lr (now 0.03)" in line
    assert line.endswith(
        f"the last good checkpoint is {pathlib.Path('run/checkpoints').absolute()}/{checkpoints()[-1]}"
    )
    assert [record["step"] for record in records("run/metrics.jsonl")] == list(range(4, step, 4))
    assert None not in [value for record in records("run/metrics.jsonl") for value in record.values()]
    assert checkpoints()[-1] == 2 * ((frozen["step"] - 1) // 2)
    state = trained.load("run").state
    assert all(np.isfinite(leaf).all() for leaf in jax.tree.leaves((state.generator.params, state.critic.params)))


@pytest.mark.slow
def test_a_diverged_run_is_not_trained_again_before_its_mark_is_removed(command, capsys):
    command("ns_gan.py", "--workdir=run", **FIELDS, code=3)
    mark = pathlib.Path("run/frozen.json")
    before, reason = {path: path.stat().st_mtime_ns for path in pathlib.Path("run").rglob("*")}, mark.read_bytes()
    capsys.readouterr()
    command("ns_gan.py", "--workdir=run", **FIELDS, code=3)
    (line,) = capsys.readouterr().err.splitlines()
    assert "remove run/frozen.json to go on" in line
    assert {path: path.stat().st_mtime_ns for path in pathlib.Path("run").rglob("*")} == before
    mark.unlink()
    command("ns_gan.py", "--workdir=run", **FIELDS, code=3)
    assert mark.read_bytes() == reason


def test_the_first_step_is_kept_for_each_metric():
    values = {"a": [1, 2, np.nan, 4], "b": [1, -np.inf, np.inf, 1], "c": [1, 2, 3, 4]}
    sums = finite.fresh_sums({name: jnp.float32(0) for name in values})
    for step in range(4):
        metrics = {name: jnp.float32(series[step]) for name, series in values.items()}
        sums = jax.jit(finite.added)(sums, metrics, step + 1)
    assert {name: int(first) for name, first in sums["broken"].items()} == {"a": 3, "b": 2, "c": 0}
    assert finite.first_broken(sums["broken"]) == (2, "b is not finite at step 2")
    assert finite.first_broken({"x": 4, "y": 4, "z": 4}) == (4, "x, y and z are not finite at step 4")
    assert finite.first_broken({"x": 0}) == (0, "")
    assert float(sums["totals"]["c"]) == 10


@pytest.mark.parametrize(
    ("fields", "words", "absent"),
    [
        ({"loss": "wasserstein"}, "bound the critic", "penalty.weight"),
        ({"loss": "wasserstein", "weight_clip": 0.01}, "lower optimizer.", "bound the critic"),
        ({"loss": "f_gan:pearson"}, "as non_saturating", "bound the critic"),
        ({"penalty.name": "r1", "penalty.weight": 50.0}, "lower penalty.weight (now 50)", "bound the critic"),
        ({"second_penalty.name": "r2", "loss": "wasserstein"}, "lower second_penalty.weight (now 10)", "bound"),
        (
            {"generator.path_length.weight": 2.0, "generator.path_length.every": 4},
            "lower generator.path_length.weight (now 2)",
            "critic.drift",
        ),
        (
            {"schedule.critic.drift.weight.shape": "linear", "schedule.critic.drift.weight.to": 9.0},
            "lower schedule.critic.drift.weight.to (now 9)",
            "penalty",
        ),
        ({"optimizer.generator_lr": 0.5}, "lower optimizer.generator_lr (now 0.5) or", "penalty"),
    ],
)
def test_what_would_help_fits_the_configuration(fields, words, absent):
    config = default_config()
    config.update_from_flattened_dict(fields)
    assert words in finite.remedies(config)
    assert absent not in finite.remedies(config)
