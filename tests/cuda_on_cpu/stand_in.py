"""A stand-in for CuPy where there is no GPU: its arrays are NumPy's in disguise, its kernels run on the CPU.

It is as strict as CuPy about what may meet: its arrays cannot become NumPy's but by `get`, NumPy's are refused among
its arguments, reductions give arrays without axes and not numbers, and only what CuPy has is there.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Callable
from contextlib import nullcontext
from functools import cached_property
from operator import attrgetter
from types import ModuleType, SimpleNamespace
from typing import Any, ClassVar

import numpy as np

from .compiler import HostKernel

ORDERS = 3
"""Launches run as often, their threads forward, reversed and shuffled; the results must have the same bits."""

OFTEN = 20
"""How many launches of a kernel do so; the others, of long tests, run once, in the order that is next."""

launched: set[tuple[str, str, tuple[tuple[str, str], ...]]] = set()
"""What has been launched: file, kernel, macros."""


readings = 0
"""How often something was read back from the device, for which a real one would have been waited for."""

_graph: Graph | None = None
"""What is being captured. It is run all the same, to get shapes and types; in the end nothing shows of that."""


def _read_back() -> None:
    global readings
    if _graph is not None:
        raise RuntimeError("cudaErrorStreamCaptureUnsupported: operation not permitted when stream is capturing")
    readings += 1


class Graph:
    """What was done on the device during a capture, to be done again on the same memory."""

    def __init__(self) -> None:
        self.calls: list[Callable[[], Any]] = []
        self._before: list[tuple[np.ndarray, np.ndarray]] = []
        self._made: list[np.ndarray] = []

    def writes(self, *arrays: np.ndarray) -> None:
        """Keep what is in arrays that are about to be written to."""
        self._before += [(a, a.copy()) for a in arrays if a.flags.writeable]

    def made(self, result: Any, again: Callable[[], Any], inputs: Any) -> None:
        """Have a result made again, unless it is a view of what went in."""
        arrays = [a for a in _arrays(result) if not any(np.may_share_memory(a, other) for other in _arrays(inputs))]
        if arrays:
            self._made += arrays
            self.calls.append(
                lambda: [_refill(a, new) for a, new in zip(_arrays(result), _arrays(again()), strict=True)]
            )

    def end(self) -> None:
        """Undo it all: a capture runs nothing."""
        for a, values in reversed(self._before):
            a[...] = values
        for a in self._made:
            _poison(a)

    def launch(self, stream: Any = None) -> None:
        for call in self.calls:
            call()


def _arrays(value: Any) -> list[np.ndarray]:
    if isinstance(value, (list, tuple)):
        return [a for item in value for a in _arrays(item)]
    if isinstance(value, ndarray):
        return [value._a]
    return [np.asarray(value)] if isinstance(value, (np.ndarray, np.generic)) else []


def _refill(a: np.ndarray, values: np.ndarray) -> None:
    if a.flags.writeable:
        a[...] = values


def _poison(a: np.ndarray) -> None:
    if a.flags.c_contiguous and a.flags.writeable:
        a.reshape(-1).view(np.uint8).fill(0xFF)


def _no_cublas() -> None:
    if _graph is not None:
        raise NotImplementedError("calling cuBLAS API during stream capture is currently unsupported")


def _pinned(size: int) -> None:
    """What is asked for pinned memory, which copies from the host go through."""


_allocator = _pinned


def _set_pinned_memory_allocator(allocator: Callable[[int], Any]) -> None:
    global _allocator
    _allocator = allocator


class ndarray:  # noqa: N801  CuPy's name
    """An array of the stand-in."""

    __module__ = "cupy"
    __slots__ = ("_a",)
    __array_priority__ = 100

    def __init__(self, a: np.ndarray) -> None:
        self._a = a

    # What is asked for most, by a shorter way than __getattr__
    shape, dtype, ndim, size = (property(attrgetter(f"_a.{name}")) for name in ("shape", "dtype", "ndim", "size"))

    @property
    def data(self) -> SimpleNamespace:
        return SimpleNamespace(ptr=self._a.ctypes.data)

    def get(self) -> np.ndarray:
        _read_back()
        return self._a.copy()

    def set(self, values: np.ndarray, stream: Any = None) -> None:
        assert values.shape == self._a.shape and values.dtype == self._a.dtype
        assert _graph is None
        if stream is None:
            self._a[...] = values
        else:
            stream.pending.append((self._a, values))

    def __array__(self, *_: Any, **__: Any) -> Any:
        raise TypeError("Implicit conversion to a NumPy array is not allowed. Please use `.get()` to construct one.")

    def __array_ufunc__(self, ufunc: Any, method: str, *inputs: Any, **settings: Any) -> Any:
        return _called(getattr(ufunc, method), *inputs, **settings)

    def __array_function__(self, function: Any, types: Any, arguments: Any, settings: Any) -> Any:
        return _called(function, *arguments, **settings)

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        found = getattr(self._a, name)
        if name in ("item", "tolist"):
            _read_back()
        if name == "dot":
            _no_cublas()
        if callable(found):
            return lambda *arguments, **settings: _called(found, *arguments, _self=self._a, **settings)
        return wrapped(found) if isinstance(found, np.ndarray) else found

    def __getitem__(self, index: Any) -> Any:
        at = _plain(index)
        return _recorded(self._a[at], lambda: self._a[at], self)

    def __setitem__(self, index: Any, value: Any) -> None:
        a, at, values = self._a, _plain(index), _plain(value)
        if _graph is not None:
            _graph.writes(a)
            _graph.calls.append(lambda: a.__setitem__(at, values))
        a[at] = values

    def __len__(self) -> int:
        return len(self._a)

    def __bool__(self) -> bool:
        _read_back()
        return bool(self._a)

    def __float__(self) -> float:
        _read_back()
        return float(self._a)

    def __int__(self) -> int:
        _read_back()
        return int(self._a)

    def __index__(self) -> int:
        _read_back()
        return self._a.__index__()

    def __iter__(self) -> Any:
        return (wrapped(part) for part in self._a)

    def __repr__(self) -> str:
        return repr(self._a)


def _operator(name: str) -> Any:
    def method(self: ndarray, *others: Any) -> Any:
        for other in others:
            if isinstance(other, np.ndarray):
                raise TypeError(f"Unsupported type {type(other)}")
        if name in ("__matmul__", "__rmatmul__"):
            _no_cublas()
        run = getattr(self._a, name)
        plain = [_plain(other) for other in others]
        in_place = name.startswith("__i") and name != "__invert__"
        if _graph is not None and in_place:
            _graph.writes(self._a)
            _graph.calls.append(lambda: run(*plain))
        result = run(*plain)
        if in_place:
            return self
        return result if result is NotImplemented else _recorded(result, lambda: run(*plain), (self._a, plain))

    return method


for _name in [
    "add",
    "sub",
    "mul",
    "truediv",
    "floordiv",
    "mod",
    "pow",
    "matmul",
    "and",
    "or",
    "xor",
    "lshift",
    "rshift",
    "radd",
    "rsub",
    "rmul",
    "rtruediv",
    "rfloordiv",
    "rmod",
    "rpow",
    "rmatmul",
    "rand",
    "ror",
    "rxor",
    "iadd",
    "isub",
    "imul",
    "itruediv",
    "ifloordiv",
    "ipow",
    "iand",
    "ior",
    "ixor",
    "neg",
    "pos",
    "abs",
    "invert",
    "eq",
    "ne",
    "lt",
    "le",
    "gt",
    "ge",
]:
    setattr(ndarray, f"__{_name}__", _operator(f"__{_name}__"))
ndarray.__hash__ = None  # type: ignore[assignment]


def wrapped(value: Any) -> Any:
    """Turn what NumPy gives into what CuPy would give: arrays, also where NumPy gives a number."""
    if isinstance(value, np.ndarray):
        return ndarray(value)
    if isinstance(value, np.generic):
        return ndarray(np.asarray(value))
    if isinstance(value, (tuple, list)):
        return type(value)(wrapped(item) for item in value)
    return value


def _plain(value: Any) -> Any:
    """Take the stand-in's arrays apart. Raises: TypeError for an array of NumPy, as CuPy does."""
    if type(value) in (int, float, str, bool):
        return value
    if isinstance(value, ndarray):
        return value._a
    if isinstance(value, np.ndarray):
        raise TypeError(f"Unsupported type {type(value)}")
    if isinstance(value, (tuple, list)) and not hasattr(value, "_fields"):
        return type(value)(_plain(item) for item in value)
    return value


