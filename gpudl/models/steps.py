"""What a step of training is: a loss, metrics, an optimizer, and how one batch is gone through."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Self

from gpudl import optimizers
from gpudl.autograd import Parameter, Tensor
from gpudl.backend import library
from gpudl.batches import samples_of, unpacked
from gpudl.errors import UsageError
from gpudl.layers.base import Layer
from gpudl.layers.weighted import layers_within
from gpudl.metrics import Mean, Metric
from gpudl.models import training
from gpudl.models.compiled import OutputLosses, OutputMetrics
from gpudl.models.repeating import Repeating, is_all_built_in
from gpudl.models.training import RunningLogs
from gpudl.structures import leaves


@dataclass
class _Steady:
    """What does not change while a loop over batches runs."""

    regularized: list[Parameter]
    metrics: list[Any] | None = None
    reached: bool = False
    """Whether a step has shown that a gradient comes to all weights, or warned of those it does not."""
    training: Repeating | None = None
    """What takes forward, loss and gradients of a step, where they may be recorded."""
    testing: Repeating | None = None
    """The same for forward and loss, where nothing is trained."""

    def __reduce__(self) -> Any:
        return type(None), ()  # a copy of the model, or one in a file, is in no loop


class Steps(Layer):
    """A layer that can be compiled, and knows how to take one step. A subclass may define `train_step` itself."""

    loss: Any
    optimizer: optimizers.Optimizer | None
    step_weights: list[Parameter]
    """The weights that `fit` trains, chosen when it begins."""
    compile_settings: dict[str, Any]
    _output_losses: OutputLosses | None
    _output_metrics: OutputMetrics | None
    _loss_tracker: Mean | None
    _steady: _Steady | None

    def __new__(cls, *args: Any, **kwargs: Any) -> Self:
        self = super().__new__(cls, *args, **kwargs)
        self.loss = self.optimizer = None
        self._output_losses = self._output_metrics = self._loss_tracker = self._steady = None
        self.compiled = False
        self.step_weights = []
        self.compile_settings = {}
        return self

    def compile(
        self,
        optimizer: Any = "rmsprop",
        loss: Any = None,
        loss_weights: Any = None,
        metrics: Any = None,
        weighted_metrics: Any = None,
        run_eagerly: bool = False,
        steps_per_execution: int = 1,
        jit_compile: str | bool = "auto",
        auto_scale_loss: bool = True,
    ) -> None:
        """Choose how to train: each argument by name ("adam", "mse", "accuracy") or as an object.

        With several outputs, loss, loss_weights and metrics are lists with one entry for each output, or dicts by the
        outputs' names.

        Where layers, loss and metrics are gpudl's own, `fit` notes what a step calls and repeats that for batches
        alike: on the CPU the ops, on a GPU the launches, as one CUDA graph. So the layers' Python runs for the first
        steps only. With `jit_compile=True` a GPU does so also where they are not gpudl's own; outputs then lie where
        those of the step before lay, and a metric that keeps them copies them. With False, or `run_eagerly=True`,
        every step is taken as it is written. `auto_scale_loss` is Keras's, and changes nothing here.

        Raises: UnknownNameError, with the nearest known name; UsageError where they do not fit the outputs.
        """
        if any(isinstance(weight, str) for weight in leaves(loss_weights)):
            metrics_by_place = isinstance(loss_weights, (list, tuple)) and metrics is None
            hint = f"; for metrics say metrics={loss_weights!r}" if metrics_by_place else ""
            raise UsageError(f"compile: loss_weights={loss_weights!r} must be numbers, one for each output{hint}")
        if steps_per_execution != 1:
            raise UsageError(f"compile: steps_per_execution={steps_per_execution!r}: gpudl takes one step at a time")
        if jit_compile not in ("auto", True, False):
            raise UsageError(f'compile: jit_compile={jit_compile!r} must be "auto", True or False')
        if loss_weights is not None and not isinstance(loss_weights, (list, tuple, dict, float, int)):
            raise UsageError(f"compile: loss_weights={loss_weights!r} must be numbers, one for each output")
        self.optimizer = None if optimizer is None else optimizers.get(optimizer)
        names = self._output_names()
        self._output_losses = None if loss is None else OutputLosses(loss, loss_weights, names)
        self.loss = None if self._output_losses is None else self._output_losses.loss
        self._output_metrics = OutputMetrics(metrics, weighted_metrics, names)
        self._loss_tracker = Mean(name="loss")
        self.jit_compile: str | bool = False if run_eagerly else jit_compile
        self.compiled = True
        self.compile_settings = {
            "loss": self.loss,
            "loss_weights": loss_weights,
            "metrics": self._output_metrics.wanted,
            "weighted_metrics": self._output_metrics.weighted,
        }

    def _output_names(self) -> list[str] | None:
        """What the outputs are called; None where only the first call will tell how many there are."""
        return None

    def _names_of(self, y_pred: Any) -> list[str]:
        names = self._output_names()
        if names is not None:
            return names
        count = len(list(leaves(y_pred)))
        if isinstance(y_pred, Mapping) and len(y_pred) == count:
            return sorted(y_pred)
        return ["output"] if count == 1 else [f"output_{i + 1}" for i in range(count)]

    @property
    def metrics(self) -> list[Any]:
        """What is counted over an epoch: the loss, each output's loss, the metrics of `compile`, and own ones.

        Own ones are those kept as attributes of the model or of its layers.
        """
        if self._steady is None:
            return self._all_metrics()
        known = self._output_metrics is None or self._output_metrics.resolved
        if self._steady.metrics is None and known:
            self._steady.metrics = self._all_metrics()
        return self._steady.metrics or self._all_metrics()

    @property
    def losses(self) -> list[Any]:
        """What is added to the loss: penalties of weights, and what the last call brought about."""
        if self._steady is None:
            return super().losses
        of_weights = [w.regularizer(w) for w in self._steady.regularized if w.regularizer is not None]
        return [*self._penalties, *of_weights]

    @contextmanager
    def steady(self) -> Iterator[None]:
        """Within this context metrics and regularized weights are looked up once, not in every step.

        What the steps do is recorded, and repeated, where `compile` allows it.
        """
        before, weights = self._steady, self.weights
        self._steady = _Steady([w for w in self.trainable_weights if w.regularizer is not None])
        if before is not None:  # a validation between epochs
            self._steady.training, self._steady.testing = before.training, before.testing
        elif weights and self._is_repeatable():
            steps = (self._go_forward_and_back, self._go_forward)
            made = [Repeating(step, weights, self._with_settings, self._is_repeatable) for step in steps]
            self._steady.training, self._steady.testing = made
        try:
            yield
        finally:
            if before is None:
                for repeating in filter(None, (self._steady.training, self._steady.testing)):
                    repeating.close()
            self._steady = before

    def _is_repeatable(self) -> bool:
        """Whether steps may be recorded. Metrics that are counted within a step would miss what is repeated."""
        losses, metrics = self._output_losses, self._output_metrics
        if not self.compiled or self.jit_compile is False or losses is None or metrics is None or not losses.each:
            return False
        if type(self).compute_loss is not Steps.compute_loss:
            return False
        after = {id(self._loss_tracker), *(id(metric) for _, _, metric in metrics.each)}
        if any(id(metric) not in after for metric in self._all_metrics()):
            return False
        if self.jit_compile is True and library(self.weights[0].data) == "cupy":
            return True
        keep_nothing = all(type(metric).__module__.startswith("gpudl.") for _, _, metric in metrics.each)
        return keep_nothing and is_all_built_in(self, self._own_losses())

    def _with_settings(self) -> list[Any]:
        """What has settings that a step reads, besides the layers."""
        layers = [self, *layers_within(self)]
        regularizers = [*(w.regularizer for w in self.weights), *(layer.activity_regularizer for layer in layers)]
        return [*self._own_losses(), *(each for each in regularizers if each is not None)]

    def _own_losses(self) -> list[Any]:
        return [] if self._output_losses is None else [loss for loss in self._output_losses.each if loss is not None]

    def _all_metrics(self) -> list[Any]:
        found: list[Any] = []
        if self._loss_tracker is not None:
            found.append(self._loss_tracker)
        if self._output_losses is not None:
            found.extend(self._output_losses.trackers)
        if self._output_metrics is not None:
            named = [metric for _, _, metric in self._output_metrics.each]
            several = self._output_losses is not None and len(self._output_losses.each) > 1
            found.extend(sorted(named, key=lambda metric: metric.name) if several else named)
        for layer in _with_sublayers(self):
            found.extend(value for value in vars(layer).values() if isinstance(value, Metric))
        return list({id(metric): metric for metric in found}.values())

    @property
    def metrics_names(self) -> list[str]:
        return [metric.name for metric in self.metrics]

    def reset_metrics(self) -> None:
        """Let all metrics forget what they have seen."""
        for metric in self.metrics:
            metric.reset_state()

    def zero_grad(self) -> None:
        """Clear all gradients, as a hand-written loop does before `loss.backward()`."""
        for weight in self.weights:
            weight.grad = None

    def _need_optimizer(self) -> optimizers.Optimizer:
        if self.optimizer is None:
            raise UsageError(f'{self} has no optimizer; call compile(optimizer="adam", loss=...) before')
        return self.optimizer

    # One step; a subclass may define its own

    def compute_loss(
        self, x: Any = None, y: Any = None, y_pred: Any = None, sample_weight: Any = None, training: bool = True
    ) -> Any:
        """Return the loss with all penalties, as a Tensor. Raises: UsageError where there is nothing to train on."""
        loss: Any = None
        if self._output_losses is not None:
            flat = [y_pred] if isinstance(y_pred, Tensor) else list(leaves(y_pred))
            loss = self._output_losses(y, flat, sample_weight, self._names_of(y_pred))
        for penalty in self.losses:
            loss = penalty if loss is None else loss + penalty
        if loss is None:
            raise UsageError(f"{self} has no loss to train on; give compile a loss, or call add_loss in a layer")
        return loss if isinstance(loss, Tensor) else Tensor(loss)

    def compute_metrics(self, x: Any, y: Any, y_pred: Any, sample_weight: Any = None) -> Any:
        """Take one batch into account and return the metrics by name; they are computed when read."""
        if self._output_metrics is not None and (self._output_metrics.each or not self._output_metrics.resolved):
            flat = [y_pred] if isinstance(y_pred, Tensor) else leaves(y_pred)
            values = [part.data if isinstance(part, Tensor) else part for part in flat]
            self._output_metrics.update(y, values, sample_weight, self._names_of(y_pred))
        return self.get_metrics_result()

    def get_metrics_result(self) -> Any:
        """Return the metrics by name; they are computed when read."""
        return RunningLogs(self.metrics)

    def train_step(self, data: Any) -> Any:
        """Take one step: forward, loss, gradients, update, metrics. `data` is x, (x, y) or (x, y, sample_weight).

        A subclass may define its own; it returns the logs as a dict.
        """
        x, y, sample_weight = unpacked(data)
        scaled = self.optimizer is not None and self.optimizer.loss_scale_factor is not None  # by what may change
        repeating = None if self._steady is None or scaled else self._steady.training
        y_pred, value, *self._penalties = (repeating or self._go_forward_and_back)(x, y, sample_weight)
        weights = self.step_weights or self.trainable_weights
        if weights:
            if self._steady is None or not self._steady.reached:
                training.warn_of_unreached(self)
                if self._steady is not None:
                    self._steady.reached = True
            self._need_optimizer().apply(weights)
        if self._loss_tracker is not None:
            self._loss_tracker.add(value, samples_of(x))
        return self.compute_metrics(x, y, y_pred, sample_weight)

    def _go_forward_and_back(self, x: Any, y: Any, sample_weight: Any) -> tuple[Any, ...]:
        """Compute outputs, loss, as an array, and all that layers add to it; leave the gradients in the weights."""
        y_pred = self(x, training=True)
        loss = self.compute_loss(x, y, y_pred, sample_weight)
        value = loss.data
        if self.step_weights or self.trainable_weights:
            self._need_optimizer().scale_loss(loss).backward()
        return y_pred, value, *self._penalties

    def _go_forward(self, x: Any, y: Any, sample_weight: Any) -> tuple[Any, ...]:
        """Compute outputs, loss, as an array, and all that layers add to it, outside training."""
        y_pred = self(x, training=False)
        return y_pred, self.compute_loss(x, y, y_pred, sample_weight, training=False).data, *self._penalties

    def test_step(self, data: Any) -> Any:
        """Compute loss and metrics of one batch, nothing being trained."""
        x, y, sample_weight = unpacked(data)
        repeating = None if self._steady is None else self._steady.testing
        y_pred, value, *self._penalties = (repeating or self._go_forward)(x, y, sample_weight)
        if self._loss_tracker is not None:
            self._loss_tracker.add(value, samples_of(x))
        return self.compute_metrics(x, y, y_pred, sample_weight)

    def predict_step(self, data: Any) -> Any:
        """Compute the outputs of one batch."""
        return self(unpacked(data).x, training=False)


def _with_sublayers(layer: Layer) -> Iterator[Layer]:
    """The layer and all within it; what inner models count when trained on their own stays theirs."""
    yield layer
    for inner in layer.sublayers():
        yield from (each for each in _with_sublayers(inner) if not (each is inner and isinstance(inner, Steps)))
