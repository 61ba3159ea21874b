"""Runs by settings, which are repeated over seeds, and settings by systems, each of which is a search among its own."""

import statistics
from collections.abc import Callable, Iterable, Sequence
from typing import Any

from gan_jax.comparing.intervals import expected_best
from gan_jax.comparing.runs import FROZEN

Row = dict[str, Any]  # a run, a setting or a system, as it is in a comparison


def by_settings(rows: Sequence[Row], names: Sequence[str]) -> list[Row]:
    """Runs that differ in nothing but the seed; each of them learns the number of its setting. names: other fields."""
    groups, settings = _grouped(rows, names), []
    words = named([own[0]["fields"] for own in groups], names)
    for index, (name, own) in enumerate(zip(words, groups, strict=True)):
        for row in own:
            row["setting"] = index
        fields = {field: own[0]["fields"][field] for field in names}
        means = {end: _statistic([row[end] for row in own if is_counted(row)]) for end in ("last", "best")}
        settings.append({"name": name, "fields": fields, "n": len(own), **_lost(own), **means})
    return settings


def by_systems(rows: Sequence[Row], settings: Sequence[Row], names: Sequence[str], best: Callable) -> list[Row]:
    """Settings that differ in numbers only; runs and settings learn the number of their system.

    names: the fields that are no numbers. best: `min` or `max`, whichever the measure asks for.
    """
    groups, systems = _grouped(rows, names), []
    words = named([own[0]["fields"] for own in groups], names)
    for index, (name, own) in enumerate(zip(words, groups, strict=True)):
        for row in own:
            row["system"] = settings[row["setting"]]["system"] = index
        indices = list(dict.fromkeys(row["setting"] for row in own))
        chosen = best_setting(settings, indices, best)
        counted = {"k": len(indices), "runs": len(own), **_lost(own)}
        best_of_k = _statistic([]) if chosen is None else settings[chosen]["last"]
        expected = _expected_best(own, settings, indices, best)
        found = {"best_setting": chosen, "best_of_k": best_of_k, "expected_best": expected}
        systems.append({"name": name, **counted, **found})
    return systems


def is_counted(row: Row) -> bool:
    """Whether a run is in the means: it finished, and its last evaluation gave a number."""
    return row["status"] == "finished" and row["last"] is not None


def best_setting(settings: Sequence[Row], indices: Iterable[int], best: Callable) -> int | None:
    """Which of them has the best mean at the last step; None where none has one."""
    means = {index: settings[index]["last"]["mean"] for index in indices if settings[index]["last"]["n"]}
    return best(means, key=means.get, default=None)


def named(rows: Sequence[Row], names: Sequence[str]) -> list[str]:
    """A name for each of these fields, by some of them; numbers have 4 digits where the names are then still unique."""
    short, long = ([_words(fields, names, digits) for fields in rows] for digits in (4, 17))
    return short if len({*short}) == len({*long}) else long


def _grouped(rows: Iterable[Row], names: Sequence[str]) -> list[list[Row]]:
    """Those with the same values of these fields, in the order of the first of each group."""
    groups: dict[Any, list[Row]] = {}
    for row in rows:
        groups.setdefault(tuple(row["fields"][name] for name in names), []).append(row)
    return list(groups.values())


def _words(fields, names, digits):
    values = ((name, fields[name]) for name in names)
    words = ((name, f"{value:.{digits}g}" if isinstance(value, float) else value) for name, value in values)
    return ", ".join(f"{name}={value}" for name, value in words) or "all runs"


def _lost(own: Sequence[Row]) -> dict[str, int]:
    statuses = [row["status"] for row in own]
    return {
        "failed": statuses.count("diverged"),
        "unfinished": statuses.count("unfinished") + statuses.count("not begun"),
    }


def _statistic(values: Sequence[float]) -> Row:
    return {
        "mean": statistics.fmean(values) if values else None,
        "sd": statistics.stdev(values) if len(values) > 1 else None,
        "n": len(values),
    }


def _expected_best(own, settings, indices, best) -> list[list]:
    """[j, expected best mean of j settings]. Those that failed in all their runs are draws that give nothing.

    So are those that were pruned: that was for being worse than others. Those not finished are left out.
    """
    ended = {index: all(row["status"] in FROZEN for row in own if row["setting"] == index) for index in indices}
    draws = [settings[index]["last"]["mean"] for index in indices if ended[index] or settings[index]["last"]["n"]]
    if not any(draw is not None for draw in draws):
        return []
    return [[k, expected_best(draws, k, best is max)] for k in range(1, len(draws) + 1)]
