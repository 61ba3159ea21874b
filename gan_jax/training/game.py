"""The game that a configuration describes: two players, what each of them minimises, and how samples are shown.

All of it is static. It is made once from a configuration, and the functions of the train step take it.
"""

import dataclasses
import inspect
from collections.abc import Callable
from typing import Any

import jax
import ml_collections
from flax import linen as nn

from gan_jax import networks
from gan_jax.data import bursts
from gan_jax.data.bursts import Bursts
from gan_jax.errors import UserError
from gan_jax.networks.layers import SpectralNorm, mixes_samples
from gan_jax.objectives import divergences, losses
from gan_jax.training import conditional, optimizers, terms
from gan_jax.training.conditional import Conditional, Inputs
from gan_jax.training.hyperparameters import LOSS_NUMBERS, is_on, leaves
from gan_jax.training.terms import Term

# Fields of `network` that a player is given who has one of that name.
OPTIONS = "latent_dim", "max_width", "clamp", "residual", "style_mixing"


@dataclasses.dataclass(frozen=True)
class Game:
    """What a train step is compiled for.

    way, takes: what the generator is told besides its latent, and the sizes of its input. critic_terms,
    generator_terms: what each minimises beside its adversarial loss. mixes_samples: whether the critic's logit
    of a sample depends on others of its minibatch, so that reals and fakes are two. is_noisy: whether it sees noise.
    clips_weights: whether its weights are clipped. shard: where what is drawn [k, b, ...] for k
    minibatches lies on many devices.
    """

    config: ml_collections.ConfigDict
    generator: nn.Module
    critic: nn.Module
    way: Conditional
    takes: Inputs
    critic_terms: tuple[Term, ...]
    generator_terms: tuple[Term, ...]
    bursts: Bursts
    mixes_samples: bool
    is_noisy: bool
    clips_weights: bool
    shard: Callable[[jax.Array], jax.Array] = lambda drawn: drawn

    def loss(self, hparams: dict[str, Any]) -> losses.AdversarialLoss:
        """The adversarial loss, of numbers that may be traced."""
        return build_loss(self.config, hparams)


def make(config: ml_collections.ConfigDict, shape: tuple[int, ...], **others: Any) -> Game:
    """The game of a configuration, for samples of this shape; a UserError where a network can't make them."""
    players, values = build_networks(config, shape), dict(leaves(config))
    return Game(
        config,
        *players,
        *conditional.of(config),
        terms.of_critic(config),
        terms.of_generator(config),
        bursts.of(config),
        mixes_samples(config.network.critic_norm) or getattr(_inner(players[1]), "mixes_samples", False),
        is_on(values, "noise.sigma"),
        is_on(values, "weight_clip"),
        **others,
    )


def build_networks(config: ml_collections.ConfigDict, shape: tuple[int, ...]) -> tuple[nn.Module, nn.Module]:
    """(generator, critic) for samples of this shape; a UserError where the network can't make them."""
    settings = config.network
    network = getattr(networks, settings.name)
    if problem := network.check_shape(shape):
        raise UserError(f"config.network.name={settings.name!r} with config.data.name={config.data.name!r}: {problem}")
    dtype = None if settings.dtype == "float32" else settings.dtype  # the inputs' and the parameters' own
    way, takes = conditional.of(config)
    common = {"dtype": dtype} | _attention(network, settings, config.data.name, shape)
    in_norms = {"classes": takes.classes} if way.is_in_norms else {}
    head = {"head": way.head(takes, dtype)} if way.head else {}
    if in_norms and "classes" in fields_of(network.Critic):
        head = dict(in_norms)
    head |= {"group": settings.minibatch_deviation} if settings.minibatch_deviation else {}
    width, depth = settings.width, settings.depth
    generator = network.Generator(
        shape,
        settings.generator_width or width,
        depth,
        settings.generator_norm,
        **common,
        **in_norms,
        **_options(network.Generator, settings),
    )
    critic = network.Critic(width, depth, settings.critic_norm, **common, **head, **_options(network.Critic, settings))
    return generator, SpectralNorm(critic) if settings.spectral_norm else critic


def fields_of(player: Any) -> set[str]:
    """What a player of networks/ may be given."""
    return {*player.__dataclass_fields__}


def _options(player, settings):
    return {name: settings[name] for name in OPTIONS if name in fields_of(player)}


def _inner(critic):
    """The critic itself, without a spectral norm around it."""
    return critic.network if isinstance(critic, SpectralNorm) else critic


def _attention(network, settings, data, shape):
    if not settings.attention:
        return {}
    if settings.attention not in (allowed := network.attention_sizes(shape[:2])):
        advice = (
            f"give {', '.join(map(str, allowed))}, or 0" if allowed else "give 0, or a larger config.data.image_size"
        )
        raise UserError(
            f"config.network.attention={settings.attention} with config.data.name={data!r}: of images of {shape[0]} "
            f"x {shape[1]} pixels, both players have none of that size in between; {advice}"
        )
    return {"attention": settings.attention}


def loss_function(name: str) -> Any:
    """What `loss` names: a function in objectives/losses.py, or for `f_gan:NAME` one in objectives/divergences.py."""
    divergence = name.removeprefix("f_gan:")
    return getattr(losses if divergence == name else divergences, divergence)


def build_loss(config: ml_collections.ConfigDict, hparams: dict[str, Any]) -> losses.AdversarialLoss:
    """The loss that `config.loss` names, `f_gan:NAME` being made of a divergence, of numbers that may be traced."""
    make = loss_function(config.loss)
    arguments = [*inspect.signature(make).parameters]
    if unknown := [argument for argument in arguments if argument not in LOSS_NUMBERS]:
        raise UserError(
            f"config.loss={config.loss!r} takes {', '.join(unknown)}, which no field gives: LOSS_NUMBERS in "
            f"training/hyperparameters.py has {', '.join(LOSS_NUMBERS)}; add it there, with a field, or take none"
        )
    made, is_f_gan = make(**{argument: hparams[argument] for argument in arguments}), config.loss.startswith("f_gan:")
    kind: Any = divergences.Divergence if is_f_gan else losses.AdversarialLoss
    if not isinstance(made, kind):
        raise UserError(
            f"config.loss={config.loss!r} must return {kind.__name__}(...), returns a {type(made).__name__}"
        )
    return divergences.f_gan(made, config.f_gan.generator) if is_f_gan else made


def build_optimizers(config: ml_collections.ConfigDict, hparams: dict[str, Any]) -> tuple[Any, Any]:
    """(generator's, critic's) optax transforms, of numbers that may be traced arrays."""
    of_generator, of_critic = optimizers.of(config)
    return (
        _optimizer(of_generator, hparams["generator_lr"], hparams),
        _optimizer(of_critic, hparams["critic_lr"], hparams),
    )


def _optimizer(name, learning_rate, hparams):
    numbers = hparams | {"learning_rate": learning_rate}
    return getattr(optimizers, name)(**{argument: numbers[argument] for argument in optimizers.arguments(name)})
