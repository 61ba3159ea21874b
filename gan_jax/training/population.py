"""How runs make their steps: one compiled program for all members of a population, and four ways to run it.

    program = compile_program(config, source, carries[0])
    advance = make_advance(program, "side_by_side")
    carries, done = advance(carries, steps)

The members of a population differ in seeds and in the numbers of `hparams` alone; a run by itself is a population of
one. A carry is what `loop.fresh_carries` gives: (state, sums of the step's metrics, as `finite` keeps them). One after
another and side by side, the program is that of a run alone, so that every member gets the bits which it would get
alone. A mapped program gives the same up to rounding, for XLA adds in another order.

Of several devices, a run alone takes all (see `parallel`), and so do members that go one after another.

On two CPU cores, small networks gain most side by side: a program of small products keeps to one core. Large ones,
whose products take all cores, gain nothing. So `choose` measures.
"""

import functools
import itertools
import os
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import ml_collections
import psutil
from jax.sharding import AxisType, NamedSharding, PartitionSpec

from gan_jax import compiler
from gan_jax.data import batches, bursts, sources
from gan_jax.training import finite, parallel
from gan_jax.training.state import DATA
from gan_jax.training.step import make_train_step

# one_after_another; side_by_side: as many at once as there are cores; vmap: all in one program; shard_map: that on
# every device, with its share of the members.
WAYS = ("one_after_another", "side_by_side", "vmap", "shard_map")
MAPPED = WAYS[2:]
MEASURED_SECONDS = 0.3  # of each way, in each of its rounds
MEMORY_SHARE = 0.7  # of what is free, to be taken by the members that train together


class Program(NamedTuple):
    """The compiled steps of one member.

    block: (carry, batches, steps, n_critic) -> (carry, done); the carry is donated. batches: so many, where they are
    streamed. n_critic: of all these steps, the configuration's where it is not given. done: what `finite` knows of each
    metric, the step at which it was not finite, or 0; it is there when the steps are done.
    compiled: what it runs, to be asked for its text and its costs; in_bursts: in these, the same where there are none.
    mapped: of `vmap` and `shard_map`, (carries, steps, n_critic) -> (carries, done of each), compiled for the number of
    carries on the first call; none where the batches are streamed.
    """

    block: Callable[..., Any]
    compiled: jax.stages.Compiled
    mapped: dict[str, Callable[..., Any]]
    in_bursts: jax.stages.Compiled


@jax.enable_x64(False)
def compile_program(config: ml_collections.ConfigDict, source: sources.Source, carry) -> Program:
    """The program of every run with the structure of this configuration, for carries like this one."""
    return _compiled_program(config, source, carry)


def _compiled_program(config, source, carry):
    """In the caller's precision: sums over devices are compared in float64, where their order tells nothing."""
    mesh = parallel.mesh(config)
    whole, cut = parallel.replicated(mesh), parallel.sharded(mesh)
    step_and_sum = _step_and_sum(config, source.shape)
    on_mesh = _step_and_sum(config, source.shape, cut) if mesh.size > 1 else step_and_sum
    jit = functools.partial(jax.jit, donate_argnums=0, compiler_options=compiler.options(config))
    on_all = functools.partial(jit, out_shardings=whole)
    numbers = bursts.numbers(bursts.of(config), config.n_critic)
    if source.stream:
        step = _with_done(lambda carry, batch: on_mesh(carry, batch._replace(image=batches.to_unit(batch.image))))
        of_batch = on_all(step, in_shardings=(whole, cut))
        compiled = {n: of_batch.lower(carry, _streamed_batch(config, source.shape, n)).compile() for n in numbers}
        return Program(_streamed_block(compiled, mesh), compiled[config.n_critic], {}, compiled[numbers[-1]])
    arrays = parallel.put(mesh, source.arrays)
    drawing = {n: _with_done(_drawing_block(config, source, on_mesh, n)) for n in numbers}
    on_arrays = functools.partial(on_all, in_shardings=(whole, whole, whole))
    compiled = {n: on_arrays(block).lower(carry, arrays, 1).compile() for n, block in drawing.items()}
    alone = {n: _drawing_block(config, source, step_and_sum, n) for n in numbers}
    # The members of `shard_map` take all devices, whatever number a minibatch can be shared among.
    on_all_devices = functools.cache(
        lambda: arrays if mesh.size == jax.device_count() else parallel.put(_mesh(), source.arrays)
    )
    places = {"vmap": lambda: arrays, "shard_map": on_all_devices}
    mapped = {
        way: _with_arrays({n: jit(functools.partial(_map_block, alone[n], way)) for n in numbers}, places[way])
        for way in MAPPED
    }

    def block(carry, batches, steps, n_critic=None):
        return compiled[n_critic or config.n_critic](carry, arrays, steps)

    return Program(block, compiled[config.n_critic], mapped, compiled[numbers[-1]])


