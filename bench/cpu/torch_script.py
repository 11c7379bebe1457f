"""examples/digits_cnn.toml and mnist_cnn.toml in PyTorch: `python -m bench.cpu.torch_script mnist 1 FILE`.

As many images as `gpudl train` takes: a tenth of those to be learned from is for validation after each epoch, and those
of the test come at the end.
"""

from __future__ import annotations

import gzip
import os
import sys
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from torch import nn

ROOT = Path(__file__).parents[2]


class Task(NamedTuple):
    """A network, images and labels to learn from and to be tested on, and how it learns."""

    model: nn.Module
    images: np.ndarray
    labels: np.ndarray
    test_images: np.ndarray
    test_labels: np.ndarray
    batch: int
    rate: float


def digits() -> Task:
    """The network of digits_cnn.toml. A fifth of the images is for the test."""

    def pair(channels: int, filters: int, rate: float) -> list[nn.Module]:
        found: list[nn.Module] = []
        for before in (channels, filters):
            found += [nn.Conv2d(before, filters, 3, padding=1, bias=False), nn.BatchNorm2d(filters), nn.ReLU()]
        return [*found, nn.MaxPool2d(2), nn.Dropout(rate)]

    model = nn.Sequential(*pair(1, 32, 0.2), *pair(32, 64, 0.4), nn.Flatten(), nn.Linear(256, 10))
    data = np.load(ROOT / "gpudl" / "datasets" / "data" / "digits.npz")
    images, labels = data["images"] / np.float32(16), data["labels"]
    tested = round(len(images) / 5)
    return Task(model, images[tested:], labels[tested:], images[:tested], labels[:tested], 32, 0.003)


def mnist() -> Task:
    """The network of mnist_cnn.toml."""
    folder = Path(os.environ["GPUDL_DATA_DIR"]) / "mnist"

    def read(name: str, skipped: int) -> np.ndarray:
        return np.frombuffer(gzip.decompress((folder / f"{name}-ubyte.gz").read_bytes()), np.uint8, offset=skipped)

    images, tested = (read(f"{part}-images-idx3", 16).reshape(-1, 28, 28) for part in ("train", "t10k"))
    model = nn.Sequential(
        nn.Conv2d(1, 32, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2),
        nn.Conv2d(32, 64, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2),
        nn.Flatten(), nn.Linear(64 * 7 * 7, 128), nn.ReLU(), nn.Dropout(0.3), nn.Linear(128, 10),
    )  # fmt: skip
    return Task(model, images, read("train-labels-idx1", 8), tested, read("t10k-labels-idx1", 8), 128, 0.001)


def main() -> None:
    what, epochs, file = sys.argv[1:]
    model, *arrays, batch, rate = digits() if what == "digits" else mnist()
    x, y, test_x, test_y = (torch.from_numpy(a.astype(np.int64) if a.ndim == 1 else a[:, None]) for a in arrays)
    held_out = len(x) // 10
    optimizer, loss_of = torch.optim.Adam(model.parameters(), rate), nn.CrossEntropyLoss()

    def ready(part: torch.Tensor) -> torch.Tensor:
        return part if part.dtype == torch.float32 else part.float() / 255

    def accuracy(x: torch.Tensor, y: torch.Tensor) -> float:
        model.eval()
        with torch.no_grad():
            pairs = zip(x.split(batch), y.split(batch), strict=True)
            return sum(int((model(ready(a)).argmax(1) == b).sum()) for a, b in pairs) / len(x)

    for _ in range(int(epochs)):
        model.train()
        for chosen in (held_out + torch.randperm(len(x) - held_out)).split(batch):
            optimizer.zero_grad()
            loss_of(model(ready(x[chosen])), y[chosen]).backward()
            optimizer.step()
        print(f"{accuracy(x[:held_out], y[:held_out]):.4f}")
    print(f"test {accuracy(test_x, test_y):.4f}")
    torch.save(model.state_dict(), file)


if __name__ == "__main__":
    main()