def _recorded(result: Any, again: Callable[[], Any], inputs: Any) -> Any:
    """Return a result as CuPy's, which a graph makes again wherever it is captured."""
    found = wrapped(result)
    if _graph is not None:
        _graph.made(found, again, inputs)
    return found


def _called(function: Any, *arguments: Any, _self: np.ndarray | None = None, **settings: Any) -> Any:
    if getattr(function, "__name__", "") in ("matmul", "dot", "tensordot", "einsum", "inner", "outer", "vdot"):
        _no_cublas()
    plain, named = [_plain(argument) for argument in arguments], _plain_settings(settings)
    out = settings.get("out")

    def run() -> Any:
        return function(*plain, **named)

    if _graph is not None and (out is not None or getattr(function, "__name__", "") == "fill"):
        _graph.writes(*_arrays([_self, named.get("out")]))
        _graph.calls.append(run)
    result = run()
    if out is not None:
        return out[0] if isinstance(out, tuple) else out
    return _recorded(result, run, (_self, plain, list(named.values())))


class RawKernel:
    """A kernel as CuPy has it, run on the CPU in several orders of its threads."""

    max_dynamic_shared_size_bytes = 48 << 10

    def __init__(self, code: str, name: str, options: tuple[str, ...] = ()) -> None:
        self.code, self.name, self.count = code, name, 0
        macros = re.findall(r"^(?:#define|using) (\w+) (?:= )?(.+?);?$", code.partition("#line")[0], re.MULTILINE)
        self.key = (next(iter(re.findall(r'#line 1 "(\w+\.cu)"', code)[-1:]), ""), name, tuple(macros))

    @cached_property
    def kernel(self) -> HostKernel:
        return HostKernel(self.code, self.name)

    def compile(self) -> None:
        """Do nothing: kernels are compiled when they are first launched."""

    def __call__(self, grid: Any, block: Any, arguments: Any, *, shared_mem: int = 0) -> None:
        if shared_mem > self.max_dynamic_shared_size_bytes:
            raise ValueError("CUDA_ERROR_INVALID_VALUE: more shared memory than max_dynamic_shared_size_bytes")
        if max(grid[1:], default=1) > 65535:
            raise ValueError(
                "CUDA_ERROR_INVALID_VALUE: a grid has at most 65535 blocks along its second and third axis"
            )
        launched.add(self.key)
        arrays = [a._a for a in arguments if isinstance(a, ndarray)]
        assert all(a.flags.c_contiguous for a in arrays), (
            f"{self.kernel.name} was given an array that is not contiguous"
        )
        values = [self._value(argument) for argument in arguments]
        if _graph is not None:
            _graph.writes(*arrays)
            _graph.calls.append(lambda: (arrays, self._run(grid, block, values, shared_mem, arrays)))
        self._run(grid, block, values, shared_mem, arrays)

    def _run(self, grid: Any, block: Any, values: Any, shared_mem: int, arrays: list[np.ndarray]) -> None:
        self.count += 1
        if self.count > OFTEN:
            self.kernel(grid, block, values, shared_mem, self.count % ORDERS)
            return
        before = [a.copy() for a in arrays]
        results: list[list[np.ndarray]] = []
        for order in range(ORDERS):
            for a, start in zip(arrays, before, strict=True):
                if a.flags.writeable:
                    a[...] = start
            self.kernel(grid, block, values, shared_mem, order)
            results.append([a.copy() for a in arrays])
        for later in results[1:]:
            for one, other in zip(results[0], later, strict=True):
                assert one.tobytes() == other.tobytes(), f"{self.kernel.name}: other bits in another order of threads"

    @staticmethod
    def _value(argument: Any) -> np.ndarray:
        if isinstance(argument, ndarray):
            return np.array(argument._a.ctypes.data, np.uint64)
        if isinstance(argument, np.ndarray):
            assert argument.size == 1
            return argument
        if isinstance(argument, (bool, int)):  # as CuPy does
            return np.array(argument, np.bool_ if isinstance(argument, bool) else np.int64)
        return np.array(argument, np.float64 if isinstance(argument, float) else None)


