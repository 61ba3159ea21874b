"""Evaluation where the answer is known: a generator that gives the reals themselves, or reals that were shifted."""

import re

import jax.numpy as jnp
import numpy as np
import pytest
from sklearn.datasets import load_digits

from gan_jax.config import default_config
from gan_jax.data import mixtures
from gan_jax.data.about import About
from gan_jax.data.sources import Reference, Source
from gan_jax.errors import UserError
from gan_jax.evaluation import generators, measuring
from gan_jax.evaluation.measuring import How
from gan_jax.features import extraction
from gan_jax.training import averages, sampling
from gan_jax.training.game import build_networks
from gan_jax.training.state import create_state

PIXELS = How("frechet", "pixels")


@pytest.fixture
def evaluate(monkeypatch):
    """evaluate("digits", samples, How(...)) -> the record for a generator that gives these samples."""

    def run(name, samples, how=None):
        config, shape = default_config(name), samples.shape[1:]
        monkeypatch.setattr(
            sampling, "samples", lambda generator, state, takes, latents, counts: samples[: len(latents)]
        )
        state = create_state(config, shape)
        asked = how or generators.how(config)
        return generators.evaluate(config, build_networks(config, shape)[0], state, asked).record

    return run


def digits():
    return np.round(load_digits().images * 255 / 16).astype(np.uint8)[..., None]


@pytest.mark.parametrize(("step", "words"), [(10, "last"), (11, "average (ema)")])
def test_an_average_that_has_not_begun_is_the_last_generator(monkeypatch, step, words):
    """Step 10, counted from 0, is the first that averages: the state after it is at 11."""
    config = default_config("ring")
    config.ema_start = 10.0
    state = create_state(config, (2,)).replace(step=step)
    monkeypatch.setattr(sampling, "samples", lambda generator, state, takes, latents, counts: np.zeros((4, 2), "f4"))
    found = generators.generated_samples(config, build_networks(config, (2,))[0], state, 4)
    assert found.protocol["generator"] == words
    assert (averages.decay(config, state.hparams, step - 1) == 0) == (words == "last")


@pytest.mark.slow
def test_the_reals_themselves_have_distance_0_and_the_shares_of_their_labels(evaluate):
    record = evaluate("digits", digits())
    assert record["frechet_distance"] == pytest.approx(0, abs=1e-6)
    np.testing.assert_allclose(record["class_shares"], np.bincount(load_digits().target) / 1797, atol=0.005)
    protocol = record["protocol"]
    assert (protocol["reals"], protocol["samples"], protocol["split"]) == (1797, 1797, "train")
    assert protocol["features"].startswith("gan_jax classifier v1 on digits, 64 features, accuracy 0.9")
    assert protocol["classifier"] == protocol["features"]


@pytest.mark.slow
def test_a_brighter_picture_adds_the_squared_shift_in_units_of_minus_1_to_1(evaluate):
    dark = np.minimum(digits(), 235)
    bright = dark + 20
    from_dark, from_bright = (evaluate("digits", images, PIXELS)["frechet_distance"] for images in (dark, bright))
    means = [images.reshape(1797, -1).astype(float).mean(0) / 127.5 for images in (digits(), dark, bright)]
    expected = np.sum((means[2] - means[0]) ** 2) - np.sum((means[1] - means[0]) ** 2)
    assert from_bright - from_dark == pytest.approx(expected, rel=1e-5)  # their covariances are the same


@pytest.mark.slow
def test_num_asks_for_fakes_and_for_as_many_reals_as_there_are(evaluate):
    twice = np.concatenate([digits(), digits()])
    protocol = evaluate("digits", twice, PIXELS._replace(num=3000))["protocol"]
    assert (protocol["samples"], protocol["reals"]) == (3000, 1797)
    protocol = evaluate("digits", twice, PIXELS._replace(num=100, reals=700))["protocol"]
    assert (protocol["samples"], protocol["reals"]) == (100, 700)


