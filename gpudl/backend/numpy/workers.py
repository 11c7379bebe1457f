"""Work on a batch, split over the cores.

NumPy's loops release the interpreter lock, so plain threads do. The batch is cut into the same blocks whatever the
number of threads, and each block is written or summed in its own place: results do not depend on the threads.
BLAS runs single-threaded inside the blocks (two pools of threads on the same cores would only get in each other's
way); setting that costs some 6 microseconds, so small work goes the short way.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from functools import cache

from threadpoolctl import ThreadpoolController

SMALL = 1 << 16
"""Elements below which starting threads costs more than it saves (about 20 microseconds)."""


def thread_count() -> int:
    """Threads to use: `GPUDL_NUM_THREADS`, else the cores this process may run on."""
    asked = os.environ.get("GPUDL_NUM_THREADS", "")
    return max(1, int(asked)) if asked.isdigit() else len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


@cache
def _pool() -> tuple[ThreadPoolExecutor | None, int, ThreadpoolController]:
    count = thread_count()
    executor = ThreadPoolExecutor(count - 1, "gpudl") if count > 1 else None
    return executor, count, ThreadpoolController()


def blocks(total: int, size: int) -> list[tuple[int, int]]:
    """Cut range(total) into [start, stop) of at most `size`."""
    size = max(1, size)
    return [(start, min(start + size, total)) for start in range(0, total, size)]


def run(work: Callable[[list[tuple[int, int]]], None], pieces: list[tuple[int, int]], elements: int) -> None:
    """Call `work` with a share of the pieces on each thread; the caller's thread takes the last share.

    `elements` is the size of the whole work, by which small work stays on one thread.
    """
    if elements < SMALL or len(pieces) < 2:
        work(pieces)
        return
    executor, count, controller = _pool()
    if executor is None:
        work(pieces)
        return
    count = min(count, len(pieces))
    bounds = [len(pieces) * i // count for i in range(count + 1)]
    with controller.limit(limits=1, user_api="blas"):
        waiting: list[Future[None]] = [
            executor.submit(work, pieces[a:b]) for a, b in zip(bounds[:-2], bounds[1:-1], strict=True)
        ]
        try:
            work(pieces[bounds[-2] :])
        finally:
            for future in waiting:
                future.exception()
        for future in waiting:
            future.result()
