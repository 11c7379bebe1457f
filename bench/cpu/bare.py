"""NumPy's calls of a training step, noted and made again without the step: `python -m bench.cpu.bare digits`.

What the step takes beyond them is Python: gpudl's own between the calls. Each is timed in a process of its own, in
turns. Whether one is missing is looked into: all that the calls have made is filled with NaN, and the gradients that
they leave, made again, have to be the step's to the bit. Draws of random numbers and the optimizer's results are not.
The calls have arrays of their own, where those of a step come to lie in each other's places, and so the caches hold
less of them.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, ClassVar, NamedTuple

import numpy as np
from rich.console import Console

from bench.cpu.__main__ import machine
from bench.cpu.profile import NETWORKS, built, step, step_and_model
from bench.cpu.turns import WARM_UP, Way, environment, table_of, take_turns

VIEWS = "__getitem__", "reshape", "view", "transpose", "swapaxes"
"""Calls that compute nothing."""

KINDS = {
    "products": ("matmul",),
    "room": ("empty",),
    "views": VIEWS,
    "copies": ("__setitem__", "copyto", "repeat", "astype", "copy", "ascontiguousarray", "fill", "take"),
}
"""Names of calls by what they do; all others are loops over numbers."""

ADDED = "products", "loops", "copies", "room", "views"
"""The kinds in the order in which they are added up."""

METHODS = *VIEWS, "__setitem__", "repeat", "astype", "copy", "fill", "sum", "max"

COPIES = "copy", "astype", "ascontiguousarray"
"""Calls that copy an array, if anything."""

new_array = np.empty
"""NumPy's own, also where arrays are noted from the start."""


class Call(NamedTuple):
    """One call of NumPy."""

    name: str
    function: Callable[..., Any]
    arguments: tuple[Any, ...]
    settings: dict[str, Any]


class Noted(np.ndarray):
    """An array that notes what is called on it, and so do all that come of it."""

    calls: list[Call] | None = None
    """None while nobody wants to know."""
    made: ClassVar[list[np.ndarray]] = []
    """What the noted calls have written."""

    def __array_ufunc__(self, ufunc: Any, method: str, *inputs: Any, out: Any = None, **settings: Any) -> Any:
        function, given = getattr(ufunc, method), _plain(inputs)
        if out is not None:
            made = function(*given, out=_plain(out), **settings)
        else:
            made = function(*given, **settings)
            if isinstance(made, np.ndarray):  # made again, it is to be where later calls look for it
                _note("empty", new_array, (made.shape, made.dtype), {})
        if isinstance(made, np.ndarray):
            settings["out"] = _plain(made)
        _note(ufunc.__name__, function, given, settings, settings.get("out"))
        return _noted(made) if out is None else out[0]

    def __array_function__(self, function: Any, types: Any, arguments: Any, settings: Any) -> Any:
        return _noted(_call(function.__name__, function, _plain(arguments), _plain(settings)))

    @property
    def T(self) -> Any:  # noqa: N802  NumPy's name
        return self.transpose()


def _noting(name: str) -> Callable[..., Any]:
    method = getattr(np.ndarray, name)

    def noting(self: Any, *arguments: Any, **settings: Any) -> Any:
        if arguments and isinstance(arguments[0], type) and issubclass(arguments[0], np.ndarray):
            return method(self, *arguments, **settings)  # to be, or no longer to be, one of these
        return _noted(_call(name, method, (_plain(self), *_plain(arguments)), _plain(settings)))

    return noting


for each in METHODS:
    setattr(Noted, each, _noting(each))


def _plain(x: Any) -> Any:
    """x with ordinary arrays in it."""
    if isinstance(x, Noted):
        return np.ndarray.view(x, np.ndarray)
    if type(x) in (tuple, list):
        return type(x)(map(_plain, x))
    return {name: _plain(value) for name, value in x.items()} if type(x) is dict else x


def _noted(x: Any) -> Any:
    return np.ndarray.view(x, Noted) if isinstance(x, np.ndarray) and not isinstance(x, Noted) else x


def _note(name: str, function: Any, arguments: Any, settings: Any, made: np.ndarray | None = None) -> None:
    if Noted.calls is not None:
        Noted.calls.append(Call(name, function, arguments, settings))
        if made is not None:
            Noted.made.append(made)


def _call(name: str, function: Callable[..., Any], arguments: tuple[Any, ...], settings: dict[str, Any]) -> Any:
    made = function(*arguments, **settings)
    given = [each for each in arguments if isinstance(each, np.ndarray)]
    is_new = isinstance(made, np.ndarray) and not any(np.may_share_memory(made, each) for each in given)
    if is_new and given:  # made again, it is to be in the same place
        if name in COPIES:
            _note("empty", new_array, (made.shape, made.dtype), {})
            _note(name, np.copyto, (made, arguments[0], "unsafe"), {}, made)
        else:
            kind = "take" if name in VIEWS else name
            _note(kind, lambda *again, **asked: np.copyto(made, function(*again, **asked)), arguments, settings, made)
    else:
        _note(name, function, arguments, settings)
    return made


