"""Adversarial losses: pairs of pure functions of the critic's logits.

A loss is an `AdversarialLoss` of two functions of the same arguments, `(real_logits [b], fake_logits [b]) -> scalar`.
Both are minimised, each by its own player. The critic puts out logits, never probabilities: with
D(x) = sigmoid(logit), log D = -softplus(-logit) and log(1 - D) = -softplus(logit), finite in value and gradient
wherever float32 is.

To add a loss, write the two functions and name the pair at the end of this file: `config.loss` is the name.
"""

from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp


class AdversarialLoss(NamedTuple):
    """What each player minimises; both take (real_logits [b], fake_logits [b]) and return a scalar.

    The generator's loss is given the reals too, so that relativistic losses are no special case.
    """

    critic: Callable[[jax.Array, jax.Array], jax.Array]
    generator: Callable[[jax.Array, jax.Array], jax.Array]


def logistic_critic(real_logits, fake_logits):
    """-E log D(x) - E log(1 - D(G(z))), 2 log 2 where the critic can't tell (Goodfellow et al. 2014, eq. 1)."""
    return jnp.mean(jax.nn.softplus(-real_logits)) + jnp.mean(jax.nn.softplus(fake_logits))


def minimax_generator(real_logits, fake_logits):
    """E log(1 - D(G(z))): the zero-sum game's, whose gradient vanishes under a good critic (Goodfellow et al. 2014)."""
    return -jnp.mean(jax.nn.softplus(fake_logits))


def non_saturating_generator(real_logits, fake_logits):
    """-E log D(G(z)), the alternative of Goodfellow et al. 2014, section 3."""
    return jnp.mean(jax.nn.softplus(-fake_logits))


def wasserstein_critic(real_logits, fake_logits):
    """E f(G(z)) - E f(x): minus the estimate of Wasserstein-1, if f is 1-Lipschitz (Arjovsky et al. 2017, eq. 2)."""
    return jnp.mean(fake_logits) - jnp.mean(real_logits)


def wasserstein_generator(real_logits, fake_logits):
    """-E f(G(z)) (Arjovsky et al. 2017, eq. 3)."""
    return -jnp.mean(fake_logits)


minimax = AdversarialLoss(logistic_critic, minimax_generator)
non_saturating = AdversarialLoss(logistic_critic, non_saturating_generator)
wasserstein = AdversarialLoss(wasserstein_critic, wasserstein_generator)
