"""Keras's names for convolution, pooling and cross-entropy: sequences as images of height 1, and what is refused."""

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


@given(
    length=st.integers(1, 4), stride=st.integers(1, 3), dilation=st.integers(1, 3),
    padding=st.sampled_from(["valid", "same"]), seed=st.integers(0, 99),
)  # fmt: skip
@settings(max_examples=40)
def test_conv_of_sequences(put: Any, length: int, stride: int, dilation: int, padding: str, seed: int) -> None:
    """Against the sum written out, for one sample after the other."""
    dilation = dilation if stride == 1 else 1
    rng = np.random.default_rng(seed)
    x, kernel = rng.standard_normal((2, 11, 3)), rng.standard_normal((length, 3, 4))

    def oracle(x: np.ndarray, kernel: np.ndarray, **_: Any) -> np.ndarray:
        span = (length - 1) * dilation + 1
        if padding == "same":
            total = max(0, (-(-11 // stride) - 1) * stride + span - 11)
            x = np.pad(x, ((0, 0), (total // 2, total - total // 2), (0, 0)))
        starts = range(0, x.shape[1] - span + 1, stride)
        return np.stack([np.einsum("nlc,lck->nk", x[:, s : s + span : dilation], kernel) for s in starts], 1)

    settings = {"strides": stride, "padding": padding, "dilation_rate": dilation}
    check_op(ops.conv, [put(x), put(kernel)], settings, oracle=oracle)
    first = put(x.transpose(0, 2, 1).copy())
    y = ops.conv(first, put(kernel), data_format="channels_first", **settings)
    check_close("channels first", y.transpose(0, 2, 1), ops.conv(put(x), put(kernel), **settings), 1e-12)


def test_conv_finds_its_groups(put: Any, rng: np.random.Generator) -> None:
    x, kernel = put(rng.standard_normal((2, 5, 5, 4))), put(rng.standard_normal((3, 3, 2, 6)))
    check_close("conv", ops.conv(x, kernel, 2, "same"), ops.conv2d(x, kernel, strides=2, padding="same", groups=2), 0.0)


def test_pooling_of_sequences(put: Any, rng: np.random.Generator) -> None:
    x = put(rng.standard_normal((2, 7, 3)))

    def windows(x: np.ndarray) -> np.ndarray:
        return np.stack([x[:, start : start + 3] for start in (0, 2, 4)], 1)

    check_op(ops.max_pool, [x], {"pool_size": 3, "strides": 2}, oracle=lambda x, **_: windows(x).max(axis=2))
    settings = {"pool_size": (3,), "strides": (2,)}
    check_op(ops.average_pool, [x], settings, oracle=lambda x, **_: windows(x).mean(axis=2))
    assert ops.max_pool(x, 2, padding="same").shape == (2, 4, 3)
    images = put(rng.standard_normal((2, 6, 5, 3)))
    check_close("images", ops.max_pool(images, (2, 3), 1), ops.max_pool2d(images, pool_size=(2, 3), strides=1), 0.0)


def test_one_hot(put: Any) -> None:
    labels = put(np.array([[0, 2], [5, -1]]))
    y = ops.one_hot(labels, 3)
    assert y.dtype == np.float32
    assert y.tolist() == [[[1, 0, 0], [0, 0, 1]], [[0, 0, 0], [0, 0, 0]]]
    assert ops.one_hot(labels, 3, axis=0, dtype="int32").shape == (3, 2, 2)
    assert ops.one_hot([1, 0], 2).tolist() == [[0, 1], [1, 0]]


@pytest.mark.parametrize("from_logits", [False, True])
def test_cross_entropies_agree(put: Any, rng: np.random.Generator, from_logits: bool) -> None:
    """Labels, the same labels as rows, and both along another axis give one loss, which is -log p by hand."""
    output, labels = rng.integers(1, 16, (4, 3, 5)) / 16, rng.integers(0, 5, (4, 3))
    p = np.exp(output) if from_logits else output
    expected = -np.log(np.take_along_axis(p / p.sum(-1, keepdims=True), labels[..., None], -1))[..., 0]
    rows = ops.one_hot(labels, 5)
    settings = {"from_logits": from_logits}
    for target, name in ((labels, "sparse_categorical_crossentropy"), (rows, "categorical_crossentropy")):
        op = getattr(ops, name)
        check_op(op, [put(target), put(output)], settings, oracle=lambda *_, **__: expected, differentiate=[1])
        moved = target if target is labels else target.transpose(2, 0, 1)
        y = op(put(moved), put(output.transpose(2, 0, 1).copy()), from_logits, 0)
        check_close(f"{name} along axis 0", y, expected, 1e-12)


@pytest.mark.parametrize("from_logits", [False, True])
def test_binary(put: Any, rng: np.random.Generator, from_logits: bool) -> None:
    output, target = rng.integers(1, 16, (4, 3)) / 16, rng.integers(0, 2, (4, 3))
    p = 1 / (1 + np.exp(-output)) if from_logits else output
    expected = -np.log(np.where(target, p, 1 - p))
    arrays = [put(target), put(output)]
    check_op(
        ops.binary_crossentropy,
        arrays,
        {"from_logits": from_logits},
        differentiate=[1],
        oracle=lambda *_, **__: expected,
    )


def test_what_does_not_fit_is_refused() -> None:
    image, flat = np.zeros((2, 5, 5, 4)), np.zeros((2, 5))
    with pytest.raises(ShapeError, match=r"inputs must have 4 axes.*\(2, 5\)"):
        ops.conv(flat, np.zeros((3, 3, 4, 2)))
    with pytest.raises(ShapeError, match=r"a kernel of shape \(3, 4, 2\) does not fit inputs"):
        ops.conv(image, np.zeros((3, 4, 2)))
    with pytest.raises(ShapeError, match="reads 3 channels, of which the 4"):
        ops.conv(image, np.zeros((3, 3, 3, 2)))
    with pytest.raises(UsageError, match="padding='full'"):
        ops.conv(image, np.zeros((3, 3, 4, 2)), padding="full")
    with pytest.raises(ShapeError, match=r"strides=\(1, 2\) must be one integer"):
        ops.max_pool(np.zeros((2, 5, 4)), 2, (1, 2))
    with pytest.raises(ShapeError, match=r"\(2, 3\).*\(2, 5\) must agree"):
        ops.categorical_crossentropy(np.zeros((2, 3)), flat)
    with pytest.raises(ShapeError, match=r"labels of shape \(N,\) do not|labels of shape \(3,\) do not fit"):
        ops.sparse_categorical_crossentropy(np.zeros(3, int), flat)
    assert isinstance(ops.max_pool(Tensor(image), 2), Tensor)