def _with_arrays(programs, arrays):
    (first, *_) = programs
    return lambda carries, steps, n_critic: programs[n_critic or first](carries, arrays(), steps)


def _step_and_sum(config, shape, sharding=None):
    """(carry, batch) -> carry; `sharding`, of what is [k, b, ...], for many devices."""
    shard = (lambda x: jax.lax.with_sharding_constraint(x, sharding)) if sharding else (lambda x: x)
    train_step = make_train_step(config, shape, shard)

    @functools.partial(jax.jit, inline=True)  # so that a mapped program takes the trace of a member's
    def step_and_sum(carry, batch):
        state, metrics = train_step(carry[0], jax.tree.map(shard, batch))
        return state, finite.added(carry[1], metrics, state.step)

    return step_and_sum


def _drawing_block(config, source, step_and_sum, n_critic):
    """(carry, arrays, steps) -> carry, each step drawing its n_critic minibatches."""
    of_bursts = bursts.of(config)

    def block(carry, arrays, steps):
        def body(_, carry):
            key, step = jax.random.fold_in(carry[0].key, DATA), carry[0].step
            made = bursts.made(of_bursts, config.n_critic, step)
            return step_and_sum(carry, source.draw(arrays, key, step, n_critic, config.batch_size, made))

        return jax.lax.fori_loop(0, steps, body, carry)

    return block


def _with_done(function):
    """The carry, and beside it what is donated to nobody."""

    def with_done(carry, *inputs):
        carry = function(carry, *inputs)
        return carry, _done(carry)

    return with_done


def _done(carry):
    return jax.tree.map(lambda step: step + 0, carry[1]["broken"])


def _streamed_batch(config, shape, n_critic):
    rows = n_critic, config.batch_size
    batch: Any = batches.Batch  # of shapes, for its arrays
    return batch(jax.ShapeDtypeStruct((*rows, *shape), jnp.uint8), jax.ShapeDtypeStruct(rows, jnp.int32))


def _streamed_block(compiled, mesh):
    def block(carry, batches, steps, n_critic=None):
        for batch in batches:
            carry, done = compiled[len(batch.image)](carry, parallel.put_share(mesh, batch))
        return carry, done

    return block


def make_advance(program: Program, way: str) -> Callable[..., Any]:
    """(carries, steps, batches, n_critic) -> (carries, done of each), without waiting for it; see `Program`.

    carries: a list, whose members are donated. batches: of each member, where they are streamed; the mapped ways take
    none. They are read before, for a broken image must not end a member amid its steps. n_critic: to be given of the
    steps of a burst, all of which have as many. A mapped program is compiled on the first call, and again when fewer
    than half of the members are left. Members that take several devices each go one after another where they are asked
    to go side by side: of two programs that add up over the same devices at once, each may wait for the other.
    """
    pinned = jax.enable_x64(False)
    if way in MAPPED:
        return pinned(_mapped(program.mapped[way], way))
    block = pinned(program.block)  # itself, for a thread has the setting of the process, not of whoever begins it
    is_side_by_side = way == "side_by_side" and jax.device_count() == 1
    return _side_by_side(block) if is_side_by_side else _one_after_another(block)


def _one_after_another(block):
    def advance(carries, steps, batches=None, n_critic=None):
        return _unzip(block(carry, own, steps, n_critic) for carry, own in _with_batches(carries, batches))

    return advance


def _side_by_side(block):
    """XLA takes up what one thread dispatches in that order, and what several do at the same time."""
    threads = [ThreadPoolExecutor(1) for _ in range(os.cpu_count() or 1)]

    def advance(carries, steps, batches=None, n_critic=None):
        turns = zip(itertools.cycle(threads), _with_batches(carries, batches), strict=False)
        futures = [thread.submit(block, carry, own, steps, n_critic) for thread, (carry, own) in turns]
        return _unzip(future.result() for future in futures)

    return advance


