"""The accelerator's stages: rehearsed on a CPU, and what lies around them, without any."""

import argparse
import importlib
import json
import math
import os
import pathlib
import signal
import subprocess
import sys
import time

import numpy as np
import pytest

from benchmarks import metrics
from benchmarks.accelerator import pieces, prepare, report, run
from gan_jax.features import extraction

MEASURED = {"checks": "best", "main_command": "runs", "speed": "cases", "features": "fid", "recipe": "evaluation"}


@pytest.fixture
def accelerator(tmp_path, monkeypatch):
    """accelerator("--budget=60", ...) -> exit code, with all that it writes below tmp_path."""
    monkeypatch.setenv("TFDS_DATA_DIR", str(tmp_path / "no_sets"))
    return lambda *flags: run.main([f"--work={tmp_path / 'work'}", f"--parts={tmp_path / 'parts'}", *flags])


@pytest.mark.slow
@pytest.mark.parametrize("names", [["main_command"], pytest.param([*MEASURED], marks=pytest.mark.hours)], ids=len)
def test_stages_work_at_a_size_of_seconds(accelerator, tmp_path, capsys, names):
    assert accelerator("--rehearse", "--budget=3000", f"--out={tmp_path / 'out'}", "--stages", *names) == 0
    results = tmp_path / "work" / "results"
    records = {name: json.loads((results / f"{name}.json").read_text()) for name in names}
    assert {name: record["status"] for name, record in records.items()} == {
        name: "unfinished" if name == "recipe" else "done" for name in names
    }, records
    for name, record in records.items():
        assert record["is_rehearsal"]
        assert record["seconds"] <= record["limit"]
        if "left_out" not in record["results"]:
            assert record["results"][MEASURED[name]]
    assert {f"{name}.json" for name in names} <= {path.name for path in (tmp_path / "out").iterdir()}
    shown_by_report(results, names, capsys)
    if names == [*MEASURED]:
        assert {test["outcome"] for test in records["checks"]["results"]["tests"]} == {"passed"}
        rows = records["speed"]["results"]["cases"]["dcgan_wgan_gp"]
        assert {name for name, row in rows.items() if "error" not in row} >= {"ours", "ours, closed"}
        assert records["recipe"]["results"]["step"] > 0
        recipe_goes_on(tmp_path, results)


def shown_by_report(results, names, capsys):
    capsys.readouterr()
    assert report.main([str(results), "--write"]) == 2
    printed = capsys.readouterr()
    assert "not written" in printed.err
    for name in names:
        assert f"## {name}" in printed.out
    assert printed.out.count(report.REHEARSED) == len(names)


