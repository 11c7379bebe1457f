"""Layers that make images and sequences larger or smaller: zeros around them, their rim cut off, elements repeated."""

from __future__ import annotations

from typing import Any, Unpack

from gpudl import ops
from gpudl.errors import ShapeError, UsageError
from gpudl.layers.base import Layer, LayerSettings
from gpudl.layers.convolution import read_count
from gpudl.ops.layout import read_format
from gpudl.ops.upsample import INTERPOLATIONS
from gpudl.shapes import pair, shown

Amounts = tuple[tuple[int, int], ...]


def _rims(layer: Layer, name: str, value: Any) -> Amounts:
    """Read what is put around an image: one number, one for rows and columns each, or (before, after) of each."""
    both = (value, value) if isinstance(value, int) else value
    try:
        if not isinstance(both, (tuple, list)) or len(both) != 2:
            raise ShapeError("one entry for rows and one for columns are expected")
        return pair(both[0], f"{name} of rows", 0), pair(both[1], f"{name} of columns", 0)
    except ShapeError as error:
        raise UsageError(
            f"{type(layer).__name__}({name}={value!r}): {name} must be an integer of at least 0, a pair of them for "
            f"rows and columns, or a pair of pairs (before, after); {error}"
        ) from None


def _in_place(x: Any, rims: Amounts, data_format: str) -> Amounts:
    """Put what belongs to the spatial axes at their place among all. Raises: ShapeError where x has other axes."""
    if len(x.shape) != len(rims) + 2:
        raise ShapeError(f"input must have {len(rims) + 2} axes, the batch's included, but has shape {shown(x.shape)}")
    none = (0, 0)
    return (none, *rims, none) if data_format == "channels_last" else (none, none, *rims)


class ZeroPadding2D(Layer):
    """Put rows and columns of zeros around images. Shapes: (N, H, W, C) -> (N, top + H + bottom, left + W + right, C).

    `padding` is one number, (rows, columns), or ((top, bottom), (left, right)).
    """

    def __init__(
        self,
        padding: int | tuple[int, int] | tuple[tuple[int, int], tuple[int, int]] = (1, 1),
        data_format: str | None = None,
        **settings: Unpack[LayerSettings],
    ) -> None:
        super().__init__(**settings)
        self.padding = _rims(self, "padding", padding)
        self.data_format = read_format(data_format)

    def call(self, x: Any) -> Any:
        return ops.zero_padding(x, amounts=_in_place(x, self.padding, self.data_format))


class ZeroPadding1D(Layer):
    """Put steps of zeros around sequences. Shapes: (N, L, C) -> (N, before + L + after, C).

    `padding` is one number, or (before, after).
    """

    def __init__(
        self,
        padding: int | tuple[int, int] = 1,
        data_format: str | None = None,
        **settings: Unpack[LayerSettings],
    ) -> None:
        super().__init__(**settings)
        self.padding = pair(padding, "padding", 0)
        self.data_format = read_format(data_format)

    def call(self, x: Any) -> Any:
        return ops.zero_padding(x, amounts=_in_place(x, (self.padding,), self.data_format))


class Cropping2D(Layer):
    """Cut rows and columns off images. Shapes: (N, H, W, C) -> (N, H - top - bottom, W - left - right, C).

    `cropping` is one number, (rows, columns), or ((top, bottom), (left, right)).
    """

    def __init__(
        self,
        cropping: int | tuple[int, int] | tuple[tuple[int, int], tuple[int, int]] = ((0, 0), (0, 0)),
        data_format: str | None = None,
        **settings: Unpack[LayerSettings],
    ) -> None:
        super().__init__(**settings)
        self.cropping = _rims(self, "cropping", cropping)
        self.data_format = read_format(data_format)

    def call(self, x: Any) -> Any:
        return ops.cropping(x, amounts=_in_place(x, self.cropping, self.data_format))


class Cropping1D(Layer):
    """Cut steps off sequences. Shapes: (N, L, C) -> (N, L - before - after, C). `cropping` is a number or a pair."""

    def __init__(self, cropping: int | tuple[int, int] = (1, 1), **settings: Unpack[LayerSettings]) -> None:
        super().__init__(**settings)
        self.cropping = pair(cropping, "cropping", 0)

    def call(self, x: Any) -> Any:
        return ops.cropping(x, amounts=_in_place(x, (self.cropping,), "channels_last"))


class UpSampling2D(Layer):
    """Make images larger by whole factors. Shapes: (N, H, W, C) -> (N, H * rows, W * columns, C).

    `interpolation` is "nearest", which repeats pixels, or "bilinear".
    """

    def __init__(
        self,
        size: int | tuple[int, int] = (2, 2),
        data_format: str | None = None,
        interpolation: str = "nearest",
        **settings: Unpack[LayerSettings],
    ) -> None:
        super().__init__(**settings)
        self.size = pair(size, f"{type(self).__name__}: size")
        self.data_format = read_format(data_format)
        if str(interpolation).lower() not in INTERPOLATIONS:
            raise UsageError(
                f"UpSampling2D(interpolation={interpolation!r}) is not there; "
                f"use {' or '.join(f'{name!r}' for name in INTERPOLATIONS)}"
            )
        self.interpolation = interpolation.lower()

    def call(self, x: Any) -> Any:
        return ops.upsample2d(x, size=self.size, interpolation=self.interpolation, data_format=self.data_format)


class UpSampling1D(Layer):
    """Repeat each step of sequences. Shapes: (N, L, C) -> (N, L * size, C)."""

    def __init__(self, size: int = 2, **settings: Unpack[LayerSettings]) -> None:
        super().__init__(**settings)
        self.size = read_count(self, "size", size)

    def call(self, x: Any) -> Any:
        return ops.upsample1d(x, size=self.size)


class RepeatVector(Layer):
    """Make a sequence of n equal steps of each vector. Shapes: (N, F) -> (N, n, F)."""

    def __init__(self, n: int, **settings: Unpack[LayerSettings]) -> None:
        super().__init__(**settings)
        self.n = read_count(self, "n", n)

    def call(self, x: Any) -> Any:
        return ops.repeat_vector(x, n=self.n)


class Permute(Layer):
    """Reorder the axes of each sample. Shapes: with dims=(2, 1), (N, A, B) -> (N, B, A); axes count from 1."""

    def __init__(self, dims: tuple[int, ...], **settings: Unpack[LayerSettings]) -> None:
        super().__init__(**settings)
        if not isinstance(dims, (tuple, list)) or sorted(dims) != list(range(1, len(dims) + 1)):
            raise UsageError(f"Permute(dims={dims!r}): dims must hold each of 1 to the number of axes once, as (2, 1)")
        self.dims = tuple(dims)

    def call(self, x: Any) -> Any:
        if len(x.shape) != len(self.dims) + 1:
            raise ShapeError(
                f"dims={self.dims} reorder samples of {len(self.dims)} axes, but the input has shape {shown(x.shape)}"
            )
        return ops.transpose(x, axes=(0, *self.dims))
