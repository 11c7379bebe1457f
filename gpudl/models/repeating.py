"""Forward, loss and gradients of a step on the GPU, recorded once and repeated: Python costs small networks most.

A step of a small network is dozens of launches of a few microseconds each, and Python takes longer for each of them.
So of batches alike that follow each other the second is recorded as one CUDA graph, and those after it launch that.
The optimizer and the metrics are no part of it, since they change from step to step in ways of their own.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from operator import is_
from typing import Any

from gpudl import random
from gpudl.autograd import Parameter
from gpudl.backend import Array, library
from gpudl.config import float32_precision
from gpudl.layers import Lambda
from gpudl.layers.base import Layer
from gpudl.layers.weighted import Weighted
from gpudl.structures import leaves, mapped

MOST = 4
"""Kinds of batches that are recorded, each of which takes the memory of a step."""

Kind = tuple[Any, ...]
Batch = tuple[Any, Any, Any]


class Repeating:
    """Calls `step(x, y, sample_weight)`, which leaves gradients in weights, or repeats what it launched before.

    `weights` are all those that the step reads or writes, `losses` and their regularizers what else has settings
    besides the layers. What cannot be recorded is taken as it is written.
    """

    def __init__(
        self, step: Callable[[Any, Any, Any], Any], weights: Sequence[Parameter], losses: Sequence[Any] = ()
    ) -> None:
        self._step, self._weights = step, weights
        self._owners = [*losses, *(weight.regularizer for weight in weights if weight.regularizer is not None)]
        self._before: Kind | None = None
        self._known: dict[Kind, _Recorded | None] = {}

    def __call__(self, x: Any, y: Any, sample_weight: Any) -> Any:
        batch = (x, y, sample_weight)
        arrays = list(leaves(batch))
        kind = _kind(arrays)
        if kind is not None and kind == self._before and kind not in self._known and len(self._known) < MOST:
            self._known[kind] = self._record(batch)
        self._before = kind
        known = None if kind is None else self._known.get(kind)
        if known is None:
            return self._step(*batch)
        if known.still_holds():
            return known.repeat(arrays)
        self.close()  # a layer was set otherwise, or another optimizer has moved the weights
        self._before = None
        return self._step(*batch)

    def _record(self, batch: Batch) -> _Recorded | None:
        """Record a step without taking it; None where that cannot be done."""
        from gpudl.backend.cupy.recording import CannotRecord, Recording

        mine: Batch = mapped(lambda a: None if a is None else a.copy(), batch)
        with random.noted() as draws:
            try:
                recording = Recording(lambda: self._step(*mine))
            except CannotRecord:
                recording = None
        random.take_back(draws)
        if recording is not None and set(recording.keys) == {draw.key for draw in draws}:
            return _Recorded(recording, list(leaves(mine)), draws, self._weights, self._owners)
        for weight in self._weights:
            weight.grad = None
        return None

    def close(self) -> None:
        """Give back the memory of all that is recorded."""
        for known in self._known.values():
            if known is not None:
                known.recording.close()
        self._known.clear()


class _Recorded:
    """A step that was recorded, with all that must be as it was then."""

    def __init__(
        self,
        recording: Any,
        arrays: list[Array | None],
        draws: list[random.Draw],
        weights: Sequence[Parameter],
        owners: Sequence[Any],
    ) -> None:
        self.recording, self._arrays, self._draws, self._owners = recording, arrays, draws, owners
        self._places = [(weight, weight.data, weight.buffer) for weight in weights]
        self._gradients = [(weight, weight.grad) for weight in weights if weight.grad is not None]
        self._settings, self._layers = self._settings_now(), Weighted.settings_made

    def _settings_now(self) -> list[Any]:
        return [value for owner in self._owners for value in getattr(owner, "__dict__", {}).values()]

    def still_holds(self) -> bool:
        """Whether all weights are where they were, and no layer, loss or regularizer was set otherwise."""
        now = self._settings_now()
        if self._layers != Weighted.settings_made or len(now) != len(self._settings):
            return False
        if not all(map(is_, self._settings, now)):
            return False
        return all(weight.data is data and weight.buffer is buffer for weight, data, buffer in self._places)

    def repeat(self, arrays: Iterable[Array | None]) -> Any:
        """Take the step with another batch. The gradients, and what is returned, lie where they did before."""
        for mine, given in zip(self._arrays, arrays, strict=True):
            if mine is not None:
                mine[...] = given
        fresh = {draw.key: draw.again() for draw in self._draws}
        found = self.recording.repeat([fresh[key] for key in self.recording.keys])
        for weight, gradient in self._gradients:
            weight.grad = gradient
        return found


def _kind(arrays: Sequence[Any]) -> Kind | None:
    """Return what batches that can share a recording have in common; None where one is not wholly on the GPU."""
    if any(a is not None and library(a) != "cupy" for a in arrays):
        return None
    return float32_precision(), *(None if a is None else (a.shape, a.dtype) for a in arrays)


def is_all_built_in(layer: Layer, losses: Sequence[Any] = ()) -> bool:
    """Whether no code of a user's or a plugin's takes part, whose Python may do something else in every step."""
    if isinstance(layer, Lambda) or not all(map(is_all_built_in, layer.sublayers())):
        return False
    parts = (layer, *vars(layer).values(), *losses, *(value for loss in losses for value in vars(loss).values()))
    return all((getattr(part, "__module__", None) or "").startswith("gpudl.") for part in parts if callable(part))
