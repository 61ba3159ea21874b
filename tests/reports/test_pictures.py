import numpy as np
import pytest
from PIL import Image

from gan_jax.reports import pictures

RED, GREY = np.array([214, 39, 40]), np.array([178, 178, 178])  # matplotlib's tab:red and 0.7


def read(path):
    with Image.open(path) as image:
        return np.asarray(image.convert("RGB")).astype(int)


def count(pixels, colour, tolerance=8):
    return int((np.abs(pixels - colour).max(axis=-1) <= tolerance).sum())


@pytest.mark.parametrize("channels", [1, 3])
def test_grid_holds_every_image_in_reading_order(tmp_path, channels):
    images = np.arange(6 * 4 * 5 * channels, dtype=np.uint8).reshape(6, 4, 5, channels)
    pictures.image_grid(tmp_path / "grid.png", images, columns=3)
    pixels = read(tmp_path / "grid.png")
    scale = 34  # the smallest whole number with 3 * 5 * 34 >= 500
    assert pixels.shape == (2 * (4 * scale + 2) + 2, 3 * (5 * scale + 2) + 2, 3)
    for index in range(6):
        top, left = 2 + index // 3 * (4 * scale + 2), 2 + index % 3 * (5 * scale + 2)
        cell = pixels[top : top + 4 * scale, left : left + 5 * scale]
        expected = np.kron(images[index], np.ones((scale, scale, 1)))
        np.testing.assert_array_equal(cell, np.broadcast_to(expected, cell.shape))


@pytest.mark.parametrize(("n", "cells"), [(1, (1, 1)), (4, (2, 2)), (5, (2, 3)), (64, (8, 8))])
def test_grid_is_nearly_square(tmp_path, n, cells):
    pictures.image_grid(tmp_path / "grid.png", np.zeros((n, 600, 600, 1), np.uint8)[:, ::10, ::10])
    with Image.open(tmp_path / "grid.png") as image:
        width, height = image.size
    assert width >= 500
    assert height / width == pytest.approx(cells[0] / cells[1], abs=0.01)


@pytest.mark.parametrize("is_of_columns", [False, True])
def test_names_stand_beside_the_grid_and_leave_it_as_it_is(tmp_path, is_of_columns):
    images = np.random.default_rng(0).integers(0, 256, (6, 40, 80, 3), np.uint8)
    pictures.image_grid(tmp_path / "plain.png", images, 3)
    pictures.image_grid(tmp_path / "named.png", images, 3, ["Été", ""], is_of_columns)
    plain, named = read(tmp_path / "plain.png"), read(tmp_path / "named.png")
    margin = named.shape[not is_of_columns] - plain.shape[not is_of_columns]
    assert margin > 10
    turned = named.swapaxes(0, 1) if is_of_columns else named  # the margin on the left, first rows first
    np.testing.assert_array_equal(turned[:, margin:], plain.swapaxes(0, 1) if is_of_columns else plain)
    half = turned.shape[0] // (3 if is_of_columns else 2)
    assert turned[:half, :margin].min() < 100  # the first has a name
    assert turned[half + 10 :, :margin].min() == 255


def test_large_images_keep_their_size(tmp_path):
    pictures.image_grid(tmp_path / "grid.png", np.zeros((4, 256, 256, 3), np.uint8))
    assert read(tmp_path / "grid.png").shape == (518, 518, 3)


@pytest.mark.parametrize(
    ("images", "columns"),
    [
        (np.zeros((2, 4, 4, 1)), None),
        (np.zeros((2, 4, 4), np.uint8), None),
        (np.zeros((2, 4, 4, 2), np.uint8), None),
        (np.zeros((0, 4, 4, 1), np.uint8), None),
        (np.zeros((2, 4, 4, 1), np.uint8), 0),
    ],
)
def test_grid_refuses(tmp_path, images, columns):
    with pytest.raises(ValueError, match="must be"):
        pictures.image_grid(tmp_path / "grid.png", images, columns)
    assert not list(tmp_path.iterdir())


def test_scatter_shows_both_and_is_not_spoilt_by_outliers(tmp_path):
    rng = np.random.default_rng(0)
    real = rng.uniform(-1, 1, size=(500, 2))
    fake = rng.uniform(-0.2, 0.2, size=(500, 2))
    pictures.scatter(tmp_path / "a.png", fake, real, "title")
    pictures.scatter(tmp_path / "b.png", np.concatenate([fake, [[1e9, 0], [np.nan, 0]]]), real, "title")
    a, b = read(tmp_path / "a.png"), read(tmp_path / "b.png")
    assert count(a, GREY) > 1000
    # Only the legend's numbers differ: the reals and their axes stay where they were.
    legend = round(0.92 * len(a))
    np.testing.assert_array_equal(a[:legend], b[:legend])
    assert (a[legend:] != b[legend:]).any()


