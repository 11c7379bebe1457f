"""Check a layer: its shapes, its gradients against numeric ones, its settings and files, its manners."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from gpudl import layers, models, random, registry
from gpudl.autograd import Parameter, Tensor, no_grad
from gpudl.backend import array_module, to_numpy
from gpudl.backend.devices import put
from gpudl.layers.weighted import layers_within
from gpudl.testing.ops import ENTRIES, FLOAT64, STEP, check_close


def check_layer(
    layer_class: type[layers.Layer],
    settings: Mapping[str, Any] | None = None,
    input_shape: Sequence[int] = (4,),
    *,
    oracle: Callable[[np.ndarray, list[np.ndarray]], np.ndarray] | None = None,
    rtol: float = 1e-6,
    seed: int = 0,
) -> None:
    """Check everything a layer promises, made with these settings, for samples of `input_shape` (without the batch).

    - `compute_output_shape` tells the shape that a call gives, for two batch sizes; with `training` on and off.
    - float64: the gradients of sum(projection * y) for the input and every trainable weight, for a random
      projection, equal central differences to within `rtol` of the largest; with `training` on and off. The entries
      to check are drawn by `seed`, and are all of them in a small array.
    - float32 gives float32, equal to float64 to 1e-5 of the largest entry.
    - A call changes neither its input nor, outside training, a weight.
    - `from_config(get_config())` survives JSON, has the same settings, and with the same weights the same output.
    - Saved in a Sequential and loaded again it gives the same output, where the class is registered.
    - Outside training the value equals `oracle(x, weights)` where one is given, weights in the order of `weights`.

    All of it is done on the device in use (`gpudl.set_device`). Inputs are drawn from a normal distribution. Weights
    are those of the initializers with a random positive number added to each that is not an integer, so that neither
    biases of 0 nor scales of 1 hide a mistake. A layer that draws in training must take its keys from
    `gpudl.random.layer_key`.

    Raises: AssertionError that names the layer, the weight, the position and both numbers.
    """
    settings = dict(settings or {})
    rng = np.random.default_rng([seed, 2])
    batches = [rng.standard_normal((n, *input_shape)).astype(np.float32) for n in (3, 2)]

    single = layer_class(**settings)
    who = str(single)
    _check_shapes(who, single, batches)
    values = [
        (w + rng.uniform(0.1, 0.5, w.shape)).astype(np.float32) if w.dtype.kind == "f" else w
        for w in single.get_weights()
    ]
    single.set_weights(values)
    double = _in_double_precision(layer_class(**settings), input_shape, values)
    if [w.name for w in double.weights] != [w.name for w in single.weights]:
        raise AssertionError(f"{who}: two layers of the same settings have different weights")

    x = batches[0]
    for training in (False, True):
        phase = f"with training={training}"
        y = _call(double, x.astype(np.float64), training, values)
        y_single = _call(single, x, training, values)
        if y_single.dtype != np.float32:
            raise AssertionError(f"{who}: float32 in gave {y_single.dtype} out, {phase}")
        check_close(f"{who}: value in float32 against float64, {phase}", y_single, y)
        _check_manners(who, single, x, training, values)
        _check_gradients(who, double, x.astype(np.float64), training, values, phase, rtol, rng)

    if oracle is not None:
        expected = oracle(x.astype(np.float64), [value.astype(np.float64) for value in values])
        y = _call(double, x.astype(np.float64), False, values)
        check_close(f"{who}: value against the oracle", y, expected, FLOAT64)
    single.set_weights(values)
    _check_config(who, single, x)
    _check_file(who, layer_class, settings, x, values)


def _plain(y: Any) -> np.ndarray:
    return to_numpy(y.data if isinstance(y, Tensor) else y)


def _call(layer: layers.Layer, x: np.ndarray, training: bool, values: Sequence[np.ndarray]) -> np.ndarray:
    """Call the layer on a plain array, with these weights and the first draws of step 0."""
    layer.set_weights(list(values))
    random.begin_step(0)
    with no_grad():
        return _plain(layer(x.copy(), training=training)).copy()


def _in_double_precision(layer: layers.Layer, input_shape: Sequence[int], values: Sequence[np.ndarray]) -> layers.Layer:
    """Build the layer in float64, whether or not its constructor knows `dtype`."""
    for each in [layer, *layers_within(layer)]:
        each.dtype = "float64"
    _call_once(layer, np.zeros((2, *input_shape)))
    for each in [layer, *layers_within(layer)]:  # those that were made while building, too
        each.dtype = "float64"
    for weight in layer.weights:
        if weight.dtype.kind == "f":
            weight.data = weight.data.astype(np.float64)
    layer.set_weights(list(values))
    return layer


def _call_once(layer: layers.Layer, x: np.ndarray) -> np.ndarray:
    with no_grad():
        return _plain(layer(x, training=False))


def _check_shapes(who: str, layer: layers.Layer, batches: Sequence[np.ndarray]) -> None:
    told = tuple(layer.compute_output_shape((None, *batches[0].shape[1:])))
    if told[0] is not None:
        raise AssertionError(f"{who}: compute_output_shape must keep the batch open (None), but gave {told}")
    for x in batches:
        for training in (False, True):
            with no_grad():
                y = _plain(layer(x.copy(), training=training))
            if y.shape != (len(x), *told[1:]):
                raise AssertionError(
                    f"{who}: compute_output_shape tells {told} for samples of shape {x.shape[1:]}, but "
                    f"{len(x)} samples with training={training} gave {y.shape}"
                )


def _check_manners(who: str, layer: layers.Layer, x: np.ndarray, training: bool, values: Sequence[np.ndarray]) -> None:
    """A call changes neither its input nor, outside training, its weights."""
    layer.set_weights(list(values))
    passed = put(x.copy())
    y = layer(Tensor(passed, requires_grad=True), training=training)
    if not isinstance(y, Tensor):
        raise AssertionError(f"{who}: a Tensor in gave a {type(y).__name__}, which no gradient passes")
    y.backward(array_module(y.data).ones_like(y.data))
    check_close(f"{who}: the input after a call with training={training}", passed, x, 0.0)
    for weight, value in zip(layer.weights, values, strict=True):
        if weight.trainable or not training:
            what = f'{who}: weight "{weight.name}" after a call with training={training}'
            check_close(what, weight.numpy(), value, 0.0)
        weight.grad = None


def _check_gradients(
    who: str,
    layer: layers.Layer,
    x: np.ndarray,
    training: bool,
    values: Sequence[np.ndarray],
    phase: str,
    rtol: float,
    rng: np.random.Generator,
) -> None:
    y = _call(layer, x, training, values)
    projection = rng.uniform(0.5, 1.5, y.shape) * rng.choice([-1.0, 1.0], y.shape)
    layer.set_weights(list(values))
    random.begin_step(0)
    source = Tensor(put(x.copy()), requires_grad=True)
    output = layer(source, training=training)
    output.backward(put(projection.copy()))

    targets: list[tuple[str, Parameter | None, np.ndarray | None]] = [("its input", None, source.grad)]
    for weight in layer.trainable_weights:
        targets.append((f'weight "{weight.name}"', weight, weight.grad))
        weight.grad = None
    for name, weight, gradient in targets:
        if gradient is None:
            raise AssertionError(f"{who}: {name} got no gradient, {phase}")
        array, gradient = x if weight is None else weight.numpy().copy(), to_numpy(gradient)
        if gradient.shape != array.shape:
            raise AssertionError(f"{who}: {name} has shape {array.shape}, its gradient {gradient.shape}, {phase}")
        all_of_them = np.arange(array.size)
        chosen = all_of_them if array.size <= ENTRIES else rng.choice(array.size, ENTRIES, replace=False)
        numeric = gradient.copy()
        rounding = 0.0
        for flat in chosen:
            position = np.unravel_index(flat, array.shape)
            step = STEP * max(1.0, abs(float(array[position])))
            sides = []
            for sign in (1, -1):
                moved = array.copy()
                moved[position] += sign * step
                if weight is None:
                    sides.append(_call(layer, moved, training, values))
                else:
                    replaced = [moved if w is weight else value for w, value in zip(layer.weights, values, strict=True)]
                    sides.append(_call(layer, x, training, replaced))
            numeric[position] = float((projection * (sides[0] - sides[1])).sum()) / (2 * step)
            rounding = max(rounding, 1e-15 * float(np.abs(projection * sides[0]).max(initial=0)) / step)
        size = float(max(np.abs(gradient).max(initial=0), np.abs(numeric).max(initial=0)))
        what = f"{who}: gradient of {name} against central differences, {phase}"
        check_close(what, gradient, numeric, 1.0, scale=rtol * size + rounding)


def _check_config(who: str, layer: layers.Layer, x: np.ndarray) -> None:
    config = layer.get_config()
    if json.loads(json.dumps(config)) != config:
        raise AssertionError(f"{who}: get_config() does not survive JSON: {config}")
    twin = type(layer).from_config(json.loads(json.dumps(config)))
    again = twin.get_config()
    if again != config:
        different = sorted(name for name in {*config, *again} if config.get(name) != again.get(name))
        raise AssertionError(f"{who}: from_config(get_config()) has other settings: {', '.join(different)}")
    _call_once(twin, x.copy())
    twin.set_weights(layer.get_weights())
    what = f"{who}: value after from_config(get_config()) and set_weights"
    check_close(what, _call_once(twin, x.copy()), _call_once(layer, x.copy()), 0.0)


def _check_file(
    who: str,
    layer_class: type[layers.Layer],
    settings: Mapping[str, Any],
    x: np.ndarray,
    values: Sequence[np.ndarray],
) -> None:
    if layer_class not in registry.table("layers").values():
        return
    layer = layer_class(**settings)
    model = models.Sequential([layers.Input(shape=x.shape[1:]), layer])
    layer.set_weights(list(values))
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "model.safetensors"
        model.save(path)
        loaded = models.load_model(path)
    for weight, after, before in zip(layer.weights, loaded.get_weights(), values, strict=True):
        check_close(f'{who}: weight "{weight.name}" after saving and loading', after, before, 0.0)
    check_close(f"{who}: value after saving and loading", loaded.predict(x), model.predict(x), 0.0)
