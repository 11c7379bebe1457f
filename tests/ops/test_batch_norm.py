"""batch_norm: against its formula, central differences and PyTorch; moving statistics with the biased variance."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gpudl import ops
from gpudl.autograd import Tensor
from gpudl.backend import to_numpy
from gpudl.backend.numpy import batch_norm as numpy_kernels
from gpudl.errors import DeviceError, ShapeError
from gpudl.testing import check_close, check_op


@dataclass
class Case:
    """Some images or rows, with an axis of channels at the end or at 1."""

    shape: tuple[int, ...]
    axis: int
    momentum: float
    epsilon: float
    scaled: bool
    centred: bool
    seed: int
    block: int

    @property
    def others(self) -> tuple[int, ...]:
        return tuple(i for i in range(len(self.shape)) if i != self.axis % len(self.shape))

    def arrays(self) -> list[np.ndarray]:
        """x, gamma, beta, moving_mean, moving_variance."""
        rng = np.random.default_rng(self.seed)
        channels = self.shape[self.axis]
        return [
            rng.standard_normal(self.shape) * 2 + 0.5,
            rng.uniform(0.5, 2, channels),
            rng.standard_normal(channels),
            rng.standard_normal(channels),
            rng.uniform(0.5, 2, channels),
        ]

    def along(self, numbers: np.ndarray) -> np.ndarray:
        """Numbers of the channels, shaped so that they stretch over x."""
        return numbers.reshape([-1 if i not in self.others else 1 for i in range(len(self.shape))])

    def formula(self, x: np.ndarray, mean: np.ndarray, variance: np.ndarray, gamma: Any, beta: Any) -> np.ndarray:
        y = (x - self.along(mean)) / np.sqrt(self.along(variance) + self.epsilon)
        y = y if gamma is None else y * self.along(gamma)
        return y if beta is None else y + self.along(beta)


@st.composite
def cases(draw: st.DrawFn) -> Case:
    """At least eight numbers to a channel: of two, normalizing leaves nothing but their order."""
    rank = draw(st.integers(2, 4))
    sizes = [draw(st.integers(8, 11)), *(draw(st.integers(1, 5)) for _ in range(rank - 1))]
    return Case(
        shape=tuple(sizes),
        axis=draw(st.sampled_from([-1, 1])),
        momentum=draw(st.sampled_from([0.0, 0.5, 0.9, 0.99])),
        epsilon=draw(st.sampled_from([1e-3, 1e-5, 0.1])),
        scaled=draw(st.booleans()),
        centred=draw(st.booleans()),
        seed=draw(st.integers(0, 2**16)),
        block=draw(st.sampled_from([1, 20, numpy_kernels.BLOCK])),
    )


@given(case=cases(), training=st.booleans())
def test_relu_in_the_same_pass_is_the_same_bits(put: Any, case: Case, training: bool) -> None:
    settings = {"training": training, "momentum": case.momentum, "epsilon": case.epsilon, "axis": case.axis}
    found = []
    for relu in (False, True):
        arrays = (put(array.astype(("float64", "float32")[case.seed % 2])) for array in case.arrays())
        x, gamma, beta, *moving = (Tensor(array, requires_grad=True) for array in arrays)
        gamma, beta = gamma if case.scaled else None, beta if case.centred else None
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(numpy_kernels, "BLOCK", case.block)
            y = ops.batch_norm(x, gamma, beta, *moving, **settings, relu=relu)
            y = y if relu else ops.relu(y)
            slopes = np.arange(y.size).reshape(y.shape) % 7 - 3
            (y * put(slopes.astype(y.dtype))).sum().backward()
        parts = y.data, x.grad, *(weights.grad for weights in (gamma, beta) if weights is not None)
        found.append([to_numpy(part).tobytes() for part in parts])
    assert found[0] == found[1]


@given(case=cases(), training=st.booleans())
def test_batch_norm_is_its_definition(put: Any, case: Case, training: bool) -> None:
    x, gamma, beta, moving_mean, moving_variance = (put(array) for array in case.arrays())

    def op(x: Any, gamma: Any, beta: Any) -> Any:
        moving = moving_mean.astype(x.dtype), moving_variance.astype(x.dtype)
        return ops.batch_norm(x, gamma, beta, *moving, training=training, epsilon=case.epsilon, axis=case.axis)

    def oracle(x: np.ndarray, gamma: Any, beta: Any) -> np.ndarray:
        if training:
            return case.formula(x, x.mean(axis=case.others), x.var(axis=case.others), gamma, beta)
        return case.formula(x, case.arrays()[3], case.arrays()[4], gamma, beta)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(numpy_kernels, "BLOCK", case.block)
        arrays = [x, gamma if case.scaled else None, beta if case.centred else None]
        check_op(op, arrays, oracle=oracle if training else None, seed=case.seed)
        if not training:
            values: list[Any] = [None if array is None else to_numpy(array) for array in arrays]
            check_close("y", op(*arrays), oracle(*values), 1e-12)


@given(case=cases())
def test_moving_statistics_follow_the_batch(put: Any, case: Case) -> None:
    """The momentum weighs the old value; the variance is the biased one; inference leaves both alone."""
    x, gamma, beta, moving_mean, moving_variance = (put(array) for array in case.arrays())
    old_mean, old_variance = moving_mean.copy(), moving_variance.copy()
    ops.batch_norm(x, gamma, beta, moving_mean, moving_variance, training=False, axis=case.axis)
    check_close("mean after inference", moving_mean, old_mean, 0.0)
    check_close("variance after inference", moving_variance, old_variance, 0.0)
    ops.batch_norm(
        x, gamma, beta, moving_mean, moving_variance,
        training=True, axis=case.axis, momentum=case.momentum, epsilon=case.epsilon,
    )  # fmt: skip
    new = 1 - case.momentum
    check_close("mean", moving_mean, case.momentum * old_mean + new * x.mean(axis=case.others), 1e-12)
    check_close("variance", moving_variance, case.momentum * old_variance + new * x.var(axis=case.others), 1e-12)


@pytest.mark.parity
@given(case=cases(), training=st.booleans())
def test_batch_norm_matches_torch(torch: Any, same_as_torch: Any, put: Any, case: Case, training: bool) -> None:
    """PyTorch's momentum weighs the new value, and its moving variance is the unbiased one."""
    arrays = [array.astype(np.float32) for array in case.arrays()]
    moving = [put(array.copy()) for array in arrays[3:]]
    theirs = [torch.from_numpy(array.copy()) for array in arrays[3:]]

    def torch_batch_norm(x: Any, gamma: Any, beta: Any) -> Any:
        y = torch.nn.functional.batch_norm(
            x.movedim(case.axis, 1), *theirs, gamma, beta, training, 1 - case.momentum, case.epsilon
        )
        return y.movedim(1, case.axis)

    settings = {"training": training, "momentum": case.momentum, "epsilon": case.epsilon, "axis": case.axis}
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(numpy_kernels, "BLOCK", case.block)
        same_as_torch(lambda *a: ops.batch_norm(*a, *moving, **settings), torch_batch_norm, arrays[:3], seed=case.seed)
    rows = int(np.prod([case.shape[i] for i in case.others]))
    old = case.momentum * arrays[4]
    biased = old + (theirs[1].numpy() - old) * (rows - 1) / rows if training else theirs[1].numpy()
    check_close("moving mean", moving[0], theirs[0].numpy())
    check_close("moving variance", moving[1], biased)


