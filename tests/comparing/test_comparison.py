"""Comparisons of made-up runs, whose numbers are worked out by hand."""

import itertools
import json
import math
import statistics
import subprocess
import sys
from pathlib import Path

import pytest

from gan_jax.comparing import comparison
from gan_jax.comparing.comparison import compare
from gan_jax.config import FIELDS
from gan_jax.errors import UserError
from gan_jax.evaluation import measures

HINGE, WASSERSTEIN = {0: 1.0, 1: 1.2, 2: 1.1}, {0: 0.7, 1: 1.1, 2: 0.6}


def compared(*folders, **options):
    found = compare([Path(folder) for folder in folders or ["."]], **options)
    json.dumps(found, allow_nan=False)
    return found


def note(comparison, part):
    """The one note that has this part."""
    (sentence,) = [sentence for sentence in comparison["notes"] if part in sentence]
    return sentence


def has_note(comparison, part):
    return any(part in sentence for sentence in comparison["notes"])


@pytest.fixture
def two_losses(make_run):
    """Two losses over three seeds."""
    for loss, values in {"hinge": HINGE, "wasserstein": WASSERSTEIN}.items():
        for seed, value in values.items():
            make_run(f"{loss}_{seed}", value, loss=loss, seed=seed)


def test_two_losses_over_three_seeds(two_losses):
    found = compared()
    assert (found["title"], found["measure"], found["larger_is_better"]) == (".", "frechet_distance", False)
    assert found["fields"] == ["seed", "loss"]
    assert [run["name"] for run in found["runs"]] == [f"{x}_{i}" for x in ("hinge", "wasserstein") for i in range(3)]
    assert [run["setting"] for run in found["runs"]] == [run["system"] for run in found["runs"]] == [0, 0, 0, 1, 1, 1]
    run = found["runs"][1]
    assert run["fields"] == {"seed": 1, "loss": "hinge"}
    assert (run["best"], run["best_step"], run["last"], run["last_step"]) == (1.2, 100, 1.2, 100)
    assert (run["status"], run["step"], run["steps"], run["samples"]) == ("finished", 100, 100, [])
    for setting, values in zip(found["settings"], (HINGE, WASSERSTEIN), strict=True):
        mean, sd = statistics.mean(values.values()), statistics.stdev(values.values())
        assert setting["last"] == {"mean": pytest.approx(mean), "sd": pytest.approx(sd), "n": 3}
        assert (setting["n"], setting["failed"], setting["unfinished"]) == (3, 0, 0)
    assert [setting["name"] for setting in found["settings"]] == ["loss=hinge", "loss=wasserstein"]
    assert [system["best_setting"] for system in found["systems"]] == [0, 1]
    assert found["systems"][1]["expected_best"] == [[1, pytest.approx(0.8)]]


def test_pairs_of_two_losses_have_one_seed(two_losses):
    """0.3, 0.1 and 0.5 by seeds; of three pairs, the interval is their range."""
    (pair,) = compared()["comparisons"]
    assert pair == {
        "kind": "field",
        "a": "loss=hinge",
        "b": "loss=wasserstein",
        "pairs": 3,
        "dropped": 0,
        "difference": pytest.approx(0.3),
        "low": pytest.approx(0.1),
        "high": pytest.approx(0.5),
    }


def test_a_diverged_run_is_in_no_mean_and_is_counted(two_losses, make_run):
    make_run("wasserstein_3", 0.01, loss="wasserstein", seed=3, step=60, frozen=("diverged", "critic_loss is nan"))
    make_run("hinge_3", 0.5, loss="hinge", seed=3)
    found = compared()
    setting, system = found["settings"][1], found["systems"][1]
    assert (setting["n"], setting["failed"], setting["last"]["n"]) == (4, 1, 3)
    assert setting["last"]["mean"] == setting["best"]["mean"] == pytest.approx(0.8)
    assert (system["runs"], system["failed"], system["best_of_k"]["mean"]) == (4, 1, pytest.approx(0.8))
    (run,) = [run for run in found["runs"] if run["name"] == "wasserstein_3"]
    assert (run["status"], run["words"], run["last"]) == ("diverged", "critic_loss is nan", 0.01)
    assert (found["comparisons"][0]["pairs"], found["comparisons"][0]["dropped"]) == (3, 1)
    assert note(found, "diverged") == (
        "1 of 8 runs diverged (wasserstein_3): they count as failed, and are in no mean."
    )
    assert has_note(found, "Of the best setting of loss=wasserstein, 1 of 4 runs failed")
    assert has_note(found, "Pairs of which a run did not finish are dropped")


