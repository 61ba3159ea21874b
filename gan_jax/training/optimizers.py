"""Optimisers: factories `(learning_rate, b1, b2) -> optax transform`, called while the train step is traced.

The arguments are traced scalars, so that a sweep can vary them without a new compilation. `config.optimizer.name` is
the function's name; one that has no use for the betas ignores them.
"""

import optax


def adam(learning_rate, b1, b2):
    """Adam with epsilon 1e-8 outside the root (Kingma & Ba 2015), as in PyTorch."""
    return optax.adam(learning_rate, b1=b1, b2=b2, eps=1e-8)


def rmsprop(learning_rate, b1, b2):
    """RMSProp as PyTorch means it: decay 0.99 and epsilon 1e-8 outside the root, unlike optax's own."""
    return optax.rmsprop(learning_rate, decay=0.99, eps=1e-8, eps_in_sqrt=False)


def sgd(learning_rate, b1, b2):
    """Plain gradient descent."""
    return optax.sgd(learning_rate)
