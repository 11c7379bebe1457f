"""Forward, loss and gradients of a step, recorded once and repeated: Python costs small networks most.

On the GPU a step of a small network is dozens of launches of a few microseconds each, and Python takes longer for each
of them. So of batches alike that follow each other the second is recorded as one CUDA graph, and those after it launch
that. On the CPU the second is taken, and the ops that it calls are noted; those after it call them again.

The optimizer and the metrics are no part of it, since they change from step to step in ways of their own.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from operator import is_
from typing import Any

import numpy as np

from gpudl import random
from gpudl.autograd import Parameter, listening
from gpudl.backend import Array, library
from gpudl.config import float32_precision
from gpudl.layers import Lambda
from gpudl.layers.base import Layer
from gpudl.layers.weighted import Weighted
from gpudl.replay import CannotReplay, Notes, Replay, is_own
from gpudl.structures import leaves, mapped, outline

MOST = 4
"""Kinds of batches that are recorded; on the GPU each takes the memory of a step."""

Kind = tuple[Any, ...]
Batch = tuple[Any, Any, Any]
Repeat = Callable[[Sequence[Array | None], Sequence[int]], Any]
"""Takes the step with the arrays of another batch, and with keys of random draws."""


class Repeating:
    """Calls `step(x, y, sample_weight)`, which leaves gradients in weights, or repeats what it did before.

    `weights` are all those that the step reads or writes, `owners()` what else has settings besides the layers. What
    cannot be recorded is taken as it is written, and so is everything while not `allowed()`.
    """

    def __init__(
        self,
        step: Callable[[Any, Any, Any], Any],
        weights: Sequence[Parameter],
        owners: Callable[[], list[Any]],
        allowed: Callable[[], bool],
    ) -> None:
        self._step, self._weights, self._owners, self._allowed = step, weights, owners, allowed
        self._before: Kind | None = None
        self._known: dict[Kind, _Recorded | None] = {}

    def __call__(self, x: Any, y: Any, sample_weight: Any) -> Any:
        batch = (x, y, sample_weight)
        single = type(x) is type(y) is np.ndarray and sample_weight is None
        arrays: Sequence[Array | None] = batch if single else list(leaves(batch))
        kind = _kind(arrays, None if single else outline(batch))
        known = None if kind is None else self._known.get(kind)
        if known is not None:
            if known.still_holds() and (keys := known.fresh_keys()) is not None:
                self._before = kind
                return known.repeat(arrays, keys)
            self.close()  # a layer was set otherwise, or another optimizer has moved the weights
            self._before = None
            return self._step(*batch)
        again, self._before = kind == self._before, kind
        if kind is None or not again or kind in self._known or len(self._known) == MOST:
            return self._step(*batch)
        if not self._allowed():
            self._known[kind] = None
            return self._step(*batch)
        if kind[0] == "numpy":
            return self._note(batch, arrays, kind)
        recorded = self._known[kind] = self._record(batch)
        keys = None if recorded is None else recorded.fresh_keys()
        return self._step(*batch) if recorded is None or keys is None else recorded.repeat(arrays, keys)

    def _note(self, batch: Batch, arrays: Sequence[Array | None], kind: Kind) -> Any:
        """Take a step and note what it does."""
        notes = Notes(arrays, self._weights)
        with random.noted() as draws, listening(notes):
            found = self._step(*batch)
        try:
            replay = Replay(notes, [draw.key for draw in draws], found)
            self._known[kind] = _Recorded(replay.repeat, replay.keys, draws, self._weights, self._owners())
        except CannotReplay:
            self._known[kind] = None
        return found

    def _record(self, batch: Batch) -> _Recorded | None:
        """Record a step as a CUDA graph without taking it; None where that cannot be done."""
        from gpudl.backend.cupy.recording import CannotRecord, Recording

        mine: Batch = mapped(lambda a: None if a is None else a.copy(), batch)
        with random.noted() as draws:
            try:
                recording = Recording(lambda: self._step(*mine))
            except CannotRecord:
                recording = None
        random.take_back(draws)
        if recording is not None and set(recording.keys) == {draw.key for draw in draws}:
            gradients = [(weight, weight.grad) for weight in self._weights if weight.grad is not None]

            def repeat(arrays: Sequence[Array | None], keys: Sequence[int]) -> Any:
                """The gradients, and what is returned, lie where they did before."""
                for own, given in zip(leaves(mine), arrays, strict=True):
                    if own is not None:
                        own[...] = given
                found = recording.repeat(keys)
                for weight, gradient in gradients:
                    weight.grad = gradient
                return found

            return _Recorded(repeat, recording.keys, draws, self._weights, self._owners(), recording.close)
        for weight in self._weights:
            weight.grad = None
        return None

    def close(self) -> None:
        """Give back the memory of all that is recorded."""
        for known in self._known.values():
            if known is not None:
                known.close()
        self._known.clear()


class _Recorded:
    """A step that was recorded, with all that must be as it was then."""

    def __init__(
        self,
        repeat: Repeat,
        keys: Sequence[int],
        draws: Sequence[random.Draw],
        weights: Sequence[Parameter],
        owners: Sequence[Any],
        close: Callable[[], None] = lambda: None,
    ) -> None:
        self.repeat, self.close = repeat, close
        self._keys, self._draws, self._owners = keys, draws, owners
        self._places = [(w, w.data, w.buffer, w.regularizer, w.requires_grad) for w in weights]
        self._settings, self._layers = self._settings_now(), Weighted.settings_made

    def _settings_now(self) -> list[Any]:
        return [value for owner in self._owners for value in getattr(owner, "__dict__", {}).values()]

    def still_holds(self) -> bool:
        """Whether all weights are what and where they were, and no layer, loss or regularizer was set otherwise."""
        if self._layers != Weighted.settings_made:
            return False
        now = self._settings_now()
        if len(now) != len(self._settings) or not all(map(is_, self._settings, now)):
            return False
        for weight, data, buffer, regularizer, trained in self._places:
            if weight.data is not data or weight.buffer is not buffer:
                return False
            if weight.regularizer is not regularizer or weight.requires_grad is not trained:
                return False
        return True

    def fresh_keys(self) -> list[int] | None:
        """Draw the keys of the next step; None where two draws, which had one key, have two by now."""
        fresh: dict[int, int] = {}
        for number, draw in enumerate(self._draws, 1):
            key = draw.again()
            if fresh.setdefault(draw.key, key) != key:
                random.take_back(self._draws[:number])
                return None
        return [fresh[key] for key in self._keys]


def _kind(arrays: Sequence[Any], structure: Any) -> Kind | None:
    """Return what batches that can share a recording have in common; None where not all are of one library."""
    kind: list[Any] = ["numpy", float32_precision(), structure]
    for array in arrays:
        if type(array) is not np.ndarray and array is not None:
            kind[0] = "cupy"
        kind.append(None if array is None else (array.shape, array.dtype.str))
    if kind[0] == "cupy" and any(library(array) != "cupy" for array in arrays if array is not None):
        return None
    return tuple(kind)


def is_all_built_in(layer: Layer, losses: Sequence[Any] = ()) -> bool:
    """Whether no code of a user's or a plugin's takes part, whose Python may do something else in every step."""
    if isinstance(layer, Lambda) or not all(map(is_all_built_in, layer.sublayers())):
        return False
    parts = [layer, *vars(layer).values(), *losses, *(value for loss in losses for value in vars(loss).values())]
    parts += [weight.regularizer for weight in layer.weights]
    return all(is_own(part) for part in parts if callable(part))
