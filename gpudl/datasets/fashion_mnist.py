"""Fashion-MNIST: 70,000 photographs of clothes, in the format of MNIST.

Source: H. Xiao, K. Rasul, R. Vollgraf, Fashion-MNIST: a Novel Image Dataset for Benchmarking Machine Learning
Algorithms, 2017, arXiv 1708.07747, MIT licence.
"""

from __future__ import annotations

from gpudl.datasets._mnist_family import MnistFamily, Part
from gpudl.datasets.base import Data, Dataset

SOURCE = MnistFamily(
    name="fashion_mnist",
    url="http://fashion-mnist.s3-website.eu-central-1.amazonaws.com/",
    md5=(
        "8d4fb7e6c68d591d4c3dfef9ec88bf0d",
        "25c81989df183df01b3e8a0aad5dffbe",
        "bef4ecab320f06d8554ea6380940ec79",
        "bb300cfdad3c16e7a12a480ee83cd310",
    ),
    class_names=(
        "T-shirt/top",
        "Trouser",
        "Pullover",
        "Dress",
        "Coat",
        "Sandal",
        "Shirt",
        "Sneaker",
        "Bag",
        "Ankle boot",
    ),
)


class FashionMnist(Dataset):
    """Photographs of clothes, 28x28 pixels with values 0 to 255.

    The four files are looked for in `$GPUDL_DATA_DIR/fashion_mnist`, then in the user's cache, then downloaded into it.
    """

    description = "70,000 photographs of clothes, 28x28 pixels, 10 classes"
    sample_shape = (28, 28, 1)

    def load(self) -> Data:
        """Return the photographs.

        Shapes: x (60000 or 10000, 28, 28, 1) uint8; y (60000 or 10000,) int64 with values 0 to 9.
        Raises: DataError where a file is missing, damaged, or does not fit the others.
        """
        return SOURCE.data()

    @classmethod
    def status(cls) -> str:
        """Say where the files are, or that they will be downloaded. Raises: DataError for a bad GPUDL_DATA_DIR."""
        return SOURCE.status()


def load_data() -> tuple[Part, Part]:
    """Return `(x_train, y_train), (x_test, y_test)`, 60,000 and 10,000 photographs.

    Shapes: x (N, 28, 28) uint8; y (N,) uint8.
    Raises: DataError where a file is missing, damaged, or does not fit the others.
    """
    return SOURCE.arrays()
