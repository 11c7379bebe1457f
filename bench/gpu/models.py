"""The networks that are trained, in gpudl. torch_models.py has the same in PyTorch."""

from __future__ import annotations

from typing import Any

import gpudl
from gpudl import layers


def _conv(x: Any, filters: int, size: int, strides: int = 1, relu: bool = True) -> Any:
    x = layers.Conv2D(filters, size, strides=strides, padding="same", use_bias=False)(x)
    x = layers.BatchNormalization()(x)
    return layers.Activation("relu")(x) if relu else x


def vgg(size: int = 32) -> Any:
    """Convolutions 32-32-64-64-128-128 with batch normalization, a pooling after each pair, dense 10."""
    x = inputs = gpudl.Input((size, size, 3))
    for filters in (32, 64, 128):
        x = layers.MaxPooling2D()(_conv(_conv(x, filters, 3), filters, 3))
    return gpudl.Model(inputs, layers.Dense(10)(layers.Flatten()(x)))


def resnet(widths: tuple[int, ...] = (64, 128, 256, 512), blocks: int = 2, size: int = 32) -> Any:
    """A residual network: by default ResNet-18 with the first layer that small images take. He et al. 2015."""
    inputs = gpudl.Input((size, size, 3))
    x = _conv(inputs, widths[0], 3)
    for stage, width in enumerate(widths):
        for block in range(blocks):
            strides = 2 if stage and not block else 1
            y = _conv(_conv(x, width, 3, strides), width, 3, relu=False)
            x = x if strides == 1 else _conv(x, width, 1, strides, relu=False)
            x = layers.Activation("relu")(layers.add([x, y]))
    return gpudl.Model(inputs, layers.Dense(10)(layers.GlobalAveragePooling2D()(x)))
