"""What a generator hears from a critic that is trained too well, and from one that cannot be.

Arjovsky & Bottou 2017, "Towards principled methods for training generative adversarial networks" (arXiv:1701.04862):
images and what a generator makes lie on sets that hardly meet, so a perfect critic exists (theorem 2.2), and

- the nearer a critic comes to it, the less E log(1 - D) moves the generator (theorem 2.4, figure 2);
- -E log D moves it all the more, but each minibatch elsewhere (theorem 2.6, figure 3);
- noise on all that the critic sees lets the two sets meet, and no perfect critic is left (section 3).

A Wasserstein critic with a gradient penalty is here for comparison: it can be trained as far as one likes (Arjovsky et
al. 2017, arXiv:1701.07875, section 3; Gulrajani et al. 2017, arXiv:1704.00028).

As there, a GAN is trained for a while and its generator then held fixed; a fresh critic is trained against it, and
every few steps the generator's gradient is taken, of the mean loss over the same latents. The networks are perceptrons
for the 8 x 8 digits, the noise is normal on every pixel. To be seen: the gradient of log(1 - D) falls by more than a
thousand against the generators of 50 and of 200 steps. That of 800 steps leaves the critic so much to learn that 2,000
steps don't make it perfect, and the gradient is noisy and a few times smaller only. With noise it does not fall, and
that of the Wasserstein critic stays where it is.

    python -m gan_jax.studies.vanishing_gradient [--out=FOLDER]
"""

import jax
import jax.numpy as jnp
import numpy as np
from jax.flatten_util import ravel_pytree
from matplotlib.figure import Figure

from gan_jax.config import default_config
from gan_jax.data import sources
from gan_jax.objectives import losses, penalties
from gan_jax.reports import pictures
from gan_jax.runs.loop import fresh_carries
from gan_jax.studies import command
from gan_jax.studies.fitting import fit_watched
from gan_jax.training.game import build_networks
from gan_jax.training.population import compile_program, make_advance

MINIBATCHES, MINIBATCH = 8, 64  # of latents, among which the spread of the gradients is taken
PENALTY_WEIGHT = 10.0


