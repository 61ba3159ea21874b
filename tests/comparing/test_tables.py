"""What is printed, and what goes into spreadsheets."""

import csv
import io
import itertools
import re
from pathlib import Path

import pytest

from gan_jax.comparing import tables
from gan_jax.comparing.comparison import compare


def printed():
    """The blocks of lines, the text, and the comparison."""
    found = compare([Path(".")])
    text = tables.table(found)
    return [block.splitlines() for block in text.split("\n\n")], text, found


def cells(line):
    return re.split(" {2,}", line)


@pytest.fixture
def search(make_run):
    """Two losses, three rates, two seeds; one run diverges."""
    for index, (loss, rate, seed) in enumerate(itertools.product(("hinge", "minimax"), (1e-4, 2e-4, 3e-4), (0, 1))):
        fields = {"loss": loss, "optimizer__critic_lr": rate, "seed": seed}
        broken = {"step": 50, "frozen": ("diverged", "critic_loss is nan at step 80")} if index == 3 else {}
        make_run(f"{index:03}", 12.0 - index, **fields, **broken)


def test_best_and_last_of_systems_and_settings(search):
    (head, systems, expected, settings, pairs, seeds, failed, notes), _, _ = printed()
    assert head[0] == ".: 12 runs of 6 settings, 2 systems; 11 finished, 1 diverged"
    assert head[1] == "compared by frechet_distance, smaller is better; mean +- standard deviation (runs)"
    assert head[2].startswith("protocol: generator average (ema); data digits")
    assert cells(systems[1]) == ["loss=minimax", "3", "6", "0", "0", "1.5 +- 0.71 (2)", "critic_lr=0.0003"]
    assert cells(systems[2])[:6] == ["loss=hinge", "3", "6", "1", "0", "7.5 +- 0.71 (2)"]
    assert cells(expected[0]) == ["expected best of", "1", "2", "3"]
    assert cells(expected[2]) == ["loss=minimax", "3.5", "2.167", "1.5"]  # (1.5 + 1.5 + 3.5) / 3
    assert cells(settings[0]) == ["setting", "runs", "failed", "unfinished", "last", "best"]
    assert cells(settings[1])[0] == "loss=minimax, critic_lr=0.0003"
    assert cells(settings[5]) == ["loss=hinge, critic_lr=0.0002", "2", "1", "0", "10 (1)", "10 (1)"]
    assert cells(pairs[1]) == ["loss=hinge", "loss=minimax", "5", "1", "6", "[6, 6]"]
    assert seeds[0] == "by seeds, with b: loss=minimax, critic_lr=0.0003"
    assert cells(seeds[1]) == ["a", "pairs", "dropped", "a - b, last", "95 % interval"]
    assert cells(seeds[2]) == ["loss=minimax, critic_lr=0.0002", "2", "0", "2", "[2, 2]"]
    assert cells(seeds[-2]) == ["loss=hinge, critic_lr=0.0002", "1", "1", "8", "-"]
    assert failed == ["003 diverged: critic_loss is nan at step 80"]
    assert notes[0] == "- 1 of 12 runs diverged (003): they count as failed, and are in no mean."


def test_columns_are_aligned(search):
    blocks, _, _ = printed()
    for block in (blocks[1], blocks[3], blocks[4]):
        ends = [match.end() for match in re.finditer(r"failed|unfinished|pairs|dropped", block[0])]
        for line in block[1:]:
            assert all(line[end - 1].isdigit() and line[end] == " " for end in ends)


