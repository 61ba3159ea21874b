"""A network that draws noise, maps its latents, remembers their mean, and sees how samples of a minibatch differ.

It is a user's own, added to `gan_jax.networks` by these tests alone, in the form that StyleGAN2 has.
"""

import dataclasses
import pathlib
import sys
import types
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import linen as nn
from jax import export

import gan_jax
from gan_jax import networks
from gan_jax.config import default_config, validate
from gan_jax.data.batches import Batch
from gan_jax.errors import UserError
from gan_jax.networks.layers import MinibatchDeviation
from gan_jax.runs import trained
from gan_jax.training import contracts, game, judging, sampling
from gan_jax.training.conditional import Inputs
from gan_jax.training.game import build_networks
from gan_jax.training.state import create_state
from gan_jax.training.step import make_train_step


class Generator(nn.Module):
    """z -> w -> x = A w + strength * noise, and w of another latent now and then."""

    shape: tuple[int, ...]
    width: int
    depth: int
    norm: str
    momentum: float = 0.995
    dtype: Any = None
    classes: int = 0
    psi: float = 1.0
    cutoff: int = 0  # of no layers: all have the one w

    def setup(self):
        self.first, self.last = nn.Dense(self.width), nn.Dense(int(np.prod(self.shape)))
        self.strength = self.param("strength", nn.initializers.ones_init(), ())
        self.w_avg = self.variable("averages", "w_avg", jnp.zeros, (self.width,))

    def __call__(self, inputs, train: bool):
        return self.synthesis(self.mapping(inputs, train), train)

    def mapping(self, inputs, train: bool):
        w = nn.tanh(self.first(inputs))
        if train and self.is_mutable_collection("averages"):
            mean = jax.lax.stop_gradient(w.mean(0))
            self.w_avg.value = self.momentum * self.w_avg.value + (1 - self.momentum) * mean
        return w if train else self.w_avg.value + self.psi * (w - self.w_avg.value)

    def synthesis(self, w, train: bool):
        noise = jax.random.normal(self.make_rng("noise"), (w.shape[0], 1))
        return (self.last(w) + self.strength * noise).reshape(-1, *self.shape)


class Critic(nn.Module):
    """A perceptron of one layer that sees deviations of groups."""

    width: int
    depth: int
    norm: str
    dtype: Any = None
    head: nn.Module | None = None
    group: int = 0

    @nn.compact
    def __call__(self, samples, train: bool, condition=None):
        x = nn.relu(nn.Dense(self.width)(samples.reshape(len(samples), -1)))
        return nn.Dense(1)(MinibatchDeviation(self.group)(x))[:, 0]


class NoisyCritic(Critic):
    """A linear critic of samples that it adds noise to, one number for each."""

    @nn.compact
    def __call__(self, samples, train: bool, condition=None):
        noise = jax.random.normal(self.make_rng("noise"), (len(samples), 1)) if train else 0.0
        return nn.Dense(1)(samples.reshape(len(samples), -1) + noise)[:, 0]


@pytest.fixture
def own(monkeypatch):
    """config.network.name=own."""
    module = types.ModuleType("gan_jax.networks.own")
    module.Generator, module.Critic, module.check_shape = Generator, Critic, lambda shape: ""
    monkeypatch.setitem(sys.modules, "gan_jax.networks.own", module)
    monkeypatch.setattr(networks, "own", module, raising=False)
    from gan_jax.config import FIELDS

    allowed = FIELDS["network.name"].allowed
    changed = FIELDS["network.name"]._replace(allowed=(lambda name: name == "own" or allowed[0](name), allowed[1]))
    monkeypatch.setitem(FIELDS, "network.name", changed)


OWN = {"network__name": "own", "network__minibatch_deviation": 4, "generator__path_length__weight": 2.0}
SMALL = {"network.name": "own", "network.width": 6, "network.latent_dim": 3, "batch_size": 8}


