"""How far a run is, on standard error."""

import sys
import time
from types import TracebackType
from typing import Self

from tqdm import tqdm

from gan_jax.errors import shown

SECONDS_BETWEEN_LINES = 10.0


class Progress:
    """Step, steps per second, time left and losses: a live bar on a terminal, now and then a line elsewhere.

    with Progress(total=1000, initial=0) as progress:
        progress.update(10, {"critic_loss": -0.5})

    Args:
      total: the step at which the run ends.
      initial: the step at which this process starts (above 0 where it resumes).
      is_shown: whether anything is shown at all.

    """

    def __init__(self, total: int, initial: int = 0, is_shown: bool = True):
        self._total, self._is_shown = total, is_shown
        # In a log file every redraw of a bar would stay: there, lines are printed instead.
        is_terminal = sys.stderr is not None and sys.stderr.isatty()
        self._bar = _bar(total, initial) if is_shown and is_terminal else None
        self.begin(initial)

    def begin(self, initial: int) -> None:
        """The time is counted from here, `initial` steps being done."""
        self.done, self._initial, self._start = initial, initial, time.monotonic()
        self._waiting, self._last_print = "", self._start
        if self._bar is not None:
            self._bar.reset()
            self._bar.initial = self._bar.n = initial

    def update(self, step: int, losses: dict[str, float]) -> None:
        """Show that `step` steps are done (counted from the run's beginning), with the losses at that step."""
        self.done = step
        if not self._is_shown:
            return
        postfix = ", ".join(f"{name} {value:.4g}" for name, value in losses.items())
        if self._bar is not None:
            self._bar.set_postfix_str(postfix, refresh=False)
            self._bar.update(step - self._bar.n)
        else:
            self._waiting = self._line(step, postfix)
            if time.monotonic() - self._last_print >= SECONDS_BETWEEN_LINES:
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

    def _line(self, step: int, postfix: str) -> str:
        rate = (step - self._initial) / max(time.monotonic() - self._start, 1e-9)
        left = tqdm.format_interval(round((self._total - step) / rate)) if rate > 0 else "?"
        line = f"step {step:,}/{self._total:,}, {rate:,.2f} steps/s, {left} left"
        return f"{line}, {postfix}" if postfix else line

    def _print(self) -> None:
        print(self._waiting, file=sys.stderr, flush=True)
        self._waiting, self._last_print = "", time.monotonic()


def warn(words: str) -> None:
    """Prints a line to standard error, above the bar where there is one."""
    tqdm.write(f"gan_jax: warning: {shown(words)}", file=sys.stderr)


def _bar(total: int, initial: int) -> "tqdm[None]":
    return tqdm(total=total, initial=initial, unit="step", dynamic_ncols=True, miniters=1)
