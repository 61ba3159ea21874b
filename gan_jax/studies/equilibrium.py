"""The best critic is p / (p + q), and a half of everything once the generator has found the data.

Proposition 1 and figure 1 of Goodfellow et al. 2014, "Generative adversarial nets" (arXiv:1406.2661). The data is one
normal distribution p, and the generator z -> mu + sigma z makes another, q, whose density is thus known at any time.
The game is played with the non-saturating loss, the critic taking several steps to one of the generator's; both
learning rates fall to 0. Some of its generators are looked at: a fresh critic is trained against each for long, and
compared, point by point, with p / (p + q). To be seen: it is within 0.02 of it where p + q has mass, and as the game
is played on, D on data and on fakes alike goes to 1/2.

The critics' latents are normal quantiles of one uniform number in each of n equal intervals: the same distribution as
of independent draws, with less noise.

    python -m gan_jax.studies.equilibrium [--out=FOLDER]
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jax.scipy.special import ndtri
from jax.scipy.stats import norm
from jax.typing import ArrayLike
from matplotlib.figure import Figure

from gan_jax.networks.mlp import Critic
from gan_jax.objectives import losses
from gan_jax.reports import pictures
from gan_jax.studies import command
from gan_jax.studies.fitting import fit, updated


class Normal(NamedTuple):
    """A normal distribution by its mean and its standard deviation, both of the data's unit."""

    mean: ArrayLike
    deviation: ArrayLike


DATA, START = Normal(1.0, 0.7), Normal(-1.0, 1.2)
SHARES = (0.0, 0.1, 0.25, 1.0)  # of the game's steps, after which the generator is looked at
HAS_MASS = 0.02  # of the density (p + q) / 2: from there on the critic has seen enough of a place
LOSS = losses.non_saturating()


def measure(
    seed: int = 0,
    game_steps: int = 600,
    n_critic: int = 10,
    critic_steps: int = 3000,
    batch_size: int = 256,
    width: int = 64,
    learning_rate: float = 1e-2,
    generator_learning_rate: float = 3e-2,
) -> dict:
    """The game's course, and at some looks at it the trained critic beside p / (p + q).

    Of each step: the generator's `mean` and `deviation` after it, [game_steps + 1] with the start, and the mean D of
    the game's own critic on data and fakes, `real_d` and `fake_d` [game_steps]. Of each look: `look`, the number
    of steps; p, q, `trained` and `optimal` D at the points `x`; and `max_error` and `mean_error`, the largest of
    |trained - optimal| where (p + q) / 2 > 0.02 and its mean under (p + q) / 2.
    """
    critic = Critic(width, 2, "none")
    game_key, fit_key = jax.random.split(jax.random.key(seed))
    rates = generator_learning_rate, learning_rate
    course, (real_d, fake_d) = _play(critic, game_key, game_steps, n_critic, batch_size, rates)
    looks = np.array([round(share * game_steps) for share in SHARES])
    at_looks = jax.tree.map(lambda values: values[looks], course)
    x = jnp.linspace(-5, 5, 1001)
    trained = _trained(critic, fit_key, at_looks, critic_steps, batch_size, learning_rate)(x)
    numbers = {"mean": course.mean, "deviation": course.deviation, "real_d": real_d, "fake_d": fake_d}
    numbers |= {"look": looks, "x": x, "trained": trained} | _compared(x, trained, at_looks)
    return {name: np.array(value) for name, value in numbers.items()}


def optimal(x, data: Normal, generator: Normal):
    """(p, q, p / (p + q)) at x; the last as a sigmoid of log p - log q, so that neither density need be above 0."""
    log_p, log_q = (norm.logpdf(x, *distribution) for distribution in (data, generator))
    return jnp.exp(log_p), jnp.exp(log_q), jax.nn.sigmoid(log_p - log_q)


def table(numbers: dict) -> str:
    """A line for each look: where the generator was, and how far its trained critic is from p / (p + q)."""
    lines = [
        f"data: mean {DATA.mean}, deviation {DATA.deviation}",
        f"{'game step':>9} {'mean':>7} {'deviation':>9} {'error of D: max':>15} {'mean':>7} {'range of D':>13}",
    ]
    for i, look in enumerate(numbers["look"]):
        has_mass = numbers["p"][i] + numbers["q"][i] > 2 * HAS_MASS
        d = numbers["trained"][i][has_mass]
        lines.append(
            f"{look:>9} {numbers['mean'][look]:>7.3f} {numbers['deviation'][look]:>9.3f} "
            f"{numbers['max_error'][i]:>15.4f} {numbers['mean_error'][i]:>7.4f} {d.min():>6.2f} to {d.max():.2f}"
        )
    real, fake = numbers["real_d"][-1], numbers["fake_d"][-1]
    lines.append(f"mean D in the last step of the game: {real:.3f} on data, {fake:.3f} on fakes")
    return "\n".join(lines)


def draw(path, numbers: dict) -> None:
    """Figure 1 of the paper above; below, the course of the game."""
    figure = Figure(figsize=(12, 6.5), layout="constrained")
    above, below = figure.subfigures(2, 1, squeeze=False)[:, 0]
    panels = above.subplots(1, len(SHARES), sharex=True, sharey=True)
    for i, axes in enumerate(panels):
        _draw_look(axes, numbers, i)
    panels[0].set_ylabel("D, and densities per unit of x")
    above.legend(*panels[0].get_legend_handles_labels(), loc="outside lower center", ncols=4, frameon=False)
    _draw_course(below.subplots(1, 2), numbers)
    pictures.save(path, figure)


