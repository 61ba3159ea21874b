"""Optimisers: factories of optax transforms, called while the train step is traced.

`config.optimizer.name`, or a player's own name, is the function's. By the names of its arguments a function says what
it takes: `learning_rate`, and any of `b1`, `b2` and `weight_decay`. These are traced scalars, so that a sweep can vary
them without a new compilation.
"""

import inspect
import math

import ml_collections
import optax

from gan_jax.training.hyperparameters import PENALTIES, TERMS, is_on, leaves

NUMBERS = ("learning_rate", "b1", "b2", "weight_decay")  # arguments that an optimiser may have
RMSPROP_DECAY = 0.99
LEAST_WEIGHT = 0.9  # of a lazy penalty; of less, it is said
BETTER_B1, BETTER_B2 = 0.95, (0.99, 0.999, 0.9999)


def adam(learning_rate, b1, b2):
    """Adam with epsilon 1e-8 outside the root (Kingma & Ba 2015), as in PyTorch."""
    return optax.adam(learning_rate, b1=b1, b2=b2, eps=1e-8)


def adamw(learning_rate, b1, b2, weight_decay):
    """Adam, and each update shrinks parameters by learning_rate * weight_decay (Loshchilov & Hutter 2019).

    All of them, biases and the scales of norms too, as in PyTorch and in optax.
    """
    return optax.adamw(learning_rate, b1=b1, b2=b2, eps=1e-8, weight_decay=weight_decay)


def lion(learning_rate, b1, b2, weight_decay):
    """x <- x - learning_rate * (sign(b1 m + (1 - b1) g) + weight_decay x), m <- b2 m + (1 - b2) g (Chen et al. 2023).

    The paper (arXiv:2302.06675) takes b1 = 0.9, b2 = 0.99, and a rate 3 to 10 times smaller than AdamW's. A gradient
    counts by its sign, whatever its size: so a lazy penalty may count for less, see `weight_of_lazy_penalty`.
    """
    return optax.lion(learning_rate, b1=b1, b2=b2, weight_decay=weight_decay)


def rmsprop(learning_rate):
    """RMSProp as PyTorch means it: decay 0.99 and epsilon 1e-8 outside the root, unlike optax's own."""
    return optax.rmsprop(learning_rate, decay=RMSPROP_DECAY, eps=1e-8, eps_in_sqrt=False)


def sgd(learning_rate):
    """Plain gradient descent."""
    return optax.sgd(learning_rate)


def of(config: ml_collections.ConfigDict) -> tuple[str, str]:
    """(the generator's, the critic's), by their names."""
    names = config.optimizer
    return names.generator_name or names.name, names.critic_name or names.name


def arguments(name: str) -> tuple[str, ...]:
    """What the optimiser of this name takes."""
    return tuple(inspect.signature(globals()[name]).parameters)


