"""Mistakes that beginners make in a script: one message each, which says who, what arrived, and what to do."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import gpudl
from gpudl import Input, Model, Sequential, activations, callbacks, layers, losses, optimizers
from gpudl.errors import GpudlError, UsageError

RNG = np.random.default_rng(0)
X = RNG.normal(size=(40, 4)).astype("float32")
Y = RNG.integers(0, 3, 40)
BINARY = (Y > 0).astype("int64")


def model(units: int = 3, last: str | None = "softmax", loss: Any = "sparse_categorical_crossentropy") -> Any:
    made = Sequential([Input((4,)), layers.Dense(5, activation="relu"), layers.Dense(units, activation=last)])
    made.compile("sgd", loss)
    return made


def fit(given: Any = None, x: Any = X, y: Any = Y, **settings: Any) -> Any:
    return (given or model()).fit(x, y, verbose=0, **settings)


def two_inputs() -> Any:
    a, b = Input((4,), name="a"), Input((2,), name="b")
    made = Model([a, b], layers.Dense(3)(layers.concatenate([a, b])))
    made.compile("sgd", "mse")
    return made


def generator() -> Iterator[Any]:
    while True:
        yield X[:8], Y[:8]


def uncompiled() -> Any:
    return Sequential([Input((4,)), layers.Dense(3)])


def case(name: str, mistake: Callable[[], Any], *about: str) -> Any:
    return pytest.param(mistake, about, id=name)


MISTAKES = [
    # Labels, loss and the last layer
    case("one-hot labels", lambda: fit(y=np.eye(3)[Y]), "labels of shape", 'one-hot labels need "categorical_cross'),
    case(
        "class numbers",
        lambda: fit(model(loss="categorical_crossentropy")),
        "targets of shape",
        'integer labels need "sparse_categorical_crossentropy"',
    ),
    case("a quantity", lambda: fit(y=Y + 0.5), "class numbers", "are not whole", 'use "mean_squared_error"'),
    case("labels from 1", lambda: fit(y=Y + 1), "labels run from 1 to 3", "has 3 outputs", "subtract 1"),
    case("words as labels", lambda: fit(y=np.array(["cat", "dog"] * 20)), "targets must be numbers", "a number from 0"),
    case("one unit for two classes", lambda: fit(model(1, "sigmoid"), y=BINARY), "give it 2 units", "binary_crossentr"),
    case(
        "two units for yes or no", lambda: fit(model(2, loss="binary_crossentropy"), y=BINARY), "the last layer 1 unit"
    ),
    case(
        "three classes for yes or no",
        lambda: fit(model(1, "sigmoid", "binary_crossentropy")),
        "between 0 and 1, but these run from 0 to 2",
        "sparse_categorical_crossentropy",
    ),
    case("too many units", lambda: fit(model(3, None, "mse"), y=X[:, :2]), "(8, 2)", "(8, 3)", "2 units"),
    case(
        "no flatten",
        lambda: fit(
            _compiled(Sequential([Input((8, 8, 1)), layers.Conv2D(2, 3), layers.Dense(3, activation="softmax")])),
            x=np.zeros((40, 8, 8, 1)),
        ),
        "predictions of shape (8, 6, 6, 3)",
        "flatten",
    ),
    # Data
    case("y is longer", lambda: fit(y=np.append(Y, 1)), "40 inputs but 41 targets"),
    case("inputs of two lengths", lambda: fit(two_inputs(), x=[X, X[:-1, :2]], y=X[:, :3]), "they have 40, 39"),
    case("a list of samples", lambda: fit(x=list(X)), "x is a list of 40 arrays", "np.stack(x)"),
    case("a ragged list", lambda: fit(x=[[1, 2, 3, 4], [1, 2]], y=[0, 1]), "differ in length", "pad_sequences"),
    case("words", lambda: fit(x=[["a"] * 4] * 4, y=[0, 1, 0, 1]), "inputs must be numbers", "give each word"),
    case(
        "objects",
        lambda: fit(x=np.array([[1, 2, 3, None]] * 40, dtype=object)),
        "inputs must be numbers, but are of type object",
        "an entry is None",
        'x.astype("float32")',
    ),
    case("no data", lambda: model().fit(), "fit needs data: fit(x, y)"),
    case("no targets", lambda: fit(y=None), "has a loss, which needs targets"),
    case("no samples", lambda: fit(x=X[:0], y=Y[:0]), "there are no samples"),
    case("a single sample", lambda: model().predict(X[0]), "samples of shape (4,)", "an axis in front, as in x[None]"),
    case("a list of numbers", lambda: model().predict([1.0, 2.0, 3.0, 4.0]), "an axis in front"),
    case("other features", lambda: fit(x=X[:, :3]), "built for samples of shape (4,)", "arrive have shape (3,)"),
    case(
        "the number of samples in Input",
        lambda: Sequential([Input(X.shape), layers.Dense(3)]).predict(X),
        "built for samples of shape (40, 4)",
        "without the number of samples",
    ),
    case(
        "one input of two", lambda: fit(two_inputs(), y=X[:, :3]), 'takes 2 inputs, "a", "b", but was given 1', "list"
    ),
    case("three inputs of two", lambda: fit(two_inputs(), x=[X, X[:, :2], X], y=X[:, :3]), "was given 3", "dict"),
    case(
        "an input by another name",
        lambda: fit(two_inputs(), x={"a": X, "c": X}, y=X[:, :3]),
        'the input "b" is missing',
        'was given "a", "c"',
    ),
    case(
        "inputs exchanged",
        lambda: fit(two_inputs(), x=[X[:, :2], X], y=X[:, :3]),
        'the input "a" takes',
        "(4,)",
        "(2,)",
    ),
    case("two targets for one output", lambda: fit(y=[Y, Y]), "2 targets were given", "1 output:"),
    # Arguments of fit
    case("not compiled", lambda: fit(uncompiled()), "does not know its loss yet", "call compile("),
    case("not compiled, evaluated", lambda: uncompiled().evaluate(X, Y), "does not know its loss yet", "call compile("),
    case(
        "split of a generator", lambda: fit(x=generator(), y=None, validation_split=0.2), "needs arrays", "a generator"
    ),
    case(
        "targets beside a generator",
        lambda: fit(x=generator()),
        "y cannot be given beside a generator",
        "yields (x, y)",
    ),
    case("a percentage", lambda: fit(validation_split=20), "validation_split=20 must be a number between 0 and 1"),
    case("validation without y", lambda: fit(validation_data=X), "must be (x, y) or (x, y, sample_weight)"),
    *(
        case(f"{name}={value!r}", lambda name=name, value=value: fit(**{name: value}), f"{name}={value!r} must be ")
        for name, values in {
            "batch_size": [0, -1, 8.0, "8", True],
            "epochs": [2.0, "2", -1],
            "steps_per_epoch": [0, 2.5, "2", True],
            "validation_steps": [0, 1.5, "1"],
            "validation_freq": [0, 1.5, "1", []],
        }.items()
        for value in values
    ),
    case("verbose", lambda: model().fit(X, Y, verbose="yes"), "verbose='yes' must be 0, 1, 2 or \"auto\""),
    case("steps of predict", lambda: model().predict(X, steps=0), "steps=0 must be an integer of at least 1"),
    case("a list of class weights", lambda: fit(class_weight=[1, 2, 3]), "class_weight=[1, 2, 3] must be a dict"),
    case(
        "classes by words", lambda: fit(class_weight={"cat": 1.0}), "'cat': 1.0 must be a class number and its weight"
    ),
    case("two kinds of weights", lambda: fit(class_weight={0: 1.0}, sample_weight=np.ones(40)), "not both"),
    case("a class of callback", lambda: fit(callbacks=[callbacks.EarlyStopping]), "make one of it: EarlyStopping(...)"),
    case(
        "a callback by name", lambda: fit(callbacks=["early_stopping"]), "a list of Callback objects", "early_stopping"
    ),
    # Names and arguments
    case("optimizer", lambda: model().compile("adan"), 'unknown optimizer "adan"; did you mean "adam"?'),
    case(
        "loss", lambda: model().compile("adam", "sparse_categorical_crossentrop"), 'did you mean "sparse_categorical_c'
    ),
    case("metric", lambda: model().compile("adam", "mse", metrics=["acuracy"]), 'did you mean "accuracy"?'),
    case("activation", lambda: layers.Dense(3, activation="rleu"), 'unknown activation "rleu"; did you mean "relu"?'),
    case("initializer", lambda: layers.Dense(3, kernel_initializer="he_norml"), 'did you mean "he_normal"?'),
    case("metrics in third place", lambda: model().compile("adam", "mse", ["accuracy"]), "metrics=['accuracy']"),
    case("metrics without a list", lambda: model().compile("adam", "mse", metrics="accuracy"), 'metrics=["accuracy"]'),
    case("an older name", lambda: optimizers.Adam(lr=0.1), 'Adam has no argument "lr"; it is called "learning_rate"'),  # pyright: ignore[reportCallIssue]
    case(
        "an argument misspelt",
        lambda: layers.Dense(3, activations="relu"),
        'Dense has no argument "activations"',
        "mean",
    ),  # pyright: ignore[reportCallIssue]
    case("no such argument", lambda: layers.Flatten(xyz=1), 'Flatten has no argument "xyz"; it takes data_format'),  # pyright: ignore[reportCallIssue]
    case("negative rate", lambda: optimizers.Adam(-0.1), "learning_rate=-0.1 must be at least 0"),
    case(
        "a called activation",
        lambda: layers.Dense(3, activation=activations.relu(X)),
        "but a ndarray",
        "without calling",
    ),
    case("a percentage dropped", lambda: layers.Dropout(50), "Dropout(rate=50): rate must be a number between 0 and 1"),
    case("a rate in quotes", lambda: layers.Dropout("0.5"), "Dropout(rate='0.5'): rate must be a number"),  # pyright: ignore[reportArgumentType]
    *(
        case(
            f"{setting}={value!r}",
            lambda make=make, value=value: make(value),
            f"{setting}={value!r}",
            "integer",
            "Dense" if setting == "units" else "2D",
        )
        for setting, make, values in (
            (
                "kernel_size",
                lambda value: layers.Conv2D(4, value),
                [(3,), 0, -1, 2.5, "3", (3, 3, 3), (3, 0), None, True],
            ),
            ("strides", lambda value: layers.Conv2D(4, 3, strides=value), [0, -1, 1.5, "2", (2, 2, 2)]),
            ("pool_size", layers.MaxPooling2D, [0, (2,), 2.5, "2"]),
            ("filters", lambda value: layers.Conv2D(value, 3), [0, -1, 2.5, "4"]),
            ("units", layers.Dense, [0, -1, 2.5, "4"]),
        )
        for value in values
    ),
    case("padding", lambda: layers.Conv2D(4, 3, padding="full"), "padding='full'", '"valid" or "same"'),
    # Putting layers together
    case("Input without tuple", lambda: Input(28), "a shape is a tuple, as in Input(shape=(28,))"),  # pyright: ignore[reportArgumentType]
    case("Input with numbers", lambda: Input(28, 28, 1), "a shape is a tuple"),  # pyright: ignore
    case("Input without shape", lambda: Input(), "Input needs the shape of one sample"),
    case("Input with -1", lambda: Input((28, -1)), "a shape holds integers"),
    case(
        "a layer on a layer",
        lambda: layers.Dense(3)(layers.Flatten()),
        "called on Flatten",
        "Dense(...)(Flatten(...)(x))",
    ),
    case(
        "not made before the call",
        lambda: layers.Flatten(Input((4, 4))),
        "make the layer, then call it: Flatten(...)(x)",
    ),
    case("not called", lambda: Model(Input((4,)), layers.Dense(4)), "one is a layer", "call it on a symbolic tensor"),
    case("a class in Sequential", lambda: Sequential([layers.Flatten]), "the class Flatten", "Flatten(...)"),
    case("a word in Sequential", lambda: Sequential(["relu"]), "takes layers", 'Activation("relu")'),
    case("a list added", lambda: Sequential().add([layers.Dense(3)]), "add them one by one"),  # pyright: ignore[reportArgumentType]
    case("no list", lambda: Sequential(layers.Dense(3), layers.Dense(4)), "Sequential([Dense(10)])"),  # pyright: ignore
    case("no channels", lambda: Sequential([Input((8, 8)), layers.Conv2D(2, 3)]), "must have 4 axes", "(8, 8)"),
    case("too large", lambda: Sequential([Input((2, 2, 1)), layers.Conv2D(2, 3)]), "does not fit", 'padding="same"'),
    case("another Input", lambda: Model(Input((4,)), layers.Dense(2)(Input((4,)))), "disconnected", "Add its Input"),
    case("NumPy on symbols", lambda: np.mean(Input((4,))), "np.mean was called on", "use gpudl.ops.mean"),
    case("the value of a symbol", lambda: float(Input((4,))), "has no values"),
    # Weights
    case(
        "weights that do not fit",
        lambda: model().set_weights([np.zeros((4, 6)), np.zeros(6), np.zeros((6, 3)), np.zeros(3)]),
        'kernel" has shape (4, 5), but the given array has shape (4, 6)',
    ),
    case("too few weights", lambda: model().set_weights([np.zeros((4, 5))]), "has 4 weights, but 1 "),
]


def _compiled(made: Any) -> Any:
    made.compile("sgd", "sparse_categorical_crossentropy")
    return made


@pytest.mark.parametrize(("mistake", "about"), MISTAKES)
def test_mistake(mistake: Callable[[], Any], about: tuple[str, ...]) -> None:
    with pytest.raises(GpudlError) as caught:
        mistake()
    message = str(caught.value)
    for part in about:
        assert part in message, message
    assert len(message) < 400, message


def test_weights_of_a_file_that_do_not_fit(tmp_path: Path) -> None:
    pytest.importorskip("h5py")
    path = tmp_path / "a.weights.h5"
    model().save_weights(path)
    other = Sequential([Input((4,)), layers.Dense(7), layers.Dense(3)])
    with pytest.raises(GpudlError, match=r"has shape \(4, 7\), but the file's .* has \(4, 5\); and 2 more"):
        other.load_weights(path)


def warnings_of(mistake: Callable[[], Any]) -> list[str]:
    with warnings.catch_warnings(record=True) as caught, np.errstate(all="ignore"):
        warnings.simplefilter("always")
        mistake()
    return [str(one.message) for one in caught]


WRONG = np.where(np.arange(160).reshape(40, 4) == 50, np.nan, X)

DOUBTFUL = [
    case("no softmax", lambda: fit(model(3, None)), 'Give the last layer activation="softmax", or', "from_logits=True"),
    case("no sigmoid", lambda: fit(model(1, None, "binary_crossentropy"), y=BINARY), 'activation="sigmoid"'),
    case("softmax over one unit", lambda: fit(model(1, loss="binary_crossentropy"), y=BINARY), "all are 1", "sigmoid"),
    case(
        "softmax twice",
        lambda: fit(model(loss=losses.SparseCategoricalCrossentropy(from_logits=True))),
        "takes scores, but the predictions for the first samples are probabilities",
        "Take the softmax out",
    ),
    case(
        "NaN", lambda: fit(x=WRONG), "1 of 40 samples have NaN or infinity in their inputs, the first being sample 12"
    ),
    case("inf", lambda: fit(x=np.where(np.isnan(WRONG), np.inf, X)), "in their inputs, the first being sample 12"),
    case("NaN in targets", lambda: fit(model(1, None, "mse"), y=WRONG[:, 2]), "in their targets", "sample 12"),
    case(
        "nothing to watch",
        lambda: fit(callbacks=[callbacks.EarlyStopping(monitor="val_loss")]),
        'monitor="val_loss" is not in the logs, which have loss',
        "validation_split",
    ),
]


@pytest.mark.parametrize(("mistake", "about"), DOUBTFUL)
def test_doubtful(mistake: Callable[[], Any], about: tuple[str, ...]) -> None:
    """What may be meant so trains, with one warning."""
    gpudl.utils.set_random_seed(0)
    found = [message for message in warnings_of(mistake) if "matmul" not in message]
    assert len(found) == 1, found
    for part in about:
        assert part in found[0], found[0]


@pytest.mark.parametrize(
    "right",
    [
        lambda: fit(),
        lambda: fit(model(3, None, losses.SparseCategoricalCrossentropy(from_logits=True))),
        lambda: fit(model(1, "sigmoid", "binary_crossentropy"), y=BINARY),
        lambda: fit(model(1, None, losses.BinaryCrossentropy(from_logits=True)), y=BINARY),
        lambda: fit(model(1, None, "mse"), y=X[:, 0], validation_split=0.2, validation_freq=[1]),
    ],
)
def test_no_false_alarm(right: Callable[[], Any]) -> None:
    assert warnings_of(right) == []


def one_softmax(loss: str) -> Sequential:
    model = Sequential([Input((3,)), layers.Dense(1, activation="softmax")])
    model.compile("sgd", loss)
    return model


def of_three(loss: Any) -> Sequential:
    model = Sequential([Input((3,)), layers.Dense(3, activation="softmax")])
    model.compile("sgd", loss)
    return model


@pytest.mark.parametrize(
    ("model", "y", "warns"),
    [
        (lambda: one_softmax("categorical_crossentropy"), np.ones((6, 1)), "as a softmax over one unit always is"),
        (lambda: of_three("categorical_crossentropy"), -np.eye(3)[[0, 1, 2] * 2], "run from -1 to -0"),
        (lambda: of_three("categorical_crossentropy"), np.ones((6, 3)), "sum to 3 to 3"),
    ],
)
def test_what_is_warned_of(model: Any, y: np.ndarray, warns: str) -> None:
    with pytest.warns(UserWarning, match=warns):
        model().fit(np.ones((6, 3)), y, verbose=0)


def test_a_sigmoid_under_a_loss_on_scores() -> None:
    model = Sequential([Input((3,)), layers.Dense(1, activation="sigmoid")])
    model.compile("sgd", losses.BinaryCrossentropy(from_logits=True))
    with pytest.warns(UserWarning, match="come out of a sigmoid"):
        model.fit(np.ones((6, 3)), np.ones(6), verbose=0)


def test_classes_along_another_axis() -> None:
    model = Sequential([Input((5, 3)), layers.Dense(3), layers.Softmax(axis=1)])
    model.compile("sgd", losses.SparseCategoricalCrossentropy(axis=1))
    model.fit(np.ones((6, 5, 3)), np.arange(18).reshape(6, 3) % 5, verbose=0)


@pytest.mark.parametrize(
    ("make", "says"),
    [
        (lambda: optimizers.Adam("0.1"), "write the number without quotes"),  # pyright: ignore[reportArgumentType]
        (lambda: optimizers.SGD(momentum="0.9"), "momentum must be a number"),  # pyright: ignore[reportArgumentType]
        (lambda: optimizers.RMSprop(rho=2), "rho must lie between 0 and 1"),
        (lambda: optimizers.Adam(weight_decay=-1), "weight_decay must be at least 0"),
        (lambda: callbacks.EarlyStopping(patience="3"), "patience must be an integer"),  # pyright: ignore[reportArgumentType]
        (lambda: callbacks.ReduceLROnPlateau(factor=-0.5), "the rate would be negative"),
        (lambda: callbacks.LearningRateScheduler(0.1), "must be a function"),  # pyright: ignore[reportArgumentType]
        (lambda: losses.get(5), "loss=5 is no loss"),
        (lambda: losses.Huber(dtype="abc"), "dtype must be"),
    ],
)
def test_what_constructors_refuse(make: Any, says: str) -> None:
    with pytest.raises(UsageError, match=says):
        make()


def test_class_weights_of_several_classes_a_sample() -> None:
    model = Sequential([Input((4, 3)), layers.Dense(3, activation="softmax")])
    model.compile("sgd", "sparse_categorical_crossentropy")
    with pytest.raises(UsageError, match="several classes for each"):
        model.fit(np.ones((6, 4, 3)), np.arange(24).reshape(6, 4) % 3, class_weight={0: 2.0}, verbose=0)
