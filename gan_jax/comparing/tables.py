"""A comparison of runs as text: tables for the terminal, and one line a run for spreadsheets."""

import io
import textwrap
from collections import Counter
from collections.abc import Sequence
from csv import writer

from gan_jax.comparing.settings import Row, named

WIDTH = 120  # characters of a line, at most, where names can be shortened so far
MOST_SETTINGS, MOST_FAILED = 20, 8  # lines
LONG, SHORTEST = 40, 12  # characters: a longer name is said by fewer fields; what is left of one that is cut
DIFFERENCE = ["pairs", "dropped", "a - b, last", "95 % interval"]
BUDGETS = (1, 2, 4, 8, 16, 32, 64, 128, 256, 512)  # whose expected best is shown, and that of all settings


def table(comparison: Row) -> str:
    """Systems, settings, paired comparisons, what failed, and the notes; lines of at most 120 characters, mostly."""
    makers = (_systems, _expected, _settings, _of_fields, _of_seeds) if comparison["measure"] else ()
    tables = [maker(comparison) for maker in makers]
    blocks = [_head(comparison), *tables, _failed(comparison["runs"]), _notes(comparison["notes"])]
    return "\n\n".join("\n".join(block) for block in blocks if block)


def csv(comparison: Row) -> str:
    """A line a run: its name, its setting, the fields in which runs differ, how it ended, and what was measured."""
    ends, found = ["status", "words", "step", "steps"], ["best", "best_step", "last", "last_step"]
    file = io.StringIO()
    lines = writer(file, lineterminator="\n")
    lines.writerow(["run", "setting", *comparison["fields"], *ends, "measure", *found])
    for run in comparison["runs"]:
        setting = comparison["settings"][run["setting"]]["name"]
        fields = [run["fields"][name] for name in comparison["fields"]]
        values = [[run[key] for key in keys] for keys in (ends, found)]
        lines.writerow([run["name"], setting, *fields, *values[0], comparison["measure"], *values[1]])
    return file.getvalue()


# ----------------------------------------------------------------------------------------------- the tables


def _head(comparison):
    runs, settings, systems = (comparison[name] for name in ("runs", "settings", "systems"))
    statuses = ", ".join(f"{count} {status}" for status, count in Counter(run["status"] for run in runs).items())
    counts = ", ".join(_counted(*pair) for pair in ((settings, "setting"), (systems, "system")))
    lines = [f"{comparison['title']}: {_counted(runs, 'run')} of {counts}; {statuses}"]
    if comparison["measure"]:
        direction = "larger" if comparison["larger_is_better"] else "smaller"
        lines.append(f"compared by {comparison['measure']}, {direction} is better; mean +- standard deviation (runs)")
    for protocol in comparison["protocols"]:
        lines.append("protocol: " + "; ".join(f"{key} {value}" for key, value in protocol.items()))
    return [part for line in lines for part in textwrap.wrap(line, WIDTH, subsequent_indent="  ")]


def _counted(items, word):
    return f"{len(items)} {word}" + "s" * (len(items) != 1)


def _systems(comparison):
    names, numbers = _short_systems(comparison), _numbers(comparison)
    titles = ["system", "k", "runs", "failed", "unfinished", "best of k, last", "best setting"]
    rows = []
    for system in _ranked(comparison, comparison["systems"], lambda system: system["best_of_k"]["mean"]):
        best = "-" if system["best_setting"] is None else numbers[system["best_setting"]]
        counts = [str(system[name]) for name in ("k", "runs", "failed", "unfinished")]
        rows.append([names[system["name"]], *counts, _statistic(system["best_of_k"]), best])
    if not _is_search(comparison):
        titles, rows = titles[:-1], [row[:-1] for row in rows]
    return _aligned(titles, rows, {0, 6})


def _is_search(comparison):
    return any(system["k"] > 1 for system in comparison["systems"])


def _expected(comparison):
    """The expected best of 1, 2, 4, ... settings, and of all that a system has."""
    curves = [dict(system["expected_best"]) for system in comparison["systems"]]
    largest = max(max(curve, default=0) for curve in curves)
    budgets = [k for k in BUDGETS if k < largest] + [largest]
    if not _is_search(comparison) or not largest:
        return []
    names = _short_systems(comparison)
    rows = [
        [names[system["name"]], *(f"{curve[k]:.4g}" if k in curve else "-" for k in budgets)]
        for system, curve in zip(comparison["systems"], curves, strict=True)
    ]
    return _aligned(["expected best of", *map(str, budgets)], rows, {0})


def _settings(comparison):
    names, rows, runs = _short_settings(comparison), [], []
    for setting in _ranked(comparison, comparison["settings"], lambda setting: setting["last"]["mean"]):
        runs += [run["name"] for run in comparison["runs"] if comparison["settings"][run["setting"]] is setting]
        counts = [str(setting[name]) for name in ("n", "failed", "unfinished")]
        rows.append([names[setting["name"]], *counts, _statistic(setting["last"]), _statistic(setting["best"])])
    titles = ["setting", "runs", "failed", "unfinished", "last", "best"]
    if all(setting["n"] == 1 for setting in comparison["settings"]):  # its run is what the user knows it by
        titles, rows = [*titles, "run"], [[*row, run] for row, run in zip(rows, runs, strict=True)]
    lines = _aligned(titles, rows[:MOST_SETTINGS], {0, 6})
    return lines + [f"... {len(rows) - MOST_SETTINGS} more settings"] * (len(rows) > MOST_SETTINGS)


