"""Loops for what NumPy does in many passes. numba compiles them where it is installed: pip install "gpudl[fast]".

A pass over arrays reads and writes memory for every tap of a window; a compiled loop keeps its sum or maximum in
registers and writes once. The sizes of a window are constants of the compiled loop, so that it is unrolled. Loops
release the interpreter's lock and work on the same pieces as NumPy's code beside them, in the same threads.

What was compiled stays on disk. Small arrays do not come here: numba would take longer to be imported.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import Any, TypeAlias

import numpy as np

Loop: TypeAlias = Callable[..., None]

LARGE = 1 << 18
"""Elements from which on a loop is taken. From fewer on, a short training would end before numba is imported."""


def loop_for(make: Callable[..., Loop], constants: tuple[int, ...], size: int, *arrays: np.ndarray) -> Loop | None:
    """Return a compiled loop for work on so many elements; None where numba is missing, or NumPy is to do it."""
    if size < LARGE:
        return None
    if any((a.dtype.kind == "f" and a.dtype.itemsize < 4) or not a.flags.c_contiguous for a in arrays):
        return None
    return _compiled(make, constants)


@cache
def _compiled(make: Callable[..., Loop], constants: tuple[int, ...]) -> Loop | None:
    try:
        from numba import njit  # pyright: ignore[reportMissingImports]
    except ImportError:  # also where numba does not know this version of NumPy
        return None
    # "contract": a multiplication and an addition may be one instruction, which rounds once.
    settings: dict[str, Any] = {"nogil": True, "error_model": "numpy", "fastmath": {"contract"}}
    try:
        return njit(cache=True, **settings)(make(*constants))
    except RuntimeError:  # there is nowhere to write
        return njit(**settings)(make(*constants))


def max_pool(R: int, S: int) -> Loop:
    """For images (n, H, W, C): their maxima and winners, (n, P, Q, C). The first of equals wins, and the first NaN."""

    def loop(x: Any, y: Any, winner: Any, above: int, before: int, down: int, across: int) -> None:
        images, H, W, C = x.shape
        P, Q = y.shape[1:3]
        for n in range(images):
            for p in range(P):
                top = p * down - above
                for q in range(Q):
                    left = q * across - before
                    if top >= 0 and left >= 0 and top + R <= H and left + S <= W:
                        for c in range(C):
                            best, won = x[n, top, left, c], 0
                            for r in range(R):
                                for s in range(S):
                                    value = x[n, top + r, left + s, c]
                                    if value > best or (value != value and best == best):
                                        best, won = value, r * S + s
                            y[n, p, q, c] = best
                            winner[n, p, q, c] = won
                        continue
                    for c in range(C):
                        first_r, first_s = max(0, -top), max(0, -left)
                        best, won = x[n, top + first_r, left + first_s, c], first_r * S + first_s
                        for r in range(first_r, min(R, H - top)):
                            for s in range(first_s, min(S, W - left)):
                                value = x[n, top + r, left + s, c]
                                if value > best or (value != value and best == best):
                                    best, won = value, r * S + s
                        y[n, p, q, c] = best
                        winner[n, p, q, c] = won

    return loop


def max_unpool(R: int, S: int) -> Loop:
    """For gradients and winners (n, P, Q, C) of windows that tile the images: the images' gradients (n, H, W, C)."""

    def loop(dy: Any, winner: Any, dx: Any) -> None:
        images, P, Q, C = dy.shape
        for n in range(images):
            for p in range(P):
                for q in range(Q):
                    for r in range(R):
                        for s in range(S):
                            for c in range(C):
                                slope = dy[n, p, q, c]
                                won = winner[n, p, q, c] == r * S + s
                                dx[n, p * R + r, q * S + s, c] = slope if won else slope * 0

    return loop


FEW_TAPS = 9
"""Taps of a window up to which four rows are made at once: the compiler does not unroll the loops over more."""


