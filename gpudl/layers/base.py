"""Layer: a named step of a network with weights of its own."""

from __future__ import annotations

import functools
import inspect
import threading
from typing import Any, Self, TypedDict

import numpy as np

from gpudl import ops, regularizers
from gpudl.autograd import Tensor, no_grad
from gpudl.backend import library
from gpudl.backend.devices import beside, current, put
from gpudl.backend.room import out_of_memory
from gpudl.errors import GpudlError, ShapeError, UsageError, did_you_mean
from gpudl.layers.weighted import Weighted, kept_state
from gpudl.naming import fresh_name
from gpudl.regularizers import Regularizer
from gpudl.shapes import shown
from gpudl.structures import leaves, mapped, mapped_shapes
from gpudl.symbolic import Node, OpenShape, SymbolicTensor, is_symbolic


class CommonSettings(TypedDict, total=False):
    """What every layer's constructor takes besides its own arguments.

    `input_shape` is the shape of one sample, without the batch; only the first layer of a model needs it, and only
    where the model is to be built before it sees data.
    """

    name: str | None
    trainable: bool
    dtype: str | None
    input_shape: tuple[int, ...] | None


class LayerSettings(CommonSettings, total=False):
    """The same for layers whose own arguments do not include `activity_regularizer`."""

    activity_regularizer: str | Regularizer | None


class _Phase(threading.local):
    training: bool | None = None
    """What the call under way was told; None where nobody said, and each layer does as its `call` has by default."""
    penalties: list[Any] | None = None
    """What layers add to the loss during the outermost call under way; None between calls."""


_phase = _Phase()