def _made(name: str) -> Any:
    """Functions that make arrays: what they leave open is full of NaN, so that forgotten elements show."""
    make = getattr(np, name)

    def function(*arguments: Any, **settings: Any) -> Any:
        def run() -> np.ndarray:
            made = make(*_plain(arguments), **_plain_settings(settings))
            if name.startswith("empty"):
                _poison(made)
            return made

        return _recorded(run(), run, ())

    return function


def _sorting(name: str) -> Any:
    """Sorting, which in CuPy always keeps equal ones in their order, and can be asked for nothing else."""
    sorting = getattr(np, name)

    def function(a: Any, axis: int | None = -1, kind: str | None = None) -> Any:
        if kind not in (None, "stable"):
            raise ValueError("kind can only be None or 'stable'")
        return _called(sorting, a, axis, "stable")

    return function


class _OpenGrid:
    def __getitem__(self, key: Any) -> Any:
        return wrapped(np.ogrid[key])


def _plain_settings(settings: dict[str, Any]) -> dict[str, Any]:
    return {name: _plain(value) for name, value in settings.items()}


class Event:
    """A place in a stream."""

    def __init__(self, stream: Stream) -> None:
        self.stream, self.copies = stream, len(stream.pending)

    def synchronize(self) -> None:
        self.stream.run(self.copies)


