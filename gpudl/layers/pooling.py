"""Pooling layers, of sequences and of images."""

from __future__ import annotations

from typing import Any, Unpack

from gpudl import ops
from gpudl.layers.base import Layer, LayerSettings
from gpudl.layers.convolution import read_padding, sizes
from gpudl.ops.layout import read_format


class _Pooling(Layer):
    rank = 2
    op: Any

    def _read(self, pool_size: Any, strides: Any, padding: str, data_format: str | None) -> None:
        who = type(self).__name__
        self.pool_size = sizes(pool_size, self.rank, f"{who}: pool_size")
        self.strides = self.pool_size if strides is None else sizes(strides, self.rank, f"{who}: strides")
        self.padding = read_padding(self, padding, "valid", "same")
        self.data_format = read_format(data_format)

    def call(self, x: Any) -> Any:
        return type(self).op(
            x,
            pool_size=self.pool_size,
            strides=self.strides,
            padding=self.padding,
            data_format=self.data_format,
        )


class _Pooling1D(_Pooling):
    rank = 1

    def __init__(
        self,
        pool_size: int | tuple[int] = 2,
        strides: int | tuple[int] | None = None,
        padding: str = "valid",
        data_format: str | None = None,
        **settings: Unpack[LayerSettings],
    ) -> None:
        super().__init__(**settings)
        self._read(pool_size, strides, padding, data_format)


class _Pooling2D(_Pooling):
    def __init__(
        self,
        pool_size: int | tuple[int, int] = (2, 2),
        strides: int | tuple[int, int] | None = None,
        padding: str = "valid",
        data_format: str | None = None,
        **settings: Unpack[LayerSettings],
    ) -> None:
        super().__init__(**settings)
        self._read(pool_size, strides, padding, data_format)


class MaxPooling1D(_Pooling1D):
    """Keep the largest value of each window. Shapes: (N, L, C) -> (N, P, C). `strides` defaults to the window."""

    op = staticmethod(ops.max_pool1d)


class AveragePooling1D(_Pooling1D):
    """Average each window over its real elements. Shapes: (N, L, C) -> (N, P, C)."""

    op = staticmethod(ops.average_pool1d)


class MaxPooling2D(_Pooling2D):
    """Keep the largest value of each window. Shapes: (N, H, W, C) -> (N, P, Q, C). `strides` defaults to the window."""

    op = staticmethod(ops.max_pool2d)


class AveragePooling2D(_Pooling2D):
    """Average each window over its real elements. Shapes: (N, H, W, C) -> (N, P, Q, C)."""

    op = staticmethod(ops.average_pool2d)


class _GlobalPooling(Layer):
    op: Any

    def __init__(
        self, data_format: str | None = None, keepdims: bool = False, **settings: Unpack[LayerSettings]
    ) -> None:
        super().__init__(**settings)
        self.data_format = read_format(data_format)
        self.keepdims = keepdims

    def call(self, x: Any) -> Any:
        return type(self).op(x, keepdims=self.keepdims, data_format=self.data_format)


class GlobalAveragePooling1D(_GlobalPooling):
    """Average each channel over all steps. Shapes: (N, L, C) -> (N, C), or (N, 1, C) with `keepdims`."""

    op = staticmethod(ops.global_average_pool1d)


class GlobalMaxPooling1D(_GlobalPooling):
    """Keep each channel's largest value. Shapes: (N, L, C) -> (N, C), or (N, 1, C) with `keepdims`."""

    op = staticmethod(ops.global_max_pool1d)


class GlobalAveragePooling2D(_GlobalPooling):
    """Average each channel over the whole image. Shapes: (N, H, W, C) -> (N, C), or (N, 1, 1, C) with `keepdims`."""

    op = staticmethod(ops.global_average_pool2d)


class GlobalMaxPooling2D(_GlobalPooling):
    """Keep each channel's largest value. Shapes: (N, H, W, C) -> (N, C), or (N, 1, 1, C) with `keepdims`."""

    op = staticmethod(ops.global_max_pool2d)
