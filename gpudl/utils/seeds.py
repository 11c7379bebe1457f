"""One seed for all that a lesson draws from."""

from __future__ import annotations

import random as python_random

import numpy as np

from gpudl import random


def set_random_seed(seed: int) -> None:
    """Fix the seed of gpudl, of NumPy's `np.random` and of Python's `random`, as Keras does.

    Raises: UsageError where it is no integer from 0 to 2^32 - 1.
    """
    random.set_random_seed(seed)
    np.random.seed(seed % 2**32)
    python_random.seed(seed)
