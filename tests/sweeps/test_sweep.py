"""Sweeps by the command: members are lone runs, what fails is marked, and nothing is lost."""

import json
import pathlib
import signal

import pytest

from gan_jax import main
from gan_jax.runs import loop, outputs
from gan_jax.sweeps import sweep
from gan_jax.training import population

EXPERIMENTS = pathlib.Path(__file__).parents[2] / "experiments"
FIELDS = {"eval_every": 30, "eval_metrics": "frechet"}
FOUR = 'product(grid({"loss": ["hinge", "wasserstein"]}), grid({"seed": [0, 7], "optimizer.critic_lr": [1e-3]}))'


@pytest.fixture
def sweep_of(command):
    """sweep_of("grid(...)"): a sweep file whose get_sweep() returns that, run into the folder `s`."""

    def run(members, *flags, experiment="wgan_gp.py:ring", code=0, **fields):
        text = f"from gan_jax.sweeps.axes import *\n\ndef get_sweep():\n    return {members}\n"
        pathlib.Path("sweep.py").write_text(text)
        command(experiment, "--sweep=sweep.py", "--workdir=s", *flags, code=code, **FIELDS | fields)

    return run


def alone(command, index, folder="alone", **fields):
    """The run that a member's fields make by themselves."""
    member = json.loads(pathlib.Path("s/sweep.json").read_text())["members"][index]
    given = FIELDS | fields | {name.replace(".", "__"): value for name, value in member.items()}
    command("wgan_gp.py:ring", f"--workdir={folder}", **given)


@pytest.mark.slow
def test_every_member_is_the_run_that_its_fields_make_alone(command, sweep_of, same_run, monkeypatch):
    """And the members of a group share one program."""
    compiled = []
    compile_program = population.compile_program
    with monkeypatch.context() as patch:
        patch.setattr(population, "compile_program", lambda *a: (compiled.append(a), compile_program(*a))[1])
        sweep_of(FOUR)
    assert len(compiled) == 2
    for index in (0, 3):  # one of each group
        alone(command, index, f"alone{index}")
        same_run(f"s/00{index}", f"alone{index}")
        files = {path.relative_to(f"alone{index}") for path in pathlib.Path(f"alone{index}").rglob("*.*")}
        assert files == {path.relative_to(f"s/00{index}") for path in pathlib.Path(f"s/00{index}").rglob("*.*")}
        for name in ("config.json", "evaluation.jsonl"):
            assert pathlib.Path(f"s/00{index}", name).read_bytes() == pathlib.Path(f"alone{index}", name).read_bytes()


@pytest.mark.slow
def test_a_streamed_member_reads_the_data_of_its_own_seed(command, sweep_of, same_run):
    fields = {"data__memory_mb": 0, "steps": 20, "eval_every": 0}
    sweep_of('grid({"seed": [2, 3]})', experiment="wgan_gp.py", **fields)
    command("wgan_gp.py", "--workdir=alone", **FIELDS | fields | {"seed": 3})
    same_run("s/001", "alone")


@pytest.mark.slow
def test_a_member_that_diverges_is_marked_and_the_others_are_unharmed(command, sweep_of, same_run, capsys):
    """Nothing bounds a Wasserstein critic; by gradient descent at 1e30, its first update is its last."""
    rates = 'grid({"optimizer.critic_lr": [1e-3, 1e30, 2e-3]})'
    fields = {"optimizer__name": "sgd", "penalty__name": "none"}
    sweep_of(rates, **fields)
    frozen = json.loads(pathlib.Path("s/001/frozen.json").read_text())
    assert (frozen["state"], frozen["step"]) == ("diverged", 1)
    assert frozen["reason"].endswith("at step 1")
    assert "2 of 3 members; 1 diverged" in capsys.readouterr().out
    assert not pathlib.Path("s/000/frozen.json").exists()
    for index in (0, 2):
        alone(command, index, f"alone{index}", **fields)
        same_run(f"s/00{index}", f"alone{index}")
    before = snapshot("s/001")
    sweep_of(rates, **fields | {"steps": 80})
    assert snapshot("s/001") == before
    assert checkpoint_steps("s/002")[-1] == 80


