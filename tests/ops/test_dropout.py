"""dropout: keyed masks, their statistics, scaling and gradient."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gpudl import ops, random
from gpudl.autograd import Tensor
from gpudl.backend import to_numpy
from gpudl.errors import GpudlError, UsageError
from gpudl.testing import check_close, check_op


@given(
    shape=st.lists(st.integers(1, 5), max_size=4).map(tuple),
    rate=st.sampled_from([0, 0.0, 0.1, 0.5, 0.9, 1, 1.0]),
    seed=st.integers(0, 2**16),
    data=st.data(),
)
def test_dropout_is_linear_with_a_fixed_mask(put: Any, shape: Any, rate: float, seed: int, data: st.DataObject) -> None:
    noise_shape = data.draw(st.none() | st.tuples(*[st.sampled_from([1, n]) for n in shape]))
    key = random.key(seed, "test")
    x = np.asarray(np.random.default_rng(seed).uniform(0.5, 2, shape))
    kept = to_numpy(ops.dropout(put(np.ones(shape)), rate=rate, key=key, noise_shape=noise_shape))
    settings = {"rate": rate, "key": key, "noise_shape": noise_shape}
    check_op(ops.dropout, [put(x)], settings, oracle=lambda x, **_: x * kept, seed=seed)
    values = set(kept.ravel().tolist())
    assert values <= ({0.0} if rate == 1 else {1.0} if rate == 0 else {0.0, 1 / (1 - rate)})


@pytest.mark.parametrize("rate", [0.05, 0.25, 0.5, 0.8])
@pytest.mark.parametrize("precision", ["float32", "float64"])
def test_the_share_dropped_and_the_mean(put: Any, rate: float, precision: str) -> None:
    """One million elements: five standard deviations of their mean are under 0.25 %, whatever the rate."""
    count = 1_000_000
    y = to_numpy(ops.dropout(put(np.ones(count, precision)), rate=rate, key=random.key(3, "share")))
    assert y.dtype == precision
    deviation = 5 * np.sqrt(rate * (1 - rate) / count)
    assert abs(float((y == 0).mean()) - rate) < deviation
    assert abs(float(y.mean(dtype="float64")) - 1) < deviation / (1 - rate)


def test_neighbours_are_dropped_independently(put: Any) -> None:
    kept = to_numpy(ops.dropout(put(np.ones((1000, 1000))), rate=0.5, key=random.key(3, "pairs"))) > 0
    for pairs in (kept[:, 1:] == kept[:, :-1], kept[1:] == kept[:-1]):
        assert abs(float(pairs.mean()) - 0.5) < 5 * 0.5 / np.sqrt(pairs.size)


def test_the_key_is_the_mask(put: Any) -> None:
    x = put(np.ones((64, 33)))
    first = ops.dropout(x, rate=0.5, key=random.key(1, "layers", 7))
    check_close("equal keys", ops.dropout(x, rate=0.5, key=random.key(1, "layers", 7)), first, 0.0)
    single = ops.dropout(x.astype("float32"), rate=0.5, key=random.key(1, "layers", 7))
    check_close("both precisions", single, first, 0.0)
    for other in (random.key(2, "layers", 7), random.key(1, "weights", 7), random.key(1, "layers", 8)):
        same = float((ops.dropout(x, rate=0.5, key=other) == first).mean())
        assert 0.4 < same < 0.6


def test_the_gradient_uses_the_mask_of_the_forward_pass(put: Any, rng: np.random.Generator) -> None:
    x, dy = Tensor(put(rng.uniform(1, 2, (31, 17))), requires_grad=True), put(rng.uniform(1, 2, (31, 17)))
    y = ops.dropout(x, rate=0.3, key=5)
    y.backward(dy)
    assert x.grad is not None
    check_close("dx", x.grad, dy * (y.data / x.data), 1e-14)
    assert 0 < int((x.grad == 0).sum()) < x.size


def test_noise_shape_drops_whole_channels(put: Any) -> None:
    y = to_numpy(ops.dropout(put(np.ones((50, 4, 4, 20))), rate=0.5, key=9, noise_shape=(50, 1, 1, 20)))
    assert bool((y == y[:, :1, :1]).all()) and set(y.ravel().tolist()) == {0.0, 2.0}


def test_a_mask_must_fit(put: Any) -> None:
    for noise_shape in ((5, 3), (2, 1), (1, 1, 1)):
        with pytest.raises(GpudlError, match="noise_shape"):
            ops.dropout(put(np.ones((1, 3))), rate=0.5, key=1, noise_shape=noise_shape)


@pytest.mark.parametrize("rate", [-0.1, 1.1, float("nan")])
def test_rates_outside_0_to_1_are_refused(rate: float) -> None:
    with pytest.raises(UsageError, match=f"rate={rate}"):
        ops.dropout(np.ones(3), rate=rate, key=1)


def test_all_and_nothing(put: Any, rng: np.random.Generator) -> None:
    """rate=1 gives zeros, of infinities as well; rate=0 is the identity."""
    x = rng.standard_normal(100)
    check_close("rate=0", ops.dropout(put(x), rate=0, key=1), x, 0.0)
    check_close("rate=1", ops.dropout(put(x), rate=1, key=1), np.zeros(100), 0.0)
    assert ops.dropout(put(np.ones(3, np.float32)), rate=1, key=1).dtype == np.float32
