"""Evaluation where the answer is known: a generator that gives the reals themselves, or reals that were shifted."""

import re

import jax.numpy as jnp
import numpy as np
import pytest
from sklearn.datasets import load_digits

from gan_jax import evaluation
from gan_jax.config import default_config
from gan_jax.data import mixtures
from gan_jax.errors import UserError
from gan_jax.evaluation import How
from gan_jax.training import sampling
from gan_jax.training.state import build_networks, create_state

PIXELS = How("frechet", "pixels")


@pytest.fixture
def evaluate(monkeypatch):
    """evaluate("digits", samples, How(...)) -> the record for a generator that gives these samples."""

    def run(name, samples, how=None):
        config, shape = default_config(name), samples.shape[1:]
        monkeypatch.setattr(sampling, "samples", lambda generator, state, latents: samples[: len(latents)])
        state = create_state(config, shape)
        asked = how or evaluation.how(config)
        return evaluation.evaluate(config, build_networks(config, shape)[0], state, asked).record

    return run


def digits():
    return np.round(load_digits().images * 255 / 16).astype(np.uint8)[..., None]


def test_the_reals_themselves_have_distance_0_and_the_shares_of_their_labels(evaluate):
    record = evaluate("digits", digits())
    assert record["frechet_distance"] == pytest.approx(0, abs=1e-6)
    np.testing.assert_allclose(record["class_shares"], np.bincount(load_digits().target) / 1797, atol=0.005)
    protocol = record["protocol"]
    assert (protocol["reals"], protocol["samples"], protocol["split"]) == (1797, 1797, "train")
    assert protocol["features"].startswith("gan_jax classifier v1 on digits, 64 features, accuracy 0.9")
    assert protocol["classifier"] == protocol["features"]


def test_a_brighter_picture_adds_the_squared_shift_in_units_of_minus_1_to_1(evaluate):
    dark = np.minimum(digits(), 235)
    bright = dark + 20
    from_dark, from_bright = (evaluate("digits", images, PIXELS)["frechet_distance"] for images in (dark, bright))
    means = [images.reshape(1797, -1).astype(float).mean(0) / 127.5 for images in (digits(), dark, bright)]
    expected = np.sum((means[2] - means[0]) ** 2) - np.sum((means[1] - means[0]) ** 2)
    assert from_bright - from_dark == pytest.approx(expected, rel=1e-5)  # their covariances are the same


def test_num_asks_for_fakes_and_for_as_many_reals_as_there_are(evaluate):
    twice = np.concatenate([digits(), digits()])
    protocol = evaluate("digits", twice, PIXELS._replace(num=3000))["protocol"]
    assert (protocol["samples"], protocol["reals"]) == (3000, 1797)
    protocol = evaluate("digits", twice, PIXELS._replace(num=100, reals=700))["protocol"]
    assert (protocol["samples"], protocol["reals"]) == (100, 700)


def test_points_drawn_from_the_mixture_itself_cover_all_modes(evaluate):
    means, sigma = mixtures.MODES["grid"]
    rng = np.random.default_rng(5)
    points = means[rng.integers(25, size=2500)] + sigma * rng.normal(size=(2500, 2))
    record = evaluate("grid", points.astype(np.float32))
    assert (record["modes_covered"], record["modes_total"]) == (25, 25)
    assert record["share_within_3_sigma"] == pytest.approx(1 - np.exp(-4.5), abs=0.006)  # of a Gaussian in the plane
    assert record["wasserstein_1"] < 0.5
    assert record["protocol"]["features"] == "coordinates"


def test_lines_shifted_by_3_have_wasserstein_3(evaluate):
    y = np.random.default_rng(0).uniform(-1, 1, 2500)
    x = np.where(np.arange(2500) % 2, 1.0, -1.0)
    shifted = np.stack([x + 3.0, y], axis=1).astype(np.float32)
    assert evaluate("lines", shifted)["wasserstein_1"] == pytest.approx(3, abs=0.1)


