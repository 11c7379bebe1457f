"""Training, evaluating and predicting over batches: what `fit`, `evaluate` and `predict` make of their arguments."""

from __future__ import annotations

import itertools
import time
import warnings
from collections.abc import Mapping, Sequence
from typing import Any, Self

import numpy as np

from gpudl import random
from gpudl.autograd import Tensor, no_grad
from gpudl.backend import devices, library, to_numpy
from gpudl.backend.numpy.workers import single_threaded_blas
from gpudl.batches import (
    Batch,
    Batches,
    Stream,
    as_arrays,
    batches_of,
    is_stream,
    on_device,
    samples_of,
    split_off,
    unpacked,
)
from gpudl.callbacks import BackupAndRestore, Callback, CallbackList, History, Progress
from gpudl.callbacks.progress import print_line, values_line
from gpudl.errors import UsageError
from gpudl.layers.weighted import kept_state
from gpudl.models import training
from gpudl.models.checks import check_targets, class_weights, warn_of_no_numbers
from gpudl.models.compiled import targets_of
from gpudl.models.steps import Steps
from gpudl.models.training import plain_logs
from gpudl.structures import leaves, mapped


class Trainer(Steps):
    """Takes steps over all batches of the data, for as many epochs as asked."""

    history: History | None
    fit_callbacks: list[Callback]
    """Those given to the `fit` under way."""
    training_state: training.TrainingState

    def __new__(cls, *args: Any, **kwargs: Any) -> Self:
        self = super().__new__(cls, *args, **kwargs)
        self.history = None
        self.stop_training = False
        self.training_state = training.TrainingState()
        return self

    def fit(
        self,
        x: Any = None,
        y: Any = None,
        batch_size: int | None = None,
        epochs: int = 1,
        verbose: str | int = "auto",
        callbacks: Callback | Sequence[Callback] | None = None,
        validation_split: float = 0.0,
        validation_data: Any = None,
        shuffle: bool = True,
        class_weight: Mapping[int, float] | None = None,
        sample_weight: Any = None,
        initial_epoch: int = 0,
        steps_per_epoch: int | None = None,
        validation_steps: int | None = None,
        validation_batch_size: int | None = None,
        validation_freq: int | Sequence[int] = 1,
        resume: Mapping[str, Any] | None = None,
    ) -> History:
        """Train on x and y, and return the values of every epoch.

        x and y are arrays, or several in lists or dicts; or x yields batches (x, y) or (x, y, sample_weight): a
        generator, a `utils.PyDataset`, a DataLoader. `validation_split` sets the last samples aside before shuffling;
        `validation_data` is (x, y), (x, y, sample_weight) or yields batches; `validation_freq` says after which epochs:
        every n-th, or those listed, counted from 1. `verbose` is 0 for silence, 1 for a live bar, 2 for one line an
        epoch. `resume` is what `training_checkpoint` returned: training goes on from there as if it had never stopped.

        Raises: UsageError before `compile`, or where data and model do not fit; DataError for unusable data.
        """
        self._need_compiled("fit")
        if isinstance(epochs, bool) or not isinstance(epochs, (int, np.integer)) or epochs < 0:
            raise UsageError(f"epochs={epochs!r} must be an integer of at least 0")
        if isinstance(initial_epoch, bool) or not isinstance(initial_epoch, (int, np.integer)) or initial_epoch < 0:
            raise UsageError(f"initial_epoch={initial_epoch!r} must be an integer of at least 0")
        for what, count in (
            ("steps_per_epoch", steps_per_epoch),
            ("validation_steps", validation_steps),
            ("validation_batch_size", validation_batch_size),
        ):
            _check_count("fit", what, count)
        if not validation_freq or not isinstance(validation_freq, (int, np.integer, list, tuple)):
            raise UsageError(f"fit: validation_freq={validation_freq!r} must be an integer of at least 1, or a list")
        if verbose not in ("auto", 0, 1, 2):
            raise UsageError(f'fit: verbose={verbose!r} must be 0, 1, 2 or "auto"')
        batches, held_out = self._data_of_fit(
            (x, y, sample_weight),
            batch_size,
            shuffle,
            class_weight,
            validation_split,
            validation_data,
            validation_batch_size,
        )
        if not self.trainable_weights:
            warnings.warn(
                f"fit: {self} has no trainable weights, so nothing is learned; unfreeze a layer", stacklevel=2
            )

        callbacks = [callbacks] if isinstance(callbacks, Callback) else list(callbacks or [])
        for callback in callbacks:
            if not isinstance(callback, Callback):
                made = f"; make one of it: {callback.__name__}(...)" if isinstance(callback, type) else ""
                raise UsageError(f"fit: callbacks must be a list of Callback objects, but one is {callback!r}{made}")
        callbacks = self.fit_callbacks = _in_order(callbacks)
        history = History()
        verbose = 1 if verbose == "auto" else int(verbose)
        shown = any(isinstance(callback, Progress) for callback in callbacks)
        everyone = [history, *callbacks, *([Progress(verbose)] if verbose and not shown else [])]
        steps = steps_per_epoch or len(batches) or None
        called = CallbackList(everyone, self, {"epochs": epochs, "steps": steps, "verbose": verbose})
        self.history = history
        self.stop_training = False
        done = 0 if self.optimizer is None else self.optimizer.steps
        state = training.TrainingState(random.current_seed(), initial_epoch, step=done)
        for callback in callbacks:
            resume = callback.resume() if resume is None else resume
        if resume is not None:
            state = training.TrainingState(**resume["state"])
            random.set_random_seed(state.seed)
        training.train(
            self,
            batches,
            None if held_out is None else lambda: training.test(self, held_out, called, validation_steps),
            called,
            int(epochs),
            state,
            validation_freq,
            steps_per_epoch,
            None if resume is None else resume["callbacks"],
        )
        return history

    def _data_of_fit(
        self,
        data: tuple[Any, Any, Any],
        batch_size: int | None,
        shuffle: bool,
        class_weight: Mapping[int, float] | None,
        validation_split: float,
        validation_data: Any,
        validation_batch_size: int | None,
    ) -> tuple[Batches | Stream, Any]:
        """Return the batches to train on and those held out, or None, seen to fit the model."""
        x, y, sample_weight = data
        if class_weight is not None and sample_weight is not None:
            raise UsageError(
                "fit: give class_weight or sample_weight, not both; multiply them yourself where you mean it"
            )
        if is_stream(x):
            if validation_split:
                raise UsageError(
                    f"validation_split={validation_split} needs arrays, whose last samples it sets aside, but x is a "
                    f"{type(x).__name__}; give validation_data=(x_val, y_val), or a second generator"
                )
            if class_weight is not None and not hasattr(x, "__getitem__"):
                raise UsageError(
                    f"class_weight needs arrays, but x is a {type(x).__name__}; yield sample weights instead"
                )
        else:
            x, y, sample_weight = as_arrays(x), as_arrays(y), as_arrays(sample_weight)
            if x is None:
                raise UsageError("fit needs data: fit(x, y)")
            Batches(x, y, sample_weight, batch_size)  # lengths that differ are an error before anything is split
            warn_of_no_numbers(x, y, sample_weight)
        if validation_data is None and validation_split:
            begin = split_off(samples_of(x), validation_split)
            held = tuple(mapped(lambda a: None if a is None else a[begin:], part) for part in (x, y, sample_weight))
            validation_data = held if sample_weight is not None else held[:2]
            x, y, sample_weight = (
                mapped(lambda a: None if a is None else a[:begin], part) for part in (x, y, sample_weight)
            )
        if class_weight is not None and not is_stream(x):  # after the split: validation is not weighted by class
            sample_weight = class_weights(y, class_weight)
        batches = batches_of(x, y, sample_weight, batch_size, shuffle)
        if class_weight is not None and isinstance(batches, Stream):
            batches.weigh = lambda batch: _weighed(batch, class_weight)
        self._check_batches(batches)
        held_out: Any = None
        if validation_data is not None:
            held_out = _validation_batches(validation_data, validation_batch_size or batches.batch_size)
            self._check_batches(held_out)
        return batches, held_out

    def training_checkpoint(self, callbacks: Sequence[Callback]) -> dict[str, Any]:
        """Return where training stands, for `fit(resume=...)`; `callbacks` are those given to fit."""
        history = self.history or History()
        return {
            "state": self.training_state.to_json(),
            "callbacks": [callback.state() for callback in (history, *_in_order(callbacks))],
        }

    def evaluate(
        self,
        x: Any = None,
        y: Any = None,
        batch_size: int | None = None,
        verbose: str | int = "auto",
        sample_weight: Any = None,
        steps: int | None = None,
        callbacks: Sequence[Callback] | None = None,
        return_dict: bool = False,
    ) -> Any:
        """Return the loss, and the metrics after it, over all samples; with `return_dict` by name."""
        self._need_compiled("evaluate")
        if x is None:
            raise UsageError("evaluate needs data: evaluate(x, y)")
        _check_count("evaluate", "steps", steps)
        batches = batches_of(x, y, sample_weight, batch_size)
        self._check_batches(batches)
        called = CallbackList(callbacks or [], self, {"steps": steps or len(batches) or None})
        began = time.perf_counter()
        logs = training.test(self, batches, called, steps)
        if verbose:
            print_line(f"evaluated  {values_line(logs)}  [dim]{time.perf_counter() - began:.1f} s[/dim]")
        return _listed(logs, return_dict)

    def predict(
        self,
        x: Any,
        batch_size: int | None = None,
        verbose: str | int = "auto",
        steps: int | None = None,
        callbacks: Sequence[Callback] | None = None,
    ) -> Any:
        """Return the model's output for every sample as a NumPy array; several outputs in their structure."""
        _check_count("predict", "steps", steps)
        batches = batches_of(x, batch_size=batch_size)
        called = CallbackList(callbacks or [], self, {"steps": steps or len(batches) or None})
        outputs: list[Any] = []
        called("on_predict_begin", {})
        with no_grad():
            batches.begin_epoch()
            passing = on_device(itertools.islice(batches.begin_pass(0, 0), steps), self.device)
            for number, batch in enumerate(passing):
                called("on_predict_batch_begin", number, {})
                data = batch.packed() if isinstance(batches, Stream) else Batch(batch.x, None, None)
                outputs.append(mapped(_as_numpy, self.predict_step(data)))
                called("on_predict_batch_end", number, {"outputs": outputs[-1]})
        called("on_predict_end", {})
        if not outputs:
            raise UsageError("predict: there are no samples")
        parts = [list(leaves(output)) for output in outputs]
        joined = iter([np.concatenate(each) for each in zip(*parts, strict=True)])
        return mapped(lambda _: next(joined), outputs[0])

    def train_on_batch(
        self,
        x: Any,
        y: Any = None,
        sample_weight: Any = None,
        class_weight: Mapping[int, float] | None = None,
        return_dict: bool = False,
    ) -> Any:
        """Take one step on these samples; return their loss and metrics, nothing before being counted."""
        self._need_compiled("train_on_batch")
        y = as_arrays(y)
        if class_weight is not None:
            if sample_weight is not None:
                raise UsageError("train_on_batch: give class_weight or sample_weight, not both")
            sample_weight = class_weights(y, class_weight)
        self.step_weights = self.trainable_weights
        random.begin_step(0 if self.optimizer is None else self.optimizer.steps)
        self.reset_metrics()
        with single_threaded_blas:
            logs = self.train_step(Batch(as_arrays(x), y, as_arrays(sample_weight)).packed())
        return _listed(plain_logs(logs), return_dict)

    def test_on_batch(self, x: Any, y: Any = None, sample_weight: Any = None, return_dict: bool = False) -> Any:
        """Return the loss and the metrics of these samples, nothing before being counted."""
        self._need_compiled("test_on_batch")
        self.reset_metrics()
        with no_grad():
            logs = self.test_step(Batch(as_arrays(x), as_arrays(y), as_arrays(sample_weight)).packed())
        return _listed(plain_logs(logs), return_dict)

    def predict_on_batch(self, x: Any) -> Any:
        """Return the outputs for these samples as NumPy arrays."""
        with no_grad():
            return mapped(_as_numpy, self.predict_step(Batch(as_arrays(x), None, None)))

    @property
    def device(self) -> str:
        """Where the weights are, "cpu" or "cuda"; before there are any, the device in use."""
        weights = self.weights
        if not weights:
            return devices.current()
        return "cuda" if library(weights[0].data) == "cupy" else "cpu"

    def _need_compiled(self, what: str) -> None:
        if not self.compiled:
            raise UsageError(
                f'{what}: {self} does not know its loss yet; call compile(optimizer="adam", loss=...) before'
            )

    def _check_batches(self, batches: Batches | Stream) -> None:
        """See before any step that data and losses fit, where the steps are gpudl's own."""
        own_step = type(self).train_step is not Steps.train_step or type(self).compute_loss is not Steps.compute_loss
        data = batches if isinstance(batches, Batches) else batches.peek()
        if own_step or self._output_losses is None:
            return
        if data.y is None:
            raise UsageError(f"{self} has a loss, which needs targets: fit(x, y), evaluate(x, y)")
        self.check_data(data.x, data.y)

    def check_data(self, x: Any, y: Any) -> None:
        """See before any step that model, loss and data fit: builds the model, and tries the loss on a few samples.

        Raises: UsageError or ShapeError saying which of labels, loss and last layer does not fit, and the remedy.
        """
        self._need_compiled("check_data")
        x, y = as_arrays(x), as_arrays(y)
        with np.errstate(all="ignore"), kept_state(self):  # on the tape, which tells what made the predictions
            y_pred = self(mapped(lambda a: None if a is None else a[:8], x), training=False)
            names = self._names_of(y_pred)
            if self._output_losses is None:
                return
            self._output_losses.resolve(names)
            wanted = [loss is not None for loss in self._output_losses.each]
            for name, loss, target, predicted in zip(
                names, self._output_losses.each, targets_of(y, names, wanted), leaves(y_pred), strict=True
            ):
                if loss is None or target is None:
                    continue
                try:
                    check_targets(loss, target, predicted)
                except UsageError as error:
                    if len(names) > 1:
                        error.args = (f'output "{name}": {error}',)
                    raise


