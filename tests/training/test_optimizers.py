import re

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from gan_jax.config import default_config, optimizer_names, validate
from gan_jax.training import optimizers
from tests import shipped

START, LR, B1, B2, DECAY = np.float32([1, -2, 0, 0.5]), 0.01, 0.5, 0.9, 0.3
# Gradients of 1e-9 and 0 show whether epsilon is inside the root.
GRADIENTS = np.float32([[1, -3, 1e-9, 0], [0.5, 2, 1e-9, 0], [-4, 0.1, -1e-9, 0], [2, 1, 1e-9, 1]])


def descent(name):
    """A compiled function of the hyperparameters, which gives the parameters after each update."""

    @jax.jit
    def run(**numbers):
        taken = {argument: numbers[argument] for argument in optimizers.arguments(name)}
        transform = getattr(optimizers, name)(**taken)

        def update(carry, gradient):
            params, state = carry
            updates, state = transform.update(gradient, state, params)
            params = optax.apply_updates(params, updates)
            return (params, state), params

        return jax.lax.scan(update, (jnp.asarray(START), transform.init(START)), GRADIENTS)[1]

    return run


def descend(name):
    return descent(name)(learning_rate=LR, b1=B1, b2=B2, weight_decay=DECAY)


def numpy_rmsprop(gradients):
    x, square = START.astype(float), np.zeros(4)
    for g in gradients:
        square = 0.99 * square + 0.01 * g**2
        x = x - LR * g / (np.sqrt(square) + 1e-8)
        yield x


def numpy_adam(gradients):
    x, mean, square = START.astype(float), np.zeros(4), np.zeros(4)
    for t, g in enumerate(gradients, start=1):
        mean, square = B1 * mean + (1 - B1) * g, B2 * square + (1 - B2) * g**2
        x = x - LR * (mean / (1 - B1**t)) / (np.sqrt(square / (1 - B2**t)) + 1e-8)
        yield x


def numpy_sgd(gradients):
    return START - LR * np.cumsum(gradients, axis=0)


def numpy_lion(gradients):
    """Algorithm 2 of Chen et al. 2023, arXiv:2302.06675."""
    x, mean = START.astype(float), np.zeros(4)
    for g in gradients:
        update = np.sign(B1 * mean + (1 - B1) * g)
        mean = B2 * mean + (1 - B2) * g
        x = x - LR * (update + DECAY * x)
        yield x


FORMULAS = {"rmsprop": numpy_rmsprop, "adam": numpy_adam, "sgd": numpy_sgd, "lion": numpy_lion}
PEERS = {
    "rmsprop": ("RMSprop", {}),
    "adam": ("Adam", {"betas": (B1, B2)}),
    "adamw": ("AdamW", {"betas": (B1, B2), "weight_decay": DECAY}),
    "sgd": ("SGD", {}),
}


@pytest.mark.parametrize("name", optimizer_names())
def test_has_its_formula_here(name):
    where = "FORMULAS of tests/training/test_optimizers.py"
    what = "its updates in NumPy, or to PEERS its name in PyTorch"
    shipped.needs_row(name, shipped.OPTIMIZERS, {*FORMULAS, *PEERS}, where, what)


@pytest.mark.parametrize("name", FORMULAS)
def test_is_its_formula(name):
    """For RMSprop that is decay 0.99 and epsilon 1e-8 outside the root; optax's own default is 0.9 and inside."""
    expected = list(FORMULAS[name](GRADIENTS.astype(float)))
    np.testing.assert_allclose(descend(name), expected, rtol=1e-5, atol=1e-8)


@pytest.mark.parametrize("name", optimizer_names())
def test_goes_down_and_its_numbers_are_traced(name):
    """One program for any numbers; with a rate of 0 nothing moves, with another the first update is against the slope.

    Finite throughout, also where a gradient is 0.
    """
    run = descent(name)
    found = run(learning_rate=LR, b1=B1, b2=B2, weight_decay=0.0)
    assert found.dtype == np.float32
    assert np.isfinite(found).all()
    assert np.sum((found[0] - START) * GRADIENTS[0]) < 0
    np.testing.assert_array_equal(run(learning_rate=0.0, b1=0.0, b2=0.99, weight_decay=DECAY), [START] * 4)
    assert run._cache_size() == 1


@pytest.mark.parametrize("name", PEERS)
def test_is_pytorchs_with_pytorchs_defaults(name):
    torch = pytest.importorskip("torch")
    peer, arguments = PEERS[name]
    params = torch.tensor(START, requires_grad=True)
    optimizer = getattr(torch.optim, peer)([params], lr=LR, **arguments)
    for gradient, ours in zip(GRADIENTS, descend(name), strict=True):
        params.grad = torch.tensor(gradient)
        optimizer.step()
        np.testing.assert_allclose(ours, params.detach(), rtol=1e-5, atol=1e-8)


def configured(**fields):
    config = default_config("ring")
    config.update_from_flattened_dict(
        {"penalty.name": "r1"} | {name.replace("__", "."): value for name, value in fields.items()}
    )
    validate(config)
    return config


