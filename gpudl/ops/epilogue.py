"""The way back through what ends a layer's product: the bias, and ReLU if that is made with it."""

from __future__ import annotations

from gpudl.backend import Array, kernels
from gpudl.ops.layout import images_last


class Epilogue:
    """Of y (M, K) = max(z + bias, 0), or without `relu` y = z + bias: from dy to dz and to the gradient of the bias.

    Several gradients ask for the same dz. It is made once, and the bias's gradient, where there is a bias, in the same
    pass over the numbers. dy has the numbers of y in any shape, or is of images in `data_format`.
    """

    def __init__(self, y: Array, relu: bool, has_bias: bool, data_format: str = "channels_last") -> None:
        self._y, self._relu, self._has_bias, self._format = y, relu, has_bias, data_format
        self._last: tuple[Array, Array, Array | None] | None = None

    def _passed(self, dy: Array) -> tuple[Array, Array | None]:
        if self._last is None or self._last[0] is not dy:
            dz, total = images_last(dy, self._format).reshape(self._y.shape), None
            if self._relu:
                twin = kernels("relu", dz)
                dz, total = twin.backward_and_sum(dz, self._y) if self._has_bias else (twin.backward(dz, self._y), None)
            self._last = dy, dz, total
        return self._last[1:]

    def gradient(self, dy: Array) -> Array:
        """Return dz (M, K)."""
        return self._passed(dy)[0]

    def bias_gradient(self, dy: Array) -> Array:
        """Return the sums of dz over the rows, (K,)."""
        dz, total = self._passed(dy)
        return kernels("dense", dz).column_sums(dz) if total is None else total
