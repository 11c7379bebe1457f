"""Named data sets and readers of data files.

`gpudl.datasets.mnist.load_data()` gives arrays as lessons expect them; the classes are what an experiment file names.
"""

from gpudl.datasets import digits, fashion_mnist, mnist
from gpudl.datasets.base import Data, Dataset, check_finite
from gpudl.datasets.csv_file import Csv
from gpudl.datasets.digits import Digits
from gpudl.datasets.fashion_mnist import FashionMnist
from gpudl.datasets.mnist import Mnist
from gpudl.datasets.npz import Npz

__all__ = [
    "Csv",
    "Data",
    "Dataset",
    "Digits",
    "FashionMnist",
    "Mnist",
    "Npz",
    "check_finite",
    "digits",
    "fashion_mnist",
    "mnist",
]
