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
import shutil
import signal
import socket
import subprocess
import sys
import time

import grain.python as grain
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.sharding import AxisType, Mesh
from PIL import Image

from gan_jax import main
from gan_jax.config import default_config
from gan_jax.data import sources
from gan_jax.errors import UserError
from gan_jax.runs import checkpoint, loop, trained, workdir
from gan_jax.training import finite, parallel, population
from gan_jax.training.state import create_states

ROOT = pathlib.Path(__file__).parents[2]
STEPS = 20
SYSTEMS = {
    "wgan_gp": {"network.width": 32, "batch_size": 16},
    "dcgan": {"network.name": "dcgan", "network.width": 4, "network.critic_norm": "batch", "batch_size": 16},
    # terms of both players, in steps of their own, of a share, by finite differences, and with a memory
    "ns_gan": {"network.width": 32, "batch_size": 16, "network.generator_norm": "none", "network.critic_norm": "none",
               "penalty.name": "r1_r2", "penalty.share": 0.5, "penalty.every": 2, "penalty.own_step": True,
               "second_penalty.name": "zero_centered", "second_penalty.estimator": "finite_difference",
               "second_penalty.weight": 0.1, "critic.lecam.weight": 0.1, "generator.path_length.weight": 0.5,
               "generator.path_length.every": 2, "generator.path_length.own_step": True},
    # a probability of augmentations that moves, up and down
    "stylegan2_ada": {"network.width": 4, "network.max_width": 8, "network.latent_dim": 8, "batch_size": 16,
                      "augment_images": 500.0, "augment_every": 2, "augment_target": 0.05},
}  # fmt: skip
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
    program = population._compiled_program(config, source, (state, sums))  # not pinned to float32, as that for all is
    carry, _ = program.block((state, sums), None, STEPS)
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


def on_eight_devices(folder, systems, *counts):
    """What a process with eight devices does: trains on 1 and on more of them, and leaves what one gave in a folder."""
    jax.config.update("jax_enable_x64", True)
    for system in systems.split(","):
        parallel.mesh = lambda config: mesh_of(1)
        alone = trained_in_float64(system)
        for count in map(int, counts):
            parallel.mesh = lambda config, count=count: mesh_of(count)
            assert_same(trained_in_float64(system), alone)
        np.savez(f"{folder}/{system}.npz", *alone[1])
        pathlib.Path(f"{folder}/{system}.json").write_text(json.dumps(alone[0]))


def in_two_processes(folder, systems, port, process):
    """What each of two processes with two devices does: trains on all four, and compares with what one gave."""
    parallel.join(f"127.0.0.1:{port}", 2, int(process))
    jax.config.update("jax_enable_x64", True)
    assert (jax.device_count(), jax.local_device_count()) == (4, 2)
    for system in systems.split(","):
        sums = json.loads(pathlib.Path(f"{folder}/{system}.json").read_text())
        with np.load(f"{folder}/{system}.npz") as file:
            assert_same(trained_in_float64(system), (sums, list(file.values())))


def compiled_on_eight_devices():
    """All-reduces alone travel, and each device has an eighth of the work of a large batch.

    Of a small one it has more than its share: every device updates all parameters.
    """
    for system in ("wgan_gp", "dcgan", "ns_gan"):  # groups of a minibatch deviation lie on several devices
        config, source = configured(system, **{"batch_size": 512, "network.width": 32 if system == "dcgan" else 256})
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
    flags = f"{os.environ['XLA_FLAGS']} --xla_force_host_platform_device_count={devices}"
    environment = {"JAX_PLATFORMS": "cpu", "XLA_FLAGS": flags}
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    return subprocess.Popen([sys.executable, *map(str, command)], env=os.environ | environment, text=True, **pipes)


def ended(process, code=0):
    """What it printed; fails where it ended otherwise."""
    printed, errors = process.communicate(timeout=300)
    assert process.returncode == code, errors[-3000:]
    return printed + errors


def gan_jax(devices, folder, *flags):
    """The command, on a small GAN in `folder`, whose minibatches are streamed: each process reads its part of them."""
    fields = {"network.name": "mlp", "network.width": 8, "network.depth": 1, "batch_size": 16}
    fields |= {"log_every": 10, "checkpoint_every": 10, "eval_every": 0, "data.memory_mb": 0.0}
    config = f"--config={ROOT / 'experiments' / 'dcgan.py'}"
    given = [f"--config.{name}={value}" for name, value in fields.items()]
    return started(devices, "-m", "gan_jax.main", config, f"--workdir={folder}", *given, *flags)


def both(folder, *flags, others=((), ())):
    """The command in two processes with two devices each, and with these flags of its own in each of them."""
    port = f"--coordinator=127.0.0.1:{free_port()}"
    return [gan_jax(2, folder, port, "--num_processes=2", f"--process_id={i}", *flags, *others[i]) for i in range(2)]


