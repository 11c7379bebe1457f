from __future__ import annotations

import csv
import os
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np

from gpudl.callbacks.base import Callback, Logs


class CSVLogger(Callback):
    """Write a row of values to a CSV file after every epoch, epochs counted from 0.

    The columns are the names of the first epoch's logs in alphabetical order; where none of them is of validation,
    columns for it follow, which hold NA until there are values. `append` adds to a file that is there already. A run
    that was interrupted and goes on continues its file: rows that were written after the interrupted state are taken
    away. The file is whole after every epoch. In an experiment file, a relative `filename` lies in the run folder.
    """

    writes_to = ("filename",)

    def __init__(self, filename: str | os.PathLike[str], separator: str = ",", append: bool = False) -> None:
        self.filename, self.separator, self.append = os.fspath(filename), separator, append
        self._forget()

    def _forget(self) -> None:
        self.keys: list[str] | None = None
        self._size = 0

    def on_train_begin(self, logs: Logs | None = None) -> None:
        self._forget()

    def state(self) -> dict[str, Any]:
        return {"keys": self.keys, "size": self._size}

    def load_state(self, state: dict[str, Any]) -> None:
        self.keys, self._size = state["keys"], state["size"]
        if self.keys is not None and (not (file := Path(self.filename)).exists() or file.stat().st_size < self._size):
            self._forget()  # another file, or none: it begins anew

    def on_epoch_end(self, epoch: int, logs: Logs | None = None) -> None:
        logs = logs or {}
        begins = self.keys is None
        if self.keys is None:
            self.keys = sorted(logs)
            if not any(name.startswith("val_") for name in logs):
                self.keys += [f"val_{name}" for name in self.keys]
            Path(self.filename).parent.mkdir(parents=True, exist_ok=True)
        with open(self.filename, "a", newline="", encoding="utf-8") as file:
            if not begins:
                file.truncate(self._size)
            elif not self.append:
                file.truncate(0)
            writer = csv.writer(file, delimiter=self.separator)
            if begins and file.seek(0, os.SEEK_END) == 0:
                writer.writerow(["epoch", *self.keys])
            writer.writerow([epoch, *(_written(logs.get(name, "NA")) for name in self.keys)])
            self._size = file.tell()


def _written(value: Any) -> Any:
    if isinstance(value, Iterable) and not isinstance(value, str) and np.ndim(value):  # pyright: ignore[reportArgumentType]
        return f'"[{", ".join(map(str, value))}]"'
    return value
