"""Beside Keras: the same constructor call on both sides, the same weights, the same numbers."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from typing import Any

import numpy as np
import pytest

from gpudl import layers
from gpudl.autograd import Tensor
from gpudl.testing import check_close

SCORES = pytest.StashKey[dict[tuple[str, str], list[int]]]()


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--scoreboard", action="store_true", help="print how many cases equal Keras")


@pytest.fixture(scope="session")
def score(pytestconfig: pytest.Config) -> Callable[[str, str], AbstractContextManager[None]]:
    """Count one comparison: `with score("layer", "Dense"): ...`. It was tried; it was equal if nothing was raised."""
    scores = pytestconfig.stash.setdefault(SCORES, {})

    @contextmanager
    def case(kind: str, name: str) -> Iterator[None]:
        counts = scores.setdefault((kind, name), [0, 0])
        counts[0] += 1
        yield
        counts[1] += 1

    return case


def pytest_terminal_summary(terminalreporter: Any, config: pytest.Config) -> None:
    if not config.getoption("--scoreboard"):
        return
    scores = config.stash.get(SCORES, {})
    terminalreporter.write_line(f"\n{'kind':<12} {'name':<34} {'tried':>7} {'equal':>7}")
    for (kind, name), (tried, equal) in sorted(scores.items()):
        terminalreporter.write_line(f"{kind:<12} {name:<34} {tried:>7} {equal:>7}{'' if tried == equal else '  <--'}")
    tried, equal = (sum(counts[i] for counts in scores.values()) for i in (0, 1))
    terminalreporter.write_line(f"{'all':<12} {f'{len(scores)} things':<34} {tried:>7} {equal:>7}")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Keras hands weights out in a way that NumPy 2 warns of; that is not ours to mend."""
    for item in items:
        if item.get_closest_marker("parity"):
            item.add_marker(pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning"))


@pytest.fixture(scope="session", autouse=True)
def _one_thread(torch: Any) -> None:
    """The cases are small; `torch` sets one thread."""


PENALTIES = (None, None, "l1", "l2", "L1L2")
CONSTRAINTS = (None, None, "non_neg", "unit_norm", "max_norm")


def penalties_of(name: str, of_keras: Any, settings: dict[str, Any], seed: int) -> dict[str, Any]:
    """Draw a regularizer and a constraint, or none, for each argument of a layer that takes one."""
    rng = np.random.default_rng([seed, 1])
    drawn: dict[str, Any] = {}
    in_keras = inspect.signature(of_keras.__init__).parameters.values()
    takes_more = any(p.kind is p.VAR_KEYWORD for p in in_keras) and name != "ActivityRegularization"
    of_all = ("activity_regularizer",) if takes_more else ()
    for argument in (*inspect.signature(getattr(layers, name).__init__).parameters, *of_all):
        choices = PENALTIES if argument.endswith("_regularizer") else CONSTRAINTS
        if argument.endswith(("_regularizer", "_constraint")):
            drawn[argument] = choices[rng.integers(len(choices))]
    return {argument: value for argument, value in drawn.items() if value is not None and argument not in settings}


@pytest.fixture(scope="session")
def same_layer(keras: Any, torch: Any, score: Callable[..., AbstractContextManager[None]]) -> Callable[..., None]:
    """Make one layer in both, with the same weights; compare names of weights, outputs, gradients and state."""

    def compare(name: str, settings: dict[str, Any], shape: Sequence[int], seed: int, training: Sequence[bool]) -> None:
        with score("layer", name):
            both(name, settings, shape, seed, training)

    def both(name: str, settings: dict[str, Any], shape: Sequence[int], seed: int, training: Sequence[bool]) -> None:
        rng = np.random.default_rng(seed)
        settings = {**penalties_of(name, getattr(keras.layers, name), settings, seed), **settings}
        ours = getattr(layers, name)(**settings)
        theirs = getattr(keras.layers, name)(**settings)
        x = rng.standard_normal(shape).astype(np.float32)
        ours(x)
        theirs.build(tuple(shape))
        assert [(w.name, w.shape) for w in ours.weights] == [(w.name, tuple(w.shape)) for w in theirs.weights]
        assert [w.trainable for w in ours.weights] == [w.trainable for w in theirs.weights]
        for mine, other in zip(ours.weights, theirs.weights, strict=True):
            assert (mine.constraint is None) == (other.constraint is None), mine.name
            if mine.constraint is not None:
                values = rng.standard_normal(mine.shape).astype(np.float32)
                constrained = other.constraint(torch.from_numpy(values)).numpy()
                check_close(f"{name}: constrained {mine.name}", mine.constraint(values), constrained)
        told = ours.compute_output_shape((None, *shape[1:]))
        assert told == tuple(theirs.compute_output_shape((None, *shape[1:])))
        weights = [rng.uniform(0.2, 1.2, w.shape).astype(np.float32) for w in ours.weights]
        if any("kernel" in w.name for w in ours.weights):
            weights = [w * rng.choice([-1, 1], w.shape).astype(np.float32) for w in weights]
        takes_training = "training" in inspect.signature(theirs.call).parameters
        for phase in training:
            ours.set_weights(weights)
            theirs.set_weights(weights)
            x_ours = Tensor(x.copy(), requires_grad=True)
            x_theirs = torch.tensor(x, requires_grad=True)
            y = ours(x_ours, training=phase)
            arguments = {"training": phase} if takes_training else {}
            y_theirs = theirs(x_theirs, **arguments)
            what = f"{name}(training={phase})"
            assert y.dtype == np.float32
            check_close(f"{what}: value", y.data, y_theirs.detach().numpy())
            losses = [
                sum(float(np.asarray(loss)) for loss in ours.losses),
                sum(float(loss.detach()) for loss in theirs.losses),
            ]
            assert losses[0] == pytest.approx(losses[1], rel=1e-5), f"{what}: what is added to the loss"
            for mine, other in zip(ours.non_trainable_weights, theirs.non_trainable_weights, strict=True):
                check_close(f"{what}: {mine.name} after", mine.data, other.numpy())
            if "softmax" in str(settings.get("activation")) and y.shape[-1] == 1:
                continue  # always 1, or its logarithm: the gradient is 0 but for rounding
            leaves = [x_theirs, *(w.value for w in theirs.trainable_weights)]
            projections = [rng.uniform(0.5, 1.5, y.shape).astype(np.float32)]
            projections += [projections[0] * rng.choice([-1, 1], y.shape).astype(np.float32) for _ in range(2)]
            expected = [
                torch.autograd.grad(y_theirs, leaves, torch.from_numpy(dy), retain_graph=True) for dy in projections
            ]
            y.backward(projections[1])
            found = [x_ours, *ours.trainable_weights]
            for i, leaf in enumerate(found):
                # How large a gradient is where its terms do not happen to cancel, the other projections show.
                size = max(float(np.abs(of_all[i].numpy()).max(initial=0)) for of_all in expected)
                if "softmax" in str(settings.get("activation")):
                    # y (dy - sum(dy y)) always cancels where one class has nearly all: its terms are of size 1, and
                    # five of their last places are allowed.
                    size = max(size, 0.05)
                assert leaf.grad is not None
                which = getattr(leaf, "name", "input")
                check_close(f"{what}: gradient of {which}", leaf.grad, expected[1][i].numpy(), scale=size)
                leaf.grad = None

    return compare
