"""What losses share: targets meet predictions in shape and type, and the losses of all samples become one number."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import Any, Literal, Self, TypeAlias, get_args

import numpy as np

from gpudl import ops, registry
from gpudl.autograd import Tensor, differentiable
from gpudl.backend import Array, array_module, devices
from gpudl.configurable import Configurable
from gpudl.errors import ShapeError, UsageError

SINGLE, DOUBLE = np.dtype("float32"), np.dtype("float64")

EPSILON = 1e-7
"""The smallest number that is divided by or given to a logarithm, as in Keras."""

Reduction: TypeAlias = Literal["sum_over_batch_size", "sum", "mean", "mean_with_sample_weight", "none"] | None


class Loss(Configurable):
    """Base of losses: `loss(y_true, y_pred, sample_weight)` reduces what `call` returns for each sample to one number.

    `reduction` says how: "sum_over_batch_size" and "mean" divide the sum by the number of losses, whatever their
    weights; "mean_with_sample_weight" divides it by the sum of the weights; "sum" does not divide; "none" and None
    leave every loss as it is. `dtype` is the type to compute in, that of the predictions where nothing is said.
    """

    kind = "losses"
    name: str
    reduction: Reduction = "sum_over_batch_size"
    dtype: str | None = None
    takes_labels = False
    """Whether integer targets are numbers of classes, which stay integers; otherwise they get the predictions' type."""

    def __new__(cls, *args: Any, **kwargs: Any) -> Self:
        self = super().__new__(cls, *args, **kwargs)
        self.name = registry.snake_case(cls.__name__)
        return self

    def __init__(
        self, name: str | None = None, reduction: Reduction = "sum_over_batch_size", dtype: str | None = None
    ) -> None:
        known = get_args(get_args(Reduction)[0])
        if reduction is not None and reduction not in known:
            raise UsageError(
                f"{type(self).__name__}: reduction={reduction!r} is unknown; use one of {', '.join(known)}"
            )
        self.name, self.reduction, self.dtype = name or self.name, reduction, known_dtype(type(self), dtype)

    def call(self, y_true: Array, y_pred: Any) -> Any:
        """Return one loss per sample (or per sample and position), as a Tensor if y_pred is one."""
        raise UsageError(f"{type(self).__name__} must define call(y_true, y_pred)")

    def counted(self, y_true: Array, y_pred: Any) -> Array | None:
        """Return which losses count, as booleans of the shape of the losses; None for all."""
        return None

    def __call__(self, y_true: Array, y_pred: Any, sample_weight: Array | None = None) -> Any:
        """Return the loss of a batch as a Tensor.

        Raises: ShapeError where targets, predictions and weights do not fit; UsageError for targets that are text.
        """
        y_pred = floating(y_pred if isinstance(y_pred, Tensor) else Tensor(y_pred), self.dtype)
        if not (self.takes_labels and type(y_true) is np.ndarray and y_true.dtype.kind in "iu"):
            y_true = targets_of(self.name, y_true, y_pred, recorded=True)
        values = self.call(y_true, y_pred)
        values = values if isinstance(values, Tensor) else Tensor(values)
        return reduce(values, sample_weight, self.counted(y_true, y_pred), self.reduction)


class FunctionLoss(Loss):
    """A function of (y_true, y_pred) as a loss; `settings` are handed on to it."""

    def __init__(
        self,
        function: Callable[..., Any],
        reduction: Reduction = "sum_over_batch_size",
        name: str | None = None,
        dtype: str | None = None,
        **settings: Any,
    ) -> None:
        super().__init__(name or getattr(function, "__name__", None), reduction, dtype)
        self.function, self.settings = function, settings

    @property
    def stands_for(self) -> Callable[..., Any] | None:
        """The function, where it says all there is to say in a file."""
        return None if self.settings or self.reduction != "sum_over_batch_size" or self.dtype else self.function

    def call(self, y_true: Array, y_pred: Any) -> Any:
        y_true, y_pred = same_rank(y_true, y_pred)
        if not isinstance(y_true, Tensor):
            y_true = y_true.copy()  # the function may change them in place
        return self.function(y_true, y_pred, **self.settings)


@differentiable
def _cast(x: Array, *, dtype: str) -> tuple[Array, Any]:
    return x.astype(dtype), lambda dy: dy.astype(x.dtype)


def known_dtype(cls: type, dtype: Any) -> str | None:
    """Return the name of a floating type, or None. Raises: UsageError for another."""
    try:
        found = None if dtype is None else np.dtype(dtype)
    except TypeError:
        found = np.dtype(bool)
    if found is not None and found.kind != "f":
        raise UsageError(f'{cls.__name__}(dtype={dtype!r}): dtype must be "float32", "float64" or "float16"')
    return None if found is None else found.name


def plain(x: Any) -> Array:
    """Return the plain array of a Tensor, a list, or an array."""
    x = x.data if isinstance(x, Tensor) else x
    return x if hasattr(x, "ndim") else np.asarray(x)


def floating(x: Any, dtype: str | None = None) -> Any:
    """Give an array or Tensor the type to compute in: `dtype`, or float64 if it is of that, or float32."""
    x = x if hasattr(x, "ndim") else np.asarray(x)
    if dtype is None and (x.dtype is SINGLE or x.dtype is DOUBLE):
        return x
    dtype = dtype or ("float64" if x.dtype == "float64" else "float32")
    return x if x.dtype == dtype else _cast(x, dtype=str(dtype))


