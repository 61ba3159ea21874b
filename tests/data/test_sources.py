import dataclasses

import jax
import numpy as np
import pytest

from gan_jax.data import sources
from gan_jax.data.images import NAMES
from gan_jax.errors import UserError

POINTS = {"ring": 8, "grid": 25, "swiss_roll": 0, "lines": 2}


def source_of(name, tfds_dir, memory_mb=100.0):
    return sources.load(name, "" if name in POINTS else str(tfds_dir), 0, memory_mb)


@pytest.mark.parametrize(("name", "shape", "num_classes"), [
    ("digits", (8, 8, 1), 10),
    ("mnist", (32, 32, 1), 10),
    ("fashion_mnist", (32, 32, 1), 10),
    ("cifar10", (32, 32, 3), 10),
    *[(name, (2,), components) for name, components in POINTS.items()],
])  # fmt: skip
@pytest.mark.slow
def test_a_source_says_what_its_batches_are(name, shape, num_classes, tfds_dir):
    source = source_of(name, tfds_dir)
    assert (source.name, source.shape, source.num_classes, source.stream) == (name, shape, num_classes, None)
    batch = jax.jit(source.draw, static_argnums=(3, 4))(source.arrays, jax.random.key(0), 0, 2, 16)
    assert (batch.image.shape, batch.image.dtype) == ((2, 16, *shape), "float32")
    assert (batch.label.shape, batch.label.dtype) == ((2, 16), "int32")
    assert batch.label.min() >= 0
    assert batch.label.max() < max(num_classes, 1)
    assert sources.is_points(name) == (name in POINTS)
    assert name in NAMES
    if name not in POINTS:
        assert np.abs(batch.image).max() <= 1


@pytest.mark.slow
@pytest.mark.parametrize("name", ["digits", "cifar10"])
def test_memory_mb_0_streams_the_same_images(name, tfds_dir):
    held, streamed = source_of(name, tfds_dir), source_of(name, tfds_dir, memory_mb=0)
    assert (streamed.shape, streamed.num_classes, streamed.arrays, streamed.draw) == (held.shape, 10, {}, None)
    n = len(held.arrays["label"])
    epoch = next(streamed.stream(0, 1, n))
    in_order = {image.tobytes(): label for image, label in zip(*held.arrays.values(), strict=True)}
    assert {image.tobytes(): label for image, label in zip(epoch.image[0], epoch.label[0], strict=True)} == in_order


def test_the_limit_is_the_size_in_uint8():
    size = 1797 * 8 * 8 / 1e6
    assert sources.load("digits", "", 0, size).stream is None
    assert sources.load("digits", "", 0, size - 1e-6).draw is None


def test_reference_takes_all_or_a_seeded_subset_without_replacement():
    images, labels, *_ = sources.reference("digits", "", 0, "all", 0, 0)
    assert (images.shape, images.dtype, labels.dtype) == ((1797, 8, 8, 1), np.uint8, np.int32)
    some, some_labels, *_ = sources.reference("digits", "", 0, "all", 500, 0)
    everything = {image.tobytes(): label for image, label in zip(images, labels, strict=True)}
    assert len(everything) == 1797  # all differ, so that a repetition would show
    assert len({image.tobytes() for image in some}) == 500
    assert [everything[image.tobytes()] for image in some] == some_labels.tolist()
    np.testing.assert_array_equal(sources.reference("digits", "", 0, "all", 500, 0)[0], some)
    assert len(sources.reference("digits", "", 0, "all", 5000, 0)[0]) == 1797
    assert not np.array_equal(sources.reference("digits", "", 0, "all", 500, 1)[0], some)


def test_reference_reads_only_the_images_it_takes(monkeypatch):
    read = []
    opened = sources.open_images("digits", "", 0, "all")
    counted = dataclasses.replace(opened, read=lambda i: read.append(i) or opened.read(i))
    monkeypatch.setattr(sources, "open_images", lambda *_: counted)
    sources.reference("digits", "", 0, "all", 20, 0)
    assert len(set(read)) == len(read) == 20


def test_reference_draws_mixtures():
    points, component, *_ = sources.reference("grid", "", 0, "train", 300, 0)
    assert (points.shape, points.dtype, component.shape, component.dtype) == ((300, 2), np.float32, (300,), np.int32)
    assert not np.array_equal(points, sources.reference("grid", "", 0, "train", 300, 1)[0])


@pytest.mark.parametrize(("name", "num", "words"), [
    ("ring", 0, "ask for a positive number"),
    ("digits", -1, "ask for a positive number"),
])  # fmt: skip
def test_impossible_references_are_refused(name, num, words):
    with pytest.raises(UserError, match=words):
        sources.reference(name, "", 0, "all", num, 0)


def test_balanced_rows_have_every_row_and_every_class_as_often():
    labels = np.array([2, 0, 0, 2, 2, 1, 2, 0, 2])
    rows = sources.balanced_rows(labels)
    assert np.bincount(labels[rows]).tolist() == [5, 5, 5]
    assert set(rows) == set(range(9))
    assert (np.diff(rows) >= 0).all()
    counts = np.bincount(rows)
    assert all(counts[labels == label].max() - counts[labels == label].min() <= 1 for label in range(3))
