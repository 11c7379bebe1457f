"""Window geometry against windows counted one by one."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from gpudl.errors import ShapeError
from gpudl.shapes import ConvGeometry, PoolGeometry, WindowAxis, pair, shown

AMOUNTS = st.sampled_from(["valid", "same"]) | st.tuples(st.integers(0, 6), st.integers(0, 6))


@st.composite
def axes(draw: st.DrawFn) -> tuple[WindowAxis, str | tuple[int, int]]:
    padding = draw(AMOUNTS)
    axis = WindowAxis.of(
        draw(st.integers(1, 20)), draw(st.integers(1, 6)), draw(st.integers(1, 5)), draw(st.integers(1, 4)), padding
    )
    assume(axis.out >= 1)
    return axis, padding


def positions(axis: WindowAxis) -> list[list[int]]:
    """For each window the input positions of its taps, counted from the first real element."""
    first = range(-axis.before, axis.size + axis.after - axis.span + 1, axis.stride)
    return [[start + tap * axis.dilation for tap in range(axis.window)] for start in first]


@given(drawn=axes())
def test_the_windows_that_fit_are_counted(drawn: Any) -> None:
    axis, padding = drawn
    assert axis.out == len(positions(axis))
    assert axis.span == positions(axis)[0][-1] - positions(axis)[0][0] + 1
    assert axis.reach == positions(axis)[-1][-1] - positions(axis)[0][0] + 1
    if padding == "valid":
        assert (axis.before, axis.after) == (0, 0)
        assert axis.out == (axis.size - axis.dilation * (axis.window - 1) - 1) // axis.stride + 1
    elif padding != "same":
        assert (axis.before, axis.after) == padding


@given(drawn=axes())
def test_same_padding_is_the_least_that_does(drawn: Any) -> None:
    """One window for every `stride` inputs, and what is odd goes after."""
    axis, padding = drawn
    assume(padding == "same")
    assert axis.out == len(range(0, axis.size, axis.stride))
    assert axis.after - axis.before in (0, 1)
    needed = (axis.out - 1) * axis.stride + axis.span - axis.size
    assert axis.before + axis.after == max(0, needed)


@given(drawn=axes())
def test_taps_and_counts(drawn: Any) -> None:
    """A tap's two slices pair every window that has it inside the input with the position it reads."""
    axis, _ = drawn
    windows = positions(axis)
    for offset in range(axis.window):
        outputs, inputs = axis.tap(offset)
        read = list(zip(range(axis.out)[outputs], range(axis.size)[inputs], strict=True))
        assert read == [(i, window[offset]) for i, window in enumerate(windows) if 0 <= window[offset] < axis.size]
    assert axis.counts() == [sum(0 <= position < axis.size for position in window) for window in windows]


@pytest.mark.parametrize(
    ("size", "window", "stride", "dilation", "expected"),
    [
        (5, 3, 2, 1, (1, 1, 3)), (6, 3, 2, 1, (0, 1, 3)), (7, 2, 1, 1, (0, 1, 7)), (28, 5, 1, 1, (2, 2, 28)),
        (7, 3, 1, 3, (3, 3, 7)), (9, 1, 4, 1, (0, 0, 3)), (1, 4, 3, 1, (1, 2, 1)),
    ],
)  # fmt: skip
def test_same_padding_by_example(
    size: int, window: int, stride: int, dilation: int, expected: tuple[int, int, int]
) -> None:
    axis = WindowAxis.of(size, window, stride, dilation, "same")
    assert (axis.before, axis.after, axis.out) == expected


def test_a_convolution_knows_its_shapes() -> None:
    conv = ConvGeometry.of((2, 9, 7, 6), (3, 2, 3, 8), (2, 1), "same", 1, 2)
    assert conv.x_shape == (2, 9, 7, 6)
    assert conv.kernel_shape == (3, 2, 3, 8)
    assert conv.y_shape == (2, 5, 7, 8)
    assert (conv.rows.before, conv.rows.after, conv.columns.before, conv.columns.after) == (1, 1, 0, 1)


