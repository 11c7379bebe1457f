"""Names for what was given none: `dense`, `dense_1`, ..."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable

from gpudl import registry

_counts: Counter[str] = Counter()


def fresh_name(cls: type | Callable[..., object]) -> str:
    """Return `dense`, `dense_1`, ...: the name of the class (or function) and how many there were before."""
    base = vars(cls).get("default_name") or registry.snake_case(cls.__name__)
    count = _counts[base]
    _counts[base] += 1
    return f"{base}_{count}" if count else base


def clear_session() -> None:
    """Number names from the beginning again, as in a fresh program. Models made before stay as they are."""
    _counts.clear()
