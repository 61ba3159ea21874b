"""Wasserstein-1 three ways: exactly, with an entropy, and as a critic sees it.

Arjovsky et al. 2017 (arXiv:1701.07875): a critic f that is K-Lipschitz bounds the distance from below (equation 2),

    E f(x) - E f(y) <= K W1,

so that its loss is an estimate of W1, up to the unknown K, as far as the way it is kept Lipschitz lets it come: weight
clipping there, gradient penalties (Gulrajani et al. 2017, arXiv:1704.00028; one-sided, Petzka et al. 2018,
arXiv:1709.08894), spectral norm (Miyato et al. 2018, arXiv:1802.05957). Between two samples, noise and the ring of
eight Gaussians, all of it can be known: W1 is an assignment (equation 1) or, for any weights, a linear programme with
its dual; Sinkhorn's iteration (Cuturi 2013, arXiv:1306.0895) costs at most epsilon log n more; and K can be measured.
So can the least K that a critic has on the samples themselves, its largest slope: with it the bound holds.

To be seen: the noise moving along the best plan; Sinkhorn's cost falling to W1 as epsilon does; penalised critics near
W1 as they are; clipped and spectrally normalised ones far off until divided by their K, and then below W1 still.

    python -m gan_jax.studies.transport [--out=FOLDER]
"""

import functools

import jax
import jax.numpy as jnp
import numpy as np
from matplotlib.figure import Figure
from matplotlib.ticker import LogLocator, NullFormatter
from scipy.spatial.distance import cdist

from gan_jax.data import mixtures
from gan_jax.metrics.wasserstein import exact_plan, wasserstein_1
from gan_jax.networks import mlp
from gan_jax.networks.layers import SpectralNorm
from gan_jax.objectives import losses, penalties
from gan_jax.reports import pictures
from gan_jax.studies import command
from gan_jax.studies.fitting import fit

CLIP, PENALTY_WEIGHT, LEARNING_RATE = 0.1, 10.0, 1e-3
PENALTIES = {"gradient penalty": penalties.gradient_penalty, "one-sided penalty": penalties.one_sided}
CRITICS = ("weight clipping", *PENALTIES, "spectral norm")
EPSILONS = (1.0, 0.3, 0.1, 0.03, 0.01)
TIMES = (0.0, 0.25, 0.5, 0.75, 1.0)


def measure(
    seed: int = 0,
    points: int = 256,
    epsilons: tuple[float, ...] = EPSILONS,
    width: int = 64,
    depth: int = 3,
    steps: int = 2000,
) -> dict:
    """Distances are in units of the ring's radius; the critics see all points in each of their steps."""
    real_key, noise_key, critics_key = jax.random.split(jax.random.key(seed), 3)
    real = np.asarray(mixtures.MIXTURES["ring"][0](real_key, points)[0])
    noise = 0.3 * np.asarray(jax.random.normal(noise_key, (points, 2)))
    plan = exact_plan(noise, real)
    uniform = np.full(points, 1 / points)
    dual = uniform @ plan.a_potential + uniform @ plan.b_potential
    source, target = np.nonzero(plan.mass > 1e-3 / points)
    return {
        "exact": {"assignment": wasserstein_1(noise, real), "linear programme": plan.distance, "its dual": float(dual)},
        "sinkhorn": regularised(cdist(noise, real), epsilons),
        "critics": {name: judged(name, real, noise, critics_key, width, depth, steps) for name in CRITICS},
        "noise": noise[source],
        "real": real[target],
    }


def regularised(cost, epsilons) -> dict:
    """{"epsilon", "cost", "iterations"}: Sinkhorn from the largest epsilon down, each one's start the last's end."""
    potential = np.zeros(cost.shape[1])
    results: list[tuple[float, float, int]] = []
    for epsilon in sorted(epsilons, reverse=True):
        mass, potential, iterations = sinkhorn(cost, epsilon, potential)
        results.append((epsilon, float(np.sum(mass * cost)), iterations))
    return dict(zip(("epsilon", "cost", "iterations"), map(list, zip(*results, strict=True)), strict=True))


