"""Results do not depend on the number of threads, to the last bit."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gpudl import ops
from gpudl.autograd import Tensor
from gpudl.backend.later import Later, now
from gpudl.backend.numpy import workers
from gpudl.errors import UsageError


@pytest.fixture(scope="module")
def pools() -> dict[int, Any]:
    """One pool for each number of threads, for all tests here."""
    return {count: workers._Pool(count) for count in (1, 2, 3, 4, 8)}


@pytest.fixture
def set_threads(monkeypatch: pytest.MonkeyPatch, pools: dict[int, Any]) -> Callable[[int], None]:
    """Work with another number of threads."""
    return lambda count: monkeypatch.setattr(workers, "_pool", pools[count])


def conv2d(x: Any, kernel: Any) -> Any:
    return ops.conv2d(x, kernel, padding="same")


def conv2d_three_times(x: Any, kernel: Any) -> Any:
    """The gradients for one kernel are added up as each comes."""
    for _ in range(2):
        x = ops.relu(conv2d(x, kernel)[..., :8])
    return conv2d(x, kernel)


def strided_conv2d(x: Any, kernel: Any) -> Any:
    return ops.conv2d(x, kernel, strides=2, padding="same")


def grouped_conv2d(x: Any, kernel: Any) -> Any:
    return ops.conv2d(x, kernel[:, :, :4], groups=2)


def pointwise_conv2d(x: Any, kernel: Any) -> Any:
    return ops.conv2d(x, kernel[:1, :1])


def max_pool2d(x: Any, kernel: Any) -> Any:
    return ops.max_pool2d(x, pool_size=3, strides=2, padding="same") * kernel[0, 0, 0, 0]


def average_pool2d(x: Any, kernel: Any) -> Any:
    return ops.average_pool2d(x, pool_size=3, strides=2, padding="same") * kernel[0, 0, 0, 0]


def batch_norm(x: Any, kernel: Any) -> Any:
    moving = np.zeros(8, np.float32), np.ones(8, np.float32)
    y = ops.batch_norm(x, kernel[0, 0, :, 0], kernel[0, 0, :, 1], *moving, training=True)
    return y + np.concatenate(moving).sum()


@pytest.mark.parametrize(
    "op",
    [
        conv2d,
        conv2d_three_times,
        strided_conv2d,
        grouped_conv2d,
        pointwise_conv2d,
        max_pool2d,
        average_pool2d,
        batch_norm,
    ],
)
@pytest.mark.parametrize("small", [0, workers.SMALL])
@pytest.mark.parametrize("shape", [(131, 13, 11, 8), (32, 28, 28, 8), (3, 40, 40, 8)])
def test_any_number_of_threads_gives_equal_bits(
    set_threads: Callable[[int], None],
    monkeypatch: pytest.MonkeyPatch,
    rng: np.random.Generator,
    op: Callable[[Any, Any], Any],
    small: int,
    shape: tuple[int, ...],
) -> None:
    monkeypatch.setattr(workers, "SMALL", small)
    images = rng.standard_normal(shape).astype(np.float32)
    weights = rng.standard_normal((3, 3, 8, 16)).astype(np.float32)
    projection: np.ndarray | None = None
    results = {}
    for count in (1, 2, 3, 8):
        set_threads(count)
        x, kernel = Tensor(images, requires_grad=True), Tensor(weights, requires_grad=True)
        y = op(x, kernel)
        if projection is None:
            projection = rng.standard_normal(y.shape).astype(np.float32)
        y.backward(projection)
        assert x.grad is not None and kernel.grad is not None
        results[count] = [array.tobytes() for array in (y.data, x.grad, kernel.grad)]
    for count in (2, 3, 8):
        equal = [a == b for a, b in zip(results[1], results[count], strict=True)]
        assert equal == [True, True, True], f"value, dx, dkernel with {count} threads against one: {equal}"


@pytest.mark.parametrize("count", [1, 2, 3, 8])
def test_every_piece_is_done_once(set_threads: Callable[[int], None], count: int) -> None:
    set_threads(count)
    for total in (1, 2, 7, 64):
        done, names, lock = [], set(), threading.Lock()

        def work(pieces: list[tuple[int, int]], done: list = done, names: set = names, lock: Any = lock) -> None:
            with lock:
                done.extend(pieces)
                names.add(threading.current_thread().name)

        workers.run(work, workers.blocks(total, 3), workers.SMALL)
        assert tuple(sorted(done)) == workers.blocks(total, 3)
        assert len(names) <= count


def test_small_work_starts_no_threads(set_threads: Callable[[int], None]) -> None:
    set_threads(4)
    names = []
    workers.run(lambda pieces: names.append(threading.current_thread().name), workers.blocks(9, 1), workers.SMALL - 1)
    assert names == [threading.current_thread().name]


@pytest.mark.parametrize("wrong", [0, 7])
def test_an_error_in_any_thread_arrives(set_threads: Callable[[int], None], wrong: int) -> None:
    set_threads(3)

    def work(pieces: Iterator[tuple[int, int]]) -> None:
        for piece in pieces:
            if piece == (wrong, wrong + 1):
                raise ArithmeticError(f"piece {wrong}")

    with pytest.raises(ArithmeticError, match=f"piece {wrong}"):
        workers.run(work, workers.blocks(8, 1), workers.SMALL)
    workers.run(lambda pieces: None, workers.blocks(8, 1), workers.SMALL)  # the pool is none the worse for it


@pytest.mark.parametrize("count", [1, 2, 3, 8])
def test_what_comes_later_is_done_once(set_threads: Callable[[int], None], count: int) -> None:
    """Whether it comes later does not depend on the number of threads; while it does, all else goes on."""
    set_threads(count)
    done: list[tuple[int, int]] = []
    found = workers.begin(lambda pieces: done.extend(pieces), workers.blocks(50, 1), workers.SMALL, lambda: "ended")
    assert isinstance(found, Later)
    assert workers.single_threaded_blas.active, "else products meanwhile would depend on who is quicker"
    others: list[tuple[int, int]] = []
    workers.run(lambda pieces: others.extend(pieces), workers.blocks(50, 1), workers.SMALL)
    assert tuple(sorted(others)) == workers.blocks(50, 1)
    assert found.result() == "ended" and tuple(sorted(done)) == workers.blocks(50, 1)
    assert not workers.single_threaded_blas.active


def test_other_threads_begin_with_it(set_threads: Callable[[int], None]) -> None:
    set_threads(2)
    begun = threading.Event()
    names = []

    def work(pieces: Iterator[tuple[int, int]]) -> None:
        for _ in pieces:
            names.append(threading.current_thread().name)
            begun.set()

    found = workers.begin(work, workers.blocks(2, 1), workers.SMALL, lambda: len(names))
    assert begun.wait(10) and names[0] == "gpudl"
    assert now(found) == 2


def test_small_work_does_not_come_later(set_threads: Callable[[int], None]) -> None:
    set_threads(2)
    done: list[tuple[int, int]] = []

    def work(pieces: Iterator[tuple[int, int]]) -> None:
        done.extend(pieces)

    assert workers.begin(work, workers.blocks(2, 1), workers.SMALL - 1, lambda: len(done)) == 2
    assert workers.begin(work, workers.blocks(1, 1), workers.SMALL, lambda: len(done)) == 3

    def inside(pieces: Iterator[tuple[int, int]]) -> None:
        for _ in pieces:
            assert workers.begin(work, workers.blocks(2, 1), workers.SMALL, lambda: "ended") == "ended"

    workers.run(inside, workers.blocks(2, 1), workers.SMALL)
    assert len(done) == 7


@pytest.mark.parametrize("count", [1, 2, 8])
def test_its_error_arrives_with_its_result(set_threads: Callable[[int], None], count: int) -> None:
    set_threads(count)

    def fail(pieces: Iterator[tuple[int, int]]) -> None:
        raise ArithmeticError("in a piece")

    found = workers.begin(fail, workers.blocks(8, 1), workers.SMALL, lambda: None)
    with pytest.raises(ArithmeticError, match="in a piece"):
        now(found)
    assert not workers.single_threaded_blas.active
    workers.run(lambda pieces: None, workers.blocks(8, 1), workers.SMALL)


def test_the_pool_may_end_before_it_comes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GPUDL_NUM_THREADS", "2")
    monkeypatch.setattr(workers, "_pool", None)
    done: list[tuple[int, int]] = []
    found = workers.begin(lambda pieces: done.extend(pieces), workers.blocks(8, 1), workers.SMALL, lambda: None)
    workers.reset()
    now(found)
    assert tuple(sorted(done)) == workers.blocks(8, 1)


def test_blocks_cover_the_whole() -> None:
    assert workers.blocks(10, 4) == ((0, 4), (4, 8), (8, 10))
    assert workers.blocks(3, 0) == ((0, 1), (1, 2), (2, 3))
    assert workers.blocks(0, 4) == ()


def test_the_number_of_threads_can_be_set(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GPUDL_NUM_THREADS", "3")
    monkeypatch.setattr(workers, "_pool", None)
    assert workers.thread_count() == 3
    workers.run(lambda pieces: None, workers.blocks(8, 1), workers.SMALL)
    assert workers._pool is not None and workers._pool.count == 3
    workers.reset()
    assert workers._pool is None


@pytest.mark.parametrize("asked", ["0", "many", "-1"])
def test_a_wrong_number_of_threads_is_refused(monkeypatch: pytest.MonkeyPatch, asked: str) -> None:
    monkeypatch.setenv("GPUDL_NUM_THREADS", asked)
    with pytest.raises(UsageError, match=f"GPUDL_NUM_THREADS={asked}"):
        workers.thread_count()


def test_without_a_number_it_is_the_cores(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("os.sched_getaffinity", lambda _: {1, 4, 6}, raising=False)
    monkeypatch.delenv("GPUDL_NUM_THREADS", raising=False)
    assert workers.thread_count() == 3


def test_blas_gets_its_threads_back(set_threads: Callable[[int], None]) -> None:
    """Inside a piece BLAS has one thread; afterwards, after an error as well, as many as before."""

    def counts() -> list[int | None]:
        return [library.num_threads for library in workers.single_threaded_blas._libraries or []]

    set_threads(2)
    workers.run(lambda pieces: None, workers.blocks(2, 1), workers.SMALL)  # finds the libraries
    before: list[int | None] = counts()
    inside: list[list[int | None]] = []
    assert before
    workers.run(lambda pieces: inside.append(counts()), workers.blocks(2, 1), workers.SMALL)
    assert inside and all(count == [1] * len(before) for count in inside) and counts() == before

    def fail(pieces: Iterator[tuple[int, int]]) -> None:
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        workers.run(fail, workers.blocks(2, 1), workers.SMALL)
    assert counts() == before


def test_work_inside_work_does_not_wait_for_itself(set_threads: Callable[[int], None]) -> None:
    set_threads(2)
    done = []

    def inner(pieces: Iterator[tuple[int, int]]) -> None:
        done.extend(pieces)

    workers.run(lambda pieces: workers.run(inner, list(pieces), workers.SMALL), workers.blocks(8, 1), workers.SMALL)
    assert tuple(sorted(done)) == workers.blocks(8, 1)


def test_every_piece_is_worked_on_once(set_threads: Callable[[int], None]) -> None:
    set_threads(8)
    done: list[tuple[int, int]] = []
    for _ in range(200):
        done.clear()
        workers.run(lambda pieces: done.extend(pieces), workers.blocks(50, 1), workers.SMALL)
        assert tuple(sorted(done)) == workers.blocks(50, 1)


def test_nothing_is_under_way_when_an_error_arrives(set_threads: Callable[[int], None]) -> None:
    """The caller's thread fails at once; the other is waited for, since it may still be writing."""
    set_threads(2)
    caller = threading.current_thread()
    busy, finished = threading.Event(), threading.Event()

    def work(pieces: Iterator[tuple[int, int]]) -> None:
        for _ in pieces:
            if threading.current_thread() is caller:
                busy.wait(10)
                raise ArithmeticError
            busy.set()
            finished.wait(0.05)
            finished.set()

    with pytest.raises(ArithmeticError):
        workers.run(work, workers.blocks(2, 1), workers.SMALL)
    assert finished.is_set()