def test_the_reals_themselves_by_every_metric_of_features(evaluate):
    half = digits()[::2]
    record = evaluate("digits", digits(), How("kernel,prdc,memorised,sliced,wasserstein_1", "pixels"))
    assert [record[name] for name in ("precision", "recall", "coverage", "memorised_share")] == [1, 1, 1, 1]
    assert record["sliced_wasserstein"] == record["wasserstein_1"] == 0
    assert -0.01 < record["kernel_distance"] < 0
    assert record["protocol"]["kernel"] == "(x.y / d + 1)^3, unbiased, over 1 disjoint subsets of 1000"
    one_mode = np.repeat(half[:1], 500, axis=0)
    record = evaluate("digits", one_mode, How("prdc,classes", "pixels", num=500))
    assert record["coverage"] < 0.05
    assert max(record["class_shares"]) == 1


def test_a_smooth_generator_has_the_path_length_of_its_latents(evaluate, monkeypatch):
    monkeypatch.setattr(sampling, "outputs", lambda generator, state, latents: np.asarray(latents))
    angles = []

    def on_circle(state, num, dim, seed):
        latents = np.random.default_rng(seed).normal(size=(num, dim))
        latents /= np.linalg.norm(latents, axis=1, keepdims=True)
        if seed == evaluation.PATH_SEED:
            angles.extend(np.arccos(np.sum(latents[: num // 2] * latents[num // 2 :], axis=1)))
        return jnp.asarray(latents, jnp.float32)

    monkeypatch.setattr(sampling, "latents", on_circle)
    points = np.random.default_rng(0).normal(size=(100, 2)).astype(np.float32)
    record = evaluate("ring", points, How("path,wasserstein_1", num=100))
    speeds = np.sort(np.square(angles))  # along a circle of radius 1, in units of its arc
    assert record["path_length"] == pytest.approx(speeds[1:-1].mean(), rel=0.03)
    assert record["protocol"]["path"] == "100 great circles, epsilon 0.0001, 1 % trimmed at each end"


ASKED = [
    (How("fid", "pixels"), "digits", "fid is frechet on Inception features, not on pixels: ask for frechet"),
    (How("nonsense"), "digits", "no metric 'nonsense': give auto, or by commas some of fid, kid, is, frechet"),
    (How("mode_coverage"), "digits", "mode_coverage is for ring, grid"),
    (How("stacked"), "digits", "three channels"),
    (How("ms_ssim", "pixels"), "digits", "at least 11 x 11"),
    (How("prdc", "pixels", num=5), "digits", "prdc needs at least 6 samples and reals, not 5 and 5"),
    (How("wasserstein_1", "pixels", num=5, reals=9), "digits", "as many reals as samples"),
    (How(features="pixels"), "grid", "points are compared as they are"),
    (How("score", "pixels"), "digits", "need a classifier, and pixels in"),
    (How(split="test"), "digits", "split"),
    (How("fid"), "grid", "fid is for images"),
    (How("classes"), "grid", "classes is for images"),
    (How(num=10_001), "grid", "at most 10000"),
    (How(features="classifier"), "folder", "no classifier for folder: there is one for digits, mnist, fashion_mnist"),
]


@pytest.mark.parametrize(("how", "data", "words"), ASKED)
def test_what_does_not_suit_is_refused_in_a_line(evaluate, how, data, words):
    samples = np.zeros((20, 2), np.float32) if data == "grid" else digits()[:20]
    with pytest.raises(UserError, match=re.escape(words)) as refused:
        evaluate(data, samples, how)
    assert "\n" not in str(refused.value)


def test_fewer_samples_than_dimensions_are_warned_of(evaluate):
    protocol = evaluate("digits", digits(), PIXELS._replace(num=60))["protocol"]
    assert "60 samples for 64 dimensions" in protocol["warning"]
    assert "warning" not in evaluate("digits", digits(), PIXELS._replace(num=65))["protocol"]


def test_the_table_shows_every_number_and_the_protocol(evaluate):
    record = evaluate("digits", digits()[:100], How("frechet,classes", "pixels", num=100))
    lines = evaluation.table(record).splitlines()
    names = [name for name in record if name != "protocol"]
    assert [line.split()[0] for line in lines] == names + list(record["protocol"])
