"""What a user adds as the README says is tested at once, and turns nothing red but what is wrong with it."""

import os
import re
import shutil
import subprocess
import sys

import jax
import numpy as np
import pytest

from gan_jax import networks
from gan_jax.config import default_config, validate
from gan_jax.data.batches import Batch
from gan_jax.training import contracts
from gan_jax.training.state import create_state
from gan_jax.training.step import make_train_step
from tests import shipped

FOUND = shipped.found()
# The field that names a piece of each kind, and what it says of the piece.
FIELDS = {
    "LOSSES": ("loss", "{}"),
    "F_DIVERGENCES": ("loss", "f_gan:{}"),
    "PENALTIES": ("penalty.name", "{}"),
    "NETWORKS": ("network.name", "{}"),
    "OPTIMIZERS": ("optimizer.name", "{}"),
    "TERMS": ("{}.weight", 1.0),
}
SHAPES = [(8, 8, 1), (2,), (32, 32, 3), (64, 64, 3)]


@pytest.mark.parametrize("kind", FOUND)
def test_all_that_is_shipped_is_there(kind):
    assert {*getattr(shipped, kind)} <= {*FOUND[kind]}


def of_each_kind():
    """(kind, name) of all pieces that train; those that are shipped do so in other tests too."""
    for kind in FIELDS:
        for name in FOUND[kind]:
            marks = pytest.mark.hours if name in getattr(shipped, kind) else ()
            yield pytest.param(kind, name, marks=marks, id=f"{kind.lower()}-{name}")


@pytest.mark.parametrize(("kind", "name"), [*of_each_kind()])
def test_trains_a_step_in_one_program_for_all_numbers(kind, name):
    """Both players move, by finite numbers of the types that they had, and a sweep's numbers are no new program."""
    config = default_config("digits")
    tiny = {"batch_size": 4, "n_critic": 1, "network.name": "mlp", "network.width": 4, "network.latent_dim": 3}
    field, value = FIELDS[kind]
    if kind == "TERMS":  # which may want samples that do not depend on one another
        tiny |= {"network.generator_norm": "none"}
    config.update_from_flattened_dict(
        tiny | {field.format(name): value.format(name) if isinstance(value, str) else value}
    )
    validate(config)
    network = getattr(networks, config.network.name)
    shape = next(shape for shape in SHAPES if not network.check_shape(shape))
    contracts.check(config, shape)
    state, train_step = create_state(config, shape), jax.jit(make_train_step(config, shape))
    images = np.random.default_rng(0).uniform(-1, 1, (1, 4, *shape)).astype(np.float32)
    batch = Batch(images, np.zeros((1, 4), np.int32))
    for scale in (1, 0.5):
        numbers = {name: np.float32(scale * value) for name, value in state.hparams.items()}
        after, metrics = train_step(state.replace(hparams=numbers), batch)
        assert np.isfinite([*metrics.values()]).all()
        for old, new in ((state.generator.params, after.generator.params), (state.critic.params, after.critic.params)):
            leaves = [*zip(*map(jax.tree.leaves, (old, new)), strict=True)]
            assert all(a.dtype == b.dtype and np.isfinite(b).all() for a, b in leaves)
            assert any((a != b).any() for a, b in leaves)
    assert train_step._cache_size() == 1


# ------------------------------- a copy of the checkout, to which a user adds a piece of each kind