def test_pruned_and_unfinished_runs_are_in_no_mean(two_losses, make_run):
    make_run("pruned", 0.01, seed=7, step=60, frozen=("pruned", "worse than half"))
    make_run("unfinished", 0.02, seed=8, step=60)
    found = compared()
    setting = found["settings"][0]
    assert (setting["n"], setting["failed"], setting["unfinished"], setting["last"]["n"]) == (5, 0, 1, 3)
    assert note(found, "pruned").startswith("1 pruned (pruned): ")
    assert has_note(found, "1 unfinished and 0 not begun (unfinished)")


def test_members_that_have_not_begun_are_unfinished(make_sweep):
    members = [{"loss": loss, "seed": seed} for loss in ("hinge", "minimax") for seed in (0, 1)]
    make_sweep("s", list(zip(members, [1.0, 2.0, 3.0, None], strict=True)))
    found = compared("s")
    assert [run["status"] for run in found["runs"]] == ["finished"] * 3 + ["not begun"]
    assert found["runs"][3]["fields"] == {"seed": 1, "loss": "minimax"}
    assert (found["runs"][3]["step"], found["runs"][3]["steps"], found["runs"][3]["last"]) == (0, 100, None)
    assert [(s["n"], s["unfinished"], s["last"]["n"]) for s in found["settings"]] == [(2, 0, 2), (2, 1, 1)]
    assert has_note(found, "0 unfinished and 1 not begun (003)")


# ------------------------------------------------------------------------------------------ searches, systems


def test_a_random_search(make_run):
    """Two systems of 4 and 2 settings, over two seeds; one setting fails altogether."""
    hinge = {1e-3: (4.0, 6.0), 2e-3: (1.0, 3.0), 3e-3: None, 4e-3: (7.0, 9.0)}
    rates = [("hinge", hinge), ("minimax", {1e-3: (3.0, 3.5), 2e-3: (9.0, 9.0)})]
    for seed, loss, rate, values in [(s, loss, r, own[r]) for s in (0, 1) for loss, own in rates for r in own]:
        fields = {"loss": loss, "optimizer__critic_lr": rate, "seed": seed}
        if values:
            make_run(f"{loss}_{rate}_{seed}", values[seed], **fields)
        else:
            make_run(f"{loss}_{rate}_{seed}", step=50, frozen=("diverged", "nan"), **fields)
    found = compared()
    hinge, minimax = found["systems"]
    assert (hinge["name"], hinge["k"], hinge["runs"], hinge["failed"]) == ("loss=hinge", 4, 8, 2)
    assert found["settings"][hinge["best_setting"]]["name"] == "loss=hinge, optimizer.critic_lr=0.002"
    assert hinge["best_of_k"] == {"mean": 2.0, "sd": pytest.approx(math.sqrt(2)), "n": 2}
    means = [5.0, 2.0, None, 8.0]
    for k, value in hinge["expected_best"]:
        draws = [[v for v in draw if v is not None] for draw in itertools.combinations(means, k)]
        assert value == pytest.approx(statistics.mean(min(draw) for draw in draws if draw))
    assert [k for k, _ in hinge["expected_best"]] == [1, 2, 3, 4]
    assert minimax["expected_best"] == [[1, pytest.approx((3.25 + 9) / 2)], [2, 3.25]]
    assert note(found, "best of 4 settings").startswith(
        "loss=hinge: the best of 4 settings, loss=minimax: the best of 2 settings. The best was chosen by the numbers"
    )
    assert has_note(found, "searched with different budgets")
    assert has_note(found, "Settings that failed in all their runs: 1.")


