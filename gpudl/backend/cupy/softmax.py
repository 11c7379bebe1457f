"""Softmax and the cross-entropies after it on the GPU: launches of softmax.cu, which says how the work is done."""

from __future__ import annotations

from typing import Any

from gpudl.backend import Array, array_module
from gpudl.backend.cupy.launching import contiguous, index_type, launch, launch_each, name_of, type_of

ROWS = 8
"""Rows of a block, one for each warp."""

LABELS = {"int32": "int", "int64": "long long", "uint8": "unsigned char"}
"""C++ types of labels; others become 64-bit integers."""


def _by_rows(name: str, arrays: tuple[Array, ...], *shapes: tuple[int, ...], label: str = "int") -> Any:
    """Launch a kernel with a warp for each row of the first array (M, K); return what it makes, of these shapes."""
    rows, columns = arrays[0].shape
    xp = array_module(arrays[0])
    made = [xp.empty(shape, arrays[0].dtype) for shape in shapes]
    macros: dict[str, Any] = {"T": type_of(arrays[0]), "INDEX": index_type(arrays[0]), "LABEL": label}
    launch("softmax", name, macros, (-(-rows // ROWS),), 32 * ROWS, (*map(contiguous, arrays), *made, rows, columns))
    return made[0] if len(made) == 1 else tuple(made)


def _labels(labels: Array) -> tuple[Array, str]:
    name = LABELS.get(name_of(labels.dtype))
    return (labels.astype("int64"), "long long") if name is None else (contiguous(labels), name)


def forward(x: Array) -> Array:
    """x (M, K) -> exp(x) / sum exp(x) of each row."""
    return _by_rows("softmax_rows", (x,), x.shape)


def backward(dy: Array, y: Array) -> Array:
    """dy and y (M, K) -> dx = y (dy - sum(dy y))."""
    return _by_rows("softmax_gradient", (dy, y.astype(dy.dtype, copy=False)), y.shape)


def picked(p: Array, labels: Array) -> Array:
    """p (M, K), labels (M,) -> -log(p[label] / sum(p)) of each row, clipped as Keras does."""
    labels, kind = _labels(labels)
    return _by_rows("picked_loss", (p, labels), p.shape[:1], label=kind)


def picked_gradient(dy: Array, p: Array, labels: Array) -> Array:
    """dy (M,), p = softmax(x) (M, K), labels (M,) -> dx = (p - one at the label) dy."""
    dx, (labels, kind) = array_module(p).empty(p.shape, p.dtype), _labels(labels)
    arguments = (contiguous(dy.astype(p.dtype, copy=False)), contiguous(p), labels, dx, p.shape[1])
    launch_each("softmax", "picked_gradient", p.size, arguments, LABEL=kind)
    return dx


def crossed(p: Array, t: Array) -> Array:
    """p and t (M, K) -> -sum(t log p) of each row, p clipped as Keras does."""
    return _by_rows("crossed_loss", (p, t), p.shape[:1])


def crossed_gradient(dy: Array, p: Array, t: Array) -> Array:
    """dy (M,), p = softmax(x) and t (M, K) -> dx = (p sum(t) - t) dy."""
    return _by_rows("crossed_gradient", (p, t, dy.astype(p.dtype, copy=False)), p.shape)


def picked_of_logits(x: Array, labels: Array) -> tuple[Array, Array]:
    """x (M, K), labels (M,) -> -log(p[label]) of each row, not clipped, and p = softmax(x)."""
    labels, kind = _labels(labels)
    return _by_rows("picked_of_logits", (x, labels), x.shape[:1], x.shape, label=kind)


def crossed_of_logits(x: Array, t: Array) -> tuple[Array, Array]:
    """x and t (M, K) -> -sum(t log p) of each row, not clipped, and p = softmax(x)."""
    return _by_rows("crossed_of_logits", (x, t), x.shape[:1], x.shape)
