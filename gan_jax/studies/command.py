"""What every study does when it is run: measure, print, store, draw."""

import argparse
import json
import pathlib

import numpy as np

from gan_jax.reports import atomic


def run(name: str, doc: str, measure, table, draw) -> None:
    """`--out=FOLDER --seed=N`: writes FOLDER/NAME.json and FOLDER/NAME.png, and prints the table of the numbers."""
    parser = argparse.ArgumentParser(
        prog=f"python -m gan_jax.studies.{name}",
        description=doc,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--out", default="studies", help="folder for the picture and the numbers; default: studies")
    parser.add_argument("--seed", type=_seed, default=0, help="of all that is drawn; default: 0")
    options = parser.parse_args()
    folder = pathlib.Path(options.out)
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        parser.error(f"--out={options.out}: {error.strerror}; give a folder that can be written")
    numbers = measure(seed=options.seed)
    atomic.write(folder / f"{name}.json", (json.dumps(_plain(numbers), indent=1) + "\n").encode())
    draw(folder / f"{name}.png", numbers)
    print(table(numbers))
    print(f"wrote {folder / name}.json and {folder / name}.png")


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
