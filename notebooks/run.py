"""Makes the outputs that a notebook is committed with: python notebooks/run.py [NAME ...], all of them by default.

Each runs from clean in its own folder, at full size. What stays is what a reader is to see: text, and pictures of few
colours; neither what is said on standard error, nor paths of the machine that it ran on. The metadata has a digest of
the sources, by which a test tells outputs that are older than these.
"""

import base64
import hashlib
import io
import os
import pathlib
import re
import sys
import tempfile
from typing import Any

import nbclient
import nbformat
from PIL import Image

FOLDER = pathlib.Path(__file__).parent
WIDTH, COLOURS = 640, 64  # of a committed picture, at most


def main(names: list[str]) -> None:
    """Runs these notebooks, and writes them with their outputs."""
    for name in names or sorted(path.stem for path in FOLDER.glob("*.ipynb")):
        path = FOLDER / f"{pathlib.Path(name).stem}.ipynb"
        notebook = executed(path)
        for cell in codes(notebook):
            cell.outputs, cell.metadata = shown(cell.outputs), {k: v for k, v in cell.metadata.items() if k == "tags"}
        notebook.metadata = {
            "kernelspec": {"display_name": "Python 3", "language": "python", "name": "python3"},
            "language_info": {"name": "python"},
            "sources": digest(notebook),
        }
        nbformat.write(notebook, path)
        print(f"{path.name}: {path.stat().st_size / 1000:.0f} kB")


def executed(path: pathlib.Path, values: dict[str, Any] | None = None) -> Any:
    """The notebook with all its outputs, run from clean. values: others than those that its parameters have."""
    notebook = nbformat.read(path, as_version=4)
    if values:
        (place,) = [i for i, cell in enumerate(notebook.cells) if cell.metadata.get("tags") == ["parameters"]]
        assert all(f"{variable} = " in notebook.cells[place].source for variable in values)
        others = "\n".join(f"{variable} = {value!r}" for variable, value in values.items())
        notebook.cells.insert(place + 1, nbformat.v4.new_code_cell(others))
    with tempfile.TemporaryDirectory() as folder:
        client = nbclient.NotebookClient(notebook, timeout=3600, resources={"metadata": {"path": str(path.parent)}})
        client.execute(env=os.environ | {"IPYTHONDIR": folder})
    return notebook


def codes(notebook: Any) -> list[Any]:
    """Its cells of code."""
    return [cell for cell in notebook.cells if cell.cell_type == "code"]


def digest(notebook: Any) -> str:
    """Of the sources of its code."""
    return hashlib.sha256("\0".join(cell.source for cell in codes(notebook)).encode()).hexdigest()[:16]


def shown(outputs: list[Any]) -> list[Any]:
    """Those that a reader is to see."""
    kept = [output for output in outputs if output.get("name") != "stderr"]
    for output in kept:
        if output.output_type == "stream":
            output.text = without_paths(output.text)
        if "image/png" in output.get("data", {}):
            output.data = {"image/png": smaller(output.data["image/png"])}
            output.metadata = {}
    return kept


def without_paths(text: str) -> str:
    """The text, of whose absolute paths the last part is left; what the web is asked for stays."""
    found = r"(https?://\S+)|(?<![\w.])/(?:[\w.-]+/)+([\w.-]+)"
    return re.sub(found, lambda match: match[1] or f".../{match[2]}", text)


def smaller(picture: str) -> str:
    """The PNG, at most `WIDTH` pixels wide and in few colours."""
    image = Image.open(io.BytesIO(base64.b64decode(picture))).convert("RGB")
    image.thumbnail((WIDTH, 4 * WIDTH), Image.Resampling.LANCZOS)
    file = io.BytesIO()
    image.quantize(COLOURS, dither=Image.Dither.NONE).save(file, format="png", optimize=True)
    return base64.b64encode(file.getvalue()).decode()


if __name__ == "__main__":
    main(sys.argv[1:])
