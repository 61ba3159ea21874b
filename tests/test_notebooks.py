"""The notebooks run from clean, at a reduced size, and are committed with what `notebooks/run.py` made of them."""

import importlib.util
import pathlib
import re

import pytest

from gan_jax.evaluation import measuring

FOLDER = pathlib.Path(__file__).parents[1] / "notebooks"
LARGEST = 300_000  # bytes of a notebook
LONG = ("02_why_wasserstein", "04_reading_a_checkpoint", "05_comparing_a_sweep")  # half a minute and more each
# Smaller values of a notebook's parameters, how many pictures it then draws, and how many at full size.
REDUCED = {
    "01_a_gan_from_scratch": ({"steps": 40, "seeds": 2, "pictures": 2}, 4, 4),
    "02_why_wasserstein": ({"critic_steps": 40, "generator_lengths": (2, 4)}, 2, 2),
    "03_wgan_gp_on_images": ({"steps": 20, "looks": 1}, 4, 6),
    "04_reading_a_checkpoint": ({"steps": 20}, 10, 10),
    "05_comparing_a_sweep": ({"steps": 12, "seeds": 2}, 1, 1),
}


@pytest.fixture(scope="module")
def run():
    """notebooks/run.py."""
    pytest.importorskip("nbclient")
    spec = importlib.util.spec_from_file_location("notebooks_run", FOLDER / "run.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(params=REDUCED)
def committed(request):
    """(name, notebook) as it lies there."""
    nbformat = pytest.importorskip("nbformat")
    return request.param, nbformat.read(FOLDER / f"{request.param}.ipynb", as_version=4)


def pictures(notebook):
    outputs = [output for cell in notebook.cells if cell.cell_type == "code" for output in cell.outputs]
    return sum("image/png" in output.get("data", {}) for output in outputs)


def test_no_notebook_is_left_out():
    assert {path.stem for path in FOLDER.glob("*.ipynb")} == set(REDUCED)


def test_is_a_story_that_ends_with_things_to_try(committed, run):
    _, notebook = committed
    texts = [cell.source for cell in notebook.cells if cell.cell_type == "markdown"]
    assert texts[0].startswith("# ")
    assert "## Things to try\n" in texts[-1]
    assert sum(cell.metadata.get("tags") == ["parameters"] for cell in run.codes(notebook)) == 1


def test_its_outputs_are_those_of_its_sources(committed, run):
    name, notebook = committed
    remedy = f"outputs of other code than this: python notebooks/run.py {name}"
    assert notebook.metadata.get("sources") == run.digest(notebook), remedy
    assert pictures(notebook) == REDUCED[name][2], remedy
    assert [cell.execution_count for cell in run.codes(notebook)] == [*range(1, len(run.codes(notebook)) + 1)], remedy
    outputs = [output for cell in run.codes(notebook) for output in cell.outputs]
    assert {output.output_type for output in outputs} <= {"stream", "display_data", "execute_result"}
    assert all(output.get("name", "stdout") == "stdout" for output in outputs)


def test_it_is_small_and_names_no_folder_of_a_machine(committed):
    path = FOLDER / f"{committed[0]}.ipynb"
    assert path.stat().st_size < LARGEST
    assert not re.search(r"(?<![\w.])/(tmp|home|root|work|usr|Users)/", path.read_text())


@pytest.mark.parametrize("name", REDUCED)
def test_experiments_that_it_names_are_found_from_its_folder(name):
    named = re.findall(r"[./\w]*experiments/\w+\.py", (FOLDER / f"{name}.ipynb").read_text())
    assert all((FOLDER / path).is_file() for path in named), named


def test_what_is_said_of_folders_and_on_standard_error_is_left_out(run):
    nbformat = pytest.importorskip("nbformat")
    said = [nbformat.v4.new_output("stream", name=name, text=text) for name, text in (
        ("stdout", "finished: /tmp/tmpa1/run is at step 3; look at /tmp/tmpa1/run/samples/step_3.png\n"),
        ("stderr", "step 1/3\n"),
    )]  # fmt: skip
    assert [output.text for output in run.shown(said)] == [
        "finished: .../run is at step 3; look at .../step_3.png\n",
    ]
    said = "see https://github.com/google/flax, http://localhost:80/a-/b/c/d and file:///home/me/x/y.py"
    assert (
        run.without_paths(said)
        == "see https://github.com/google/flax, http://localhost:80/a-/b/c/d and file://.../y.py"
    )
    assert run.without_paths("4/5 of ../runs/NAME, a/b/c/d and 1 / 2") == "4/5 of ../runs/NAME, a/b/c/d and 1 / 2"


@pytest.mark.slow
@pytest.mark.parametrize("name", [pytest.param(n, marks=[pytest.mark.hours] * (n in LONG)) for n in REDUCED])
def test_runs_from_clean(name, run, classified_quickly):
    """The classifier that its evaluations need is in the cache, hardly trained."""
    measuring.small_classifier("digits", "", 0)
    values, number, _ = REDUCED[name]
    assert_runs(name, run, values, number)


@pytest.mark.slow
def test_reads_a_run_of_ones_own(command, run):
    """The notebook that trains one first, where none is given, is among the long ones."""
    command("sn_gan.py", "--workdir=own", steps=20)
    assert_runs("04_reading_a_checkpoint", run, {"workdir": str(pathlib.Path("own").absolute())}, 10)


def assert_runs(name, run, values, number):
    """Without an error or a warning, to so many pictures."""
    notebook = run.executed(FOLDER / f"{name}.ipynb", values)
    assert pictures(notebook) == number
    outputs = [output for cell in run.codes(notebook) for output in cell.outputs]
    said = "".join(output.text for output in outputs if output.output_type == "stream" and output.name == "stderr")
    assert "Warning" not in said
