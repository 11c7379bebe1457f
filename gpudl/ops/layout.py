"""Channels last inside: what arrives as channels first is transposed at the op's edge and back."""

from __future__ import annotations

from gpudl.backend import Array, Shape, array_module
from gpudl.errors import UsageError


def check_format(data_format: str) -> None:
    """Raises: UsageError where `data_format` is neither of the two."""
    if data_format not in ("channels_last", "channels_first"):
        raise UsageError(f'data_format={data_format!r} is unknown; use "channels_last" or "channels_first"')


def read_format(data_format: str | None) -> str:
    """Return the format that a layer is to keep to; channels last where none is said. Raises: UsageError."""
    data_format = "channels_last" if data_format is None else data_format
    check_format(data_format)
    return data_format


def images_last(x: Array, data_format: str) -> Array:
    """(N, C, H, W) as (N, H, W, C), contiguous; unchanged where channels are last already."""
    check_format(data_format)
    if data_format == "channels_first" and x.ndim == 4:
        x = x.transpose(0, 2, 3, 1)
    return x if x.flags.c_contiguous else array_module(x).ascontiguousarray(x)


def images_first(y: Array, data_format: str) -> Array:
    """(N, P, Q, K) back as the caller has it."""
    return y.transpose(0, 3, 1, 2) if data_format == "channels_first" else y


def spatial_last(shape: Shape, data_format: str, axes: int = 4) -> Shape:
    """The shape (N, C, H, W) as (N, H, W, C); with axes=3, (N, C, L) as (N, L, C)."""
    check_format(data_format)
    shape = tuple(shape)
    return (shape[0], *shape[2:], shape[1]) if data_format == "channels_first" and len(shape) == axes else shape


def same_type(a: Array, b: Array) -> tuple[Array, Array]:
    """Bring both to their common floating-point type."""
    if a.dtype == b.dtype and (a.dtype.kind == "f" or a.dtype.name == "bfloat16"):
        return a, b
    xp = array_module(a, b)
    common = xp.result_type(a, b)
    common = common if common.kind == "f" else xp.dtype("float32")
    return a.astype(common, copy=False), b.astype(common, copy=False)
