"""The loop around the pure step: what touches the world.

The device is always a block of steps ahead. While it works on the next block, the host writes what the last one gave:
lines of metrics.jsonl, pictures, the progress bar. A block ends where something is due, or after about half a second,
so that a signal is answered soon. Where blocks end changes no result: the sums behind each line of metrics.jsonl
travel with the state. What is streamed is read before a block begins: an image that is broken ends the run where it is,
and that is saved.

What trains is a population: runs whose configurations have one structure, each in a folder of its own. A run by itself
is a population of one.
"""

import contextlib
import functools
import itertools
import pathlib
import signal
import time
from collections.abc import Callable, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import ml_collections

from gan_jax.config import flat, validate
from gan_jax.data import about, batches, bursts, sources
from gan_jax.errors import DivergedError, UserError, shown
from gan_jax.evaluation import generators
from gan_jax.files import names
from gan_jax.reports import scalars, tracking
from gan_jax.reports.progress import Progress
from gan_jax.runs import beginning, changes, checkpoint, outputs, times, workdir
from gan_jax.training import conditional, contracts, finite, optimizers, parallel, population
from gan_jax.training.game import build_networks
from gan_jax.training.hyperparameters import fields_of
from gan_jax.training.state import create_states
from gan_jax.training.step import make_train_step

BLOCK_SECONDS = 0.5
SAID = 5  # lines on what members change


def check(
    config: ml_collections.ConfigDict,
    source: sources.Source,
    workdirs: Sequence[pathlib.Path],
    start: beginning.Beginning | None = None,
) -> None:
    """As `check_group`, and a UserError where a field is wrong, or a run in a folder can't go on with all of them."""
    validate(config)
    for place in workdirs:
        changes.check(place, flat(config))
    check_group(config, source, workdirs, start)


def check_group(
    config: ml_collections.ConfigDict,
    source: sources.Source,
    workdirs: Sequence[pathlib.Path],
    start: beginning.Beginning | None = None,
) -> None:
    """A UserError where the network, the evaluations or wandb would fail, or a record in a folder is damaged.

    config: of one of the runs in these folders, which are alike in all that is asked here. start: what new ones begin
    from, whose arrays must fit.
    """
    _check_shape(config, source)
    if start:
        beginning.check(start, jax.eval_shape(lambda: create_states([config], source.shape)[0]))
    _check_set(config, source, workdirs, start)
    _check_classes(config, source)
    parallel.check(config)
    if config.eval_every and not all(is_done(config, place) for place in workdirs):  # or its reals are not needed
        generators.check(config, source)
    tracking.check_login(config.wandb.mode)
    for place in workdirs:
        for folder in (place, place / "samples", place / "damaged"):
            if folder.is_file():
                raise UserError(f"{folder} is a file, and must be a folder: move it away")
        if (place / "curves.png").is_dir():
            raise UserError(f"{place / 'curves.png'} is a folder, and must be a file: move it away")
        tracking.stored_id(place)
        for file in outputs.RECORDS:
            scalars.read(place / file)
        workdir.read_history(place)


def _check_shape(config, source):
    """A UserError where the networks can't make such samples. No field changes arrays from Python."""
    if source.is_given and (config.data.image_size or config.data.balanced):
        raise UserError(
            "arrays are taken as they are: give config.data.image_size 0 and config.data.balanced False, and resize or "
            "repeat them first"
        )
    try:
        contracts.check(config, source.shape)
    except UserError as error:
        if not source.is_given:
            raise
        words = "arrays are taken as they are: where this says config.data.image_size, resize them yourself"
        raise UserError(f"{error} ({words})") from None


def is_done(config: ml_collections.ConfigDict, place: pathlib.Path) -> bool:
    """Whether the run in a folder is at its last step, and evaluated where that is due."""
    step = workdir.latest_step(place)
    return step >= config.steps and not outputs.is_pending(config, place, step)


def _check_set(config, source, workdirs, start):
    """Says how the set differs from what runs remember; a UserError where they could not go on with it.

    Of a run that begins from another, the classes may be others, which is said.
    """
    told = conditional.of(config)[0].is_told_labels
    said: dict[str, pathlib.Path] = {}
    for place in workdirs if source.about else ():
        known = about.remembered(place)
        if known is None or not (words := about.differences(known, source.about)):
            continue
        if known.shape != source.about.shape or (told and known.classes != source.about.classes):
            raise UserError(
                f"{shown(source.about.name)} is not the set that {place} was trained on: {words}; give that one, or "
                "another --workdir"
            )
        said.setdefault(words, place)
    other = about.remembered(pathlib.Path(start.record["init_from"])) if start and told and source.about else None
    if other and other.classes != source.about.classes:
        both = [beginning.few(list(found.classes)) for found in (other, source.about)]
        outputs.warn(f"{start.record['init_from']} was told the classes {both[0]}, and these are {both[1]}")
    for words, place in said.items():
        outputs.warn(
            f"{source.about.name} has changed since {place} was trained on it: {words}; the run goes on with it so"
        )