def test_a_late_thread_does_not_hide_a_busy_one(set_threads: Callable[[int], None], rng: np.random.Generator) -> None:
    """More threads than cores: some find no piece left, while others still work on theirs."""
    set_threads(8)
    source = rng.standard_normal((8, 50_000))
    for _ in range(200):
        target = np.zeros_like(source)

        def work(pieces: Iterator[tuple[int, int]], target: np.ndarray = target) -> None:
            for start, stop in pieces:
                np.exp(source[start:stop], out=target[start:stop])

        workers.run(work, workers.blocks(8, 1), workers.SMALL)
        assert np.array_equal(target, np.exp(source))


def test_work_within_work_is_not_shared(set_threads: Callable[[int], None]) -> None:
    set_threads(2)
    inner: list[tuple[str, str]] = []

    def work(pieces: Iterator[tuple[int, int]]) -> None:
        for _ in pieces:
            outside = threading.current_thread().name

            def within(pieces: Iterator[tuple[int, int]], outside: str = outside) -> None:
                inner.extend((outside, threading.current_thread().name) for _ in pieces)

            workers.run(within, workers.blocks(4, 1), workers.SMALL)

    workers.run(work, workers.blocks(6, 1), workers.SMALL)
    assert len(inner) == 24 and all(outside == inside for outside, inside in inner)
    assert not workers._place.is_at_work


@given(st.integers(0, 500), st.integers(1, 500))
def test_work_is_cut_evenly(total: int, most: int) -> None:
    pieces = workers.blocks(total, workers.evenly(total, most))
    sizes = [stop - start for start, stop in pieces]
    assert sum(sizes) == total and all(size <= most for size in sizes)
    assert len(set(sizes[:-1])) <= 1
    if total > 4 * most:
        assert len(pieces) >= 4


def test_four_threads_get_as_much_each() -> None:
    assert (workers.evenly(128, 41), workers.evenly(128, 20), workers.evenly(7, 100)) == (32, 16, 7)
