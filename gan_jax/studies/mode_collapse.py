"""How many modes of a mixture survive: every objective of the package, and the remedies for collapse, over seeds.

python -m gan_jax.studies.mode_collapse [--out=FOLDER] [--seed=N] [--data=ring] [--systems=A,B] [--seeds=N] [--steps=N]

The claim (PacGAN, Lin et al. 2018, arXiv:1712.04086, table 1): on a ring of 8 Gaussians and a grid of 25, a GAN loses
modes (6.3 of 8 and 17.3 of 25), and packing brings them back (7.8 and 24.8 with four samples in a pack).

Here: each of SYSTEMS, with the package's own networks and train step, on both mixtures. All seeds of a system share one
compiled program, and train side by side on the machine's cores. Counted on 2,500 samples of the averaged generator:
modes covered, the share of samples within 3 sigma of a mode, and KL(samples | uniform) over the modes. A run with a
number that is not finite has failed; it is reported, and no mean includes it. One point within 3 sigma covers a mode,
which 2,500 points spread evenly over the grid's square do for some 20 of 25, with 1.8 % of them within 3 sigma: the
count says little without the share beside it. Each row is printed as it is done, and kept in FOLDER/mode_collapse: the
same command again goes on from there.

Learning rates are Adam's 1e-3 for both networks: with 2e-4, 5,000 steps were too few for any of four systems tried to
cover the grid, WGAN-GP among them.
Wasserstein critics take 5 updates a step; those that are clipped, at 0.1, have RMSProp at 5e-4. Penalties weigh 0.1, as
in the toy experiments of WGAN-GP; R1 and R2 together 1, as in experiments/rp_gan.py: with 0.1 they covered the grid
less often (24.4 +- 1.0 modes over ten seeds, against 24.9 +- 0.3). The generator of an f-GAN is the alternative one of
its section 3.2, with which f_gan:gan and f_gan:jensen_shannon are `non_saturating` but for constants: these two are
left out.
"""

import hashlib
import sys
from typing import Any

import numpy as np
from matplotlib.figure import Figure

from gan_jax.config import default_config, f_gans, loss_names, validate
from gan_jax.data import mixtures, sources
from gan_jax.errors import DivergedError, UserError
from gan_jax.evaluation.generators import EVALUATION_SEED
from gan_jax.files import atomic
from gan_jax.metrics.modes import mode_statistics
from gan_jax.reports import pictures
from gan_jax.runs import loop
from gan_jax.studies import command
from gan_jax.training import conditional, finite, population, sampling
from gan_jax.training.game import build_networks


def _rates(learning_rate):
    return {"optimizer.generator_lr": learning_rate, "optimizer.critic_lr": learning_rate}


_WASSERSTEIN = {"loss": "wasserstein", "n_critic": 5}
_CLIPPED = {**_WASSERSTEIN, "weight_clip": 0.1, "optimizer.name": "rmsprop", **_rates(5e-4)}


def _penalty(name, **fields):
    return {"penalty.name": name, "penalty.weight": 0.1, **fields}


NON_SATURATING = ("f_gan:gan", "f_gan:jensen_shannon")  # with the alternative generator
# name: the fields in which it differs from the defaults and the common learning rate. The remedies are those of the
# non-saturating GAN.
SYSTEMS = {
    **{name: {"loss": name} for name in loss_names() if name != "wasserstein"},
    **{name: {"loss": name, "f_gan.generator": "alternative"} for name in f_gans() if name not in NON_SATURATING},
    "wasserstein+clip": _CLIPPED,
    "wasserstein+gradient_penalty": _penalty("gradient_penalty", **_WASSERSTEIN),
    "wasserstein+one_sided": _penalty("one_sided", **_WASSERSTEIN),
    "hinge+spectral_norm": {"loss": "hinge", "network.spectral_norm": True},
    "relativistic+r1_r2": {"loss": "relativistic", "penalty.name": "r1_r2", "penalty.weight": 1.0},
    "remedy:gradient_penalty": _penalty("gradient_penalty"),
    "remedy:dragan": _penalty("dragan"),
    "remedy:r1": _penalty("r1"),
    "remedy:r2": _penalty("r2"),
    "remedy:zero_centered": _penalty("zero_centered"),
    "remedy:batch_norm": {"network.critic_norm": "batch"},
    "remedy:smoothing": {"smoothing.real": 0.1},
    "remedy:packing_2": {"packing": 2},
    "remedy:packing_4": {"packing": 4},
    "remedy:noise": {"noise.sigma": 0.2},  # annealed to 0 over the run
}
STEPS = 5000
# What all systems share, unless asked otherwise.
COMMON = {"network.width": 64, "network.depth": 3, "batch_size": 128, "optimizer.b1": 0.5, "optimizer.b2": 0.9}
SAMPLES, DRAWN = 2500, 300
METRICS = ("modes_covered", "share_within_3_sigma", "reverse_kl")
# What the picture's thumbnails show, if it was trained: a collapsed GAN and one that is not.
THUMBNAILS = ("non_saturating", "wasserstein+gradient_penalty")


