"""What both players minimise: losses, divergences, penalties, terms beside them, and augmentations; pure functions."""

import inspect
import types


def terms_in(module: types.ModuleType) -> list[str]:
    """Names of the functions of a module that take some of what it says a term may take, `TAKEN`, and nothing else."""
    return [name for name, value in vars(module).items() if name[0] != "_" and _is_term(value, module.TAKEN)]


def _is_term(value, taken):
    arguments = {*inspect.signature(value).parameters} if inspect.isfunction(value) else set()
    return bool(arguments) and arguments <= taken