def test_a_player_has_its_own_optimiser_or_the_one_of_both():
    assert optimizers.of(configured(optimizer__name="sgd")) == ("sgd", "sgd")
    assert optimizers.of(configured(optimizer__name="sgd", optimizer__critic_name="lion")) == ("sgd", "lion")
    assert optimizers.of(configured(optimizer__generator_name="adamw")) == ("adamw", "adam")


def simulated_weight(b1, b2, every, noise=0.0, cycles=400):
    """Adam in NumPy: the mean update that a lazy penalty makes, against one that comes as often as the updates do.

    The penalty's gradient is 1 in the mean, and that of the other 1e-6 of it; beside them there is noise.
    """
    rng = np.random.default_rng(0)
    updates, cycles = every * (cycles + 100), cycles * every
    penalty = np.where(np.arange(1, updates + 1) % every == 0, every, 0.0)
    gradient = penalty + 1e-6 + noise * rng.standard_normal(updates)
    square, of_penalty, of_other, moved = 0.0, 0.0, 0.0, np.zeros(2)
    for update in range(updates):
        square = b2 * square + (1 - b2) * gradient[update] ** 2
        of_penalty = b1 * of_penalty + (1 - b1) * penalty[update]
        of_other = b1 * of_other + (1 - b1) * 1e-6
        if update >= updates - cycles:
            moved += np.array([of_penalty, of_other]) / np.sqrt(square)
    return moved[0] / (moved[1] / 1e-6)


# By every, for b1 = 0, of b2 = 0.9, 0.99, 0.999; with the b1 of 0.5 in brackets, as the docstring has them.
WEIGHTS = {2: [0.974, 0.997, 1.000], 4: [0.922, 0.992, 0.999], 8: [0.826, 0.983, 0.998], 16: [0.654, 0.963, 0.996]}
WEIGHTS_5 = {2: [0.991, 0.999, 1.000], 4: [0.960, 0.996, 1.000], 8: [0.871, 0.987, 0.999], 16: [0.692, 0.968, 0.997]}


@pytest.mark.parametrize("every", WEIGHTS)
@pytest.mark.parametrize(("b1", "table"), [(0.0, WEIGHTS), (0.5, WEIGHTS_5)])
def test_a_lazy_penalty_has_the_weight_that_a_simulated_adam_gives_it(b1, table, every):
    for b2, written in zip((0.9, 0.99, 0.999), table[every], strict=True):
        found = optimizers.weight_of_lazy_penalty("adam", b1, b2, every)
        assert found == pytest.approx(simulated_weight(b1, b2, every), abs=2e-3)
        assert found == pytest.approx(written, abs=6e-4)
    words = " ".join(optimizers.weight_of_lazy_penalty.__doc__.split())
    pairs = zip(WEIGHTS[every], WEIGHTS_5[every], strict=True)
    assert " ".join([str(every), *(f"{low:.3f} ({high:.3f})" for low, high in pairs)]) in words


def test_noise_brings_the_weight_of_a_lazy_penalty_nearer_to_one():
    least = optimizers.weight_of_lazy_penalty("adam", 0.0, 0.9, 16)
    little, much = (simulated_weight(0.0, 0.9, 16, noise) for noise in (1.0, 30.0))
    assert least < little < much < 1


def simulated_weight_of_own_step(b1, b2, every, cycles=400):
    """Adam in NumPy: the same, of a penalty alone in a step after every `every` others, of betas to the power c."""
    c = every / (every + 1)
    b1, b2 = b1**c, b2**c
    square, means, moved = 0.0, np.zeros(2), np.zeros(2)
    for step in range(1, (cycles + 100) * (every + 1) + 1):
        gradients = np.array([every, 0.0] if step % (every + 1) == 0 else [0.0, 1e-6])  # the penalty's, the other's
        square = b2 * square + (1 - b2) * gradients.sum() ** 2
        means = b1 * means + (1 - b1) * gradients
        if step > 100 * (every + 1):
            moved += means / np.sqrt(square)
    return moved[0] / (moved[1] / 1e-6)


@pytest.mark.parametrize("every", [1, 4, 16])
@pytest.mark.parametrize("b1", [0.0, 0.5])
def test_a_step_of_its_own_leaves_a_lazy_penalty_as_much_as_a_simulation_does(every, b1):
    for b2 in (0.9, 0.99):
        found = optimizers.weight_of_own_step("adam", b1, b2, every)
        assert found == pytest.approx(simulated_weight_of_own_step(b1, b2, every), abs=2e-3)
        assert found < optimizers.weight_of_lazy_penalty("adam", b1, b2, every)
    assert optimizers.weight_of_own_step("sgd", b1, 0.9, every) == 1


