"""The hooks a plugin may implement: one per kind of building block.

Each hook receives `register` and calls it once per class: `register("name", Class)`. Names are `snake_case` and
become words of the experiment file; a name that is taken is an error naming both owners. Keep heavy imports
inside the hook: it runs only when a name of its kind is first looked up.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pluggy

Register = Callable[[str, Any], None]

hookspec = pluggy.HookspecMarker("gpudl")
hookimpl = pluggy.HookimplMarker("gpudl")


@hookspec
def register_layers(register: Register) -> None:
    """Register subclasses of `gpudl.layers.Layer`."""


@hookspec
def register_activations(register: Register) -> None:
    """Register functions of one array or Tensor."""


@hookspec
def register_optimizers(register: Register) -> None:
    """Register subclasses of `gpudl.optimizers.Optimizer`."""


@hookspec
def register_callbacks(register: Register) -> None:
    """Register subclasses of `gpudl.callbacks.Callback`."""


@hookspec
def register_losses(register: Register) -> None:
    """Register subclasses of `gpudl.losses.Loss`."""


@hookspec
def register_metrics(register: Register) -> None:
    """Register subclasses of `gpudl.metrics.Metric`."""


@hookspec
def register_initializers(register: Register) -> None:
    """Register subclasses of `gpudl.initializers.Initializer`."""


@hookspec
def register_regularizers(register: Register) -> None:
    """Register subclasses of `gpudl.regularizers.Regularizer`."""


@hookspec
def register_constraints(register: Register) -> None:
    """Register subclasses of `gpudl.constraints.Constraint`."""


@hookspec
def register_schedules(register: Register) -> None:
    """Register subclasses of `gpudl.schedules.LearningRateSchedule`."""


@hookspec
def register_datasets(register: Register) -> None:
    """Register subclasses of `gpudl.datasets.Dataset`."""


@hookspec
def register_commands(register: Register) -> None:
    """Register functions that become commands of `gpudl`, with Typer's annotations for their arguments."""


KINDS = tuple(name.removeprefix("register_") for name in sorted(vars()) if name.startswith("register_"))
