"""Many devices and many hosts: one step over all of them, with the results that one device would give.

The devices form a mesh with one axis, `data`. Minibatches and latents are cut along it, and everything else (the state,
a set kept in memory) lies whole on each device. XLA works out from that what each device computes, and adds up what
belongs to the whole batch: gradients, losses, the statistics of batch norm. So results are those of the global batch,
and the number of devices changes nothing but the order in which numbers are added.

Of several hosts, each runs one process with the same command. They make the same program and start it at the same time.
The first one, the lead, writes what people read; all of them write checkpoints.
"""

import functools
import os
import signal
import sys
import zlib
from collections.abc import Callable
from typing import Any, TypeVar

import jax
import ml_collections
import numpy as np
from jax.experimental import multihost_utils
from jax.sharding import AxisType, Mesh, NamedSharding, PartitionSpec

from gan_jax.errors import DivergedError, MachineError, UserError

LONGEST = 1000  # bytes of a problem that processes tell each other of
T = TypeVar("T")


def join(coordinator: str, num_processes: int | None, process_id: int | None) -> None:
    """Makes this process one of several; to be called before JAX is asked for its devices.

    coordinator: HOST:PORT of process 0, with the number of processes and which of them this is; or `auto`, where SLURM,
    Open MPI, Kubernetes or a TPU pod tells all three. It waits for the others, 300 s at most; then JAX aborts.
    """
    _check_given(coordinator, num_processes, process_id)
    print(f"waiting for the other processes, --coordinator={coordinator}", file=sys.stderr)
    try:
        jax.distributed.initialize(None if coordinator == "auto" else coordinator, num_processes, process_id)
    except (ValueError, RuntimeError) as error:
        reason = str(error).splitlines()[0].rstrip(".")
        raise UserError(f"--coordinator: {reason}; give HOST:PORT, --num_processes and --process_id") from None
    # JAX has its own handler, which would keep a signal to itself that comes before training begins.
    signal.signal(signal.SIGTERM, signal.SIG_DFL)


def _check_given(coordinator, num_processes, process_id):
    numbers = (num_processes, process_id)
    if coordinator == "auto":
        if numbers != (None, None):
            raise UserError("--coordinator=auto finds --num_processes and --process_id by itself: leave them out")
        return
    host, _, port = coordinator.rpartition(":")
    if not host or not port.isdecimal() or not 0 < int(port) < 2**16:
        raise UserError(f"--coordinator={coordinator}: give HOST:PORT of process 0, or auto on SLURM and TPU pods")
    if None in numbers:
        raise UserError(f"--coordinator={coordinator}: give --num_processes and --process_id too")
    if process_id >= num_processes:
        raise UserError(f"--process_id={process_id}: they count from 0, so give at most {num_processes - 1}")


def is_one_of_several() -> bool:
    """Whether there are other processes."""
    return jax.distributed.is_initialized() and jax.process_count() > 1


def is_lead() -> bool:
    """Whether this is the process that writes records and pictures, and speaks to people."""
    return not jax.distributed.is_initialized() or jax.process_index() == 0


def lead_only(function: Callable[..., Any]) -> Callable[..., None]:
    """The function, of which nothing is done in the other processes; what it returns is dropped."""

    @functools.wraps(function)
    def called(*arguments: Any) -> None:
        if is_lead():
            function(*arguments)

    return called


def mesh(config: ml_collections.ConfigDict) -> Mesh:
    """The devices of a run along the axis `data`: as many as get equal shares of a minibatch, in processes' order."""
    devices = sorted(jax.devices(), key=lambda device: (device.process_index, device.id))
    return Mesh(np.array(devices[: _used(config)]), ("data",), axis_types=(AxisType.Auto,))


def _used(config):
    judged = config.batch_size // config.packing
    return max(number for number in range(1, jax.device_count() + 1) if judged % number == 0)


