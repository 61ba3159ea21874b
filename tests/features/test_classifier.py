import io

import jax
import numpy as np
import pytest
from sklearn.datasets import load_digits

from gan_jax.features import classifier as module
from gan_jax.features import extraction
from gan_jax.features.classifier import features_and_logits, load, save, train_classifier


@pytest.fixture(scope="module")
def digits():
    """(images, labels, held-out images, held-out labels): of each class, every fifth is held out."""
    digits = load_digits()
    images, labels = np.round(digits.images * 255 / 16).astype(np.uint8)[..., None], digits.target
    is_held_out = np.zeros(len(labels), bool)
    for k in range(10):
        is_held_out[np.flatnonzero(labels == k)[::5]] = True
    return images[~is_held_out], labels[~is_held_out], images[is_held_out], labels[is_held_out]


@pytest.fixture(scope="module")
def trained(digits):
    return train_classifier("digits", *digits)


@pytest.fixture
def briefly(monkeypatch):
    monkeypatch.setattr(module, "MIN_STEPS", 50)


def same(a, b):
    leaves = zip(jax.tree.leaves(a.params), jax.tree.leaves(b.params), strict=True)
    return a._replace(params=None) == b._replace(params=None) and all(np.array_equal(x, y) for x, y in leaves)


def test_digits_are_recognised(digits, trained):
    *_, images, labels = digits
    features, logits = features_and_logits(trained, images)
    assert features.shape == (len(images), 64)
    assert logits.shape == (len(images), 10)
    assert features.dtype == logits.dtype == np.float32
    assert features.min() >= 0
    assert trained.accuracy == np.mean(logits.argmax(1) == labels)
    assert 0.95 <= trained.accuracy <= 1
    assert trained.protocol.startswith(
        f"gan_jax classifier v1 on digits, 64 features, accuracy {trained.accuracy:.3f} ("
    )


