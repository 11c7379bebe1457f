"""What callbacks share that set the learning rate."""

from __future__ import annotations

from typing import Any

from gpudl.callbacks.base import Logs
from gpudl.errors import UsageError
from gpudl.schedules import LearningRateSchedule


def refuse_schedule(who: str, optimizer: Any) -> None:
    """Raises: UsageError where the optimizer has a schedule of its own, which would undo what is set."""
    schedule = getattr(optimizer, "_rate", None)
    if isinstance(schedule, LearningRateSchedule):
        raise UsageError(
            f"{who}: the optimizer's learning rate follows a schedule, {type(schedule).__name__}, which this callback "
            "would overrule; give the optimizer a number, or leave the callback out"
        )


def with_rate(optimizer: Any, logs: Logs | None) -> dict[str, float]:
    """Add the learning rate of the epoch to its logs, where callbacks that come later and the history find it."""
    logs = logs if isinstance(logs, dict) else dict(logs or {})
    logs["learning_rate"] = float(optimizer.learning_rate)
    return logs
