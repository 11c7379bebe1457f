"""Pooling: against windows cut out one by one, central differences and PyTorch."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from gpudl import ops
from gpudl.autograd import Tensor
from gpudl.backend.numpy import pool_planes, pool_taps
from gpudl.errors import ShapeError, UsageError
from gpudl.shapes import PoolGeometry
from gpudl.testing import check_close, check_op


@dataclass
class Case:
    """A pooling that fits, and the padding it comes to."""

    shape: tuple[int, int, int, int]
    window: tuple[int, int]
    strides: tuple[int, int] | None
    padding: Any
    seed: int
    data_format: str
    block: int
    in_order: bool = False
    """Whether NumPy is to take images apart in the order of memory, as it does large ones."""

    @property
    def settings(self) -> dict[str, Any]:
        settings = {"pool_size": self.window, "padding": self.padding, "data_format": self.data_format}
        return settings if self.strides is None else {**settings, "strides": self.strides}

    @contextmanager
    def cut(self) -> Iterator[None]:
        """Have NumPy take such blocks in such an order."""
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(pool_planes, "BLOCK", self.block)
            patch.setattr(pool_taps, "BLOCK", self.block)
            if self.in_order:
                patch.setattr(pool_planes, "LARGE", 0)
                patch.setattr(pool_planes, "LINE", 0)
            yield

    @property
    def steps(self) -> tuple[int, int]:
        return self.strides or self.window

    @property
    def amounts(self) -> list[tuple[int, int]]:
        if self.padding == "valid":
            return [(0, 0), (0, 0)]
        if self.padding != "same":
            return [(amount, amount) if isinstance(amount, int) else amount for amount in self.padding]
        totals = [
            max(0, (-(-size // stride) - 1) * stride + window - size)
            for size, stride, window in zip(self.shape[1:3], self.steps, self.window, strict=True)
        ]
        return [(total // 2, total - total // 2) for total in totals]

    @property
    def out(self) -> tuple[int, int]:
        rows, columns = (
            (self.shape[1 + i] + sum(self.amounts[i]) - self.window[i]) // self.steps[i] + 1 for i in (0, 1)
        )
        return rows, columns

    def windows(self, x: np.ndarray) -> list[tuple[tuple[int, int], list[tuple[int, int]]]]:
        """For each output its position and the positions it reads, in row-major order."""
        (top, _), (left, _) = self.amounts
        found = []
        for p, q in np.ndindex(*self.out):
            rows = [p * self.steps[0] - top + r for r in range(self.window[0])]
            columns = [q * self.steps[1] - left + s for s in range(self.window[1])]
            inside = [(r, s) for r in rows for s in columns if 0 <= r < self.shape[1] and 0 <= s < self.shape[2]]
            found.append(((p, q), inside))
        return found

    def values(self, distinct: bool = True) -> np.ndarray:
        """Images without ties, or full of them."""
        rng = np.random.default_rng(self.seed)
        count = int(np.prod(self.shape))
        numbers = rng.permutation(count) / 8 - count / 16 if distinct else rng.integers(-1, 2, count).astype(float)
        return self.laid_out(numbers.reshape(self.shape))

    def laid_out(self, images: np.ndarray) -> np.ndarray:
        first = self.data_format == "channels_first"
        return np.ascontiguousarray(images.transpose(0, 3, 1, 2)) if first else images

    def images(self, x: np.ndarray) -> np.ndarray:
        return x.transpose(0, 2, 3, 1) if self.data_format == "channels_first" else x

    def reduced(self, x: np.ndarray, reduce: Any) -> np.ndarray:
        images = self.images(x)
        y = np.empty((self.shape[0], *self.out, self.shape[3]))
        for (p, q), inside in self.windows(images):
            y[:, p, q] = reduce(np.stack([images[:, r, s] for r, s in inside]), axis=0)
        return self.laid_out(y)


@st.composite
def cases(draw: st.DrawFn, large: bool = False) -> Case:
    window = draw(st.tuples(*[st.integers(1, 4)] * 2))
    rows, columns = (st.integers(0, n - 1) for n in window)
    padding = draw(
        st.sampled_from(["valid", "same", "same"])
        | st.tuples(rows, columns)
        | st.tuples(st.tuples(rows, rows), st.tuples(columns, columns))
    )
    size = st.integers(1, 13 if large else 6)
    case = Case(
        shape=draw(st.tuples(st.integers(1, 3), size, size, st.integers(1, 5 if large else 2))),
        window=window,
        strides=draw(st.none() | st.tuples(*[st.integers(1, 4)] * 2)),
        padding=padding,
        seed=draw(st.integers(0, 2**16)),
        data_format=draw(st.sampled_from(["channels_last", "channels_first"])),
        block=draw(st.sampled_from([1, 100, pool_taps.BLOCK])),
        in_order=draw(st.booleans()),
    )
    assume(min(case.out) >= 1)
    return case


def torch_pool(torch: Any, case: Case, x: Any, kind: str) -> Any:
    """PyTorch's pooling on a padded copy; an average over real elements is a sum over x by a sum over ones."""
    functional = torch.nn.functional
    x = x if case.data_format == "channels_first" else x.permute(0, 3, 1, 2)
    rows, columns = case.amounts

    def pooled(images: Any, pool: Any, value: float, **settings: Any) -> Any:
        padded = functional.pad(images, (*columns, *rows), value=value)
        return pool(padded, case.window, stride=case.steps, **settings)

    if kind == "max":
        y = pooled(x, functional.max_pool2d, -np.inf)
    else:
        total = pooled(x, functional.avg_pool2d, 0.0, divisor_override=1)
        y = total / pooled(torch.ones_like(x), functional.avg_pool2d, 0.0, divisor_override=1)
    return y if case.data_format == "channels_first" else y.permute(0, 2, 3, 1)


