"""What exact variances cost: a train step with our norms, and with flax's own E x^2 - (E x)^2, in turn.

    python benchmarks/norms.py [--experiments NAME[:DATA] ...] [--rounds N]

Milliseconds for a step, the median of rounds in turn, so that a busy machine is busy for both.
"""

import argparse
import pathlib
import runpy
import statistics
import time

import jax
import jax.numpy as jnp
from train_step import machine

from gan_jax.data import sources
from gan_jax.networks import layers
from gan_jax.runs import loop
from gan_jax.training import population

EXPERIMENTS = pathlib.Path(__file__).parents[1] / "experiments"
SECONDS = 0.3  # that a program works in a round, about


def main():
    """Prints a row for each experiment."""
    options = _options()
    print(f"{machine()}\n\n| experiment | flax's, ms | exact, ms | ratio |\n" + "|---" * 4 + "|")
    for name in options.experiments:
        print(row(name, options.rounds), flush=True)


def _options():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--experiments", nargs="+", default=["wgan:digits", "dcgan:digits", "gan:digits"])
    parser.add_argument("--rounds", type=int, default=9, help="default: 9")
    return parser.parse_args()


def row(name: str, rounds: int) -> str:
    """A row of the table."""
    experiment, _, data = name.partition(":")
    get_config = runpy.run_path(str(EXPERIMENTS / f"{experiment}.py"))["get_config"]
    config = get_config(data) if data else get_config()
    source = sources.load(config.data.name, "", config.data.image_size, 1000.0)
    runs = [_run(config, source, is_exact) for is_exact in (False, True)]
    times: list[list[float]] = [[], []]
    for _ in range(rounds):
        for run, found in zip(runs, times, strict=True):
            found.append(run())
    flax, exact = (1000 * statistics.median(found) for found in times)
    return f"| {name} | {flax:.3g} | {exact:.3g} | {exact / flax:.3f} |"


def _run(config, source, is_exact):
    """A function that makes steps for about SECONDS, and returns the seconds of one."""
    about_mean = layers._about_mean
    if not is_exact:
        layers._about_mean = lambda x, axes: (x, jnp.zeros(()))
    carry = loop.fresh_carries([config], source)[0]
    program = population.compile_program(config, source, carry)
    layers._about_mean = about_mean
    carry = [carry]

    def seconds(steps):
        start = time.perf_counter()
        carry[0] = jax.block_until_ready(program.block(carry[0], None, steps)[0])
        return (time.perf_counter() - start) / steps

    seconds(1)
    steps = max(1, round(SECONDS / seconds(2)))
    return lambda: seconds(steps)


if __name__ == "__main__":
    main()