@pytest.mark.slow
def test_points_drawn_from_the_mixture_itself_cover_all_modes(evaluate):
    means, sigma = mixtures.MODES["grid"]
    rng = np.random.default_rng(5)
    points = means[rng.integers(25, size=2500)] + sigma * rng.normal(size=(2500, 2))
    record = evaluate("grid", points.astype(np.float32))
    assert (record["modes_covered"], record["modes_total"]) == (25, 25)
    assert record["share_within_3_sigma"] == pytest.approx(1 - np.exp(-4.5), abs=0.006)  # of a Gaussian in the plane
    assert record["wasserstein_1"] < 0.5
    assert record["protocol"]["features"] == "coordinates"


@pytest.mark.slow
def test_lines_shifted_by_3_have_wasserstein_3(evaluate):
    y = np.random.default_rng(0).uniform(-1, 1, 2500)
    x = np.where(np.arange(2500) % 2, 1.0, -1.0)
    shifted = np.stack([x + 3.0, y], axis=1).astype(np.float32)
    assert evaluate("lines", shifted)["wasserstein_1"] == pytest.approx(3, abs=0.1)


@pytest.mark.slow
def test_the_reals_themselves_by_every_metric_of_features(evaluate):
    half = digits()[::2]
    record = evaluate("digits", digits(), How("kernel,prdc,memorised,sliced,wasserstein_1", "pixels"))
    assert [record[name] for name in ("precision", "recall", "coverage", "memorised_share")] == [1, 1, 1, 1]
    assert record["sliced_wasserstein"] == record["wasserstein_1"] == 0
    assert -0.01 < record["kernel_distance"] < 0
    assert record["protocol"]["kernel"] == "(x.y / d + 1)^3, unbiased, over 2 disjoint subsets of 898 or 899"
    one_mode = np.repeat(half[:1], 500, axis=0)
    record = evaluate("digits", one_mode, How("prdc,classes", "pixels", num=500))
    assert record["coverage"] < 0.05
    assert max(record["class_shares"]) == 1


