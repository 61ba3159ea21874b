"""Where libraries keep what is theirs, for those who have no home folder that can be written to, as in a container."""

import atexit
import functools
import os
import pathlib
import shutil
import tempfile
from collections.abc import Mapping

MATPLOTLIB = {"MPLCONFIGDIR": ("~/.config/matplotlib", "~/.cache/matplotlib")}
WANDB = {
    "WANDB_CACHE_DIR": ("~/.cache/wandb",),
    "WANDB_CONFIG_DIR": ("~/.config/wandb",),
    "WANDB_DATA_DIR": ("~/.local/share/wandb",),
}
_XDG = {"~/.config": "XDG_CONFIG_HOME", "~/.cache": "XDG_CACHE_HOME", "~/.local/share": "XDG_DATA_HOME"}


def lend(needs: Mapping[str, tuple[str, ...]]) -> None:
    """Sets variables that name a library's folder to a temporary one, where its usual ones can't be written to.

    A variable that is set stays as it is. To be called before the library is imported.
    """
    for variable, usual in needs.items():
        if not os.environ.get(variable) and not all(map(_can_be_written, usual)):
            os.environ[variable] = os.path.join(_temporary(), variable.lower())


def folder() -> str:
    """The home folder; / where there is none, which few may write to."""
    return os.path.expanduser("~") if os.path.expanduser("~") != "~" else "/"


def _can_be_written(usual):
    path = pathlib.Path(_resolved(usual)).absolute()
    there = next(folder for folder in (path, *path.parents) if os.path.exists(folder))
    return there.is_dir() and os.access(there, os.W_OK | os.X_OK)


def _resolved(usual):
    for base, variable in _XDG.items():
        if usual.startswith(base) and os.environ.get(variable):
            return os.environ[variable] + usual.removeprefix(base)
    return usual.replace("~", folder(), 1)


@functools.cache
def _temporary():
    path = tempfile.mkdtemp(prefix="gan_jax-")
    atexit.register(shutil.rmtree, path, ignore_errors=True)
    return path
