"""Gradient descent on anything, as one compiled loop: what the studies train critics and densities with."""

import jax
import optax


def fit(objective, params, key, steps: int, learning_rate: float, project=None, b1: float = 0.9):
    """Minimises `objective(params, key) -> scalar` with Adam; returns (params, objective before each of the steps).

    Each step draws with a key of its own. `project`, where there is one, is applied to the parameters after each step:
    weight clipping, for example. To be called within `jit` or outside of it.
    """
    transform = optax.adam(learning_rate, b1=b1, b2=0.999)

    def step(carry, key):
        params, opt_state = carry
        value, gradients = jax.value_and_grad(objective)(params, key)
        updates, opt_state = transform.update(gradients, opt_state, params)
        params = optax.apply_updates(params, updates)
        return (project(params) if project else params, opt_state), value

    (params, _), values = jax.lax.scan(step, (params, transform.init(params)), jax.random.split(key, steps))
    return params, values
