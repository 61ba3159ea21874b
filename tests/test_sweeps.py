"""The sweeps that are shipped: every member fits, and wandb's own agents would give the right command."""

import json
import os
import pathlib
import re
import runpy
import subprocess
import sys

import numpy as np
import pytest

from gan_jax.studies import mode_collapse
from gan_jax.sweeps import search, sweep
from gan_jax.training.hyperparameters import structure
from tests import shipped

EXPERIMENTS = pathlib.Path(__file__).parents[1] / "experiments"
# Sweep: (the experiment that its docstring names, an argument, members, groups that share a program).
SWEEPS = {
    "lr_seed": ("wgan_gp.py", "2", 10, 1),
    "random_search": ("ns_gan.py", "4", 8, 2),
    "created_equal": ("ns_gan.py:fashion_mnist", "5", 30, 12),
    "seeds": ("info_gan.py", "3", 3, 1),
    "conditionings": ("conditional_gan.py:fashion_mnist", "2", 6, 3),
    "grid25_objectives": ("ns_gan.py:grid", "2", 2 * len(mode_collapse.SYSTEMS), None),
}


def configured(experiment):
    path, _, data = experiment.partition(":")
    config = runpy.run_path(str(EXPERIMENTS / path))["get_config"](*([data] if data else []))
    config.network.critic_norm = "none"
    return config


def members_of(name, argument):
    function, members = sweep.read(f"{EXPERIMENTS / 'sweeps' / name}.py:{argument}")
    assert function == "get_sweep"
    return members


@pytest.mark.parametrize("name", SWEEPS)
def test_every_member_is_a_valid_configuration(name):
    experiment, argument, count, groups = SWEEPS[name]
    members = members_of(name, argument)
    found = sweep.extended(sweep.Sweep([], {}), members, pathlib.Path("nowhere"))
    configs = sweep.member_configs(configured(experiment), found.members, pathlib.Path("nowhere"))
    assert len(configs) == count
    if groups:
        assert len(sweep.groups(configs)) == groups
    assert {name for group in sweep.groups(configs) for name in group} == set(configs)
    assert all(len({structure(config) for config in group.values()}) == 1 for group in sweep.groups(configs))


FILES = sorted((EXPERIMENTS / "sweeps").glob("*.py"))


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_has_its_members_here(path):
    """A study of Optuna's has a test of its own."""
    what = "the experiment that it is for, an argument, how many members that gives, and how many groups"
    shipped.needs_row(path.stem, shipped.SWEEPS, {*SWEEPS, "tpe"}, "SWEEPS of tests/test_sweeps.py", what)


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_says_its_command_and_is_valid_as_it_stands(path):
    """For the experiment that its docstring names, and where that may be any, for one of them."""
    text = path.read_text().replace("\\\n", "")
    if "optuna" in text:
        pytest.importorskip("optuna")
    experiment = re.search(
        rf"^python -m gan_jax.main --config=experiments/(\w+\.py(?::\w+)?).* --sweep=experiments/sweeps/{path.name}",
        text,
        re.MULTILINE,
    )[1]
    config = configured(experiment.replace("NAME.py", "wgan_gp.py"))
    function, asked = sweep.read(str(path))
    if function == "get_study":
        return search._check(config, asked)
    nowhere = pathlib.Path("nowhere")
    assert sweep.member_configs(config, sweep.extended(sweep.Sweep([], {}), asked, nowhere).members, nowhere)


def test_created_equal_draws_from_the_papers_ranges_and_the_same_for_every_loss():
    members = members_of("created_equal", "200")
    rates = np.log10([member["optimizer.critic_lr"] for member in members]).reshape(6, 200)
    assert (rates == rates[:1]).all()
    assert -5 <= rates.min() < -4.9
    assert -2.1 < rates.max() <= -2
    assert all(member["optimizer.generator_lr"] == member["optimizer.critic_lr"] for member in members)
    clips = np.log10([member["weight_clip"] for member in members if "weight_clip" in member])
    weights = np.log10([member["penalty.weight"] for member in members if "penalty.weight" in member])
    for values, count, low, high in ((clips, 200, -3, 0), (weights, 400, -1, 2)):
        assert len(values) == count
        assert low <= values.min() < low + 0.1
        assert high - 0.1 < values.max() <= high
    assert {member["n_critic"] for member in members} == {1, 5}


def test_grid25_is_the_study_of_mode_collapse():
    members = members_of("grid25_objectives", "1")
    configs = sweep.member_configs(configured("ns_gan.py:grid"), members, pathlib.Path("nowhere")).values()
    for system, config in zip(mode_collapse.SYSTEMS, configs, strict=True):
        assert structure(config) == structure(mode_collapse.configured("grid", system, seed=0))


def test_the_search_by_optuna_is_valid():
    pytest.importorskip("optuna")
    function, asked = sweep.read(f"{EXPERIMENTS / 'sweeps' / 'tpe'}.py:5")
    assert function == "get_study"
    assert asked.num == 5
    search._check(configured("wgan_gp.py"), asked)
    trial = asked.study.ask(search._distributions(asked))
    sweep.member_config(configured("wgan_gp.py"), trial.params)


@pytest.mark.slow
def test_wandbs_agent_gives_a_command_that_trains(tmp_path):
    """The command, filled in by wandb's own code, with the shortest run there is."""
    yaml = pytest.importorskip("yaml")
    from wandb.sdk.launch.sweeps.utils import create_sweep_command_args

    asked = yaml.safe_load((EXPERIMENTS / "sweeps" / "wandb.yaml").read_text())
    values = {"config.optimizer.generator_lr": 3e-4, "config.optimizer.critic_lr": 1e-3, "config.seed": 2}
    assert set(values) == set(asked["parameters"])
    given = create_sweep_command_args({"args": {name: {"value": value} for name, value in values.items()}})
    command = []
    for part in asked["command"]:
        command += {"${env}": ["/usr/bin/env"], "${args}": given["args"]}.get(part, [part])
    command += ["--config.steps=1", "--config.wandb.mode=disabled", "--config.eval_every=0"]
    for folder in ("experiments", "gan_jax"):
        (tmp_path / folder).symlink_to(EXPERIMENTS.parent / folder)
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin" / "python").symlink_to(sys.executable)
    environment = {"PATH": f"{pathlib.Path(sys.executable).parent}:/usr/bin:/bin", "WANDB_RUN_ID": "abc123"}
    environment |= {name: value for name, value in os.environ.items() if name.startswith(("JAX_", "XLA_"))}
    subprocess.run(command, cwd=tmp_path, env=environment, check=True, capture_output=True)
    stored = json.loads((tmp_path / "runs/wandb/abc123/config.json").read_text())
    assert {name: stored[name.removeprefix("config.")] for name in values} == values
