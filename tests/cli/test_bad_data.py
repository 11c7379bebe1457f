"""Data that is missing, damaged or of no use: exit code 3, and a message that names file and place."""

from __future__ import annotations

import struct
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

Run = Callable[..., Any]
Write = Callable[..., str]

MNIST = ('"digits"', '"mnist"')
NAMES = (
    "train-images-idx3-ubyte",
    "train-labels-idx1-ubyte",
    "t10k-images-idx3-ubyte",
    "t10k-labels-idx1-ubyte",
)


def idx(array: np.ndarray) -> bytes:
    return struct.pack(f">BBBB{array.ndim}I", 0, 0, 8, array.ndim, *array.shape) + array.tobytes()


@pytest.fixture
def mnist(here: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with a sound, tiny data set of MNIST's shape, which GPUDL_DATA_DIR leads to."""
    folder = here / "data" / "mnist"
    folder.mkdir(parents=True)
    for name, n in zip(NAMES, (40, 40, 20, 20), strict=True):
        labels = np.arange(n, dtype=np.uint8) % 10
        images = np.repeat(labels, 784).reshape(n, 28, 28)
        (folder / name).write_bytes(idx(images if "images" in name else labels))
    monkeypatch.setenv("GPUDL_DATA_DIR", str(here / "data"))
    monkeypatch.setenv("XDG_CACHE_HOME", str(here / "cache"))
    monkeypatch.setitem(sys.modules, "pooch", None)  # nothing is downloaded
    return folder


def test_sound_idx_files(gpudl: Run, write: Write, mnist: Path) -> None:
    outcome = gpudl("train", write(MNIST))
    assert outcome.code == 0, outcome.err


def drop(file: Path) -> None:
    file.unlink()


def cut(file: Path) -> None:
    file.write_bytes(file.read_bytes()[:-3])


def cut_header(file: Path) -> None:
    file.write_bytes(file.read_bytes()[:6])


def wrong_magic(file: Path) -> None:
    file.write_bytes(b"\x01\x02\x03\x04" + file.read_bytes()[4:])


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("damage", [drop, cut, cut_header, wrong_magic])
def test_idx_files(
    gpudl: Run, write: Write, mnist: Path, here: Path, name: str, damage: Callable[[Path], None]
) -> None:
    damage(mnist / name)
    outcome = gpudl("train", write(MNIST))
    assert outcome.code == 3
    assert name in outcome.err
    assert not (here / "runs").exists()


def test_no_data_folder(gpudl: Run, write: Write, mnist: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GPUDL_DATA_DIR", "nowhere")
    for command in (["train", write(MNIST)], ["data", "list"]):
        outcome = gpudl(*command)
        assert outcome.code == 3
        assert "GPUDL_DATA_DIR=nowhere is not a folder" in outcome.err


def csv(write: Write, here: Path, *lines: str) -> str:
    (here / "table.csv").write_text("\n".join(lines) + "\n")
    return write(
        ('dataset = "digits"', 'dataset = "csv"\npath = "table.csv"\ntarget = "kind"'),
        ("validation_split = 0.1", "validation_split = 0.2"),
    )


ROWS = [f"{i},{i * 0.5},{i % 2}" for i in range(20)]


def test_sound_csv(gpudl: Run, write: Write, here: Path) -> None:
    outcome = gpudl("train", csv(write, here, "a,b,kind", *ROWS))
    assert outcome.code == 0, outcome.err


@pytest.mark.parametrize(
    ("row", "expected"),
    [
        ("7,many,1", ["table.csv", "line 9", '"b"', '"many"']),
        ("7,nan,1", ["table.csv", "line 9", '"b"', "nan"]),
        ("7,,1", ["table.csv", "line 9", '"b"']),
        ("7,1", ["table.csv", "line 9"]),
    ],
)
def test_csv_row(gpudl: Run, write: Write, here: Path, row: str, expected: list[str]) -> None:
    outcome = gpudl("train", csv(write, here, "a,b,kind", *ROWS[:7], row, *ROWS[8:]))
    assert outcome.code == 3
    for part in expected:
        assert part in outcome.err
    assert not (here / "runs").exists()


def test_csv_without_the_target(gpudl: Run, write: Write, here: Path) -> None:
    outcome = gpudl("train", csv(write, here, "a,b,kid", *ROWS))
    assert outcome.code == 3
    assert 'did you mean "kid"?' in outcome.err


def test_csv_that_is_missing(gpudl: Run, write: Write, here: Path) -> None:
    name = csv(write, here, "a,b,kind", *ROWS)
    (here / "table.csv").rename(here / "tables.csv")
    outcome = gpudl("train", name)
    assert (outcome.code, 'table.csv: no such file; did you mean "tables.csv"?' in outcome.err) == (3, True)


def npz(write: Write, here: Path, **arrays: np.ndarray) -> str:
    np.savez(here / "table.npz", **arrays)
    return write(('dataset = "digits"', 'dataset = "npz"\npath = "table.npz"'))


def test_nan_in_the_data(gpudl: Run, write: Write, here: Path) -> None:
    x = np.ones((30, 4), np.float32)
    x[17, 2] = np.nan
    outcome = gpudl("train", npz(write, here, x=x, y=np.zeros(30, int)))
    assert outcome.code == 3
    assert "1 of 120 values are NaN or infinite" in outcome.err
    assert "row 17, feature 2" in outcome.err


def test_labels_below_zero(gpudl: Run, write: Write, here: Path) -> None:
    outcome = gpudl("train", npz(write, here, x=np.ones((30, 4)), y=np.arange(30) % 10 - 1))
    assert outcome.code == 2
    assert "labels run from -1 to 8" in outcome.err
    assert "add 1 so that they count from 0" in outcome.err
    assert not list((here / "runs").glob("*/*"))


def test_targets_that_do_not_fit_the_loss(gpudl: Run, write: Write, here: Path) -> None:
    outcome = gpudl("train", npz(write, here, x=np.ones((30, 4)), y=np.zeros((30, 10))))
    assert outcome.code == 2
    assert 'one-hot labels need "categorical_crossentropy"' in outcome.err
    assert not list((here / "runs").glob("*/*"))


def test_arrays_of_unequal_length(gpudl: Run, write: Write, here: Path) -> None:
    outcome = gpudl("train", npz(write, here, x=np.ones((30, 4)), y=np.zeros(29, int)))
    assert outcome.code == 3
    assert "30" in outcome.err
    assert "29" in outcome.err
