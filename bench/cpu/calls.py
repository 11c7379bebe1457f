"""Single operations on drawn arrays: convolutions and pooling, forward and gradients."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Layer:
    """A convolution of x (N, H, W, C) with K filters of size x size, "same"; a group for each channel if depthwise."""

    x: tuple[int, int, int, int]
    filters: int
    size: int
    depthwise: bool = False


CONVOLUTIONS = {
    "3x3, 64 to 64, 56x56, batch 32": Layer((32, 56, 56, 64), 64, 3),
    "3x3, 128 to 128, 28x28, batch 32": Layer((32, 28, 28, 128), 128, 3),
    "3x3, 256 to 256, 14x14, batch 32": Layer((32, 14, 14, 256), 256, 3),
    "1x1, 64 to 256, 56x56, batch 32": Layer((32, 56, 56, 64), 256, 1),
    "depthwise 3x3, 64, 56x56, batch 32": Layer((32, 56, 56, 64), 64, 3, depthwise=True),
    "of the CNN, 3x3, 1 to 32, 28x28, batch 128": Layer((128, 28, 28, 1), 32, 3),
    "of the CNN, 3x3, 32 to 64, 14x14, batch 128": Layer((128, 14, 14, 32), 64, 3),
}
POOLING = {"2x2, 32, 28x28, batch 128": (128, 28, 28, 32), "2x2, 64, 16x16, batch 128": (128, 16, 16, 64)}
FORWARD, BOTH, OF_KERNEL = "forward", "both gradients", "kernel gradient"


def names() -> list[str]:
    """Return what `make` takes."""
    found = [f"conv2d {name}, {FORWARD}" for name in CONVOLUTIONS]
    for name, layer in CONVOLUTIONS.items():
        if layer.size == 3 and not layer.depthwise:  # of a first layer's input nobody asks for the gradient
            found.append(f"conv2d {name}, {BOTH if layer.x[3] > 1 else OF_KERNEL}")
    return [*found, *(f"max pooling {shape}, forward and gradient" for shape in POOLING)]


def takes_part(library: str, name: str) -> bool:
    """Whether the library is compared: those that have the call by itself."""
    return library != "keras"


def make(library: str, name: str) -> Callable[[], Any]:
    """Return one library's call."""
    kind, rest = name.split(" ", 1) if name.startswith("conv2d") else ("max pooling", name.removeprefix("max pooling "))
    layer, _, what = rest.rpartition(", ")
    if kind == "max pooling":
        return (our_pooling if library == "gpudl" else torch_pooling)(library, POOLING[layer])
    return (our_convolution if library == "gpudl" else _torch_convolution)(library, CONVOLUTIONS[layer], what)


LINE = 64
"""Bytes of a line of the cache, where arrays begin that layers of either library hand on."""


def draw(*shapes: tuple[int, ...]) -> list[Any]:
    """Return arrays of float32, the same each time."""
    import numpy as np

    rng = np.random.default_rng(0)
    found = []
    for shape in shapes:
        numbers = rng.standard_normal(shape).astype(np.float32)
        raw = np.empty(numbers.nbytes + LINE, np.uint8)
        start = -raw.ctypes.data % LINE
        found.append(raw[start : start + numbers.nbytes].view(np.float32).reshape(shape))
        found[-1][...] = numbers
    return found


def our_convolution(_: str, layer: Layer, what: str) -> Callable[[], Any]:
    """Return a convolution or its gradients."""
    from gpudl.backend import kernels
    from gpudl.shapes import ConvGeometry, DepthwiseGeometry

    if layer.depthwise:
        conv = DepthwiseGeometry.of(layer.x, (layer.size, layer.size, layer.x[3], 1), 1, "same")
    else:
        conv = ConvGeometry.of(layer.x, (layer.size, layer.size, layer.x[3], layer.filters), 1, "same")
    x, kernel, dy = draw(conv.x_shape, conv.kernel_shape, conv.y_shape)
    twin = kernels("depthwise" if layer.depthwise else "conv2d", x)
    if what == FORWARD:
        return lambda: twin.forward(x, kernel, None, conv)
    if what == OF_KERNEL:
        return lambda: twin.kernel_gradient(x, dy, conv)
    return lambda: (twin.input_gradient(dy, kernel, conv), twin.kernel_gradient(x, dy, conv))


def _torch_convolution(library: str, layer: Layer, what: str) -> Callable[[], Any]:
    import torch

    batch, height, width, channels = layer.x
    groups = channels if layer.depthwise else 1
    x, kernel, dy = (
        torch.from_numpy(a)
        for a in draw(
            (batch, channels, height, width),
            (layer.filters, channels // groups, layer.size, layer.size),
            (batch, layer.filters, height, width),
        )
    )
    if library == "torch channels last":
        x, kernel, dy = (a.contiguous(memory_format=torch.channels_last) for a in (x, kernel, dy))
    around, settings = layer.size // 2, ([1, 1], [layer.size // 2] * 2, [1, 1], False, [0, 0], groups)
    if what == FORWARD:
        return torch.no_grad()(lambda: torch.nn.functional.conv2d(x, kernel, padding=around, groups=groups))
    backward = torch.ops.aten.convolution_backward
    return lambda: backward(dy, x, kernel, None, *settings, [what == BOTH, True, False])


def our_pooling(_: str, shape: tuple[int, int, int, int]) -> Callable[[], Any]:
    """Return max pooling 2x2 and its gradient."""
    from gpudl.backend import kernels
    from gpudl.shapes import PoolGeometry

    pool = PoolGeometry.of(shape, 2)
    x, dy = draw(pool.x_shape, pool.y_shape)
    twin = kernels("pool2d", x)
    return lambda: twin.max_backward(dy, twin.max_forward(x, pool)[1], pool)


def torch_pooling(library: str, shape: tuple[int, int, int, int]) -> Callable[[], Any]:
    """Return PyTorch's, in the memory format that the library's name says."""
    import torch

    batch, height, width, channels = shape
    x, dy = (
        torch.from_numpy(a) for a in draw((batch, channels, height, width), (batch, channels, height // 2, width // 2))
    )
    if library == "torch channels last":
        x, dy = (a.contiguous(memory_format=torch.channels_last) for a in (x, dy))
    forward, backward = torch.ops.aten.max_pool2d_with_indices, torch.ops.aten.max_pool2d_with_indices_backward
    return lambda: backward(dy, x, [2, 2], [2, 2], [0, 0], [1, 1], False, forward(x, [2, 2])[1])
