"""Keyed random streams: what is drawn depends on (seed, purpose, step) and on nothing that ran before.

Every stream is a Philox counter generator whose key is a hash of those three. So a run resumed at step 1,000 draws
what the uninterrupted run drew there, and a GPU kernel given the same key draws the same bits.

Layers that draw during training (dropout) ask for `layer_key()`: the n-th draw of the current step.
"""

from __future__ import annotations

import hashlib
import os
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any, ClassVar, NamedTuple

import numpy as np

from gpudl.errors import UsageError


def key(seed: int, purpose: str, step: int = 0) -> int:
    """Return the 128-bit Philox key of (seed, purpose, step)."""
    text = f"gpudl/{seed}/{purpose}/{step}".encode()
    return int.from_bytes(hashlib.blake2b(text, digest_size=16).digest(), "little")


def stream(seed: int, purpose: str, step: int = 0) -> np.random.Generator:
    """Return a fresh generator for (seed, purpose, step); equal arguments give equal draws."""
    return np.random.Generator(np.random.Philox(key=key(seed, purpose, step)))


class Draw(NamedTuple):
    """What `layer_key` was asked, and what it returned."""

    seed: int | SeedGenerator | None
    layer: object
    key: int

    def again(self) -> int:
        """Return the key that the same question gets now."""
        return layer_key(self.seed, self.layer)


class _Current:
    """What a draw without a key of its own is numbered by: the seed, the training step and the draws since it began."""

    seed = int.from_bytes(os.urandom(4), "little")
    weights = 0
    step = 0
    draws = 0
    own_draws: ClassVar[dict[int, int]] = {}


class _Noting(threading.local):
    draws: list[Draw] | None = None
    """What draws of this thread's layers are added to."""


_noting = _Noting()


def set_random_seed(seed: int) -> None:
    """Fix the seed of everything drawn from here on: initial weights, shuffles, dropout."""
    if not isinstance(seed, int) or isinstance(seed, bool) or seed < 0:
        raise UsageError(f"seed={seed!r} is not an integer of at least 0")
    _Current.seed, _Current.weights, _Current.step, _Current.draws = seed, 0, 0, 0
    _Current.own_draws.clear()


def current_seed() -> int:
    """Return the seed in force; drawn from the system at import where none was set."""
    return _Current.seed


def begin_step(step: int) -> None:
    """Number the draws of layers from here on by this training step."""
    _Current.step, _Current.draws = step, 0
    _Current.own_draws.clear()


def weight_stream() -> np.random.Generator:
    """Return the stream of the next weight to be initialized."""
    _Current.weights += 1
    return stream(_Current.seed, "weights", _Current.weights)


def layer_key(seed: int | SeedGenerator | None = None, layer: object = None) -> int:
    """Return the key of the current step's next draw by a layer.

    A `seed` of the layer's own takes the place of the seed in force. Its draws are then counted by themselves, so that
    two layers with one seed draw the same: an image and its mask are turned alike.
    """
    found = _next_key(seed, layer)
    if _noting.draws is not None:
        _noting.draws.append(Draw(seed, layer, found))
    return found


def _next_key(seed: int | SeedGenerator | None, layer: object) -> int:
    if isinstance(seed, SeedGenerator):
        return seed.next()
    if seed is not None and layer is not None:
        count = _Current.own_draws[id(layer)] = _Current.own_draws.get(id(layer), 0) + 1
        return key(seed, f"layers/{_Current.step}", count)
    _Current.draws += 1
    return key(_Current.seed if seed is None else seed, f"layers/{_Current.step}", _Current.draws)


@contextmanager
def noted() -> Iterator[list[Draw]]:
    """Within this context all draws of this thread's layers are noted, in their order."""
    before, found = _noting.draws, []
    _noting.draws = found
    try:
        yield found
    finally:
        _noting.draws = before


def take_back(draws: Sequence[Draw]) -> None:
    """Begin the step under way anew, in which these were all draws."""
    begin_step(_Current.step)
    for draw in draws:
        if isinstance(draw.seed, SeedGenerator):
            draw.seed.draws -= 1


