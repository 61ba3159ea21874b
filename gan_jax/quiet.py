"""Libraries' asides, kept off the terminal."""

import contextlib
from collections.abc import Iterator

from absl import logging


@contextlib.contextmanager
def absl_errors_only() -> Iterator[None]:
    """Within the block, absl logs errors alone: TFDS remarks on what is as it should be."""
    with _at_verbosity(logging.ERROR):
        yield


@contextlib.contextmanager
def absl_silent() -> Iterator[None]:
    """Within the block, absl logs nothing: orbax logs what it raises as well, with its traceback."""
    with _at_verbosity(logging.FATAL):
        yield


@contextlib.contextmanager
def _at_verbosity(verbosity):
    before = logging.get_verbosity()
    logging.set_verbosity(verbosity)
    try:
        yield
    finally:
        logging.set_verbosity(before)
