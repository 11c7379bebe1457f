from __future__ import annotations

import math

from gpudl.callbacks.base import Logs
from gpudl.callbacks.deciding import DecidingCallback
from gpudl.errors import TrainingError


class TerminateOnNaN(DecidingCallback):
    """Stop training as soon as the loss is no longer a finite number.

    With `raise_error`, training ends with an error at once, and no other callback is told of its end.

    Raises: TrainingError where `raise_error` asks for it.
    """

    called = "terminate_on_nan"
    verbose = 1

    def __init__(self, raise_error: bool = False) -> None:
        super().__init__()
        self.raise_error = raise_error

    def on_train_batch_end(self, batch: int, logs: Logs | None = None) -> None:
        loss = (logs or {}).get("loss")
        if loss is None or math.isfinite(loss):
            return
        if self.raise_error:
            raise TrainingError(f"{self.called}: batch {batch + 1}, loss {loss}; lower the learning rate")
        self.decide(f"batch {batch + 1}, loss {loss}: stop")
        self.model.stop_training = True
