"""Features of many images: neither the order, nor the parts, nor the batches may change a number."""

import numpy as np
import pytest

from gan_jax.features import cache, extraction
from gan_jax.features.extraction import Network, extract

IMAGES = np.random.default_rng(0).integers(0, 256, (21, 3, 4, 1), dtype=np.uint8)


def moments(images):
    """Two features that are known, and a logit: the batch must be full, or a compiled program would not take it."""
    pixels = np.asarray(images, np.float32).reshape(len(images), -1)
    return np.stack([pixels.mean(axis=1), pixels.std(axis=1)], axis=1), pixels[:, :1]


EXPECTED = np.stack([IMAGES.mean(axis=(1, 2, 3)), IMAGES.std(axis=(1, 2, 3))], axis=1)


def read(start, stop):
    return IMAGES[start:stop]


@pytest.mark.parametrize("is_costly", [False, True])
@pytest.mark.parametrize(("part", "batch"), [(256, 16), (5, 2), (7, 7), (1, 4), (21, 20)])
def test_every_image_counts_whatever_the_parts_and_batches(monkeypatch, tmp_path, part, batch, is_costly):
    monkeypatch.setenv("GAN_JAX_CACHE", str(tmp_path))
    monkeypatch.setattr(extraction, "PART", part)
    monkeypatch.setattr(extraction, "BATCH_ON_CPU", batch)
    found = extract(Network("moments", moments, True, is_costly), read, len(IMAGES))
    np.testing.assert_allclose(found.features, EXPECTED, rtol=1e-6)
    np.testing.assert_array_equal(found.logits, IMAGES.reshape(21, -1)[:, :1])


def test_batches_have_one_size(monkeypatch):
    monkeypatch.setattr(extraction, "BATCH_ON_CPU", 4)
    sizes = []

    def noted(images):
        sizes.append(len(images))
        return moments(images)

    extract(Network("noted", noted), read, len(IMAGES))
    assert set(sizes) == {4}


SIZES = [(3, 4, 1), (5, 2, 1), (3, 4, 1), (9, 9, 1), (1, 1, 1)]
OF_ANY_SIZE = [np.random.default_rng(seed).integers(0, 256, size, dtype=np.uint8) for seed, size in enumerate(SIZES)]


