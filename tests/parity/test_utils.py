"""Utilities beside Keras's."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gpudl import utils

pytestmark = pytest.mark.parity


@settings(max_examples=150)
@given(
    sequences=st.lists(st.lists(st.integers(-9, 9), max_size=7), max_size=5),
    arguments=st.fixed_dictionaries(
        {},
        optional={
            "maxlen": st.integers(1, 8) | st.none(),
            "dtype": st.sampled_from(["int32", "float32", "int64"]),
            "padding": st.sampled_from(["pre", "post"]),
            "truncating": st.sampled_from(["pre", "post"]),
            "value": st.integers(-3, 3),
        },
    ),
)
def test_pad_sequences(
    keras: Any, score: Callable[..., Any], sequences: list[list[int]], arguments: dict[str, Any]
) -> None:
    try:
        expected = keras.utils.pad_sequences(sequences, **arguments)
    except ValueError:  # no sequence at all, of which the longest is sought
        return
    with score("util", "pad_sequences"):
        found = utils.pad_sequences(sequences, **arguments)
        assert found.dtype == expected.dtype
        np.testing.assert_array_equal(found, expected)


def test_pad_sequences_refuses_what_keras_refuses(keras: Any) -> None:
    for of in (keras.utils, utils):
        for sequences, arguments in (
            ([[1], 2], {}),
            ([[1]], {"padding": "left"}),
            ([[1]], {"truncating": "left"}),
            ([[[1, 2]], [[1, 2, 3]]], {}),
        ):
            with pytest.raises(ValueError):
                of.pad_sequences(sequences, **arguments)
