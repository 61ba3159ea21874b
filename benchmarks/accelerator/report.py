"""Turns what `run` has found into the tables of the documentation.

    python -m benchmarks.accelerator.report FOLDER [--write]

Prints all tables. With --write they replace what stands between `<!-- accelerator: NAME -->` and `<!-- end -->` in
README.md, benchmarks/README.md and docs/evaluation.md; not those of a rehearsal, which are no measurements.
"""

import argparse
import pathlib
import re
import sys

from benchmarks.accelerator.run import ROOT, STAGES, read_json
from benchmarks.train_step import CASES
from benchmarks.train_step import table as speed_table

FILES = ("README.md", "benchmarks/README.md", "docs/evaluation.md")
REHEARSED = "REHEARSED on a CPU at sizes of no use: no number here is a measurement."


def main(argv: list[str] | None = None) -> int:
    """The command; 0: printed, and written where that was asked for; 2: there is nothing that could be."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("results", type=pathlib.Path, metavar="FOLDER", help="with checks.json and the others")
    parser.add_argument("--write", action="store_true", help="into the documentation")
    given = parser.parse_args(argv)
    records = {stage.name: read_json(given.results / f"{stage.name}.json") for stage in STAGES}
    tables = {name: table(record) for name, record in records.items() if "results" in record}
    if not tables:
        print(f"{given.results} holds no results: give the folder that `run` names", file=sys.stderr)
        return 2
    print("\n\n".join(f"## {name}\n\n{words}" for name, words in tables.items()))
    if not given.write:
        return 0
    platform = records["checks"].get("results", {}).get("platform")
    if platform == "cpu" or any(record.get("is_rehearsal") for record in records.values()):
        print(f"{given.results} is of a CPU: not written; give results of an accelerator", file=sys.stderr)
        return 2
    for file in FILES:
        path = ROOT / file
        path.write_text(filled(path.read_text(), tables))
    return 0


def filled(text: str, tables: dict[str, str]) -> str:
    """The text, with each table in its place, where it has one."""
    for name, words in tables.items():
        place = re.compile(rf"(<!-- accelerator: {name} -->\n).*?(<!-- end -->)", re.DOTALL)
        text = place.sub(lambda found, words=words: f"{found[1]}{words}\n{found[2]}", text)
    return text


def table(record: dict) -> str:
    """What one stage found, in Markdown, under a line that says where, and how the stage ended."""
    results = record["results"]
    lines = [REHEARSED, ""] if record.get("is_rehearsal") else []
    lines += [f"{results.get('machine', 'machine unknown')}."]
    if (ended := record.get("status")) not in ("done", "unfinished"):
        lines += [
            "",
            f"The stage {'was cut short' if ended == 'begun' else 'ended so: ' + str(ended)}; this is what it had.",
        ]
    return "\n".join([*lines, "", TABLES[record["stage"]](results)])


def checks(results: dict) -> str:
    """The tests, each with the figures that it found, or the largest of many; what the device can do at best."""
    rows = [[test["name"], test["outcome"], _found(test["figures"])] for test in results.get("tests", [])]
    best = [[name, _short(value)] for name, value in results.get("best", {}).items()]
    return _table(["test", "", "found"], rows) + "\n\n" + _table(["at best", ""], best)


def _found(figures):
    if len(figures) <= 6:
        return "; ".join(f"{name}: {_short(value)}" for name, value in figures.items())
    name, value = max(figures.items(), key=lambda figure: float(figure[1]))
    return f"of {len(figures)} figures the largest, {name}: {_short(value)}"


def main_command(results: dict) -> str:
    """Seconds, steps a second and distances of the README's commands."""
    rows = []
    for title, run in results["runs"].items():
        if "left_out" in run:
            rows.append([title, run["left_out"], "", "", ""])
            continue
        numbers = {name: value for name, value in run["evaluation"].items() if isinstance(value, float)}
        distances = ", ".join(f"{name} {_short(value)}" for name, value in numbers.items())
        rows.append(
            [title, str(run["steps"]), *(_short(run[key]) for key in ("first_line_s", "steps_per_s")), distances]
        )
    return _table(["run", "steps", "seconds to the first line", "steps a second after it", "evaluated"], rows)


def speed(results: dict) -> str:
    """The table of every case."""
    return "\n\n".join(f"### {CASES[name].title}\n\n{speed_table(rows)}" for name, rows in results["cases"].items())


def features(results: dict) -> str:
    """Images a second; FIDs."""
    if "left_out" in results:
        return results["left_out"]
    speeds = {**results.get("images_per_s", {})}
    rate = speeds.pop("matrix products", None)
    rows = [[name, f"{speed:.4g}", f"{10_000 / speed:.3g}"] for name, speed in speeds.items()]
    rows += [[f"(float32 products: {rate / 1e12:.3g} TFLOP/s)", "", ""]] if rate else []
    pairs = [[name, _short(value)] for name, value in results.get("fid", {}).items()]
    first = _table(["Inception", "images a second", "seconds for 10,000"], rows)
    return first + "\n\n" + _table(["FID", ""], pairs)


def recipe(results: dict) -> str:
    """How far it came, how fast, and its number beside the published one."""
    evaluation = results.get("evaluation", {})
    fid = evaluation.get("fid", evaluation.get("frechet_distance"))
    published = f"{results['published']['fid']} at step {results['steps']} ({results['published']['of']})"
    row = [str(results.get("step", "")), _short(results.get("steps_per_s")), _short(fid), published]
    return _table(["step", "steps a second", "FID" if "fid" in evaluation else "distance", "published"], [row])


TABLES = {"checks": checks, "main_command": main_command, "speed": speed, "features": features, "recipe": recipe}


def _table(head, rows):
    return "\n".join(f"| {' | '.join(row)} |" for row in [head, ["---"] * len(head), *rows])


def _short(value):
    try:
        return "" if value is None else f"{float(value):.4g}"
    except ValueError:
        return str(value)


if __name__ == "__main__":
    sys.exit(main())
