"""One training step of whole networks: forward, loss, gradients and Adam."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import ExitStack
from typing import Any

Step = Callable[[], Any]

# A process that times PyTorch must not have loaded gpudl, so each function imports its library itself.

ENTERED = ExitStack()
"""What the steps keep for the life of the process."""

NETWORKS: dict[str, tuple[str, tuple[Any, ...], int, tuple[int, ...]]] = {
    "MLP 64-64-10, batch 32": ("mlp", (64, 64, 10), 32, (64,)),
    "MLP 784-256-128-10, batch 128": ("mlp", (784, 256, 128, 10), 128, (784,)),
    "CNN 32-64-128, 28x28x1, batch 128": ("cnn", (), 128, (28, 28, 1)),
    "VGG-like with batch normalization, 32x32x3, batch 128": ("vgg", (), 128, (32, 32, 3)),
    "ResNet 16-32-64, 32x32x3, batch 64": ("resnet", ((16, 32, 64),), 64, (32, 32, 3)),
}
"""What makes the network in models.py and torch_models.py, with its settings; batch size; shape of a sample."""


def takes_part(library: str, name: str) -> bool:
    """Whether the library is compared: without images PyTorch has one format, and the better of two would be luck."""
    return library != "torch channels last" or len(NETWORKS[name][3]) == 3


def make(library: str, name: str) -> Step:
    """Return one library's step on drawn data."""
    import numpy as np

    maker, settings, batch, shape = NETWORKS[name]
    rng = np.random.default_rng(0)
    x, y = rng.normal(size=(batch, *shape)).astype(np.float32), rng.integers(0, 10, batch)
    if library == "gpudl":
        from bench import models
        from bench.fit_step import fit_step

        return fit_step(getattr(models, maker)(*settings), x, y, ENTERED)
    if library == "keras":
        return _keras_step(maker, settings, x, y)
    from bench import torch_models

    return _torch_step(getattr(torch_models, maker)(*settings), x, y, library == "torch channels last")


def _torch_step(model: Any, x: Any, y: Any, channels_last: bool) -> Step:
    """The same step in PyTorch, as its tutorials write it."""
    import torch

    # A copy, also of one channel: else its strides would be channels last's, and PyTorch would compute in that format.
    images = torch.from_numpy(x.transpose(0, 3, 1, 2).copy() if x.ndim == 4 else x)
    if channels_last and x.ndim == 4:
        model = model.to(memory_format=torch.channels_last)
        images = images.contiguous(memory_format=torch.channels_last)
    labels = torch.from_numpy(y)
    optimizer = torch.optim.Adam(model.parameters(), lr=0.0)
    loss_of = torch.nn.CrossEntropyLoss()

    def step() -> None:
        optimizer.zero_grad()
        loss_of(model(images), labels).backward()
        optimizer.step()

    return step


def _keras_step(maker: str, settings: tuple[Any, ...], x: Any, y: Any) -> Step:
    """The same step by Keras on its PyTorch backend. models.py is written in Keras's own words."""
    import os
    import runpy
    import sys
    from pathlib import Path

    os.environ["KERAS_BACKEND"] = "torch"
    import keras

    sys.modules["gpudl"] = keras
    make_model = runpy.run_path(str(Path(__file__).parents[1] / "models.py"))[maker]
    model = make_model(*settings)
    model.compile(keras.optimizers.Adam(0.0), keras.losses.SparseCategoricalCrossentropy(from_logits=True))
    return lambda: model.train_on_batch(x, y)
