"""A loss, a penalty or a network of one's own that breaks its contract is said in a line that names it."""

import functools

import jax
import jax.numpy as jnp
import pytest

from gan_jax import main
from gan_jax.config import default_config, validate
from gan_jax.data.batches import Batch
from gan_jax.errors import UserError
from gan_jax.networks import mlp
from gan_jax.objectives import losses, penalties
from gan_jax.objectives.losses import AdversarialLoss
from gan_jax.training.state import create_state
from gan_jax.training.step import make_train_step

SHAPE, BATCH = (8, 8, 1), 6


def mean(real_logits, fake_logits):
    return jnp.mean(fake_logits - real_logits)


def each(real_logits, fake_logits):
    return fake_logits - real_logits


def nothing(*arguments):
    return None


def traced(**fields):
    """Only the shapes: nothing is compiled."""
    config = default_config("digits")
    fields |= {"batch_size": BATCH, "network.width": 4, "network.depth": 1, "network.latent_dim": 3, "n_critic": 2}
    config.update_from_flattened_dict({name.replace("__", "."): value for name, value in fields.items()})
    state = jax.eval_shape(functools.partial(create_state, config, SHAPE))
    reals = Batch(jax.ShapeDtypeStruct((2, BATCH, *SHAPE), jnp.float32), jax.ShapeDtypeStruct((2, BATCH), jnp.int32))
    return jax.eval_shape(make_train_step(config, SHAPE), state, reals)


LOSSES = {
    "the critic's must give a number, as jnp.mean does, gives [6]": lambda: AdversarialLoss(each, mean),
    "the generator's must give a number, as jnp.mean does, gives [6]": lambda: AdversarialLoss(mean, each),
    "the critic's must give a number, as jnp.mean does, gives nothing": lambda: AdversarialLoss(nothing, mean),
    "returns a function, must return an AdversarialLoss": lambda: mean,
    "takes margin, which no field gives: LOSS_NUMBERS in config.py has smoothing_real": lambda margin=1.0: mean,
}


@pytest.mark.parametrize("words", LOSSES)
def test_a_loss_is_a_pair_of_functions_that_give_a_number(monkeypatch, words):
    monkeypatch.setattr(losses, "mine", LOSSES[words], raising=False)
    with pytest.raises(UserError) as raised:
        traced(loss="mine")
    assert str(raised.value).startswith(f"config.loss='mine'{':' if words.startswith('the') else ''} {words}")
    monkeypatch.setattr(losses, "mine", lambda a=0.0: AdversarialLoss(mean, mean))
    _, metrics = traced(loss="mine")
    assert {value.shape for value in metrics.values()} == {()}


@pytest.mark.parametrize("every", [1, 2])
def test_a_penalty_gives_a_number(monkeypatch, every):
    def mine(critic_fn, real, fake, key):
        return jnp.square(critic_fn(fake))

    monkeypatch.setattr(penalties, "mine", mine, raising=False)
    with pytest.raises(UserError) as raised:
        traced(penalty__name="mine", penalty__every=every)
    words = "config.penalty.name='mine': it must give a number, as jnp.mean does, gives [6]"
    assert str(raised.value) == words
    monkeypatch.setattr(penalties, "mine", lambda *given: jnp.mean(mine(*given)))
    traced(penalty__name="mine", penalty__every=every)


class Column(mlp.Critic):
    """Logits [b, 1], as a PyTorch user would have them."""

    def __call__(self, samples, train, condition=None):
        return super().__call__(samples, train, condition)[:, None]


class Flat(mlp.Generator):
    """Images in a row."""

    def __call__(self, latents, train):
        made = super().__call__(latents, train)
        return made.reshape(made.shape[0], -1)


@pytest.mark.parametrize("packing", [1, 2])
@pytest.mark.parametrize(
    ("player", "kind", "expected", "found"),
    [("Critic", Column, "[2]", "[2, 1]"), ("Generator", Flat, "[2, 8, 8, 1]", "[2, 64]")],
)
def test_networks_give_logits_and_samples(monkeypatch, packing, player, kind, expected, found):
    monkeypatch.setattr(mlp, player, kind)
    with pytest.raises(UserError) as raised:
        traced(packing=packing)
    assert str(raised.value) == (
        f"config.network.name='mlp': for a minibatch of 2, its {player} must give {expected}, gives {found}"
    )


@pytest.mark.parametrize(
    ("module", "name", "function", "sign"),
    [
        (losses, "loss", lambda: AdversarialLoss(mean, mean), "the annotation `-> AdversarialLoss`"),
        (penalties, "penalty.name", lambda critic, real, fake: 0.0, "the arguments (critic_fn, real, fake, key)"),
    ],
)
def test_a_function_that_is_there_and_not_known_is_told_by_what_it_would_be(monkeypatch, module, name, function, sign):
    config = default_config("digits")
    config.update_from_flattened_dict({name: "mine"})
    with pytest.raises(UserError, match="give one of ") as raised:
        validate(config)
    assert "mine, but" not in str(raised.value)
    function.__module__ = module.__name__
    monkeypatch.setattr(module, "mine", function, raising=False)
    with pytest.raises(UserError) as raised:
        validate(config)
    assert str(raised.value).endswith(f"{module.__name__} has a function mine, but it is known by {sign} alone")


def test_a_field_is_no_group(capsys):
    assert main.main(["gan_jax", "--config=experiments/wgan.py", "--config.loss.name=hinge"]) == 2
    assert capsys.readouterr().err == (
        "gan_jax: --config.loss.name: loss is a field, no group of them; give --config.loss=VALUE\n"
    )
    given, _ = main.parse(["gan_jax", "--config=experiments/wgan.py", "--config.loss=hinge"])
    assert given.config.loss == "hinge"
