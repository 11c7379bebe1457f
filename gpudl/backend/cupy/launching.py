"""Kernels from their sources to the device.

A `.cu` file is compiled when one of its kernels is first launched, by NVRTC, which comes with CuPy; CuPy keeps what was
compiled on disk. What must be known when compiling (types, sizes of tiles) are its macros, so each combination is a
kernel of its own. Files that are included are put in front as text: the key of CuPy's cache is the text.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
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


WITHOUT_ASKING = 48 << 10
"""Bytes of dynamic shared memory that any kernel may have."""


@cache
def compiled(stem: str, name: str, macros: tuple[tuple[str, str | int], ...], shared_bytes: int = 0) -> Any:
    """Return the kernel `name` of `stem`.cu, compiled with these macros, that may have so much shared memory.

    Raises: DeviceError where it cannot be compiled, with the compiler's log.
    """
    kernel = import_module("cupy").RawKernel(source(f"{stem}.cu", dict(macros)), name, options=("--std=c++17",))
    try:
        kernel.compile()
        if shared_bytes > WITHOUT_ASKING and kernel.max_dynamic_shared_size_bytes < shared_bytes:
            kernel.max_dynamic_shared_size_bytes = shared_bytes
    except Exception as error:
        if type(error).__name__ != "CompileException":  # CuPy's, which is not to be imported for its name alone
            raise
        raise DeviceError(f"{stem}.cu does not compile for this GPU; the compiler says:\n{error}") from None
    return kernel


_CONVERSIONS: dict[type, Callable[[Any], Any]] = {
    int: np.int32,
    float: np.float32,
    type(None): lambda _: np.uint64(0),  # a null pointer
}


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
    kernel = compiled(stem, name, tuple(macros.items()), shared_bytes)
    values = [a if (convert := _CONVERSIONS.get(type(a))) is None else convert(a) for a in arguments]
    kernel(tuple(grid), (threads,), values, shared_mem=shared_bytes)


@cache
def multiprocessors() -> int:
    """Return how many multiprocessors the GPU has, each of which works on some blocks at a time."""
    return int(import_module("cupy").cuda.Device().attributes["MultiProcessorCount"])


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


@cache
def name_of(kind: np.dtype) -> str:
    """Return a type's name, which NumPy puts together anew whenever it is asked."""
    return kind.name


def type_of(array: Array | np.dtype, known: Mapping[str, str] = TYPES) -> str:
    """Return the C++ type of an array's numbers. Raises: DeviceError where the kernel takes none such."""
    kind = array if isinstance(array, np.dtype) else array.dtype
    name = known.get(name_of(kind))
    if name is None:
        raise DeviceError(f"this CUDA kernel takes {' and '.join(known)} arrays, not {kind}; use astype")
    return name


WIDEST = 16
"""Bytes that a thread can read or write at once, at their multiples."""


def contiguous(array: Array) -> Array:
    """Return an array in C's order that begins at a multiple of 16 bytes, as kernels want it: itself, or a copy.

    A view of another array, `x[1:]`, may begin anywhere.
    """
    return array if array.flags.c_contiguous and not array.data.ptr % WIDEST else array.copy()


def pack(array: Array, length: int) -> int:
    """Return how many neighbours of an array are read at once where rows are of that length."""
    most = WIDEST // array.itemsize
    return 1 if length % most or array.data.ptr % WIDEST else most


def index_type(*arrays: Array | int) -> str:
    """Return the C++ type that numbers the elements of the largest of these arrays (or of this many elements)."""
    for a in arrays:
        if (a if isinstance(a, int) else a.size) > LARGEST_INT:
            return "long long"
    return "int"


def as_index(number: int, index: str) -> Any:
    """Return a number as an argument of the type INDEX."""
    return np.int64(number) if index == "long long" else number


def struct(values: tuple[Any, ...], fields: np.dtype) -> np.ndarray:
    """Return the argument for a struct that a kernel takes by value.

    Its fields are hidden in a plain row of bytes: CuPy asks an array for its interface, and an array with many fields
    takes longer to describe itself than a kernel to be launched.
    """
    return np.array([values], fields).view(np.dtype((np.void, fields.itemsize)))


DIVISOR = np.dtype([("number", "u4"), ("multiplier", "u4"), ("shift", "u4")])


def divisor(number: int) -> tuple[int, int, int]:
    """Return what `divide` of common.cuh needs to divide by a number from 1 to 2^31."""
    bits = max(0, (number - 1).bit_length() - 1)
    return number, min(((1 << (32 + bits)) + number - 1) // number, 2**32 - 1), bits
