"""Evaluation where the answer is known: a generator that gives the reals themselves, or reals that were shifted."""

import numpy as np
import pytest
from sklearn.datasets import load_digits

from gan_jax import evaluation
from gan_jax.config import default_config
from gan_jax.data import mixtures
from gan_jax.training import sampling
from gan_jax.training.state import build_networks, create_state


@pytest.fixture
def evaluate(monkeypatch):
    """evaluate("digits", samples) -> the record for a generator that gives these samples."""

    def run(name, samples, num=None):
        config, shape = default_config(name), samples.shape[1:]
        monkeypatch.setattr(sampling, "samples", lambda generator, state, latents: samples[: len(latents)])
        return evaluation.evaluate(config, build_networks(config, shape)[0], create_state(config, shape), num)

    return run


def digits():
    return np.round(load_digits().images * 255 / 16).astype(np.uint8)[..., None]


def test_the_reals_themselves_have_distance_0_and_the_shares_of_their_labels(evaluate):
    record = evaluate("digits", digits())
    assert record["frechet_distance"] == pytest.approx(0, abs=1e-6)
    shares = np.bincount(load_digits().target) / 1797
    np.testing.assert_allclose(record["class_shares"], shares, atol=0.005)
    protocol = record["protocol"]
    assert (protocol["reals"], protocol["samples"], protocol["split"]) == (1797, 1797, "train")
    assert protocol["features"] == "pixels in [-1, 1], 64 dimensions"
    assert protocol["classifier_accuracy"] > 0.97


def test_a_brighter_picture_adds_the_squared_shift_in_units_of_minus_1_to_1(evaluate):
    dark = np.minimum(digits(), 235)
    bright = dark + 20
    from_dark, from_bright = (evaluate("digits", images)["frechet_distance"] for images in (dark, bright))
    means = [images.reshape(1797, -1).astype(float).mean(0) / 127.5 for images in (digits(), dark, bright)]
    expected = np.sum((means[2] - means[0]) ** 2) - np.sum((means[1] - means[0]) ** 2)
    assert from_bright - from_dark == pytest.approx(expected, rel=1e-5)  # their covariances are the same


def test_num_asks_for_fakes_and_for_as_many_reals_as_there_are(evaluate):
    protocol = evaluate("digits", np.concatenate([digits(), digits()]), 3000)["protocol"]
    assert (protocol["samples"], protocol["reals"]) == (3000, 1797)


def test_points_drawn_from_the_mixture_itself_cover_all_modes(evaluate):
    means, sigma = mixtures.MODES["grid"]
    rng = np.random.default_rng(5)
    points = means[rng.integers(25, size=2500)] + sigma * rng.normal(size=(2500, 2))
    record = evaluate("grid", points.astype(np.float32))
    assert (record["modes_covered"], record["modes_total"]) == (25, 25)
    assert record["share_within_3_sigma"] == pytest.approx(1 - np.exp(-4.5), abs=0.006)  # of a Gaussian in the plane
    assert record["wasserstein_1"] < 0.5


def test_lines_shifted_by_3_have_wasserstein_3(evaluate):
    y = np.random.default_rng(0).uniform(-1, 1, 2500)
    x = np.where(np.arange(2500) % 2, 1.0, -1.0)
    shifted = np.stack([x + 3.0, y], axis=1).astype(np.float32)
    assert evaluate("lines", shifted)["wasserstein_1"] == pytest.approx(3, abs=0.1)


def test_the_table_shows_every_number_and_the_protocol(evaluate):
    record = evaluate("digits", digits()[:100], 100)
    lines = evaluation.table(record).splitlines()
    assert [line.split()[0] for line in lines] == [name for name in record if name != "protocol"] + list(
        record["protocol"]
    )