class Layer(Weighted):
    """Base of layers. A subclass defines `call(x)` or `call(x, training)`, and `build(input_shape)` if it has weights.

    The first call builds the layer for the shape that arrives. Constructor arguments are recorded, so a subclass
    needs neither `get_config` nor a call of the base constructor.
    """

    kind = "layers"
    also_takes = ("input_dim",)
    first_shape: tuple[int | None, ...] | None
    """The shape of a sample that the constructor was given as `input_shape`."""
    activity_regularizer: Regularizer | None

    built_for: Any
    """The shape of the input that the layer was built for, or shapes in their structure; None where not known."""
    _penalties: list[Any]
    _first_node: Node | None

    def __new__(cls, *args: Any, **kwargs: Any) -> Self:
        if not cls._takes_symbols and is_symbolic(args):
            raise UsageError(
                f"{cls.__name__} was given a symbolic tensor where its settings go; make the layer, then call it: "
                f"{cls.__name__}(...)(x)"
            )
        self = super().__new__(cls, *args, **kwargs)
        self.first_shape = None
        self.built_for = None
        self._penalties = []
        self._first_node = None
        self.activity_regularizer = None
        self._name_itself(kwargs.get("name"))
        return self

    def __init__(
        self,
        *,
        name: str | None = None,
        trainable: bool = True,
        dtype: str | None = None,
        input_shape: tuple[int | None, ...] | None = None,
        activity_regularizer: str | Regularizer | None = None,
        **unknown: Any,
    ) -> None:
        """`input_dim=8` is `input_shape=(8,)`, as older lessons have it."""
        input_dim = unknown.pop("input_dim", None)
        if unknown:
            name_of_class, known = type(self).__name__, list(inspect.signature(type(self).__init__).parameters)[1:]
            wrong = next(iter(unknown))
            raise UsageError(
                f"{name_of_class}({wrong}=...): {name_of_class} has no such argument{did_you_mean(wrong, known)}"
            )
        dtype = "float32" if dtype is None else dtype
        if not isinstance(trainable, bool):
            raise UsageError(f"{type(self).__name__}(trainable={trainable!r}): trainable must be True or False")
        if dtype not in ("float32", "float64"):
            raise UsageError(f'{type(self).__name__}(dtype={dtype!r}): dtype must be "float32" or "float64"')
        self.dtype = dtype
        if isinstance(input_shape, int):
            input_shape = (input_shape,)
        if input_dim is not None:
            if input_shape is not None:
                raise UsageError(f"{type(self).__name__}: give input_shape or input_dim, not both")
            input_shape = (input_dim,)
        self.first_shape = None if input_shape is None else tuple(input_shape)
        self.activity_regularizer = regularizers.get(activity_regularizer)
        self.trainable = trainable
        self._name_itself(name)

    def _name_itself(self, name: str | None) -> None:
        if name is not None:
            if "/" in name:
                raise UsageError(f'{type(self).__name__}(name={name!r}): "/" separates names of layers in files')
            self.name = name
        elif not self.name:
            self.name = fresh_name(type(self))

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        parameters = inspect.signature(cls.call).parameters
        cls._takes_training = "training" in parameters or any(p.kind is p.VAR_KEYWORD for p in parameters.values())
        cls._has_own_phase = "training" in parameters and parameters["training"].default is not inspect.Parameter.empty
        cls._takes_shapes = len(inspect.signature(cls.build).parameters) > 2
        if "build" in vars(cls):
            cls.build = _once_built(cls.build)
        if cls.__base__ is Layer and "takes_one" not in vars(cls):
            cls.takes_one = cls.__module__.startswith("gpudl.layers.")
        cls.casts_integers = cls.__module__.startswith("gpudl.")

    takes_one = False
    """Whether the layer is called on one array, and no list of them; for a program's own layers nobody knows."""
    casts_integers = True
    """Whether integers become floating point before `call`; a program's own layers are given them as they are."""
    _takes_training = False
    _has_own_phase = False
    _takes_symbols = False
    """Whether the constructor takes symbolic tensors, as a model's does."""
    _takes_shapes = False
    """Whether `build` wants the shapes of all inputs and not of the first alone."""
    # What a subclass defines

    def build(self, input_shape: OpenShape) -> None:
        """Make the weights with `add_weight`. `input_shape` starts with None, the batch."""

    def call(self, *inputs: Any, **settings: Any) -> Any:
        """Compute the layer's output; a subclass defines `call(x)`, or `call(x, training)` to know the phase."""
        raise UsageError(f"{type(self).__name__} must define call(x)")

    def compute_output_shape(self, input_shape: Any) -> Any:
        """Return the output's shape for an input's; found by calling the layer on one sample of zeros.

        Several inputs, or several outputs, are lists or dicts of shapes.
        """
        return self._tried_output_shape(input_shape)

    def _tried_output_shape(self, *input_shapes: Any) -> Any:
        penalties = self._penalties

        def tried(length: int) -> Any:
            def sample(shape: OpenShape) -> np.ndarray:
                return np.zeros((1, *(length if n is None else n for n in shape[1:])), self.dtype)

            try:
                with no_grad(), np.errstate(all="ignore"), kept_state(self):
                    return self(*(mapped_shapes(sample, shape) for shape in input_shapes), training=False)
            finally:
                self._penalties = penalties

        first = tried(64)
        open_lengths: list[OpenShape] = []
        for shape in input_shapes:
            mapped_shapes(lambda s: open_lengths.append(s) if None in s[1:] else None, shape)
        if not open_lengths:
            return mapped(lambda y: (None, *y.shape[1:]), first)
        others = iter(leaves(tried(96)))  # where two lengths give two lengths, the output is as open as the input
        return mapped(
            lambda y: (
                None,
                *(m if m == n else None for m, n in zip(y.shape[1:], next(others).shape[1:], strict=True)),
            ),
            first,
        )

    def multiply_adds(self, input_shape: OpenShape, output_shape: OpenShape) -> int:
        """Return the multiply-adds of one sample's forward pass; 0 where the layer has no product of weights."""
        return 0

    # What a subclass uses

    def add_loss(self, loss: Any) -> None:
        """Add a number to what is trained on; call it in `call`. It counts for one batch."""
        (self._penalties if _phase.penalties is None else _phase.penalties).append(loss)

    # What everybody uses

    @property
    def losses(self) -> list[Any]:
        """What is added to the loss: penalties of weights, and what the last call of this layer brought about."""
        of_weights = [w.regularizer(w) for w in self.trainable_weights if w.regularizer is not None]
        return [*self._penalties, *of_weights]

    def __call__(self, *inputs: Any, training: bool | None = None, **settings: Any) -> Any:
        """Call the layer on arrays or Tensors, singly or in lists and dicts; on symbolic tensors, note the call."""
        if not inputs and settings:  # layer(inputs=x)
            inputs = (settings.pop(next(iter(settings))),)
        if len(inputs) != 1 or settings or not hasattr(inputs[0], "dtype") or isinstance(inputs[0], _NO_ARRAYS):
            for x in leaves(inputs):
                if isinstance(x, Layer):
                    raise UsageError(
                        f"{self} was called on {x}, a layer; call it on what that layer returns, as in "
                        f"{type(self).__name__}(...)({type(x).__name__}(...)(x)), or put both into a Sequential"
                    )
            if self.takes_one:
                self._check_one(inputs)
            if is_symbolic((inputs, settings)):
                return self._noted(inputs, settings if training is None else {**settings, "training": training})
        before = _phase.training
        outermost = _phase.penalties is None
        if training is None:
            training = before
        given, inputs = inputs, tuple([x if type(x) is Tensor else self._input(x) for x in inputs])
        try:
            if not self.built:
                self.build_for(*(_open_shapes(x) for x in inputs))
            _phase.training = training
            if outermost:
                self._penalties = _phase.penalties = []
            if self._takes_training and not (training is None and self._has_own_phase):
                settings["training"] = bool(training)
            y = self.call(*inputs, **settings)
            if y is None:
                raise UsageError(f"{self}: its call returned None; end it with return and the output")
            if self.activity_regularizer is not None:
                self._add_activity_penalty(y)
            if outermost and current() == "cuda" and any(isinstance(x, np.ndarray) for x in leaves(given)):
                return mapped(_readable, y)
            return y
        except ShapeError as error:
            raise self._named(error) from None
        except MemoryError as error:
            shapes = ", ".join(shown(x.shape) for x in leaves(inputs) if hasattr(x, "shape"))
            raise out_of_memory(error, f"{self}, called on {shapes}") from None
        finally:
            _phase.training = before
            if outermost:
                _phase.penalties = None

    def _check_one(self, inputs: tuple[Any, ...]) -> None:
        """Raises: UsageError where this layer, which takes one array, is called on none, on several, or on text."""
        who = type(self).__name__
        if not inputs:
            raise UsageError(f"{self} was called on nothing; call it on an array or on what Input returns")
        x = inputs[0]
        several = isinstance(x, (list, tuple, dict)) and not _is_of_numbers(x)
        if several and len(x) > 1:
            raise UsageError(
                f"{self} takes one input, but was called on {len(x)}; join them before, as in "
                f"{who}(...)(Concatenate()([a, b])), or call the layer on each"
            )
        if x is None or isinstance(x, (str, type)) or several:
            raise UsageError(f"{self} was called on {x!r}; call it on an array or on what Input returns")

    def _input(self, x: Any) -> Any:
        """Bring what a layer is called on to arrays of its own type, singly or in lists and dicts."""
        if isinstance(x, Tensor) or x is None:
            return x
        if hasattr(x, "detach") and hasattr(x, "numpy"):  # PyTorch's, as a DataLoader yields them
            x = x.detach().cpu().numpy()
        if isinstance(x, np.ndarray) or library(x) == "cupy":
            own = x.dtype == self.dtype or not (self.casts_integers or x.dtype.kind == "f")
            if current() == "cuda" and (moved := self._moved(x)) is not x:
                return moved if own else ops.cast(moved, self.dtype)
            if not own:
                return ops.cast(x, self.dtype)
            return x if self.casts_integers else x.copy()  # a program's layer may change it in place
        if _is_of_numbers(x):
            return self._moved(np.asarray(x, self.dtype))
        if isinstance(x, (list, tuple, dict)):
            return mapped(self._input, x)
        return x

    def _moved(self, x: Any) -> Any:
        """Return an array on the device where the layer's weights are; without weights, on the one in use."""
        weights = self._own_weights or self._own_state
        return beside(x, weights[0].data) if weights else put(x)

    def _add_activity_penalty(self, y: Any) -> None:
        for part in leaves(y):
            if self.activity_regularizer is not None:
                self.add_loss(self.activity_regularizer(part) / part.shape[0])

    def _noted(self, inputs: tuple[Any, ...], settings: dict[str, Any]) -> Any:
        """Build the layer for symbolic inputs and return symbolic outputs, which remember the call."""
        if not inputs:
            raise UsageError(f"{self} was called on symbolic tensors by name alone; give the first one by position")
        shapes = tuple(mapped(lambda x: tuple(x.shape), x) for x in inputs)
        try:
            self.build_for(*shapes)
            told = self.compute_output_shape if len(shapes) == 1 else self._tried_output_shape
            output_shapes = told(*shapes)
        except ShapeError as error:
            raise self._named(error) from None
        except ValueError as error:
            if isinstance(error, GpudlError):
                raise
            named: list[str] = []
            mapped_shapes(lambda shape: named.append(shown(shape)), list(shapes))
            misfit = ShapeError(
                f"cannot be called on {', '.join(named)}; its call, tried on one sample, raises: {str(error).strip()}"
            )
            raise self._named(misfit) from error
        outputs = mapped_shapes(lambda shape: SymbolicTensor(shape, self.dtype), output_shapes)
        Node(self, inputs, settings, outputs)
        if self._first_node is None:
            self._first_node = next(iter(leaves(outputs))).node
        return outputs

    @property
    def input(self) -> Any:
        """The symbolic input of this layer's first call, as in Model(layer.input, layer.output)."""
        arguments = self._called_symbolically("input").arguments
        return arguments[0] if arguments else self.output

    @property
    def output(self) -> Any:
        """The symbolic output of this layer's first call, as in Model(model.inputs, layer.output)."""
        return self._called_symbolically("output").outputs

    def _called_symbolically(self, what: str) -> Node:
        if self._first_node is None:
            raise UsageError(
                f"{self} has no {what} yet: it is not part of a model whose input is known; begin the model with "
                "Input(shape), or call the layer on what Input returns"
            )
        return self._first_node

    def build_for(self, *input_shapes: Any) -> None:
        """Build the layer once, for inputs of these shapes. Raises: ShapeError naming the layer."""
        if not self.built:
            if not self._takes_shapes:
                input_shapes = input_shapes[:1]
            try:
                self.build(*(mapped_shapes(tuple, shape) for shape in input_shapes))
            except ShapeError as error:
                raise self._named(error) from None
            self.built = True
            self.built_for = input_shapes[0] if len(input_shapes) == 1 else None

    def _named(self, error: ShapeError) -> ShapeError:
        """Put this layer's name in front of a message, unless a layer inside it did."""
        if error.layer is not None:
            return error
        named = ShapeError(f"{self}: {error}")
        named.layer = self.name
        return named

    def get_config(self) -> dict[str, Any]:
        """Return the constructor's arguments, the layer's name, and `trainable` where it is off by now."""
        config = super().get_config()
        config["name"] = self.name
        config.pop("trainable", None)
        return config if self.trainable else {**config, "trainable": False}

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> Self:
        """Make a layer from what `get_config` returned; its constructor need not take `name` and `trainable`."""
        arguments = dict(config)
        name, trainable = arguments.pop("name", None), arguments.pop("trainable", True)
        layer = cls(**arguments)
        layer._name_itself(name)
        if not trainable:
            layer.trainable = False
        return layer

    def __str__(self) -> str:
        return f'{type(self).__name__} "{self.name}"'

    def __repr__(self) -> str:
        return f"<{self}>"