@pytest.mark.slow
def test_a_smooth_generator_has_the_path_length_of_its_latents(evaluate, monkeypatch):
    monkeypatch.setattr(sampling, "outputs", lambda generator, state, takes, latents, counts: np.asarray(latents))
    angles = []

    def on_circle(state, num, dim, seed, truncation):
        latents = np.random.default_rng(seed).normal(size=(num, dim))
        latents /= np.linalg.norm(latents, axis=1, keepdims=True)
        if seed == generators.PATH_SEED:
            angles.extend(np.arccos(np.sum(latents[: num // 2] * latents[num // 2 :], axis=1)))
        return jnp.asarray(latents, jnp.float32)

    monkeypatch.setattr(sampling, "latents", on_circle)
    points = np.random.default_rng(0).normal(size=(100, 2)).astype(np.float32)
    record = evaluate("ring", points, How("path,wasserstein_1", num=100))
    speeds = np.sort(np.square(angles))  # along a circle of radius 1, in units of its arc
    assert record["path_length"] == pytest.approx(speeds[1:-1].mean(), rel=0.03)
    assert record["protocol"]["path"] == "100 great circles, epsilon 0.0001, 1 % trimmed at each end"


# ------------------------------------------------------------------------------- classes that were asked for, codes


def of_digits(images, labels=None, codes=None):
    """Images of the set of digits, with the classes or the codes that they were asked for by."""
    return measuring.of_array(images, {}, ("digits", "", 0))._replace(labels=labels, codes=codes)


def labelled_digits():
    return of_digits(digits(), load_digits().target.astype(np.int32))


def measured(metrics, fakes, reals=None, features="pixels"):
    numbers, protocol, _ = measuring.measure(How(metrics, features), fakes, reals or labelled_digits())
    return numbers, protocol


@pytest.mark.slow
def test_real_samples_keep_the_labels_of_sets_that_have_classes():
    labels = generators.real_samples("digits", "", 0, "train", 0, 0).labels
    np.testing.assert_array_equal(labels, load_digits().target)
    points = generators.real_samples("lines", "", 0, "train", 50, 0)
    np.testing.assert_array_equal(points.labels, points.read(0, 50)[:, 0] > 0)
    assert generators.real_samples("swiss_roll", "", 0, "train", 50, 0).labels is None


@pytest.mark.slow
def test_reals_under_their_labels_have_the_accuracy_of_the_classifier():
    numbers, protocol = measured("class_accuracy", labelled_digits())
    assert 0.97 < numbers["class_accuracy"] <= 1
    assert len(numbers["class_accuracies"]) == 10
    shares = np.bincount(load_digits().target) / 1797
    assert numbers["class_accuracy"] == pytest.approx(shares @ numbers["class_accuracies"])
    assert protocol["classifier"].startswith("gan_jax classifier v1 on digits")


@pytest.mark.slow
def test_class_accuracy_falls_with_the_share_of_labels_that_are_wrong():
    labels = load_digits().target.astype(np.int32)
    wrong = np.where(labels == 3, 7, labels)  # whoever asks for a 7 has a 3 half of the time
    right = measured("class_accuracy", of_digits(digits(), labels))[0]
    numbers = measured("class_accuracy", of_digits(digits(), wrong))[0]
    assert numbers["class_accuracies"][3] is None
    assert numbers["class_accuracies"][7] == pytest.approx(right["class_accuracies"][7] / 2, abs=0.02)
    assert numbers["class_accuracy"] == pytest.approx(right["class_accuracy"] - np.mean(labels == 3), abs=0.01)
    in_line = "\n".join(measuring.table(numbers | {"protocol": {}}).splitlines())
    assert in_line.count("None") == 1


@pytest.mark.slow
def test_codes_are_known_by_whatever_name_they_have():
    labels, names = load_digits().target, np.random.default_rng(0).permutation(10).astype(np.int32)
    accuracy = measured("class_accuracy", labelled_digits())[0]["class_accuracy"]
    numbers, protocol = measured("code_accuracy", of_digits(digits(), codes=names[labels]))
    assert numbers["code_accuracy"] == pytest.approx(accuracy, abs=1e-12)
    assert [numbers["classes_of_codes"][name] for name in names] == [*range(10)]
    assert protocol["classifier"].startswith("gan_jax classifier v1 on digits")
    finer = (2 * labels + np.arange(1797) % 2).astype(np.int32)  # two codes of each class: one of them has it
    numbers, _ = measured("code_accuracy", of_digits(digits(), codes=finer))
    assert numbers["code_accuracy"] == pytest.approx(accuracy / 2, abs=0.03)
    assert sorted(k for k in numbers["classes_of_codes"] if k is not None) == [*range(10)]
    assert numbers["classes_of_codes"].count(None) == 10


@pytest.mark.slow
def test_distances_within_classes_see_classes_that_are_mixed_up():
    reals = labelled_digits()
    numbers, protocol = measured("intra_class,frechet", reals, features="classifier")
    assert numbers["intra_class_frechets"] == pytest.approx([0] * 10, abs=1e-5)
    assert protocol["class_samples"] == "174 or more on either side"  # of the digit 8
    assert protocol["covariance"] == "N - 1"
    assert "class_warning" not in protocol  # 64 dimensions
    swapped = reals._replace(labels=np.where(reals.labels < 2, 1 - reals.labels, reals.labels))
    numbers, _ = measured("intra_class,frechet", swapped, features="classifier")
    assert numbers["frechet_distance"] == pytest.approx(0, abs=1e-5)
    assert numbers["intra_class_frechets"][0] == pytest.approx(numbers["intra_class_frechets"][1], rel=1e-6)
    assert numbers["intra_class_frechets"][0] > 1
    assert numbers["intra_class_frechet"] == pytest.approx(numbers["intra_class_frechets"][0] / 5, rel=1e-4)


def test_a_class_with_fewer_samples_than_dimensions_is_warned_of():
    rows = np.concatenate([np.flatnonzero(load_digits().target == k)[:count] for k, count in [(0, 65), (4, 64)]])
    few = of_digits(digits()[rows], load_digits().target[rows])
    protocol = measured("intra_class,frechet", few, few)[1]
    assert "64 dimensions" in protocol["class_warning"]
    assert protocol["class_samples"] == "64 or more on either side"
    assert "warning" not in protocol  # 129 samples
    more = of_digits(digits()[rows[:65]], load_digits().target[rows[:65]])
    assert "class_warning" not in measured("intra_class", more, more)[1]


def test_points_have_distances_within_the_modes_of_their_mixture():
    reals = generators.real_samples("ring", "", 0, "train", 400, 0)
    shifted = measuring.of_array(reals.read(0, 400) + np.float32([3, 4]), {})._replace(labels=reals.labels)
    numbers, _ = measured("intra_class", shifted, reals, features="auto")
    assert numbers["intra_class_frechets"] == pytest.approx([25.0] * 8, rel=1e-4)


def test_within_classes_it_is_called_intra_fid_for_inception_alone(monkeypatch):
    network = extraction.Network("a network", lambda images: (images.reshape(len(images), -1) / 255.0, None))
    monkeypatch.setattr(measuring, "_inception", lambda weights, resizer: network)
    numbers, _ = measured("fid,intra_class", labelled_digits(), features="auto")
    assert list(numbers) == ["fid", "intra_fid", "intra_fids"]
    assert "intra_class_frechet" in measured("intra_class", labelled_digits())[0]


def unbalanced(counts=(380, 20)):
    """Images of 4 x 4: of class 0 dark, of class 1 bright."""
    labels = np.repeat([0, 1], counts)
    noise = np.random.default_rng(0).normal(0, 20, (len(labels), 4, 4, 1))
    return np.clip(60 + 120 * labels[:, None, None, None] + noise, 0, 255).astype(np.uint8), labels


@pytest.mark.parametrize(("conditions", "asked"), [("as_reals", [380, 20]), ("even", [200, 200])])
def test_classes_are_asked_for_as_often_as_the_reals_have_them(conditions, asked, monkeypatch):
    """A generator that gives what it is asked for is then as far from the reals as they are from themselves: 0."""
    reals, labels = unbalanced()
    by_class = [reals[labels == k] for k in (0, 1)]

    def perfect(generator, state, takes, inputs, counts):
        told = np.asarray(inputs)[:, takes.latent_dim :].argmax(axis=1)
        assert np.bincount(told).tolist() == asked
        return np.stack([by_class[k][np.sum(told[:i] == k) % len(by_class[k])] for i, k in enumerate(told)])

    config = default_config("folder")
    config.update_from_flattened_dict(
        {"conditional.name": "concatenation", "conditional.classes": 2, "network.name": "mlp"}
    )
    monkeypatch.setattr(sampling, "samples", perfect)
    about = About("folder x", "train", 400, (4, 4, 1), ("dark", "bright"), (380, 20))
    reference = Reference(reals, labels, about)
    how = How("frechet,intra_class", "pixels", conditions=conditions)
    state, generator = create_state(config, (4, 4, 1)), build_networks(config, (4, 4, 1))[0]
    found = generators.evaluate(config, generator, state, how, reference=lambda split, num, seed: reference).record
    assert found["protocol"]["conditions"] == {"as_reals": "as the reals", "even": "even"}[conditions]
    assert (found["classes"], "bright" in measuring.table(found)) == (["dark", "bright"], True)
    if conditions == "as_reals":
        assert found["frechet_distance"] == pytest.approx(0, abs=1e-8)
    else:  # the mean alone is 0.45 of the difference between the classes away
        means = [images.reshape(len(images), -1).mean(0) / 127.5 for images in by_class]
        assert found["frechet_distance"] > np.sum((0.44 * (means[1] - means[0])) ** 2)


@pytest.mark.parametrize(("counts", "words"), [
    ((30, 2), ""),
    ((30, 1), "class bright has 1 of the 31 reals, and needs 2: give more images of it, a larger eval_samples"),
])  # fmt: skip
def test_classes_too_rare_for_distances_within_them_are_named_before_training(counts, words):
    reals, labels = unbalanced(counts)
    config = default_config("folder")
    config.update_from_flattened_dict({"conditional.name": "concatenation", "conditional.classes": 2, "eval_every": 5})
    config.update_from_flattened_dict({"eval_features": "pixels", "eval_metrics": "frechet,intra_class"})
    about = About("folder x", "train", len(reals), (4, 4, 1), ("dark", "bright"), counts)
    source = Source("folder", (4, 4, 1), 2, {}, None, None, about, lambda: counts,
                    lambda split, num, seed: Reference(reals, labels, about))  # fmt: skip
    if not words:
        generators.check(config, source)
        return
    with pytest.raises(UserError, match=words):
        generators.check(config, source)


UNLABELLED = [
    ("class_accuracy", {"labels": None}, {}, "compares with the classes that were asked for: give a conditional run"),
    ("intra_class", {"labels": None}, {}, "compares with the classes that were asked for: give a conditional run"),
    ("intra_class", {}, {"labels": None}, "compares with the classes of the reals: give a labelled set"),
    ("code_accuracy", {}, {}, "compares with the codes that samples were made from: give a run of infogan"),
    ("class_accuracy", {"labels": np.arange(5)}, {}, "of the same samples, got 1797 and 5 of them"),
    ("intra_class", {"labels": np.zeros(1797, int)}, {}, "class 1 has 0 fake and 182 real samples"),
]


@pytest.mark.slow
@pytest.mark.parametrize(("metric", "fakes", "reals", "words"), UNLABELLED)
def test_without_classes_or_codes_a_line_says_what_to_give(metric, fakes, reals, words):
    given = labelled_digits()
    with pytest.raises(UserError, match=f"^{metric}: .*{re.escape(words)}") as refused:
        measured(metric, given._replace(**fakes), given._replace(**reals))
    assert "\n" not in str(refused.value)


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
    (How("class_accuracy"), "grid", "class_accuracy is for images"),
    (How("code_accuracy"), "grid", "code_accuracy is for images"),
    (How("class_accuracy"), "folder", "class_accuracy is for digits, mnist, fashion_mnist, which have a classifier"),
    (How("code_accuracy"), "folder", "code_accuracy is for digits, mnist, fashion_mnist, which have a classifier"),
    (How(num=10_001), "grid", "at most 10000"),
    (How(features="classifier"), "folder", "no classifier for folder: there is one for digits, mnist, fashion_mnist"),
]


@pytest.mark.slow
@pytest.mark.parametrize(("how", "data", "words"), ASKED)
def test_what_does_not_suit_is_refused_in_a_line(evaluate, how, data, words):
    samples = np.zeros((20, 2), np.float32) if data == "grid" else digits()[:20]
    with pytest.raises(UserError, match=re.escape(words)) as refused:
        evaluate(data, samples, how)
    assert "\n" not in str(refused.value)


@pytest.mark.slow
def test_fewer_samples_than_dimensions_are_warned_of(evaluate):
    protocol = evaluate("digits", digits(), PIXELS._replace(num=60))["protocol"]
    assert "60 samples for 64 dimensions" in protocol["warning"]
    assert "warning" not in evaluate("digits", digits(), PIXELS._replace(num=65))["protocol"]


def test_the_table_shows_every_number_and_the_protocol(evaluate, classified_quickly):
    record = evaluate("digits", digits()[:100], How("frechet,classes", "pixels", num=100))
    lines = measuring.table(record).splitlines()
    names = [name for name in record if name not in ("protocol", "classes")]
    assert [line.split()[0] for line in lines] == names + list(record["protocol"])
