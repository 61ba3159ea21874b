"""What every study does when it is run: measure, print, store, draw."""

import argparse
import json
import pathlib

import numpy as np

from gan_jax.reports import atomic


def run(name: str, doc: str, measure, table, draw, options=None) -> None:
    """`--out=FOLDER --seed=N`: writes FOLDER/NAME.json and FOLDER/NAME.png, and prints the table of the numbers.

    options: {argument of `measure`: default}, each a flag too: `--steps=N` where the default is a whole number, or
    `--data=A,B` where it is a tuple of names, of which some are chosen.
    """
    parser = argparse.ArgumentParser(
        prog=f"python -m gan_jax.studies.{name}",
        description=doc,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--out", default="studies", help="folder for the picture and the numbers; default: studies")
    parser.add_argument("--seed", type=_seed, default=0, help="of all that is drawn; default: 0")
    for option, default in (options or {}).items():
        parser.add_argument(f"--{option.replace('_', '-')}", default=default, **_flag(default))
    arguments = vars(parser.parse_args())
    out = arguments.pop("out")
    folder = pathlib.Path(out)
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        parser.error(f"--out={out}: {error.strerror}; give a folder that can be written")
    numbers = measure(**arguments)
    atomic.write(folder / f"{name}.json", (json.dumps(_plain(numbers), indent=1) + "\n").encode())
    draw(folder / f"{name}.png", numbers)
    print(table(numbers))
    print(f"wrote {folder / name}.json and {folder / name}.png")


def _flag(default):
    if isinstance(default, tuple):
        return {"type": _some_of(default), "metavar": "A,B", "help": f"some of {', '.join(default)}; default: all"}
    return {"type": _count, "metavar": "N", "help": f"default: {default}"}


def _some_of(names):
    def chosen(text):
        for name in text.split(","):
            if name not in names:
                raise argparse.ArgumentTypeError(f"{name!r}: give some of {', '.join(names)}")
        return tuple(text.split(","))

    return chosen


def _count(text):
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"{text!r}: give a whole number above 0")
    return int(text)


def _seed(text):
    if not text.isdecimal() or int(text) >= 2**32:
        raise argparse.ArgumentTypeError(f"{text!r}: give a whole number from 0 to 2**32 - 1")
    return int(text)


def _plain(numbers):
    """Arrays as lists, and what is not finite as null, which is all that JSON has for it."""
    if isinstance(numbers, dict):
        return {str(key): _plain(value) for key, value in numbers.items()}
    if isinstance(numbers, list | tuple):
        return [_plain(value) for value in numbers]
    if isinstance(numbers, np.ndarray) or hasattr(numbers, "__array__"):
        return _plain(np.asarray(numbers).tolist())
    if isinstance(numbers, float) and not np.isfinite(numbers):
        return None
    return numbers