def _check_count(method: str, name: str, count: int | None) -> None:
    """Raise UsageError where a number of steps is none."""
    if count is not None and (not isinstance(count, (int, np.integer)) or isinstance(count, bool) or count < 1):
        raise UsageError(f"{method}: {name}={count!r} must be an integer of at least 1; leave it out to take all data")


def _as_numpy(y: Any) -> np.ndarray:
    return to_numpy(y.data if isinstance(y, Tensor) else y)


def _listed(logs: dict[str, float], return_dict: bool) -> Any:
    """Return logs by name, or their values: the loss alone, or a list."""
    values = list(logs.values())
    return dict(sorted(logs.items())) if return_dict else values[0] if len(values) == 1 else values


def _weighed(batch: Batch, class_weight: Mapping[int, float]) -> Batch:
    if batch.weight is not None:
        raise UsageError("fit: the batches have sample weights, so class_weight cannot be given, too")
    return batch._replace(weight=class_weights(batch.y, class_weight))


def _validation_batches(validation_data: Any, batch_size: int | None) -> Batches | Stream:
    if is_stream(validation_data):
        return Stream(validation_data)
    if not isinstance(validation_data, (list, tuple)) or len(validation_data) not in (2, 3):
        raise UsageError("validation_data must be (x, y) or (x, y, sample_weight), or yield batches of them")
    x, y, weight = unpacked(validation_data)
    return batches_of(x, y, weight, batch_size)


def _in_order(callbacks: Sequence[Callback]) -> list[Callback]:
    """Put those last that save what the others have done."""
    return sorted(callbacks, key=lambda callback: isinstance(callback, BackupAndRestore))