@pytest.mark.parity
@pytest.mark.parametrize("shape", [(1, 67, 53, 1), (131, 28, 28, 13), (1, 16, 16, 128)])
def test_batch_norm_of_several_blocks_matches_torch(
    torch: Any, same_as_torch: Any, put: Any, rng: np.random.Generator, shape: tuple[int, ...]
) -> None:
    """One image, one channel, and more than one block and thread."""
    channels = shape[-1]
    still = [np.zeros(channels), np.ones(channels)]
    same_as_torch(
        lambda *a: ops.batch_norm(*a, *(put(array.astype(np.float32)) for array in still), training=True),
        lambda x, gamma, beta: torch.nn.functional.batch_norm(
            x.movedim(-1, 1), *map(torch.from_numpy, still), gamma, beta, True, 0.0, 1e-3
        ).movedim(1, -1),
        [rng.standard_normal(shape) + 3, rng.uniform(0.5, 2, channels), rng.standard_normal(channels)],
        theirs_in="float64",
    )


@pytest.mark.parametrize("deviation", [1e-1, 1e-2, 1e-3, 1e-4])
def test_small_variances_keep_their_digits(put: Any, rng: np.random.Generator, deviation: float) -> None:
    """Also where epsilon is far larger than the variance."""
    x = (rng.standard_normal((640, 3)) * deviation).astype(np.float32)
    mean, variance = put(np.zeros(3, np.float32)), put(np.zeros(3, np.float32))
    ops.batch_norm(put(x), None, None, mean, variance, training=True, momentum=0.0)
    check_close("variance", variance, x.astype(np.float64).var(axis=0), 1e-6)


