"""The ways in which a run ends badly on purpose; `gan_jax.main` turns each into one line and an exit code."""


class UserError(Exception):
    """Something the user gave is wrong. The text says what was given, what is allowed and what to do. Exit code 2."""


class DivergedError(Exception):
    """A loss or a parameter is no longer finite. The text names the last good checkpoint. Exit code 3."""


class MachineError(Exception):
    """The machine could not do its part, as a full disk. The text says what to do. Exit code 1."""


def one_line(text: object) -> str:
    """The words of an error, a library's perhaps, in a single line."""
    return " ".join(str(text).split())
