"""1,797 handwritten digits of 8x8 pixels, shipped inside the package.

Source: E. Alpaydin and C. Kaynak, Optical Recognition of Handwritten Digits, UCI Machine Learning Repository, 1998,
DOI 10.24432/C50P49, CC BY 4.0.
"""

from __future__ import annotations

from importlib.resources import files

import numpy as np

from gpudl.datasets._split import check_fraction, split
from gpudl.datasets.base import Data, Dataset

SPLIT_KEY = 1998
"""Philox key of the one shuffle that every split starts from."""

CLASS_NAMES = tuple("0123456789")


class Digits(Dataset):
    """Handwritten digits, 8x8 pixels with values 0 to 16.

    The images are shuffled once, by a Philox generator with the constant key `SPLIT_KEY`; the first ones are for
    testing. (The file's own order would put different writers into the two parts.)
    """

    description = "1,797 handwritten digits, 8x8 pixels, 10 classes"
    sample_shape = (8, 8, 1)

    def __init__(self, test_fraction: float = 0.2) -> None:
        """Raises: UsageError where the fraction is outside [0, 1)."""
        check_fraction("Digits", test_fraction)
        self.test_fraction = test_fraction

    def load(self) -> Data:
        """Return the digits.

        Shapes: x (N, 8, 8, 1) uint8 with values 0 to 16; y (N,) int64 with values 0 to 9.
        Raises: UsageError where the fraction leaves one part empty.
        """
        with files("gpudl.datasets").joinpath("data", "digits.npz").open("rb") as file, np.load(file) as arrays:
            images, labels = arrays["images"], arrays["labels"].astype(np.int64)
        order = np.random.Generator(np.random.Philox(key=SPLIT_KEY)).permutation(len(labels))
        return split("Digits", images[..., np.newaxis], labels, order, self.test_fraction, CLASS_NAMES)

    @classmethod
    def status(cls) -> str:
        """Say that the digits are in the package."""
        return "in the package"


def load_data() -> tuple[tuple[np.ndarray, np.ndarray], tuple[np.ndarray, np.ndarray]]:
    """Return `(x_train, y_train), (x_test, y_test)`: 1,438 digits for training and 359 for testing.

    Shapes: x (N, 8, 8) uint8 with values 0 to 16; y (N,) int64.
    """
    data = Digits().load()
    x_train, y_train, x_test, y_test = map(np.asarray, (data.x_train, data.y_train, data.x_test, data.y_test))
    return (x_train[..., 0], y_train), (x_test[..., 0], y_test)
