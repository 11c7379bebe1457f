"""MNIST: 70,000 handwritten digits of 28x28 pixels.

Source: Y. LeCun, C. Cortes, C. J. C. Burges, The MNIST Database of Handwritten Digits, CC BY-SA 3.0.
"""

from __future__ import annotations

from gpudl.datasets._mnist_family import MnistFamily, Part
from gpudl.datasets.base import Data, Dataset

SOURCE = MnistFamily(
    name="mnist",
    url="https://ossci-datasets.s3.amazonaws.com/mnist/",
    md5=(
        "f68b3c2dcbeaaa9fbdd348bbdeb94873",
        "d53e105ee54ea40749a09fcbcd1e9432",
        "9fb629c4189551a2d022fa330f9573f3",
        "ec29112dd5afa0611ce80d1b7f02629c",
    ),
    class_names=tuple("0123456789"),
)


class Mnist(Dataset):
    """Handwritten digits, 28x28 pixels with values 0 to 255.

    The four files are looked for in `$GPUDL_DATA_DIR/mnist`, then in the user's cache, then downloaded into it.
    """

    description = "70,000 handwritten digits, 28x28 pixels, 10 classes"
    sample_shape = (28, 28, 1)

    def load(self) -> Data:
        """Return the digits.

        Shapes: x (60000 or 10000, 28, 28, 1) uint8; y (60000 or 10000,) int64 with values 0 to 9.
        Raises: DataError where a file is missing, damaged, or does not fit the others.
        """
        return SOURCE.data()

    @classmethod
    def status(cls) -> str:
        """Say where the files are, or that they will be downloaded. Raises: DataError for a bad GPUDL_DATA_DIR."""
        return SOURCE.status()


def load_data(path: str | None = None) -> tuple[Part, Part]:
    """Return `(x_train, y_train), (x_test, y_test)`, 60,000 and 10,000 digits.

    `path`, where Keras keeps its copy, is not asked for: the files lie where the command line's data lie.

    Shapes: x (N, 28, 28) uint8; y (N,) uint8.
    Raises: DataError where a file is missing, damaged, or does not fit the others.
    """
    return SOURCE.arrays()
