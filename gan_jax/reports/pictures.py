"""Pictures of a run, as PNG files: sample grids, 2-D scatters and training curves. Every write is atomic."""

import io
import math
import os
import pathlib
from collections.abc import Iterable, Sequence
from numbers import Real
from typing import Any

import numpy as np
from matplotlib import font_manager
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

from gan_jax.errors import shown
from gan_jax.files import atomic

GRID_WIDTH = 500  # pixels; smaller pictures are enlarged
NAME_LENGTH = 20  # characters of a name beside a row
GAP, GAP_GREY = 2, 128  # grey tells neighbours apart on black and on white backgrounds
REAL_COLOUR, FAKE_COLOUR = "0.7", "tab:red"

# (axis label, {key in metrics.jsonl: name in the legend, "" where the axis label says it all})
PANELS = (
    ("loss", {"critic_loss": "critic", "generator_loss": "generator"}),
    ("Wasserstein estimate\n(critic units)", {"wasserstein_estimate": ""}),
    ("divergence estimate\n(lower bound)", {"divergence_estimate": ""}),
    ("mean logit", {"real_logits": "real", "fake_logits": "fake"}),
    ("penalty", {"penalty": ""}),
    ("augmentation", {"augment_probability": "probability", "real_signs": "mean sign of real logits"}),
)


