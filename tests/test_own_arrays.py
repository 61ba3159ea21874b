"""A set that is made of arrays in Python: trained on, and evaluated against."""

import pathlib
import re

import jax
import numpy as np
import pytest

import gan_jax
from gan_jax import main
from gan_jax.config import default_config, flat
from gan_jax.data import sources
from gan_jax.errors import UserError
from gan_jax.evaluation import generators
from gan_jax.runs import loop, workdir

DOCS = pathlib.Path(__file__).parents[1] / "docs/data.md"
RNG = np.random.default_rng(0)
IMAGES = RNG.integers(0, 256, (40, 8, 8, 1), dtype=np.uint8)
LABELS = np.arange(40) % 3


@pytest.mark.slow
def test_a_set_of_arrays_gives_what_it_was_given():
    source = sources.of_arrays(IMAGES, LABELS, "shapes", ["circle", "cross", "star"], (IMAGES[:7], LABELS[:7]))
    assert (source.name, source.shape, source.num_classes, source.count_classes()) == (
        "shapes", (8, 8, 1), 3, (14, 13, 13)
    )  # fmt: skip
    batch = source.draw(source.arrays, jax.random.key(0), 0, 1, 40)  # an epoch
    in_order = np.lexsort(np.asarray(batch.image).reshape(40, -1).T)
    expected = IMAGES / 127.5 - 1
    order = np.lexsort(expected.reshape(40, -1).T)
    np.testing.assert_allclose(np.asarray(batch.image)[0][in_order], expected[order], atol=1e-6)
    np.testing.assert_array_equal(np.asarray(batch.label)[0][in_order], LABELS[order])
    whole, some, test = (source.reference(*asked) for asked in (("train", 0, 0), ("train", 5, 1), ("test", 0, 0)))
    np.testing.assert_array_equal(whole.samples, IMAGES)
    assert len({image.tobytes() for image in some.samples} & {image.tobytes() for image in IMAGES}) == 5
    np.testing.assert_array_equal(test.samples, IMAGES[:7])
    assert test.about.digest != whole.about.digest
    assert whole.fitting == "as they are"
    with pytest.raises(UserError, match=r"shapes has no split 'validation': give one of train, test"):
        source.reference("validation", 0, 0)
    assert len(sources.of_arrays(IMAGES).reference("all", 0, 0).samples) == 40


@pytest.mark.parametrize(("arguments", "words"), [
    ((IMAGES / 255,), "train: float64 [40, 8, 8, 1]: give uint8 images [n, h, w, 1 or 3]"),
    ((IMAGES[..., 0],), "give uint8 images [n, h, w, 1 or 3]"),
    ((IMAGES[:0],), "n >= 1"),
    ((IMAGES, LABELS[:3]), "give 40 integers from 0 to"),
    ((IMAGES, LABELS / 1), "give 40 integers from 0 to"),
    ((IMAGES, LABELS, "shapes", ["circle", "cross"]), "give 40 integers from 0 to 1"),
    ((IMAGES, None, "shapes", (), IMAGES[0]), "test: uint8 [8, 8, 1]"),
    ((IMAGES, None, "shapes", (), [*IMAGES[:2]]), "test: uint8 [8, 8, 1]"),
    ((IMAGES, None, "shapes", (), (IMAGES, LABELS, 3)), "test: no array: give uint8 images [n, h, w, 1 or 3] of one"),
    ((IMAGES, None, "shapes", (), IMAGES[:, :4]), "test: images [4, 8, 1], and the others are [8, 8, 1]: give these"),
    ((IMAGES, None, "shapes", (), (IMAGES[:3], LABELS[:2])), "test: labels int64 [2]: give 3 integers from 0"),
    ((IMAGES, LABELS, "shapes", (), IMAGES[:3]), "test: images without labels, and the others have some: give test=("),
    ((IMAGES, LABELS, "shapes", (), [IMAGES[:3], None]), "test: images without labels"),
    ((IMAGES, LABELS, "shapes", (), (IMAGES[:3], [0, 1, 3])), "test: labels int64 [3]: give 3 integers from 0 to 2"),
    (([IMAGES[0], IMAGES[1, :4]],), "train: no array: give uint8 images [n, h, w, 1 or 3] of one shape, labels [n]"),
    ((IMAGES, [[0], [1, 2]]), "train: no array: give"),
])  # fmt: skip
def test_other_arrays_are_refused(arguments, words):
    with pytest.raises(UserError, match=re.escape(words)):
        sources.of_arrays(*arguments)