def test_lines_fit_however_many_fields_differ(make_run):
    """What does not tell settings apart is left out of their names, and the names then say so."""
    for index, loss in enumerate(("non_saturating", "wasserstein", "least_squares", "f_gan:squared_hellinger")):
        fields = {"penalty__name": f"penalty_{index % 2}", "network__spectral_norm": index > 1, "batch_size": 2**index}
        make_run(f"run_{index}", 1.0 + index, loss=loss, optimizer__critic_lr=index / 3e4, **fields)
    (_, systems, settings, *_), text, found = printed()
    assert max(map(len, text.splitlines())) <= 120
    assert cells(systems[1])[0] == "loss=non_saturating, ..."
    assert [cells(line)[-1] for line in settings] == ["run", "run_0", "run_1", "run_2", "run_3"]
    assert len({cells(line)[0] for line in settings}) == 5
    assert len(found["settings"][0]["name"]) > 80


def test_only_the_best_of_many_settings_are_shown(make_run):
    for index in range(40):
        make_run(f"{index}", 1.0 + index, optimizer__critic_lr=(index + 1) / 1000)
    (_, _, expected, settings, *_), _, _ = printed()
    assert (len(settings), settings[-1]) == (22, "... 20 more settings")
    least = [f"{41 / (k + 1):.4g}" for k in (1, 2, 4, 8, 16, 32, 40)]  # of k of the numbers from 1 to 40
    assert [cells(line) for line in expected] == [
        ["expected best of", "1", "2", "4", "8", "16", "32", "40"],
        ["all runs", *least],
    ]


def test_systems_without_as_many_settings_have_no_expected_best_of_them(make_run):
    for loss, rate in (("hinge", 1e-3), ("hinge", 2e-3), ("minimax", 1e-3)):
        make_run(f"{loss}_{rate}", 1.0 + 500 * rate, loss=loss, optimizer__critic_lr=rate)
    make_run("failed", loss="wasserstein", frozen=("diverged", "nan"))
    (_, systems, expected, *_), _, _ = printed()
    assert [cells(line) for line in expected[1:]] == [
        ["loss=wasserstein", "-", "-"],
        ["loss=hinge", "1.75", "1.5"],
        ["loss=minimax", "1.5", "-"],
    ]
    assert cells(systems[-1]) == ["loss=wasserstein", "1", "1", "1", "0", "-", "-"]


def test_larger_is_better_ranks_the_other_way(make_run):
    for loss, value in {"hinge": 0.2, "minimax": 0.7}.items():
        make_run(loss, value, loss=loss, measure="recall")
    (_, systems, *_), text, _ = printed()
    assert [cells(line)[0] for line in systems[1:]] == ["loss=minimax", "loss=hinge"]
    assert "compared by recall, larger is better" in text


def test_without_evaluations_there_are_counts_and_notes(make_run):
    make_run("a")
    make_run("b", seed=1, step=50)
    (head, notes), _, _ = printed()
    assert head == [".: 2 runs of 1 setting, 1 system; 1 finished, 1 unfinished"]
    assert notes[-1] == "- No run was evaluated: there is no number to compare. --mode=evaluate gives one."


def test_a_line_of_csv_for_each_run(search):
    found = compare([Path(".")])
    header, *lines = list(csv.reader(io.StringIO(tables.csv(found))))
    assert header == [
        *("run", "setting", "seed", "loss", "optimizer.critic_lr", "status", "words", "step", "steps", "measure"),
        *("best", "best_step", "last", "last_step"),
    ]
    assert len(lines) == 12
    row = dict(zip(header, lines[4], strict=True))
    assert row == {
        "run": "004",
        "setting": "loss=hinge, optimizer.critic_lr=0.0003",
        "seed": "0",
        "loss": "hinge",
        "optimizer.critic_lr": "0.0003",
        "status": "finished",
        "words": "",
        "step": "100",
        "steps": "100",
        "measure": "frechet_distance",
        "best": "8.0",
        "best_step": "100",
        "last": "8.0",
        "last_step": "100",
    }
    assert dict(zip(header, lines[3], strict=True))["words"] == "critic_loss is nan at step 80"


def test_csv_without_evaluations_has_empty_cells(make_run):
    lines = tables.csv(compare([make_run("a")])).splitlines()
    assert lines[1] == "a,all runs,finished,,100,100,,,,,"
