"""The loop around the pure step: what touches the world.

The device is always a block of steps ahead. While it works on the next block, the host writes what the last one gave:
lines of metrics.jsonl, pictures, the progress bar. A block ends where something is due, or after about half a second,
so that a signal is answered soon. Where blocks end changes no result: the sums behind each line of metrics.jsonl
travel with the state.
"""

import functools
import itertools
import math
import pathlib
import signal
import time
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import ml_collections
import orbax.checkpoint as ocp
from flax import linen as nn

from gan_jax import compiler, evaluation
from gan_jax.data import batches, sources
from gan_jax.errors import DivergedError
from gan_jax.reports import pictures, scalars, tracking
from gan_jax.reports.progress import Progress
from gan_jax.training import checkpoint, sampling
from gan_jax.training.state import DATA, build_networks, create_states
from gan_jax.training.step import make_train_step

BLOCK_SECONDS = 0.5
RECORDS = METRICS, EVALUATIONS = "metrics.jsonl", "evaluation.jsonl"


class Run(NamedTuple):
    """What the parts of the loop share."""

    config: ml_collections.ConfigDict
    source: sources.Source
    workdir: pathlib.Path
    name: str
    manager: ocp.CheckpointManager
    stream: Any  # iterator over minibatches for a set that is streamed, else None
    generator: nn.Module
    wandb: Any  # the wandb run, or None


def train(config: ml_collections.ConfigDict, source: sources.Source, workdir: pathlib.Path, name: str) -> int:
    """Trains up to `config.steps`, from the last checkpoint in the folder where there is one; returns the exit code.

    That is 0, or 128 + the number of the signal that ended it (SIGINT 130, SIGTERM 143), in which case the state was
    saved first. Raises DivergedError where a loss or a parameter isn't finite.
    """
    with checkpoint.open_checkpoints(workdir) as manager:
        if (manager.latest_step() or 0) >= config.steps:
            return _finished(config, workdir, name, manager)
        stream = source.stream(config.seed, config.n_critic, config.batch_size) if source.stream else None
        wandb = tracking.start_wandb(config.wandb.mode, workdir, name, config.to_dict())
        generator, _ = build_networks(config, source.shape)
        run = Run(config, source, workdir, name, manager, stream, generator, wandb)
        try:
            received = _run_steps(run, _begin(run))
        except DivergedError as error:
            raise DivergedError(f"{error}; {checkpoint.last_good(manager)}") from None
    draw_curves(workdir, name)
    if wandb:
        wandb.finish()
    if received:
        print(f"stopped by {signal.Signals(received).name}; all steps are saved, and the same command resumes")
        return 128 + received
    print(f"finished: {workdir} is at step {config.steps}; look at {sample_path(workdir, config.steps)}")
    return 0


def _finished(config, workdir, name, manager):
    """Nothing is left to do, but for the curves of a run that was killed before it drew them."""
    step = manager.latest_step()
    checkpoint.about(manager, step)  # a UserError where the last checkpoint is damaged
    if not (workdir / "curves.png").exists():
        draw_curves(workdir, name)
    print(f"finished: {workdir} is at step {step} of {config.steps}; samples are in its samples/")
    return 0


def _begin(run):
    """(state, metric sums): of the last checkpoint, or fresh. What was written after that checkpoint is dropped."""
    state, sums = fresh_carry(run.config, run.source)
    step = run.manager.latest_step()
    if step is not None:
        state = checkpoint.restore(run.manager, step, "state", state)
        sums = checkpoint.restore(run.manager, step, "sums", sums)
        about = checkpoint.about(run.manager, step)
        if run.stream:
            run.stream.set_state(about["position"])
    for file in RECORDS:
        scalars.truncate_after(run.workdir / file, step or 0)
    return state, sums


