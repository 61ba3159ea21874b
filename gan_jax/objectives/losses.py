"""Adversarial losses: pairs of pure functions of the critic's logits.

A loss is an `AdversarialLoss` of two functions of the same arguments, `(real_logits [b], fake_logits [b]) -> scalar`.
Both are minimised, each by its own player. The critic puts out logits, never probabilities: with
D(x) = sigmoid(logit), log D = -softplus(-logit) and log(1 - D) = -softplus(logit), finite in value and gradient
wherever float32 is.

To add a loss, write one function that returns the pair: `config.loss` is its name. It is known by its annotation,
`-> AdversarialLoss`. Numbers that it takes are fields of the configuration (LOSS_NUMBERS in
training/hyperparameters.py), and may be traced.
"""

from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jax.nn import relu, softplus


class AdversarialLoss(NamedTuple):
    """What each player minimises; both take (real_logits [b], fake_logits [b]) and return a scalar.

    The generator's loss is given the reals too, so that relativistic losses are no special case.
    """

    critic: Callable[[jax.Array, jax.Array], jax.Array]
    generator: Callable[[jax.Array, jax.Array], jax.Array]


def minimax(smoothing_real=0.0, smoothing_fake=0.0) -> AdversarialLoss:
    """The zero-sum game: critic -E log D(x) - E log(1 - D(G(z))), generator E log(1 - D(G(z))).

    Where the critic can't tell, it pays 2 log 2. The generator's gradient vanishes under a good critic. Goodfellow
    et al. 2014 (arXiv:1406.2661), equation 1. Smoothing: see `non_saturating`.
    """
    critic = _logistic_critic(smoothing_real, smoothing_fake)
    return AdversarialLoss(critic, lambda real_logits, fake_logits: -jnp.mean(softplus(fake_logits)))


def non_saturating(smoothing_real=0.0, smoothing_fake=0.0) -> AdversarialLoss:
    """The critic of `minimax`; generator -E log D(G(z)), as in Goodfellow et al. 2014, section 3.

    Label smoothing, in [0, 1): the critic's targets are 1 - smoothing_real instead of 1 for reals, and smoothing_fake
    instead of 0 for fakes. One-sided (smoothing_real = 0.1, the other 0) is that of Salimans et al. 2016
    (arXiv:1606.03498), section 3.4.
    """
    critic = _logistic_critic(smoothing_real, smoothing_fake)
    return AdversarialLoss(critic, lambda real_logits, fake_logits: jnp.mean(softplus(-fake_logits)))


def log_odds() -> AdversarialLoss:
    """The critic of `minimax`; generator -E log(D(G(z)) / (1 - D(G(z)))), both of its losses at once.

    Under the optimal critic this is the Kullback-Leibler divergence of the generator's distribution from the data's
    (Sønderby et al. 2017, arXiv:1610.04490).
    """
    return AdversarialLoss(_logistic_critic(0.0, 0.0), _up)


def least_squares(a=0.0, b=1.0, c=1.0) -> AdversarialLoss:
    """Critic (E (D(x) - b)^2 + E (D(G(z)) - a)^2) / 2, generator E (D(G(z)) - c)^2 / 2, of D = logit.

    Mao et al. 2017 (arXiv:1611.04076): a = 0, b = c = 1 of their experiments; b - c = 1 and b - a = 2 (a = -1, b = 1,
    c = 0) minimises the Pearson chi-square divergence of p + q from 2q.
    """

    def critic(real_logits, fake_logits):
        return (jnp.mean(jnp.square(real_logits - b)) + jnp.mean(jnp.square(fake_logits - a))) / 2

    return AdversarialLoss(critic, lambda real_logits, fake_logits: jnp.mean(jnp.square(fake_logits - c)) / 2)


def wasserstein() -> AdversarialLoss:
    """Critic E f(G(z)) - E f(x), generator -E f(G(z)) (Arjovsky et al. 2017, arXiv:1701.07875, equations 2 and 3).

    The critic's is minus its estimate of Wasserstein-1, if f is 1-Lipschitz: see objectives/penalties.py.
    """
    return AdversarialLoss(lambda real_logits, fake_logits: jnp.mean(fake_logits) - jnp.mean(real_logits), _up)


def hinge() -> AdversarialLoss:
    """Critic E max(0, 1 - D(x)) + E max(0, 1 + D(G(z))), generator -E D(G(z)), of D = logit.

    Lim & Ye 2017 (arXiv:1705.02894); Miyato et al. 2018 (arXiv:1802.05957), equations 16 and 17.
    """

    def critic(real_logits, fake_logits):
        return jnp.mean(relu(1 - real_logits)) + jnp.mean(relu(1 + fake_logits))

    return AdversarialLoss(critic, _up)


def relativistic() -> AdversarialLoss:
    """RpGAN: critic -E log sigmoid(D(x) - D(G(z))), generator -E log sigmoid(D(G(z)) - D(x)), each real with one fake.

    Jolicoeur-Martineau 2018 (arXiv:1807.00734); with R1 and R2 the loss of R3GAN (Huang et al. 2024, arXiv:2501.05441).
    """

    def critic(real_logits, fake_logits):
        return jnp.mean(softplus(fake_logits - real_logits))

    return AdversarialLoss(critic, _swapped(critic))


def relativistic_average() -> AdversarialLoss:
    """RaSGAN: critic -E log sigmoid(D(x) - E D(G(z))) - E log(1 - sigmoid(D(G(z)) - E D(x))), generator the reverse.

    Jolicoeur-Martineau 2018 (arXiv:1807.00734). The means are the minibatch's, and gradients flow through them.
    """
    return _against_the_average(lambda difference: softplus(-difference))


def relativistic_average_least_squares() -> AdversarialLoss:
    """RaLSGAN: critic E (D(x) - E D(G(z)) - 1)^2 + E (D(G(z)) - E D(x) + 1)^2, generator the reverse (ibid.)."""
    return _against_the_average(lambda difference: jnp.square(difference - 1))


def relativistic_average_hinge() -> AdversarialLoss:
    """RaHingeGAN: E max(0, 1 - D(x) + E D(G(z))) + E max(0, 1 + D(G(z)) - E D(x)), generator the reverse (ibid.)."""
    return _against_the_average(lambda difference: relu(1 - difference))


def _logistic_critic(smoothing_real, smoothing_fake):
    """Cross-entropy of logits with a target t is softplus(logit) - t logit, stable as it stands."""

    def critic(real_logits, fake_logits):
        real = softplus(-real_logits) + smoothing_real * real_logits
        fake = softplus(fake_logits) - smoothing_fake * fake_logits
        return jnp.mean(real) + jnp.mean(fake)

    return critic


def _up(real_logits, fake_logits):
    """-E D(G(z)): the generator's part where all that it wants is a higher logit."""
    return -jnp.mean(fake_logits)


def _swapped(critic):
    """The generator of a relativistic pair wants what the critic wants, with reals and fakes exchanged."""
    return lambda real_logits, fake_logits: critic(fake_logits, real_logits)


def _against_the_average(cost):
    """E cost(D(x) - E D(G(z))) + E cost(E D(x) - D(G(z)))."""

    def critic(real_logits, fake_logits):
        reals = cost(real_logits - jnp.mean(fake_logits))
        return jnp.mean(reals) + jnp.mean(cost(jnp.mean(real_logits) - fake_logits))

    return AdversarialLoss(critic, _swapped(critic))