def small(**fields):
    config = default_config("ring")
    config.update_from_flattened_dict(SMALL | {name.replace("__", "."): value for name, value in fields.items()})
    validate(config)
    return config


def test_noise_is_a_function_of_key_and_step(own):
    """The same step twice has the same bits; the next one, and another seed, have other noise."""
    config = small(optimizer__name="sgd", optimizer__generator_lr=1e-30, optimizer__critic_lr=1e-30)
    state, step = create_state(config, (2,)), jax.jit(make_train_step(config, (2,)))
    batch = Batch(jnp.zeros((1, 8, 2)), jnp.zeros((1, 8), jnp.int32))
    lines = [step(state.replace(step=jnp.int32(at)), batch)[1] for at in (0, 0, 1)]
    logits = [float(line["fake_logits"]) for line in lines]
    assert logits[0] == logits[1] != logits[2]


def test_what_a_generator_remembers_moves_in_its_own_updates_alone(own):
    """w_avg <- 0.995 w_avg + 0.005 mean(w), once for each update of the generator, though it makes fakes in all."""
    config = small(n_critic=3, n_generator=2)
    state = create_state(config, (2,))
    batch = Batch(jnp.zeros((3, 8, 2)), jnp.zeros((3, 8), jnp.int32))
    after, _ = jax.jit(make_train_step(config, (2,)))(state, batch)
    moved = float(jnp.abs(after.generator.stats["averages"]["w_avg"]).max())
    assert 0 < moved <= 2 * 0.005
    np.testing.assert_array_equal(state.generator.stats["averages"]["w_avg"], 0)


def test_the_averages_w_is_that_of_its_own_mapping(own):
    """The mean of w over the latents that batch statistics are computed of, and not what the trained one remembers."""
    config = small()
    state, (generator, _) = create_state(config, (2,)), build_networks(config, (2,))
    takes = Inputs(3)
    variables = sampling.averaged_variables(generator, state, takes)
    latents = sampling.inputs(takes, state, 4000, seed=5)
    w = sampling.mapped(generator, variables, latents)
    np.testing.assert_allclose(variables["averages"]["w_avg"], w.mean(0), atol=0.06)


@pytest.mark.slow
def test_a_sample_is_the_same_however_many_are_asked_for(own):
    """Its noise follows from its place: in chunks of 512, and of fewer."""
    config = small()
    state, (generator, _), takes = create_state(config, (2,)), build_networks(config, (2,)), Inputs(3)
    many = sampling.samples(generator, state, takes, sampling.inputs(takes, state, 1100))
    for few in (3, 512, 600):
        some = sampling.samples(generator, state, takes, sampling.inputs(takes, state, few))
        np.testing.assert_allclose(some, many[:few], rtol=1e-5, atol=1e-6)
    alike = sampling.samples(generator, state, takes, jnp.ones((1100, 3)))
    assert len(np.unique(alike[:, 0])) > 1000  # one noise for each


@pytest.mark.slow
def test_a_run_trains_resumes_samples_and_is_exported(own, command, goes_on_bit_for_bit, records):
    goes_on_bit_for_bit("ns_gan.py:ring", **OWN)
    assert records("whole/metrics.jsonl")[-1]["generator_path_length"] > 0
    model = gan_jax.load("whole")
    inputs = model.inputs(16)
    points = model.generate(inputs)
    np.testing.assert_allclose(model.made_of(model.w(inputs)), points, rtol=1e-5, atol=1e-6)
    spread = [model.w(inputs, psi).std(0).max() for psi in (1.0, 0.5)]
    assert spread[1] == pytest.approx(spread[0] / 2, rel=1e-4)
    command("ns_gan.py:ring", "--workdir=whole", "--mode=export", steps=40, **OWN)
    again = export.deserialize(bytearray(pathlib.Path("whole/generator.jax_export").read_bytes()))
    np.testing.assert_allclose(again.call(inputs), points, rtol=1e-5, atol=1e-6)


