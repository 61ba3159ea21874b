"""R1 and R2 without a second derivative: what they say of a critic at each sigma, and what they cost.

The squared norm of a critic's gradient is, in the mean over e ~ N(0, I) and for s -> 0, ((f(x + s e) - f(x)) / s)^2:
recipes of 2025 and later take s = 0.01 (as GAT, arXiv:2509.24935, with the penalties of R3GAN, arXiv:2501.05441).
Perceptrons on the 8 x 8 digits, smooth (SiLU) and with kinks (leaky ReLU, slope 0.2), tell digits from digits with
normal noise, by the relativistic loss with the exact penalties. At their random start and after training,
`penalties.r1_r2` of one minibatch is estimated many times. To be seen, as shares of the exact value:

- at s = 0.01 all means in float32 are within 3 %, and at 0.001 within 1 %;
- a smooth critic's mean leaves 1 as s^2 times the term of curvatures and third derivatives which Taylor's formula has;
- that of kinks sinks at the random start, to about 0.97 at s = 0.1 and 0.83 at 1. A trained critic bends where the data
  is, with kinks or without: its mean rises, to two and three times the exact value at s = 0.1;
- one estimate spreads about its mean by what (g e)^2 alone has, sqrt(2 sum |g|^4) / sum |g|^2, until s is large;
- where f is computed in bfloat16, half of the estimate and more is rounding at s = 0.01, and nearly all of it below.

Then a step of the critic is timed, of a DCGAN's on 32 x 32 images: with no penalty, with the exact ones, and with
finite differences that take f(x) from the pass for the loss, of the whole minibatch and of a quarter of it. By its
passes, with forwards, back to the weights and back to the inputs as one each, the loss takes 3 of a double minibatch,
the exact penalties 4 more and the finite differences 3 more: so that those alone save little, and the share does.

    python -m gan_jax.studies.finite_difference [--out=FOLDER]
"""

import functools
import statistics
import time
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from flax import linen as nn
from matplotlib.figure import Figure

from gan_jax import compiler
from gan_jax.data import sources
from gan_jax.networks import dcgan
from gan_jax.objectives import losses, penalties
from gan_jax.reports import pictures
from gan_jax.studies import command
from gan_jax.studies.fitting import fit

SIGMAS = (1e-4, 3e-4, 1e-3, 3e-3, 1e-2, 3e-2, 0.1, 0.3, 1.0)
ACTIVATIONS = {"smooth": nn.silu, "kinks": functools.partial(nn.leaky_relu, negative_slope=0.2)}
COSTS = {
    "none": "no penalty",
    "exact": "exact R1 and R2",
    "finite_difference": "finite differences",
    "quarter": "of a quarter of the minibatch",
}
NOISE, LEARNING_RATE = 0.5, 1e-3


class Critic(nn.Module):
    """The perceptron of networks/mlp.py, with any activation."""

    activation: Any
    width: int
    depth: int
    dtype: Any = None

    @nn.compact
    def __call__(self, samples):
        """Images [b, h, w, c] -> logits [b]."""
        x = samples.reshape(len(samples), -1)
        for _ in range(self.depth):
            x = self.activation(nn.Dense(self.width, dtype=self.dtype, kernel_init=nn.initializers.he_normal())(x))
        return nn.Dense(1, dtype=self.dtype, kernel_init=nn.initializers.he_normal())(x)[:, 0].astype(samples.dtype)


def measure(
    seed: int = 0,
    sigmas: tuple[float, ...] = SIGMAS,
    steps: int = 500,
    width: int = 128,
    depth: int = 3,
    batch_size: int = 64,
    draws: int = 1024,
    image_size: int = 32,
    image_width: int = 64,
    rounds: int = 9,
) -> dict:
    """`critics`: {critic: its numbers, see `estimates`}; `seconds` and `ratio` of a step, see `costs`."""
    source = sources.load("digits", "", 0, 100.0)
    init_key, fit_key, draw_key, estimate_key = jax.random.split(jax.random.key(seed), 4)
    real, fake = _real_and_fake(source, draw_key, batch_size)
    keys, numbers = jax.random.split(estimate_key, draws), {}
    for name, activation in ACTIVATIONS.items():
        network, in_bfloat16 = (Critic(activation, width, depth, dtype) for dtype in (None, jnp.bfloat16))
        params = network.init(init_key, real)
        trained = _trained(network, params, source, fit_key, steps, batch_size)
        kinds = {"at random": (network, params), "trained": (network, trained), "bfloat16": (in_bfloat16, trained)}
        for kind, (judging, judged) in kinds.items():
            networks = network.apply, judging.apply
            numbers[f"{name}, {kind}"] = estimates(*networks, judged, real, fake, np.array(sigmas), keys)
    return {"sigma": np.array(sigmas), "critics": numbers} | costs(image_size, image_width, batch_size, rounds)


