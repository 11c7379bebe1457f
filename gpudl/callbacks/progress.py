"""Progress: what a person sees while a network trains."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Any

from gpudl.callbacks.base import Callback, Logs

SHOWN_EVERY = 0.2
"""Seconds; to draw the bar takes one or two milliseconds."""


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


class Progress(Callback):
    """A live bar in a terminal and one line an epoch; the line alone where the output is no terminal.

    `verbose` 1 shows bar and lines, 2 the lines alone. The bar is drawn five times a second at most and reads the loss
    only then, so it costs next to nothing.
    """

    def __init__(self, verbose: int = 1) -> None:
        self.verbose = verbose

    def on_train_begin(self, logs: Logs | None = None) -> None:
        from rich.console import Console

        self._console = Console(highlight=False, soft_wrap=True)
        self._bar: Any = None
        self._task: Any = None
        self._shown = 0.0
        if self.verbose == 1 and self._console.is_terminal:
            from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

            self._bar = Progress(
                TextColumn("{task.description}"),
                BarColumn(bar_width=30),
                MofNCompleteColumn(),
                TextColumn("{task.fields[values]}"),
                TimeRemainingColumn(compact=True),
                console=self._console,
                auto_refresh=False,
                transient=True,
            )
            self._bar.start()

    def on_epoch_begin(self, epoch: int, logs: Logs | None = None) -> None:
        self._began = time.perf_counter()
        self._label = f"epoch {epoch + 1:>{len(str(self.params['epochs']))}}/{self.params['epochs']}"
        if self._bar is not None:
            if self._task is not None:
                self._bar.remove_task(self._task)
            self._task = self._bar.add_task(self._label, total=self.params["steps"], values="")

    def on_train_batch_end(self, batch: int, logs: Logs | None = None) -> None:
        if self._bar is None:
            return
        now = time.perf_counter()
        if now - self._shown < SHOWN_EVERY:
            return
        self._shown = now
        self._bar.update(self._task, completed=batch + 1, values=values_line(logs))
        self._bar.refresh()

    def on_epoch_end(self, epoch: int, logs: Logs | None = None) -> None:
        seconds = time.perf_counter() - self._began
        self._console.print(f"{self._label}  {values_line(logs)}  [dim]{seconds:.1f} s[/dim]")

    def on_train_end(self, logs: Logs | None = None) -> None:
        self.close()

    def close(self) -> None:
        """Take the bar away; also called when training ends with an error."""
        if getattr(self, "_bar", None) is not None:
            self._bar.stop()
            self._bar = None
