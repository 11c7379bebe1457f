"""The networks of models.py in PyTorch."""

from __future__ import annotations

import itertools

import torch
from torch import nn


class _Conv(nn.Sequential):
    def __init__(self, channels: int, filters: int, size: int, stride: int = 1, relu: bool = True) -> None:
        conv = nn.Conv2d(channels, filters, size, stride, size // 2, bias=False)
        super().__init__(conv, nn.BatchNorm2d(filters, eps=1e-3, momentum=0.01), *([nn.ReLU()] if relu else []))


class _Block(nn.Module):
    def __init__(self, channels: int, filters: int, stride: int) -> None:
        super().__init__()
        self.way = nn.Sequential(_Conv(channels, filters, 3, stride), _Conv(filters, filters, 3, relu=False))
        self.around = nn.Identity() if stride == 1 else _Conv(channels, filters, 1, stride, relu=False)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return torch.relu(self.around(x) + self.way(x))


def vgg(size: int = 32) -> nn.Module:
    """Convolutions 32-32-64-64-128-128 with batch normalization, a pooling after each pair, dense 10."""
    pairs = itertools.pairwise((3, 32, 64, 128))
    parts = [nn.Sequential(_Conv(a, b, 3), _Conv(b, b, 3), nn.MaxPool2d(2)) for a, b in pairs]
    return nn.Sequential(*parts, nn.Flatten(), nn.Linear(128 * (size // 8) ** 2, 10))


def resnet(widths: tuple[int, ...] = (64, 128, 256, 512), blocks: int = 2, size: int = 32) -> nn.Module:
    """A residual network: by default ResNet-18 with the first layer that small images take."""
    parts: list[nn.Module] = [_Conv(3, widths[0], 3)]
    for stage, (before, width) in enumerate(zip((widths[0], *widths), widths, strict=False)):
        parts.append(_Block(before, width, 2 if stage else 1))
        parts += [_Block(width, width, 1) for _ in range(blocks - 1)]
    return nn.Sequential(*parts, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(widths[-1], 10))


def mlp(*sizes: int) -> nn.Module:
    """A multi-layer perceptron with ReLU."""
    pairs = [(nn.Linear(a, b), nn.ReLU()) for a, b in itertools.pairwise(sizes)]
    return nn.Sequential(*itertools.chain(*pairs))[:-1]


def cnn() -> nn.Module:
    """Conv 32, pool, conv 64, pool, dense 128, dense 10, on 28x28x1."""
    return nn.Sequential(
        nn.Conv2d(1, 32, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2),
        nn.Conv2d(32, 64, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2),
        nn.Flatten(), nn.Linear(64 * 7 * 7, 128), nn.ReLU(), nn.Linear(128, 10),
    )  # fmt: skip
