"""Which runs are found, what they are called, and how they are said to have ended."""

import json
from pathlib import Path

import pytest

from gan_jax.comparing.runs import find
from gan_jax.errors import UserError


def names(*folders):
    return [run.name for run in find([Path(folder) for folder in folders])]


def test_runs_are_found_at_any_depth_and_named_by_what_differs(make_run):
    for name in ("a/0999", "a/1000", "a/101", "b/c/d", "b/e"):
        make_run(name, 1.0)
    assert names(".") == ["a/101", "a/0999", "a/1000", "b/c/d", "b/e"]
    assert names("a") == ["101", "0999", "1000"]
    assert names("b/c") == ["d"]
    assert names("b/e") == ["e"]
    assert names("b/e", "b/c") == ["e", "c/d"]
    assert names("a/101", "b/e") == ["a/101", "b/e"]


def test_a_run_that_is_given_twice_counts_once(make_run, runs):
    make_run("a/x", 1.0)
    make_run("a/y", 1.0)
    (runs / "link").symlink_to("a")
    (runs / "a" / "circle").symlink_to(runs)
    assert names("a", "a/x", runs / "a", "link") == ["a/x", "a/y"]


def test_what_a_run_holds_is_no_run(make_run):
    make_run("a", 1.0)
    make_run("a/samples/b", 1.0)
    make_run(".hidden/c", 1.0)
    assert names(".") == ["a"]


@pytest.mark.parametrize(
    ("options", "status", "words"),
    [
        ({}, "finished", ""),
        ({"step": 120}, "finished", ""),
        ({"step": 60}, "unfinished", ""),
        (
            {"step": 60, "frozen": ("diverged", "critic_loss is nan at step 80")},
            "diverged",
            "critic_loss is nan at step 80",
        ),
        ({"frozen": ("pruned", "worse than half")}, "pruned", "worse than half"),
    ],
)
def test_how_a_run_ended(make_run, options, status, words):
    (run,) = find([make_run("a", 1.0, **options)])
    assert (run.status, run.words, run.step) == (status, words, options.get("step", 100))


def test_only_whole_checkpoints_count(make_run):
    folder = make_run("a", 1.0, step=60)
    (folder / "checkpoints" / "100.orbax-checkpoint-tmp").mkdir()
    (run,) = find([folder])
    assert (run.status, run.step) == ("unfinished", 60)


def test_members_that_have_not_begun(make_sweep, runs):
    """What the sweep changes is known of each, and what it left alone is known of those that have begun."""
    members = [({"loss": "hinge", "seed": 0}, 1.0), ({"loss": "minimax", "seed": 0}, None), ({"seed": 3}, None)]
    make_sweep("s", members, batch_size=32)
    (runs / "s" / "001").mkdir()  # a folder alone is no beginning
    found = find([Path("s")])
    assert [(run.name, run.status) for run in found] == [
        ("000", "finished"),
        ("001", "not begun"),
        ("002", "not begun"),
    ]
    assert [run.config["batch_size"] for run in found] == [32, 32, 32]
    assert [run.config.get("loss") for run in found] == ["hinge", "minimax", None]
    assert [run.config["seed"] for run in found] == [0, 0, 3]


def test_a_sweep_that_has_not_begun_at_all(make_sweep):
    make_sweep("s", [({"seed": 0}, None), ({"seed": 1}, None)])
    assert [(run.status, run.config) for run in find([Path("s")])] == [
        ("not begun", {"seed": 0}),
        ("not begun", {"seed": 1}),
    ]


@pytest.mark.parametrize(
    ("file", "content", "message"),
    [
        ("a/config.json", "{", "a/config.json is not a configuration .*: move its folder away, or give others"),
        ("a/config.json", "[1]", "a/config.json is not a configuration"),
        ("a/config.json", '{"steps": "many"}', "a/config.json is not a configuration"),
        ("a/config.json", '{"steps": 3, "loss": {"name": "hinge"}}', "a/config.json is not a configuration"),
        ("a/frozen.json", "", r"a/frozen.json does not say how its run ended \(diverged or pruned\)"),
        ("a/frozen.json", '{"state": "tired"}', "a/frozen.json does not say how"),
        ("sweep.json", "{}", "sweep.json is not a sweep that this program wrote"),
        ("sweep.json", '{"members": [3]}', "sweep.json is not a sweep"),
        (
            "a/metrics.jsonl",
            '{"step": 1}\n{"step"\n',
            "a/metrics.jsonl, line 2 is not a JSON object .*: remove that line",
        ),
        ("a/evaluation.jsonl", "[]\n", "a/evaluation.jsonl, line 1 is not a JSON object"),
    ],
)
def test_damaged_files_are_named_in_one_line(make_run, runs, file, content, message):
    make_run("a", 1.0)
    (runs / file).write_text(content)
    with pytest.raises(UserError, match=message) as error:
        find([runs])
    assert "\n" not in str(error.value)


def test_a_folder_in_place_of_a_file_is_named(make_run, runs):
    folder = make_run("a", 1.0)
    (folder / "metrics.jsonl").unlink()
    (folder / "metrics.jsonl").mkdir()
    with pytest.raises(UserError, match=r"a/metrics.jsonl can't be read: Is a directory"):
        find([runs])


def test_folders_without_runs(make_run, runs):
    make_run("a", 1.0)
    (runs / "b").mkdir()
    (runs / "c").write_text("")
    for folder, message in {"b": "holds no run", "c": "is a file", "d": "is not there"}.items():
        with pytest.raises(UserError, match=message):
            find([runs / "a", runs / folder])
    with pytest.raises(UserError, match="nothing to compare"):
        find([])


def test_a_last_line_that_is_being_written_is_left_out(make_run):
    folder = make_run("a", 1.0)
    with open(folder / "metrics.jsonl", "a") as file:
        file.write('{"step": 150, "cri')
    (run,) = find([folder])
    assert [record["step"] for record in run.metrics] == [50, 100]
    stored = json.loads((folder / "config.json").read_text())
    assert run.config == stored | {"began": "by itself", "changed": "nothing"}