def test_features_are_those_of_the_network_in_pytorch(digits, trained):
    torch = pytest.importorskip("torch")
    functional, params = torch.nn.functional, trained.params
    x = torch.tensor(digits[2]).permute(0, 3, 1, 2) / 255
    for layer in range(3):
        kernel, bias = (torch.tensor(params[f"Conv_{layer}"][part]) for part in ("kernel", "bias"))
        # 8 -> 4 -> 2 -> 1: with stride 2 the one row and column of zeros lie after the image.
        x = functional.conv2d(functional.pad(x, (0, 1, 0, 1)), kernel.permute(3, 2, 0, 1), bias, stride=2).relu()
    first, last = ([torch.tensor(params[f"Dense_{i}"][part]) for part in ("kernel", "bias")] for i in (0, 1))
    features = (x.permute(0, 2, 3, 1).flatten(1) @ first[0] + first[1]).relu()
    ours = features_and_logits(trained, digits[2])
    np.testing.assert_allclose(ours[0], features, rtol=1e-4, atol=1e-4)
    np.testing.assert_allclose(ours[1], features @ last[0] + last[1], rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("chunk", [1, 7, 64, 1000])
def test_an_images_outputs_are_its_own(digits, trained, monkeypatch, chunk):
    images = digits[2][:100]
    expected = features_and_logits(trained, images)
    monkeypatch.setattr(extraction, "BATCH_ON_CPU", chunk)
    monkeypatch.setattr(extraction, "PART", 3 * chunk)
    order = np.random.default_rng(0).permutation(100)
    for output, reference in zip(features_and_logits(trained, images[order]), expected, strict=True):
        np.testing.assert_allclose(output, reference[order], rtol=1e-5, atol=1e-5)
    for output, reference in zip(features_and_logits(trained, images[97:]), expected, strict=True):
        np.testing.assert_allclose(output, reference[97:], rtol=1e-5, atol=1e-5)


@pytest.mark.slow
def test_the_same_seed_gives_the_same_bits(digits, briefly):
    first, again, other = (train_classifier("digits", *digits, seed=seed) for seed in (3, 3, 4))
    assert same(first, again)
    assert not same(first, other)


@pytest.mark.slow
@pytest.mark.parametrize("shape", [(12, 9, 3), (5, 5, 1), pytest.param((32, 32, 1), marks=pytest.mark.hours)])
def test_any_size_and_any_channels(briefly, shape):
    """Dark images and bright ones, fewer than a batch."""
    rng = np.random.default_rng(0)
    labels = np.arange(60) % 2
    images = np.uint8(rng.integers(100, size=(60, *shape)) + 120 * labels[:, None, None, None])
    result = train_classifier("noise", images[:40], labels[:40], images[40:], labels[40:])
    assert (result.accuracy, result.num_classes, result.shape) == (1, 2, shape)


@pytest.mark.slow
def test_accuracy_is_measured_on_images_that_were_not_trained_on(digits):
    """Labels without meaning can be learnt by heart, and then say nothing of others."""
    rng = np.random.default_rng(0)
    images, labels = np.uint8(rng.integers(256, size=(400, 8, 8, 1))), rng.integers(2, size=400)
    result = train_classifier("noise", images[:200], labels[:200], images[200:], labels[200:])
    learnt = features_and_logits(result, images[:200])[1].argmax(1) == labels[:200]
    assert learnt.mean() > 0.9
    assert 0.35 < result.accuracy < 0.65  # 4 standard deviations about 1/2


def test_every_epoch_takes_each_image_once():
    rows = module._order(96, seed=0)
    epochs = rows.reshape(-1)[: rows.size // 96 * 96].reshape(-1, 96)
    assert (np.sort(epochs, axis=1) == np.arange(96)).all()
    assert rows.shape == (600, 128)
    assert len(np.unique(epochs, axis=0)) == len(epochs)
    assert module._order(60_000, seed=0).shape == (950, 128)  # 2 epochs are 937.5 steps


def test_saved_and_loaded_it_is_the_same(digits, trained, tmp_path):
    save(tmp_path / "new" / "digits.npz", trained)
    loaded = load(tmp_path / "new" / "digits.npz", "digits", (8, 8, 1))
    assert same(loaded, trained)
    assert loaded.protocol == trained.protocol
    for a, b in zip(features_and_logits(loaded, digits[2]), features_and_logits(trained, digits[2]), strict=True):
        np.testing.assert_array_equal(a, b)


def damaged_files(content):
    middle = len(content) // 2
    yield content[:middle]
    yield content[:middle] + bytes([content[middle] ^ 1]) + content[middle + 1 :]
    yield b""
    yield b"no file of NumPy's\nbut two lines"
    empty = io.BytesIO()
    np.savez(empty)
    yield empty.getvalue()
    array = io.BytesIO()
    np.save(array, np.zeros(3))
    yield array.getvalue()


def test_a_damaged_file_is_none_and_is_replaced(trained, tmp_path, capsys):
    save(tmp_path / "whole.npz", trained)
    path, content = tmp_path / "damaged.npz", (tmp_path / "whole.npz").read_bytes()
    for damaged in damaged_files(content):
        path.write_bytes(damaged)
        assert load(path, "digits", (8, 8, 1)) is None
        save(path, trained)
        assert same(load(path, "digits", (8, 8, 1)), trained)
    assert load(tmp_path / "missing.npz", "digits", (8, 8, 1)) is None
    assert capsys.readouterr().err == ""


def in_float64(classifier):
    return classifier._replace(params=jax.tree.map(lambda leaf: leaf.astype(np.float64), classifier.params))


OTHERS = {
    "of another version": (lambda c: c, {"version": 2}, "a classifier of version 2, not 1"),
    "in float64": (in_float64, {}, "is float64"),
    "of fewer classes": (lambda c: c._replace(num_classes=9), {}, "Dense_1"),
    "of another set": (lambda c: c._replace(name="letters"), {}, "a classifier of letters, (8, 8, 1), not of digits"),
    "of larger images": (lambda c: c._replace(shape=(16, 16, 1)), {}, "Dense_0"),
    "of another program": (None, {"weights": np.zeros(3)}, "version"),
    "with a pickle": (None, {"version": np.array([object()])}, "pickle"),
}


@pytest.mark.parametrize("kind", OTHERS)
def test_what_is_something_else_is_left_alone_not_used_and_said_once(kind, trained, tmp_path, monkeypatch, capsys):
    changed, arrays, words = OTHERS[kind]
    path = tmp_path / "digits.npz"
    if changed:
        monkeypatch.setattr(module, "VERSION", arrays.get("version", 1))
        save(path, changed(trained))
        monkeypatch.setattr(module, "VERSION", 1)
    else:
        np.savez(path, **arrays)
    before = path.read_bytes()
    for _ in range(2):
        assert load(path, "digits", (8, 8, 1)) is None
        save(path, trained)
        assert path.read_bytes() == before
    (line,) = capsys.readouterr().err.splitlines()
    assert words in line
    assert "it is left as it is, not used" in line
    path.rename(tmp_path / "away.npz")  # as the line advises
    save(path, trained)
    assert same(load(path, "digits", (8, 8, 1)), trained)


def test_refuses(digits, trained):
    images, labels, test_images, test_labels = digits
    for wrong in (images / 255, images[:, :4], images[..., 0], images[:0], images.astype(np.int64)):
        with pytest.raises(ValueError, match=r"uint8 \[n, 8, 8, 1\] with n >= 1"):
            features_and_logits(trained, wrong)
    with pytest.raises(ValueError, match="uint8"):
        train_classifier("digits", images / 255, labels, test_images, test_labels)
    with pytest.raises(ValueError, match=r"\[n, h, w, c\]"):
        train_classifier("digits", images[..., 0], labels, test_images, test_labels)
    with pytest.raises(ValueError, match=r"\[n, 8, 8, 1\]"):
        train_classifier("digits", images, labels, test_images[:, :4], test_labels)
    for wrong in (labels[:-1], labels - 1, labels / 2):
        with pytest.raises(ValueError, match="labels must be 1433 integers >= 0"):
            train_classifier("digits", images, wrong, test_images, test_labels)
    with pytest.raises(ValueError, match="< 10"):
        train_classifier("digits", images, labels, test_images, test_labels + 1)
