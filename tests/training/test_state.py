import jax
import jax.numpy as jnp
import numpy as np
import pytest

from gan_jax.config import default_config
from gan_jax.errors import UserError
from gan_jax.training.game import build_loss, build_networks
from gan_jax.training.hyperparameters import TERMS, hyperparameters
from gan_jax.training.judging import pack
from gan_jax.training.schedules import at_step
from gan_jax.training.state import CALIBRATION, DATA, SAMPLES, create_state, create_states


def tiny(**fields):
    config = default_config("ring")
    small = {"network.width": 4, "network.depth": 2, "network.generator_norm": "batch", "network.critic_norm": "batch"}
    config.update_from_flattened_dict(small | {name.replace("__", "."): value for name, value in fields.items()})
    return config


def leaves(tree):
    """The numbers of a pytree, a key among them."""
    is_key = lambda leaf: jnp.issubdtype(leaf.dtype, jax.dtypes.prng_key)  # noqa: E731
    return [np.asarray(jax.random.key_data(leaf) if is_key(leaf) else leaf) for leaf in jax.tree.leaves(tree)]


def test_holds_what_the_configuration_says():
    config = tiny(seed=3, penalty__weight=7, weight_clip=0.5, ema_decay=0.25, optimizer__b1=0.125)
    config.smoothing.real, config.smoothing.fake, config.f_gan.alpha = 0.0625, 0.03125, 3.0
    config.least_squares.a, config.least_squares.b, config.least_squares.c = -1.0, 2.0, 0.75
    state = create_state(config, (2,))
    numbers = {"penalty_weight": 7, "weight_clip": 0.5, "ema_decay": 0.25, "b1": 0.125, "b2": 0.9}
    rates = {"generator_lr": config.optimizer.generator_lr, "critic_lr": config.optimizer.critic_lr}
    defaults = dict.fromkeys(["weight_decay", "noise_sigma", "ema_steps", "ema_half_life", "ema_ramp", "ema_start"], 0)
    defaults |= {"augment_probability": 1, "augment_target": 0, "augment_images": 500_000}
    defaults |= {"penalty_sigma": 0.01, "second_penalty_sigma": 0.01}
    defaults |= {"second_penalty_weight": 10, **{f"{term.replace('.', '_')}_weight": 0 for term in TERMS}}
    of_losses = {"smoothing_real": 0.0625, "smoothing_fake": 0.03125, "a": -1, "b": 2, "c": 0.75, "alpha": 3}
    of_conditions = {"conditional_weight": 1, "continuous_weight": 0.1}
    assert jax.tree.map(float, state.hparams) == pytest.approx(numbers | rates | defaults | of_losses | of_conditions)
    assert {(leaf.shape, leaf.dtype.name) for leaf in state.hparams.values()} == {((), "float32")}
    assert (state.step.shape, state.step.dtype.name, int(state.step)) == ((), "int32", 0)
    assert jnp.issubdtype(state.key.dtype, jax.dtypes.prng_key)
    for net in (state.generator, state.critic):
        assert set(net.stats) == {"batch_stats"}
        assert "batch_stats" not in net.params
    jax.tree.map(np.testing.assert_array_equal, state.ema, state.generator.params)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("loss", "expected"),
    [  # of a logit of 0 for reals and fakes alike; for alpha = 3, where T = 0 and f* = ((2 * 0 + 1)^1.5 - 1) / 3
        ("non_saturating", 2 * np.log(2)),
        ("least_squares", ((0 - 2) ** 2 + (0 + 1) ** 2) / 2),
        ("f_gan:alpha", 0.0),
    ],
)
def test_numbers_reach_the_loss_by_their_names(loss, expected):
    config = tiny(loss=loss)
    config.smoothing.real, config.smoothing.fake, config.f_gan.alpha = 0.25, 0.5, 3.0
    config.least_squares.a, config.least_squares.b, config.least_squares.c = -1.0, 2.0, 0.75
    made, zero = build_loss(config, hyperparameters(config)), jnp.zeros(1)
    assert made.critic(zero, zero) == pytest.approx(expected)
    if loss == "non_saturating":  # targets of 0.75 and 0.5: d/dv = sigmoid(v) - target
        assert [float(g[0]) for g in jax.grad(made.critic, (0, 1))(zero, zero)] == pytest.approx([-0.25, 0.0])
    if loss == "least_squares":
        assert made.generator(zero, zero) == pytest.approx(0.75**2 / 2)
    if loss == "f_gan:alpha":  # T = v, and f*(t) = ((2 t + 1)^1.5 - 1) / 3
        assert made.critic(zero, zero + 1) == pytest.approx((3**1.5 - 1) / 3)


