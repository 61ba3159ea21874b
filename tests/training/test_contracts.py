"""A loss, penalty, network or optimiser of one's own that breaks its contract is said in a line that names it."""

import pathlib

import jax.numpy as jnp
import numpy as np
import pytest
from flax import linen as nn

from gan_jax import main
from gan_jax.config import default_config, validate
from gan_jax.errors import UserError
from gan_jax.networks import mlp
from gan_jax.objectives import critic_terms, divergences, generator_terms, losses, penalties
from gan_jax.objectives.divergences import Divergence
from gan_jax.objectives.losses import AdversarialLoss
from gan_jax.training import contracts, optimizers
from gan_jax.training.hyperparameters import LOSS_NUMBERS

ROOT = pathlib.Path(__file__).parents[2]
SHAPE, BATCH = (8, 8, 1), 6
NUMBER = "must give one float, as jnp.mean does, gives"


def mean(real_logits, fake_logits):
    return jnp.mean(fake_logits - real_logits)


def gives(value):
    """A function of a pair of logits that gives this, or what this function makes of their difference."""
    return lambda real, fake: value(fake - real) if callable(value) else value


def checked(shape=SHAPE, **fields):
    config = default_config("digits")
    fields |= {"batch_size": BATCH, "network.width": 4, "network.depth": 1, "network.latent_dim": 3}
    config.update_from_flattened_dict({name.replace("__", "."): value for name, value in fields.items()})
    contracts.check(config, shape)


def refused(**fields):
    with pytest.raises(UserError) as raised:
        checked(**fields)
    assert "\n" not in str(raised.value)
    return str(raised.value)


VALUES = {
    "float32 [6]": lambda x: x,
    "int32 []": lambda x: jnp.sum(x > 0),
    "complex64 []": lambda x: jnp.mean(x).astype(complex),
    "nothing": None,
    "a tuple": lambda x: (jnp.mean(x), jnp.mean(x)),
    "a dict": lambda x: {"loss": jnp.mean(x)},
    "a str": "x",
    "a int": 3,
}


@pytest.mark.parametrize("player", ["critic", "generator"])
@pytest.mark.parametrize("found", VALUES)
def test_each_players_loss_is_a_number(monkeypatch, player, found):
    made = AdversarialLoss(mean, mean)._replace(**{player: gives(VALUES[found])})
    monkeypatch.setattr(losses, "mine", lambda: made, raising=False)
    assert refused(loss="mine") == f"config.loss='mine': the {player}'s {NUMBER} {found}"


@pytest.mark.parametrize("value", [0.5, lambda x: jnp.mean(x.astype(jnp.bfloat16))])
def test_a_float_of_any_width_is_a_number(monkeypatch, value):
    monkeypatch.setattr(losses, "mine", lambda: AdversarialLoss(mean, gives(value)), raising=False)
    monkeypatch.setattr(penalties, "mine", lambda critic_fn, real, fake, key: 0.5, raising=False)
    checked(loss="mine", penalty__name="mine")


PAIRS = {
    "config.loss='mine' must return AdversarialLoss(...), returns a function": lambda: mean,
    "config.loss='mine' must return AdversarialLoss(...), returns a NoneType": lambda: None,
    "config.loss='mine': the critic's must be a function (real_logits, fake_logits) -> number": (
        lambda: AdversarialLoss(lambda real_logits: 0.0, mean)
    ),
    "config.loss='mine': the generator's must be a function (real_logits, fake_logits) -> number": (
        lambda: AdversarialLoss(mean, 0.0)
    ),
    "config.loss='mine' takes of_no_field, which no field gives: LOSS_NUMBERS in training/hyperparameters.py has "
    f"{', '.join(LOSS_NUMBERS)}; add it there, with a field, or take none": lambda of_no_field: mean,
}


@pytest.mark.parametrize("words", PAIRS)
def test_a_loss_is_a_pair_of_functions_of_numbers_that_fields_give(monkeypatch, words):
    monkeypatch.setattr(losses, "mine", PAIRS[words], raising=False)
    assert refused(loss="mine") == words
    monkeypatch.setattr(losses, "mine", lambda a=0.0: AdversarialLoss(mean, mean))
    checked(loss="mine")


