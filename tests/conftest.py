"""What the whole-program tests share: the command, run in this process on networks that compile in a moment."""

import contextlib
import functools
import gzip
import hashlib
import io
import json
import math
import os
import pathlib
import re
import time

import jax
import numpy as np
import pytest
from PIL import Image

from gan_jax import main
from gan_jax.config import default_config
from gan_jax.data import prepare, sources
from gan_jax.evaluation import generators, measuring
from gan_jax.features import cache, classifier
from gan_jax.files import atomic
from gan_jax.reports import pictures
from gan_jax.runs import checkpoint, loop, trained
from gan_jax.training import contracts, population, state
from gan_jax.training.hyperparameters import structure

EXPERIMENTS = pathlib.Path(__file__).parents[1] / "experiments"
TINY = {"steps": 60, "batch_size": 8, "n_critic": 2, "network.width": 8, "network.depth": 1, "network.latent_dim": 4,
        "log_every": 10, "sample_every": 30, "checkpoint_every": 20, "eval_every": 0, "eval_samples": 64}  # fmt: skip
SLOW_FIXTURES = "numbers", "nursery", "trained", "driver"  # a study's, a process's, something trained, a browser
START = time.monotonic()
Image.new("1", (880, 660)).save(_file := io.BytesIO(), format="png")
BLANK = _file.getvalue()
# With XLA's newer emitters, what a test runs for a moment takes four times as long to compile. An XLA that does not
# know the flag would abort.
OLDER = "--xla_cpu_use_fusion_emitters=false" if jax.__version__.startswith("0.10.") else ""
os.environ["XLA_FLAGS"] = f"{os.environ.get('XLA_FLAGS', '')} {OLDER}".strip()  # a blank would be the name of a file


def pytest_addoption(parser):
    text = "begin no test after so many minutes, on a machine too slow for all; those left are skipped, and counted"
    parser.addoption("--minutes", type=float, default=math.inf, help=text)


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items):
    """What takes hours is slow too, and so is what needs one of these."""
    for item in items:
        if item.get_closest_marker("hours") or {*SLOW_FIXTURES} & {*item.fixturenames}:
            item.add_marker("slow")


def pytest_runtest_setup(item):
    minutes = item.config.getoption("minutes")
    if time.monotonic() - START > 60 * minutes:
        pytest.skip(f"not begun: the {minutes:g} minutes of --minutes were over")


@pytest.fixture(scope="session")
def shared_folder(tmp_path_factory, worker_id):
    """One folder for the processes of this run of the tests."""
    return tmp_path_factory.getbasetemp() if worker_id == "master" else tmp_path_factory.getbasetemp().parent


@pytest.fixture(scope="session", autouse=True)
def compiled_quickly(shared_folder):
    """In a fraction of the time, to run slower. The same few programs are run again and again, and are kept on disk.

    An accelerator is tested with what it is used with.
    """
    options = {
        "jax_disable_most_optimizations": jax.default_backend() == "cpu",
        "jax_compilation_cache_dir": str(shared_folder / "compiled"),
        "jax_persistent_cache_min_compile_time_secs": 0.0,
    }
    with pytest.MonkeyPatch.context() as patch:
        for name, value in options.items():
            jax.config.update(name, value)
            patch.setenv(name.upper(), str(value))  # of the processes that a test starts
        patch.setenv("PYTHONWARNINGS", "ignore:Error reading persistent compilation cache entry:UserWarning")
        yield


@pytest.fixture(scope="session", autouse=True)
def cached_here(shared_folder):
    """Classifiers, weights and features go to a folder of the tests; originals are where they are for a user."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("GAN_JAX_ORIGINALS", str(cache.originals()))
        patch.setenv("GAN_JAX_CACHE", str(shared_folder / "cache"))
        yield


@pytest.fixture
def classified_quickly(monkeypatch, shared_folder):
    """The small classifiers are hardly trained, and kept apart from those that are."""
    monkeypatch.setattr(classifier, "MIN_STEPS", 50)
    monkeypatch.setenv("GAN_JAX_CACHE", str(shared_folder / "quick_cache"))
    measuring.small_classifier.cache_clear()
    yield
    measuring.small_classifier.cache_clear()


@pytest.fixture
def drawn_quickly(monkeypatch):
    """Figures are as wide as most are to be, and empty: half of a small run's time would go into their axes."""

    def blank(path, *_):
        atomic.write(path, BLANK)

    drawn = {name: getattr(pictures, name) for name in ("curves", "scatter", "save")}
    for name in drawn:
        monkeypatch.setattr(pictures, name, blank)
    return drawn


