"""What `gan_jax.load` gives, of runs of each kind."""

import jax
import numpy as np
import pytest

import gan_jax
from gan_jax.data import batches
from gan_jax.errors import UserError

# Perceptrons compile sooner than convolutions; what is asked of a run here does not depend on which it has.
SMALL = {"steps": 4, "network.name": "mlp", "network.width": 8, "network.latent_dim": 3}


@pytest.fixture
def trained_run(command):
    def run(experiment, **fields):
        command(experiment, "--workdir=run", **SMALL, **fields)
        return gan_jax.load("run")

    return run


@pytest.mark.slow
def test_an_unconditional_run(trained_run):
    model = trained_run("wgan_gp.py")
    images = model.sample(20, seed=3)
    assert (images.shape, images.dtype) == ((20, 8, 8, 1), np.uint8)
    np.testing.assert_array_equal(images, model.generate(model.inputs(20, seed=3)))
    assert not np.array_equal(images, model.sample(20, seed=4))
    scored = (lambda: model.score(images[:, :4]), lambda: model.score(images, [0] * 20))
    for wrong in (lambda: model.sample(5, label=0), model.traverse, *scored):
        with pytest.raises(UserError):
            wrong()
    rows = model.interpolate(rows=2, columns=5, seed=3)
    assert rows.shape == (2, 5, 8, 8, 1)
    ends = model.generate(model.inputs(4, seed=3))
    difference = np.abs(rows[:, [0, -1]].astype(int) - ends.reshape(2, 2, 8, 8, 1).swapaxes(0, 1))
    assert difference.max() <= 1  # of 255


@pytest.mark.slow
@pytest.mark.parametrize(
    "way",
    [
        "projection",
        *(pytest.param(way, marks=pytest.mark.hours) for way in ("none", "concatenation", "auxiliary_classifier")),
    ],
)
def test_the_score_is_the_critics_logit(trained_run, way):
    """By the critic's own call, of flax."""
    model = trained_run("conditional_gan.py", conditional__name=way)
    images, labels = model.sample(700), np.arange(700) % 10
    x, one_hot = batches.to_unit(images), np.eye(10, dtype=np.float32)[labels]
    if way == "concatenation":
        x = np.concatenate([x, np.broadcast_to(one_hot[:, None, None], (700, 8, 8, 10))], -1)
    others = {"condition": one_hot} if way in ("projection", "auxiliary_classifier") else {}
    variables = {"params": model.state.critic.params, **model.state.critic.stats}
    expected = model.critic.apply(variables, x, train=False, **others)
    expected = expected[0] if way == "auxiliary_classifier" else expected
    given = None if way == "none" else labels
    np.testing.assert_allclose(model.score(images, given), expected, rtol=1e-4, atol=1e-5)
    if way in ("concatenation", "projection"):
        for wrong, words in ((None, "needs labels"), (labels[:5], "700 classes"), (labels + 1, "from 0 to 9")):
            with pytest.raises(UserError, match=words):
                model.score(images, wrong)


@pytest.mark.slow
def test_a_class_can_be_asked_for(trained_run):
    model = trained_run("projection_gan.py")
    inputs = np.asarray(model.inputs(6, label=4))
    np.testing.assert_array_equal(inputs[:, 3:], np.eye(10)[[4] * 6])
    with pytest.raises(UserError, match="from 0 to 9"):
        model.sample(6, label=10)