def _check_classes(config, source):
    given = config.conditional
    if config.data.balanced and source.num_classes < 2:
        raise UserError(
            f"config.data.balanced=True with config.data.name={config.data.name!r}: it has no classes; give False"
        )
    if not conditional.of(config)[0].is_told_labels or given.classes == source.num_classes:
        return
    told = f"config.conditional.name={given.name!r} with config.data.name={config.data.name!r}"
    if source.num_classes < 2:
        raise UserError(f"{told}, which has no classes, or one: give conditional.name none or infogan")
    raise UserError(
        f"{told}: it has {source.num_classes} classes; give --config.conditional.classes={source.num_classes}"
    )


@jax.enable_x64(False)
def train(
    config: ml_collections.ConfigDict,
    source: sources.Source,
    folder: pathlib.Path,
    name: str,
    start: beginning.Beginning | None = None,
) -> int:
    """Trains up to `config.steps`, from the last checkpoint in the folder where there is one; returns the exit code.

    start: what a run without a checkpoint begins from, if not by itself. The exit code is 0, or 128 + the number of the
    signal that ended it (SIGINT 130, SIGTERM 143), in which case the state was saved first. Raises UserError where the
    run in the folder can't go on with this configuration, or another process writes there; DivergedError where a loss
    or a parameter isn't finite, or an earlier command with the same numbers found that.
    """
    with contextlib.ExitStack() as claim:
        parallel.by_lead(lambda: claim.enter_context(workdir.claimed(folder)))
        # Whatever was checked before: until it was claimed, another process may have trained there.
        parallel.together(lambda: changes.check(folder, flat(config)))
        return _train_claimed(config, source, folder, name, start)


def _train_claimed(config, source, folder, name, start):
    with checkpoint.open_checkpoints(folder) as manager:
        _check_not_diverged(config, folder, manager)
        step = manager.latest_step() or 0
        if step >= config.steps:
            step = _last_good_step(config, source, folder, manager)
        if step >= config.steps and not parallel.lead_says(lambda: outputs.is_pending(config, folder, step)):
            return _finished(config, folder, name, step)
        run = open_run(config, source, folder, name, manager)._replace(start=start)
        with Progress(config.steps, step, parallel.is_lead()) as bar:
            (member,), received = train_together([run], lambda program, source, carries: "one_after_another", bar)
        close_run(run)
        if member.frozen:
            raise _diverged(config, member.frozen, manager)
    if received:
        return stopped(received)
    _say(f"finished: {folder} is at step {config.steps}; look at {outputs.sample_path(folder, config.steps)}")
    return 0


_say = parallel.lead_only(names.say)


def stopped(received: int) -> int:
    """Says that a signal ended the training, and returns the exit code."""
    _say(f"stopped by {signal.Signals(received).name}; all steps are saved, and the same command resumes")
    return 128 + received


def _diverged(config, reason, manager):
    return DivergedError(f"{reason}; {finite.remedies(config)}; {checkpoint.last_good(manager)}")


def frozen(config: ml_collections.ConfigDict, place: pathlib.Path) -> dict[str, Any] | None:
    """What says why the run was frozen, and still is: one that has diverged is not, where it would now train otherwise.

    With the same numbers it would diverge again, for the same command computes the same bits.
    """
    record = outputs.frozen(place)
    return None if record and record["state"] == "diverged" and changes.is_changed(place, flat(config)) else record


def _check_not_diverged(config, place, manager):
    record = frozen(config, place)
    if record and record["state"] == "diverged":
        removed = f"remove {place / outputs.FROZEN} to go on from the last checkpoint all the same"
        raise _diverged(config, f"{record['reason']}, as an earlier command found ({removed})", manager)


def _last_good_step(config, source, place, manager):
    """The last step whose checkpoint is as it was saved; later ones are set aside."""
    found = _restore_newest(place, manager, shapes_of_carry(config, source))
    return found[0] if found else 0


def _restore_newest(place, manager, carry):
    """As `checkpoint` has it, which must have been made with the numbers of config.json."""
    found = checkpoint.restore_newest(manager, carry)
    if found:
        changes.check_saved(place, found[0], fields_of(found[1][0].hparams))
    return found


def finish(config: ml_collections.ConfigDict, place: pathlib.Path, name: str) -> None:
    """What may be left to do for a run that is over: its curves, where a kill came before, and fewer steps."""
    if not (place / "curves.png").exists():
        outputs.draw_curves(place, name)
    if workdir.latest_step(place) >= config.steps:
        _store_steps(place, config.steps)


