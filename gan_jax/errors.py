"""The ways in which a run ends badly on purpose; `gan_jax.main` turns each into one line and an exit code."""


class UserError(Exception):
    """Something the user gave is wrong. The text says what was given, what is allowed and what to do. Exit code 2."""


class DivergedError(Exception):
    """A loss or a parameter is no longer finite. The text names the last good checkpoint. Exit code 3."""


class MachineError(Exception):
    """The machine could not do its part, as a full disk. The text says what to do. Exit code 1."""


def is_out_of_memory(error: Exception) -> bool:
    """Whether Python, or XLA in one of its ways to say so, has found no memory."""
    return isinstance(error, MemoryError) or any(w in str(error) for w in ("RESOURCE_EXHAUSTED", "Out of memory"))


def one_line(text: object) -> str:
    """The words of an error, a library's perhaps, in a single line."""
    return " ".join(str(text).split())


LONGEST = 3000  # characters of a line; of a longer one, its ends


def shown(words: object) -> str:
    """The words, of an error mostly, in one line that a terminal may be sent: control characters as Python writes them.

    Names of files and of fields come from whoever made them, and may hold anything.
    """
    return _cut("".join(c if c.isprintable() else repr(c)[1:-1] for c in _cut(str(words))))


def _cut(text):
    return text if len(text) <= LONGEST else f"{text[: LONGEST // 2]} ... {text[-LONGEST // 2 :]}"
