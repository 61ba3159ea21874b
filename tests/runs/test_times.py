"""What times.jsonl says, and that curves are drawn while a run trains."""

import datetime
import getpass
import json
import os
import pathlib
import platform
import subprocess
import sys

import jax
import pytest

from gan_jax.reports import pictures, scalars
from gan_jax.runs import outputs, times


@pytest.mark.slow
def test_a_line_for_each_start_and_each_line_of_metrics(command, records, monkeypatch):
    """One that goes on after a kill adds to it, and half a line that was left is cut off."""
    command("wgan_gp.py:ring", "--workdir=run", steps=20)
    written = pathlib.Path("run/times.jsonl").read_bytes()
    with open("run/times.jsonl", "ab") as file:
        file.write(b'{"step": 30, "sec')
    command("wgan_gp.py:ring", "--workdir=run", steps=40)
    assert pathlib.Path("run/times.jsonl").read_bytes().startswith(written + b'{"step": 20, "began"')
    lines = records("run/times.jsonl")
    starts = [i for i, line in enumerate(lines) if "began" in line]
    assert [lines[i]["step"] for i in starts] == [0, 20]
    assert [line["step"] for line in lines] == [0, 10, 20, 20, 30, 40]
    for part in (lines[1:3], lines[4:]):
        assert all(set(line) == {"step", "seconds", "steps_per_second"} for line in part)
        assert 0 < part[0]["seconds"] < part[1]["seconds"] < 600
        between = part[1]["seconds"] - part[0]["seconds"]  # each rounded to a thousandth
        assert 10 / (between + 0.002) < part[1]["steps_per_second"] < 10 / max(between - 0.002, 1e-5)
    assert "seconds" not in pathlib.Path("run/metrics.jsonl").read_text()


@pytest.mark.slow
def test_a_start_says_when_and_with_what_and_nothing_secret(command, records):
    command("wgan_gp.py:ring", "--workdir=run", steps=20)
    start = records("run/times.jsonl")[0]
    age = datetime.datetime.now(datetime.UTC) - datetime.datetime.fromisoformat(start["began"])
    assert datetime.timedelta(seconds=-1) < age < datetime.timedelta(minutes=10)
    assert start["python"] == ".".join(map(str, sys.version_info[:3]))
    assert (start["jax"], start["device"], start["devices"]) == (jax.__version__, "cpu", jax.device_count())
    assert {"gan_jax", "jaxlib", "flax", "optax", "orbax", "commit", "changed", "processes"} <= set(start)
    words = json.dumps(start)
    for secret in (platform.node(), getpass.getuser(), os.getcwd(), os.path.expanduser("~"), sys.prefix):
        assert len(secret) < 3 or secret not in words


def test_the_commit_is_that_of_the_checkout_and_a_change_is_said(tmp_path):
    def git(*words):
        who = ["-c", "user.name=a", "-c", "user.email=a@b"]
        return subprocess.run(["git", "-C", tmp_path, *who, *words], capture_output=True, text=True, check=True).stdout

    assert times._checkout(tmp_path) == (None, None)
    git("init")
    assert times._checkout(tmp_path) == (None, None)  # nothing is committed
    (tmp_path / "a.py").write_text("1")
    git("add", "a.py")
    git("commit", "-m", "one")
    assert times._checkout(tmp_path) == (git("rev-parse", "HEAD").strip(), False)
    (tmp_path / "a.py").write_text("2")
    assert times._checkout(tmp_path) == (git("rev-parse", "HEAD").strip(), True)


class Killed(BaseException):
    pass


def killed(command, monkeypatch, step, **fields):
    """Trains until just before the line of that step."""
    append = scalars.append

    def die(path, record):
        if record["step"] == step:
            raise Killed
        append(path, record)

    with monkeypatch.context() as patch:
        patch.setattr(scalars, "append", die)
        with pytest.raises(Killed):
            command("wgan_gp.py:ring", "--workdir=run", **fields)


@pytest.mark.slow
def test_a_run_that_is_killed_has_curves_from_its_first_checkpoint_on(command, monkeypatch):
    killed(command, monkeypatch, 30)  # checkpoints are due at 20, 40 and 60
    assert pathlib.Path("run/curves.png").is_file()


@pytest.mark.slow
@pytest.mark.parametrize(
    ("seconds", "times_as_long", "drawn"), [(0, 0, [20, 40, 60]), (1e6, 0, [20, 60]), (0, 1e9, [20, 60])]
)
def test_curves_are_not_drawn_too_often(command, monkeypatch, same_run, seconds, times_as_long, drawn):
    """At the first checkpoint and at the end, and else when that costs little; the run has the same bits."""
    lines = []
    monkeypatch.setattr(outputs, "CURVES_SECONDS", seconds)
    monkeypatch.setattr(outputs, "CURVES_TIMES", times_as_long)
    monkeypatch.setattr(pictures, "curves", lambda path, records, *rest: lines.append(records[-1]["step"]))
    command("wgan_gp.py:ring", "--workdir=run")
    assert lines == drawn
    if drawn == [20, 40, 60]:
        command("wgan_gp.py:ring", "--workdir=other")
        same_run("run", "other")


@pytest.mark.slow
def test_members_have_their_curves_drawn_in_turn(command, monkeypatch):
    """Of two members, one at its first checkpoint, and both at the end."""
    places = []
    monkeypatch.setattr(pictures, "curves", lambda path, *rest: places.append(path.parent.name))
    pathlib.Path("two.py").write_text("def get_sweep():\n    return [{'seed': 0}, {'seed': 1}]\n")
    command("wgan_gp.py:ring", "--sweep=two.py", "--workdir=sweep")
    assert places[:1] == ["000"]
    assert sorted(places[1:3]) == ["000", "001"]
