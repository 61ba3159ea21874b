"""Whether a loss, a penalty, networks and optimisers are what the train step takes them for: said before a run begins.

Each is traced by itself, with arrays of a minibatch's shapes; nothing is computed. An error that a piece raises is
left as it is.
"""

import inspect
from typing import Any

import jax
import jax.numpy as jnp
import ml_collections

from gan_jax.errors import UserError, one_line
from gan_jax.objectives import augmentations, penalties
from gan_jax.training import conditional, game, judging, optimizers, terms
from gan_jax.training.game import build_loss
from gan_jax.training.hyperparameters import HPARAMS, PENALTIES, TERMS, hyperparameters
from gan_jax.training.judging import packed_for_critic


def check(config: ml_collections.ConfigDict, shape: tuple[int, ...]) -> None:
    """A UserError, in one line, that names the first piece of the configuration which breaks its contract.

    shape: that of a sample.
    """
    played = game.make(config, shape)
    of_generator = _check_generator(config, shape, played.generator)
    of_critic = _check_critic(config, shape, played.critic)
    _check_loss(config)
    _check_augmentations(config, shape)
    _check_terms(played, shape, of_generator, of_critic)
    for name in dict.fromkeys(optimizers.of(config)):
        _check_optimizer(name)


def _check_generator(config, shape, generator):
    def generated():
        inputs = jnp.zeros((config.batch_size, sum(conditional.of(config)[1])))
        return generator.init_with_output(jax.random.key(0), inputs, train=True)

    made, variables = jax.eval_shape(generated)
    _check_floats(made, (config.batch_size, *shape), f"config.network.name={config.network.name!r}: its Generator")
    return variables


