"""Kernels compiled for GPUs by NVIDIA's own compiler, without one: all of them, and none spills its registers."""

from __future__ import annotations

import itertools
import re
from pathlib import Path
from typing import Any

import pytest

from cuda_on_cpu import nvrtc
from gpudl.backend.cupy import conv2d, launching, precision

pytestmark = pytest.mark.skipif(not nvrtc.is_there(), reason="needs: pip install nvidia-cuda-nvrtc")

ARCHITECTURES = (80, 86, 89, 90, 100, 120)
SHARED = 99 << 10
"""Bytes of shared memory that a block may have on all of these."""

TILES = {"float": (conv2d.WIDE, conv2d.MEDIUM, conv2d.NARROW), "double": (conv2d.DOUBLE,)}
MATHS = {"float": (precision.FMA, precision.TF32, precision.THREE_TF32), "double": (precision.FMA,)}
ITEMSIZE = {"float": 4, "double": 8}


def check(stem: str, names: tuple[str, ...], macros: dict[str, Any], threads: int, architecture: int) -> None:
    found = nvrtc.compile(launching.source(f"{stem}.cu", macros), architecture)
    assert set(found) == set(names)
    for name, needs in found.items():
        assert needs.spilled_bytes == 0, f"{name} spills on sm_{architecture}: {macros}"
        assert needs.registers * threads <= 65536


def convolutions() -> Any:
    for kind in TILES:
        for tiles, math, widths in itertools.product(TILES[kind], MATHS[kind], ((1, 1), (1, 0), (0, 1), (0, 0))):
            wide = 16 // ITEMSIZE[kind]
            width, kernel_width = (wide if w else 1 for w in widths)
            macros = {"T": kind, "INDEX": "int", **tiles.macros(), "MATH": math, "WIDTH": width,
                      "KERNEL_WIDTH": kernel_width}  # fmt: skip
            yield "gather", {"GATHER": 1, "A_IS_DEEP": 1, **macros}, tiles
            yield "kernel_gradient", {"KERNEL_GRADIENT": 1, "A_IS_DEEP": 0, **macros}, tiles


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_convolutions(architecture: int) -> None:
    for name, macros, tiles in convolutions():
        if architecture != 90 and min(macros["WIDTH"], macros["KERNEL_WIDTH"]) == 1:
            continue  # narrow copies on one architecture are enough
        check("conv2d", (name,), macros, tiles.threads, architecture)
        assert tiles.shared_bytes(ITEMSIZE[macros["T"]], bool(macros["A_IS_DEEP"])) <= SHARED


def test_convolutions_before_tensor_cores_of_tf32() -> None:
    for name, macros, tiles in convolutions():
        if macros["MATH"] == precision.FMA and macros["WIDTH"] > 1 and macros["KERNEL_WIDTH"] > 1:
            check("conv2d", (name,), macros, tiles.threads, 75)


def test_convolutions_of_large_arrays() -> None:
    for name, macros, tiles in convolutions():
        if macros["WIDTH"] > 1 and macros["KERNEL_WIDTH"] > 1:
            check("conv2d", (name,), {**macros, "INDEX": "long long"}, tiles.threads, 90)


OTHERS = {
    "relu": ("forward", "backward"),
    "dropout": ("drop",),
    "parts": ("add_parts",),
    "scatter": ("add_rows",),
    "softmax": ("softmax_rows", "softmax_gradient", "picked_loss", "picked_gradient", "crossed_loss",
                "crossed_gradient"),
    "totals": ("add_values",),
    "columns": ("sum_columns", "sum_gradients", "moments_of_columns", "join_moments", "add_to_rows", "normalize_rows",
                "normalize_gradients"),
    "pool2d": ("max_forward", "max_backward", "average_forward", "average_backward"),
    "depthwise": ("forward", "input_gradient", "kernel_gradient"),
    "optimizers": ("scale", "mix", "clip_value", "sum_squares", "clip_norm", "sgd", "adam", "nadam", "adamax", "lion",
                   "rmsprop", "adagrad", "adadelta"),
}  # fmt: skip


@pytest.mark.parametrize("stem", OTHERS)
def test_the_rest(stem: str) -> None:
    for kind, index in itertools.product(("float", "double"), ("int", "long long")):
        for architecture in (75, *ARCHITECTURES) if index == "int" else (90,):
            macros = {"T": kind, "INDEX": index, "WINNER": "unsigned char", "LABEL": "int"}
            check(stem, OTHERS[stem], macros, 256, architecture)


def test_all_are_listed() -> None:
    for source in (Path(launching.__file__).parent).glob("*.cu"):
        found = re.findall(
            r'extern "C" __global__ void (?:__launch_bounds__\([\w, ]+\)\s+)?(\w+)\(', source.read_text()
        )
        listed = OTHERS.get(source.stem, ("gather", "kernel_gradient"))
        assert set(found) == set(listed), source.name


def test_a_mistake_is_told_with_its_line() -> None:
    code = launching.source("relu.cu", {"T": "float", "INDEX": "int"}).replace("T(0);  // NaN", "nothing;  // NaN")
    with pytest.raises(RuntimeError, match=r"relu\.cu\(5\): error: identifier \"nothing\" is undefined"):
        nvrtc.compile(code, 90)
