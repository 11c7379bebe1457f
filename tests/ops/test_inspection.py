"""What an array says of itself, and what the tape is not to know."""

from __future__ import annotations

import numpy as np

import gpudl
from gpudl import ops
from gpudl.autograd import Tensor


def test_shapes_of_arrays_tensors_lists_and_symbols() -> None:
    x = np.zeros((2, 3), "float32")
    for one in (x, Tensor(x), x.tolist()):
        assert (ops.shape(one), ops.ndim(one), ops.size(one)) == ((2, 3), 2, 6)
    symbol = gpudl.Input((3,))
    assert (ops.shape(symbol), ops.ndim(symbol), ops.size(symbol)) == ((None, 3), 2, None)
    assert ops.is_tensor(x) and ops.is_tensor(Tensor(x)) and not ops.is_tensor([1.0])


def test_stop_gradient() -> None:
    x = Tensor(np.array([1.0, 2.0, 3.0], "float32"), requires_grad=True)
    y = ops.sum(x * ops.stop_gradient(ops.square(x)))
    y.backward()
    assert x.grad is not None
    np.testing.assert_array_equal(x.grad, [1.0, 4.0, 9.0])


def test_closeness() -> None:
    assert ops.isclose(np.array([1.0, 2.0]), np.array([1.0, 2.1])).tolist() == [True, False]
    assert bool(ops.allclose([1.0], [1.0 + 1e-7])) and not bool(ops.allclose([1.0], [1.1]))
