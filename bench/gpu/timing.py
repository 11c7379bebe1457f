"""Times on the GPU, gpudl and PyTorch in one process on one stream, in turns."""

from __future__ import annotations

import math
import statistics
import time
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from importlib import import_module
from typing import Any

from bench.gpu.running import Options

FLUSH = 512 << 20
"""Bytes that are written before each call that is timed: more than any L2 cache holds, and long enough that the calls
are queued before the GPU is done with it, so that what Python takes to launch them is not counted."""

REPEATS = 7
NO_GPU = "PyTorch has no GPU to use (torch.cuda.is_available() is false), so there is nothing to time"

# gpudl's word for float32, whether PyTorch may use TF32, and the type of the arrays.
PRECISIONS = {
    "float32": ("high", False, "float32"),
    "TF32": ("medium", True, "float32"),
    "bfloat16": ("high", True, "bfloat16"),
}


class Bench:
    """Where both libraries' arrays are made and timed. In a rehearsal, without a GPU, every time is 1."""

    def __init__(self, options: Options) -> None:
        self.torch, self.cupy = import_module("torch"), import_module("cupy")
        self.rehearsal = not self.torch.cuda.is_available()
        self.device = "cpu" if self.rehearsal else "cuda"
        self.repeats = 2 if self.rehearsal else 3 if options.quick else REPEATS
        self.torch.manual_seed(0)
        self.torch.backends.cudnn.benchmark = True
        size = 1 << 10 if self.rehearsal else FLUSH
        self.waste = self.torch.empty(size, dtype=self.torch.uint8, device=self.device)
        self.waste.zero_()
        self.flush_ms = self.once(self.waste.zero_)

    def synchronize(self) -> None:
        if not self.rehearsal:
            self.torch.cuda.synchronize()

    def event(self) -> Any:
        return _NoEvent() if self.rehearsal else self.torch.cuda.Event(enable_timing=True)

    def normal(self, *shape: int, kind: str = "float32") -> Any:
        """Return drawn numbers as a tensor of PyTorch."""
        return self.torch.randn(shape, device=self.device).to(getattr(self.torch, kind))

    def ours(self, tensor: Any) -> Any:
        """Return a contiguous tensor as an array of CuPy, on the same memory."""
        if tensor.dtype == self.torch.bfloat16:
            return self.ours(tensor.view(self.torch.int16)).view(import_module("ml_dtypes").bfloat16)
        return self.cupy.asarray(tensor.numpy()) if self.rehearsal else self.cupy.from_dlpack(tensor)

    def theirs(self, array: Any) -> Any:
        """Return an array of CuPy as a tensor, on the same memory."""
        if array.dtype.name == "bfloat16":
            return self.theirs(array.view("int16")).view(self.torch.bfloat16)
        return self.torch.from_numpy(array.get()) if self.rehearsal else self.torch.from_dlpack(array)

    def once(self, call: Callable[[], Any]) -> float:
        """Return the milliseconds of one call on the GPU."""
        begin, end = self.event(), self.event()
        begin.record()
        call()
        end.record()
        self.synchronize()
        return begin.elapsed_time(end)

    def medians(self, calls: dict[str, Callable[[], Any]]) -> dict[str, float]:
        """Return the median milliseconds of each call, the calls in turns, the L2 cache flushed before each."""
        fills: dict[str, int] = {}
        for name, call in calls.items():
            for _ in range(2):  # kernels are compiled, and cuDNN tries its algorithms
                call()
            self.synchronize()
            began = time.perf_counter()
            call()
            launching = 1e3 * (time.perf_counter() - began)
            self.synchronize()
            fills[name] = max(1, min(20, math.ceil(1.5 * launching / max(self.flush_ms, 1e-3))))
        events: dict[str, list[tuple[Any, Any]]] = {name: [] for name in calls}
        for _ in range(self.repeats):
            for name, call in calls.items():
                for _ in range(fills[name]):
                    self.waste.zero_()
                begin, end = self.event(), self.event()
                begin.record()
                call()
                end.record()
                events[name].append((begin, end))
        self.synchronize()
        return {name: statistics.median(a.elapsed_time(b) for a, b in pairs) for name, pairs in events.items()}

    def wall(self, calls: dict[str, Callable[[], Any]], seconds: float, rounds: int = 5) -> dict[str, float]:
        """Return the median wall-clock milliseconds of each call, many at a time between synchronisations, in turns."""

        def turn(call: Callable[[], Any], count: int) -> float:
            self.synchronize()
            began = time.perf_counter()
            for _ in range(count):
                call()
            self.synchronize()
            return 1e3 * (time.perf_counter() - began) / count

        warm = {name: [turn(call, 1 if self.rehearsal else n) for n in (3, 10)][-1] for name, call in calls.items()}
        share = 1e3 * seconds / rounds / len(calls)
        counts = {name: max(3, min(2000, int(share / ms))) for name, ms in warm.items()}
        if self.rehearsal:
            return dict.fromkeys(calls, 1.0)
        times = [{name: turn(call, counts[name]) for name, call in calls.items()} for _ in range(rounds)]
        return {name: statistics.median(each[name] for each in times) for name in calls}

    def give_back(self) -> None:
        """Return memory that neither library uses, so that each finds room."""
        if not self.rehearsal:
            self.cupy.get_default_memory_pool().free_all_blocks()
            self.torch.cuda.empty_cache()


class _NoEvent:
    """A CUDA event's stand-in for rehearsals."""

    def record(self) -> None: ...

    def elapsed_time(self, end: Any) -> float:
        return 1.0


def why_not(options: Options) -> str | None:
    """Return why nothing can be timed here, if so."""
    return None if options.rehearse or import_module("torch").cuda.is_available() else NO_GPU


@contextmanager
def precision(name: str) -> Iterator[str]:
    """Within this context both libraries multiply in that precision; the type of the arrays."""
    import gpudl
    from gpudl.config import float32_precision

    backends, before = import_module("torch").backends, float32_precision()
    word, tf32, kind = PRECISIONS[name]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # newer versions have another name for the same
        flags = backends.cuda.matmul.allow_tf32, backends.cudnn.allow_tf32
        try:
            gpudl.set_float32_precision(word)
            backends.cuda.matmul.allow_tf32 = backends.cudnn.allow_tf32 = tf32
            yield kind
        finally:
            gpudl.set_float32_precision(before)
            backends.cuda.matmul.allow_tf32, backends.cudnn.allow_tf32 = flags
