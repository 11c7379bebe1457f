"""Kernels from their sources to the device.

A `.cu` file is compiled when one of its kernels is first launched, by NVRTC, which comes with CuPy; CuPy keeps what was
compiled on disk. What must be known when compiling (types, sizes of tiles) are its macros, so each combination is a
kernel of its own. Files that are included are put in front as text: the key of CuPy's cache is the text.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from functools import cache
from importlib import import_module
from importlib.resources import files
from typing import Any, TypeAlias

import numpy as np

from gpudl.backend import Array
from gpudl.errors import DeviceError

Macros: TypeAlias = Mapping[str, str | int]

TYPES = {"float32": "float", "float64": "double"}
"""C++ types of the arrays that kernels are compiled for."""

SIXTEEN_BITS = {"float16": "__half", "bfloat16": "__nv_bfloat16"}
"""C++ types of 16-bit numbers, which convolutions and global pooling take besides; bfloat16 is that of ml_dtypes."""

NUMBERS = {
    **TYPES,
    "int8": "signed char",
    "uint8": "unsigned char",
    "int16": "short",
    "int32": "int",
    "int64": "long long",
}
"""C++ types of all arrays that kernels take which only compare and choose."""

HEADERS = {"__half": "#include <cuda_fp16.h>\n", "__nv_bfloat16": "#include <cuda_bf16.h>\n"}

LARGEST_INT = 2**31 - 2**16
"""Elements that an int can number, with room for the threads past the end."""


def source(name: str, macros: Macros) -> str:
    """Return a file of this folder behind its macros and what it includes, with the lines' numbers for the compiler.

    Words among the macros name types. They are text and not options of the compiler, whose own headers would not bear
    a macro that is called T.
    """
    included: set[str] = set()

    def text(name: str) -> str:
        if name in included:
            return ""
        included.add(name)
        lines = [f'#line 1 "{name}"']
        body = (files("gpudl.backend.cupy") / name).read_text(encoding="utf-8")
        for number, line in enumerate(body.replace("#pragma once", "").splitlines(), 1):
            found = re.fullmatch(r'#include "(\w+\.cuh)"', line)
            lines.append(f'{text(found[1])}#line {number + 1} "{name}"' if found else line)
        return "\n".join(lines) + "\n"

    defined = "".join(header for name, header in HEADERS.items() if name in macros.values())
    defined += "".join(
        f"using {name} = {value};\n" if isinstance(value, str) else f"#define {name} {value}\n"
        for name, value in macros.items()
    )
    return defined + text("common.cuh") + text(name)


@cache
def compiled(stem: str, name: str, macros: tuple[tuple[str, str | int], ...]) -> Any:
    """Return the kernel `name` of `stem`.cu, compiled with these macros."""
    code = source(f"{stem}.cu", dict(macros))
    return import_module("cupy").RawKernel(code, name, options=("--std=c++17",))


def launch(
    stem: str,
    name: str,
    macros: Macros,
    grid: Sequence[int],
    threads: int,
    arguments: Sequence[Any],
    shared_bytes: int = 0,
) -> None:
    """Run a kernel on the current stream. `grid` counts blocks; arrays must be contiguous.

    Python's integers become 32-bit ones, and numbers with a fraction float32; give np.int64 or np.float64 where the
    kernel takes those. None is a null pointer.
    Raises: DeviceError where the kernel cannot be compiled, with the compiler's log.
    """
    if 0 in grid:
        return
    kernel = compiled(stem, name, tuple(macros.items()))
    try:
        if shared_bytes > 48 << 10 and kernel.max_dynamic_shared_size_bytes < shared_bytes:
            kernel.max_dynamic_shared_size_bytes = shared_bytes
        kernel(tuple(grid), (threads,), tuple(_argument(a) for a in arguments), shared_mem=shared_bytes)
    except Exception as error:
        if type(error).__name__ != "CompileException":  # CuPy's, which is not to be imported for its name alone
            raise
        raise DeviceError(f"{stem}.cu does not compile for this GPU; the compiler says:\n{error}") from None


PER_BLOCK = 256
"""Threads of a block where each makes one element."""


def launch_each(
    stem: str,
    name: str,
    size: int,
    arguments: Sequence[Any],
    largest: int = 0,
    known: Mapping[str, str] = TYPES,
    **macros: str | int,
) -> None:
    """Run a kernel that has one thread for each of `size` elements; it takes `size` as its last argument.

    `largest` is the size of the largest other array, if that is larger. `T` is the type of the first argument,
    one of those `known`.
    """
    index = index_type(size, largest)
    macros = {"T": type_of(arguments[0], known), "INDEX": index, **macros}
    launch(stem, name, macros, (-(-size // PER_BLOCK),), PER_BLOCK, (*arguments, as_index(size, index)))


def _argument(value: Any) -> Any:
    if value is None:
        return np.uint64(0)  # a null pointer
    if type(value) is int:
        return np.int32(value)
    if type(value) is float:
        return np.float32(value)
    return value


def type_of(array: Array, known: Mapping[str, str] = TYPES) -> str:
    """Return the C++ type of an array's numbers. Raises: DeviceError where the kernel takes none such."""
    name = known.get(array.dtype.name)
    if name is None:
        raise DeviceError(f"this CUDA kernel takes {' and '.join(known)} arrays, not {array.dtype.name}; use astype")
    return name


def contiguous(array: Array) -> Array:
    """Return an array whose numbers lie in C's order, as kernels want them: itself, or a copy."""
    return array if array.flags.c_contiguous else array.copy()


def index_type(*arrays: Array | int) -> str:
    """Return the C++ type that numbers the elements of the largest of these arrays (or of this many elements)."""
    largest = max(a if isinstance(a, int) else a.size for a in arrays)
    return "int" if largest <= LARGEST_INT else "long long"


def as_index(number: int, index: str) -> Any:
    """Return a number as an argument of the type INDEX."""
    return np.int64(number) if index == "long long" else number


DIVISOR = np.dtype([("number", "u4"), ("multiplier", "u4"), ("shift", "u4")])


def divisor(number: int) -> tuple[int, int, int]:
    """Return what `divide` of common.cuh needs to divide by a number from 1 to 2^31."""
    bits = max(0, (number - 1).bit_length() - 1)
    return number, min(((1 << (32 + bits)) + number - 1) // number, 2**32 - 1), bits
