from __future__ import annotations

import math

from gpudl.callbacks.base import Callback, Logs


class TerminateOnNaN(Callback):
    """Stop training as soon as the loss is no longer a finite number."""

    def __init__(self) -> None:
        pass

    def on_train_batch_end(self, batch: int, logs: Logs | None = None) -> None:
        loss = (logs or {}).get("loss")
        if loss is not None and not math.isfinite(loss):
            print(f"terminate_on_nan: batch {batch}, loss {loss}: stop")
            self.model.stop_training = True
