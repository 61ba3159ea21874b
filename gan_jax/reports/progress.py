"""How far a run, or any longer work, is, on standard error: live bars on a terminal, now and then a line elsewhere.

In a log file every redraw of a bar would stay, so nothing else in this package draws one.
"""

import contextlib
import sys
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from types import TracebackType
from typing import Self, TypeVar

from tqdm import tqdm

from gan_jax.errors import shown

SECONDS_BETWEEN_LINES = 10.0
DELAY = 1.0  # seconds: what is done before them shows no bar
T = TypeVar("T")


class Progress:
    """Step, steps per second, time left and losses of a run.

    with Progress(total=1000, initial=0) as progress:
        with progress.compiling():
            compile()
        progress.update(10, {"critic_loss": -0.5})

    Args:
      total: the step at which the run ends.
      initial: the step at which this process starts (above 0 where it resumes).
      is_shown: whether anything is shown at all.

    """

    def __init__(self, total: int, initial: int = 0, is_shown: bool = True):
        self._total, self._is_shown, self.done = total, is_shown, initial
        self._bar = _run_bar(total, initial) if is_shown and is_terminal() else None
        self._steps, self._seconds = 0, 0.0  # that the rate is made of
        self._since: float | None = time.monotonic()
        self._waiting, self._last_print = "", time.monotonic()

    @contextlib.contextmanager
    def compiling(self) -> Iterator[None]:
        """Says so, and as the block goes on for how long. Until the next update nothing counts for the rate."""
        self.pause()
        if not self._is_shown:
            yield
            return
        if self._bar is not None:
            self._bar.set_postfix_str("compiling")
        else:
            self._waiting = f"step {self.done:,}/{self._total:,}, compiling"
            self._print()
        with clock("compiling", self._bar):
            yield

    def pause(self) -> None:
        """What is between the last update and the next one counts for nothing: it is no sample of what is to come."""
        self._since = None

    def at(self, step: int) -> None:
        """So many steps are not to be made any more, or, of a damaged checkpoint, are to be made again."""
        self.done = step
        if self._bar is not None:
            self._bar.n = step
            self._bar.refresh()

    def update(self, step: int, losses: dict[str, float]) -> None:
        """Show that `step` steps are done (counted from the run's beginning), with the losses at that step."""
        now = time.monotonic()
        if self._since is not None:
            self._steps, self._seconds = self._steps + step - self.done, self._seconds + now - self._since
        self.done, self._since = step, now
        if not self._is_shown:
            return
        words = _speed(self._steps, self._seconds, self._total - step, "steps")
        words += [f"{name} {value:.4g}" for name, value in losses.items()]
        if self._bar is not None:
            self._bar.set_postfix_str(", ".join(words), refresh=False)
            self._bar.update(step - self._bar.n)
        else:
            self._waiting = ", ".join([f"step {step:,}/{self._total:,}", *words])
            if now - self._last_print >= SECONDS_BETWEEN_LINES:
                self._print()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Leave the bar, or the last line, as it stood."""
        if self._bar is not None:
            self._bar.close()
        elif self._waiting:
            self._print()

    def _print(self) -> None:
        _say(self._waiting)
        self._waiting, self._last_print = "", time.monotonic()


@contextlib.contextmanager
def counting(words: str, total: int, unit: str) -> Iterator[Callable[[int], object]]:
    """Gives the block a function to be told how many more are done. What is done before `DELAY` shows nothing.

    with counting("features", 10_000, "images") as add:
        add(16)
    """
    if is_terminal():
        with tqdm(total=total, desc=words, unit=f" {unit}", delay=DELAY, leave=False) as bar:
            yield bar.update
        return
    done, last = 0, time.monotonic()
    first = 0, 0.0  # how many the first call told of, which may have compiled something, and when

    def add(count: int) -> None:
        nonlocal done, last, first
        done, now = done + count, time.monotonic()
        first = first if first[0] else (done, now)
        if now - last >= SECONDS_BETWEEN_LINES:
            last = now
            speed = _speed(done - first[0], now - first[1], total - done, unit)
            _say(", ".join([f"{words}: {done:,}/{total:,}", *speed]))

    yield add


def each(things: Iterable[T], words: str, total: int, unit: str) -> Iterator[T]:
    """The things themselves, counted as they are done with."""
    with counting(words, total, unit) as add:
        for thing in things:
            yield thing
            add(1)


@contextlib.contextmanager
def clock(words: str, bar: "tqdm[None] | None" = None) -> Iterator[None]:
    """Shows how long the block has been at work: of what is a single call, and can't say how far it is.

    bar: one that stands there and has the time in it; otherwise a terminal has one for the block.
    """
    own = None
    if bar is None and is_terminal():
        bar = own = tqdm(desc=words, bar_format="{desc} [{elapsed}]", delay=DELAY, leave=False)
    start, is_done = time.monotonic(), threading.Event()

    def show():
        while not is_done.wait(SECONDS_BETWEEN_LINES if bar is None else DELAY):
            if bar is None:
                _say(f"{words} [{tqdm.format_interval(time.monotonic() - start)}]")
            else:
                bar.delay = 0  # so that the end of the block clears its own
                bar.refresh()

    thread = threading.Thread(target=show, daemon=True)
    thread.start()
    try:
        yield
    finally:
        is_done.set()
        thread.join()
        if own is not None:
            own.close()


def warn(words: str) -> None:
    """Prints a line to standard error, above the bar where there is one."""
    _say(f"gan_jax: warning: {shown(words)}")


def is_terminal() -> bool:
    """Whether standard error is one."""
    return sys.stderr is not None and sys.stderr.isatty()


def _say(line: str) -> None:
    tqdm.write(line, file=sys.stderr)


def _speed(done: int, seconds: float, left: int, unit: str) -> list[str]:
    """What is known of it, in words."""
    if not done or not seconds:
        return []
    rate = done / seconds
    return [f"{rate:,.2f} {unit}/s", f"{tqdm.format_interval(round(left / rate))} left"]


def _run_bar(total: int, initial: int) -> "tqdm[None]":
    # The rate is ours: that of tqdm would count what is no sample of what is to come.
    form = "{l_bar}{bar}| {n_fmt}/{total_fmt} [{elapsed}{postfix}]"
    return tqdm(total=total, initial=initial, bar_format=form, dynamic_ncols=True, miniters=1)