@given(case=cases())
def test_max_pool2d_is_its_definition(put: Any, case: Case) -> None:
    with case.cut():
        check_op(
            ops.max_pool2d, [put(case.values())], case.settings,
            oracle=lambda x, **_: case.reduced(x, np.max), seed=case.seed,
        )  # fmt: skip


@given(case=cases())
def test_average_pool2d_is_its_definition(put: Any, case: Case) -> None:
    with case.cut():
        check_op(
            ops.average_pool2d, [put(case.values())], case.settings,
            oracle=lambda x, **_: case.reduced(x, np.mean), seed=case.seed,
        )  # fmt: skip


@given(case=cases(), nan=st.booleans(), infinite=st.booleans(), precision=st.sampled_from(["float32", "float64"]))
def test_max_pool2d_gives_a_tied_gradient_to_the_first_of_the_window(
    put: Any, case: Case, nan: bool, infinite: bool, precision: str
) -> None:
    """Ties go to the first in row-major order, NaN wins over numbers, overlapping windows add up; losers get 0.

    What lies outside of the input never wins, though it is as large as minus infinity.
    """
    x = case.values(distinct=False).astype(precision)
    if nan:
        x[x == 0] = np.nan
    if infinite:
        x[x < 0] = -np.inf
    tensor = Tensor(put(x), requires_grad=True)
    with case.cut():
        y = ops.max_pool2d(tensor, **case.settings)
    check_close("y", y.data, case.reduced(x, np.max), 0.0)
    images = case.images(x)
    # Small integers: their sums are exact in any order.
    dy = np.random.default_rng(case.seed).integers(1, 100, (case.shape[0], *case.out, case.shape[3])).astype(precision)
    if infinite:
        dy[dy < 50] = np.inf
    dx = np.zeros(case.shape)
    for (p, q), inside in case.windows(images):
        for n, c in np.ndindex(case.shape[0], case.shape[3]):
            seen = [images[n, r, s, c] for r, s in inside]
            nans = [i for i, value in enumerate(seen) if np.isnan(value)]
            r, s = inside[nans[0] if nans else seen.index(max(seen))]
            dx[n, r, s, c] += dy[n, p, q, c]
    with case.cut():
        y.backward(put(case.laid_out(dy)))
    assert tensor.grad is not None
    check_close("dx", tensor.grad, case.laid_out(dx), 0.0)


