"""Depthwise convolution by strips against the definition in float64: values, errors, and where it is chosen."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from convolving import bits_with_threads, near, numbers
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from gpudl import config
from gpudl.backend.numpy import depthwise, depthwise_strips
from gpudl.shapes import DepthwiseGeometry

ONE = np.dtype("float32")


@settings(max_examples=150)
@given(
    batch=st.integers(1, 6),
    size=st.tuples(st.integers(3, 21), st.integers(5, 20)),
    columns=st.integers(1, 5),
    dilation=st.integers(1, 2),
    channels=st.sampled_from([1, 2, 3, 8, 17]),
    padding=st.sampled_from(["valid", "same", ((1, 0), (2, 1)), 2, ((0, 5), (3, 0)), ((6, 0), (0, 9))]),
    block=st.sampled_from([1, 1 << 10, 1 << 12, depthwise_strips.BLOCK]),
    worth=st.sampled_from([1, depthwise_strips.WORTH]),
    seed=st.integers(0, 2**16),
)
def test_it_is_the_convolution(
    batch: int,
    size: tuple[int, int],
    columns: int,
    dilation: int,
    channels: int,
    padding: Any,
    block: int,
    worth: int,
    seed: int,
) -> None:
    wide = size[1] + (0 if padding == "valid" else 3)
    assume(padding == "same" or (columns - 1) * dilation < wide)
    conv = DepthwiseGeometry.of((batch, *size, channels), (3, columns, channels, 1), 1, padding, (1, dilation))
    x, kernel, bias, dy = numbers(conv, seed)
    exact = [a.astype("float64") for a in (x, kernel, bias, dy)]
    with_bias = seed % 2 == 1
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(depthwise_strips, "BLOCK", block)
        patch.setattr(depthwise_strips, "WORTH", worth)
        depthwise_strips._plan.cache_clear()
        try:
            found = depthwise_strips.forward(x, kernel, bias if with_bias else None, conv)
            slope = depthwise_strips.kernel_gradient(x, dy, conv)
        finally:
            depthwise_strips._plan.cache_clear()
    near(found, depthwise.forward(exact[0], exact[1], exact[2] if with_bias else None, conv))
    near(slope, depthwise.kernel_gradient(exact[0], exact[3], conv))


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize(("size", "channels"), [(56, 64), (28, 256), (14, 512), (7, 1024), (112, 32)])
def test_errors_of_numbers_of_unit_size(size: int, channels: int, seed: int) -> None:
    conv = DepthwiseGeometry.of((4, size, size, channels), (3, 3, channels, 1), 1, "same")
    assert depthwise_strips.suits(conv, ONE)
    x, kernel, _, dy = numbers(conv, 1000 * seed + channels)
    kernel /= np.float32(3)
    exact = [a.astype("float64") for a in (x, kernel, dy)]
    near(depthwise.forward(x, kernel, None, conv), depthwise.forward(exact[0], exact[1], None, conv))
    near(depthwise.input_gradient(dy, kernel, conv), depthwise.input_gradient(exact[2], exact[1], conv))
    near(depthwise.kernel_gradient(x, dy, conv), depthwise.kernel_gradient(exact[0], exact[2], conv))


def test_where_it_is_chosen(monkeypatch: pytest.MonkeyPatch) -> None:
    def suits(size: int = 32, window: Any = (3, 3), multiplier: int = 1, dtype: str = "float32", **more: Any) -> bool:
        shape = (2, size, size, 8), (*window, 8, multiplier)
        return depthwise_strips.suits(DepthwiseGeometry.of(*shape, padding="same", **more), np.dtype(dtype))

    assert suits() and suits(window=(3, 5)) and suits(size=14) and suits(size=7)
    assert suits(dilation_rate=(1, 2)) and not suits(dilation_rate=(2, 1))
    assert not suits(window=(5, 3)) and not suits(window=(1, 3)), "only windows of three rows have the form"
    assert not suits(multiplier=2) and not suits(strides=2) and not suits(strides=(1, 2)) and not suits(dtype="float64")
    assert not suits(size=5), "of two strips the second would be mostly empty"
    monkeypatch.setattr(config, "float32_precision", lambda: "highest")
    assert not suits()


def test_it_comes_before_the_definition(monkeypatch: pytest.MonkeyPatch) -> None:
    conv = DepthwiseGeometry.of((3, 16, 16, 8), (3, 3, 8, 1), 1, "same")
    x, kernel, bias, dy = numbers(conv, 0)
    made = depthwise_strips.forward(x, kernel, bias, conv), depthwise_strips.kernel_gradient(x, dy, conv)
    assert depthwise.forward(x, kernel, bias, conv).tobytes() == made[0].tobytes()
    assert depthwise.kernel_gradient(x, dy, conv).tobytes() == made[1].tobytes()
    back = conv.turned()
    assert back is not None
    slope = depthwise_strips.forward(dy, np.ascontiguousarray(kernel[::-1, ::-1]), None, back)
    assert depthwise.input_gradient(dy, kernel, conv).tobytes() == slope.tobytes()
    monkeypatch.setattr(depthwise_strips, "suits", lambda *_: False)
    assert depthwise.forward(x, kernel, bias, conv).tobytes() != made[0].tobytes()


def test_arrays_in_any_order_will_do() -> None:
    conv = DepthwiseGeometry.of((3, 16, 16, 8), (3, 3, 8, 1), 1, "same")
    x, kernel, _, dy = numbers(conv, 0)
    a, b, c = (np.asfortranarray(each) for each in (x, kernel, dy))
    assert (
        depthwise_strips.forward(a, b, None, conv).tobytes()
        == depthwise_strips.forward(x, kernel, None, conv).tobytes()
    )
    slopes = [depthwise_strips.kernel_gradient(*each, conv).tobytes() for each in ((x, dy), (a, c))]
    assert slopes[0] == slopes[1]


def test_nothing_is_written_to_but_the_result() -> None:
    conv = DepthwiseGeometry.of((3, 16, 16, 8), (3, 3, 8, 1), 1, "same")
    arrays = numbers(conv, 0)
    for array in arrays:
        array.flags.writeable = False
    x, kernel, bias, dy = arrays
    depthwise_strips.forward(x, kernel, bias, conv)
    depthwise_strips.kernel_gradient(x, dy, conv)


def test_what_others_left_in_the_room_does_no_harm() -> None:
    """The room is shared with whoever worked before, and not all of it is written anew."""
    conv = DepthwiseGeometry.of((5, 14, 14, 8), (3, 3, 8, 1), 1, "same")
    x, kernel, _, dy = numbers(conv, 0)
    made = []
    for value in (np.nan, 7):
        room = depthwise_strips._Workspace.of(depthwise_strips._plan(conv, depthwise_strips.BLOCK))
        room.first.fill(value)
        room.second.fill(value)
        y, slope = depthwise_strips.forward(x, kernel, None, conv), depthwise_strips.kernel_gradient(x, dy, conv)
        made.append(y.tobytes() + slope.tobytes())
    assert made[0] == made[1] and np.isfinite(y).all() and np.isfinite(slope).all()


def test_bits_do_not_depend_on_the_threads(monkeypatch: pytest.MonkeyPatch) -> None:
    conv = DepthwiseGeometry.of((24, 30, 30, 40), (3, 3, 40, 1), 1, "same")
    assert len(bits_with_threads(monkeypatch, depthwise_strips, conv, "kernel_gradient")) == 1
