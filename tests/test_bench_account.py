"""Accounts of what a step and a pooling are made of: it is what gpudl computes, to the bit. Nothing is timed here."""

from __future__ import annotations

import multiprocessing
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from bench.cpu import bare, clocked_run, pooling, whole_account
from bench.cpu.turns import environment
from gpudl.backend.numpy import pool2d
from gpudl.shapes import PoolGeometry


def elsewhere(function: Callable[..., Any], *arguments: Any) -> Any:
    """Call it in a process of its own: arrays are noted from where NumPy makes them."""
    with environment(GPUDL_NUM_THREADS="1"), multiprocessing.get_context("spawn").Pool(1) as pool:
        return pool.apply(function, arguments)


@pytest.mark.parametrize(("network", "products"), [("mlp64", 8), ("digits", 40)])
def test_all_calls_of_a_step_are_noted(network: str, products: int) -> None:
    """`calls_of` itself compares the gradients of the calls, made again, with the step's."""
    calls = elsewhere(bare.counted, network, 4)
    assert calls["matmul"] >= products
    assert calls["multiply"] and calls["empty"] and calls["__getitem__"]


def but_assignments() -> None:
    del bare.Noted.__setitem__
    bare.calls_of("digits", 4)


def test_a_call_that_is_missing_is_noticed() -> None:
    with pytest.raises(AssertionError, match="a call is missing"):
        elsewhere(but_assignments)


def make_twice(network: str) -> None:
    again = bare.made_again(network, 4, [kind for kind in bare.ADDED if kind != "views"])
    again()
    again()


def test_calls_can_be_made_again_and_again() -> None:
    elsewhere(make_twice, "mlp64")


def test_each_call_is_of_one_kind() -> None:
    names = "matmul", "einsum", "maximum", "__setitem__", "repeat", "empty", "reshape"
    assert [bare.kind_of(name) for name in names] == ["products", *["loops"] * 2, *["copies"] * 2, "room", "views"]
    assert set(bare.KINDS) < set(bare.ADDED)
    assert bare.ways("digits", 4)[-1].arguments[2] == bare.ADDED, "in the end all are made"


@pytest.mark.parametrize("make", [pooling.passes, pooling.tap_by_tap])
def test_passes_of_pooling_are_those_of_pooling(make: Callable[..., Callable[[], None]]) -> None:
    shape = 2, 6, 4, 3
    call = make(shape, 1, 2, *pooling.PASSES) if make is pooling.passes else make(shape, 1)
    inner = [cells(part) for part in cells(call).values() if callable(part)]
    arrays = {name: value for part in (*inner, cells(call)) for name, value in part.items()}
    x, y, dy, dx = (arrays.get(name, arrays.get(f"of_{name}")) for name in ("x", "y", "dy", "dx"))
    assert x is not None and y is not None and dy is not None and dx is not None
    y.fill(np.nan)
    dx.view(np.uint8).fill(255)
    call()
    pool = PoolGeometry.of(shape, 2)
    expected, winner = pool2d.max_forward(x.view(np.float32).reshape(shape), pool)
    np.testing.assert_array_equal(y, expected)
    np.testing.assert_array_equal(dx.view(np.float32).reshape(shape), pool2d.max_backward(dy, winner, pool))


def cells(function: Callable[..., Any]) -> dict[str, Any]:
    """What a function has of those around it."""
    values = [cell.cell_contents for cell in function.__closure__ or ()]
    return dict(zip(function.__code__.co_freevars, values, strict=True))


@pytest.mark.parametrize("shape", [(128, 28, 28, 32), (128, 16, 16, 64), (8, 4, 4, 2)])
def test_ways_of_pooling_are_made_of_the_whole_batch(shape: pooling.Shape) -> None:
    for way in pooling.ways(shape):
        if way.make is pooling.passes:
            (images, *_), at_once, again = way.arguments[:3]
            assert images % at_once == 0 and way.processes * images * again == shape[0]
        if way.make is pooling.tap_by_tap:
            (images, *_), at_once = way.arguments
            assert images % at_once == 0 and way.processes * images == shape[0]


def test_times_are_joined() -> None:
    one = {"way": "a", "wall": 2.0, "caller": 1.0, "others": 0.0, "ratio": 1.0, "quickest": 1.5}
    one |= {"faults": 2.0, "rests": 0.0}
    other = {"way": "a", "wall": 4.0, "caller": 3.0, "others": 0.0, "ratio": 2.0, "quickest": 1.0}
    other |= {"faults": 4.0, "rests": 1.0}
    times = [[one | {"half of the ratios": [0.5, 1.5]}], [other | {"half of the ratios": [1.5, 2.5]}]]
    assert pooling.joined(times) == [
        {"way": "a", "wall": 3.0, "caller": 2.0, "others": 0.0, "ratio": 1.5, "quickest": 1.0}
        | {"faults": 3.0, "rests": 0.5, "half of the ratios": [1.0, 2.0]}
    ]


def test_parts_of_a_run_are_all_of_it() -> None:
    parts = whole_account.parts_of_a_run(epochs=1)
    whole = parts.pop("all")
    assert sum(parts.values()) == pytest.approx(whole) and min(parts.values()) > 0
    assert {"the first two steps", "the other steps", "validation", clocked_run.BETWEEN} < parts.keys()
    assert parts["the other steps"] > parts["the first two steps"], "39 steps and two"


def test_the_median_of_each_part() -> None:
    runs = [{"a": 1.0, "all": 9.0}, {"a": 3.0, "all": 5.0}, {"a": 2.0, "all": 7.0}]
    assert whole_account.medians(runs) == {"a": 2.0, "all": 7.0}
