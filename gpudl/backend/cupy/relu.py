"""ReLU on the GPU: launches of relu.cu."""

from __future__ import annotations

from gpudl.backend import Array, array_module
from gpudl.backend.cupy.columns import relu_gradients
from gpudl.backend.cupy.launching import NUMBERS, contiguous, launch_each, pack


def forward(x: Array) -> Array:
    """x of any shape -> max(x, 0)."""
    xp = array_module(x)
    x = contiguous(x)
    y = xp.empty(x.shape, x.dtype)
    at_once = min(4, pack(x, x.size))
    launch_each("relu", "forward", x.size // at_once, (x, y), x.size, NUMBERS, PACK=at_once)
    return y


def backward(dy: Array, y: Array) -> Array:
    """dy and y of one shape -> dy where y > 0, else 0."""
    xp = array_module(y)
    dy, y = contiguous(dy), contiguous(y)
    dx = xp.empty(dy.shape, dy.dtype)
    at_once = pack(y, y.size)
    launch_each("relu", "backward", y.size // at_once, (dy, y, dx), y.size, PACK=at_once)
    return dx


def backward_and_sum(dy: Array, y: Array) -> tuple[Array, Array]:
    """dy and y (M, K) -> dy where y > 0, else 0, and its sums over the rows (K,), in one pass."""
    return relu_gradients(contiguous(dy), contiguous(y))
