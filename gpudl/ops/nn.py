"""What networks are made of, under Keras's names and in its order of arguments, for images and for sequences.

A sequence (N, L, C) is an image of height 1.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from gpudl.autograd import as_array
from gpudl.backend import Array, array_module
from gpudl.errors import ShapeError, UsageError
from gpudl.ops.activations import celu as celu
from gpudl.ops.activations import elu as elu
from gpudl.ops.activations import gelu as gelu
from gpudl.ops.activations import glu as glu
from gpudl.ops.activations import hard_sigmoid as hard_sigmoid
from gpudl.ops.activations import hard_silu as hard_silu
from gpudl.ops.activations import hard_swish as hard_swish
from gpudl.ops.activations import leaky_relu as leaky_relu
from gpudl.ops.activations import log_sigmoid as log_sigmoid
from gpudl.ops.activations import log_softmax as log_softmax
from gpudl.ops.activations import relu as relu
from gpudl.ops.activations import relu6 as relu6
from gpudl.ops.activations import selu as selu
from gpudl.ops.activations import sigmoid as sigmoid
from gpudl.ops.activations import silu as silu
from gpudl.ops.activations import softmax as softmax
from gpudl.ops.activations import softplus as softplus
from gpudl.ops.activations import softsign as softsign
from gpudl.ops.activations import tanh as tanh
from gpudl.ops.arithmetic import expand_dims, squeeze
from gpudl.ops.conv2d import conv2d
from gpudl.ops.creation import cast, type_name
from gpudl.ops.cross_entropy import (
    binary_cross_entropy,
    cross_entropy,
    sigmoid_cross_entropy,
    softmax_cross_entropy,
    sparse_cross_entropy,
    sparse_softmax_cross_entropy,
)
from gpudl.ops.decorators import without_gradient
from gpudl.ops.layout import check_format
from gpudl.ops.normalization import batch_normalization as batch_normalization
from gpudl.ops.normalization import moments as moments
from gpudl.ops.pool2d import average_pool2d, max_pool2d
from gpudl.ops.shaping import moveaxis
from gpudl.shapes import Pair, shown


def conv(
    inputs: Array,
    kernel: Array,
    strides: Pair = 1,
    padding: str = "valid",
    data_format: str | None = None,
    dilation_rate: Pair = 1,
) -> Array:
    """Slide a kernel over images or sequences, in as many groups as its channels go into theirs; see `conv2d`.

    Shapes: inputs (N, H, W, C), kernel (R, S, C / groups, K) -> (N, P, Q, K); inputs (N, L, C), kernel
        (R, C / groups, K) -> (N, P, K); channels_first likewise.
    Raises: ShapeError where they do not fit each other.
    """
    inputs, kernel = as_array(inputs), as_array(kernel)
    axes = _spatial_axes("conv", inputs, padding)
    if len(kernel.shape) != axes + 2:
        raise ShapeError(f"conv: a kernel of shape {shown(kernel.shape)} does not fit inputs of {shown(inputs.shape)}")
    data_format = data_format or "channels_last"
    check_format(data_format)
    channels, read = inputs.shape[-1 if data_format == "channels_last" else 1], kernel.shape[-2]
    if channels % read:
        raise ShapeError(
            f"conv: a kernel of shape {shown(kernel.shape)} reads {read} channels, of which the {channels} of inputs "
            f"of shape {shown(inputs.shape)} are no multiple"
        )
    settings = {"padding": padding, "data_format": data_format, "groups": channels // read}
    if axes == 2:
        return conv2d(inputs, kernel, strides=strides, dilation_rate=dilation_rate, **settings)
    return _as_images(
        lambda x: conv2d(
            x,
            expand_dims(kernel, 0),
            strides=_of_height_1(strides, "strides"),
            dilation_rate=_of_height_1(dilation_rate, "dilation_rate"),
            **settings,
        ),
        inputs,
        data_format,
    )


def max_pool(
    inputs: Array, pool_size: Pair, strides: Pair | None = None, padding: str = "valid", data_format: str | None = None
) -> Array:
    """Keep the largest value of each window of images (N, H, W, C) or sequences (N, L, C); see `max_pool2d`."""
    return _pool(max_pool2d, "max_pool", inputs, pool_size, strides, padding, data_format)


def average_pool(
    inputs: Array, pool_size: Pair, strides: Pair | None = None, padding: str = "valid", data_format: str | None = None
) -> Array:
    """Average each window of images (N, H, W, C) or sequences (N, L, C); see `average_pool2d`."""
    return _pool(average_pool2d, "average_pool", inputs, pool_size, strides, padding, data_format)


def _pool(
    pool2d: Callable[..., Array],
    name: str,
    inputs: Array,
    pool_size: Pair,
    strides: Pair | None,
    padding: str,
    data_format: str | None,
) -> Array:
    inputs, data_format = as_array(inputs), data_format or "channels_last"
    check_format(data_format)
    settings = {"padding": padding, "data_format": data_format}
    if _spatial_axes(name, inputs, padding) == 2:
        return pool2d(inputs, pool_size=pool_size, strides=strides, **settings)
    window, step = _of_height_1(pool_size, "pool_size"), None if strides is None else _of_height_1(strides, "strides")
    return _as_images(lambda x: pool2d(x, pool_size=window, strides=step, **settings), inputs, data_format)


def _spatial_axes(name: str, inputs: Array, padding: str) -> int:
    if padding not in ("valid", "same"):
        raise UsageError(f'{name}(padding={padding!r}): use "valid" or "same"')
    axes = len(inputs.shape) - 2
    if axes not in (1, 2):
        raise ShapeError(
            f"{name}: inputs must have 4 axes, (batch, height, width, channels), or 3, (batch, length, channels), "
            f"but have shape {shown(inputs.shape)}"
        )
    return axes


def _of_height_1(value: Pair, name: str) -> tuple[int, int]:
    """A setting for one axis as one for two, the first of length 1."""
    (length,) = (value,) if isinstance(value, int) else value if len(value) == 1 else (None,)
    if length is None:
        raise ShapeError(f"{name}={value!r} must be one integer for sequences, (batch, length, channels)")
    return 1, length


def _as_images(op: Callable[[Array], Array], sequences: Array, data_format: str) -> Array:
    height = 1 if data_format == "channels_last" else 2
    return squeeze(op(expand_dims(sequences, height)), height)


@without_gradient
def _one_hot(x: Array, *, num_classes: int, axis: int, dtype: str) -> Array:
    xp = array_module(x)
    x = xp.asarray(x).astype("int64")
    axis = axis % (x.ndim + 1)
    classes = xp.arange(num_classes).reshape([-1 if i == axis else 1 for i in range(x.ndim + 1)])
    return (xp.expand_dims(x, axis) == classes).astype(dtype)


def one_hot(x: Array, num_classes: int, axis: int = -1, dtype: Any = None) -> Array:
    """Turn labels into rows of zeros with a one at the label; all zeros for labels outside [0, num_classes).

    Shapes: labels (...) -> (..., num_classes), or with the classes along another `axis`. No gradient.
    """
    return _one_hot(x, num_classes=num_classes, axis=axis, dtype=type_name(dtype))


def categorical_crossentropy(target: Array, output: Array, from_logits: bool = False, axis: int = -1) -> Array:
    """Cross-entropy of target probabilities and probabilities, or scores before the softmax: -sum target log p.

    Shapes: target and output (..., K) -> (...), K standing on `axis`. Gradient: for `output`.
    """
    target, output = as_array(target), as_array(output)
    _same_shape("categorical_crossentropy", target, output)
    if not output.shape:
        raise ShapeError("categorical_crossentropy: target and output must have at least one axis, the classes")
    target, output = (x if axis == -1 else moveaxis(x, axis, -1) for x in (target, output))
    return (softmax_cross_entropy if from_logits else cross_entropy)(output, target)


def sparse_categorical_crossentropy(target: Array, output: Array, from_logits: bool = False, axis: int = -1) -> Array:
    """Cross-entropy of integer labels and probabilities, or scores before the softmax: -log p[label].

    Shapes: labels (...) or (..., 1), output (..., K) -> (...), K standing on `axis`. Gradient: for `output`.
    """
    target, output = as_array(target), as_array(output)
    if len(target.shape) == len(output.shape) and target.shape and target.shape[axis] == 1:
        target = squeeze(target, axis)
    output = output if axis == -1 else moveaxis(output, axis, -1)
    if not output.shape or tuple(target.shape) != tuple(output.shape[:-1]):
        raise ShapeError(
            f"sparse_categorical_crossentropy: labels of shape {shown(target.shape)} do not fit outputs with classes "
            f"on the last axis, of shape {shown(output.shape)}"
        )
    labels = target if target.dtype.kind in "iu" else cast(target, "int64")
    return (sparse_softmax_cross_entropy if from_logits else sparse_cross_entropy)(output, labels)


def binary_crossentropy(target: Array, output: Array, from_logits: bool = False) -> Array:
    """Cross-entropy of yes or no, elementwise: -t log p - (1 - t) log(1 - p), or of scores before the sigmoid.

    Shapes: target, output and result alike. Gradient: for `output`.
    """
    target, output = as_array(target), as_array(output)
    _same_shape("binary_crossentropy", target, output)
    return (sigmoid_cross_entropy if from_logits else binary_cross_entropy)(output, target)


def _same_shape(name: str, target: Array, output: Array) -> None:
    if tuple(target.shape) != tuple(output.shape):
        raise ShapeError(
            f"{name}: target of shape {shown(target.shape)} and output of shape {shown(output.shape)} must agree"
        )
