"""Libraries' asides, kept off the terminal."""

import contextlib
import functools
import gc
import inspect
import logging
import re
import sys
import traceback
from collections.abc import Iterator

from absl import logging as absl_logging

_ORBAX = re.compile("orbax|OCDBT|zarr")


@contextlib.contextmanager
def absl_errors_only() -> Iterator[None]:
    """Within the block, absl logs errors alone: TFDS remarks on what is as it should be."""
    with _at_verbosity(absl_logging.ERROR):
        yield


@contextlib.contextmanager
def absl_silent() -> Iterator[None]:
    """Within the block, absl logs nothing: orbax logs what it raises as well, with its traceback."""
    with _at_verbosity(absl_logging.FATAL):
        yield


@functools.cache
def silence_failed_reads() -> None:
    """From now on, nothing is printed of the reads that orbax had begun beside one that failed.

    Not for a block alone, for threads may come to their end later.
    """
    former = sys.unraisablehook
    sys.unraisablehook = lambda raised: _is_of_failed_read(raised) or former(raised)
    logging.getLogger("asyncio").addFilter(lambda record: not _ORBAX.search(record.getMessage()))


def end_failed_reads(error: BaseException) -> None:
    """Drops what an error of orbax's keeps of those reads, so that they end here, while nothing else is at work."""
    links: list[BaseException | None] = [error]
    while (link := links.pop()) is not None:
        traceback.clear_frames(link.__traceback__)
        links.append(link.__context__)
    gc.collect()


def _is_of_failed_read(raised):
    """Of a thread whose event loop is closed, or of a coroutine that waited in that loop."""
    is_closed_loop = isinstance(raised.exc_value, RuntimeError) and str(raised.exc_value) == "Event loop is closed"
    return is_closed_loop or (inspect.iscoroutine(raised.object) and "orbax" in raised.object.cr_code.co_filename)


@contextlib.contextmanager
def _at_verbosity(verbosity):
    before = absl_logging.get_verbosity()
    absl_logging.set_verbosity(verbosity)
    try:
        yield
    finally:
        absl_logging.set_verbosity(before)
