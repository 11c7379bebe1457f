"""Convolution by strips against the definition in float64: values, errors, and where it is chosen."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from convolving import bits_with_threads, near, near_the_definition, numbers
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from gpudl import config
from gpudl.backend.later import now
from gpudl.backend.numpy import conv2d, strips, winograd
from gpudl.backend.numpy.bands import Bands
from gpudl.backend.numpy.toom_cook import OUT, strip_form
from gpudl.shapes import ConvGeometry

DOWN = [(3, 1), (2, 1), (1, 1), (1, 2), (2, 2), (3, 2), (4, 2), (5, 2), (6, 2), (4, 3), (7, 3)]
ALONG = [(3, 1), (1, 1), (2, 1), (5, 1), (7, 1), (1, 2), (3, 2), (4, 2), (7, 2), (2, 3), (5, 3)]
"""Windows and strides."""


@settings(max_examples=150)
@given(
    batch=st.integers(1, 5),
    size=st.tuples(st.integers(3, 20), st.integers(3, 20)),
    down=st.sampled_from(DOWN),
    along=st.sampled_from(ALONG),
    channels=st.sampled_from([1, 2, 3, 8, 17]),
    filters=st.sampled_from([1, 2, 5, 16]),
    padding=st.sampled_from(["valid", "same", ((1, 0), (2, 1)), 2, ((0, 5), (3, 0)), ((6, 0), (0, 9))]),
    step=st.integers(1, 4),
    block=st.sampled_from([1, 1 << 12, strips.BLOCK]),
    seed=st.integers(0, 2**16),
)
def test_it_is_the_convolution(
    batch: int,
    size: tuple[int, int],
    down: tuple[int, int],
    along: tuple[int, int],
    channels: int,
    filters: int,
    padding: Any,
    step: int,
    block: int,
    seed: int,
) -> None:
    kernel_shape = down[0], along[0], channels, filters
    fits = padding != "valid" or (size[0] >= down[0] and size[1] >= along[0])
    assume(fits and (padding == "same" or min(size) + (0 if padding == "valid" else 1) >= max(down[0], along[0])))
    conv = ConvGeometry.of((batch, *size, channels), kernel_shape, (down[1], along[1]), padding)
    x, kernel, bias, dy = numbers(conv, seed)
    exact = [a.astype("float64") for a in (x, kernel, bias, dy)]
    with_bias = seed % 2 == 1
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(strips, "BLOCK", block)
        patch.setattr(strips, "step_of", lambda _: step)
        strips._plan.cache_clear()
        try:
            found = strips.forward(x, kernel, bias if with_bias else None, conv)
            cut = strips.forward(x, kernel, bias if with_bias else None, conv, relu=True)
            slope = now(strips.begin_kernel_gradient(x, dy, conv))
        finally:
            strips._plan.cache_clear()
    near(found, conv2d.forward(exact[0], exact[1], exact[2] if with_bias else None, conv))
    assert cut.tobytes() == np.maximum(found, 0).tobytes()
    near(slope, conv2d.kernel_gradient(exact[0], exact[3], conv))


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize(
    ("size", "window", "stride", "channels", "filters"),
    [
        (32, 3, 1, 3, 16),
        (32, 3, 1, 16, 16),
        (28, 3, 1, 32, 32),
        (32, 3, 1, 512, 16),
        (32, 3, 2, 16, 32),
        (28, 5, 2, 64, 64),
    ],
)
def test_errors_of_numbers_of_unit_size(
    size: int, window: int, stride: int, channels: int, filters: int, seed: int
) -> None:
    conv = ConvGeometry.of((8, size, size, channels), (window, window, channels, filters), stride, "same")
    assert strips.suits(conv, np.dtype("float32"))
    near_the_definition(conv, 1000 * seed + channels)


def test_where_it_is_chosen(monkeypatch: pytest.MonkeyPatch) -> None:
    def suits(
        size: int = 32, batch: int = 8, kernel: int = 3, channels: int = 16, filters: int = 16, **more: Any
    ) -> bool:
        dtype = np.dtype(more.pop("dtype", "float32"))
        shape = (kernel, kernel, channels // more.get("groups", 1), filters)
        return strips.suits(ConvGeometry.of((batch, size, size, channels), shape, padding="same", **more), dtype)

    assert suits() and suits(channels=32, filters=32) and suits(kernel=5, strides=2)
    assert not suits(kernel=5), "five taps with a stride of 1 have no form"
    row = ConvGeometry.of((8, 32, 32, 16), (1, 3, 16, 16), 1, "same")
    assert not strips.suits(row, np.dtype("float32")), "of windows of one row nothing is transformed"
    assert not suits(dilation_rate=2) and not suits(groups=2) and not suits(dtype="float64")
    assert not suits(channels=64, filters=64), "tiles of both axes make fewer products"
    assert suits(kernel=2, channels=64, filters=64), "which windows of two have not"
    assert not suits(channels=1) and not suits(channels=3, filters=64), "a few taps make a short product"
    assert not suits(size=5, batch=32), "of two strips the second would be mostly empty"
    assert not suits(batch=1, size=8), "so few outputs do not pay for the kernel's transform"
    monkeypatch.setattr(config, "float32_precision", lambda: "highest")
    assert not suits()


def test_it_comes_before_tiles_and_patches(monkeypatch: pytest.MonkeyPatch) -> None:
    conv = ConvGeometry.of((8, 32, 32, 16), (3, 3, 16, 16), 1, "same")
    assert winograd.suits(conv, np.dtype("float32"))
    x, kernel, bias, dy = numbers(conv, 0)
    assert conv2d.forward(x, kernel, bias, conv).tobytes() == strips.forward(x, kernel, bias, conv).tobytes()
    by_strips = now(strips.begin_kernel_gradient(x, dy, conv))
    assert conv2d.kernel_gradient(x, dy, conv).tobytes() == by_strips.tobytes()
    monkeypatch.setattr(strips, "suits", lambda *_: False)
    assert conv2d.forward(x, kernel, bias, conv).tobytes() == winograd.forward(x, kernel, bias, conv).tobytes()


@pytest.mark.parametrize(("window", "stride"), DOWN)
def test_a_form_is_the_convolution_of_a_column(window: int, stride: int) -> None:
    """A^T [(G g) * (B^T d)], of all d and g of one 1: a bilinear map is known by these."""
    form = strip_form(window, stride)
    assert form is not None and form.out == OUT
    inputs, kernels, outputs = (a.astype("float64") for a in (form.inputs, form.kernels, form.outputs))
    found = np.einsum("ob,bi,bt->oit", outputs, inputs, kernels)
    rows = (OUT - 1) * stride + window
    expected = [[[i == stride * o + t for t in range(window)] for i in range(rows)] for o in range(OUT)]
    np.testing.assert_allclose(found, np.array(expected, "float64"), rtol=0, atol=1e-5)


def test_too_many_taps_have_no_form() -> None:
    assert strip_form(4, 1) is None
    assert strip_form(7, 2) is None


def test_arrays_in_any_order_will_do() -> None:
    conv = ConvGeometry.of((4, 16, 16, 8), (3, 3, 8, 8), 1, "same")
    x, kernel, _, dy = numbers(conv, 0)
    turned = [np.asfortranarray(a) for a in (x, kernel, dy)]
    assert strips.forward(turned[0], turned[1], None, conv).tobytes() == strips.forward(x, kernel, None, conv).tobytes()
    slopes = [now(strips.begin_kernel_gradient(a, b, conv)).tobytes() for a, b in ((x, dy), (turned[0], turned[2]))]
    assert slopes[0] == slopes[1]


def test_nothing_is_written_to_but_the_result() -> None:
    conv = ConvGeometry.of((4, 16, 16, 8), (3, 3, 8, 8), 1, "same")
    arrays = numbers(conv, 0)
    for array in arrays:
        array.flags.writeable = False
    x, kernel, bias, dy = arrays
    strips.forward(x, kernel, bias, conv, relu=True)
    now(strips.begin_kernel_gradient(x, dy, conv))


def test_what_others_left_in_the_room_does_no_harm() -> None:
    """The room is shared with whoever worked before, and not all of it is written anew."""
    conv = ConvGeometry.of((5, 14, 14, 8), (3, 3, 8, 8), 1, "same")
    x, kernel, _, dy = numbers(conv, 0)
    made = []
    for value in (np.nan, 7):
        plan = strips._plan(conv, strips.BLOCK)
        room = strips._Workspace.of(plan)
        room.first.fill(value)
        room.second.fill(value)
        y, slope = strips.forward(x, kernel, None, conv), now(strips.begin_kernel_gradient(x, dy, conv))
        made.append(y.tobytes() + slope.tobytes())
    assert made[0] == made[1] and np.isfinite(y).all() and np.isfinite(slope).all()


@given(st.integers(1, 9), st.integers(1, 40), st.integers(0, 200), st.integers(1, 64))
def test_each_strip_is_in_one_block(batch: int, strips: int, at_once: int, filters: int) -> None:
    bands = Bands(ConvGeometry.of((batch, 4 * strips, 8, 1), (3, 3, 1, filters), 1, "same"), strips, at_once)
    found, sizes = [], set()
    for number in range(bands.count):
        images, band = bands.block(number)
        rows = bands.of_band(band)
        sizes.add(images.stop - images.start)
        assert images.stop - images.start <= bands.images and len(rows) <= bands.rows
        assert (images.stop - images.start) * len(rows) <= max(1, at_once)
        found += [(image, row) for image in range(images.start, images.stop) for row in rows]
    assert sorted(found) == [(image, row) for image in range(batch) for row in range(strips)]
    assert max(sizes) - min(sizes) <= 1, "threads get as much each"


def test_bits_do_not_depend_on_the_threads(monkeypatch: pytest.MonkeyPatch) -> None:
    conv = ConvGeometry.of((24, 30, 30, 16), (3, 3, 16, 24), 1, "same")
    assert len(bits_with_threads(monkeypatch, strips, conv, "begin_kernel_gradient")) == 1