@pytest.fixture
def drawn_in_full(monkeypatch, drawn_quickly):
    """Figures are drawn as they are for a user."""
    for name, function in drawn_quickly.items():
        monkeypatch.setattr(pictures, name, function)


@pytest.fixture(scope="session")
def programs():
    """What this process has traced and compiled for the command."""
    return {}


@pytest.fixture
def traced_once(monkeypatch, programs):
    """Runs whose compiled programs are the same trace them once in this process."""

    def once(name, config, source, make):
        fields = [field for field in structure(config) if not re.match(r"steps|eval_|wandb|\w+_every$", field[0])]
        key = name, getattr(source, "shape", source), repr(fields)
        if key not in programs:
            programs[key] = make()
        return programs[key]

    def once_each(function):
        def called(config, source, *rest):
            if config.data.dir:  # whose content may change
                return function(config, source, *rest)
            return once(function.__name__, config, source, lambda: function(config, source, *rest))

        return called

    def partial_once(function, config, shape):
        """The same function again, of which JAX knows its program."""
        return once(function.__name__, config, shape, lambda: functools.partial(function, config, shape))

    for module, name in ((contracts, "check"), (population, "compile_program"), (loop, "shapes_of_carry")):
        monkeypatch.setattr(module, name, once_each(getattr(module, name)))
    monkeypatch.setattr(state, "partial", partial_once)


@pytest.fixture
def command(tmp_path, monkeypatch, classified_quickly, drawn_quickly, traced_once):
    """command("wgan_gp.py:ring", "--mode=sample", steps=20) in an empty folder, must end with exit code `code`."""
    (tmp_path / "cwd").mkdir()
    monkeypatch.chdir(tmp_path / "cwd")

    def run(experiment, *flags, code=0, **fields):
        values = TINY | {name.replace("__", "."): value for name, value in fields.items()}
        overrides = [f"--config.{name}={value}" for name, value in values.items()]
        assert main.main(["gan_jax", f"--config={EXPERIMENTS / experiment}", *flags, *overrides]) == code

    return run


@pytest.fixture
def records():
    """The objects of a .jsonl file."""
    return lambda path: [json.loads(line) for line in pathlib.Path(path).read_text().splitlines()]


@pytest.fixture
def small_carry():
    """(state, sums) before the first step of a small run on the digits."""
    config = default_config()
    config.update_from_flattened_dict({"network.width": 8, "network.depth": 1, "network.latent_dim": 4})
    return loop.fresh_carries([config], sources.load("digits", "", 0, 100.0))[0]


@pytest.fixture
def killed_as_it_saves(monkeypatch):
    """with killed_as_it_saves(step, member): what runs within must die as the checkpoint of that step is due."""

    class Killed(BaseException):
        pass

    @contextlib.contextmanager
    def killed(step, member):
        def save_or_die(manager, carry, *rest):
            if carry[0].step == step and member in str(manager.directory):
                raise Killed
            save(manager, carry, *rest)

        save = checkpoint.save
        with monkeypatch.context() as patch:
            patch.setattr(checkpoint, "save", save_or_die)
            with pytest.raises(Killed):
                yield

    return killed


@pytest.fixture
def at_evaluation(monkeypatch):
    """with at_evaluation(step, error): the evaluations that training makes at that step raise it."""

    @contextlib.contextmanager
    def raising(step, error):
        def evaluate(config, generator, state, how, **given):
            if int(state.step) == step:
                raise error
            return measure(config, generator, state, how, **given)

        measure = generators.evaluate
        with monkeypatch.context() as patch:
            patch.setattr(generators, "evaluate", evaluate)
            yield

    return raising


@pytest.fixture
def damage_arrays():
    """Inverts all bits of a checkpoint's arrays. Threads decide which parts of their files are still used."""

    def damage(folder):
        for file in (folder / "state").rglob("d/*"):
            file.write_bytes(bytes(255 - byte for byte in file.read_bytes()))

    return damage


