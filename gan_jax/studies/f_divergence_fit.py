"""A Gaussian fitted to a mixture of two, by every f-divergence, once by integration and once by a critic.

python -m gan_jax.studies.f_divergence_fit [--out=FOLDER] [--seed=N]

The claim (f-GAN, Nowozin, Cseke & Tomioka 2016, arXiv:1606.00709, section 2.4 and table 3): the saddle point of the
variational bound, equation 4, found by the single-step method of algorithm 1, is the Gaussian that minimises the
divergence itself; the bound there is the divergence; and each divergence prefers another Gaussian.

Here: P is the paper's mixture (supplement D), Q = N(mu, sigma^2). `best_fit` minimises the integral of q f(p/q), in
float64. `learn` trains mu, sigma and a critic with two hidden layers of tanh units, as the paper's, ascending and
descending in the same step. In place of minibatches it takes the expectations under both distributions by quadrature:
what is left between the two is the critic's error alone. Total variation's critic pays a little for large logits, or it
saturates and nothing moves it again; its bound is 0.7 % too low for that.

The integrals exist for every sigma, but for two: Pearson's, of p^2/q, is finite where sigma^2 > 2/2, and Neyman's, of
q^2/p, where sigma^2 < 2 * 2, 2 being the variance of the mixture's wider part. The Jensen-Shannon divergence is the
f-GAN paper's, twice the usual one.
"""

from functools import cache, partial

import jax
import jax.numpy as jnp
import numpy as np
import optax
from flax import linen as nn
from matplotlib.colors import LogNorm
from matplotlib.figure import Figure
from scipy.optimize import minimize
from scipy.stats import norm

from gan_jax.objectives import divergences
from gan_jax.reports import pictures
from gan_jax.studies import command, fitting

WEIGHTS, MEANS, SIGMAS = np.array([0.33, 0.67]), np.array([-1.0, 2.0]), np.array([0.25, np.sqrt(2)])
DIVERGENCES = (
    "kullback_leibler",
    "reverse_kullback_leibler",
    "pearson",
    "neyman",
    "squared_hellinger",
    "jensen_shannon",
    "gan",
    "total_variation",
    "alpha",
)
START = 0.5, 1.5  # mu and sigma, where every divergence is finite
LEARNING_RATE, GAUSSIAN_RATE = 5e-3, 0.3  # the critic's; mu and log sigma move at this share of it
# Of the mean of v^2, to the critic: where |v| is large, total variation's tanh has no gradient that could put it right.
LOGIT_COSTS = {"total_variation": 1e-3}


def measure(seed=0, steps=5000, width=32, nodes=160) -> dict:
    """Both fits by each of DIVERGENCES, and each learned Gaussian measured by every divergence.

    `nodes`: points of the quadrature of `learn`. `cross[i, j]`: divergence j of the Gaussian learned with
    divergence i.
    """
    exact = np.array([best_fit(name) for name in DIVERGENCES])
    learned = np.array(learn(jax.random.key(seed), steps, width, nodes)).T
    cross = [[integrated(name, mu, sigma) for name in DIVERGENCES] for _, mu, sigma in learned]
    columns = ("value", "mu", "sigma")
    return {
        "divergences": list(DIVERGENCES),
        "exact": dict(zip(columns, exact.T, strict=True)),
        "learned": dict(zip(columns, learned.T, strict=True)),
        "cross": np.array(cross),
    }


def integrated(name: str, mu: float, sigma: float) -> float:
    """D_f(P|Q) = integral of q f(p/q), by the trapezoidal rule in float64; inf where it overflows."""
    x, log_p = _wide_grid()
    # Beyond exp(600), where p/q would leave float64, q f(p/q) is at its limit, p times what f grows by.
    log_ratio = np.minimum(log_p - norm.logpdf(x, mu, sigma), 600)
    with jax.enable_x64(True), np.errstate(over="ignore", invalid="ignore"):
        total = np.trapezoid(np.exp(log_p - log_ratio) * np.asarray(_f(name)(np.exp(log_ratio))), x)
    return float(total) if np.isfinite(total) else np.inf


@cache
def _wide_grid():
    x = np.linspace(-40, 40, 4001)
    return x, _log_density(x)


@cache
def _f(name):
    return jax.jit(getattr(divergences, name)().f)


