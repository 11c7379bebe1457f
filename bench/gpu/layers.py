"""The layers that are timed, and what they must compute and move."""

from __future__ import annotations

from collections.abc import Sequence
from math import exp, log, prod
from typing import Any, NamedTuple


class Layer(NamedTuple):
    """A convolution of square images and windows, padded by half a window. Depthwise: as many groups as channels."""

    size: int
    channels: int
    filters: int
    window: int
    stride: int = 1
    groups: int = 1

    @property
    def padding(self) -> int:
        return self.window // 2

    @property
    def out(self) -> int:
        return (self.size + 2 * self.padding - self.window) // self.stride + 1

    def flops(self, batch: int) -> int:
        """Return the operations of the layer and of each of its gradients: two for each multiply-add."""
        return 2 * batch * self.out**2 * self.filters * self.window**2 * self.channels // self.groups

    def __str__(self) -> str:
        stride = f"/{self.stride}" if self.stride > 1 else ""
        return f"{self.size}x{self.size} {self.channels}>{self.filters} {self.window}x{self.window}{stride}"


RESNET_50 = [
    Layer(56, 64, 64, 1), Layer(56, 64, 64, 3), Layer(56, 64, 256, 1), Layer(56, 256, 64, 1),
    Layer(56, 256, 128, 1), Layer(56, 128, 128, 3, 2), Layer(56, 256, 512, 1, 2),
    Layer(28, 128, 512, 1), Layer(28, 512, 128, 1), Layer(28, 128, 128, 3),
    Layer(28, 512, 256, 1), Layer(28, 256, 256, 3, 2), Layer(28, 512, 1024, 1, 2),
    Layer(14, 256, 1024, 1), Layer(14, 1024, 256, 1), Layer(14, 256, 256, 3),
    Layer(14, 1024, 512, 1), Layer(14, 512, 512, 3, 2), Layer(14, 1024, 2048, 1, 2),
    Layer(7, 512, 2048, 1), Layer(7, 2048, 512, 1), Layer(7, 512, 512, 3),
]  # fmt: skip
"""The distinct convolutions of ResNet-50 for 224x224 images but for the first (strides on the 3x3 ones)."""

FIRST = [Layer(28, 1, 32, 3), Layer(32, 3, 64, 3), Layer(224, 3, 64, 7, 2), Layer(224, 3, 32, 3, 2)]
"""First layers: of MNIST's network, ResNet for 32x32 images, ResNet-50, MobileNet."""

DEPTHWISE = [
    Layer(112, 32, 32, 3, 1, 32), Layer(112, 64, 64, 3, 2, 64), Layer(56, 128, 128, 3, 1, 128),
    Layer(28, 256, 256, 3, 1, 256), Layer(14, 512, 512, 3, 1, 512), Layer(14, 512, 512, 5, 1, 512),
    Layer(7, 1024, 1024, 3, 1, 1024),
]  # fmt: skip
"""Depthwise layers of MobileNet, and one of 5x5."""

KINDS = {"convolutions": RESNET_50, "first layers": FIRST, "depthwise": DEPTHWISE}

TARGETS = {
    ("convolutions", "float32"): 1.0,
    ("convolutions", "TF32"): 0.65,
    ("convolutions", "bfloat16"): 0.6,
    ("first layers", "float32"): 1.2,
    ("depthwise", "float32"): 1.2,
    ("max pooling", "gradient"): 1.5,
}
"""PyTorch's time over ours that is aimed at."""


def geometric_mean(ratios: Sequence[float]) -> float | None:
    """Return exp(mean(log(ratio))); None where there is none."""
    return exp(sum(map(log, ratios)) / len(ratios)) if ratios else None


def best_of_theirs(row: dict[str, Any]) -> float | None:
    """Return PyTorch's best milliseconds of a row, in whichever layout."""
    return min((ms for name, ms in row["ms"].items() if name != "gpudl"), default=None)


def ratio(row: dict[str, Any]) -> float | None:
    """Return PyTorch's best time over ours; None where one of both is missing."""
    ours, theirs = row["ms"].get("gpudl"), best_of_theirs(row)
    return theirs / ours if ours and theirs else None


def passes(operation: str, gradient: bool, x: tuple[int, ...], y: tuple[int, ...]) -> int:
    """Return the float32 bytes that pooling or batch normalization must move, winners (a byte each) included.

    Batch normalization must have read all of x before it can write the first y, so it reads everything twice.
    """
    small, large = prod(y), prod(x)
    if operation == "batch normalization":
        return 4 * (5 if gradient else 3) * large
    return 4 * (large + small) + (small if operation == "max pooling" else 0)