def recipe_goes_on(tmp_path, results):
    """From the files that came back, in a folder of another machine."""
    prepare.restore(results, tmp_path / "other" / "recipe")
    steps = [path.name for path in (tmp_path / "other" / "recipe" / "checkpoints").iterdir()]
    flags = [f"--workdir={tmp_path / 'other' / 'recipe'}", "--mode=sample", "--num=4"]
    sampled = [sys.executable, "-m", "gan_jax.main", *flags]
    done = subprocess.run(sampled, cwd=run.ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert len(steps) == 1


# ------------------------------------------------------------------------------------- stages that do not do well


@pytest.fixture
def stages(tmp_path, monkeypatch):
    """stages(name=source, ...) in place of the real ones, each with a limit of 4 s."""
    folder = tmp_path / "root" / "benchmarks" / "accelerator"
    folder.mkdir(parents=True)
    monkeypatch.setattr(run, "ROOT", tmp_path / "root")
    monkeypatch.setattr(run, "GRACE", 2)

    def made(**sources):
        for name, source in sources.items():
            (folder / f"{name}.py").write_text(f"import json, pathlib, sys, time\n{KEEPS}\n{source}\n")
        monkeypatch.setattr(run, "STAGES", [run.Stage(name, 4, 1) for name in sources])

    return made


KEEPS = """
def keep(found, status="begun"):
    work = pathlib.Path(next(flag for flag in sys.argv if flag.startswith("--work="))[7:])
    path = work / "results" / f"{pathlib.Path(__file__).stem}.json"
    path.write_text(json.dumps({"results": found, "status": status}))
"""


def found(tmp_path):
    files = sorted((tmp_path / "work" / "results").glob("*.json"))
    records = {path.stem: json.loads(path.read_text()) for path in files}
    return {name: (record["status"], record.get("results")) for name, record in records.items()}


@pytest.mark.slow
def test_a_stage_that_hangs_or_fails_costs_no_other_and_keeps_what_it_had(accelerator, stages, tmp_path):
    stages(hangs="keep(1)\ntime.sleep(60)", fails="keep(2)\nraise ValueError('so it is')", works="keep(3)")
    assert accelerator("--budget=60") == 1
    assert found(tmp_path) == {"hangs": ("cut short", 1), "fails": ("failed", 2), "works": ("done", 3)}
    assert "so it is" in json.loads((tmp_path / "work" / "results" / "fails.json").read_text())["log"]


@pytest.mark.slow
def test_what_a_stage_has_started_may_save_as_the_stage_is_cut_short(accelerator, stages, tmp_path):
    child = (
        "import signal, sys, time; signal.signal(15, lambda *_: (time.sleep(0.5), open(sys.argv[1], 'w'), sys.exit()))"
    )
    stages(
        starts=f"""import subprocess
keep(1)
saved = pathlib.Path(__file__).with_suffix(".saved")
subprocess.run([sys.executable, "-c", "{child}; time.sleep(60)", str(saved)])"""
    )
    assert accelerator("--budget=60") == 1
    assert found(tmp_path) == {"starts": ("cut short", 1)}
    assert (run.ROOT / "benchmarks" / "accelerator" / "starts.saved").is_file()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_command_that_is_stopped_takes_its_stage_with_it(stages, tmp_path, number):
    stages(hangs="import os\nkeep(os.getpid())\ntime.sleep(60)")
    process = command_in_a_process(tmp_path)
    stage = awaited(tmp_path, lambda result: isinstance(result, int))
    process.send_signal(number)
    process.wait()
    with pytest.raises(ProcessLookupError):
        os.kill(stage, 0)


def command_in_a_process(tmp_path):
    program = f"""
import pathlib
import signal
from benchmarks.accelerator import run
signal.signal(signal.SIGINT, signal.default_int_handler)  # which a command in the background does not begin with
run.ROOT = pathlib.Path({str(run.ROOT)!r})
run.STAGES = [run.Stage("hangs", 50, 1)]
run.main(["--budget=100", "--work={tmp_path / "work"}", "--parts={tmp_path / "parts"}", "--out={tmp_path / "out"}"])
"""
    environment = {**os.environ, "PYTHONPATH": str(pathlib.Path(__file__).parents[1])}
    return subprocess.Popen([sys.executable, "-c", program], env=environment, stderr=subprocess.DEVNULL, stdout=-3)


def awaited(tmp_path, is_right):
    """What came home of the stage that hangs, once it is so."""
    home, end = tmp_path / "out" / "hangs.json", time.monotonic() + 120
    while not home.is_file() or not is_right(result := json.loads(home.read_text()).get("results")):
        assert time.monotonic() < end
        time.sleep(0.1)
    return result


def test_the_next_command_goes_on_with_the_next_stage(accelerator, stages, tmp_path):
    count = "path = pathlib.Path(__file__).with_suffix('.count')\npath.open('a').write('x')\n"
    stages(first=f"{count}keep(1)", second=f"{count}keep(2, 'unfinished')", third=f"{count}keep(3)")
    assert accelerator("--budget=60", "--stages", "first", "second") == 0
    assert accelerator("--budget=60") == 0
    assert found(tmp_path) == {"first": ("done", 1), "second": ("unfinished", 2), "third": ("done", 3)}
    folder = run.ROOT / "benchmarks" / "accelerator"
    assert {path.stem: len(path.read_text()) for path in folder.glob("*.count")} == {
        "first": 1,
        "second": 2,
        "third": 1,
    }


def test_no_stage_is_begun_for_which_no_time_is_left(accelerator, stages, tmp_path, capsys):
    stages(only="keep(1)")
    assert accelerator("--budget=2") == 0
    assert found(tmp_path) == {}
    assert "only: not begun, as 0 s are left and it needs 1" in capsys.readouterr().out


def test_a_stage_waits_for_its_data(accelerator, stages, monkeypatch, tmp_path, capsys):
    stages(only="keep(1)")
    monkeypatch.setattr(run, "STAGES", [run.Stage("only", 4, 1, ("cifar10",))])
    assert accelerator("--budget=60") == 0
    assert found(tmp_path) == {}
    assert "only: waits for cifar10" in capsys.readouterr().out
    (tmp_path / "work" / "tfds" / "cifar10" / "3.0.2").mkdir(parents=True)
    (tmp_path / "work" / "tfds" / "cifar10" / "3.0.2" / "dataset_info.json").write_text("{}")
    assert accelerator("--budget=60") == 0
    assert found(tmp_path) == {"only": ("done", 1)}


def test_what_a_killed_command_had_found_is_taken_home_and_its_stage_is_not_begun_again(stages, tmp_path, accelerator):
    stages(hangs="keep(1)\ntime.sleep(10)", works="keep(2)")
    process = command_in_a_process(tmp_path)
    awaited(tmp_path, lambda result: result == 1)
    process.send_signal(signal.SIGKILL)
    process.wait()
    assert accelerator("--budget=60") == 0
    assert found(tmp_path)["works"] == ("done", 2)
    assert found(tmp_path)["hangs"] == ("begun", 1)


def test_an_opponent_that_fails_leaves_the_others_in_the_race(monkeypatch, capsys):
    def fails(allows_tf32):
        raise RuntimeError("no kernel for this device")

    ours = extraction.Network("ours", lambda images: (np.zeros((len(images), 2)), None))
    monkeypatch.setattr(metrics, "by_pytorch", lambda images: fails)
    assert metrics.race({"ours": ours}, 1).keys() == {"ours", "matrix products"}
    assert "PyTorch is left out: RuntimeError: no kernel for this device" in capsys.readouterr().out


@pytest.mark.slow
def test_a_contender_that_dies_in_the_race_has_a_row_that_says_so(monkeypatch):
    monkeypatch.syspath_prepend(str(run.ROOT / "benchmarks"))
    train_step = importlib.import_module("train_step")
    contender = train_step._Contender("mlp64_wgan_gp", "ours", argparse.Namespace(small=True, gpu=True))
    contender.start()
    assert contender.first(math.inf).keys() == {"first", "second"}
    assert contender.run(1, math.inf).keys() == {"seconds"}
    contender._process.kill()
    contender._process.join()
    assert contender.run(1, math.inf) == {"error": "its process has ended"}


# ----------------------------------------------------------------------------------------- what travels there and back


def packed(tmp_path, **contents):
    """The parts of files of these sizes, in this order, cut at 50,000 bytes."""
    root = tmp_path / "root"
    for name, size in contents.items():
        (root / "originals").mkdir(parents=True, exist_ok=True)
        (root / "originals" / name).write_bytes(os.urandom(size))
    return root / "originals", list(prepare.parted(prepare.pack(root), tmp_path / "sent", 50_000))


def arrives(piece, tmp_path):
    (tmp_path / "parts" / piece.parent.name).mkdir(parents=True)
    (tmp_path / "parts" / piece.parent.name / piece.name).write_bytes(piece.read_bytes())


def unpacked(tmp_path):
    run.unpack(tmp_path / "parts", tmp_path / "work")
    return {path.name: path.read_bytes() for path in (tmp_path / "work" / "originals").glob("*")}


def test_parts_are_unpacked_as_they_come_and_no_file_before_it_is_whole(tmp_path):
    sent, pieces = packed(tmp_path, a=20_000, b=60_000, c=100)
    assert all(piece.stat().st_size <= 50_000 for piece in pieces)
    assert len(pieces) == 2
    there = {path.name: path.read_bytes() for path in sent.iterdir()}
    arrives(pieces[0], tmp_path)
    assert unpacked(tmp_path) == {"a": there["a"]}
    (tmp_path / "parts" / "1" / pieces[0].name).unlink()  # a transfer may take away what came before
    arrives(pieces[1], tmp_path)
    assert unpacked(tmp_path) == there


def test_a_part_without_the_one_before_it_waits(tmp_path):
    _, pieces = packed(tmp_path, a=20_000, b=60_000, c=100)
    arrives(pieces[1], tmp_path)
    assert unpacked(tmp_path) == {}
    arrives(pieces[0], tmp_path)
    assert unpacked(tmp_path).keys() == {"a", "b", "c"}


def test_a_damaged_part_is_left_out_and_named(tmp_path, capsys):
    _, pieces = packed(tmp_path, a=100)
    content = bytearray(pieces[0].read_bytes())
    content[600] ^= 1
    pieces[0].write_bytes(content)
    arrives(pieces[0], tmp_path)
    assert unpacked(tmp_path) == {}
    assert f"{pieces[0].name} is damaged" in capsys.readouterr().out


def test_results_are_taken_home_once_figures_first_and_within_the_limits(tmp_path, monkeypatch):
    work, out = tmp_path / "work", tmp_path / "out"
    (work / "results").mkdir(parents=True)
    monkeypatch.setattr(run, "FILES", 3)
    monkeypatch.setattr(run, "FILE_BYTES", 1000)
    for name, size in {"a.json": 10, "b.json": 10, "a.png": 10, "checkpoint-01.part": 10, "large.png": 2000}.items():
        (work / "results" / name).write_bytes(bytes(size))
    taken = []
    for _ in range(3):
        options = run._options([f"--work={work}", f"--out={out}"])
        run.deliver(options)
        taken.append(sorted(path.name for path in out.iterdir()))
        for path in out.iterdir():
            path.unlink()
    assert taken == [["a.json", "a.png", "b.json"], ["checkpoint-01.part"], []]


@pytest.mark.parametrize("missing", [0, 1, 2])
def test_a_checkpoint_of_which_a_part_is_missing_is_refused(tmp_path, missing):
    (tmp_path / "whole").write_bytes(os.urandom(1000))
    for i, (name, content) in enumerate(pieces.cut(tmp_path / "whole", 400)):
        (tmp_path / f"checkpoint-{name}.part").write_bytes(content[i == missing :])
    with pytest.raises(prepare.UserError, match="or one is damaged"):
        prepare.restore(tmp_path, tmp_path / "recipe")
    next(tmp_path.glob(f"checkpoint-0{missing + 1}-*")).unlink()
    with pytest.raises(prepare.UserError, match="lacks some of checkpoint-01-of"):
        prepare.restore(tmp_path, tmp_path / "recipe")


# -------------------------------------------------------------------------------------------------------- the report


def test_tables_replace_those_in_their_places_alone():
    text = "before\n<!-- accelerator: speed -->\nold\n<!-- end -->\n<!-- accelerator: recipe -->\nkept\n<!-- end -->\n"
    assert report.filled(text, {"speed": "| new \\1 |"}) == text.replace("old", "| new \\1 |")


def test_every_stage_has_a_table_and_every_table_a_place():
    assert [stage.name for stage in run.STAGES] == list(report.TABLES)
    text = "".join((run.ROOT / file).read_text() for file in report.FILES)
    for name in report.TABLES:
        assert text.count(f"<!-- accelerator: {name} -->") == 1, name


@pytest.mark.parametrize("record", [{"is_rehearsal": True}, {"results": {"platform": "cpu", "machine": ""}}])
def test_nothing_of_a_cpu_is_written_into_the_documentation(tmp_path, monkeypatch, capsys, record):
    """Not even what a rehearsal left that was killed."""
    record = {"stage": "checks", "status": "begun", "results": {}} | record
    (tmp_path / "checks.json").write_text(json.dumps(record))
    monkeypatch.setattr(report, "ROOT", tmp_path)
    assert report.main([str(tmp_path), "--write"]) == 2
    assert "is of a CPU: not written" in capsys.readouterr().err


def test_figures_of_an_accelerator_are_written_where_they_belong(tmp_path, monkeypatch):
    results = {"machine": "a GPU", "platform": "cuda", "tests": [], "best": {"bfloat16_tflops": 771.25}}
    (tmp_path / "checks.json").write_text(json.dumps({"stage": "checks", "status": "done", "results": results}))
    (tmp_path / "README.md").write_text("<!-- accelerator: checks -->\nold\n<!-- end -->\n")
    monkeypatch.setattr(report, "ROOT", tmp_path)
    monkeypatch.setattr(report, "FILES", ("README.md",))
    assert report.main([str(tmp_path), "--write"]) == 0
    text = (tmp_path / "README.md").read_text()
    assert "a GPU." in text
    assert "| bfloat16_tflops | 771.2 |" in text
    assert "old" not in text


def test_a_folder_without_results_is_said_to_be_one(tmp_path, capsys):
    assert report.main([str(tmp_path)]) == 2
    assert "holds no results" in capsys.readouterr().err
