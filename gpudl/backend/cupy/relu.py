"""ReLU on the GPU: launches of relu.cu."""

from __future__ import annotations

from gpudl.backend import Array, array_module
from gpudl.backend.cupy.columns import relu_gradients
from gpudl.backend.cupy.launching import NUMBERS, contiguous, launch_each


def forward(x: Array) -> Array:
    """x of any shape -> max(x, 0)."""
    xp = array_module(x)
    x = contiguous(x)
    y = xp.empty_like(x)
    launch_each("relu", "forward", x.size, (x, y), known=NUMBERS)
    return y


def backward(dy: Array, y: Array) -> Array:
    """dy and y of one shape -> dy where y > 0, else 0."""
    xp = array_module(y)
    dy, y = contiguous(dy), contiguous(y)
    dx = xp.empty_like(dy)
    launch_each("relu", "backward", y.size, (dy, y, dx))
    return dx


def backward_and_sum(dy: Array, y: Array) -> tuple[Array, Array]:
    """dy and y (M, K) -> dy where y > 0, else 0, and its sums over the rows (K,), in one pass."""
    return relu_gradients(contiguous(dy), contiguous(y))
