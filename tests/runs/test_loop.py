"""What the loop promises: a stopped, killed or diverged run loses nothing that it should not."""

import fcntl
import pathlib
import signal

import jax
import numpy as np
import pytest

from gan_jax.reports import scalars
from gan_jax.runs import checkpoint, trained

EXPERIMENTS = pathlib.Path(__file__).parents[2] / "experiments"
# Every way that samples come in: gathered in the step, drawn in the step, streamed by grain.
WAYS = {
    "digits": ("wgan_gp.py", {}),
    "digits, dcgan with batch norm": ("wgan.py", {"network__name": "dcgan", "network__critic_norm": "batch"}),
    "ring": ("wgan_gp.py:ring", {}),
    "ring, spectral norm": ("sn_gan.py:ring", {}),
    "digits, streamed": ("wgan_gp.py", {"data__memory_mb": 0}),
    "digits, streamed, in bursts": (
        "wgan_gp.py",
        {"data__memory_mb": 0, "n_critic_burst__updates": 5, "n_critic_burst__every": 9},
    ),
}


def each_way(*daily):
    """Ways other than these have their turn where there are hours."""
    return [pytest.param(way, marks=pytest.mark.slow if way in daily else pytest.mark.hours) for way in WAYS]


@pytest.fixture
def at_step(monkeypatch):
    """Calls a function when the line of a given step is about to be written."""

    def install(step, function):
        append = scalars.append

        def watched(path, record):
            if record["step"] == step:
                monkeypatch.setattr(scalars, "append", append)
                function()
            append(path, record)

        monkeypatch.setattr(scalars, "append", watched)

    return install


@pytest.fixture
def whole(command, shared_folder):
    """whole(way): the folder of a run that was left alone; made by whichever test is first."""

    def left_alone(way):
        folder = shared_folder / "left_alone" / str(list(WAYS).index(way))
        folder.parent.mkdir(exist_ok=True)
        with open(f"{folder}.lock", "w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            if not folder.exists():
                experiment, fields = WAYS[way]
                command(experiment, f"--workdir={folder}.part", **fields)
                pathlib.Path(f"{folder}.part").rename(folder)
        return folder

    return left_alone


@pytest.mark.parametrize("way", each_way("digits, dcgan with batch norm"))
def test_a_stopped_run_resumes_bit_for_bit(command, whole, same_run, at_step, capsys, way):
    experiment, fields = WAYS[way]
    at_step(30, lambda: signal.raise_signal(signal.SIGTERM))
    command(experiment, "--workdir=stopped", **fields, code=143)
    assert "resumes" in capsys.readouterr().out
    command(experiment, "--workdir=stopped", **fields)
    same_run(whole(way), "stopped")


@pytest.mark.slow
def test_a_run_stopped_by_ctrl_c_resumes_bit_for_bit(command, whole, same_run, at_step):
    at_step(30, lambda: signal.raise_signal(signal.SIGINT))
    command("wgan_gp.py:ring", "--workdir=stopped", code=130)
    command("wgan_gp.py:ring", "--workdir=stopped")
    same_run(whole("ring"), "stopped")


@pytest.mark.parametrize("way", each_way("digits", "ring, spectral norm"))
def test_a_run_killed_at_any_moment_resumes_bit_for_bit(command, whole, same_run, at_step, way):
    class Killed(BaseException):
        pass

    def kill():
        raise Killed

    experiment, fields = WAYS[way]
    at_step(50, kill)
    with pytest.raises(Killed):
        command(experiment, "--workdir=killed", **fields)
    command(experiment, "--workdir=killed", **fields)
    same_run(whole(way), "killed")


@pytest.mark.slow
def test_a_run_killed_just_after_a_checkpoint_has_the_lines_up_to_it(command, whole, same_run, monkeypatch):
    class Killed(BaseException):
        pass

    def save_and_die(manager, carry, *args):
        save(manager, carry, *args)
        manager.wait_until_finished()
        if carry[0].step == 40:
            raise Killed

    save = checkpoint.save
    with monkeypatch.context() as patch:
        patch.setattr(checkpoint, "save", save_and_die)
        with pytest.raises(Killed):
            command("wgan_gp.py:ring", "--workdir=killed")
    command("wgan_gp.py:ring", "--workdir=killed")
    same_run(whole("ring"), "killed")


def checkpoints(folder):
    return {path.name for path in pathlib.Path(folder, "checkpoints").glob("*") if path.name.isdigit()}


@pytest.mark.slow
@pytest.mark.usefixtures("drawn_in_full")
@pytest.mark.parametrize(
    ("experiment", "critic_lr"), [("ns_gan.py", 1), ("ns_gan.py:ring", 1e3), ("ns_gan.py:ring", 1e30)]
)
@pytest.mark.parametrize("eval_every", [1, pytest.param(0, marks=pytest.mark.hours)])
def test_a_diverged_run_names_its_last_good_checkpoint(command, capsys, experiment, critic_lr, eval_every):
    """A Wasserstein critic that nothing bounds, by gradient descent at a high rate."""
    fields = {"loss": "wasserstein", "network__critic_norm": "none", "network__depth": 3, "optimizer__name": "sgd"}
    fields |= {"optimizer__critic_lr": critic_lr, "checkpoint_every": 1, "eval_every": eval_every}
    command(experiment, "--workdir=run", **fields, code=3)
    (line,) = [line for line in capsys.readouterr().err.splitlines() if line.startswith("gan_jax:")]
    assert "diverged" in line
    kept = sorted(checkpoints("run"), key=int)
    assert line.endswith(f"checkpoints/{kept[-1]}" if kept else "no checkpoint was saved")
    assert kept[:1] == (["1"] if critic_lr == 1 else [])
    for step in kept:
        state = trained.load("run", step).state
        assert all(np.isfinite(leaf).all() for leaf in jax.tree.leaves((state.generator.params, state.critic.params)))


@pytest.mark.slow
def test_results_do_not_depend_on_where_blocks_end(command, whole, same_run, monkeypatch):
    from gan_jax.runs import loop

    with monkeypatch.context() as patch:
        patch.setattr(loop, "BLOCK_SECONDS", 0.0)
        command("wgan_gp.py", "--workdir=short")
    same_run(whole("digits"), "short")
