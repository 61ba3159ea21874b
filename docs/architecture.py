"""Draws docs/architecture.png: rooms by their floors, as pyproject.toml has them, and which imports which.

python docs/architecture.py
"""

import collections
import pathlib
import tomllib

import grimp
from matplotlib.figure import Figure

ROOT = pathlib.Path(__file__).parents[1]
BOX = {"boxstyle": "round,pad=0.5", "facecolor": "#eef3f8", "edgecolor": "#456"}


def floors() -> list[list[str]]:
    """The rooms of each floor, from the top down."""
    contract = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["importlinter"]["contracts"][0]
    return [[room.strip() for room in layer.split("|")] for layer in contract["layers"]]


def arrows() -> collections.Counter:
    """{(room, a room that it imports): imports}.

    Without those of `errors`, which all have, and of the program that lies where it does not belong.
    """
    graph, found = grimp.build_graph("gan_jax"), collections.Counter()
    for module in graph.modules - {"gan_jax", "gan_jax.metrics.__main__"}:
        for other in graph.find_modules_directly_imported_by(module):
            rooms = tuple(name.split(".")[1] for name in (module, other) if "." in name)
            if len(rooms) == 2 and rooms[0] != rooms[1] and rooms[1] != "errors":
                found[rooms] += 1
    return found


def main():
    """Writes the picture."""
    rooms = floors()
    place = {
        room: ((i + 1) / (len(floor) + 1) * 10 + (1.1 * (-1) ** row if len(floor) == 1 else 0), len(rooms) - row)
        for row, floor in enumerate(rooms)  # lone rooms stand to the left and to the right in turn
        for i, room in enumerate(floor)
    }
    figure = Figure(figsize=(10, 9), layout="constrained")
    axes = figure.subplots()
    for (above, below), count in arrows().items():
        (x, y), (end, bottom) = place[above], place[below]
        is_far = y - bottom > 1
        style = {"arrowstyle": "-|>", "color": "#789", "alpha": 0.35 if is_far else 0.9, "lw": min(0.5 + count / 6, 3)}
        bend = {"connectionstyle": f"arc3,rad={0.12 if is_far else 0.0}"}
        axes.annotate("", (end, bottom + 0.2), (x, y - 0.2), arrowprops=style | bend)
    for room, (x, y) in place.items():
        axes.text(x, y, room, ha="center", va="center", fontsize=12, bbox=BOX)
    axes.set(xlim=(0, 10), ylim=(0.5, len(rooms) + 0.5))
    axes.axis("off")
    figure.savefig(ROOT / "docs/architecture.png", dpi=110)


if __name__ == "__main__":
    main()
