"""conv2d and its two adjoints: against loops written here, central differences and PyTorch."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from gpudl import ops
from gpudl.autograd import Parameter, Tensor
from gpudl.backend import to_numpy
from gpudl.backend.numpy import conv2d as numpy_kernels
from gpudl.backend.numpy import workers
from gpudl.errors import DeviceError, ShapeError, UsageError
from gpudl.testing import check_close, check_op


def padding_of(padding: Any, size: int, window: int, stride: int, dilation: int, axis: int) -> tuple[int, int]:
    """Rows or columns of zeros before and after, as the semantics page has them."""
    if padding == "valid":
        return 0, 0
    if padding == "same":
        out = -(-size // stride)
        total = max(0, (out - 1) * stride + (window - 1) * dilation + 1 - size)
        return total // 2, total - total // 2
    amount = padding if isinstance(padding, int) else padding[axis]
    return (amount, amount) if isinstance(amount, int) else tuple(amount)


@dataclass
class Case:
    """A convolution that fits: sizes, settings, and the padding they come to."""

    batch: int
    size: tuple[int, int]
    window: tuple[int, int]
    channels: int
    filters: int
    settings: dict[str, Any]
    seed: int
    data_format: str
    block: int

    @property
    def amounts(self) -> list[tuple[int, int]]:
        stride, dilation = self.settings["strides"], self.settings["dilation_rate"]
        return [
            padding_of(self.settings["padding"], self.size[i], self.window[i], stride[i], dilation[i], i)
            for i in (0, 1)
        ]

    @property
    def out(self) -> tuple[int, int]:
        stride, dilation = self.settings["strides"], self.settings["dilation_rate"]
        rows, columns = (
            (self.size[i] + sum(self.amounts[i]) - dilation[i] * (self.window[i] - 1) - 1) // stride[i] + 1
            for i in (0, 1)
        )
        return rows, columns

    def arrays(self) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
        """x, kernel, bias and dy, channels last; all positive, so that no sum happens to cancel."""
        rng = np.random.default_rng(self.seed)
        shapes = (
            (self.batch, *self.size, self.channels),
            (*self.window, self.channels // self.settings["groups"], self.filters),
            (self.filters,),
            (self.batch, *self.out, self.filters),
        )
        x, kernel, bias, dy = (rng.uniform(0.25, 1.75, shape) for shape in shapes)
        return x, kernel, bias, dy

    def laid_out(self, images: np.ndarray) -> np.ndarray:
        first = self.data_format == "channels_first"
        return np.ascontiguousarray(images.transpose(0, 3, 1, 2)) if first else images

    def by_loops(self, x: np.ndarray, kernel: np.ndarray, bias: np.ndarray | None = None, **_: Any) -> np.ndarray:
        """The definition, one output position after the other."""
        x = x if self.data_format == "channels_last" else x.transpose(0, 2, 3, 1)
        stride, dilation, groups = (self.settings[name] for name in ("strides", "dilation_rate", "groups"))
        x = np.pad(x, [(0, 0), *self.amounts, (0, 0)])
        depth, each = self.channels // groups, self.filters // groups
        y = np.zeros((self.batch, *self.out, self.filters))
        for p, q in np.ndindex(*self.out):
            for r, s in np.ndindex(*self.window):
                pixel = x[:, p * stride[0] + r * dilation[0], q * stride[1] + s * dilation[1]]
                for g in range(groups):
                    read, written = slice(g * depth, (g + 1) * depth), slice(g * each, (g + 1) * each)
                    y[:, p, q, written] += pixel[:, read] @ kernel[r, s, :, written]
        return self.laid_out(y if bias is None else y + bias)


@st.composite
def cases(draw: st.DrawFn, large: bool = False) -> Case:
    size = draw(st.tuples(*[st.integers(1, 13 if large else 6)] * 2))
    window = draw(st.tuples(*[st.integers(1, 5 if large else 3)] * 2))
    stepping = draw(st.sampled_from(["strides", "dilation_rate", "neither"]))
    steps = draw(st.tuples(*[st.integers(1, 3)] * 2))
    groups = draw(st.integers(1, 3))
    amount = st.integers(0, 3)
    padding = draw(
        st.sampled_from(["valid", "same", "same"])
        | amount
        | st.tuples(amount, amount)
        | st.tuples(st.tuples(amount, amount), st.tuples(amount, amount))
    )
    case = Case(
        batch=draw(st.integers(1, 4 if large else 2)),
        size=size,
        window=window,
        channels=groups * draw(st.integers(1, 4 if large else 2)),
        filters=groups * draw(st.integers(1, 4 if large else 2)),
        settings={
            "strides": steps if stepping == "strides" else (1, 1),
            "dilation_rate": steps if stepping == "dilation_rate" else (1, 1),
            "padding": padding,
            "groups": groups,
        },
        seed=draw(st.integers(0, 2**16)),
        data_format=draw(st.sampled_from(["channels_last", "channels_first"])),
        block=draw(st.sampled_from([1, 100, numpy_kernels.BLOCK])),
    )
    assume(min(case.out) >= 1)
    return case


def stepping(case: Case) -> tuple[tuple[int, int], tuple[int, int]]:
    return case.settings["strides"], case.settings["dilation_rate"]


def torch_conv2d(torch: Any, case: Case, x: Any, kernel: Any, bias: Any = None) -> Any:
    """PyTorch's conv2d on a padded copy, with this case's layout.

    The copy is in PyTorch's own order: of one channel in the other order some of its kernels read past the end.
    """
    x = x if case.data_format == "channels_first" else x.permute(0, 3, 1, 2)
    rows, columns = case.amounts
    y = torch.nn.functional.conv2d(
        torch.nn.functional.pad(x, (*columns, *rows)).clone(memory_format=torch.contiguous_format),
        kernel.permute(3, 2, 0, 1).contiguous(),
        bias,
        stride=case.settings["strides"],
        dilation=case.settings["dilation_rate"],
        groups=case.settings["groups"],
    )
    return y if case.data_format == "channels_first" else y.permute(0, 2, 3, 1)


@given(case=cases())
def test_conv2d_is_its_definition(put: Any, case: Case) -> None:
    x, kernel, bias, _ = case.arrays()
    arrays = [put(case.laid_out(x)), put(kernel), put(bias)]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(numpy_kernels, "BLOCK", case.block)
        settings = {**case.settings, "data_format": case.data_format}
        check_op(ops.conv2d, arrays, settings, oracle=case.by_loops, seed=case.seed)


@given(case=cases())
def test_conv2d_input_gradient_has_right_gradients(put: Any, case: Case) -> None:
    x, kernel, _, dy = case.arrays()
    settings = {**case.settings, "data_format": case.data_format, "input_shape": case.laid_out(x).shape}

    def oracle(dy: np.ndarray, kernel: np.ndarray, **_: Any) -> np.ndarray:
        """The transposed matrix of the loops, column by column."""
        basis = np.eye(case.size[0] * case.size[1] * case.channels).reshape(-1, *case.size, case.channels)
        whole = Case(**{**vars(case), "batch": len(basis), "data_format": "channels_last"})
        columns = whole.by_loops(basis, kernel)
        images = dy if case.data_format == "channels_last" else dy.transpose(0, 2, 3, 1)
        return case.laid_out(np.tensordot(images, columns, ((1, 2, 3), (1, 2, 3))).reshape(x.shape))

    check_op(ops.conv2d_input_gradient, [put(case.laid_out(dy)), put(kernel)], settings, oracle=oracle, seed=case.seed)


@given(case=cases())
def test_conv2d_kernel_gradient_has_right_gradients(put: Any, case: Case) -> None:
    x, _, _, dy = case.arrays()
    settings = {**case.settings, "data_format": case.data_format, "kernel_size": case.window}
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(numpy_kernels, "BLOCK", case.block)
        arrays = [put(case.laid_out(x)), put(case.laid_out(dy))]
        check_op(ops.conv2d_kernel_gradient, arrays, settings, seed=case.seed)


@given(case=cases(large=True))
def test_conv2d_and_its_gradients_are_adjoint(put: Any, case: Case) -> None:
    x, kernel, _, dy = case.arrays()
    x, dy, kernel = put(case.laid_out(x)), put(case.laid_out(dy)), put(kernel)
    settings = {**case.settings, "data_format": case.data_format}
    y = ops.conv2d(x, kernel, **settings)
    dx = ops.conv2d_input_gradient(dy, kernel, input_shape=x.shape, **settings)
    dkernel = ops.conv2d_kernel_gradient(x, dy, kernel_size=case.window, **settings)
    scale = float(abs(y * dy).sum())
    assert abs(float((y * dy).sum()) - float((x * dx).sum())) <= 1e-13 * scale
    assert abs(float((y * dy).sum()) - float((kernel * dkernel).sum())) <= 1e-13 * scale


@pytest.mark.parity
@given(case=cases(large=True))
def test_conv2d_matches_torch(torch: Any, same_as_torch: Any, case: Case) -> None:
    x, kernel, bias, _ = case.arrays()
    settings = {**case.settings, "data_format": case.data_format}
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(numpy_kernels, "BLOCK", case.block)
        same_as_torch(
            lambda x, kernel, bias: ops.conv2d(x, kernel, bias, **settings),
            lambda x, kernel, bias: torch_conv2d(torch, case, x, kernel, bias),
            [case.laid_out(x), kernel, bias],
            seed=case.seed,
        )


@pytest.mark.parity
@given(case=cases(large=True))
def test_conv2d_input_gradient_matches_torch(torch: Any, same_as_torch: Any, case: Case) -> None:
    x, kernel, _, dy = case.arrays()
    shape = case.laid_out(x).shape

    def theirs(dy: Any, kernel: Any) -> Any:
        """The transposed convolution gives the gradient for the padded images; what fell on padding is cut off."""
        last = case.data_format == "channels_last"
        (top, _), (left, _) = case.amounts
        steps = list(zip(case.size, case.amounts, case.window, *stepping(case), strict=True))
        padded = torch.nn.functional.conv_transpose2d(
            (dy.permute(0, 3, 1, 2) if last else dy).clone(memory_format=torch.contiguous_format),
            kernel.permute(3, 2, 0, 1).contiguous(),
            stride=case.settings["strides"],
            dilation=case.settings["dilation_rate"],
            groups=case.settings["groups"],
            output_padding=[(size + sum(ends) - (k - 1) * d - 1) % s for size, ends, k, s, d in steps],
        )
        dx = padded[:, :, top : top + case.size[0], left : left + case.size[1]]
        return dx.permute(0, 2, 3, 1) if last else dx

    settings = {**case.settings, "data_format": case.data_format, "input_shape": shape}
    ours = [case.laid_out(dy), kernel]
    same_as_torch(lambda dy, kernel: ops.conv2d_input_gradient(dy, kernel, **settings), theirs, ours, seed=case.seed)


@pytest.mark.parity
@given(case=cases(large=True))
def test_conv2d_kernel_gradient_matches_torch(torch: Any, same_as_torch: Any, case: Case) -> None:
    x, kernel, _, dy = case.arrays()

    def theirs(x: Any, dy: Any) -> Any:
        """Every window unfolded, and a product with dy for each group."""
        if case.data_format == "channels_last":
            x, dy = x.permute(0, 3, 1, 2), dy.permute(0, 3, 1, 2)
        rows, columns = case.amounts
        strides, dilation = stepping(case)
        windows = torch.nn.functional.unfold(
            torch.nn.functional.pad(x, (*columns, *rows)), case.window, dilation=dilation, stride=strides
        )
        groups, taps = case.settings["groups"], case.window[0] * case.window[1]
        windows = windows.reshape(case.batch, groups, case.channels // groups, taps, -1)
        dy = dy.reshape(case.batch, groups, case.filters // groups, -1)
        return torch.einsum("ngctl,ngkl->tcgk", windows, dy).reshape(kernel.shape)

    settings = {**case.settings, "data_format": case.data_format, "kernel_size": case.window}
    ours = [case.laid_out(x), case.laid_out(dy)]
    same_as_torch(lambda x, dy: ops.conv2d_kernel_gradient(x, dy, **settings), theirs, ours, seed=case.seed)


@pytest.mark.parity
@pytest.mark.parametrize(
    ("x_shape", "kernel_shape", "settings"),
    [
        ((1, 1, 1, 1), (1, 1, 1, 1), {}),
        ((1, 1, 1, 3), (3, 3, 3, 2), {"padding": "same"}),
        ((1, 13, 11, 5), (13, 11, 5, 7), {}),
        ((2, 17, 19, 7), (1, 1, 7, 5), {"strides": 2, "padding": "same"}),
        ((2, 17, 19, 7), (1, 1, 7, 5), {}),
        ((2, 8, 8, 6), (3, 3, 1, 6), {"groups": 6, "padding": "same"}),
        ((37, 28, 28, 8), (3, 3, 8, 4), {"padding": "same"}),
        ((131, 15, 14, 4), (3, 3, 4, 8), {"strides": 2, "padding": "same"}),
        ((67, 16, 16, 6), (5, 3, 3, 8), {"groups": 2}),
        ((1, 64, 64, 8), (7, 7, 8, 4), {"strides": 2, "padding": "same"}),
    ],
)
def test_conv2d_matches_torch_at_the_edges(
    torch: Any, same_as_torch: Any, rng: np.random.Generator, x_shape: Any, kernel_shape: Any, settings: dict[str, Any]
) -> None:
    """One pixel, one image, a kernel as large as the image, prime sizes, batches of several blocks and threads."""
    stride = settings.get("strides", 1)
    case = Case(
        x_shape[0], x_shape[1:3], kernel_shape[:2], x_shape[3], kernel_shape[3],
        {"strides": (stride,) * 2, "dilation_rate": (1, 1), "padding": settings.get("padding", "valid"),
         "groups": settings.get("groups", 1)},
        0, "channels_last", 0,
    )  # fmt: skip
    x, kernel = rng.standard_normal(x_shape), rng.standard_normal(kernel_shape)
    same_as_torch(
        lambda x, kernel: ops.conv2d(x, kernel, **settings),
        lambda x, kernel: torch_conv2d(torch, case, x, kernel),
        [x, kernel],
    )


def test_one_channel_may_lie_in_memory_in_any_way(put: Any, rng: np.random.Generator) -> None:
    """With one channel NumPy calls an array contiguous whatever the step of its last axis is."""
    pixels, kernel = rng.standard_normal((3, 7, 5)), put(rng.standard_normal((3, 2, 1, 4)))
    expected = ops.conv2d(put(pixels.reshape(3, 7, 5, 1).copy()), kernel)
    views = {
        "a new axis": put(pixels)[..., None],
        "one of three": put(np.repeat(pixels[..., None], 3, axis=3))[..., :1],
        "channels first": put(pixels)[:, None].transpose(0, 2, 3, 1),
    }
    for name, x in views.items():
        check_close(name, ops.conv2d(x, kernel), expected, 0.0)
    first = ops.conv2d(put(pixels)[:, None], kernel, data_format="channels_first")
    check_close("data_format", first.transpose(0, 2, 3, 1), expected, 0.0)
    dy = put(rng.standard_normal((3, 5, 4, 4)))
    dkernel = ops.conv2d_kernel_gradient(put(pixels)[..., None], dy, kernel_size=(3, 2))
    again = ops.conv2d_kernel_gradient(put(pixels.reshape(3, 7, 5, 1).copy()), dy, kernel_size=(3, 2))
    check_close("kernel gradient", dkernel, again, 0.0)


def test_arrays_need_not_be_contiguous(put: Any, rng: np.random.Generator) -> None:
    x, kernel = rng.standard_normal((2, 12, 10, 6)), rng.standard_normal((4, 3, 3, 5))
    expected = ops.conv2d(put(x[:, ::2, ::-1, ::2].copy()), put(kernel[::-1].copy()), padding="same")
    got = ops.conv2d(put(x)[:, ::2, ::-1, ::2], put(kernel)[::-1], padding="same")
    check_close("y", got, expected, 0.0)


def test_a_broadcast_gradient_goes_back(put: Any, rng: np.random.Generator) -> None:
    """sum() hands back one number stretched over an array, without memory of its own for each element."""
    x, kernel = Tensor(put(rng.standard_normal((2, 5, 5, 3)))), put(rng.standard_normal((3, 3, 3, 2)))
    x.requires_grad = True
    ops.conv2d(x, kernel, strides=2).sum().backward()
    ones = put(np.ones((2, 2, 2, 2)))
    assert x.grad is not None
    check_close("dx", x.grad, ops.conv2d_input_gradient(ones, kernel, input_shape=x.shape, strides=2), 0.0)


def test_lists_are_as_good_as_tuples(rng: np.random.Generator) -> None:
    """TOML and JSON know only lists."""
    x, kernel = rng.standard_normal((1, 6, 6, 2)), rng.standard_normal((3, 3, 2, 2))
    listed = ops.conv2d(x, kernel, strides=[2, 1], padding=[[1, 0], [0, 1]], dilation_rate=[1, 1])
    check_close("y", listed, ops.conv2d(x, kernel, strides=(2, 1), padding=((1, 0), (0, 1))), 0.0)


def test_an_empty_batch_goes_through(put: Any) -> None:
    x, kernel = put(np.zeros((0, 6, 5, 2))), put(np.ones((3, 3, 2, 4)))
    y = ops.conv2d(x, kernel, strides=2)
    assert y.shape == (0, 2, 2, 4)
    assert ops.conv2d_input_gradient(y, kernel, input_shape=x.shape, strides=2).shape == x.shape
    dkernel = ops.conv2d_kernel_gradient(x, y, kernel_size=3, strides=2)
    assert dkernel.shape == kernel.shape and not dkernel.any()


@pytest.mark.parametrize(
    ("x", "kernel", "result"),
    [("uint8", "float32", "float32"), ("int64", "int64", "float32"), ("float32", "float64", "float64")],
)
def test_types_meet_in_floating_point(x: str, kernel: str, result: str) -> None:
    images = np.arange(32).reshape(2, 4, 4, 1)
    weights = np.arange(4).reshape(2, 2, 1, 1)
    y = ops.conv2d(images.astype(x), weights.astype(kernel))
    assert y.dtype == result
    check_close("y", y, ops.conv2d(images.astype("float64"), weights.astype("float64")), 0.0)


@pytest.mark.parametrize(
    ("x", "kernel", "settings", "message"),
    [
        ((1, 3, 3, 64), (5, 5, 64, 8), {}, r"5x5 does not fit into input \(N, 3, 3, 64\).*padding=\"same\""),
        ((1, 5, 5, 2), (3, 3, 2, 8), {"dilation_rate": 3}, r"3x3 \(dilated to 7x7\) does not fit"),
        ((5, 5, 2), (3, 3, 2, 8), {}, r"4 axes.*\(5, 5, 2\)"),
        ((1, 5, 5, 2), (3, 3, 2), {}, r"kernel must have 4 axes.*\(3, 3, 2\)"),
        ((1, 5, 5, 3), (3, 3, 2, 8), {}, r"reads 2 channels.*has 3"),
        ((1, 5, 5, 4), (3, 3, 2, 9), {"groups": 2}, r"groups=2 must divide the 4 input channels and the 9 filters"),
        ((1, 5, 5, 4), (3, 3, 2, 8), {"groups": 0}, r"groups=0"),
        ((1, 9, 9, 2), (3, 3, 2, 8), {"strides": 2, "dilation_rate": (1, 2)}, r"cannot both be larger than 1"),
        ((1, 9, 9, 2), (3, 3, 2, 8), {"strides": 0}, r"strides=0"),
        ((1, 9, 9, 2), (3, 3, 2, 8), {"padding": "full"}, r"padding='full' is unknown"),
        ((1, 9, 9, 2), (3, 3, 2, 8), {"padding": -1}, r"padding=-1"),
    ],
)
def test_errors_name_the_numbers(x: Any, kernel: Any, settings: dict[str, Any], message: str) -> None:
    with pytest.raises(ShapeError, match=message):
        ops.conv2d(np.zeros(x), np.zeros(kernel), **settings)


def test_other_wrong_arguments_are_refused() -> None:
    x, kernel = np.zeros((1, 5, 5, 2)), np.zeros((3, 3, 2, 4))
    with pytest.raises(ShapeError, match=r"bias must have shape \(4,\).*has \(3,\)"):
        ops.conv2d(x, kernel, np.zeros(3))
    with pytest.raises(UsageError, match="data_format='NHWC'"):
        ops.conv2d(x, kernel, data_format="NHWC")
    with pytest.raises(ShapeError, match=r"dy has shape \(1, 3, 2, 4\).*\(1, 3, 3, 4\)"):
        ops.conv2d_input_gradient(np.zeros((1, 3, 2, 4)), kernel, input_shape=x.shape)
    with pytest.raises(ShapeError, match=r"dy has shape \(2, 3, 3, 4\).*\(1, 3, 3, 4\)"):
        ops.conv2d_kernel_gradient(x, np.zeros((2, 3, 3, 4)), kernel_size=3)
    with pytest.raises(TypeError, match="bais"):
        ops.conv2d(x, kernel, bais=np.zeros(4))  # pyright: ignore[reportCallIssue]


def test_arrays_of_two_libraries_are_refused() -> None:
    foreign = type("ndarray", (), {"__module__": "cupy", "ndim": 4, "shape": (3, 3, 2, 4), "dtype": np.dtype("f8")})()
    with pytest.raises(DeviceError, match=r"cupy\.asarray"):
        ops.conv2d(np.zeros((1, 5, 5, 2)), foreign)


def test_one_thread_block_holds_at_least_one_image(monkeypatch: pytest.MonkeyPatch, rng: np.random.Generator) -> None:
    """An image larger than a block is a block of its own."""
    x, kernel = rng.standard_normal((3, 9, 9, 2)), rng.standard_normal((3, 3, 2, 4))
    expected = ops.conv2d(x, kernel, padding="same")
    monkeypatch.setattr(numpy_kernels, "BLOCK", 1)
    monkeypatch.setattr(workers, "SMALL", 0)
    check_close("y", ops.conv2d(x, kernel, padding="same"), expected, 1e-14)


@pytest.mark.parametrize("data_format", ["channels_last", "channels_first"])
@pytest.mark.parametrize("window", [1, 3])
def test_relu_in_the_same_pass_is_relu_after_it(
    put: Callable[[Any], Any], data_format: str, window: int, rng: np.random.Generator
) -> None:
    images = rng.standard_normal((2, 6, 6, 6) if window == 1 else (2, 6, 6, 3)).astype("float32")
    kernel = rng.standard_normal((window, window, 6 if window == 1 or data_format == "channels_first" else 3, 5))
    arrays = images, kernel.astype("float32"), rng.standard_normal(5).astype("float32")
    results = []
    for within in (True, False):
        tensors = [Tensor(put(array.copy()), requires_grad=True) for array in arrays]
        y = ops.conv2d(*tensors, padding="same", data_format=data_format, relu=within)
        y = y if within else ops.relu(y)
        (y * y).backward(put(np.ones(y.shape, "float32")))
        results.append([to_numpy(a) for a in (y.data, *(tensor.grad for tensor in tensors))])
    for one, other in zip(*results, strict=True):
        check_close("with ReLU", one, other, 1e-6)
    assert (results[0][0] == 0).any()


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("uses", [1, 2])
@pytest.mark.parametrize(
    ("shape", "kernel", "groups"),
    [
        ((3, 8, 8, 4), (1, 1, 4, 6), 1),
        ((2, 7, 8, 3), (5, 5, 3, 7), 1),
        ((3, 9, 9, 6), (3, 3, 3, 8), 2),
        ((2, 8, 8, 16), (3, 3, 16, 16), 1),
        ((8, 32, 32, 16), (3, 3, 16, 16), 1),
        ((8, 8, 8, 40), (3, 3, 40, 40), 1),
        ((8, 28, 28, 40), (3, 3, 40, 40), 1),
    ],
)
def test_the_kernels_gradient_is_written_to_its_place(
    put: Callable[[Any], Any], shape: Any, kernel: Any, groups: int, uses: int, dtype: str, rng: np.random.Generator
) -> None:
    """By each way a convolution is made, at once and later; a weight that is used twice gets both parts."""
    images = [rng.standard_normal(shape).astype(dtype) for _ in range(uses)]
    values = rng.standard_normal(kernel).astype("float32")
    slopes = []
    for has_place in (False, True):
        weight = Parameter(put(values.copy()))
        if has_place:
            flat = put(np.full(values.size + 3, np.nan, "float32"))
            weight.buffer = flat[1:-2].reshape(kernel)
        total = sum(ops.conv2d(Tensor(put(x)), weight, padding="same", groups=groups).sum() for x in images)
        assert isinstance(total, Tensor)
        total.backward()
        if has_place:
            assert weight.grad is weight.buffer
            assert np.isnan(to_numpy(flat)[[0, -2, -1]]).all()
        slopes.append(to_numpy(weight.grad).astype("float32"))
    if uses == 1 or dtype == "float32":
        assert slopes[0].tobytes() == slopes[1].tobytes()
    check_close("slopes", slopes[1], slopes[0], 1e-6)
