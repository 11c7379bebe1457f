"""Normalization by mean and variance of the data, learned before training starts."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from typing import Any, Unpack

import numpy as np

from gpudl.autograd import Tensor
from gpudl.backend import Array, array_module, to_numpy
from gpudl.errors import ShapeError, UsageError
from gpudl.layers.base import Layer, LayerSettings, OpenShape
from gpudl.shapes import shown

EPSILON = 1e-7
"""The smallest standard deviation that is divided by."""

ROWS = 4096
"""How many samples of an array `adapt` looks at together."""


class Normalization(Layer):
    """Shift and scale features to mean 0 and variance 1: y = (x - mean) / max(sqrt(variance), 1e-7).

    Mean and variance are given, or learned by `adapt(data)`; before that they are 0 and 1. There is one of each for
    every index along `axis` (an integer, several, or None for one of the whole data). `invert` goes the other way.

    Shapes: output as input. Weights, where mean and variance are not given: mean, variance, and count, a relic of
    Keras's that stays 0.
    """

    def __init__(
        self,
        axis: int | tuple[int, ...] | None = -1,
        mean: float | list[float] | None = None,
        variance: float | list[float] | None = None,
        invert: bool = False,
        **settings: Unpack[LayerSettings],
    ) -> None:
        super().__init__(**settings)
        self.axis = () if axis is None else (axis,) if isinstance(axis, int) else tuple(axis)
        self.input_mean, self.input_variance, self.invert = mean, variance, invert
        if mean is None or variance is None:
            if mean is not variance:
                raise UsageError(
                    f"Normalization(mean={mean!r}, variance={variance!r}): give both, or none and call adapt(data)"
                )
        elif np.shape(mean) != np.shape(variance):
            raise UsageError(
                f"Normalization: mean has shape {np.shape(mean)}, but variance {np.shape(variance)}; they must agree"
            )
        elif np.ndim(mean) > len(self.axis):
            raise UsageError(f"Normalization: mean of shape {np.shape(mean)} has more axes than axis={self.axis} keeps")

    def build(self, input_shape: OpenShape) -> None:
        axes = len(input_shape)
        if any(not -axes <= axis < axes for axis in self.axis):
            raise ShapeError(f"axis={self.axis} is not within the {axes} axes of the input, {shown(input_shape)}")
        self._kept = tuple(sorted(axis % axes for axis in self.axis))
        if any(input_shape[axis] is None for axis in self._kept):
            raise ShapeError(f"axis={self.axis} of the input of shape {shown(input_shape)} has no fixed length")
        self._reduced = tuple(axis for axis in range(axes) if axis not in self._kept)
        self._lengths = tuple(input_shape[axis] or 0 for axis in self._kept)
        self._broadcast = tuple((input_shape[axis] or 0) if axis in self._kept else 1 for axis in range(axes))
        if self.input_mean is None:
            self.adapt_mean = self.add_weight(self._lengths, "zeros", trainable=False, name="mean")
            self.adapt_variance = self.add_weight(self._lengths, "ones", trainable=False, name="variance")
            self.count = self.add_weight((), "zeros", dtype="int32", trainable=False, name="count")
            return
        try:
            self.adapt_mean, self.adapt_variance = (
                Tensor(np.broadcast_to(np.asarray(given, self.dtype), self._lengths).copy())  # no weights, as in Keras
                for given in (self.input_mean, self.input_variance)
            )
        except ValueError:
            raise ShapeError(
                f"mean and variance of shape {np.shape(self.input_mean)} do not fit axis={self.axis} of the input of "
                f"shape {shown(input_shape)}"
            ) from None

    @property
    def mean(self) -> Tensor | None:
        """The mean in use, in a shape that broadcasts against the input; None before the layer is built."""
        return Tensor(self.adapt_mean.data.reshape(self._broadcast)) if self.built else None

    @property
    def variance(self) -> Tensor | None:
        """The variance in use, as `mean`."""
        return Tensor(self.adapt_variance.data.reshape(self._broadcast)) if self.built else None

    def call(self, x: Any) -> Any:
        plain = x.data if isinstance(x, Tensor) else x
        if len(plain.shape) < len(self._broadcast) or any(
            known not in (1, n) for known, n in zip(self._broadcast[::-1], plain.shape[::-1], strict=False)
        ):
            raise ShapeError(
                f"input has shape {shown(plain.shape)}, but mean and variance are those of inputs of shape "
                f"{shown(tuple(n if i in self._kept else None for i, n in enumerate(self._broadcast)))}"
            )
        xp = array_module(plain)
        mean, variance = (
            xp.asarray(numbers.data, dtype=plain.dtype).reshape(self._broadcast)
            for numbers in (self.adapt_mean, self.adapt_variance)
        )
        deviation = xp.maximum(xp.sqrt(variance), EPSILON)
        return x * deviation + mean if self.invert else (x - mean) / deviation

    def compute_output_shape(self, input_shape: OpenShape) -> OpenShape:
        return input_shape

    def adapt(self, data: Array | Iterable[Any]) -> None:
        """Learn mean and variance from data: one array, or batches (arrays, or tuples that begin with one).

        Batches are a list, a generator, or anything with a length and items by number. Numbers are added up in double
        precision. Adapting again forgets what was learned before.

        Raises: UsageError where mean and variance were given, or there is no data; ShapeError where it does not fit.
        Source: Chan, Golub and LeVeque 1979, Updating formulae and a pairwise algorithm for computing sample variances.
        """
        if self.input_mean is not None:
            raise UsageError(f"{self}.adapt: mean and variance were given already; leave them out to adapt")
        count, mean, squares = 0, np.zeros(()), np.zeros(())
        for batch in _batches(data):
            self.build_for(batch.shape)
            if batch.ndim != len(self._broadcast) or any(batch.shape[i] != self._broadcast[i] for i in self._kept):
                raise ShapeError(
                    f"{self}.adapt: data of shape {shown(batch.shape)} does not fit axis={self.axis} of what the layer "
                    f"was built for, of length {shown(self._lengths)}"
                )
            for part in self._parts(batch):
                many = math.prod(part.shape[axis] for axis in self._reduced)
                away = part.mean(axis=self._reduced) - mean
                count += many
                # Sums of squares about the means of two parts make that of both.
                squares = squares + part.var(axis=self._reduced) * many + away**2 * (many * (count - many) / count)
                mean = mean + away * (many / count)
        if not count:
            raise UsageError(f"{self}.adapt: there is no data; give an array, or at least one batch")
        self.adapt_mean.data[...] = array_module(self.adapt_mean.data).asarray(mean)
        self.adapt_variance.data[...] = array_module(self.adapt_mean.data).asarray(squares / count)

    def _parts(self, batch: Array) -> Iterator[np.ndarray]:
        """Yield a batch in double precision, some rows at a time where rows are averaged over."""
        step = ROWS if 0 in self._reduced else len(batch)
        for start in range(0, len(batch), step):
            yield to_numpy(batch[start : start + step]).astype("float64")


def _batches(data: Any) -> Iterator[Array]:
    """Yield the inputs of each batch. Raises: UsageError for what is neither an array nor made of batches."""
    if isinstance(data, Tensor) or hasattr(data, "ndim"):
        batches = iter([data])
    elif hasattr(data, "__getitem__") and hasattr(data, "__len__"):
        batches = (data[i] for i in range(len(data)))
    elif hasattr(data, "__iter__"):
        batches = iter(data)
    else:
        raise UsageError(f"adapt takes an array, or batches of arrays, not a {type(data).__name__}")
    for batch in batches:
        x = batch[0] if isinstance(batch, tuple) else batch
        x = x.data if isinstance(x, Tensor) else x
        if not hasattr(x, "ndim") or not x.ndim:
            raise UsageError(
                f"adapt takes an array, or batches of arrays, but one of these is a {type(x).__name__}; "
                "make an array of the data"
            )
        yield x