@pytest.mark.parametrize("is_costly", [False, True])
@pytest.mark.parametrize("batch", [1, 2, 5, 16])
def test_images_of_any_size_are_few_at_once_and_each_counts(monkeypatch, tmp_path, batch, is_costly):
    """The network here takes 2 x 2 pixels, whose corners an image of any size has."""
    monkeypatch.setenv("GAN_JAX_CACHE", str(tmp_path))
    monkeypatch.setattr(extraction, "BATCH_OF_ANY_SIZE", batch)
    asked, given = [], []

    def corners(image):
        return image[[0, 0, -1, -1], [0, -1, 0, -1]].reshape(2, 2, 1).astype(np.float32)

    def noted(images):
        given.append(images.shape)
        return moments(images)

    def read_some(start, stop):
        asked.append(stop - start)
        return OF_ANY_SIZE[start:stop]

    network = Network("corners", noted, True, is_costly, corners)
    expected = [[corners(image).mean(), corners(image).std()] for image in OF_ANY_SIZE]
    for _ in range(2):
        found = extract(network, read_some, 5, any_size=True)
        np.testing.assert_allclose(found.features, expected, rtol=1e-6)
    assert max(asked) <= batch
    assert {*given} == {(batch, 2, 2, 1)}
    assert len(given) == -(-5 // batch) * (1 if is_costly else 2)  # the second time, what is costly is kept


def test_a_run_that_was_killed_goes_on_where_it_was(monkeypatch, tmp_path):
    monkeypatch.setenv("GAN_JAX_CACHE", str(tmp_path))
    monkeypatch.setattr(extraction, "PART", 5)
    calls = []

    def dies(images):
        calls.append(1)
        if len(calls) == 3:
            raise KeyboardInterrupt
        return moments(images)

    with pytest.raises(KeyboardInterrupt):
        extract(Network("n", dies, True, is_costly=True), read, len(IMAGES))
    found = extract(Network("n", dies, True, is_costly=True), read, len(IMAGES))
    np.testing.assert_allclose(found.features, EXPECTED, rtol=1e-6)
    assert len(calls) == 3 + 3  # five parts, of which two were kept


def test_what_is_kept_belongs_to_the_pixels_and_to_the_network(monkeypatch, tmp_path):
    monkeypatch.setenv("GAN_JAX_CACHE", str(tmp_path))
    network, other = Network("a", moments, True, True), Network("b", moments, True, True)
    paths = {
        extraction.part_path(network, IMAGES),
        extraction.part_path(other, IMAGES),
        extraction.part_path(network, IMAGES[::-1]),
        extraction.part_path(network, IMAGES.reshape(21, 4, 3, 1)),
        extraction.part_path(network, IMAGES.astype(np.float32)),
        extraction.part_path(network, [*IMAGES.reshape(21, 2, 6, 1)]),
        extraction.part_path(network, [*IMAGES.reshape(21, 6, 2, 1)]),
    }
    assert len(paths) == 7
    assert all(path.is_relative_to(cache.folder()) for path in paths)
    assert extraction.part_path(network, IMAGES[::-1][::-1]) == extraction.part_path(network, IMAGES)


def test_a_damaged_part_is_computed_again(monkeypatch, tmp_path):
    monkeypatch.setenv("GAN_JAX_CACHE", str(tmp_path))
    network = Network("n", moments, True, is_costly=True)
    extract(network, read, len(IMAGES))
    (path,) = tmp_path.rglob("*.npz")
    path.write_bytes(path.read_bytes()[:100])
    np.testing.assert_allclose(extract(network, read, len(IMAGES)).features, EXPECTED, rtol=1e-6)
    path.write_bytes(b"")
    assert extract(network, read, len(IMAGES)).logits.shape == (21, 1)


RIGHT = {"features": np.zeros((21, 2), np.float32), "logits": np.zeros((21, 1), np.float32)}
OTHERS = {
    "without features": {"logits": RIGHT["logits"]},
    "without logits": {"features": RIGHT["features"]},
    "of other images": {name: array[:3] for name, array in RIGHT.items()},
    "in float64": {name: array.astype(float) for name, array in RIGHT.items()},
    "of one dimension": RIGHT | {"features": np.zeros(21, np.float32)},
}


@pytest.mark.parametrize("kind", OTHERS)
def test_a_part_that_is_something_else_is_left_alone_and_said_once(kind, monkeypatch, tmp_path, capsys):
    monkeypatch.setenv("GAN_JAX_CACHE", str(tmp_path))
    network = Network("n", moments, True, is_costly=True)
    path = extraction.part_path(network, IMAGES)
    path.parent.mkdir(parents=True)
    np.savez(path, **OTHERS[kind])
    before = path.read_bytes()
    for _ in range(2):
        np.testing.assert_allclose(extract(network, read, len(IMAGES)).features, EXPECTED, rtol=1e-6)
    assert path.read_bytes() == before
    (line,) = [line for line in capsys.readouterr().err.splitlines() if "gan_jax" in line]
    assert f"{path} holds something else" in line


def test_features_are_kept_only_where_that_pays(monkeypatch, tmp_path):
    monkeypatch.setenv("GAN_JAX_CACHE", str(tmp_path))
    extract(Network("cheap", moments), read, len(IMAGES))
    extract(Network("costly", moments, True, is_costly=True), read, len(IMAGES), is_kept=False)
    assert not list(tmp_path.rglob("*.npz"))
    extract(Network("costly", moments, True, is_costly=True), read, len(IMAGES))
    assert len(list(tmp_path.rglob("*.npz"))) == 1


def test_a_cache_that_cannot_be_written_is_said_once_and_stops_nothing(monkeypatch, tmp_path, capsys):
    (tmp_path / "file").write_text("no folder")
    monkeypatch.setenv("GAN_JAX_CACHE", str(tmp_path / "file"))
    monkeypatch.setattr(extraction, "PART", 5)
    found = extract(Network("n", moments, True, is_costly=True), read, len(IMAGES))
    np.testing.assert_allclose(found.features, EXPECTED, rtol=1e-6)
    (line,) = [line for line in capsys.readouterr().err.splitlines() if "gan_jax" in line]
    assert "$GAN_JAX_CACHE names another" in line
