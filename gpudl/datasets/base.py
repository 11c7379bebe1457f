"""What every data set is: settings that turn into arrays."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from gpudl.configurable import Configurable
from gpudl.errors import DataError, UsageError

Arrays = np.ndarray | dict[str, np.ndarray]


@dataclass(frozen=True, eq=False)
class Data:
    """The arrays of a data set, on the CPU.

    Shapes: x_train (N, ...), y_train (N, ...), x_test (M, ...), y_test (M, ...). Where samples or targets have several
    parts, for models with several inputs or outputs, they are dicts by name. `x_test` and `y_test` are None where
    the source has no test part; `class_names[i]` is what label i stands for, None where the source does not say.
    """

    x_train: Arrays
    y_train: Arrays
    x_test: Arrays | None = None
    y_test: Arrays | None = None
    class_names: tuple[str, ...] | None = None


class Dataset(Configurable):
    """Base of data sets. A subclass sets `description` and defines `load`; its constructor only keeps settings."""

    kind = "datasets"
    description: str = ""
    """One line for the list of data sets."""
    sample_shape: tuple[int, ...] | None = None
    """The shape of one sample where it is known before anything is read."""

    def __init__(self) -> None:
        """A data set without settings."""

    def load(self) -> Data:
        """Read the data, downloading it first where the data set does that.

        Raises: DataError where a file is missing or damaged, UsageError where the settings do not fit the data.
        """
        raise UsageError(f"{type(self).__name__} must define load()")

    @classmethod
    def status(cls) -> str:
        """Say in a few words whether the data can be loaded, and from where. Never downloads."""
        return "ready"


def check_finite(name: str, array: np.ndarray) -> None:
    """Refuse NaN and infinity; `name` says in the message which array it is.

    Shapes: array (N, ...) of any dtype; only floating-point ones can fail.
    Raises: DataError with how many values are bad, and row and feature index of the first.
    """
    if array.dtype.kind != "f":
        return
    finite = np.isfinite(array)
    if finite.all():
        return
    first = tuple(int(i) for i in np.unravel_index(np.argmin(finite), array.shape))
    feature = f", feature {first[1] if len(first) == 2 else first[1:]}" if len(first) > 1 else ""
    place = f"row {first[0]}{feature} (counted from 0)" if first else "its only value"
    raise DataError(
        f"{name}: {array.size - np.count_nonzero(finite)} of {array.size} values are NaN or infinite, the first one "
        f"({array[first]}) at {place}; expected finite numbers; fill in or drop these rows"
    )