def depthwise(R: int, S: int) -> Loop:
    """For images (n, H, W, C) and a kernel (R, S, times * C), repeated: y (n, P, Q, C), the sums of products.

    With a stride of 1 so many pixels are made in one run of the innermost loop, which takes a while to start, and where
    windows are small, of four rows at once: a number of x serves all of those whose windows it lies in, a number of the
    kernel all four.
    Indices of the innermost loops have no sign: numba counts those below 0 from the end, and a loop that has to ask is
    not vectorized.
    """
    small = R * S <= FEW_TAPS

    def loop(
        x: Any, kernel: Any, y: Any, above: int, before: int, down: int, across: int, apart_down: int, apart_across: int
    ) -> None:
        images, H, W, C = x.shape
        P, Q = y.shape[1:3]
        together = kernel.shape[2] // C if across == 1 else 1
        lines, made = x.reshape(images, H, W * C), y.reshape(images, P, Q * C)
        begin = max(0, (before + across - 1) // across)  # the pixels whose windows have all columns inside
        end = min(Q, (W - 1 - (S - 1) * apart_across + before) // across + 1)
        zero = y.dtype.type(0)
        for n in range(images):
            p = 0
            while p < P:
                top = p * down - above
                whole = top >= 0 and top + (R - 1) * apart_down < H
                four = whole and small and down == apart_down == 1 and top + R + 3 <= H and p + 4 <= P
                rows = 4 if four else 1
                q = 0
                while q < Q:
                    to = np.uint64(q * C)
                    if whole and begin <= q < end:
                        count = min(together, end - q)
                        left = (q * across - before) * C
                        if four:
                            for i in range(np.uint64(count * C)):
                                first, second, third, fourth = zero, zero, zero, zero
                                for r in range(R + 3):
                                    for s in range(S):
                                        value = lines[n, top + r, np.uint64(left + s * apart_across * C) + i]
                                        if r < R:
                                            first += value * kernel[r, s, i]
                                        if 1 <= r <= R:
                                            second += value * kernel[r - 1, s, i]
                                        if 2 <= r <= R + 1:
                                            third += value * kernel[r - 2, s, i]
                                        if r >= 3:
                                            fourth += value * kernel[r - 3, s, i]
                                made[n, p, to + i] = first
                                made[n, p + 1, to + i] = second
                                made[n, p + 2, to + i] = third
                                made[n, p + 3, to + i] = fourth
                        else:
                            for i in range(np.uint64(count * C)):
                                total = zero
                                for r in range(R):
                                    for s in range(S):
                                        here = np.uint64(left + s * apart_across * C) + i
                                        total += lines[n, top + r * apart_down, here] * kernel[r, s, i]
                                made[n, p, to + i] = total
                        q += count
                        continue
                    for row in range(p, p + rows):
                        for i in range(np.uint64(C)):
                            made[n, row, to + i] = zero
                        for r in range(R):
                            h = row * down - above + r * apart_down
                            if h < 0 or h >= H:
                                continue
                            for s in range(S):
                                w = q * across - before + s * apart_across
                                if w < 0 or w >= W:
                                    continue
                                here = np.uint64(w * C)
                                for i in range(np.uint64(C)):
                                    made[n, row, to + i] += lines[n, h, here + i] * kernel[r, s, i]
                    q += 1
                p += rows

    return loop


def depthwise_kernel(R: int, S: int) -> Loop:
    """For images (n, H, W, C) and gradients (n, P, Q, C): adds the kernel's gradient to `total` (R, S, C)."""

    def loop(
        x: Any, dy: Any, total: Any, above: int, before: int, down: int, across: int, apart_down: int, apart_across: int
    ) -> None:
        images, H, W, C = x.shape
        P, Q = dy.shape[1:3]
        for n in range(images):
            for p in range(P):
                top = p * down - above
                for q in range(Q):
                    left = q * across - before
                    for r in range(R):
                        h = top + r * apart_down
                        if h < 0 or h >= H:
                            continue
                        for s in range(S):
                            w = left + s * apart_across
                            if w < 0 or w >= W:
                                continue
                            for c in range(C):
                                total[r, s, c] += x[n, h, w, c] * dy[n, p, q, c]

    return loop