@parallel.lead_only
def _store_steps(place, steps):
    fields = changes.stored(place)
    if fields and fields["steps"] != steps:
        changes.record(place, fields | {"steps": steps}, workdir.latest_step(place))


def _finished(config, place, name, step):
    finish(config, place, name)
    more = "; raise --config.steps to go on with what you change" if changes.is_changed(place, flat(config)) else ""
    _say(f"finished: {place} is at step {step} of {config.steps}; samples are in its samples/{more}")
    return 0


def open_run(config, source, workdir, name, manager, group: str | None = None) -> outputs.Run:
    """The run of a folder whose checkpoints are open; `group`: what wandb puts it under."""
    share = jax.process_index(), jax.process_count()
    rows = config.seed, config.n_critic, config.batch_size
    stream = source.stream(*rows, share, bursts.of(config)) if source.stream else None
    mode = config.wandb.mode if parallel.is_lead() else "disabled"
    wandb = tracking.start_wandb(mode, workdir, name, config.to_dict(), group)
    generator, _ = build_networks(config, source.shape)
    run = outputs.Run(config, source, workdir, name, manager, stream, generator, wandb)
    return run._replace(counted=functools.cache(functools.partial(outputs.classes_counted, run)))


def close_run(run: outputs.Run) -> None:
    """Draws the run's curves, and ends its record in wandb."""
    outputs.draw_curves(run.workdir, run.name)
    if run.wandb:
        run.wandb.finish()


def train_together(
    runs: Sequence[outputs.Run], choose_way: Callable[..., str], bar: Progress
) -> tuple[list[outputs.Member], int]:
    """Trains runs of one structure, each from its last checkpoint; returns them, and the signal that ended it or 0.

    choose_way: (program, source, carries) -> how they make their steps together. A run with a number that isn't finite
    is frozen, as its folder then says, and the others go on. Those that are behind the others, after a kill, catch up.
    """
    config, source = runs[0].config, runs[0].source
    with bar.compiling():
        shapes = shapes_of_carry(config, source)
        program = population.compile_program(config, source, shapes)
    members: list[outputs.Member] = []
    size, received = population.at_once(program, shapes), 0
    while len(members) < len(runs) and not received:
        some = _begin(runs[len(members) : len(members) + size], shapes, bar)
        members += some
        received = _train(some, program, choose_way, bar)
        for member in some:  # gives their memory back to those that follow
            member.carry = None
    return members, received


def _train(members, program, choose_way, bar):
    """Runs all members to their last step or to a signal, whose number is returned (0: none)."""
    config = members[0].run.config
    way = choose_way(program, members[0].run.source, [member.carry for member in members])
    advance, received = population.make_advance(program, way), 0
    with _Signals() as signals:
        while not received and (going := [member for member in _going(members) if member.step < config.steps]):
            first, *later = sorted({member.step for member in going})
            behind = [member for member in going if member.step == first]
            received = _run_steps(behind, advance, later[0] if later else config.steps, bar, signals)
        return received or parallel.agreed(0, signals.received)[1]


def _begin(runs, shapes, bar):
    """Members at their last checkpoints, or fresh. What was written after that checkpoint is dropped."""
    carries = fresh_carries([run.config for run in runs], runs[0].source, shapes)
    expected = [run.manager.latest_step() or 0 for run in runs]
    said: list[str] = []
    members = [_restored(run, carry, said) for run, carry in zip(runs, carries, strict=True)]
    for words in said[:SAID] + [f"... and {len(said) - SAID} more"] * (len(said) > SAID):
        _say(words)
    for words in dict.fromkeys(words for run in runs for words in optimizers.lazy_warnings(run.config)):
        outputs.warn(words)
    for index, member in enumerate(members):
        outputs.share_drawing(member, index, len(members))
        outputs.catch_up(member)
    if lost := sum(expected) - sum(member.step for member in members):  # of checkpoints that are damaged
        bar.at(bar.done - lost)
    return members


def _restored(run, carry, said):
    step, record = 0, None
    if found := _restore_newest(run.workdir, run.manager, carry):
        step, saved = found
        carry = checkpoint.renewed(saved, carry)
    elif run.start:
        state, record = beginning.begun(run.start, carry[0])
        carry = state, carry[1]
    if run.stream:
        run.stream.seek(step)
    logged = outputs.last_logged(run.workdir, step)
    _begin_records(run, step, record, said)
    member = outputs.Member(run, carry, step, logged, times.start(run.workdir, step))
    if record:  # whatever becomes of the other run, this one has begun
        outputs.save(member)
        checkpoint.wait(run.manager)
    return member


