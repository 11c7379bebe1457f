"""Keyed random streams: what is drawn depends on (seed, purpose, step) and on nothing that ran before.

Every stream is a Philox counter generator whose key is a hash of those three. So a run resumed at step 1,000 draws
what the uninterrupted run drew there, and a GPU kernel given the same key draws the same bits.

Layers that draw during training (dropout) ask for `layer_key()`: the n-th draw of the current step.
"""

from __future__ import annotations

import hashlib
import os

import numpy as np

from gpudl.errors import UsageError


def key(seed: int, purpose: str, step: int = 0) -> int:
    """Return the 128-bit Philox key of (seed, purpose, step)."""
    text = f"gpudl/{seed}/{purpose}/{step}".encode()
    return int.from_bytes(hashlib.blake2b(text, digest_size=16).digest(), "little")


def stream(seed: int, purpose: str, step: int = 0) -> np.random.Generator:
    """Return a fresh generator for (seed, purpose, step); equal arguments give equal draws."""
    return np.random.Generator(np.random.Philox(key=key(seed, purpose, step)))


class _Current:
    """What a draw without a key of its own is numbered by: the seed, the training step and the draws since it began."""

    seed = int.from_bytes(os.urandom(4), "little")
    weights = 0
    step = 0
    draws = 0


def set_random_seed(seed: int) -> None:
    """Fix the seed of everything drawn from here on: initial weights, shuffles, dropout."""
    if not isinstance(seed, int) or isinstance(seed, bool) or seed < 0:
        raise UsageError(f"seed={seed!r} is not an integer of at least 0")
    _Current.seed, _Current.weights, _Current.step, _Current.draws = seed, 0, 0, 0


def current_seed() -> int:
    """Return the seed in force; drawn from the system at import where none was set."""
    return _Current.seed


def begin_step(step: int) -> None:
    """Number the draws of layers from here on by this training step."""
    _Current.step, _Current.draws = step, 0


def weight_stream() -> np.random.Generator:
    """Return the stream of the next weight to be initialized."""
    _Current.weights += 1
    return stream(_Current.seed, "weights", _Current.weights)


def layer_key(seed: int | None = None) -> int:
    """Return the key of the current step's next draw by a layer; from `seed`, where the layer has one of its own."""
    _Current.draws += 1
    return key(_Current.seed if seed is None else seed, f"layers/{_Current.step}", _Current.draws)
