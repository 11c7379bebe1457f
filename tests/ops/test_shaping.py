"""Where elements stand, products over axes, and new arrays: against NumPy's own and central differences."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gpudl import ops
from gpudl.autograd import Tensor
from gpudl.errors import ShapeError, UsageError
from gpudl.testing import check_close, check_op

SHAPES = st.lists(st.integers(1, 4), min_size=1, max_size=3).map(tuple)
SEEDS = st.integers(0, 2**16)


@given(data=st.data(), shape=SHAPES, seed=SEEDS)
@settings(max_examples=60)
def test_along_axes(put: Any, data: st.DataObject, shape: Any, seed: int) -> None:
    plain = np.random.default_rng(seed).standard_normal(shape)
    x = put(plain)
    axis = data.draw(st.integers(-len(shape), len(shape) - 1))
    none = data.draw(st.sampled_from([None, axis]))
    size = x.size if none is None else shape[none]
    check_op(ops.flip, [x], {"axis": none}, oracle=np.flip)
    check_op(ops.roll, [x], {"shift": data.draw(st.integers(-5, 5)), "axis": none}, oracle=np.roll)
    each = st.lists(st.integers(0, 2), min_size=size, max_size=size).filter(any).map(tuple)
    check_op(ops.repeat, [x], {"repeats": data.draw(st.integers(1, 3) | each), "axis": none}, oracle=np.repeat)
    index = np.asarray(np.random.default_rng(seed).integers(-size, size, data.draw(SHAPES | st.just(()))))
    check_op(ops.take, [x, put(index)], {"axis": none}, oracle=np.take)
    other = data.draw(st.integers(-len(shape), len(shape) - 1))
    check_op(lambda x: ops.swapaxes(x, axis, other), [x], oracle=lambda x: np.swapaxes(x, axis, other))
    check_op(lambda x: ops.moveaxis(x, axis, other), [x], oracle=lambda x: np.moveaxis(x, axis, other))
    counts = data.draw(st.lists(st.integers(1, 3), min_size=1, max_size=4))
    check_op(lambda x: ops.tile(x, counts), [x], oracle=lambda x: np.tile(x, counts))
    check_op(lambda x: ops.broadcast_to(x, (2, *shape)), [x], oracle=lambda x: np.broadcast_to(x, (2, *shape)))
    ranks = put(np.argsort(plain, axis=axis))
    check_op(ops.take_along_axis, [x, ranks], {"axis": axis}, oracle=np.take_along_axis)


@given(data=st.data(), shape=SHAPES, mode=st.sampled_from(["constant", "reflect", "symmetric"]), seed=SEEDS)
@settings(max_examples=60)
def test_pad(put: Any, data: st.DataObject, shape: Any, mode: str, seed: int) -> None:
    x = put(np.random.default_rng(seed).standard_normal([n + 2 for n in shape]))
    pairs = st.tuples(st.integers(0, 2), st.integers(0, 2))
    width = data.draw(st.integers(0, 2) | pairs | st.tuples(*[pairs] * len(shape)))
    check_op(lambda x: ops.pad(x, width, mode), [x], oracle=lambda x: np.pad(x, width, mode=mode))
    if mode == "constant":
        check_op(
            lambda x: ops.pad(x, width, constant_values=3.5),
            [x],
            oracle=lambda x: np.pad(x, width, constant_values=3.5),
        )


@given(data=st.data(), shape=SHAPES, seed=SEEDS)
@settings(max_examples=30)
def test_split(put: Any, data: st.DataObject, shape: Any, seed: int) -> None:
    axis = data.draw(st.integers(-len(shape), len(shape) - 1))
    x = put(
        np.random.default_rng(seed).standard_normal([6 if i == axis % len(shape) else n for i, n in enumerate(shape)])
    )
    cuts = data.draw(st.sampled_from([1, 2, 3, [2], [1, 4]]))
    for i in range(len(np.split(x, cuts, axis))):
        check_op(lambda x, i=i: ops.split(x, cuts, axis)[i], [x], oracle=lambda x, i=i: np.split(x, cuts, axis)[i])


@given(
    left=st.lists(st.integers(1, 3), max_size=2),
    summed=st.lists(st.integers(1, 3), max_size=2),
    right=st.lists(st.integers(1, 3), max_size=2),
    seed=SEEDS,
)
@settings(max_examples=50)
def test_tensordot_and_dot(put: Any, left: Any, summed: Any, right: Any, seed: int) -> None:
    rng = np.random.default_rng(seed)

    def some(*shape: int) -> Any:
        """Positive, so that nothing cancels."""
        return put(rng.uniform(0.5, 2, shape))

    a, count = some(*left, *summed), len(summed)
    check_op(ops.tensordot, [a, some(*summed, *right)], {"axes": count}, oracle=np.tensordot)
    turned = {"axes": ([len(left) + i for i in reversed(range(count))], list(range(count)))}
    check_op(ops.tensordot, [a, some(*summed[::-1], *right)], turned, oracle=np.tensordot)
    if a.ndim:
        shape = [*right[:1], a.shape[-1], *right[1:]] if len(right) == 2 else [a.shape[-1], *right]
        check_op(ops.dot, [a, some(*shape)], oracle=np.dot)


def test_new_arrays() -> None:
    for made in (ops.zeros(3), ops.ones((2, 3)), ops.full((2,), 7), ops.eye(2), ops.linspace(0, 1, 5)):
        assert made.dtype == np.float32
    assert ops.arange(3).dtype == np.int32 and ops.arange(0, 1, 0.25).tolist() == [0, 0.25, 0.5, 0.75]
    assert ops.zeros(2, "bool").dtype == bool and ops.ones(2, int).dtype == np.int32
    like = ops.zeros_like(Tensor(np.ones((2, 3), np.float64), requires_grad=True))
    assert not isinstance(like, Tensor) and like.dtype == np.float64 and like.shape == (2, 3)
    assert ops.ones_like(np.zeros(2), "int32").dtype == np.int32
    with pytest.raises(UsageError, match="dtype='float33' is unknown"):
        ops.zeros(2, "float33")


def test_cast(put: Any, rng: np.random.Generator) -> None:
    x = Tensor(put(rng.standard_normal(4).astype(np.float32)), requires_grad=True)
    y = ops.cast(x, "float64")
    assert y.dtype == np.float64
    y.backward(put(np.ones(4)))
    assert x.grad is not None and x.grad.dtype == np.float32
    assert not ops.cast(x, "int32").requires_grad
    assert ops.convert_to_numpy(ops.convert_to_tensor([1.5, 2])).dtype == np.float32


def test_what_does_not_fit_is_refused() -> None:
    x = np.zeros((4, 3))
    for wrong, message in (
        (lambda: ops.split(x, 3), r"axis 0 of shape \(4, 3\) cannot be cut into 3 equal parts"),
        (lambda: ops.moveaxis(x, 0, (0, 1)), "must name as many axes"),
        (lambda: ops.pad(x, [(1, 1)] * 3), r"pad_width=.* does not fit an input of shape \(4, 3\)"),
        (lambda: ops.tensordot(x, x, 1), r"axes \(1,\) of shape \(4, 3\) do not fit axes \(0,\)"),
    ):
        with pytest.raises(ShapeError, match=message):
            wrong()
    with pytest.raises(UsageError, match="constant_values"):
        ops.pad(x, 1, "reflect", 2.0)
    with pytest.raises(UsageError, match='"reflect" or "symmetric"'):
        ops.pad(x, 1, "edge")
    check_close("where", ops.where(np.array([True, False]), 1, 2.5), np.float32([1, 2.5]), 0.0)
