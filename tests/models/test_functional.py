"""Models made of symbolic inputs and outputs: what they are made of, what they compute, files, and their errors."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

import gpudl
from gpudl import Input, Model, Sequential, layers, load_model, ops
from gpudl.errors import ShapeError, UsageError
from gpudl.models import clone_model
from gpudl.testing import check_close

N = 10


def data(*shapes: tuple[int, ...], seed: int = 0) -> list[np.ndarray]:
    rng = np.random.default_rng(seed)
    return [rng.standard_normal((N, *shape)).astype(np.float32) for shape in shapes]


def residual() -> Model:
    x = inputs = Input((8, 8, 2), name="image")
    x = layers.Conv2D(4, 3, padding="same", activation="relu", name="stem")(x)
    for i in range(2):
        y = layers.Conv2D(4, 3, padding="same", use_bias=False, name=f"conv_{i}")(x)
        y = layers.BatchNormalization(name=f"norm_{i}")(y)
        x = layers.Activation("relu", name=f"relu_{i}")(layers.Add(name=f"add_{i}")([x, y]))
    x = layers.GlobalAveragePooling2D(name="pool")(x)
    return Model(inputs, layers.Dense(3, activation="softmax", name="head")(x), name="residual")


def siamese() -> Model:
    a, b = Input((5,), name="left"), Input((5,), name="right")
    tower = Sequential([Input((5,)), layers.Dense(4, activation="tanh", name="one"), layers.Dense(2)], name="tower")
    shared = layers.Dense(3, name="shared")
    distance = ops.sum((tower(a) - tower(b)) ** 2, axis=-1, keepdims=True)
    same = layers.Dense(1, activation="sigmoid", name="same")(distance)
    return Model({"left": a, "right": b}, {"same": same, "sum": shared(a) + shared(b)}, name="siamese")


def several() -> Model:
    image, meta = Input((6, 6, 1), name="image"), Input((3,), name="meta")
    x = layers.MaxPooling2D(name="pool")(layers.Conv2D(2, 3, activation="relu", name="conv")(image))
    both = layers.Concatenate(name="both")([layers.Flatten(name="flat")(x), meta])
    label = layers.Dense(2, activation="softmax", name="label")(both)
    return Model([image, meta], [label, layers.Dense(1, name="size")(both)], name="several")


def with_ops() -> Model:
    x = Input((4, 3), name="x")
    y = (1.0 - x[:, ::2]) * np.array([1.0, -2.0, 0.5], np.float32) + ops.reshape(x[:, -1], (-1, 1, 3)) / 2
    y = ops.concatenate([y, ops.maximum(y, 0.1)], axis=1)
    y = layers.Dense(2, name="d")(ops.transpose(y, (0, 2, 1)))
    return Model(x, [y + 1, y - 1], name="with_ops")


def nested() -> Model:
    def block(name: str, wide: int) -> Model:
        x = Input((wide,))
        y = layers.Dense(wide, activation="relu", kernel_regularizer="l2", name=f"{name}_dense")(x)
        return Model(x, [layers.Add(name=f"{name}_add")([x, y]), y], name=name)

    x = Input((4,), name="x")
    first = block("first", 4)
    y, z = first(x)
    y, _ = first(y)
    outer = Model(x, layers.Concatenate(name="cat")([y, z]), name="outer")
    again = Input((4,), name="again")
    return Model(again, layers.Dense(2, name="last")(outer(again) + outer(again * 2.0)), name="nested")


KINDS: dict[str, Any] = {
    "residual": (residual, [(8, 8, 2)], ["sparse_categorical_crossentropy"], [np.arange(N) % 3]),
    "siamese": (
        siamese,
        [(5,), (5,)],
        {"same": "binary_crossentropy", "sum": "mse"},
        {"same": np.arange(N)[:, None] % 2, "sum": data((3,), seed=5)[0]},
    ),
    "several": (
        several,
        [(6, 6, 1), (3,)],
        ["sparse_categorical_crossentropy", "mse"],
        [np.arange(N) % 2, data((1,), seed=5)[0]],
    ),
    "with_ops": (with_ops, [(4, 3)], ["mse", None], [data((3, 2), seed=5)[0], np.zeros((N, 3, 2), np.float32)]),
    "nested": (nested, [(4,)], "mse", data((2,), seed=5)[0]),
}


def made(kind: str) -> tuple[Model, Any, Any, Any]:
    make, shapes, loss, y = KINDS[kind]
    model = make()
    x: Any = data(*shapes)
    if kind == "siamese":
        x = dict(zip(("left", "right"), x, strict=True))
    elif len(shapes) == 1:
        x = x[0]
    return model, x, loss[0] if kind == "residual" else loss, y[0] if kind == "residual" else y


def flat(y: Any) -> list[np.ndarray]:
    return [y[k] for k in sorted(y)] if isinstance(y, dict) else list(y) if isinstance(y, (list, tuple)) else [y]


@pytest.mark.parametrize("kind", list(KINDS))
def test_training_lowers_the_loss(kind: str) -> None:
    model, x, loss, y = made(kind)
    model.compile(gpudl.optimizers.Adam(0.01), loss)
    history = model.fit(x, y, epochs=15, verbose=0).history["loss"]
    assert history[-1] < history[0]


@pytest.mark.parametrize("kind", list(KINDS))
def test_a_file_gives_back_the_same_model(kind: str, tmp_path: Path) -> None:
    model, x, loss, y = made(kind)
    weights = [0.5, 2.0] if isinstance(loss, list) else {"same": 0.5, "sum": 2.0} if isinstance(loss, dict) else None
    metrics: Any = ["mse"] if weights is None else [["mse"], []] if isinstance(loss, list) else {"sum": ["mse"]}
    if loss == "sparse_categorical_crossentropy":
        metrics = ["accuracy"]
    if kind == "several":
        metrics = [["accuracy"], ["mse"]]
    model.compile(gpudl.optimizers.SGD(0.01, momentum=0.9), loss, loss_weights=weights, metrics=metrics)
    model.fit(x, y, epochs=2, verbose=0)
    path = tmp_path / "model.safetensors"
    model.save(path)
    twin = load_model(path)
    assert [layer.name for layer in twin.layers] == [layer.name for layer in model.layers]
    assert twin.output_names == model.output_names
    assert [w.name for w in twin.weights] == [w.name for w in model.weights]
    for a, b in zip(flat(model.predict(x, verbose=0)), flat(twin.predict(x, verbose=0)), strict=True):
        np.testing.assert_array_equal(a, b)
    assert model.evaluate(x, y, verbose=0, return_dict=True) == twin.evaluate(x, y, verbose=0, return_dict=True)
    histories = [m.fit(x, y, epochs=2, verbose=0, shuffle=False).history for m in (model, twin)]
    assert histories[0] == histories[1], "the optimizer goes on where it was"
    for a, b in zip(model.get_weights(), twin.get_weights(), strict=True):
        np.testing.assert_array_equal(a, b)
    twin.save(tmp_path / "again.safetensors")
    assert load_model(tmp_path / "again.safetensors").get_config() == model.get_config()


@pytest.mark.parametrize("kind", list(KINDS))
def test_a_clone_has_the_layers_and_weights_of_its_own(kind: str) -> None:
    model, x, _, _ = made(kind)
    twin = clone_model(model)
    assert type(twin) is type(model) and twin is not model
    assert [layer.name for layer in twin.layers] == [layer.name for layer in model.layers]
    assert not {id(w) for w in twin.weights} & {id(w) for w in model.weights}
    twin.set_weights(model.get_weights())
    for a, b in zip(flat(model.predict(x, verbose=0)), flat(twin.predict(x, verbose=0)), strict=True):
        np.testing.assert_array_equal(a, b)


def test_a_residual_network_by_hand() -> None:
    model = residual()
    (x,) = data((8, 8, 2))
    get = model.get_layer
    y = get("stem")(x)
    for i in range(2):
        y = ops.relu(y + get(f"norm_{i}")(get(f"conv_{i}")(y)))
    expected = get("head")(ops.mean(y, axis=(1, 2)))
    check_close("output", model.predict(x, verbose=0), expected.numpy())


# Looking inside


def test_intermediate_features_share_their_weights() -> None:
    model = residual()
    (x,) = data((8, 8, 2))
    features = Model(model.inputs, [layer.output for layer in model.layers[1:]])
    found = features.predict(x, verbose=0)
    assert [y.shape for y in found] == [(N, *layer.output.shape[1:]) for layer in model.layers[1:]]
    np.testing.assert_array_equal(found[-1], model.predict(x, verbose=0))
    one = Model(inputs=model.input, outputs=model.get_layer("conv_1").output)
    np.testing.assert_array_equal(one(x).numpy(), found[[y.name for y in model.layers[1:]].index("conv_1")])
    model.get_layer("stem").set_weights([np.zeros_like(w) for w in model.get_layer("stem").get_weights()])
    assert (features.predict(x, verbose=0)[0] == 0).all()


def test_a_model_that_begins_in_the_middle() -> None:
    model = residual()
    (x,) = data((8, 8, 2))
    middle = model.get_layer("add_0").output
    front, back = Model(model.input, middle), Model(middle, model.output)
    assert "stem" not in [layer.name for layer in back.layers]
    check_close("both halves", back.predict(front.predict(x, verbose=0), verbose=0), model.predict(x, verbose=0))


def test_freezing_a_part() -> None:
    model = nested()
    outer = model.get_layer("outer")
    outer.trainable = False
    assert [w.name for w in model.trainable_weights] == ["kernel", "bias"]
    assert len(model.non_trainable_weights) == 2
    before = model.get_weights()
    model.compile("sgd", "mse")
    x, y = data((4,), (2,))
    model.fit(x, y, verbose=0)
    changed = [(a != b).any() for a, b in zip(before, model.get_weights(), strict=True)]
    assert changed == [False, False, True, True]
    outer.trainable = True
    assert len(model.trainable_weights) == 4


def test_get_layer() -> None:
    model = several()
    assert model.get_layer("conv") is model.get_layer(index=1) is model.layers[1]
    assert model.get_layer(index=-1).name == model.layers[-1].name
    with pytest.raises(UsageError, match=r'has no layer "labl"; did you mean "label"'):
        model.get_layer("labl")
    with pytest.raises(UsageError, match="has no layer with index 8; it has 8 layers"):
        model.get_layer(index=8)
    for wrong in ({}, {"name": "conv", "index": 1}):
        with pytest.raises(UsageError, match="the name of a layer or its index"):
            model.get_layer(**wrong)


def test_names_of_ops_are_unlike_one_another_and_the_layers() -> None:
    x = Input((3,), name="x")
    a = x + 1.0
    b = layers.Add(name="add_1")([a, x])
    c = b + x
    model = Model(x, [a, b, c, ops.relu(c)])
    assert model.output_names == ["add", "add_1", "add_2", "relu"]
    model.compile("sgd", ["mse"] * 4, metrics=[["mse"]] * 4)
    ones = np.ones((2, 3), np.float32)
    logs = model.evaluate(ones, [2 * ones, 3 * ones, 4 * ones, 5 * ones], verbose=0, return_dict=True)
    assert logs == {
        "loss": 1.0,
        **{f"{name}_loss": 0.0 for name in ("add", "add_1", "add_2")},
        "relu_loss": 1.0,
        **{f"{name}_mse": 0.0 for name in ("add", "add_1", "add_2")},
        "relu_mse": 1.0,
    }


# What goes in and what comes out


def test_inputs_by_list_and_by_name_are_the_same() -> None:
    model = several()
    image, meta = data((6, 6, 1), (3,))
    expected = model.predict([image, meta], verbose=0)
    for x in ({"image": image, "meta": meta}, {"meta": meta, "image": image}, (image, meta)):
        for a, b in zip(model.predict(x, verbose=0), expected, strict=True):
            np.testing.assert_array_equal(a, b)
    tensors = model([image, meta], training=False)
    check_close("called", tensors[0].numpy(), expected[0])


def test_structures_within_structures() -> None:
    a, b, c = (Input((2,), name=name) for name in "abc")
    model = Model({"pair": [a, b], "one": c}, {"sums": [a + b, b + c], "one": [c * 2.0]})
    ones = np.ones((3, 2), np.float32)
    y = model.predict({"pair": [ones, 2 * ones], "one": 3 * ones}, verbose=0)
    assert list(y) == ["one", "sums"]
    np.testing.assert_array_equal(y["one"][0], 6 * ones)
    np.testing.assert_array_equal(y["sums"][0], 3 * ones)
    np.testing.assert_array_equal(y["sums"][1], 5 * ones)


def test_one_output_in_a_list_is_that_output() -> None:
    x = Input((2,))
    assert Model(x, [x + 1.0]).predict(np.ones((3, 2), np.float32), verbose=0).shape == (3, 2)
    assert list(Model(x, {"y": x + 1.0}).predict(np.ones((3, 2), np.float32), verbose=0)) == ["y"]


def test_inputs_that_lead_nowhere_and_inputs_that_are_outputs() -> None:
    a, b = Input((2,), name="a"), Input((2,), name="b")
    model = Model([a, b], [layers.Dense(1)(a), a])
    x, unused = data((2,), (2,))
    np.testing.assert_array_equal(model.predict([x, unused], verbose=0)[1], x)


def test_the_batch_may_be_of_any_size() -> None:
    model = several()
    for n in (1, 3, N):
        assert [y.shape[0] for y in model.predict([x[:n] for x in data((6, 6, 1), (3,))], verbose=0)] == [n, n]


# Errors


def test_a_disconnected_graph_names_what_is_not_reached() -> None:
    a, b = Input((3,), name="a"), Input((3,), name="b")
    both = layers.Add(name="both")([layers.Dense(3, name="first")(a), b])
    with pytest.raises(
        UsageError,
        match=r'graph is disconnected: Add "both" needs the input "b", which does not come from the inputs given, "a"; '
        r"reached without it: first",
    ):
        Model(a, layers.Dense(1, name="last")(both))
    with pytest.raises(UsageError, match=r'the op add needs the input "b"'):
        Model(a, a + b)
    with pytest.raises(UsageError, match=r'the input "b" is among the outputs, but not among the inputs given, "a"'):
        Model(a, [a * 2.0, b])
    middle = layers.Dense(3, name="middle")(a)
    with pytest.raises(UsageError, match=r'Add "sum" needs Dense "first"|needs the input "a"'):
        Model(middle, layers.Add(name="sum")([middle, both]))


def test_two_layers_of_one_name() -> None:
    x = Input((3,))
    with pytest.raises(UsageError, match='two layers are named "same"; give one of them another name'):
        Model(x, layers.Dense(3, name="same")(layers.Dense(3, name="same")(x)))


@pytest.mark.parametrize(
    ("make", "says"),
    [
        (lambda x: Model(x, layers.Dense(3)), "outputs must come from Input.* is a layer; call it"),
        (lambda x: Model(layers.Dense(3), x), "inputs must come from Input.* is a layer"),
        (lambda x: Model(x, np.zeros(3)), "is a ndarray"),
        (lambda x: Model(x, None), "outputs is missing"),
        (lambda x: Model(outputs=x), "inputs is missing"),
        (lambda x: Model(x, []), "is empty"),
        (lambda x: layers.Dense(2)(layers.Dense(3)), "a layer; call it on what that layer returns"),
    ],
)
def test_what_a_model_cannot_be_made_of(make: Any, says: str) -> None:
    with pytest.raises(UsageError, match=says):
        make(Input((3,)))


@pytest.mark.parametrize(
    "use",
    [bool, len, float, list, np.asarray, lambda x: x.numpy(), lambda x: 1 if x > 1 else 0],
)
def test_a_symbolic_tensor_has_no_values(use: Any) -> None:
    with pytest.raises(UsageError, match=r"has no values: it stands for data"):
        use(Input((3,)))


@pytest.mark.parametrize(
    ("give", "says"),
    [
        (lambda image, meta: [image], 'takes 2 inputs, "image", "meta", but was given 1'),
        (lambda image, meta: {"image": image, "mta": meta}, 'input "meta" is missing.*did you mean "mta"'),
        (lambda image, meta: [meta, image], 'the input "image" takes samples of shape \\(6, 6, 1\\)'),
        (lambda image, meta: [image, meta[:, :2]], 'the input "meta" takes samples of shape \\(3\\)|\\(3,\\)'),
    ],
)
def test_inputs_that_do_not_fit(give: Any, says: str) -> None:
    model = several()
    for use in (model, model.predict):
        with pytest.raises((UsageError, ShapeError), match=says):
            use(give(*data((6, 6, 1), (3,))))


@pytest.mark.parametrize(
    ("how", "says"),
    [
        ({"loss": {"label": "mse", "siez": "mse"}}, 'loss: the model has no output "siez"; did you mean "size"'),
        ({"loss": ["mse"]}, 'loss has 1 entry, but the model has 2 outputs: "label", "size"'),
        ({"loss": "mse", "loss_weights": [1.0]}, "loss_weights has 1 entry"),
        ({"loss": "mse", "loss_weights": {"lable": 1.0}}, 'loss_weights: the model has no output "lable"'),
        ({"loss": "mse", "metrics": {"lable": ["mse"]}}, 'metrics: the model has no output "lable"'),
        ({"loss": "mse", "metrics": ["mse"]}, "metrics has 1 entry, but the model has 2 outputs"),
        ({"loss": "mse", "metrics": "mse"}, r"metrics must be a list, as in metrics=\[\"mse\"\]"),
    ],
)
def test_losses_and_metrics_that_do_not_fit_the_outputs(how: Any, says: str) -> None:
    with pytest.raises(UsageError, match=says):
        several().compile("sgd", **how)


def test_targets_that_do_not_fit_the_outputs() -> None:
    model = several()
    model.compile("sgd", {"label": "sparse_categorical_crossentropy", "size": "mse"})
    x, label, size = data((6, 6, 1), (3,)), np.arange(N) % 2, data((1,))[0]
    with pytest.raises(UsageError, match='1 target was given, but the model has 2 outputs: "label", "size"'):
        model.fit(x, label, verbose=0)
    with pytest.raises(UsageError, match='the targets: the model has no output "lable"; did you mean "label"'):
        model.fit(x, {"lable": label, "size": size}, verbose=0)
    with pytest.raises(UsageError, match='output "label": labels run from 0 to 4'):
        model.fit(x, [np.arange(N) % 5, size], verbose=0)
    with pytest.raises(UsageError, match="class_weight is for models with one output"):
        model.fit(x, [label, size], class_weight={0: 1.0}, verbose=0)
    with pytest.raises(UsageError, match='the output "size" has a loss, but no targets'):
        model.train_on_batch(x, {"label": label})


def test_an_op_with_a_weight_of_nobody_is_not_saved(tmp_path: Path) -> None:
    x = Input((3,))
    model = Model(x, x * gpudl.Parameter(np.ones(3, np.float32), "loose"))
    with pytest.raises(UsageError, match="a weight or a Tensor that no layer owns"):
        model.save(tmp_path / "model.safetensors")
