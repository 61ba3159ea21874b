"""What `pip install -e` makes of this checkout."""

import pathlib
import shutil
import subprocess
import sys
import zipfile

import pytest

ROOT = pathlib.Path(__file__).parents[1]
BUILD = "import sys; from setuptools import build_meta; print(build_meta.build_editable(sys.argv[1]))"
FIND = """
import importlib.util, site, sys
sys.path.insert(0, sys.argv[1])
site.addsitedir(sys.argv[2])
print(importlib.util.find_spec("gan_jax").origin)
"""


@pytest.mark.slow
def test_the_package_is_found_from_the_folder_above_a_checkout_of_its_name(tmp_path):
    """Python would take that folder for an empty package, where the install had no entry in the path."""
    pytest.importorskip("setuptools.build_meta")
    above, wheels, installed = (tmp_path / name for name in ("above", "wheels", "installed"))
    checkout = above / "gan_jax"
    shutil.copytree(ROOT / "gan_jax", checkout / "gan_jax", ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("pyproject.toml", "README.md"):
        shutil.copy(ROOT / name, checkout)
    wheels.mkdir()
    subprocess.run([sys.executable, "-c", BUILD, wheels], cwd=checkout, check=True, capture_output=True)
    (wheel,) = wheels.iterdir()
    zipfile.ZipFile(wheel).extractall(installed)
    words = [sys.executable, "-I", "-S", "-c", FIND, above, installed]
    found = subprocess.run(words, cwd=above, check=True, capture_output=True, text=True).stdout
    assert pathlib.Path(found.strip()) == checkout / "gan_jax" / "__init__.py"
