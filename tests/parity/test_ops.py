"""gpudl.ops beside keras.ops: one call on both sides, the same values, types of numbers and gradients."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gpudl import ops
from gpudl.autograd import Tensor
from gpudl.testing import check_close

pytestmark = [
    pytest.mark.parity,
    pytest.mark.filterwarnings("ignore:.*softmax over axis:UserWarning"),
    pytest.mark.filterwarnings("ignore:Tensor.T is deprecated on 0-D tensors:UserWarning"),
    pytest.mark.filterwarnings("ignore:The use of `x.T` on tensors of dimension other than 2:UserWarning"),
]

Case = tuple[list[Any], dict[str, Any]]
"""What a call is made of: arrays and settings by position, in Keras's order, and settings by name."""

shapes = st.lists(st.integers(1, 4), min_size=1, max_size=4).map(tuple)
seeds = st.integers(0, 2**16)


def numbers(seed: int, shape: Any) -> np.ndarray:
    """Halves and quarters, of which none is 0: away from kinks, with ties."""
    rng = np.random.default_rng(seed)
    return np.asarray((rng.integers(1, 10, shape) * rng.choice([-1, 1], shape) / 4), np.float32)


def normal(seed: int, shape: Any) -> np.ndarray:
    return np.asarray(np.random.default_rng(seed).standard_normal(shape), np.float32)


def positive(seed: int, shape: Any) -> np.ndarray:
    return np.asarray(np.random.default_rng(seed).uniform(0.25, 3, shape), np.float32)


def whole(seed: int, shape: Any) -> np.ndarray:
    return np.asarray(np.random.default_rng(seed).integers(-3, 4, shape), np.int32)


def of_one(make: Callable[[int, Any], np.ndarray]) -> st.SearchStrategy[Case]:
    return st.builds(lambda seed, shape: ([make(seed, shape)], {}), seeds, shapes)


@st.composite
def of_two(draw: st.DrawFn, make: Callable[[int, Any], np.ndarray], number: bool = True) -> Case:
    """Two arrays that broadcast; or one and a Python number."""
    full = draw(shapes)
    pair = [tuple(n if draw(st.booleans()) else 1 for n in full)[draw(st.integers(0, len(full))) :] for _ in range(2)]
    arrays: list[Any] = [make(draw(seeds), shape) for shape in pair]
    if number and draw(st.booleans()):
        arrays[1] = draw(st.sampled_from([0.5, 2, 1.25]))
    return arrays, {}


@st.composite
def reduced(
    draw: st.DrawFn, make: Callable[[int, Any], np.ndarray] = normal, several: bool = True, none: bool = True
) -> Case:
    shape = draw(shapes)
    axes: Any = st.integers(-len(shape), len(shape) - 1)
    if none:
        axes |= st.none()
    if several:
        lists = st.lists(st.integers(0, len(shape) - 1), min_size=1, unique=True)
        axes |= lists.map(tuple)
    axis = draw(axes)
    keepdims = axis is not None and draw(st.booleans())  # over all axes Keras keeps none of them, on this backend
    return [make(draw(seeds), shape)], {"axis": axis, "keepdims": keepdims}


@st.composite
def along(draw: st.DrawFn, make: Callable[[int, Any], np.ndarray] = normal, none: bool = True, **more: Any) -> Case:
    shape = draw(shapes)
    axes: Any = st.integers(-len(shape), len(shape) - 1)
    axis = draw(st.none() | axes if none else axes)
    return [make(draw(seeds), shape)], {"axis": axis, **{name: draw(values) for name, values in more.items()}}


@st.composite
def norms(draw: st.DrawFn) -> Case:
    (x,), arguments = draw(reduced(positive, several=False, none=False))
    x = x * np.where(np.random.default_rng(draw(seeds)).random(x.shape) < 0.5, -1, 1).astype(np.float32)
    order = draw(st.sampled_from([None, 1, 2, 3, 2.5, float("inf"), float("-inf")]))
    if order is None and not arguments["keepdims"]:
        arguments["axis"] = draw(st.none() | st.just(arguments["axis"]))
    return [x], {"ord": order, **arguments}


@st.composite
def axes_moved(draw: st.DrawFn) -> Case:
    shape = draw(shapes)
    count = draw(st.integers(1, len(shape)))
    some = st.lists(st.integers(0, len(shape) - 1), min_size=count, max_size=count, unique=True)
    source, destination = draw(some), draw(some)
    return [normal(draw(seeds), shape), source, destination], {}


