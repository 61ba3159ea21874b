"""Populations of every shipped experiment: one after another against side by side, and what `auto` chooses.

    python benchmarks/population.py [--experiments NAME ...] [--members N] [--rounds N]

Milliseconds for a step of all members together, the median of rounds in turn, so that a busy machine is busy for both.
Both run the program of a member by itself, so one after another is what N lone runs take, less their compilations.
"""

import argparse
import pathlib
import runpy
import statistics
import time

import jax
from train_step import machine

from gan_jax.data import sources
from gan_jax.runs import loop
from gan_jax.training import population

EXPERIMENTS = pathlib.Path(__file__).parents[1] / "experiments"
WAYS = ("one_after_another", "side_by_side")
SECONDS = 0.5  # that a way works in a round, about


def main():
    """Prints a row for every experiment, on its default data and on the ring."""
    options = _options()
    print(
        f"{machine()}\n\n| experiment | one after another, ms | side by side, ms | ratio | compile s | auto |\n"
        + "|---" * 6
        + "|"
    )
    for name in options.experiments:
        for data in ("digits", "ring"):
            print(row(f"{name}:{data}", options.members, options.rounds), flush=True)


def _options():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    names = sorted(path.stem for path in EXPERIMENTS.glob("*.py"))
    parser.add_argument("--experiments", nargs="+", choices=names, default=names, help="default: all")
    parser.add_argument("--members", type=int, default=4, help="default: 4")
    parser.add_argument("--rounds", type=int, default=5, help="default: 5")
    return parser.parse_args()


def row(experiment: str, members: int, rounds: int) -> str:
    """A row of the table."""
    name, data = experiment.split(":")
    get_config = runpy.run_path(str(EXPERIMENTS / f"{name}.py"))["get_config"]
    configs = [get_config(data) for _ in range(members)]
    for seed, config in enumerate(configs):
        config.seed = seed
        if config.network.name == "dcgan" and data == "ring":
            return f"| {experiment} | images only |"
    source = sources.load(data, "", 0, 1000.0)
    carries = loop.fresh_carries(configs, source)
    start = time.perf_counter()
    program = population.compile_program(configs[0], source, carries[0])
    compiled = time.perf_counter() - start
    chosen = population.choose(program, population.ways(source), carries)
    seconds = _seconds(program, carries, rounds)  # donates them
    first, second = (statistics.median(seconds[way]) for way in WAYS)
    return (
        f"| {experiment} | {1e3 * first:.1f} | {1e3 * second:.1f} | {first / second:.2f} | {compiled:.1f} | {chosen} |"
    )


def _seconds(program, carries, rounds):
    advances = {way: population.make_advance(program, way) for way in WAYS}

    def timed(way, steps):
        nonlocal carries
        start = time.perf_counter()
        carries, done = advances[way](carries, steps)
        jax.block_until_ready(done)
        return (time.perf_counter() - start) / steps

    timed(WAYS[0], 1)
    steps = max(1, round(SECONDS / timed(WAYS[0], 1)))
    seconds = {way: [] for way in WAYS}
    for way in WAYS * rounds:
        seconds[way].append(timed(way, steps))
    return seconds


if __name__ == "__main__":
    main()