@pytest.mark.parity
@given(case=cases(large=True))
def test_max_pool2d_matches_torch(torch: Any, same_as_torch: Any, case: Case) -> None:
    with case.cut():
        same_as_torch(
            lambda x: ops.max_pool2d(x, **case.settings),
            lambda x: torch_pool(torch, case, x, "max"),
            [case.values()],
        )


@pytest.mark.parity
@given(case=cases(large=True))
def test_average_pool2d_matches_torch(torch: Any, same_as_torch: Any, case: Case) -> None:
    with case.cut():
        same_as_torch(
            lambda x: ops.average_pool2d(x, **case.settings),
            lambda x: torch_pool(torch, case, x, "average"),
            [case.values()],
        )


@pytest.mark.parity
@pytest.mark.parametrize(("window", "stride", "amount"), [(2, 2, 1), (3, 2, 1), (5, 3, 2), ((4, 2), (1, 2), (2, 1))])
def test_average_pool2d_does_not_count_padding(
    torch: Any, same_as_torch: Any, rng: np.random.Generator, window: Any, stride: Any, amount: Any
) -> None:
    same_as_torch(
        lambda x: ops.average_pool2d(x, pool_size=window, strides=stride, padding=amount, data_format="channels_first"),
        lambda x: torch.nn.functional.avg_pool2d(x, window, stride, amount, count_include_pad=False),
        [rng.standard_normal((2, 3, 11, 7))],
    )


@pytest.mark.parity
@pytest.mark.parametrize("shape", [(1, 1, 1, 1), (1, 13, 11, 1), (131, 17, 19, 7), (2, 128, 96, 16)])
@pytest.mark.parametrize("padding", ["valid", "same"])
def test_pools_match_torch_at_the_edges(torch: Any, same_as_torch: Any, shape: Any, padding: str) -> None:
    """One pixel, one image, one window as large as the image, prime sizes, batches of several blocks and threads."""
    for window in {(1, 1), (min(2, shape[1]), min(2, shape[2])), (min(3, shape[1]), min(3, shape[2])), shape[1:3]}:
        case = Case(shape, window, None, padding, 0, "channels_last", 0)
        for op, kind in ((ops.max_pool2d, "max"), (ops.average_pool2d, "average")):
            same_as_torch(
                lambda x, op=op, case=case: op(x, **case.settings),
                lambda x, kind=kind, case=case: torch_pool(torch, case, x, kind),
                [np.random.default_rng(1).standard_normal(shape)],
            )


def test_windows_of_more_than_255_elements_find_their_winner(put: Any, rng: np.random.Generator) -> None:
    """Up to 255 the winner's number fits into a byte."""
    for size in (15, 16, 17):
        x = np.zeros((1, size, size, 1))
        x[0, -1, -1, 0] = 1
        tensor = Tensor(put(x), requires_grad=True)
        ops.max_pool2d(tensor, pool_size=size).sum().backward()
        assert tensor.grad is not None
        check_close("dx", tensor.grad, x, 0.0)


@pytest.mark.parametrize("shape", [(0, 4, 4, 2), (2, 4, 4, 0)])
@pytest.mark.parametrize("dtype", ["float32", "int32"])
def test_nothing_pools_to_nothing(shape: tuple[int, ...], dtype: str) -> None:
    assert ops.max_pool2d(np.zeros(shape, dtype), pool_size=2).shape == (shape[0], 2, 2, shape[3])


def test_a_window_of_minus_infinity_has_a_winner(put: Any) -> None:
    x = np.full((1, 2, 2, 1), -np.inf)
    tensor = Tensor(put(x), requires_grad=True)
    y = ops.max_pool2d(tensor, pool_size=3, strides=1, padding=1)
    y.backward(put(np.ones((1, 2, 2, 1))))
    assert tensor.grad is not None
    assert y.numpy().max() == -np.inf and tensor.grad[0, 0, 0, 0] == 4 and float(tensor.grad.sum()) == 4


def test_booleans_pool_where_windows_lie_apart() -> None:
    x = np.array([[False, True], [False, False]]).reshape(1, 2, 2, 1)
    assert ops.max_pool2d(x, pool_size=2).tolist() == [[[[True]]]]