@pytest.mark.parametrize("test", [(IMAGES[:7], LABELS[:7]), [IMAGES[:7], [*LABELS[:7]]]])
def test_a_test_set_is_a_pair_of_whatever_kind(test):
    found = sources.of_arrays(IMAGES, LABELS, "shapes", test=test).reference("test", 0, 0)
    np.testing.assert_array_equal(found.samples, IMAGES[:7])
    np.testing.assert_array_equal(found.labels, LABELS[:7])
    assert found.about.counts == (3, 2, 2)


@pytest.fixture
def snippet():
    """The code that docs/data.md shows for arrays."""
    return next(code for code in re.findall(r"```python\n(.*?)```", DOCS.read_text(), re.DOTALL) if "of_arrays" in code)


def frechet_distance(*sets):
    """Of pixels in [-1, 1]: |a - b|^2 + tr(A + B - 2 (AB)^1/2), by the eigenvalues of AB."""
    x, y = (images.reshape(len(images), -1) / 127.5 - 1 for images in sets)
    a, b = np.cov(x.T), np.cov(y.T)
    root = np.sqrt(np.linalg.eigvals(a @ b).real.clip(0)).sum()
    return ((x.mean(0) - y.mean(0)) ** 2).sum() + np.trace(a + b) - 2 * root


@pytest.mark.slow
def test_the_documented_lines_train_and_evaluate(snippet, tmp_path, monkeypatch, drawn_quickly, capsys):
    monkeypatch.chdir(tmp_path)
    tiny = {
        "steps": 10,
        "batch_size": 8,
        "network.name": "mlp",
        "network.width": 8,
        "network.depth": 1,
        "network.latent_dim": 4,
        "eval_every": 10,
        "eval_samples": 30,
        "eval_features": "pixels",
        "sample_every": 0,
    }

    def small(name):
        config = default_config(name)
        config.update_from_flattened_dict(tiny)
        return config

    monkeypatch.setattr("gan_jax.config.default_config", small)
    names = {"images": IMAGES, "held_out": IMAGES[::2]}
    exec(snippet.replace("inception", "pixels").replace("fid,kid", "frechet,kernel"), names)
    record = names["record"]
    protocol = record["protocol"]
    assert (protocol["data"], protocol["samples"], protocol["reals"], record["step"]) == ("held_out", 20, 20, 10)
    model = gan_jax.load("runs/shapes")
    fakes = generators.generated_samples(model.config, model.generator, model.state, 20).read(0, 20)
    assert record["frechet_distance"] == pytest.approx(frechet_distance(fakes, IMAGES[::2]), rel=1e-5)
    protocol = model.evaluate(IMAGES, metrics="frechet", features="pixels", num=30)["protocol"]
    assert (protocol["samples"], protocol["reals"]) == (30, 30)
    assert protocol["digest"] == sources.of_arrays(IMAGES).about.digest[:12]
    main_flags = ["gan_jax", "--workdir=runs/shapes"]
    capsys.readouterr()
    assert main.main([*main_flags, "--mode=sample", "--num=4"]) == 0
    assert main.main([*main_flags, "--mode=evaluate"]) == 2
    assert "gan_jax.load(WORKDIR).evaluate(images)" in capsys.readouterr().err


def test_what_else_an_evaluation_takes_is_said(small_model):
    with pytest.raises(UserError, match=r"split: give some of metrics, features, resizer, weights, num, reals, trunc"):
        small_model.evaluate(IMAGES, split="test")
    with pytest.raises(
        UserError, match=r"samples are 8x8x1 and reals 4x4x1: pixels .*; resize the reals first to 8 x 8$"
    ):
        small_model.evaluate(IMAGES[:, :4, :4], features="pixels")


@pytest.fixture
def small_model():
    """A generator that was never trained."""
    from gan_jax.runs.trained import Trained
    from gan_jax.training.game import build_networks
    from gan_jax.training.state import create_state

    config = default_config()
    config.update_from_flattened_dict({"network.width": 8, "network.depth": 1, "network.latent_dim": 4})
    return Trained(config, *build_networks(config, (8, 8, 1)), create_state(config, (8, 8, 1)))