def lion_settles_at(b1, b2, every, noise=0.1, updates=6000, rate=3e-3, own_step=False):
    """Lion in NumPy, of the gradient -1 with noise, and of every * x once in `every` updates: unbiased, it is at 1.

    own_step: that has a step to itself.
    """
    rng, x, mean, places = np.random.default_rng(0), np.full(64, 1.5), np.zeros(64), []
    c = every / (every + 1) if own_step else 1
    b1, b2 = b1**c, b2**c
    for update in range(1, updates + 1):
        steps = [-1 + noise * rng.standard_normal(64)]
        if update % every == 0:
            steps = [steps[0], every * x] if own_step else [steps[0] + every * x]
        for gradient in steps:
            x = x - c * rate * np.sign(b1 * mean + (1 - b1) * gradient)
            mean = b2 * mean + (1 - b2) * gradient
        places.append(x.mean())
    return np.mean(places[updates // 2 :])


LIONS = {4: [(0.552, 0.993), (0.505, 0.909), (0.501, 0.901)], 16: [(0.495, 0.891), (0.505, 0.908), (0.501, 0.901)]}


@pytest.mark.parametrize("every", LIONS)
def test_a_lazy_penalty_has_the_weight_that_a_simulated_lion_gives_it(every):
    for b2, pair in zip((0.9, 0.99, 0.999), LIONS[every], strict=True):
        for b1, written in zip((0.5, 0.9), pair, strict=True):
            assert optimizers.weight_of_lazy_penalty("lion", b1, b2, every) == pytest.approx(written, abs=6e-4)
            if b2 < 0.999:
                assert 1 / lion_settles_at(b1, b2, every) == pytest.approx(written, abs=0.015)
                own = optimizers.weight_of_own_step("lion", b1, b2, every)
                assert 1 / lion_settles_at(b1, b2, every, own_step=True) == pytest.approx(own, abs=0.015)
    words = " ".join(optimizers.weight_of_lazy_penalty.__doc__.split())
    assert " ".join([str(every), *(f"{low:.3f} ({high:.3f})" for low, high in LIONS[every])]) in words


def test_noise_and_the_advice_bring_lions_weight_nearer_to_one():
    assert lion_settles_at(0.5, 0.9, 16) > lion_settles_at(0.5, 0.9, 16, noise=3.0) > 1
    (words,) = optimizers.lazy_warnings(configured(penalty__every=16, optimizer__critic_name="lion"))
    assert "(b1=0.5, b2=0.9)" in words
    assert "no more than 0.5 of its weight; give config.optimizer.b1=0.95 with config.optimizer.b2=0.99, or" in words
    assert 1 / lion_settles_at(0.95, 0.99, 16) > 0.93
    paper = {"penalty__every": 16, "optimizer__b1": 0.9, "optimizer__b2": 0.99}
    assert optimizers.lazy_warnings(configured(optimizer__critic_name="lion", **paper)) == []


def test_what_a_lazy_penalty_loses_is_said_of_optimisers_with_a_second_moment():
    lazy = {"penalty__every": 16, "steps": 10_000}
    (words,) = optimizers.lazy_warnings(configured(**lazy))
    assert "0.69 of its weight" in words
    assert optimizers.lazy_warnings(configured(penalty__every=4)) == []
    assert optimizers.lazy_warnings(configured()) == []
    for other in ("sgd", "rmsprop"):
        assert optimizers.lazy_warnings(configured(optimizer__critic_name=other, **lazy)) == []
    assert optimizers.lazy_warnings(configured(optimizer__generator_name="sgd", **lazy))
    (words,) = optimizers.lazy_warnings(configured(penalty__own_step=True, **lazy))
    assert "0.68 of its weight" in words
    assert "config.optimizer.b2=0.99, or config.penalty.every=1 with config.penalty.own_step=False" in words
    assert optimizers.lazy_warnings(configured(penalty__own_step=True, optimizer__b2=0.99, **lazy)) == []


@pytest.mark.parametrize("name", ["adam", "adamw", "lion", "rmsprop"])
@pytest.mark.parametrize("every", [16, 60, 500, 5000, 10**6])
def test_the_advice_on_a_lazy_penalty_ends_the_warning(name, every):
    config = configured(penalty__every=every, optimizer__critic_name=name, steps=10**6)
    said = optimizers.lazy_warnings(config)
    if not said:
        assert (name, every) == ("rmsprop", 16)
        return
    (words,) = said
    assert "\n" not in words
    advice = dict(re.findall(r"config\.([\w.]+?)=([\d.]+)", words.partition("give ")[2]))
    has_slower = name != "rmsprop" and every <= (5000 if name == "lion" else 500)
    slower = {"optimizer.b1", "optimizer.b2"} if name == "lion" else {"optimizer.b2"}
    assert advice.keys() == {"penalty.every"} | (slower if has_slower else set())
    for fields in [{"penalty.every"}] + [slower] * has_slower:
        changed = config.copy_and_resolve_references()
        given = {field: int(advice[field]) if field == "penalty.every" else float(advice[field]) for field in fields}
        changed.update_from_flattened_dict(given)
        validate(changed)
        assert optimizers.lazy_warnings(changed) == []
