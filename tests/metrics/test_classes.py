import numpy as np
import pytest
from sklearn.datasets import load_digits

from gan_jax.metrics import classes
from gan_jax.metrics.classes import class_shares


@pytest.fixture(scope="module")
def digits():
    images, labels = load_digits(return_X_y=True)
    return np.uint8(np.round(images.reshape(-1, 8, 8, 1) * 255 / 16)), labels


def test_shares_of_digits(digits):
    images, labels = digits
    chosen = images[np.isin(labels, [3, 7])]
    result = class_shares(chosen, images, labels, seed=0)
    expected = np.mean(labels[np.isin(labels, [3, 7])][:, None] == np.arange(10), axis=0)
    np.testing.assert_allclose(result["class_shares"], expected, atol=0.01)
    assert sum(result["class_shares"]) == pytest.approx(1)
    assert result["classifier"] == "SVC (rbf) on pixels, trained on 1438 reals"
    assert 0.97 <= result["classifier_accuracy"] <= 1
    assert class_shares(chosen, images, labels, seed=0) == result


def test_large_sets_are_cut_to_the_caps(digits, monkeypatch):
    images, labels = digits
    monkeypatch.setattr(classes, "MAX_TRAIN", 100)
    monkeypatch.setattr(classes, "MAX_HELD_OUT", 50)
    result = class_shares(images[:5], images, labels, seed=1)
    assert "trained on 100 reals" in result["classifier"]
    assert result["classifier_accuracy"] * 50 == pytest.approx(round(result["classifier_accuracy"] * 50))


def test_accuracy_is_measured_on_images_that_were_not_trained_on():
    rng = np.random.default_rng(0)
    noise, labels = np.uint8(rng.integers(256, size=(500, 4, 4, 1))), np.arange(500) % 2
    assert class_shares(noise, noise, labels, seed=0)["classifier_accuracy"] < 0.7


def test_refuses(digits):
    images, labels = digits
    with pytest.raises(ValueError, match="uint8"):
        class_shares(images / 255, images, labels, seed=0)
    with pytest.raises(ValueError, match="n, h, w, c"):
        class_shares(images[:, :4], images, labels, seed=0)
    with pytest.raises(ValueError, match="real_labels"):
        class_shares(images, images, labels[:-1], seed=0)
