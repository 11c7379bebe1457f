"""Where elements stand: turned round, moved, repeated, padded, cut and picked. Values stay what they are."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from gpudl.arithmetic import axes_of, axis_of, unbroadcast
from gpudl.autograd import as_array, differentiable
from gpudl.backend import Array, Shape, array_module, kernels
from gpudl.errors import ShapeError, UsageError
from gpudl.ops.arithmetic import get_item, reshape, transpose
from gpudl.shapes import shown


@differentiable
def flip(x: Array, *, axis: int | Shape | None = None) -> tuple[Array, Any]:
    """Turn the order round along `axis` (all axes for None). Gradient: turned back."""
    xp, axis = array_module(x), axes_of(axis)
    return xp.flip(x, axis), lambda dy: xp.flip(dy, axis)


@differentiable
def roll(x: Array, *, shift: int | Shape, axis: int | Shape | None = None) -> tuple[Array, Any]:
    """Move elements along `axis`, those that leave at the end coming in at the front. Gradient: moved back."""
    xp, axis = array_module(x), axes_of(axis)
    shift = shift if isinstance(shift, int) else tuple(shift)
    back = -shift if isinstance(shift, int) else tuple(-n for n in shift)
    return xp.roll(x, shift, axis), lambda dy: xp.roll(dy, back, axis)


def swapaxes(x: Array, axis1: int, axis2: int) -> Array:
    """Let two axes change places."""
    x = as_array(x)
    order = list(range(x.ndim))
    order[axis1], order[axis2] = order[axis2], order[axis1]
    return transpose(x, order)


def moveaxis(x: Array, source: int | Sequence[int], destination: int | Sequence[int]) -> Array:
    """Move axes to other places; the others keep their order. Raises: ShapeError where the two do not match."""
    x = as_array(x)
    sources, destinations = (
        [axis_of(n, x.ndim) for n in ((axes,) if isinstance(axes, int) else axes)] for axes in (source, destination)
    )
    if len(sources) != len(destinations) or any(len(set(n)) != len(n) for n in (sources, destinations)):
        raise ShapeError(f"moveaxis: source={source!r} and destination={destination!r} must name as many axes")
    order = [n for n in range(x.ndim) if n not in sources]
    for to, which in sorted(zip(destinations, sources, strict=True)):
        order.insert(to, which)
    return transpose(x, order)


def ravel(x: Array) -> Array:
    """Lay out flat, as one axis."""
    return reshape(x, -1)


@differentiable
def broadcast_to(x: Array, *, shape: Shape) -> tuple[Array, Any]:
    """Stretch axes of length 1, and put axes in front. Gradient: summed over what was stretched."""
    return array_module(x).broadcast_to(x, shape), lambda dy: unbroadcast(dy, x)


def _picked_back(dy: Array, index: Array, axis: int, shape: Shape) -> Array:
    """The gradient of x.take(index, axis) for x: what was picked twice adds up."""
    xp, length = array_module(dy), shape[axis]
    picked = dy.reshape(*shape[:axis], index.size, *shape[axis + 1 :])
    rows = xp.moveaxis(picked, axis, 0).reshape(index.size, -1)
    total = kernels("scatter", dy).add_rows(index.reshape(-1) % length, rows, length)
    return xp.moveaxis(total.reshape(length, *shape[:axis], *shape[axis + 1 :]), 0, axis)


@differentiable
def take(x: Array, indices: Array, *, axis: int | None = None) -> tuple[Array, Any]:
    """Take whole slices by number along `axis`, or elements of the array laid out flat; numbers below 0 count back.

    Shapes: the axis is replaced by those of `indices`. Gradient: what is taken twice adds up.
    """
    xp = array_module(x)
    index = xp.asarray(indices).astype("int64", copy=False)
    flat = x.reshape(-1) if axis is None else x
    along = 0 if axis is None else axis_of(axis, x.ndim)

    def backward(dy: Array) -> Array:
        return _picked_back(dy, index, along, flat.shape).reshape(x.shape)

    return xp.asarray(flat.take(index, axis=along)), (backward, None)


@differentiable
def take_along_axis(x: Array, indices: Array, *, axis: int | None = None) -> tuple[Array, Any]:
    """Take one element for each entry of `indices`, which has as many axes as x, along `axis`.

    Gradient: what is taken twice adds up.
    """
    xp = array_module(x)
    flat = x.reshape(-1) if axis is None else x
    along = 0 if axis is None else axis_of(axis, x.ndim)
    index = xp.asarray(indices).astype("int64", copy=False)
    index = index.reshape(-1) if axis is None else index
    index = xp.broadcast_to(index, (*flat.shape[:along], index.shape[along], *flat.shape[along + 1 :]))
    places = list(xp.ogrid[tuple(slice(n) for n in index.shape)])
    places[along] = index

    def backward(dy: Array) -> Array:
        return kernels("scatter", dy).add_at(flat.shape, tuple(places), dy).reshape(x.shape)

    return flat[tuple(places)], (backward, None)


@differentiable
def repeat(x: Array, *, repeats: int | Shape, axis: int | None = None) -> tuple[Array, Any]:
    """Repeat each element next to itself along `axis`, or in the array laid out flat.

    `repeats` is one number for all, or one for each position. Gradient: summed over the repetitions.
    """
    xp = array_module(x)
    flat = x.reshape(-1) if axis is None else x
    along = 0 if axis is None else axis_of(axis, x.ndim)
    index = xp.repeat(xp.arange(flat.shape[along]), repeats)

    def backward(dy: Array) -> Array:
        return _picked_back(dy, index, along, flat.shape).reshape(x.shape)

    return flat.take(index, axis=along), backward


@differentiable
def tile(x: Array, *, repeats: int | Shape) -> tuple[Array, Any]:
    """Put copies of the whole array next to each other, `repeats` of them along each axis. Gradient: summed up."""
    counts = (repeats,) if isinstance(repeats, int) else tuple(repeats)
    axes = max(x.ndim, len(counts))
    counts = (1,) * (axes - len(counts)) + counts
    shape = (1,) * (axes - x.ndim) + x.shape
    split = tuple(n for pair in zip(counts, shape, strict=True) for n in pair)

    def backward(dy: Array) -> Array:
        return dy.reshape(split).sum(axis=tuple(range(0, 2 * axes, 2))).reshape(x.shape)

    return array_module(x).tile(x, counts), backward


@differentiable
def _pad(x: Array, *, widths: tuple[tuple[int, int], ...], mode: str, value: float) -> tuple[Array, Any]:
    xp = array_module(x)
    if mode == "constant":
        inside = tuple(slice(before, before + n) for (before, _), n in zip(widths, x.shape, strict=True))
        return xp.pad(x, widths, constant_values=value), lambda dy: dy[inside]
    picks = [xp.pad(xp.arange(n), width, mode=mode) for n, width in zip(x.shape, widths, strict=True)]

    def backward(dy: Array) -> Array:
        for axis, index in enumerate(picks):
            dy = _picked_back(dy, index, axis, (*dy.shape[:axis], x.shape[axis], *dy.shape[axis + 1 :]))
        return dy

    return xp.pad(x, widths, mode=mode), backward


def pad(
    x: Array,
    pad_width: int | Sequence[int] | Sequence[Sequence[int]],
    mode: str = "constant",
    constant_values: float | None = None,
) -> Array:
    """Put elements around: `pad_width` of them, one number, (before, after), or such a pair for each axis.

    "constant" puts `constant_values` (0), "reflect" mirrors at the outermost element, "symmetric" behind it.
    Gradient: to the elements the values are copies of.
    Raises: UsageError for another mode; ShapeError where the numbers do not fit the axes.
    """
    x = as_array(x)
    if mode not in ("constant", "reflect", "symmetric"):
        raise UsageError(f'pad(mode={mode!r}): use "constant", "reflect" or "symmetric"')
    if constant_values is not None and mode != "constant":
        raise UsageError(f'pad(mode={mode!r}) takes no constant_values; use mode="constant"')
    each: list[Any] = [pad_width] if isinstance(pad_width, int) else list(pad_width)
    each = [each] if all(isinstance(n, int) for n in each) else each
    pairs = [tuple(pair) * (2 if len(pair) == 1 else 1) for pair in each]
    pairs = pairs * x.ndim if len(pairs) == 1 else pairs
    if len(pairs) != x.ndim or any(len(pair) != 2 for pair in pairs):
        raise ShapeError(f"pad: pad_width={pad_width!r} does not fit an input of shape {shown(x.shape)}")
    return _pad(x, widths=tuple(pairs), mode=mode, value=constant_values or 0)


def split(x: Array, indices_or_sections: int | Sequence[int], axis: int = 0) -> list[Array]:
    """Cut along `axis`: into so many equal parts, or before each of the positions listed.

    Raises: ShapeError where the parts would not be equal.
    """
    x = as_array(x)
    axis %= x.ndim
    if isinstance(indices_or_sections, int):
        size, count = x.shape[axis], indices_or_sections
        if count < 1 or size is None or size % count:
            raise ShapeError(f"split: axis {axis} of shape {shown(x.shape)} cannot be cut into {count} equal parts")
        places = [size // count * i for i in range(1, count)]
    else:
        places = [int(n) for n in indices_or_sections]
    before: tuple[Any, ...] = (slice(None),) * axis
    return [
        get_item(x, (*before, slice(start, stop))) for start, stop in zip([None, *places], [*places, None], strict=True)
    ]