def check(config: ml_collections.ConfigDict) -> None:
    """A UserError where a process would have no part in a minibatch; a word where a device of a single one has none."""
    used, there = _used(config), jax.device_count()
    if used == there:
        return
    words = f"config.batch_size={config.batch_size} gives equal shares to {used} of {there} devices"
    if is_one_of_several():
        multiple = there * config.packing
        raise UserError(f"{words}, and all of several processes must have one: give a multiple of {multiple}")
    print(f"{words}: the others have nothing to do")


def replicated(mesh: Mesh) -> NamedSharding:
    """Whole on every device."""
    return NamedSharding(mesh, PartitionSpec())


def sharded(mesh: Mesh) -> NamedSharding:
    """[k, b, ...], of k minibatches each cut along its samples."""
    return NamedSharding(mesh, PartitionSpec(None, "data"))


def put(mesh: Mesh, arrays: Any) -> Any:
    """NumPy arrays that every process has, whole on every device."""
    everywhere = replicated(mesh)
    return jax.tree.map(lambda a: jax.make_array_from_callback(a.shape, everywhere, lambda _: a), arrays)


def put_share(mesh: Mesh, arrays: Any) -> Any:
    """[k, b, ...] from each process's samples, [k, b / processes, ...] in NumPy."""
    return jax.tree.map(lambda a: jax.make_array_from_process_local_data(sharded(mesh), a), arrays)


def local(tree: Any) -> Any:
    """The same arrays for this process alone, which lie whole on its devices: so that it may compute by itself."""
    if not is_one_of_several():
        return tree
    return jax.tree.map(lambda leaf: leaf.addressable_data(0), tree)


def agreed(steps: int, received: int) -> tuple[int, int]:
    """(the lead's number of steps, the greatest number of a signal): what all processes do next, at the same time."""
    if not is_one_of_several():
        return steps, received
    everybodys = multihost_utils.process_allgather(np.array([steps, received]))
    return int(everybodys[0, 0]), int(everybodys[:, 1].max())


def lead_says(function: Callable[[], bool]) -> bool:
    """What function() is in the lead, for all to act upon alike; to be called by all."""
    return bool(agreed(int(is_lead() and function()), 0)[0])


class AgreedError(UserError):
    """What is wrong in one of several processes at least, and raised by all of them."""


def together(function: Callable[[], T]) -> T:
    """What function() returns. Where it fails in one process, all raise AgreedError; to be called by all."""
    if not is_one_of_several():
        return function()
    problem = b""
    try:
        result = function()
    except (UserError, MachineError, OSError, MemoryError) as error:
        problem = (str(error) or type(error).__name__).encode()[:LONGEST]
    gathered = multihost_utils.process_allgather(np.frombuffer(problem.ljust(LONGEST, b"\0"), np.uint8))
    for process, row in enumerate(gathered):
        if words := bytes(row).rstrip(b"\0"):
            raise AgreedError(f"process {process}: " * (process > 0) + words.decode(errors="replace"))
    return result


def check_alike(command: str) -> None:
    """Raises AgreedError where the processes were not given the same."""
    if not is_one_of_several():
        return
    everybodys = multihost_utils.process_allgather(np.uint32(zlib.crc32(command.encode())))
    if others := [str(process) for process, each in enumerate(everybodys) if each != everybodys[0]]:
        raise AgreedError(
            f"process {', '.join(others)} has another configuration or --workdir than process 0: "
            "give all the same command, but for --process_id"
        )


def is_alone_in(error: BaseException) -> bool:
    """Whether an error of one of several processes may be its own alone: then the others wait for it, and must not."""
    return is_one_of_several() and not isinstance(error, AgreedError | DivergedError)


def leave(code: int, words: str) -> None:
    """Ends this process at once, whatever others do. Those find out as they next add up."""
    print(f"gan_jax: process {jax.process_index()}: {words}", file=sys.stderr, flush=True)
    os._exit(code)


def by_lead(function: Callable[[], Any]) -> None:
    """Calls function() in the lead alone, and waits for that everywhere; what it raises as UserError, all raise."""
    together(lead_only(function))
