"""Finished runs beside one another: which setting and which system is the best, and how sure that is.

    comparison = compare([Path("runs/wgan_gp_ring_lr_seed")])

Runs that differ in nothing but the seed are one setting; settings that differ in numbers only are one system. A system
is known by its best setting, so the budget of its search counts: `expected_best`. Runs that failed are in no mean, and
are counted. `comparing.tables` and `reports.page` show a comparison.
"""

import os
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

from gan_jax.comparing import notes, pairs, protocols, runs
from gan_jax.comparing.protocols import Record
from gan_jax.comparing.runs import Run
from gan_jax.comparing.settings import Row, by_settings, by_systems
from gan_jax.data import about
from gan_jax.errors import UserError
from gan_jax.evaluation import measures

# What says where a run is, and what it reports. How it is evaluated (eval_*) is in the protocols of evaluations.
NOT_COMPARED = ("wandb.mode", "data.dir", "data.memory_mb", "log_every", "sample_every", "checkpoint_every")
METRICS = ("critic_loss", "generator_loss", "wasserstein_estimate", "divergence_estimate", "penalty", "real_logits",
           "fake_logits")  # fmt: skip
MOST_POINTS, MOST_SAMPLES = 200, 12  # of a curve, and pictures of a run


def compare(folders: Sequence[Path], measure: str | None = None, with_samples: bool = False) -> dict[str, Any]:
    """The comparison of all runs in these folders, at any depth, as plain dicts and lists.

    Args:
      folders: of runs, or with runs in them; a run that is in two of them counts once.
      measure: a number of evaluation.jsonl; by default the first of measures.SCORES that a run has.
      with_samples: whether thumbnails of samples are in it.

    Raises:
      UserError: no runs, runs of several data sets, no such number, or a damaged file.

    """
    found = runs.find(folders)
    _check_one_data_set(found)
    measure = protocols.choose_measure(found, measure)
    used = protocols.choose_evaluations(found, measure)
    best = max if measure in measures.LARGER_IS_BETTER else min
    fields = _fields(found)
    names = list(fields[0])
    texts = [name for name in names if any(isinstance(own[name], str | bool) for own in fields)]
    rows = [_row(*each, measure, best) for each in zip(found, fields, used.records, strict=True)]
    settings = by_settings(rows, [name for name in names if name != "seed"])
    systems = by_systems(rows, settings, texts, best)
    comparisons, left_out = pairs.compare(rows, settings, systems, texts, best) if measure else ([], [])
    for row, run in zip(rows, found, strict=True):
        row["samples"] = _samples(run.folder / "samples") if with_samples else []
    return {
        "title": ", ".join(map(str, folders)),
        "measure": measure,
        "larger_is_better": best is max,
        "protocols": used.protocols,
        "notes": notes.of_runs(rows, measure, used) + notes.of_means(settings, systems, comparisons) + left_out,
        "fields": names,
        "runs": rows,
        "settings": settings,
        "systems": systems,
        "comparisons": comparisons,
    }


def _check_one_data_set(found):
    """Numbers of different sets are on different scales: no mean, pair or order of them says anything."""
    sets: dict[str, list[str]] = {}
    places: dict[str, str] = {}  # by the digest of what lies there: the same set may lie in several
    for run in found:
        if name := run.config.get("data.name"):
            if name == "folder":
                name = f"{name} {os.path.normpath(str(run.config.get('data.dir')))}"
                known = about.remembered(run.folder)
                name = places.setdefault(known.digest, name) if known else name
            sets.setdefault(name, []).append(str(run.folder))
    if len(sets) > 1:
        words = "; ".join(f"{name}: {notes.few(own)}" for name, own in sets.items())
        raise UserError(f"runs of {len(sets)} data sets do not compare ({words}): give folders of one set alone")


def _fields(found: Sequence[Run]) -> list[Row]:
    """Of each run, the fields in which any two are known to differ, in the order of the configuration."""
    is_of_one_version = len({frozenset(run.config) for run in found if run.status != "not begun"}) <= 1
    configs = [run.config if is_of_one_version else _filled(run) for run in found]
    # Where the steps of a sweep are raised, members that were frozen keep those of before, which they never came to.
    steps = {run.config["steps"] for run in found if run.status in ("finished", "unfinished")}
    if len(steps) == 1:
        configs = [config | {"steps": next(iter(steps))} for config in configs]
    names = dict.fromkeys(name for config in configs for name in config if _is_compared(name))
    differing = [name for name in names if len({config[name] for config in configs if name in config}) > 1]
    return [{name: config.get(name) for name in differing} for config in configs]


def _filled(run: Run) -> Row:
    """Its fields, neutral where the version of the program that made it had none."""
    from gan_jax.config import as_now, neutral_fields  # needs JAX, which runs of one version do without

    data = str(run.config.get("data.name", "digits"))
    return run.config if run.status == "not begun" else neutral_fields(data) | as_now(run.config)


def _is_compared(name):
    return name not in NOT_COMPARED and not name.startswith("eval_")


def _row(run: Run, fields: Row, records: Sequence[Record], measure: str | None, best: Callable) -> Row:
    values = _points(records, measure) if measure else []
    known = [point for point in values if point[1] is not None]
    best_step, best_value = best(known, key=lambda point: point[1], default=(None, None))
    last_step, last_value = values[-1] if values else (None, None)
    return {
        "name": run.name,
        "fields": fields,
        "status": run.status,
        "words": run.words,
        "step": run.step,
        "steps": run.config.get("steps", 0),
        "best": best_value,
        "best_step": best_step,
        "last": last_value,
        "last_step": last_step,
        "curves": _curves(records, run.metrics),
    }


def _curves(records: Sequence[Record], metrics: Sequence[Record]) -> dict[str, list[list]]:
    names = dict.fromkeys(name for record in records for name in measures.numbers(record))
    curves = {name: _points(records, name) for name in names} | {name: _points(metrics, name) for name in METRICS}
    return {name: _thinned(curve, MOST_POINTS) for name, curve in curves.items() if curve}


def _points(records: Iterable[Record], name: str) -> list[list]:
    """[step, number, or None where it was not finite], by step; of two for one step, the later."""
    values = {record["step"]: record[name] for record in records if name in record}
    return [[step, values[step] if measures.is_number(values[step]) else None] for step in sorted(values)]


def _thinned(items: list, most: int) -> list:
    """At most so many, evenly chosen, the first and the last among them."""
    if len(items) <= most:
        return items
    return [items[i * (len(items) - 1) // (most - 1)] for i in range(most)]


def _samples(folder: Path) -> list[Row]:
    from gan_jax.reports import page  # needs Pillow, which numbers do without

    steps = {int(path.stem[5:]): path for path in folder.glob("step_*.png") if path.stem[5:].isdecimal()}
    images = [(step, page.thumbnail(steps[step])) for step in _thinned(sorted(steps), MOST_SAMPLES)]
    return [{"step": step, "image": image} for step, image in images if image]
