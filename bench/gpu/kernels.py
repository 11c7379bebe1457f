"""Every family of kernels against NumPy in float64, over shapes drawn at random, in every precision."""

from __future__ import annotations

import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from importlib import import_module
from importlib.util import find_spec
from typing import Any

import numpy as np

from bench.gpu.cases import FAMILIES, Case, Draw
from bench.gpu.running import Options, Result, is_lost

SECONDS, AT_ONCE = 85, 16
CASES, QUICK_CASES = 200, 20
WORDS = ("highest", "high", "medium")
"""Of set_float32_precision; other precisions are types."""

LIMITS = {"highest": 1e-6, "high": 4e-6, "medium": 1e-3, "float64": 1e-14, "float16": 6e-4, "bfloat16": 5e-3}
"""Largest error of a sum, in parts of what it would be if no terms cancelled. Tensor cores cut sums off where others
round; TF32 has 10 bits of mantissa; numbers of 16 bits are rounded when they are written."""

STEPWISE = {"batch_norm": 5, "softmax": 5, "optimizers": 50}
"""Families of several roundings in a row (roots, quotients, exponentials): how many times the limit of a sum. In an
optimizer's 1 - beta_2 = 0.001 float32 has three digits less."""


def limit_of(family: str, precision: str) -> float:
    """Return the limit of a family; the words concern products alone."""
    products = family.startswith("conv") or family == "dense"
    return LIMITS[precision if products or precision not in WORDS else "highest"] * STEPWISE.get(family, 1)


def precisions() -> list[str]:
    """All precisions that gpudl's kernels know; not every family takes the types of 16 bits."""
    from gpudl.backend.cupy import launching

    return [*WORDS, "float64", *getattr(launching, "SIXTEEN_BITS", ())]


def parts(options: Options) -> list[list[str]]:
    """Name family and precision; convolutions, whose kernels take long to compile, have a process for each."""
    every = [[f"{family}, {precision}" for precision in precisions()] for family in FAMILIES]
    return [group for of in every for group in ([[one] for one in of] if of[0].startswith("conv") else [of])]


@contextmanager
def poisoned(cupy: Any) -> Iterator[None]:
    """Within this context new memory is full of NaN, so that numbers that nobody wrote show."""
    before = cupy.empty, cupy.empty_like

    def bad(make: Any) -> Any:
        def made(*arguments: Any, **settings: Any) -> Any:
            array = make(*arguments, **settings)
            array.reshape(-1).view("uint8").fill(0xFF)
            return array

        return made

    cupy.empty, cupy.empty_like = map(bad, before)
    try:
        yield
    finally:
        cupy.empty, cupy.empty_like = before


@contextmanager
def indices_of(bits: int) -> Iterator[None]:
    """Within this context kernels number elements in as many bits: those for 2^31 elements and more, on few."""
    from gpudl.backend.cupy import launching

    before = launching.LARGEST_INT
    launching.LARGEST_INT = 0 if bits == 64 else before
    try:
        yield
    finally:
        launching.LARGEST_INT = before


def twin(library: str) -> Any:
    """Return what gives one library's kernels of a name."""
    return lambda stem: import_module(f"gpudl.backend.{library}.{stem}")


def _wide(array: Any, absolute: bool = False) -> Any:
    """In float64; numbers that are counted stay as they are."""
    if array is None or array.dtype.kind in "iub":
        return array
    return np.asarray(np.abs(array.astype("float64"))) if absolute else array.astype("float64")


def errors(case: Case, found: list[np.ndarray]) -> list[float]:
    """Return each result's largest error relative to its size; NaN where a result is not the array it should be."""
    arrays = [_wide(array) for array in case.arrays]
    expected = case.run(twin("numpy"), *arrays)
    if case.sizes is None:
        absolute = case.run(twin("numpy"), *(_wide(array, True) for array in case.arrays))
        sizes = [float(np.abs(a).max(initial=0)) for a in absolute]
    else:
        sizes = [float(size) for size in case.sizes(expected, *arrays)]
    return [
        float(np.abs(_wide(mine) - other).max(initial=0)) / (size or 1.0) if mine.shape == other.shape else float("nan")
        for mine, other, size in zip(found, map(np.asarray, expected), sizes, strict=True)
    ]


def on_device(case: Case, cupy: Any) -> list[np.ndarray]:
    """Run a case on the device and fetch what it gives."""
    arrays = [None if array is None else cupy.asarray(array) for array in case.arrays]
    with poisoned(cupy):
        results = case.run(twin("cupy"), *arrays)
    return [result.get() for result in results]


def run(part: str, options: Options) -> Result:
    """Run the cases of one family in one precision, each twice."""
    import gpudl
    from gpudl.config import float32_precision
    from gpudl.errors import DeviceError

    cupy = import_module("cupy")
    family, _, precision = part.rpartition(", ")
    kind, limit = "float32" if precision in WORDS else precision, limit_of(family, precision)
    if kind == "bfloat16" and find_spec("ml_dtypes") is None:
        return {"rows": [{"family": family, "precision": precision, "refused": "ml_dtypes is not installed"}]}
    wanted = options.cases or (QUICK_CASES if options.quick else CASES)
    row: dict[str, Any] = {"family": family, "precision": precision, "limit": limit, "cases": 0, "largest": 0.0}
    row |= {"other_bits": 0, "failures": 0}
    failures: list[str] = []
    before = float32_precision()
    gpudl.set_float32_precision(precision if precision in WORDS else "high")
    try:
        for number in range(wanted):
            if number and options.left() < 0:
                row["stopped"] = f"{number} of {wanted} cases: no time left"
                break
            case = FAMILIES[family](Draw([number, zlib.crc32(family.encode())], kind, options.quick))
            bits = 64 if number % 10 == 9 else 32
            row["cases"] += 1
            try:
                with indices_of(bits):
                    first, second = on_device(case, cupy), on_device(case, cupy)
                off = errors(case, first)
                wrong = [f"result {i} is off by {e:.2g}" for i, e in enumerate(off) if not e <= limit]
                row["largest"] = max([row["largest"], *(e for e in off if e == e)])
            except Exception as error:
                if kind in ("float16", "bfloat16") and isinstance(error, DeviceError) and "arrays, not" in str(error):
                    return {"rows": [{"family": family, "precision": precision, "refused": str(error)}], "failures": []}
                first, second, wrong = [], [], [f"{type(error).__name__}: {error}"]
            if wrong:
                row["failures"] += 1
                failures.append(f"{part}: {case.text}, {bits}-bit indices: {'; '.join(wrong)} (limit {limit:g})")
            if any(a.tobytes() != b.tobytes() for a, b in zip(first, second, strict=True)):
                row["other_bits"] += 1
                failures.append(f"{part}: {case.text}: other bits when run again")
            if wrong and is_lost():
                row["stopped"] = f"{number + 1} of {wanted} cases: the device does not answer any more"
                break
    finally:
        gpudl.set_float32_precision(before)
    return {"rows": [row], "failures": failures[:5], "failed": len(failures)}