def _check_critic(config, shape, critic):
    way, takes = conditional.of(config)

    def judged():
        samples, condition = (jnp.zeros((config.batch_size, *rest)) for rest in (shape, (sum(takes[1:]),)))
        samples, for_head = packed_for_critic(config, samples, condition)
        arguments: Any = for_head
        return critic.init_with_output(jax.random.key(0), samples, train=True, **arguments)

    outputs, variables = jax.eval_shape(judged)
    words = f"config.network.name={config.network.name!r}: its Critic"
    paths = [jax.tree_util.keystr(path) for path, _ in jax.tree.leaves_with_path(variables["params"])]
    tells = "head", "of_class"  # the latter of a critic that projects classes by itself
    if way.head and not any(f"['{part}']" in path for path in paths for part in tells):
        raise UserError(
            f"{words} leaves out the head that config.conditional.name={config.conditional.name!r} needs: give what "
            "self.head(logits, features, condition) gives, where there is a head"
        )
    logits = outputs[0] if isinstance(outputs, tuple) and len(outputs) == 2 else outputs
    _check_floats(logits, (config.batch_size // config.packing,), words)
    return variables


def _check_loss(config):
    logits = jax.ShapeDtypeStruct((config.batch_size // config.packing,), jnp.float32)
    for player, function in build_loss(config, hyperparameters(config))._asdict().items():
        words = f"config.loss={config.loss!r}: the {player}'s"
        if not _takes_two(function):
            raise UserError(f"{words} must be a function (real_logits, fake_logits) -> number")
        _check_floats(_given(function, logits, logits), (), words)


def _check_augmentations(config, shape):
    """Some know the colours of certain images alone."""
    if config.augment == "none":
        return
    images = jax.ShapeDtypeStruct((config.batch_size, *shape), jnp.float32)
    try:
        jax.eval_shape(lambda images: augmentations.augment(images, jax.random.key(0), config.augment), images)
    except ValueError as error:
        raise UserError(
            f"config.augment={config.augment!r}: {one_line(error)}, or another policy, such as bg"
        ) from None


def _takes_two(function):
    try:
        inspect.signature(function).bind(None, None)
    except TypeError:
        return False
    return True


def _check_terms(played, shape, generator, critic):
    """Each with what its arguments name, of arrays alone; a sum of numbers stands for the players."""
    config, key = played.config, jax.eval_shape(lambda: jax.random.key(0))
    count = config.batch_size // config.packing
    packs, logits = (jax.ShapeDtypeStruct((count, *rest), jnp.float32) for rest in (shape, ()))
    alike = {"key": key, "w": _w(played, generator), "real": packs, "fake": packs}
    alike |= {"real_logits": logits, "fake_logits": logits}
    functions = {
        "critic_fn": lambda x: jnp.sum(x, range(1, x.ndim)),
        "images_of": lambda w, stride=1: jnp.broadcast_to(_sums(w, shape), (len(w), *shape)),
        "squared_norms": penalties.squared_gradient_norms,
    }
    made = {"fake": jax.ShapeDtypeStruct((config.batch_size, *shape), jnp.float32)}  # in no packs
    for variables, minimised, seen in (
        (critic, played.critic_terms, {}),
        (generator, played.generator_terms, made),
    ):
        for term in minimised:
            if words := _name(config, term):
                _check_mixes(played, term, words)
                _check_term(term, words, alike | seen | {"params": variables["params"]}, functions)


def _w(played, variables):
    """The shape of what the generator maps latents to."""

    def mapped(variables):
        inputs = jnp.zeros((played.config.batch_size, sum(played.takes)))
        params, stats = variables["params"], {name: of for name, of in variables.items() if name != "params"}
        return judging.mapped(played, params, stats, inputs, jax.random.key(0))

    return jax.eval_shape(mapped, variables)


def _sums(w, shape):
    return jnp.sum(w.reshape(len(w), -1), 1).reshape(-1, *(1,) * len(shape))


def _name(config, term):
    """What chooses the term; "" where it belongs to a condition."""
    group = HPARAMS[term.weight].removesuffix(".weight")
    if group in PENALTIES:
        return f"config.{group}.name={config[group].name!r}"
    return f"config.{group}" if group in TERMS else ""


def _check_mixes(played, term, words):
    if "critic_fn" in term.takes and played.mixes_samples:
        raise UserError(
            f"{words} with config.network.name={played.config.network.name!r}, whose Critic says mixes_samples: a "
            "penalty takes the gradients of samples one by one; give none, or in a new run another network"
        )


def _check_term(term, words, arrays, functions):
    if term.name in ("critic_loss", "generator_loss"):
        raise UserError(f"{words}: the line {term.name} in metrics.jsonl is the whole loss; call the term otherwise")
    given = {name: arrays[name] for name in term.takes if name in arrays}
    others = {name: functions[name] for name in term.takes if name in functions}
    if "memory" not in term.takes:
        return _check_floats(_given(lambda given: term.function(**given, **others), given), (), f"{words}: it")
    memory = _first_memory(term, words)

    def both(given, memory):
        found = term.function(**given, **others, memory=memory)
        if not isinstance(found, tuple) or len(found) != 2:
            raise UserError(f"{words}: it must return (number, new memory), returns {_words(found)}")
        return found

    value, new = jax.eval_shape(both, given, memory)
    _check_floats(value, (), f"{words}: it")
    before, after = (jax.tree.map(_words, tree) for tree in (memory, new))
    if before != after:
        raise UserError(f"{words}: it must return a new memory like the one given, {before}, returns {after}")


def _first_memory(term, words):
    """A checkpoint is read by the shapes of what it may hold: of memories, these."""
    first = inspect.signature(term.function).parameters["memory"].default
    numbers = first if isinstance(first, tuple) else (first,)
    if not numbers or not all(type(number) in (int, float) for number in numbers):
        raise UserError(f"{words}: its argument memory needs a default, a number or a tuple of numbers, as 0.0 is")
    return jax.eval_shape(lambda: terms.fresh_memory([term])[term.name])


def _check_optimizer(name):
    if unknown := [argument for argument in optimizers.arguments(name) if argument not in optimizers.NUMBERS]:
        raise UserError(
            f"optimiser {name!r} takes {', '.join(unknown)}, which no field gives: it may take "
            f"{', '.join(optimizers.NUMBERS)}"
        )
    made = getattr(optimizers, name)(**dict.fromkeys(optimizers.arguments(name), 0.5))
    if not (hasattr(made, "init") and hasattr(made, "update")):
        raise UserError(f"optimiser {name!r} must return a transform of optax, returns {_words(made)}")


def _given(function, *arguments):
    """What it gives for arrays of these shapes: shape and dtype, or where that is no array, the value itself."""
    found = []

    def traced(*arguments):
        value = function(*arguments)
        value = jnp.float32(value) if isinstance(value, float) else value
        found.append(jax.ShapeDtypeStruct(value.shape, value.dtype) if hasattr(value, "dtype") else value)

    jax.eval_shape(traced, *arguments)
    return found[0]


def _check_floats(given, shape, words):
    is_float = hasattr(given, "dtype") and jnp.issubdtype(given.dtype, jnp.floating)
    if not is_float or given.shape != shape:
        expected = f"floats {list(shape)}" if shape else "one float, as jnp.mean does"
        raise UserError(f"{words} must give {expected}, gives {_words(given)}")


def _words(value):
    if hasattr(value, "dtype"):
        return f"{value.dtype} {list(value.shape)}"
    return "nothing" if value is None else f"a {type(value).__name__}"
