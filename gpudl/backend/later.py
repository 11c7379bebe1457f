"""Results that are still being worked on.

In a backward pass nobody but the optimizer waits for the gradient of a kernel. So other threads may be at work on it
while the pass goes on.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any


class Later:
    """A value that comes later. `result()`, to be called once, takes part in what is left of the work and returns it.

    It raises what the work raised.
    """

    __slots__ = ("result",)

    def __init__(self, result: Callable[[], Any]) -> None:
        self.result = result


def now(value: Any) -> Any:
    """Return the value, waiting for it if it comes later."""
    return value.result() if isinstance(value, Later) else value


def then(value: Any, change: Callable[[Any], Any]) -> Any:
    """Return `change(value)`; if the value comes later, so does that."""
    return Later(lambda: change(value.result())) if isinstance(value, Later) else change(value)
