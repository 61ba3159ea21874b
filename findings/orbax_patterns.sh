#!/bin/sh
# orbax-checkpoint writes a checkpoint below any folder, but looks for its parts with glob of the absolute path, unescaped
# (google/orbax#924): below a folder with brackets or a backslash in its name, what was saved without an error can't be
# restored.
#
#     sh findings/orbax_patterns.sh
#
# Installs pinned packages into a temporary folder, and runs them on valid input. Exit code 0: it is still so.
set -eu
place=$(mktemp -d)
trap 'rm -rf "$place"' EXIT
python3 -m venv "$place/venv"
"$place/venv/bin/pip" install --quiet --disable-pip-version-check orbax-checkpoint==0.12.8 jax==0.10.2 jaxlib==0.10.2
cd "$place"
JAX_PLATFORMS=cpu "$place/venv/bin/python" - <<'PYTHON'
import logging
import pathlib

import jax
import numpy as np
import orbax.checkpoint as ocp

logging.disable(logging.CRITICAL)
print(f"orbax-checkpoint {ocp.__version__}, jax {jax.__version__}")


def found(name):
    """What is restored of 0, 1, 2 below a folder of this name; in words where that fails."""
    folder = pathlib.Path(name, "checkpoints").absolute()
    folder.mkdir(parents=True)
    with ocp.CheckpointManager(folder) as manager:
        manager.save(1, args=ocp.args.StandardSave({"x": np.arange(3.0)}))
    with ocp.CheckpointManager(folder) as manager:
        try:
            return manager.restore(1, args=ocp.args.StandardRestore({"x": np.zeros(3)}))["x"].tolist()
        except ValueError as error:
            return f"{type(error).__name__}: {str(error).split(':')[0]}"


expected = {"plain": [0.0, 1.0, 2.0], "a[1]": "ValueError: NOT_FOUND", "a\\b": "ValueError: NOT_FOUND"}
seen = {name: found(name) for name in expected}
for name, value in seen.items():
    print(f"{name:6} saved, restored: {value}")
assert seen == expected, f"expected {expected}"
print("as before: what is saved below a folder whose name is a pattern can't be restored")
PYTHON