def test_settings_that_are_not_finished_are_no_draws_of_a_search(make_run):
    for rate, options in {1: {"last": 1.0}, 2: {"last": 3.0}, 3: {"step": 50}}.items():
        make_run(f"{rate}", optimizer__critic_lr=rate / 1000, **options)
    make_run("pruned", step=50, frozen=("pruned", "worse"), optimizer__critic_lr=0.004)
    (system,) = compared()["systems"]
    assert (system["k"], system["unfinished"]) == (4, 1)
    # Of two draws: 1 and 3, 1 and nothing, 3 and nothing.
    assert system["expected_best"] == [[1, 2.0], [2, pytest.approx(5 / 3)], [3, 1.0]]


def test_pairs_share_all_other_fields(make_run):
    """Rates move both losses alike: the pairs differ by 0.1 to 0.4 where the rates differ by tens."""
    values = {(1e-3, 0): (10.0, 10.1), (1e-3, 1): (11.0, 11.2), (2e-3, 0): (30.0, 30.3), (2e-3, 1): (31.0, 31.4)}
    for (rate, seed), pair in values.items():
        for loss, value in zip(("hinge", "minimax"), pair, strict=True):
            make_run(f"{loss}_{rate}_{seed}", value, loss=loss, optimizer__critic_lr=rate, seed=seed)
    make_run("zzz", 0.5, loss="minimax", optimizer__critic_lr=3e-3, seed=0)  # has no partner
    (pair,) = [pair for pair in compared()["comparisons"] if pair["kind"] == "field"]
    assert (pair["a"], pair["b"], pair["pairs"], pair["dropped"]) == ("loss=hinge", "loss=minimax", 4, 0)
    assert pair["difference"] == pytest.approx(-0.25)
    assert -0.4 - 1e-6 < pair["low"] < -0.3
    assert -0.2 < pair["high"] < -0.1 + 1e-6


def test_seeds_of_one_setting_are_no_independent_pairs(make_run):
    """All by themselves, 16 pairs would hardly ever be drawn from the half that differs by less than 0.1."""
    for rate, seed in itertools.product((1, 2), range(8)):
        differing = rate - 1 + seed / 100
        for loss, value in (("hinge", 5.0 + differing), ("minimax", 5.0)):
            make_run(f"{loss}_{rate}_{seed}", value, loss=loss, optimizer__critic_lr=rate / 1000, seed=seed)
    (pair,) = [pair for pair in compared()["comparisons"] if pair["kind"] == "field"]
    assert (pair["pairs"], pair["difference"]) == (16, pytest.approx(0.535))
    assert 0 <= pair["low"] < 0.07
    assert 1 < pair["high"] <= 1.07


def test_settings_are_compared_with_the_best_by_seeds(make_run):
    values = {1e-3: {0: 2.0, 1: 2.5, 2: 2.2}, 2e-3: {0: 1.0, 1: 1.1, 2: 1.3, 3: 1.2}, 3e-3: {1: 5.0, 2: 6.0, 3: 7.0}}
    for rate, own in values.items():
        for seed, value in own.items():
            make_run(f"{rate}_{seed}", value, optimizer__critic_lr=rate, seed=seed)
    found = compared()
    first, second = found["comparisons"]
    best = "optimizer.critic_lr=0.002"
    assert (first["kind"], first["a"], first["b"], first["pairs"]) == ("seed", "optimizer.critic_lr=0.001", best, 3)
    assert [first[key] for key in ("difference", "low", "high")] == pytest.approx([3.3 / 3, 0.9, 1.4])
    assert (second["a"], second["b"], second["pairs"], second["dropped"]) == ("optimizer.critic_lr=0.003", best, 3, 0)
    assert [second[key] for key in ("difference", "low", "high")] == pytest.approx([14.4 / 3, 3.9, 5.8])
    assert has_note(found, "was chosen by these numbers: it is favoured")
    assert has_note(found, "2 intervals are of 95 % each by itself")
    assert found["systems"][0]["name"] == "all runs"


