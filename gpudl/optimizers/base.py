"""Optimizer: how a step along the gradients is taken.

An optimizer lays the weights it trains side by side in one flat buffer, and so their gradients and its own slots
(moments, velocities); the parameters become views. A step is then one pass over a few long arrays instead of dozens
of short ones, and the tape puts each gradient into its place.
"""

from __future__ import annotations

import inspect
import re
import warnings
from collections.abc import Callable, Collection, Iterable, Sequence
from typing import Any, Self, TypeAlias, TypedDict

import numpy as np

from gpudl import registry
from gpudl.autograd import Parameter, Tensor
from gpudl.backend import Array, array_module, kernels
from gpudl.configurable import Configurable, need_numbers
from gpudl.errors import ShapeError, UsageError
from gpudl.schedules import LearningRateSchedule

Rate: TypeAlias = float | LearningRateSchedule | Callable[[], float]
"""A learning rate: a number, a schedule, or a function that returns the number."""


class LearningRate(float):
    """A learning rate as a number, which can be set as Keras's variable can: `optimizer.learning_rate.assign(0.01)`."""

    def __new__(cls, value: float, optimizer: Optimizer) -> Self:
        return super().__new__(cls, value)

    def __init__(self, value: float, optimizer: Optimizer) -> None:
        self._optimizer = optimizer

    def assign(self, value: float) -> None:
        """Set the optimizer's learning rate."""
        self._optimizer.learning_rate = value

    def numpy(self) -> np.ndarray:
        """Return the number as an array."""
        return np.asarray(self, "float32")

    def __reduce__(self) -> tuple[type[float], tuple[float]]:
        return float, (float(self),)  # a copy is a number


class CommonSettings(TypedDict, total=False):
    """What every optimizer's constructor takes besides its own arguments."""

    clipnorm: float | None
    clipvalue: float | None
    global_clipnorm: float | None
    use_ema: bool
    ema_momentum: float
    ema_overwrite_frequency: int | None
    loss_scale_factor: float | None
    gradient_accumulation_steps: int | None
    name: str | None


ALIGNMENT = 16
"""Each weight begins at a multiple of so many numbers in the flat buffers: CUDA kernels read 16 bytes at once, and 16
numbers of float32 are a line of the processor's cache."""


