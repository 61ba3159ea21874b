"""JAX_ENABLE_X64: whatever it says, the program computes in float32, and a caller's own setting stays as it is."""

import pathlib

import jax
import numpy as np
import pytest

import gan_jax
from gan_jax.config import default_config
from gan_jax.data import sources
from gan_jax.evaluation import measuring
from gan_jax.features import cache, extraction
from gan_jax.metrics.__main__ import main as measure
from gan_jax.runs import loop
from gan_jax.training import population


@pytest.fixture
def in_64_bits():
    """As JAX_ENABLE_X64=1 has it."""
    jax.config.update("jax_enable_x64", True)
    try:
        yield
        assert jax.config.jax_enable_x64
    finally:
        jax.config.update("jax_enable_x64", False)


@pytest.fixture
def tiny_ring():
    """Two configurations of one structure, and what they train on."""
    configs = [default_config("ring") for _ in range(2)]
    for config, config.seed in zip(configs, (3, 4), strict=True):
        config.update_from_flattened_dict({"network.width": 8, "network.depth": 1, "batch_size": 8})
    return configs, sources.load("ring", "", 0, 0)


def arrays(carries):
    """All of their numbers."""
    leaves = jax.tree.leaves(carries)
    return [np.asarray(leaf) for leaf in leaves if not jax.dtypes.issubdtype(leaf.dtype, jax.dtypes.prng_key)]


@pytest.fixture
def twice(command, request):
    """Runs that are trained, evaluated, sampled and exported, one of them in a process of 64 bits."""
    flags = ["--metrics=frechet,classes", "--features=classifier", "--num=64"]
    for folder in ("plain", "large"):
        if folder == "large":
            request.getfixturevalue("in_64_bits")
        command("wgan_gp.py", f"--workdir={folder}", steps=20)
        command("wgan_gp.py", f"--workdir={folder}", "--mode=evaluate", *flags, steps=20)
        command("wgan_gp.py", f"--workdir={folder}", "--mode=sample", "--num=8", steps=20)
        measuring.small_classifier.cache_clear()


def files(folder):
    return {path: path.read_bytes() for path in pathlib.Path(folder).rglob("*") if path.is_file()}


@pytest.mark.slow
def test_the_commands_do_the_same(twice, same_run, records):
    same_run("plain", "large")
    assert records("plain/evaluation.jsonl") == records("large/evaluation.jsonl")
    with np.load("plain/samples/samples.npz") as a, np.load("large/samples/samples.npz") as b:
        assert [(name, array.dtype) for name, array in a.items()] == [(name, array.dtype) for name, array in b.items()]
        np.testing.assert_array_equal(a["images"], b["images"])


@pytest.mark.slow
def test_the_cached_classifier_is_used_and_left_as_it_is(command, in_64_bits, capsys):
    flags = ["digits", "digits", "--num=64", "--metrics=frechet", "--features=classifier"]
    jax.config.update("jax_enable_x64", False)
    assert measure(flags) == 0
    before, first = files(cache.folder() / "classifiers"), capsys.readouterr().out
    jax.config.update("jax_enable_x64", True)
    measuring.small_classifier.cache_clear()
    assert measure(flags) == 0
    assert capsys.readouterr().out == first
    assert files(cache.folder() / "classifiers") == before


@pytest.mark.slow
def test_python_computes_the_same_in_a_notebook_of_64_bits(twice):
    model = gan_jax.load("plain")
    assert {leaf.dtype.name for leaf in jax.tree.leaves(model.state.ema)} == {"float32"}
    inputs = model.inputs(8)
    assert inputs.dtype == np.float32
    images, rows = model.sample(8), model.interpolate(2, 3)
    scores = model.score(images)
    record = model.evaluate(images, metrics="frechet", features="pixels")
    given = jax.numpy.asarray(np.asarray(inputs), "float64")
    assert given.dtype == np.float64  # as a notebook of 64 bits makes them
    np.testing.assert_array_equal(model.generate(given), images)
    with jax.enable_x64(False):
        plain = gan_jax.load("plain")
        np.testing.assert_array_equal(plain.sample(8), images)
        np.testing.assert_array_equal(plain.interpolate(2, 3), rows)
        np.testing.assert_array_equal(plain.score(images), scores)
        assert plain.evaluate(images, metrics="frechet", features="pixels") == record
    assert scores.dtype == np.float32
    with np.load("plain/samples/samples.npz") as arrays:
        np.testing.assert_array_equal(arrays["images"], images)


@pytest.mark.slow
def test_populations_in_python_are_the_same(tiny_ring, in_64_bits):
    configs, source = tiny_ring
    program = population.compile_program(configs[0], source, loop.shapes_of_carry(configs[0], source))
    with jax.enable_x64(False):
        expected, _ = program.block(loop.fresh_carries(configs, source)[0], None, 3)
    for way in population.WAYS[:2]:
        carries, done = population.make_advance(program, way)(loop.fresh_carries(configs, source), 3)
        assert {leaf.dtype.name for leaf in jax.tree.leaves(done)} == {"int32"}
        for a, b in zip(arrays(carries[0]), arrays(expected), strict=True):
            assert a.dtype == b.dtype
            np.testing.assert_array_equal(a, b)


@pytest.mark.slow
def test_mapped_populations_in_python_are_of_32_bits(tiny_ring, in_64_bits):
    configs, source = tiny_ring
    carries = loop.fresh_carries(configs, source)
    types = [leaf.dtype for leaf in arrays(carries)]
    program = population.compile_program(configs[0], source, carries[0])
    carries, _ = population.make_advance(program, "vmap")(carries, 3)
    assert [leaf.dtype for leaf in arrays(carries)] == types
    assert "float64" not in map(str, types)


@pytest.mark.slow
def test_a_sweep_trains_the_same(command, request, same_run):
    pathlib.Path("seeds.py").write_text("def get_sweep():\n    return [{'seed': 1}, {'seed': 2}]\n")
    for folder in ("plain", "large"):
        if folder == "large":
            request.getfixturevalue("in_64_bits")
        flags = ["--sweep=seeds.py", "--way=side_by_side", f"--workdir={folder}"]
        command("wgan_gp.py:ring", *flags, steps=20)
    for member in ("000", "001"):
        same_run(f"plain/{member}", f"large/{member}")


@pytest.mark.slow
def test_the_loop_trains_the_same(twice, same_run):
    config = gan_jax.load("plain").config
    loop.train(config, sources.of_config(config.data), pathlib.Path("looped"), "looped")
    same_run("plain", "looped")


def test_points_and_features_are_of_32_bits(in_64_bits):
    points, labels, *_ = sources.reference("grid", "", 0, "train", 50, 0)
    with jax.enable_x64(False):
        plain, plain_labels, *_ = sources.reference("grid", "", 0, "train", 50, 0)
    np.testing.assert_array_equal(points, plain)
    np.testing.assert_array_equal(labels, plain_labels)
    assert (points.dtype, labels.dtype) == (np.float32, np.int32)
    network = extraction.Network(
        "squares", jax.jit(lambda images: (jax.numpy.asarray(images, float).sum((1, 2)), None))
    )
    assert extraction.extract(network, lambda i, j: np.ones((j - i, 2, 2, 1), np.uint8), 3).features.dtype == np.float32
