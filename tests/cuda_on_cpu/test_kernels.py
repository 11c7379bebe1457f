"""Every kernel through its launcher against its NumPy twin in float64, at small and odd shapes.

Without a GPU the kernels' text runs on the CPU, in three orders of its threads that must give the same bits.
"""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bench.gpu.cases import STEPS
from cuda_on_cpu import compiler, stand_in
from gpudl import config
from gpudl.backend.cupy import choosing, depthwise_tiles, first_layer, launching, precision, transpose
from gpudl.backend.cupy.gather import forward_gather
from gpudl.errors import DeviceError, ShapeError
from gpudl.shapes import ConvGeometry, DepthwiseGeometry, PoolGeometry

TOLERANCE = {"float32": 1e-6, "float64": 1e-14}
seeds = st.integers(0, 2**16)
dtypes = st.sampled_from(["float32", "float64"])


def examples(count: int) -> Any:
    """How many cases are drawn; a third with the sanitizers, which compile slowly."""
    return settings(max_examples=max(5, count // 3) if compiler.SANITIZED else count)


def twin(stem: str, library: str) -> Any:
    return import_module(f"gpudl.backend.{library}.{stem}")


def put(cupy: Any, value: Any) -> Any:
    return cupy.asarray(value) if isinstance(value, np.ndarray) else value


def doubled(value: Any) -> Any:
    return value.astype("float64") if isinstance(value, np.ndarray) and value.dtype.kind == "f" else value


def near(found: Any, expected: np.ndarray, tolerance: float, size: float | None = None) -> None:
    """Compare with an array of the same shape: to `tolerance` of `size` or its largest entry, integers exactly."""
    found, expected = found.get(), np.asarray(expected)
    assert found.shape == expected.shape
    if found.dtype.kind != "f":
        np.testing.assert_array_equal(found, expected)
        return
    size = size or float(np.abs(expected).max(initial=0, where=np.isfinite(expected))) or 1.0
    np.testing.assert_allclose(found, expected, rtol=0, atol=tolerance * size)


def same(cupy: Any, stem: str, name: str, *arguments: Any, tolerance: float | None = None) -> Any:
    """Call both twins; return what the one on the device gave."""
    kind = next(a.dtype.name for a in arguments if isinstance(a, np.ndarray) and a.dtype.kind == "f")
    found = getattr(twin(stem, "cupy"), name)(*(put(cupy, a) for a in arguments))
    expected = getattr(twin(stem, "numpy"), name)(*map(doubled, arguments))
    pairs = zip(found, expected, strict=True) if isinstance(found, tuple) else [(found, expected)]
    for mine, other in pairs:
        if hasattr(mine, "get"):
            assert mine.dtype == kind or mine.dtype.kind != "f"
            near(mine, other, tolerance or TOLERANCE[kind])
    return found


def same_sums(cupy: Any, name: str, *arguments: Any, tolerance: float) -> None:
    """Compare a convolution: to `tolerance` of what its sums would be if no terms cancelled."""
    found = getattr(twin("conv2d", "cupy"), name)(*(put(cupy, a) for a in arguments))
    exact = getattr(twin("conv2d", "numpy"), name)
    sizes = exact(*(np.abs(doubled(a)) if isinstance(a, np.ndarray) else a for a in arguments))
    near(found, exact(*map(doubled, arguments)), tolerance, float(sizes.max()))


def same_batch_norm(cupy: Any, x: Any, gamma: Any, beta: Any, mean: Any, variance: Any, *settings: float) -> None:
    """Compare what the forward pass in training returns and where the moving statistics go; tolerance comes last."""
    results: list[tuple[Any, ...]] = []
    for library, move in (("cupy", lambda a: put(cupy, a)), ("numpy", doubled)):
        moving = move(mean.copy()), move(variance.copy())
        forward = twin("batch_norm", library).forward
        made = forward(*map(move, (x, gamma, beta)), moving, *settings[:2])
        cut = forward(*map(move, (x, gamma, beta)), moving, *settings[:2], relu=True)[0]
        assert (cut == made[0] * (made[0] > 0)).all()
        results.append((*made, *moving))
    for mine, other in zip(*results, strict=True):
        assert mine.dtype == x.dtype
        near(mine, other, settings[2])


def draws(seed: int, dtype: str) -> Any:
    rng = np.random.default_rng(seed)
    return lambda *shape: rng.standard_normal(shape).astype(dtype)


@pytest.fixture
def set_precision() -> Iterator[Any]:
    before = config.float32_precision()
    yield config.set_float32_precision
    config.set_float32_precision(before)


convolutions = st.builds(
    lambda batch, size, window, depth, groups, filters, strides, dilation, padding: (
        (batch, *size, depth * groups),
        (*window, depth, filters * groups),
        strides,
        padding,
        dilation if strides in (1, (1, 1)) else 1,
        groups,
    ),
    batch=st.integers(1, 3),
    size=st.tuples(st.integers(5, 9), st.integers(5, 9)),
    window=st.tuples(st.integers(1, 3), st.integers(1, 3)),
    depth=st.sampled_from([1, 2, 3, 4, 5, 8, 12]),
    groups=st.sampled_from([1, 1, 1, 2, 3]),
    filters=st.sampled_from([1, 3, 4, 8, 12, 33, 40, 70]),
    strides=st.sampled_from([1, 2, 3, (1, 2), (3, 1)]),
    dilation=st.sampled_from([1, 1, 2, (1, 2)]),
    padding=st.sampled_from(["valid", "same", ((1, 0), (2, 1))]),
)


def check_convolution(cupy: Any, case: Any, seed: int, dtype: str, tolerance: float) -> None:
    conv = ConvGeometry.of(*case)
    if config.float32_precision() == "high" and cupy.ndarray is not stand_in.ndarray:
        tolerance = max(tolerance, 4e-6)  # tensor cores cut sums off, where the stand-in rounds them
    normal = draws(seed, dtype)
    x, kernel, bias = normal(*conv.x_shape), normal(*conv.kernel_shape), normal(conv.filters)
    dy = normal(*conv.y_shape)
    same_sums(cupy, "forward", x, kernel, bias if seed % 2 else None, conv, tolerance=tolerance)
    same_sums(cupy, "input_gradient", dy, kernel, conv, tolerance=tolerance)
    same_sums(cupy, "kernel_gradient", x, dy, conv, tolerance=tolerance)


@given(case=convolutions, seed=seeds, dtype=dtypes)
@examples(40)
def test_convolution_in_full_precision(cupy: Any, case: Any, seed: int, dtype: str) -> None:
    before = config.float32_precision()
    config.set_float32_precision("highest")
    try:
        check_convolution(cupy, case, seed, dtype, TOLERANCE[dtype])
    finally:
        config.set_float32_precision(before)


@pytest.mark.parametrize(("word", "tolerance"), [("high", 1e-6), ("medium", 1e-3)])
@given(case=convolutions, seed=seeds)
@examples(15)
def test_convolution_on_tensor_cores(cupy: Any, word: str, tolerance: float, case: Any, seed: int) -> None:
    before = config.float32_precision()
    config.set_float32_precision(word)
    try:
        check_convolution(cupy, case, seed, "float32", tolerance)
    finally:
        config.set_float32_precision(before)


FIRST_LAYERS = [
    ((2, 31, 31, 3), (7, 7, 3, 33), 2, "same", 1, 1),
    ((1, 16, 17, 1), (3, 3, 1, 5), 1, "same", 1, 1),
    ((2, 8, 24, 4), (3, 2, 4, 8), (1, 2), ((1, 0), (2, 1)), 1, 1),
    ((1, 12, 14, 2), (3, 3, 2, 70), 1, "same", (1, 2), 1),
]
POINTWISE = [
    ((2, 7, 9, 8), (1, 1, 8, 12), 1, "same", 1, 1),
    ((1, 5, 5, 12), (1, 1, 6, 8), 1, "valid", 1, 2),
    ((3, 6, 7, 3), (1, 1, 3, 70), 1, "valid", 1, 1),
    ((1, 5, 6, 128), (1, 1, 64, 128), 1, "valid", 1, 2),
]
WHOLE = [
    ((1, 6, 7, 64), (3, 2, 64, 36), 2, "same", 1, 1),
    ((1, 5, 6, 96), (2, 3, 32, 96), 1, "same", 2, 3),
    ((2, 5, 4, 128), (3, 3, 128, 64), (1, 2), ((2, 0), (0, 1)), 1, 1),
]
"""Convolutions whose depth of a tap is whole steps of the main loop."""


PRECISIONS = [
    ("float64", "highest", 1e-14), ("float32", "highest", 1e-6), ("float32", "high", 1e-6), ("float32", "medium", 1e-3),
]  # fmt: skip
WAYS = [
    (case, *way)
    for i, case in enumerate(FIRST_LAYERS + POINTWISE + WHOLE)
    for j, way in enumerate(PRECISIONS)
    if not compiler.SANITIZED or i % 4 == j  # which compile slowly
]


@pytest.mark.parametrize(("case", "dtype", "word", "tolerance"), WAYS)
def test_convolutions_with_a_path_of_their_own(
    cupy: Any, case: Any, dtype: str, word: str, tolerance: float, set_precision: Any
) -> None:
    conv = ConvGeometry.of(*case)
    assert first_layer.suits(conv, 4) == (case in FIRST_LAYERS) and forward_gather(conv).pointwise == (
        case in POINTWISE
    )
    set_precision(word)
    check_convolution(cupy, case, 1, dtype, tolerance)


@pytest.mark.parametrize(("dtype", "tolerance"), [("float16", 6e-4), ("bfloat16", 5e-3)])
@pytest.mark.parametrize("tensor_cores", [True, False])
@given(case=convolutions | st.sampled_from(FIRST_LAYERS + POINTWISE + WHOLE), seed=seeds)
@examples(15)
def test_convolution_of_16_bits(
    cupy: Any, dtype: str, tolerance: float, tensor_cores: bool, case: Any, seed: int
) -> None:
    """Numbers of 16 bits, sums of 32: what is written is rounded once, to half a unit of its last place."""
    kind = getattr(pytest.importorskip("ml_dtypes"), dtype) if dtype == "bfloat16" else np.float16
    conv = ConvGeometry.of(*case)
    normal = draws(seed, "float32")
    shapes = {"x": conv.x_shape, "kernel": conv.kernel_shape, "bias": (conv.filters,), "dy": conv.y_shape}
    given = {name: normal(*shape).astype(kind) for name, shape in shapes.items()}
    there = {name: cupy.asarray(a) for name, a in given.items()}
    exact = {name: a.astype("float64") for name, a in given.items()}
    sizes = {name: np.abs(a) for name, a in exact.items()}
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(precision, "has_tensor_cores", lambda: tensor_cores)
        for name, of in (
            ("forward", ("x", "kernel", "bias")),
            ("input_gradient", ("dy", "kernel")),
            ("kernel_gradient", ("x", "dy")),
        ):
            found = getattr(twin("conv2d", "cupy"), name)(*(there[each] for each in of), conv)
            assert found.dtype == kind
            twin_of = getattr(twin("conv2d", "numpy"), name)
            wanted, size = (twin_of(*(a[each] for each in of), conv) for a in (exact, sizes))
            near(found.astype("float32"), wanted, tolerance, float(size.max()))


def test_the_op_takes_16_bits(cupy: Any) -> None:
    from gpudl import Tensor, ops

    x, kernel = (cupy.asarray(np.ones(shape, "float16")) for shape in ((1, 4, 4, 3), (3, 3, 3, 8)))
    image = Tensor(x, requires_grad=True)
    y = ops.conv2d(image, kernel)
    assert y.dtype == np.float16 and y.data.get().tolist() == np.full((1, 2, 2, 8), 27).tolist()
    y.backward(cupy.asarray(np.ones(y.shape, "float16")))
    assert image.grad.dtype == np.float16 and float(image.grad[0, 0, 0, 0]) == 8
    with pytest.raises(DeviceError, match="takes float32 and float64 arrays, not float16"):
        ops.depthwise_conv2d(x, x[:, :2, :2].reshape(2, 2, 3, 1))


@given(case=convolutions | st.sampled_from(FIRST_LAYERS + POINTWISE), seed=seeds, dtype=dtypes)
@examples(15)
def test_relu_in_the_epilogue(cupy: Any, case: Any, seed: int, dtype: str) -> None:
    conv = ConvGeometry.of(*case)
    normal = draws(seed, dtype)
    x, kernel, bias = (cupy.asarray(normal(*s)) for s in (conv.x_shape, conv.kernel_shape, (conv.filters,)))
    plain, cut = (twin("conv2d", "cupy").forward(x, kernel, bias, conv, relu).get() for relu in (False, True))
    assert cut.tobytes() == np.maximum(plain, 0).tobytes()


def test_convolution_is_its_definition(cupy: Any) -> None:
    """Seven loops, written down once more."""
    conv = ConvGeometry.of((2, 5, 6, 4), (3, 2, 2, 6), (2, 1), "same", 1, 2)
    normal = draws(0, "float64")
    x, kernel = normal(*conv.x_shape), normal(*conv.kernel_shape)
    expected = np.zeros(conv.y_shape)
    for n, p, q, k, r, s, c in itertools.product(
        *map(range, (*conv.y_shape, *conv.kernel_shape[:3])),
    ):
        h, w = p * 2 + r - conv.rows.before, q + s - conv.columns.before
        if 0 <= h < 5 and 0 <= w < 6:
            expected[n, p, q, k] += x[n, h, w, k // 3 * 2 + c] * kernel[r, s, c, k]
    near(twin("conv2d", "cupy").forward(cupy.asarray(x), cupy.asarray(kernel), None, conv), expected, 1e-13)


def test_a_long_sum_is_split(cupy: Any, set_precision: Any) -> None:
    """More positions than one block adds up: the kernel gradient is made in parts, and all of the depth is there."""
    set_precision("highest")
    conv = ConvGeometry.of((3, 24, 24, 5), (3, 3, 5, 6), 1, "same")
    normal = draws(1, "float32")
    same_sums(cupy, "kernel_gradient", normal(*conv.x_shape), normal(*conv.y_shape), conv, tolerance=1e-6)


@given(case=convolutions, seed=seeds)
@examples(40)
def test_depths_that_are_split(cupy: Any, case: Any, seed: int) -> None:
    """As if every depth were long: with strides, too, where no split may leave a place of the result out."""
    before = choosing.FEWEST_STEPS, choosing.JOINING, config.float32_precision()
    choosing.FEWEST_STEPS, choosing.JOINING = 1, 0
    config.set_float32_precision("high")
    choosing.for_gather.cache_clear()
    try:
        check_convolution(cupy, case, seed, "float32", 1e-6)
    finally:
        choosing.FEWEST_STEPS, choosing.JOINING = before[:2]
        config.set_float32_precision(before[2])
        choosing.for_gather.cache_clear()


def test_a_split_gradient_that_strides_do_not_reach(cupy: Any, set_precision: Any) -> None:
    """Of a row of the input nothing is read, so its gradient is 0 and no sum of parts."""
    set_precision("high")
    conv = ConvGeometry.of((1, 2, 2, 3), (1, 3, 3, 96), (3, 1), 2)
    normal = draws(0, "float32")
    same_sums(cupy, "input_gradient", normal(*conv.y_shape), normal(*conv.kernel_shape), conv, tolerance=4e-6)


@pytest.mark.parametrize("relu", [False, True])
@pytest.mark.parametrize("has_bias", [False, True])
def test_a_long_depth_is_split(cupy: Any, set_precision: Any, has_bias: bool, relu: bool) -> None:
    """Too few tiles for the GPU, and a long depth: that is shared out, and bias and ReLU wait for the sum."""
    set_precision("high")
    conv = ConvGeometry.of((2, 5, 4, 72), (3, 3, 72, 40), 1, "same")
    chosen = choosing.for_gather(2 * 5 * 4, 40, 1, 4, precision.products(np.zeros(1, "float32")), 72, 9, 4, "int", True)
    assert chosen.parts > 1 and chosen.parts * chosen.share >= -(-9 * 72 // chosen.tiles.depth)
    normal = draws(2, "float32")
    x, kernel, bias = normal(*conv.x_shape), normal(*conv.kernel_shape), normal(40) * 30 if has_bias else None
    found = twin("conv2d", "cupy").forward(put(cupy, x), put(cupy, kernel), put(cupy, bias), conv, relu)
    exact = twin("conv2d", "numpy").forward(*map(doubled, (x, kernel)), None, conv) + (0 if bias is None else bias)
    near(found, np.maximum(exact, 0) if relu else exact, 4e-6, float(np.abs(exact).max()))
    same_sums(cupy, "input_gradient", normal(*conv.y_shape), kernel, conv, tolerance=4e-6)


@given(shape=st.tuples(st.integers(1, 3), st.integers(1, 70), st.integers(1, 70)), seed=seeds, dtype=dtypes)
@examples(15)
def test_transposed(cupy: Any, shape: tuple[int, int, int], seed: int, dtype: str) -> None:
    x = draws(seed, dtype)(*shape)
    found = transpose.transposed(put(cupy, x))
    assert found.flags.c_contiguous and found.get().tolist() == x.transpose(0, 2, 1).tolist()


def test_more_matrices_than_a_grid_has_blocks(cupy: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(transpose, "MOST", 2)
    x = draws(0, "float32")(3, 4, 5)
    assert transpose.transposed(put(cupy, x)).get().tolist() == x.transpose(0, 2, 1).tolist()


@pytest.mark.parametrize(("word", "close"), [("highest", 4e-6), ("high", 4e-6), ("medium", 2e-3)])
@pytest.mark.parametrize("seed", range(8))
def test_dense(cupy: Any, word: str, close: float, seed: int, set_precision: Any) -> None:
    set_precision(word)
    rng = np.random.default_rng(seed)
    dtype = "float64" if seed == 3 else "float32"
    close = 1e-13 if dtype == "float64" else close
    rows, depth, columns = rng.integers(1, 90), rng.choice([1, 3, 4, 31, 64, 300]), rng.choice([1, 2, 5, 8, 40, 130])
    normal = draws(seed, dtype)
    x, kernel, dy = normal(rows, depth), normal(depth, columns), normal(rows, columns)
    bias, relu = normal(columns) if seed % 3 else None, bool(seed % 2)
    for name, arguments in (("input_gradient", (dy, kernel)), ("kernel_gradient", (x, dy))):
        found = getattr(twin("dense", "cupy"), name)(*(put(cupy, a) for a in arguments))
        exact = getattr(twin("dense", "numpy"), name)
        sizes = exact(*(np.abs(doubled(a)) for a in arguments))
        assert found.dtype == dtype
        near(found, exact(*map(doubled, arguments)), close, float(sizes.max()))
    found = twin("dense", "cupy").forward(*(put(cupy, a) for a in (x, kernel, bias)), relu)
    y = doubled(x) @ doubled(kernel) + (0 if bias is None else bias)
    assert found.dtype == dtype
    near(found, np.maximum(y, 0) if relu else y, close, float((np.abs(doubled(x)) @ np.abs(kernel)).max()) + 1)


def test_arrays_that_begin_anywhere(cupy: Any) -> None:
    """Kernels read 16 bytes at once; a view of another array may begin between two of their multiples."""
    conv, pool = ConvGeometry.of((2, 6, 6, 8), (3, 3, 8, 8), 1, "same"), PoolGeometry.of((2, 6, 6, 8), 2)
    normal = draws(0, "float32")

    def shifted(*shape: int) -> tuple[Any, np.ndarray]:
        values = normal(int(np.prod(shape)) + 1)
        view = cupy.asarray(values)[1:].reshape(shape)
        assert view.data.ptr % launching.WIDEST
        return view, values[1:].reshape(shape).astype("float64")

    (x, exact), (kernel, exact_kernel), (dy, exact_dy) = shifted(2, 6, 6, 8), shifted(3, 3, 8, 8), shifted(2, 6, 6, 8)
    mine, other = twin("conv2d", "cupy"), twin("conv2d", "numpy")
    near(mine.forward(x, kernel, None, conv), other.forward(exact, exact_kernel, None, conv), 1e-5)
    near(mine.input_gradient(dy, kernel, conv), other.input_gradient(exact_dy, exact_kernel, conv), 1e-5)
    near(mine.kernel_gradient(x, dy, conv), other.kernel_gradient(exact, exact_dy, conv), 1e-5)
    near(twin("pool2d", "cupy").max_forward(x, pool)[0], twin("pool2d", "numpy").max_forward(exact, pool)[0], 1e-6)
    near(twin("relu", "cupy").forward(x), np.maximum(exact, 0), 1e-6)
    rows = x.reshape(-1, 8)
    twin("dense", "cupy").finish(rows, None, True)
    near(rows, np.maximum(exact, 0).reshape(-1, 8), 1e-6)


def test_numbers_beyond_32_bits(cupy: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """The kernels for arrays of 2^31 elements and more, on small ones."""
    monkeypatch.setattr(launching, "LARGEST_INT", 10)
    check_convolution(cupy, ((2, 6, 7, 3), (3, 2, 3, 5), 2, "same", 1, 1), 1, "float64", 1e-13)
    normal = draws(0, "float32")
    pool = PoolGeometry.of((2, 7, 9, 5), 3, 2, "same")
    same(cupy, "pool2d", "max_forward", normal(*pool.x_shape), pool)
    same(cupy, "relu", "forward", normal(5, 7))
    same_batch_norm(cupy, normal(50, 7), normal(7), normal(7), normal(7), normal(7), 0.9, 1e-3, 1e-6)
    same(cupy, "dropout", "forward", normal(33, 7), 0.3, 12345, (33, 7))


windows = st.tuples(
    st.tuples(st.integers(1, 3), st.integers(4, 9), st.integers(4, 9), st.integers(1, 6)),
    st.tuples(st.integers(1, 3), st.integers(1, 3)),
    st.none() | st.integers(1, 3),
    st.sampled_from(["valid", "same"]),
)


@given(case=windows, seed=seeds, dtype=dtypes, ties=st.booleans(), nan=st.booleans())
@examples(40)
def test_pooling(cupy: Any, case: Any, seed: int, dtype: str, ties: bool, nan: bool) -> None:
    pool = PoolGeometry.of(*case)
    normal = draws(seed, dtype)
    x, dy = normal(*pool.x_shape), normal(*pool.y_shape)
    same(cupy, "pool2d", "average_forward", x, pool)
    same(cupy, "pool2d", "average_backward", dy, pool)
    x = np.round(x) if ties else x
    if nan:
        x.reshape(-1)[seed % x.size] = np.nan
    _, winner = same(cupy, "pool2d", "max_forward", x, pool)
    same(cupy, "pool2d", "max_backward", dy, winner.get(), pool)


@given(
    shape=st.tuples(st.integers(1, 3), st.integers(1, 60), st.sampled_from([1, 2, 3, 5, 16, 31, 40])),
    seed=seeds,
    dtype=dtypes,
    ties=st.booleans(),
    nan=st.booleans(),
)
@examples(25)
def test_global_pooling(cupy: Any, shape: Any, seed: int, dtype: str, ties: bool, nan: bool) -> None:
    normal = draws(seed, dtype)
    x, dy = normal(*shape), normal(shape[0], shape[2])
    same(cupy, "global_pool", "average", x)
    x = np.round(x) if ties else x
    same(cupy, "global_pool", "largest_backward", dy, x, x.max(axis=1))
    if nan:
        x.reshape(-1)[seed % x.size] = np.nan
    same(cupy, "global_pool", "largest", x)


def test_a_window_of_more_than_255_elements(cupy: Any) -> None:
    pool = PoolGeometry.of((1, 20, 20, 2), 17, 1, "same")
    normal = draws(0, "float32")
    _, winner = same(cupy, "pool2d", "max_forward", normal(*pool.x_shape), pool)
    assert winner.dtype == np.int32
    same(cupy, "pool2d", "max_backward", normal(*pool.y_shape), winner.get(), pool)


@given(
    shape=st.tuples(st.integers(1, 3), st.integers(4, 9), st.integers(4, 9), st.integers(1, 5)),
    window=st.tuples(st.integers(1, 3), st.integers(1, 3)),
    multiplier=st.integers(1, 3),
    strides=st.integers(1, 3),
    dilation=st.integers(1, 2),
    padding=st.sampled_from(["valid", "same"]),
    seed=seeds,
    dtype=dtypes,
)
@examples(30)
def test_depthwise(
    cupy: Any,
    shape: Any,
    window: Any,
    multiplier: int,
    strides: int,
    dilation: int,
    padding: str,
    seed: int,
    dtype: str,
) -> None:
    try:
        conv = DepthwiseGeometry.of(shape, (*window, shape[3], multiplier), strides, padding, dilation)
    except ShapeError:  # the window is larger than the image
        return
    normal = draws(seed, dtype)
    x, kernel, dy = normal(*conv.x_shape), normal(*conv.kernel_shape), normal(*conv.y_shape)
    same(cupy, "depthwise", "forward", x, kernel, normal(conv.y_shape[3]) if seed % 2 else None, conv)
    same(cupy, "depthwise", "input_gradient", dy, kernel, conv)
    same(cupy, "depthwise", "kernel_gradient", x, dy, conv)


@pytest.mark.parametrize("shape", [(1, 4, 4, 3), (4, 20, 20, 4)])
@pytest.mark.parametrize("dtype", ["float32", "float64", "float16"])
def test_kernel_gradients_go_where_they_are_wanted(cupy: Any, shape: Any, dtype: str) -> None:
    """Of one part and of several."""
    conv = ConvGeometry.of(shape, (3, 3, shape[3], 5), 1, "same")
    normal = draws(0, dtype)
    x, dy = (put(cupy, normal(*each)) for each in (conv.x_shape, conv.y_shape))
    convolution, dense = twin("conv2d", "cupy"), twin("dense", "cupy")
    place = cupy.empty(conv.kernel_shape, dtype)
    assert convolution.begin_kernel_gradient(x, dy, conv, place) is place
    assert place.get().tobytes() == convolution.kernel_gradient(x, dy, conv).get().tobytes()
    rows, slopes = x.reshape(-1, shape[3]), dy.reshape(-1, 5)
    place = cupy.empty((shape[3], 5), dtype)
    assert dense.kernel_gradient(rows, slopes, place) is place
    assert place.get().tobytes() == dense.kernel_gradient(rows, slopes).get().tobytes()


@pytest.mark.parametrize("dtype", TOLERANCE)
@pytest.mark.parametrize(("shape", "window", "strides", "padding", "dilation"), [
    ((2, 8, 8, 3), 3, 1, "same", 1),
    ((1, 13, 15, 40), 3, 1, "valid", 1),
    ((2, 16, 15, 36), (5, 2), (2, 1), "same", 1),
    ((1, 8, 9, 33), 3, 1, "same", (1, 2)),
    ((3, 6, 22, 4), (1, 7), (1, 3), ((0, 2), (3, 1)), 1),
])  # fmt: skip
def test_depthwise_by_tiles(
    cupy: Any, dtype: str, shape: Any, window: Any, strides: Any, padding: Any, dilation: Any
) -> None:
    taps = window if isinstance(window, tuple) else (window, window)
    conv = DepthwiseGeometry.of(shape, (*taps, shape[3], 1), strides, padding, dilation)
    assert depthwise_tiles.suits(conv, 4)
    normal = draws(1, dtype)
    x, kernel, dy = normal(*conv.x_shape), normal(*conv.kernel_shape), normal(*conv.y_shape)
    same(cupy, "depthwise", "forward", x, kernel, None, conv)
    same(cupy, "depthwise", "forward", x, kernel, normal(shape[3]), conv)
    same(cupy, "depthwise", "input_gradient", dy, kernel, conv)
    same(cupy, "depthwise", "kernel_gradient", x, dy, conv)


def test_depthwise_gradients_of_several_shares(cupy: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(depthwise_tiles, "multiprocessors", lambda: 1)
    conv = DepthwiseGeometry.of((3, 16, 14, 34), (3, 3, 34, 1), 1, "same")
    normal = draws(0, "float64")
    same(cupy, "depthwise", "kernel_gradient", normal(*conv.x_shape), normal(*conv.y_shape), conv)


@given(rows=st.integers(1, 700), columns=st.sampled_from([1, 3, 31, 32, 33, 70]), seed=seeds, dtype=dtypes)
@examples(25)
def test_rows(cupy: Any, rows: int, columns: int, seed: int, dtype: str) -> None:
    normal = draws(seed, dtype)
    x, dy, gamma, beta = normal(rows, columns) + 3, normal(rows, columns), normal(columns), normal(columns)
    close = 50 * TOLERANCE[dtype]  # what is divided by a deviation, which is small where there are few rows
    same(cupy, "dense", "column_sums", x, tolerance=close)
    some = gamma if seed % 2 else None, beta if seed % 3 else None
    same_batch_norm(cupy, x, *some, normal(columns), normal(columns) ** 2, 0.7, 0.1, close)
    mean, scale = x.mean(axis=0), 1 / np.sqrt(x.var(axis=0) + x.dtype.type(0.1))
    for relu in (False, True):
        same(cupy, "batch_norm", "normalize", x, mean, scale, gamma, None, relu, tolerance=close)
    for training in (True, False):
        same(cupy, "batch_norm", "backward", dy, x, mean, scale, gamma, training, tolerance=close)
    for bias, relu in itertools.product((None, beta), (False, True)):
        done = cupy.asarray(dy)
        twin("dense", "cupy").finish(done, put(cupy, bias), relu)
        total = dy if bias is None else dy + bias
        near(done, np.maximum(total, 0) if relu else total, TOLERANCE[dtype])
    same(cupy, "relu", "backward_and_sum", dy, np.maximum(x - 3, 0), tolerance=close)


@given(
    shape=st.lists(st.integers(1, 9), max_size=3).map(tuple),
    seed=seeds,
    dtype=dtypes,
    rate=st.sampled_from([0.1, 0.5, 1]),
)
@examples(25)
def test_elements(cupy: Any, shape: tuple[int, ...], seed: int, dtype: str, rate: float) -> None:
    normal = draws(seed, dtype)
    x, dy = normal(*shape), normal(*shape)
    x, dy = np.asarray(x, dtype), np.asarray(dy, dtype)
    same(cupy, "relu", "forward", x)
    same(cupy, "relu", "backward", dy, np.asarray(np.maximum(x, 0)))
    key = 2**100 * seed + 12345
    noise_shape = tuple(n if i % 2 else 1 for i, n in enumerate(shape))
    for noise in (shape, noise_shape):
        _, kept = same(cupy, "dropout", "forward", x, rate, key, noise)  # the same bits as NumPy's
        _, wanted = twin("dropout", "numpy").forward(x, rate, key, noise)
        found = twin("dropout", "cupy").backward(put(cupy, dy), rate, kept)
        near(found, twin("dropout", "numpy").backward(dy, rate, wanted), TOLERANCE[dtype])


@pytest.mark.parametrize("name", STEPS)
@given(size=st.sampled_from([1, 31, 256, 1000]), seed=seeds, dtype=dtypes, left_out=st.booleans())
@examples(8)
def test_optimizers(cupy: Any, name: str, size: int, seed: int, dtype: str, left_out: bool) -> None:
    slots, numbers = STEPS[name]
    normal = draws(seed, dtype)
    arrays = [normal(size), normal(size)]
    arrays += [None if s == "?" and left_out else normal(size) if s == "n" else np.abs(normal(size)) for s in slots]
    mine, other = [put(cupy, a) for a in arrays], [doubled(a) for a in arrays]
    getattr(twin("optimizers", "cupy"), name)(*mine, *numbers)
    getattr(twin("optimizers", "numpy"), name)(*other, *numbers)
    for found, expected in zip(mine, other, strict=True):
        if expected is not None:
            near(found, expected, 1e-5 if dtype == "float32" else 1e-13)


@given(size=st.sampled_from([1, 300, 5000]), seed=seeds, dtype=dtypes)
@examples(8)
def test_what_optimizers_share(cupy: Any, size: int, seed: int, dtype: str) -> None:
    normal = draws(seed, dtype)
    for name, arguments in (
        ("scale", (normal(size), 0.3)),
        ("mix", (normal(size), 0.9, normal(size), 0.1)),
        ("clip_value", (normal(size), 0.5)),
        ("clip_norm", (normal(size), 0.5)),
        ("clip_norm", (normal(size), 1e6)),
    ):
        mine = [put(cupy, a.copy()) if isinstance(a, np.ndarray) else a for a in arguments]
        other = [doubled(a.copy()) if isinstance(a, np.ndarray) else a for a in arguments]
        getattr(twin("optimizers", "cupy"), name)(*mine)
        getattr(twin("optimizers", "numpy"), name)(*other)
        near(mine[0], other[0], TOLERANCE[dtype])


@given(rows=st.integers(1, 20), classes=st.integers(2, 70), seed=seeds, dtype=dtypes)
@examples(15)
def test_softmax(cupy: Any, rows: int, classes: int, seed: int, dtype: str) -> None:
    normal = draws(seed, dtype)
    x, dy, t = normal(rows, classes), normal(rows, classes), np.abs(normal(rows, classes))
    labels = np.random.default_rng(seed).integers(0, classes, rows).astype(("int64", "int32", "uint8")[seed % 3])
    p = twin("softmax", "numpy").forward(doubled(x)).astype(dtype)
    close = 20 * TOLERANCE[dtype]
    same(cupy, "softmax", "forward", x, tolerance=close)
    same(cupy, "softmax", "backward", dy, p, tolerance=close)
    same(cupy, "softmax", "picked", p, labels, tolerance=close)
    same(cupy, "softmax", "picked_of_logits", x, labels, tolerance=close)
    same(cupy, "softmax", "crossed_of_logits", x, t, tolerance=close)
    same(cupy, "softmax", "picked_gradient", dy[:, 0].copy(), p, labels, tolerance=close)
    same(cupy, "softmax", "crossed", p, t, tolerance=close)
    same(cupy, "softmax", "crossed_gradient", dy[:, 0].copy(), p, t, tolerance=close)


@given(rows=st.integers(0, 60), depth=st.integers(1, 5), count=st.integers(1, 12), seed=seeds, dtype=dtypes)
@examples(25)
def test_rows_added_up(cupy: Any, rows: int, depth: int, count: int, seed: int, dtype: str) -> None:
    """Rows of one place add up in their order, and places that no row has are 0."""
    values = draws(seed, dtype)(rows, depth)
    places = np.random.default_rng(seed).integers(0, count, rows)
    expected = np.zeros((count, depth))
    for place, row in zip(places, values, strict=True):
        expected[place] += row
    for library, move in (("cupy", cupy.asarray), ("numpy", np.asarray)):
        found = twin("scatter", library).add_rows(move(places), move(values), count)
        assert found.dtype == dtype
        near(cupy.asarray(found), expected, TOLERANCE[dtype], float(np.abs(values).sum(initial=0)) or 1.0)


@pytest.mark.parametrize("size", [1, 33, 700])
def test_running_sums(cupy: Any, size: int) -> None:
    total, count, values = np.array(2.0), np.array(5.0), draws(size, "float32")(size)
    mine = cupy.asarray(total), cupy.asarray(count)
    twin("totals", "cupy").add_values(*mine, cupy.asarray(values), 0.25, 3)
    twin("totals", "numpy").add_values(total, count, values, 0.25, 3)
    assert float(mine[1]) == float(count) == 8
    near(mine[0], total, 1e-14, float(np.abs(values).sum()))


def test_a_type_that_kernels_do_not_take(cupy: Any) -> None:
    with pytest.raises(DeviceError, match="takes float32 and float64 arrays, not int64"):
        twin("softmax", "cupy").forward(cupy.asarray(np.arange(6).reshape(2, 3)))


@pytest.mark.parametrize("kind", ["int8", "uint8", "int16", "int32", "int64"])
def test_integers_that_are_compared_and_chosen(cupy: Any, kind: str) -> None:
    pool = PoolGeometry.of((2, 5, 6, 3), 2, 2, "same")
    x = np.random.default_rng(0).integers(0 if kind == "uint8" else -100, 100, pool.x_shape).astype(kind)
    for stem, name, arguments in (
        ("relu", "forward", (x,)),
        ("global_pool", "largest", (x.reshape(2, -1, 3),)),
        ("pool2d", "max_forward", (x, pool)),
    ):
        found, expected = (getattr(twin(stem, library), name)(move(arguments[0]), *arguments[1:])
                           for library, move in (("cupy", cupy.asarray), ("numpy", np.asarray)))  # fmt: skip
        for mine, other in zip(found, expected, strict=True) if name == "max_forward" else [(found, expected)]:
            assert mine.dtype == other.dtype
            near(mine, other, 0)


def test_ops_on_plain_arrays(cupy: Any) -> None:
    """The way a CuPy user takes: convolution and its two adjoints, <A x, y> = <x, A' y>."""
    from gpudl import ops

    normal = draws(0, "float64")
    x, kernel, y = cupy.asarray(normal(2, 8, 8, 3)), cupy.asarray(normal(3, 3, 3, 4)), cupy.asarray(normal(2, 4, 4, 4))
    settings = {"strides": 2, "padding": "same"}
    there = float((ops.conv2d(x, kernel, **settings) * y).sum())
    back = ops.conv2d_input_gradient(y, kernel, input_shape=x.shape, **settings)
    assert type(back).__module__.startswith("cupy") and there == pytest.approx(float((back * x).sum()))
    slope = ops.conv2d_kernel_gradient(x, y, kernel_size=3, **settings)
    assert there == pytest.approx(float((slope * kernel).sum()))
    with pytest.raises(DeviceError, match="arrays of two libraries"):
        ops.conv2d(x, normal(3, 3, 3, 4))


def test_every_kernel_has_run(cupy: Any, request: pytest.FixtureRequest) -> None:
    """Those that no test above launches would be proved by nobody."""
    here = [item for item in request.session.items if item.path == request.path]
    if cupy.ndarray is not stand_in.ndarray or len(here) < 30:
        pytest.skip("the tests of this file were not all run, or ran on a GPU")
    ran = {(file, name) for file, name, _ in stand_in.launched}
    every = {
        (source.name, name)
        for source in Path(launching.__file__).parent.glob("*.cu")
        for name in re.findall(r"__global__ void (?:__launch_bounds__\([\w, *]+\)\s+)?(\w+)\(", source.read_text())
    }
    assert every and every <= ran, sorted(every - ran)
