"""The notebooks run from clean, at a reduced size, and are committed without what they print and draw."""

import json
import pathlib
import re

import pytest

FOLDER = pathlib.Path(__file__).parents[1] / "notebooks"
# Smaller values of a notebook's parameters, and how many pictures it draws.
REDUCED = {
    "01_a_gan_from_scratch": ({"steps": 40, "seeds": 2, "pictures": 2}, 4),
    "02_why_wasserstein": ({"critic_steps": 40, "generator_lengths": (2, 4)}, 2),
    "03_wgan_gp_on_images": ({"steps": 20, "looks": 2}, 5),
    "04_reading_a_checkpoint": ({"steps": 20}, 10),
    "05_comparing_a_sweep": ({"steps": 12, "seeds": 2}, 1),
}


def test_no_notebook_is_left_out():
    assert {path.stem for path in FOLDER.glob("*.ipynb")} == set(REDUCED)


@pytest.mark.parametrize("name", REDUCED)
def test_is_a_story_without_outputs_that_ends_with_things_to_try(name):
    cells = json.loads((FOLDER / f"{name}.ipynb").read_text())["cells"]
    texts = ["".join(cell["source"]) for cell in cells if cell["cell_type"] == "markdown"]
    codes = [cell for cell in cells if cell["cell_type"] == "code"]
    assert texts[0].startswith("# ")
    assert "## Things to try\n" in texts[-1]
    assert all(cell["outputs"] == [] and cell["execution_count"] is None for cell in codes)
    assert sum(cell["metadata"].get("tags") == ["parameters"] for cell in codes) == 1


@pytest.mark.parametrize("name", REDUCED)
def test_experiments_that_it_names_are_found_from_its_folder(name):
    named = re.findall(r"[./\w]*experiments/\w+\.py", (FOLDER / f"{name}.ipynb").read_text())
    assert all((FOLDER / path).is_file() for path in named), named


@pytest.mark.slow
@pytest.mark.usefixtures("quick_processes")
@pytest.mark.parametrize("name", REDUCED)
def test_runs_from_clean(name, monkeypatch, tmp_path):
    nbformat, nbclient = pytest.importorskip("nbformat"), pytest.importorskip("nbclient")
    values, pictures = REDUCED[name]
    notebook = nbformat.read(FOLDER / f"{name}.ipynb", as_version=4)
    (place,) = [i for i, cell in enumerate(notebook.cells) if cell.metadata.get("tags") == ["parameters"]]
    assert all(f"{variable} = " in notebook.cells[place].source for variable in values)
    reduced = "\n".join(f"{variable} = {value!r}" for variable, value in values.items())
    notebook.cells.insert(place + 1, nbformat.v4.new_code_cell(reduced))
    monkeypatch.setenv("IPYTHONDIR", str(tmp_path))
    nbclient.NotebookClient(notebook, timeout=600, resources={"metadata": {"path": str(FOLDER)}}).execute()
    outputs = [output for cell in notebook.cells if cell.cell_type == "code" for output in cell.outputs]
    assert sum("image/png" in output.get("data", {}) for output in outputs) == pictures
    said = "".join(output.text for output in outputs if output.output_type == "stream" and output.name == "stderr")
    assert "Warning" not in said