def test_scatter_of_reals_on_one_axis(tmp_path):
    real = np.stack([np.zeros(50), np.linspace(0, 1, 50)], axis=1)
    pictures.scatter(tmp_path / "a.png", np.add(real, [0.1, 0]), real, "title")
    assert count(read(tmp_path / "a.png"), GREY) > 500


def test_scatter_refuses(tmp_path):
    with pytest.raises(ValueError, match="got shapes"):
        pictures.scatter(tmp_path / "a.png", np.zeros((3, 3)), np.zeros((3, 2)), "title")


def run(**columns):
    return [
        dict(zip(["step", *columns], row, strict=True)) for row in zip(range(1, 21), *columns.values(), strict=True)
    ]


WAVE = [float(x) for x in np.sin(np.arange(20))]
LOSSES = {"critic_loss": WAVE, "generator_loss": WAVE[::-1]}


@pytest.mark.parametrize(
    ("records", "evaluations", "panels"),
    [
        ([], [], 1),
        (run(**LOSSES), [], 1),
        (run(**LOSSES, wasserstein_estimate=WAVE), [], 2),
        (run(**LOSSES, real_logits=WAVE, fake_logits=WAVE, penalty=WAVE), [], 3),
        (run(**LOSSES, augment_probability=WAVE, real_signs=WAVE), [], 2),
        (run(**LOSSES, other=WAVE), [{"step": 5, "frechet": 3.0, "modes": 8, "name": "x", "protocol": {"n": 1}}], 3),
        (run(critic_loss=[None] * 20, penalty=[None, *WAVE[1:]]), [], 1),
        ([{"step": 3, "critic_loss": 1.0}], [{"step": 1, "w1": None}, {"step": 2, "w1": 0.5}], 2),
    ],
)
def test_curves_have_a_panel_for_each_kind_of_number(tmp_path, records, evaluations, panels):
    pictures.curves(tmp_path / "curves.png", records, "title", evaluations)
    pixels = read(tmp_path / "curves.png")
    # The left spine of a panel is its one long vertical black line.
    black = (pixels < 40).all(axis=-1)
    spine = black[:, black.sum(axis=0).argmax()]
    starts = np.flatnonzero(np.diff(spine.astype(int), prepend=0) == 1)
    lengths = [spine[start:].argmin() or len(spine) - start for start in starts]
    assert sum(length > 50 for length in lengths) == panels


def test_a_peak_does_not_flatten_the_rest(tmp_path):
    wave = 3 * np.sin(np.arange(400) / 20)
    for name, first in [("plain", 0.0), ("peak", -1000.0)]:
        records = [{"step": step, "critic_loss": float(y)} for step, y in enumerate([first, *wave])]
        pictures.curves(tmp_path / f"{name}.png", records, "title")
    blue = np.array([31, 119, 180])
    rows = {
        name: np.ptp(np.flatnonzero((np.abs(read(tmp_path / f"{name}.png")[60:] - blue).max(-1) <= 8)[:, 300:].any(1)))
        for name in ("plain", "peak")
    }
    assert rows["peak"] > 0.7 * rows["plain"]


@pytest.mark.parametrize("channels", [1, 3])
def test_evaluation_shows_samples_above_their_nearest_reals_and_the_curve(tmp_path, channels):
    """Samples are of one colour, each rank of reals of another: each is found, in this order from above."""
    ranks = [np.full((3, 8, 8, channels), level, np.uint8) for level in (250, 190, 100, 20)]
    path = tmp_path / "evaluation.png"
    pictures.evaluation(path, ranks[0], np.stack(ranks[1:], axis=1), {10: 3.0, 20: 1.0, 30: 2.0}, 20, "fid")
    pixels = read(path)
    column = pixels[: pixels.shape[0] * 3 // 5, pixels.shape[1] // 2, 0]  # through the middle of the middle tiles
    places = [np.flatnonzero(np.abs(column - level) <= 2) for level in (250, 190, 100, 20)]
    assert all(len(place) > 10 for place in places)
    assert [place.mean() for place in places] == sorted(place.mean() for place in places)


def test_evaluation_of_points_is_the_curve_alone(tmp_path):
    points = np.zeros((3, 2), np.float32)
    pictures.evaluation(tmp_path / "a.png", points, np.zeros((3, 4, 2)), {10: 3.0, 20: 1.0}, 20, "wasserstein_1")
    pictures.evaluation(tmp_path / "b.png", points, np.zeros((3, 4, 2)), {}, None, "wasserstein_1")
    with Image.open(tmp_path / "a.png") as a, Image.open(tmp_path / "b.png") as b:
        assert a.size == b.size
        assert a.size[0] > 2 * a.size[1]
