"""What a run at work leaves in its folder: lines, pictures, evaluations, checkpoints, and why it ended.

What is due at a step is dispatched there, and written while the device is busy with the next block. An evaluation
begins when its checkpoint is written, so that nothing which it may run into costs a step. Of several processes all take
part in a checkpoint; the rest is the lead's to write.
"""

import dataclasses
import functools
import json
import math
import pathlib
import statistics
import time
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import ml_collections
import orbax.checkpoint as ocp
from flax import linen as nn

from gan_jax import compiler
from gan_jax.config import flat
from gan_jax.data import about, bursts, sources
from gan_jax.data.about import About
from gan_jax.errors import DivergedError, UserError, is_out_of_memory, one_line
from gan_jax.evaluation import generators
from gan_jax.files import atomic
from gan_jax.reports import pictures, progress, scalars, tracking
from gan_jax.reports.progress import Progress
from gan_jax.runs import changes, checkpoint, scores, times, workdir
from gan_jax.runs.beginning import Beginning
from gan_jax.training import conditional, finite, parallel, sampling

RECORDS = METRICS, EVALUATIONS = "metrics.jsonl", "evaluation.jsonl"
FROZEN = "frozen.json"  # in the folder of a run that ended before its last step: {"step", "state", "reason"}
# Between two drawings of a run's curves as it trains: so many seconds, and so many times as long as the last one took.
CURVES_SECONDS, CURVES_TIMES = 30.0, 50


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
    judge: Callable[[dict[str, Any]], str] | None = None  # of an evaluation's record: why to stop here, or ""
    start: Beginning | None = None  # what it begins from where there is no checkpoint, if not by itself
    counted: Callable[[], tuple[int, ...]] = tuple  # images of each class, found when they are first asked for


@dataclasses.dataclass
class Member:
    """A run at work: its carry after `step` steps, what is yet to be written, and why it was frozen, if it was.

    logged: the step of its last line of metrics.jsonl, from which on the carry sums the metrics up. beside: how many
    train together. next_curves: the moment from which its curves may be drawn again.
    """

    run: Run
    carry: Any
    step: int
    logged: int
    clock: times.Clock
    beside: int = 1
    next_curves: float = 0.0
    unwritten: list[tuple[int, Callable[[], None]]] = dataclasses.field(default_factory=list)
    frozen: str = ""


def until_due(config: ml_collections.ConfigDict, step: int) -> int:
    """Steps to the next one at which anything is due, or may have another number of the critic's updates."""
    periods = [config.log_every, config.sample_every, config.checkpoint_every, config.eval_every]
    alike = bursts.steps_alike(bursts.of(config), step)
    return min(config.steps - step, alike, *(every - step % every for every in periods if every))


def is_saved(config: ml_collections.ConfigDict, step: int) -> bool:
    """Whether a checkpoint is due at a step, with its evaluation or without."""
    return is_evaluated(config, step) or _is_due(config, step, config.checkpoint_every)


def is_evaluated(config: ml_collections.ConfigDict, step: int) -> bool:
    """Whether an evaluation is due at a step."""
    return _is_due(config, step, config.eval_every)


def _is_due(config, step, every):
    return every > 0 and (step % every == 0 or step == config.steps)


def is_pending(config: ml_collections.ConfigDict, workdir: pathlib.Path, step: int) -> bool:
    """Whether the checkpoint of a step lacks the evaluation that is due there: a kill came between them."""
    return step > 0 and is_evaluated(config, step) and scores.read(_checkpoint_folder(workdir, step)) is None


def _checkpoint_folder(workdir, step):
    return workdir / "checkpoints" / str(step)


def report(member: Member, step: int) -> dict[str, Any] | None:
    """Puts off what is due at `step` until the device is busy again; returns the means that are logged, if they are."""
    config, means = member.run.config, None
    if step % config.log_every == 0:
        member.carry, means = _take_means(member.carry, step - member.logged)
        member.logged = step
        member.unwritten.append((step, functools.partial(_log, member, step, means)))
    if _is_due(config, step, config.sample_every) or step == config.steps:
        member.unwritten.append((step, _sample(member.run, member.carry[0], step)))
    return means


@functools.partial(jax.jit, donate_argnums=0, static_argnums=1)
def _take_means(carry, steps):
    state, sums = carry
    means = jax.tree.map(lambda total: total / steps, sums["totals"])
    return (state, sums | {"totals": jax.tree.map(jnp.zeros_like, means)}), means


def last_logged(workdir: pathlib.Path, step: int) -> int:
    """The step of the last line of metrics.jsonl up to `step`; 0 where there is none."""
    return max((record["step"] for record in scalars.read(workdir / METRICS) if record["step"] <= step), default=0)


