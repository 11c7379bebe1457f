"""Reader of IDX files, the format of MNIST: a magic number, the sizes, then the values in big-endian order."""

from __future__ import annotations

import gzip
import math
import zlib
from pathlib import Path

import numpy as np

from gpudl.datasets._files import read_file
from gpudl.errors import DataError

DTYPES = {0x08: "u1", 0x09: "i1", 0x0B: ">i2", 0x0C: ">i4", 0x0D: ">f4", 0x0E: ">f8"}
MAX_DIMENSIONS = 32
FIX = "copy or download it again"


def read_idx(path: str | Path) -> np.ndarray:
    """Read an IDX file, plain or gzipped (told apart by its first bytes, not by its name).

    Shapes: as the file says, 1 to 32 dimensions, in the machine's own byte order.
    Raises: DataError where the file is missing, truncated, too long, not IDX or not decodable as gzip.
    """
    raw = _decompress(path, read_file(path))
    if len(raw) < 4:
        raise DataError(f"{path}: {len(raw)} bytes, expected an IDX file of at least 8; {FIX}")
    if raw[:2] != b"\0\0" or raw[2] not in DTYPES or not 1 <= raw[3] <= MAX_DIMENSIONS:
        codes = ", ".join(f"{code:02x}" for code in DTYPES)
        raise DataError(
            f"{path}: begins with the bytes {raw[:4].hex(' ')}, expected an IDX file: 00 00, a type code ({codes}) "
            f"and a number of dimensions (01 to {MAX_DIMENSIONS:02x}); check that it is the right file, or {FIX}"
        )
    dtype, dimensions = np.dtype(DTYPES[raw[2]]), raw[3]
    header = 4 + 4 * dimensions
    if len(raw) < header:
        raise DataError(f"{path}: cut short, {len(raw)} bytes where the header alone takes {header}; {FIX}")
    shape = tuple(int(size) for size in np.frombuffer(raw, ">u4", dimensions, offset=4))
    expected = header + math.prod(shape) * dtype.itemsize
    if len(raw) != expected:
        trouble = "cut short" if len(raw) < expected else "too long"
        sizes = " x ".join(str(size) for size in shape)
        raise DataError(
            f"{path}: {trouble}, {len(raw)} bytes where {sizes} values of {dtype.name} take {expected}; {FIX}"
        )
    values = np.frombuffer(raw, dtype, offset=header).astype(dtype.newbyteorder("="))
    try:
        return values.reshape(shape)
    except ValueError as error:  # no values at all, but other sizes beyond what NumPy can index
        raise DataError(f"{path}: the shape {shape} of its header is impossible ({error}); {FIX}") from error


def _decompress(path: str | Path, raw: bytes) -> bytes:
    if raw[:2] != b"\x1f\x8b":
        return raw
    try:
        return gzip.decompress(raw)
    except (OSError, EOFError, zlib.error) as error:
        raise DataError(f"{path}: {len(raw)} bytes of damaged gzip ({error}), expected a whole file; {FIX}") from error