def _of_fields(comparison):
    names, rows = _short_systems(comparison), []
    for row in comparison["comparisons"]:
        if row["kind"] == "field":
            rows.append([*(names.get(row[side], row[side]) for side in ("a", "b")), *_difference(row)])
    return _aligned(["a", "b", *DIFFERENCE], rows, {0, 1}) if rows else []


def _of_seeds(comparison):
    """Settings, each less the best one."""
    names, rows = _short_settings(comparison), []
    for row in comparison["comparisons"]:
        if row["kind"] == "seed":
            best = names[row["b"]]
            rows.append([names[row["a"]], *_difference(row)])
    return [f"by seeds, with b: {best}", *_aligned(["a", *DIFFERENCE], rows, {0})] if rows else []


def _difference(row):
    difference = "-" if row["difference"] is None else f"{row['difference']:.4g}"
    interval = "-" if row["low"] is None else f"[{row['low']:.4g}, {row['high']:.4g}]"
    return [str(row["pairs"]), str(row["dropped"]), difference, interval]


def _failed(runs):
    lines = [
        f"{run['name']} {run['status']}: {run['words']}" for run in runs if run["status"] in ("diverged", "pruned")
    ]
    shown = [_cut(line, WIDTH) for line in lines[:MOST_FAILED]]
    return shown + [f"... {len(lines) - MOST_FAILED} more"] * (len(lines) > MOST_FAILED)


def _notes(sentences):
    return [line for note in sentences for line in textwrap.wrap(f"- {note}", WIDTH, subsequent_indent="  ")]


def _ranked(comparison, rows, mean):
    """The best first; those without a number last."""
    sign = -1 if comparison["larger_is_better"] else 1
    return sorted(rows, key=lambda row: (mean(row) is None, sign * (mean(row) or 0)))


def _statistic(value):
    if value["mean"] is None:
        return "-"
    spread = "" if value["sd"] is None else f" +- {value['sd']:.2g}"
    return f"{value['mean']:.4g}{spread} ({value['n']})"


# ------------------------------------------------------------------------------------------------- names


def _short_settings(comparison) -> dict[str, str]:
    """{name: what is shown for it} of the settings."""
    names, fields = ([setting[key] for setting in comparison["settings"]] for key in ("name", "fields"))
    return dict(zip(names, _short(names, fields, list(fields[0]), LONG, _texts(comparison)), strict=True))


def _short_systems(comparison) -> dict[str, str]:
    systems, settings = comparison["systems"], comparison["settings"]
    names = [system["name"] for system in systems]
    fields = [next(s["fields"] for s in settings if s["system"] == index) for index in range(len(systems))]
    return dict(zip(names, _short(names, fields, _texts(comparison), LONG), strict=True))


def _numbers(comparison) -> list[str]:
    """Of each setting, what tells it from others of its system."""
    fields, texts = [setting["fields"] for setting in comparison["settings"]], _texts(comparison)
    numbers = [name for name in fields[0] if name not in texts]
    return _short(named(fields, numbers), fields, numbers, LONG // 2)


def _texts(comparison):
    fields = [setting["fields"] for setting in comparison["settings"]]
    return [name for name in fields[0] if any(isinstance(own[name], str | bool) for own in fields)]


def _short(full: Sequence[str], fields: Sequence[Row], names: Sequence[str], most: int, first=()) -> list[str]:
    """Names without the groups of fields (optimizer. ...); where that is still long, by as few fields as tell all.

    first: those that are to tell what they can, before others are asked.
    """
    words = _without_groups(full, names)
    if max(map(len, words)) <= most:
        return words
    telling = _telling(fields, names, _telling(fields, first, []))
    words = _without_groups(named(fields, telling), telling)
    return [word + ", ..." * (len(telling) < len(names)) for word in words]


def _without_groups(words, names):
    leaves = Counter(name.rpartition(".")[2] for name in names)
    for name in names:
        leaf = name.rpartition(".")[2]
        if leaves[leaf] == 1 and leaf != "name":  # penalty.name, network.name: of what?
            words = [word.replace(f"{name}=", f"{leaf}=") for word in words]
    return words


def _telling(fields, names, chosen):
    """Some of the fields, which tell as many apart as all do: to those chosen, each time the one that tells most."""

    def told(some):
        return len({tuple(own[name] for name in some) for own in fields})

    while told(chosen) < told(names):
        others = [name for name in names if name not in chosen]
        chosen = [*chosen, max(others, key=lambda name: told([*chosen, name]))]
    return [name for name in names if name in chosen]


def _aligned(titles: Sequence[str], rows: Sequence[Sequence[str]], are_words: set[int]) -> list[str]:
    """Columns of words to the left, of numbers to the right; the widest words are cut until a line fits."""
    cells = [titles, *rows]
    widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
    while sum(widths) + 2 * (len(widths) - 1) > WIDTH:
        widest = max((i for i in range(len(widths)) if i in are_words), key=lambda i: widths[i] - len(titles[i]))
        if widths[widest] <= max(SHORTEST, len(titles[widest])):
            break
        widths[widest] -= 1
    return [_line(row, widths, are_words) for row in cells]


def _line(row, widths, are_words):
    cells = [_cut(cell, width) for cell, width in zip(row, widths, strict=True)]
    padded = [c.ljust(widths[i]) if i in are_words else c.rjust(widths[i]) for i, c in enumerate(cells)]
    return "  ".join(padded).rstrip()


def _cut(text: str, width: int) -> str:
    """The text without its middle, which is where names differ least."""
    return text if len(text) <= width else text[: (width - 3) // 2] + "..." + text[len(text) - (width - 2) // 2 :]