def _once_built(build: Any) -> Any:
    """Let a call of `build` mark the layer as built, whoever calls it."""

    @functools.wraps(build)
    def call(self: Layer, *input_shapes: Any, **named: Any) -> Any:
        result = build(self, *input_shapes, **named)
        self.built = True
        return result

    return call


_NO_ARRAYS = (SymbolicTensor, Layer)
"""What has a dtype, as arrays have, and is none."""


def _is_of_numbers(x: Any) -> bool:
    return isinstance(x, (list, tuple)) and bool(x) and all(isinstance(item, (int, float)) for item in leaves(x))


def _open_shapes(x: Any) -> Any:
    """The shapes of arrays, their first entry, the batch, being left open."""
    return mapped(lambda a: (None, *a.shape[1:]) if hasattr(a, "shape") else a, x)


def need_axes(input_shape: OpenShape, axes: int, meaning: str) -> None:
    """Raises: ShapeError where an input has not that many axes, batch included."""
    if len(input_shape) != axes:
        raise ShapeError(f"input must have {axes} axes, {meaning}, but has shape {shown(input_shape)}")


def _readable(y: Any) -> Any:
    """A plain array on the GPU as a Tensor, which NumPy can read: for who called with arrays of NumPy."""
    return y if isinstance(y, Tensor) or library(y) == "numpy" else Tensor(y)
