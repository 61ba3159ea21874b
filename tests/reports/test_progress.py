import io
import re
import sys

import pytest

from gan_jax.reports import progress
from gan_jax.reports.progress import Progress


class Terminal(io.StringIO):
    def isatty(self):
        return True


@pytest.fixture
def clock(monkeypatch):
    """Seconds that pass only when the test says so."""
    now = [1000.0]
    monkeypatch.setattr(progress.time, "monotonic", lambda: now[0])
    return now


def test_lines_where_there_is_no_terminal(capsys, clock):
    with Progress(total=1000, initial=100) as bar:
        for step in range(101, 201):  # 100 steps, 0.25 s each: lines after 10 s, 20 s and at the end
            clock[0] += 0.25
            bar.update(step, {"critic_loss": -step / 7, "generator_loss": 2})
    error = capsys.readouterr().err
    lines = error.splitlines()
    assert "\r" not in error
    assert [int(re.search(r"\d+", line)[0]) for line in lines] == [140, 180, 200]
    assert lines[-1] == "step 200/1,000, 4.00 steps/s, 03:20 left, critic_loss -28.57, generator_loss 2"


@pytest.mark.parametrize("is_terminal", [False, True])
def test_it_may_begin_again_further_back(monkeypatch, clock, is_terminal):
    stream = Terminal() if is_terminal else io.StringIO()
    monkeypatch.setattr(sys, "stderr", stream)
    with Progress(total=50, initial=40) as bar:
        clock[0] += 100
        bar.begin(30)
        clock[0] += 5
        bar.update(50, {})
    last = re.split("[\\r\\n]", stream.getvalue().rstrip())[-1]
    assert ("50/50" if is_terminal else "step 50/50, 4.00 steps/s, 00:00 left") in last


def test_nothing_to_say_without_an_update(capsys):
    with Progress(total=10):
        pass
    assert capsys.readouterr().err == ""


def test_a_live_bar_on_a_terminal(monkeypatch):
    terminal = Terminal()
    monkeypatch.setattr(sys, "stderr", terminal)
    with Progress(total=50, initial=40) as bar:
        bar.update(45, {"critic_loss": 0.125})
        bar.update(50, {"critic_loss": 0.25})
    last = terminal.getvalue().split("\r")[-1]
    assert "50/50" in last
    assert "step/s" in last
    assert "critic_loss 0.25" in last
    assert last.endswith("\n")


def test_an_error_passes_through_after_the_last_line(capsys, clock):
    def fail():
        with Progress(total=10) as bar:
            clock[0] += 1
            bar.update(1, {})
            raise RuntimeError

    with pytest.raises(RuntimeError):
        fail()
    assert capsys.readouterr().err == "step 1/10, 1.00 steps/s, 00:09 left\n"
