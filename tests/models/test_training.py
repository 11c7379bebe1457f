"""fit, evaluate, predict: that they learn, and what they refuse before any step is taken."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

import gpudl
from gpudl import Input, Sequential, layers, losses, metrics, optimizers, random
from gpudl.errors import DataError, UnknownNameError, UsageError
from gpudl.models import training

RNG = np.random.default_rng(7)
Y = RNG.integers(0, 3, 90)
X = (RNG.standard_normal((90, 6)) + 2 * np.eye(3, 6)[Y]).astype(np.float32)


def make(last: str = "softmax", units: int = 3, loss: Any = "sparse_categorical_crossentropy") -> Sequential:
    random.set_random_seed(1)
    model = Sequential([Input(shape=(6,)), layers.Dense(8, activation="relu"), layers.Dense(units, activation=last)])
    model.compile(optimizers.Adam(0.01), loss, metrics=["accuracy"])
    return model


@pytest.mark.parametrize(
    ("model", "y"),
    [
        (lambda: make(), Y),
        (lambda: make(loss="categorical_crossentropy"), np.eye(3)[Y]),
        (lambda: make("sigmoid", 1, "binary_crossentropy"), Y > 0),
        (lambda: make("linear", 1, "mse"), Y.astype(float)),
        (lambda: make("linear", 3, losses.SparseCategoricalCrossentropy(from_logits=True)), Y),
    ],
)
def test_training_improves_the_loss(model: Any, y: np.ndarray) -> None:
    history = model().fit(X, y, epochs=12, batch_size=10, verbose=0).history
    assert history["loss"][-1] < 0.6 * history["loss"][0]
    if y.dtype.kind != "f" or y.ndim == 2:
        assert history["accuracy"][-1] > max(0.75, history["accuracy"][0])


@pytest.mark.parametrize("optimizer", ["sgd", "rmsprop", "adam"])
def test_every_optimizer_learns(optimizer: str) -> None:
    model = make()
    model.compile(optimizer, "sparse_categorical_crossentropy")
    history = model.fit(X, Y, epochs=30, batch_size=10, verbose=0).history["loss"]
    assert history[-1] < 0.8 * history[0]


def test_evaluate_and_predict_agree_with_arithmetic() -> None:
    model = make()
    model.fit(X, Y, epochs=3, verbose=0)
    p = model.predict(X, batch_size=7)
    assert p.shape == (90, 3) and p.dtype == np.float32
    np.testing.assert_array_equal(p, model.predict(X, batch_size=7, verbose=1))
    loss, accuracy = model.evaluate(X, Y, batch_size=11, verbose=0)
    assert loss == pytest.approx(-np.log(p[np.arange(90), Y]).mean(), rel=1e-5)
    assert accuracy == pytest.approx((p.argmax(axis=1) == Y).mean())
    before = model.get_weights()
    model.evaluate(X, Y)
    for a, b in zip(model.get_weights(), before, strict=True):
        np.testing.assert_array_equal(a, b)
    model.compile("sgd", "sparse_categorical_crossentropy")
    assert isinstance(model.evaluate(X, Y), float)
    np.testing.assert_array_equal(model.predict(X, batch_size=10, steps=2), model.predict(X[:20], batch_size=10))


def test_lists_and_integers_are_taken() -> None:
    model = make()
    history = model.fit(X.tolist(), Y.tolist(), epochs=2, verbose=0)
    assert len(history.history["loss"]) == 2
    images = RNG.integers(0, 255, (20, 6), dtype=np.uint8)
    assert model.predict(images).dtype == np.float32
    np.testing.assert_array_equal(model.predict(images), model.predict(images.astype(np.float64)))


def test_no_epochs() -> None:
    assert make().fit(X, Y, epochs=0, verbose=0).history == {}


def test_before_compile() -> None:
    model = Sequential([layers.Dense(3)])
    for method in (lambda: model.fit(X, Y), lambda: model.evaluate(X, Y)):
        with pytest.raises(UsageError, match=r"does not know its loss yet; call compile\("):
            method()
    assert model.predict(X).shape == (90, 3)


@pytest.mark.parametrize(
    ("given", "about"),
    [
        ({"y": None}, "needs targets"),
        ({"epochs": -1}, "epochs=-1"),
        ({"epochs": 1.5}, "epochs=1.5"),
        ({"batch_size": 0}, "batch_size=0"),
        ({"batch_size": 2.5}, "batch_size=2.5"),
        ({"validation_split": 1.0}, "between 0 and 1"),
        ({"validation_split": -0.1}, "between 0 and 1"),
        ({"validation_split": 0.999}, "leaves none for training"),
        ({"validation_data": (X,)}, "validation_data must be"),
        ({"x": X[:4], "y": Y[:4], "validation_split": 1e-18}, "leaves none for validation"),
    ],
)
def test_arguments_that_are_refused(given: dict[str, Any], about: str) -> None:
    model = make()
    before = model.get_weights()
    with pytest.raises(UsageError, match=about):
        model.fit(**{"x": X, "y": Y, "verbose": 0, **given})
    for a, b in zip(model.get_weights(), before, strict=True):
        np.testing.assert_array_equal(a, b)


@pytest.mark.parametrize(
    ("given", "about"),
    [
        ({"y": Y[:-1]}, "90 inputs but 89 targets"),
        ({"sample_weight": np.ones(89)}, "90 inputs but 89 sample weights"),
        ({"x": X[:0], "y": Y[:0]}, "no samples"),
        ({"validation_data": (X[:5], Y[:4])}, "5 inputs but 4 targets"),
    ],
)
def test_data_that_is_refused(given: dict[str, Any], about: str) -> None:
    with pytest.raises(DataError, match=about):
        make().fit(**{"x": X, "y": Y, "verbose": 0, **given})


@pytest.mark.parametrize(
    ("labels", "about"),
    [
        (Y + 1, "labels run from 1 to 3, but the last layer has 3 outputs.*subtract 1"),
        (Y - 1, "labels run from -1 to 1"),
    ],
)
def test_labels_beyond_the_outputs_are_refused_before_any_step(labels: np.ndarray, about: str) -> None:
    model = make()
    before = model.get_weights()
    for method in (
        lambda: model.fit(X, labels, verbose=0),
        lambda: model.fit(X, Y, validation_data=(X, labels), verbose=0),
        lambda: model.evaluate(X, labels),
    ):
        with pytest.raises(UsageError, match=about):
            method()
    for a, b in zip(model.get_weights(), before, strict=True):
        np.testing.assert_array_equal(a, b)


def test_targets_that_need_another_loss_say_which() -> None:
    with pytest.raises(UsageError, match='one-hot labels need "categorical_crossentropy"'):
        make().fit(X, np.eye(3)[Y], verbose=0)
    with pytest.raises(UsageError, match='integer labels need "sparse_categorical_crossentropy"'):
        make(loss="categorical_crossentropy").fit(X, Y, verbose=0)


def test_compile_refuses_unknown_names_and_numbers_equal_ones() -> None:
    model = make()
    for arguments, near in (
        (("adm", "mse"), "adam"),
        (("sgd", "sparse_categorical_crossentrpy"), "sparse_categorical_crossentropy"),
    ):
        with pytest.raises(UnknownNameError, match=f'did you mean "{near}"'):
            model.compile(*arguments)
    with pytest.raises(UnknownNameError, match='did you mean "accuracy"'):
        model.compile("sgd", "mse", metrics=["acuracy"])
    model.compile("sgd", "mse", metrics=["accuracy", "accuracy"])
    assert model.metrics_names == ["loss", "accuracy", "accuracy_1"]


def test_compile_takes_classes_objects_settings_and_functions() -> None:
    model = make()

    def distance(y_true: Any, y_pred: Any) -> Any:
        return abs(y_pred.argmax(axis=-1) - y_true)

    model.compile({"type": "sgd", "learning_rate": 0.5}, losses.SparseCategoricalCrossentropy, metrics=[distance])
    assert isinstance(model.optimizer, optimizers.SGD) and model.optimizer.learning_rate == 0.5
    history = model.fit(X, Y, verbose=0).history
    assert set(history) == {"loss", "distance"}
    expected = np.abs(model.predict(X).argmax(axis=1) - Y).mean()
    assert model.evaluate(X, Y, return_dict=True)["distance"] == pytest.approx(expected)


def test_a_metric_of_ones_own() -> None:
    class Largest(metrics.Mean):
        def __init__(self) -> None:
            super().__init__(name="largest")

        def update_state(self, y_true: Any, y_pred: Any, sample_weight: Any = None) -> None:  # pyright: ignore
            super().update_state(y_pred.max(axis=-1), sample_weight)

    model = make()
    model.compile("sgd", "sparse_categorical_crossentropy", metrics=[Largest()])
    assert model.evaluate(X, Y, return_dict=True)["largest"] == pytest.approx(
        model.predict(X).max(axis=1).mean(), rel=1e-5
    )


def test_the_penalty_counts_in_loss_and_val_loss() -> None:
    model = Sequential([Input(shape=(6,)), layers.Dense(3, kernel_regularizer="l2")])
    model.compile(optimizers.SGD(0.0), "mse")
    y = np.zeros((90, 3), np.float32)
    history = model.fit(X, y, validation_data=(X, y), verbose=0).history
    penalty = 0.01 * float((model.get_weights()[0] ** 2).sum())
    expected = float((model.predict(X) ** 2).mean()) + penalty
    assert history["loss"][0] == pytest.approx(expected, rel=1e-5)
    assert history["val_loss"][0] == pytest.approx(expected, rel=1e-5)


def test_shuffling_takes_every_sample_once_an_epoch_and_not_in_order() -> None:
    seen: list[np.ndarray] = []

    class Looks(layers.Layer):
        def call(self, x: Any, training: bool = False) -> Any:
            if training:
                seen.append(np.asarray(x))
            return x

    def run(shuffle: bool) -> np.ndarray:
        seen.clear()
        model = Sequential([Looks(), layers.Dense(1)])
        model.compile(optimizers.SGD(0.0), "mse")
        model.fit(np.arange(30.0).reshape(30, 1), np.zeros(30), batch_size=7, epochs=2, shuffle=shuffle, verbose=0)
        assert [len(batch) for batch in seen] == [7, 7, 7, 7, 2] * 2
        return np.concatenate(seen).reshape(2, 30)

    np.testing.assert_array_equal(run(False), [np.arange(30)] * 2)
    first, second = run(True)
    assert sorted(first) == sorted(second) == list(range(30))
    assert (first != second).any() and (first != np.arange(30)).any()


def test_a_weight_of_zero_takes_a_sample_out() -> None:
    """Two models, one without the samples that the other weighs with 0: equal gradients but for the divisor."""
    weight = (np.arange(90) % 2).astype(np.float32)
    a, b = make(), make()
    for model, rate in ((a, 0.1), (b, 0.05)):
        model.compile(optimizers.SGD(rate), "sparse_categorical_crossentropy")
    a.fit(X, Y, sample_weight=weight, batch_size=90, shuffle=False, verbose=0)
    b.fit(X[1::2], Y[1::2], batch_size=90, shuffle=False, verbose=0)
    for x, y in zip(a.get_weights(), b.get_weights(), strict=True):
        np.testing.assert_allclose(x, y, rtol=1e-4, atol=1e-6)


def test_the_state_tells_where_training_stands() -> None:
    model = make()
    model.fit(X, Y, batch_size=30, epochs=2, verbose=0)
    state = model.training_state
    assert (state.epoch, state.batch, state.step) == (2, 0, 6)
    assert model.optimizer is not None and model.optimizer.iterations == 6
    assert training.TrainingState(**state.to_json()).step == 6


def test_what_is_only_tried_leaves_no_trace_in_layers() -> None:
    class Counts(layers.Layer):
        def build(self, input_shape: Any) -> None:
            self.calls = self.add_weight((), "zeros", trainable=False, name="calls")

        def call(self, x: Any) -> Any:
            self.calls.assign(self.calls.data + 1)
            return x

    class Own(gpudl.Model):
        def __init__(self) -> None:
            super().__init__()
            self.counts, self.dense = Counts(), layers.Dense(1)

        def call(self, x: Any) -> Any:  # pyright: ignore[reportIncompatibleMethodOverride]
            return self.dense(self.counts(x))

    for model, counts in (
        (Sequential([Input((4,)), Counts(), layers.Dense(1)]), lambda m: m.layers[0].calls),
        (Own(), lambda m: m.counts.calls),
    ):
        model.compile("sgd", "mse")
        model.fit(np.zeros((4, 4)), np.zeros(4), epochs=3, verbose=0)
        assert counts(model).item() == 3


def test_evaluate_prints_a_line(capsys: pytest.CaptureFixture[str]) -> None:
    model = make()
    model.evaluate(X, Y, verbose=0)
    assert capsys.readouterr().out == ""
    model.evaluate(X, Y)
    assert capsys.readouterr().out.startswith("evaluated  loss ")


def test_an_optimizer_of_another_model() -> None:
    adam = optimizers.Adam()
    for fits in (True, False):
        model = Sequential([layers.Dense(3, activation="softmax")])
        model.compile(adam, "sparse_categorical_crossentropy")
        if fits:
            model.fit(X, Y, verbose=0)
        else:
            with pytest.raises(UsageError, match="weights of another model; make an optimizer"):
                model.fit(X, Y, verbose=0)


def test_arrays_among_the_logs_are_shown_and_kept(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    model = Sequential([layers.Dense(3, activation="softmax")])
    model.compile("sgd", "categorical_crossentropy", metrics=["f1_score"])
    history = model.fit(X, np.eye(3)[Y], verbose=2, callbacks=[gpudl.callbacks.CSVLogger(str(tmp_path / "log.csv"))])
    assert history.history["f1_score"][0].shape == (3,)
    assert "f1_score [" in capsys.readouterr().out
    assert "f1_score" in (tmp_path / "log.csv").read_text()


def test_the_shape_of_inputs() -> None:
    model = Sequential([Input((4, 3)), layers.Flatten()])
    assert (model.input_shape, model.output_shape) == ((None, 4, 3), (None, 12))


def test_tensors_answer_as_arrays_do() -> None:
    from gpudl import Tensor

    t = Tensor(np.array([-1.0, 2.5]), requires_grad=True)
    loss = np.mean(abs(t))  # pyright: ignore[reportCallIssue, reportArgumentType]
    assert f"{loss:.2f}" == "1.75"
    loss.backward()  # pyright: ignore[reportAttributeAccessIssue]
    np.testing.assert_array_equal(t.grad, [-0.5, 0.5])
    np.testing.assert_array_equal((t % 2).data, [1.0, 0.5])
    np.testing.assert_array_equal((t // 1).data, [-1, 2])