def best_fit(name: str) -> tuple[float, float, float]:
    """(divergence, mu, sigma) of the Gaussian that minimises the integral."""
    found = minimize(
        lambda theta: integrated(name, theta[0], np.exp(theta[1])),
        (START[0], np.log(START[1])),
        method="Nelder-Mead",
        options={"xatol": 1e-5, "fatol": 1e-9},
    )
    return found.fun, found.x[0], float(np.exp(found.x[1]))


@partial(jax.jit, static_argnums=(1, 2, 3))
def learn(key, steps, width, nodes):
    """(bound, mu, sigma), each [divergences]: the games of all divergences side by side, none of which sees another.

    The rates of both players fall to 0, so that the critic has caught up with the Gaussian at the end.
    """
    initial_key, game_key = jax.random.split(key)
    critic = _critic(width)
    keys = jax.random.split(initial_key, len(DIVERGENCES))
    gaussian = {"mu": jnp.zeros(len(DIVERGENCES)), "log_sigma": jnp.zeros(len(DIVERGENCES))}
    start = {"critic": jax.vmap(critic.init, (0, None))(keys, jnp.zeros((1, 1))), "gaussian": gaussian}
    bounds = _make_bounds(critic, nodes)

    def game(params, key):
        values, costs = bounds(jax.tree.map(_ascending, params["critic"]), *_mu_and_sigma(params["gaussian"]))
        return jnp.sum(values - costs)

    rates = optax.cosine_decay_schedule(LEARNING_RATE, steps)
    params = fitting.fit(game, start, game_key, steps, rates, b1=0.5)
    mu, sigma = _mu_and_sigma(params["gaussian"])
    return bounds(params["critic"], mu, sigma)[0], mu, sigma


def _critic(width):
    """x [n, 1] -> logits [n, 1]; the units of the first layer turn at points spread over the mixture."""
    spread = nn.initializers.normal
    first = nn.Dense(width, kernel_init=spread(1.0), bias_init=spread(2.0))
    return nn.Sequential([first, nn.tanh, nn.Dense(width), nn.tanh, nn.Dense(1)])


def _make_bounds(critic, nodes):
    """bounds(critics, mu, sigma) -> (E_P g(v(x)) - E_Q f*(g(v(x))), what v^2 costs), for each divergence's v and Q.

    All expectations are sums over one grid, so that no critic gains by what it does between its points.
    """
    x = np.linspace(-7, 13, nodes)
    p, spacing = np.exp(_log_density(x)), x[1] - x[0]
    made = [getattr(divergences, name)() for name in DIVERGENCES]
    logit_costs = np.array([LOGIT_COSTS.get(name, 0.0) for name in DIVERGENCES])

    def bounds(critics, mu, sigma):
        q = jax.scipy.stats.norm.pdf(x, mu[:, None], sigma[:, None])
        logits = jax.vmap(critic.apply, (0, None))(critics, x[:, None])[..., 0]
        reals = jnp.stack([divergence.activation(v) for divergence, v in zip(made, logits, strict=True)])
        fakes = jnp.stack([divergence.conjugate_of_activation(v) for divergence, v in zip(made, logits, strict=True)])
        costs = logit_costs * jnp.sum(logits**2 * (p + jax.lax.stop_gradient(q)) / 2, axis=1)
        return spacing * jnp.sum(reals * p - fakes * q, axis=1), spacing * costs

    return bounds


def _ascending(x):
    """x itself, with its gradient reversed: whoever minimises a function of it climbs."""
    return 2 * jax.lax.stop_gradient(x) - x


def _mu_and_sigma(gaussian):
    return START[0] + GAUSSIAN_RATE * gaussian["mu"], START[1] * jnp.exp(GAUSSIAN_RATE * gaussian["log_sigma"])


def _log_density(x):
    """Of the mixture, in logs: its tails would be 0."""
    parts = np.log(WEIGHTS) + norm.logpdf(np.asarray(x)[..., None], MEANS, SIGMAS)
    return np.logaddexp(parts[..., 0], parts[..., 1])


