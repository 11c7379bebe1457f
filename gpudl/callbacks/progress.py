"""Progress: what a person sees while a network trains."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

from gpudl.callbacks.base import Callback, Logs

if TYPE_CHECKING:
    from rich.live import Live

SHOWN_EVERY = 0.2
"""Seconds; to draw the bar takes some tenths of a millisecond."""
BAR_WIDTH = 30
"""Characters, or a quarter of a narrow terminal's."""


def written(name: str, value: Any) -> str:
    """Write one value for a line of progress: shares with four digits, small numbers in scientific form.

    Of an array, its shape is written where it has more than ten numbers.
    """
    if getattr(value, "ndim", 0):
        numbers = " ".join(f"{number:.2f}" for number in value.reshape(-1))
        return f"{name} [{numbers}]" if value.size <= 10 else f"{name} {value.shape}"
    return f"{name} {value:.4f}" if value == 0 or abs(value) >= 1e-3 else f"{name} {value:.2e}"


def values_line(logs: Mapping[str, Any] | None) -> str:
    """Write all values: those of the training data before those of the validation data, each with the loss first."""
    order = sorted(logs or {}, key=lambda name: (name.startswith("val_"), name.removeprefix("val_") != "loss"))
    return "  ".join(written(name, (logs or {})[name]) for name in order)


def print_line(text: str) -> None:
    """Print a line of values, dimming what stands in [dim]...[/dim] where the terminal can."""
    from rich.console import Console

    Console(highlight=False, soft_wrap=True).print(text)


class _Line:
    """What stands below the epochs' lines: label, bar, steps, time left and values, cut where the terminal ends.

    Rich draws it in a fifth of the time it takes for a Progress, which is a table.
    """

    def __init__(self, label: str, steps: int | None) -> None:
        self.label, self.steps = label, steps
        self.done, self.values = 0, ""
        self._first: tuple[int, float] | None = None
        self._left: float | None = None

    def advance(self, done: int, values: str, now: float) -> None:
        """Show `done` steps. What is left is reckoned from the first time on: the very first steps may be slow."""
        self.done, self.values = done, values
        if self._first is None:
            self._first = done, now
        elif self.steps is not None and done > self._first[0]:
            self._left = (now - self._first[1]) / (done - self._first[0]) * max(0, self.steps - done)

    def __rich_console__(self, console: Any, options: Any) -> Iterator[Any]:
        from rich.text import Text

        heavy, light = ("=", "-") if options.ascii_only else ("━", "─")
        steps = "?" if self.steps is None else str(self.steps)
        left = "" if self.steps is None else "--:--" if self._left is None else _clock(self._left)
        width = min(BAR_WIDTH, options.max_width // 4)
        cells = 0 if not self.steps else min(width, width * self.done // self.steps)
        yield Text.assemble(
            f"{self.label} ",
            (heavy * cells, "bar.complete"),
            (light * (width - cells), "bar.back"),
            (f" {self.done:>{len(steps)}}/{steps} ", "progress.download"),
            (left, "progress.remaining"),
            f" {self.values}",
        )


def _clock(seconds: float) -> str:
    minutes, seconds = divmod(int(seconds), 60)
    return f"{minutes:02}:{seconds:02}" if minutes < 60 else f"{minutes // 60}:{minutes % 60:02}:{seconds:02}"


class Progress(Callback):
    """A live bar in a terminal and one line an epoch; the line alone where the output is no terminal.

    `verbose` 1 shows bar and lines, 2 the lines alone. Within an epoch the bar is drawn five times a second at most and
    reads the loss only then, so it costs next to nothing.
    """

    def __init__(self, verbose: int = 1) -> None:
        self.verbose = verbose

    def on_train_begin(self, logs: Logs | None = None) -> None:
        from rich.console import Console
        from rich.live import Live

        self._console = Console(highlight=False, soft_wrap=True)
        self._bar: Live | None = None
        self._shown = 0.0
        if self.verbose == 1 and self._console.is_terminal:
            self._bar = Live(console=self._console, auto_refresh=False, transient=True)
            self._bar.start()

    def on_epoch_begin(self, epoch: int, logs: Logs | None = None) -> None:
        self._began = time.perf_counter()
        self._label = f"epoch {epoch + 1:>{len(str(self.params['epochs']))}}/{self.params['epochs']}"
        if self._bar is not None:
            self._line = _Line(self._label, self.params["steps"])
            self._bar.update(self._line, refresh=True)

    def on_train_batch_end(self, batch: int, logs: Logs | None = None) -> None:
        if self._bar is None:
            return
        now = time.perf_counter()
        if now - self._shown < SHOWN_EVERY:
            return
        self._shown = now
        self._line.advance(batch + 1, values_line(logs), now)
        self._bar.refresh()

    def on_epoch_end(self, epoch: int, logs: Logs | None = None) -> None:
        seconds = time.perf_counter() - self._began
        self._console.print(f"{self._label}  {values_line(logs)}  [dim]{seconds:.1f} s[/dim]")

    def on_train_end(self, logs: Logs | None = None) -> None:
        self.close()

    def close(self) -> None:
        """Take the bar away; also called when training ends with an error."""
        bar: Live | None = getattr(self, "_bar", None)
        if bar is not None:
            bar.stop()
            self._bar = None