def _to_stderr(line):
    print(line, file=sys.stderr, flush=True)


def measure(
    seed=0,
    data=("ring", "grid"),
    systems=tuple(SYSTEMS),
    seeds=3,
    steps=STEPS,
    width=COMMON["network.width"],
    depth=COMMON["network.depth"],
    batch_size=COMMON["batch_size"],
    folder=None,
    report=_to_stderr,
) -> dict:
    """{data set: {"modes", "reals", "systems": {system: a row, see `train`}}}, for the seeds from `seed` on.

    `folder`: where rows are kept, and taken from where they are there; `report` is called with each row.
    """
    sizes = {"steps": steps, "network.width": width, "network.depth": depth, "batch_size": batch_size}
    found: dict[str, Any] = {}
    for name in data:
        reals, *_ = sources.reference(name, "", 0, "train", DRAWN, seed)
        found[name] = {"modes": len(mixtures.MODES[name].means), "reals": reals, "systems": {}}
        for system in systems:
            config = configured(name, system, seed=seed + seeds - 1, **sizes)  # the last seed, which is checked too
            row = _kept(folder, f"{name}_{system}", config, range(seed, seed + seeds))
            found[name]["systems"][system] = row
            report(f"{name:6}{_line(system, row)}")
    return {"seeds": seeds, "steps": steps, "data": found}


def configured(data: str, system: str, **fields):
    """The defaults for the data set, `fields`, and what the system is about; checked."""
    config = default_config(data)
    config.update_from_flattened_dict(system_fields(system, **fields))
    validate(config)
    return config


def system_fields(system: str, steps: int = STEPS, **fields) -> dict[str, Any]:
    """The fields that make a system of it, in place of the defaults: sizes, learning rates and what it is about."""
    annealed = {}
    if "noise.sigma" in SYSTEMS[system]:
        annealed = {"schedule.noise.sigma.shape": "linear", "schedule.noise.sigma.over": float(steps)}
    return COMMON | _rates(1e-3) | {"steps": steps} | fields | SYSTEMS[system] | annealed


def _kept(folder, name, config, seeds):
    """The row of these seeds, trained if a file of the same name, configuration and seeds isn't there."""
    if folder is None:
        return train(config, seeds)
    settings = hashlib.sha256(f"{config.to_json()} {seeds}".encode()).hexdigest()[:12]
    path = folder / f"{name.replace(':', '_')}_{settings}.json"
    if not path.exists():
        command.write(path, train(config, seeds))
    try:
        return atomic.read_json(path)
    except ValueError as error:
        raise UserError(f"{path} is damaged ({error}): delete it, and its row is trained again") from None


def train(config, seeds) -> dict:
    """Each of METRICS as a list, a number a seed, NaN where it `failed`; some `points` of the first that has not."""
    runs = [judged(config, state) for state in trained(config, seeds)]
    row = {metric: [float(run[metric]) if run else np.nan for run in runs] for metric in METRICS}
    points = [run["points"] for run in runs if run]
    return row | {"failed": [run is None for run in runs], "points": points[0] if points else []}


def trained(config, seeds) -> list:
    """The state after `steps` for each of the seeds: one compiled program trains all, side by side."""
    source = sources.load(config.data.name, "", 0, config.data.memory_mb)
    configs = [config.copy_and_resolve_references() for _ in seeds]
    for member, seed in zip(configs, seeds, strict=True):
        member.seed = seed
    carries = loop.fresh_carries(configs, source)
    program = population.compile_program(config, source, carries[0])
    return [state for state, _ in population.make_advance(program, "side_by_side")(carries, config.steps)[0]]


def judged(config, state) -> dict | None:
    """`mode_statistics` of the averaged generator's samples, and some of these; None where anything isn't finite."""
    generator, _ = build_networks(config, (2,))
    _, takes = conditional.of(config)
    inputs = sampling.inputs(takes, state, SAMPLES, EVALUATION_SEED)
    try:
        finite.check_state(state)
        points = sampling.samples(generator, state, takes, inputs)
    except DivergedError:
        return None
    return {**mode_statistics(points, *mixtures.MODES[config.data.name]), "points": points[:DRAWN]}