def _note_new_arrays() -> None:
    """Have arrays noted from where gpudl makes them, which no array is asked about."""
    from gpudl.backend.numpy import aligned
    from gpudl.backend.numpy.bands import Alike

    def noting(name: str, function: Callable[..., Any]) -> Callable[..., Any]:
        return lambda *given, **settings: _noted(_call(name, function, _plain(given), _plain(settings)))

    for name in ("empty", "zeros", "ascontiguousarray"):
        setattr(np, name, noting(name, getattr(np, name)))
    empty, of = aligned.empty, Alike.of

    def aligned_empty(shape: tuple[int, ...], dtype: Any) -> Any:
        before, Noted.calls = Noted.calls, None
        made = empty(shape, dtype)
        Noted.calls = before
        _note("empty", np.ndarray, (shape, dtype), {})
        return _noted(made)

    def alike_of(self: Alike, x: Any, used: int) -> Any:
        made = of(self, _plain(x), used)
        _note("view", np.ndarray, (made.shape, made.dtype, _plain(x), 0, made.strides), {})
        return _noted(made)

    aligned.empty, Alike.of = aligned_empty, alike_of  # pyright: ignore[reportAttributeAccessIssue]


def calls_of(network: str, batch: int) -> list[Call]:
    """Return what a training step calls. Raises: AssertionError where that is not all it computes with."""
    _note_new_arrays()
    take_step, model = step_and_model(network, batch)
    for _ in range(WARM_UP):
        take_step()
    Noted.calls, Noted.made = [], []
    take_step()
    calls, Noted.calls = Noted.calls, None
    gradients = [_plain(weight.buffer) for weight in model.optimizer.parameters]
    expected = [gradient.copy() for gradient in gradients]
    stays = [_plain(array) for array in (*(weight.data for weight in model.weights), *model.optimizer._slots.values())]
    for array in (*Noted.made, *gradients):
        if array.dtype.kind == "f" and not any(np.may_share_memory(array, each) for each in stays):
            array.fill(np.nan)
    _make(calls)
    for gradient, its in zip(gradients, expected, strict=True):
        assert gradient.tobytes() == its.tobytes(), "a call is missing"
    return calls


def _make(calls: Sequence[Call]) -> None:
    for _, function, arguments, settings in calls:
        function(*arguments, **settings)


def kind_of(call: str) -> str:
    """Return what a call does, one of ADDED."""
    return next((kind for kind, names in KINDS.items() if call in names), "loops")


def made_again(network: str, batch: int, kinds: Sequence[str]) -> Callable[[], None]:
    """Return what makes a step's calls of these kinds."""
    calls = [call for call in calls_of(network, batch) if kind_of(call.name) in kinds]

    def make() -> None:
        with np.errstate(all="ignore"):  # what is left out does not bring numbers to where others look for them
            _make(calls)

    return make


def counted(network: str, batch: int) -> dict[str, int]:
    """Return how often a step calls what."""
    return dict(Counter(call.name for call in calls_of(network, batch)).most_common())


def ways(network: str, batch: int) -> list[Way]:
    """Return what is compared: the step, and its calls, a kind more each time."""
    added = [ADDED[: count + 1] for count in range(len(ADDED))]
    return [
        Way("the step", step, (network, batch), threads=1),
        *(Way(f"{'and' if kinds[1:] else 'only'} {kinds[-1]}", made_again, (network, batch, kinds), threads=1)
          for kinds in added),
    ]  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m bench.cpu.bare", description=(__doc__ or "").splitlines()[0])
    parser.add_argument("networks", choices=NETWORKS, nargs="+")
    parser.add_argument("--batch", type=int, help="samples of a batch, if not the benchmark's")
    parser.add_argument("--turns", type=int, default=20, help="how often each takes its turn")
    parser.add_argument("--seconds", type=float, default=0.2, help="length of a turn")
    parser.add_argument("--out", metavar="FILE", type=Path, help="write the figures there as JSON")
    options = parser.parse_args()
    written = []
    for network in options.networks:
        batch = options.batch or built(network)[1]
        rows = take_turns(ways(network, batch), options.turns, options.seconds)
        with environment(GPUDL_NUM_THREADS="1"), multiprocessing.get_context("spawn").Pool(1) as pool:
            calls = pool.apply(counted, (network, batch))
        of_kind = {kind: sum(count for name, count in calls.items() if kind_of(name) == kind) for kind in ADDED}
        counts = ", ".join(f"{count} {kind}" for kind, count in of_kind.items())
        title = f"{network}, batch of {batch}: {sum(calls.values())} calls, {counts}"
        Console(width=120).print(table_of(title, rows))
        written.append({"network": network, "batch": batch, "rows": rows, "calls": calls})
    if options.out:
        options.out.write_text(json.dumps({"machine": machine(), "unit": "ms", "networks": written}, indent=1) + "\n")


if __name__ == "__main__":
    main()
