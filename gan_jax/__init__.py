"""Generative adversarial networks in JAX.

    import gan_jax

    model = gan_jax.load("runs/wgan")  # or a step: load("runs/wgan", 5000), or "best"
    images = model.sample(64)          # uint8 [64, h, w, c]
    logits = model.score(images)       # the critic's opinion

What there is else: `gan_jax.runs.trained.Trained`.
"""

import os
from collections.abc import Mapping
from typing import Any

from gan_jax.files import home

home.lend(home.MATPLOTLIB)  # here, for whatever is imported first may import it


def load(workdir: str | os.PathLike[str], checkpoint: str | int = "last", fields: Mapping[str, Any] | None = None):
    """The run in a folder, as `gan_jax.runs.trained.Trained`, at its checkpoint `last`, `best` or of a step.

    fields: free ones that shall be others than stored, as {"data.dir": ...} of a set that has moved.
    Raises UserError, in one line, where there is none.
    """
    from gan_jax.runs import trained  # here, for it imports all of JAX

    return trained.load(workdir, checkpoint, fields)
