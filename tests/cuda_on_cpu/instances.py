"""All kernels, with the macros that launchers compile them with."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from gpudl.backend.cupy import choosing, depthwise_tiles, first_layer, precision, tiles
from gpudl.shapes import ConvGeometry, DepthwiseGeometry

ITEMSIZE = {"float": 4, "double": 8, "__half": 2, "__nv_bfloat16": 2}
MATHS = {
    "float": (precision.FMA, precision.TF32, precision.THREE_TF32),
    "double": (precision.FMA,),
    "__half": (precision.SIXTEEN, precision.FMA),
    "__nv_bfloat16": (precision.SIXTEEN, precision.FMA),
}


def tiles_of(kind: str, math: int, own: dict[str, Any], width: int, index: str) -> list[tiles.Tiles]:
    """All tiles that choosing.py may choose for a kernel."""
    if kind == "double":
        return [tiles.DOUBLE]
    if "GATHER" in own:
        large = (tiles.LARGE,) if own["WHOLE"] and index == "int" and not own["SPLIT"] else ()
        plain, tensor = (tiles.WIDE, tiles.MEDIUM, tiles.NARROW), (*large, tiles.MIDDLE, tiles.SMALL, tiles.NARROW)
        found = plain if math == precision.FMA or width == 1 else tensor
    else:
        plain = (tiles.WIDE, tiles.MEDIUM, tiles.NARROW, tiles.FLAT)
        found = plain if math == precision.FMA else (tiles.LONG, tiles.MIDDLE, tiles.SMALL, tiles.NARROW, tiles.FLAT)
    return [tiles.of_type(each, ITEMSIZE[kind]) for each in found]


OTHERS = {
    "relu": ("forward", "backward"),
    "dropout": ("drop",),
    "parts": ("add_parts",),
    "scatter": ("add_rows",),
    "transpose": ("transpose",),
    "softmax": ("softmax_rows", "softmax_gradient", "picked_loss", "picked_gradient", "crossed_loss",
                "crossed_gradient", "picked_of_logits", "crossed_of_logits"),
    "totals": ("add_values",),
    "columns": ("sum_columns", "sum_gradients", "moments_of_columns", "join_moments", "join_gradients",
                "relu_gradients"),
    "rows": ("finish_rows", "normalize_rows", "normalize_gradients"),
    "pool2d": ("max_forward", "max_backward", "average_forward", "average_backward"),
    "global_pool": ("average", "largest", "share_gradient"),
    "depthwise": ("forward", "input_gradient", "kernel_gradient"),
    "optimizers": ("scale", "mix", "clip_value", "sum_squares", "clip_norm", "sgd", "adam", "nadam", "adamax", "lion",
                   "rmsprop", "adagrad", "adadelta"),
}  # fmt: skip
"""Kernels of each file besides the convolutions, with 256 threads a block but for these."""

THREADS = {"join_moments": 1024, "join_gradients": 1024}


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

    def is_for(self, architecture: int) -> bool:
        """Whether it is launched there: products of 16-bit numbers are made by multiply-adds before sm_80 only."""
        math = self.macros.get("MATH", precision.FMA)
        if architecture < 80:
            return math == precision.FMA
        return math != precision.FMA or ITEMSIZE[self.macros["T"]] > 2


WAYS = (
    ("gather", {"GATHER": 1, "SPLIT": 0, "RELU": 1, "POINTWISE": 0, "WHOLE": 0, "A_IS_DEEP": 1}),
    ("gather", {"GATHER": 1, "SPLIT": 0, "RELU": 1, "POINTWISE": 0, "WHOLE": 1, "A_IS_DEEP": 1}),
    ("gather", {"GATHER": 1, "SPLIT": 0, "RELU": 1, "POINTWISE": 1, "WHOLE": 1, "A_IS_DEEP": 1}),
    ("gather", {"GATHER": 1, "SPLIT": 1, "RELU": 0, "POINTWISE": 0, "WHOLE": 0, "A_IS_DEEP": 1}),
    ("gather", {"GATHER": 1, "SPLIT": 1, "RELU": 0, "POINTWISE": 0, "WHOLE": 1, "A_IS_DEEP": 1}),
    ("gather", {"GATHER": 1, "SPLIT": 1, "RELU": 0, "POINTWISE": 1, "WHOLE": 1, "A_IS_DEEP": 1}),
    ("kernel_gradient", {"KERNEL_GRADIENT": 1, "POINTWISE": 0, "A_IS_DEEP": 0}),
    ("kernel_gradient", {"KERNEL_GRADIENT": 1, "POINTWISE": 1, "A_IS_DEEP": 0}),
)


def convolutions(index: str = "int") -> Iterator[Instance]:
    widths = ((1, 1), (1, 0), (0, 1), (0, 0))
    for (kind, itemsize), (name, own), wide in itertools.product(ITEMSIZE.items(), WAYS, widths):
        width, kernel_width = (16 // itemsize if w else 1 for w in wide)
        for math in MATHS[kind]:
            if own.get("SPLIT") and (kind != "float" or math == precision.FMA or width == 1):
                continue  # nobody splits these
            for sizes in tiles_of(kind, math, own, width, index):
                macros = {**own, "T": kind, "INDEX": index, **sizes.macros(), "MATH": math, "WIDTH": width,
                          "KERNEL_WIDTH": kernel_width, "BFLOAT16": int("bfloat" in kind)}  # fmt: skip
                shared = sizes.shared_bytes(itemsize, bool(own["A_IS_DEEP"]))
                yield Instance("conv2d", (name,), macros, sizes.threads, shared)


FIRST_LAYERS = (((1, 16, 16, 1), (3, 3, 1, 32)), ((1, 32, 32, 3), (7, 7, 3, 64), 2))
"""Shapes that the kernel of first layers is compiled for."""

DEPTHWISE = (((1, 16, 16, 32), (3, 3, 32, 1)), ((1, 16, 16, 32), (5, 5, 32, 1), 2), ((1, 16, 16, 32), (7, 7, 32, 1)))


def first_layers(index: str = "int") -> Iterator[Instance]:
    for (kind, itemsize), shape in itertools.product(ITEMSIZE.items(), FIRST_LAYERS):
        conv = ConvGeometry.of(*shape)
        sizes = choosing.plain_tiles(conv.filters, itemsize)
        tile = first_layer.tile_of(sizes)
        shared = sizes.shared_bytes(itemsize, a_is_deep=True) + first_layer.patch_bytes(conv, tile, itemsize)
        for math in MATHS[kind]:
            macros = {"GATHER": 1, "RELU": 1, "WHOLE": 0, "T": kind, "INDEX": index, **sizes.macros(), "A_IS_DEEP": 1,
                      "MATH": math, "WIDTH": 1, "KERNEL_WIDTH": 16 // itemsize, "BFLOAT16": int("bfloat" in kind),
                      **first_layer.shape_macros(conv, tile)}  # fmt: skip
            yield Instance("first_layer", ("first_layer",), macros, sizes.threads, shared)


def depthwise(index: str = "int") -> Iterator[Instance]:
    for kind, shape, flipped in itertools.product(("float", "double"), DEPTHWISE, (0, 1)):
        conv = DepthwiseGeometry.of(*shape)
        macros = {"T": kind, "INDEX": index, **depthwise_tiles.shape_macros(conv), "FLIPPED": flipped,
                  "WIDTH": 16 // ITEMSIZE[kind]}  # fmt: skip
        shared = depthwise_tiles.patch_bytes(conv, ITEMSIZE[kind])
        yield Instance("depthwise_tiles", ("slide_tile", "sum_tiles"), macros, depthwise_tiles.THREADS, shared)


def of_a_shape(index: str = "int") -> list[Instance]:
    """Return the kernels to which a layer's shape is known."""
    return [*first_layers(index), *depthwise(index)]


def others(stem: str, kind: str = "float", index: str = "int") -> Instance:
    macros = {"T": kind, "INDEX": index, "WINNER": "unsigned char", "LABEL": "int", "LANES": 4, "SHARE": 8,
              "PACK": 16 // ITEMSIZE[kind]}  # fmt: skip
    return Instance(stem, OTHERS[stem], macros)