README = (shipped.ROOT / "README.md").read_text()
(SQUARED_HINGE,) = re.findall(r"```python\n(def squared_hinge.*?)```", README, re.DOTALL)
MARGIN = '''

def with_margin(margin) -> AdversarialLoss:
    """Critic E max(0, m - D(x)) + E max(0, m + D(G(z))), generator -E D(G(z))."""

    def critic(real_logits, fake_logits):
        return jnp.mean(relu(margin - real_logits)) + jnp.mean(relu(margin + fake_logits))

    return AdversarialLoss(critic, _up)
'''
BOTH_ENDS = '''

def of_both_ends(critic_fn, real, fake, key):
    """The mean of r1 and r2."""
    return (r1(critic_fn, real, fake, key) + r2(critic_fn, real, fake, key)) / 2
'''
HALF_PEARSON = '''

def half_pearson() -> Divergence:
    """f = (u - 1)^2 / 2, f* = t^2/2 + t, g = v, T = u - 1."""
    return Divergence(
        f=lambda u: jnp.square(u - 1) / 2,
        conjugate=lambda t: t * t / 2 + t,
        activation=lambda v: v,
        conjugate_of_activation=lambda v: v * v / 2 + v,
        optimal_critic=lambda u: u - 1,
    )
'''
CLOSENESS = '''

def closeness(real_logits, fake_logits, memory=(0.0, 1.0)):
    """(E D(x) - E D(G(z)) - m)^2, m the mean of the last two differences."""
    difference = jnp.mean(real_logits) - jnp.mean(fake_logits)
    return jnp.square(difference - sum(memory) / 2), jax.lax.stop_gradient((difference, memory[0]))
'''
SMOOTH = '''

def smooth(images_of, w, key, memory=0.0):
    """E |G(w + e) - G(w)|^2 of samples, less what it was."""
    moved = images_of(w + 0.1 * jax.random.normal(key, w.shape))
    value = jnp.mean(jnp.square(moved - images_of(w)))
    return jnp.square(value - memory), jax.lax.stop_gradient(value)
'''
MOMENTUM = '''

def momentum(learning_rate, b1):
    """Gradient descent with momentum b1."""
    return optax.sgd(learning_rate, momentum=b1)
'''
# What is wrong with them, and by which test it is found.
BROKEN = {
    "losses": '''

def no_number_at_100() -> AdversarialLoss:
    """log(sigmoid) as it is written, whose logarithm is of 0 at -100."""
    return AdversarialLoss(
        lambda real, fake: -jnp.mean(jnp.log(1 / (1 + jnp.exp(-real))) + jnp.log(1 - 1 / (1 + jnp.exp(-fake)))), _up
    )
''',
    "penalties": '''

def of_the_minibatch(critic_fn, real, fake, key):
    """One norm for all samples, where each should have its own."""
    return jnp.square(jnp.linalg.norm(jax.grad(lambda x: critic_fn(x).sum())(real)) - 1)
''',
}
FOUND_BY = {
    "tests/objectives/test_losses.py::test_finite_value_and_gradient_at_logits_of_100[-100.0--100.0-no_number_at_100-0]",
    "tests/objectives/test_penalties.py::test_of_a_larger_minibatch_of_the_same_samples_is_the_same[of_the_minibatch]",
    "tests/networks/test_architectures.py::test_shapes_and_statistics[column-shape0-none]",
    "tests/test_additions.py::test_trains_a_step_in_one_program_for_all_numbers[networks-column]",
}
ROWS = {
    "squared_hinge has no row in FORMULAS of tests/objectives/test_losses.py: add its formula in NumPy",
    "with_margin has no row in FORMULAS of tests/objectives/test_losses.py: add its formula in NumPy",
    "with_margin.margin has no row in RANGES of tests/test_config.py: add a value on the edge of what is allowed, and "
    "values beyond it",
    "half_pearson has no row in DEFINITIONS of tests/objectives/test_divergences.py: add its formula in NumPy",
    "half_pearson has no row in EVERYWHERE or BELOW of tests/objectives/test_divergences.py: add where its conjugate "
    "is finite",
    "of_both_ends has no row in OF_NORMS of tests/objectives/test_penalties.py: add the penalty as a function of the "
    "gradients' norms, or to OF_OTHER_THINGS its name",
    "of_both_ends has no row in SYSTEMS of gan_jax/studies/mode_collapse.py: add a system that has it",
    "critic.closeness has no row in TESTED of tests/objectives/test_terms.py: add a test of its formula",
    "generator.smooth has no row in TESTED of tests/objectives/test_terms.py: add a test of its formula",
    "perceptron has no row in SHAPES of tests/networks/test_architectures.py: add the shapes that it is for",
    "momentum has no row in FORMULAS of tests/training/test_optimizers.py: add its updates in NumPy, or to PEERS its "
    "name in PyTorch",
    "my_gan has no row in PAPERS of tests/test_config.py: add the fields that its paper gives, for cifar10; {} without "
    "a paper",
    "my_seeds has no row in SWEEPS of tests/test_sweeps.py: add the experiment that it is for, an argument, how many "
    "members that gives, and how many groups",
    "my_study has no row in the table of studies in README.md: add what it shows",
}
TABLES = ("objectives", "networks/test_architectures.py", "training/test_optimizers.py", "training/test_contracts.py",
          "training/test_step.py", "studies/test_mode_collapse.py", "studies/test_list.py", "test_config.py",
          "test_any_config.py", "test_sweeps.py", "test_lowering.py", "test_additions.py")  # fmt: skip


@pytest.fixture
def checkout(tmp_path):
    """A copy of what the tests of these tables read."""
    ignored = shutil.ignore_patterns("__pycache__")
    for folder in ("gan_jax", "tests", "experiments"):
        shutil.copytree(shipped.ROOT / folder, tmp_path / folder, ignore=ignored)
    for file in ("README.md", "pyproject.toml"):
        shutil.copy(shipped.ROOT / file, tmp_path)
    return tmp_path