def _real_and_fake(source, key, batch_size):
    """Digits, and other digits with noise on every pixel."""
    keys = jax.random.split(key, 3)
    real, hidden = (source.draw(source.arrays, key, 0, 1, batch_size).image[0] for key in keys[:2])
    return real, hidden + NOISE * jax.random.normal(keys[2], hidden.shape)


def _trained(network, params, source, key, steps, batch_size):
    def objective(params, key):
        draw_key, penalty_key = jax.random.split(key)
        real, fake = _real_and_fake(source, draw_key, batch_size)
        f = functools.partial(network.apply, params)
        return losses.relativistic().critic(f(real), f(fake)) + penalties.r1_r2(f, real, fake, penalty_key)

    return jax.jit(lambda params, key: fit(objective, params, key, steps, LEARNING_RATE))(params, key)


def estimates(exact_fn, critic_fn, params, real, fake, sigmas, keys) -> dict:
    """What finite differences of `critic_fn` make of R1 + R2 of `exact_fn`, at each of `sigmas` and with each key.

    Both functions are (params, samples) -> logits. `mean`, `error` (of that mean) and `deviation` (of one estimate) are
    shares of `exact`, [sigma]; so are `predicted`, what Taylor's formula says of the mean to second order, and the
    number `spread`, of the deviation for s -> 0.
    """
    norms, curved = (np.asarray(x, np.float64) for x in _exactly(exact_fn, params, jnp.concatenate([real, fake])))
    exact = norms.mean()  # half of it over reals, and half over as many fakes
    values = np.stack([_estimated(critic_fn, params, real, fake, sigma, keys) for sigma in sigmas]).astype(np.float64)
    deviation = values.std(axis=1, ddof=1) / exact
    return {
        "exact": exact,
        "mean": values.mean(axis=1) / exact,
        "error": deviation / np.sqrt(len(keys)),
        "deviation": deviation,
        "predicted": 1 + curved.mean() / exact * np.square(sigmas),
        "spread": np.sqrt(2 * np.square(norms).sum()) / norms.sum(),
    }


@functools.partial(jax.jit, static_argnames=("critic_fn",))
def _exactly(critic_fn, params, x):
    f = functools.partial(critic_fn, params)
    return penalties.squared_gradient_norms(f, x), curvature(f, x)


@functools.partial(jax.jit, static_argnames=("critic_fn",))
def _estimated(critic_fn, params, real, fake, sigma, keys):
    f, squared_norms = functools.partial(critic_fn, params), penalties.finite_difference(sigma)
    return jax.lax.map(lambda key: penalties.r1_r2(f, real, fake, key, squared_norms), keys, batch_size=16)


def curvature(critic_fn, x):
    """(tr H)^2 / 4 + |H|_F^2 / 2 + g . grad tr H of each sample; x [b, ...] -> [b]: s^2 times it is the mean's bias."""
    flat, shape = x.reshape(len(x), -1), x.shape[1:]

    def of_one(x):
        def f(x):
            return critic_fn(x.reshape(1, *shape))[0]

        hessian = jax.hessian(f)
        laplacian, along_gradient = jax.jvp(lambda x: jnp.trace(hessian(x)), (x,), (jax.grad(f)(x),))
        return laplacian**2 / 4 + jnp.sum(jnp.square(hessian(x))) / 2 + along_gradient

    return jax.lax.map(of_one, flat)


def costs(image_size: int, width: int, batch_size: int, rounds: int) -> dict:
    """`seconds` that the gradients of one critic step take, {none, exact, finite_difference, quarter: its median}.

    The four take turns in each round. `ratio`: how many times as fast as the exact one, the median over the rounds.
    """
    network = dcgan.Critic(width, 0, "none")
    keys = jax.random.split(jax.random.key(0), 4)
    real, fake = (jax.random.uniform(key, (batch_size, image_size, image_size, 3), minval=-1.0) for key in keys[:2])
    params = jax.jit(functools.partial(network.init, train=True))(keys[2], real)["params"]
    options = compiler.eigen()
    steps = {name: jax.jit(_gradients(network, name), compiler_options=options) for name in COSTS}
    for step in steps.values():  # compiled before any is timed
        jax.block_until_ready(step(params, real, fake, keys[3]))
    seconds: dict[str, list[float]] = {name: [] for name in COSTS}
    for _ in range(rounds):
        for name, step in steps.items():
            start = time.perf_counter()
            jax.block_until_ready(step(params, real, fake, keys[3]))
            seconds[name].append(time.perf_counter() - start)
    ratios = {name: np.median(np.array(seconds["exact"]) / values) for name, values in seconds.items()}
    return {"seconds": {name: statistics.median(values) for name, values in seconds.items()}, "ratio": ratios}


