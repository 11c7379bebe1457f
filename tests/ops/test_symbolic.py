"""Every op hands a call over to an argument that asks for it, whatever is not known of its shape yet."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from gpudl import Input, Model, Tensor, ops


class Symbol:
    """Stands for images of which neither the number nor the size is known, and notes what is done to it."""

    shape, ndim, dtype = (None, None, None, 4), 4, np.dtype("float32")

    def __init__(self, shape: tuple[int | None, ...] = shape) -> None:
        self.shape, self.ndim = shape, len(shape)

    def __gpudl_op__(self, op: Any, arrays: tuple[Any, ...], settings: dict[str, Any]) -> Symbol:
        assert plain(settings), f"{op.__name__} has settings that cannot be written down: {settings}"
        return Symbol(self.shape)


def plain(value: Any) -> bool:
    if isinstance(value, dict):
        return all(plain(item) for item in value.values())
    if isinstance(value, tuple):
        return all(plain(item) for item in value)
    if isinstance(value, slice):
        return plain((value.start, value.stop, value.step))
    return value is None or value is Ellipsis or type(value) in (bool, int, float, str)


x = Symbol()
CALLS: list[tuple[str, tuple[Any, ...], dict[str, Any]]] = [
    *((name, (x,), {}) for name in (
        "relu", "elu", "gelu", "softmax", "log_softmax", "silu", "glu", "erf", "sin", "floor", "exp", "sqrt", "sum",
        "abs", "mean", "max", "var", "std", "prod", "logsumexp", "norm", "normalize", "argmax", "isnan", "any",
        "logical_not", "cumsum", "zeros_like", "ones_like", "flip", "ravel", "squeeze", "transpose", "round", "sign",
    )),
    *((name, (x, x), {}) for name in ("add", "maximum", "equal", "greater", "logical_and", "mod", "floor_divide")),
    *((name, (x, 0.5), {}) for name in ("multiply", "minimum", "less")),
    ("relu", (x,), {"max_value": 6.0}),
    ("sum", (x,), {"axis": (1, 2), "keepdims": True}),
    ("norm", (x,), {"ord": 1, "axis": -1}),
    ("normalize", (x,), {"order": 3}),
    ("clip", (x, 0, 1), {}),
    ("where", (x, x, 0.0), {}),
    ("cast", (x, "float64"), {}),
    ("full_like", (x, 2.0), {}),
    ("concatenate", ([x, x],), {"axis": -1}),
    ("stack", ([x, x],), {"axis": 1}),
    ("expand_dims", (x, -1), {}),
    ("reshape", (x, (-1, 8)), {}),
    ("moveaxis", (x, 1, -1), {}),
    ("swapaxes", (x, 1, 2), {}),
    ("pad", (x, ((0, 0), (1, 1), (1, 1), (0, 0))), {}),
    ("split", (x, 2), {"axis": -1}),
    ("split", (x, [1, 2]), {"axis": 1}),
    ("repeat", (x, 2), {"axis": 1}),
    ("tile", (x, (1, 2, 2, 1)), {}),
    ("take", (x, np.array([0, 1])), {"axis": 1}),
    ("get_item", (x, (slice(None), 0)), {}),
    ("tensordot", (x, np.ones((4, 3))), {"axes": 1}),
    ("dot", (x, np.ones((4, 3))), {}),
    ("matmul", (x, np.ones((4, 3))), {}),
    ("conv", (x, np.ones((3, 3, 4, 2))), {}),
    ("conv", (Symbol((None, None, 4)), np.ones((3, 4, 2))), {}),
    ("max_pool", (x, 2), {}),
    ("average_pool", (Symbol((None, None, 4)), 2), {}),
    ("one_hot", (x, 3), {}),
    ("categorical_crossentropy", (x, x), {}),
    ("sparse_categorical_crossentropy", (Symbol((None, None, None)), x), {}),
    ("binary_crossentropy", (x, x), {"from_logits": True}),
]  # fmt: skip


@pytest.mark.parametrize(("name", "arguments", "settings"), CALLS, ids=[f"{i}-{c[0]}" for i, c in enumerate(CALLS)])
def test_hands_over(name: str, arguments: tuple[Any, ...], settings: dict[str, Any]) -> None:
    y = getattr(ops, name)(*arguments, **settings)
    for each in y if isinstance(y, list) else [y]:
        assert isinstance(each, Symbol)


def test_comparisons_are_part_of_a_model() -> None:
    x = Input((3,))
    for y, expected in (
        (ops.where(x > 0, x, 0.0), [[0, 2, 0]]),
        (ops.cast(x != 0, "float32"), [[1, 1, 0]]),
        (ops.cast(x == 2, "float32"), [[0, 1, 0]]),
        (ops.cast(x >= 1.0, "float32"), [[0, 1, 0]]),
        (x % 2, [[1, 0, 0]]),
    ):
        np.testing.assert_array_equal(np.asarray(Model(x, y)(np.array([[-1.0, 2, 0]], np.float32))), expected)


def test_tensors_are_compared_by_their_numbers() -> None:
    tensor = Tensor(np.array([1.0, 3.0], np.float32))
    np.testing.assert_array_equal(tensor == 3, [False, True])
    np.testing.assert_array_equal(tensor != tensor, [False, False])
    assert tensor != None and hash(tensor) == hash(tensor)  # noqa: E711


def test_integers_beside_floating_point_take_its_type() -> None:
    f, i = np.ones((2, 2), np.float32), np.ones((2, 2), np.int64)
    for y in (ops.add(f, i), ops.multiply(i, f), ops.matmul(f, i), ops.power(f, i), ops.maximum(f, i), ops.divide(i, i),
              ops.concatenate([f, i]), Tensor(f) - i):  # fmt: skip
        assert y.dtype == np.float32
    assert ops.add(i, i).dtype == np.int64
