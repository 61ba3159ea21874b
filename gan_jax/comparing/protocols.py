"""Which number runs are compared by, and which of their evaluations say it by one protocol.

Numbers of different protocols do not compare: other features, other counts of samples or reals, another split.
"""

import json
from collections import Counter
from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

from gan_jax.comparing.runs import Run
from gan_jax.errors import UserError
from gan_jax.evaluation import measures

Record = dict[str, Any]
DRAWN = "drawn from seed "  # how the split of a mixture begins, of which each run draws points from its own seed


class Used(NamedTuple):
    """records: of each run, the evaluations by one protocol. protocols: theirs. others: what others say, how often."""

    records: list[list[Record]]
    protocols: list[Record]
    others: list[tuple[str, int]]


def choose_measure(runs: Iterable[Run], measure: str | None) -> str | None:
    """The number that is compared: the one asked for, or the first of measures.SCORES, or the first that there is.

    None where no run was evaluated. Raises UserError where none holds the number that was asked for.
    """
    found = dict.fromkeys(name for run in runs for record in run.evaluations for name in measures.numbers(record))
    if measure is None:
        return next((name for name in measures.SCORES if name in found), next(iter(found), None))
    if measure not in found:
        choices = f"give one of {', '.join(found)}" if found else "none was evaluated; see --mode=evaluate"
        raise UserError(f"no evaluation of these runs holds a number {measure!r}: {choices}")
    return measure


def choose_evaluations(runs: Sequence[Run], measure: str | None) -> Used:
    """The evaluations by the protocol that most have which hold the measure; of several such, the first one's."""
    if measure is None:
        return Used([[] for _ in runs], [], [])
    said = [_said(record) for run in runs for record in run.evaluations if measure in record]
    counts = Counter(map(_text, said))
    protocols = {_text(protocol): protocol for protocol in said}
    votes = {a: sum(n for b, n in counts.items() if measures.is_alike(protocols[a], protocols[b])) for a in counts}
    chosen = protocols[max(votes, key=lambda text: votes[text])]
    used = [[record for record in run.evaluations if measures.is_alike(chosen, _said(record))] for run in runs]
    differences = {text: measures.differences(protocols[text], chosen) for text in counts}
    alike = [protocols[text] for text in counts if not differences[text]]
    return Used(used, _largest(alike), [(words, counts[text]) for text, words in differences.items() if words])


def _text(protocol):
    return json.dumps(protocol, sort_keys=True)


def _said(record):
    protocol = record.get("protocol")
    protocol = dict(protocol) if isinstance(protocol, dict) else {}
    if str(protocol.get("split")).startswith(DRAWN):
        protocol["split"] = DRAWN + "of each run"
    protocol.pop(measures.CLASS_SAMPLES, None)
    return protocol


def _largest(protocols):
    """Without those that say nothing which another does not say too."""
    return [p for p in protocols if not any(p.items() < other.items() for other in protocols)]
