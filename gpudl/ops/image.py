"""Operations on images: mirror, move and turn, resize. All are linear in the pixels, so gradients pass through them."""

from __future__ import annotations

import math
from collections.abc import Iterator
from functools import cache
from typing import Any

import numpy as np

from gpudl.autograd import differentiable
from gpudl.backend import Array, Shape, array_module, kernels
from gpudl.errors import ShapeError, UsageError
from gpudl.ops.layout import check_format
from gpudl.shapes import shown

FILL_MODES = ("reflect", "wrap", "constant", "nearest", "mirror")


def check_choice(name: str, value: str, known: tuple[str, ...]) -> None:
    """Raises: UsageError where a setting is none of the known values."""
    if value not in known:
        raise UsageError(f"{name}={value!r} is unknown; use {', '.join(repr(choice) for choice in known)}")


def check_images(shape: Shape) -> None:
    """Raises: ShapeError unless a shape is that of a batch of images or of one image."""
    if len(shape) not in (3, 4):
        raise ShapeError(f"images must have 4 axes, or one image 3, but the input has shape {shown(shape)}")


def _batch_last(images: Array, data_format: str) -> Array:
    """View a batch of images or one image, in either layout, as (N, H, W, C)."""
    check_format(data_format)
    check_images(images.shape)
    batch = images if images.ndim == 4 else images[None]
    return batch.transpose(0, 2, 3, 1) if data_format == "channels_first" else batch


def _as_given(batch: Array, images: Array, data_format: str) -> Array:
    """Give (N, H, W, C) the layout and the number of axes of `images`."""
    batch = batch.transpose(0, 3, 1, 2) if data_format == "channels_first" else batch
    return batch if images.ndim == 4 else batch[0]


@differentiable
def flip_images(images: Array, *, horizontal: Array, vertical: Array, data_format: str = "channels_last") -> Any:
    """Mirror some images of a batch left to right, some top to bottom.

    Shapes: images (N, H, W, C) or one image (H, W, C); horizontal, vertical (N,) of booleans -> as images.
    Gradient: dy, mirrored as the images were.
    """

    xp = array_module(images)
    horizontal, vertical = xp.asarray(horizontal), xp.asarray(vertical)

    def flip(x: Array) -> Array:
        batch = _batch_last(x, data_format).copy()
        batch[horizontal] = batch[horizontal][:, :, ::-1]
        batch[vertical] = batch[vertical][:, ::-1]
        return _as_given(batch, x, data_format)

    return flip(images), flip


@differentiable
def affine_transform(
    images: Array,
    transform: Array,
    *,
    interpolation: str = "bilinear",
    fill_mode: str = "constant",
    fill_value: float = 0.0,
    data_format: str = "channels_last",
) -> Any:
    """Draw each image anew from where its transform says that every pixel comes from.

    A transform (a0, a1, a2, b0, b1, b2, c0, c1) takes the pixel in column x and row y of the output from

        column (a0 x + a1 y + a2) / k and row (b0 x + b1 y + b2) / k of the input, where k = c0 x + c1 y + 1

    so an affine one has c0 = c1 = 0. "bilinear" weighs the four pixels around that place, "nearest" takes the nearest
    (halves go to the even one). What lies outside is `fill_value`, or the image is continued there:
    "reflect" d c b a | a b c d | d c b a, "mirror" d c b | a b c d | c b a, "wrap" a b c d | a b c d | a b c d,
    "nearest" a a a a | a b c d | d d d d.

    Shapes: images (N, H, W, C) or one image (H, W, C); transform (N, 8), or (8,) for all -> as images.
    Gradient: dy to the pixels, by their weights; none for the transform.
    Raises: UsageError for an unknown setting, ShapeError where images and transforms are not as many.
    """
    check_choice("interpolation", interpolation, ("nearest", "bilinear"))
    check_choice("fill_mode", fill_mode, FILL_MODES)
    xp = array_module(images)
    dtype = images.dtype if images.dtype.kind == "f" else np.dtype("float32")
    batch = _batch_last(images, data_format)
    N, H, W, C = batch.shape
    transform = xp.asarray(transform, dtype="float64")
    if transform.shape not in ((8,), (1, 8), (N, 8)):
        raise ShapeError(f"{N} images need transforms of shape ({N}, 8) or (8,), not {shown(transform.shape)}")

    rows, columns = _sources(xp, transform.reshape(-1, 8, 1, 1), H, W)
    row_taps = _taps(xp, rows, H, interpolation, fill_mode, dtype)
    column_taps = _taps(xp, columns, W, interpolation, fill_mode, dtype)
    image = xp.arange(N).reshape(N, 1, 1) * (H * W)

    def taps() -> Iterator[tuple[Array, Array]]:
        """The pixels that the output is drawn from, one after the other: their numbers and their weights."""
        for row, row_weight in row_taps:
            for column, column_weight in column_taps:
                yield image + row * W + column, (row_weight * column_weight)[..., None]

    pixels = batch.reshape(N * H * W, C)
    y = xp.zeros((N, H, W, C), dtype)
    for number, weight in taps():
        y += pixels.take(number, axis=0) * weight
    if fill_mode == "constant" and fill_value:
        inside = sum(weight for _, weight in taps())
        y += dtype.type(fill_value) * (1 - inside)

    def image_gradient(dy: Array) -> Array:
        dy = _batch_last(dy, data_format)
        dx, add_rows = xp.zeros((N * H * W, C), dy.dtype), kernels("scatter", dy).add_rows
        for number, weight in taps():
            dx += add_rows(xp.broadcast_to(number, (N, H, W)).reshape(-1), (dy * weight).reshape(-1, C), N * H * W)
        return _as_given(dx.reshape(N, H, W, C), images, data_format)

    return _as_given(y, images, data_format), (image_gradient, None)


