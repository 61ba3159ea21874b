"""Two parallel lines: what four distances say of them, and what trained critics make of these distances.

Example 1 and figure 1 of Arjovsky et al. 2017, "Wasserstein GAN" (arXiv:1701.07875). With Z uniform on [0, 1], P_0 is
the distribution of (0, Z) and P_theta that of (theta, Z). The lines don't meet unless theta = 0, and so

    JS = log 2,  KL = reverse KL = inf,  TV = 1  for every theta != 0 (all 0 at theta = 0),  but  W_1 = |theta|.

Only W_1 tells a generator that moves the line which way to go. Here each distance is estimated by a critic, one for
each theta: the f-GAN bounds for JS (in nats, half of what the f-GAN paper calls by this name) and TV, and a critic with
the one-sided gradient penalty for W_1. Such a critic's slope is 1 + |theta| / (2 weight): of 1.05 at theta = 1 for the
usual weight of 10, so that the weight here is 100. The gradients by theta are those of the estimates, the critic held
fixed, which is what a generator would descend. To be seen: JS within 1 % of log 2, be the lines 1 or 0.1 apart, W_1
within 5 % of |theta|, with a gradient of 1 towards 0.

    python -m gan_jax.studies.disjoint_supports [--out=FOLDER]
"""

import jax
import jax.numpy as jnp
import numpy as np
import optax
from matplotlib.figure import Figure

from gan_jax.networks.mlp import Critic
from gan_jax.objectives import divergences, losses, penalties
from gan_jax.reports import pictures
from gan_jax.studies import command
from gan_jax.studies.fitting import fit

THETAS = (-1.0, -0.75, -0.5, -0.25, -0.1, 0.0, 0.1, 0.25, 0.5, 0.75, 1.0)
PENALTY_WEIGHT = 100.0
NAMES = {
    "jensen_shannon": "Jensen-Shannon divergence (nats)",
    "total_variation": "total variation",
    "wasserstein": "Wasserstein-1",
}


def measure(
    seed: int = 0,
    thetas: tuple[float, ...] = THETAS,
    steps: int = 1000,
    batch_size: int = 128,
    width: int = 32,
    learning_rate: float = 1e-2,
) -> dict:
    """For each of `thetas`: each distance as a critic estimates it, `..._exact`, and `..._gradient` by theta.

    The distances are `jensen_shannon`, `total_variation` and `wasserstein`. `kullback_leibler_exact` and
    `reverse_kullback_leibler_exact` stand alone: no critic reaches infinity.
    """
    numbers = {"theta": np.array(thetas)} | exact(np.array(thetas))
    keys = jax.random.split(jax.random.key(seed), len(thetas))
    for name in NAMES:
        estimates = _estimates(name, steps, batch_size, width, learning_rate)
        values, gradients = estimates(jnp.array(thetas), keys)
        numbers |= {name: np.array(values), f"{name}_gradient": np.array(gradients)}
    return numbers


def exact(theta: np.ndarray) -> dict:
    """{NAME_exact: its values} of the five distances of P_theta from P_0, in closed form."""
    is_apart = theta != 0
    infinite = np.where(is_apart, np.inf, 0.0)
    return {
        "jensen_shannon_exact": np.where(is_apart, np.log(2), 0.0),
        "total_variation_exact": np.where(is_apart, 1.0, 0.0),
        "wasserstein_exact": np.abs(theta),
        "kullback_leibler_exact": infinite,
        "reverse_kullback_leibler_exact": infinite,
    }


def table(numbers: dict) -> str:
    """Exact and estimated, a line for each theta."""
    lines = [f"{'':>7}{'Jensen-Shannon':>20}{'total variation':>20}{'KL, reverse KL':>16}{'Wasserstein-1':>20}"]
    lines.append(f"{'theta':>7}" + f"{'exact':>10}{'critic':>10}" * 2 + f"{'exact':>16}{'exact':>10}{'critic':>10}")
    for i, theta in enumerate(numbers["theta"]):
        js, tv, wasserstein = (f"{numbers[f'{name}_exact'][i]:>10.3f}{numbers[name][i]:>10.3f}" for name in NAMES)
        lines.append(f"{theta:>7.2f}{js}{tv}{numbers['kullback_leibler_exact'][i]:>16.3g}{wasserstein}")
    return "\n".join(lines)


