from __future__ import annotations

from typing import Any

from gpudl.callbacks.base import Callback, Logs


class DecidingCallback(Callback):
    """Base of callbacks that decide something: each decision is one line of `decisions`, with the reason for it.

    Epochs and batches in these lines count from 1, as a person reads them. `verbose` 1 prints the lines of what was
    done, 2 also those of what was left as it was.
    """

    called = ""
    """What the lines begin with."""
    verbose: int = 0
    memory = ("decisions",)

    def __init__(self) -> None:
        self.decisions: list[str] = []

    def on_train_begin(self, logs: Logs | None = None) -> None:
        self.decisions = []

    def decide(self, line: str, acts: bool = True) -> None:
        """Write a decision down; print it where `verbose` asks for it."""
        self.decisions.append(f"{self.called}: {line}")
        if self.verbose >= (1 if acts else 2):
            print(self.decisions[-1])


def number(value: Any) -> str:
    """Write a value for a line: six digits, none of them idle."""
    return "none yet" if value is None else f"{value:.6g}"