def sinkhorn(cost, epsilon: float, potential, tolerance: float = 1e-6, most: int = 20000):
    """The plan between uniform weights with the least <P, cost> + epsilon KL(P | uniform): (P, potential, iterations).

    Works on logarithms, in the potentials' units: u_i = -epsilon log mean_j exp((v_j - cost_ij) / epsilon), and v of u
    alike. Starts from v = `potential`, and ends when the columns' sums are off by `tolerance` in all, or after `most`
    iterations. The rows' sums are exact.
    """
    v = np.asarray(potential, np.float64)
    for iteration in range(1, most + 1):  # noqa: B007
        u = _soft_minimum(cost - v, epsilon, axis=1)
        better = _soft_minimum(cost - u[:, None], epsilon, axis=0)
        with np.errstate(over="ignore"):
            off = np.mean(np.abs(np.expm1((v - better) / epsilon)))
        if off < tolerance:
            break
        v = better
    return np.exp((u[:, None] + v - cost) / epsilon) / cost.size, v, iteration


def _soft_minimum(values, epsilon, axis):
    least = values.min(axis=axis, keepdims=True)
    return least.squeeze(axis) - epsilon * np.log(np.mean(np.exp((least - values) / epsilon), axis=axis))


@functools.partial(jax.jit, static_argnames=("name", "width", "depth", "steps"))
def judged(name: str, real, fake, key, width: int, depth: int, steps: int) -> dict:
    """Trains a critic by the name on the two samples, and measures its `estimate` of W1 and how steep it is.

    `gradient` is the largest norm of its gradient found between any real and any fake, and `slope` the largest of
    (f(x) - f(y)) / |x - y|: the first is what "K-Lipschitz" is about, the second the least K that the samples see.
    """
    critic = mlp.Critic(width, depth, norm="none")
    network = SpectralNorm(critic) if name == "spectral norm" else critic
    init_key, fit_key = jax.random.split(key)
    loss, penalty = losses.wasserstein().critic, PENALTIES.get(name)

    def objective(variables, key):
        f = _function(network, variables)
        total = loss(f(real), f(fake))
        if penalty is None:
            return total
        shift_key, penalty_key = jax.random.split(key)
        # Over the steps, between any real and any fake.
        shifted = jnp.roll(fake, jax.random.randint(shift_key, (), 0, len(fake)), axis=0)
        return total + PENALTY_WEIGHT * penalty(f, real, shifted, penalty_key)

    def project(variables):
        if name == "weight clipping":
            return {"params": penalties.clip_weights(variables["params"], CLIP)}
        if name == "spectral norm":  # one power iteration after each update
            return variables | network.apply(variables, real[:1], train=True, mutable=["spectral"])[1]
        return variables

    variables = project(network.init(init_key, real[:1], train=True))
    variables = fit(objective, variables, fit_key, steps, LEARNING_RATE, project)
    f = _function(network, variables)
    return {"estimate": -loss(f(real), f(fake)), "gradient": _largest_gradient(f, real, fake),
            "slope": jnp.max((f(real)[:, None] - f(fake)) / jnp.linalg.norm(real[:, None] - fake, axis=2))}  # fmt: skip


def _function(network, variables):
    """Samples [b, 2] -> values [b]; gradients flow to the parameters alone, not to spectral norm's vectors."""
    fixed = {name: jax.lax.stop_gradient(value) for name, value in variables.items() if name != "params"}
    return lambda samples: network.apply({"params": variables["params"], **fixed}, samples, train=False)


def _largest_gradient(f, real, fake):
    def largest_at(t):
        between = t * real[:, None] + (1 - t) * fake
        return jnp.max(penalties.gradient_norms(f, between.reshape(-1, 2)))

    return jnp.max(jax.lax.map(largest_at, jnp.linspace(0, 1, 9)))


