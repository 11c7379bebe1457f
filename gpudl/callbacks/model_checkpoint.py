from __future__ import annotations

import math
import os
from pathlib import Path
from typing import Literal

from gpudl.callbacks.base import Logs
from gpudl.callbacks.deciding import number
from gpudl.callbacks.monitor import Mode, MonitorCallback
from gpudl.errors import UnknownNameError, UsageError, did_you_mean


class ModelCheckpoint(MonitorCallback):
    """Save the model after every epoch, or after every `save_freq` batches; with `save_best_only`, the better ones.

    `filepath` is formatted with the epoch and, within an epoch, the batch (both from 1) and the logs:
    `"epoch{epoch:02d}-{val_loss:.3f}.safetensors"`. It ends in `.safetensors` or `.keras`; with `save_weights_only`
    in `.safetensors` or `.weights.h5`. Missing folders are made. In an experiment file, a relative path lies in the
    run folder.

    "Better" is better than `best`: what this callback saw before, in earlier calls of `fit` too, beginning with
    `initial_value_threshold`. Where `monitor` is not in the logs, it warns and saves.

    Each save, or the reason for none, is a line of `decisions`, its epochs and batches counted from 1.

    Raises: UsageError for a file name of another kind; UnknownNameError for a name in `filepath` that the logs lack.
    """

    called = "model_checkpoint"
    memory = ("decisions", "best", "batches")
    writes_to = ("filepath",)

    def __init__(
        self,
        filepath: str | os.PathLike[str],
        monitor: str = "val_loss",
        verbose: int = 0,
        save_best_only: bool = False,
        save_weights_only: bool = False,
        mode: Mode = "auto",
        save_freq: Literal["epoch"] | int = "epoch",
        initial_value_threshold: float | None = None,
    ) -> None:
        super().__init__(monitor, mode, best=initial_value_threshold)
        self.filepath, self.verbose = os.fspath(filepath), verbose
        self.save_best_only, self.save_weights_only, self.save_freq = save_best_only, save_weights_only, save_freq
        if save_freq != "epoch" and (not isinstance(save_freq, int) or save_freq < 1):
            raise UsageError(
                f'ModelCheckpoint(save_freq={save_freq!r}): expected "epoch" or a number of batches from 1'
            )
        what, endings = "models", (".safetensors", ".keras")
        if save_weights_only:
            what, endings = "weights", (".safetensors", ".weights.h5")
        if not self.filepath.endswith(endings):
            raise UsageError(
                f'ModelCheckpoint(filepath="{self.filepath}", save_weights_only={save_weights_only}): files of {what} '
                f"end in {' or '.join(endings)}"
            )
        self.batches = 0
        """Batches since the last one after which saving was considered."""
        self._epoch = 0

    def on_epoch_begin(self, epoch: int, logs: Logs | None = None) -> None:
        self._epoch = epoch

    def on_train_batch_end(self, batch: int, logs: Logs | None = None) -> None:
        if isinstance(self.save_freq, str):
            return
        self.batches += 1
        if self.batches >= self.save_freq:
            self.batches = 0
            self._consider(self._epoch, batch, logs or {})

    def on_epoch_end(self, epoch: int, logs: Logs | None = None) -> None:
        if self.save_freq == "epoch":
            self._consider(epoch, None, logs or {})

    def _consider(self, epoch: int, batch: int | None, logs: Logs) -> None:
        when = f"epoch {epoch + 1}" + ("" if batch is None else f", batch {batch + 1}")
        path = self._path(epoch, batch, logs)
        if self.save_best_only and (current := self.monitored(logs)) is not None:
            when += f", {self.monitor} {number(current)}"
            best = number(self.best)
            if not self.improved(current, self.best):
                why = ", not a number" if math.isnan(current) else f" not better than {best}"
                self.decide(f"{when}{why}: not saved")
                return
            when += ", the first" if self.best is None else f" better than {best}"
            self.best = current
        Path(path).parent.mkdir(parents=True, exist_ok=True)
        if self.save_weights_only:
            self.model.save_weights(path)
        else:
            self.model.save(path)
        self.decide(f"{when}: saved {path}")

    def _path(self, epoch: int, batch: int | None, logs: Logs) -> str:
        names = {"epoch": epoch + 1, **({} if batch is None else {"batch": batch + 1}), **logs}
        try:
            return self.filepath.format(**names)
        except KeyError as error:
            name = str(error.args[0])
            raise UnknownNameError(
                f'{self.called}: filepath="{self.filepath}" names {{{name}}}, but there are {", ".join(names)}'
                f"{did_you_mean(name, names)}"
            ) from None
        except (ValueError, IndexError, TypeError, AttributeError) as error:
            raise UsageError(
                f'{self.called}: filepath="{self.filepath}" cannot be formatted: {error}; '
                'write names in braces, as in "epoch{epoch:02d}.safetensors"'
            ) from None
