"""What weight clipping does to a critic, and a gradient penalty does not: Gulrajani et al. 2017 (arXiv:1704.00028).

Section 3.1 and its figure hold the generator fixed at the real distribution plus Gaussian noise of unit variance, and
train critics to optimality against it, which is done here on the paper's toy scale: a ring of eight Gaussians of radius
sqrt 2, a grid of 25 from -sqrt 2 to sqrt 2, and the swiss roll. The claims:

1. Section 3.1: clipped critics have learned simple functions, those with a gradient penalty the data's shape. Seen in
   their value surfaces, and in the share of W1 that they find: about 70 to 90 % as they are, the clipped 10 to 25 %;
   divided by their largest gradient, 53 to 75 % against 26 to 53 %. That takes all 4,000 steps: after 1,500 the
   clipped are still ahead on the grid.
2. Section 3.2: through 12 layers on the swiss roll, the gradient with respect to the layers' activations explodes or
   vanishes from one layer to the next under clipping, as c is 0.1, 0.01 or 0.001, and does neither under the penalty.
3. Ibid.: clipped weights end at -c or c, of which the penalty's have nothing.

Otherwise than there: a fixed generator on the swiss roll too, leaky ReLU, narrower networks, and Adam, with b1 = 0.9
where weights are clipped and 0.5 where there is a penalty. Clipped weights start spread evenly from -c to c, so that
what is found at the ends got there by training, and learn at c / 50 a step.
Through 12 layers c = 0.01 and 0.001 leave gradients far below Adam's epsilon of 1e-8: nothing is learned, and their
weights stay where they were.

    python -m gan_jax.studies.lipschitz [--out=FOLDER]
"""

import functools
import math

import jax
import jax.numpy as jnp
import numpy as np
from flax import linen as nn
from jax.flatten_util import ravel_pytree
from matplotlib.figure import Figure

from gan_jax.data import mixtures
from gan_jax.metrics.wasserstein import wasserstein_1
from gan_jax.networks import mlp
from gan_jax.objectives import losses, penalties
from gan_jax.reports import pictures
from gan_jax.studies import command
from gan_jax.studies.fitting import fit

SCALES = {"ring": math.sqrt(2), "grid": 1 / math.sqrt(8), "swiss_roll": 1.0}  # from data units to the paper's
TITLES = {"ring": "8 Gaussians", "grid": "25 Gaussians", "swiss_roll": "swiss roll"}
NAMES = {"penalty": "gradient penalty"}
CLIPS, PENALTY_WEIGHT, LEARNING_RATE = (0.1, 0.01, 0.001), 10.0, 1e-3
HALF_WIDTH = 2.2  # of the square on which the surfaces are seen


def measure(
    seed: int = 0,
    width: int = 32,
    depth: int = 2,
    steps: int = 4000,
    deep_width: int = 64,
    deep_depth: int = 12,
    deep_steps: int = 600,
    samples: int = 10000,
) -> dict:
    """Critics of `depth` hidden layers as `surfaces`; gradients and weights of those of `deep_depth` as `deep`."""
    data_key, key, deep_key = jax.random.split(jax.random.key(seed), 3)
    pairs = [real_and_fake(name, jax.random.fold_in(data_key, index), samples) for index, name in enumerate(SCALES)]
    real, fake = (jnp.stack(side) for side in zip(*pairs, strict=True))
    network, keys = mlp.Critic(width, depth, norm="none"), jax.random.split(key, len(pairs))
    critics = {
        "clipped": _all_clipped(network, jnp.full(len(pairs), CLIPS[0]), keys, real, fake, steps),
        "penalised": _all_penalised(network, keys, real, fake, steps),
    }
    return {
        "surfaces": {name: _surfaces(network, critics, index, *pairs[index]) for index, name in enumerate(SCALES)},
        "deep": _profiles(mlp.Critic(deep_width, deep_depth, norm="none"), real[-1], fake[-1], deep_key, deep_steps),
    }


def _profiles(network, real, fake, key, steps):
    """{critic: gradients by layer and weights}, with each of the clip values and with the penalty."""
    repeated = (jnp.stack([each] * len(CLIPS)) for each in (key, real, fake))
    clipped = _all_clipped(network, jnp.array(CLIPS), *repeated, steps)
    penalised = _all_penalised(network, key[None], real[None], fake[None], steps)
    profiles = {f"clip {c:g}": _profile(network, _at(clipped, index), fake, c) for index, c in enumerate(CLIPS)}
    return profiles | {"penalty": _profile(network, _at(penalised, 0), fake)}


def _at(params, index):
    return jax.tree.map(lambda w: w[index], params)


def real_and_fake(name: str, key, n: int):
    """Reals [n, 2], and fakes [n, 2]: other reals, with noise of unit variance; all on the paper's scale."""
    real_key, fake_key, noise_key = jax.random.split(key, 3)
    points = mixtures.MIXTURES[name][0]
    real, hidden = points(real_key, n)[0], points(fake_key, n)[0]
    return SCALES[name] * real, SCALES[name] * hidden + jax.random.normal(noise_key, (n, 2))