def test_systems_that_differ_in_several_fields_are_compared_as_such(make_run):
    systems = {("hinge", "none"): 1.0, ("wasserstein", "two_sided"): 2.0, ("minimax", "r1"): 4.0}
    for (loss, penalty), value in systems.items():
        for seed in (0, 1):
            make_run(f"{loss}_{seed}", value + seed * value / 10, loss=loss, penalty__name=penalty, seed=seed)
    found = compared()
    assert [(pair["kind"], pair["a"], pair["b"]) for pair in found["comparisons"]] == [
        ("field", "loss=hinge, penalty.name=none", "loss=minimax, penalty.name=r1"),
        ("field", "loss=hinge, penalty.name=none", "loss=wasserstein, penalty.name=two_sided"),
        ("field", "loss=minimax, penalty.name=r1", "loss=wasserstein, penalty.name=two_sided"),
    ]
    assert [pair["difference"] for pair in found["comparisons"]] == pytest.approx([-3.15, -1.05, 2.1])


def test_true_and_false_tell_systems_apart(make_run):
    for norm, seed in itertools.product((False, True), (0, 1)):
        make_run(f"{norm}_{seed}", 1.0 + norm + seed, network__spectral_norm=norm, seed=seed)
    found = compared()
    assert [system["name"] for system in found["systems"]] == [
        "network.spectral_norm=False",
        "network.spectral_norm=True",
    ]
    assert found["comparisons"][0]["difference"] == -1.0


def test_many_comparisons_are_bounded_and_the_rest_is_said(make_run):
    for rate, seed in itertools.product(range(1, 24), (0, 1)):
        make_run(f"{rate}_{seed}", rate + seed / 10, optimizer__critic_lr=rate / 1000, seed=seed)
    found = compared()
    assert [pair["a"] for pair in found["comparisons"]] == [f"optimizer.critic_lr={i / 1000:g}" for i in range(2, 22)]
    assert has_note(found, "Of 22 settings, the 20 next best are compared with the best by seeds.")


def test_many_losses_are_compared_with_the_best_first(make_run):
    for number in range(9):
        make_run(f"{number}", 10.0 - number, loss=f"loss{number}")
    found = compared()
    assert len(found["comparisons"]) == 30
    assert all("loss=loss8" in (pair["a"], pair["b"]) for pair in found["comparisons"][:8])
    assert has_note(found, "Of 36 pairs of field values or systems, 30 are compared")
    assert has_note(found, "No setting has two finished runs")
    assert all(pair["pairs"] == 1 and pair["low"] is None for pair in found["comparisons"])


# --------------------------------------------------------------------------------- which number, which protocol


def test_larger_is_better(make_run):
    for loss, values in {"hinge": {50: 0.9, 100: 0.3}, "minimax": {50: 0.2, 100: 0.4}}.items():
        make_run(loss, values=values, loss=loss, measure="recall")
    found = compared()
    assert (found["measure"], found["larger_is_better"]) == ("recall", True)
    assert [(run["best"], run["best_step"], run["last"]) for run in found["runs"]] == [(0.9, 50, 0.3), (0.4, 100, 0.4)]
    make_run("rate", values={100: 0.5}, loss="minimax", measure="recall", optimizer__critic_lr=1.0)
    system = compared()["systems"][1]
    assert (system["best_of_k"]["mean"], system["expected_best"]) == (0.5, [[1, pytest.approx(0.45)], [2, 0.5]])


def test_larger_is_better_among_settings_too(make_run):
    values = {1: (0.2, 0.3), 2: (0.8, 0.9), 3: (0.5, 0.6)}
    for rate, seed in itertools.product(values, (0, 1)):
        make_run(f"{rate}_{seed}", values[rate][seed], measure="recall", seed=seed, optimizer__critic_lr=rate / 1000)
    found = compared()
    names = [(pair["a"][-5:], pair["b"][-5:]) for pair in found["comparisons"]]
    assert names == [("0.003", "0.002"), ("0.001", "0.002")]
    assert [pair["difference"] for pair in found["comparisons"]] == pytest.approx([-0.3, -0.6])


def test_the_number_that_decides_is_compared_unless_another_is_asked_for(make_run, records):
    folder = make_run("a", 1.0, measure="recall")
    records(folder / "evaluation.jsonl", lambda lines: [line | {"kid": 0.1, "sliced_wasserstein": 2} for line in lines])
    make_run("b", 1.0, measure="recall", seed=1)
    assert compared("a", "b")["measure"] == "kid"
    assert compared("b")["measure"] == "recall"
    assert compared("a", measure="sliced_wasserstein")["runs"][0]["last"] == 2
    assert has_note(compared("a", "b"), "1 finished without a kid by this protocol (b)")
    with pytest.raises(UserError, match=r"holds a number 'fid': give one of recall, kid, sliced_wasserstein"):
        compared("a", measure="fid")


