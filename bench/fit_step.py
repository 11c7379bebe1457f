"""One training step of gpudl as `fit` takes it."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import ExitStack
from typing import Any


def fit_step(model: Any, x: Any, y: Any, entered: ExitStack, from_logits: bool = True) -> Callable[[], None]:
    """Return a step with Adam on one batch; metrics are left out. `entered` keeps what `fit` enters once.

    The learning rate is 0, as that of the libraries beside it: else the one batch is learned by heart, and gradients
    become so small that the processor takes several times as long for them.
    """
    import gpudl
    from gpudl.backend.numpy.workers import single_threaded_blas

    loss = gpudl.losses.SparseCategoricalCrossentropy(from_logits=from_logits)
    model.compile(gpudl.optimizers.Adam(learning_rate=0.0), loss)
    model.step_weights = model.trainable_weights
    entered.enter_context(model.steady())
    entered.enter_context(single_threaded_blas)

    def step() -> None:
        model.train_step((x, y))

    return step