def test_a_large_mean_does_not_cost_the_variance(put: Any, rng: np.random.Generator) -> None:
    """E[x^2] - E[x]^2 would lose everything here."""
    x = (rng.standard_normal((4096, 2)) + 1000).astype(np.float32)
    mean, variance = put(np.zeros(2, np.float32)), put(np.zeros(2, np.float32))
    y = ops.batch_norm(put(x), None, None, mean, variance, training=True, momentum=0.0)
    exact = x.astype(np.float64)
    check_close("variance", variance, exact.var(axis=0), 1e-5)
    check_close("mean", mean, exact.mean(axis=0), 1e-6)
    check_close("y", y, (exact - to_numpy(mean)) / np.sqrt(exact.var(axis=0) + 1e-3), 1e-5)


def test_the_way_back_remembers_the_statistics_of_the_forward_pass(put: Any, rng: np.random.Generator) -> None:
    """A training pass between inference and its way back changes the moving statistics, but not that gradient."""
    x, dy = put(rng.standard_normal((9, 3))), put(rng.standard_normal((9, 3)))

    def gradient(disturbed: bool) -> Any:
        gamma = Tensor(put(np.ones(3)), requires_grad=True)
        moving = put(np.zeros(3)), put(np.ones(3))
        y = ops.batch_norm(x, gamma, None, *moving)
        if disturbed:
            ops.batch_norm(x + 5, gamma, None, *moving, training=True, momentum=0.0)
        y.backward(dy)
        return gamma.grad

    check_close("dgamma", gradient(disturbed=True), gradient(disturbed=False), 0.0)


def test_constant_channels_give_beta(put: Any) -> None:
    beta = put(np.array([1.0, -2.0]))
    y = ops.batch_norm(put(np.full((5, 2), 7.0)), None, beta, put(np.zeros(2)), put(np.ones(2)), training=True)
    check_close("y", y, np.tile([1.0, -2.0], (5, 1)), 0.0)


@pytest.mark.parametrize("wrong", range(1, 5))
def test_errors_name_the_argument_and_the_numbers(wrong: int) -> None:
    names = ["x", "gamma", "beta", "moving_mean", "moving_variance"]
    arrays = [np.zeros((4, 3)), *(np.ones(3) for _ in range(4))]
    arrays[wrong] = np.ones(2)
    with pytest.raises(ShapeError, match=rf"{names[wrong]} has shape \(2,\).*\(4, 3\) has 3 channels"):
        ops.batch_norm(*arrays)


def test_an_empty_batch_teaches_nothing(put: Any) -> None:
    moving = put(np.zeros(3)), put(np.ones(3))
    with pytest.raises(ShapeError, match=r"of shape \(0, 3\) has no mean and variance"):
        ops.batch_norm(put(np.zeros((0, 3))), None, None, *moving, training=True)
    check_close("moving_variance", moving[1], np.ones(3), 0.0)
    assert ops.batch_norm(put(np.zeros((0, 3))), None, None, *moving).shape == (0, 3)


def test_moving_statistics_beside_the_tensors_are_not_copied(cupy: Any) -> None:
    """A copy would be updated in their place, and nobody would know."""
    x = Tensor(cupy.asarray(np.ones((4, 2), "float32")))
    with pytest.raises(DeviceError, match="arrays of two libraries"):
        ops.batch_norm(x, None, None, np.zeros(2, "float32"), np.ones(2, "float32"), training=True)
