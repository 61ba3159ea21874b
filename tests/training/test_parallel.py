"""The number of devices, and of processes, changes the order of additions and nothing else.

WGAN-GP amplifies rounding: its penalty's gradient jumps where a unit of a leaky ReLU changes its sign, and Adam makes a
whole step of what is left of a small gradient. So these runs compute in float64, where amplified rounding is still
small, and a sum over part of a batch would be as wrong as ever.
"""

import json
import os
import pathlib
import re
import runpy
import socket
import subprocess
import sys

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.sharding import AxisType, Mesh

from gan_jax.data import sources
from gan_jax.training import finite, loop, parallel, population
from gan_jax.training.state import create_states

ROOT = pathlib.Path(__file__).parents[2]
STEPS = 20
SYSTEMS = {
    "wgan_gp": {"network.width": 64},
    "dcgan": {"network.name": "dcgan", "network.width": 8, "network.critic_norm": "batch", "batch_size": 64},
}
OTHER_COLLECTIVES = ("all-gather", "all-to-all", "collective-permute", "reduce-scatter", "collective-broadcast")


def configured(system, **fields):
    config = runpy.run_path(str(ROOT / "experiments" / f"{system}.py"))["get_config"]("digits")
    config.update_from_flattened_dict(SYSTEMS[system] | fields)
    return config, sources.load("digits", "", 0, 100.0)


def trained_in_float64(system):
    """(sums of the metrics, every number of the state) after 20 steps."""
    config, source = configured(system)
    everywhere = parallel.replicated(parallel.mesh(config))
    state = jax.jit(lambda tree: jax.tree.map(doubled, tree))(create_states([config], source.shape, everywhere)[0])
    metrics = loop._metrics_of_a_step(config, source.shape, state)
    sums = jax.jit(lambda: jax.tree.map(doubled, finite.fresh_sums(metrics)), out_shardings=everywhere)()
    carry, _ = population.compile_program(config, source, (state, sums)).block((state, sums), None, STEPS)
    state, sums = parallel.local(carry)
    numbers = [leaf for leaf in jax.tree.leaves(state) if not jnp.issubdtype(leaf.dtype, jax.dtypes.prng_key)]
    return {name: float(total) for name, total in sums["totals"].items()}, [np.asarray(leaf) for leaf in numbers]


def doubled(x):
    return x.astype(jnp.float64) if jnp.issubdtype(x.dtype, jnp.floating) else x


def assert_same(found, expected):
    assert {name: total / STEPS for name, total in found[0].items()} == pytest.approx(
        {name: total / STEPS for name, total in expected[0].items()}, abs=1e-5, rel=0
    )
    assert max(np.abs(a).max() for a in expected[1]) > 0.1
    for a, b in zip(found[1], expected[1], strict=True):
        np.testing.assert_allclose(a, b, atol=1e-5, rtol=0)


def mesh_of(count):
    return Mesh(np.array(jax.devices()[:count]), ("data",), axis_types=(AxisType.Auto,))


def on_eight_devices(folder):
    """What a process with eight devices does: trains on 1, 2, 4 and 8 of them, and leaves what one gave in a folder."""
    jax.config.update("jax_enable_x64", True)
    for system in SYSTEMS:
        parallel.mesh = lambda config: mesh_of(1)
        alone = trained_in_float64(system)
        for count in (2, 4, 8):
            parallel.mesh = lambda config, count=count: mesh_of(count)
            assert_same(trained_in_float64(system), alone)
        np.savez(f"{folder}/{system}.npz", *alone[1])
        pathlib.Path(f"{folder}/{system}.json").write_text(json.dumps(alone[0]))


def in_two_processes(folder, port, process):
    """What each of two processes with two devices does: trains on all four, and compares with what one gave."""
    parallel.join(f"127.0.0.1:{port}", 2, int(process))
    jax.config.update("jax_enable_x64", True)
    assert (jax.device_count(), jax.local_device_count()) == (4, 2)
    for system in SYSTEMS:
        sums = json.loads(pathlib.Path(f"{folder}/{system}.json").read_text())
        with np.load(f"{folder}/{system}.npz") as file:
            assert_same(trained_in_float64(system), (sums, list(file.values())))


def compiled_on_eight_devices():
    """All-reduces alone travel, and each device has an eighth of the work of a large batch.

    Of a small one it has more than its share: every device updates all parameters.
    """
    for system in SYSTEMS:
        config, source = configured(system, **{"batch_size": 512, "network.width": 256 if system == "wgan_gp" else 32})
        programs = {}
        for count in (1, 8):
            parallel.mesh = lambda config, count=count: mesh_of(count)
            carry = loop.shapes_of_carry(config, source)
            programs[count] = population.compile_program(config, source, carry).compiled
        flops = {count: program.cost_analysis()["flops"] for count, program in programs.items()}
        assert flops[8] == pytest.approx(flops[1] / 8, rel=0.1), (system, flops)
        text = programs[8].as_text()
        assert re.search(r"\ball-reduce(-start)?\(", text)
        assert not [word for word in OTHER_COLLECTIVES if re.search(rf"\b{word}(-start)?\(", text)]


def free_port():
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return one.getsockname()[1]


def started(devices, *command):
    environment = {"JAX_PLATFORMS": "cpu", "XLA_FLAGS": f"--xla_force_host_platform_device_count={devices}"}
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    return subprocess.Popen([sys.executable, *map(str, command)], env=os.environ | environment, text=True, **pipes)


def ended(process, code=0):
    """What it printed; fails where it ended otherwise."""
    printed, errors = process.communicate(timeout=300)
    assert process.returncode == code, errors[-3000:]
    return printed + errors


def calls(function, *arguments):
    return "-c", f"import runpy, sys; runpy.run_path({__file__!r})[{function!r}](*sys.argv[1:])", *arguments


@pytest.mark.slow
def test_a_step_is_the_same_on_any_number_of_devices_and_in_two_processes(tmp_path):
    ended(started(8, *calls("on_eight_devices", tmp_path)))
    port = free_port()
    processes = [started(2, *calls("in_two_processes", tmp_path, port, i)) for i in range(2)]
    for process in processes:
        ended(process)


def test_devices_share_the_work_and_nothing_but_sums_travels():
    ended(started(8, *calls("compiled_on_eight_devices")))