WRONG = [
    (lambda model: model.sample(0), "num=0: give a whole number from 1"),
    (lambda model: model.sample(2.5), "num=2.5"),
    (lambda model: model.sample(2, seed=-1), "seed=-1: give a whole number from 0"),
    (lambda model: model.sample(2, label=3.5), "label=3.5: give a whole number from 0 to 9"),
    (
        lambda model: model.sample(2, label="three"),
        "label='three': give 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, or a whole number",
    ),
    (lambda model: model.sample(2, label="-1"), "label='-1'"),
    (lambda model: model.sample(2, label=np.array([0, 1])), "label=array"),
    (lambda model: model.sample(2, label=True), "label=True"),
    (lambda model: model.sample(2, truncation=-1.0), "truncation=-1.0: give 0 for none"),
    (lambda model: model.interpolate(rows=0), "rows=0"),
    (lambda model: model.interpolate(columns=0), "columns=0"),
    (lambda model: model.traverse(rows=0), "rows=0"),
    (lambda model: model.generate(np.zeros((2, 3), np.float32)), r"inputs of shape \(2, 3\): give \[n, 13\]"),
    (lambda model: model.score(np.zeros((0, 8, 8, 1), np.uint8), labels=[]), r"\(0, 8, 8, 1\)"),
    (lambda model: model.score(np.zeros((2, 8, 8, 1)), labels=[0, 1]), "float64: give uint8"),
    (lambda model: model.score(np.zeros((2, 8, 8, 1), np.uint8), labels=[True, False]), "2 classes from 0 to 9"),
    (lambda model: model.score(np.zeros((2, 8, 8, 1), np.uint8), labels=[0, 10]), "2 classes from 0 to 9"),
]


@pytest.mark.slow
def test_what_is_wrong_with_arguments_is_said_in_a_line(trained_run):
    model = trained_run("projection_gan.py")
    for call, words in WRONG:
        with pytest.raises(UserError, match=words):
            call(model)


@pytest.mark.slow
def test_a_row_holds_the_class_and_the_truncation_that_were_asked_for(trained_run):
    model = trained_run("projection_gan.py")
    ends = np.asarray(model.inputs(4, 1, 6, 0.5)).reshape(2, 2, -1)
    rows = model.interpolate(rows=2, columns=3, seed=1, label=6, truncation=0.5)
    for column, inputs in ((0, ends[0]), (-1, ends[1])):
        assert np.abs(rows[:, column].astype(int) - model.generate(jax.numpy.asarray(inputs))).max() <= 1
    np.testing.assert_array_equal(model.traverse(2, truncation=0.5)[:, 0], model.sample(2, label=0, truncation=0.5))


@pytest.mark.slow
def test_traversals_hold_the_latent_and_move_the_class_or_one_code(trained_run):
    model = trained_run("info_gan.py")
    images = model.traverse(rows=2, seed=5)
    assert images.shape == (2 * 3, 10, 8, 8, 1)
    inputs = np.asarray(model._traversal(2, 5))  # [classes and codes, rows, columns, inputs]
    assert inputs.shape == (3, 2, 10, 3 + 10 + 2)
    assert (inputs[..., :3] == inputs[:1, :, :1, :3]).all()
    np.testing.assert_array_equal(inputs[0, 1, :, 3:13], np.eye(10))
    np.testing.assert_allclose(inputs[2, 0, :, 14], np.linspace(-1, 1, 10))
    assert (inputs[2, 0, :, 13] == 0).all()
    np.testing.assert_array_equal(
        images.reshape(-1, 8, 8, 1), model.generate(jax.numpy.asarray(inputs.reshape(60, -1)))
    )


@pytest.mark.slow
def test_the_modes_of_the_command_do_the_same(command):
    command("info_gan.py", "--workdir=run", **SMALL)
    command("info_gan.py", "--workdir=run", "--mode=sample", "--traverse", **SMALL)
    command("info_gan.py", "--workdir=run", "--mode=sample", "--label=7", "--num=5", "--truncation=0.25", **SMALL)
    command("info_gan.py", "--workdir=run", "--mode=export", **SMALL)
    model = gan_jax.load("run", 4)
    with np.load("run/samples/samples.npz", allow_pickle=False) as arrays:
        assert arrays["labels"].tolist() == [7] * 5
        assert np.abs(arrays["latents"][:, :3]).max() <= 0.25
        np.testing.assert_array_equal(arrays["images"], model.sample(5, label=7, truncation=0.25))
    with open("run/generator.jax_export", "rb") as file:
        exported = jax.export.deserialize(bytearray(file.read()))
    inputs = model.inputs(5)
    np.testing.assert_array_equal(batches.to_uint8(np.asarray(exported.call(inputs))), model.generate(inputs))


@pytest.mark.slow
def test_what_is_not_there_is_said_in_a_line(trained_run):
    trained_run("wgan.py")
    for folder, step in (("nowhere", "last"), ("run", 3), ("run", "first")):
        with pytest.raises(UserError) as caught:
            gan_jax.load(folder, step)
        assert "\n" not in str(caught.value)
