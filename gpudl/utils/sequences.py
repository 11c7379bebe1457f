from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np

from gpudl.errors import UsageError


def pad_sequences(
    sequences: Iterable[Sequence[Any]],
    maxlen: int | None = None,
    dtype: str = "int32",
    padding: str = "pre",
    truncating: str = "pre",
    value: Any = 0.0,
) -> np.ndarray:
    """Bring sequences to one length: short ones are filled with `value`, long ones cut, at the front or at the end.

    Shapes: n sequences of any lengths to (n, maxlen, ...); without `maxlen` to the longest one's length.
    Raises: UsageError where an entry is no sequence, or entries differ in shape.
    """
    for name, given in (("padding", padding), ("truncating", truncating)):
        if given not in ("pre", "post"):
            raise UsageError(f'pad_sequences({name}={given!r}): {name} must be "pre" or "post"')
    rows: list[np.ndarray] = []
    for number, sequence in enumerate(sequences):
        if not hasattr(sequence, "__len__"):
            raise UsageError(f"pad_sequences: entry {number} is {sequence!r}, but must be a list of numbers")
        rows.append(np.asarray(sequence))
    length = max((len(row) for row in rows), default=0) if maxlen is None else maxlen
    shape = next((row.shape[1:] for row in rows if len(row)), ())
    padded = np.full((len(rows), length, *shape), value, dtype)
    for number, row in enumerate(rows):
        if not len(row):
            continue
        if row.shape[1:] != shape:
            raise UsageError(
                f"pad_sequences: entry {number} holds elements of shape {row.shape[1:]}, but those before of {shape}"
            )
        kept = row[max(0, len(row) - length) :] if truncating == "pre" else row[:length]
        where = slice(length - len(kept), length) if padding == "pre" else slice(0, len(kept))
        padded[number, where] = kept
    return padded
