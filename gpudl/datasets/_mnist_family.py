"""Data sets of the shape of MNIST: four IDX files of 28x28 images and labels 0 to 9."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from gpudl.datasets import _cache
from gpudl.datasets.base import Data
from gpudl.datasets.idx import read_idx
from gpudl.errors import DataError

FILES = (
    "train-images-idx3-ubyte",
    "train-labels-idx1-ubyte",
    "t10k-images-idx3-ubyte",
    "t10k-labels-idx1-ubyte",
)

Part = tuple[np.ndarray, np.ndarray]


@dataclass(frozen=True)
class MnistFamily:
    """One such data set: its name, the address its files are under, and the md5 of each published `.gz` file."""

    name: str
    url: str
    md5: tuple[str, str, str, str]
    class_names: tuple[str, ...]

    def arrays(self) -> tuple[Part, Part]:
        """Return `(x_train, y_train), (x_test, y_test)`.

        Shapes: x (N, 28, 28) uint8; y (N,) uint8.
        Raises: DataError where a file is missing, damaged, or does not fit the others.
        """
        train_images, train_labels, test_images, test_labels = self._paths()
        return _read_part(train_images, train_labels), _read_part(test_images, test_labels)

    def data(self) -> Data:
        """Return the same as `Data`. Shapes: x (N, 28, 28, 1) uint8; y (N,) int64."""
        (x_train, y_train), (x_test, y_test) = self.arrays()
        return Data(
            x_train[..., np.newaxis],
            y_train.astype(np.int64),
            x_test[..., np.newaxis],
            y_test.astype(np.int64),
            self.class_names,
        )

    def status(self) -> str:
        """Say where the files are, or that they will be downloaded."""
        found = [_cache.find(self.name, file) for file in FILES]
        if None not in found:
            places = dict.fromkeys(str(path.parent) for path in found if path)
            return f"found in {' and '.join(places)}"
        return f"not found; will be downloaded{'' if _cache.can_download() else ' (needs the data extra)'}"

    def _paths(self) -> list[Path]:
        found = [_cache.find(self.name, file) for file in FILES]
        if None in found and not _cache.can_download():
            raise DataError(self._not_found([file for file, path in zip(FILES, found, strict=True) if path is None]))
        return [
            path or _cache.download(self.name, f"{self.url}{file}.gz", md5)
            for path, file, md5 in zip(found, FILES, self.md5, strict=True)
        ]

    def _not_found(self, missing: list[str]) -> str:
        looked = _cache.folders(self.name)
        return (
            f"{self.name}: {', '.join(missing)} not found, with or without .gz; "
            f"looked in {' and '.join(str(folder) for folder in looked)}. "
            f"Either run pip install pooch, and what is missing is downloaded, "
            f"or put the four files {', '.join(file + '.gz' for file in FILES)} into {looked[0]}"
        )


def _read_part(image_file: Path, label_file: Path) -> Part:
    images, labels = read_idx(image_file), read_idx(label_file)
    if images.dtype != np.uint8 or images.shape[1:] != (28, 28):
        raise DataError(_unexpected(image_file, images, "images of shape (N, 28, 28)"))
    if labels.dtype != np.uint8 or labels.ndim != 1:
        raise DataError(_unexpected(label_file, labels, "labels of shape (N,)"))
    if len(images) != len(labels) or len(images) == 0:
        raise DataError(
            f"{image_file} holds {len(images)} images, but {label_file} holds {len(labels)} labels; "
            "expected as many of each, and at least one; take all files from the same place"
        )
    if labels.max() > 9:
        raise DataError(
            f"{label_file}: label {labels.max()} at row {labels.argmax()} (counted from 0), expected 0 to 9; "
            "check that it is the right file"
        )
    return images, labels


def _unexpected(path: Path, array: np.ndarray, expected: str) -> str:
    return f"{path}: {array.dtype} of shape {array.shape}, expected uint8 {expected}; check that it is the right file"