def train_clipped(network, bound, key, real, fake, steps: int, batch_size: int = 256):
    """Parameters within +-bound of a Wasserstein critic that has seen `steps` minibatches; `bound` may be traced."""
    init_key, fit_key = jax.random.split(key)
    flat, unravel = ravel_pytree(network.init(init_key, real[:1], train=True)["params"])
    params = unravel(jax.random.uniform(init_key, flat.shape, minval=-bound, maxval=bound))
    project = functools.partial(penalties.clip_weights, bound=bound)

    def objective(params, key):
        return _loss(network, real, fake, batch_size, params, key)[0]

    return fit(objective, params, fit_key, steps, bound / 50, project)


def train_penalised(network, key, real, fake, steps: int, batch_size: int = 256):
    """Parameters of a Wasserstein critic with the gradient penalty, after `steps` minibatches."""
    init_key, fit_key = jax.random.split(key)
    params = network.init(init_key, real[:1], train=True)["params"]

    def objective(params, key):
        draw_key, penalty_key = jax.random.split(key)
        loss, f, batch = _loss(network, real, fake, batch_size, params, draw_key)
        return loss + PENALTY_WEIGHT * penalties.gradient_penalty(f, batch[0], batch[1], penalty_key)

    return fit(objective, params, fit_key, steps, LEARNING_RATE, b1=0.5)


def _loss(network, real, fake, batch_size, params, key):
    """(E f(fake) - E f(real), f, (reals, fakes)) on a minibatch drawn from the samples."""
    chosen = jax.random.randint(key, (2, batch_size), 0, len(real))
    batch, f = (real[chosen[0]], fake[chosen[1]]), _function(network, params)
    return losses.wasserstein().critic(*map(f, batch)), f, batch


def _function(network, params):
    return lambda samples: network.apply({"params": params}, samples, train=False)


@functools.partial(jax.jit, static_argnames=("network", "steps"))
def _all_clipped(network, bounds, keys, real, fake, steps):
    return jax.vmap(functools.partial(train_clipped, network, steps=steps))(bounds, keys, real, fake)


@functools.partial(jax.jit, static_argnames=("network", "steps"))
def _all_penalised(network, keys, real, fake, steps):
    return jax.vmap(functools.partial(train_penalised, network, steps=steps))(keys, real, fake)


def _surfaces(network, critics, index, real, fake, side=64, judged=1000):
    """The critics' values [side, side] on a square, their estimates, and how steep they are."""
    line = jnp.linspace(-HALF_WIDTH, HALF_WIDTH, side)
    square = jnp.stack(jnp.meshgrid(line, line), axis=-1).reshape(-1, 2)
    real, fake = real[:judged], fake[:judged]
    kinds = {kind: _judged(network, _at(params, index), square, real, fake) for kind, params in critics.items()}
    return {"w1": wasserstein_1(real, fake), "real": np.asarray(real)} | jax.tree.map(np.asarray, kinds)


@functools.partial(jax.jit, static_argnames=("network",))
def _judged(network, params, square, real, fake):
    f, side = _function(network, params), math.isqrt(len(square))
    between = penalties.interpolate(real, fake, jax.random.key(0))
    norms = penalties.gradient_norms(f, jnp.concatenate([between, square, real, fake]))
    return {
        "estimate": -losses.wasserstein().critic(f(real), f(fake)),
        "mean_gradient": jnp.mean(norms[: len(between)]),
        "largest_gradient": jnp.max(norms),
        "values": f(square).reshape(side, side),
    }


def _profile(network, params, samples, bound=None, bins=41):
    """Of one deep critic; its weights' ends are +-bound, or where there is none the largest weight's."""
    norms = layer_gradients(network, params, samples[:256])
    weights = np.concatenate([np.ravel(w) for w in jax.tree.leaves(params)])
    end = float(np.abs(weights).max() if bound is None else np.float32(bound))  # where clipping leaves them
    counts, edges = np.histogram(weights, bins, (-end, end))
    back = np.polyfit(np.arange(len(norms)), np.log10(norms[::-1]), 1)[0]
    return {
        "gradients": norms,
        "log10_per_layer_back": float(back),
        "share_at_ends": float(np.mean(np.abs(weights) >= 0.99 * end)),
        "share_of_weights": counts / len(weights),
        "edges": edges,
    }


def layer_gradients(network, params, samples) -> np.ndarray:
    """Mean over samples of |d f(x) / d a_l|, a_l what layer l adds up before its nonlinearity; float64, first to last.

    That is the gradient of the critic's loss but for the sample's share 1/n in it and its sign: 1 at the output.
    """
    gradients = _layer_gradients(network, params, samples)
    in_order = [np.asarray(gradients[f"Dense_{index}"], np.float64) for index in range(len(params))]
    return np.array([np.linalg.norm(gradient, axis=1).mean() for gradient in in_order])