def _log(member, step, means):
    run, record = member.run, {name: float(value) for name, value in means.items()}
    _append(run.workdir / METRICS, {"step": step} | record)
    times.line(member.clock, step)
    if run.wandb:
        run.wandb.log(record, step=step)


@parallel.lead_only
def _append(path, record):
    scalars.append(path, record)


def _sample(run, state, step):
    """Dispatches the samples of the same latents as ever; the picture is drawn when the returned function is called."""
    _, takes = conditional.of(run.config)
    num, labels, columns = (1000, None, None) if sources.is_points(run.source.name) else sampling.grid(takes)
    state = parallel.local(state)
    variables = sampling.averaged_variables(run.generator, state, takes, _counts(run))
    inputs = sampling.inputs(takes, state, num, labels=labels)
    samples = sampling.generate(run.generator, variables, inputs, sampling.noise_key(state))
    return lambda: _draw(run, step, sampling.presentable(samples), columns)


def _counts(run):
    return conditional.counts(run.config, run.counted)


def classes_counted(run: Run) -> tuple[int, ...]:
    """Images of each class, as the run remembers them: of a set that is streamed, all labels are read only once."""
    known, found = about.remembered(run.workdir), run.source.about
    if known and known.counts and found and not about.differences(known, found):
        return known.counts
    return run.source.count_classes()


def counted(run: Run) -> About:
    """What is known of the run's set, with the images of each class where its generator is told of them."""
    found: Any = run.source.about  # asked for only where there is one
    return found if found.counts else found._replace(counts=_counts(run))


@parallel.lead_only
def _draw(run, step, samples, columns):
    path, title = sample_path(run.workdir, step), f"{run.name}, step {step}"
    is_told = conditional.of(run.config)[0].is_told_labels and run.source.about
    sampling.draw(run.config, path, samples, title, columns, run.source.about.classes if is_told else ())
    if run.wandb:
        tracking.log_picture(run.wandb, path, step)


def sample_path(workdir: pathlib.Path, step: int) -> pathlib.Path:
    """Where the grid (or the scatter) of the fixed latents at `step` lies."""
    return workdir / "samples" / f"step_{step:07d}.png"


def show(bar: Progress, steps: int, means: Sequence[dict[str, Any] | None]) -> None:
    """So many steps more; of several members, the medians of those that are finite.

    Time in which the host has compiled something, for the first picture or evaluation, is no sample of what is to come.
    """
    if compiler.has_compiled():
        bar.pause()
    logged = [mean for mean in means if mean]
    values = {name: [float(m[name]) for m in logged if math.isfinite(m[name])] for name in (*logged, {})[0]}
    shown = {name: statistics.median(numbers) for name, numbers in values.items() if numbers}
    bar.update(bar.done + steps, ({"members": len(logged)} if len(logged) > 1 else {}) | shown)


def save(member: Member) -> None:
    """First the lines up to this step, then its checkpoint: a run killed in between writes them again."""
    member.unwritten.append((member.step, functools.partial(_checkpoint, member)))
    write(member)
    if member.step < member.run.config.steps:  # at the end they are drawn anyway
        member.unwritten.append((member.step, functools.partial(_draw_curves_again, member)))


def _checkpoint(member):
    run = member.run
    finite.check_state(member.carry[0])
    for file in RECORDS:  # a power cut must not take lines that the checkpoint counts as written
        scalars.sync(run.workdir / file)
    # A sample's shape is for those who lack the data; by the fields it is seen whether config.json was edited.
    said = {"shape": list(run.source.shape), "fields": changes.kept(flat(run.config))}
    checkpoint.save(run.manager, member.carry, said)


def catch_up(member: Member) -> None:
    """Does what a kill may have cut off after the checkpoint that a member begins with: evaluation and verdict."""
    run, step = member.run, member.step
    if parallel.lead_says(lambda: is_pending(run.config, run.workdir, step)):
        evaluate(member)
    elif record := scores.read(_checkpoint_folder(run.workdir, step)):
        _judge(member, record)


def evaluate(member: Member) -> None:
    """Once its checkpoint is written, evaluates the averaged generator, and has that written, or why it failed.

    Of several processes, each does so for itself: or the others would wait for as long.
    """
    run = member.run
    checkpoint.wait(run.manager)
    try:
        record = _measured(run, member.carry[0])
    except DivergedError as error:  # of samples: the parameters were finite
        checkpoint.remove(run.manager, member.step)
        return _freeze(member, member.step, "diverged", str(error))
    parallel.by_lead(lambda: _write_evaluation(run.workdir, record))
    if run.wandb and scores.FAILED not in record:
        numbers = {name: value for name, value in record.items() if isinstance(value, int | float)}
        run.wandb.log(numbers, step=record["step"])
    _judge(member, record)