@pytest.mark.slow
def test_finite_differences_of_a_critic_that_draws_have_the_same_draws_in_both(own, monkeypatch):
    """f(x) = w (x + n) + c: the difference is w e, whatever sigma; of other draws it would be w n / sigma besides."""
    monkeypatch.setattr(networks.own, "Critic", NoisyCritic)
    fields = {"network__minibatch_deviation": 0, "penalty__name": "r1_r2", "penalty__estimator": "finite_difference"}
    batch = Batch(jnp.ones((1, 8, 2)), jnp.zeros((1, 8), jnp.int32))
    lines = []
    for sigma in (1e-2, 1e-3):
        config = small(penalty__sigma=sigma, **fields)
        lines.append(make_train_step(config, (2,))(create_state(config, (2,)), batch)[1]["penalty"])
    assert float(lines[1]) == pytest.approx(float(lines[0]), rel=1e-2)
    kernel = create_state(config, (2,)).critic.params["Dense_0"]["kernel"]
    assert float(lines[0]) < 16 * float((kernel**2).sum())


class Forgetful(NoisyCritic):
    """A linear critic under dropout, which draws from a stream of another name."""

    @nn.compact
    def __call__(self, samples, train: bool, condition=None):
        return nn.Dense(1)(nn.Dropout(0.5)(samples, deterministic=not train))[:, 0]


@pytest.mark.slow
def test_dropout_is_a_function_of_key_and_step_too(own, monkeypatch):
    monkeypatch.setattr(networks.own, "Critic", Forgetful)
    config = small(network__minibatch_deviation=0)
    contracts.check(config, (2,))
    state, step = create_state(config, (2,)), jax.jit(make_train_step(config, (2,)))
    batch = Batch(jnp.ones((1, 8, 2)), jnp.zeros((1, 8), jnp.int32))
    found = [float(step(state.replace(step=jnp.int32(at)), batch)[1]["real_logits"]) for at in (0, 0, 1)]
    assert found[0] == found[1] != found[2]  # all reals being alike


@pytest.mark.parametrize("spectral", [False, True])
def test_a_critic_that_mixes_samples_judges_reals_and_fakes_apart_and_has_no_penalty(own, monkeypatch, spectral):
    fields = {"network__spectral_norm": spectral, "network__minibatch_deviation": 4}
    assert not game.make(small(**fields), (2,)).mixes_samples
    monkeypatch.setattr(Critic, "mixes_samples", True, raising=False)
    assert game.make(small(**fields), (2,)).mixes_samples
    contracts.check(small(**fields), (2,))
    words = "config.penalty.name='r1' with config.network.name='own', whose Critic says mixes_samples"
    with pytest.raises(UserError, match=words):
        contracts.check(small(penalty__name="r1", **fields), (2,))


@pytest.mark.slow
def test_samples_of_every_second_w_are_those_with_their_conditions():
    """Of an odd minibatch too, and where the latents themselves are w."""
    config = default_config("ring")
    config.update_from_flattened_dict({"network.width": 6, "batch_size": 7, "conditional.name": "concatenation"})
    state, played = create_state(config, (2,)), game.make(config, (2,))
    inputs = sampling.inputs(played.takes, state, 7)
    network = played, state.generator.params, state.generator.collections
    w = judging.mapped(*network, inputs, state.key)
    found = judging.made_of(*network, inputs, state.key, w[::2], 2)
    np.testing.assert_allclose(found, judging.generated(*network, inputs, state.key)[0][::2], rtol=1e-6)
    train_step = make_train_step(changed(config, **{"generator.path_length.weight": 1.0}), (2,))
    batch = Batch(jnp.zeros((1, 7, 2)), jnp.zeros((1, 7), jnp.int32))
    state = create_state(changed(config, **{"generator.path_length.weight": 1.0}), (2,))
    assert np.isfinite(train_step(state, batch)[1]["generator_path_length"])


