"""Libraries' asides, kept off the terminal."""

import contextlib
import sys
from collections.abc import Iterator

import tensorstore
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
def closed_loops() -> Iterator[None]:
    """Within the block, tensorstore's threads don't print that the loop is closed which awaited what has failed."""
    former = sys.unraisablehook
    sys.unraisablehook = lambda raised: _is_closed_loop(raised.exc_value) or former(raised)
    try:
        yield
    finally:
        sys.unraisablehook = former


@contextlib.contextmanager
def uncounted() -> Iterator[None]:
    """Within the block, tensorstore gives no metrics: orbax asks for them at each save, for its log alone.

    Whatever tensorstore 0.1.86 answers, lists of hundreds of numbers, stays in memory for ever.
    """
    former = tensorstore.experimental_collect_matching_metrics
    tensorstore.experimental_collect_matching_metrics = lambda *prefix, **options: []
    try:
        yield
    finally:
        tensorstore.experimental_collect_matching_metrics = former


def _is_closed_loop(error):
    return isinstance(error, RuntimeError) and str(error) == "Event loop is closed"


@contextlib.contextmanager
def _at_verbosity(verbosity):
    before = logging.get_verbosity()
    logging.set_verbosity(verbosity)
    try:
        yield
    finally:
        logging.set_verbosity(before)
