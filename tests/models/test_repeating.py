"""Steps that are recorded and repeated, on each device: the same bits as without, and what forbids it is noticed."""

from __future__ import annotations

import copy
import functools
import pickle
import warnings
from collections.abc import Callable, Iterator
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

import gpudl
from gpudl import callbacks, layers, losses, metrics, models, ops, optimizers, random, registry, regularizers
from gpudl.autograd import differentiable
from gpudl.errors import UsageError
from gpudl.ops.decorators import pointwise
from gpudl.replay import Replay

SAMPLES, BATCH, EPOCHS = 44, 8, 2
FULL, LAST = 5, 1
"""Batches of an epoch: whole ones, and one of four samples."""


@pytest.fixture
def counts(device: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[SimpleNamespace]:
    """How many steps were recorded, and how often one was repeated, on the device that is in use meanwhile.

    On the CPU a step is taken while it is recorded, and is not to be `repeated` for that.
    """
    found = SimpleNamespace(recorded=0, repeated=0, device=device, whole=FULL * EPOCHS - (2 if device == "cpu" else 1))
    kind: Any = Replay
    if device == "cuda":
        from gpudl.backend.cupy import recording

        kind = recording.Recording
    record, repeat = kind.__init__, kind.repeat

    def recorded(self: Any, *arguments: Any) -> None:
        record(self, *arguments)
        found.recorded += 1

    def repeated(self: Any, *arguments: Any) -> Any:
        found.repeated += 1
        return repeat(self, *arguments)

    monkeypatch.setattr(kind, "__init__", recorded)
    monkeypatch.setattr(kind, "repeat", repeated)
    with gpudl.device(device):
        yield found


@pytest.fixture
def on_the_gpu(counts: SimpleNamespace) -> SimpleNamespace:
    if counts.device == "cpu":
        pytest.skip("CUDA graphs are the GPU's")
    return counts


def plain() -> list[Any]:
    return [layers.Dense(16, activation="relu"), layers.Dense(4)]


def dropping() -> list[Any]:
    seed = random.SeedGenerator(3)
    return [
        layers.Dense(16),
        layers.Dropout(0.4),
        layers.Dropout(0.2, seed=1),
        layers.Dropout(0.3, seed=seed),
        *plain(),
    ]


def twice_the_same() -> list[Any]:
    return [layers.Dropout(0.4, seed=1), layers.Dense(12), layers.Dropout(0.4, seed=1), *plain()]


def convolving() -> list[Any]:
    return [
        layers.Reshape((4, 3, 1)),
        layers.Conv2D(4, 3, padding="same", use_bias=False, kernel_regularizer="l2"),
        layers.BatchNormalization(momentum=0.5),
        layers.Activation("relu"),
        layers.DepthwiseConv2D(3, padding="same"),
        layers.MaxPooling2D((2, 1)),
        layers.SpatialDropout2D(0.3),
        layers.Flatten(activity_regularizer="l1"),
        layers.Dense(4),
    ]


def trained(build: Callable[[], list[Any]], jit_compile: Any, watch: Any = None, **settings: Any) -> models.Model:
    """Train; the callback `watch` is given the model when each batch begins."""
    random.set_random_seed(7)
    gpudl.backend.clear_session()
    rng = np.random.default_rng(1)
    x, y = rng.normal(size=(SAMPLES, 12)).astype("float32"), rng.integers(0, 4, SAMPLES)
    model = models.Sequential([layers.Input((12,)), *build()])
    settings = {"loss": losses.SparseCategoricalCrossentropy(from_logits=True), "optimizer": "adam", **settings}
    model.compile(**{"metrics": ["accuracy"], **settings}, jit_compile=jit_compile)
    begin = callbacks.LambdaCallback(on_train_batch_begin=lambda batch, logs: watch and watch(model, batch))
    model.fit(x, y, batch_size=BATCH, epochs=EPOCHS, verbose=0, callbacks=[begin])
    return model


def check_same(one: models.Model, other: models.Model) -> None:
    """The same bits in all weights, the moving ones among them, and in the history."""
    for mine, its in zip(one.weights, other.weights, strict=True):
        assert mine.numpy().tobytes() == its.numpy().tobytes(), mine.path
    assert one.history is not None and other.history is not None
    assert one.history.history == other.history.history


@pytest.mark.parametrize("build", [plain, dropping, twice_the_same, convolving])
def test_repeated_steps_have_the_same_bits(counts: Any, build: Callable[[], list[Any]]) -> None:
    found = trained(build, "auto")
    assert (counts.recorded, counts.repeated) == (1, counts.whole)
    check_same(found, trained(build, False))
    assert counts.recorded == 1


@pytest.mark.parametrize("layer", [layers.GaussianNoise, layers.RandomTranslation])
def test_what_draws_on_the_host_is_not_recorded(counts: Any, layer: Any) -> None:
    settings = {layers.RandomTranslation: (0.2, 0.2)}.get(layer, (0.5,))
    made = [
        trained(lambda: [layers.Reshape((4, 3, 1)), layer(*settings), *convolving()[1:]], jit)
        for jit in ("auto", False)
    ]
    check_same(*made)
    on_the_device = layer is layers.GaussianNoise and counts.device == "cpu"  # its numbers are an op's on the CPU alone
    assert bool(counts.recorded) == bool(counts.repeated) == on_the_device


@pytest.mark.parametrize("settings", [{"run_eagerly": True}, {"jit_compile": False}])
def test_it_can_be_turned_off(counts: Any, settings: dict[str, Any]) -> None:
    trained(plain, **{"jit_compile": "auto", **settings})
    assert counts.recorded == 0


def own_layer(inside: Callable[[Any], Any]) -> Callable[[], list[Any]]:
    class Own(layers.Layer):
        def call(self, x: Any) -> Any:
            return inside(x)

    return lambda: [Own(), *plain()]


@pytest.mark.parametrize("inside", [lambda x: x * 2.0, lambda x: ops.exp(-x)])
def test_programs_of_ones_own_are_recorded_where_one_says_so(counts: Any, inside: Callable[[Any], Any]) -> None:
    auto = trained(own_layer(inside), "auto")
    assert counts.recorded == 0
    check_same(auto, trained(own_layer(inside), True))
    assert (counts.recorded, counts.repeated) == ((0, 0) if counts.device == "cpu" else (1, counts.whole))


@pytest.mark.parametrize(
    "build",
    [
        lambda: [layers.Lambda(lambda x: x * 2.0), *plain()],
        lambda: [layers.Dense(8, activation=lambda x: x * ops.sigmoid(x)), *plain()],
        lambda: [layers.Dense(8, kernel_regularizer=lambda w: ops.sum(w * w) * 0.01), *plain()],
    ],
)
def test_functions_of_ones_own_are_not(counts: Any, build: Callable[[], list[Any]]) -> None:
    trained(build, "auto")
    assert counts.recorded == 0


def test_a_loss_of_ones_own_is_not(counts: Any) -> None:
    trained(lambda: [layers.Dense(1)], "auto", loss=lambda y, p: ops.mean((p - y) ** 2, axis=-1))
    assert counts.recorded == 0


class Keeps(metrics.Metric):
    """A metric that keeps what it was given."""

    def __init__(self) -> None:
        super().__init__(name="keeps")
        self.kept: list[Any] = []

    def update_state(self, y_true: Any, y_pred: Any, sample_weight: Any = None) -> None:
        self.kept.append(y_pred)

    def result(self) -> Any:
        return float(sum(float(abs(y).sum()) for y in self.kept))

    def reset_state(self) -> None:
        self.kept = []


def test_a_metric_of_ones_own_may_keep_what_it_is_given(counts: Any) -> None:
    check_same(*(trained(plain, jit, metrics=[Keeps()]) for jit in ("auto", False)))
    assert counts.recorded == 0


def test_a_capture_that_comes_to_nothing(on_the_gpu: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """What invalidates a capture without an error of its own shows when it ends."""
    import cupy  # pyright: ignore[reportMissingImports]

    whole, ended = cupy.cuda.Stream.end_capture, []

    def end(self: Any) -> Any:
        ended.append(whole(self))
        raise RuntimeError("cudaErrorStreamCaptureInvalidated")

    monkeypatch.setattr(cupy.cuda.Stream, "end_capture", end)
    check_same(trained(plain, "auto"), trained(plain, False))
    assert len(ended) == 1 and on_the_gpu.recorded == on_the_gpu.repeated == 0


def reads(x: Any) -> Any:
    return x if float(ops.sum(x)) > 0 else -x


def sends(x: Any) -> Any:
    return x * ops.convert_to_tensor(np.arange(12, dtype="float32"))


def multiplies(x: Any) -> Any:
    return x + ops.matmul(x, ops.transpose(x)) @ x


@pytest.mark.parametrize("inside", [reads, sends, multiplies])
def test_what_no_graph_can_hold_is_run_as_it_is(counts: Any, inside: Callable[[Any], Any]) -> None:
    check_same(trained(own_layer(inside), True), trained(own_layer(inside), False))
    assert (counts.recorded, counts.repeated) == (0, 0)


def a_rate(model: Any, batch: int) -> None:
    if batch == 3:
        model.layers[1].rate = 0.7 if model.layers[1].rate == 0.4 else 0.4


def a_temperature(model: Any, batch: int) -> None:
    if batch == 3:
        model.loss.delta = 0.25 if model.loss.delta == 1.0 else 1.0


def a_penalty(model: Any, batch: int) -> None:
    if batch == 3:
        penalty = model.layers[0].kernel.regularizer
        penalty.l2 = 0.5 if penalty.l2 != 0.5 else 0.1


def an_activity_penalty(model: Any, batch: int) -> None:
    if batch == 3:
        penalty = model.layers[0].activity_regularizer
        penalty.l2 = 0.5 if penalty.l2 != 0.5 else 0.1


def another_penalty(model: Any, batch: int) -> None:
    if batch == 3:
        kernel = model.layers[0].kernel
        kernel.regularizer = None if kernel.regularizer is not None else regularizers.L2(0.5)


def what_is_trained(model: Any, batch: int) -> None:
    kernel = model.layers[0].kernel
    kernel.trainable = batch == 0 or batch >= 3


def fewer_layers(model: Any, batch: int) -> None:
    if batch == 3 and len(model.layers) > 2:
        model.pop()


def the_weights_place(model: Any, batch: int) -> None:
    if batch == 3:
        model.optimizer.build(model.trainable_weights)


@pytest.mark.parametrize(
    ("build", "watch", "loss"),
    [
        (dropping, a_rate, None),
        (lambda: [layers.Dense(1)], a_temperature, losses.Huber),
        (lambda: [layers.Dense(8, kernel_regularizer=regularizers.L2(0.2)), *plain()], a_penalty, None),
        (lambda: [layers.Dense(8, activity_regularizer=regularizers.L2(0.2)), *plain()], an_activity_penalty, None),
        (lambda: [layers.Dense(8, kernel_regularizer=regularizers.L2(0.2)), *plain()], another_penalty, None),
        (plain, what_is_trained, None),
        (lambda: [*plain(), layers.Activation("tanh")], fewer_layers, None),
        (plain, the_weights_place, None),
    ],
)
def test_what_is_set_otherwise_is_noticed(
    counts: Any, build: Callable[[], list[Any]], watch: Callable[[Any, int], None], loss: Any
) -> None:
    settings = {} if loss is None else {"loss": loss}
    made = [trained(build, jit, watch, **{k: v() for k, v in settings.items()}) for jit in ("auto", False)]
    check_same(*made)
    assert counts.recorded >= 2 and counts.repeated >= (2 if counts.device == "cpu" else 4)
    unchanged = trained(build, False, **{k: v() for k, v in settings.items()})
    if watch is not the_weights_place:
        assert any(
            a.numpy().tobytes() != b.numpy().tobytes() for a, b in zip(made[0].weights, unchanged.weights, strict=True)
        )


def test_weights_of_two_outputs_are_not_recorded(counts: Any) -> None:
    """Each output's loss is counted while the step's is computed."""
    x = layers.Input((12,))
    model = models.Model(x, [layers.Dense(1, name="a")(x), layers.Dense(1, name="b")(x)])
    model.compile("sgd", "mse")
    rng = np.random.default_rng(0)
    y = rng.normal(size=(2, 40, 1)).astype("float32")
    model.fit(rng.normal(size=(40, 12)).astype("float32"), list(y), batch_size=8, verbose=0)
    assert counts.recorded == 0


def test_validation_is_repeated_from_epoch_to_epoch(counts: Any) -> None:
    rng = np.random.default_rng(0)
    x, y = rng.normal(size=(60, 12)).astype("float32"), rng.integers(0, 4, 60)
    made: list[models.Model] = []
    for jit in ("auto", False):
        random.set_random_seed(7)
        model = models.Sequential([layers.Input((12,)), *dropping(), layers.BatchNormalization()])
        loss = losses.SparseCategoricalCrossentropy(from_logits=True)
        model.compile("adam", loss, metrics=["accuracy"], jit_compile=jit)
        model.fit(x[:32], y[:32], batch_size=8, epochs=3, verbose=0, validation_data=(x[32:], y[32:]))
        found = model.evaluate(x[:24], y[:24], batch_size=8, verbose=0)
        assert model.history is not None
        model.history.history["then"] = found
        made.append(model)
    check_same(*made)
    assert counts.recorded == 3  # training, validation, evaluation
    first = 2 if counts.device == "cpu" else 1  # steps of each kind before one is repeated
    assert counts.repeated == (3 * 4 - first) + (3 * 3 - first) + (3 - first)


def test_settings_of_the_optimizer_may_change(counts: Any) -> None:
    def slower(model: Any, batch: int) -> None:
        model.optimizer.learning_rate = 0.01 / (batch + 1)

    made = [trained(plain, jit, slower, optimizer=optimizers.SGD(0.1, momentum=0.9)) for jit in ("auto", False)]
    check_same(*made)
    assert counts.repeated == counts.whole


def test_the_scale_of_the_loss_may_change(counts: Any) -> None:
    def scale(model: Any, batch: int) -> None:
        model.optimizer.loss_scale_factor = None if batch < 3 else 8.0 + batch

    check_same(*(trained(plain, jit, scale, optimizer=optimizers.SGD(0.1)) for jit in ("auto", False)))
    assert counts.recorded == 1 and counts.repeated


def test_several_kinds_of_batches(counts: Any) -> None:
    rng = np.random.default_rng(0)
    sizes = [8, 8, 8, 4, 4, 8, 4, 4, 2, 2, 6, 6, 3, 3, 5, 5, 5, 8, 8]
    data = [(rng.normal(size=(n, 12)).astype("float32"), rng.integers(0, 4, n)) for n in sizes]
    made: list[models.Model] = []
    for jit in ("auto", False):
        random.set_random_seed(7)
        model = models.Sequential([layers.Input((12,)), *dropping()])
        model.compile("sgd", losses.SparseCategoricalCrossentropy(from_logits=True), jit_compile=jit)
        model.fit(iter(data), epochs=1, steps_per_epoch=len(data), verbose=0)
        made.append(model)
    check_same(*made)
    assert counts.recorded == 4  # 8, 4, 2 and 6; the others are taken as they are written


def test_sample_weights_and_gradients_in_float64(counts: Any) -> None:
    rng = np.random.default_rng(0)
    x, y, weight = rng.normal(size=(40, 12)).astype("float32"), rng.integers(0, 4, 40), rng.uniform(size=40)
    for kind, expected in (("float32", 1), ("float64", counts.device == "cpu")):  # on the GPU float64's are cuBLAS's
        before, made = counts.recorded, []
        for jit in ("auto", False):
            random.set_random_seed(7)
            model = models.Sequential([layers.Input((12,)), layers.Dense(4, dtype=kind)])
            model.compile("sgd", losses.SparseCategoricalCrossentropy(from_logits=True), jit_compile=jit)
            model.fit(x, y, sample_weight=weight, batch_size=8, verbose=0)
            made.append(model)
        check_same(*made)
        assert counts.recorded - before == expected


def test_a_step_by_hand_is_never_recorded(counts: Any) -> None:
    model = models.Sequential([layers.Input((12,)), *plain()])
    model.compile("sgd", losses.SparseCategoricalCrossentropy(from_logits=True))
    for _ in range(4):
        model.train_on_batch(np.ones((8, 12), "float32"), np.zeros(8, int))
    assert counts.recorded == 0


def test_a_wrong_word() -> None:
    model = models.Sequential([layers.Input((2,)), layers.Dense(1)])
    with pytest.raises(UsageError, match="jit_compile='yes' must be \"auto\", True or False"):
        model.compile("sgd", "mse", jit_compile="yes")


def test_more_draws_than_there_is_room_for(on_the_gpu: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    from gpudl.backend.cupy import recording

    monkeypatch.setattr(recording, "MOST_KEYS", 2)
    check_same(trained(dropping, "auto"), trained(dropping, False))
    assert on_the_gpu.recorded == 0


def test_outputs_stay_what_they_were(counts: Any) -> None:
    """Predictions and evaluations between epochs do not disturb what is repeated, nor it them."""
    seen: list[list[np.ndarray]] = []
    for jit in ("auto", False):
        found: list[np.ndarray] = []
        x = np.random.default_rng(5).normal(size=(9, 12)).astype("float32")
        trained(dropping, jit, lambda model, batch, x=x, found=found: found.append(model.predict(x, verbose=0)))
        seen.append(found)
    assert all(a.tobytes() == b.tobytes() for a, b in zip(*seen, strict=True))


ALL_LOSSES = sorted({item for item in registry.table("losses").values() if isinstance(item, type)}, key=str)


def fitted(model: models.Model, x: Any, y: Any, jit: Any, loss: Any, **settings: Any) -> models.Model:
    random.set_random_seed(3)
    model.compile("adam", loss, jit_compile=jit)
    model.fit(x, y, batch_size=4, epochs=2, verbose=0, validation_data=(x, y), **settings)
    return model


@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("loss", ALL_LOSSES)
def test_every_loss(loss: Any, weighted: bool) -> None:
    rng = np.random.default_rng(0)
    x, weights = rng.normal(size=(26, 5)).astype("float32"), rng.uniform(size=26) if weighted else None
    y: Any = rng.integers(0, 3, (26, 1)) if loss.takes_labels else rng.uniform(size=(26, 3))
    made = []
    for jit in ("auto", False):
        random.set_random_seed(3)
        model = models.Sequential([layers.Input((5,)), layers.Dense(3, activation="softmax", bias_regularizer="l1")])
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # targets that are no distributions
            made.append(fitted(model, x, y, jit, loss(), sample_weight=weights))
    check_same(*made)


def test_inputs_and_outputs_of_any_structure(device: str) -> None:
    rng = np.random.default_rng(0)
    x = {"a": rng.normal(size=(26, 4)).astype("float32"), "b": rng.integers(0, 9, (26, 3)).astype("uint8")}
    y = [rng.normal(size=(26, 1)), rng.integers(0, 3, 26)]
    made = []
    with gpudl.device(device):
        for jit in ("auto", False):
            random.set_random_seed(3)
            a, b = layers.Input((4,), name="a"), layers.Input((3,), name="b")
            both = layers.Concatenate()([layers.Dense(4, activation="tanh")(a), layers.Rescaling(0.1)(b)])
            shared = layers.Dense(7, activation="relu")
            outputs = [layers.Dense(1, name="c")(shared(both)), layers.Dense(3, name="d")(shared(both) * 2.0)]
            loss = [losses.MeanSquaredError(), losses.SparseCategoricalCrossentropy(from_logits=True)]
            made.append(fitted(models.Model({"a": a, "b": b}, outputs), x, y, jit, loss))
    check_same(*made)


def test_labels_that_no_score_stands_for_are_noticed_in_every_step() -> None:
    model = models.Sequential([layers.Input((4,)), layers.Dense(3)])
    model.compile("sgd", losses.SparseCategoricalCrossentropy(from_logits=True))
    batches = [(np.ones((2, 4), "float32"), np.array([0, label])) for label in (1, 2, 1, 0, -1)]
    with pytest.raises(UsageError, match="labels run from -1 to 0"):
        model.fit(iter(batches), steps_per_epoch=5, verbose=0)


def test_the_structure_of_a_batch_is_part_of_its_kind() -> None:
    """Lists go by the model's order, dicts by name; what does not fit is refused in every step."""
    rng = np.random.default_rng(0)
    a, b = rng.normal(size=(2, 12, 8, 4)).astype("float32")
    y = rng.normal(size=(12, 8, 1)).astype("float32")

    def fit(jit: Any, xs: list[Any]) -> models.Model:
        random.set_random_seed(3)
        one, two = layers.Input((4,), name="b"), layers.Input((4,), name="a")
        both = layers.Concatenate()([layers.Dense(3)(one), layers.Dense(5, activation="relu")(two)])
        model = models.Model([one, two], layers.Dense(1)(both))
        model.compile("adam", "mse", jit_compile=jit)
        model.fit(zip(xs, y, strict=False), steps_per_epoch=len(xs), verbose=0)
        return model

    mixed: list[Any] = [[a[k], b[k]] if k < 6 else {"b": a[k], "a": b[k]} for k in range(12)]
    check_same(fit("auto", mixed), fit(False, mixed))
    with pytest.raises(UsageError, match='the input "a" is missing'):
        fit("auto", [*mixed[:11], {"b": a[0], "c": b[0]}])


def own_penalty(w: Any) -> Any:
    own_penalty.calls += 1
    return ops.sum(w * w) * 0.01 * own_penalty.calls


@functools.wraps(gpudl.activations.relu)
def own_activation(x: Any) -> Any:
    own_activation.calls += 1
    return gpudl.activations.relu(x) * float(own_activation.calls)


@differentiable
@pointwise
def own_op(x: Any) -> Any:
    own_op.calls += 1
    scale = np.float32(own_op.calls)
    return x * scale, lambda: np.full_like(x, scale)


def with_own_penalty(model: Any, batch: int) -> None:
    model.get_layer("hidden").kernel.regularizer = own_penalty


def with_own_activation(model: Any, batch: int) -> None:
    if batch == 2:
        model.get_layer("hidden").activation = own_activation


@pytest.mark.parametrize("watch", [with_own_penalty, with_own_activation, None])
def test_code_of_ones_own_runs_in_every_step(watch: Any) -> None:
    """However it comes in: as a weight's regularizer, in mid-fit, under another's name, as an op of a graph."""
    made, rng = [], np.random.default_rng(1)
    x, y = rng.normal(size=(64, 12)).astype("float32"), rng.normal(size=(64, 4)).astype("float32")
    for jit in ("auto", False):
        own_penalty.calls = own_activation.calls = own_op.calls = 0
        random.set_random_seed(3)
        inputs = layers.Input((12,))
        hidden = layers.Dense(8, activation="relu", kernel_regularizer="l2", name="hidden")(inputs)
        model = models.Model(inputs, layers.Dense(4)(own_op(hidden) if watch is None else hidden))
        model.compile("sgd", "mse", jit_compile=jit)
        begin = callbacks.LambdaCallback(on_train_batch_begin=lambda b, logs, m=model: watch and watch(m, b))
        model.fit(x, y, batch_size=8, verbose=0, callbacks=[begin])
        made.append((model, own_penalty.calls, own_activation.calls, own_op.calls))
    check_same(made[0][0], made[1][0])
    assert made[0][1:] == made[1][1:] and max(made[0][1:]) >= 5


def test_draws_of_one_key_may_part(counts: Any) -> None:
    """A layer with the seed in force as its own draws as the first one does, until that seed is another."""

    def reseed(model: Any, batch: int) -> None:
        if batch == 3:
            random.set_random_seed(99)

    def build() -> list[Any]:
        return [layers.Dense(16), layers.Dropout(0.5), layers.Dropout(0.5, seed=7), *plain()]

    check_same(*(trained(build, jit, reseed) for jit in ("auto", False)))
    assert counts.recorded and counts.repeated


class Copying(callbacks.Callback):
    """Copies the model in two ways while it trains, and sees that the copies predict the same."""

    def on_train_batch_end(self, batch: int, logs: Any = None) -> None:
        x = np.ones((3, 12), "float32")
        for twin in (copy.deepcopy(self.model), pickle.loads(pickle.dumps(self.model))):
            assert twin.predict(x, verbose=0).tobytes() == self.model.predict(x, verbose=0).tobytes()


def test_a_model_is_copied_while_it_trains(counts: Any) -> None:
    model = models.Sequential([layers.Input((12,)), *plain()])
    model.compile("sgd", losses.SparseCategoricalCrossentropy(from_logits=True))
    model.fit(np.ones((32, 12), "float32"), np.zeros(32, int), batch_size=8, verbose=0, callbacks=[Copying()])
    assert counts.recorded


def test_an_autoencoder_is_given_one_array_twice(counts: Any) -> None:
    x = np.random.default_rng(0).normal(size=(24, 12)).astype("float32")
    batches = [(part, part) for part in np.split(x, 6)]
    made = []
    for jit in ("auto", False):
        random.set_random_seed(3)
        model = models.Sequential([layers.Input((12,)), *plain(), layers.Dense(12)])
        model.compile("sgd", "mse", jit_compile=jit)
        model.fit(iter(batches), steps_per_epoch=6, verbose=0)
        made.append(model)
    check_same(*made)
