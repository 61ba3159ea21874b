"""Weights & Biases, for those who want it. Everything it is told is in the workdir's own files as well."""

import os
import re
import uuid
from pathlib import Path
from typing import Any

from gan_jax.errors import UserError, one_line
from gan_jax.files import atomic, home

MODES = ("disabled", "offline", "online")
MOST_ID = 128  # characters of a run's id


def start_wandb(
    mode: str, workdir: str | os.PathLike[str], name: str, config: dict[str, Any], group: str | None = None
) -> Any:
    """Start the run's record in Weights & Biases, or go on with it. The caller uses `run.log` and `run.finish`.

    Its files go to `workdir/wandb/` and its id to `workdir/wandb_id`, so that a resumed run goes on under the same id.
    Offline, every start adds a folder with that id; `wandb sync workdir/wandb/offline-run-*` uploads them in order.

    Args:
      mode: "disabled", "offline" (no network, nothing asked) or "online".
      workdir: the run's folder; it exists.
      name: what the run is called in the web interface.
      config: the run's settings, as plain nested dicts.
      group: what the web interface shows the run under, with others of that group; None for a run by itself.

    Returns:
      A `wandb` run, or None where the mode is "disabled"; wandb is not even imported then.

    Raises:
      UserError: an unknown mode, a wandb_id that is none, or "online" without an API key or (after some 90 s) a server.

    """
    check_login(mode)
    if mode == "disabled":
        return None
    import wandb  # takes half a second, and writes to the home folder

    id_file = Path(workdir) / "wandb_id"
    run_id = stored_id(workdir) or uuid.uuid4().hex[:8]
    try:
        run = wandb.init(
            project="gan_jax",
            name=name,
            group=group,
            reinit="create_new",  # the members of a population are open at the same time
            dir=workdir,
            id=run_id,
            resume="allow",
            mode="online" if mode == "online" else "offline",
            config=config,
            settings=_quiet_settings(),
        )
    except wandb.Error as error:
        reason = one_line(error)
        raise UserError(f"wandb.mode is {mode} and wandb says: {reason}; or set wandb.mode=offline") from error
    atomic.write(id_file, run.id.encode())  # under an agent of wandb's, which gives ids, not ours
    return run


def log_picture(run: Any, path: str | os.PathLike[str], step: int) -> None:
    """Adds the picture in a .png file, samples at `step`, to a run of wandb's."""
    import wandb

    run.log({"samples": wandb.Image(os.fspath(path), caption=f"step {step:,}")}, step=step)


def stored_id(workdir: str | os.PathLike[str]) -> str:
    """The id in `workdir/wandb_id`, "" where there is none. wandb makes folders of that name, so it is checked."""
    path = Path(workdir) / "wandb_id"
    try:
        run_id = atomic.read(path, MOST_ID + 1).decode(errors="replace")
    except FileNotFoundError:
        return ""
    except OSError as error:
        raise UserError(f"{path} can't be read: {error.strerror}; move it away") from None
    if not re.fullmatch(r"[\w-][\w.-]*", run_id, re.ASCII) or len(run_id) > MOST_ID:
        raise UserError(f"{path} holds no id of a run: remove it, and the run goes on under a new one")
    return run_id


def check_login(mode: str) -> None:
    """Raises UserError for an unknown mode, or for "online" without an API key; nothing is asked."""
    if mode not in MODES:
        raise UserError(f"wandb.mode is {mode!r}: choose one of {', '.join(MODES)}")
    if mode == "disabled":
        return
    home.lend(home.WANDB)
    if mode != "online":
        return
    import wandb

    wandb.setup(settings=_quiet_settings())
    # Without this, `init` asks for a key on the terminal and waits.
    if not wandb.login(prompt=False, verify=False):
        raise UserError("wandb.mode is online and there is no API key: run `wandb login`, or set wandb.mode=offline")


def _quiet_settings() -> Any:
    import wandb

    return wandb.Settings(silent=True, console="off")
