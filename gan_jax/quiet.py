"""Libraries' asides, kept off the terminal."""

import contextlib
from collections.abc import Iterator

from absl import logging


@contextlib.contextmanager
def absl_errors_only() -> Iterator[None]:
    """Within the block, absl logs errors alone: TFDS and orbax remark on what is as it should be."""
    before = logging.get_verbosity()
    logging.set_verbosity(logging.ERROR)
    try:
        yield
    finally:
        logging.set_verbosity(before)