def test_augmentations_know_the_colours_of_the_images():
    fields = {"augment": "bgc", "augment_target": 0.6, "loss": "non_saturating"}
    with pytest.raises(UserError, match=r"augment='bgc': colours of images with 2 channels: give images of 1 or 3, or"):
        checked((8, 8, 2), **fields)
    checked((8, 8, 2), **fields | {"augment": "bg"})


def test_a_divergence_is_one(monkeypatch):
    monkeypatch.setattr(divergences, "mine", lambda: None, raising=False)
    assert refused(loss="f_gan:mine") == "config.loss='f_gan:mine' must return Divergence(...), returns a NoneType"
    monkeypatch.setattr(losses, "mine", divergences.pearson, raising=False)
    assert refused(loss="mine") == "config.loss='mine' must return AdversarialLoss(...), returns a Divergence"
    checked(loss="f_gan:pearson")


@pytest.mark.parametrize("packing", [1, 2])
def test_a_penalty_is_a_number(monkeypatch, packing):
    def mine(critic_fn, real, fake, key):
        return jnp.square(critic_fn(fake))

    monkeypatch.setattr(penalties, "mine", mine, raising=False)
    words = f"config.penalty.name='mine': it {NUMBER} float32 [{BATCH // packing}]"
    assert refused(penalty__name="mine", packing=packing) == words
    mean_of_mine = lambda critic_fn, real, fake, key: jnp.mean(mine(critic_fn, real, fake, key))  # noqa: E731
    monkeypatch.setattr(penalties, "mine", mean_of_mine)
    checked(penalty__name="mine", packing=packing)


def remembers(value, memory=0.0):
    return value, memory + 1


TERMS_OF_MINE = {
    "config.critic.lecam: it must give one float, as jnp.mean does, gives float32 [6]": (
        lambda real_logits, memory=0.0: remembers(real_logits, memory)
    ),
    "config.critic.lecam: it must return (number, new memory), returns float32 []": (
        lambda real_logits, memory=0.0: jnp.mean(real_logits)
    ),
    "config.critic.lecam: it must return a new memory like the one given, float32 [], returns float32 [6]": (
        lambda real_logits, memory=0.0: (jnp.mean(real_logits), real_logits)
    ),
}
NO_MEMORY = "config.critic.lecam: its argument memory needs a default, a number or a tuple of numbers, as 0.0 is"


@pytest.mark.parametrize("words", TERMS_OF_MINE)
def test_a_term_is_a_number_and_remembers_what_it_begins_with(monkeypatch, words):
    checked(critic__lecam__weight=1.0)
    monkeypatch.setattr(critic_terms, "lecam", TERMS_OF_MINE[words])
    assert refused(critic__lecam__weight=1.0) == words
    monkeypatch.setattr(critic_terms, "lecam", lambda real_logits, memory=0.0: remembers(jnp.mean(real_logits), memory))
    checked(critic__lecam__weight=1.0)


@pytest.mark.parametrize("first", [..., {"mean": 0.0}, [0.0], ((0.0, 1.0), 2.0), (), None, "x", np.zeros(3)])
def test_what_a_term_remembers_is_a_number_or_some(monkeypatch, first):
    def mine(real_logits, memory=first):
        return jnp.mean(real_logits), memory

    def without(real_logits, memory):
        return jnp.mean(real_logits), memory

    monkeypatch.setattr(critic_terms, "lecam", without if first is ... else mine)
    assert refused(critic__lecam__weight=1.0) == NO_MEMORY


def test_a_generators_term_is_asked_with_the_w_of_its_network(monkeypatch):
    """Here the latents, of 3 numbers."""
    monkeypatch.setattr(generator_terms, "orthogonal", lambda w: jnp.sum(w, 0))
    assert refused(generator__orthogonal__weight=1.0) == f"config.generator.orthogonal: it {NUMBER} float32 [3]"
    monkeypatch.setattr(generator_terms, "orthogonal", lambda w: jnp.mean(w))
    checked(generator__orthogonal__weight=1.0)