def table(numbers) -> str:
    """Both fits of each divergence, as in the paper's table 3, and its cross table."""
    exact, learned, names = numbers["exact"], numbers["learned"], numbers["divergences"]
    lines = [f"{'':26}{'D exact':>10}{'bound':>10}{'mu*':>9}{'mu^':>9}{'sigma*':>9}{'sigma^':>9}"]
    for row, name in enumerate(names):
        value, bound = exact["value"][row], learned["value"][row]
        pairs = [of[column][row] for column in ("mu", "sigma") for of in (exact, learned)]
        lines.append(f"{name:26}{value:10.4f}{bound:10.4f}" + "".join(f"{number:9.4f}" for number in pairs))
    lines += ["", "trained with (rows), measured by (columns):", " " * 26 + "".join(f"{n[:10]:>12}" for n in names)]
    for name, row in zip(names, numbers["cross"], strict=True):
        lines.append(f"{name:26}" + "".join(f"{number:12.4g}" for number in row))
    return "\n".join(lines)


def draw(path, numbers) -> None:
    """The Gaussians over the mixture, mu and sigma of both fits, and the cost of a fit by another divergence."""
    figure = Figure(figsize=(17, 5.4), layout="constrained")
    densities, plane, cross = figure.subplots(1, 3, width_ratios=[1.1, 1, 1.25])
    _draw_densities(densities, numbers)
    _draw_plane(plane, numbers)
    _draw_cross(figure, cross, numbers)
    pictures.save(path, figure)


def _draw_densities(axes, numbers):
    x = np.linspace(-4, 7, 400)
    axes.fill_between(x, np.exp(_log_density(x)), color="0.85", label="P, the mixture")
    for row, name in enumerate(numbers["divergences"]):
        exact, learned = (norm.pdf(x, of["mu"][row], of["sigma"][row]) for of in (numbers["exact"], numbers["learned"]))
        axes.plot(x, exact, color=f"C{row}", label=_words(name))
        axes.plot(x, learned, color="black", linestyle=(0, (1, 4)))
    axes.plot([], [], color="black", linestyle=(0, (1, 4)), label="learned")
    axes.set(title="best Gaussian by each divergence", xlabel="x", ylabel="density", ylim=(0, 0.57))
    axes.legend(loc="upper right", fontsize="small", frameon=False)


def _draw_plane(axes, numbers):
    exact, learned = numbers["exact"], numbers["learned"]
    names: dict[tuple[float, float], list[str]] = {}  # by place: some divergences prefer the same Gaussian
    for row, (name, mu, sigma) in enumerate(zip(numbers["divergences"], exact["mu"], exact["sigma"], strict=True)):
        axes.scatter(mu, sigma, color=f"C{row}", marker="o", s=90, alpha=0.5)
        names.setdefault((round(mu, 2), round(sigma, 2)), []).append(_words(name))
    for place, alike in names.items():
        axes.annotate(", ".join(alike), place, (8, 6), textcoords="offset points", fontsize="small")
    axes.scatter(learned["mu"], learned["sigma"], color="black", marker="+", s=70, label="learned by a critic")
    axes.scatter([], [], color="0.5", s=90, alpha=0.5, label="minimum of the integral")
    axes.set(title="where the fits lie", xlabel=r"$\mu$, units of x", ylabel=r"$\sigma$, units of x")
    axes.margins(0.2)
    axes.legend(loc="upper right", frameon=False)
    axes.grid(alpha=0.3)


def _draw_cross(figure, axes, numbers):
    names, cross = [_words(name) for name in numbers["divergences"]], numbers["cross"]
    best = np.asarray(numbers["exact"]["value"])
    of_equals = [float(_f(name)(1.0)) for name in numbers["divergences"]]  # 0, but for `gan`
    excess = 100 * np.maximum(np.asarray(cross) - best, 0) / (best - of_equals)
    image = axes.imshow(np.clip(excess, 0.1, 1000), norm=LogNorm(0.1, 1000), cmap="viridis_r")
    for (row, column), percent in np.ndenumerate(excess):
        words = f"{percent:.1f}" if percent < 9.95 else f"{percent:.0f}" if percent < 1000 else ">999"
        axes.text(column, row, words, ha="center", va="center", fontsize="small", color="w" if percent > 30 else "k")
    axes.set_xticks(range(len(names)), names, rotation=40, ha="right")
    axes.set_yticks(range(len(names)), names)
    axes.set(title="measured by (columns)", ylabel="trained with")
    figure.colorbar(image, ax=axes, label="above the least that a Gaussian reaches, %", shrink=0.8)


def _words(name):
    return name.replace("_", " ").replace("kullback leibler", "KL").replace("squared ", "sq. ")


if __name__ == "__main__":
    command.run("f_divergence_fit", __doc__, measure, table, draw)