@pytest.mark.slow
def test_a_lone_run_that_diverges_leaves_the_files_of_the_member(command, sweep_of):
    fields = {"optimizer__name": "sgd", "penalty__name": "none", "eval_every": 0}
    sweep_of('grid({"optimizer.critic_lr": [1e30]})', code=3, **fields)
    command("wgan_gp.py:ring", "--workdir=alone", **FIELDS | fields | {"optimizer__critic_lr": 1e30}, code=3)
    assert pathlib.Path("s/000/frozen.json").read_bytes() == pathlib.Path("alone/frozen.json").read_bytes()
    for folder in ("s/000", "alone"):  # no step before the first that is not finite
        assert not pathlib.Path(folder, "metrics.jsonl").exists()


@pytest.mark.slow
@pytest.mark.parametrize("way", ["side_by_side", pytest.param("one_after_another", marks=pytest.mark.hours)])
def test_a_sweep_killed_as_it_saves_resumes_bit_for_bit(command, sweep_of, same_run, killed_as_it_saves, way):
    """The first member has the checkpoint of step 40 and the second has not: it catches up."""
    seeds = 'grid({"seed": [5, 6, 7]})'
    with killed_as_it_saves(40, "001"):
        sweep_of(seeds, f"--way={way}")
    assert [checkpoint_steps(f"s/00{i}")[-1] for i in range(3)] == [40, 30, 30]
    sweep_of(seeds, f"--way={way}")
    for index in (0, 1):
        alone(command, index, f"alone{index}")
        same_run(f"s/00{index}", f"alone{index}")


@pytest.mark.hours
def test_a_member_whose_newest_checkpoint_is_damaged_goes_on_from_the_one_before(
    command, sweep_of, same_run, damage_arrays, capsys
):
    """Whether it has steps left to do or none."""
    seeds, fields = 'grid({"seed": [5, 6]})', {"eval_every": 0}
    sweep_of(seeds, steps=40, **fields)
    for step in (40, 60):
        damage_arrays(pathlib.Path(f"s/001/checkpoints/{step}"))
        capsys.readouterr()
        sweep_of(seeds, **fields)
        shown = capsys.readouterr().err.splitlines()
        (line,) = [line for line in shown if "damaged" in line]
        assert f"s/001/checkpoints/{step} is damaged" in line
        assert shown[-1].startswith("step 120/120")
        assert pathlib.Path(f"s/001/damaged/{step}").is_dir()
    for index in range(2):
        alone(command, index, f"alone{index}", **fields)
        same_run(f"s/00{index}", f"alone{index}")


@pytest.mark.slow
def test_a_sweep_that_is_stopped_resumes_bit_for_bit(command, sweep_of, same_run, monkeypatch, capsys):
    log = outputs._log

    def stop_at_20(member, step, means):
        if step == 20 and member.run.workdir.name == "001":
            monkeypatch.setattr(outputs, "_log", log)
            signal.raise_signal(signal.SIGTERM)
        log(member, step, means)

    monkeypatch.setattr(outputs, "_log", stop_at_20)
    sweep_of(FOUR, code=143)
    assert "resumes" in capsys.readouterr().out
    assert not pathlib.Path("s/002").exists()
    sweep_of(FOUR)
    for index in (1, 3):
        alone(command, index, f"alone{index}")
        same_run(f"s/00{index}", f"alone{index}")


@pytest.mark.slow
def test_the_same_sweep_again_changes_nothing_and_one_with_more_members_trains_these(sweep_of, capsys):
    sweep_of('grid({"seed": [4, 5]})')
    before = snapshot("s")
    sweep_of('grid({"seed": [4, 5]})')
    assert snapshot("s") == before
    sweep_of('grid({"seed": [3, 4, 5]})')
    members = json.loads(pathlib.Path("s/sweep.json").read_text())["members"]
    assert members == [{"seed": 4}, {"seed": 5}, {"seed": 3}]
    assert checkpoint_steps("s/002")[-1] == 60
    after = snapshot("s")
    assert all(after[path] == content for path, content in before.items() if path.name != "sweep.json")
    sweep_of('grid({"seed": [4]})', code=2)
    assert "holds a sweep with a member seed=5" in capsys.readouterr().err