def _aligned(place: int) -> int:
    return -(-place // ALIGNMENT) * ALIGNMENT


class OptimizerSettings(CommonSettings, total=False):
    """The same for optimizers whose own arguments do not include `weight_decay`."""

    weight_decay: float | None


class Optimizer(Configurable):
    """Base of optimizers. A subclass names its slots and defines `update`.

    What all of them can do to a step, in this order:

    - `gradient_accumulation_steps=n`: every n-th call of `apply` takes a step, along the mean of n gradients;
    - `clipnorm` shortens the gradient of each weight to this norm, `global_clipnorm` all of them together,
      `clipvalue` cuts every number off;
    - `weight_decay`: w -= weight_decay * learning rate * w, for all weights that `exclude_from_weight_decay` left in;
    - the step itself;
    - `use_ema`: a running mean of the weights, ema_momentum * mean + (1 - ema_momentum) * w, which takes the place of
      the weights every `ema_overwrite_frequency` steps, and at the end of `fit`;
    - the weights' constraints.

    The loss is to be multiplied by `loss_scale_factor` before its gradients are computed (`scale_loss`, as `fit`
    does); `apply` divides by it.
    """

    kind = "optimizers"
    slot_names: tuple[str, ...] = ()
    """Names of the arrays that a subclass keeps for every weight."""

    parameters: list[Parameter]
    """The weights trained, in the order of the flat buffers."""
    steps: int
    """How often `apply` was called: what schedules go by."""
    name: str
    _rate: Rate
    _slots: dict[str, Array]
    _places: list[slice]
    """Where each parameter lies in the flat buffers."""
    _buffers: list[Array]
    """Each parameter's place in the flat buffer of gradients."""
    _undecayed: set[int]
    _undecayed_names: re.Pattern[str] | None

    # What holds where a subclass does not call this class's constructor
    weight_decay: float | None = None
    clipnorm: float | None = None
    clipvalue: float | None = None
    global_clipnorm: float | None = None
    use_ema: bool = False
    ema_momentum: float = 0.99
    ema_overwrite_frequency: int | None = None
    loss_scale_factor: float | None = None
    gradient_accumulation_steps: int | None = None

    def __new__(cls, *args: Any, **kwargs: Any) -> Self:
        self = super().__new__(cls, *args, **kwargs)
        self.name = cls.__name__.lower()
        self.steps = 0
        self.parameters = []
        self._rate = 0.001
        self._slots, self._places = {}, []
        self._undecayed, self._undecayed_names = set(), None
        return self

    def __init__(
        self,
        learning_rate: Rate = 0.001,
        *,
        weight_decay: float | None = None,
        clipnorm: float | None = None,
        clipvalue: float | None = None,
        global_clipnorm: float | None = None,
        use_ema: bool = False,
        ema_momentum: float = 0.99,
        ema_overwrite_frequency: int | None = None,
        loss_scale_factor: float | None = None,
        gradient_accumulation_steps: int | None = None,
        name: str | None = None,
    ) -> None:
        self.name = self.name if name is None else name
        self.learning_rate = learning_rate
        self.weight_decay = weight_decay
        self.clipnorm, self.clipvalue, self.global_clipnorm = clipnorm, clipvalue, global_clipnorm
        self.use_ema, self.ema_momentum = use_ema, ema_momentum
        self.ema_overwrite_frequency = ema_overwrite_frequency
        self.loss_scale_factor = loss_scale_factor
        self.gradient_accumulation_steps = gradient_accumulation_steps
        need_numbers(self, weight_decay=weight_decay, loss_scale_factor=loss_scale_factor, ema_momentum=ema_momentum)
        need_numbers(self, clipnorm=clipnorm, clipvalue=clipvalue, global_clipnorm=global_clipnorm)
        if weight_decay is not None and weight_decay < 0:
            self._refuse(f"weight_decay={weight_decay!r}", "weight_decay must be at least 0, or None")
        limits = {"clipnorm": clipnorm, "clipvalue": clipvalue, "global_clipnorm": global_clipnorm}
        given = [f"{limit}={value!r}" for limit, value in limits.items() if value is not None]
        if len(given) > 1:
            self._refuse(", ".join(given), "only one of clipnorm, clipvalue and global_clipnorm can be set")
        if use_ema and not 0 <= ema_momentum <= 1:
            self._refuse(f"ema_momentum={ema_momentum!r}", "ema_momentum must lie between 0 and 1")
        if use_ema and ema_overwrite_frequency and not _is_count(ema_overwrite_frequency, 1):
            self._refuse(
                f"ema_overwrite_frequency={ema_overwrite_frequency!r}",
                "ema_overwrite_frequency must be an integer of at least 1, or None",
            )
        if gradient_accumulation_steps and not _is_count(gradient_accumulation_steps, 2):
            self._refuse(
                f"gradient_accumulation_steps={gradient_accumulation_steps!r}",
                "gradient_accumulation_steps must be an integer of at least 2, or None to step with every batch",
            )

    def _refuse(self, argument: str, reason: str) -> None:
        raise UsageError(f"{type(self).__name__}({argument}): {reason}")

    def get_config(self) -> dict[str, Any]:
        """Return the constructor's arguments, with the learning rate as it is now."""
        if callable(self._rate) and not isinstance(self._rate, LearningRateSchedule):
            raise UsageError(f"{self}: a learning rate that is a function cannot be saved; use a schedule")
        config = super().get_config()
        if any(p.kind is p.VAR_KEYWORD for p in inspect.signature(type(self).__init__).parameters.values()):
            config |= {name: getattr(self, name) for name in OptimizerSettings.__annotations__}
        if "learning_rate" in config:
            rate = self._rate
            config["learning_rate"] = (
                registry.describe("schedules", rate) if isinstance(rate, LearningRateSchedule) else rate
            )
        return config

    def __repr__(self) -> str:
        return f'{type(self).__name__} "{self.name}"'

    # What a subclass defines

    def update(self, weights: Array, gradients: Array, slots: Sequence[Array], rate: float) -> None:
        """Change flat `weights` and `slots` in place by one step. `iterations` counts the steps before this one."""
        raise UsageError(f"{type(self).__name__} must define update(weights, gradients, slots, rate)")

    def _start_slots(self) -> dict[str, float]:
        """Return what slots start at, where that is not 0."""
        return {}

    # Where it stands

    def _need_shares(self, **settings: float) -> None:
        """Raises: UsageError where one of these settings is not a number from 0 to 1."""
        need_numbers(self, **settings)
        for name, value in settings.items():
            if not 0 <= value <= 1:
                self._refuse(f"{name}={value!r}", f"{name} must lie between 0 and 1")

    @property
    def iterations(self) -> int:
        """Steps taken: the calls of `apply`, or of them every `gradient_accumulation_steps`-th."""
        return self.steps // (self.gradient_accumulation_steps or 1)

    @property
    def learning_rate(self) -> LearningRate:
        """The learning rate of the next step. A schedule can be replaced by another, but not by a number."""
        rate = self._rate
        if isinstance(rate, LearningRateSchedule):
            return LearningRate(float(rate(self.steps)), self)
        return LearningRate(float(rate() if callable(rate) else rate), self)

    @learning_rate.setter
    def learning_rate(self, value: Rate | str | dict[str, Any]) -> None:
        if isinstance(value, str) and _is_number(value):
            raise UsageError(
                f"{type(self).__name__}: learning_rate={value!r} is text; write the number without quotes: {value}"
            )
        if isinstance(value, (str, dict)):
            value = registry.resolve("schedules", value)
        if not callable(value):
            if isinstance(self._rate, LearningRateSchedule):
                raise UsageError(
                    f"{self}: its learning rate follows {type(self._rate).__name__}, so it cannot be set to {value!r}; "
                    "compile the model with a number as learning_rate, or set another schedule"
                )
            try:
                value = float(value)  # pyright: ignore[reportArgumentType]
            except TypeError:
                raise UsageError(
                    f"{type(self).__name__}: learning_rate={value!r} must be a number, a schedule or a function"
                ) from None
            if not value >= 0:
                raise UsageError(f"{type(self).__name__}: learning_rate={value} must be at least 0")
        self._rate = value

    def slot_share(self, name: str) -> float:
        """What a slot is multiplied by to be Keras's; not 1 where a subclass keeps sums in the place of means."""
        return 1.0

    @property
    def built(self) -> bool:
        """Whether it knows the weights it trains."""
        return bool(self.parameters)

    @property
    def variables(self) -> list[Parameter]:
        """Copies of what a step changes besides the weights: iteration, learning rate, and the slots of each weight."""
        found = [Parameter(np.asarray(self.steps), "iteration", trainable=False)]
        if not isinstance(self._rate, LearningRateSchedule):
            found.append(Parameter(np.asarray(self.learning_rate, "float32"), "learning_rate", trainable=False))
        for p, place in zip(self.parameters, self._places, strict=True):
            for name, slot in self._slots.items():
                values = slot[place].reshape(p.shape) * slot.dtype.type(self.slot_share(name))
                found.append(Parameter(values, f"{p.name}_{name}", trainable=False))
        return found

    # The flat buffers

    def _all_slots(self) -> tuple[str, ...]:
        ema = ("ema",) if self.use_ema else ()
        return (*self.slot_names, *ema, *(("accumulated",) if self.gradient_accumulation_steps else ()))

    def build(self, parameters: Iterable[Parameter]) -> None:
        """Lay the parameters into the flat buffers. Slots of weights it has trained before stay as they are."""
        parameters = list(parameters)
        if not parameters:
            raise UsageError("the optimizer was given no trainable weights; add a layer that has some, or unfreeze one")
        filled = kernels("optimizers", *(p.data for p in parameters)).filled
        known = {id(p): place for p, place in zip(self.parameters, self._places, strict=True)}
        self.parameters, self._places, start = parameters, [], 0
        for p in parameters:
            self._places.append(slice(start, start + p.size))
            start = _aligned(start + p.size)
        kind = np.result_type(*(p.data.dtype for p in parameters))
        self._weights = filled(start, 0, kind)
        for p, place in zip(parameters, self._places, strict=True):
            self._weights[place] = p.data.reshape(-1)
        self._gradients = filled(start, 0, kind)
        before, starts = self._slots, self._start_slots()
        self._slots = {name: filled(start, starts.get(name, 0), kind) for name in self._all_slots()}
        if self.use_ema:
            self._slots["ema"][...] = self._weights
        self._buffers = []
        for p, place in zip(parameters, self._places, strict=True):
            p.data, p.buffer = self._weights[place].reshape(p.shape), self._gradients[place].reshape(p.shape)
            p.grad = None
            self._buffers.append(p.buffer)
            if id(p) in known:
                for name in self._slots.keys() & before.keys():
                    self._slots[name][place] = before[name][known[id(p)]]

    def _owns(self, parameters: Sequence[Any]) -> bool:
        """Whether these are its parameters and still lie in its buffers: another optimizer may have taken them over."""
        if not self.parameters or len(parameters) != len(self.parameters):
            return False
        for p, q, own in zip(parameters, self.parameters, self._buffers, strict=True):
            if p is not q or p.buffer is not own:
                return False
        return True

    def _stretches(self, chosen: Callable[[Parameter], bool]) -> list[slice]:
        """Return where in the flat buffers the chosen weights lie, neighbours in one."""
        found: list[slice] = []
        for p, place in zip(self.parameters, self._places, strict=True):
            if chosen(p):
                joins = found and _aligned(found[-1].stop) == place.start
                found.append(slice(found.pop().start, place.stop) if joins else place)
        return found

    # A step

    def apply(self, grads: Sequence[Any], trainable_variables: Iterable[Parameter] | None = None) -> None:
        """Take one step along the gradients: `apply(gradients, weights)`, or `apply(weights)` after `backward()`.

        Weights alone bring their gradients along in `grad`, which is cleared; gradients alone belong to the weights
        that the optimizer was built with. A weight whose gradient is None stays as it is. The first call lays the
        weights into this optimizer's buffers.

        Raises: UsageError where no weight has a gradient, or for weights it was not built with.
        """
        if trainable_variables is None and self._owns(grads):
            given = [p for p in self.parameters if p.grad is not None]
        elif trainable_variables is None and all(isinstance(p, Parameter) for p in grads):
            given = self._own_gradients(grads)
        else:
            given = self._take_gradients(grads, trainable_variables)
        if not given:
            raise UsageError(f"{self}: no weight has a gradient; call backward() on the loss first")
        self._step(given)
        self.steps += 1

    def apply_gradients(self, grads_and_vars: Iterable[tuple[Any, Parameter]]) -> None:
        """Take one step along gradients that are paired with their weights."""
        pairs = list(grads_and_vars)
        self.apply([gradient for gradient, _ in pairs], [p for _, p in pairs])

    def _own_gradients(self, parameters: Sequence[Parameter]) -> list[Parameter]:
        """Bring parameters with their gradients into the buffers; return those that have one."""
        known = {id(p) for p in self.parameters}
        if self.steps and known and parameters and known.isdisjoint(id(p) for p in parameters):
            raise UsageError(f"{self} has trained the weights of another model; make an optimizer for this one")
        gradients = [p.grad for p in parameters]
        self.build(parameters)
        for p, gradient in zip(parameters, gradients, strict=True):
            if gradient is not None:
                p.accumulate(gradient)
        return [p for p in self.parameters if p.grad is not None]

    def _take_gradients(self, gradients: Sequence[Any], variables: Iterable[Parameter] | None) -> list[Parameter]:
        """Copy gradients into the buffers; return the parameters that got one."""
        if variables is None and not self.parameters:
            raise UsageError(f"{self} does not know which weights these gradients are of; call build(weights) before")
        variables = self.parameters if variables is None else list(variables)
        if len(gradients) != len(variables):
            raise UsageError(f"{self}: {len(gradients)} gradients for {len(variables)} weights; give one for each")
        if not self.parameters:
            self.build(variables)
        known = {id(p) for p in self.parameters}
        for p in variables:
            if id(p) not in known:
                raise UsageError(
                    f'{self}: "{p.name}" of shape {p.shape} is not among the weights it was built with; '
                    "make another optimizer for other weights"
                )
        if not self._owns(self.parameters):
            self.build(self.parameters)
        given, missing = [], []
        for gradient, p in zip(gradients, variables, strict=True):
            gradient = gradient.data if isinstance(gradient, Tensor) else gradient
            if gradient is None:
                missing.append(p.name)
                continue
            if np.shape(gradient) != p.shape:
                raise ShapeError(
                    f'{self}: the gradient of "{p.name}" has shape {np.shape(gradient)}, but the weight {p.shape}'
                )
            assert p.buffer is not None
            p.buffer[...] = array_module(p.data).asarray(gradient)
            given.append(p)
        if missing and given:
            warnings.warn(f"{self}: no gradient for {', '.join(missing)}, which stay as they are", stacklevel=3)
        return given

    def _step(self, given: Collection[Parameter]) -> None:
        """Do all that `apply` does with the gradients of some parameters, which lie in the buffers."""
        weights, gradients, slots = self._weights, self._gradients, self._slots
        flat = kernels("optimizers", weights)
        stretches = [slice(0, weights.size)]
        has_one = {id(p) for p in given}
        if len(given) < len(self.parameters):
            stretches = self._stretches(lambda p: id(p) in has_one)
            for p in self.parameters:
                if id(p) not in has_one and p.buffer is not None:
                    p.buffer.fill(0)
        for p in self.parameters:
            p.grad = None
        if self.loss_scale_factor is not None:
            flat.scale(gradients, 1 / self.loss_scale_factor)
        count = self.gradient_accumulation_steps
        if count and (self.steps + 1) % count:
            flat.mix(slots["accumulated"], 1, gradients, 1)
        else:
            if count:
                for part in stretches:
                    flat.mix(gradients[part], 1 / count, slots["accumulated"][part], 1 / count)
                slots["accumulated"].fill(0)
            self._clip(flat, given, stretches)
            rate = self.learning_rate
            if self.weight_decay is not None:
                for part in self._decayed(has_one, stretches):
                    flat.scale(weights[part], 1 - self.weight_decay * rate)
            own = [slots[name] for name in self.slot_names]
            for part in stretches:
                self.update(weights[part], gradients[part], [slot[part] for slot in own], rate)
        if self.use_ema:
            keep = self.ema_momentum if self.iterations else 0
            flat.mix(slots["ema"], keep, weights, 1 - keep)
            if self.ema_overwrite_frequency and (self.iterations + 1) % self.ema_overwrite_frequency == 0:
                weights[...] = slots["ema"]
        for p in given:
            if p.constraint is not None:
                p.data[...] = p.constraint(p.data)

    def _clip(self, flat: Any, given: Collection[Parameter], stretches: Sequence[slice]) -> None:
        """Bring the gradients to within the limits. A limit of 0 or less is none, as in Keras."""
        if self.clipnorm and self.clipnorm > 0:
            for p in given:
                assert p.buffer is not None
                flat.clip_norm(p.buffer.reshape(-1), self.clipnorm)
        elif self.global_clipnorm and self.global_clipnorm > 0:
            flat.clip_norm(self._gradients, self.global_clipnorm)
        elif self.clipvalue and self.clipvalue > 0:
            for part in stretches:
                flat.clip_value(self._gradients[part], self.clipvalue)

    # Weight decay

    def exclude_from_weight_decay(
        self, var_list: Sequence[Parameter] | None = None, var_names: Sequence[str] | None = None
    ) -> None:
        """Leave weights as they are between steps: those listed, and those whose name holds one of `var_names`.

        `var_names=["bias", "gamma", "beta"]` decays kernels alone. Each call takes the place of the one before.
        """
        self._undecayed = {id(p) for p in var_list or ()}
        self._undecayed_names = re.compile("|".join(var_names)) if var_names else None

    def _is_decayed(self, p: Parameter) -> bool:
        names = self._undecayed_names
        return id(p) not in self._undecayed and not (names is not None and names.search(p.name))

    def _decayed(self, has_one: set[int], stretches: list[slice]) -> list[slice]:
        if not self._undecayed and self._undecayed_names is None:
            return stretches
        return self._stretches(lambda p: id(p) in has_one and self._is_decayed(p))

    # Around a step

    def scale_loss(self, loss: Any) -> Any:
        """Multiply a loss by `loss_scale_factor` where there is one, before its gradients are computed."""
        return loss if self.loss_scale_factor is None else loss * self.loss_scale_factor

    def finalize_variable_values(self, var_list: Sequence[Parameter] | None = None) -> None:
        """Give the weights their final values: with `use_ema` their running means. `fit` does it at its end."""
        if not self.use_ema:
            return
        places = {id(p): place for p, place in zip(self.parameters, self._places, strict=True)}
        for p in self.parameters if var_list is None else var_list:
            if id(p) not in places:
                raise UsageError(f'{self} has no running mean of "{p.name}"; it has not trained this weight')
            p.data[...] = self._slots["ema"][places[id(p)]].reshape(p.shape)

    # Saving

    def state(self) -> dict[str, Any]:
        """Return the slots as one array per weight and slot, and what else a resumed run needs."""
        arrays = {
            f"{i}/{name}": slot[place].reshape(p.shape)
            for name, slot in self._slots.items()
            for i, (p, place) in enumerate(zip(self.parameters, self._places, strict=True))
        }
        rate = None if callable(self._rate) else self._rate
        undecayed = [i for i, p in enumerate(self.parameters) if not self._is_decayed(p)]
        return {"iterations": self.steps, "learning_rate": rate, "undecayed": undecayed, "arrays": arrays}

    def load_state(self, state: dict[str, Any], parameters: Sequence[Parameter]) -> None:
        """Continue from what `state` returned, with the same parameters in the same order."""
        self.steps = int(state["iterations"])
        if state["learning_rate"] is not None:
            self._rate = float(state["learning_rate"])
        self._undecayed |= {id(parameters[i]) for i in state.get("undecayed", ())}
        if not state["arrays"]:
            return
        self.build(parameters)
        for name, slot in self._slots.items():
            for i, place in enumerate(self._places):
                slot[place] = array_module(slot).asarray(state["arrays"][f"{i}/{name}"]).reshape(-1)


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True


def _is_count(value: Any, least: int) -> bool:
    return isinstance(value, (int, np.integer)) and bool(value >= least)