@st.composite
def axes_ordered(draw: st.DrawFn) -> Case:
    shape = draw(shapes)
    return [normal(draw(seeds), shape), draw(st.permutations(range(len(shape))))], {}


@st.composite
def axes_swapped(draw: st.DrawFn) -> Case:
    shape = draw(shapes)
    axis = st.integers(-len(shape), len(shape) - 1)
    return [normal(draw(seeds), shape), draw(axis), draw(axis)], {}


@st.composite
def repeated(draw: st.DrawFn) -> Case:
    ([x], arguments) = draw(along())
    size = x.size if arguments["axis"] is None else x.shape[arguments["axis"]]
    each = st.lists(st.integers(0, 3), min_size=size, max_size=size).filter(any)
    return [x, draw(st.integers(1, 3) | each)], arguments


@st.composite
def tiled(draw: st.DrawFn) -> Case:
    return [normal(draw(seeds), draw(shapes)), draw(st.lists(st.integers(1, 3), min_size=1, max_size=4))], {}


@st.composite
def padded(draw: st.DrawFn) -> Case:
    """Not "symmetric": there Keras repeats the edge, on this backend."""
    shape = draw(st.lists(st.integers(3, 4), min_size=1, max_size=3))
    pairs = st.tuples(st.integers(0, 2), st.integers(0, 2))
    mode = draw(st.sampled_from(["constant", "reflect"]))
    if mode == "reflect":
        shape = shape[:2]  # all that Keras reflects on this backend
        return [normal(draw(seeds), shape), [draw(pairs) for _ in shape]], {"mode": mode}
    value = draw(st.none() | st.sampled_from([1.5, -2.0]))
    one = st.integers(0, 2) | pairs.map(lambda pair: (pair,))  # which Keras takes for the last axis alone, here
    width = draw(one if len(shape) == 1 else st.tuples(*[pairs] * len(shape)))
    return [normal(draw(seeds), shape), width], {"constant_values": value}


@st.composite
def cut(draw: st.DrawFn) -> Case:
    shape = list(draw(shapes))
    axis = draw(st.integers(-len(shape), len(shape) - 1))
    parts = draw(st.integers(1, 3))
    shape[axis] *= parts
    places = st.lists(st.integers(0, shape[axis]), min_size=1, max_size=3).map(sorted)
    return [normal(draw(seeds), shape), draw(st.just(parts) | places)], {"axis": axis}


@st.composite
def picked(draw: st.DrawFn) -> Case:
    ([x], arguments) = draw(along())
    size = x.size if arguments["axis"] is None else x.shape[arguments["axis"]]
    shape = draw(st.lists(st.integers(1, 3), max_size=3))
    lowest = 0 if arguments["axis"] is None else -size  # laid out flat Keras counts back from another end, here
    index = np.random.default_rng(draw(seeds)).integers(lowest, size, shape)
    return [x, np.asarray(index)], arguments


@st.composite
def picked_along(draw: st.DrawFn) -> Case:
    shape = draw(shapes)
    axis = draw(st.integers(-len(shape), len(shape) - 1))
    taken = list(shape)
    taken[axis] = draw(st.integers(1, 4))
    index = np.random.default_rng(draw(seeds)).integers(0, shape[axis], taken)
    return [normal(draw(seeds), shape), index], {"axis": axis}


@st.composite
def listed(draw: st.DrawFn, join: bool) -> Case:
    shape = draw(shapes)
    axis = draw(st.integers(-len(shape), len(shape) - 1))
    parts = []
    for _ in range(draw(st.integers(1, 3))):
        own = list(shape)
        own[axis] = draw(st.integers(1, 3)) if join else shape[axis]
        parts.append(normal(draw(seeds), own))
    return [parts], draw(st.sampled_from([{}, {"axis": axis}])) if not join or axis % len(shape) == 0 else {
        "axis": axis
    }


@st.composite
def joined_by_axes(draw: st.DrawFn) -> Case:
    summed = draw(st.lists(st.integers(1, 3), max_size=2))
    left, right = (draw(st.lists(st.integers(1, 3), max_size=2)) for _ in range(2))
    if draw(st.booleans()):
        arrays = [normal(draw(seeds), [*left, *summed]), normal(draw(seeds), [*summed, *right])]
        return arrays, {"axes": len(summed)}
    order = draw(st.permutations(range(len(summed))))
    arrays = [normal(draw(seeds), [*summed, *left]), normal(draw(seeds), [*right, *(summed[i] for i in order)])]
    return arrays, {"axes": [list(order), [len(right) + i for i in range(len(summed))]]}


