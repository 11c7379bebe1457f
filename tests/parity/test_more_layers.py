"""Layers on sequences and images beside Keras's, over the whole space of their arguments; all constructors as well."""

from __future__ import annotations

import inspect
import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from gpudl import layers
from gpudl.autograd import Tensor
from gpudl.testing import check_close

pytestmark = [pytest.mark.parity, pytest.mark.filterwarnings("ignore:.*softmax over axis:UserWarning")]

EXAMPLES = 100
seeds = st.integers(0, 2**16)
activations = st.sampled_from([None, "linear", "relu", "sigmoid", "tanh", "softmax"])
formats = st.sampled_from([None, "channels_last", "channels_first"])
Case = tuple[dict[str, Any], tuple[int, ...]]


def of_rank(rank: int, values: st.SearchStrategy[int]) -> st.SearchStrategy[Any]:
    """One number for all spatial axes, or one for each."""
    return values | st.tuples(*[values] * rank)


def spread(value: Any, rank: int) -> tuple[int, ...]:
    return tuple(value) if isinstance(value, tuple) else (value,) * rank


def shaped(batch: int, size: tuple[int, ...], channels: int, data_format: str | None) -> tuple[int, ...]:
    return (batch, channels, *size) if data_format == "channels_first" else (batch, *size, channels)


@st.composite
def windows(draw: st.DrawFn, rank: int, paddings: tuple[str, ...], either: bool) -> Case:
    """Arguments of a layer that slides a kernel, and an input that the kernel fits into."""
    kernel_size = draw(of_rank(rank, st.integers(1, 4)))
    strides = draw(of_rank(rank, st.integers(1, 3)))
    dilation_rate = draw(of_rank(rank, st.integers(1, 3)))
    if either:
        assume(max(spread(strides, rank)) == 1 or max(spread(dilation_rate, rank)) == 1)
    padding = draw(st.sampled_from(paddings))
    reach = [(k - 1) * d + 1 for k, d in zip(spread(kernel_size, rank), spread(dilation_rate, rank), strict=True)]
    size = tuple(draw(st.integers(n if padding.lower() == "valid" else 1, n + 5)) for n in reach)
    arguments = {
        "kernel_size": kernel_size,
        "strides": strides,
        "padding": padding,
        "data_format": draw(formats),
        "dilation_rate": dilation_rate,
        "activation": draw(activations),
        "use_bias": draw(st.booleans()),
    }
    if arguments["data_format"] == "channels_first":
        # A softmax over a spatial axis takes every bias away again: its gradient would be rounding alone.
        assume(arguments["activation"] != "softmax")
    # PyTorch has no gradient for the kernel of one image, two channels and one filter in Keras's layout, and reads
    # past the end of images of one channel.
    channels = draw(st.integers(1 if rank == 1 else 2, 3))
    return arguments, shaped(draw(st.integers(2, 3)), size, channels, arguments["data_format"])


@st.composite
def grouped(draw: st.DrawFn) -> Case:
    arguments, shape = draw(windows(1, ("valid", "same", "causal", "CAUSAL"), either=True))
    groups = draw(st.integers(1, 3))
    axis = 1 if arguments["data_format"] == "channels_first" else -1
    sizes = list(shape)
    sizes[axis] *= groups
    return {**arguments, "groups": groups, "filters": groups * draw(st.integers(1, 3))}, tuple(sizes)


@st.composite
def transposed(draw: st.DrawFn, rank: int) -> Case:
    arguments, shape = draw(windows(rank, ("valid", "same", "Same"), either=True))
    strides = spread(arguments["strides"], rank)
    extra = draw(st.none() | st.tuples(*(st.integers(0, stride - 1) for stride in strides)))
    if extra is not None and len(set(extra)) == 1 and draw(st.booleans()):
        extra = extra[0]
    size = tuple(draw(st.integers(1, 5)) for _ in strides)
    reach = [
        (k - 1) * d + 1
        for k, d in zip(spread(arguments["kernel_size"], rank), spread(arguments["dilation_rate"], rank), strict=True)
    ]
    if extra is not None and arguments["padding"] != "valid":
        given_extra = spread(extra, rank)
        left = [(n - 1) * s + k % 2 + e for n, s, k, e in zip(size, strides, reach, given_extra, strict=True)]
        assume(min(left) > 0)  # Keras gives an empty image
    channels = shape[1] if arguments["data_format"] == "channels_first" else shape[-1]
    case = {**arguments, "filters": draw(st.integers(1, 3)), "output_padding": extra}
    return case, shaped(shape[0], size, channels, arguments["data_format"])


