"""Paired comparisons: runs that are equal in every field but one, or but those that tell two systems apart.

What two runs share (seed, learning rate ...) moves both alike and is gone from their difference, which is therefore
surer than that of two means.
"""

import itertools
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any, NamedTuple

from gan_jax.comparing.intervals import paired_difference
from gan_jax.comparing.settings import Row, best_setting, is_counted

MOST_OF_FIELDS, MOST_OF_SEEDS = 30, 20  # comparisons of either kind

Shared = tuple[tuple, Any]  # what the two runs of a pair have in common: (values of fields, seed)


class Candidate(NamedTuple):
    """A comparison of a with b, as they are named, by pairs of runs."""

    kind: str
    a: str
    b: str
    pairs: dict[Shared, tuple[Row, Row]]


def compare(
    rows: Sequence[Row], settings: Sequence[Row], systems: Sequence[Row], texts: Sequence[str], best: Callable
) -> tuple[list[Row], list[str]]:
    """The comparisons, and sentences on those that are left out.

    texts: the fields that are no numbers: every two values of each are compared, then systems that differ in several
    of them. Every setting is compared with the best one too, over seeds. best: `min` or `max`.
    """
    chosen = best_setting(settings, range(len(settings)), best)
    first = None if chosen is None else settings[chosen]["system"]
    of_fields = [found for found in (*_of_fields(rows, texts), *_of_systems(rows, systems, texts)) if found.pairs]
    of_fields.sort(key=lambda found: not any(row["system"] == first for pair in found.pairs.values() for row in pair))
    known = [_runs(found) for found in of_fields]
    of_seeds = [] if chosen is None else list(_of_seeds(rows, settings, chosen, best))
    of_seeds = [found for found in of_seeds if len(found.pairs) > 1 and _runs(found) not in known]
    kept = of_fields[:MOST_OF_FIELDS] + of_seeds[:MOST_OF_SEEDS]
    return [_compared(found) for found in kept], _left_out(len(of_fields), len(of_seeds))


def _left_out(of_fields, of_seeds):
    sentences = []
    if of_fields > MOST_OF_FIELDS:
        sentences.append(
            f"Of {of_fields} pairs of field values or systems, {MOST_OF_FIELDS} are compared, the best first."
        )
    if of_seeds > MOST_OF_SEEDS:
        sentences.append(f"Of {of_seeds} settings, the {MOST_OF_SEEDS} next best are compared with the best by seeds.")
    return sentences


# ------------------------------------------------------------------------------------------ who is compared


def _of_fields(rows: Sequence[Row], texts: Sequence[str]) -> Iterator[Candidate]:
    """Every two values of each field that is no number; the runs of a pair are equal in all others."""
    for name in texts:
        values = dict.fromkeys(row["fields"][name] for row in rows if row["fields"][name] is not None)
        runs = {value: _by_shared([row for row in rows if row["fields"][name] == value], [name]) for value in values}
        for a, b in itertools.combinations(values, 2):
            yield Candidate("field", f"{name}={a}", f"{name}={b}", _matched(runs[a], runs[b]))


def _of_systems(rows: Sequence[Row], systems: Sequence[Row], texts: Sequence[str]) -> Iterator[Candidate]:
    """Every two systems that differ in several such fields; the runs of a pair are equal in all numbers."""
    own = [[row for row in rows if row["system"] == index] for index in range(len(systems))]
    runs = [_by_shared(some, texts) for some in own]
    for a, b in itertools.combinations(range(len(systems)), 2):
        if sum(own[a][0]["fields"][name] != own[b][0]["fields"][name] for name in texts) > 1:
            yield Candidate("field", systems[a]["name"], systems[b]["name"], _matched(runs[a], runs[b]))


def _of_seeds(rows: Sequence[Row], settings: Sequence[Row], chosen: int, best: Callable) -> Iterator[Candidate]:
    """Every setting with the best one, in the order of their means; the runs of a pair have one seed."""
    runs = [_by_shared([row for row in rows if row["setting"] == i], None) for i in range(len(settings))]
    means = {i: setting["last"]["mean"] for i, setting in enumerate(settings) if setting["last"]["n"]}
    ranked = sorted(means, key=lambda i: means[i], reverse=best is max)
    for i in [*ranked, *(i for i in range(len(settings)) if i not in means)]:
        if i != chosen:
            yield Candidate("seed", settings[i]["name"], settings[chosen]["name"], _matched(runs[i], runs[chosen]))


def _by_shared(rows: Iterable[Row], without: Sequence[str] | None) -> dict[Shared, Row]:
    """Runs by what their partners share with them: all fields but some, or the seed alone; of two alike, the first."""
    found: dict[Shared, Row] = {}
    for row in rows:
        others = () if without is None else (v for n, v in row["fields"].items() if n not in (*without, "seed"))
        found.setdefault((tuple(others), row["fields"].get("seed")), row)
    return found


def _matched(a, b):
    return {shared: (a[shared], b[shared]) for shared in a if shared in b}


def _runs(candidate):
    return {frozenset(row["name"] for row in pair) for pair in candidate.pairs.values()}


# --------------------------------------------------------------------------------------------- by how much


def _compared(candidate: Candidate) -> Row:
    """Pairs in which a run is not counted are dropped. Seeds of one setting are one group of the bootstrap."""
    used = {shared: pair for shared, pair in candidate.pairs.items() if all(map(is_counted, pair))}
    a, b = ([pair[i]["last"] for pair in used.values()] for i in (0, 1))
    groups = list(dict.fromkeys(fields for fields, _ in used))
    difference, low, high = a[0] - b[0] if used else None, None, None
    if len(used) > 1:
        difference, low, high = paired_difference(a, b, groups=[groups.index(fields) for fields, _ in used])
    return {
        "kind": candidate.kind,
        "a": candidate.a,
        "b": candidate.b,
        "pairs": len(used),
        "dropped": len(candidate.pairs) - len(used),
        "difference": difference,
        "low": low,
        "high": high,
    }
