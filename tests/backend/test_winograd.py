"""Winograd's convolution against the definition in float64: values, errors, and where it is chosen."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from convolving import bits_with_threads, near, near_the_definition, numbers
from hypothesis import given, settings
from hypothesis import strategies as st

from gpudl import config
from gpudl.backend.later import now
from gpudl.backend.numpy import conv2d, strips, winograd
from gpudl.backend.numpy.toom_cook import FIVE, FOUR, TAPS, Form, form_for
from gpudl.shapes import ConvGeometry


@settings(max_examples=60)
@given(
    batch=st.integers(1, 5),
    size=st.tuples(st.integers(3, 20), st.integers(3, 20)),
    channels=st.sampled_from([1, 3, 16, 40]),
    filters=st.sampled_from([1, 2, 16, 33]),
    padding=st.sampled_from(["valid", "same", ((1, 0), (2, 1)), 2, ((0, 5), (3, 0))]),
    block=st.sampled_from([1, 1 << 12, winograd.BLOCK]),
    relu=st.booleans(),
    seed=st.integers(0, 2**16),
)
def test_it_is_the_convolution(
    batch: int, size: tuple[int, int], channels: int, filters: int, padding: Any, block: int, relu: bool, seed: int
) -> None:
    conv = ConvGeometry.of((batch, *size, channels), (3, 3, channels, filters), 1, padding)
    axes = conv.rows, conv.columns
    x, kernel, bias, dy = numbers(conv, seed)
    exact = [a.astype("float64") for a in (x, kernel, bias, dy)]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(winograd, "BLOCK", block)
        found = winograd.forward(x, kernel, bias if seed % 2 else None, conv)
        plain = conv2d.forward(exact[0], exact[1], exact[2] if seed % 2 else None, conv)
        near(found, plain)
        if relu:
            cut = winograd.forward(x, kernel, bias if seed % 2 else None, conv, relu=True)
            assert cut.tobytes() == np.maximum(found, 0).tobytes()
        slope = now(winograd.begin_kernel_gradient(x, dy, conv))
        near(slope, conv2d.kernel_gradient(exact[0], exact[3], conv))
        if all(max(axis.before, axis.after) <= 2 for axis in axes):
            around = tuple((2 - axis.before, 2 - axis.after) for axis in axes)
            turned = ConvGeometry.of(conv.y_shape, (3, 3, filters, channels), 1, around)
            back = np.ascontiguousarray(kernel[::-1, ::-1].swapaxes(2, 3))
            near(winograd.forward(dy, back, None, turned), conv2d.input_gradient(exact[3], exact[1], conv))


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize(
    ("size", "channels", "form"),
    [(28, 16, FOUR), (28, 64, FOUR), (28, 256, FOUR), (14, 16, FIVE), (14, 32, FIVE), (25, 32, FIVE), (14, 33, FOUR)],
)
def test_errors_of_numbers_of_unit_size(
    size: int, channels: int, form: Form, seed: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(strips, "suits", lambda *_: False)
    conv = ConvGeometry.of((8, size, size, channels), (3, 3, channels, 64), 1, "same")
    assert form_for(conv) is form and winograd.suits(conv, np.dtype("float32"))
    near_the_definition(conv, 1000 * seed + channels)


def test_where_it_is_chosen(monkeypatch: pytest.MonkeyPatch) -> None:
    def suits(
        size: int = 16, batch: int = 8, kernel: int = 3, channels: int = 32, dtype: str = "float32", **more
    ) -> bool:
        shape = (kernel, kernel, channels // more.get("groups", 1), 32)
        conv = ConvGeometry.of((batch, size, size, channels), shape, padding="same", **more)
        return winograd.suits(conv, np.dtype(dtype))

    assert suits()
    assert not suits(kernel=5) and not suits(strides=2) and not suits(dilation_rate=2) and not suits(groups=2)
    assert not suits(channels=8) and not suits(dtype="float64")
    assert not suits(size=5, channels=64, batch=32), "tiles of 4x4 would be mostly empty"
    assert suits(size=5, batch=32) and not suits(size=5), "one tile of 5x5 is full"
    assert not suits(batch=1, size=8), "so few tiles do not pay for the kernel's transform"
    monkeypatch.setattr(config, "float32_precision", lambda: "highest")
    assert not suits()


@pytest.mark.parametrize("form", [FOUR, FIVE])
def test_a_form_is_the_convolution_of_a_row(form: Form) -> None:
    """A^T [(G g) * (B^T d)] for one row, of all d and g of one 1: a bilinear map is known by these."""
    inputs, kernels, outputs = (a.astype("float64") for a in (form.inputs, form.kernels, form.outputs))
    found = np.einsum("ob,bi,bt->oit", outputs, inputs, kernels)
    expected = [[[i == o + t for t in range(TAPS)] for i in range(form.read)] for o in range(form.out)]
    np.testing.assert_allclose(found, np.array(expected, "float64"), rtol=0, atol=1e-5)


@given(st.integers(3, 60), st.integers(3, 60), st.sampled_from([16, 32, 33]))
def test_the_form_with_fewer_products_is_chosen(height: int, width: int, channels: int) -> None:
    conv = ConvGeometry.of((2, height, width, channels), (3, 3, channels, 32), 1, "same")
    four, five = (-(-height // m) * -(-width // m) * (m + 2) ** 2 for m in (4, 5))
    assert form_for(conv) is (FIVE if channels <= 32 and five <= 0.9 * four else FOUR)


def test_bits_do_not_depend_on_the_threads(monkeypatch: pytest.MonkeyPatch) -> None:
    conv = ConvGeometry.of((24, 14, 14, 32), (3, 3, 32, 48), 1, "same")
    assert len(bits_with_threads(monkeypatch, winograd, conv, "begin_kernel_gradient")) == 1