def _run_steps(run, carry) -> int:
    """Runs to the last step or to a signal, saves, and returns the signal's number (0: none)."""
    config, step = run.config, int(carry[0].step)
    advance, block_size = make_advance(config, run.source, run.stream), _BlockSize()
    unwritten: list[Callable[[], None]] = []
    with _Signals() as signals, Progress(config.steps, step) as bar:
        while step < config.steps and not signals.received:
            steps = min(block_size.steps, _until_due(config, step))
            carry, done = advance(carry, steps)
            _call_all(unwritten)
            step += steps
            unwritten = [functools.partial(block_size.finished, done, steps)]
            carry = _report(run, carry, step, bar, unwritten)
        _save(run, carry, unwritten)
    return signals.received


def _report(run, carry, step, bar, unwritten):
    """Does what is due at `step`, or puts it off until the device is busy again; returns the carry, sums taken out."""
    config = run.config
    if step % config.log_every:
        unwritten.append(functools.partial(bar.update, step, {}))
    else:
        carry, means = _take_means(carry, config.log_every)
        unwritten.append(functools.partial(_log, run, bar, step, means))
    if _is_due(config, step, config.sample_every) or step == config.steps:
        unwritten.append(_sample(run, carry[0], step))
    is_evaluated = _is_due(config, step, config.eval_every)
    if is_evaluated or _is_due(config, step, config.checkpoint_every):
        _save(run, carry, unwritten, is_evaluated)
    return carry


def _save(run, carry, unwritten, is_evaluated=False):
    """First the lines up to this step, then its checkpoint: a run killed in between writes them again."""
    _call_all(unwritten)
    unwritten.clear()
    checkpoint.check_finite(carry)
    checkpoint.save(run.manager, carry, _about(run), evaluate(run, carry[0]) if is_evaluated else None)


def _is_due(config, step, every):
    return every > 0 and (step % every == 0 or step == config.steps)


def _until_due(config, step):
    """Steps to the next one at which anything is due."""
    periods = [config.log_every, config.sample_every, config.checkpoint_every, config.eval_every]
    return min(config.steps - step, *(every - step % every for every in periods if every))


def _call_all(functions):
    for function in functions:
        function()


def make_advance(config: ml_collections.ConfigDict, source: sources.Source, stream: Any = None) -> Callable[..., Any]:
    """(carry, steps) -> (carry, a scalar that is there when the steps are done), without waiting for it.

    The carry is that of `fresh_carry`, and is donated. A source that does not draw its batches needs its `stream`.
    Compiled on its own: it may be mapped with `vmap`, but not called within another `jit`.
    """
    train_step = make_train_step(config, source.shape)
    draw: Any = source.draw

    def step_and_sum(carry, batch):
        state, metrics = train_step(carry[0], batch)
        return state, jax.tree.map(jnp.add, carry[1], metrics)

    compiled = functools.partial(jax.jit, donate_argnums=0, compiler_options=compiler.options(config))

    @compiled
    def block(carry, arrays, steps):
        def body(_, carry):
            key = jax.random.fold_in(carry[0].key, DATA)
            batch = draw(arrays, key, carry[0].step, config.n_critic, config.batch_size)
            return step_and_sum(carry, batch)

        carry = jax.lax.fori_loop(0, steps, body, carry)
        return carry, carry[0].step + 0

    @compiled
    def streamed_step(carry, batch):
        carry = step_and_sum(carry, batch._replace(image=batches.to_unit(batch.image)))
        return carry, carry[0].step + 0

    def streamed_block(carry, steps):
        for batch in itertools.islice(stream, steps):
            carry, done = streamed_step(carry, jax.device_put(batch))
        return carry, done

    if stream:
        return streamed_block
    arrays = jax.device_put(source.arrays)
    return lambda carry, steps: block(carry, arrays, steps)


def fresh_carry(config: ml_collections.ConfigDict, source: sources.Source) -> tuple[Any, dict[str, jax.Array]]:
    """(state before the first step, sums of the step's metrics: one float32 zero for each)."""
    return fresh_carries(config, source, [config.seed])[0]


def fresh_carries(config: ml_collections.ConfigDict, source: sources.Source, seeds: Sequence[int]) -> list:
    """`fresh_carry` for each of the seeds in place of the configuration's, in one compilation."""
    states = create_states(config, source.shape, seeds)
    metrics = _metrics_of_a_step(config, source.shape, states[0])
    return [(state, jax.tree.map(lambda metric: jnp.zeros(metric.shape, metric.dtype), metrics)) for state in states]


