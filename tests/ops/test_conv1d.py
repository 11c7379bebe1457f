"""1-D convolution and its transpose: against loops written here, and PyTorch."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from gpudl import ops
from gpudl.errors import ShapeError
from gpudl.testing import check_op


def padded(x: np.ndarray, padding: Any, window: int, stride: int, dilation: int) -> np.ndarray:
    """x (N, L, C) with its zeros."""
    span, length = (window - 1) * dilation + 1, x.shape[1]
    if padding == "same":
        total = max(0, (-(-length // stride) - 1) * stride + span - length)
        amounts = (total // 2, total - total // 2)
    elif padding == "causal":
        amounts = (span - 1, 0)
    elif padding == "valid":
        amounts = (0, 0)
    else:
        amounts = (padding, padding) if isinstance(padding, int) else padding
    return np.pad(x, ((0, 0), amounts, (0, 0)))


def convolved(x: np.ndarray, kernel: np.ndarray, bias: Any = None, **given: Any) -> np.ndarray:
    """The definition, one output after the other."""
    first = given["data_format"] == "channels_first"
    stride, dilation, groups = given["strides"], given["dilation_rate"], given["groups"]
    x = padded(x.transpose(0, 2, 1) if first else x, given["padding"], len(kernel), stride, dilation)
    steps = (x.shape[1] - (len(kernel) - 1) * dilation - 1) // stride + 1
    depth, each = x.shape[2] // groups, kernel.shape[2] // groups
    y = np.zeros((len(x), steps, kernel.shape[2]))
    for p in range(steps):
        for r in range(len(kernel)):
            for g in range(groups):
                written = slice(g * each, (g + 1) * each)
                y[:, p, written] += x[:, p * stride + r * dilation, g * depth : (g + 1) * depth] @ kernel[r, :, written]
    y = y if bias is None else y + bias
    return y.transpose(0, 2, 1) if first else y


@given(
    sizes=st.tuples(st.integers(1, 2), st.integers(1, 7), st.integers(1, 2), st.integers(1, 2), st.integers(1, 4)),
    groups=st.integers(1, 2),
    stride=st.integers(1, 3),
    dilation=st.integers(1, 3),
    padding=st.sampled_from(["valid", "same", "causal"]) | st.integers(0, 2) | st.tuples(*[st.integers(0, 2)] * 2),
    data_format=st.sampled_from(["channels_last", "channels_first"]),
    biased=st.booleans(),
    seed=st.integers(0, 2**16),
)
@hypothesis_settings(max_examples=60)
def test_conv1d_is_its_definition(
    put: Any,
    sizes: Any,
    groups: int,
    stride: int,
    dilation: int,
    padding: Any,
    data_format: str,
    biased: bool,
    seed: int,
) -> None:
    batch, length, depth, each, window = sizes
    assume(min(stride, dilation) == 1)
    rng = np.random.default_rng(seed)
    x = rng.uniform(0.25, 1.75, (batch, length, groups * depth))
    assume(padded(x, padding, window, stride, dilation).shape[1] >= (window - 1) * dilation + 1)
    x = x.transpose(0, 2, 1).copy() if data_format == "channels_first" else x
    kernel, bias = rng.uniform(0.25, 1.75, (window, depth, groups * each)), rng.uniform(0.25, 1.75, groups * each)
    check_op(
        ops.conv1d,
        [put(x), put(kernel), put(bias) if biased else None],
        {
            "strides": stride,
            "padding": padding,
            "dilation_rate": dilation,
            "groups": groups,
            "data_format": data_format,
        },
        oracle=convolved,
        seed=seed,
    )


@pytest.mark.parity
@given(
    sizes=st.tuples(st.integers(1, 4), st.integers(1, 20), st.integers(1, 5), st.integers(1, 5), st.integers(1, 5)),
    stride=st.integers(1, 4),
    dilation=st.integers(1, 3),
    extra=st.integers(0, 3),
    seed=st.integers(0, 2**16),
)
@hypothesis_settings(max_examples=60)
def test_conv1d_transpose_matches_torch(
    torch: Any, same_as_torch: Any, sizes: Any, stride: int, dilation: int, extra: int, seed: int
) -> None:
    assume(min(stride, dilation) == 1 and extra < stride)
    batch, length, channels, filters, window = sizes
    rng = np.random.default_rng(seed)
    same_as_torch(
        lambda x, kernel, bias: ops.conv1d_transpose(
            x, kernel, bias, strides=stride, dilation_rate=dilation, output_padding=extra, data_format="channels_first"
        ),
        lambda x, kernel, bias: torch.nn.functional.conv_transpose1d(
            x, kernel.permute(2, 1, 0), bias, stride=stride, dilation=dilation, output_padding=extra
        ),
        [
            rng.standard_normal((batch, channels, length)),
            rng.standard_normal((window, filters, channels)),
            rng.standard_normal(filters),
        ],
        seed,
    )


@pytest.mark.parametrize(
    ("x", "kernel", "settings", "message"),
    [
        ((1, 3, 2), (5, 2, 4), {}, r"kernel 5 does not fit into input \(N, 3, 2\).*padding=\"same\""),
        ((1, 5, 2), (3, 2, 4), {"dilation_rate": 3}, r"kernel 3 \(dilated to 7\) does not fit"),
        ((5, 2), (3, 2, 4), {}, r"3 axes, \(batch, steps, channels\), but has shape \(5, 2\)"),
        ((5, 2), (3, 2, 4), {"data_format": "channels_first"}, r"3 axes, \(batch, channels, steps\)"),
        ((1, 5, 2), (3, 2, 4, 1), {}, r"kernel must have 3 axes"),
        ((1, 5, 3), (3, 2, 4), {}, r"reads 2 channels.*has 3"),
        ((1, 5, 2), (3, 2, 4), {"strides": (1, 1)}, r"strides=\(1, 1\)"),
        ((1, 5, 2), (3, 2, 4), {"padding": "full"}, r"padding='full' is unknown"),
    ],
)
def test_errors_name_the_numbers(x: Any, kernel: Any, settings: dict[str, Any], message: str) -> None:
    with pytest.raises(ShapeError, match=message):
        ops.conv1d(np.zeros(x), np.zeros(kernel), **settings)