class Column(mlp.Critic):
    """Logits [b, 1], as a PyTorch user would have them."""

    def __call__(self, samples, train, condition=None):
        return super().__call__(samples, train, condition)[:, None]


class Headless(mlp.Critic):
    """It takes no notice of what it is to end in."""

    @nn.compact
    def __call__(self, samples, train, condition=None):
        return nn.Dense(1)(samples.reshape(samples.shape[0], -1))[:, 0]


class Three(mlp.Critic):
    """Logits, and more than there is to tell."""

    def __call__(self, samples, train, condition=None):
        return super().__call__(samples, train, condition), None, None


class Row(mlp.Generator):
    """Images in a row."""

    def __call__(self, latents, train):
        return super().__call__(latents, train).reshape(latents.shape[0], -1)


class Bytes(mlp.Generator):
    """Images in bytes."""

    def __call__(self, latents, train):
        return super().__call__(latents, train).astype(jnp.uint8)


@pytest.mark.parametrize("way", ["none", "concatenation"])
@pytest.mark.parametrize("norm", [False, True])
@pytest.mark.parametrize(
    ("kind", "words"),
    [
        (Column, "its Critic must give floats [6], gives float32 [6, 1]"),
        (Three, "its Critic must give floats [6], gives a tuple"),
        (Row, "its Generator must give floats [6, 8, 8, 1], gives float32 [6, 64]"),
        (Bytes, "its Generator must give floats [6, 8, 8, 1], gives uint8 [6, 8, 8, 1]"),
    ],
)
def test_networks_give_samples_and_logits(monkeypatch, kind, words, norm, way):
    fields = {"network__spectral_norm": norm, "conditional__name": way}
    checked(**fields)
    monkeypatch.setattr(mlp, kind.__mro__[1].__name__, kind)
    assert refused(**fields) == f"config.network.name='mlp': {words}"


@pytest.mark.parametrize("norm", [False, True])
@pytest.mark.parametrize("way", ["projection", "auxiliary_classifier", "infogan"])
def test_a_critic_ends_in_its_head(monkeypatch, way, norm):
    checked(conditional__name=way, network__spectral_norm=norm)
    monkeypatch.setattr(mlp, "Critic", Headless)
    assert refused(conditional__name=way, network__spectral_norm=norm) == (
        f"config.network.name='mlp': its Critic leaves out the head that config.conditional.name='{way}' needs: give "
        "what self.head(logits, features, condition) gives, where there is a head"
    )


def test_an_optimiser_is_a_transform_of_numbers_that_fields_give(monkeypatch):
    monkeypatch.setitem(vars(optimizers), "mine", lambda learning_rate, eps=1e-6: None)
    assert refused(optimizer__name="mine") == (
        "optimiser 'mine' takes eps, which no field gives: it may take learning_rate, b1, b2, weight_decay"
    )
    monkeypatch.setitem(vars(optimizers), "mine", lambda learning_rate: None)
    words = "optimiser 'mine' must return a transform of optax, returns nothing"
    assert refused(optimizer__name="mine") == refused(optimizer__critic_name="mine") == words
    monkeypatch.setitem(vars(optimizers), "mine", lambda learning_rate, b1: optimizers.adam(learning_rate, b1, 0.9))
    checked(optimizer__name="mine")


@pytest.mark.slow
@pytest.mark.parametrize("sweep", [[], ["--sweep=s.py"]])
def test_what_is_refused_leaves_nothing_behind_and_goes_through_once_mended(command, monkeypatch, capsys, sweep):
    pathlib.Path("s.py").write_text("def get_sweep():\n    return [{'seed': 1}, {'loss': 'hinge'}]\n")
    hinge = losses.hinge

    def broken() -> AdversarialLoss:
        return hinge()._replace(critic=gives(lambda x: x))

    monkeypatch.setattr(losses, "hinge", broken)
    fields = {"steps": 4, "network.width": 6 if sweep else 5, "loss": "non_saturating" if sweep else "hinge"}
    command("wgan_gp.py", *sweep, "--workdir=run", code=2, **fields)
    said = capsys.readouterr().err
    assert f"config.loss='hinge': the critic's {NUMBER} float32 [8]" in said
    assert not pathlib.Path("run").exists()
    monkeypatch.setattr(losses, "hinge", hinge)
    command("wgan_gp.py", *sweep, "--workdir=run", **fields)


