"""The README's words on using an exported generator elsewhere, run as they stand, where this package is not at hand."""

import pathlib
import re
import subprocess
import sys

import numpy as np
import pytest
from PIL import Image

import gan_jax
from gan_jax import main

README = pathlib.Path(__file__).parents[1] / "README.md"
WITHOUT = "import sys\nfor name in ('gan_jax', 'flax', 'orbax', 'optax', 'ml_collections'): sys.modules[name] = None\n"
KEEP = "\nnp.savez('found.npz', inputs=inputs, images=images)\n"


def snippets():
    (section,) = re.findall(r"^## Use it elsewhere$(.*?)^## ", README.read_text(), re.MULTILINE | re.DOTALL)
    return re.findall(r"```python\n(.*?)```", section, re.DOTALL)


@pytest.mark.slow
@pytest.mark.parametrize(("experiment", "parts"), [("wgan_gp.py", [0, 2]), ("projection_gan.py", [0, 1, 2])])
def test_the_snippet_gives_what_the_package_gives(command, experiment, parts):
    command(experiment, "--workdir=run", steps=20, network__name="mlp")
    assert main.main(["gan_jax", "--workdir=run", "--mode=export", "--out=."]) == 0
    found = snippets()
    assert len(found) == 3
    code = "\n".join(found[part] for part in parts)
    done = subprocess.run([sys.executable, "-c", WITHOUT + code + KEEP], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    model = gan_jax.load("run")
    with np.load("found.npz") as arrays:
        assert arrays["inputs"].shape == (64, sum(model.takes))
        if experiment == "projection_gan.py":
            np.testing.assert_array_equal(arrays["inputs"][:, -10:], np.eye(10)[np.arange(64) % 10])
        np.testing.assert_array_equal(arrays["images"], model.generate(arrays["inputs"]))
        with Image.open("sample.png") as picture:
            np.testing.assert_array_equal(np.asarray(picture), arrays["images"][0, ..., 0])