@pytest.mark.slow
def test_a_member_may_be_used_like_any_run_and_the_sweeps_folder_may_not(command, sweep_of, capsys):
    sweep_of('grid({"seed": [4, 5]})')
    command("wgan_gp.py:ring", "--workdir=s/001", "--mode=sample", "--num=4", **FIELDS | {"seed": 5})
    assert pathlib.Path("s/001/samples/samples.npz").exists()
    command("wgan_gp.py:ring", "--workdir=s/001", **FIELDS | {"seed": 5, "steps": 70})
    assert checkpoint_steps("s/001")[-1] == 70
    capsys.readouterr()
    for flags in (["--mode=sample"], []):
        command("wgan_gp.py:ring", "--workdir=s", *flags, code=2)
        assert "s/000" in capsys.readouterr().err


@pytest.mark.slow
def test_a_folder_that_holds_a_run_takes_no_sweep(command, sweep_of, capsys):
    command("wgan_gp.py:ring", "--workdir=s", steps=10)
    capsys.readouterr()
    sweep_of('grid({"seed": [1]})', code=2)
    assert "holds a run" in capsys.readouterr().err


@pytest.mark.hours
def test_an_argument_is_given_to_get_sweep(command):
    pathlib.Path("s.py").write_text("def get_sweep(num='1'):\n    return [{'seed': i} for i in range(int(num))]\n")
    assert sweep.read("s.py:3")[1] == [{"seed": 0}, {"seed": 1}, {"seed": 2}]
    flags = ["--sweep=s.py:2", "--config.steps=1", "--config.eval_every=0"]
    assert main.main(["gan_jax", f"--config={EXPERIMENTS / 'ns_gan.py:ring'}", *flags]) == 0
    assert checkpoint_steps("runs/ns_gan_ring_s_2/001") == [1]


@pytest.mark.slow
def test_numpys_numbers_are_numbers(sweep_of):
    sweep_of('[{"optimizer.critic_lr": __import__("numpy").float64(1e-3)}]', steps=10, eval_every=0)
    stored = json.loads(pathlib.Path("s/000/config.json").read_text())
    assert stored["optimizer.critic_lr"] == 1e-3


@pytest.mark.hours
def test_a_group_keeps_its_way(sweep_of):
    def ways():
        return json.loads(pathlib.Path("s/sweep.json").read_text())["ways"]

    sweep_of('grid({"seed": [4, 5]})', "--way=vmap", steps=20)
    assert ways() == {"000": "vmap"}
    sweep_of('grid({"seed": [4, 5, 6]})', steps=30)
    assert ways() == {"000": "vmap"}


@pytest.mark.slow
def test_the_members_memory_is_given_back(sweep_of, monkeypatch):
    monkeypatch.setattr(population, "at_once", lambda program, carry: 2)
    trained = []
    train_together = loop.train_together
    monkeypatch.setattr(loop, "train_together", lambda *given: trained.append(train_together(*given)) or trained[-1])
    sweep_of('grid({"seed": range(5)})', steps=10, eval_every=0)
    ((members, received),) = trained
    assert (len(members), received) == (5, 0)
    assert all(member.carry is None for member in members)
    assert [checkpoint_steps(f"s/00{i}") for i in range(5)] == [[10]] * 5


def checkpoint_steps(folder):
    return sorted(int(path.name) for path in pathlib.Path(folder, "checkpoints").glob("*") if path.name.isdigit())


def snapshot(folder):
    paths = [path for path in pathlib.Path(folder).rglob("*") if path.is_file()]
    return {path: (path.stat().st_mtime_ns, path.read_bytes()) for path in paths}