def quoted() -> "AdversarialLoss":
    return AdversarialLoss(mean, mean)


@pytest.mark.parametrize(
    ("module", "field", "value", "function", "sign"),
    [
        (losses, "loss", "mine", lambda: None, "the annotation `-> AdversarialLoss`"),
        (divergences, "loss", "f_gan:mine", lambda: None, "the annotation `-> Divergence`"),
        (
            penalties,
            "penalty.name",
            "mine",
            lambda critic, real, fake: 0.0,
            "the arguments (critic_fn, real, fake, key) and perhaps squared_norms",
        ),
        (optimizers, "optimizer.name", "mine", lambda lr: None, "an argument `learning_rate`"),
        (optimizers, "optimizer.critic_name", "mine", lambda lr: None, "an argument `learning_rate`"),
    ],
)
def test_a_function_that_is_there_and_not_known_is_told_why(monkeypatch, module, field, value, function, sign):
    config = default_config("digits")
    config.update_from_flattened_dict({field: value})
    with pytest.raises(UserError, match="give one of ") as raised:
        validate(config)
    assert "mine, but" not in str(raised.value)
    monkeypatch.setattr(module, "mine", function, raising=False)
    with pytest.raises(UserError) as raised:
        validate(config)
    assert str(raised.value).endswith(f"{module.__name__} has a function mine, but it is known by {sign} alone")


def test_an_annotation_may_be_a_string(monkeypatch):
    from gan_jax import config

    monkeypatch.setattr(losses, "mine", quoted, raising=False)
    monkeypatch.setattr(divergences, "mine", lambda: None, raising=False)
    assert "mine" in config.loss_names()
    assert "f_gan:mine" not in config.f_gans()
    divergences.mine.__annotations__["return"] = Divergence.__name__
    assert "f_gan:mine" in config.f_gans()


def interval(real_logits, low):
    return jnp.mean(jnp.maximum(real_logits, low))


GROUPS = {
    "loss.name=hinge": "config.loss.name: loss is a field, no group of them; give --config.loss=VALUE",
    "loss.x.y=1": "config.loss.x.y: loss is a field, no group of them; give --config.loss=VALUE",
    "penalty=r1": "config.penalty is a group of fields; give one of --config.penalty.name, --config.penalty.weight, "
    "--config.penalty.every, --config.penalty.own_step, --config.penalty.estimator, --config.penalty.sigma, "
    "--config.penalty.share",
    "critic.interval.weight=1": "config.critic.interval.weight: no such field (the function interval in "
    "gan_jax.objectives.critic_terms takes low, where a term takes some of fake_logits, key, memory, params, "
    "real_logits); python -m gan_jax.main --help lists them",
    "nosuch.x=1": "config.nosuch.x: no such field; python -m gan_jax.main --help lists them",
}


@pytest.mark.parametrize("dashes", ["-", "--"])
@pytest.mark.parametrize("given", GROUPS)
def test_fields_and_groups_of_fields_are_told_apart(capsys, monkeypatch, given, dashes):
    monkeypatch.setattr(critic_terms, "interval", interval, raising=False)
    experiment = f"--config={ROOT}/experiments/wgan.py"
    assert main.main(["gan_jax", experiment, f"{dashes}config.{given}"]) == 2
    assert capsys.readouterr().err == f"gan_jax: {GROUPS[given]}\n"
    parsed, _ = main.parse(["gan_jax", experiment, "--config.loss=hinge", "--config.penalty.name=r1"])
    assert (parsed.config.loss, parsed.config.penalty.name) == ("hinge", "r1")
