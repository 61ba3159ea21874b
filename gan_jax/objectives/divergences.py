"""The f-GAN family: an adversarial loss from every f-divergence (Nowozin, Cseke & Tomioka 2016, arXiv:1606.00709).

For a convex f with f(1) = 0, the divergence D_f(P|Q) = E_Q f(p/q) has the variational lower bound

    E_P T(x) - E_Q f*(T(x)),        f*(t) = sup over u of (u t - f(u)),

met by the critic T(x) = f'(p(x)/q(x)). The critic's logits v are brought into the domain of f* by an increasing output
activation g, T = g(v): so a high logit speaks for a real, as in every other loss. P is the data, Q the generator.

To add a divergence, write one function that returns a `Divergence`: `config.loss="f_gan:NAME"` then trains with it. It
is known by its annotation, `-> Divergence`.

Some conjugates grow exponentially with the logits: Kullback-Leibler, reverse Kullback-Leibler, Neyman and Hellinger are
finite in float32 between logits of about -88 and 88, as their formulas say, and alpha in (0, 1) below logits of fakes
of about 88 (1 - alpha) / alpha: 9 for 0.9. All others are everywhere.
"""

from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jax.nn import softplus

from gan_jax.objectives.losses import AdversarialLoss

GENERATORS = ("minimax", "alternative")
LOG_2 = 0.6931471805599453


class Divergence(NamedTuple):
    """An f-divergence, as five elementwise functions of float arrays.

    f: of the density ratio u = p/q > 0.
    conjugate: f* of t in its domain.
    activation: logits -> the domain of f*, increasing.
    conjugate_of_activation: f*(g(v)), in a form that neither cancels nor leaves the domain by rounding.
    optimal_critic: f'(u), the value of T at which the bound is tight.
    """

    f: Callable[[jax.Array], jax.Array]
    conjugate: Callable[[jax.Array], jax.Array]
    activation: Callable[[jax.Array], jax.Array]
    conjugate_of_activation: Callable[[jax.Array], jax.Array]
    optimal_critic: Callable[[jax.Array], jax.Array]


def f_gan(divergence: Divergence, generator: str = "minimax") -> AdversarialLoss:
    """Critic -(E g(v) of reals - E f*(g(v)) of fakes), which is minus the bound on the divergence.

    Generator "minimax": -E f*(g(v)) of fakes, the same bound's other player (algorithm 1). "alternative": -E g(v) of
    fakes, with the same fixed point and without the vanishing gradient of the first steps (section 3.2).
    """

    def critic(real_logits, fake_logits):
        fakes = divergence.conjugate_of_activation(fake_logits)
        return jnp.mean(fakes) - jnp.mean(divergence.activation(real_logits))

    def minimax_generator(real_logits, fake_logits):
        return -jnp.mean(divergence.conjugate_of_activation(fake_logits))

    def alternative_generator(real_logits, fake_logits):
        return -jnp.mean(divergence.activation(fake_logits))

    return AdversarialLoss(critic, {"minimax": minimax_generator, "alternative": alternative_generator}[generator])


# The rows of the paper's tables. Divergences in nats where they have a unit.


def kullback_leibler() -> Divergence:
    """KL(P|Q): f = u log u, f* = exp(t - 1) for all t, g = v, T = 1 + log u."""
    return Divergence(
        f=lambda u: u * jnp.log(u),
        conjugate=lambda t: jnp.exp(t - 1),
        activation=lambda v: v,
        conjugate_of_activation=lambda v: jnp.exp(v - 1),
        optimal_critic=lambda u: 1 + jnp.log(u),
    )


def reverse_kullback_leibler() -> Divergence:
    """KL(Q|P): f = -log u, f* = -1 - log(-t) for t < 0, g = -exp(-v), T = -1/u."""
    return Divergence(
        f=lambda u: -jnp.log(u),
        conjugate=lambda t: -1 - jnp.log(-t),
        activation=lambda v: -jnp.exp(-v),
        conjugate_of_activation=lambda v: v - 1,
        optimal_critic=lambda u: -1 / u,
    )


def pearson() -> Divergence:
    """Pearson's chi-square, E_Q (u - 1)^2: f* = t^2/4 + t for all t (f taken on all of R), g = v, T = 2 (u - 1)."""
    return Divergence(
        f=lambda u: jnp.square(u - 1),
        conjugate=lambda t: t * t / 4 + t,
        activation=lambda v: v,
        conjugate_of_activation=lambda v: v * v / 4 + v,
        optimal_critic=lambda u: 2 * (u - 1),
    )


def neyman() -> Divergence:
    """Neyman's chi-square: f = (1 - u)^2 / u, f* = 2 - 2 sqrt(1 - t) for t < 1, g = 1 - exp(-v), T = 1 - 1/u^2."""
    return Divergence(
        f=lambda u: jnp.square(1 - u) / u,
        conjugate=lambda t: 2 - 2 * jnp.sqrt(1 - t),
        activation=lambda v: -jnp.expm1(-v),
        conjugate_of_activation=lambda v: -2 * jnp.expm1(-v / 2),
        optimal_critic=lambda u: 1 - 1 / jnp.square(u),
    )


