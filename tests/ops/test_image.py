"""Images: resampled one pixel after the other as the docstring has it, and what must hold for any image."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gpudl import ops
from gpudl.errors import ShapeError, UsageError
from gpudl.testing import check_close, check_op

seeds = st.integers(0, 2**16)
MODES = ["reflect", "wrap", "constant", "nearest", "mirror"]


def line(size: int, fill_mode: str, index: int) -> int | None:
    """Which pixel of a line stands at an index outside it, walking there one by one."""
    if 0 <= index < size:
        return index
    if fill_mode == "constant":
        return None
    if fill_mode == "nearest":
        return 0 if index < 0 else size - 1
    forth = list(range(size))
    period = {"wrap": forth, "reflect": forth + forth[::-1], "mirror": forth + forth[-2:0:-1]}[fill_mode]
    return period[index % len(period)]


def resampled(
    images: np.ndarray,
    transform: np.ndarray,
    interpolation: str,
    fill_mode: str,
    fill_value: float,
    data_format: str = "channels_last",
) -> np.ndarray:
    """The same with loops."""
    if data_format == "channels_first":
        last = resampled(images.transpose(0, 2, 3, 1), transform, interpolation, fill_mode, fill_value)
        return last.transpose(0, 3, 1, 2)
    N, H, W, C = images.shape
    result = np.zeros(images.shape)
    for n, y, x in np.ndindex(N, H, W):
        a0, a1, a2, b0, b1, b2, c0, c1 = transform[n].astype(float)
        k = c0 * x + c1 * y + 1
        column, row = (a0 * x + a1 * y + a2) / k, (b0 * x + b1 * y + b2) / k
        corners = []
        for place in (row, column):
            if interpolation == "nearest":
                corners.append([(round(place), 1.0)])
            else:
                share = place - math.floor(place)
                corners.append([(math.floor(place), 1 - share), (math.floor(place) + 1, share)])
        for i, row_weight in corners[0]:
            for j, column_weight in corners[1]:
                source = line(H, fill_mode, i), line(W, fill_mode, j)
                pixel = np.full(C, fill_value) if None in source else images[n, source[0], source[1]]
                result[n, y, x] += row_weight * column_weight * pixel
    return result


@given(
    shape=st.tuples(st.integers(1, 3), st.integers(1, 6), st.integers(1, 6), st.integers(1, 3)),
    interpolation=st.sampled_from(["bilinear", "nearest"]),
    fill_mode=st.sampled_from(MODES),
    fill_value=st.sampled_from([0.0, -1.5, 7.0]),
    data_format=st.sampled_from(["channels_last", "channels_first"]),
    kind=st.sampled_from(["affine", "lines", "projective"]),
    seed=seeds,
)
@settings(max_examples=80)
def test_affine_transform(
    shape: tuple[int, ...],
    interpolation: str,
    fill_mode: str,
    fill_value: float,
    data_format: str,
    kind: str,
    seed: int,
) -> None:
    rng = np.random.default_rng(seed)
    transform = rng.uniform(-2, 2, (shape[0], 8)).astype(np.float32)
    transform[:, 6:] = rng.uniform(0, 0.3, (shape[0], 2)) if kind == "projective" else 0
    if kind == "lines":
        transform[:, [1, 3]] = 0
    shape = (shape[0], shape[3], *shape[1:3]) if data_format == "channels_first" else shape
    check_op(
        ops.affine_transform,
        [rng.standard_normal(shape), transform],
        {
            "interpolation": interpolation,
            "fill_mode": fill_mode,
            "fill_value": fill_value,
            "data_format": data_format,
        },
        oracle=lambda x, t, **s: resampled(x, t, **s),
        differentiate=[0],
        seed=seed,
    )


def test_one_image_and_one_transform() -> None:
    x = np.arange(12, dtype=np.float32).reshape(3, 4, 1)
    to_the_right = np.array([1, 0, -1, 0, 1, 0, 0, 0])
    moved = ops.affine_transform(x, to_the_right, fill_value=-1)
    np.testing.assert_array_equal(moved[..., 0], [[-1, 0, 1, 2], [-1, 4, 5, 6], [-1, 8, 9, 10]])
    np.testing.assert_array_equal(ops.affine_transform(np.stack([x, x]), to_the_right, fill_value=-1)[1], moved)


def test_affine_transform_refuses() -> None:
    x, t = np.zeros((2, 3, 3, 1), np.float32), np.zeros((2, 8))
    with pytest.raises(UsageError, match="fill_mode='zero' is unknown; use 'reflect', 'wrap'"):
        ops.affine_transform(x, t, fill_mode="zero")
    with pytest.raises(UsageError, match="interpolation='bicubic' is unknown; use 'nearest', 'bilinear'"):
        ops.affine_transform(x, t, interpolation="bicubic")
    with pytest.raises(ShapeError, match=r"2 images need transforms of shape \(2, 8\) or \(8,\), not \(3, 8\)"):
        ops.affine_transform(x, np.zeros((3, 8)))
    with pytest.raises(ShapeError, match="images must have 4 axes, or one image 3, but the input has shape"):
        ops.affine_transform(x[0, 0], t)
    with pytest.raises(UsageError, match="data_format='last' is unknown"):
        ops.affine_transform(x, t, data_format="last")


@given(
    shape=st.tuples(*[st.integers(1, 4)] * 4),
    data_format=st.sampled_from(["channels_last", "channels_first"]),
    seed=seeds,
)
@settings(max_examples=40)
def test_flip_images(shape: tuple[int, ...], data_format: str, seed: int) -> None:
    rng = np.random.default_rng(seed)
    horizontal, vertical = rng.random((2, shape[0])) < 0.5
    rows, columns = (2, 3) if data_format == "channels_first" else (1, 2)

    def oracle(x: np.ndarray, **_: Any) -> np.ndarray:
        flipped = [np.flip(one, columns - 1) if flip else one for one, flip in zip(x, horizontal, strict=True)]
        return np.stack([np.flip(one, rows - 1) if flip else one for one, flip in zip(flipped, vertical, strict=True)])

    x = rng.standard_normal(shape)
    how = {"horizontal": horizontal, "vertical": vertical, "data_format": data_format}
    check_op(ops.flip_images, [x], how, oracle=oracle, seed=seed)
    np.testing.assert_array_equal(ops.flip_images(ops.flip_images(x, **how), **how), x)


@given(
    shape=st.tuples(st.integers(1, 2), st.integers(1, 7), st.integers(1, 7), st.integers(1, 3)),
    size=st.tuples(st.integers(1, 9), st.integers(1, 9)),
    interpolation=st.sampled_from(["bilinear", "nearest", "bicubic"]),
    antialias=st.booleans(),
    seed=seeds,
)
@settings(max_examples=60)
def test_resize(shape: tuple[int, ...], size: tuple[int, int], interpolation: str, antialias: bool, seed: int) -> None:
    """Gradients; that equal pixels stay equal; that rows and columns are treated alike. Values: beside Keras."""
    rng = np.random.default_rng(seed)
    x = rng.standard_normal(shape)
    how: dict[str, Any] = {"interpolation": interpolation, "antialias": antialias}
    check_op(ops.resize, [x], {"size": size, **how}, seed=seed)
    y = ops.resize(x, size=size, **how)
    assert y.shape == (shape[0], *size, shape[3])
    check_close("a plain image", ops.resize(np.full(shape, 3.0), size=size, **how), np.full(y.shape, 3.0), 1e-12)
    check_close("turned", ops.resize(x.swapaxes(1, 2), size=size[::-1], **how), y.swapaxes(1, 2), 1e-12)
    first = ops.resize(x.transpose(0, 3, 1, 2), size=size, data_format="channels_first", **how)
    check_close("channels first", first, y.transpose(0, 3, 1, 2), 1e-12)
    check_close("one image", ops.resize(x[0], size=size, **how), y[0], 1e-12)
    check_close("the same size", ops.resize(x, size=shape[1:3], **how), x, 1e-12)


def test_resize_refuses_what_it_does_not_know() -> None:
    with pytest.raises(UsageError, match="interpolation='lanczos3' is unknown; use 'bilinear', 'nearest', 'bicubic'"):
        ops.resize(np.zeros((1, 2, 2, 1)), size=(3, 3), interpolation="lanczos3")