class Stream:
    """A stream whose copies are made as late as may be: when something waits for them."""

    def __init__(self, non_blocking: bool = False) -> None:
        self.pending: list[tuple[np.ndarray, np.ndarray]] = []
        self.made = 0
        self.non_blocking = non_blocking

    def __enter__(self) -> Stream:
        return self

    def __exit__(self, *_: object) -> None: ...

    def synchronize(self) -> None:
        self.run(len(self.pending))

    def begin_capture(self) -> None:
        global _graph
        assert self.non_blocking and _graph is None
        _graph = Graph()

    def end_capture(self) -> Graph:
        global _graph
        if _graph is None:
            raise RuntimeError("cudaErrorIllegalState: the stream is not capturing")
        made, _graph = _graph, None
        made.end()
        return made

    def record(self) -> Event:
        return Event(self)

    def wait_event(self, event: Event) -> None:
        event.synchronize()

    def run(self, until: int) -> None:
        for to, source in self.pending[self.made : until]:
            to[...] = source
        self.made = max(self.made, until)


_compute = Stream()


class _Device:
    compute_capability = "90"
    attributes: ClassVar = {"MultiProcessorCount": 132}
    id = 0

    def __init__(self, _: int = 0) -> None: ...

    def __enter__(self) -> _Device:
        return self

    def __exit__(self, *_: object) -> None: ...

    def synchronize(self) -> None: ...


def asarray(a: Any, dtype: Any = None, **settings: Any) -> ndarray:
    """Move numbers to the device."""
    if isinstance(a, ndarray):
        return _recorded(np.asarray(a._a, dtype, **settings), lambda: np.asarray(a._a, dtype, **settings), a)
    if isinstance(a, (list, tuple)):
        a = [item.get() if isinstance(item, ndarray) else item for item in a]
    made = np.array(a, dtype, **settings)
    _allocator(made.nbytes)
    return ndarray(made)


def asnumpy(a: Any) -> np.ndarray:
    return a.get() if isinstance(a, ndarray) else np.asarray(a)


def module() -> ModuleType:
    """Return the stand-in as a module that can be imported as `cupy`."""
    made = ModuleType("cupy")
    own: dict[str, Any] = {
        "ndarray": ndarray,
        "RawKernel": RawKernel,
        "asarray": asarray,
        "array": lambda a, dtype=None, copy=True: asarray(a.copy() if isinstance(a, ndarray) else a, dtype),
        "get_default_memory_pool": lambda: SimpleNamespace(free_all_blocks=lambda: None),
        "get_default_pinned_memory_pool": lambda: SimpleNamespace(malloc=_pinned),
        "asnumpy": asnumpy,
        "get_array_module": lambda *a: made if any(isinstance(x, ndarray) for x in a) else np,
        "ogrid": _OpenGrid(),
        "__version__": "14.0.0",
        "__path__": [],
    }
    own |= {name: _sorting(name) for name in ("sort", "argsort")}
    own |= {name: _made(name) for name in ("empty", "empty_like", "zeros", "ones", "full", "arange", "eye", "linspace")}
    for name, value in own.items():
        setattr(made, name, value)
    cuda = ModuleType("cupy.cuda")
    cuda.Device = _Device  # type: ignore[attr-defined]
    cuda.Stream, cuda.get_current_stream = Stream, lambda: _compute  # type: ignore[attr-defined]
    cuda.MemoryPool = lambda: SimpleNamespace(malloc=None)  # type: ignore[attr-defined]
    cuda.using_allocator = lambda _: nullcontext()  # type: ignore[attr-defined]
    cuda.set_pinned_memory_allocator = _set_pinned_memory_allocator  # type: ignore[attr-defined]
    cuda.runtime = ModuleType("cupy.cuda.runtime")  # type: ignore[attr-defined]
    cuda.runtime.getDeviceCount = lambda: 1  # type: ignore[attr-defined]
    made.cuda = cuda  # type: ignore[attr-defined]

    def missing(name: str) -> Any:
        found = getattr(np, name, None)
        if found is None or name.startswith("__"):
            raise AttributeError(f"module 'cupy' has no attribute {name!r}")
        if isinstance(found, type) or not callable(found):
            return found
        return lambda *arguments, **settings: _called(found, *arguments, **settings)

    made.__getattr__ = missing  # type: ignore[attr-defined]
    return made


_module = module()
_cupyx = ModuleType("cupyx")
_cupyx.empty_pinned = np.empty  # type: ignore[attr-defined]


def put_in_place(wanted: bool) -> None:
    """Have `import cupy` give the stand-in, or what it would give without."""
    mine = {"cupy": _module, "cupy.cuda": _module.cuda, "cupyx": _cupyx}
    for name, part in mine.items():
        if wanted:
            sys.modules[name] = part
        elif sys.modules.get(name) is part:
            del sys.modules[name]
