"""`gpudl train examples/digits_cnn.toml` by the clock: `python -m bench.cpu.clocked_run BEGAN FOLDER EPOCHS`.

It looks at the clock, which all processes share, after each import, and, in a callback, around what `fit` does.
"""

from __future__ import annotations

import gc
import json
import sys
import time
from collections import defaultdict
from collections.abc import Callable
from importlib import import_module
from pathlib import Path
from typing import Any

FIRST = 2
"""Steps of a run that are taken as they are written; all others are repeated."""

BETWEEN = "between: samples put in order, lines written, the bar"


class Clock:
    """Seconds since it was last asked, added up by what was done in them."""

    def __init__(self, began: float) -> None:
        self.parts: defaultdict[str, float] = defaultdict(float)
        self._last = began

    def __call__(self, part: str) -> None:
        now = time.perf_counter()
        self.parts[part] += now - self._last
        self._last = now


def train(began: float, folder: str, epochs: int) -> None:
    """Train the digits into the folder, with what each part took in parts.json; the process was started at `began`."""
    from bench.cpu.whole import commands

    clock = Clock(began)
    clock("Python")
    for names in (["NumPy"], ["Typer", "Pydantic"]):
        for name in names:
            import_module(name.lower())
        clock(f"import {' and '.join(names)}")
    from gpudl.callbacks import Callback
    from gpudl.cli.app import run
    from gpudl.models.trainer import Trainer

    clock("import gpudl")

    class Listener(Callback):
        steps = 0

        def on_train_batch_begin(self, batch: int, logs: Any = None) -> None:
            clock(BETWEEN)

        def on_train_batch_end(self, batch: int, logs: Any = None) -> None:
            self.steps += 1
            clock("the first two steps" if self.steps <= FIRST else "the other steps")

        def on_test_begin(self, logs: Any = None) -> None:
            clock(BETWEEN)

        def on_test_end(self, logs: Any = None) -> None:
            clock("validation")

    fit: Callable[..., Any] = Trainer.fit

    def listened_to(self: Any, *data: Any, callbacks: Any, **settings: Any) -> Any:
        clock("file read and checked, data read, model built")
        try:
            return fit(self, *data, callbacks=[Listener(), *callbacks], **settings)
        finally:
            clock(BETWEEN)

    Trainer.fit = listened_to  # pyright: ignore[reportAttributeAccessIssue]
    code = run(commands("digits", folder, epochs)["gpudl"][1:])
    clock("saved, validated and tested")
    if code:
        raise RuntimeError(f"gpudl train ended with {code}")
    Path(folder, "parts.json").write_text(json.dumps(clock.parts))
    gc.freeze()  # as the program does before it ends


if __name__ == "__main__":
    train(float(sys.argv[1]), sys.argv[2], int(sys.argv[3]))