def image_grid(
    path: str | os.PathLike[str],
    images: NDArray[np.uint8],
    columns: int | None = None,
    names: Sequence[str] = (),
    is_of_columns: bool = False,
) -> None:
    """Write images as one grid, row by row, at least 500 pixels wide.

    Small images are enlarged by a whole number, each pixel becoming a square, so nothing is blurred or invented.

    Args:
      path: a .png file.
      images: uint8 [n, h, w, c], n >= 1, c = 1 (grey) or 3 (RGB).
      columns: images a row; by default the grid is as square as possible.
      names: of the first rows, written on the left of them.
      is_of_columns: whether they are of the first columns instead, and written above them, turned.

    Raises:
      ValueError: images of another type or shape, or columns < 1.

    """
    if images.dtype != np.uint8 or images.ndim != 4 or images.shape[-1] not in (1, 3) or not len(images):
        raise ValueError(f"images must be uint8 [n, h, w, 1 or 3] with n >= 1, got {images.dtype} {images.shape}")
    columns = math.ceil(math.sqrt(len(images))) if columns is None else columns
    if columns < 1:
        raise ValueError(f"columns must be >= 1, got {columns}")
    scale = max(1, math.ceil(GRID_WIDTH / (columns * images.shape[2])))
    canvas = _tile(images.repeat(scale, axis=1).repeat(scale, axis=2), columns)
    grid = Image.fromarray(canvas[..., 0] if canvas.shape[-1] == 1 else canvas)
    if names and is_of_columns:
        turned = grid.transpose(Image.Transpose.ROTATE_90)  # whose first row is the last column
        names = [*names, *[""] * columns][:columns][::-1]
        grid = _with_names(turned, names, scale * images.shape[2] + GAP).transpose(Image.Transpose.ROTATE_270)
    elif names:
        grid = _with_names(grid, names[: -(-len(images) // columns)], scale * images.shape[1] + GAP)
    atomic.write(path, _png(grid))


def _png(picture: Image.Image) -> bytes:
    file = io.BytesIO()
    picture.save(file, format="png")
    return file.getvalue()


def single_images(folder: str | os.PathLike[str], images: NDArray[np.uint8]) -> None:
    """Write each image as it is: FOLDER/000000.png, 000001.png, ...; those of these names are replaced.

    Args:
      folder: is made where it is missing.
      images: uint8 [n, h, w, c], n from 1 to 10^6, c = 1 (grey) or 3 (RGB).

    """
    for index, image in enumerate(images):
        picture = Image.fromarray(image[..., 0] if image.shape[-1] == 1 else image)
        atomic.write(single_path(folder, index), _png(picture), is_lasting=False)
    atomic.sync(folder)


def single_path(folder: str | os.PathLike[str], index: int) -> pathlib.Path:
    """Where the picture of a single image lies."""
    return pathlib.Path(folder, f"{index:06}.png")


def single_paths(folder: str | os.PathLike[str]) -> list[pathlib.Path]:
    """All such pictures that are in a folder."""
    return sorted(pathlib.Path(folder).glob(f"{6 * '[0-9]'}.png"))


def _with_names(grid: Image.Image, names: Sequence[str], height: int) -> Image.Image:
    """The picture with a margin on its left, in which each `height` pixels have a name."""
    words = [name if len(name) <= NAME_LENGTH else f"{name[: NAME_LENGTH - 3]}..." for name in map(shown, names)]
    font = ImageFont.truetype(font_manager.findfont("DejaVu Sans"), size=max(8, min(16, height - 2 * GAP)))
    margin = math.ceil(max(font.getlength(word) for word in words)) + 4 * GAP
    wider = Image.new(grid.mode, (grid.width + margin, grid.height), "white")
    wider.paste(grid, (margin, 0))
    pen = ImageDraw.Draw(wider)
    for row, word in enumerate(words):
        pen.text((margin - 2 * GAP, GAP + (row + 0.5) * height), word, "black", font, anchor="rm")
    return wider


def scatter(path: str | os.PathLike[str], points: NDArray[Any], real: NDArray[Any], title: str) -> None:
    """Write generated points over real ones, on axes that fit the real ones; the legend counts those left outside.

    Args:
      path: a .png file.
      points: generated points [n, 2]; values that are not finite count as outside.
      real: real points [m, 2], m >= 1, finite.
      title: of the picture.

    Raises:
      ValueError: shapes other than [n, 2] and [m, 2].

    """
    if points.ndim != 2 or real.ndim != 2 or points.shape[1] != 2 or real.shape[1] != 2 or not len(real):
        raise ValueError(f"points and real must be [n, 2] and [m, 2], got shapes {points.shape} and {real.shape}")
    low, high = _limits(real)
    outside = int((~((points >= low) & (points <= high)).all(axis=1)).sum())
    figure = Figure(figsize=(6, 6), layout="constrained")
    axes = figure.add_subplot(xlabel="$x_1$", ylabel="$x_2$")
    axes.set_title(title, parse_math=False)  # it names a file of the user's
    fake_label = f"generated ({len(points):,}, {outside:,} outside)"
    axes.scatter(real[:, 0], real[:, 1], s=12, c=REAL_COLOUR, linewidths=0, label=f"real ({len(real):,})")
    axes.scatter(points[:, 0], points[:, 1], s=5, c=FAKE_COLOUR, alpha=0.6, linewidths=0, label=fake_label)
    axes.set(xlim=(low[0], high[0]), ylim=(low[1], high[1]), aspect="equal")
    figure.legend(loc="outside lower center", ncols=2, frameon=False, markerscale=2)
    save(path, figure)


def curves(
    path: str | os.PathLike[str],
    records: Sequence[dict[str, Any]],
    title: str,
    evaluations: Sequence[dict[str, Any]] = (),
    changes: dict[int, str] | None = None,
) -> None:
    """Write the course of a training run: one panel for each kind of number, above one another, on one step axis.

    Args:
      path: a .png file.
      records: of metrics.jsonl; each has `step`, and any of critic_loss, generator_loss, wasserstein_estimate,
        real_logits, fake_logits, penalty, augment_probability, real_signs. What is missing or None has no line; a panel
        without lines is left out.
      title: of the picture.
      evaluations: each has `step`, and numbers; every name gets its own panel, since their scales differ.
        What is not a number is left out.
      changes: {step: what was changed there}, each a thin line through all panels, with its words in the first.

    Rare peaks that would flatten the rest (the first steps of a WGAN) are cut off, and the panel then says so.

    """
    panels = [(label, _lines(records, names), "") for label, names in PANELS]
    panels += [(name.replace("_", " "), _lines(evaluations, {name: ""}), "o") for name in _number_names(evaluations)]
    panels = [panel for panel in panels if panel[1]] or [("loss", {}, "")]
    figure = Figure(figsize=(8, 1 + 1.9 * len(panels)), layout="constrained")
    figure.suptitle(title, parse_math=False)  # it names a file of the user's
    grid = figure.subplots(len(panels), sharex=True, squeeze=False)[:, 0]
    for axes, (label, lines, marker) in zip(grid, panels, strict=True):
        _draw(axes, label, lines, marker)
    _mark(grid, changes or {})
    grid[-1].set_xlabel("generator step")
    grid[-1].xaxis.set_major_locator(MaxNLocator(integer=True, min_n_ticks=1))
    figure.align_ylabels()
    save(path, figure)


def evaluation(
    path: str | os.PathLike[str],
    samples: NDArray[Any],
    nearest: NDArray[Any],
    values: dict[int, float],
    best: int | None,
    name: str,
) -> None:
    """Write samples beside the reals that are nearest to them, and below a number over the checkpoints of a run.

    Args:
      path: a .png file.
      samples: uint8 images [s, h, w, c], or points [s, 2], for which there is the curve alone.
      nearest: of each sample, the nearest reals, the nearest first: uint8 [s, k, h, w, c], of the same images.
      values: {step: number}, in the order of the steps; there may be none.
      best: the step whose number is the best one.
      name: of the number.

    """
    is_images = samples.ndim == 4
    figure = Figure(figsize=(8, 8 if is_images else 3.5), layout="constrained")
    rows = figure.subplots(2 if is_images else 1, squeeze=False, height_ratios=[2, 1] if is_images else None)[:, 0]
    if is_images:
        reals = nearest.swapaxes(0, 1).reshape(-1, *samples.shape[1:])
        grids = [_tile(images, len(samples)) for images in (samples, reals)]
        between = np.full((4 * GAP, *grids[0].shape[1:]), 255, np.uint8)
        tiles = np.concatenate([grids[0], between, grids[1]])
        rows[0].imshow(tiles.repeat(3 // tiles.shape[-1], axis=-1), interpolation="nearest")
        rows[0].set(title="samples, and below each the reals nearest to it", xticks=[], yticks=[])
    _draw(rows[-1], name.replace("_", " "), {"": (list(values), list(values.values()))} if values else {}, "o")
    for word, step, size in (("best", best, 12), ("last", max(values), 7)) if best is not None else ():
        rows[-1].plot(step, values[step], "o", markersize=size, label=f"{word}: {values[step]:.4g} at step {step:,}")
    rows[-1].set_xlabel("generator step")
    rows[-1].xaxis.set_major_locator(MaxNLocator(integer=True, min_n_ticks=1))
    if best is not None:
        rows[-1].legend(frameon=False)
    save(path, figure)


def save(path: str | os.PathLike[str], figure: Figure) -> None:
    """Write any figure as a PNG file, 110 pixels an inch."""
    file = io.BytesIO()
    figure.savefig(file, format="png", dpi=110)
    atomic.write(path, file.getvalue())


def _tile(images: NDArray[np.uint8], columns: int) -> NDArray[np.uint8]:
    """[n, h, w, c] -> [rows * (h + GAP) + GAP, columns * (w + GAP) + GAP, c]; cells without image stay grey."""
    n, h, w, c = images.shape
    rows = math.ceil(n / columns)
    canvas = np.full((rows * (h + GAP) + GAP, columns * (w + GAP) + GAP, c), GAP_GREY, np.uint8)
    for index, image in enumerate(images):
        top, left = GAP + index // columns * (h + GAP), GAP + index % columns * (w + GAP)
        canvas[top : top + h, left : left + w] = image
    return canvas


def _limits(real: NDArray[Any]) -> tuple[NDArray[Any], NDArray[Any]]:
    """Lower and upper limits [2] around the real points, with a margin even where they lie on one axis."""
    low, high = real.min(axis=0), real.max(axis=0)
    margin = 0.2 * (high - low).max() or 1.0
    return low - margin, high + margin


def _lines(records: Sequence[dict[str, Any]], names: dict[str, str]) -> dict[str, tuple[list[int], list[float]]]:
    """{name in the legend: (steps, values)} for the names that any record holds as a number."""
    lines = {}
    for key, label in names.items():
        held = [record for record in records if key in record]
        # A number that was not finite is None in the file: NaN leaves a gap in the line.
        values = [record[key] if _is_number(record[key]) else math.nan for record in held]
        if np.isfinite(values).any():
            lines[label] = ([record["step"] for record in held], values)
    return lines


def _number_names(evaluations: Sequence[dict[str, Any]]) -> list[str]:
    found = {name: None for record in evaluations for name, value in record.items() if _is_number(value)}
    return [name for name in found if name != "step"]


def _is_number(value: Any) -> bool:
    return isinstance(value, Real) and not isinstance(value, bool)


def _draw(axes: Axes, label: str, lines: dict[str, tuple[list[int], list[float]]], marker: str) -> None:
    for name, (steps, values) in lines.items():
        axes.plot(steps, values, label=name, linewidth=1.2, marker=marker or ("o" if len(steps) == 1 else ""))
    axes.set_ylabel(label)
    axes.grid(alpha=0.3)
    axes.spines[["top", "right"]].set_visible(False)
    axes.margins(x=0.01)
    if any(lines):  # any name that says more than the axis label
        axes.legend(loc="lower right", bbox_to_anchor=(1, 1), ncols=2, frameon=False, borderaxespad=0)
    if lines:
        _cut_peaks(axes, np.concatenate([values for _, values in lines.values()]))


def _mark(grid: Iterable[Axes], changes: dict[int, str]) -> None:
    first, *others = grid
    for step, words in changes.items():
        for axes in (first, *others):
            axes.axvline(step, color="0.4", linewidth=0.8)
        place = first.get_xaxis_transform()  # x in steps, y from the bottom of the panel to its top
        text = first.annotate(
            words.replace(", ", "\n"), (step, 1), (2, -2), xycoords=place, textcoords="offset points", rotation=90
        )
        text.set(fontsize=5, color="0.4", ha="left", va="top", in_layout=False)


def _cut_peaks(axes: Axes, values: NDArray[Any]) -> None:
    low, high = np.nanquantile(values, [0.01, 0.99])
    if np.nanmax(values) - np.nanmin(values) > 3 * (high - low) > 0:
        axes.set_ylim(low - 0.2 * (high - low), high + 0.2 * (high - low))
        axes.text(0, 1.03, "peaks cut off", transform=axes.transAxes, fontsize="small", color="0.4")