def _play(critic, key, steps, n_critic, batch_size, learning_rates):
    """(the generator as a Normal of [steps + 1], mean D on (data, fakes) after the critic's part of each step)."""
    updates = steps, steps * n_critic
    schedules = map(optax.cosine_decay_schedule, learning_rates, updates)
    transforms = [optax.adam(schedule, b1=0.5) for schedule in schedules]

    def critic_step(generator, carry, key):
        gradients = jax.grad(_critic_loss)(carry[0], critic, generator, key, batch_size)
        return updated(transforms[1], carry, gradients), None

    def generator_loss(generator, params, key):
        logits = _judged(critic, params, _drawn(generator, key, batch_size))
        return LOSS.generator(logits, logits)

    def step(carry, key):
        (generator, opt_state), critic_carry = carry
        critic_key, generator_key = jax.random.split(key)
        keys = jax.random.split(critic_key, n_critic)
        critic_carry, _ = jax.lax.scan(lambda c, k: critic_step(generator, c, k), critic_carry, keys)
        mean_d = [_mean_d(critic, critic_carry[0], side, generator_key, batch_size) for side in (DATA, generator)]
        gradients = jax.grad(generator_loss)(generator, critic_carry[0], generator_key)
        moved = updated(transforms[0], (generator, opt_state), gradients)
        return (moved, critic_carry), (moved[0], mean_d)

    @jax.jit
    def play(key):
        init_key, key = jax.random.split(key)
        start, params = Normal(*map(jnp.float32, START)), _fresh(critic, init_key)
        carry = (start, transforms[0].init(start)), (params, transforms[1].init(params))
        _, (course, mean_d) = jax.lax.scan(step, carry, jax.random.split(key, steps))
        return jax.tree.map(lambda first, rest: jnp.append(first, rest), start, course), mean_d

    return play(key)


def _trained(critic, key, generators, steps, batch_size, learning_rate):
    """x [n] -> D [looks, n] of fresh critics, each trained against one of the generators, which stay as they are."""
    schedule = optax.cosine_decay_schedule(learning_rate, steps)

    @jax.jit
    @jax.vmap
    def train(generator):
        init_key, fit_key = jax.random.split(key)
        return fit(
            lambda params, key: _critic_loss(params, critic, generator, key, batch_size),
            _fresh(critic, init_key),
            fit_key,
            steps,
            schedule,
        )

    params = train(generators)
    return lambda x: jax.nn.sigmoid(jax.vmap(lambda params: _judged(critic, params, x))(params))


def _critic_loss(params, critic, generator, key, batch_size):
    real_key, fake_key = jax.random.split(key)
    real, fake = _drawn(DATA, real_key, batch_size), _drawn(generator, fake_key, batch_size)
    return LOSS.critic(_judged(critic, params, real), _judged(critic, params, fake))


def _drawn(distribution, key, n):
    """[n] draws, one from each n-th part of the distribution."""
    share = (jnp.arange(n) + jax.random.uniform(key, (n,), minval=1e-3, maxval=1 - 1e-3)) / n
    return distribution.mean + distribution.deviation * ndtri(share)


def _judged(critic, params, x):
    return critic.apply({"params": params}, x[:, None], train=True)


def _mean_d(critic, params, distribution, key, batch_size):
    return jnp.mean(jax.nn.sigmoid(_judged(critic, params, _drawn(distribution, key, batch_size))))


def _fresh(critic, key):
    return critic.init(key, jnp.zeros((1, 1)), train=True)["params"]


def _compared(x, trained, generators):
    p, q, best = jax.vmap(lambda generator: optimal(x, DATA, generator))(generators)
    error, mass = jnp.abs(trained - best), (p + q) / 2
    max_error = jnp.max(jnp.where(mass > HAS_MASS, error, 0), axis=1)
    mean_error = jnp.sum(error * mass, axis=1) / jnp.sum(mass, axis=1)
    return {"p": p, "q": q, "optimal": best, "max_error": max_error, "mean_error": mean_error}


def _draw_look(axes, numbers, i):
    x, has_mass = numbers["x"], numbers["p"][i] + numbers["q"][i] > 2 * HAS_MASS
    axes.plot(x, numbers["p"][i], color="0.4", linestyle=":", label="p, data")
    axes.plot(x, numbers["q"][i], color="tab:green", label="q, generator")
    axes.plot(x[has_mass], numbers["optimal"][i][has_mass], color="0.6", linewidth=4, label="p / (p + q)")
    axes.plot(x[has_mass], numbers["trained"][i][has_mass], color="tab:blue", label="D, trained to the end")
    axes.set(title=f"after {numbers['look'][i]} steps", xlabel="x", xlim=(-4, 4), ylim=(0, 1.05))
    axes.grid(alpha=0.3)


def _draw_course(panels, numbers):
    steps = np.arange(1, len(numbers["real_d"]) + 1)
    panels[0].plot(steps, numbers["real_d"], label="on data")
    panels[0].plot(steps, numbers["fake_d"], label="on fakes")
    panels[0].axhline(0.5, color="0.4", linestyle=":", label="1/2")
    panels[0].set(ylabel="mean D of the game's critic", ylim=(0, 1))
    for name, colour in (("mean", "C0"), ("deviation", "C1")):
        panels[1].plot(numbers[name], color=colour, label=f"{name} of the generator")
        panels[1].axhline(getattr(DATA, name), color=colour, linestyle=":", label=f"{name} of the data")
    panels[1].set(ylabel="units of x")
    for axes in panels:
        axes.set_xlabel("steps of the game")
        axes.grid(alpha=0.3)
        axes.legend(loc="lower right", frameon=False)


if __name__ == "__main__":
    command.run("equilibrium", __doc__, measure, table, draw)
