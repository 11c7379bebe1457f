"""Pooling layers."""

from __future__ import annotations

from typing import Any, Unpack

from gpudl import ops
from gpudl.errors import UsageError
from gpudl.layers.base import Layer, LayerSettings
from gpudl.ops.layout import check_format
from gpudl.shapes import pair


class _Pooling2D(Layer):
    def __init__(
        self,
        pool_size: int | tuple[int, int] = (2, 2),
        strides: int | tuple[int, int] | None = None,
        padding: str = "valid",
        data_format: str | None = None,
        **settings: Unpack[LayerSettings],
    ) -> None:
        super().__init__(**settings)
        if str(padding).lower() not in ("valid", "same"):
            raise UsageError(f'{type(self).__name__}(padding={padding!r}): padding must be "valid" or "same"')
        self.pool_size = pair(pool_size, "pool_size")
        self.strides = self.pool_size if strides is None else pair(strides, "strides")
        self.padding = padding.lower()
        self.data_format = data_format or "channels_last"
        check_format(self.data_format)

    def _pool(self, op: Any, x: Any) -> Any:
        return op(x, pool_size=self.pool_size, strides=self.strides, padding=self.padding, data_format=self.data_format)


class MaxPooling2D(_Pooling2D):
    """Keep the largest value of each window. Shapes: (N, H, W, C) -> (N, P, Q, C). `strides` defaults to the window."""

    def call(self, x: Any) -> Any:
        return self._pool(ops.max_pool2d, x)


class AveragePooling2D(_Pooling2D):
    """Average each window over its real elements. Shapes: (N, H, W, C) -> (N, P, Q, C)."""

    def call(self, x: Any) -> Any:
        return self._pool(ops.average_pool2d, x)


class _GlobalPooling2D(Layer):
    def __init__(
        self, data_format: str | None = None, keepdims: bool = False, **settings: Unpack[LayerSettings]
    ) -> None:
        super().__init__(**settings)
        self.data_format = data_format or "channels_last"
        check_format(self.data_format)
        self.keepdims = keepdims


class GlobalAveragePooling2D(_GlobalPooling2D):
    """Average each channel over the whole image. Shapes: (N, H, W, C) -> (N, C), or (N, 1, 1, C) with `keepdims`."""

    def call(self, x: Any) -> Any:
        return ops.global_average_pool2d(x, keepdims=self.keepdims, data_format=self.data_format)


class GlobalMaxPooling2D(_GlobalPooling2D):
    """Keep each channel's largest value. Shapes: (N, H, W, C) -> (N, C), or (N, 1, 1, C) with `keepdims`."""

    def call(self, x: Any) -> Any:
        return ops.global_max_pool2d(x, keepdims=self.keepdims, data_format=self.data_format)
