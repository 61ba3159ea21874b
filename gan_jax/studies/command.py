"""What every study does when it is run: measure, print, store, draw."""

import argparse
import errno
import inspect
import json
import os
import pathlib

import jax
import numpy as np

from gan_jax.errors import UserError
from gan_jax.files import atomic


@jax.enable_x64(False)
def run(name: str, doc: str, measure, table, draw, options=()) -> None:
    """`--out=FOLDER --seed=N`: writes FOLDER/NAME.json and FOLDER/NAME.png, and prints the table of the numbers.

    options: arguments of `measure` that are flags too: `--steps=N` where the default is a whole number, or `--data=A,B`
    where it is a tuple of names, of which some are chosen. A `measure` that has a `folder` to keep what it has done in
    is given FOLDER/NAME.
    """
    parser = argparse.ArgumentParser(
        prog=f"python -m gan_jax.studies.{name}",
        description=doc,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--out", default="studies", help="folder for the picture and the numbers; default: studies")
    parser.add_argument("--seed", type=_seed, default=0, help="of all that is drawn; default: 0")
    parameters = inspect.signature(measure).parameters
    for option in options:
        default = parameters[option].default
        parser.add_argument(f"--{option.replace('_', '-')}", default=default, **_flag(default))
    arguments = vars(parser.parse_args())
    folder = _writable(parser, arguments.pop("out"))
    if "folder" in parameters:
        arguments["folder"] = _writable(parser, folder / name)
    try:
        numbers = measure(**arguments)
    except UserError as error:
        parser.error(str(error))
    except KeyboardInterrupt:
        kept = f"; rows that were done are in {arguments['folder']}" if "folder" in arguments else ""
        parser.exit(130, f"stopped by Ctrl-C{kept}\n")
    write(folder / f"{name}.json", numbers)
    draw(folder / f"{name}.png", numbers)
    print(table(numbers))
    print(f"wrote {folder / name}.json and {folder / name}.png")


def _writable(parser, out):
    """The folder, made where it is not there: what is measured for an hour must not be lost at the end."""
    folder = pathlib.Path(out)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        if not os.access(folder, os.W_OK | os.X_OK):
            raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))
    except OSError as error:
        parser.error(f"--out={out}: {error.strerror}; give a folder that can be written")
    return folder


def _flag(default):
    if isinstance(default, tuple):
        return {"type": _some_of(default), "metavar": "A,B", "help": f"some of {', '.join(default)}; default: all"}
    return {"type": _count, "metavar": "N", "help": f"default: {default}"}


def _some_of(names):
    def chosen(text):
        for name in text.split(","):
            if name not in names:
                raise argparse.ArgumentTypeError(f"{name!r}: give some of {', '.join(names)}")
        return tuple(dict.fromkeys(text.split(",")))

    return chosen


def _count(text):
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"{text!r}: give a whole number above 0")
    return int(text)


def _seed(text):
    if not text.isdecimal() or int(text) >= 2**32:
        raise argparse.ArgumentTypeError(f"{text!r}: give a whole number from 0 to 2**32 - 1")
    return int(text)


def write(path, numbers) -> None:
    """The file, in one step, with the numbers as JSON."""
    atomic.write(path, (json.dumps(_plain(numbers), indent=1) + "\n").encode())


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
