"""Mistakes in an experiment file or on the command line: exit code 2, and a message that says where and what."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

Run = Callable[..., Any]
Write = Callable[..., str]

CALLBACKS = "learning_rate = 0.01", "learning_rate = 0.01\n[[callbacks]]\n"


def case(name: str, change: tuple[str, str], *expected: str) -> Any:
    return pytest.param(change, expected, id=name)


ONE_MISTAKE = [
    # Names that nobody knows
    case("key", ("batch_size", "batchsize"), "x.toml:7: data.batchsize: ", 'did you mean "batch_size"?'),
    case("section", ("[optimizer]", "[optimiser]"), "x.toml:32: optimiser: unknown section; ", 'mean "optimizer"?'),
    case(
        "layer", ('"dropout"', '"dropuot"'), 'x.toml:19: model.layers[2].type: unknown layer "dropuot"; ', '"dropout"?'
    ),
    case("layer far off", ('"dropout"', '"zzz"'), 'unknown layer "zzz"; known: ', "batch_normalization, "),
    case(
        "data set", ('"digits"', '"digit"'), 'x.toml:6: data.dataset: unknown dataset "digit"; did you mean "digits"?'
    ),
    case("loss", ('"sparse', '"spars'), "x.toml:29: training.loss: unknown loss ", 'did you mean "sparse_categorical'),
    case("metric", ('"accuracy"', '"acuracy"'), "x.toml:30: training.metrics[0]: unknown metric", '"accuracy"?'),
    case("optimizer", ('"adam"', '"adamm"'), "x.toml:33: optimizer.type: unknown optimizer", 'did you mean "adam"?'),
    case(
        "callback", (CALLBACKS[0], CALLBACKS[1] + 'type = "progres"'), "x.toml:36: callbacks[0].type: ", '"progress"?'
    ),
    case("activation", ('"relu"', '"rleu"'), "x.toml:16: model.layers[1].activation: unknown activation", '"relu"?'),
    case("initializer", ("units = 8", 'units = 8\nkernel_initializer = "he_norml"'), "x.toml:16: ", '"he_normal"?'),
    case("regularizer", ("units = 8", 'units = 8\nkernel_regularizer = "l2_"'), "kernel_regularizer: ", '"l2"?'),
    case(
        "schedule",
        ("0.01", '"cosine"'),
        "x.toml:34: optimizer.learning_rate: unknown schedule",
        '"cosine_decay" or "cosine_decay_restarts"?',
    ),
    case(
        "key of a block",
        ("units = 8", 'units = 8\nkernel_initializer = { type = "he_normal", sed = 3 }'),
        "x.toml:16: model.layers[1].kernel_initializer.sed: he_normal has no setting of that name",
        '"seed"?',
    ),
    case(
        "key of the model",
        ('[[model.layers]]\ntype = "flatten"', "[model]\nnmae = 'a'\n[[model.layers]]\ntype = 'flatten'"),
        "x.toml:11: model.nmae: ",
        'did you mean "name"?',
    ),
    # Wrong types
    case(
        "text for an integer",
        ("units = 8", 'units = "8"'),
        'x.toml:15: model.layers[1].units: expected an integer, but got the text "8"',
    ),
    case("float for an integer", ("units = 8", "units = 8.0"), "x.toml:15: ", "expected an integer, but got 8.0"),
    case("bool for an integer", ("units = 8", "units = true"), "x.toml:15: ", "expected an integer, but got true"),
    case(
        "date for an integer", ("units = 8", "units = 2024-02-03"), "x.toml:15: ", "but got the date or time 2024-02-03"
    ),
    case(
        "table for an integer",
        ("units = 8", "units = { a = 1 }"),
        "x.toml:15: ",
        "expected an integer, but got a table",
    ),
    case("text for a number", ("rate = 0.25", 'rate = "a"'), "x.toml:20: model.layers[2].rate: expected a number, "),
    case("bool for a number", ("rate = 0.25", "rate = false"), "x.toml:20: ", "expected a number, but got false"),
    case(
        "integer for a bool",
        ("units = 8", "units = 8\nuse_bias = 1"),
        "x.toml:16: ",
        "expected true or false, but got 1",
    ),
    case("integer for text", ('"tiny"', "7"), "x.toml:2: run.name: expected text, but got 7"),
    case(
        "list too long",
        ('type = "flatten"', 'type = "conv2d"\nfilters = 2\nkernel_size = [3, 3, 3]'),
        "x.toml:13: model.layers[0].kernel_size: expected an integer or two integers, but got [3, 3, 3]",
    ),
    case(
        "list of texts",
        ('type = "flatten"', 'type = "conv2d"\nfilters = 2\nkernel_size = ["a", "b"]'),
        "x.toml:13: model.layers[0].kernel_size: expected an integer or two integers, but got ['a', 'b']",
    ),
    case("number for an activation", ('"relu"', "3"), "x.toml:16: ", "expected the name of an activation, or a table"),
    case("data set is no text", ('"digits"', "3"), "x.toml:6: data.dataset: expected the name of a dataset, but got 3"),
    case(
        "batch size is a bool",
        ("batch_size = 128", "batch_size = true"),
        "x.toml:7: data.batch_size: expected an integer, but got true",
    ),
    case(
        "model name",
        ('[[model.layers]]\ntype = "flatten"', "[model]\nname = 3\n[[model.layers]]\ntype = 'flatten'"),
        "x.toml:11: model.name: expected text, but got 3",
    ),
    # Required settings
    case("no units", ("units = 8\n", ""), 'x.toml:13: model.layers[1]: dense needs "units": an integer'),
    case("no loss", ('loss = "sparse_categorical_crossentropy"\n', ""), 'x.toml:27: training: needs "loss": one of '),
    case("no data set", ('dataset = "digits"\n', ""), 'x.toml:5: data: needs "dataset": one of digits, '),
    case("no type", ('type = "dropout"\n', ""), 'x.toml:18: model.layers[2]: needs "type", the name of a layer'),
    case("no optimizer type", ('type = "adam"\n', ""), 'x.toml:32: optimizer: needs "type", the name of an optimizer'),
    case(
        "csv without target",
        ('"digits"', '"csv"\npath = "a.csv"'),
        "x.toml:5: data: ",
        'dataset = "csv" needs "target": text',
    ),
    case(
        "schedule without settings",
        ("0.01", '"cosine_decay"'),
        "x.toml:34: ",
        '{ type = "cosine_decay", initial_learning_rate = ... }',
    ),
    # What constructors refuse
    case(
        "padding",
        ('type = "flatten"', 'type = "conv2d"\nfilters = 2\nkernel_size = 3\npadding = "sme"'),
        "x.toml:14: model.layers[0].padding: ",
        "'sme'",
        '"valid" or "same"',
    ),
    case("rate", ("rate = 0.25", "rate = 2.0"), "x.toml:20: model.layers[2].rate: ", "rate=2.0", "between 0 and 1"),
    case("rate nan", ("rate = 0.25", "rate = nan"), "x.toml:20: model.layers[2].rate: ", "rate=nan"),
    case("units", ("units = 8", "units = 0"), "x.toml:15: model.layers[1].units: ", "units=0", "at least 1"),
    case(
        "kernel size",
        ('type = "flatten"', 'type = "conv2d"\nfilters = 2\nkernel_size = 0'),
        "x.toml:13: ",
        "kernel_size=0",
    ),
    case("learning rate", ("0.01", "-1"), "x.toml:34: optimizer.learning_rate: ", "must be at least 0"),
    case(
        "test fraction",
        ('"digits"', '"digits"\ntest_fraction = 7'),
        "x.toml:7: data.test_fraction: ",
        "not a number from 0",
    ),
    case("batch size", ("batch_size = 128", "batch_size = 0"), "x.toml:7: data.batch_size: ", "at least 1, but got 0"),
    case(
        "share",
        ("validation_split = 0.1", "validation_split = 1.0"),
        "x.toml:8: data.validation_split: ",
        "below 1, but got 1.0",
    ),
    case("epochs", ("epochs = 1", "epochs = -1"), "x.toml:28: training.epochs: ", "at least 0, but got -1"),
    case("seed", ("seed = 3", "seed = -3"), "x.toml:3: run.seed: ", "at least 0, but got -3"),
    case("device", ("seed = 3", 'seed = 3\ndevice = "tpu"'), 'x.toml:4: run.device: expected "auto", "cpu" or "cuda"'),
    case("name with a slash", ('"tiny"', '"a/b"'), "x.toml:2: run.name: ", "cannot be the name of a folder"),
    case("name with a NUL", ('"tiny"', '"a\\u0000b"'), "x.toml:2: run.name: ", "cannot be the name of a folder"),
    case("name of dots", ('"tiny"', '".."'), "x.toml:2: run.name: ", "cannot be the name of a folder"),
    case("size beyond all bounds", ("units = 8", f"units = {10**30}"), "x.toml:13: model.layers[1]: Dense ", "Maximum"),
    case("metric twice", ('"accuracy"]', '"accuracy", "accuracy"]'), "x.toml:30: training.metrics: ", "listed twice"),
    case(
        "layer name twice",
        ("units = 8", 'units = 8\nname = "flatten_"\n[[model.layers]]\ntype = "flatten"\nname = "flatten_"'),
        "x.toml:19: model.layers[2].name: ",
        "is the name of layer 1 already",
    ),
]


@pytest.mark.parametrize(("change", "expected"), ONE_MISTAKE)
def test_one_mistake(gpudl: Run, write: Write, here: Path, change: tuple[str, str], expected: tuple[str, ...]) -> None:
    outcome = gpudl("train", write(change))
    assert outcome.code == 2
    for part in expected:
        assert part in outcome.err
    assert outcome.out == ""
    assert {p.name for p in here.iterdir()} == {"x.toml"}


@pytest.mark.parametrize("change", [c.values[0] for c in ONE_MISTAKE[:9]])
def test_one_mistake_one_line(gpudl: Run, write: Write, change: tuple[str, str]) -> None:
    """A mistake is reported once. (A key that is misspelt may be missing besides.)"""
    assert len(gpudl("train", write(change)).messages) == 1


def test_several_mistakes_are_reported_together_in_the_order_of_the_file(gpudl: Run, write: Write) -> None:
    outcome = gpudl(
        "train",
        write(
            ("seed = 3", "seed = true"),
            ("batch_size = 128", "batch_size = 1.5"),
            ("units = 8", "unit = 8"),
            ("rate = 0.25", "rate = 2.0"),
            ("[training]", "[training]\nepoch = 3"),
            ('"adam"', '"adm"'),
        ),
    )
    assert outcome.code == 2
    places = [message.partition(": ")[0] + " " + message.split(": ")[1] for message in outcome.messages]
    assert places == [
        "x.toml:3 run.seed",
        "x.toml:7 data.batch_size",
        "x.toml:13 model.layers[1]",
        "x.toml:15 model.layers[1].unit",
        "x.toml:20 model.layers[2].rate",
        "x.toml:28 training.epoch",
        "x.toml:34 optimizer.type",
    ]


def test_refusals_of_several_constructors_are_reported_together(gpudl: Run, write: Write) -> None:
    outcome = gpudl("train", write(("rate = 0.25", "rate = 2.0"), ("units = 8", "units = 0"), ("0.01", "-1.0")))
    assert [message.split(": ")[0] for message in outcome.messages] == ["x.toml:15", "x.toml:20", "x.toml:34"]


def test_sections_of_the_wrong_type(gpudl: Run, here: Path) -> None:
    (here / "x.toml").write_text(
        'model = 3\ndata = "x"\ntraining = [1]\noptimizer = "adam"\ncallbacks = "x"\nrun = 1\n'
    )
    outcome = gpudl("train", "x.toml")
    assert outcome.code == 2
    assert [message.split(": ")[:2] for message in outcome.messages] == [
        [f"x.toml:{line}", name]
        for line, name in enumerate(("model", "data", "training", "optimizer", "callbacks", "run"), 1)
    ]


def test_layers_that_are_no_tables(gpudl: Run, write: Write) -> None:
    outcome = gpudl("train", write(), "--set", "model.layers=3")
    expected = "error: --set model.layers: model: needs layers: one [[model.layers]] for each, but got 3\n"
    assert (outcome.code, outcome.err) == (2, expected)
    outcome = gpudl("train", write(), "--set", 'model.layers=[1, "flatten", []]')
    assert outcome.code == 2
    assert [message.partition(",")[0] for message in outcome.messages] == [
        "--set model.layers: model.layers[0]: expected the name of a layer",
        "--set model.layers: model.layers[2]: expected the name of a layer",
    ]


def test_missing_sections(gpudl: Run, here: Path) -> None:
    (here / "x.toml").write_text("")
    outcome = gpudl("train", "x.toml")
    assert outcome.code == 2
    for section in ("data", "model", "training"):
        assert f"the section [{section}] is missing" in outcome.err


UNFIT = [
    case(
        "after a dense layer",
        ('type = "dropout"\nrate = 0.25', 'type = "conv2d"\nfilters = 3\nkernel_size = 3'),
        "x.toml:18: model.layers[2]: ",
        'Conv2D "conv2d"',
        'the output of Dense "dense"',
        "(N, 8)",
    ),
    case(
        "after the input",
        ('type = "flatten"', 'type = "conv2d"\nfilters = 3\nkernel_size = 9'),
        "x.toml:10: model.layers[0]: ",
        'Conv2D "conv2d"',
        "9x9",
        "samples of shape (8, 8, 1)",
        'padding="same"',
    ),
    case(
        "reshape",
        ('type = "flatten"', 'type = "reshape"\ntarget_shape = [9, 9]'),
        "x.toml:10: model.layers[0]: ",
        'Reshape "reshape"',
        "(8, 8, 1)",
    ),
    case(
        "input layer",
        ('type = "flatten"', 'type = "input"\nshape = [8, 8]\n[[model.layers]]\ntype = "flatten"'),
        "x.toml:10: model.layers[0]: ",
        "(8, 8)",
        "(8, 8, 1)",
    ),
]


@pytest.mark.parametrize(("change", "expected"), UNFIT)
def test_layers_that_do_not_fit_are_named_before_data_is_read(
    gpudl: Run, write: Write, here: Path, change: tuple[str, str], expected: tuple[str, ...]
) -> None:
    (here / "guarded.py").write_text(
        "from gpudl.datasets import Dataset\n"
        "from gpudl.hookspecs import hookimpl\n"
        "class Guarded(Dataset):\n"
        "    sample_shape = (8, 8, 1)\n"
        "    def load(self):\n"
        "        raise SystemExit('the data was read')\n"
        "@hookimpl\n"
        "def register_datasets(register):\n"
        "    register('guarded', Guarded)\n"
    )
    outcome = gpudl("train", write(change, ('"digits"', '"guarded"')), "--plugin", "guarded.py")
    assert outcome.code == 2
    for part in expected:
        assert part in outcome.err
    with pytest.raises(SystemExit, match="the data was read"):
        gpudl("train", write(('"digits"', '"guarded"')), "--plugin", "guarded.py")


def test_more_classes_than_outputs(gpudl: Run, write: Write, here: Path) -> None:
    outcome = gpudl("train", write(("units = 10", "units = 4")), "--run-dir", "out")
    assert outcome.code == 2
    assert "labels run from 0 to 9, but the last layer has 4 outputs" in outcome.err
    assert "give it 10 units" in outcome.err
    assert not (here / "out").exists()  # so that the same command works once the file is mended


@pytest.mark.parametrize(("share", "part"), [("1e-17", "validation"), ("0.9999", "training")])
def test_empty_part(gpudl: Run, write: Write, here: Path, share: str, part: str) -> None:
    outcome = gpudl("train", write(("validation_split = 0.1", f"validation_split = {share}")))
    assert outcome.code == 2
    expected = f"validation_split={share} of 1438 samples leaves none for {part}; choose a fraction between"
    assert expected in outcome.err
    assert {p.name for p in here.iterdir()} == {"x.toml"}


def test_run_folder_of_another_run(gpudl: Run, write: Write, here: Path, trained: Path) -> None:
    before = {p.name: p.read_bytes() for p in trained.iterdir() if p.is_file()}
    outcome = gpudl("train", write(), "--run-dir", trained)
    assert outcome.code == 2
    assert f"--run-dir {trained}: holds another run; choose a new folder" in outcome.err
    assert {p.name: p.read_bytes() for p in trained.iterdir() if p.is_file()} == before


def test_run_folder_with_other_files_or_a_file_in_its_place(gpudl: Run, write: Write, here: Path) -> None:
    name = write()
    outcome = gpudl("train", name, "--run-dir", ".")
    assert (outcome.code, "--run-dir .: holds other files" in outcome.err) == (2, True)
    outcome = gpudl("train", name, "--run-dir", name)
    assert (outcome.code, f"--run-dir {name}: is a file, not a folder" in outcome.err) == (2, True)
    outcome = gpudl("train", name, "--run-dir", f"{name}/below")
    assert (outcome.code, f"{name}/below: the run folder cannot be made" in outcome.err) == (2, True)


# The file itself


def test_broken_toml(gpudl: Run, write: Write) -> None:
    outcome = gpudl("train", write(("units = 8", "units = ")))
    assert outcome.code == 2
    assert "x.toml:15: not valid TOML: " in outcome.err


@pytest.mark.parametrize("content", ["a = " + "[" * 9000 + "]" * 9000, "a = " + "9" * 9000, "a", "[x]\n[x]\n", "\0"])
def test_toml_that_breaks_readers(gpudl: Run, here: Path, content: str) -> None:
    (here / "x.toml").write_text(content)
    outcome = gpudl("train", "x.toml")
    assert outcome.code == 2
    assert "x.toml" in outcome.err


def test_missing_file_with_a_near_name(gpudl: Run, write: Write) -> None:
    write(name="digits.toml")
    for command in (["train", "digit.toml"], ["summary", "digit.toml"]):
        outcome = gpudl(*command)
        assert outcome.code == 2
        assert 'digit.toml: there is no such file; did you mean "digits.toml"?' in outcome.err
    outcome = gpudl("train", "no/where/x.toml")
    assert (outcome.code, "no/where/x.toml: there is no such file" in outcome.err) == (2, True)


def test_folder_that_is_no_run(gpudl: Run, here: Path, trained: Path) -> None:
    (here / "folder").mkdir()
    outcome = gpudl("train", "folder")
    assert (outcome.code, "folder: there is no interrupted run to continue here" in outcome.err) == (2, True)
    outcome = gpudl("train", trained)
    assert (outcome.code, "there is no interrupted run to continue here: it has ended" in outcome.err) == (2, True)


def test_summary_of_a_folder_named_like_a_file(gpudl: Run, here: Path) -> None:
    (here / "x.toml").mkdir()
    outcome = gpudl("summary", "x.toml")
    assert (outcome.code, "x.toml is a folder" in outcome.err) == (2, True)


def test_file_that_is_not_utf_8(gpudl: Run, here: Path) -> None:
    (here / "x.toml").write_bytes('name = "Größe"'.encode("latin-1"))
    outcome = gpudl("train", "x.toml")
    assert outcome.code == 2
    assert "x.toml: not a text file in UTF-8" in outcome.err
    assert "at byte 10" in outcome.err


def test_file_that_may_not_be_read(gpudl: Run, write: Write, monkeypatch: pytest.MonkeyPatch) -> None:
    name = write()

    def refuse(self: Path, **how: Any) -> str:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(Path, "read_text", refuse)
    outcome = gpudl("train", name)
    assert (outcome.code, "x.toml: cannot be read: Permission denied" in outcome.err) == (2, True)


# The command line


@pytest.mark.parametrize(
    ("override", "expected"),
    [
        ("foo", "--set foo: expected key=value, as in --set training.epochs=3"),
        ("=3", "--set =3: expected key=value"),
        ("training.epoch=3", '--set training.epoch: [training] has no setting of that name; did you mean "epochs"?'),
        ("trainin.epochs=3", '--set trainin.epochs: trainin: unknown section; did you mean "training"?'),
        ("model.layers[9].units=3", "--set model.layers[9].units: model.layers has 4 entries, counted from 0"),
        ("model.layers[-1].units=3", "there is no model.layers[-1]"),
        (
            "model.layers.units=3",
            'model.layers is a list, which has no "units"; choose an entry, as in model.layers[0]',
        ),
        ("training.metrics[1]=mse", "training.metrics has 1 entry, counted from 0; there is no training.metrics[1]"),
        ("run.0=3", "--set run.0: run is a table, not a list"),
        ("0=3", "--set 0: the experiment is a table, not a list"),
        ("run.name.x=3", '--set run.name.x: run.name is the text "tiny", not a table'),
        ("run..name=3", "--set run..name=3: a name is missing between the dots"),
        ("training.epochs=x", '--set training.epochs: expected an integer, but got the text "x"'),
        ("training.epochs=", '--set training.epochs: expected an integer, but got the text ""'),
        ("training.epochs=3\nx=4", "--set training.epochs: expected an integer, but got the text"),
        ("optimizer=sgd", '--set optimizer: expected a table, [optimizer], but got the text "sgd"'),
        ("model.layers[1].activation=rleu", '--set model.layers[1].activation: unknown activation "rleu"; did you'),
        (
            "model.layers[1].units=0",
            "--set model.layers[1].units: Dense(units=0): units must be an integer of at least 1",
        ),
    ],
)
def test_set(gpudl: Run, write: Write, override: str, expected: str) -> None:
    outcome = gpudl("train", write(), "--set", override)
    assert outcome.code == 2
    assert expected in outcome.err


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (["x.toml", "--epochs", "-1"], "--epochs: training.epochs: expected an integer of at least 0, but got -1"),
        (["x.toml", "--epochs", "many"], "--epochs"),
        (["x.toml", "--epoch", "3"], "--epochs"),
        (
            ["x.toml", "--device", "tpu"],
            '--device: run.device: expected "auto", "cpu" or "cuda", but got the text "tpu"',
        ),
        (["x.toml", "--plugin", "none.py"], "--plugin none.py: there is no such file"),
        (["x.toml", "y.toml"], "y.toml"),
        ([], "Missing argument"),
    ],
)
def test_options(gpudl: Run, write: Write, arguments: list[str], expected: str) -> None:
    write()
    outcome = gpudl("train", *arguments)
    assert outcome.code == 2
    assert expected in outcome.err


def test_unknown_command(gpudl: Run) -> None:
    outcome = gpudl("trian")
    assert outcome.code == 2
    assert "trian" in outcome.err
    assert "Did you mean 'train'?" in outcome.err


@pytest.mark.parametrize("arguments", [["--debug", "train", "x.toml"], ["train", "x.toml", "--debug"]])
def test_debug_shows_the_traceback(gpudl: Run, here: Path, arguments: list[str]) -> None:
    with pytest.raises(AssertionError, match="Traceback"):  # what the fixture refuses everywhere else
        gpudl(*arguments)


def test_a_run_folder_takes_no_changes(gpudl: Run, trained: Path) -> None:
    for options in (["--set", "run.seed=1"], ["--epochs", 0], ["--device", "cpu"], ["--run-dir", "x"], ["--dry-run"]):
        outcome = gpudl("train", trained, *options)
        assert outcome.code == 2
        assert f"{options[0]} does not go with the run folder" in outcome.err
