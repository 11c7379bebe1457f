"""Reader of .npz files, as `numpy.savez` writes them."""

from __future__ import annotations

import io
import zipfile
from collections.abc import Iterable

import numpy as np

from gpudl.datasets._files import read_file
from gpudl.datasets.base import Arrays, Data, Dataset, check_finite
from gpudl.errors import DataError
from gpudl.structures import leaves, mapped

SAVE = "save it with numpy.savez(path, x_train=..., y_train=...)"


class Npz(Dataset):
    """A .npz file with the arrays `x_train` and `y_train` (or `x` and `y`) and, if you like, `x_test` and `y_test`.

    Where a model has several inputs or outputs, each has an array of its own: `x_train.left`, `x_train.right`,
    `y_train.left`. Other arrays in the file are left alone. Nothing pickled is read.
    """

    description = "an .npz file of yours with x_train, y_train and, if you like, x_test, y_test"

    def __init__(self, path: str) -> None:
        self.path = path

    def load(self) -> Data:
        """Read the file.

        Shapes: x (N, ...) and y (N, ...) in the dtypes of the file, in the machine's own byte order.
        Raises: DataError where the file is missing or damaged, an array is missing, empty or not of numbers, holds NaN
        or infinity, or does not fit the others.
        """
        arrays = _read_arrays(self.path)
        parts = {name.partition(".")[0] for name in arrays}
        x_name, y_name = ("x_train", "y_train") if {"x_train", "y_train"} & parts else ("x", "y")
        x_train, y_train = _pair(self.path, arrays, x_name, y_name)
        if not {"x_test", "y_test"} & parts:
            return Data(x_train, y_train)
        x_test, y_test = _pair(self.path, arrays, "x_test", "y_test")
        for train_name, train, test_name, test in (
            (x_name, x_train, "x_test", x_test),
            (y_name, y_train, "y_test", y_test),
        ):
            of_train, of_test = (mapped(lambda array: array.shape[1:], part) for part in (train, test))
            if of_train != of_test:
                raise DataError(
                    f"{self.path}: rows of {train_name} have shape {of_train}, but rows of {test_name} "
                    f"{of_test}; expected the same shape in both"
                )
        return Data(x_train, y_train, x_test, y_test)

    @classmethod
    def status(cls) -> str:
        """Say that the data is the user's."""
        return "reads your file"


WANTED = ("x_train", "y_train", "x_test", "y_test", "x", "y")


def _read_arrays(path: str) -> dict[str, np.ndarray | None]:
    """Return the arrays that are wanted; one of any other name is None, for the message that lists what is there."""
    raw = read_file(path)
    if raw[:6] == b"\x93NUMPY":
        raise DataError(f"{path}: is a single .npy array, expected an .npz file of several; {SAVE}")
    try:
        with zipfile.ZipFile(io.BytesIO(raw)) as archive:
            names = [name.removesuffix(".npy") for name in archive.namelist() if name.endswith(".npy")]
            # ZipFile.read checks each array's CRC, so that NumPy never parses damaged bytes.
            members = {
                name: archive.read(f"{name}.npy") if name.partition(".")[0] in WANTED else None for name in names
            }
    except Exception as error:  # a damaged archive raises nearly anything: BadZipFile, zlib.error, struct.error, ...
        raise DataError(
            f"{path}: {len(raw)} bytes that are not a sound .npz file ({error}); copy it again, or {SAVE}"
        ) from error
    return {name: None if member is None else _parse(path, name, member) for name, member in members.items()}


def _parse(path: str, name: str, member: bytes) -> np.ndarray:
    try:
        array = np.lib.format.read_array(io.BytesIO(member), allow_pickle=False)
    except Exception as error:  # object arrays, and whatever NumPy makes of a header it cannot use
        raise DataError(
            f'{path}: array "{name}" cannot be read ({error}); expected a plain array of numbers; {SAVE}'
        ) from error
    if array.dtype.kind not in "biuf":
        raise DataError(f'{path}: array "{name}" holds {array.dtype}, expected numbers; convert it before saving')
    if array.ndim == 0 or len(array) == 0:
        raise DataError(f'{path}: array "{name}" has shape {array.shape}, expected at least one row')
    check_finite(f'{path}: array "{name}"', array)
    return np.ascontiguousarray(array, array.dtype.newbyteorder("="))


def _pair(path: str, arrays: dict[str, np.ndarray | None], x_name: str, y_name: str) -> tuple[Arrays, Arrays]:
    x, y = _named(arrays, x_name), _named(arrays, y_name)
    if x is None or y is None:
        missing = [name for name, array in ((x_name, x), (y_name, y)) if array is None]
        raise DataError(f"{path}: no array {_quoted(missing)}; found {_quoted(arrays) or 'none'}; {SAVE}")
    lengths = [(x_name, len(array)) for array in leaves(x)] + [(y_name, len(array)) for array in leaves(y)]
    for name, length in lengths[1:]:
        if length != lengths[0][1]:
            raise DataError(
                f"{path}: {x_name} has {lengths[0][1]} rows but {name} has {length}; "
                "expected one target for each sample"
            )
    return x, y


def _named(arrays: dict[str, np.ndarray | None], name: str) -> Arrays | None:
    """Return the array of a name, or those of its parts: `x_train.left` and `x_train.right` by "left" and "right"."""
    whole = arrays.get(name)
    if whole is not None:
        return whole
    dotted = {key.removeprefix(f"{name}."): array for key, array in arrays.items() if key.startswith(f"{name}.")}
    return {part: array for part, array in dotted.items() if array is not None} or None


def _quoted(names: Iterable[str]) -> str:
    return ", ".join(f'"{name}"' for name in names)