def weight_of_lazy_penalty(name: str, b1: float, b2: float, every: int) -> float:
    """What is left of the weight of a penalty that comes once in `every` updates and then counts that many times.

    Adam divides by the root of a second moment, which is largest just when the penalty has come: j updates later its
    part of that has fallen to b2^j, and its part of the first moment to b1^j. Where its gradient is by far the larger
    part, the mean update that it makes, against that of a gradient which comes with every update, is

        sum_j p_j b2^(-j/2) / (sum_j b2^(-j/2) / every),  p_j = b1^j (1 - b1) / (1 - b1^every),  j = 0 ... every - 1,

    of what it should be; here in closed form, with q = sqrt(b2). The more noise there is beside it, the nearer to 1.
    For b1 = 0 (and for 0.5):

        every    b2 = 0.9         0.99             0.999
            2    0.974 (0.991)    0.997 (0.999)    1.000 (1.000)
            4    0.922 (0.960)    0.992 (0.996)    0.999 (1.000)
            8    0.826 (0.871)    0.983 (0.987)    0.998 (0.999)
           16    0.654 (0.692)    0.963 (0.968)    0.996 (0.997)

    Lion moves by signs, mostly by those of updates without a penalty, which knows it by its moment alone. Where there
    is little noise, it settles where half of the signs are of either kind, e = every / 2 - 1.5 updates after it: at

        b1 every (1 - b2) b2^e / (1 - b2^every)

    of the weight, about b1 where b2^every is near 1; the more noise, the nearer to 1. For b1 = 0.5 (and for 0.9):

        every    b2 = 0.9         0.99             0.999
            4    0.552 (0.993)    0.505 (0.909)    0.501 (0.901)
           16    0.495 (0.891)    0.505 (0.908)    0.501 (0.901)

    Of plain gradient descent all of it is left.
    """
    if name == "lion" and every > 1:
        return min(1.0, b1 * every * (1 - b2) * b2 ** max(every / 2 - 1.5, 0) / (1 - b2**every))
    decays = {"adam": (b1, b2), "adamw": (b1, b2), "rmsprop": (0.0, RMSPROP_DECAY)}
    if every == 1 or name not in decays:
        return 1.0
    b1, q = decays[name][0], math.sqrt(decays[name][1])
    powers = every * q ** (every - 1) if q == b1 else (q**every - b1**every) / (q - b1)
    return every * (1 - b1) / (1 - b1**every) * powers * (1 - q) / (1 - q**every)


def weight_of_own_step(name: str, b1: float, b2: float, every: int) -> float:
    """What is left of the weight of a lazy penalty that has a step of the optimiser to itself, as above.

    It comes in one of every + 1 steps, of betas to the power c, and the other gradient in all but this one. With w as
    above of such steps, in which both would come, that is every w / (every + 1 - w), for Adam and for Lion.
    """
    c = every / (every + 1)
    left = weight_of_lazy_penalty(name, b1**c, b2**c, every + 1)
    return every * left / (every + 1 - left)


def lazy_warnings(config: ml_collections.ConfigDict) -> list[str]:
    """What is said of each lazy term that may lose more than a tenth of its weight, and what helps."""
    values = dict(leaves(config))
    of_generator, of_critic = of(config)
    there = [group for group in PENALTIES if config[group].name != "none"]
    there += [group for group in TERMS if is_on(values, f"{group}.weight")]
    said = [
        _lazy_warning(config, group, of_generator if group.startswith("generator.") else of_critic, values)
        for group in there
    ]
    return [words for words in said if words]


def _lazy_warning(config, group, name, values):
    b1, b2, every = config.optimizer.b1, config.optimizer.b2, values[f"{group}.every"]
    weight = weight_of_own_step if values[f"{group}.own_step"] else weight_of_lazy_penalty
    left = weight(name, b1, b2, every)
    if left >= LEAST_WEIGHT:
        return ""
    if name == "lion":
        why = f"which moves by signs (b1={b1:g}, b2={b2:g}), of which a term that comes seldom turns few"
        better = [f"config.optimizer.b1={BETTER_B1} with {b2}" for b2 in _better_b2(weight, name, BETTER_B1, every)]
    else:
        moment = f"b2={b2:g}" if "b2" in arguments(name) else f"decay {RMSPROP_DECAY}"
        why = f"whose second moment ({moment}) forgets a term before the next"
        better = _better_b2(weight, name, b1, every)
    alone = f" with config.{group}.own_step=False" if values[f"{group}.own_step"] else ""
    return (
        f"config.{group}.every={every} with {name}, {why}: it may have no more than {left:.2g} of its weight; "
        f"give {', or '.join([*better, f'config.{group}.every=1{alone}'])}"
    )


def _better_b2(weight, name, b1, every):
    """The least that leaves a lazy penalty its weight, in a list; none where there is none."""
    candidates = BETTER_B2 if "b2" in arguments(name) else ()
    enough = [b2 for b2 in candidates if weight(name, b1, b2, every) >= LEAST_WEIGHT]
    return [f"config.optimizer.b2={b2}" for b2 in enough[:1]]