def _sources(xp: Any, transform: Array, H: int, W: int) -> tuple[Array, Array]:
    """Return row and column of the input for each pixel of the output, broadcast to (N, H, W).

    Where rows do not depend on columns, nor columns on rows, they stay lines: zooming and moving cost little.
    """
    a0, a1, a2, b0, b1, b2, c0, c1 = (transform[:, i] for i in range(8))
    x, y = xp.arange(W, dtype="float64"), xp.arange(H, dtype="float64").reshape(H, 1)
    columns, rows = a0 * x + a2, b1 * y + b2
    if a1.any():
        columns = columns + a1 * y
    if b0.any():
        rows = rows + b0 * x
    if c0.any() or c1.any():
        k = c0 * x + c1 * y + 1
        columns, rows = columns / k, rows / k
    return rows, columns


def _taps(
    xp: Any, place: Array, size: int, interpolation: str, fill_mode: str, dtype: Any
) -> list[tuple[Array, Array]]:
    """Return the pixels around each place along one axis: index and weight, 0 where there is no pixel."""
    if interpolation == "nearest":
        lower = xp.rint(place)
        pairs = [(lower.astype("int64"), xp.ones(place.shape, dtype))]
    else:
        lower = xp.floor(place)
        upper_weight = (place - lower).astype(dtype)
        index = lower.astype("int64")
        pairs = [(index, 1 - upper_weight), (index + 1, upper_weight)]
    if fill_mode == "constant":
        pairs = [(index, weight * ((index >= 0) & (index < size))) for index, weight in pairs]
    return [(_inside(xp, index, size, fill_mode), weight) for index, weight in pairs]


def _inside(xp: Any, index: Array, size: int, fill_mode: str) -> Array:
    """Return the pixel that stands for each index, be it outside or not."""
    if fill_mode == "wrap":
        return index % size
    if fill_mode == "reflect":
        index = index % (2 * size)
        return xp.minimum(index, 2 * size - 1 - index)
    if fill_mode == "mirror":
        index = index % max(2 * size - 2, 1)
        return xp.minimum(index, xp.abs(2 * size - 2 - index))
    return index.clip(0, size - 1)


@differentiable
def resize(
    images: Array,
    *,
    size: tuple[int, int],
    interpolation: str = "bilinear",
    antialias: bool = False,
    data_format: str = "channels_last",
) -> Any:
    """Give images another height and width; the edges of the outermost pixels stay the edges of the image.

    Every interpolation is a matrix for the rows and one for the columns: y = R x C'. "bilinear" and "bicubic" weigh
    2 and 4 pixels along each axis; with `antialias` more where the image shrinks, so that none is passed over.

    Shapes: images (N, H, W, C) or one image (H, W, C); size (P, Q) -> (N, P, Q, C) or (P, Q, C).
    Gradient: R' dy C.
    Raises: UsageError for an unknown setting.
    Source: Keys 1981, Cubic convolution interpolation; a = -0.75 as PyTorch has it, -0.5 with antialias.
    """
    check_choice("interpolation", interpolation, ("bilinear", "nearest", "bicubic"))
    batch = _batch_last(images, data_format)
    xp = array_module(batch)
    dtype = batch.dtype if batch.dtype.kind == "f" else np.dtype("float32")
    antialias = bool(antialias) and interpolation != "nearest"
    by_row, by_column = (
        xp.asarray(_resize_matrix(before, after, interpolation, antialias), dtype=dtype)
        for before, after in zip(batch.shape[1:3], size, strict=True)
    )

    def apply(x: Array, rows: Array, columns: Array) -> Array:
        N, H, W, C = x.shape
        x = (rows @ x.reshape(N, H, W * C)).reshape(N * len(rows), W, C)
        return (columns @ x).reshape(N, len(rows), len(columns), C)

    def backward(dy: Array) -> Array:
        return _as_given(apply(_batch_last(dy, data_format), by_row.T, by_column.T), images, data_format)

    return _as_given(apply(batch, by_row, by_column), images, data_format), backward


@cache
def _resize_matrix(before: int, after: int, interpolation: str, antialias: bool) -> np.ndarray:
    """Return the weights of the pixels of a line of `before`, for each pixel of one of `after`. Rows add up to 1."""
    centre = (np.arange(after) + 0.5) * (before / after)
    if interpolation == "nearest":
        return np.eye(before)[np.minimum(centre.astype(int), before - 1)]
    stretch = max(before / after, 1.0) if antialias else 1.0
    reach = math.ceil(2 * stretch) + 1
    distance = np.abs(np.arange(-reach, before + reach) + 0.5 - centre[:, None]) / stretch
    if interpolation == "bilinear":
        weights = np.maximum(1 - distance, 0)
    else:
        weights = _cubic(distance, -0.5 if antialias else -0.75)
    matrix = weights[:, reach:-reach].copy()
    if not antialias:  # pixels beyond the edge are equal to the edge; with antialias they do not count
        matrix[:, 0] += weights[:, :reach].sum(axis=1)
        matrix[:, -1] += weights[:, -reach:].sum(axis=1)
    return matrix / matrix.sum(axis=1, keepdims=True)


def _cubic(d: np.ndarray, a: float) -> np.ndarray:
    """Weigh pixels at a distance d by the cubic convolution kernel."""
    near = ((a + 2) * d - (a + 3)) * d * d + 1
    far = (((d - 5) * d + 8) * d - 4) * a
    return np.where(d <= 1, near, np.where(d < 2, far, 0))