def table(numbers) -> str:
    """For each data set and system: mean and deviation of every metric over the seeds that have not failed."""
    lines = [f"{numbers['steps']:,} steps, {numbers['seeds']} seeds; mean +- standard deviation"]
    for name, of_data in numbers["data"].items():
        modes = f"modes of {of_data['modes']}"
        lines += ["", f"{name:36}{modes:>15}{'within 3 sigma':>17}{'reverse KL':>15}"]
        lines += [_line(system, row) for system, row in of_data["systems"].items()]
    return "\n".join(lines)


def _line(system, row):
    failed = f"   failed: {sum(row['failed'])} of {len(row['failed'])}" * any(row["failed"])
    texts = [_mean_and_deviation(row[metric], digits) for metric, digits in zip(METRICS, (1, 3, 2), strict=True)]
    return f"{system:36}{texts[0]:>15}{texts[1]:>17}{texts[2]:>15}{failed}"


def _mean_and_deviation(values, digits):
    finite = _finite(values)
    if len(finite) < 2:
        return f"{finite[0]:.{digits}f}" if len(finite) else "-"
    return f"{np.mean(finite):.{digits}f} +- {np.std(finite, ddof=1):.{digits}f}"


def _finite(values):
    values = np.asarray(values, float)
    return values[np.isfinite(values)]


def draw(path, numbers) -> None:
    """Modes covered and the share within 3 sigma of every system, and samples of two of them over reals."""
    data = numbers["data"]
    count = max(len(of_data["systems"]) for of_data in data.values())
    figure = Figure(figsize=(1.5 + 6 * len(data), 5 + 0.24 * count), layout="constrained")
    bars, thumbnails = figure.subfigures(2, 1, height_ratios=[1.6 + 0.24 * count, 3.4], squeeze=False)[:, 0]
    bars.suptitle(f"mean and deviation over {numbers['seeds']} seeds (dots) after {numbers['steps']:,} steps")
    columns = bars.subplots(1, 2 * len(data), sharey=True, squeeze=False)[0]
    images = thumbnails.subplots(1, 2 * len(data), squeeze=False)[0]
    for index, (name, of_data) in enumerate(data.items()):
        pair = slice(2 * index, 2 * index + 2)
        _draw_bars(columns[pair], name, of_data)
        _draw_thumbnails(images[pair], name, of_data)
    thumbnails.legend(*images[0].get_legend_handles_labels(), loc="outside lower center", ncols=2, frameon=False)
    columns[0].set_ylim(count - 0.4, -0.6)
    pictures.save(path, figure)


def _draw_bars(pair, name, of_data):
    limits = of_data["modes"], 1.0
    labels = f"{name}: modes covered, of {of_data['modes']}", f"{name}: share within 3 sigma"
    for axes, metric, limit, label in zip(pair, METRICS[:2], limits, labels, strict=True):
        for place, row in enumerate(of_data["systems"].values()):
            _draw_bar(axes, place, _finite(row[metric]))
        axes.set_yticks(range(len(of_data["systems"])), of_data["systems"])
        axes.set(xlim=(0, 1.03 * limit), xlabel=label)
        axes.grid(axis="x", alpha=0.3)
        axes.spines[["top", "right"]].set_visible(False)
    for place, row in enumerate(of_data["systems"].values()):
        if any(row["failed"]):
            words = f"{sum(row['failed'])} of {len(row['failed'])} failed"
            pair[1].text(1, place, words, color="tab:red", ha="right", va="center", fontsize="small")


def _draw_bar(axes, place, values):
    if len(values):
        deviation = np.std(values, ddof=1) if len(values) > 1 else 0
        axes.barh(place, np.mean(values), xerr=deviation, color="tab:blue", alpha=0.45, height=0.75)
        axes.plot(values, np.full(len(values), place), ".", color="black", markersize=5, clip_on=False)


def _draw_thumbnails(pair, name, of_data):
    systems, reals = of_data["systems"], np.asarray(of_data["reals"])
    named = THUMBNAILS if set(THUMBNAILS) <= set(systems) else list(systems)[:2]
    low, high = reals.min() - 0.3 * np.ptp(reals) / 2, reals.max() + 0.3 * np.ptp(reals) / 2
    for axes, system in zip(pair, named, strict=False):
        points = np.reshape(systems[system]["points"], (-1, 2))
        axes.scatter(*reals.T, s=26, color=pictures.REAL_COLOUR, linewidths=0, label="real")
        axes.scatter(*points.T, s=5, color=pictures.FAKE_COLOUR, linewidths=0, label="generated, one seed")
        axes.set(xlim=(low, high), ylim=(low, high), aspect="equal", xlabel="$x_1$", ylabel="$x_2$")
        axes.set_title(f"{name}: {system}", fontsize="medium")
    for axes in pair[len(named) :]:
        axes.set_axis_off()


if __name__ == "__main__":
    command.run("mode_collapse", __doc__, measure, table, draw, ("data", "systems", "seeds", "steps"))