def _metrics_of_a_step(config, shape, state):
    """Their shapes and types alone: nothing is computed."""
    rows = config.n_critic, config.batch_size

    def one_step(state):
        batch = batches.Batch(jnp.zeros((*rows, *shape)), jnp.zeros(rows, jnp.int32))
        return make_train_step(config, shape)(state, batch)[1]

    return jax.eval_shape(one_step, state)


@functools.partial(jax.jit, donate_argnums=0, static_argnums=1)
def _take_means(carry, steps):
    state, sums = carry
    return (state, jax.tree.map(jnp.zeros_like, sums)), jax.tree.map(lambda total: total / steps, sums)


def _log(run, bar, step, means):
    record = {name: float(value) for name, value in means.items()}
    scalars.append(run.workdir / METRICS, {"step": step} | record)
    bar.update(step, record)
    if run.wandb:
        run.wandb.log(record, step=step)
    for name, value in record.items():
        if not math.isfinite(value):
            raise DivergedError(f"{name} is {value} at step {step}")


def _sample(run, state, step):
    """Dispatches the samples of the same latents as ever; the picture is drawn when the returned function is called."""
    num = 1000 if sources.is_points(run.source.name) else 64
    latents = sampling.latents(state, num, run.config.network.latent_dim)
    variables = sampling.averaged_variables(run.generator, state, latents.shape[1])
    samples = sampling.generate(run.generator, variables, latents)
    path, title = sample_path(run.workdir, step), f"{run.name}, step {step}"
    return lambda: sampling.draw(run.config, path, sampling.presentable(samples), title)


def sample_path(workdir: pathlib.Path, step: int) -> pathlib.Path:
    """Where the grid (or the scatter) of the fixed latents at `step` lies."""
    return workdir / "samples" / f"step_{step:07d}.png"


def evaluate(run: Run, state) -> dict[str, Any]:
    """Evaluates the averaged generator, and writes a line of evaluation.jsonl."""
    record = evaluation.evaluate(run.config, run.generator, state, evaluation.how(run.config)).record
    scalars.append(run.workdir / EVALUATIONS, record)
    if run.wandb:
        numbers = {name: value for name, value in record.items() if isinstance(value, int | float)}
        run.wandb.log(numbers, step=record["step"])
    return record


def draw_curves(workdir: pathlib.Path, name: str) -> None:
    """DIR/curves.png, of all that metrics.jsonl and evaluation.jsonl hold."""
    records, evaluations = (scalars.read(workdir / file) for file in RECORDS)
    evaluations.sort(key=lambda record: record["step"])  # some were made later, of an earlier checkpoint
    pictures.curves(workdir / "curves.png", records, name, evaluations)


def _about(run):
    """Beside the state, a checkpoint holds where the stream is, and a sample's shape, for those who lack the data."""
    return {"shape": list(run.source.shape), "position": run.stream.get_state() if run.stream else None}


class _BlockSize:
    """How many steps take about BLOCK_SECONDS, by the blocks so far."""

    def __init__(self):
        self.steps, self._last = 1, time.monotonic()

    def finished(self, done, steps):
        """Waits for a block of `steps`, and takes the time since the one before."""
        done.block_until_ready()
        now = time.monotonic()
        rate, self._last = steps / max(now - self._last, 1e-6), now
        self.steps = max(1, min(2 * self.steps, int(rate * BLOCK_SECONDS)))


class _Signals:
    """Within the block, SIGINT and SIGTERM set `received`; a second one ends the process as usual."""

    def __enter__(self):
        self.received = 0
        self._former = {number: signal.signal(number, self._receive) for number in (signal.SIGINT, signal.SIGTERM)}
        return self

    def _receive(self, number, frame):
        self.received = number
        self._restore()

    def _restore(self):
        for number, handler in self._former.items():
            signal.signal(number, handler)

    def __exit__(self, *error):
        self._restore()
