"""More of Keras's names: order, matrices, sums by letters, normalizing and convolving; beside NumPy's own."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gpudl import ops
from gpudl.autograd import Tensor
from gpudl.backend import to_numpy
from gpudl.errors import ShapeError, UsageError
from gpudl.layers import Input
from gpudl.models import Model
from gpudl.testing import check_close, check_op

SHAPES = st.lists(st.integers(1, 4), min_size=1, max_size=3).map(tuple)
SEEDS = st.integers(0, 2**16)


def different(seed: int, shape: Any) -> np.ndarray:
    """No two alike, and none so near to another that a small step would change their order."""
    return np.asarray(np.random.default_rng(seed).permutation(int(np.prod(shape))).reshape(shape) / 4 - 1.0)


@given(data=st.data(), shape=SHAPES, seed=SEEDS)
@settings(max_examples=60)
def test_order(put: Any, data: st.DataObject, shape: Any, seed: int) -> None:
    plain = different(seed, shape)
    x = put(plain)
    axis = data.draw(st.none() | st.integers(-len(shape), len(shape) - 1))
    check_op(ops.sort, [x], {"axis": axis}, oracle=np.sort)
    check_close("argsort", ops.argsort(x, axis), np.argsort(plain, axis=axis), 0.0)
    assert ops.argsort(x).dtype == np.int32
    several = data.draw(st.none() | st.lists(st.integers(0, len(shape) - 1), min_size=1, unique=True).map(tuple))
    for over in (axis, several):
        check_op(ops.median, [x], {"axis": over, "keepdims": data.draw(st.booleans())}, oracle=np.median)
    k = data.draw(st.integers(1, shape[-1]))
    check_op(lambda x: ops.top_k(x, k)[0], [x], oracle=lambda x: np.sort(x, -1)[..., ::-1][..., :k])
    values, where = ops.top_k(x, k)
    check_close("places", np.take_along_axis(plain, to_numpy(where), -1), values, 0.0)


def test_equal_ones_stand_in_their_order(put: Any) -> None:
    x = put(np.array([1, 3, 3, 0, 3, 1]))
    assert ops.argsort(x).tolist() == [3, 0, 5, 1, 2, 4]
    assert ops.top_k(x, 4)[1].tolist() == [1, 2, 4, 0]
    middle = to_numpy(ops.median(put(np.array([[1.0, np.nan, 2.0], [3, 1, 2]])), 1))
    np.testing.assert_array_equal(middle, [np.nan, 2])


def test_in_top_k(put: Any) -> None:
    predictions = put(np.array([[0.1, 0.5, 0.4], [0.3, 0.4, 0.3], [0.9, 0.1, 0.0]]))
    found = ops.in_top_k(put(np.array([2, 2, 2])), predictions, 2)
    assert found.tolist() == [True, True, False], "what equals the k-th is"
    assert ops.in_top_k(put(np.array([2, 1, 0])), predictions, k=1).tolist() == [False, True, True]
    assert ops.in_top_k([2, 1, 0], to_numpy(predictions), k=1).tolist() == [False, True, True]


def test_unique(put: Any) -> None:
    x = put(np.array([[3, 1], [1, 2]]))
    values, first, which, counts = ops.unique(x, True, True, True, True)
    assert [a.tolist() for a in (values, first, which, counts)] == [[1, 2, 3], [1, 3, 0], [[2, 0], [0, 1]], [2, 1, 1]]
    assert {first.dtype, which.dtype, counts.dtype} == {np.dtype("int32")}
    assert ops.unique(Tensor(put(np.array([2.0, 2.0, 1.0])))).tolist() == [1, 2]
    rows, which = ops.unique(put(np.array([[2, 1], [0, 5], [2, 1]])), return_inverse=True, axis=0)
    assert rows.tolist() == [[0, 5], [2, 1]] and which.tolist() == [1, 0, 1]


@given(data=st.data(), sizes=st.lists(st.integers(1, 4), min_size=2, max_size=3).map(tuple), seed=SEEDS)
@settings(max_examples=60)
def test_matrices(put: Any, data: st.DataObject, sizes: Any, seed: int) -> None:
    x = put(np.random.default_rng(seed).uniform(0.5, 2, sizes))
    k = data.draw(st.integers(-3, 3))
    for name in ("tril", "triu"):
        check_op(getattr(ops, name), [x], {"k": k}, oracle=getattr(np, name))
    axis1, axis2 = data.draw(st.permutations(range(len(sizes))))[:2]
    check_op(ops.trace, [x], {"offset": k, "axis1": axis1, "axis2": axis2}, oracle=np.trace)
    check_op(ops.diag, [x.reshape(-1)], {"k": k}, oracle=np.diag)
    k = data.draw(st.integers(1 - sizes[0], sizes[1] - 1))
    check_op(ops.diag, [x.reshape(sizes[0], -1)[:, : sizes[1]]], {"k": k}, oracle=np.diag)
    check_op(ops.outer, [x, put(np.random.default_rng(seed).uniform(0.5, 2, 3))], oracle=np.outer)


EINSUMS = ["ij,jk->ik", "ij,kj->ik", "bij,bjk->bik", "i,j->ij", "ij,ij->", "ij,k->k", "ij->ji", "ij->i", "i->", "ij,jk",
           "bhqd,bhkd->bhqk", "ij,jk,kl->il", "ab,bc,b->ca", "a b, b -> a", "ba"]  # fmt: skip


@pytest.mark.parametrize("subscripts", EINSUMS)
@pytest.mark.parametrize("seed", range(3))
def test_einsum(put: Any, subscripts: str, seed: int) -> None:
    rng = np.random.default_rng(seed)
    sizes = {letter: int(rng.integers(1, 5)) for letter in subscripts}
    shapes = [
        [sizes[letter] for letter in term.strip().replace(" ", "")] for term in subscripts.split("->")[0].split(",")
    ]
    arrays = [put(rng.uniform(0.5, 2, shape)) for shape in shapes]
    check_op(lambda *x: ops.einsum(subscripts, *x), arrays, oracle=lambda *x: np.einsum(subscripts, *x))


@given(data=st.data(), shape=SHAPES, seed=SEEDS)
@settings(max_examples=40)
def test_put_together_and_cut_out(put: Any, data: st.DataObject, shape: Any, seed: int) -> None:
    rng = np.random.default_rng(seed)
    x, y = put(rng.standard_normal(shape)), put(rng.standard_normal(shape))
    for name in ("vstack", "hstack"):
        check_op(
            lambda *xs, name=name: getattr(ops, name)(xs), [x, y], oracle=lambda *xs, name=name: getattr(np, name)(xs)
        )
    starts = [data.draw(st.integers(0, n - 1)) for n in shape]
    lengths = [data.draw(st.integers(1, n - start)) for n, start in zip(shape, starts, strict=True)]
    block = tuple(slice(start, start + n) for start, n in zip(starts, lengths, strict=True))
    check_op(lambda x: ops.slice(x, starts, lengths), [x], oracle=lambda x: x[block])
    vectors = [put(rng.standard_normal(n)) for n in shape]
    for indexing in ("xy", "ij"):
        for i in range(len(shape)):
            check_op(
                lambda *v, i=i, indexing=indexing: ops.meshgrid(*v, indexing=indexing)[i],
                vectors,
                differentiate=[i],
                oracle=lambda *v, i=i, indexing=indexing: np.meshgrid(*v, indexing=indexing)[i],
            )


def test_elementwise_and_counted(put: Any, rng: np.random.Generator) -> None:
    check_op(ops.tan, [put(rng.uniform(-1.2, 1.2, (3, 4)))], oracle=np.tan)
    x = Tensor(put(np.array([1.5, np.nan, np.inf, -np.inf], np.float32)), requires_grad=True)
    y = ops.nan_to_num(x, 7.0, neginf=-3.0)
    assert y.data.tolist() == [1.5, 7, float(np.finfo(np.float32).max), -3] and y.dtype == np.float32
    y.backward(put(np.float32([1, 2, 3, 4])))
    assert x.grad is not None and x.grad.tolist() == [1, 0, 0, 0] and x.grad.dtype == np.float32
    zeros = np.array([[[0, 1, 2], [0, 0, 3]]])
    for axis in (None, 0, 2, (0, 2)):
        found = ops.count_nonzero(put(zeros), axis)
        assert found.dtype == np.int32 and found.tolist() == np.count_nonzero(zeros, axis).tolist()


@given(data=st.data(), shape=st.lists(st.integers(2, 4), min_size=2, max_size=4).map(tuple), seed=SEEDS)
@settings(max_examples=40)
def test_normalizing(put: Any, data: st.DataObject, shape: Any, seed: int) -> None:
    rng = np.random.default_rng(seed)
    x = put(rng.standard_normal(shape))
    axis = data.draw(st.integers(-len(shape), len(shape) - 1))
    mean, variance, offset, scale = (put(rng.uniform(0.5, 2, shape[axis])) for _ in range(4))

    def oracle(x: Any, mean: Any, variance: Any, offset: Any = 0.0, scale: Any = 1.0) -> Any:
        last = np.moveaxis(x, axis, -1)
        return np.moveaxis((last - mean) / np.sqrt(variance + 0.01) * scale + offset, -1, axis)

    for given_ones in ([x, mean, variance], [x, mean, variance, offset, scale]):
        check_op(
            lambda x, mean, variance, *more: ops.batch_normalization(x, mean, variance, axis, *more, epsilon=0.01),
            given_ones,
            oracle=oracle,
        )
    keepdims = data.draw(st.booleans())
    over = data.draw(st.sampled_from([axis, [axis], list(range(len(shape)))]))
    numpys = {"axis": tuple(over) if isinstance(over, list) else over, "keepdims": keepdims}
    for i, own in enumerate((np.mean, np.var)):
        check_op(lambda x, i=i: ops.moments(x, over, keepdims)[i], [x], oracle=lambda x, own=own: own(x, **numpys))
    check_close("layer", ops.layer_normalization(x, axis=axis), ops.layer_norm(x, axis=axis, epsilon=1e-7), 0.0)


@given(
    data=st.data(), axes=st.integers(1, 2), padding=st.sampled_from(["valid", "same"]), stride=st.integers(1, 2),
    seed=st.integers(0, 99),
)  # fmt: skip
@settings(max_examples=30)
def test_convolving(put: Any, data: st.DataObject, axes: int, padding: str, stride: int, seed: int) -> None:
    """Each channel by itself is a convolution of one channel; a transposed one is the adjoint of a convolution."""
    rng = np.random.default_rng(seed)
    window = [data.draw(st.integers(1, 3)) for _ in range(axes)]
    x = put(rng.standard_normal((2, *[6, 5][:axes], 3)))
    kernel, mixing = put(rng.standard_normal((*window, 3, 2))), put(rng.standard_normal((*[1] * axes, 6, 4)))

    def channel_by_channel(x: Any, kernel: Any) -> Any:
        one = [ops.conv(x[..., c : c + 1], kernel[..., c : c + 1, :], stride, padding) for c in range(3)]
        return np.concatenate(one, -1)

    check_op(lambda x, k: ops.depthwise_conv(x, k, stride, padding), [x, kernel], oracle=channel_by_channel)
    check_op(
        lambda x, k, mix: ops.separable_conv(x, k, mix, stride, padding),
        [x, kernel, mixing],
        oracle=lambda x, k, mix: channel_by_channel(x, k) @ mix.reshape(6, 4),
    )
    wide = put(rng.standard_normal((2, *[6, 4][:axes], 3)))
    back = put(rng.standard_normal((*window, 3, 2)))  # reads the 2 channels, writes 3
    narrow = put(rng.standard_normal(ops.conv(wide, back, stride, "same").shape))
    check_op(lambda y, k: ops.conv_transpose(y, k, stride, padding), [narrow, back])
    if padding == "same" and all(n % stride == 0 for n in wide.shape[1:-1]):
        there = (ops.conv(wide, back, stride, "same") * narrow).sum()
        again = (wide * ops.conv_transpose(narrow, back, stride, "same")).sum()
        assert float(there) == pytest.approx(float(again), rel=1e-9, abs=1e-9)


def test_in_a_model() -> None:
    """Ops that return several, and those made of others, become part of a graph."""
    x = Input((4,))
    values, where = ops.top_k(x, 2)
    y = ops.concatenate([values, ops.sort(x), ops.cast(where, "float32"), ops.median(x, -1, keepdims=True)], -1)
    z = ops.einsum("ni,nj->nij", y, ops.batch_normalization(x, np.zeros(4), np.ones(4), -1))
    model = Model(x, [y, ops.tril(z), ops.hstack([x, y])])
    data = np.float32([[3, 1, 2, 4], [5, 8, 7, 6], [0, -1, -2, -3]])
    first, second, third = model.predict(data, verbose=0)
    assert first[0].tolist() == [4, 3, 1, 2, 3, 4, 3, 0, 2.5]
    assert second.shape == (3, 9, 4) and third.shape == (3, 13)
    with pytest.raises(UsageError, match="unique"):
        ops.unique(x)


def test_what_does_not_fit_is_refused() -> None:
    x, image = np.zeros((4, 3)), np.zeros((2, 5, 5, 4))
    for wrong, message in (
        (lambda: ops.top_k(x, 4), r"shape \(4, 3\) has no 4 elements"),
        (lambda: ops.in_top_k([1, 2], x, 2), r"targets of shape \(2,\)"),
        (lambda: ops.diag(image), "must be a vector or a matrix"),
        (lambda: ops.tril(x[0]), "tril: the input must have at least two axes"),
        (lambda: ops.trace(x[0]), "trace: the input must have at least two axes"),
        (lambda: ops.einsum("ij,jk->ik", x, x), r'"ij,jk->ik".*\(4, 3\), \(4, 3\)'),
        (lambda: ops.einsum("ijk->i", x), "do not fit the letters"),
        (lambda: ops.slice(x, (1, 1), (2, 3)), r"no block of shape \(2, 3\) begins at \(1, 1\)"),
        (lambda: ops.slice(x, (1,), (2,)), "no block of shape"),
        (lambda: ops.meshgrid(x), "must have one axis"),
        (lambda: ops.vstack([x, x[:, :2]]), "must agree"),
        (lambda: ops.batch_normalization(x, x[0], x[:, 0], -1), r"variance has shape \(4,\), but axis -1"),
        (lambda: ops.batch_normalization(x, x[0], x[0], 2), "axis=2 is none of the axes"),
        (lambda: ops.depthwise_conv(image, np.zeros((3, 4, 2))), r"kernel of shape \(3, 4, 2\) does not fit"),
        (lambda: ops.conv_transpose(image, np.zeros((3, 4, 2))), r"kernel of shape \(3, 4, 2\) does not fit"),
        (lambda: ops.separable_conv(x, image, image), "inputs must have 4 axes"),
    ):
        with pytest.raises(ShapeError, match=message):
            wrong()
    for wrong, message in (
        (lambda: ops.einsum("ij,jk->ik", x), "names 2 arrays, but 1 were given"),
        (lambda: ops.einsum("ii->i", x), "a letter of its own"),
        (lambda: ops.einsum("...i->i", x), "is not understood"),
        (lambda: ops.einsum("ij->ik", x), "only letters that occur"),
        (lambda: ops.meshgrid(x[0], indexing="yx"), 'use "xy" or "ij"'),
        (lambda: ops.moments(x, 0, synchronized=True), "one device"),
        (lambda: ops.conv_transpose(image, image, padding="full"), "padding='full'"),
    ):
        with pytest.raises(UsageError, match=message):
            wrong()
