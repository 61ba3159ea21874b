"""The evaluation of a checkpoint, which lies beside it, and which of several is the best.

STEP/evaluation.json is written once the checkpoint is: {"record": a line of evaluation.jsonl, "checksum"}. It goes
where the checkpoint goes. Those of older runs hold theirs as orbax wrote it, as a part of the checkpoint.
"""

import functools
import json
import math
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from gan_jax.errors import one_line
from gan_jax.evaluation import measures
from gan_jax.files import atomic
from gan_jax.reports import progress, scalars
from gan_jax.runs import integrity

FILE = "evaluation.json"
FAILED = "failed"  # in place of numbers: why there are none


def write(folder: Path, record: dict[str, Any]) -> None:
    """Puts an evaluation, or the word of one that failed, beside the checkpoint in this folder."""
    content = integrity.sealed({"record": scalars.plain(record)})
    atomic.write(folder / FILE, json.dumps(content).encode() + b"\n")


def read(folder: Path) -> dict[str, Any] | None:
    """What lies beside a checkpoint: a record, perhaps with FAILED in it.

    None where there is none, or one that is damaged, which is said on standard error, once.
    """
    try:
        record = _read(folder) if (folder / FILE).exists() else _read_of_orbax(folder)
        if not isinstance(record, dict):
            raise ValueError("it is no object")
        return record
    except (FileNotFoundError, NotADirectoryError):
        return None
    except (integrity.DamagedError, OSError, ValueError, TypeError, KeyError, RecursionError) as error:
        _warn(folder, one_line(error)[:100])
        return None


def _read(folder):
    found = atomic.read_json(folder / FILE)
    integrity.check_seal(found)
    return found["record"]


def _read_of_orbax(folder):
    record = json.loads(atomic.read(folder / "metrics" / "metrics", atomic.MOST_JSON))  # with NaN, as it once was
    integrity.check_evaluation(integrity.read_about(folder), record)
    return record


@functools.cache
def _warn(folder, why):
    progress.warn(f"the evaluation of {folder} is damaged ({why}): it counts as not evaluated")


def remove_leftovers(directory: Path) -> None:
    """Removes what a killed process left of an evaluation that it was writing."""
    for folder in directory.glob("[0-9]*"):
        atomic.remove_leftovers(folder)


def best(directory: Path, steps: Iterable[int]) -> int | None:
    """The step with the smallest score, of those that were evaluated as the last one was; None without a finite one.

    Numbers of another protocol do not compare: other samples, other features, another set.
    """
    records = {step: record for step in sorted(steps) if _name(record := read(directory / str(step)) or {})}
    if not records:
        return None
    last = records[max(records)]
    alike = {step: record for step, record in records.items() if measures.is_alike(_protocol(record), _protocol(last))}
    found = {step: _number(record, _name(last)) for step, record in alike.items()}
    finite = [step for step, number in found.items() if math.isfinite(number)]
    return min(finite, key=lambda step: found[step], default=None)


def score(record: dict[str, Any]) -> float:
    """The number of an evaluation by which checkpoints are compared; smaller is better, inf where it has none."""
    return _number(record, _name(record))


def _name(record):
    return next((name for name in measures.SCORES if name in record), "")


def _number(record, name):
    number = record.get(name)
    return number if isinstance(number, int | float) and abs(number) < math.inf else math.inf


def _protocol(record):
    protocol = record.get("protocol")
    return protocol if isinstance(protocol, dict) else {}