def targets_of(loss: str, y_true: Any, y_pred: Any, recorded: bool = False) -> Any:
    """Return targets of y_pred's type: as a plain array or, where they are on the tape and `recorded`, as a Tensor.

    Warns where they are on the tape, but no gradient passes. Raises: UsageError where text.
    """
    if isinstance(y_true, Tensor) and y_true.requires_grad:
        if recorded:
            return y_true if y_true.dtype == y_pred.dtype else _cast(y_true, dtype=str(y_pred.dtype))
        warnings.warn(
            f"no gradient passes the targets of {loss}, the first of its two arrays; where that is wanted, write the "
            "loss with gpudl.ops, and where it is not, call ops.stop_gradient on them",
            stacklevel=4,
        )
    y_true = devices.beside(plain(y_true), y_pred.data if isinstance(y_pred, Tensor) else y_pred)
    if y_true.dtype.kind not in "biuf":
        raise UsageError(
            f"{loss}: targets must be numbers, but are of type {y_true.dtype}; give each class a number from 0 on, as "
            "numpy.unique(y, return_inverse=True)[1] does"
        )
    return y_true if y_true.dtype == y_pred.dtype else ops.cast(y_true, y_pred.dtype)


def same_rank(a: Any, b: Any) -> tuple[Any, Any]:
    """Let (N, 1) and (N,) meet as (N, 1); a longer shape with one axis too many, of length 1 at the end, loses it."""
    if a.ndim == b.ndim + 1 and a.shape[-1] == 1:
        return (a, ops.reshape(b, (*b.shape, 1))) if b.ndim == 1 else (ops.reshape(a, a.shape[:-1]), b)
    if b.ndim == a.ndim + 1 and b.shape[-1] == 1:
        return (ops.reshape(a, (*a.shape, 1)), b) if a.ndim == 1 else (a, ops.reshape(b, b.shape[:-1]))
    return a, b


def beside(loss: str, y_true: Any, y_pred: Any, hint: str = "", recorded: bool = False) -> tuple[Any, Any]:
    """Return targets and predictions of one shape and floating type; `recorded`: gradients pass the targets, too.

    Raises: ShapeError with `hint`, or with what the last layer should have.
    """
    y_pred = floating(y_pred)
    y_true, y_pred = same_rank(targets_of(loss, y_true, y_pred, recorded), y_pred)
    if y_true.shape != y_pred.shape:
        if not hint and y_true.ndim == 1:
            hint = '; give the last layer 1 unit, or use "sparse_categorical_crossentropy" for labels of classes'
        elif not hint and y_true.ndim == y_pred.ndim:
            units = y_true.shape[-1]
            hint = f"; give the last layer {units} unit{'s' if units > 1 else ''}"
        raise ShapeError(
            f"{loss}: targets of shape {y_true.shape} do not fit predictions of shape {y_pred.shape}{hint}"
        )
    return y_true, y_pred


def lay_weights(values: Any, weight: Array) -> tuple[Any, Array]:
    """Lay sample weights beside losses, so that they multiply.

    Where the shape of the weights is the beginning of the losses' shape, they belong to the samples (and positions)
    and count at all that follows; otherwise they are broadcast as in NumPy. Raises: ShapeError.
    """
    values, weight = same_rank(values, weight)
    if weight.ndim < values.ndim and weight.shape == values.shape[: weight.ndim]:
        weight = ops.reshape(weight, weight.shape + (1,) * (values.ndim - weight.ndim))
    try:
        np.broadcast_shapes(values.shape, weight.shape)
    except ValueError:
        raise ShapeError(
            f"sample_weight of shape {weight.shape} does not fit losses of shape {values.shape}; give one weight for "
            f"each sample, of shape {values.shape[:1]}"
        ) from None
    return values, weight


def reduce(values: Tensor, sample_weight: Any, counted: Array | None, reduction: Reduction) -> Tensor:
    """Turn losses into one number. Those that are not `counted` are left out of the mean, too."""
    xp = array_module(values.data)
    weight = None
    if sample_weight is not None:
        weight = devices.beside(plain(sample_weight), values.data)
        weight = weight if weight.dtype == values.dtype else ops.cast(weight, values.dtype)
    if counted is not None:
        kept = counted.astype(values.dtype)
        if reduction in ("mean", "sum_over_batch_size"):
            kept = kept * (kept.size / xp.maximum(kept.sum(), 1)).astype(kept.dtype)
        weight = kept if weight is None else xp.multiply(*lay_weights(kept, weight))
    if weight is not None:
        values, weight = lay_weights(values, weight)
        values = ops.multiply(values, weight)
    if reduction in (None, "none") or values.ndim == 0:
        return values
    if reduction == "sum" or values.size == 0:
        return ops.sum(values)
    if reduction == "mean_with_sample_weight" and weight is not None:
        total = weight.sum()
        share = xp.where(total == 0, 0, 1 / xp.where(total == 0, 1, total))
        return ops.multiply(ops.sum(values), share.astype(values.dtype))
    return ops.mean(values)