def test_evaluations_by_other_protocols_are_left_out(make_run, records):
    folder = make_run("a", 1.0)
    make_run("b", 2.0, loss="minimax", protocol={"samples": 1000, "neighbours": 5})
    make_run("c", 0.1, loss="minimax", seed=1, protocol={"samples": 100})
    extra = {"step": 100, "frechet_distance": 0.2, "protocol": {"samples": 50, "reals": 1000}}
    records(folder / "evaluation.jsonl", lambda lines: [*lines, extra])
    found = compared()
    assert [run["last"] for run in found["runs"]] == [1.0, 2.0, None]
    assert [protocol["samples"] for protocol in found["protocols"]] == [1000]
    assert found["protocols"][0]["neighbours"] == 5  # says all that the others say too
    assert note(found, "other protocols") == (
        "3 evaluations by other protocols are left out (samples 50 instead of 1000, samples 100 instead of 1000)."
    )
    assert has_note(found, "1 finished without a frechet_distance by this protocol (c)")


def test_truncated_samples_compare_with_those_of_the_same_truncation_alone():
    plain, half = {"samples": 50}, {"samples": 50, "truncation": 0.5}
    assert measures.is_alike(plain, plain | {"neighbours": 5})
    assert measures.is_alike(half, half)
    assert not measures.is_alike(plain, half)
    assert not measures.is_alike(half, half | {"truncation": 0.7})
    cropped = half | {"images": "centre square"}
    assert measures.is_alike(half, cropped)  # an older record, which does not say what was done to images
    assert measures.is_alike(cropped, half)
    assert measures.differences(cropped, half | {"images": "as they are"}) == (
        "images centre square instead of as they are"
    )


def test_of_two_protocols_as_frequent_the_first_is_used(make_run):
    make_run("a", 1.0, protocol={"split": "test"})
    make_run("b", 2.0)
    assert [run["last"] for run in compared()["runs"]] == [1.0, None]


def test_the_protocol_of_most_evaluations_is_used(make_run, records):
    """Three against two, and whatever measures something else has no say."""
    folder = make_run("a", values={100: 9.0}, protocol={"samples": 50, "neighbours": 5})
    extra = {"protocol": {"samples": 50, "reals": 1000}}
    more = [{"step": step, "recall": 0.5} | extra for step in range(5)]
    records(folder / "evaluation.jsonl", lambda lines: [*more, *lines, {"step": 100, "frechet_distance": 8.0} | extra])
    make_run("b", values={20: 4.0, 60: 3.0, 100: 2.0}, seed=1)
    assert [run["last"] for run in compared(measure="frechet_distance")["runs"]] == [None, 2.0]


def test_points_drawn_from_the_seed_of_each_run_are_one_protocol(make_run):
    for seed in range(3):
        make_run(f"{seed}", 1.0 + seed, seed=seed, protocol={"split": f"drawn from seed {seed}"})
    found = compared()
    assert found["settings"][0]["last"]["n"] == 3
    assert [protocol["split"] for protocol in found["protocols"]] == ["drawn from seed of each run"]


def test_how_many_samples_of_a_class_were_drawn_makes_no_other_protocol(make_run):
    for seed in range(3):
        make_run(f"{seed}", 1.0 + seed, seed=seed, protocol={"class_samples": f"{90 + seed} or more on either side"})
    found = compared()
    assert found["settings"][0]["last"]["n"] == 3
    assert not has_note(found, "protocols")


def test_generators_may_differ_by_the_runs_own_average(make_run):
    make_run("a", 1.0)
    make_run("b", 2.0, ema_decay=0.0, protocol={"generator": "last"})
    found = compared()
    assert [run["last"] for run in found["runs"]] == [1.0, 2.0]
    assert [protocol["generator"] for protocol in found["protocols"]] == ["average (ema)", "last"]
    assert has_note(found, "The evaluations are by 2 protocols")


