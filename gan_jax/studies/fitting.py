"""Gradient descent on anything, as one compiled loop: what the studies train critics and densities with."""

import jax
import optax


def fit(objective, params, key, steps: int, learning_rate: optax.ScalarOrSchedule, project=None, b1: float = 0.9):
    """The parameters after so many steps of Adam that minimise `objective(params, key) -> scalar`.

    Each step draws with a key of its own. `project`, where there is one, is applied to the parameters after each step:
    weight clipping, for example. To be called within `jit` or outside of it.
    """
    descend, opt_state = _descent(objective, params, learning_rate, b1, project)
    return descend((params, opt_state), jax.random.split(key, steps))[0]


def fit_watched(objective, params, key, steps: int, learning_rate: optax.ScalarOrSchedule, watch, every: int):
    """What `watch(params, key)` returns before steps 0, `every`, 2 `every`, ... of such a fit, stacked.

    `every` divides `steps`.
    """
    descend, opt_state = _descent(objective, params, learning_rate)

    def block(carry, key):
        watch_key, steps_key = jax.random.split(key)
        return descend(carry, jax.random.split(steps_key, every)), watch(carry[0], watch_key)

    return jax.lax.scan(block, (params, opt_state), jax.random.split(key, steps // every))[1]


def _descent(objective, params, learning_rate, b1=0.9, project=None):
    """(carry, keys) -> carry, one step for each key, and the optimiser's state that goes into the first carry."""
    transform = optax.adam(learning_rate, b1=b1, b2=0.999)

    def step(carry, key):
        params, opt_state = updated(transform, carry, jax.grad(objective)(carry[0], key))
        return (project(params) if project else params, opt_state), None

    return lambda carry, keys: jax.lax.scan(step, carry, keys)[0], transform.init(params)


def updated(transform, carry, gradients):
    """(parameters, optimiser's state) one step on."""
    params, opt_state = carry
    updates, opt_state = transform.update(gradients, opt_state, params)
    return optax.apply_updates(params, updates), opt_state
