"""Padding, cropping and upsampling, 1-D pooling, layer normalization, noise and embedding: definitions and PyTorch."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from gpudl import ops
from gpudl.autograd import Tensor
from gpudl.errors import ShapeError, UsageError
from gpudl.testing import check_close, check_op

formats = st.sampled_from(["channels_last", "channels_first"])
seeds = st.integers(0, 2**16)


@given(
    axes=st.lists(st.tuples(st.integers(1, 3), st.integers(0, 2), st.integers(0, 2)), min_size=1, max_size=4),
    seed=seeds,
)
@hypothesis_settings(max_examples=60)
def test_zero_padding_and_cropping(put: Any, axes: Any, seed: int) -> None:
    rng = np.random.default_rng(seed)
    small, amounts = tuple(n for n, _, _ in axes), tuple((a, b) for _, a, b in axes)
    large = tuple(n + a + b for n, a, b in axes)
    inside = tuple(slice(a, a + n) for n, a, _ in axes)
    settings = {"amounts": amounts}
    check_op(ops.zero_padding, [put(rng.standard_normal(small))], settings, oracle=lambda x, **_: np.pad(x, amounts))
    check_op(ops.cropping, [put(rng.standard_normal(large))], settings, oracle=lambda x, **_: x[inside])


@pytest.mark.parametrize(
    ("amounts", "message"),
    [(((0, 0), (1, -1)), "at least 0"), (((1, 1),), "each of the 2 axes"), (((0, 0), (1, 2, 3)), r"\(before, after\)")],
)
def test_wrong_amounts_are_refused(amounts: Any, message: str) -> None:
    with pytest.raises(ShapeError, match=message):
        ops.zero_padding(np.zeros((3, 4)), amounts=amounts)


def test_cropping_leaves_something() -> None:
    with pytest.raises(ShapeError, match=r"cropping by \(0, 0\), \(2, 2\) leaves nothing of .*\(3, 4\)"):
        ops.cropping(np.zeros((3, 4)), amounts=((0, 0), (2, 2)))
    assert ops.cropping(np.zeros((0, 4)), amounts=((0, 0), (1, 2))).shape == (0, 1)


@given(
    shape=st.tuples(*[st.integers(1, 4)] * 4),
    size=st.tuples(*[st.integers(1, 4)] * 2),
    interpolation=st.sampled_from(["nearest", "bilinear"]),
    data_format=formats,
    seed=seeds,
)
@hypothesis_settings(max_examples=60)
def test_upsample2d(put: Any, shape: Any, size: Any, interpolation: str, data_format: str, seed: int) -> None:
    """Each output position asks where it lies in the input, and for the two nearest there."""

    def matrix(n: int, factor: int) -> np.ndarray:
        weights = np.zeros((n * factor, n))
        for i in range(n * factor):
            if interpolation == "nearest":
                weights[i, i // factor] = 1
            else:
                place = min(max((i + 0.5) / factor - 0.5, 0), n - 1)
                left = min(int(place), n - 1)
                weights[i, left] += 1 - (place - left)
                weights[i, min(left + 1, n - 1)] += place - left
        return weights

    def oracle(x: np.ndarray, **_: Any) -> np.ndarray:
        sides = "nhwc" if data_format == "channels_last" else "nchw"
        spatial = x.shape[1:3] if data_format == "channels_last" else x.shape[2:]
        a, b = matrix(spatial[0], size[0]), matrix(spatial[1], size[1])
        return np.einsum(f"ph,qw,{sides}->{sides.replace('h', 'p').replace('w', 'q')}", a, b, x)

    x = put(np.random.default_rng(seed).standard_normal(shape))
    settings = {"size": size, "interpolation": interpolation, "data_format": data_format}
    check_op(ops.upsample2d, [x], settings, oracle=oracle, seed=seed)


@pytest.mark.parity
@pytest.mark.parametrize("mode", ["nearest", "bilinear"])
@pytest.mark.parametrize("size", [(2, 2), (1, 3), (5, 4)])
def test_upsample2d_matches_torch(
    torch: Any, same_as_torch: Any, rng: np.random.Generator, mode: str, size: Any
) -> None:
    more = {"align_corners": False} if mode == "bilinear" else {}
    same_as_torch(
        lambda x: ops.upsample2d(x, size=size, interpolation=mode, data_format="channels_first"),
        lambda x: torch.nn.functional.interpolate(x, scale_factor=[float(n) for n in size], mode=mode, **more),
        [rng.standard_normal((3, 4, 7, 5))],
    )


def test_bilinear_keeps_infinity_where_it_is() -> None:
    x = np.zeros((1, 5, 1, 1))
    x[0, 0] = np.inf
    y = ops.upsample2d(x, size=(2, 1), interpolation="bilinear").ravel()
    assert np.isinf(y[:3]).all() and (y[3:] == 0).all()


@given(shape=st.tuples(*[st.integers(1, 4)] * 3), size=st.integers(1, 4), seed=seeds)
@hypothesis_settings(max_examples=30)
def test_repetition(put: Any, shape: Any, size: int, seed: int) -> None:
    x = np.random.default_rng(seed).standard_normal(shape)
    check_op(ops.upsample1d, [put(x)], {"size": size}, oracle=lambda x, size: np.repeat(x, size, axis=1))
    check_op(ops.repeat_vector, [put(x[0])], {"n": size}, oracle=lambda x, n: np.stack([x] * n, axis=1))


def test_upsampling_refuses_what_it_cannot_do() -> None:
    with pytest.raises(UsageError, match='interpolation=\'bicubic\' is not there; use "nearest" or "bilinear"'):
        ops.upsample2d(np.zeros((1, 2, 2, 1)), size=2, interpolation="bicubic")
    with pytest.raises(ShapeError, match=r"4 axes.*\(2, 2\)"):
        ops.upsample2d(np.zeros((2, 2)), size=2)
    with pytest.raises(ShapeError, match=r"size=\(0, 1\)"):
        ops.upsample2d(np.zeros((1, 2, 2, 1)), size=(0, 1))
    with pytest.raises(ShapeError, match=r"3 axes"):
        ops.upsample1d(np.zeros((2, 2)), size=2)
    with pytest.raises(ShapeError, match=r"2 axes"):
        ops.repeat_vector(np.zeros((2, 2, 2)), n=2)


@given(
    shape=st.tuples(st.integers(1, 3), st.integers(1, 9), st.integers(1, 3)),
    window=st.integers(1, 4),
    stride=st.none() | st.integers(1, 4),
    padding=st.sampled_from(["valid", "same"]) | st.integers(0, 1) | st.tuples(*[st.integers(0, 1)] * 2),
    data_format=formats,
    seed=seeds,
)
@hypothesis_settings(max_examples=60)
def test_pools_of_sequences_are_those_of_images_of_one_row(
    put: Any, shape: Any, window: int, stride: Any, padding: Any, data_format: str, seed: int
) -> None:
    first = data_format == "channels_first"
    length = shape[2] if first else shape[1]
    around = (0, 0) if isinstance(padding, str) else (padding, padding) if isinstance(padding, int) else padding
    assume(padding == "same" or (length + sum(around) >= window > max(around)))
    rng = np.random.default_rng(seed)
    x = put(rng.permutation(math.prod(shape)).reshape(shape) / 4)
    settings = {"pool_size": window, "strides": stride, "padding": padding, "data_format": data_format}
    step = window if stride is None else stride
    total = max(0, (-(-length // step) - 1) * step + window - length)
    before, after = (total // 2, total - total // 2) if padding == "same" else around

    def oracle(reduce: Any) -> Any:
        def pooled(x: np.ndarray, **_: Any) -> np.ndarray:
            steps = x.transpose(0, 2, 1) if first else x
            starts = range(-before, length + after - window + 1, step)
            found = [reduce(steps[:, max(0, i) : max(0, i + window)], axis=1) for i in starts]
            y = np.stack(found, axis=1)
            return y.transpose(0, 2, 1) if first else y

        return pooled

    check_op(ops.max_pool1d, [x], settings, oracle=oracle(np.max))
    check_op(ops.average_pool1d, [x], settings, oracle=oracle(np.mean))
    axis = 2 if first else 1
    for keepdims in (False, True):
        more = {"keepdims": keepdims, "data_format": data_format}
        check_op(ops.global_max_pool1d, [x], more, oracle=lambda x, keepdims, **_: x.max(axis, keepdims=keepdims))
        check_op(ops.global_average_pool1d, [x], more, oracle=lambda x, keepdims, **_: x.mean(axis, keepdims=keepdims))


@pytest.mark.parametrize(
    ("shape", "settings", "message"),
    [
        ((1, 3, 2), {"pool_size": 4}, r"pool 4 does not fit into input \(N, 3, 2\)"),
        ((3, 2), {"pool_size": 2}, r"3 axes.*\(3, 2\)"),
        ((1, 5, 2), {"pool_size": (2, 2)}, r"pool_size=\(2, 2\)"),
        ((1, 5, 2), {"pool_size": 2, "strides": 0}, r"strides=0"),
    ],
)
def test_errors_of_pools_name_the_numbers(shape: Any, settings: dict[str, Any], message: str) -> None:
    for op in (ops.max_pool1d, ops.average_pool1d):
        with pytest.raises(ShapeError, match=message):
            op(np.zeros(shape), **settings)


@given(
    shape=st.lists(st.integers(1, 4), min_size=1, max_size=4).map(tuple),
    data=st.data(),
    weighted=st.tuples(st.booleans(), st.booleans()),
    epsilon=st.sampled_from([1e-3, 0.1]),
    seed=seeds,
)
@hypothesis_settings(max_examples=80)
def test_layer_norm_is_its_definition(
    put: Any, shape: Any, data: st.DataObject, weighted: Any, epsilon: float, seed: int
) -> None:
    """Over any axes: first, last, and such as are not neighbours."""
    axes = data.draw(st.lists(st.integers(0, len(shape) - 1), min_size=1, max_size=len(shape), unique=True).map(sorted))
    lengths = tuple(shape[axis] for axis in axes)
    assume(math.prod(lengths) > 2)  # the gradient of fewer is rounding alone
    rng = np.random.default_rng(seed)
    x, gamma, beta = rng.standard_normal(shape), rng.uniform(0.5, 1.5, lengths), rng.uniform(0.5, 1.5, lengths)
    spread = [n if axis in axes else 1 for axis, n in enumerate(shape)]
    over = tuple(axes)

    def oracle(x: np.ndarray, gamma: Any, beta: Any, **_: Any) -> np.ndarray:
        y = (x - x.mean(over, keepdims=True)) / np.sqrt(x.var(over, keepdims=True) + epsilon)
        y = y if gamma is None else y * gamma.reshape(spread)
        return y if beta is None else y + beta.reshape(spread)

    arrays = [put(x), put(gamma) if weighted[0] else None, put(beta) if weighted[1] else None]
    axis = axes[0] if len(axes) == 1 else axes
    check_op(ops.layer_norm, arrays, {"axis": axis, "epsilon": epsilon}, oracle=oracle, seed=seed)


@pytest.mark.parity
@pytest.mark.parametrize("normalized", [1, 2, 3])
def test_layer_norm_matches_torch(torch: Any, same_as_torch: Any, rng: np.random.Generator, normalized: int) -> None:
    shape = (4, 5, 6, 7)
    lengths = shape[-normalized:]
    same_as_torch(
        lambda x, gamma, beta: ops.layer_norm(x, gamma, beta, axis=list(range(-normalized, 0)), epsilon=1e-3),
        lambda x, gamma, beta: torch.nn.functional.layer_norm(x, lengths, gamma, beta, 1e-3),
        [rng.standard_normal(shape), rng.standard_normal(lengths), rng.standard_normal(lengths)],
    )


def test_layer_norm_refuses_what_does_not_fit() -> None:
    x = np.zeros((2, 3, 4))
    for axis in (3, -4, [1, -2], []):
        with pytest.raises(ShapeError, match=r"does not name different axes"):
            ops.layer_norm(x, axis=axis)
    with pytest.raises(ShapeError, match=r"gamma must have shape \(4,\).*has \(3,\)"):
        ops.layer_norm(x, np.ones(3))
    with pytest.raises(ShapeError, match=r"beta must have shape \(3, 4\)"):
        ops.layer_norm(x, None, np.ones(4), axis=(1, 2))


def test_noise_is_the_same_for_the_same_key(put: Any, rng: np.random.Generator) -> None:
    x = put(rng.standard_normal((30, 40)).astype(np.float32))
    for op, settings in ((ops.gaussian_noise, {"stddev": 0.5}), (ops.gaussian_dropout, {"rate": 0.5})):
        first = op(x, key=7, **settings)
        check_close("again", op(x, key=7, **settings), first, 0.0)
        assert abs(op(x, key=8, **settings) - first).max() > 0.1
        check_op(op, [x], {"key": 7, **settings})
    with pytest.raises(UsageError, match="rate=1"):
        ops.gaussian_dropout(x, rate=1, key=0)


@given(
    rows=st.integers(1, 5),
    width=st.integers(1, 3),
    shape=st.lists(st.integers(0, 4), max_size=3).map(tuple),
    kind=st.sampled_from(["int64", "uint8", "float32"]),
    seed=seeds,
)
@hypothesis_settings(max_examples=60)
def test_embedding(put: Any, rows: int, width: int, shape: Any, kind: str, seed: int) -> None:
    rng = np.random.default_rng(seed)
    numbers = np.asarray(rng.integers(0, rows, shape))
    index = put(numbers.astype(kind))
    table = put(rng.standard_normal((rows, width)))
    if math.prod(shape):
        check_op(
            ops.embedding,
            [index, table],
            oracle=lambda index, table: table[index.astype(int)],
            differentiate=[1],
            seed=seed,
        )
    weights = Tensor(table, requires_grad=True)
    ops.embedding(index, weights).backward(put(np.ones((*shape, width))))
    counts = np.bincount(numbers.ravel(), minlength=rows)
    assert weights.grad is not None
    check_close("gradient counts how often each was taken", weights.grad, np.repeat(counts[:, None], width, 1), 0.0)


@pytest.mark.parametrize("index", [[-1, 2], [0, 3], [1.5, -0.5, 9]])
def test_an_index_without_an_embedding_is_refused(index: Any) -> None:
    with pytest.raises(UsageError, match=r"index runs from .*embeddings for 0 to 2; make input_dim larger"):
        ops.embedding(np.array(index), np.zeros((3, 2)))


@given(rows=st.integers(1, 4), seed=seeds)
@hypothesis_settings(max_examples=20)
def test_an_index_without_an_embedding_is_nan_on_the_gpu(cupy: Any, rows: int, seed: int) -> None:
    """There nothing is read back to raise an error. Such a row shows in the loss, and has no gradient."""
    rng = np.random.default_rng(seed)
    index, table = rng.integers(-3, rows + 3, (4, 3)), rng.standard_normal((rows, 2))
    known = (index >= 0) & (index < rows)
    weights = Tensor(cupy.asarray(table), requires_grad=True)
    y = ops.embedding(cupy.asarray(index), weights)
    check_close("rows", y.data, np.where(known[..., None], table[index.clip(0, rows - 1)], np.nan), 0.0)
    y.backward(cupy.asarray(np.ones(y.shape)))
    assert weights.grad is not None
    counts = np.bincount(index[known], minlength=rows)
    check_close("gradient", weights.grad, np.repeat(counts[:, None], 2, 1), 0.0)
