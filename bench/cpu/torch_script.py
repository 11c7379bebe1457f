"""examples/digits_cnn.toml and mnist_cnn.toml in PyTorch: `python -m bench.cpu.torch_script mnist 1 FILE`."""

from __future__ import annotations

import gzip
import os
import sys
from pathlib import Path

import numpy as np
import torch
from torch import nn

ROOT = Path(__file__).parents[2]


def digits() -> tuple[nn.Module, np.ndarray, np.ndarray, int, float]:
    """The network of digits_cnn.toml; images and labels; batch size; learning rate."""

    def pair(channels: int, filters: int, rate: float) -> list[nn.Module]:
        found: list[nn.Module] = []
        for before in (channels, filters):
            found += [nn.Conv2d(before, filters, 3, padding=1, bias=False), nn.BatchNorm2d(filters), nn.ReLU()]
        return [*found, nn.MaxPool2d(2), nn.Dropout(rate)]

    model = nn.Sequential(*pair(1, 32, 0.2), *pair(32, 64, 0.4), nn.Flatten(), nn.Linear(256, 10))
    data = np.load(ROOT / "gpudl" / "datasets" / "data" / "digits.npz")
    return model, data["images"] / np.float32(16), data["labels"], 32, 0.003


def mnist() -> tuple[nn.Module, np.ndarray, np.ndarray, int, float]:
    """The network of mnist_cnn.toml; images and labels; batch size; learning rate."""
    folder = Path(os.environ["GPUDL_DATA_DIR"]) / "mnist"

    def read(name: str, skipped: int) -> np.ndarray:
        return np.frombuffer(gzip.decompress((folder / f"{name}-ubyte.gz").read_bytes()), np.uint8, offset=skipped)

    images = read("train-images-idx3", 16).reshape(-1, 28, 28)
    model = nn.Sequential(
        nn.Conv2d(1, 32, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2),
        nn.Conv2d(32, 64, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2),
        nn.Flatten(), nn.Linear(64 * 7 * 7, 128), nn.ReLU(), nn.Dropout(0.3), nn.Linear(128, 10),
    )  # fmt: skip
    return model, images, read("train-labels-idx1", 8), 128, 0.001


def main() -> None:
    what, epochs, file = sys.argv[1:]
    model, images, labels, batch, rate = digits() if what == "digits" else mnist()
    x, y = torch.from_numpy(images)[:, None], torch.from_numpy(labels.astype(np.int64))
    held_out = len(x) // 10
    optimizer, loss_of = torch.optim.Adam(model.parameters(), rate), nn.CrossEntropyLoss()

    def ready(part: torch.Tensor) -> torch.Tensor:
        return part if part.dtype == torch.float32 else part.float() / 255

    for _ in range(int(epochs)):
        model.train()
        for chosen in (held_out + torch.randperm(len(x) - held_out)).split(batch):
            optimizer.zero_grad()
            loss_of(model(ready(x[chosen])), y[chosen]).backward()
            optimizer.step()
        model.eval()
        with torch.no_grad():
            right = sum(
                int((model(ready(a)).argmax(1) == b).sum())
                for a, b in zip(x[:held_out].split(batch), y[:held_out].split(batch), strict=True)
            )
        print(f"{right / held_out:.4f}")
    torch.save(model.state_dict(), file)


if __name__ == "__main__":
    main()
