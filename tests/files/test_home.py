"""Without a home folder that can be written to, libraries get a temporary one and say nothing."""

import os
import pathlib
import subprocess
import sys

import pytest

from gan_jax.features import cache
from gan_jax.files import home

NEEDS = {"A_DIR": ("~/.config/a", "~/.cache/a")}
NOWHERE = "/dev/null/home"  # no user may make it, not even root


@pytest.fixture(autouse=True)
def no_variables(monkeypatch):
    for name in ("A_DIR", "XDG_CONFIG_HOME", "XDG_CACHE_HOME", "GAN_JAX_CACHE"):
        monkeypatch.delenv(name, raising=False)


def test_a_temporary_folder_is_lent_only_where_it_is_needed(monkeypatch, tmp_path):
    monkeypatch.setenv("HOME", str(tmp_path))
    home.lend(NEEDS)
    assert "A_DIR" not in os.environ
    monkeypatch.setenv("XDG_CACHE_HOME", NOWHERE)
    home.lend(NEEDS)
    lent = pathlib.Path(os.environ["A_DIR"])
    lent.mkdir()
    assert os.access(lent, os.W_OK)
    monkeypatch.setenv("A_DIR", "/given")
    home.lend(NEEDS)
    assert os.environ["A_DIR"] == "/given"
    assert not any(tmp_path.iterdir())


def test_the_cache_of_one_without_a_home_is_no_folder_of_the_name_tilde(monkeypatch):
    monkeypatch.setattr(os.path, "expanduser", lambda path: path)  # as for a user of no name, without $HOME
    assert cache.folder() == pathlib.Path("/.cache/gan_jax")


def test_a_cache_that_cannot_be_written_is_said_once(monkeypatch, capsys):
    monkeypatch.setenv("GAN_JAX_CACHE", NOWHERE)
    cache._say.cache_clear()
    for name in ("a.npz", "b.npz"):
        cache.keep(cache.folder() / name, {})
    (line,) = capsys.readouterr().err.splitlines()
    assert f"{NOWHERE} can't be written" in line
    assert "$GAN_JAX_CACHE names another" in line


@pytest.mark.slow
def test_matplotlib_and_wandb_are_quiet_without_a_home(tmp_path):
    program = (
        "from gan_jax.reports import pictures, tracking\n"
        "pictures.curves('curves.png', [{'step': 1, 'critic_loss': 2.0}], 'title')\n"
        "run = tracking.start_wandb('offline', '.', 'name', {})\n"
        "tracking.log_picture(run, 'curves.png', 1)\n"
        "run.finish()\n"
    )
    names = ("PATH", "PYTHONPATH", "LANG")
    env = {name: os.environ[name] for name in names if name in os.environ} | {"HOME": NOWHERE}
    done = subprocess.run([sys.executable, "-c", program], cwd=tmp_path, env=env, capture_output=True, text=True)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    assert list(tmp_path.glob("wandb/offline-run-*/files/media/images/*.png"))
