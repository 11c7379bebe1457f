"""TensorBoard: what training yields, in the files that TensorBoard shows."""

from __future__ import annotations

import itertools
import os
import time
from pathlib import Path
from typing import Any, Literal

import numpy as np

from gpudl.callbacks.base import Callback, Logs
from gpudl.errors import UsageError

_files = itertools.count()


def _writer_class() -> Any:
    try:
        from tensorboardX import SummaryWriter
    except ImportError:
        raise UsageError(
            'TensorBoard needs tensorboardX, which is not installed; run pip install "gpudl[tensorboard]"'
        ) from None
    return SummaryWriter


class TensorBoard(Callback):
    """Write loss and metrics for TensorBoard, under Keras's names, into `log_dir`/train and `log_dir`/validation.

    After every epoch, counted from 0: `epoch_loss`, `epoch_accuracy`, ..., `epoch_learning_rate`, and, with
    `write_steps_per_second`, `epoch_steps_per_second`. After every evaluation, in fit and elsewhere:
    `evaluation_loss_vs_iterations`, ... at the optimizer's step. With `update_freq` "batch" or n, also every batch, or
    every n-th one, counted from 1 over all epochs: `batch_loss`, ...; epochs are written whatever it is. Every
    `histogram_freq` epochs, a histogram of each weight: `model/layer/kernel/histogram`.

    `write_graph` is accepted, and draws nothing. In an experiment file, a relative `log_dir` lies in the run folder.

    Raises: UsageError for `write_images`, `profile_batch`, `embeddings_freq` and `embeddings_metadata`, which gpudl
    does not have; where tensorboardX, of the extra `tensorboard`, is not installed.
    """

    memory = ("train_batches",)
    writes_to = ("log_dir",)

    def __init__(
        self,
        log_dir: str | os.PathLike[str] = "logs",
        histogram_freq: int = 0,
        write_graph: bool = True,
        write_images: bool = False,
        write_steps_per_second: bool = False,
        update_freq: Literal["epoch", "batch"] | int = "epoch",
        profile_batch: int = 0,
        embeddings_freq: int = 0,
        embeddings_metadata: str | None = None,
    ) -> None:
        for name, value in (
            ("write_images", write_images), ("profile_batch", profile_batch),
            ("embeddings_freq", embeddings_freq), ("embeddings_metadata", embeddings_metadata),
        ):  # fmt: skip
            if value:
                raise UsageError(f"TensorBoard({name}={value!r}): gpudl does not write that; leave {name} out")
        if update_freq not in ("epoch", "batch") and (not isinstance(update_freq, int) or update_freq < 1):
            raise UsageError(
                f'TensorBoard(update_freq={update_freq!r}): expected "epoch", "batch" or an integer from 1'
            )
        self.log_dir, self.histogram_freq, self.write_graph = os.fspath(log_dir), histogram_freq, write_graph
        self.write_steps_per_second, self.update_freq = write_steps_per_second, update_freq
        self.every = int({"epoch": 0, "batch": 1}.get(str(update_freq), update_freq))
        """Batches from one written batch to the next; 0 for none."""
        self.train_batches = 0
        self._writers: dict[str, Any] = {}
        self._batch_began = self._epoch_began = 0.0
        self._steps_before = 0

    def set_model(self, model: Any) -> None:
        super().set_model(model)
        _writer_class()  # what is missing is said before the first step

    def _write(self, part: str, values: Logs, step: int) -> None:
        if values and part not in self._writers:
            unique = f".{os.getpid()}.{next(_files)}"  # the rest of a file's name is only the second it was made in
            self._writers[part] = _writer_class()(logdir=str(Path(self.log_dir, part)), filename_suffix=unique)
        for tag, value in values.items():
            if not getattr(value, "ndim", 0):
                self._writers[part].add_scalar(tag, float(value), step)

    def _flush(self) -> None:
        for writer in self._writers.values():
            writer.flush()

    def on_train_begin(self, logs: Logs | None = None) -> None:
        self.train_batches = 0

    def on_epoch_begin(self, epoch: int, logs: Logs | None = None) -> None:
        self._epoch_began, self._steps_before = time.perf_counter(), self.model.optimizer.iterations

    def on_train_batch_begin(self, batch: int, logs: Logs | None = None) -> None:
        self.train_batches += 1
        self._batch_began = time.perf_counter()

    def on_train_batch_end(self, batch: int, logs: Logs | None = None) -> None:
        if not self.every or self.train_batches % self.every:
            return
        if self.write_steps_per_second:
            seconds = time.perf_counter() - self._batch_began
            self._write("train", {"batch_steps_per_second": 1 / max(seconds, 1e-9)}, self.train_batches)
        self._write("train", {f"batch_{name}": value for name, value in (logs or {}).items()}, self.train_batches)

    def on_test_end(self, logs: Logs | None = None) -> None:
        values = {f"evaluation_{name}_vs_iterations": value for name, value in (logs or {}).items()}
        self._write("validation", values, self.model.optimizer.iterations)
        self._flush()

    def on_epoch_end(self, epoch: int, logs: Logs | None = None) -> None:
        logs = {} if logs is None else logs
        if not logs:
            return
        of_training = {name: value for name, value in logs.items() if not name.startswith("val_")}
        of_training["learning_rate"] = float(self.model.optimizer.learning_rate)
        if self.write_steps_per_second:
            steps = self.model.optimizer.iterations - self._steps_before
            of_training["steps_per_second"] = steps / max(time.perf_counter() - self._epoch_began, 1e-9)
        of_validation = {name.removeprefix("val_"): v for name, v in logs.items() if name.startswith("val_")}
        for part, values in (("train", of_training), ("validation", of_validation)):
            self._write(part, {f"epoch_{name}": value for name, value in values.items()}, epoch)
        if self.histogram_freq and epoch % self.histogram_freq == 0:
            self._write_histograms(epoch)
        self._flush()

    def _write_histograms(self, epoch: int) -> None:
        for layer in self.model.layers:
            for weight in layer.weights:
                values = weight.numpy()
                values = values[np.isfinite(values)]  # the others have no place in a histogram
                if values.size:
                    tag = f"{self.model.name}/{layer.name}/{weight.name}/histogram"
                    self._writers["train"].add_histogram(tag, values, epoch)

    def on_train_end(self, logs: Logs | None = None) -> None:
        while self._writers:
            self._writers.popitem()[1].close()