def _gradients(network, name):
    """The gradients of a critic's loss by its parameters, with the penalty of that name in `COSTS`."""

    def loss(params, real, fake, key):
        f = functools.partial(network.apply, {"params": params}, train=True)
        real_logits, fake_logits = jnp.split(f(jnp.concatenate([real, fake])), 2)
        total = losses.relativistic().critic(real_logits, fake_logits)
        if name == "none":
            return total
        if name == "exact":
            return total + penalties.r1_r2(f, real, fake, key)
        share = 0.25 if name == "quarter" else 1.0
        real, fake, real_logits, fake_logits = (
            penalties.of_share(x, share) for x in (real, fake, real_logits, fake_logits)
        )
        squared_norms = penalties.finite_difference(0.01, [(real, f, real_logits), (fake, f, fake_logits)])
        return total + penalties.r1_r2(f, real, fake, key, squared_norms)

    return jax.grad(loss)


def table(numbers: dict) -> str:
    """Shares of the exact value, a line for each critic and a column for each sigma; then what a step costs."""
    critics, sigmas = numbers["critics"], "".join(f"{sigma:>9g}" for sigma in numbers["sigma"])
    smooth = {name: critic for name, critic in critics.items() if _has_taylor(name)}
    lines = []
    blocks = ("mean", "mean", critics), ("predicted", "Taylor's mean", smooth), ("deviation", "deviation", critics)
    for key, title, rows in blocks:
        lines.append(f"{title + ', by sigma':<24}{sigmas}" + (f"{'-> 0':>9}" if key == "deviation" else ""))
        for name, critic in rows.items():
            limit = f"{critic['spread']:9.3f}" if key == "deviation" else ""
            lines.append(f"  {name:<22}" + "".join(f"{value:9.3f}" for value in critic[key]) + limit)
    root = max(critic["deviation"][0] / critic["error"][0] for critic in critics.values())
    lines += [f"All are shares of the exact R1 + R2. A mean's standard error is its deviation / {root:.0f}.", ""]
    lines.append(f"{'step of a critic':<32}{'seconds':>9}{'times as fast as exact':>24}")
    for name, title in COSTS.items():
        lines.append(f"  {title:<30}{numbers['seconds'][name]:9.4f}{numbers['ratio'][name]:24.2f}")
    return "\n".join(lines)


def _has_taylor(name):
    return name.startswith("smooth") and "bfloat16" not in name


def draw(path, numbers: dict) -> None:
    """Means with Taylor's formula and deviations by sigma, and the costs."""
    figure = Figure(figsize=(15, 5.4), layout="constrained")
    means, deviations, bars = figure.subplots(1, 3, width_ratios=(1.3, 1.3, 1))
    for i, (name, critic) in enumerate(numbers["critics"].items()):
        style = {"color": f"C{i}", "marker": "o", "markersize": 3}
        means.errorbar(numbers["sigma"], critic["mean"], 2 * np.asarray(critic["error"]), label=name, **style)
        deviations.plot(numbers["sigma"], critic["deviation"], **style)
        if _has_taylor(name):
            means.plot(numbers["sigma"], critic["predicted"], ":", color=f"C{i}", label=f"{name}: by Taylor's formula")
            deviations.axhline(critic["spread"], linestyle=":", color=f"C{i}")
    means.axhline(1, color="0.6", linewidth=1)
    means.set(title="mean of the estimates of R1 + R2", ylabel="share of the exact value", ylim=(0.7, 2.2))
    deviations.set(title="standard deviation of one estimate", yscale="log", ylabel="share of the exact value")
    for axes in means, deviations:
        axes.set(xscale="log", xlabel="sigma")
        axes.grid(alpha=0.3)
    figure.legend(*means.get_legend_handles_labels(), loc="outside lower center", ncols=4, frameon=False)
    bars.barh(list(COSTS.values()), [numbers["seconds"][name] for name in COSTS], color="tab:blue")
    bars.invert_yaxis()
    bars.set(title="a critic's step", xlabel="seconds")
    pictures.save(path, figure)


if __name__ == "__main__":
    command.run("finite_difference", __doc__, measure, table, draw)
