"""Initializers: limits, deviations, seeds, and streams."""

from __future__ import annotations

import math

import numpy as np
import pytest

from gpudl import initializers, random
from gpudl.errors import UnknownNameError, UsageError
from gpudl.initializers import TRUNCATED_SD, fans

SHAPE = (5, 4, 20, 100)  # fans: 400 in, 2000 out
DEVIATIONS = {"glorot": math.sqrt(2 / 2400), "he": math.sqrt(2 / 400), "lecun": math.sqrt(1 / 400)}


def test_fans_by_hand() -> None:
    assert fans((7, 3)) == (7, 3)
    assert fans((5, 4, 20, 100)) == (400, 2000)
    assert (fans((6,)), fans(()), fans((3, 2, 5))) == ((6, 6), (1, 1), (6, 15))


@pytest.mark.parametrize("name", list(DEVIATIONS))
@pytest.mark.parametrize("kind", ["uniform", "normal"])
def test_deviation_and_limit(name: str, kind: str) -> None:
    """40,000 draws: the deviation is right to 1.5 % (more than four of its own), the limit to 0.2 %."""
    w = initializers.get({"type": f"{name}_{kind}", "seed": 3})(SHAPE)
    deviation = DEVIATIONS[name]
    assert w.dtype == np.float32 and w.shape == SHAPE
    assert w.std() == pytest.approx(deviation, rel=0.015)
    assert abs(w.mean()) < 4 * deviation / math.sqrt(w.size)
    limit = math.sqrt(3) * deviation if kind == "uniform" else 2 * deviation / TRUNCATED_SD
    assert 0.995 * limit < np.abs(w).max() <= limit * (1 + 1e-6)


def test_truncated_sd_is_that_of_a_normal_cut_at_two() -> None:
    x = np.linspace(-2, 2, 400_001)
    density = np.exp(-x * x / 2)
    assert math.sqrt((x * x * density).sum() / density.sum()) == pytest.approx(TRUNCATED_SD, rel=1e-5)


def test_plain_distributions() -> None:
    normal = initializers.RandomNormal(2.0, 0.5, seed=1)((200, 200))
    assert normal.mean() == pytest.approx(2.0, abs=0.01) and normal.std() == pytest.approx(0.5, rel=0.015)
    assert np.abs(normal - 2).max() > 1.5, "not cut off"
    cut = initializers.TruncatedNormal(2.0, 0.5, seed=1)((200, 200))
    assert np.abs(cut - 2).max() <= 1.0 and cut.std() == pytest.approx(0.5 * TRUNCATED_SD, rel=0.015)
    uniform = initializers.RandomUniform(1.0, 3.0, seed=1)((200, 200))
    assert 1 <= uniform.min() < 1.01 and 2.99 < uniform.max() <= 3 and uniform.mean() == pytest.approx(2.0, abs=0.02)
    assert (initializers.Constant(2.5)((3,), "float64") == np.full(3, 2.5)).all()


@pytest.mark.parametrize("shape", [(6, 6), (9, 4), (4, 9), (3, 2, 5, 7), (2, 2, 1, 20)])
def test_orthogonal(shape: tuple[int, ...]) -> None:
    """The shorter side is orthonormal, times the gain."""
    w = initializers.get({"type": "orthogonal", "gain": 1.5, "seed": 2})(shape)
    assert w.shape == shape and w.dtype == np.float32
    matrix = w.astype(np.float64).reshape(-1, shape[-1])
    matrix = matrix if matrix.shape[0] >= matrix.shape[1] else matrix.T
    np.testing.assert_allclose(matrix.T @ matrix, 1.5**2 * np.eye(matrix.shape[1]), atol=1e-6)


def test_orthogonal_prefers_no_direction() -> None:
    """Of 2,000 turns of a plane or mirrorings of it, each entry is above 0 about half the time: 5 deviations."""
    signs = np.mean([initializers.Orthogonal(seed=seed)((2, 2)) > 0 for seed in range(2000)], axis=0)
    assert np.abs(signs - 0.5).max() < 5 * 0.5 / math.sqrt(2000)


def test_identity() -> None:
    assert initializers.get({"type": "identity", "gain": 2.0})((2, 3)).tolist() == [[2, 0, 0], [0, 2, 0]]
    assert initializers.get("IdentityInitializer")((3, 3), "float64").dtype == np.float64
    with pytest.raises(UsageError, match=r"Identity makes matrices.*\(2, 3, 4\)"):
        initializers.Identity()((2, 3, 4))
    with pytest.raises(UsageError, match=r"Orthogonal makes weights of at least two axes.*\(3,\)"):
        initializers.get("OrthogonalInitializer")((3,))


def test_seeds() -> None:
    own = initializers.GlorotUniform(seed=5)
    np.testing.assert_array_equal(own((3, 4)), own((3, 4)))
    assert (own((3, 4)) != initializers.GlorotUniform(seed=6)((3, 4))).all()
    free = initializers.GlorotUniform()
    random.set_random_seed(8)
    first, second = free((3, 4)), free((3, 4))
    assert (first != second).all(), "two layers of one model do not start alike"
    random.set_random_seed(8)
    np.testing.assert_array_equal(free((3, 4)), first)
    random.set_random_seed(9)
    assert (free((3, 4)) != first).all()


def test_names_and_settings() -> None:
    assert isinstance(initializers.get("HeNormal"), initializers.HeNormal)
    assert isinstance(initializers.get("he_normal"), initializers.HeNormal)
    assert initializers.get({"type": "constant", "value": 3})((2,)).tolist() == [3, 3]
    assert initializers.VarianceScaling(2.0, "fan_out", seed=4).get_config() == {
        "scale": 2.0,
        "mode": "fan_out",
        "distribution": "truncated_normal",
        "seed": 4,
    }
    assert initializers.HeNormal(seed=4).get_config() == {"seed": 4}
    with pytest.raises(UnknownNameError, match='did you mean "he_normal"'):
        initializers.get("he_norml")
    for arguments, about in (({"scale": 0.0}, "scale"), ({"mode": "fan"}, "mode"), ({"distribution": "x"}, "distri")):
        with pytest.raises(UsageError, match=about):
            initializers.VarianceScaling(**arguments)


def test_an_initializer_of_ones_own() -> None:
    from gpudl import layers

    class Diagonal(initializers.Initializer):
        def __call__(self, shape: tuple[int, ...], dtype: str = "float32") -> np.ndarray:
            return np.eye(*shape, dtype=dtype)

    layer = layers.Dense(3, kernel_initializer=Diagonal())
    x = np.arange(6, dtype=np.float32).reshape(2, 3)
    np.testing.assert_array_equal(layer(x).numpy(), x)