@given(case=grouped(), seed=seeds)
@settings(max_examples=EXAMPLES)
def test_conv1d(same_layer: Callable[..., None], case: Case, seed: int) -> None:
    same_layer("Conv1D", *case, seed, [False])


@given(case=transposed(2), seed=seeds)
@settings(max_examples=2 * EXAMPLES)
def test_conv2d_transpose(same_layer: Callable[..., None], case: Case, seed: int) -> None:
    same_layer("Conv2DTranspose", *case, seed, [False])


@given(case=transposed(1), seed=seeds)
@settings(max_examples=EXAMPLES)
def test_conv1d_transpose(same_layer: Callable[..., None], case: Case, seed: int) -> None:
    same_layer("Conv1DTranspose", *case, seed, [False])


@given(case=windows(2, ("valid", "same", "VALID"), either=False), multiplier=st.integers(1, 3), seed=seeds)
@settings(max_examples=EXAMPLES)
def test_depthwise_conv2d(same_layer: Callable[..., None], case: Case, multiplier: int, seed: int) -> None:
    same_layer("DepthwiseConv2D", {**case[0], "depth_multiplier": multiplier}, case[1], seed, [False])


@given(
    case=windows(2, ("valid", "same"), either=False),
    multiplier=st.integers(1, 3),
    filters=st.integers(1, 3),
    seed=seeds,
)
@settings(max_examples=EXAMPLES)
def test_separable_conv2d(
    same_layer: Callable[..., None], case: Case, multiplier: int, filters: int, seed: int
) -> None:
    arguments = {**case[0], "depth_multiplier": multiplier, "filters": filters}
    same_layer("SeparableConv2D", arguments, case[1], seed, [False])


@pytest.mark.parametrize("name", ["MaxPooling1D", "AveragePooling1D"])
@given(
    pool_size=of_rank(1, st.integers(1, 4)),
    strides=st.none() | of_rank(1, st.integers(1, 4)),
    padding=st.sampled_from(["valid", "same"]),
    data_format=formats,
    batch=st.integers(1, 3),
    more=st.integers(0, 6),
    channels=st.integers(1, 3),
    seed=seeds,
)
@settings(max_examples=EXAMPLES)
def test_pooling_of_sequences(
    same_layer: Callable[..., None],
    name: str,
    pool_size: Any,
    strides: Any,
    padding: str,
    data_format: Any,
    batch: int,
    more: int,
    channels: int,
    seed: int,
) -> None:
    (window,) = spread(pool_size, 1)
    (stride,) = spread(window if strides is None else strides, 1)
    length = (window if padding == "valid" else 1) + more
    if name == "AveragePooling1D" and padding == "same":
        # Where one side gets more padding than the other, Keras repeats the edge on this backend, and counts it.
        assume(max(0, (math.ceil(length / stride) - 1) * stride + window - length) % 2 == 0)
    arguments = {"pool_size": pool_size, "strides": strides, "padding": padding, "data_format": data_format}
    same_layer(name, arguments, shaped(batch, (length,), channels, data_format), seed, [False])


