"""Transposed convolution: against its definition, central differences and PyTorch."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from gpudl import ops
from gpudl.autograd import Tensor
from gpudl.errors import ShapeError
from gpudl.testing import check_close, check_op

pairs = st.tuples(*[st.integers(1, 3)] * 2)


def spread_out(
    x: np.ndarray, kernel: np.ndarray, bias: Any = None, *, strides: Any, dilation_rate: Any, data_format: str, **_: Any
) -> np.ndarray:
    """The definition without padding: every input position adds the kernel, times its value, to its window."""
    first = data_format == "channels_first"
    x = x.transpose(0, 2, 3, 1) if first else x
    out = [
        (n - 1) * s + max((k - 1) * d + 1, s)
        for n, s, k, d in zip(x.shape[1:3], strides, kernel.shape, dilation_rate, strict=False)
    ]
    y = np.zeros((len(x), *out, kernel.shape[2]))
    for p, q in np.ndindex(*x.shape[1:3]):
        for r, s in np.ndindex(*kernel.shape[:2]):
            place = p * strides[0] + r * dilation_rate[0], q * strides[1] + s * dilation_rate[1]
            y[:, place[0], place[1]] += x[:, p, q] @ kernel[r, s].T
    y = y if bias is None else y + bias
    return y.transpose(0, 3, 1, 2) if first else y


@given(
    shape=st.tuples(st.integers(1, 2), st.integers(1, 4), st.integers(1, 4), st.integers(1, 2)),
    window=pairs,
    filters=st.integers(1, 2),
    strides=pairs,
    dilation=pairs,
    data_format=st.sampled_from(["channels_last", "channels_first"]),
    biased=st.booleans(),
    seed=st.integers(0, 2**16),
)
@hypothesis_settings(max_examples=60)
def test_conv2d_transpose_is_its_definition(
    put: Any,
    shape: Any,
    window: Any,
    filters: int,
    strides: Any,
    dilation: Any,
    data_format: str,
    biased: bool,
    seed: int,
) -> None:
    assume(max(strides) == 1 or max(dilation) == 1)
    rng = np.random.default_rng(seed)
    x = rng.uniform(0.25, 1.75, shape)
    channels = shape[1] if data_format == "channels_first" else shape[3]
    kernel, bias = rng.uniform(0.25, 1.75, (*window, filters, channels)), rng.uniform(0.25, 1.75, filters)
    check_op(
        ops.conv2d_transpose,
        [put(x), put(kernel), put(bias) if biased else None],
        {"strides": strides, "dilation_rate": dilation, "data_format": data_format},
        oracle=spread_out,
        seed=seed,
    )


@given(
    size=pairs,
    window=st.tuples(*[st.integers(1, 4)] * 2),
    strides=pairs,
    padding=st.sampled_from(["valid", "same"]),
    extra=st.none() | st.tuples(*[st.integers(0, 2)] * 2),
    seed=st.integers(0, 2**16),
)
@hypothesis_settings(max_examples=100)
def test_every_size_is_one_that_a_convolution_brings_back(
    put: Any, size: Any, window: Any, strides: Any, padding: str, extra: Any, seed: int
) -> None:
    """Its gradient for x is a convolution from the large image to the small one: <y(x), v> = <x, dx(v)>."""
    assume(extra is None or all(e < s for e, s in zip(extra, strides, strict=True)))
    if extra is not None and padding == "same":
        assume(all((n - 1) * s + k % 2 + e for n, s, k, e in zip(size, strides, window, extra, strict=True)))
    rng = np.random.default_rng(seed)
    x = Tensor(put(rng.standard_normal((2, *size, 3))), requires_grad=True)
    kernel = put(rng.standard_normal((*window, 2, 3)))
    y = ops.conv2d_transpose(x, kernel, strides=strides, padding=padding, output_padding=extra)
    if extra is None:
        expected = [
            n * s if padding == "same" else (n - 1) * s + max(k, s)
            for n, s, k in zip(size, strides, window, strict=True)
        ]
    else:
        ends = [k % 2 if padding == "same" else k for k in window]
        expected = [(n - 1) * s + k + e for n, s, k, e in zip(size, strides, ends, extra, strict=True)]
    assert y.shape == (2, *expected, 2)
    v = put(rng.standard_normal(y.shape))
    y.backward(v)
    assert x.grad is not None
    check_close("<y, v>", (y.data * v).sum(), (x.data * x.grad).sum(), scale=float(abs(y.data * v).sum()) * 1e-5)


@pytest.mark.parity
@given(
    shape=st.tuples(st.integers(1, 3), st.integers(1, 4), st.integers(1, 9), st.integers(1, 9)),
    window=st.tuples(*[st.integers(1, 5)] * 2),
    filters=st.integers(1, 4),
    strides=pairs,
    extra=st.tuples(*[st.integers(0, 2)] * 2),
    seed=st.integers(0, 2**16),
)
@hypothesis_settings(max_examples=60)
def test_conv2d_transpose_matches_torch(
    torch: Any, same_as_torch: Any, shape: Any, window: Any, filters: int, strides: Any, extra: Any, seed: int
) -> None:
    assume(all(e < s for e, s in zip(extra, strides, strict=True)))
    rng = np.random.default_rng(seed)
    same_as_torch(
        lambda x, kernel, bias: ops.conv2d_transpose(
            x, kernel, bias, strides=strides, output_padding=extra, data_format="channels_first"
        ),
        lambda x, kernel, bias: torch.nn.functional.conv_transpose2d(
            x, kernel.permute(3, 2, 0, 1), bias, stride=strides, output_padding=extra
        ),
        [
            rng.standard_normal(shape),
            rng.standard_normal((*window, filters, shape[1])),
            rng.standard_normal(filters),
        ],
        seed,
    )


@pytest.mark.parametrize(
    ("x", "kernel", "settings", "message"),
    [
        ((5, 5, 2), (3, 3, 4, 2), {}, r"4 axes.*\(5, 5, 2\)"),
        ((1, 5, 5, 2), (3, 3, 2, 4), {}, r"\(height, width, filters, channels\) with the 2 channels.*\(3, 3, 2, 4\)"),
        ((1, 5, 5, 2), (3, 3, 4, 2), {"strides": 2, "output_padding": 2}, r"output_padding=2.*smaller than the stride"),
        ((1, 5, 5, 2), (3, 3, 4, 2), {"strides": 2, "dilation_rate": 2}, r"cannot both be larger than 1"),
        ((1, 5, 5, 2), (3, 3, 4, 2), {"padding": "causal"}, r"padding='causal' is unknown"),
        ((1, 1, 1, 2), (2, 2, 4, 2), {"padding": "same", "output_padding": 0}, r"leaves no output"),
    ],
)
def test_errors_name_the_numbers(x: Any, kernel: Any, settings: dict[str, Any], message: str) -> None:
    with pytest.raises(ShapeError, match=message):
        ops.conv2d_transpose(np.zeros(x), np.zeros(kernel), **settings)


def test_the_bias_must_fit() -> None:
    with pytest.raises(ShapeError, match=r"bias must have shape \(4,\)"):
        ops.conv2d_transpose(np.zeros((1, 5, 5, 2)), np.zeros((3, 3, 4, 2)), np.zeros(2))