def table(numbers: dict) -> str:
    """Distances; K is the largest gradient, and the last column the largest slope's bound as a share of W1."""
    exact = numbers["exact"]["assignment"]
    lines = [f"{'Wasserstein-1, ' + name:<34}{value:12.9f}" for name, value in numbers["exact"].items()]
    lines += ["", f"{'Sinkhorn':<20}{'cost':>10}{'above W1':>12}{'iterations':>12}"]
    for epsilon, cost, iterations in zip(*numbers["sinkhorn"].values(), strict=True):
        lines.append(f"{f'  epsilon {epsilon:g}':<20}{cost:10.5f}{cost - exact:12.5f}{iterations:12d}")
    titles = ("estimate", "gradient", "slope", "/ gradient", "/ slope", "share of W1")
    lines += ["", f"{'critic':<20}" + "".join(f"{title:>12}" for title in titles)]
    for name, critic in numbers["critics"].items():
        estimate, gradient, slope = (float(critic[key]) for key in ("estimate", "gradient", "slope"))
        row = f"{estimate:12.4f}{gradient:12.4f}{slope:12.4f}{estimate / gradient:12.4f}{estimate / slope:12.4f}"
        lines.append(f"{'  ' + name:<20}{row}{estimate / slope / exact:12.1%}")
    return "\n".join(lines)


def draw(path, numbers: dict) -> None:
    """Above, the noise on its way along the best plan; below, the two kinds of estimates beside the exact value."""
    figure = Figure(figsize=(13, 7.4), layout="constrained")
    above, below = figure.subfigures(2, 1, height_ratios=(1.1, 1.2), squeeze=False)[:, 0]
    above.suptitle("the cheapest way from noise to the ring: each point on a straight line, at time t")
    for axes, t in zip(above.subplots(1, len(TIMES), sharex=True, sharey=True), TIMES, strict=True):
        _moved(axes, np.asarray(numbers["noise"]), np.asarray(numbers["real"]), t)
    left, right = below.subplots(1, 2)
    _sinkhorn_panel(left, numbers["exact"]["assignment"], numbers["sinkhorn"], len(numbers["noise"]))
    _critics_panel(right, numbers["exact"]["assignment"], numbers["critics"])
    pictures.save(path, figure)


def _moved(axes, noise, real, t):
    axes.plot(*np.stack([noise, real], axis=2).transpose(1, 2, 0), color="0.85", linewidth=0.5, zorder=0)
    axes.scatter(*((1 - t) * noise + t * real).T, s=6, c="tab:red", linewidths=0)
    axes.set(title=f"t = {t:g}", aspect="equal", xlabel="$x_1$")
    if t == 0:
        axes.set_ylabel("$x_2$ (ring's radius = 1)")


def _sinkhorn_panel(axes, exact, sinkhorn, n):
    epsilon, cost = np.asarray(sinkhorn["epsilon"]), np.asarray(sinkhorn["cost"])
    axes.loglog(epsilon, epsilon * np.log(n), "--", color="0.6", label=r"bound $\epsilon\,\log n$")
    axes.loglog(epsilon, np.maximum(cost - exact, 1e-7), "o-", color="tab:blue", label="transport cost of its plan")
    axes.set(title="Sinkhorn", xlabel=r"regularisation $\epsilon$ (units of distance)", ylabel="cost above exact $W_1$")
    axes.grid(alpha=0.3)
    axes.legend(loc="upper left", frameon=False)


def _critics_panel(axes, exact, critics):
    rows = np.arange(len(critics))
    estimate, gradient, slope = (np.array([float(c[key]) for c in critics.values()]) for key in
                                 ("estimate", "gradient", "slope"))  # fmt: skip
    axes.axvline(exact, color="0.3", label=f"exact $W_1$ = {exact:.4f}")
    axes.plot(estimate, rows, "o", color="0.6", label="as it is: E f(x) - E f(y)")
    axes.plot(estimate / gradient, rows, "<", color="tab:blue", label="/ its largest gradient")
    axes.plot(estimate / slope, rows, "d", color="tab:red", label="/ its largest slope between samples")
    axes.set_yticks(rows, list(critics))
    axes.set(title="critics", xscale="log", xlabel="distance (log scale)", ylim=(len(rows) - 0.5, -0.5))
    axes.xaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
    axes.xaxis.set_major_formatter("{x:g}")
    axes.xaxis.set_minor_formatter(NullFormatter())
    axes.grid(alpha=0.3, axis="x")
    axes.legend(frameon=False, loc="upper center", bbox_to_anchor=(0.5, -0.18), ncols=2)


if __name__ == "__main__":
    command.run("transport", __doc__, measure, table, draw)