def _with_batches(carries, batches):
    return list(zip(carries, batches or [None] * len(carries), strict=True))


def _unzip(pairs):
    carries, done = zip(*pairs, strict=True)
    return list(carries), done


def _mapped(program, way):
    """Fills up with copies, where members have left or do not divide among the devices, and drops these again."""
    size = 0

    def advance(carries, steps, batches=None, n_critic=None):
        nonlocal size
        share = jax.device_count() if way == "shard_map" else 1
        if not size // 2 < len(carries) <= size:
            size = -(-len(carries) // share) * share
        copies = [jax.tree.map(jnp.copy, carries[0]) for _ in range(size - len(carries))]
        filled = [*carries, *copies]
        if way == "shard_map":  # fresh ones, or those of a checkpoint, lie on a lone run's devices
            filled = jax.device_put(filled, NamedSharding(_mesh(), PartitionSpec()))
        filled, done = program(filled, steps, n_critic)
        return filled[: len(carries)], done[: len(carries)]

    return advance


def _map_block(block, way, carries, arrays, steps):
    """One program for all members: their carries are stacked, mapped over, and taken apart again."""
    stacked = jax.tree.map(lambda *leaves: jnp.stack(leaves), *carries)
    mapped = jax.vmap(block, (0, None, None))
    if way == "shard_map":  # every device maps over its share; `jit` alone would gather all of it, again and again
        member, replicated = PartitionSpec("member"), PartitionSpec()
        mapped = jax.shard_map(
            mapped, mesh=_mesh(), in_specs=(member, replicated, replicated), out_specs=member, check_vma=False
        )
    stacked = mapped(stacked, arrays, steps)
    carries = [jax.tree.map(lambda leaf, i=i: leaf[i], stacked) for i in range(len(carries))]
    return carries, [_done(carry) for carry in carries]


def _mesh():
    return jax.make_mesh((jax.device_count(),), ("member",), axis_types=(AxisType.Auto,))


def ways(source: sources.Source) -> tuple[str, ...]:
    """The ways that come into question on this machine, for this source."""
    if source.stream:  # reading it is most of the work
        return ("one_after_another",)
    if jax.device_count() > 1:
        return ("one_after_another", "shard_map")
    # On a CPU, both give the bits of a run alone.
    return ("one_after_another", "side_by_side" if jax.default_backend() == "cpu" else "vmap")


def choose(program: Program, candidates: Sequence[str], carries: Sequence[Any]) -> str:
    """The fastest of these ways, by a few steps of copies of the carries."""
    if len(carries) == 1 or len(candidates) == 1:
        return candidates[0]
    if not {*MAPPED} & {*candidates}:  # members beyond these would only repeat the measurement
        carries = carries[: 2 * (os.cpu_count() or 1)]
    advances = {way: make_advance(program, way) for way in candidates}

    def seconds(way, steps):
        copies = jax.block_until_ready(jax.tree.map(jnp.copy, list(carries)))
        start = time.perf_counter()
        jax.block_until_ready(advances[way](copies, steps))
        return time.perf_counter() - start

    for way in candidates:
        seconds(way, 1)  # compiles
    steps = max(1, round(MEASURED_SECONDS / seconds(candidates[0], 1)))
    # Two rounds in turn, so that a busy machine is busy for all; of each way the better one.
    times: dict[str, list[float]] = {way: [] for way in candidates}
    for way in [*candidates, *candidates]:
        times[way].append(seconds(way, steps))
    return min(candidates, key=lambda way: min(times[way]))


def at_once(program: Program, carry) -> int:
    """How many members may train together: as many as free memory has room for, and at least one.

    A member takes its carry four times (as it is stacked and taken apart, and as its checkpoint is written), and what
    its program needs beside. Of several devices, the first counts: there the carries are made.
    """
    size = sum(leaf.size * leaf.dtype.itemsize for leaf in jax.tree.leaves(carry))
    found = [compiled.memory_analysis() for compiled in (program.compiled, program.in_bursts)]
    temporary = max((analysis.temp_size_in_bytes for analysis in found if analysis), default=0)
    return max(1, int(MEMORY_SHARE * _free_bytes() / (4 * size + temporary)))


def _free_bytes():
    device = jax.devices()[0]
    if device.platform == "cpu":
        return psutil.virtual_memory().available
    stats = device.memory_stats()
    return stats["bytes_limit"] - stats["bytes_in_use"]
