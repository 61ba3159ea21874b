"""ADA's probability: what it follows, what it remembers, and that it is the same wherever a run goes on."""

import json
import pathlib

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from gan_jax.config import default_config, validate
from gan_jax.data.batches import Batch
from gan_jax.training import adaptive
from gan_jax.training.state import create_state
from gan_jax.training.step import make_train_step

SMALL = {"network.width": 8, "network.depth": 1, "network.latent_dim": 4, "batch_size": 8, "augment": "flip",
         "augment_target": 0.6, "augment_images": 400.0}  # fmt: skip


def adapting(**fields):
    config = default_config("digits")
    config.update_from_flattened_dict(SMALL | {name.replace("__", "."): value for name, value in fields.items()})
    validate(config)
    return config


def follow(config, signs, p):
    """p after each step, in float64: of n steps it moves at every k-th."""
    total, found = 0.0, []
    for step, sign in enumerate(signs, 1):
        total += sign
        if step % config.augment_every == 0:
            reached = total / config.augment_every
            p += np.sign(reached - config.augment_target) * config.augment_every * config.batch_size / 400
            p, total = max(p, 0.0), 0.0
        found.append(p)
    return found


@pytest.mark.parametrize("every", [1, 4])
def test_p_moves_by_the_mean_sign_of_so_many_steps(every):
    config = adapting(augment_every=every)
    critic = begun(create_state(config, (8, 8, 1)), 0.25).critic
    hparams = {"augment_target": 0.6, "augment_images": 400.0}
    signs = np.random.default_rng(0).uniform(0, 1, (40, 2)).astype(np.float32)
    signs[:16] = 0.1  # down to 0, and not below
    adjust = jax.jit(
        lambda critic, signs, step: adaptive.adjusted(config, hparams, critic, {"real_signs": signs}, step)
    )
    found, told = [], []
    for step, pair in enumerate(signs):
        critic, metrics = adjust(critic, pair, step)
        found.append(float(critic.memory["augmentation"][0]))
        told.append({name: float(value[-1]) for name, value in metrics.items()})
    np.testing.assert_allclose(found, follow(config, signs.mean(1), 0.25), atol=1e-5)
    assert min(found) == 0
    assert max(found) > 0.1
    assert [line["augment_probability"] for line in told] == [0.25, *found[:-1]]
    np.testing.assert_allclose([line["real_signs"] for line in told], signs.mean(1), rtol=1e-6)


def begun(state, p):
    """The state with another p."""
    critic = state.critic
    memory = critic.memory | {"augmentation": (jnp.float32(p), *critic.memory["augmentation"][1:])}
    return state.replace(critic=critic.with_stats(critic.collections, memory))


def trained(config, steps, reals, p=None):
    """Lines of so many steps on minibatches of these reals, from p on."""
    state, step = create_state(config, (8, 8, 1)), jax.jit(make_train_step(config, (8, 8, 1)))
    state = state if p is None else begun(state, p)
    rng, lines = np.random.default_rng(0), []
    for _ in range(steps):
        images = jnp.asarray(reals[rng.integers(len(reals), size=(1, config.batch_size))])
        state, line = step(state, Batch(images, jnp.zeros((1, config.batch_size), jnp.int32)))
        lines.append(jax.tree.map(float, line))
    return state, lines


@pytest.mark.slow
def test_p_rises_with_a_critic_that_knows_its_reals_and_falls_with_a_weak_one():
    reals = np.random.default_rng(1).normal(size=(16, 8, 8, 1)).astype(np.float32)
    strong = adapting(optimizer__critic_lr=1e-3, optimizer__generator_lr=1e-6, augment="translation", steps=300)
    _, lines = trained(strong, 200, reals, 0.25)
    p = [line["augment_probability"] for line in lines]
    assert np.mean([line["real_signs"] for line in lines[100:]]) > 0.6
    assert p[-1] > p[0] + 0.5 == 0.75
    weak = adapting(optimizer__critic_lr=1e-30, steps=300)
    _, lines = trained(weak, 60, reals, 0.5)
    p = [line["augment_probability"] for line in lines]
    assert p[-1] < 0.1
    assert (np.diff(p) <= 0).all()


@pytest.mark.parametrize("p", [0.0, 1.0])
def test_the_critic_sees_reals_augmented_with_that_probability(p):
    """At p = 0 the step is the one without augmentation; at p = 1 with `flip`, half of the samples are mirrored."""
    config, plain = adapting(), adapting(augment="none", augment_target=0.0, augment_images=500_000.0)
    reals = np.random.default_rng(1).normal(size=(16, 8, 8, 1)).astype(np.float32)
    lines = [trained(which, 1, reals, at)[1][0]["real_logits"] for which, at in ((config, p), (plain, None))]
    assert (lines[0] == pytest.approx(lines[1], rel=1e-5)) == (p == 0)


@pytest.mark.slow
def test_p_is_saved_and_restored_and_begins_when_it_is_asked_for(command, goes_on_bit_for_bit):
    fields = {name: value for name, value in SMALL.items() if name.startswith("augment")}
    # It is stopped between two moves of p, where sums are on the way.
    goes_on_bit_for_bit("ns_gan.py", **fields, augment_every=3)
    lines = [json.loads(line) for line in pathlib.Path("whole/metrics.jsonl").read_text().splitlines()]
    assert lines[0]["augment_probability"] != lines[-1]["augment_probability"]
    command("ns_gan.py", "--workdir=later", steps=20, augment="flip")
    command("ns_gan.py", "--workdir=later", steps=40, augment="flip", augment_target=0.6, augment_images=400.0)
    last = json.loads(pathlib.Path("later/metrics.jsonl").read_text().splitlines()[-1])
    assert 0 <= last["augment_probability"] < 1