def append(file, text):
    with file.open("a") as end:
        end.write(f"\n\n{text.strip()}\n")


def replace(file, old, new):
    text = file.read_text()
    assert text.count(old) == 1, (file, old)
    file.write_text(text.replace(old, new))


def copy_as(file, name):
    """Another piece with what this one holds, under a name of its own."""
    file.with_name(f"{name}.py").write_text(file.read_text().replace(f"/{file.stem}.py", f"/{name}.py"))


def add_network(package, name):
    copy_as(package / "networks/mlp.py", name)
    replace(package / "networks/__init__.py", "from gan_jax.networks import ", f"from gan_jax.networks import {name}, ")


def add_a_piece_of_each_kind(root):
    package = root / "gan_jax"
    append(package / "objectives/losses.py", SQUARED_HINGE + MARGIN)
    append(package / "objectives/penalties.py", BOTH_ENDS)
    append(package / "objectives/divergences.py", HALF_PEARSON)
    append(package / "training/optimizers.py", MOMENTUM)
    append(package / "objectives/critic_terms.py", CLOSENESS)
    append(package / "objectives/generator_terms.py", SMOOTH)
    numbers, field = 'LOSS_NUMBERS = {\n    "margin": "with_margin.margin",', "\nFIELDS = {"
    replace(package / "training/hyperparameters.py", "LOSS_NUMBERS = {", numbers)
    margin = '    "with_margin.margin": Field(1.0, _above(0), "logits at which a sample costs no more", CHANGEABLE),'
    replace(package / "config/fields.py", field, f"{field}\n{margin}")
    add_network(package, "perceptron")
    copy_as(root / "experiments/gan.py", "my_gan")
    copy_as(root / "experiments/sweeps/seeds.py", "my_seeds")
    copy_as(package / "studies/equilibrium.py", "my_study")


def add_what_is_broken(root):
    package = root / "gan_jax"
    for kind, text in BROKEN.items():
        append(package / f"objectives/{kind}.py", text)
    add_network(package, "column")
    replace(package / "networks/column.py", "(x)[:, 0].astype", "(x).astype")


def outcome(root, *flags):
    """(exit code, ids of tests that failed, reasons of those skipped) of the fast tests of these tables."""
    files = [f"tests/{file}" for file in TABLES]
    command = [
        sys.executable,
        "-m",
        "pytest",
        "-q",
        "-n0",
        "-p",
        "no:cacheprovider",
        "--tb=no",
        "-rsfE",
        *flags,
        *files,
    ]
    environment = os.environ | {"PYTHONPATH": str(root), "PYTHONDONTWRITEBYTECODE": "1"}
    done = subprocess.run([*command, "-m", "not slow"], cwd=root, env=environment, capture_output=True, text=True)
    reasons = re.findall(r"^SKIPPED \[1\] [^:]*:\d+: (.*)$", done.stdout, re.MULTILINE)
    failed = re.findall(r"^(?:FAILED|ERROR) (\S+)", done.stdout, re.MULTILINE)
    print(done.stdout[-3000:], done.stderr[-1000:])
    return done.returncode, {*failed}, sorted(reasons)


ADDED = ("squared_hinge", "margin", "of_both_ends", "half_pearson", "perceptron", "momentum", "closeness",
         "smooth", "my_gan", "my_seeds", "my_study")  # fmt: skip
WRONG = ("no_number_at_100", "of_the_minibatch", "column")
OF_THE_ADDITIONS = ["-k", " or ".join([*ADDED, *WRONG, "fields", "every_study", "every_loss", "what_is_shipped"])]


@pytest.mark.slow
def test_nothing_but_wrong_additions_turns_red_and_one_skip_for_each_row_says_where_it_goes(checkout):
    """Wrong are a loss without a number at 100, a penalty with one norm for a minibatch, and logits [b, 1]."""
    add_a_piece_of_each_kind(checkout)
    add_what_is_broken(checkout)
    code, failed, reasons = outcome(checkout, *OF_THE_ADDITIONS)
    assert code == 1
    assert failed >= FOUND_BY
    assert [test for test in failed if not any(name in test for name in WRONG)] == []
    assert [reason for reason in reasons if not reason.startswith(WRONG)] == sorted(ROWS)


@pytest.mark.hours
def test_additions_turn_nothing_red_in_any_fast_test_of_these_tables(checkout):
    add_a_piece_of_each_kind(checkout)
    assert outcome(checkout) == (0, set(), sorted(ROWS))
