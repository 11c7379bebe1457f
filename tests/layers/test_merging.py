"""Layers that make one tensor of several, against NumPy; their errors; and that they are differentiable."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from gpudl import Input, Model, Tensor, layers
from gpudl.errors import ShapeError, UsageError
from gpudl.testing import check_close

ELEMENTWISE: list[tuple[type[layers.Layer], Callable[..., Any], Callable[..., Any]]] = [
    (layers.Add, layers.add, lambda *x: sum(x)),
    (layers.Multiply, layers.multiply, lambda *x: np.prod(np.broadcast_arrays(*x), axis=0)),
    (layers.Average, layers.average, lambda *x: sum(x) / len(x)),
    (layers.Maximum, layers.maximum, lambda *x: np.max(np.broadcast_arrays(*x), axis=0)),
    (layers.Minimum, layers.minimum, lambda *x: np.min(np.broadcast_arrays(*x), axis=0)),
]


def arrays(*shapes: tuple[int, ...], seed: int = 0) -> list[np.ndarray]:
    rng = np.random.default_rng(seed)
    return [rng.standard_normal(shape).astype(np.float32) for shape in shapes]


@pytest.mark.parametrize(("layer", "function", "oracle"), ELEMENTWISE, ids=[c.__name__ for c, _, _ in ELEMENTWISE])
@pytest.mark.parametrize(
    ("shapes", "level"),
    [
        ([(2, 3), (2, 3)], [(2, 3), (2, 3)]),
        ([(2, 4, 5, 3)] * 3, [(2, 4, 5, 3)] * 3),
        ([(2, 3), (2, 1)], [(2, 3), (2, 1)]),
        ([(2, 4, 5, 3), (2, 3)], [(2, 4, 5, 3), (2, 1, 1, 3)]),
        ([(2, 3), (2, 4, 3), (2, 1)], [(2, 1, 3), (2, 4, 3), (2, 1, 1)]),
        ([(2, 3)], [(2, 3)]),
    ],
)
def test_elementwise(layer: Any, function: Any, oracle: Any, shapes: Any, level: Any) -> None:
    given = arrays(*shapes)
    expected = oracle(*(x.reshape(shape) for x, shape in zip(given, level, strict=True)))
    check_close("layer", layer()(given), expected)
    check_close("function", function(given), expected)
    assert layer().compute_output_shape([(None, *s[1:]) for s in shapes]) == (None, *expected.shape[1:])
    symbolic = [Input(shape[1:]) for shape in shapes]
    output = function(symbolic)
    assert output.shape == (None, *expected.shape[1:])
    check_close("in a model", Model(symbolic, output).predict(given, verbose=0), expected)


def test_subtract() -> None:
    a, b = arrays((2, 3), (2, 3))
    check_close("layer", layers.Subtract()([a, b]), a - b)
    check_close("function", layers.subtract([a, b]), a - b)


@pytest.mark.parametrize("axis", [1, 2, 3, -1, -2, -3])
def test_concatenate(axis: int) -> None:
    shapes = [[2, 4, 5, 3], [2, 4, 5, 3], [2, 4, 5, 3]]
    for i, shape in enumerate(shapes):
        shape[axis] = i + 1
    given = arrays(*(tuple(shape) for shape in shapes))
    expected = np.concatenate(given, axis=axis)
    np.testing.assert_array_equal(layers.Concatenate(axis=axis)(given), expected)
    np.testing.assert_array_equal(layers.concatenate(given, axis=axis), expected)
    assert layers.Concatenate(axis).compute_output_shape([(None, *s[1:]) for s in shapes]) == (
        None,
        *expected.shape[1:],
    )


@pytest.mark.parametrize(
    ("shapes", "axes", "subscripts"),
    [
        ([(2, 3), (2, 3)], 1, "na,na->n"),
        ([(2, 3), (2, 3)], -1, "na,na->n"),
        ([(2, 3, 4), (2, 3, 5)], 1, "nab,nac->nbc"),
        ([(2, 3, 4), (2, 5, 4)], 2, "nba,nca->nbc"),
        ([(2, 3, 4), (2, 4, 5)], (2, 1), "nba,nac->nbc"),
        ([(2, 3, 4), (2, 4)], (2, 1), "nba,na->nb"),
        ([(2, 4), (2, 3, 4)], (-1, -1), "na,nba->nb"),
        ([(2, 3, 5, 4), (2, 6, 4)], -1, "nbca,nda->nbcd"),
        ([(2, 3, 5, 4), (2, 3, 2, 6)], (1, 1), "nabc,nade->nbcde"),
    ],
)
@pytest.mark.parametrize("normalize", [False, True])
def test_dot(shapes: Any, axes: Any, subscripts: str, normalize: bool) -> None:
    given = arrays(*shapes)
    unit = list(given)
    if normalize:
        both = (axes, axes) if isinstance(axes, int) else axes
        unit = [x / np.linalg.norm(x, axis=axis, keepdims=True) for x, axis in zip(given, both, strict=True)]
    expected = np.einsum(subscripts, *unit)
    if expected.ndim == 1:
        expected = expected[:, None]
    layer = layers.Dot(axes=axes, normalize=normalize)
    check_close("layer", layer(given), expected)
    check_close("function", layers.dot(given, axes=axes, normalize=normalize), expected)
    assert layer.compute_output_shape([(None, *s[1:]) for s in shapes]) == (None, *expected.shape[1:])
    assert type(layer).from_config(layer.get_config()).get_config() == layer.get_config()


def test_normalized_vectors_of_length_0_stay_0() -> None:
    zeros = np.zeros((2, 3), np.float32)
    np.testing.assert_array_equal(layers.Dot(1, normalize=True)([zeros, zeros]), np.zeros((2, 1)))


@pytest.mark.parametrize(
    "layer",
    [
        layers.Add(),
        layers.Subtract(),
        layers.Multiply(),
        layers.Average(),
        layers.Maximum(),
        layers.Minimum(),
        layers.Concatenate(),
        layers.Concatenate(axis=1),
        layers.Dot(axes=2),
        layers.Dot(axes=1, normalize=True),
    ],
    ids=str,
)
def test_gradients_are_those_of_small_differences(layer: layers.Layer) -> None:
    rng = np.random.default_rng(1)
    given = [rng.standard_normal((2, 3, 3)) for _ in range(2)]
    layer.dtype = "float64"
    tensors = [Tensor(x.copy(), requires_grad=True) for x in given]
    y = layer(tensors)
    dy = rng.standard_normal(y.shape)
    y.backward(dy)
    for which, x in enumerate(given):
        expected = np.zeros_like(x)
        for at in np.ndindex(x.shape):
            values = []
            for step in (1e-6, -1e-6):
                moved = [g.copy() for g in given]
                moved[which][at] += step
                values.append((layer(moved) * dy).sum())
            expected[at] = (values[0] - values[1]) / 2e-6
        grad = tensors[which].grad
        assert grad is not None
        np.testing.assert_allclose(grad, expected, atol=1e-7)


def test_equal_entries_share_the_gradient() -> None:
    x = Tensor(np.ones((1, 2), np.float32), requires_grad=True)
    y = Tensor(np.ones((1, 2), np.float32), requires_grad=True)
    layers.Maximum()([x, y]).sum().backward()
    for part in (x, y):
        assert part.grad is not None
        np.testing.assert_array_equal(part.grad, [[0.5, 0.5]])


A = Input((3,))


@pytest.mark.parametrize(
    ("call", "says"),
    [
        (lambda: layers.Add(name="sum")(A), r'Add "sum": takes a list of inputs, as in Add\(\)\(\[a, b\]\)'),
        (lambda: layers.Concatenate()(A), r"takes a list of inputs"),
        (lambda: layers.Subtract()([A, A, A]), "takes exactly 2 inputs, but was called on 3"),
        (lambda: layers.Dot(1)([A]), "takes exactly 2 inputs, but was called on 1"),
        (lambda: layers.Add(name="sum")([A, Input((4,))]), r'Add "sum": .*\(N, 3\), \(N, 4\) do not fit together'),
        (lambda: layers.Concatenate()([A, Input((4, 3))]), r"\(N, 3\), \(N, 4, 3\) must agree but for axis -1"),
        (lambda: layers.Concatenate(axis=1)([Input((2, 3)), Input((2, 4))]), "must agree but for axis 1"),
        (lambda: layers.Concatenate(axis=2)([A, A]), r"axis=2 is no axis of a sample"),
        (lambda: layers.Concatenate(axis=0)([A, A]), r"axis=0 is no axis of a sample"),
        (lambda: layers.Dot(axes=1)([A, Input((4,))]), "have different lengths, 3 and 4"),
        (lambda: layers.Dot(axes=2)([A, A]), "axes=2 is no axis of a sample"),
        (lambda: layers.Add()([A, layers.Dense(3, name="d")]), r'was called on Dense "d", a layer'),
    ],
)
def test_misfits_are_named(call: Any, says: str) -> None:
    with pytest.raises((ShapeError, UsageError), match=says):
        call()


@pytest.mark.parametrize("axes", [1.5, (1,), (1, 2, 3), (1, "2"), None])
def test_axes_that_are_none(axes: Any) -> None:
    with pytest.raises(UsageError, match=r"axes must be an integer or two integers"):
        layers.Dot(axes=axes)
