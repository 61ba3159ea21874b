"""What a reader of a comparison must know besides its numbers, in sentences: what is left out, and what is chance."""

from collections.abc import Sequence
from typing import Any

from gan_jax.comparing.protocols import Used
from gan_jax.comparing.settings import Row

FEW_PAIRS = 8  # an interval of fewer covers less than it says


def of_runs(rows: Sequence[Row], measure: str | None, used: Used) -> list[str]:
    """On runs that are in no mean, and on evaluations that do not compare."""
    sentences = [*_lost(rows), *_alike(rows)]
    if measure is None:
        return [*sentences, "No run was evaluated: there is no number to compare. --mode=evaluate gives one."]
    return [*sentences, *_evaluated(rows, measure), *_by_protocols(used)]


def of_means(settings: Sequence[Row], systems: Sequence[Row], comparisons: Sequence[Row]) -> list[str]:
    """On what was chosen by the numbers that are shown, and on how much the intervals hold."""
    if not any(setting["last"]["n"] for setting in settings):
        return []
    return [*_repeats(settings), *_searched(systems, settings), *_compared(comparisons)]


def few(words: Sequence[str], most: int = 3) -> str:
    """The first of them, and how many there are more."""
    return ", ".join(words[:most]) + f", {len(words) - most} more" * (len(words) > most)


# --------------------------------------------------------------------------------------------------- runs


def _lost(rows):
    def having(*statuses):
        return [row["name"] for row in rows if row["status"] in statuses]

    if failed := having("diverged"):
        yield f"{len(failed)} of {len(rows)} runs diverged ({few(failed)}): they count as failed, and are in no mean."
    if pruned := having("pruned"):
        yield (
            f"{len(pruned)} pruned ({few(pruned)}): ended early for being worse than others, they are in no mean; in "
            "an expected best, a setting of which no run is left is a draw that gives nothing."
        )
    if unfinished := having("unfinished", "not begun"):
        begun = len(having("unfinished"))
        yield f"{begun} unfinished and {len(unfinished) - begun} not begun ({few(unfinished)}): they are in no mean."
    if len(steps := sorted({row["fields"]["steps"] for row in rows if row["fields"].get("steps")})) > 1:
        yield f"Runs are of different lengths ({few(list(map(str, steps)))} steps): they are different settings."


def _alike(rows):
    first: dict[Any, str] = {}
    twice = []
    for row in rows:
        if first.setdefault(tuple(row["fields"].values()), row["name"]) != row["name"]:
            twice.append(row["name"])
    if twice:
        yield (
            f"{len(twice)} runs have the configuration of another, its seed included ({few(twice)}): they count as "
            "repeats, and make deviations too small; pairs have the first of them alone."
        )


def _evaluated(rows, measure):
    finished = [row for row in rows if row["status"] == "finished"]
    if lacking := [row["name"] for row in finished if row["last"] is None]:
        yield f"{len(lacking)} finished without a {measure} by this protocol ({few(lacking)}): they are in no mean."
    there = [row for row in finished if row["last"] is not None]
    if early := [row["name"] for row in there if row["last_step"] < row["step"]]:
        yield f"{len(early)} finished, but were last evaluated before their last step ({few(early)})."
    counts = {len(row["curves"][measure]) for row in there}
    if len(counts) > 1:
        yield f"Runs were evaluated {min(counts)} to {max(counts)} times: the best of more is better by chance."


def _by_protocols(used):
    if used.others:
        words = list(dict.fromkeys(words for words, _ in used.others))
        yield f"{sum(times for _, times in used.others)} evaluations by other protocols are left out ({few(words, 2)})."
    if len(used.protocols) > 1:
        yield (
            f"The evaluations are by {len(used.protocols)} protocols, which agree in what they share; but generators "
            "may be averages or last parameters, by each run's ema_decay or ema_half_life."
        )


# -------------------------------------------------------------------------------------------------- means


def _repeats(settings):
    if len(settings) > 1 and all(setting["last"]["n"] < 2 for setting in settings):
        yield "No setting has two finished runs: its difference from others can't be told from that between seeds."


def _searched(systems, settings):
    searched = [system for system in systems if system["k"] > 1 and system["best_setting"] is not None]
    if searched:
        budgets = few([f"{system['name']}: the best of {system['k']} settings" for system in searched], 8)
        yield (
            f"{budgets}. The best was chosen by the numbers that are shown for it, which are therefore better than "
            "those of fresh seeds would be."
        )
    if searched and (lost := sum(setting["failed"] == setting["n"] for setting in settings)):
        yield (
            f"Settings that failed in all their runs: {lost}. In an expected best they are draws that give nothing; "
            "searches that would draw such alone are left out."
        )
    if len({system["k"] for system in systems}) > 1:
        yield "Systems were searched with different budgets: compare their expected best of equally many settings."
    for system in systems:
        best = settings[system["best_setting"]] if system["best_setting"] is not None else None
        if best and best["failed"]:
            yield f"Of the best setting of {system['name']}, {best['failed']} of {best['n']} runs failed."


def _compared(comparisons):
    intervals = [row for row in comparisons if row["low"] is not None]
    if len(intervals) > 1:
        yield f"{len(intervals)} intervals are of 95 % each by itself: they are not corrected for their number."
    if any(row["pairs"] < FEW_PAIRS for row in intervals):
        yield (
            "Intervals of few pairs are too narrow: for 2 they hold the true difference in 50 % of cases, for 3 in "
            "75 %, for 4 in 87 %, for 5 in 92 %."
        )
    if any(row["kind"] == "seed" for row in comparisons):
        yield "The best setting, which others are compared with by seeds, was chosen by these numbers: it is favoured."
    if any(row["dropped"] for row in comparisons):
        yield "Pairs of which a run did not finish are dropped: what often fails is compared by the runs that did not."