def test_a_record_is_what_another_way_computes(small_model):
    """The kernel distance of pixels, whose kernel is summed here."""
    record = small_model.evaluate(IMAGES, metrics="kernel", features="pixels", num=40)
    fakes = generators.generated_samples(small_model.config, small_model.generator, small_model.state, 40).read(0, 40)
    x, y = (array.reshape(40, -1) / 127.5 - 1 for array in (fakes, IMAGES))
    of_x, of_y, across = (((a @ b.T) / 64 + 1) ** 3 for a, b in ((x, x), (y, y), (x, y)))
    others = ~np.eye(40, dtype=bool)
    expected = of_x[others].mean() + of_y[others].mean() - 2 * across.mean()
    assert record["kernel_distance"] == pytest.approx(expected, rel=1e-5)
    assert "kernel_distance_sd" not in record


def test_the_loop_says_what_is_wrong_before_it_begins(tmp_path):
    config = default_config("shapes")
    config.update_from_flattened_dict({"conditional.name": "concatenation", "network.name": "mlp"})
    with pytest.raises(UserError, match=r"it has 3 classes; give --config\.conditional\.classes=3"):
        loop.check(config, sources.of_arrays(IMAGES, LABELS, "shapes"), [tmp_path])


def fields(**given):
    config = default_config("shapes")
    config.update_from_flattened_dict({name.replace("__", "."): value for name, value in given.items()})
    return config


def sized(height, width):
    return sources.of_arrays(np.zeros((2, height, width, 1), np.uint8), np.array([0, 1]))


DCGAN, RESNET = {"network__name": "dcgan"}, {"network__name": "resnet", "network__attention": 16}
ARRAYS = "arrays are taken as they are: where this says config.data.image_size, resize them yourself"
SIZES = [
    (DCGAN, (50, 50), f"nearest: 48 x 48; give --config.data.image_size=48 or --config.network.name=mlp ({ARRAYS})",
     [(DCGAN, (48, 48)), ({"network__name": "mlp"}, (50, 50))]),
    (DCGAN, (8, 9), f"a square, or --config.network.name=mlp ({ARRAYS})",
     [(DCGAN, (8, 8)), ({"network__name": "mlp"}, (8, 9))]),
    (RESNET, (8, 8), f"; give 0, or a larger config.data.image_size ({ARRAYS})",
     [(RESNET, (32, 32)), (RESNET | {"network__attention": 0}, (8, 8))]),
    ({"data__image_size": 16}, (8, 8), "config.data.image_size 0 and config.data.balanced False", [({}, (16, 16))]),
    ({"data__balanced": True}, (8, 8), "arrays are taken as they are: give config.data", [({}, (8, 8))]),
]  # fmt: skip


@pytest.mark.parametrize(("given", "size", "words", "ways_out"), SIZES, ids=[row[2][:40] for row in SIZES])
def test_what_no_field_does_to_arrays_is_said(tmp_path, given, size, words, ways_out):
    with pytest.raises(UserError) as error:
        loop.check(fields(**given), sized(*size), [tmp_path])
    assert words in str(error.value)
    for given, size in ways_out:
        loop.check(fields(**given), sized(*size), [tmp_path])


def test_a_run_is_made_no_other_one_and_one_process_at_a_time_trains_it(tmp_path):
    begun, other = (default_config("shapes") for _ in range(2))
    other.update_from_flattened_dict({"seed": 7, "loss": "hinge"})
    workdir.store(tmp_path, flat(begun), [])
    source, before = sources.of_arrays(IMAGES), (tmp_path / "config.json").read_bytes()
    words = r"another configuration: seed \(stored 0, given 7\), loss \(stored '\w+', given 'hinge'\); give another"
    for refused in (lambda: loop.check(other, source, [tmp_path]), lambda: loop.train(other, source, tmp_path, "")):
        with pytest.raises(UserError, match=words):
            refused()
    with workdir.claimed(tmp_path), pytest.raises(UserError, match="in use by another run"):
        loop.train(begun, source, tmp_path, "")
    assert (tmp_path / "config.json").read_bytes() == before
    other.batch_size = 0
    with pytest.raises(UserError, match=r"config\.batch_size=0"):
        loop.check(other, source, [tmp_path / "new"])
