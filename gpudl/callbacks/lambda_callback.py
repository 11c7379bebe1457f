from __future__ import annotations

from collections.abc import Callable
from typing import Any

from gpudl.callbacks.base import EVENTS, Callback
from gpudl.errors import UsageError, did_you_mean

MOMENTS = (*EVENTS, "on_batch_begin", "on_batch_end", "set_model", "set_params")

Moment = Callable[..., Any] | None


class LambdaCallback(Callback):
    """Call given functions at given moments: `LambdaCallback(on_epoch_end=lambda epoch, logs: print(logs["loss"]))`.

    Each takes what the method of that name takes; further moments go by name, as in `on_test_end=...`. Functions cannot
    be written down, so this callback has no name in experiment files.

    Raises: UsageError for a moment that there is not.
    """

    def __init__(
        self,
        on_epoch_begin: Moment = None,
        on_epoch_end: Moment = None,
        on_train_begin: Moment = None,
        on_train_end: Moment = None,
        on_train_batch_begin: Moment = None,
        on_train_batch_end: Moment = None,
        **others: Callable[..., Any],
    ) -> None:
        given = {
            "on_epoch_begin": on_epoch_begin, "on_epoch_end": on_epoch_end,
            "on_train_begin": on_train_begin, "on_train_end": on_train_end,
            "on_train_batch_begin": on_train_batch_begin, "on_train_batch_end": on_train_batch_end,
            **others,
        }  # fmt: skip
        for name, function in given.items():
            if name not in MOMENTS:
                raise UsageError(
                    f"LambdaCallback({name}=...): there is no such moment"
                    f"{did_you_mean(name, MOMENTS) or '; there are ' + ', '.join(EVENTS)}"
                )
            if function is not None and not callable(function):
                raise UsageError(f"LambdaCallback({name}={function!r}): expected a function")
            if function is not None:
                setattr(self, name, function)