def finals(folder, step):
    """The metrics of every line, and every parameter at a step."""
    lines = [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]
    state = trained.load(folder, str(step)).state
    return lines, [np.asarray(leaf) for leaf in jax.tree.leaves((state.generator, state.critic, state.ema))]


def calls(function, *arguments):
    return "-c", f"import runpy, sys; runpy.run_path({__file__!r})[{function!r}](*sys.argv[1:])", *arguments


@pytest.mark.slow
@pytest.mark.parametrize(
    ("systems", "counts"),
    [
        ("dcgan,ns_gan,stylegan2_ada", []),
        pytest.param("dcgan,wgan_gp,ns_gan,stylegan2_ada", [2, 4, 8], marks=pytest.mark.hours),
    ],
)
def test_a_step_is_the_same_on_any_number_of_devices_and_in_two_processes(tmp_path, systems, counts):
    ended(started(8, *calls("on_eight_devices", tmp_path, systems, *counts)))
    port = free_port()
    processes = [started(2, *calls("in_two_processes", tmp_path, systems, port, i)) for i in range(2)]
    for process in processes:
        ended(process)


@pytest.mark.slow
@pytest.mark.parametrize("names", [["one"], pytest.param(["one", "two"], marks=pytest.mark.hours)], ids=len)
def test_a_checkpoint_of_four_devices_is_gone_on_with_by_one_and_by_two_processes(tmp_path, names):
    """And no step, line or picture is there twice. Steps 0, 1, 9 and 18 are bursts of the critic's updates."""
    bursts = [f"--config.n_critic_burst.{name}" for name in ("updates=3", "first_steps=2", "every=9")]
    ended(gan_jax(4, tmp_path / "four", "--config.steps=10", *bursts))
    for name in names:
        shutil.copytree(tmp_path / "four", tmp_path / name)
    on = [
        gan_jax(devices, tmp_path / name, "--config.steps=20", *bursts) for devices, name in ((4, "four"), (1, "one"))
    ]
    for process in on:
        ended(process)
    if "two" in names:
        lead, other = [ended(process) for process in both(tmp_path / "two", "--config.steps=20", *bursts)]
        assert "finished" in lead
        assert "step" not in other.replace("Gloo", "")
    expected = finals(tmp_path / "four", 20)
    assert [line["step"] for line in expected[0]] == [10, 20]
    for name in names:
        lines, numbers = finals(tmp_path / name, 20)
        assert [line["step"] for line in lines] == [10, 20]
        for line, other_line in zip(lines, expected[0], strict=True):
            assert line == pytest.approx(other_line, abs=1e-5)
        for a, b in zip(numbers, expected[1], strict=True):
            np.testing.assert_allclose(a, b, atol=1e-5)
        files = [sorted(path.name for path in (tmp_path / run / "samples").iterdir()) for run in (name, "four")]
        assert files[0] == files[1]


@pytest.mark.slow
def test_a_signal_to_one_process_stops_all_and_saves(tmp_path):
    processes = at_work(tmp_path)
    processes[1].send_signal(signal.SIGTERM)
    assert "stopped by SIGTERM" in ended(processes[0], 143)
    ended(processes[1], 143)
    step = workdir.latest_step(tmp_path)
    assert step >= 10
    lines = [json.loads(line)["step"] for line in (tmp_path / "metrics.jsonl").read_text().splitlines()]
    assert lines == list(range(10, step + 1, 10))


def at_work(folder):
    """Two processes, once they have written a line."""
    processes = both(folder, "--config.steps=100000")
    while not (folder / "metrics.jsonl").exists():
        assert processes[0].poll() is None, processes[0].communicate()
        time.sleep(0.2)
    return processes


@pytest.mark.slow
def test_a_process_that_dies_takes_the_other_with_it(tmp_path):
    processes = at_work(tmp_path)
    processes[1].kill()
    assert "gan_jax: process 0: another process has ended" in ended(processes[0], 1)
    ended(processes[1], -signal.SIGKILL)


@pytest.mark.hours  # one that dies says nothing either
def test_a_process_that_fails_by_itself_takes_the_other_with_it(tmp_path):
    processes = at_work(tmp_path / "fails")
    (tmp_path / "fails" / "metrics.jsonl").rename(tmp_path / "elsewhere")
    (tmp_path / "fails" / "metrics.jsonl").mkdir()
    assert processes[0].wait(300) != 0
    assert processes[1].wait(300) != 0
    assert "metrics.jsonl" in "".join(processes[0].communicate())
    processes[1].communicate()