@given(case=cases())
def test_blocks_are_as_large_as_is_allowed(case: Case) -> None:
    """Of planes, or of a band of images where windows fill these, so that no image is too large."""
    pool = PoolGeometry.of(case.shape, case.window, case.strides, case.padding)
    if pool.apart:
        plan = pool_planes._plan(pool, 50)
        per_image = plan.pool.area * plan.pool.rows.out * plan.pool.columns.out * plan.pool.channels
        assert per_image <= 50 or max(stop - start for start, stop in plan.blocks) == 1
        assert all((stop - start) * per_image <= max(50, per_image) for start, stop in plan.blocks)
        assert plan.fills == pool.tiles_exactly and (not plan.fills or plan.pool.rows.out == 1)


def test_whole_numbers_pool_too() -> None:
    x = np.array([[250, 251], [252, 255]], np.uint8).reshape(1, 2, 2, 1)
    assert ops.max_pool2d(x, pool_size=2).item() == 255
    assert ops.max_pool2d(x.astype(int) - 300, pool_size=3, padding="same").ravel().tolist() == [-45]
    assert ops.average_pool2d(x, pool_size=2).item() == 252


def test_lists_are_as_good_as_tuples(rng: np.random.Generator) -> None:
    x = rng.standard_normal((1, 6, 6, 2))
    listed = ops.max_pool2d(x, pool_size=[3, 2], strides=[2, 1], padding=[[1, 0], [0, 1]])
    check_close("y", listed, ops.max_pool2d(x, pool_size=(3, 2), strides=(2, 1), padding=((1, 0), (0, 1))), 0.0)


@given(
    shape=st.tuples(*[st.integers(1, 5)] * 4),
    keepdims=st.booleans(),
    data_format=st.sampled_from(["channels_last", "channels_first"]),
)
def test_global_pools(put: Any, shape: Any, keepdims: bool, data_format: str) -> None:
    x = put(np.random.default_rng(0).permutation(int(np.prod(shape))).reshape(shape) / 4)
    axes = (1, 2) if data_format == "channels_last" else (2, 3)
    settings = {"keepdims": keepdims, "data_format": data_format}
    check_op(ops.global_average_pool2d, [x], settings, oracle=lambda x, **_: x.mean(axis=axes, keepdims=keepdims))
    check_op(ops.global_max_pool2d, [x], settings, oracle=lambda x, **_: x.max(axis=axes, keepdims=keepdims))


@pytest.mark.parametrize(
    ("shape", "settings", "message"),
    [
        ((1, 3, 3, 2), {"pool_size": 4}, r"pool 4x4 does not fit into input \(N, 3, 3, 2\)"),
        ((3, 3, 2), {"pool_size": 2}, r"4 axes.*\(3, 3, 2\)"),
        ((1, 5, 5, 2), {"pool_size": 2, "padding": 2}, r"padding=2 leaves windows of size 2 that see only padding"),
        ((1, 5, 5, 2), {"pool_size": (2, 0)}, r"pool_size=\(2, 0\)"),
        ((1, 5, 5, 2), {"pool_size": 2, "strides": (1, 2, 3)}, r"strides=\(1, 2, 3\)"),
        ((1, 5, 5, 2), {"pool_size": 2, "padding": (1, 1, 1)}, r"padding=\(1, 1, 1\) needs two entries"),
    ],
)
def test_errors_name_the_numbers(shape: Any, settings: dict[str, Any], message: str) -> None:
    for op in (ops.max_pool2d, ops.average_pool2d):
        with pytest.raises(ShapeError, match=message):
            op(np.zeros(shape), **settings)


def test_global_pools_refuse_what_is_no_image() -> None:
    for op in (ops.global_average_pool2d, ops.global_max_pool2d):
        with pytest.raises(ShapeError, match=r"4 axes.*\(2, 3\)"):
            op(np.zeros((2, 3)))
        with pytest.raises(UsageError, match="data_format='NCHW'"):
            op(np.zeros((1, 2, 3, 4)), data_format="NCHW")