@given(
    size=st.integers(1, 12), window=st.integers(1, 4), stride=st.integers(1, 4),
    padding=st.sampled_from(["valid", "same", ((0, 1), (0, 0)), ((0, 0), (0, 2)), ((1, 0), (0, 0))]),
)  # fmt: skip
def test_pools_that_tile_exactly_or_lie_apart(size: int, window: int, stride: int, padding: Any) -> None:
    assume(padding == "same" or window <= size)
    assume(isinstance(padding, str) or window > 2)
    pool = PoolGeometry.of((1, size, size, 1), window, stride, padding)
    seen = [sorted(position for taken in positions(axis) for position in taken) for axis in (pool.rows, pool.columns)]
    assert pool.inside == all(min(axis) >= 0 and max(axis) < size for axis in seen)
    assert pool.apart == (pool.inside and all(len(set(axis)) == len(axis) for axis in seen))
    assert pool.tiles_exactly == all(axis == list(range(size)) for axis in seen)
    assert pool.y_shape == (1, pool.rows.out, pool.columns.out, 1)
    assert pool.area == window * window


def test_the_stride_of_a_pool_is_its_window() -> None:
    assert PoolGeometry.of((1, 9, 8, 1), (3, 2)) == PoolGeometry.of((1, 9, 8, 1), (3, 2), (3, 2))


def test_settings_may_be_lists() -> None:
    """TOML and JSON know only lists."""
    lists: list[Any] = [[2, 1], [[1, 0], [0, 2]], [1, 1]]
    conv = ConvGeometry.of((1, 9, 9, 2), (3, 3, 2, 4), *lists)
    assert conv == ConvGeometry.of((1, 9, 9, 2), (3, 3, 2, 4), (2, 1), ((1, 0), (0, 2)), (1, 1))
    lists = [[3, 2], [2, 1], [[1, 0], [0, 1]]]
    pool = PoolGeometry.of((1, 9, 9, 2), *lists)
    assert pool == PoolGeometry.of((1, 9, 9, 2), (3, 2), (2, 1), ((1, 0), (0, 1)))


@pytest.mark.parametrize("value", [0, -1, (1,), (1, 2, 3), (1, 0), True, (1, 2.0), (True, 1)])
def test_a_pair_is_two_integers(value: Any) -> None:
    with pytest.raises(ShapeError) as error:
        pair(value, "strides")
    assert f"strides={value!r}" in str(error.value)


def test_pairs() -> None:
    assert pair(3, "strides") == (3, 3)
    assert pair([2, 1], "strides") == (2, 1)
    assert pair(0, "padding", minimum=0) == (0, 0)


def test_shown() -> None:
    assert shown((None, 28, 28, 1)) == "(N, 28, 28, 1)"
    assert shown((3,)) == "(3,)"
    assert shown(()) == "()"


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (((2, 3, 3, 64), (5, 5, 64, 8)), ["kernel 5x5", "(N, 3, 3, 64)", 'padding="valid"', '"same"']),
        (((2, 9, 3, 1), (2, 2, 1, 1), 1, "valid", (2, 4)), ["kernel 2x2", "dilated to 3x5", "(N, 9, 3, 1)"]),
        (((2, 3, 3, 4), (1, 1, 2, 9), 1, "valid", 1, 2), ["groups=2", "4 input channels", "9 filters"]),
        (((2, 3, 3, 4), (1, 1, 3, 9)), ["(1, 1, 3, 9)", "reads 3 channels", "(2, 3, 3, 4)", "has 4"]),
        (((2, 9, 9, 4), (3, 3, 4, 9), 2, "valid", 2), ["strides=2", "dilation_rate=2"]),
        (((2, 9, 4), (3, 3, 4, 9)), ["4 axes", "(2, 9, 4)"]),
        (((2, 9, 9, 4), (3, 3, 4)), ["4 axes", "(3, 3, 4)"]),
    ],
)
def test_errors_name_the_numbers(arguments: Any, words: list[str]) -> None:
    with pytest.raises(ShapeError) as error:
        ConvGeometry.of(*arguments)
    assert [word for word in words if word not in str(error.value)] == []


@given(
    size=st.integers(1, 8), window=st.integers(1, 5), stride=st.integers(1, 5),
    amounts=st.tuples(st.integers(0, 6), st.integers(0, 6)),
)  # fmt: skip
def test_no_pool_has_a_window_that_sees_only_padding(
    size: int, window: int, stride: int, amounts: tuple[int, int]
) -> None:
    try:
        pool = PoolGeometry.of((1, size, size, 1), window, stride, (amounts, amounts))
    except ShapeError:
        assert max(amounts) >= window or size + sum(amounts) < window
    else:
        assert min(pool.rows.counts()) >= 1