@pytest.fixture
def same_run():
    """same_run("a", "b"): parameters, averages, optimiser states, statistics, keys and metrics.jsonl, bit for bit."""

    def check(*folders):
        a, b = map(pathlib.Path, folders)
        states = [trained.load(folder).state for folder in (a, b)]
        for left, right in zip(*map(jax.tree.leaves, states), strict=True):
            if jax.dtypes.issubdtype(left.dtype, jax.dtypes.prng_key):
                left, right = jax.random.key_data(left), jax.random.key_data(right)
            np.testing.assert_array_equal(np.asarray(left), np.asarray(right))
        assert (a / "metrics.jsonl").read_bytes() == (b / "metrics.jsonl").read_bytes()

    return check


@pytest.fixture
def goes_on_bit_for_bit(command, same_run):
    """goes_on_bit_for_bit("ns_gan.py", **fields): 40 steps in whole/ are the same run as 20 and 20 more in parts/."""

    def check(experiment, **fields):
        command(experiment, "--workdir=whole", steps=40, **fields)
        for steps in (20, 40):
            command(experiment, "--workdir=parts", steps=steps, **fields)
        same_run("whole", "parts")

    return check


@pytest.fixture
def assert_convolutions_are_fast():
    """A CPU has no fast code for swapped dimensions, holes in images, groups: 200 times slower, and nobody is told."""

    def check(program):
        convolutions = [line for line in program.splitlines() if " convolution(" in line]
        assert convolutions
        for line in convolutions:
            assert re.search(r"dim_labels=([^\s,]*)", line)[1] == "b01f_01io->b01f"
            assert not re.search("lhs_dilate|group_count", line)

    return check


@pytest.fixture
def ot(monkeypatch):
    """Python Optimal Transport, without the array libraries that it would import at its own import."""
    for library in ("JAX", "PYTORCH", "TENSORFLOW", "CUPY"):
        monkeypatch.setenv(f"POT_BACKEND_DISABLE_{library}", "1")
    return pytest.importorskip("ot")


# ------------------------------- tiny originals in the published formats, and a TFDS folder prepared from them


def fake_originals(root):
    """mnist, fashion_mnist, cifar10 below root: label k fills its image with 10 k (G: 20 k, B: 30 k)."""
    for name in ("mnist", "fashion_mnist"):
        (root / name).mkdir(parents=True)
        for part, count in (("train", 20), ("t10k", 8)):
            labels = (np.arange(count) * 7 % 10).astype(np.uint8)
            images = np.repeat(10 * labels, 28 * 28)
            for kind, header, content in (("images-idx3", 16, images), ("labels-idx1", 8, labels)):
                packed = gzip.compress(bytes(header) + content.tobytes())
                (root / name / f"{part}-{kind}-ubyte.gz").write_bytes(packed)
    (root / "cifar10/cifar-10-batches-bin").mkdir(parents=True)
    for b, file in enumerate(prepare.CHECKSUMS["cifar10"]):
        rows = [[k, *[10 * k] * 1024, *[20 * k] * 1024, *[30 * k % 256] * 1024] for k in (b, (b + 3) % 10)]
        (root / "cifar10/cifar-10-batches-bin" / file).write_bytes(np.array(rows, np.uint8).tobytes())


def digests(root):
    """The checksums of what lies there, as prepare.CHECKSUMS has them for the published files."""

    def digest(path, published):
        return hashlib.new({32: "md5", 64: "sha256"}[len(published)], path.read_bytes()).hexdigest()

    folder = {"mnist": "mnist", "fashion_mnist": "fashion_mnist", "cifar10": "cifar10/cifar-10-batches-bin"}
    return {
        name: {file: digest(root / folder[name] / file, published) for file, published in files.items()}
        for name, files in prepare.CHECKSUMS.items()
    }


@pytest.fixture(scope="session")
def fakes(tmp_path_factory):
    """(folder of the originals, their checksums)."""
    root = tmp_path_factory.mktemp("originals")
    fake_originals(root)
    return root, digests(root)


@pytest.fixture(scope="session")
def tfds_dir(fakes, tmp_path_factory):
    """A TFDS folder that holds the three sets, prepared from the fakes."""
    folder = tmp_path_factory.mktemp("tfds")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(prepare, "CHECKSUMS", fakes[1])
        for name in fakes[1]:
            prepare.prepare(name, str(fakes[0]), str(folder))
    return folder
