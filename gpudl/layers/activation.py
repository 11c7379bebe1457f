"""Activation functions as layers, for those with settings or weights, and two layers that change nothing."""

from __future__ import annotations

from numbers import Real
from typing import Any, Unpack

from gpudl import activations, constraints, initializers, ops, regularizers
from gpudl.constraints import Constraint
from gpudl.errors import ShapeError, UsageError
from gpudl.initializers import Initializer
from gpudl.layers.base import CommonSettings, Layer, LayerSettings, OpenShape
from gpudl.regularizers import Regularizer
from gpudl.shapes import shown


class _Elementwise(Layer):
    """A layer whose output has the shape of its input."""

    def compute_output_shape(self, input_shape: OpenShape) -> OpenShape:
        return tuple(input_shape)


class ReLU(_Elementwise):
    """max_value where x >= max_value, x above `threshold`, negative_slope * (x - threshold) below.

    With the defaults max(x, 0). Shapes: output as input.
    """

    def __init__(
        self,
        max_value: float | None = None,
        negative_slope: float = 0.0,
        threshold: float = 0.0,
        **settings: Unpack[LayerSettings],
    ) -> None:
        super().__init__(**settings)
        if max_value is not None:
            _need_positive(self, "max_value", max_value)
        _need_positive(self, "negative_slope", negative_slope)
        _need_positive(self, "threshold", threshold)
        self.max_value, self.negative_slope, self.threshold = max_value, negative_slope, threshold

    def call(self, x: Any) -> Any:
        return activations.relu(
            x, negative_slope=self.negative_slope, max_value=self.max_value, threshold=self.threshold
        )


class LeakyReLU(_Elementwise):
    """x where x > 0, else negative_slope * x. Shapes: output as input."""

    also_takes = ("input_dim", "alpha")

    def __init__(self, negative_slope: float = 0.3, **settings: Unpack[LayerSettings]) -> None:
        """`alpha` is what older lessons call `negative_slope`."""
        others: dict[str, Any] = dict(settings)
        negative_slope = others.pop("alpha", negative_slope)
        super().__init__(**others)
        _need_positive(self, "negative_slope", negative_slope)
        self.negative_slope = negative_slope

    def call(self, x: Any) -> Any:
        return activations.leaky_relu(x, negative_slope=self.negative_slope)


class PReLU(_Elementwise):
    """x where x > 0, else alpha * x, alpha being learned.

    Along `shared_axes`, counted from 1 for the first after the batch, all positions have one alpha: (1, 2) for images
    whose channels have one each.

    Shapes: output as input. Weights: alpha, of the shape of a sample with 1 along the shared axes.
    Source: He et al. 2015, arXiv 1502.01852.
    """

    def __init__(
        self,
        alpha_initializer: str | Initializer = "Zeros",
        alpha_regularizer: str | Regularizer | None = None,
        alpha_constraint: str | Constraint | None = None,
        shared_axes: int | tuple[int, ...] | None = None,
        **settings: Unpack[LayerSettings],
    ) -> None:
        super().__init__(**settings)
        self.alpha_initializer = initializers.get(alpha_initializer)
        self.alpha_regularizer = regularizers.get(alpha_regularizer)
        self.alpha_constraint = constraints.get(alpha_constraint)
        axes = (shared_axes,) if isinstance(shared_axes, int) else tuple(shared_axes or ())
        if any(axis < 1 for axis in axes):
            raise UsageError(f"PReLU(shared_axes={shared_axes!r}): axes count from 1, the first after the batch")
        self.shared_axes = axes

    def build(self, input_shape: OpenShape) -> None:
        if any(axis >= len(input_shape) for axis in self.shared_axes):
            raise ShapeError(f"shared_axes={self.shared_axes} are not all axes of an input of {shown(input_shape)}")
        shape = []
        for axis, n in enumerate(input_shape[1:], 1):
            if n is None and axis not in self.shared_axes:
                raise ShapeError(f"axis {axis} of {shown(input_shape)} has no fixed length; put it among shared_axes")
            shape.append(1 if axis in self.shared_axes else n)
        self.alpha = self.add_weight(
            tuple(shape),
            self.alpha_initializer,
            regularizer=self.alpha_regularizer,
            constraint=self.alpha_constraint,
            name="alpha",
        )

    def call(self, x: Any) -> Any:
        fits = len(x.shape) == self.alpha.ndim + 1 and all(
            own in (1, n, None) or n is None for own, n in zip(self.alpha.shape, x.shape[1:], strict=True)
        )
        if not fits:
            raise ShapeError(f"built with an alpha of shape {shown(self.alpha.shape)}, but called on {shown(x.shape)}")
        return ops.prelu(x, self.alpha)


class ELU(_Elementwise):
    """x where x > 0, else alpha (exp(x) - 1). Shapes: output as input."""

    def __init__(self, alpha: float = 1.0, **settings: Unpack[LayerSettings]) -> None:
        super().__init__(**settings)
        self.alpha = alpha

    def call(self, x: Any) -> Any:
        return activations.elu(x, alpha=self.alpha)


class Softmax(_Elementwise):
    """Turn scores into probabilities over `axis`, or over several axes together. Shapes: output as input."""

    def __init__(self, axis: int | tuple[int, ...] = -1, **settings: Unpack[LayerSettings]) -> None:
        super().__init__(**settings)
        if not isinstance(axis, int) and not axis:
            raise UsageError("Softmax(axis=()): name at least one axis")
        self.axis = axis if isinstance(axis, int) else tuple(axis)

    def call(self, x: Any, mask: Any = None) -> Any:
        if mask is not None:
            raise UsageError(f"{self}: there are no masks in gpudl; add -1e9 to the scores that are not to count")
        for axis in (self.axis,) if isinstance(self.axis, int) else self.axis:
            if not -len(x.shape) <= axis < len(x.shape):
                raise ShapeError(f"axis={axis} is not an axis of an input of shape {shown(x.shape)}")
        return activations.softmax(x, axis=self.axis)


class Identity(_Elementwise):
    """Leave everything as it is. Shapes: output as input."""

    def __init__(self, **settings: Unpack[LayerSettings]) -> None:
        super().__init__(**settings)

    def call(self, x: Any) -> Any:
        return x


class ActivityRegularization(_Elementwise):
    """Leave everything as it is, and add l1 * sum |x| + l2 * sum x^2, divided by the batch size, to the loss.

    Shapes: output as input.
    """

    def __init__(self, l1: float = 0.0, l2: float = 0.0, **settings: Unpack[CommonSettings]) -> None:
        _need_positive(self, "l1", l1)
        _need_positive(self, "l2", l2)
        super().__init__(activity_regularizer=regularizers.L1L2(l1, l2), **settings)
        self.l1, self.l2 = l1, l2

    def call(self, x: Any) -> Any:
        return x


def _need_positive(layer: Layer, name: str, value: float | None) -> None:
    """Raises: UsageError where a setting is below 0 or no number."""
    if isinstance(value, bool) or not isinstance(value, Real) or not value >= 0:
        raise UsageError(f"{type(layer).__name__}({name}={value!r}): {name} must be a number of at least 0")
