"""Work on a batch, split over the cores.

NumPy's loops and products release the interpreter lock, so plain threads do. The work is cut into the same pieces
whatever the number of threads, and each piece is written or summed in its own place: results do not depend on it.

BLAS runs single-threaded meanwhile. Its own threads wait by spinning, so on a machine that has anything else to do
they cost up to twenty times what they save; and two pools on the same cores get in each other's way.
"""

from __future__ import annotations

import os
import threading
from collections import deque
from collections.abc import Callable, Iterator
from functools import lru_cache
from queue import SimpleQueue
from typing import Any, TypeAlias, TypeVar

from threadpoolctl import ThreadpoolController

from gpudl.backend.later import Later
from gpudl.errors import UsageError

Piece: TypeAlias = tuple[int, int]
Pieces: TypeAlias = tuple[Piece, ...]
Work: TypeAlias = Callable[[Iterator[Piece]], None]
Result = TypeVar("Result")

SMALL = 1 << 16
"""Elements below which waking a thread, 10 microseconds and more, costs more than it saves (measured)."""


EVEN = 4
"""Where work is cut evenly, it is into a multiple of so many pieces."""


def thread_count() -> int:
    """Threads to use: `GPUDL_NUM_THREADS`, else the cores this process may run on."""
    asked = os.environ.get("GPUDL_NUM_THREADS")
    if asked is not None:
        if not asked.isdigit() or int(asked) < 1:
            raise UsageError(f"GPUDL_NUM_THREADS={asked} must be an integer of at least 1")
        return int(asked)
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


class _SingleThreadedBlas:
    """Context in which BLAS uses one thread; contexts nest, and only the outermost costs anything."""

    def __init__(self) -> None:
        self._depth = 0
        self._lock = threading.Lock()
        self._libraries: list[Any] | None = None
        self._before: list[int] = []

    @property
    def active(self) -> bool:
        """Whether BLAS is held to one thread already: within a training step, say."""
        return self._depth > 0

    def __enter__(self) -> None:
        with self._lock:
            self._depth += 1
            if self._depth > 1:
                return
            if self._libraries is None:
                self._libraries = ThreadpoolController().select(user_api="blas").lib_controllers
            self._before = [library.num_threads or 1 for library in self._libraries]
            for library in self._libraries:
                library.set_num_threads(1)

    def __exit__(self, *error: object) -> None:
        with self._lock:
            self._depth -= 1
            if self._depth == 0:
                for library, count in zip(self._libraries or [], self._before, strict=True):
                    library.set_num_threads(count)


single_threaded_blas = _SingleThreadedBlas()


class _Pool:
    """Threads that wait for work, one queue each: a queue of the standard library wakes faster than a Future."""

    def __init__(self, count: int) -> None:
        self.count = count
        self._queues: list[SimpleQueue[_Job | None]] = [SimpleQueue() for _ in range(count - 1)]
        for queue in self._queues:
            threading.Thread(target=_serve, args=(queue,), name="gpudl", daemon=True).start()

    def close(self) -> None:
        """Let the threads end."""
        for queue in self._queues:
            queue.put(None)

    def run(self, work: Work, pieces: Pieces) -> None:
        """Have the pieces worked on by all threads, this one included; raise what any of them raised.

        Whoever is free takes the next piece. A thread that wakes late finds none left and keeps nobody waiting.
        """
        self.finish(self.begin(work, pieces, self._queues[: len(pieces) - 1]))

    def last(self, count: int) -> list[SimpleQueue[_Job | None]]:
        """Return the queues of so many threads: those that `run` takes last."""
        return self._queues[-count:]

    def begin(self, work: Work, pieces: Pieces, queues: list[SimpleQueue[_Job | None]]) -> _Job:
        """Let some other threads begin with the pieces."""
        job = _Job(work, pieces)
        for queue in queues:
            queue.put(job)
        return job

    def finish(self, job: _Job) -> None:
        """Take part in what is left, and wait for the others; raise what any of them raised."""
        _place.is_at_work = True
        try:
            error = job.join_in()
        finally:
            _place.is_at_work = False
        for _ in range(job.close()):
            error = job.ended.get() or error
        if error is not None:
            raise error


