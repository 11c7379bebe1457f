"""The struct `Windows` of windows.cuh."""

from __future__ import annotations

import numpy as np

from gpudl.backend.cupy.launching import DIVISOR, divisor, struct
from gpudl.shapes import DepthwiseGeometry, PoolGeometry, WindowAxis

WINDOW = np.dtype([(name, "i4") for name in ("size", "out", "taps", "stride", "dilation", "before")])
WINDOWS = np.dtype(
    [
        *(("rows", WINDOW), ("columns", WINDOW)),
        *((name, "i4") for name in ("batch", "channels", "multiplier")),
        *((name, DIVISOR) for name in ("by_channels", "by_columns", "by_rows")),
    ]
)


def windows(
    geometry: PoolGeometry | DepthwiseGeometry,
    made: tuple[int, int, int, int],
    multiplier: int,
    channels: int | None = None,
) -> np.ndarray:
    """Describe windows to a kernel that makes an array of shape `made`, (N, H, W, C), a thread for each number.

    Where several channels are made at once, `made` and `channels` count those.
    """
    channels = geometry.channels if channels is None else channels
    axes = ((a.size, a.out, a.window, a.stride, a.dilation, a.before) for a in _axes(geometry))
    divisors = (divisor(length) for length in reversed(made[1:]))
    return struct((*axes, geometry.batch, channels, multiplier, *divisors), WINDOWS)


def _axes(geometry: PoolGeometry | DepthwiseGeometry) -> tuple[WindowAxis, WindowAxis]:
    return geometry.rows, geometry.columns