@functools.partial(jax.jit, static_argnames=("network",))
def _layer_gradients(network, params, samples):
    def shifted(offsets):  # by 0: a handle on what every layer puts out
        def shift(layer, args, kwargs, context):
            output = layer(*args, **kwargs)
            return output + offsets[context.module.name] if isinstance(context.module, nn.Dense) else output

        with nn.intercept_methods(shift):
            return jnp.sum(_function(network, params)(samples))

    return jax.grad(shifted)({name: jnp.zeros((len(samples), len(layer["bias"]))) for name, layer in params.items()})


def table(numbers: dict) -> str:
    """Both kinds of critics on the three data sets, then the deep ones; the ends are the outermost 1 % of the range."""
    titles: tuple[str, ...] = ("estimate", "mean |grad|", "max |grad|", "est. / max", "W1", "share of W1")
    lines = [f"{'critic':<26}" + "".join(f"{title:>13}" for title in titles)]
    for name, surface in numbers["surfaces"].items():
        for kind in ("clipped", "penalised"):
            estimate, mean, largest = (surface[kind][key] for key in ("estimate", "mean_gradient", "largest_gradient"))
            found = (estimate, mean, largest, estimate / largest, surface["w1"])
            row = "".join(f"{number:13.4g}" for number in found)
            lines.append(f"{f'{TITLES[name]}, {kind}':<26}{row}{estimate / largest / surface['w1']:13.1%}")
    titles = ("|grad|, layer 1", "factor a layer back", "weights at the ends")
    lines += ["", f"{'deep critic, swiss roll':<26}" + "".join(f"{title:>22}" for title in titles)]
    for name, deep in numbers["deep"].items():
        factor = 10 ** deep["log10_per_layer_back"]
        lines.append(f"{name:<26}{deep['gradients'][0]:22.3g}{factor:22.3g}{deep['share_at_ends']:22.1%}")
    return "\n".join(lines)


def draw(path, numbers: dict) -> None:
    """Value surfaces, clipped above and penalised below; gradients by layer; weights of the deep critics."""
    figure = Figure(figsize=(17, 6.4), layout="constrained")
    surfaces, gradients, weights = figure.subfigures(1, 3, width_ratios=(3.1, 1.6, 1.3), squeeze=False)[0]
    grid = surfaces.subplots(2, len(SCALES), sharex=True, sharey=True)
    for row, kind in zip(grid, ("clipped", "penalised"), strict=True):
        for axes, (name, surface) in zip(row, numbers["surfaces"].items(), strict=True):
            values = np.asarray(surface[kind]["values"])
            _contours(axes, np.asarray(surface["real"]), values)
            axes.set_title(f"{TITLES[name]}, {kind}: {values.min():.2f} to {values.max():.2f}", fontsize="small")
    surfaces.suptitle("value surfaces of critics, each from its least to its greatest; fakes: data with unit noise")
    grid[0, 0].legend(loc="upper left", fontsize="small", markerscale=3)
    surfaces.supxlabel("$x_1$")
    surfaces.supylabel("$x_2$")
    _gradient_panel(gradients.subplots(), numbers["deep"])
    _weight_panels(weights, numbers["deep"])
    pictures.save(path, figure)


def _contours(axes, real, values):
    line = np.linspace(-HALF_WIDTH, HALF_WIDTH, len(values))
    axes.contourf(line, line, values, 24, cmap="viridis")
    axes.contour(line, line, values, 12, colors="black", linewidths=0.4)
    axes.scatter(*real[:400].T, s=3, c="orange", linewidths=0, label="data")
    axes.set(xlim=(-HALF_WIDTH, HALF_WIDTH), ylim=(-HALF_WIDTH, HALF_WIDTH), aspect="equal")


def _gradient_panel(axes, deep):
    for name, profile in deep.items():
        layers = np.arange(1, len(profile["gradients"]) + 1)
        axes.semilogy(layers, profile["gradients"], "o-", markersize=4, label=NAMES.get(name, name))
    axes.invert_xaxis()
    axes.set(title="deep critics on the swiss roll", xlabel="layer, from the output back to the input")
    axes.set_ylabel("norm of the gradient with respect to the layer's output")
    axes.grid(alpha=0.3)
    axes.legend(loc="lower left", frameon=False)


def _weight_panels(figure, deep):
    clipped = next(iter(deep))
    for axes, name in zip(figure.subplots(2, 1), (clipped, "penalty"), strict=True):
        edges = np.asarray(deep[name]["edges"])
        axes.stairs(np.asarray(deep[name]["share_of_weights"]), edges, fill=True, color="tab:blue")
        axes.set(title=f"their weights: {NAMES.get(name, name)}", ylabel="share of weights in a bin")
    axes.set_xlabel("weight")


if __name__ == "__main__":
    command.run("lipschitz", __doc__, measure, table, draw)