@pytest.mark.parametrize("name", ["GlobalMaxPooling1D", "GlobalAveragePooling1D"])
@given(data_format=formats, keepdims=st.booleans(), shape=st.tuples(*[st.integers(1, 4)] * 3), seed=seeds)
@settings(max_examples=EXAMPLES // 2)
def test_global_pooling_of_sequences(
    same_layer: Callable[..., None], name: str, data_format: Any, keepdims: bool, shape: Any, seed: int
) -> None:
    same_layer(name, {"data_format": data_format, "keepdims": keepdims}, shape, seed, [False])


rims = st.integers(0, 2) | st.tuples(*[st.integers(0, 2)] * 2) | st.tuples(*[st.tuples(*[st.integers(0, 2)] * 2)] * 2)
images = st.tuples(st.integers(1, 3), *[st.integers(5, 7)] * 3)


@pytest.mark.parametrize(("name", "argument"), [("ZeroPadding2D", "padding"), ("Cropping2D", "cropping")])
@given(amounts=rims, data_format=formats, shape=images, seed=seeds)
@settings(max_examples=EXAMPLES)
def test_rims_of_images(
    same_layer: Callable[..., None], name: str, argument: str, amounts: Any, data_format: Any, shape: Any, seed: int
) -> None:
    same_layer(name, {argument: amounts, "data_format": data_format}, shape, seed, [False])


@given(
    amounts=of_rank(2, st.integers(0, 3)), data_format=formats, shape=st.tuples(*[st.integers(1, 4)] * 3), seed=seeds
)
@settings(max_examples=EXAMPLES // 2)
def test_zero_padding_of_sequences(
    same_layer: Callable[..., None], amounts: Any, data_format: Any, shape: Any, seed: int
) -> None:
    same_layer("ZeroPadding1D", {"padding": amounts, "data_format": data_format}, shape, seed, [False])


@given(amounts=of_rank(2, st.integers(0, 2)), more=st.integers(1, 3), seed=seeds)
@settings(max_examples=EXAMPLES // 2)
def test_cropping_of_sequences(same_layer: Callable[..., None], amounts: Any, more: int, seed: int) -> None:
    same_layer("Cropping1D", {"cropping": amounts}, (2, sum(spread(amounts, 2)) + more, 3), seed, [False])


@given(
    size=of_rank(2, st.integers(1, 4)),
    data_format=formats,
    interpolation=st.sampled_from(["nearest", "bilinear", "Bilinear"]),
    shape=st.tuples(*[st.integers(1, 4)] * 4),
    seed=seeds,
)
@settings(max_examples=EXAMPLES)
def test_up_sampling2d(
    same_layer: Callable[..., None], size: Any, data_format: Any, interpolation: str, shape: Any, seed: int
) -> None:
    arguments = {"size": size, "data_format": data_format, "interpolation": interpolation}
    same_layer("UpSampling2D", arguments, shape, seed, [False])


@given(size=st.integers(1, 4), shape=st.tuples(*[st.integers(1, 4)] * 3), seed=seeds)
@settings(max_examples=EXAMPLES // 2)
def test_up_sampling1d(same_layer: Callable[..., None], size: int, shape: Any, seed: int) -> None:
    same_layer("UpSampling1D", {"size": size}, shape, seed, [False])


@given(n=st.integers(1, 5), shape=st.tuples(*[st.integers(1, 4)] * 2), seed=seeds)
@settings(max_examples=EXAMPLES // 2)
def test_repeat_vector(same_layer: Callable[..., None], n: int, shape: Any, seed: int) -> None:
    same_layer("RepeatVector", {"n": n}, shape, seed, [False])


@given(dims=st.integers(1, 4).flatmap(lambda n: st.permutations(range(1, n + 1))), seed=seeds)
@settings(max_examples=EXAMPLES // 2)
def test_permute(same_layer: Callable[..., None], dims: list[int], seed: int) -> None:
    same_layer("Permute", {"dims": tuple(dims)}, (2, 3, 4, 5, 6)[: len(dims) + 1], seed, [False])


@st.composite
def layer_normalizations(draw: st.DrawFn) -> Case:
    shape = (draw(st.integers(1, 4)), *draw(st.lists(st.integers(1, 5), min_size=1, max_size=3)))
    inner = len(shape) - 1
    chosen = draw(st.lists(st.integers(1, inner), min_size=1, max_size=inner, unique=True))
    # Keras takes the lengths of mixed signs in the order of the numbers as written: it mixes them up.
    axes = [axis - len(shape) for axis in chosen] if draw(st.booleans()) else chosen
    # One number becomes 0 and two become -1 and 1, whatever they are: their gradient is rounding alone.
    assume(math.prod(shape[axis] for axis in axes) > 2)
    arguments = {
        "axis": axes[0] if len(axes) == 1 and draw(st.booleans()) else draw(st.sampled_from([list, tuple]))(axes),
        "epsilon": draw(st.sampled_from([1e-3, 1e-2, 0.5])),
        "center": draw(st.booleans()),
        "scale": draw(st.booleans()),
    }
    # Of neighbouring axes that are not the last ones Keras makes the last ones on this backend, or fails.
    places = sorted(axis % len(shape) for axis in axes)
    neighbours = places == list(range(places[0], places[0] + len(places)))
    assume(not neighbours or places[-1] == len(shape) - 1)
    return arguments, shape


@given(case=layer_normalizations(), seed=seeds)
@settings(max_examples=EXAMPLES)
def test_layer_normalization(same_layer: Callable[..., None], case: Case, seed: int) -> None:
    same_layer("LayerNormalization", *case, seed, [False, True])


@pytest.mark.parametrize(
    ("name", "arguments", "shape"),
    [
        ("SpatialDropout1D", {"rate": 0.5}, (2, 3, 4)),
        ("SpatialDropout2D", {"rate": 0.5}, (2, 3, 4, 2)),
        ("SpatialDropout2D", {"rate": 0.5, "data_format": "channels_first", "seed": 1}, (2, 3, 4, 2)),
        ("GaussianNoise", {"stddev": 0.5}, (2, 3)),
        ("GaussianDropout", {"rate": 0.5, "seed": 2}, (2, 3)),
        ("GaussianDropout", {"rate": 1}, (2, 3)),
    ],
)
def test_noise_in_inference(same_layer: Callable[..., None], name: str, arguments: Any, shape: Any) -> None:
    same_layer(name, arguments, shape, 0, [False])
    which = "stddev" if "stddev" in arguments else "rate"
    same_layer(name, {**arguments, which: 0}, shape, 0, [False, True])


@pytest.mark.parametrize(
    ("name", "data_format", "dropped"),
    [("SpatialDropout1D", None, 1), ("SpatialDropout2D", None, (1, 2)), ("SpatialDropout2D", "channels_first", (2, 3))],
)
def test_spatial_dropout_in_training(
    keras: Any, score: Callable[..., Any], name: str, data_format: Any, dropped: Any
) -> None:
    """Whole channels go, a share of them to 5 deviations, in both; kept ones have the same value."""
    shape = (40, 5, 60) if dropped == 1 else (40, 30, 2, 3) if data_format else (40, 2, 3, 30)
    x = np.ones(shape, np.float32)
    arguments = {"rate": 0.3} if data_format is None else {"rate": 0.3, "data_format": data_format}
    with score("layer", name):
        ours = np.asarray(getattr(layers, name)(**arguments)(x, training=True))
        theirs = getattr(keras.layers, name)(**arguments, seed=1)(x, training=True).numpy()
        assert set(np.unique(ours)) == set(np.unique(theirs))
        for y in (ours, theirs):
            channels = y.mean(axis=dropped)
            np.testing.assert_array_equal(np.broadcast_to(np.expand_dims(channels, dropped), shape) > 0, y > 0)
            assert abs((channels == 0).mean() - 0.3) < 5 * np.sqrt(0.21 / channels.size)


@pytest.mark.parametrize(
    ("name", "arguments", "deviation"),
    [("GaussianNoise", {"stddev": 0.25}, 0.25), ("GaussianDropout", {"rate": 0.2}, 0.5 * 2)],
)
def test_gaussian_noise_in_training(
    keras: Any, score: Callable[..., Any], name: str, arguments: Any, deviation: float
) -> None:
    """Mean, deviation and kurtosis to 5 deviations of what they are estimated with, in both."""
    x = np.full((100, 200), 2.0, np.float32)
    with score("layer", name):
        ours = np.asarray(getattr(layers, name)(**arguments)(x, training=True), np.float64)
        theirs = getattr(keras.layers, name)(**arguments, seed=1)(x, training=True).numpy().astype(np.float64)
        for y in (ours, theirs):
            z = (y - 2) / deviation
            assert abs(z.mean()) < 5 / math.sqrt(z.size)
            assert abs(z.std() - 1) < 5 / math.sqrt(2 * z.size)
            assert abs((z**4).mean() - 3) < 5 * math.sqrt(96 / z.size)


@given(
    input_dim=st.integers(1, 6),
    output_dim=st.integers(1, 4),
    shape=st.lists(st.integers(1, 4), min_size=1, max_size=3).map(tuple),
    kind=st.sampled_from(["int32", "int64", "uint8", "float32"]),
    weighted=st.booleans(),
    seed=seeds,
)
@settings(max_examples=EXAMPLES)
def test_embedding(
    keras: Any,
    torch: Any,
    score: Callable[..., Any],
    input_dim: int,
    output_dim: int,
    shape: Any,
    kind: str,
    weighted: bool,
    seed: int,
) -> None:
    rng = np.random.default_rng(seed)
    x = rng.integers(0, input_dim, shape).astype(kind)
    table = rng.standard_normal((input_dim, output_dim)).astype(np.float32)
    with score("layer", "Embedding"):
        more: dict[str, Any] = {"weights": [table] if seed % 2 else table} if weighted else {}
        ours = layers.Embedding(input_dim, output_dim, **more)
        theirs = keras.layers.Embedding(input_dim, output_dim, **more)
        if not weighted:
            ours(x)
            theirs.build()
            ours.set_weights([table])
            theirs.set_weights([table])
        assert [(w.name, w.shape) for w in ours.weights] == [(w.name, tuple(w.shape)) for w in theirs.weights]
        y, y_theirs = ours(x), theirs(x)
        assert isinstance(y, Tensor)
        check_close("value", y.data, y_theirs.detach().numpy(), 0.0)
        told = ours.compute_output_shape((None, *shape[1:]))
        assert told == tuple(theirs.compute_output_shape((None, *shape[1:])))
        dy = rng.uniform(0.5, 1.5, y.shape).astype(np.float32)
        y.backward(dy)
        (expected,) = torch.autograd.grad(y_theirs, [theirs.embeddings.value], torch.from_numpy(dy))
        assert ours.embeddings.grad is not None
        check_close("gradient", ours.embeddings.grad, expected.numpy())


KERNEL: dict[str, Any] = {"filters": 4, "kernel_size": 3}
KERNELS = ("Conv1D", "Conv1DTranspose", "Conv2DTranspose", "SeparableConv2D")
TRANSPOSED = ("Conv1DTranspose", "Conv2DTranspose")
WRONG_FOR_ALL: list[dict[str, Any]] = [
    {"filters": 0},
    {"filters": -2},
    {"kernel_size": 0},
    {"kernel_size": -1},
    {"kernel_size": (3, 3, 3)},
    {"kernel_size": "3"},
    {"strides": 0},
    {"strides": (1, -1, 1)},
    {"dilation_rate": 0},
    {"padding": "full"},
    {"data_format": "nhwc"},
    {"activation": "rleu"},
    {"use_bais": True},
]
REFUSED: list[tuple[str, dict[str, Any]]] = [
    *[(name, {**KERNEL, **wrong}) for name in KERNELS for wrong in WRONG_FOR_ALL],
    *[(name, {**KERNEL, "strides": 2, "dilation_rate": 2}) for name in ("Conv1D", *TRANSPOSED)],
    *[(name, {**KERNEL, "padding": "causal"}) for name in (*TRANSPOSED, "SeparableConv2D")],
    *[(name, {**KERNEL, "strides": 2, "output_padding": n}) for name in TRANSPOSED for n in (2, 3, -1)],
    ("Conv2DTranspose", {**KERNEL, "strides": (3, 2), "output_padding": (2, 2)}),
    ("Conv1D", {**KERNEL, "groups": 0}),
    ("Conv1D", {**KERNEL, "groups": 3}),
    ("SeparableConv2D", {**KERNEL, "depth_multiplier": 0}),
    ("SeparableConv2D", {**KERNEL, "pointwise_initializer": "glorot"}),
    ("DepthwiseConv2D", {"kernel_size": 0}),
    ("DepthwiseConv2D", {"kernel_size": (3, 3, 3)}),
    ("DepthwiseConv2D", {"kernel_size": 3, "depth_multiplier": 0}),
    ("DepthwiseConv2D", {"kernel_size": 3, "depth_multiplier": -1}),
    ("DepthwiseConv2D", {"kernel_size": 3, "strides": (1, 0)}),
    ("DepthwiseConv2D", {"kernel_size": 3, "padding": "causal"}),
    ("DepthwiseConv2D", {"kernel_size": 3, "depthwise_regularizer": "l3"}),
    ("DepthwiseConv2D", {}),
    ("MaxPooling1D", {"pool_size": 0}),
    ("MaxPooling1D", {"pool_size": (2, 2)}),
    ("MaxPooling1D", {"strides": -1}),
    ("AveragePooling1D", {"pool_size": -2}),
    ("AveragePooling1D", {"pool_size": 2, "data_format": "first"}),
    ("GlobalMaxPooling1D", {"data_format": "first"}),
    ("GlobalAveragePooling1D", {"data_format": "last"}),
    ("ZeroPadding2D", {"padding": (1, 2, 3)}),
    ("ZeroPadding2D", {"padding": ((1, 2, 3), 1)}),
    ("ZeroPadding2D", {"padding": (-1, 1)}),
    ("ZeroPadding2D", {"padding": None}),
    ("ZeroPadding2D", {"padding": 1.5}),
    ("ZeroPadding2D", {"data_format": "nchw"}),
    ("ZeroPadding1D", {"padding": -1}),
    ("ZeroPadding1D", {"padding": (1, 2, 3)}),
    ("Cropping2D", {"cropping": -1}),
    ("Cropping2D", {"cropping": (1, 1, 1)}),
    ("Cropping2D", {"cropping": ((1, -1), (0, 0))}),
    ("Cropping2D", {"cropping": "all"}),
    ("Cropping1D", {"cropping": -1}),
    ("Cropping1D", {"cropping": (1, 2, 3)}),
    ("UpSampling2D", {"size": 0}),
    ("UpSampling2D", {"size": (2, 2, 2)}),
    ("UpSampling2D", {"data_format": "nchw"}),
    ("UpSampling1D", {"size": 0}),
    ("UpSampling1D", {"size": 1.5}),
    ("UpSampling1D", {"size": True}),
    ("RepeatVector", {"n": 0}),
    ("RepeatVector", {"n": "2"}),
    ("RepeatVector", {}),
    ("Permute", {"dims": (0, 1)}),
    ("Permute", {"dims": (1, 1)}),
    ("Permute", {"dims": (1, 3)}),
    ("Permute", {}),
    ("LayerNormalization", {"axis": "last"}),
    ("LayerNormalization", {"axis": 1.5}),
    ("LayerNormalization", {"gamma_initializer": "one_"}),
    ("SpatialDropout1D", {"rate": 1.5}),
    ("SpatialDropout2D", {"rate": -0.5}),
    ("SpatialDropout2D", {"rate": 0.5, "data_format": "nchw"}),
    ("GaussianNoise", {"stddev": -0.1}),
    ("GaussianNoise", {"stddev": 1.1}),
    ("GaussianDropout", {"rate": 2}),
    ("Embedding", {"input_dim": 0, "output_dim": 2}),
    ("Embedding", {"input_dim": 2.0, "output_dim": 2}),
    ("Embedding", {"input_dim": 2, "output_dim": -1}),
    ("Embedding", {"input_dim": 2, "output_dim": 2, "weights": np.ones((2, 3))}),
    ("Embedding", {"input_dim": 2}),
]


@pytest.mark.parametrize(("name", "arguments"), REFUSED, ids=[f"{n}-{a}" for n, a in REFUSED])
def test_arguments_that_keras_refuses_are_refused(keras: Any, name: str, arguments: dict[str, Any]) -> None:
    with pytest.raises((ValueError, TypeError)):
        getattr(keras.layers, name)(**arguments)
    with pytest.raises((ValueError, TypeError)):
        getattr(layers, name)(**arguments)


TOO_SMALL: list[tuple[str, dict[str, Any], tuple[int, ...]]] = [
    ("Conv1D", KERNEL, (2, 2, 3)),
    ("Conv1D", KERNEL, (2, 5, 5, 3)),
    ("Conv1D", {**KERNEL, "groups": 2}, (2, 5, 3)),
    ("Conv1DTranspose", KERNEL, (2, 5)),
    ("Conv2DTranspose", KERNEL, (2, 5, 5)),
    ("DepthwiseConv2D", {"kernel_size": 3}, (2, 2, 5, 3)),
    ("DepthwiseConv2D", {"kernel_size": 3}, (2, 5, 3)),
    ("SeparableConv2D", KERNEL, (2, 5, 2, 3)),
    ("MaxPooling1D", {"pool_size": 3}, (2, 2, 3)),
    ("AveragePooling1D", {"pool_size": 3}, (2, 9)),
    ("GlobalMaxPooling1D", {}, (2, 3)),
    ("GlobalAveragePooling1D", {}, (2, 3, 4, 5)),
    ("ZeroPadding2D", {}, (2, 3, 4)),
    ("ZeroPadding1D", {}, (2, 3, 4, 5)),
    ("Cropping2D", {"cropping": ((1, 1), (0, 0))}, (2, 2, 5, 3)),
    ("Cropping1D", {"cropping": 2}, (2, 4, 3)),
    ("Cropping1D", {"cropping": 3}, (2, 4, 3)),
    ("UpSampling2D", {}, (2, 3, 4)),
    ("UpSampling1D", {}, (2, 3)),
    ("RepeatVector", {"n": 2}, (2, 3, 4)),
    ("Permute", {"dims": (2, 1)}, (2, 3)),
    ("LayerNormalization", {"axis": 3}, (2, 3, 4)),
    ("SpatialDropout1D", {"rate": 0.5}, (2, 3)),
    ("SpatialDropout2D", {"rate": 0.5}, (2, 3, 4)),
]


@pytest.mark.parametrize(("name", "arguments", "shape"), TOO_SMALL, ids=[f"{n}-{s}" for n, _, s in TOO_SMALL])
def test_inputs_that_keras_refuses_are_refused(keras: Any, name: str, arguments: dict[str, Any], shape: Any) -> None:
    x = np.ones(shape, np.float32)
    with pytest.raises((ValueError, TypeError, IndexError, RuntimeError)):
        getattr(keras.layers, name)(**arguments)(x)
    with pytest.raises(ValueError, match=f'{name} "'):
        getattr(layers, name)(**arguments)(x)


# What Keras's constructors take and gpudl's do not: parts of Keras that gpudl does not have.
WITHOUT = {"lora_rank", "lora_alpha", "quantization_config"}
WITHOUT |= {"renorm", "renorm_clipping", "renorm_momentum", "synchronized"}
# What gpudl's base takes for every layer.
BY_BASE = {"name", "dtype", "trainable", "activity_regularizer", "input_shape"}
# What Keras hands on to its base by name alone.
BY_NAME = {"RandomBrightness": {"data_format"}, "RandomContrast": {"data_format"}}


def shared_layers() -> list[str]:
    return sorted(name for name, item in vars(layers).items() if inspect.isclass(item) and name[0].isupper())


@pytest.mark.parametrize("name", shared_layers())
def test_constructors_are_keras(keras: Any, name: str) -> None:
    """The same arguments in the same order, so that those given by position mean the same; and the same defaults."""
    if name not in vars(keras.layers) or name in ("Layer", "InputLayer"):
        pytest.skip("Keras has no such layer, or it is no layer of a network")

    def parameters(of: Any) -> dict[str, inspect.Parameter]:
        own = list(inspect.signature(of.__init__).parameters.values())[1:]
        return {p.name: p for p in own if p.kind in (p.POSITIONAL_OR_KEYWORD, p.KEYWORD_ONLY)}

    ours, theirs = parameters(getattr(layers, name)), parameters(getattr(keras.layers, name))
    assert [n for n in ours if n not in BY_BASE | BY_NAME.get(name, set())] == [
        n for n in theirs if n not in WITHOUT | BY_BASE
    ]
    rank = 1 if "1D" in name else 2
    for each in ours.keys() & theirs.keys():
        mine, other = ours[each].default, theirs[each].default
        same = mine == other or (mine in (1, 2) and other in ((mine,) * rank, mine)) or (mine, other) == ((2, 2), 2)
        # What Keras asks for may have a default here.
        assert same or other is inspect.Parameter.empty, f"{each}: {mine!r}, but {other!r} in Keras"


def test_other_names_are_keras(keras: Any) -> None:
    """Where both have a name, it stands for the same layer: MaxPool1D for MaxPooling1D."""
    for name in shared_layers():
        if name in vars(keras.layers):
            assert getattr(layers, name).__name__ == getattr(keras.layers, name).__name__ or name == "Layer", name