def draw(path, numbers: dict) -> None:
    """Figure 1 of the paper, with total variation between its two panels, and below them the gradients."""
    figure = Figure(figsize=(11, 6.2), layout="constrained")
    distances, gradients = figure.subplots(2, 3, sharex=True, sharey="row")
    figure.suptitle("$P_0$: $(0, Z)$ against $P_\\theta$: $(\\theta, Z)$, $Z$ uniform on [0, 1]")
    for upper, lower, name in zip(distances, gradients, NAMES, strict=True):
        _draw_distance(upper, numbers, name)
        _draw_gradient(lower, numbers, name)
    distances[0].set_ylabel("distance of $P_\\theta$ from $P_0$")
    gradients[0].set_ylabel("its gradient by $\\theta$")
    handles, labels = distances[0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower center", ncols=3, frameon=False)
    pictures.save(path, figure)


def _estimates(name, steps, batch_size, width, learning_rate):
    """A compiled (thetas [k], keys [k]) -> (estimates [k], their gradients by theta [k]), one critic for each theta."""
    critic = Critic(width, 2, "none")

    def judged(params, theta, z):
        return critic.apply({"params": params}, _line(theta, z), train=True)

    def distance(theta, params, real_z, fake_z):
        """The bound that the critic maximises, in the units of the table."""
        return _scale(name) * _loss(name).critic(judged(params, 0.0, real_z), judged(params, theta, fake_z))

    def estimate(theta, key):
        def objective(params, key):
            strata_key, draw_key, penalty_key = jax.random.split(key, 3)
            loss = -distance(theta, params, *_strata(strata_key, batch_size))
            if name != "wasserstein":
                return loss
            z = jax.random.uniform(draw_key, (2, batch_size))
            real, fake = _line(0.0, z[0]), _line(theta, z[1])
            return loss + PENALTY_WEIGHT * penalties.one_sided(
                lambda x: critic.apply({"params": params}, x, train=True), real, fake, penalty_key
            )

        fit_key, init_key = jax.random.split(key)
        params = critic.init(init_key, jnp.zeros((1, 2)), train=True)["params"]
        params = fit(objective, params, fit_key, steps, optax.cosine_decay_schedule(learning_rate, steps))
        z = (jnp.arange(1000) + 0.5) / 1000  # instead of draws: each an equal share of [0, 1]
        return jax.value_and_grad(distance)(theta, params, z, z)

    return jax.jit(jax.vmap(estimate))


def _line(theta, z):
    """Points (theta, z) of z [n]: [n, 2]."""
    return jnp.stack([jnp.full_like(z, theta), z], axis=1)


def _strata(key, n):
    """Z for reals and for fakes, [2, n], one in each n-th part of [0, 1]: else the noise of their means hides theta."""
    return (jnp.arange(n) + jax.random.uniform(key, (2, n))) / n


def _loss(name):
    return losses.wasserstein() if name == "wasserstein" else divergences.f_gan(getattr(divergences, name)())


def _scale(name):
    """A critic's loss is minus the distance; the f-GAN paper's Jensen-Shannon is twice everyone else's."""
    return -0.5 if name == "jensen_shannon" else -1.0


def _draw_distance(axes, numbers, name):
    dense = np.linspace(-1, 1, 401)
    dense[200] = np.nan  # a gap at 0, where all but one of the curves jump
    axes.plot(dense, exact(dense)[f"{name}_exact"] + 0 * dense, color="0.6", linewidth=3, label="exact")
    axes.plot(0, 0, "o", color="0.6", markersize=9, label="exact at $\\theta = 0$")
    axes.plot(numbers["theta"], numbers[name], "o", color="tab:red", markersize=4, label="by a trained critic")
    axes.set(title=NAMES[name])
    axes.grid(alpha=0.3)


def _draw_gradient(axes, numbers, name):
    dense = np.array([-1, -1e-9, np.nan, 1e-9, 1])
    axes.plot(dense, np.sign(dense) * (name == "wasserstein"), color="0.6", linewidth=3)
    axes.plot(numbers["theta"], numbers[f"{name}_gradient"], "o", color="tab:red", markersize=4)
    axes.set_xlabel("$\\theta$")
    axes.grid(alpha=0.3)


if __name__ == "__main__":
    command.run("disjoint_supports", __doc__, measure, table, draw)
