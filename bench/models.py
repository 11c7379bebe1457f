"""The networks that benchmarks train, in gpudl. torch_models.py has the same in PyTorch."""

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


def mlp(*sizes: int) -> Any:
    """A multi-layer perceptron with ReLU."""
    hidden = [layers.Dense(units, activation="relu") for units in sizes[1:-1]]
    return gpudl.Sequential([gpudl.Input((sizes[0],)), *hidden, layers.Dense(sizes[-1])])


def cnn() -> Any:
    """Conv 32, pool, conv 64, pool, dense 128, dense 10, on 28x28x1."""
    return gpudl.Sequential(
        [
            gpudl.Input((28, 28, 1)),
            layers.Conv2D(32, 3, padding="same", activation="relu"),
            layers.MaxPooling2D(),
            layers.Conv2D(64, 3, padding="same", activation="relu"),
            layers.MaxPooling2D(),
            layers.Flatten(),
            layers.Dense(128, activation="relu"),
            layers.Dense(10),
        ]
    )
