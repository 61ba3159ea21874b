"""Gradient descent on anything, as one compiled loop: what the studies train critics and densities with."""

import jax
import optax


def fit(objective, params, key, steps: int, learning_rate: optax.ScalarOrSchedule, project=None, b1: float = 0.9):
    """Minimises `objective(params, key) -> scalar` with Adam; returns (params, objective before each of the steps).

    Each step draws with a key of its own. `project`, where there is one, is applied to the parameters after each step:
    weight clipping, for example. To be called within `jit` or outside of it.
    """
    transform = optax.adam(learning_rate, b1=b1, b2=0.999)

    def step(carry, key):
        value, gradients = jax.value_and_grad(objective)(carry[0], key)
        params, opt_state = updated(transform, carry, gradients)
        return (project(params) if project else params, opt_state), value

    (params, _), values = jax.lax.scan(step, (params, transform.init(params)), jax.random.split(key, steps))
    return params, values


def fit_watched(objective, params, key, steps: int, learning_rate: optax.ScalarOrSchedule, watch, every: int):
    """As `fit`, with a look at the parameters before steps 0, `every`, 2 `every`, ..., below `steps`.

    Returns (params, what `watch(params, key)` returned at each look, stacked). `every` divides `steps`.
    """
    transform = optax.adam(learning_rate, b2=0.999)

    def step(carry, key):
        return updated(transform, carry, jax.grad(objective)(carry[0], key)), None

    def block(carry, key):
        watch_key, steps_key = jax.random.split(key)
        seen = watch(carry[0], watch_key)
        return jax.lax.scan(step, carry, jax.random.split(steps_key, every))[0], seen

    (params, _), seen = jax.lax.scan(block, (params, transform.init(params)), jax.random.split(key, steps // every))
    return params, seen


def updated(transform, carry, gradients):
    """(parameters, optimiser's state) one step on."""
    params, opt_state = carry
    updates, opt_state = transform.update(gradients, opt_state, params)
    return optax.apply_updates(params, updates), opt_state