def test_best_and_last_and_a_step_evaluated_twice(make_run, records):
    folder = make_run("a", values={40: 3.0, 60: 1.5, 80: 1.5, 100: 2.0})
    again = {"frechet_distance": 2.5}
    records(folder / "evaluation.jsonl", lambda lines: [*lines, lines[0] | again, lines[0] | again | {"step": 20}])
    (run,) = compared()["runs"]
    assert (run["best"], run["best_step"], run["last"], run["last_step"]) == (1.5, 60, 2.0, 100)
    assert run["curves"]["frechet_distance"] == [[20, 2.5], [40, 2.5], [60, 1.5], [80, 1.5], [100, 2.0]]


def test_a_last_number_that_is_not_finite_is_in_no_mean(make_run):
    make_run("a", values={50: 1.0, 100: None})
    make_run("b", 2.0, seed=1)
    found = compared()
    assert [run["last"] for run in found["runs"]] == [None, 2.0]
    assert found["runs"][0]["best"] == 1.0
    assert found["settings"][0]["last"]["n"] == found["settings"][0]["best"]["n"] == 1
    assert has_note(found, "1 finished without a frechet_distance")


def test_a_run_that_was_not_evaluated_at_its_end_is_named(make_run):
    make_run("early", values={50: 1.0})
    make_run("b", 2.0, seed=1)
    found = compared()
    assert has_note(found, "1 finished, but were last evaluated before their last step (early).")
    assert has_note(found, "evaluated 1 to 2 times")


def test_no_evaluations(make_run):
    for seed in (0, 1):
        make_run(f"{seed}", seed=seed)
    found = compared()
    assert (found["measure"], found["larger_is_better"], found["protocols"], found["comparisons"]) == (
        None,
        False,
        [],
        [],
    )
    assert found["settings"][0]["last"] == {"mean": None, "sd": None, "n": 0}
    assert (found["systems"][0]["best_setting"], found["systems"][0]["expected_best"]) == (None, [])
    assert list(found["runs"][0]["curves"]) == ["critic_loss"]
    assert has_note(found, "No run was evaluated")
    with pytest.raises(UserError, match="none was evaluated"):
        compared(measure="fid")


# ------------------------------------------------------------------------------------- which runs, which fields


def test_a_single_run(make_run):
    found = compared(make_run("a", 1.0))
    assert (found["fields"], found["comparisons"], found["notes"]) == ([], [], [])
    assert [found[name][0]["name"] for name in ("runs", "settings", "systems")] == ["a", "all runs", "all runs"]
    assert found["settings"][0]["last"] == {"mean": 1.0, "sd": None, "n": 1}


def test_where_a_run_is_and_what_it_reports_makes_no_difference(make_run):
    make_run("a", 1.0)
    make_run("b", 2.0, seed=1, log_every=7, eval_every=9, eval_samples=5, data__dir="/there", wandb__mode="online")
    found = compared()
    assert found["fields"] == ["seed"]
    assert len(found["settings"]) == 1


def test_folders_are_walked_and_their_runs_counted_once(make_run):
    make_run("x/a", 1.0)
    make_run("x/y/b", 2.0, seed=1)
    found = compared("x", "x/a", "x/y")
    assert [run["name"] for run in found["runs"]] == ["a", "y/b"]
    assert found["title"] == "x, x/a, x/y"


def test_copies_of_a_run_are_named(make_run):
    for name in ("a", "b", "c"):
        make_run(name, 1.0)
    make_run("d", 2.0, loss="minimax")
    found = compared()
    assert has_note(found, "2 runs have the configuration of another, its seed included (b, c)")
    assert (found["comparisons"][0]["pairs"], found["comparisons"][0]["dropped"]) == (1, 0)


def test_different_data_sets_are_refused(make_run):
    make_run("a", 1.0)
    make_run("b", 1.0, data__name="ring")
    with pytest.raises(
        UserError, match=r"runs of 2 data sets do not compare \(digits: .*/a; ring: .*/b\): give folders"
    ):
        compared()