def measure(
    seed: int = 0,
    lengths: tuple[int, ...] = (50, 200, 800),
    critic_steps: int = 2000,
    every: int = 20,
    sigma: float = 2.0,
    width: int = 128,
    learning_rate: float = 1e-3,
) -> dict:
    """Norms of the generator's gradient, [generator, look], with looks at the fresh critic at `critic_step`.

    One generator for each of `lengths`, ascending, in steps of an ordinary GAN. `minimax`, `non_saturating` and
    `wasserstein` are without noise, the first two as `..._noisy` with noise of deviation `sigma`; `..._spread` is the
    root of the gradient's summed variance over 8 minibatches of 64, an eighth of whose square is in that of the norm.
    For each generator, `fall` is the first norm of `minimax` over its last, and `fall_noisy` the same with noise;
    `span` is the largest over the smallest norm of `wasserstein`.
    """
    config = _config(seed, width)
    source = sources.load(config.data.name, "", 0, config.data.memory_mb)
    generators = _trained(config, source, lengths)
    logistic = _course(config, source, ("minimax", "non_saturating"), critic_steps, every, learning_rate)
    wasserstein = _course(config, source, ("wasserstein",), critic_steps, every, learning_rate)
    key = jax.random.fold_in(jax.random.key(seed), 1)  # of the unfolded one come the generator's own critic and latents
    clean = logistic(generators, 0.0, key) | wasserstein(generators, 0.0, key)
    noisy = {f"{name}_noisy": seen for name, seen in logistic(generators, sigma, key).items()}
    numbers = {"length": np.array(lengths), "critic_step": every * np.arange(critic_steps // every), "sigma": sigma}
    for name, (norms, spreads) in (clean | noisy).items():
        numbers |= {name: np.array(norms), f"{name}_spread": np.array(spreads)}
    return numbers | _summary(numbers)


def table(numbers: dict) -> str:
    """The norms before the critic's training and after it, a line for each generator."""
    names = {"log(1-D)": "minimax", "with noise": "minimax_noisy", "-log D": "non_saturating", "W-1": "wasserstein"}
    lines = ["Norm of the generator's gradient, before -> after the training of a fresh critic"]
    lines.append(f"{'generator':>11}" + "".join(f"{name:>20}" for name in names) + f"{'fall':>9}{'span':>6}")
    for i, length in enumerate(numbers["length"]):
        norms = "".join(f"{numbers[name][i, 0]:>9.1e} -> {numbers[name][i, -1]:.1e}" for name in names.values())
        lines.append(f"{length:>5} steps{norms}{numbers['fall'][i]:>9.1e}{numbers['span'][i]:>6.2f}")
    lines.append("fall: of log(1-D), before / after. span: of W-1, largest / smallest.")
    for title, name in ("-log D", "non_saturating"), ("log(1-D) with noise", "minimax_noisy"):
        spread = numbers[f"{name}_spread"][:, -1] / numbers[name][:, -1]
        lines.append(f"{title} at the end: deviation over minibatches / norm = {', '.join(f'{s:.1f}' for s in spread)}")
    return "\n".join(lines)


def draw(path, numbers: dict) -> None:
    """Figures 2 and 3 of the paper, and the Wasserstein critic, all on one logarithmic scale."""
    figure = Figure(figsize=(12, 4.6), layout="constrained")
    panels = figure.subplots(1, 3, sharex=True, sharey=True)
    names = ("minimax", "$E\\,\\log(1 - D)$"), ("non_saturating", "$-E\\,\\log D$"), ("wasserstein", "Wasserstein")
    for axes, (name, title) in zip(panels, names, strict=True):
        _draw_norms(axes, numbers, name)
        axes.set(title=title, xlabel="steps of a fresh critic against a fixed generator", yscale="log")
        axes.grid(alpha=0.3)
    panels[0].set_ylabel("norm of the generator's gradient")
    figure.legend(*panels[1].get_legend_handles_labels(), loc="outside lower center", ncols=3, frameon=False)
    pictures.save(path, figure)


def norm_and_spread(loss, params, latents, keys):
    """Of the gradients of the minibatches: the norm of their mean, and the root of their summed variance."""
    gradients = jax.vmap(lambda z, key: ravel_pytree(jax.grad(loss)(params, z, key))[0])(latents, keys)
    spread = jnp.sqrt(jnp.sum(jnp.var(gradients, axis=0, ddof=1)))
    return jnp.linalg.norm(jnp.mean(gradients, axis=0)), spread


def _config(seed, width):
    config = default_config("digits")
    config.seed, config.network.width, config.network.generator_norm = seed, width, "none"
    return config


def _trained(config, source, lengths):
    """The parameters of one generator after so many steps, stacked over lengths."""
    carries = fresh_carries([config], source)
    advance = make_advance(compile_program(config, source, carries[0]), "one_after_another")
    snapshots = []
    for steps in np.diff(lengths, prepend=0):
        carries, _ = advance(carries, int(steps))
        snapshots.append(jax.tree.map(np.array, carries[0][0].generator.params))  # the carry itself is donated
    return jax.tree.map(lambda *leaves: jnp.stack(leaves), *snapshots)


def _course(config, source, names, steps, every, learning_rate):
    """A compiled (generators, sigma, key) -> {loss: (norms, spreads) [generator, look]} of a fresh critic's training.

    The critic minimises its part of the first of the losses.
    """
    generator, critic = build_networks(config, source.shape)

    def judged(params, samples, sigma, key):
        return critic.apply({"params": params}, samples + sigma * jax.random.normal(key, samples.shape), train=True)

    def made(params, latents):
        return generator.apply({"params": params}, latents, train=True)

    def course(generator_params, sigma, key):
        def objective(params, key):
            keys = jax.random.split(key, 5)
            real = source.draw(source.arrays, keys[0], 0, 1, config.batch_size).image[0]
            fake = made(generator_params, _latents(keys[1], config.batch_size))
            logits = judged(params, real, sigma, keys[2]), judged(params, fake, sigma, keys[3])
            loss = getattr(losses, names[0])().critic(*logits)
            if names[0] != "wasserstein":
                return loss
            return loss + PENALTY_WEIGHT * penalties.gradient_penalty(
                lambda x: critic.apply({"params": params}, x, train=True), real, fake, keys[4]
            )

        def watch(params, key):
            def heard(loss):
                def of_generator(generator_params, latents, key):
                    logits = judged(params, made(generator_params, latents), sigma, key)
                    return loss.generator(logits, logits)  # none of these losses hears the reals

                keys = jax.random.split(key, MINIBATCHES)
                return norm_and_spread(of_generator, generator_params, watched_latents, keys)

            return {name: heard(getattr(losses, name)()) for name in names}

        fit_key, init_key, latent_key = jax.random.split(key, 3)
        watched_latents = _latents(latent_key, MINIBATCHES, MINIBATCH)
        params = critic.init(init_key, jnp.zeros((1, *source.shape)), train=True)["params"]
        return fit_watched(objective, params, fit_key, steps, learning_rate, watch, every)

    def _latents(key, *leading):
        return jax.random.normal(key, (*leading, config.network.latent_dim))

    return jax.jit(jax.vmap(course, in_axes=(0, None, None)))


def _summary(numbers):
    falls = {
        name.replace("minimax", "fall"): numbers[name][:, 0] / numbers[name][:, -1]
        for name in ("minimax", "minimax_noisy")
    }
    return falls | {"span": numbers["wasserstein"].max(axis=1) / numbers["wasserstein"].min(axis=1)}


def _draw_norms(axes, numbers, name):
    steps = numbers["critic_step"]
    for i, length in enumerate(numbers["length"]):
        colour, norms, spreads = f"C{i}", numbers[name][i], numbers[f"{name}_spread"][i]
        axes.plot(steps, norms, color=colour, label=f"generator after {length} steps")
        if name == "non_saturating":
            axes.plot(steps, spreads, color=colour, linestyle=":", label="its deviation over minibatches of 64")
        if f"{name}_noisy" in numbers:
            label = f"with noise of deviation {numbers['sigma']:g}"
            axes.plot(steps, numbers[f"{name}_noisy"][i], color=colour, linestyle="--", label=label)


if __name__ == "__main__":
    command.run("vanishing_gradient", __doc__, measure, table, draw)
