"""times.jsonl: when a run was at work, by what, and how fast. No seed decides that, so it is apart from metrics.jsonl.

A line at each start, {"step": 0, "began": "2026-11-30T05:00:00+00:00", "jax": "0.10.2", "commit": ..., ...}, and one
for each line of metrics.jsonl: {"step": 100, "seconds": 12.5, "steps_per_second": 40.1}. Lines are only ever added: a
run that goes on from an earlier checkpoint makes some of its steps, and these lines, again. Nothing in it names a
person, a machine or a folder.
"""

import dataclasses
import datetime
import functools
import os
import pathlib
import platform
import subprocess
import time
from importlib import metadata
from typing import Any

import jax

from gan_jax.reports import scalars
from gan_jax.training import parallel

TIMES = "times.jsonl"
LIBRARIES = {"gan_jax": "gan_jax", "jax": "jax", "jaxlib": "jaxlib", "flax": "flax", "optax": "optax",
             "orbax": "orbax-checkpoint"}  # fmt: skip


@dataclasses.dataclass
class Clock:
    """began: when the run was started. step, at: of the last moment that a rate is counted from, if there is one."""

    path: pathlib.Path
    began: float
    step: int = 0
    at: float | None = None


def start(workdir: pathlib.Path, step: int) -> Clock:
    """Writes the line of a start at `step`."""
    began = datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds")
    _append(workdir / TIMES, {"step": step, "began": began} | circumstances())
    return Clock(workdir / TIMES, time.monotonic())


def first_block(clock: Clock, step: int) -> None:
    """Its first steps are done, and with them what was to be compiled: the rate counts from here."""
    if clock.at is None:
        clock.step, clock.at = step, time.monotonic()


def line(clock: Clock, step: int) -> None:
    """Writes the line of `step`, its rate that since the line before: null where there is none to count from."""
    now, rate = time.monotonic(), None
    if clock.at is not None and step > clock.step:
        rate = round((step - clock.step) / max(now - clock.at, 1e-6), 3)
    _append(clock.path, {"step": step, "seconds": round(now - clock.began, 3), "steps_per_second": rate})
    clock.step, clock.at = step, now


@parallel.lead_only
def _append(path, record):
    scalars.append(path, record)


@functools.cache
def circumstances() -> dict[str, Any]:
    """Versions, the commit of the checkout that runs and whether files differ from it, devices, kind of machine."""
    versions = {name: _version(package) for name, package in LIBRARIES.items()}
    commit, is_changed = _checkout(pathlib.Path(__file__).parents[2])
    return {
        "python": platform.python_version(),
        **versions,
        "commit": commit,
        "changed": is_changed,
        "platform": f"{platform.system()} {platform.machine()}",
        "device": jax.devices()[0].device_kind,
        "devices": jax.device_count(),
        "processes": jax.process_count(),
    }


def _version(package):
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:  # it runs from its checkout, uninstalled
        return None


def _checkout(folder):
    """(commit, whether the files differ from it), both None where the package lies in no checkout of its own."""
    if not (folder / ".git").exists():
        return None, None
    try:
        return _git(folder, "rev-parse", "HEAD"), bool(_git(folder, "status", "--porcelain"))
    except (OSError, subprocess.SubprocessError):  # no git, or one that does not trust this folder
        return None, None


def _git(folder, *arguments):
    command = ["git", "--no-optional-locks", "-C", str(folder), *arguments]
    others = {name: value for name, value in os.environ.items() if not name.startswith("GIT_")}
    return subprocess.run(command, capture_output=True, check=True, timeout=10, text=True, env=others).stdout.strip()