def changed(config, **fields):
    config = config.copy_and_resolve_references()
    config.update_from_flattened_dict(fields)
    return config


@pytest.mark.slow
def test_scores_are_of_whole_groups(own):
    """512 at once are no multiple of 3; 600 are."""
    config = small(network__minibatch_deviation=3, batch_size=9)
    model = trained.Trained(config, *build_networks(config, (2,)), create_state(config, (2,)), (), ())
    points = np.random.default_rng(0).normal(size=(600, 2)).astype(np.float32)
    scores = model.score(points)
    assert scores.shape == (600,)
    np.testing.assert_allclose(model.score(points[:510]), scores[:510], rtol=1e-5)


@pytest.mark.slow
def test_a_network_without_a_mapping_says_so(command):
    command("ns_gan.py:ring", "--workdir=run", steps=20)
    model = gan_jax.load("run")
    with pytest.raises(UserError, match="maps no latents; take the inputs themselves"):
        model.w(model.inputs(3))
    with pytest.raises(UserError, match=r"psi=0.5, cutoff=0: .* maps no latents; give 1.0"):
        model.truncated(0.5)
    with pytest.raises(UserError, match="no styles to mix"):
        model.mix()
    maps_alone = dataclasses.replace(model, generator=types.SimpleNamespace(mapping=None))
    with pytest.raises(UserError, match=r"psi=0.5, cutoff=0: .* has no fields psi and cutoff; give 1.0"):
        maps_alone.truncated(0.5)
    assert maps_alone.truncated(1.0) is maps_alone


# ------------------------------------------------------------------------------------- minibatch deviation


@pytest.mark.parametrize("shape", [(8, 5), (8, 4, 4, 3)])
@pytest.mark.parametrize("group", [2, 4])
def test_minibatch_deviation_in_numpy(shape, group):
    x = np.random.default_rng(0).normal(size=shape)
    found = MinibatchDeviation(group).apply({}, jnp.asarray(x, jnp.float32))
    np.testing.assert_array_equal(found[..., :-1], np.float32(x))
    for start in range(8 // group):
        members = list(range(start, 8, 8 // group))
        deviation = np.sqrt(((x[members] - x[members].mean(0)) ** 2).mean(0) + 1e-8).mean()
        np.testing.assert_allclose(found[np.array(members)][..., -1], deviation, rtol=1e-5)


def test_reals_and_fakes_in_turn_are_in_groups_of_one_kind():
    """All reals alike, all fakes alike: no group has a deviation, though reals and fakes are far apart."""
    both = jnp.stack([jnp.zeros((8, 3)), jnp.full((8, 3), 9.0)], axis=1).reshape(16, 3)
    found = MinibatchDeviation(4).apply({}, both)
    np.testing.assert_allclose(found[:, -1], 1e-4, rtol=1e-3)


def test_groups_that_do_not_divide_the_minibatch_are_refused():
    config = default_config("ring")
    config.batch_size, config.network.minibatch_deviation = 12, 8
    with pytest.raises(UserError, match="groups of 8 of 12 samples"):
        validate(config)


SLOWER = [pytest.param(name, marks=pytest.mark.slow) for name in ("dcgan", "resnet")]


@pytest.mark.parametrize("name", ["mlp", "sn_cnn", *SLOWER])
def test_every_critic_can_see_deviations(name):
    config = default_config("digits")
    config.network.name, config.network.minibatch_deviation, config.network.width = name, 4, 4
    _, critic = build_networks(config, (8, 8, 1))
    spread = jnp.asarray(np.random.default_rng(0).normal(size=(4, 8, 8, 1)), jnp.float32)
    variables = critic.init(jax.random.key(0), spread, train=False)
    one, other = (critic.apply(variables, x, train=False) for x in (spread, spread.at[1:].set(0.0)))
    assert float(one[0]) != float(other[0])  # the first sample is the same
