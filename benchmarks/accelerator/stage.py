"""What the stages share: their flags, and how their results are written."""

import argparse
import pathlib
from typing import Any

from benchmarks.accelerator import run


def options(description: str | None) -> argparse.Namespace:
    """--work, --seconds, --rehearse, as `run` gives them."""
    parser = argparse.ArgumentParser(description=description, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--work", type=pathlib.Path, required=True, help="folder of data and results")
    parser.add_argument("--seconds", type=float, required=True, help="that it may take")
    parser.add_argument("--rehearse", action="store_true", help="at sizes of no use")
    return parser.parse_args()


def place(given: argparse.Namespace, name: str) -> pathlib.Path:
    """A file of the results, whose folder is there."""
    folder = given.work / "results"
    folder.mkdir(parents=True, exist_ok=True)
    return folder / name


def save(given: argparse.Namespace, name: str, results: dict[str, Any], status: str = "begun") -> None:
    """Writes STAGE.json; again and again, so that a stage which is cut short has told what it had found.

    status: `begun` becomes `done` with the stage's end; an `unfinished` one goes on in the next command.
    """
    record = {"stage": name, "status": status, "is_rehearsal": given.rehearse, "results": results}
    run.write_json(place(given, f"{name}.json"), record)
