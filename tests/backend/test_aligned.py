"""Arrays that begin at a line of the cache."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gpudl import Input, Sequential, layers
from gpudl.autograd import Tensor
from gpudl.backend.numpy import aligned

SHAPES = st.lists(st.integers(0, 40), max_size=4).map(tuple)
TYPES = st.sampled_from(["float32", "float64", "uint8", "int32", "bool"])


@given(SHAPES, TYPES)
def test_arrays_are_as_numpy_makes_them(shape: tuple[int, ...], dtype: Any) -> None:
    for made, wanted in (
        (aligned.zeros(shape, dtype), np.zeros(shape, dtype)),
        (aligned.full(shape, 1, dtype), np.ones(shape, dtype)),
        (aligned.empty_like(np.zeros(shape, dtype).T), np.empty(shape[::-1], dtype)),
    ):
        assert (made.shape, made.dtype, made.strides) == (wanted.shape, wanted.dtype, wanted.strides)
        assert made.flags.writeable and made.flags.c_contiguous
    np.testing.assert_array_equal(aligned.zeros(shape, dtype), np.zeros(shape, dtype))
    np.testing.assert_array_equal(aligned.full(shape, 1, dtype), np.ones(shape, dtype))


@given(st.integers(aligned.SMALL // 4, 1 << 18))
def test_large_ones_begin_at_a_line(size: int) -> None:
    assert aligned.empty((size,), np.float32).ctypes.data % aligned.LINE == 0


def test_what_layers_hand_on_and_optimizers_keep_begins_at_a_line() -> None:
    made: list[Any] = []

    class Seen(layers.Layer):
        def call(self, x: Any) -> Any:
            if isinstance(x, Tensor):
                made.append(x.data)
            return x

    parts = [layers.Conv2D(32, 3), layers.BatchNormalization(), layers.ReLU(), layers.MaxPooling2D(), layers.Flatten()]
    model = Sequential([Input((20, 20, 8)), *(x for part in parts for x in (part, Seen())), layers.Dense(256)])
    model.compile("adam", "mse")
    x = np.random.default_rng(0).normal(size=(32, 20, 20, 8)).astype("float32")
    model.fit(x, x[:, :16, :16, 0].reshape(32, 256), verbose=0)
    large = [a for a in made if a.nbytes >= aligned.SMALL]
    assert len(large) >= 5
    slots = [*model.optimizer._slots.values(), model.optimizer._weights, model.optimizer._gradients]
    assert [a.ctypes.data % aligned.LINE for a in [*large, *slots]] == [0] * (len(large) + 4)


@pytest.mark.parametrize("weight", range(4))
def test_each_weight_begins_at_a_line(weight: int) -> None:
    model = Sequential([Input((37,)), layers.Dense(301), layers.Dense(3)])
    model.compile("sgd", "mse")
    model.fit(np.ones((4, 37), "float32"), np.ones((4, 3), "float32"), verbose=0)
    assert model.weights[weight].data.ctypes.data % aligned.LINE == 0
