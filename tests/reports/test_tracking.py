import pathlib
import subprocess
import sys

import pytest

from gan_jax.errors import UserError
from gan_jax.reports.tracking import start_wandb


@pytest.fixture(autouse=True)
def no_account(tmp_path, monkeypatch):
    """No key from the machine on which the tests run, and nothing written to its home folder."""
    for name in ("WANDB_API_KEY", "WANDB_MODE", "WANDB_DIR", "WANDB_IDENTITY_TOKEN_FILE"):
        monkeypatch.delenv(name, raising=False)
    for name in ("HOME", "WANDB_CONFIG_DIR", "WANDB_CACHE_DIR", "WANDB_DATA_DIR"):
        monkeypatch.setenv(name, str(tmp_path / "home"))
    monkeypatch.setenv("NETRC", str(tmp_path / "home" / "netrc"))


def test_disabled_does_not_import_wandb(tmp_path):
    program = (
        "import sys; from gan_jax.reports.tracking import start_wandb\n"
        f"assert start_wandb('disabled', {str(tmp_path)!r}, 'name', {{}}) is None\n"
        "assert 'wandb' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", program], check=True)
    assert not list(tmp_path.iterdir())


@pytest.mark.slow
def test_offline_writes_to_the_workdir_and_resumes(tmp_path, capfd):
    workdir = tmp_path / "run"
    workdir.mkdir()
    ids = []
    for step in (1, 2):
        run = start_wandb("offline", workdir, "digits", {"batch_size": 64, "penalty": {"weight": 10.0}})
        run.log({"critic_loss": 0.5}, step=step)
        assert (run.name, run.config["batch_size"], run.offline) == ("digits", 64, True)
        ids.append(run.id)
        run.finish()
    assert ids == [(workdir / "wandb_id").read_text()] * 2
    assert list((workdir / "wandb").glob(f"offline-run-*/run-{ids[0]}.wandb"))
    assert capfd.readouterr() == ("", "")


def test_online_without_a_key_says_what_to_do(tmp_path):
    with pytest.raises(UserError, match=r"wandb login.*offline") as caught:
        start_wandb("online", tmp_path, "name", {})
    assert "\n" not in str(caught.value)
    assert not (tmp_path / "wandb_id").exists()


def test_unknown_mode(tmp_path):
    with pytest.raises(UserError, match="disabled, offline, online"):
        start_wandb("on", tmp_path, "name", {})


@pytest.mark.slow
def test_pictures_of_samples_go_there_too(command):
    """Of a run that is told classes, and of every member of a sweep; no other picture."""
    fields = {"wandb__mode": "offline", "network__name": "mlp"}
    command("conditional_gan.py", "--workdir=run", **fields)
    pathlib.Path("two.py").write_text("def get_sweep():\n    return [{'seed': 0}, {'seed': 1}]\n")
    command("wgan_gp.py:ring", "--sweep=two.py", "--workdir=sweep", **fields)
    for folder in ("run", "sweep/000", "sweep/001"):
        images = pathlib.Path(folder).glob("wandb/offline-run-*/files/media/images/*")
        drawn = pathlib.Path(folder, "samples").glob("step_*.png")
        assert sorted(path.read_bytes() for path in images) == sorted(path.read_bytes() for path in drawn), folder
