"""What a name in a configuration may be: an attribute of one module, found there by what it is, with no registry."""

import inspect
import types
from collections.abc import Callable
from typing import Any

from gan_jax.objectives import divergences, losses, penalties
from gan_jax.training import optimizers


def names_in(module: types.ModuleType, is_choice: Callable[[Any], bool]) -> list[str]:
    """Names in a module of what is a choice, and not private."""
    return [name for name, value in vars(module).items() if is_choice(value) and not name.startswith("_")]


def _makes(kind):
    """Losses and divergences are told from other functions of their modules by what they say that they return."""
    names = kind, kind.__name__  # the second where annotations are strings
    return lambda value: isinstance(value, types.FunctionType) and value.__annotations__.get("return") in names


def loss_names() -> list[str]:
    """What `loss` may be, but for the f-GAN family."""
    return names_in(losses, _makes(losses.AdversarialLoss))


def f_gans() -> list[str]:
    """What `loss` may be of the f-GAN family: `f_gan:NAME` of every divergence."""
    return [f"f_gan:{name}" for name in names_in(divergences, _makes(divergences.Divergence))]


def is_network(value: Any) -> bool:
    """Whether it is a module of networks/ with both players."""
    return hasattr(value, "Generator") and hasattr(value, "Critic")


def _takes(*arguments):
    """Penalties are told from other functions of their module by the arguments that they take, the last if they may."""
    return lambda value: (
        isinstance(value, types.FunctionType)
        and tuple(inspect.signature(value).parameters) in (arguments, arguments[:-1])
    )


def penalty_names() -> list[str]:
    """What `penalty.name` may be, but for none."""
    return names_in(penalties, _takes("critic_fn", "real", "fake", "key", "squared_norms"))


def _is_optimizer(value):
    return isinstance(value, types.FunctionType) and "learning_rate" in inspect.signature(value).parameters


def optimizer_names() -> list[str]:
    """What `optimizer.name` may be; those of a player may be empty too."""
    return names_in(optimizers, _is_optimizer)
