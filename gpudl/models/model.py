"""Model: layers with a loss and an optimizer, trained, used and saved."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from gpudl import losses, metrics, optimizers, random
from gpudl.autograd import Parameter, no_grad
from gpudl.backend import Array, to_numpy
from gpudl.batches import Batches, split_off
from gpudl.callbacks import Callback, CallbackList, History, Progress
from gpudl.errors import UsageError
from gpudl.layers.base import Layer, OpenShape
from gpudl.metrics import get as get_metric
from gpudl.models import training
from gpudl.models.summary import summary_table


class Model(Layer):
    """Base of models: a layer that can be compiled, trained, evaluated, summarized and saved."""

    def __init__(self, name: str | None = None, trainable: bool = True) -> None:
        super().__init__(name=name, trainable=trainable)
        self.loss: losses.Loss | None = None
        self.optimizer: optimizers.Optimizer | None = None
        self.metrics: list[metrics.Metric] = []
        self.history: History | None = None
        self.stop_training = False
        self.class_names: tuple[str, ...] | None = None
        self.step_weights: list[Parameter] = []
        self.training_state = training.TrainingState()

    @property
    def layers(self) -> list[Layer]:
        """The layers, in order."""
        return list(self.sublayers())

    def rows(self) -> list[tuple[Layer, OpenShape, OpenShape]]:
        """Return each layer with the shapes before and after it, where they are known."""
        return []

    # Training

    def compile(self, optimizer: Any = "rmsprop", loss: Any = None, *, metrics: Sequence[Any] | None = None) -> None:
        """Choose how to train: each argument by name ("adam", "mse", "accuracy") or as an object.

        Raises: UnknownNameError, with the nearest known name.
        """
        if isinstance(metrics, str):
            raise UsageError(f'compile: metrics must be a list, as in metrics=["{metrics}"]')
        self.optimizer = optimizers.get(optimizer)
        self.loss = None if loss is None else losses.get(loss)
        self.metrics = [get_metric(metric) for metric in metrics or []]
        names = [metric.name for metric in self.metrics]
        for name in names:
            if names.count(name) > 1:
                raise UsageError(f'compile: the metric "{name}" is listed twice')

    def fit(
        self,
        x: Array,
        y: Array | None = None,
        batch_size: int | None = None,
        epochs: int = 1,
        verbose: str | int = "auto",
        callbacks: Sequence[Callback] | None = None,
        validation_split: float = 0.0,
        validation_data: tuple[Array, ...] | None = None,
        shuffle: bool = True,
        class_weight: Mapping[int, float] | None = None,
        sample_weight: Array | None = None,
        initial_epoch: int = 0,
        steps_per_epoch: int | None = None,
        validation_steps: int | None = None,
        validation_batch_size: int | None = None,
        validation_freq: int | Sequence[int] = 1,
        resume: Mapping[str, Any] | None = None,
    ) -> History:
        """Train on x and y, and return the values of every epoch.

        `validation_split` sets the last samples aside before shuffling; `validation_data` is (x, y) or
        (x, y, sample_weight); `validation_freq` says after which epochs: every n-th, or those listed, counted from 1.
        `verbose` is 0 for silence, 1 for a live bar, 2 for one line an epoch. `resume` is what
        `training_checkpoint` returned: training goes on from there as if it had never stopped.

        Raises: UsageError before `compile`, or where data and model do not fit; DataError for unusable data.
        """
        self._need_compiled("fit")
        x, y = _arrays(x), _arrays(y)
        if y is None:
            raise UsageError("fit needs targets: fit(x, y)")
        if not isinstance(epochs, (int, np.integer)) or epochs < 0:
            raise UsageError(f"epochs={epochs!r} must be an integer of at least 0")
        if sample_weight is not None:
            sample_weight = np.asarray(sample_weight, dtype=np.float32)
        if validation_data is None and validation_split:
            begin = split_off(len(x), validation_split)
            validation_data = tuple(a[begin:] for a in (x, y, sample_weight) if a is not None)
            x, y = x[:begin], y[:begin]
            sample_weight = None if sample_weight is None else sample_weight[:begin]
        if class_weight is not None:  # after the split: validation is not weighted by class
            by_class = _class_weights(y, class_weight)
            sample_weight = by_class if sample_weight is None else sample_weight * by_class
        batches = Batches(x, y, sample_weight, batch_size, shuffle)
        self.check_data(batches.x, y)
        if not self.trainable_weights:
            raise UsageError(f"fit: {self} has no trainable weights; add a layer that has some, or unfreeze one")
        held_out = None
        if validation_data is not None:
            if len(validation_data) not in (2, 3):
                raise UsageError("validation_data must be (x, y) or (x, y, sample_weight)")
            held_out = Batches(
                *(_arrays(a) for a in validation_data), batch_size=validation_batch_size or batches.batch_size
            )
            self.check_data(held_out.x, held_out.y)

        for callback in callbacks or []:
            if not isinstance(callback, Callback):
                raise UsageError(f"fit: callbacks must be a list of Callback objects, but one is {callback!r}")
        history = History()
        verbose = 1 if verbose == "auto" else int(verbose)
        everyone = [history, *(callbacks or []), *([Progress(verbose)] if verbose else [])]
        steps = min(len(batches), steps_per_epoch or len(batches))
        called = CallbackList(everyone, self, {"epochs": epochs, "steps": steps, "verbose": verbose})
        self.history = history
        self.stop_training = False
        state = training.TrainingState(random.current_seed(), initial_epoch, step=self._need_optimizer().iterations)
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

    def training_checkpoint(self, callbacks: Sequence[Callback]) -> dict[str, Any]:
        """Return where training stands, for `fit(resume=...)`; `callbacks` are those given to fit."""
        history = self.history or History()
        return {
            "state": self.training_state.to_json(),
            "callbacks": [callback.state() for callback in (history, *callbacks)],
        }

    def evaluate(
        self,
        x: Array,
        y: Array | None = None,
        batch_size: int | None = None,
        verbose: str | int = "auto",
        sample_weight: Array | None = None,
        steps: int | None = None,
        callbacks: Sequence[Callback] | None = None,
        return_dict: bool = False,
    ) -> Any:
        """Return the loss, and the metrics after it, over all samples; with `return_dict` by name."""
        self._need_compiled("evaluate")
        if y is None:
            raise UsageError("evaluate needs targets: evaluate(x, y)")
        batches = Batches(_arrays(x), _arrays(y), sample_weight, batch_size)
        self.check_data(batches.x, _arrays(y))
        logs = training.test(self, batches, CallbackList(callbacks or [], self, {"steps": len(batches)}), steps)
        if return_dict:
            return logs
        values = list(logs.values())
        return values[0] if len(values) == 1 else values

    def predict(
        self,
        x: Array,
        batch_size: int | None = None,
        verbose: str | int = "auto",
        steps: int | None = None,
        callbacks: Sequence[Callback] | None = None,
    ) -> np.ndarray:
        """Return the model's output for every sample as a NumPy array."""
        batches = Batches(_arrays(x), batch_size=batch_size)
        called = CallbackList(callbacks or [], self, {"steps": len(batches)})
        outputs = []
        called("on_predict_begin", {})
        with no_grad():
            for number, batch in enumerate(batches.take(None)):
                if steps is not None and number >= steps:
                    break
                called("on_predict_batch_begin", number, {})
                y = self(batch.x, training=False)
                outputs.append(to_numpy(getattr(y, "data", y) if not isinstance(y, np.ndarray) else y))
                called("on_predict_batch_end", number, {})
        called("on_predict_end", {})
        return np.concatenate(outputs)

    def _need_compiled(self, what: str) -> None:
        if self.loss is None or self.optimizer is None:
            raise UsageError(
                f'{what}: {self} does not know its loss yet; call compile(optimizer="adam", loss=...) before'
            )

    def _need_optimizer(self) -> optimizers.Optimizer:
        if self.optimizer is None:
            raise UsageError(f'{self} has no optimizer; call compile(optimizer="adam", loss=...) before')
        return self.optimizer

    def check_data(self, x: Array, y: Array) -> None:
        """See before any step that model, loss and data fit: builds the model, and tries the loss on one sample.

        Raises: UsageError or ShapeError saying which of labels, loss and last layer does not fit, and the remedy.
        """
        self._need_compiled("check_data")
        self.build_for((None, *x.shape[1:]))
        if y.dtype.kind not in "iufb":
            raise UsageError(f"targets must be numbers, but are of type {y.dtype}; give each class a number from 0 on")
        with no_grad():
            outputs = self(x[:1], training=False)
            if isinstance(self.loss, losses.SparseCategoricalCrossentropy):
                _check_labels(y, outputs.shape)
            elif isinstance(self.loss, losses.BinaryCrossentropy) and (y.min() < 0 or y.max() > 1):
                raise UsageError(
                    f"binary_crossentropy takes targets between 0 and 1, but these run from {y.min()} to {y.max()}; "
                    'for several classes use "sparse_categorical_crossentropy" and one unit for each'
                )
            if self.loss is not None:
                self.loss(y[:1], outputs)

    # Looking and saving

    def summary(self) -> None:
        """Print a table: layer, output shape, parameters, multiply-adds of one sample."""
        from rich.console import Console

        console = Console(highlight=False)
        console.print(summary_table(self))

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write architecture, weights, optimizer and how the model was compiled into one safetensors file.

        Raises: TrainingError where the file cannot be written; an older file stays. UsageError where a layer is not
        registered.
        """
        from gpudl.models.saving import save_model

        if str(path).endswith((".h5", ".hdf5", ".keras")):
            raise UsageError(f"{path}: this version saves models as safetensors only; name it *.safetensors")
        save_model(self, path)


def _check_labels(y: Array, output_shape: tuple[int, ...]) -> None:
    """See that labels are whole numbers from 0 to below the number of outputs."""
    if y.dtype.kind == "f" and (y != y.round()).any():
        raise UsageError(
            "sparse_categorical_crossentropy takes class numbers, but the targets are not whole "
            f"({y[y != y.round()][0]}, for one)"
            '; for a quantity use "mean_squared_error" and one unit without activation'
        )
    outputs, lowest, highest = output_shape[-1], int(y.min()), int(y.max())
    if lowest < 0 or highest >= outputs:
        classes = highest - lowest + 1
        remedy = f"give it {classes} units" if classes != outputs else ""
        if lowest != 0 and (lowest < 0 or classes <= outputs):
            step = f"add {-lowest}" if lowest < 0 else f"subtract {lowest}"
            remedy = f"{step} so that they count from 0" + (f", and {remedy}" if remedy else "")
        elif highest >= outputs:
            remedy = f"give it {highest + 1} units"
        raise UsageError(
            f"labels run from {lowest} to {highest}, but the last layer has {outputs} outputs, for labels "
            f"0 to {outputs - 1}; {remedy}"
        )


def _arrays(data: Any) -> Any:
    return data if data is None or hasattr(data, "ndim") else np.asarray(data)


def _class_weights(y: Array, class_weight: Mapping[int, float]) -> np.ndarray:
    """Return each sample's weight by its class; one-hot targets count by their largest entry."""
    classes = to_numpy(y)
    classes = classes.argmax(axis=-1) if classes.ndim > 1 and classes.shape[-1] > 1 else classes.reshape(-1)
    weights = np.ones(len(classes), np.float32)
    for label, weight in class_weight.items():
        weights[classes == label] = weight
    return weights
