"""Data that comes batch by batch: generators, sequences of batches, DataLoaders; and how many steps make an epoch."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

import gpudl
from gpudl import layers
from gpudl.errors import DataError, UsageError
from gpudl.utils import PyDataset

rng = np.random.default_rng(0)
X = rng.standard_normal((43, 4)).astype(np.float32)
Y = np.arange(43) % 3
W = rng.choice([0.5, 2.0], 43).astype(np.float32)
SIZE = 8  # six batches, the last of three samples


def model(seed: int = 3) -> gpudl.Sequential:
    made = gpudl.Sequential([gpudl.Input((4,)), layers.Dense(3, activation="softmax")])
    values = np.random.default_rng(seed)
    made.set_weights([values.standard_normal(w.shape).astype(np.float32) for w in made.weights])
    made.compile(gpudl.optimizers.SGD(0.1), "sparse_categorical_crossentropy", metrics=["accuracy"])
    return made


def batch(i: int, parts: tuple[Any, ...] = (X, Y)) -> tuple[Any, ...]:
    return tuple(part[i * SIZE : (i + 1) * SIZE] for part in parts)


def once(parts: tuple[Any, ...] = (X, Y)) -> Iterator[Any]:
    for i in range(6):
        yield batch(i, parts)


def for_ever(parts: tuple[Any, ...] = (X, Y)) -> Iterator[Any]:
    for i in itertools.count():
        yield batch(i % 6, parts)


class Batches(PyDataset):
    def __init__(self, parts: tuple[Any, ...] = (X, Y)) -> None:
        super().__init__()
        self.parts = parts
        self.events: list[Any] = []

    def __len__(self) -> int:
        return 6

    def __getitem__(self, index: int) -> Any:
        self.events.append(index)
        return batch(index, self.parts)

    def on_epoch_begin(self) -> None:
        self.events.append("begin")

    def on_epoch_end(self) -> None:
        self.events.append("end")


class Plain:
    """No PyDataset, but it has a length and batches."""

    def __len__(self) -> int:
        return 6

    def __getitem__(self, index: int) -> Any:
        return batch(index)


def same_training(one: Any, other: Any, a: gpudl.Sequential, b: gpudl.Sequential) -> None:
    assert one.history == other.history
    for mine, theirs in zip(a.get_weights(), b.get_weights(), strict=True):
        np.testing.assert_array_equal(mine, theirs)


@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize(
    "source", [Batches, for_ever, lambda parts: itertools.cycle([batch(i, parts) for i in range(6)])]
)
def test_batches_are_as_good_as_arrays(source: Any, weighted: bool) -> None:
    parts = (X, Y, W) if weighted else (X, Y)
    a, b = model(), model()
    steps = None if source is Batches else 6
    given: dict[str, Any] = {"epochs": 3, "verbose": 0, "shuffle": False}
    one = a.fit(source(parts), steps_per_epoch=steps, **given)
    other = b.fit(X, Y, batch_size=SIZE, sample_weight=W if weighted else None, **given)
    same_training(one, other, a, b)
    assert a.evaluate(source(parts), steps=6, verbose=0) == pytest.approx(
        b.evaluate(X, Y, batch_size=SIZE, sample_weight=W if weighted else None, verbose=0)
    )
    np.testing.assert_array_equal(a.predict(source((X,)), steps=6, verbose=0), b.predict(X, batch_size=SIZE, verbose=0))


def test_what_has_a_length_and_batches_need_not_be_a_pydataset() -> None:
    a, b = model(), model()
    one = a.fit(Plain(), epochs=2, verbose=0, shuffle=False, validation_data=Plain())
    other = b.fit(X, Y, epochs=2, verbose=0, shuffle=False, batch_size=SIZE, validation_data=(X, Y))
    same_training(one, other, a, b)


def test_a_data_loader_of_torch(torch: Any) -> None:
    data = torch.utils.data
    loader = data.DataLoader(data.TensorDataset(torch.from_numpy(X), torch.from_numpy(Y)), batch_size=SIZE)
    a, b = model(), model()
    one = a.fit(loader, epochs=2, verbose=0, validation_data=loader)
    other = b.fit(X, Y, epochs=2, verbose=0, shuffle=False, batch_size=SIZE, validation_data=(X, Y))
    same_training(one, other, a, b)
    np.testing.assert_array_equal(a.predict(loader, verbose=0), b.predict(X, batch_size=SIZE, verbose=0))


def test_a_data_loader_without_a_length(torch: Any) -> None:
    class Endless(torch.utils.data.IterableDataset):
        def __iter__(self) -> Iterator[Any]:
            return ((X[i % 43], Y[i % 43]) for i in itertools.count())

    history = model().fit(
        torch.utils.data.DataLoader(Endless(), batch_size=SIZE), steps_per_epoch=3, epochs=2, verbose=0
    )
    assert len(history.history["loss"]) == 2


def test_batches_of_a_sequence_are_shuffled_as_wholes() -> None:
    data = Batches()
    model().fit(data, epochs=2, verbose=0)
    epochs = "".join("|" if event == "begin" else str(event) for event in data.events if event != "end").split("|")[1:]
    assert len(epochs) == 2
    for order in epochs:
        assert sorted(order) == list("012345")
    assert epochs[0] != epochs[1]


def test_a_sequence_is_told_of_epochs() -> None:
    data = Batches()
    model().fit(data, epochs=2, verbose=0, shuffle=False, steps_per_epoch=None)
    told = [event for event in data.events if isinstance(event, str)]
    assert told == ["end", "begin", "end", "begin", "end"], "one before all, as Keras does"


def test_class_weights_of_a_sequence() -> None:
    a, b = model(), model()
    by_class = {0: 0.5, 1: 3.0, 2: 1.0}
    given: dict[str, Any] = {"epochs": 2, "verbose": 0, "shuffle": False, "class_weight": by_class}
    same_training(a.fit(Batches(), **given), b.fit(X, Y, batch_size=SIZE, **given), a, b)
    with pytest.raises(UsageError, match="the batches have sample weights"):
        model().fit(Batches((X, Y, W)), **given)
    with pytest.raises(UsageError, match="class_weight needs arrays, but x is a generator"):
        model().fit(for_ever(), steps_per_epoch=2, **given)


# How many steps make an epoch


def losses_of(of: Any, **given: Any) -> list[float]:
    """The loss of every step, alone."""
    found: list[float] = []

    class Note(gpudl.callbacks.Callback):
        def on_train_batch_end(self, batch: int, logs: Any = None) -> None:
            assert logs is not None
            found.append(float(logs["loss"]))
            self.model.reset_metrics()

    frozen = model()
    frozen.optimizer.learning_rate = 0.0  # pyright: ignore[reportOptionalMemberAccess]
    frozen.fit(*of, verbose=0, shuffle=False, callbacks=[Note()], **given)
    return [round(loss, 5) for loss in found]


EACH = losses_of((X, Y), batch_size=SIZE)


@pytest.mark.parametrize("of", [lambda: (X, Y), lambda: (Batches(),), lambda: (for_ever(),)])
@pytest.mark.parametrize("steps", [1, 2, 3])
def test_an_epoch_goes_on_where_the_last_one_stopped(of: Any, steps: int) -> None:
    size = {"batch_size": SIZE} if len(of()) == 2 else {}
    assert losses_of(of(), steps_per_epoch=steps, epochs=4, **size) == (EACH + EACH)[: 4 * steps]


@pytest.mark.parametrize("of", [lambda: (X, Y), lambda: (Batches(),)])
def test_an_epoch_ends_with_the_data_and_says_so(of: Any) -> None:
    size = {"batch_size": SIZE} if len(of()) == 2 else {}
    with pytest.warns(UserWarning, match=r"the data ended after 2 of the 4 steps of epoch 2"):
        assert losses_of(of(), steps_per_epoch=4, epochs=3, **size) == EACH + EACH[:4]
    with pytest.warns(UserWarning, match=r"the data ended after 6 of the 10 steps of epoch 1"):
        assert losses_of(of(), steps_per_epoch=10, epochs=1, **size) == EACH


def test_a_generator_that_ends() -> None:
    assert losses_of((once(),), epochs=1) == EACH
    with pytest.warns(UserWarning, match="the generator has ended, so training stops after 1 epochs"):
        assert losses_of((once(),), epochs=3) == EACH
    with pytest.warns(UserWarning, match=r"the generator ended after 2 of the 4 steps of epoch 2"):
        assert losses_of((once(),), steps_per_epoch=4, epochs=2) == EACH


def test_evaluation_takes_no_more_of_a_generator_than_its_steps() -> None:
    source = for_ever()
    tested = model()
    first = [tested.evaluate(source, steps=2, verbose=0, return_dict=True)["loss"] for _ in range(3)]
    assert first == pytest.approx([np.mean(EACH[i : i + 2]) for i in (0, 2)] + [(EACH[4] * 8 + EACH[5] * 3) / 11], 1e-4)
    source = for_ever((X,))
    for start in (0, 2):
        expected = tested.predict(X[start * SIZE : (start + 2) * SIZE], batch_size=SIZE, verbose=0)
        np.testing.assert_array_equal(tested.predict(source, steps=2, verbose=0), expected)


def test_a_sequence_without_end() -> None:
    class Endless(Batches):
        num_batches = None  # pyright: ignore[reportAssignmentType]

        def __getitem__(self, index: int) -> Any:
            return batch(index % 6)

    assert losses_of((Endless(),), steps_per_epoch=4, epochs=3) == EACH + EACH


def test_several_inputs_and_outputs_from_a_generator() -> None:
    a, b = gpudl.Input((4,), name="a"), gpudl.Input((4,), name="b")
    made = gpudl.Model([a, b], {"sum": layers.Dense(1)(a + b), "difference": layers.Dense(1)(a - b)})
    made.compile("sgd", {"sum": "mse", "difference": "mse"})

    def source(of: Any) -> Iterator[Any]:
        while True:
            yield of(X[:8], X[8:16]), {"sum": X[:8, :1], "difference": X[:8, 1:2]}

    for of in (lambda p, q: (p, q), lambda p, q: [p, q], lambda p, q: {"a": p, "b": q}):
        assert set(made.fit(source(of), steps_per_epoch=2, verbose=0).history) == {
            "loss",
            "sum_loss",
            "difference_loss",
        }


# Errors


@pytest.mark.parametrize(
    ("given", "says"),
    [
        ({"y": Y}, "y cannot be given beside a generator"),
        ({"sample_weight": W}, "sample_weight cannot be given beside a generator"),
        ({"validation_split": 0.2}, "validation_split=0.2 needs arrays"),
    ],
)
def test_what_cannot_be_given_beside_a_generator(given: Any, says: str) -> None:
    with pytest.raises(UsageError, match=says):
        model().fit(for_ever(), steps_per_epoch=2, verbose=0, **given)


def test_batch_size_changes_nothing_beside_a_generator() -> None:
    with pytest.warns(UserWarning, match="batch_size=4 changes nothing: a generator yields batches of its own"):
        model().fit(for_ever(), steps_per_epoch=2, verbose=0, batch_size=4)


def test_batches_that_are_none() -> None:
    with pytest.raises(UsageError, match="has 4 entries"):
        model().fit(iter([(X, Y, W, W)]), verbose=0)
    with pytest.raises(DataError, match="has no batches"):
        model().fit(iter([]), verbose=0)
    with pytest.raises(UsageError, match="which needs targets"):
        model().fit(iter([(X,)]), verbose=0)
    with pytest.raises(UsageError, match=r"must define __len__"):
        model().fit(PyDataset(), verbose=0)
