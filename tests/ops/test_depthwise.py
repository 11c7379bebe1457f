"""Depthwise and separable convolution: against conv2d with as many groups as channels, and PyTorch."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from gpudl import ops
from gpudl.autograd import Tensor
from gpudl.backend.numpy import depthwise as numpy_kernels
from gpudl.backend.numpy import workers
from gpudl.errors import ShapeError
from gpudl.testing import check_close, check_op

pairs = st.tuples(*[st.integers(1, 3)] * 2)


def by_loops(
    x: np.ndarray,
    kernel: np.ndarray,
    bias: Any = None,
    *,
    strides: Any,
    padding: Any,
    dilation_rate: Any,
    data_format: str,
) -> np.ndarray:
    """The definition, one output position after the other."""
    first = data_format == "channels_first"
    x = x.transpose(0, 2, 3, 1) if first else x
    amounts = [(0, 0), (0, 0)]
    for i in (0, 1):
        span = (kernel.shape[i] - 1) * dilation_rate[i] + 1
        if padding == "same":
            n, s = x.shape[1 + i], strides[i]
            total = max(0, (-(-n // s) - 1) * s + span - n)
            amounts[i] = (total // 2, total - total // 2)
        elif padding != "valid":
            amounts[i] = (padding[i], padding[i])
    x = np.pad(x, [(0, 0), *amounts, (0, 0)])
    out = [(x.shape[1 + i] - (kernel.shape[i] - 1) * dilation_rate[i] - 1) // strides[i] + 1 for i in (0, 1)]
    channels, multiplier = kernel.shape[2:]
    y = np.zeros((len(x), *out, channels * multiplier))
    for p, q in np.ndindex(*out):
        for r, s in np.ndindex(*kernel.shape[:2]):
            pixel = x[:, p * strides[0] + r * dilation_rate[0], q * strides[1] + s * dilation_rate[1]]
            for c in range(channels):
                for m in range(multiplier):
                    y[:, p, q, c * multiplier + m] += pixel[:, c] * kernel[r, s, c, m]
    y = y if bias is None else y + bias
    return y.transpose(0, 3, 1, 2) if first else y


@given(
    batch=st.integers(1, 3),
    window=pairs,
    more=st.tuples(*[st.integers(0, 4)] * 2),
    channels=st.integers(1, 3),
    multiplier=st.integers(1, 3),
    strides=pairs,
    dilation=pairs,
    padding=st.sampled_from(["valid", "same"]) | st.tuples(*[st.integers(0, 2)] * 2),
    data_format=st.sampled_from(["channels_last", "channels_first"]),
    biased=st.booleans(),
    block=st.sampled_from([1, 50, numpy_kernels.BLOCK]),
    seed=st.integers(0, 2**16),
)
@hypothesis_settings(max_examples=80)
def test_depthwise_conv2d_is_its_definition(
    put: Any,
    batch: int,
    window: Any,
    more: Any,
    channels: int,
    multiplier: int,
    strides: Any,
    dilation: Any,
    padding: Any,
    data_format: str,
    biased: bool,
    block: int,
    seed: int,
) -> None:
    size = tuple((k - 1) * d + 1 + n for k, d, n in zip(window, dilation, more, strict=True))
    rng = np.random.default_rng(seed)
    shape = (batch, channels, *size) if data_format == "channels_first" else (batch, *size, channels)
    x = rng.uniform(0.25, 1.75, shape)
    kernel = rng.uniform(0.25, 1.75, (*window, channels, multiplier))
    bias = rng.uniform(0.25, 1.75, channels * multiplier)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(numpy_kernels, "BLOCK", block)
        check_op(
            ops.depthwise_conv2d,
            [put(x), put(kernel), put(bias) if biased else None],
            {"strides": strides, "padding": padding, "dilation_rate": dilation, "data_format": data_format},
            oracle=by_loops,
            seed=seed,
        )


@pytest.mark.parity
@given(
    shape=st.tuples(st.integers(1, 9), st.integers(1, 7), st.integers(1, 17), st.integers(1, 17)),
    window=st.tuples(*[st.integers(1, 5)] * 2),
    multiplier=st.integers(1, 3),
    strides=pairs,
    dilation=pairs,
    amount=st.tuples(*[st.integers(0, 2)] * 2),
    seed=st.integers(0, 2**16),
)
@hypothesis_settings(max_examples=80)
def test_depthwise_conv2d_matches_torch(
    torch: Any,
    same_as_torch: Any,
    shape: Any,
    window: Any,
    multiplier: int,
    strides: Any,
    dilation: Any,
    amount: Any,
    seed: int,
) -> None:
    spans = [(k - 1) * d + 1 for k, d in zip(window, dilation, strict=True)]
    assume(all(n + 2 * a >= span for n, a, span in zip(shape[2:], amount, spans, strict=True)))
    rng = np.random.default_rng(seed)
    settings = {"strides": strides, "padding": amount, "dilation_rate": dilation, "data_format": "channels_first"}
    channels = shape[1]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(workers, "SMALL", 0)
        same_as_torch(
            lambda x, kernel, bias: ops.depthwise_conv2d(x, kernel, bias, **settings),
            lambda x, kernel, bias: torch.nn.functional.conv2d(
                x,
                kernel.permute(2, 3, 0, 1).reshape(channels * multiplier, 1, *window),
                bias,
                stride=strides,
                padding=amount,
                dilation=dilation,
                groups=channels,
            ),
            [
                rng.standard_normal(shape),
                rng.standard_normal((*window, channels, multiplier)),
                rng.standard_normal(channels * multiplier),
            ],
            seed,
        )


@pytest.mark.parametrize("shape", [(1, 1, 1, 1), (67, 13, 11, 3), (2, 96, 64, 32), (33, 28, 28, 1)])
@pytest.mark.parametrize("strides", [1, 2])
def test_large_ones_equal_grouped_convolution(put: Any, rng: np.random.Generator, shape: Any, strides: int) -> None:
    """Several blocks and threads, values and gradients."""
    x, kernel = rng.standard_normal(shape), rng.standard_normal((3, 3, shape[3], 1))
    results = []
    for op, weights, more in (
        (ops.depthwise_conv2d, kernel, {}),
        (ops.conv2d, kernel.reshape(3, 3, 1, -1), {"groups": shape[3]}),
    ):
        a, b = Tensor(put(x), requires_grad=True), Tensor(put(weights), requires_grad=True)
        y = op(a, b, strides=strides, padding="same", **more)
        y.backward(put(np.random.default_rng(1).standard_normal(y.shape)))
        assert a.grad is not None and b.grad is not None
        results.append((y.data, a.grad, b.grad.reshape(3, 3, -1)))
    for name, got, expected in zip(("y", "dx", "dkernel"), *results, strict=True):
        check_close(name, got, expected, 1e-12)


def test_separable_conv2d_is_two_convolutions(put: Any, rng: np.random.Generator) -> None:
    def oracle(x: np.ndarray, depthwise: np.ndarray, pointwise: np.ndarray, bias: np.ndarray, **given: Any) -> Any:
        return by_loops(x, depthwise, data_format="channels_last", **given) @ pointwise[0, 0] + bias

    shapes = [(2, 5, 4, 3), (2, 3, 3, 2), (1, 1, 6, 4), (4,)]
    settings = {"strides": (2, 1), "padding": "same", "dilation_rate": (2, 1)}
    check_op(ops.separable_conv2d, [put(rng.uniform(0.5, 1.5, s)) for s in shapes], settings, oracle=oracle)


def test_an_empty_batch_goes_through(put: Any) -> None:
    x, kernel = Tensor(put(np.zeros((0, 6, 5, 2))), True), Tensor(put(np.ones((3, 3, 2, 2))), True)
    y = ops.depthwise_conv2d(x, kernel, strides=2)
    assert y.shape == (0, 2, 2, 4)
    y.backward(put(np.zeros(y.shape)))
    assert x.grad is not None and x.grad.shape == x.shape
    assert kernel.grad is not None and kernel.grad.shape == kernel.shape and not kernel.grad.any()


@pytest.mark.parametrize(
    ("x", "kernel", "message"),
    [
        ((1, 3, 3, 2), (5, 5, 2, 1), r"5x5 does not fit into input \(N, 3, 3, 2\)"),
        ((5, 5, 2), (3, 3, 2, 1), r"4 axes.*\(5, 5, 2\)"),
        ((1, 5, 5, 3), (3, 3, 2, 1), r"channels of the input of shape \(1, 5, 5, 3\).*\(3, 3, 2, 1\)"),
        ((1, 5, 5, 2), (3, 3, 2), r"kernel must have 4 axes"),
    ],
)
def test_errors_name_the_numbers(x: Any, kernel: Any, message: str) -> None:
    with pytest.raises(ShapeError, match=message):
        ops.depthwise_conv2d(np.zeros(x), np.zeros(kernel))


def test_the_bias_must_fit() -> None:
    with pytest.raises(ShapeError, match=r"bias must have shape \(4,\)"):
        ops.depthwise_conv2d(np.zeros((1, 5, 5, 2)), np.zeros((3, 3, 2, 2)), np.zeros(2))