@pytest.mark.slow
def test_what_is_wrong_in_one_process_is_said_once_and_ends_all(tmp_path):
    """Data that one host lacks, another seed, a folder in use."""
    wrongs = (
        (
            ["--config.network.name=dcgan", "--config.data.image_size=7"],
            "gan_jax: process 1: config.network.name='dcgan'",
        ),
        (["--config.seed=1"], "gan_jax: process 1 has another configuration or --workdir"),
    )
    begun = [both(tmp_path / "run", others=((), flags)) for flags, _ in wrongs]
    for processes, (_, words) in zip(begun, wrongs, strict=True):
        said = [ended(process, 2) for process in processes]
        assert words in said[0]
        assert "gan_jax:" not in said[1]
    assert not (tmp_path / "run").exists()
    with workdir.claimed(tmp_path / "run"):
        said = [ended(process, 2) for process in both(tmp_path / "run")]
    assert "in use" in said[0]
    assert "gan_jax:" not in said[1]


@pytest.mark.hours
def test_an_image_that_is_broken_for_one_process_ends_both_and_they_save(tmp_path):
    """Evaluations, whose reals are others, go on and are recorded once."""
    (tmp_path / "images").mkdir()
    for i, pixels in enumerate(np.random.default_rng(0).integers(0, 256, (64, 8, 8, 1), np.uint8)):
        Image.fromarray(pixels[..., 0]).save(tmp_path / "images" / f"{i:02}.png")
    order = grain.MapDataset.range(64).shuffle(seed=0)
    broken = tmp_path / "images" / f"{order[35]:02}.png"  # in the third minibatch of 16
    content = broken.read_bytes()
    broken.write_bytes(content[: len(content) // 2])
    flags = ["--config.data.name=folder", f"--config.data.dir={tmp_path / 'images'}", "--config.eval_every=1"]
    seen = np.sort(np.random.default_rng(0).choice(64, 20, replace=False)).tolist()  # the reals of seed 0
    assert order[35] not in seen
    flags += ["--config.eval_samples=20", "--config.eval_metrics=frechet", "--config.eval_features=pixels"]
    flags += ["--config.steps=5"]
    lead, other = [ended(process, 2) for process in both(tmp_path / "run", *flags)]
    assert f"{broken} is not a readable image" in lead
    assert "all steps are saved, and once that is mended the same command resumes" in lead
    assert "gan_jax:" not in other
    assert workdir.latest_step(tmp_path / "run") == 2
    broken.write_bytes(content)
    for process in both(tmp_path / "run", *flags):
        ended(process)
    lines = [json.loads(line) for line in (tmp_path / "run" / "evaluation.jsonl").read_text().splitlines()]
    assert [(line["step"], "failed" in line) for line in lines] == [(i, False) for i in range(1, 6)]
    with checkpoint.open_checkpoints(tmp_path / "run", is_read_only=True) as manager:
        # The first two were of a set with another image.
        best = min(lines[2:], key=lambda line: line["frechet_distance"])["step"]
        assert checkpoint.find_step(manager, "best") == best


def test_as_many_devices_are_used_as_get_equal_shares(monkeypatch, capsys):
    config = default_config()
    monkeypatch.setattr(jax, "device_count", lambda: 6)
    for batch_size, packing, used in ((64, 1, 4), (66, 1, 6), (66, 3, 2), (7, 1, 1), (5, 1, 5)):
        config.batch_size, config.packing = batch_size, packing
        assert parallel._used(config) == used
        parallel.check(config)
        assert (f"to {used} of 6 devices" in capsys.readouterr().out) == (used < 6)
    monkeypatch.setattr(parallel, "is_one_of_several", lambda: True)
    with pytest.raises(UserError, match="give a multiple of 6"):
        parallel.check(config)


@pytest.mark.parametrize(
    ("flags", "words"),
    [
        (["--num_processes=2"], "without --coordinator"),
        (["--process_id=1"], "without --coordinator"),
        (["--coordinator=host:1"], "give --num_processes and --process_id too"),
        (["--coordinator=host", "--num_processes=2", "--process_id=0"], "give HOST:PORT"),
        (["--coordinator=host:port", "--num_processes=2", "--process_id=0"], "give HOST:PORT"),
        (["--coordinator=host:1", "--num_processes=2", "--process_id=2"], "they count from 0, so give at most 1"),
        (["--coordinator=host:1", "--num_processes=0", "--process_id=0"], "num_processes"),
        (["--coordinator=host:65536", "--num_processes=2", "--process_id=0"], "give HOST:PORT"),
        (["--coordinator=auto", "--num_processes=2"], "leave them out"),
        (["--coordinator=host:1", "--mode=sample"], "only train"),
        (["--coordinator=host:1", f"--sweep={ROOT}/experiments/sweeps/lr_seed.py"], "only train"),
    ],
)
def test_wrong_flags_of_several_processes_are_one_line(capsys, flags, words):
    assert main.main(["gan_jax", f"--config={ROOT}/experiments/wgan.py", *flags]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert words in line


@pytest.mark.hours
def test_devices_share_the_work_and_nothing_but_sums_travels():
    ended(started(8, *calls("compiled_on_eight_devices")))
