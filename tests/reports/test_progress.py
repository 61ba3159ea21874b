import io
import pathlib
import re
import subprocess
import sys
import time

import pytest

from gan_jax.reports import progress
from gan_jax.reports.progress import Progress

EXPERIMENT = pathlib.Path(__file__).parents[2] / "experiments/wgan_gp.py"
TINY = {"steps": 60, "batch_size": 8, "network.width": 8, "network.depth": 1, "eval_every": 60, "eval_samples": 100}


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


def shown():
    """What stands at last on a terminal, or in a log file."""
    return re.split("[\\r\\n]", sys.stderr.getvalue().rstrip())[-1]


@pytest.mark.parametrize("stream", [io.StringIO, Terminal])
def test_time_for_compiling_counts_for_nothing(monkeypatch, clock, stream):
    monkeypatch.setattr(sys, "stderr", stream())
    with Progress(total=100, initial=40) as bar:
        with bar.compiling():
            assert "40/100" in shown()
            assert "compiling" in shown()
            clock[0] += 100
        bar.update(41, {})  # the first block: how long it took is not known
        clock[0] += 12
        bar.update(47, {})
    assert "47/100" in shown()
    assert "0.50 steps/s, 01:46 left" in shown()  # 6 steps in 12 s, and 53 are left


@pytest.mark.parametrize("stream", [io.StringIO, Terminal])
def test_a_second_program_leaves_the_rate_as_it_was(monkeypatch, clock, stream):
    monkeypatch.setattr(sys, "stderr", stream())
    with Progress(total=100, initial=41) as bar:
        clock[0] += 12
        bar.update(47, {})
        with bar.compiling():
            assert "47/100" in shown()
            assert shown().rstrip("]").endswith("compiling")
            clock[0] += 1000
        bar.update(50, {})
        clock[0] += 12
        bar.update(56, {})
    assert "56/100" in shown()
    assert "0.50 steps/s, 01:28 left" in shown()  # 12 steps in 24 s, and 44 are left


@pytest.mark.parametrize("stream", [io.StringIO, Terminal])
def test_a_pause_and_what_is_not_to_be_made_count_for_nothing(monkeypatch, clock, stream):
    monkeypatch.setattr(sys, "stderr", stream())
    with Progress(total=100, initial=0) as bar:
        with bar.compiling():
            bar.at(20)
        for step in (21, 26):
            clock[0] += 10
            bar.update(step, {})
        clock[0] += 500  # a picture is compiled
        bar.pause()
        bar.update(30, {})
        bar.at(60)  # a member is frozen, and 30 steps of it are not made
        clock[0] += 20
        bar.update(70, {})
    assert "70/100" in shown()
    assert "0.50 steps/s, 01:00 left" in shown()  # 5 steps in 10 s, 10 in 20 s


@pytest.mark.parametrize("stream", [io.StringIO, Terminal])
def test_compiling_has_a_clock_and_one_line_on_a_terminal(monkeypatch, stream):
    monkeypatch.setattr(sys, "stderr", stream())
    for name in ("SECONDS_BETWEEN_LINES", "DELAY"):
        monkeypatch.setattr(progress, name, 0.2)
    with Progress(total=10) as bar, bar.compiling():
        time.sleep(1.5)
        said = sys.stderr.getvalue()
    assert re.search(r"0/10 .*\[00:01, compiling\]" if stream is Terminal else r"\ncompiling \[00:01\]", said)
    assert said.count("\n") == (0 if stream is Terminal else len(re.findall("compiling", said)))


def test_of_several_processes_one_shows_that_it_compiles(capsys, monkeypatch):
    monkeypatch.setattr(progress, "SECONDS_BETWEEN_LINES", 0.01)
    with Progress(total=10, is_shown=False) as bar:
        with bar.compiling():
            time.sleep(0.1)
        bar.update(1, {})
    assert capsys.readouterr().err == ""


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
    assert "steps/s, 00:00 left" in last
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


def test_long_work_has_a_line_now_and_then_in_a_log_file(capsys, clock):
    for thing in progress.each("abcd", "reading", 4, "files"):
        clock[0] += 6
        assert thing in "abcd"
    assert capsys.readouterr().err == "reading: 2/4, 0.17 files/s, 00:12 left\nreading: 4/4, 0.17 files/s, 00:00 left\n"


@pytest.mark.parametrize("stream", [io.StringIO, Terminal])
def test_short_work_shows_nothing(monkeypatch, stream):
    monkeypatch.setattr(sys, "stderr", stream())
    with progress.counting("features", 10, "images") as add, progress.clock("eigenvalues"):
        add(10)
    assert sys.stderr.getvalue().strip() == ""


def test_long_work_is_a_bar_on_a_terminal_that_goes_when_it_is_done(monkeypatch):
    monkeypatch.setattr(sys, "stderr", Terminal())
    monkeypatch.setattr(progress, "DELAY", 0.05)
    with progress.counting("features", 20, "images") as add:
        time.sleep(0.2)
        add(10)
    shown = sys.stderr.getvalue().split("\r")
    assert any("features:  50%" in line and "10/20" in line for line in shown)
    assert not shown[-1].strip()


@pytest.mark.parametrize(("stream", "name"), [(io.StringIO, "SECONDS_BETWEEN_LINES"), (Terminal, "DELAY")])
def test_a_single_long_call_has_a_clock(monkeypatch, stream, name):
    monkeypatch.setattr(sys, "stderr", stream())
    monkeypatch.setattr(progress, name, 0.05)
    with progress.clock("eigenvalues"):
        time.sleep(0.3)
    assert "eigenvalues [00:00]" in sys.stderr.getvalue()
    assert ("\r" in sys.stderr.getvalue()) == (stream is Terminal)


def test_bars_are_drawn_in_this_file_alone():
    package = pathlib.Path(progress.__file__).parents[1]
    drawing = [path.relative_to(package).as_posix() for path in package.rglob("*.py") if "tqdm" in path.read_text()]
    assert drawing == ["reports/progress.py"]


@pytest.mark.hours
def test_no_line_is_drawn_over_in_a_log_file(tmp_path, monkeypatch):
    """Training, with an evaluation for which a classifier is trained first, and numbers of many images."""
    monkeypatch.setenv("GAN_JAX_CACHE", str(tmp_path / "cache"))
    tiny = [f"--config.{name}={value}" for name, value in TINY.items()]
    train = ["gan_jax.main", f"--config={EXPERIMENT}", *tiny, f"--workdir={tmp_path}/run"]
    measure = ["gan_jax.metrics", f"{tmp_path}/run", "digits", "--metrics=frechet,kernel,prdc", "--num=300"]
    for words in (train, measure):
        done = subprocess.run([sys.executable, "-m", *words], capture_output=True)
        assert done.returncode == 0, done.stderr
        assert b"\r" not in done.stdout + done.stderr
        assert words is measure or done.stderr.startswith(b"step 0/60, compiling\n")
