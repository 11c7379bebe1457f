"""The conformance kit finds what is wrong: each op here breaks one promise."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from gpudl.autograd import Tensor, differentiable
from gpudl.testing import check_close, check_op

X = np.array([[0.5, -1.25, 2.0], [3.0, 0.75, -0.5]])


@differentiable
def good(x: Any, scale: Any = None, *, power: int = 2) -> Any:
    factor = 1.0 if scale is None else scale
    y = factor * x**power
    return y, (lambda dy: dy * factor * power * x ** (power - 1), lambda dy: (dy * x**power).sum(axis=0))


@differentiable
def wrong_gradient(x: Any) -> Any:
    return x**2, lambda dy: dy * x * 2.0001


@differentiable
def wrong_gradient_at_one_position(x: Any) -> Any:
    mistake = np.zeros(x.shape, x.dtype)
    mistake[1, 2] = 1e-3
    return x**2, lambda dy: dy * x * 2 + mistake


@differentiable
def gradient_of_another_shape(x: Any) -> Any:
    return x.sum(axis=0), lambda dy: dy


@differentiable
def gradient_in_double_precision(x: Any) -> Any:
    return x**2, lambda dy: dy * x * np.float64(2)


@differentiable
def no_gradient(x: Any) -> Any:
    return x**2, lambda dy: None


@differentiable
def value_in_double_precision(x: Any) -> Any:
    return x * np.float64(2), lambda dy: dy.astype(x.dtype) * 2


@differentiable
def value_without_digits_in_single_precision(x: Any) -> Any:
    large = np.float32(1e7) if x.dtype == np.float32 else 0
    return (x + large) - large, lambda dy: dy


@differentiable
def gradient_without_digits_in_single_precision(x: Any) -> Any:
    large = np.float32(1e7) if x.dtype == np.float32 else 0
    return x * 1, lambda dy: (dy + large) - large


@differentiable
def changes_its_input(x: Any) -> Any:
    x *= 2
    return x.copy(), lambda dy: dy * 2


@differentiable
def changes_its_input_on_the_way_back(x: Any) -> Any:
    def backward(dy: Any) -> Any:
        gradient = dy * 2 * x
        x[...] = 0
        return gradient

    return x**2, backward


@differentiable
def changes_the_gradient_it_is_given(x: Any) -> Any:
    def backward(dy: Any) -> Any:
        dy *= 2
        return dy.copy()

    return x * 2, backward


def gives_tensors(x: Any) -> Any:
    return Tensor(x) * 2


def gives_plain_arrays(x: Any) -> Any:
    return (x.data if isinstance(x, Tensor) else x) * 2


def gives_another_value_for_tensors(x: Any) -> Any:
    return x * 2 if isinstance(x, Tensor) else x * 2 + 1e-9


def test_an_op_that_keeps_its_promises_passes() -> None:
    check_op(good, [X], oracle=lambda x, **_: x * x)
    check_op(good, [X, np.array([2.0, 3.0, 4.0])], {"power": 3}, oracle=lambda x, scale, power: scale * x**power)
    check_op(good, [X, None])
    check_op(good, [np.arange(6).reshape(2, 3) + X, np.array([1, 2, 3], np.int8)])


@pytest.mark.parametrize(
    ("op", "message"),
    [
        (wrong_gradient, r"wrong_gradient: gradient of argument 0 at \(\d, \d\): backward gives .*central difference"),
        (wrong_gradient_at_one_position, r"gradient of argument 0 at \(1, 2\)"),
        (gradient_of_another_shape, r"argument 0 is float64 of shape \(2, 3\).*gradient is float64 of shape \(3,\)"),
        (gradient_in_double_precision, r"argument 0 is float32.*gradient is float64"),
        (no_gradient, r"argument 0 got no gradient"),
        (value_in_double_precision, r"float32 in gave float64 out"),
        (value_without_digits_in_single_precision, r"value in float32 against float64 at"),
        (gradient_without_digits_in_single_precision, r"gradient of argument 0 in float32 against float64 at"),
        (changes_its_input, r"the forward pass changed argument 0 at"),
        (changes_its_input_on_the_way_back, r"the backward pass changed argument 0 at"),
        (changes_the_gradient_it_is_given, r"the backward pass changed argument 1 at"),
        (gives_tensors, r"plain arrays in gave a Tensor"),
        (gives_plain_arrays, r"Tensors in gave a ndarray"),
        (gives_another_value_for_tensors, r"value from Tensors against plain arrays at"),
    ],
    ids=lambda value: getattr(value, "__name__", ""),
)
def test_a_broken_promise_is_found(op: Callable[..., Any], message: str) -> None:
    with pytest.raises(AssertionError, match=message):
        check_op(op, [X])


def test_the_oracle_is_heard() -> None:
    with pytest.raises(
        AssertionError, match=r"good: value in float64 against the oracle at \(1, 0\): got 9\.0, expected"
    ):
        check_op(good, [X], oracle=lambda x, **_: x**2 * (1 + 1e-8 * (x == 3)))
    with pytest.raises(AssertionError, match=r"got shape \(2, 3\), expected \(6,\)"):
        check_op(good, [X], oracle=lambda x, **_: (x**2).ravel())


def test_only_what_is_asked_for_is_differentiated() -> None:
    with pytest.raises(AssertionError, match="argument 1"):
        check_op(good, [X, np.array(2.0)])  # its way back takes the scale for a row
    check_op(good, [X, np.array(2.0)], differentiate=[0])


def test_a_large_array_is_checked_at_some_entries(monkeypatch: pytest.MonkeyPatch) -> None:
    calls = []

    def counted(x: Any) -> Any:
        calls.append(1)
        return x * x

    check_op(counted, [np.linspace(1, 2, 10_000)])
    assert len(calls) == 2 * 20 + 6


def test_check_close() -> None:
    check_close("equal", np.array([np.inf, -np.inf, np.nan, 1.0]), np.array([np.inf, -np.inf, np.nan, 1.0]), 0.0)
    check_close("near", np.array([1000.0, 1e-3]), np.array([1000.0, 0.0]), 1e-5)
    check_close("empty", np.zeros((0, 3)), np.zeros((0, 3)))
    for got, expected in (
        ([1000.0, 0.02], [1000.0, 0.0]),
        ([np.nan, 1.0], [1.0, 1.0]),
        ([1.0, 1.0], [np.nan, 1.0]),
        ([np.inf, 1.0], [-np.inf, 1.0]),
        ([np.inf, 1.0], [1.0, 1.0]),
    ):
        with pytest.raises(AssertionError, match=r"numbers at \(\d,\): got .*, expected"):
            check_close("numbers", np.array(got), np.array(expected))
    with pytest.raises(AssertionError, match="shape"):
        check_close("shapes", np.zeros(3), np.zeros((3, 1)))