def squared_hellinger() -> Divergence:
    """f = (sqrt u - 1)^2, f* = t / (1 - t) for t < 1, g = 1 - exp(-v), T = 1 - 1/sqrt u; in [0, 2]."""
    return Divergence(
        f=lambda u: jnp.square(jnp.sqrt(u) - 1),
        conjugate=lambda t: t / (1 - t),
        activation=lambda v: -jnp.expm1(-v),
        conjugate_of_activation=jnp.expm1,
        optimal_critic=lambda u: 1 - 1 / jnp.sqrt(u),
    )


def jensen_shannon() -> Divergence:
    """Twice the Jensen-Shannon divergence, in [0, 2 log 2]: f = u log u - (u + 1) log((u + 1)/2).

    f* = -log(2 - exp t) for t < log 2, g = log 2 - softplus(-v), T = log(2u / (u + 1)). The paper's convention: KL(P|M)
    + KL(Q|M) of the mean M, without the half.
    """
    return Divergence(
        f=lambda u: u * jnp.log(u) - (u + 1) * jnp.log((u + 1) / 2),
        conjugate=lambda t: -jnp.log(2 - jnp.exp(t)),
        activation=lambda v: LOG_2 - softplus(-v),
        conjugate_of_activation=lambda v: softplus(v) - LOG_2,
        optimal_critic=lambda u: jnp.log(2 * u / (u + 1)),
    )


def gan() -> Divergence:
    """The game of Goodfellow et al. 2014: f = u log u - (u + 1) log(u + 1), `jensen_shannon` less 2 log 2.

    f* = -log(1 - exp t) for t < 0, g = -softplus(-v) = log sigmoid(v), T = log(u / (u + 1)). f(1) = -2 log 2, not 0.
    As a loss it is `minimax`.
    """
    return Divergence(
        f=lambda u: u * jnp.log(u) - (u + 1) * jnp.log(u + 1),
        conjugate=lambda t: -jnp.log(-jnp.expm1(t)),
        activation=lambda v: -softplus(-v),
        conjugate_of_activation=softplus,
        optimal_critic=lambda u: jnp.log(u / (u + 1)),
    )


def total_variation() -> Divergence:
    """f = |u - 1| / 2, in [0, 1]: f* = t for |t| <= 1/2, g = tanh(v) / 2, T = sign(u - 1) / 2."""
    return Divergence(
        f=lambda u: jnp.abs(u - 1) / 2,
        conjugate=lambda t: t,
        activation=lambda v: jnp.tanh(v) / 2,
        conjugate_of_activation=lambda v: jnp.tanh(v) / 2,
        optimal_critic=lambda u: jnp.sign(u - 1) / 2,
    )


def alpha(alpha=0.5) -> Divergence:
    """f = (u^a - 1 - a (u - 1)) / (a (a - 1)), for a neither 0 nor 1 (where its limits are KL(Q|P) and KL(P|Q)).

    T = (u^(a-1) - 1) / (a - 1), f* = ((t (a - 1) + 1)^(a/(a-1)) - 1) / a, where t (a - 1) + 1 > 0. For a < 1 that is
    t < 1/(1 - a), and g = 1/(1 - a) - softplus(-v); for a > 1, g = v, and f* is -1/a below that bound: the supremum
    over u >= 0 is then at u = 0. a = 1/2 is twice the squared Hellinger distance, a = 2 half of Pearson's.
    """
    power = alpha / (alpha - 1)
    # alpha may be traced, so both of its ranges are computed: each with harmless numbers where it is not meant.
    is_below, share = alpha < 1, jnp.where(alpha < 1, 1 - alpha, 1)

    def raised(base):
        is_inside = base > 0  # the power's derivative at other bases would be NaN, also where it is not used
        return jnp.where(is_inside, jnp.where(is_inside, base, 1) ** power, 0)

    def conjugate_of_activation(v):
        # For a < 1, t (a - 1) + 1 = (1 - a) softplus(-v), whose logarithm is finite where it is not.
        below = jnp.exp(jnp.where(is_below, power, 0) * (jnp.log(share) + _log_softplus(-v)))
        above = raised(jnp.where(is_below, 1, v * (alpha - 1) + 1))
        return (jnp.where(is_below, below, above) - 1) / alpha

    return Divergence(
        f=lambda u: (u**alpha - 1 - alpha * (u - 1)) / (alpha * (alpha - 1)),
        conjugate=lambda t: (raised(t * (alpha - 1) + 1) - 1) / alpha,
        activation=lambda v: jnp.where(is_below, 1 / share - softplus(-v), v),
        conjugate_of_activation=conjugate_of_activation,
        optimal_critic=lambda u: (u ** (alpha - 1) - 1) / (alpha - 1),
    )


def _log_softplus(v):
    """log(log(1 + exp(v))), which tends to v where the inner logarithm is no longer to be told from 0."""
    small = jnp.minimum(v, -15)
    return jnp.where(v < -15, small - jnp.exp(small) / 2, jnp.log(softplus(jnp.maximum(v, -15))))