def test_different_image_folders_are_different_data_sets(make_run):
    make_run("a", 1.0, data__name="folder", data__dir="cats")
    make_run("b", 1.0, data__name="folder", data__dir="dogs", seed=1)
    with pytest.raises(UserError, match=r"folder cats: .*; folder dogs: "):
        compared()


def test_a_frozen_member_stays_in_its_setting_when_steps_are_raised(make_run):
    make_run("a", 1.0, steps=200, values={200: 1.0})
    make_run("b", seed=1, steps=100, step=50, frozen=("diverged", "nan"))
    found = compared()
    assert found["fields"] == ["seed"]
    assert (found["settings"][0]["n"], found["settings"][0]["failed"]) == (2, 1)
    assert [run["steps"] for run in found["runs"]] == [200, 100]


def test_runs_of_different_lengths_are_different_settings(make_run):
    make_run("a", 1.0)
    make_run("b", values={200: 1.0}, steps=200)
    found = compared()
    assert [setting["name"] for setting in found["settings"]] == ["steps=100", "steps=200"]
    assert has_note(found, "Runs are of different lengths (100, 200 steps)")
    assert found["comparisons"] == []  # one seed says nothing on two settings


def test_what_is_not_known_of_a_run_is_no_difference(make_run):
    folder = make_run("old", 1.0, batch_size=32)
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps({name: config[name] for name in config if name != "ema_decay"}))
    make_run("new", 2.0, seed=1, batch_size=32)
    found = compared()
    assert found["fields"] == ["seed"]
    assert found["settings"][0]["n"] == 2


def test_rates_that_look_alike_have_different_names(make_run):
    make_run("a", 1.0, optimizer__critic_lr=1.00001e-3)
    make_run("b", 1.0, optimizer__critic_lr=1.00002e-3)
    assert len({setting["name"] for setting in compared()["settings"]}) == 2


# ------------------------------------------------------------------------------------------ curves and samples


def test_curves_are_thinned_with_their_ends(make_run, records):
    folder = make_run("a", 1.0)
    lines = [{"step": step, "critic_loss": step / 2, "penalty": None} for step in range(1, 1002)]
    records(folder / "metrics.jsonl", lambda _: lines)
    (run,) = compared()["runs"]
    curve = run["curves"]["critic_loss"]
    assert (len(curve), curve[0], curve[-1]) == (200, [1, 0.5], [1001, 500.5])
    gaps = [b[0] - a[0] for a, b in itertools.pairwise(curve)]
    assert set(gaps) == {5, 6}
    assert run["curves"]["penalty"][0] == [1, None]
    assert set(run["curves"]) == {"frechet_distance", "critic_loss", "penalty"}


def test_samples_are_taken_when_asked_for(make_run, make_pictures):
    folder = make_run("a", 1.0)
    make_pictures(folder, range(10, 510, 10))
    (folder / "samples" / "step_0000300.png").write_text("damaged")
    (folder / "samples" / "samples.png").write_text("not one of them")
    (run,) = compared(with_samples=True)["runs"]
    steps = [sample["step"] for sample in run["samples"]]
    assert (len(steps), steps[0], steps[-1]) == (12, 10, 500)
    assert all(sample["image"].startswith("data:image/") for sample in run["samples"])
    assert compared()["runs"][0]["samples"] == []


def test_pictures_that_are_damaged_are_left_out(make_run, make_pictures):
    folder = make_run("a", 1.0)
    make_pictures(folder, [10, 20])
    (folder / "samples" / "step_0000020.png").write_text("damaged")
    (run,) = compared(with_samples=True)["runs"]
    assert [sample["step"] for sample in run["samples"]] == [10]


def test_jax_is_not_needed(make_run):
    make_run("a", 1.0)
    text = "import sys, pathlib; from gan_jax.comparing import comparison; comparison.compare([pathlib.Path('a')]);"
    subprocess.run([sys.executable, "-c", text + "assert not {'jax', 'PIL'} & {*sys.modules}"], check=True)


def test_free_fields_are_not_compared_and_nor_is_where_the_data_lie():
    not_compared = {name for name in FIELDS if not comparison._is_compared(name)}
    assert not_compared == {name for name, field in FIELDS.items() if field.kind == "free"} | {"data.memory_mb"}