def test_networks_without_statistics_have_none():
    state = create_state(tiny(network__generator_norm="none", network__critic_norm="layer"), (2,))
    assert state.generator.stats == state.critic.stats == {}


def test_is_a_function_of_the_seed():
    first, again, other = (leaves(create_state(tiny(seed=seed), (2,))) for seed in (2**32 - 1, 2**32 - 1, 1))
    assert all(np.array_equal(a, b) for a, b in zip(first, again, strict=True))
    changed = [a.shape for a, b in zip(first, other, strict=True) if not np.array_equal(a, b)]
    kernels = [(2, 4), (4, 4), (4, 2)]  # generator, its average, and critic (its first kernel, its second, its last)
    assert sorted(changed) == sorted([*kernels, *kernels, (2, 4), (4, 4), (4, 1), (2,)])


@pytest.mark.slow
def test_states_of_many_seeds_are_those_of_one_and_share_nothing():
    states = create_states([tiny(seed=3), tiny(seed=1)], (2,))
    for state, seed in zip(states, (3, 1), strict=True):
        for a, b in zip(leaves(state), leaves(create_state(tiny(seed=seed), (2,))), strict=True):
            np.testing.assert_array_equal(a, b)
    jax.jit(lambda state: state, donate_argnums=0)(states[0])
    assert not any(leaf.is_deleted() for leaf in jax.tree.leaves(states[1]))


def test_can_be_donated_again_and_again():
    """A state whose average is the generator's own buffer cannot be donated."""
    state = create_state(tiny(), (2,))
    advance = jax.jit(lambda state: state.replace(step=state.step + 1), donate_argnums=0)
    first = state
    for _ in range(3):
        state = advance(state)
    assert state.step == 3
    assert all(leaf.is_deleted() for leaf in jax.tree.leaves((first.generator, first.ema)))


def test_numbers_set_aside_are_no_step():
    """Steps are int32, and fold_in takes 32 bits."""
    assert len({DATA, SAMPLES, CALIBRATION}) == 3
    assert all(2**31 <= number < 2**32 for number in (DATA, SAMPLES, CALIBRATION))


def test_a_network_that_cannot_make_the_samples_is_refused_in_one_line():
    config = tiny(network__name="dcgan")
    with pytest.raises(UserError, match=r"^config.network.name='dcgan' with config.data.name='ring': [^\n]*$"):
        build_networks(config, (2,))


@pytest.mark.slow
@pytest.mark.parametrize(
    ("steps", "final", "step", "share"),
    [(0, 0.5, 0, 1), (0, 0.5, 9, 1), (8, 0, 0, 1), (8, 0, 2, 0.75), (8, 0, 8, 0), (8, 0, 99, 0), (8, 0.5, 4, 0.75)],
)
def test_learning_rates_fall_linearly_to_what_they_end_at_and_stay_there(steps, final, step, share):
    """In a schedule that they have alike; without one they stay as they are."""
    rates = {"generator_lr": 4e-4, "critic_lr": 1e-3}
    config = tiny(**{f"optimizer__{name}": rate for name, rate in rates.items()})
    for name, rate in rates.items():
        parts = {"shape": "linear", "over": float(steps), "to": final * rate} if steps else {}
        config.schedule.optimizer[name].update(parts)
    hparams = create_state(config, (2,)).hparams
    now = at_step(config, hparams, jnp.int32(step))
    for name, rate in rates.items():
        np.testing.assert_allclose(now[name], share * rate, rtol=1e-6)
    assert {name for name in hparams if now[name] != hparams[name]} <= {*rates}


@pytest.mark.parametrize(
    ("steps", "step", "sigma"), [(0, 50, 0.4), (10, 0, 0.4), (10, 5, 0.2), (10, 10, 0), (10, 20, 0)]
)
def test_noise_falls_linearly_to_nothing(steps, step, sigma):
    config = tiny(noise__sigma=0.4)
    if steps:
        config.schedule.noise.sigma.update({"shape": "linear", "over": float(steps)})
    hparams = create_state(config, (2,)).hparams
    assert float(at_step(config, hparams, jnp.int32(step))["noise_sigma"]) == pytest.approx(sigma)


@pytest.mark.parametrize("shape", [(2,), (3, 3, 2)])
def test_a_pack_is_its_samples_side_by_side_in_their_last_axis(shape):
    samples = np.random.default_rng(0).normal(size=(6, *shape))
    expected = [np.concatenate(samples[row : row + 3], axis=-1) for row in (0, 3)]
    np.testing.assert_array_equal(pack(samples, 3), np.float32(expected))
    np.testing.assert_array_equal(pack(samples, 1), np.float32(samples))
