"""Bursts: steps in which the critic moves more often, and how many updates there were before a step.

WGAN's code makes 100 updates of the critic instead of 5 in the first 25 steps and in every 500th (Arjovsky et al. 2017,
github.com/martinarjovsky/WassersteinGAN, main.py: `gen_iterations < 25 or gen_iterations % 500 == 0`).

All is a function of the step, in closed form, so that a run that goes on needs to remember nothing. The minibatches of
a step are gathered at once: 100 of 64 images of 32 x 32 pixels take 79 MB in float32, where 5 take 4 MB.
"""

from typing import Any, NamedTuple

import ml_collections


class Bursts(NamedTuple):
    """In the first steps, and in those that `every` divides (0: none), `updates` instead of n_critic (0: never)."""

    updates: int = 0
    first_steps: int = 0
    every: int = 0


NONE = Bursts()
FOREVER = 2**31


def of(config: ml_collections.ConfigDict) -> Bursts:
    """Those that a configuration asks for."""
    return Bursts(**config.n_critic_burst)


def numbers(bursts: Bursts, n_critic: int) -> tuple[int, ...]:
    """The updates that a step may have: n_critic, and those of a burst where there are any others."""
    return tuple(dict.fromkeys((n_critic, bursts.updates or n_critic)))


def at(bursts: Bursts, n_critic: int, step: int) -> int:
    """Updates of the critic in a step, counted from 0."""
    is_due = step < bursts.first_steps or (bursts.every and step % bursts.every == 0)
    return bursts.updates if bursts.updates and is_due else n_critic


def steps_alike(bursts: Bursts, step: int) -> int:
    """So many steps, `step` among them, are surely all in a burst, or all in none."""
    if not bursts.updates or (not bursts.every and step >= bursts.first_steps):
        return FOREVER
    if step < bursts.first_steps:
        return bursts.first_steps - step
    return -step % bursts.every or 1


def made(bursts: Bursts, n_critic: int, step: Any) -> tuple[tuple[int, Any], ...]:
    """((updates in a step, steps before `step` that had so many), ...); step: an integer, traced or not."""
    if not bursts.updates:
        return ((n_critic, step),)
    # min(step, first_steps), for traced integers too, of which none here exceeds its type
    first = step * (step < bursts.first_steps) + bursts.first_steps * (step >= bursts.first_steps)
    multiples = -(-step // bursts.every) + (-first // bursts.every) if bursts.every else 0 * first
    return (n_critic, step - first - multiples), (bursts.updates, first + multiples)


def updates_before(bursts: Bursts, n_critic: int, step: int) -> int:
    """Updates of the critic in all steps before `step`."""
    return sum(number * steps for number, steps in made(bursts, n_critic, step))