@st.composite
def multiplied(draw: st.DrawFn) -> Case:
    a, b, c = (draw(st.integers(1, 4)) for _ in range(3))
    left, right = draw(
        st.sampled_from([((b,), (b,)), ((a, b), (b,)), ((a, b), (b, c)), ((2, a, b), (b, c)), ((b,), (b, c))])
    )
    return [normal(draw(seeds), left), normal(draw(seeds), right)], {}


@st.composite
def conditional(draw: st.DrawFn) -> Case:
    shape = draw(shapes)
    arrays: list[Any] = [normal(draw(seeds), shape) > 0, normal(draw(seeds), shape), normal(draw(seeds), shape[-1:])]
    if draw(st.booleans()):
        arrays[2] = 0.25
    return arrays, {}


@st.composite
def windows(draw: st.DrawFn, kind: str) -> Case:
    """Images or sequences, kernels or windows that fit."""
    axes = draw(st.integers(1, 2))
    data_format = draw(st.sampled_from([None, "channels_last", "channels_first"]))
    groups = draw(st.integers(1, 2)) if kind == "conv" else 1
    channels = groups * draw(st.integers(1, 2))
    window = [draw(st.integers(1, 3)) for _ in range(axes)]
    size = [draw(st.integers(4, 7)) for _ in range(axes)]
    dilation = draw(st.integers(1, 2)) if kind == "conv" else 1
    size = [max(n, (k - 1) * dilation + 1) for n, k in zip(size, window, strict=True)]
    batch = draw(st.integers(2, 3))
    shape = (batch, channels, *size) if data_format == "channels_first" else (batch, *size, channels)
    strides: Any = draw(st.integers(1, 3)) if dilation == 1 else 1
    if draw(st.booleans()):
        strides = (strides,) * axes
    arguments = {"strides": strides, "padding": draw(st.sampled_from(["valid", "same"])), "data_format": data_format}
    x = normal(draw(seeds), shape)
    if kind == "conv":
        kernel = normal(draw(seeds), (*window, channels // groups, groups * draw(st.integers(1, 2))))
        return [x, kernel], {**arguments, "dilation_rate": dilation}
    if kind == "average_pool":
        arguments["padding"] = "valid"  # with "same" Keras counts repeated edges, on this backend
    if draw(st.booleans()):
        arguments["strides"] = None
    return [x, draw(st.just(tuple(window)) | st.just(window[0]))], arguments


@st.composite
def spread_windows(draw: st.DrawFn, kind: str) -> Case:
    """Images or sequences for the convolutions that have a kernel for each channel, or turn one round."""
    axes = draw(st.integers(1, 2))
    data_format = draw(st.sampled_from([None, "channels_last", "channels_first"]))
    channels, filters = draw(st.integers(1, 3)), draw(st.integers(1, 3))
    window = [draw(st.integers(1, 3)) for _ in range(axes)]
    size = [draw(st.integers(5, 7)) for _ in range(axes)]
    dilation = draw(st.integers(1, 2))
    stride = draw(st.integers(1, 3)) if dilation == 1 else 1
    batch = draw(st.integers(2, 3))
    x = normal(draw(seeds), (batch, channels, *size) if data_format == "channels_first" else (batch, *size, channels))
    arguments: dict[str, Any] = {
        "strides": draw(st.sampled_from([stride, (stride,) * axes])),
        "padding": draw(st.sampled_from(["valid", "same"])),
        "data_format": data_format,
        "dilation_rate": dilation,
    }
    if kind == "transpose":
        if stride > 1:
            arguments["output_padding"] = draw(st.none() | st.integers(0, stride - 1))
        return [x, normal(draw(seeds), (*window, filters, channels))], arguments
    kernels = [normal(draw(seeds), (*window, channels, filters))]
    if kind == "separable":
        kernels.append(normal(draw(seeds), (*[1] * axes, channels * filters, draw(st.integers(1, 3)))))
    return [x, *kernels], arguments


@st.composite
def by_channel(draw: st.DrawFn) -> Case:
    shape = draw(shapes)
    axis = draw(st.integers(-len(shape), len(shape) - 1))
    mean, *others = (positive(draw(seeds), shape[axis]) for _ in range(4))
    variance, offset, scale = (draw(st.sampled_from([other, None])) if i else other for i, other in enumerate(others))
    more = {"epsilon": draw(st.sampled_from([1e-3, 0.1]))} if draw(st.booleans()) else {}
    return [normal(draw(seeds), shape), mean, variance, axis, offset, scale], more


@st.composite
def by_sample(draw: st.DrawFn) -> Case:
    shape = draw(shapes)
    # Over axes in the middle alone, Keras normalizes the last ones on this backend, or fails.
    axes = sorted({*draw(st.lists(st.integers(0, len(shape) - 1))), len(shape) - 1})
    lengths = [shape[i] for i in axes]
    gamma, beta = (draw(st.sampled_from([positive(draw(seeds), lengths), None])) for _ in range(2))
    axis = draw(st.sampled_from([axes, axes[0], axes[0] - len(shape)])) if len(axes) == 1 else axes
    return [numbers(draw(seeds), shape), gamma, beta], {"axis": axis, "epsilon": draw(st.sampled_from([1e-3, 0.1]))}


@st.composite
def of_statistics(draw: st.DrawFn) -> Case:
    shape = draw(shapes)
    axes = draw(st.lists(st.integers(0, len(shape) - 1), min_size=1, unique=True))
    return [normal(draw(seeds), shape), axes], {"keepdims": draw(st.booleans())}


@st.composite
def best_of_row(draw: st.DrawFn) -> Case:
    n, classes = draw(st.integers(1, 5)), draw(st.integers(1, 5))
    targets = np.random.default_rng(draw(seeds)).integers(0, classes, n)
    return [targets, numbers(draw(seeds), (n, classes))], {"k": draw(st.integers(1, classes))}


@st.composite
def matrices(draw: st.DrawFn, least: int = 2, most: int = 4) -> Case:
    shape = draw(st.lists(st.integers(1, 4), min_size=least, max_size=most))
    return [normal(draw(seeds), shape)], {"k": draw(st.integers(-2, 2))}


@st.composite
def traced(draw: st.DrawFn) -> Case:
    shape = draw(st.lists(st.integers(2, 4), min_size=2, max_size=4))
    axis1, axis2 = draw(st.permutations(range(len(shape))))[:2]
    return [normal(draw(seeds), shape)], {"offset": draw(st.integers(-1, 1)), "axis1": axis1, "axis2": axis2}


@st.composite
def with_gaps(draw: st.DrawFn) -> Case:
    values = [0.5, -1.25, 3.0, float("nan"), float("inf"), float("-inf")]
    x = np.random.default_rng(draw(seeds)).choice(values, draw(shapes)).astype(np.float32)
    infinite = st.none() | st.sampled_from([8.0, -2.5])
    return [x], {"nan": draw(st.sampled_from([0.0, 4.5])), "posinf": draw(infinite), "neginf": draw(infinite)}


@st.composite
def several(draw: st.DrawFn) -> Case:
    shape = draw(shapes)
    return [[normal(draw(seeds), shape) for _ in range(draw(st.integers(1, 3)))]], {}


@st.composite
def blocks(draw: st.DrawFn) -> Case:
    shape = draw(shapes)
    starts = [draw(st.integers(0, n - 1)) for n in shape]
    return [
        normal(draw(seeds), shape),
        starts,
        [draw(st.integers(1, n - s)) for n, s in zip(shape, starts, strict=True)],
    ], {}


@st.composite
def gridded(draw: st.DrawFn) -> Case:
    vectors = [normal(draw(seeds), draw(st.integers(1, 4))) for _ in range(draw(st.integers(2, 3)))]
    return vectors, {"indexing": draw(st.sampled_from(["xy", "ij"]))}


@st.composite
def by_letters(draw: st.DrawFn) -> Case:
    letters = draw(st.sampled_from(["ij,jk->ik", "ij,kj->ki", "bij,bjk->bik", "i,j->ij", "ij,ij->", "bhqd,bhkd->bhqk",
                                    "ij->ji", "ij->", "ij,jk", "ij,jk,kl->il", "ij,j->i", "ab,c->cb"]))  # fmt: skip
    sizes = {letter: draw(st.integers(1, 4)) for letter in "abcbhqdijkl"}
    terms = letters.split("->")[0].split(",")
    return [letters, *(normal(draw(seeds), [sizes[letter] for letter in term]) for term in terms)], {}


@st.composite
def labels(draw: st.DrawFn, kind: str) -> Case:
    shape = (*draw(st.lists(st.integers(1, 4), min_size=1, max_size=3)), draw(st.integers(2, 5)))
    rng = np.random.default_rng(draw(seeds))
    from_logits = draw(st.booleans())
    if kind == "binary":
        target = rng.integers(0, 2, shape).astype(np.float32)
        output = rng.standard_normal(shape) if from_logits else rng.uniform(0.05, 0.95, shape)
        return [target, output.astype(np.float32)], {"from_logits": from_logits}
    axis = draw(st.sampled_from([-1, -1, 0, 1 - len(shape)]))
    output = rng.standard_normal(shape) if from_logits else rng.uniform(0.05, 1, shape)
    if kind == "one-hot":
        target = rng.uniform(0, 1, shape).astype(np.float32)
    else:
        rest = list(shape)
        target = rng.integers(0, rest.pop(axis), rest)
        if axis == -1 and draw(st.booleans()):
            target = target[..., None]
    return [target, output.astype(np.float32)], {"from_logits": from_logits, "axis": axis}


@st.composite
def one_hot(draw: st.DrawFn) -> Case:
    shape = draw(st.lists(st.integers(1, 4), max_size=3))
    axis = draw(st.sampled_from([-1, *range(len(shape) + 1)]))
    labels = np.random.default_rng(draw(seeds)).integers(-1, 4, shape)
    return [np.asarray(labels), draw(st.integers(4, 6))], {
        "axis": axis,
        "dtype": draw(st.sampled_from([None, "int32"])),
    }


@st.composite
def made(draw: st.DrawFn, *first: Any, types: tuple[str, ...] = ("int32", "bool", "float64")) -> Case:
    return [draw(shapes), *first], {"dtype": draw(st.none() | st.sampled_from(types))}


@st.composite
def spaced(draw: st.DrawFn) -> Case:
    ends = [draw(st.integers(-3, 3)), draw(st.floats(-3, 3))]
    return ends, {"num": draw(st.integers(1, 6)), "endpoint": draw(st.booleans())}


@st.composite
def ranges(draw: st.DrawFn) -> Case:
    return list(draw(st.sampled_from([(5,), (2, 7), (1, 8, 3), (0.0, 2.0, 0.25), (6, 0, -2), (3.0,)]))), {}


@st.composite
def diagonals(draw: st.DrawFn) -> Case:
    return [draw(st.integers(1, 4)), draw(st.none() | st.integers(1, 4)), draw(st.integers(-2, 2))], {}


@st.composite
def with_settings(draw: st.DrawFn, *more: st.SearchStrategy[Any], times: float = 1) -> Case:
    return [(times * normal(draw(seeds), draw(shapes))).astype(np.float32), *(draw(each) for each in more)], {}


@st.composite
def stretched(draw: st.DrawFn) -> Case:
    shape = draw(shapes)
    return [normal(draw(seeds), (1, *shape[1:])), (2, *shape)], {}


@st.composite
def reshaped(draw: st.DrawFn) -> Case:
    shape = draw(shapes)
    return [normal(draw(seeds), shape), draw(st.sampled_from([(-1, shape[-1]), (1, -1), (-1,)]))], {}


@st.composite
def normalized(draw: st.DrawFn) -> Case:
    (x,), arguments = draw(along(none=False, order=st.integers(1, 3)))
    return [x], arguments if draw(st.booleans()) else {**arguments, "epsilon": 0.5}


MADE: dict[str, st.SearchStrategy[Case]] = {
    "arange": ranges(),
    "linspace": spaced(),
    "eye": diagonals(),
    "zeros": made(),
    "ones": made(),
    "full": made(3, types=("int32", "float64")),
}

CASES: dict[str, st.SearchStrategy[Case]] = {
    **{name: of_one(normal) for name in ("square", "sin", "cos", "erf", "floor", "ceil", "sign", "abs", "absolute")},
    **{name: of_one(normal) for name in ("exp", "expm1", "isnan", "isinf", "isfinite", "negative", "ravel")},
    **{name: of_one(normal) for name in ("zeros_like", "ones_like", "logical_not")},
    **{name: of_one(positive) for name in ("log", "log1p", "log2", "log10", "sqrt", "rsqrt", "reciprocal")},
    **{name: of_two(numbers) for name in ("add", "subtract", "multiply", "divide", "maximum", "minimum")},
    **{name: of_two(numbers) for name in ("equal", "not_equal", "greater", "greater_equal", "less", "less_equal")},
    **{name: of_two(whole, number=False) for name in ("logical_and", "logical_or", "logical_xor")},
    **{name: reduced() for name in ("sum", "mean", "var", "logsumexp")},
    **{name: reduced(numbers) for name in ("max", "min")},
    **{name: reduced(several=False) for name in ("argmax", "argmin")},
    **{name: reduced(whole) for name in ("all", "any")},
    "power": of_two(positive),
    "floor_divide": of_two(positive),
    "mod": of_two(normal, number=False),
    "round": with_settings(st.integers(0, 2), times=4),
    "clip": with_settings(st.floats(-1, 0), st.floats(0, 1)),
    "where": conditional(),
    "std": reduced(numbers).filter(lambda case: bool((case[0][0].std(case[1]["axis"]) > 0.01).all())),
    "prod": reduced(numbers),
    "norm": norms(),
    "normalize": normalized(),
    "cumsum": along(none=True),
    "flip": along(),
    "roll": along(shift=st.integers(-3, 3)),
    "repeat": repeated(),
    "tile": tiled(),
    "pad": padded(),
    "split": cut(),
    "take": picked(),
    "take_along_axis": picked_along(),
    "transpose": axes_ordered(),
    "moveaxis": axes_moved(),
    "swapaxes": axes_swapped(),
    "expand_dims": along(none=False),
    "squeeze": of_one(normal),
    "reshape": reshaped(),
    "broadcast_to": stretched(),
    "concatenate": listed(join=True),
    "stack": listed(join=False),
    "matmul": multiplied(),
    "dot": multiplied(),
    "tensordot": joined_by_axes(),
    "cast": with_settings(st.sampled_from(["float64", "int32", "bool", "float16"]), times=3),
    "full_like": with_settings(st.just(2.5)),
    "conv": windows("conv"),
    "max_pool": windows("max_pool"),
    "average_pool": windows("average_pool"),
    "categorical_crossentropy": labels("one-hot"),
    "sparse_categorical_crossentropy": labels("sparse"),
    "binary_crossentropy": labels("binary"),
    "one_hot": one_hot(),
    "gelu": of_one(normal),  # the one activation whose default differs between keras.ops and keras.activations
    "conv_transpose": spread_windows("transpose"),
    "depthwise_conv": spread_windows("depthwise"),
    "separable_conv": spread_windows("separable"),
    "batch_normalization": by_channel(),
    "layer_normalization": by_sample(),
    "moments": of_statistics(),
    "sort": along(),
    "argsort": along(),
    "in_top_k": best_of_row(),
    "median": reduced(),
    "count_nonzero": along(whole).filter(lambda case: case[0][0].ndim < 3),  # Keras turns a result round, here
    "outer": of_two(normal, number=False),
    "diag": matrices(1, 2),
    "trace": traced(),
    "tril": matrices(),
    "triu": matrices(),
    "tan": of_one(lambda seed, shape: normal(seed, shape) / 4),
    "nan_to_num": with_gaps(),
    "vstack": several(),
    "hstack": several(),
    "slice": blocks(),
    "meshgrid": gridded(),
    "einsum": by_letters(),
    "softmax": along(),
    "log_softmax": along(),
    **{name: of_one(normal) for name in ("celu", "elu", "hard_shrink", "hard_sigmoid", "hard_silu", "hard_swish")},
    **{name: of_one(normal) for name in ("hard_tanh", "leaky_relu", "log_sigmoid", "relu", "relu6", "selu", "sigmoid")},
    **{name: of_one(normal) for name in ("silu", "soft_shrink", "softplus", "softsign", "sparse_plus", "tanh")},
    **{name: of_one(normal) for name in ("sparse_sigmoid", "squareplus", "tanh_shrink")},
}  # fmt: skip

ONLY_THE_SECOND = ("categorical_crossentropy", "sparse_categorical_crossentropy", "binary_crossentropy")
"""The first array of these, the target, has no gradient."""

EXACT = ("exp", "log", "sqrt", "multiply", "divide", "power", "abs", "max", "min", "sigmoid", "tanh", "erf", "take")
"""The value of these is a sum of nothing."""

CANCELS = ("layer_normalization", "normalize", "std", "var", "norm", "logsumexp", "softmax", "log_softmax")
"""The gradient of these is a difference of numbers near 1, which may be 0."""
SUMS = ("conv", "conv_transpose", "depthwise_conv", "separable_conv", "matmul", "dot", "tensordot", "einsum", "inner")
"""The gradient of these is a sum of products of numbers near 1, which may happen to cancel."""


def no_gradient_in_torch(name: str) -> bool:
    return name == "floor_divide" or name == "sparse_categorical_crossentropy"  # not of every layout


def parts(y: Any) -> list[Any]:
    return list(y) if isinstance(y, (list, tuple)) else [y]


def as_numbers(values: np.ndarray) -> np.ndarray:
    return values.astype(np.int64) if values.dtype == bool else values


@pytest.mark.parametrize("name", CASES)
@given(data=st.data())
@settings(max_examples=40)
def test_op(keras: Any, torch: Any, score: Any, name: str, data: st.DataObject) -> None:
    arguments, by_name = data.draw(CASES[name])
    with score("op", name):
        leaves: list[tuple[Tensor, Any]] = []

        def put(value: Any) -> tuple[Any, Any]:
            if isinstance(value, list) and value and isinstance(value[0], np.ndarray):
                both = [put(item) for item in value]
                return [a for a, _ in both], [b for _, b in both]
            if not isinstance(value, np.ndarray):
                # Keras on this backend takes these numbers as an array only.
                return value, np.asarray(value) if name == "repeat" and isinstance(value, list) else value
            if value.dtype.kind != "f" or (name in ONLY_THE_SECOND and value is arguments[0]):
                return value, torch.from_numpy(value)
            recorded = not no_gradient_in_torch(name)
            leaves.append((Tensor(value.copy(), requires_grad=True), torch.tensor(value, requires_grad=recorded)))
            return leaves[-1]

        both = [put(value) for value in arguments]
        ours = parts(getattr(ops, name)(*(a for a, _ in both), **by_name))
        theirs = parts(getattr(keras.ops, name)(*(b for _, b in both), **by_name))
        assert len(ours) == len(theirs)
        plain = parts(getattr(ops, name)(*arguments, **by_name))
        rng = np.random.default_rng(0)
        going_back: Any = 0.0
        summed = [mine.data for mine, _ in leaves] if name not in EXACT else []
        projections = []
        for mine, other, alone in zip(ours, theirs, plain, strict=True):
            value = mine.data if isinstance(mine, Tensor) else mine
            assert not isinstance(alone, Tensor) and str(value.dtype) == str(alone.dtype)
            expected_value = other.detach().numpy()
            # Where terms happen to cancel, how large they were decides.
            size = max(float(np.abs(a).max(initial=0, where=np.isfinite(a))) for a in [expected_value, *summed])
            check_close(f"{name}: value", *(as_numbers(v) for v in (value, expected_value)), scale=size)
            assert str(value.dtype) == str(other.dtype).removeprefix("torch.")
            projections.append(rng.uniform(0.5, 1.5, value.shape).astype(value.dtype))
            if other.requires_grad:
                going_back = going_back + (other * torch.from_numpy(projections[-1])).sum()
        if not leaves or not getattr(going_back, "requires_grad", False):
            return
        expected = torch.autograd.grad(going_back, [b for _, b in leaves], allow_unused=True)
        for mine, projection in zip(ours, projections, strict=True):
            if isinstance(mine, Tensor) and mine.requires_grad:
                mine.backward(projection)
        for (mine, _), theirs_of_it in zip(leaves, expected, strict=True):
            wanted = np.zeros(mine.shape, np.float32) if theirs_of_it is None else theirs_of_it.numpy()
            found = np.zeros(mine.shape, np.float32) if mine.grad is None else mine.grad
            least = 10.0 if name in CANCELS else 1.0 if name in SUMS else 1e-2
            size = max(least, float(np.abs(wanted).max(initial=0)))
            check_close(f"{name}: gradient", found, wanted, scale=size)


@given(seed=seeds, shape=shapes, data=st.data())
@settings(max_examples=40)
def test_top_k(keras: Any, torch: Any, score: Any, seed: int, shape: Any, data: st.DataObject) -> None:
    """The places are int32, as Keras says; on this backend they are int64."""
    x, k = normal(seed, shape), data.draw(st.integers(1, shape[-1]))
    with score("op", "top_k"):
        mine, theirs = Tensor(x, requires_grad=True), torch.tensor(x, requires_grad=True)
        (values, where), (expected, places) = ops.top_k(mine, k), keras.ops.top_k(theirs, k)
        check_close("values", values.data, expected.detach().numpy(), 0.0)
        check_close("places", where, places.numpy(), 0.0)
        dy = normal(seed + 1, values.shape)
        values.backward(dy)
        check_close("gradient", mine.grad, torch.autograd.grad(expected, [theirs], torch.from_numpy(dy))[0].numpy())


@given(seed=seeds, length=st.integers(1, 9), data=st.data())
@settings(max_examples=40)
def test_unique(keras: Any, torch: Any, score: Any, seed: int, length: int, data: st.DataObject) -> None:
    """Of vectors: with more axes Keras fails on this backend. Counts and places are int32, as Keras says."""
    asked = {name: data.draw(st.booleans()) for name in ("return_index", "return_inverse", "return_counts")}
    x = whole(seed, length)
    with score("op", "unique"):
        ours, theirs = parts(ops.unique(x, **asked)), parts(keras.ops.unique(torch.from_numpy(x), **asked))
        assert len(ours) == len(theirs)
        for mine, other in zip(ours, theirs, strict=True):
            check_close("unique", mine, other.numpy(), 0.0)


@pytest.mark.parametrize("name", MADE)
@given(data=st.data())
@settings(max_examples=40)
def test_creation(keras: Any, score: Any, name: str, data: st.DataObject) -> None:
    arguments, by_name = data.draw(MADE[name])
    with score("op", name):
        mine, other = getattr(ops, name)(*arguments, **by_name), getattr(keras.ops, name)(*arguments, **by_name)
        check_close(name, as_numbers(mine), as_numbers(other.numpy()))
        assert str(mine.dtype) == str(other.dtype).removeprefix("torch.")


WITH_BOOLEANS = ["argmax", "cumsum", "exp", "mean", "prod", "sqrt", "sum", "var"]
WITH_INTEGERS = [*WITH_BOOLEANS, "clip", "floor", "log", "max", "norm", "relu", "round", "sigmoid", "sign"]
WITH_LISTS = [*WITH_INTEGERS, "square", "tanh", "elu", "gelu", "log_softmax", "silu", "softplus", "std"]


@pytest.mark.parametrize(
    ("name", "x"),
    [
        *((name, np.array([True, False])) for name in WITH_BOOLEANS),
        *((name, x) for name in WITH_INTEGERS for x in (np.array([1, 2, 4], np.int32), [1, 2, 4])),
        *((name, x) for name in WITH_LISTS for x in ([1.0, 2.5, 4.0], [[1.5], [2.0]])),
    ],
    ids=str,
)
def test_whole_numbers_and_lists(keras: Any, score: Any, name: str, x: Any) -> None:
    """Where there is something after the point, integers become float32, and Python's numbers are float32 or int32."""
    more = [2, 3] if name == "clip" else []
    with score("op", name):
        mine, other = getattr(ops, name)(x, *more), getattr(keras.ops, name)(x, *more)
        check_close(name, as_numbers(mine), as_numbers(other.numpy()))
        assert str(mine.dtype) == str(other.dtype).removeprefix("torch.")


@pytest.mark.parametrize("value", [[1.0, 2], [1, 2], [True], 3, 2.5, np.ones(2), np.arange(2)], ids=repr)
@pytest.mark.parametrize("dtype", [None, "float64", "int32"])
def test_convert(keras: Any, score: Any, value: Any, dtype: str | None) -> None:
    with score("op", "convert_to_tensor"):
        mine, other = ops.convert_to_tensor(value, dtype), keras.ops.convert_to_tensor(value, dtype)
        assert isinstance(mine, Tensor)
        assert str(mine.dtype) == str(other.dtype).removeprefix("torch.")
        check_close("value", as_numbers(mine.data), as_numbers(other.numpy()))
    with score("op", "convert_to_numpy"):
        check_close("value", *(as_numbers(o.convert_to_numpy(v)) for o, v in ((ops, mine), (keras.ops, other))))


@pytest.mark.parametrize("name", sorted({*CASES, *MADE, "top_k", "unique"} - {"relu"}))
def test_arguments_stand_in_keras_order(keras: Any, score: Any, name: str) -> None:
    """As many as gpudl has, in Keras's places with Keras's defaults; the names of settings are Keras's, too."""
    ours = list(inspect.signature(getattr(ops, name)).parameters.values())
    theirs = {p.name: p for p in inspect.signature(getattr(keras.ops, name)).parameters.values()}
    with score("op", name):
        places = list(theirs)
        for place, mine in enumerate(ours):
            if mine.kind is mine.KEYWORD_ONLY or mine.name in theirs:
                other = theirs[mine.name]
                if mine.name not in ("retstep", "epsilon", "step", "dtype"):
                    assert places.index(mine.name) >= place
                    assert mine.default == other.default or name == "where"
