"""All kernels, with the macros that launchers compile them with."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from gpudl.backend.cupy import conv2d, precision

ITEMSIZE = {"float": 4, "double": 8, "__half": 2, "__nv_bfloat16": 2}
MATHS = {
    "float": (precision.FMA, precision.TF32, precision.THREE_TF32),
    "double": (precision.FMA,),
    "__half": (precision.SIXTEEN, precision.FMA),
    "__nv_bfloat16": (precision.SIXTEEN, precision.FMA),
}
TILES = {
    "float": (conv2d.WIDE, conv2d.MEDIUM, conv2d.NARROW),
    "double": (conv2d.DOUBLE,),
    "__half": conv2d.OF_SIXTEEN,
    "__nv_bfloat16": conv2d.OF_SIXTEEN,
}
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
"""Kernels of each file besides the convolutions, all with 256 threads a block."""


@dataclass(frozen=True)
class Instance:
    """A file behind its macros: the kernels in it, threads and dynamic shared memory of a block."""

    stem: str
    names: tuple[str, ...]
    macros: dict[str, Any]
    threads: int = 256
    shared_bytes: int = 0

    @property
    def is_wide(self) -> bool:
        """Whether it copies by the widest accesses, or there is no choice."""
        return min(self.macros.get("WIDTH", 16), self.macros.get("KERNEL_WIDTH", 16)) > 1


def convolutions(index: str = "int") -> Iterator[Instance]:
    for kind, itemsize in ITEMSIZE.items():
        for tiles, math, widths in itertools.product(TILES[kind], MATHS[kind], ((1, 1), (1, 0), (0, 1), (0, 0))):
            width, kernel_width = (16 // itemsize if w else 1 for w in widths)
            macros = {"T": kind, "INDEX": index, **tiles.macros(), "MATH": math, "WIDTH": width,
                      "KERNEL_WIDTH": kernel_width, "BFLOAT16": int("bfloat" in kind)}  # fmt: skip
            for name, own, deep in (
                ("gather", {"GATHER": 1, "RELU": 1}, 1),
                ("kernel_gradient", {"KERNEL_GRADIENT": 1}, 0),
            ):
                shared = tiles.shared_bytes(itemsize, bool(deep))
                yield Instance("conv2d", (name,), {**own, "A_IS_DEEP": deep, **macros}, tiles.threads, shared)


def others(stem: str, kind: str = "float", index: str = "int") -> Instance:
    macros = {"T": kind, "INDEX": index, "WINNER": "unsigned char", "LABEL": "int"}
    return Instance(stem, OTHERS[stem], macros)
