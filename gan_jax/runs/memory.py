"""What would stay in memory for ever, or for no use, in a run of thousands of checkpoints."""

import contextlib
import copy
import ctypes
import sys
from collections.abc import Iterator
from typing import Any

import tensorstore


def give_back() -> None:
    """Gives what is free to the system: glibc keeps it, in an arena for each of a dozen threads.

    After XLA has compiled a small step that is a third of the process; and as threads come and go with each checkpoint,
    it spreads over ever more of the arenas.
    """
    if sys.platform == "linux" and (trim := getattr(ctypes.CDLL(None), "malloc_trim", None)):
        trim(0)


@contextlib.contextmanager
def without_leaks() -> Iterator[None]:
    """Within the block, tensorstore gives no metrics, and is asked for a place once.

    What tensorstore 0.1.86 answers in lists and dicts is never freed. Orbax asks it at each save for some thousand
    metrics, for its log alone; and in JSON for the place of each array, which is the same for all.
    """
    count = tensorstore.experimental_collect_matching_metrics
    to_json = vars(tensorstore.KvStore.Spec)["to_json"]
    tensorstore.experimental_collect_matching_metrics = lambda *prefix, **options: []
    tensorstore.KvStore.Spec.to_json = _remembering(to_json)  # type: ignore[method-assign]
    try:
        yield
    finally:
        tensorstore.experimental_collect_matching_metrics = count
        tensorstore.KvStore.Spec.to_json = to_json  # type: ignore[method-assign]


def _remembering(to_json):
    """As to_json, of the places that were asked for last; each caller gets a dict of its own."""
    answers: dict[Any, Any] = {}

    def answer(spec, **options):
        question = repr(spec), *options.items()
        if question not in answers:
            if len(answers) > 8:  # each checkpoint has places of its own
                answers.clear()
            answers[question] = to_json(spec, **options)
        return copy.deepcopy(answers[question])

    return answer
