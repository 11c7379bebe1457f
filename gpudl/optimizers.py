"""Optimizers: how a step along the gradients is taken.

An optimizer lays the weights it trains side by side in one flat buffer, and so their gradients and its own slots
(moments, velocities); the parameters become views. A step is then one pass over a few long arrays instead of dozens
of short ones, and the tape writes gradients straight into place.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from gpudl import registry
from gpudl.autograd import Parameter
from gpudl.backend import Array, array_module, kernels
from gpudl.configurable import Configurable
from gpudl.errors import UsageError
from gpudl.schedules import LearningRateSchedule


class Optimizer(Configurable):
    """Base of optimizers. A subclass names its slots and defines `update`."""

    kind = "optimizers"
    slot_names: tuple[str, ...] = ()
    _rate: float | LearningRateSchedule

    def __new__(cls, *args: Any, **kwargs: Any) -> Optimizer:
        self = super().__new__(cls, *args, **kwargs)
        self.iterations = 0
        self.parameters = []
        self._rate = 0.001
        return self

    iterations: int
    """Steps taken."""
    parameters: list[Parameter]
    """The weights trained, in the order of the flat buffers."""

    def update(self, weights: Array, gradients: Array, slots: Sequence[Array], rate: float) -> None:
        """Change flat `weights` and `slots` in place by one step. `iterations` counts the steps before this one."""
        raise UsageError(f"{type(self).__name__} must define update(weights, gradients, slots, rate)")

    @property
    def learning_rate(self) -> float:
        """The learning rate of the next step. Setting it replaces a schedule."""
        return self._rate(self.iterations) if isinstance(self._rate, LearningRateSchedule) else self._rate

    @learning_rate.setter
    def learning_rate(self, value: float | str | dict | LearningRateSchedule) -> None:
        if isinstance(value, (str, dict)):
            value = registry.resolve("schedules", value)
        if not isinstance(value, LearningRateSchedule):
            value = float(value)  # pyright: ignore[reportArgumentType]
            if not value >= 0:
                raise UsageError(f"learning_rate={value} must be at least 0")
        self._rate = value

    def build(self, parameters: Sequence[Parameter]) -> None:
        """Lay the parameters into the flat buffers. Slots start at what `start_slots` says."""
        if not parameters:
            raise UsageError("the optimizer was given no trainable weights; add a layer that has some, or unfreeze one")
        xp = array_module(*(p.data for p in parameters))
        self.parameters = list(parameters)
        self._weights = xp.concatenate([p.data.reshape(-1) for p in self.parameters])
        self._gradients = xp.zeros_like(self._weights)
        self._slots = [xp.zeros_like(self._weights) for _ in self.slot_names]
        start = 0
        for p in self.parameters:
            stop = start + p.size
            p.data, p.buffer = self._weights[start:stop].reshape(p.shape), self._gradients[start:stop].reshape(p.shape)
            p.grad = None
            start = stop
        self._start_slots()

    def _start_slots(self) -> None:
        """Give slots other values than 0 to start with."""

    def _owns(self, parameters: Sequence[Parameter]) -> bool:
        return len(parameters) == len(self.parameters) and all(
            p is q and p.buffer is not None and p.buffer.base is self._gradients
            for p, q in zip(parameters, self.parameters, strict=True)
        )

    def apply(self, parameters: Sequence[Parameter]) -> None:
        """Take one step along the gradients that `backward()` left in the parameters, and clear them.

        The first call lays the parameters into this optimizer's buffers. A parameter without a gradient counts as
        having gradient 0.
        """
        if not parameters or not self._owns(parameters):
            gradients = [p.grad for p in parameters]
            self.build(parameters)
            for p, gradient in zip(parameters, gradients, strict=True):
                if gradient is not None:
                    p.accumulate(gradient)
        for p in self.parameters:
            if p.grad is None and p.buffer is not None:
                p.buffer.fill(0)
            p.grad = None
        self.update(self._weights, self._gradients, self._slots, self.learning_rate)
        self.iterations += 1

    def state(self) -> dict[str, Any]:
        """Return the slots as one array per weight and slot, and what else a resumed run needs."""
        arrays: dict[str, Array] = {}
        for name, slot in zip(self.slot_names, getattr(self, "_slots", ()), strict=False):
            start = 0
            for i, p in enumerate(self.parameters):
                arrays[f"{i}/{name}"] = slot[start : start + p.size].reshape(p.shape)
                start += p.size
        rate = None if isinstance(self._rate, LearningRateSchedule) else self._rate
        return {"iterations": self.iterations, "learning_rate": rate, "arrays": arrays}

    def load_state(self, state: dict[str, Any], parameters: Sequence[Parameter]) -> None:
        """Continue from what `state` returned, with the same parameters in the same order."""
        self.iterations = int(state["iterations"])
        if state["learning_rate"] is not None:
            self.learning_rate = state["learning_rate"]
        if not state["arrays"]:
            return
        self.build(parameters)
        for name, slot in zip(self.slot_names, self._slots, strict=True):
            start = 0
            for i, p in enumerate(self.parameters):
                slot[start : start + p.size] = state["arrays"][f"{i}/{name}"].reshape(-1)
                start += p.size


class SGD(Optimizer):
    """Gradient descent: m = momentum m - rate g, w += m; with `nesterov` w += momentum m - rate g.

    Source: Polyak 1964; Sutskever et al. 2013 for Nesterov's variant.
    """

    def __init__(
        self,
        learning_rate: float | LearningRateSchedule = 0.01,
        momentum: float = 0.0,
        nesterov: bool = False,
    ) -> None:
        if not 0 <= momentum <= 1:
            raise UsageError(f"SGD(momentum={momentum!r}): momentum must lie between 0 and 1")
        self.learning_rate = learning_rate
        self.momentum, self.nesterov = momentum, nesterov
        self.slot_names = ("velocity",) if momentum else ()

    def update(self, weights: Array, gradients: Array, slots: Sequence[Array], rate: float) -> None:
        velocity = slots[0] if slots else None
        kernels("optimizers", weights).sgd(weights, gradients, velocity, rate, self.momentum, self.nesterov)


class Adam(Optimizer):
    """Steps scaled by running means of the gradient and of its square.

    m = b1 m + (1 - b1) g, v = b2 v + (1 - b2) g^2, w -= rate sqrt(1 - b2^t) / (1 - b1^t) m / (sqrt(v) + epsilon);
    with `amsgrad`, the largest v so far stands in the root.
    Source: Kingma and Ba 2015, arXiv 1412.6980; Reddi et al. 2018 for AMSGrad.
    """

    def __init__(
        self,
        learning_rate: float | LearningRateSchedule = 0.001,
        beta_1: float = 0.9,
        beta_2: float = 0.999,
        epsilon: float = 1e-7,
        amsgrad: bool = False,
    ) -> None:
        for name, value in (("beta_1", beta_1), ("beta_2", beta_2)):
            if not 0 <= value < 1:
                raise UsageError(f"Adam({name}={value!r}): {name} must lie in [0, 1)")
        self.learning_rate = learning_rate
        self.beta_1, self.beta_2, self.epsilon, self.amsgrad = beta_1, beta_2, epsilon, amsgrad
        self.slot_names = ("momentum", "velocity", "velocity_max") if amsgrad else ("momentum", "velocity")

    def update(self, weights: Array, gradients: Array, slots: Sequence[Array], rate: float) -> None:
        t = self.iterations + 1
        step = rate * (1 - self.beta_2**t) ** 0.5 / (1 - self.beta_1**t)
        largest = slots[2] if self.amsgrad else None
        kernels("optimizers", weights).adam(
            weights, gradients, slots[0], slots[1], largest, step, self.beta_1, self.beta_2, self.epsilon
        )


class RMSprop(Optimizer):
    """Steps scaled by a running mean of the gradient's square.

    v = rho v + (1 - rho) g^2, w -= rate g / sqrt(v + epsilon).
    With `centered` the running mean's own square is taken off v; with `momentum` the scaled steps are summed up.
    Source: Hinton 2012, lecture 6e of Neural Networks for Machine Learning.
    """

    def __init__(
        self,
        learning_rate: float | LearningRateSchedule = 0.001,
        rho: float = 0.9,
        momentum: float = 0.0,
        epsilon: float = 1e-7,
        centered: bool = False,
    ) -> None:
        self.learning_rate = learning_rate
        self.rho, self.momentum, self.epsilon, self.centered = rho, momentum, epsilon, centered
        self.slot_names = ("velocity", *(["momentum"] if momentum else []), *(["average"] if centered else []))

    def update(self, weights: Array, gradients: Array, slots: Sequence[Array], rate: float) -> None:
        named = dict(zip(self.slot_names, slots, strict=True))
        kernels("optimizers", weights).rmsprop(
            weights,
            gradients,
            named["velocity"],
            named.get("momentum"),
            named.get("average"),
            rate,
            self.rho,
            self.momentum,
            self.epsilon,
        )


def get(optimizer: str | dict | Optimizer) -> Optimizer:
    """Return an optimizer by name or settings. Raises: UnknownNameError."""
    return registry.resolve("optimizers", optimizer)