@parallel.lead_only
def _begin_records(run, step, record, said):
    for file in outputs.RECORDS:
        scalars.truncate_after(run.workdir / file, step)
    if run.source.about:
        about.remember(run.workdir, step, outputs.counted(run))
    (run.workdir / outputs.FROZEN).unlink(missing_ok=True)
    fields = flat(run.config)
    if changed := changes.record(run.workdir, fields, step, record):
        said.append(f"{run.workdir}, from step {step} on: {changed}")
    if record:
        fresh = f", but for {beginning.few(record['fresh'])}" if record["fresh"] else ""
        said.append(f"{run.workdir} begins from {record['init_from']}{fresh}")
    if first := changes.no_rate_from(fields):
        outputs.warn(f"{run.workdir}: from step {first} on, both learning rates are 0")


def _going(members):
    return [member for member in members if not member.frozen]


def _run_steps(members, advance, until, bar, signals):
    """Runs members at one step to `until` or to a signal, whose number is returned (0: none), and saves them."""
    config, step, block_size, received = members[0].run.config, members[0].step, _BlockSize(), 0
    finished: list[Callable[[], None]] = []
    problem = None
    while step < until and (going := _going(members)):
        steps = min(block_size.steps, outputs.until_due(config, step), until - step)
        steps, received = parallel.agreed(steps, signals.received)
        if received:
            break
        try:
            batches = _read(going, steps)
        except UserError as error:
            problem = error
            break
        n_critic = bursts.at(bursts.of(config), config.n_critic, step)
        carries, done = advance([member.carry for member in going], steps, batches, n_critic)
        _call_all(finished)
        for member in members:
            outputs.write(member)
        step += steps
        for member, carry in zip(going, carries, strict=True):
            member.carry, member.step = carry, step
        means = [outputs.report(member, step) for member in _going(members)]
        finished = [
            functools.partial(block_size.finished, done, steps),
            functools.partial(outputs.freeze_broken, going, done),
            functools.partial(outputs.tick, going, step),
            functools.partial(outputs.show, bar, steps * len(going), means),
        ]
        if outputs.is_saved(config, step):
            _call_all(finished)
            finished = []
            for member in _going(members):
                outputs.save(member)
            if outputs.is_evaluated(config, step):
                for member in _going(members):
                    outputs.evaluate(member)
    _call_all(finished)
    for member in _going(members):
        outputs.save(member)
    if problem:
        raise type(problem)(f"{problem}; all steps are saved, and once that is mended the same command resumes")
    return received


def _read(members, steps):
    """The minibatches of so many steps, of each member; None where they are not streamed."""
    streams = [member.run.stream for member in members]
    if not streams[0]:
        return None
    return parallel.together(lambda: [list(itertools.islice(stream, steps)) for stream in streams])


def _call_all(functions):
    for function in functions:
        function()


@jax.enable_x64(False)
def fresh_carries(configs: Sequence[ml_collections.ConfigDict], source: sources.Source, shapes: Any = None) -> list:
    """For each configuration: (state before the first step, sums of the metrics of no step, as `finite` keeps them).

    They have one structure, and are made in one compilation. shapes: what `shapes_of_carry` gives, where that is known
    already; it traces a whole step.
    """
    _, sums = shapes or shapes_of_carry(configs[0], source)
    everywhere = parallel.replicated(parallel.mesh(configs[0]))
    fresh_sums = jax.jit(lambda: jax.tree.map(jnp.zeros_like, sums), out_shardings=everywhere)
    return [(state, fresh_sums()) for state in create_states(configs, source.shape, everywhere)]


def shapes_of_carry(config: ml_collections.ConfigDict, source: sources.Source) -> Any:
    """Shapes and types of such a pair, and where it is to lie; nothing is computed."""
    state = jax.eval_shape(lambda: create_states([config], source.shape)[0])
    sums = jax.eval_shape(finite.fresh_sums, _metrics_of_a_step(config, source.shape, state))
    everywhere = parallel.replicated(parallel.mesh(config))
    return jax.tree.map(lambda leaf: jax.ShapeDtypeStruct(leaf.shape, leaf.dtype, sharding=everywhere), (state, sums))


def _metrics_of_a_step(config, shape, state):
    """Their shapes and types alone: nothing is computed."""
    rows = config.n_critic, config.batch_size

    def one_step(state):
        batch = batches.Batch(jnp.zeros((*rows, *shape)), jnp.zeros(rows, jnp.int32))
        return make_train_step(config, shape)(state, batch)[1]

    return jax.eval_shape(one_step, state)


class _BlockSize:
    """How many steps take about BLOCK_SECONDS, by the blocks so far."""

    def __init__(self):
        self.steps, self._last = 1, time.monotonic()

    def finished(self, done, steps):
        """Waits for a block of `steps`, and takes the time since the one before."""
        jax.block_until_ready(done)
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