class SeedGenerator:
    """A seed of one's own for `normal`, `uniform` and the others: equal seeds draw equal sequences."""

    def __init__(self, seed: int | None = None) -> None:
        self.seed = int.from_bytes(os.urandom(4), "little") if seed is None else seed
        self.draws = 0

    def next(self) -> int:
        """Return the key of the next draw."""
        self.draws += 1
        return key(self.seed, "seed generator", self.draws)


def _drawing(seed: int | SeedGenerator | None) -> np.random.Generator:
    """A generator for one draw: the next of a SeedGenerator, always the same for an integer, else the step's next."""
    if isinstance(seed, SeedGenerator):
        return np.random.Generator(np.random.Philox(key=seed.next()))
    if seed is not None:
        return stream(seed, "draw")
    return np.random.Generator(np.random.Philox(key=layer_key()))


def normal(
    shape: Sequence[int],
    mean: float = 0.0,
    stddev: float = 1.0,
    dtype: str | None = None,
    seed: int | SeedGenerator | None = None,
) -> np.ndarray:
    """Draw from a normal distribution."""
    return _drawing(seed).normal(mean, stddev, tuple(shape)).astype(dtype or "float32")


def truncated_normal(
    shape: Sequence[int],
    mean: float = 0.0,
    stddev: float = 1.0,
    dtype: str | None = None,
    seed: int | SeedGenerator | None = None,
) -> np.ndarray:
    """Draw from a normal distribution, values beyond two standard deviations being drawn again."""
    draw = _drawing(seed)
    values = draw.standard_normal(tuple(shape))
    while (outside := np.abs(values) > 2).any():
        values[outside] = draw.standard_normal(int(outside.sum()))
    return (mean + stddev * values).astype(dtype or "float32")


def uniform(
    shape: Sequence[int],
    minval: float = 0.0,
    maxval: float = 1.0,
    dtype: str | None = None,
    seed: int | SeedGenerator | None = None,
) -> np.ndarray:
    """Draw evenly from [minval, maxval)."""
    return _drawing(seed).uniform(minval, maxval, tuple(shape)).astype(dtype or "float32")


def randint(
    shape: Sequence[int],
    minval: int,
    maxval: int,
    dtype: str | None = "int32",
    seed: int | SeedGenerator | None = None,
) -> np.ndarray:
    """Draw integers from [minval, maxval)."""
    return _drawing(seed).integers(minval, maxval, tuple(shape)).astype(dtype or "int32")


def shuffle(x: np.ndarray, axis: int = 0, seed: int | SeedGenerator | None = None) -> np.ndarray:
    """Return a copy with the entries along an axis in random order."""
    return _drawing(seed).permuted(x, axis=axis) if x.ndim == 1 else _drawing(seed).permutation(x, axis=axis)


def categorical(
    logits: np.ndarray, num_samples: int, dtype: str | None = "int32", seed: int | SeedGenerator | None = None
) -> np.ndarray:
    """Draw classes by their unnormalized log-probabilities. Shapes: (N, K) -> (N, num_samples)."""
    scores = np.asarray(getattr(logits, "data", logits))[:, None, :]
    noise = _drawing(seed).gumbel(size=(scores.shape[0], num_samples, scores.shape[2]))
    return (scores + noise).argmax(axis=-1).astype(dtype or "int32")


def dropout(
    inputs: Any, rate: float, noise_shape: Sequence[int] | None = None, seed: int | SeedGenerator | None = None
) -> Any:
    """Set a share `rate` of the elements to 0 and scale the others by 1 / (1 - rate). A Tensor gives a Tensor."""
    if not 0 <= rate <= 1:
        raise UsageError(f"dropout(rate={rate!r}): rate must lie between 0 and 1")
    kept = _drawing(seed).random(tuple(noise_shape or inputs.shape)) >= rate
    return inputs * (kept / max(1 - rate, 1e-30)).astype(str(inputs.dtype))


def layer_stream(seed: int | SeedGenerator | None = None, layer: object = None) -> np.random.Generator:
    """Return a generator of the current step's next draw by a layer, for what is drawn on the CPU."""
    return np.random.Generator(np.random.Philox(key=layer_key(seed, layer)))
