"""Geometry of sliding windows: integers only, no arrays. What an op checks once, its kernels need not check again."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache, wraps
from numbers import Integral
from typing import Any, ParamSpec, TypeVar, cast

from gpudl.errors import ShapeError

Padding = str | int | Sequence[int | Sequence[int]]
Pair = int | Sequence[int]


def pair(value: Pair, name: str, minimum: int = 1) -> tuple[int, int]:
    """Read a setting that is one integer or two: `3` and `(3, 3)` are the same."""
    both: tuple[Any, ...] = tuple(value) if isinstance(value, (tuple, list)) else (value, value)
    if len(both) != 2 or not all(
        isinstance(n, Integral) and not isinstance(n, bool) and int(n) >= minimum for n in both
    ):
        raise ShapeError(f"{name}={value!r} is not an integer or a pair of integers of at least {minimum}")
    return int(both[0]), int(both[1])


def single(value: Pair, name: str, minimum: int = 1) -> int:
    """Read a setting of a sequence: one integer, which may stand in a list or tuple of its own."""
    alone: tuple[Any, ...] = tuple(value) if isinstance(value, (tuple, list)) else (value,)
    if len(alone) != 1 or not isinstance(alone[0], Integral) or isinstance(alone[0], bool) or alone[0] < minimum:
        raise ShapeError(f"{name}={value!r} is not an integer of at least {minimum}")
    return int(alone[0])


def _amounts(padding: Padding) -> str | tuple[tuple[int, int], tuple[int, int]]:
    """Read `padding`: "valid", "same", one integer, or (rows, columns), each an integer or (before, after)."""
    if isinstance(padding, str):
        if padding.lower() in ("valid", "same"):
            return padding.lower()
        raise ShapeError(f'padding={padding!r} is unknown; use "valid", "same" or numbers of rows and columns')
    both = (padding, padding) if isinstance(padding, int) else tuple(padding)
    if len(both) != 2:
        raise ShapeError(f"padding={padding!r} needs two entries, for rows and columns")
    return pair(both[0], "padding", 0), pair(both[1], "padding", 0)


Arguments = ParamSpec("Arguments")
Geometry = TypeVar("Geometry")


def _frozen(value: Any) -> Any:
    return tuple(_frozen(item) for item in value) if isinstance(value, (list, tuple)) else value


def _remembered(of: Callable[Arguments, Geometry]) -> Callable[Arguments, Geometry]:
    """Work a geometry out once for equal arguments. Lists, as TOML and JSON have them, count as tuples."""
    cached = lru_cache(maxsize=1024)(of)

    @wraps(of)
    def call(*arguments: Any, **settings: Any) -> Any:
        try:
            return cached(*arguments, **settings)
        except TypeError:  # a list among them cannot be hashed
            return cached(*map(_frozen, arguments), **{name: _frozen(value) for name, value in settings.items()})

    return cast(Any, call)


@dataclass(frozen=True, slots=True)
class WindowAxis:
    """One spatial axis of a sliding window. `out` windows start at `-before`, `stride` apart."""

    size: int
    window: int
    stride: int
    dilation: int
    before: int
    after: int
    out: int

    @property
    def span(self) -> int:
        """Input positions from the first to the last tap of one window."""
        return (self.window - 1) * self.dilation + 1

    @property
    def reach(self) -> int:
        """Positions from the first tap of the first window to the last one of the last window."""
        return (self.out - 1) * self.stride + self.span

    def turned(self) -> WindowAxis:
        """Return the windows over what these make that lead back: at each place m they make a pixel of each phase.

        Pixel i of what is read is under tap t of output o where i + before = o * stride + t * dilation, one of the two
        being 1. With i + before = m * stride + phase, tap u * stride + phase meets output m - u; with a dilation tap u
        meets output m - u * dilation.
        """
        taps = -(-self.window // self.stride)
        first, last = self.before // self.stride, (self.size - 1 + self.before) // self.stride
        before = (taps - 1) * self.dilation - first
        return WindowAxis(self.out, taps, 1, self.dilation, before, last - self.out + 1, last - first + 1)

    def tap(self, offset: int) -> tuple[slice, slice]:
        """Return (outputs, inputs): which windows have tap `offset` inside the input, and where it falls."""
        start = offset * self.dilation - self.before
        first = max(0, -(start // self.stride))
        last = min(self.out, (self.size - 1 - start) // self.stride + 1)
        last = max(first, last)
        inputs = slice(start + first * self.stride, max(0, start + (last - 1) * self.stride + 1), self.stride)
        return slice(first, last), inputs if last > first else slice(0, 0)

    def counts(self) -> list[int]:
        """For each window, how many of its taps fall on real input and not on padding."""
        totals = [0] * self.out
        for offset in range(self.window):
            outputs, _ = self.tap(offset)
            for i in range(outputs.start, outputs.stop):
                totals[i] += 1
        return totals

    @classmethod
    def of(cls, size: int, window: int, stride: int, dilation: int, padding: str | tuple[int, int]) -> WindowAxis:
        span = (window - 1) * dilation + 1
        if padding == "same":
            out = -(-size // stride)
            total = max(0, (out - 1) * stride + span - size)
            before, after = total // 2, total - total // 2
        else:
            before, after = (0, 0) if isinstance(padding, str) else padding
            out = (size + before + after - span) // stride + 1
        return cls(size, window, stride, dilation, before, after, out)


def _axes(size, window, strides, dilation, padding, what: str, image: str) -> tuple[WindowAxis, WindowAxis]:
    window, strides, dilation = pair(window, what), pair(strides, "strides"), pair(dilation, "dilation_rate")
    amounts = _amounts(padding)
    rows, columns = (
        WindowAxis.of(size[i], window[i], strides[i], dilation[i], amounts if isinstance(amounts, str) else amounts[i])
        for i in (0, 1)
    )
    if min(rows.out, columns.out) < 1:
        written = f'"{padding}"' if isinstance(padding, str) else str(padding)
        dilated = "" if dilation == (1, 1) else f" (dilated to {rows.span}x{columns.span})"
        raise ShapeError(
            f"{what.split('_')[0]} {window[0]}x{window[1]}{dilated} does not fit into input {image} "
            f'with padding={written}; use padding="same" or a smaller {what.split("_")[0]}'
        )
    return rows, columns


def shown(shape: Sequence[int | None]) -> str:
    """Write a shape for a message, with N for an open batch size: `(N, 28, 28, 1)`."""
    return "(" + ", ".join("N" if n is None else str(n) for n in shape) + ("," if len(shape) == 1 else "") + ")"


@dataclass(frozen=True, slots=True)
class ConvGeometry:
    """A 2-D convolution: x (N, H, W, C), kernel (R, S, C / groups, K), y (N, P, Q, K)."""

    batch: int
    channels: int
    filters: int
    groups: int
    rows: WindowAxis
    columns: WindowAxis

    @property
    def x_shape(self) -> tuple[int, int, int, int]:
        return self.batch, self.rows.size, self.columns.size, self.channels

    @property
    def kernel_shape(self) -> tuple[int, int, int, int]:
        return self.rows.window, self.columns.window, self.channels // self.groups, self.filters

    @property
    def y_shape(self) -> tuple[int, int, int, int]:
        return self.batch, self.rows.out, self.columns.out, self.filters

    @staticmethod
    @_remembered
    def of(
        x_shape: tuple[int, ...],
        kernel_shape: tuple[int, ...],
        strides: Pair = 1,
        padding: Padding = "valid",
        dilation_rate: Pair = 1,
        groups: int = 1,
    ) -> ConvGeometry:
        """Check that a kernel fits an input and work out everything the kernels need to know.

        Raises: ShapeError, naming the mismatch and what would fit.
        """
        if len(x_shape) != 4:
            raise ShapeError(
                f"input must have 4 axes, (batch, height, width, channels), but has shape {shown(x_shape)}"
            )
        if len(kernel_shape) != 4:
            raise ShapeError(
                "kernel must have 4 axes, (height, width, channels / groups, filters), "
                f"but has shape {shown(kernel_shape)}"
            )
        channels, filters = x_shape[3], kernel_shape[3]
        if groups < 1 or channels % groups or filters % groups:
            raise ShapeError(
                f"groups={groups} must divide the {channels} input channels and the {filters} filters; "
                "use a common divisor of both"
            )
        if kernel_shape[2] * groups != channels:
            raise ShapeError(
                f"kernel of shape {shown(kernel_shape)} reads {kernel_shape[2] * groups} channels, "
                f"but the input of shape {shown(x_shape)} has {channels}"
            )
        if max(pair(strides, "strides")) > 1 and max(pair(dilation_rate, "dilation_rate")) > 1:
            raise ShapeError(
                f"strides={strides!r} and dilation_rate={dilation_rate!r} cannot both be larger than 1; "
                "set one of them to 1"
            )
        rows, columns = _axes(
            x_shape[1:3], kernel_shape[:2], strides, dilation_rate, padding, "kernel_size", shown((None, *x_shape[1:]))
        )
        return ConvGeometry(x_shape[0], channels, filters, groups, rows, columns)

    @staticmethod
    @_remembered
    def transposed(
        x_shape: tuple[int, ...],
        kernel_shape: tuple[int, ...],
        strides: Pair = 1,
        padding: Padding = "valid",
        output_padding: Pair | None = None,
        dilation_rate: Pair = 1,
    ) -> ConvGeometry:
        """Return the convolution whose adjoint is a transposed one: its output is what the transposed one reads.

        Shapes: x_shape (N, P, Q, C), kernel_shape (R, S, K, C), of a convolution (N, H, W, K) -> (N, P, Q, C).
        Raises: ShapeError.
        """
        if len(x_shape) != 4:
            raise ShapeError(
                f"input must have 4 axes, (batch, height, width, channels), but has shape {shown(x_shape)}"
            )
        if len(kernel_shape) != 4 or kernel_shape[3] != x_shape[3]:
            raise ShapeError(
                f"kernel of a transposed convolution must have shape (height, width, filters, channels) with the "
                f"{x_shape[3]} channels of the input of shape {shown(x_shape)}, but has {shown(kernel_shape)}"
            )
        steps, dilation = pair(strides, "strides"), pair(dilation_rate, "dilation_rate")
        if max(steps) > 1 and max(dilation) > 1:
            raise ShapeError(
                f"strides={strides!r} and dilation_rate={dilation_rate!r} cannot both be larger than 1; "
                "set one of them to 1"
            )
        if padding not in ("valid", "same"):
            raise ShapeError(f'padding={padding!r} is unknown; a transposed convolution takes "valid" or "same"')
        extra = (None, None) if output_padding is None else pair(output_padding, "output_padding", 0)
        rows, columns = (
            _transposed_axis(x_shape[1 + i], kernel_shape[i], steps[i], dilation[i], padding, extra[i]) for i in (0, 1)
        )
        return ConvGeometry(x_shape[0], kernel_shape[2], x_shape[3], 1, rows, columns)


def _transposed_axis(
    size: int, window: int, stride: int, dilation: int, padding: Padding, extra: int | None
) -> WindowAxis:
    """One axis of `ConvGeometry.transposed`; `size` is what the transposed convolution reads, `extra` output_padding.

    Uncropped, it writes (size - 1) * stride + span positions. "valid" keeps them all and adds zeros up to a last full
    stride; "same" crops to size * stride. With `extra` the output is cropped to the smallest size that is read as
    `size` positions, and `extra` more.
    """
    if extra is not None and extra >= stride:
        raise ShapeError(f"output_padding={extra} must be smaller than the stride, {stride}")
    span = (window - 1) * dilation + 1
    whole = (size - 1) * stride + span
    if padding == "valid":
        out, before = whole + (max(0, stride - span) if extra is None else extra), 0
    else:
        out = size * stride if extra is None else (size - 1) * stride + span % 2 + extra
        ahead = out - (size - 1) * stride + span - 2  # zeros that a convolution over the spread-out input would add
        before = span - 1 - min(ahead - ahead // 2, span - 1)
    if out < 1:
        raise ShapeError(
            f'an input of {size} with output_padding={extra} and padding="{padding}" leaves no output; '
            "leave output_padding out"
        )
    return WindowAxis(out, window, stride, dilation, before, max(0, whole - before - out), size)


@dataclass(frozen=True, slots=True)
class DepthwiseGeometry:
    """A depthwise convolution: x (N, H, W, C), kernel (R, S, C, multiplier), y (N, P, Q, C * multiplier)."""

    batch: int
    channels: int
    multiplier: int
    rows: WindowAxis
    columns: WindowAxis

    @property
    def x_shape(self) -> tuple[int, int, int, int]:
        return self.batch, self.rows.size, self.columns.size, self.channels

    @property
    def kernel_shape(self) -> tuple[int, int, int, int]:
        return self.rows.window, self.columns.window, self.channels, self.multiplier

    @property
    def filters(self) -> int:
        return self.channels * self.multiplier

    @property
    def y_shape(self) -> tuple[int, int, int, int]:
        return self.batch, self.rows.out, self.columns.out, self.filters

    def turned(self) -> DepthwiseGeometry | None:
        """Return the convolution of dy, by the kernel turned round, that is the gradient of x.

        None where it is none: with strides, several kernels a channel, or padding that hides whole windows.
        """
        axes = self.rows.turned(), self.columns.turned()
        if self.multiplier > 1 or any(
            a.stride > 1 or min(b.before, b.after) < 0 for a, b in zip((self.rows, self.columns), axes, strict=True)
        ):
            return None
        return DepthwiseGeometry(self.batch, self.channels, 1, *axes)

    @staticmethod
    @_remembered
    def of(
        x_shape: tuple[int, ...],
        kernel_shape: tuple[int, ...],
        strides: Pair = 1,
        padding: Padding = "valid",
        dilation_rate: Pair = 1,
    ) -> DepthwiseGeometry:
        """Check that a kernel fits an input. Strides and dilation may both be larger than 1. Raises: ShapeError."""
        if len(x_shape) != 4:
            raise ShapeError(
                f"input must have 4 axes, (batch, height, width, channels), but has shape {shown(x_shape)}"
            )
        if len(kernel_shape) != 4 or kernel_shape[2] != x_shape[3]:
            raise ShapeError(
                "kernel must have 4 axes, (height, width, channels, multiplier), with the channels of the input of "
                f"shape {shown(x_shape)}, but has shape {shown(kernel_shape)}"
            )
        rows, columns = _axes(
            x_shape[1:3], kernel_shape[:2], strides, dilation_rate, padding, "kernel_size", shown((None, *x_shape[1:]))
        )
        return DepthwiseGeometry(x_shape[0], x_shape[3], kernel_shape[3], rows, columns)


@dataclass(frozen=True, slots=True)
class PoolGeometry:
    """A 2-D pooling: x (N, H, W, C), y (N, P, Q, C)."""

    batch: int
    channels: int
    rows: WindowAxis
    columns: WindowAxis

    @property
    def x_shape(self) -> tuple[int, int, int, int]:
        return self.batch, self.rows.size, self.columns.size, self.channels

    @property
    def y_shape(self) -> tuple[int, int, int, int]:
        return self.batch, self.rows.out, self.columns.out, self.channels

    @property
    def area(self) -> int:
        return self.rows.window * self.columns.window

    @property
    def inside(self) -> bool:
        """Whether all windows lie inside the input."""
        return all(axis.before == 0 and axis.reach <= axis.size for axis in (self.rows, self.columns))

    @property
    def apart(self) -> bool:
        """Whether all windows lie inside the input, and no input element in two of them."""
        return self.inside and all(a.stride >= a.window or a.out == 1 for a in (self.rows, self.columns))

    @property
    def tiles_exactly(self) -> bool:
        """Whether every input element lies in exactly one window."""
        return self.apart and all(a.out * a.window == a.size for a in (self.rows, self.columns))

    @staticmethod
    @_remembered
    def of(
        x_shape: tuple[int, ...], pool_size: Pair, strides: Pair | None = None, padding: Padding = "valid"
    ) -> PoolGeometry:
        """Check that a window fits an input. `strides` defaults to `pool_size`. Raises: ShapeError."""
        if len(x_shape) != 4:
            raise ShapeError(
                f"input must have 4 axes, (batch, height, width, channels), but has shape {shown(x_shape)}"
            )
        strides = pool_size if strides is None else strides
        rows, columns = _axes(x_shape[1:3], pool_size, strides, 1, padding, "pool_size", shown((None, *x_shape[1:])))
        for axis in (rows, columns):
            if max(axis.before, axis.after) >= axis.window:
                raise ShapeError(f"padding={padding!r} leaves windows of size {axis.window} that see only padding")
        return PoolGeometry(x_shape[0], x_shape[3], rows, columns)