def _measured(run, state):
    how, state = generators.how(run.config), parallel.local(state)
    try:
        found = generators.evaluate(
            run.config,
            run.generator,
            state,
            how,
            reference=run.source.reference,
            counts=_counts(run),
            classes=run.source.about.classes if run.source.about else (),
        )
        _remember(run, found)
        return found.record
    except DivergedError:
        raise
    except Exception as error:  # whatever a metric, a data set or a disk may raise: the run needs none of it to go on
        step, reason = int(state.step), _reason(error)
        warn(f"{run.workdir}: the evaluation of step {step} failed ({reason}): it is left out, and the run goes on")
        return {"step": step, scores.FAILED: reason}


def _reason(error):
    if is_out_of_memory(error):
        return "out of memory"
    words = one_line(error)
    return words if isinstance(error, UserError) else f"{type(error).__name__}: {words}"


@parallel.lead_only
def _remember(run, found):
    """Of a split that isn't trained on, what it held when it was first compared with."""
    if found.reals.about and found.reals.about.split != run.source.about.split:
        about.remember(run.workdir, found.record["step"], found.reals.about)


warn = parallel.lead_only(progress.warn)


def _write_evaluation(workdir, record):
    """First the line, on the disk, then what says that it is done: after a kill in between there is no second line."""
    path = workdir / EVALUATIONS
    if scalars.plain(record) not in scalars.read(path):
        scalars.append(path, record)
    scalars.sync(path)
    scores.write(_checkpoint_folder(workdir, record["step"]), record)


def _judge(member, record):
    judge = member.run.judge
    if judge and scores.FAILED not in record and (reason := judge(record)):
        _freeze(member, record["step"], "pruned", reason)


def write(member: Member) -> None:
    """Writes what was put off, until a number isn't finite: then the member is frozen, and its folder says so."""
    while member.unwritten and not member.frozen:
        step, function = member.unwritten.pop(0)
        try:
            function()
        except DivergedError as error:
            _freeze(member, step, "diverged", str(error))


def freeze_broken(members: Sequence[Member], done: Sequence[dict[str, Any]]) -> None:
    """Ends those of which a metric was not finite in the last block; what is due after that step is never written."""
    for member, broken in zip(members, jax.device_get(done), strict=True):
        step, reason = finite.first_broken(broken)
        if step and not member.frozen:
            _freeze(member, step, "diverged", reason)


def tick(members: Sequence[Member], step: int) -> None:
    """The block that ends at `step` is done."""
    for member in members:
        times.first_block(member.clock, step)


def _freeze(member, step, state, reason):
    """Ends a member before its last step; its folder then says why."""
    member.frozen = reason
    _say_frozen(member.run.workdir, {"step": step, "state": state, "reason": reason})


@parallel.lead_only
def _say_frozen(workdir, record):
    atomic.write(workdir / FROZEN, json.dumps(record).encode() + b"\n")


def frozen(workdir: pathlib.Path) -> dict[str, Any] | None:
    """What the folder of a frozen run says of it, {"step", "state", "reason"}; None of a run that was not frozen.

    Raises UserError where that is damaged.
    """
    if not (workdir / FROZEN).exists():
        return None
    try:
        record = atomic.read_json(workdir / FROZEN)
        if record["state"] not in ("diverged", "pruned"):
            raise ValueError
        return {"step": int(record["step"]), "state": record["state"], "reason": str(record["reason"])}
    except (OSError, ValueError, TypeError, KeyError, OverflowError):
        raise UserError(f"{workdir / FROZEN} is damaged: remove it, and the run goes on from its checkpoint") from None


def share_drawing(member: Member, index: int, beside: int) -> None:
    """Of members that train together, one after another has its turn to have its curves drawn."""
    member.beside, member.next_curves = beside, time.monotonic() + index * CURVES_SECONDS


def _draw_curves_again(member):
    """While the device is busy, and so seldom that it costs some hundredths of the time at most."""
    start = time.monotonic()
    if start >= member.next_curves:
        draw_curves(member.run.workdir, member.run.name)
        seconds = max(CURVES_SECONDS, CURVES_TIMES * (time.monotonic() - start))
        member.next_curves = start + seconds * member.beside


@parallel.lead_only
def draw_curves(place: pathlib.Path, name: str) -> None:
    """DIR/curves.png, of all that metrics.jsonl and evaluation.jsonl hold; history.jsonl says what was changed."""
    records, evaluations = (scalars.read(place / file) for file in RECORDS)
    evaluations.sort(key=lambda record: record["step"])  # some were made later, of an earlier checkpoint
    history = workdir.read_history(place)
    marks = {line["step"]: workdir.change_words(line["changed"]) for line in history if "changed" in line}
    pictures.curves(place / "curves.png", records, name, evaluations, marks)
