"""Room that threads keep: made once, shared by all shapes, one for each thread."""

from __future__ import annotations

import threading
from collections.abc import Iterator

import numpy as np
import pytest

from gpudl import ops
from gpudl.autograd import Tensor
from gpudl.backend.numpy import constants, kept


@pytest.fixture(autouse=True)
def nothing_kept(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setattr(kept, "_kept", kept._Kept())
    yield


class Made:
    def __init__(self, key: str, room: np.ndarray) -> None:
        self.key, self.room = key, room


def test_what_was_made_is_found_again() -> None:
    first = kept.kept(Made, "a", 100)
    assert first.key == "a" and first.room.shape == (100,) and first.room.dtype == np.float32
    assert kept.kept(Made, "a", 100) is first
    assert kept.kept(Made, "b", 50) is not first


def test_all_share_one_room_also_when_it_grows() -> None:
    small = kept.kept(Made, "small", 100)
    large = kept.kept(Made, "large", 1000)
    again = kept.kept(Made, "small", 100)
    assert again is not small and not np.shares_memory(small.room, large.room)
    assert np.shares_memory(again.room, large.room)
    double = kept.kept(Made, "small", 100, np.dtype("float64"))
    assert double.room.dtype == np.float64 and np.shares_memory(double.room, large.room)


def test_each_thread_has_its_own() -> None:
    rooms = [kept.kept(Made, "a", 100).room]
    thread = threading.Thread(target=lambda: rooms.append(kept.kept(Made, "a", 100).room))
    thread.start()
    thread.join()
    assert len(rooms) == 2 and not np.shares_memory(*rooms)


def test_only_so_many_shapes_are_remembered(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(kept, "MOST", 3)
    first = kept.kept(Made, "0", 10)
    for i in range(1, 4):
        kept.kept(Made, str(i), 10)
    assert len(kept._kept.made) == 3
    assert kept.kept(Made, "0", 10) is not first


def test_very_large_rooms_are_not_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(kept, "LARGEST", 400)
    assert kept.kept(Made, "a", 100) is kept.kept(Made, "a", 100)
    large = kept.kept(Made, "b", 101)
    assert large.room.shape == (101,) and kept.kept(Made, "b", 101) is not large
    assert kept._kept.room.size == 400


@pytest.mark.parametrize("dtype", ["float32", "float64", "int32"])
def test_constants_are_not_written_to(dtype: str) -> None:
    for make, value in ((constants.zeros, 0), (constants.ones, 1)):
        for size in (3, 100, 7, 0):
            array = make(size, np.dtype(dtype))
            assert array.shape == (size,) and array.dtype == dtype and (array == value).all()
            assert not array.flags.writeable
    large = constants.ones(constants.LARGEST + 1, np.dtype(dtype))
    assert large.size == constants.LARGEST + 1 and (large == 1).all()
    assert constants.ones(3, np.dtype(dtype)).base is not large


def test_convolutions_in_several_threads_of_a_program() -> None:
    """Each has shapes of its own, large enough to be shared among gpudl's threads as well."""
    found: list[bool] = []

    def go(size: int) -> None:
        rng = np.random.default_rng(size)
        images = rng.standard_normal((24, size, size, 16)).astype(np.float32)
        weights = rng.standard_normal((3, 3, 16, 32)).astype(np.float32)

        def once() -> bytes:
            x, kernel = Tensor(images, requires_grad=True), Tensor(weights, requires_grad=True)
            y = ops.conv2d(x, kernel, padding="same", strides=1 + size % 2)
            y.backward(np.ones_like(y.data))
            assert x.grad is not None and kernel.grad is not None
            return y.data.tobytes() + x.grad.tobytes() + kernel.grad.tobytes()

        first = once()
        found.extend(once() == first for _ in range(10))

    threads = [threading.Thread(target=go, args=(size,)) for size in (8, 15, 16, 28)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(found) == 40 and all(found)