class _Job:
    """Work, the pieces nobody has taken yet, and who takes part."""

    def __init__(self, work: Work, pieces: Pieces) -> None:
        self.work = work
        self.waiting = deque(pieces)
        self.ended: SimpleQueue[BaseException | None] = SimpleQueue()
        self._lock = threading.Lock()
        self._helpers = 0
        self._closed = False

    def enter(self) -> bool:
        """Let one more thread take part, which then reports to `ended`; False where it comes too late."""
        with self._lock:
            if self._closed or not self.waiting:
                return False
            self._helpers += 1
            return True

    def close(self) -> int:
        """Let nobody enter any more; return how many threads will report."""
        with self._lock:
            self._closed = True
            self.waiting.clear()
            return self._helpers

    def join_in(self) -> BaseException | None:
        """Work on pieces until none is left; return what was raised."""
        try:
            self.work(self._take())
        except BaseException as error:
            return error
        return None

    def _take(self) -> Iterator[Piece]:
        while self.waiting:
            try:
                piece = self.waiting.popleft()
            except IndexError:  # another thread was quicker
                return
            yield piece


class _Place(threading.local):
    is_at_work = False
    """Whether this thread is within a piece of work, which is not to be split again."""


_place = _Place()
_pool: _Pool | None = None


def _serve(queue: SimpleQueue[_Job | None]) -> None:
    _place.is_at_work = True
    while (job := queue.get()) is not None:
        if job.enter():
            job.ended.put(job.join_in())
        del job


def reset() -> None:
    """End the pool's threads; the next use makes a new one, for the thread count asked for by then."""
    if _pool is not None:
        _pool.close()
    _forget()


def _forget() -> None:
    global _pool
    _pool = None


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forget)  # a child process has the pool, but not its threads


@lru_cache(maxsize=256)
def blocks(total: int, size: int) -> Pieces:
    """Cut range(total) into [start, stop) of at most `size`."""
    size = max(1, size)
    return tuple((start, min(start + size, total)) for start in range(0, total, size))


def evenly(total: int, most: int) -> int:
    """Return how many of `total`, at most `most`, to take at once, so that two or four threads get as much each."""
    count = -(-total // max(1, most))
    count = EVEN * -(-count // EVEN) if count > 1 else 1
    return max(1, -(-total // count))


def _is_to_be_shared(pieces: Pieces, elements: int) -> bool:
    return elements >= SMALL and len(pieces) > 1 and not _place.is_at_work


def _all_threads() -> _Pool:
    global _pool
    if _pool is None:
        _pool = _Pool(thread_count())
    return _pool


def run(work: Work, pieces: Pieces, elements: int) -> None:
    """Have `work` go through the pieces, on several threads at once if that pays; `work` iterates once over its share.

    `elements` is the size of the whole work, by which small work stays on the caller's thread.
    """
    with single_threaded_blas:
        if _is_to_be_shared(pieces, elements) and (pool := _all_threads()).count > 1:
            pool.run(work, pieces)
        else:
            work(iter(pieces))


def begin(work: Work, pieces: Pieces, elements: int, ended: Callable[[], Result]) -> Result | Later:
    """As `run`, and return `ended()`; or, where the work is large, let the other threads begin and return it later.

    Whether it comes later depends on the work, never on the number of threads: gradients are added up in the same order
    with one.
    """
    if not _is_to_be_shared(pieces, elements):
        run(work, pieces, elements)
        return ended()
    pool = _all_threads()
    single_threaded_blas.__enter__()
    job = pool.begin(work, pieces, pool.last(len(pieces)))

    def result() -> Result:
        try:
            pool.finish(job)
            return ended()
        finally:
            single_threaded_blas.__exit__()

    return Later(result)
