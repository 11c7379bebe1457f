"""The reader of .npz files, on sound and damaged ones."""

from __future__ import annotations

import io
import zipfile
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gpudl.datasets import Npz
from gpudl.errors import DataError


def npz(**arrays: Any) -> bytes:
    file = io.BytesIO()
    np.savez_compressed(file, **arrays)
    return file.getvalue()


@pytest.fixture
def fails(tmp_path):
    """Load bytes that are wrong and return the message."""

    def fails(raw):
        path = tmp_path / "data.npz"
        path.write_bytes(raw)
        with pytest.raises(DataError) as caught:
            Npz(str(path)).load()
        assert str(caught.value).startswith(f"{path}: ")
        return str(caught.value).removeprefix(f"{path}: ")

    return fails


@settings(derandomize=True, deadline=None)
@given(
    rows=st.integers(1, 6),
    test_rows=st.integers(0, 4),
    features=st.lists(st.integers(1, 4), max_size=3),
    seed=st.integers(0, 2**32),
    dtype=st.sampled_from(["uint8", "int64", ">i4", "float16", "float32", ">f8", "bool"]),
    short_names=st.booleans(),
    column_order=st.booleans(),
    compressed=st.booleans(),
)
def test_round_trip(scratch, rows, test_rows, features, seed, dtype, short_names, column_order, compressed):
    rng = np.random.default_rng(seed)
    x, x_test = (rng.integers(0, 100, (n, *features)).astype(dtype) for n in (rows, test_rows))
    y, y_test = (rng.integers(0, 10, n) for n in (rows, test_rows))
    arrays: dict[str, Any] = {"x": x, "y": y} if short_names else {"x_train": x, "y_train": y}
    if column_order:
        arrays = {name: np.asfortranarray(array) for name, array in arrays.items()}
    if test_rows:
        arrays |= {"x_test": x_test, "y_test": y_test}
    path = scratch / "round.npz"
    (np.savez_compressed if compressed else np.savez)(path, **arrays)
    data = Npz(str(path)).load()
    np.testing.assert_array_equal(data.x_train, x)
    np.testing.assert_array_equal(data.y_train, y)
    assert data.x_train.dtype == np.dtype(dtype).newbyteorder("=")
    assert data.x_train.dtype.isnative
    assert data.x_train.flags.c_contiguous
    if test_rows:
        np.testing.assert_array_equal(data.x_test, x_test)
        np.testing.assert_array_equal(data.y_test, y_test)
    else:
        assert data.x_test is None
        assert data.y_test is None


SOUND = npz(x=np.arange(12.0).reshape(4, 3), y=np.arange(4))


@settings(derandomize=True, deadline=None, max_examples=100)
@given(length=st.integers(0, len(SOUND) - 1))
def test_a_file_cut_short(scratch, length):
    path = scratch / "cut.npz"
    path.write_bytes(SOUND[:length])
    with pytest.raises(DataError, match=rf"cut\.npz: {length} bytes that are not a sound \.npz file .*copy it again"):
        Npz(str(path)).load()


@settings(derandomize=True, deadline=None, max_examples=500)
@given(place=st.integers(0, len(SOUND) - 1), flip=st.integers(1, 255))
def test_a_flipped_byte_never_gives_other_values(scratch, place, flip):
    damaged = bytearray(SOUND)
    damaged[place] ^= flip
    path = scratch / "flipped.npz"
    path.write_bytes(damaged)
    try:
        data = Npz(str(path)).load()
    except DataError as error:
        assert "flipped.npz: " in str(error)
    else:
        np.testing.assert_array_equal(data.x_train, np.arange(12.0).reshape(4, 3))
        np.testing.assert_array_equal(data.y_train, np.arange(4))


def test_long_names_win_and_other_arrays_are_left_alone(tmp_path):
    path = tmp_path / "a.npz"
    note = np.array([{"a": 1}], object)
    np.savez(path, x_train=np.ones((2, 1)), y_train=[1, 2], x=np.zeros((3, 1)), y=[0, 0, 0], note=note)
    assert Npz(str(path)).load().y_train.tolist() == [1, 2]


def test_missing_arrays_and_what_was_found(fails):
    message = fails(npz(images=np.ones(2), labels=np.ones(2)))
    assert 'no array "x", "y"; found "images", "labels"; save it with numpy.savez' in message
    assert 'no array "y_train"; found "x_train", "y"' in fails(npz(x_train=np.ones(2), y=np.ones(2)))
    assert 'no array "y_test"; found "x", "y", "x_test"' in fails(npz(x=np.ones(2), y=np.ones(2), x_test=np.ones(2)))
    assert 'no array "x_test"' in fails(npz(x=np.ones(2), y=np.ones(2), y_test=np.ones(2)))


def test_no_arrays_at_all(fails):
    file = io.BytesIO()
    zipfile.ZipFile(file, "w").close()
    assert 'no array "x", "y"; found none' in fails(file.getvalue())


@pytest.mark.parametrize("raw", [b"", b"hello", b"PK\3\4" + bytes(50)])
def test_not_a_zip(fails, raw):
    assert f"{len(raw)} bytes that are not a sound .npz file" in fails(raw)


def test_a_single_npy(fails):
    file = io.BytesIO()
    np.save(file, np.ones(3))
    assert "is a single .npy array, expected an .npz file of several; save it with numpy.savez" in fails(
        file.getvalue()
    )


def test_a_member_that_is_no_array(fails):
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        archive.writestr("x.npy", b"nonsense")
    assert 'array "x" cannot be read' in fails(file.getvalue())


def test_object_arrays_are_refused(fails):
    message = fails(npz(x=np.array([1, "a", None], object), y=np.arange(3)))
    assert 'array "x" cannot be read' in message
    assert "expected a plain array of numbers" in message


@pytest.mark.parametrize("array", [["a", "b"], [1j, 2j], np.array([1, 2], "datetime64[s]"), [b"a", b"b"]], ids=repr)
def test_arrays_that_are_no_numbers_are_refused(fails, array):
    dtype = np.asarray(array).dtype
    assert f'array "y" holds {dtype}, expected numbers' in fails(npz(x=np.ones((2, 3)), y=np.array(array)))


def test_lengths_that_differ(fails):
    assert "x_train has 3 rows but y_train has 2" in fails(npz(x_train=np.ones(3), y_train=np.ones(2)))
    both = {"x": np.ones(3), "y": np.ones(3)}
    assert "x_test has 1 rows but y_test has 2" in fails(npz(**both, x_test=np.ones(1), y_test=np.ones(2)))


def test_samples_of_other_shapes_in_the_test_part(fails):
    arrays = {"x": np.ones((2, 3)), "y": np.ones(2), "x_test": np.ones((2, 4)), "y_test": np.ones(2)}
    assert "rows of x have shape (3,), but rows of x_test (4,)" in fails(npz(**arrays))


@pytest.mark.parametrize("array", [np.float32(3), np.ones((0, 3))], ids=["scalar", "empty"])
def test_arrays_without_rows(fails, array):
    assert f'array "x" has shape {array.shape}, expected at least one row' in fails(npz(x=array, y=np.ones(3)))


def test_nan(fails):
    x = np.ones((4, 3), np.float32)
    x[2, 1] = np.nan
    message = fails(npz(x=x, y=np.ones(4)))
    assert 'array "x": 1 of 12 values are NaN or infinite, the first one (nan) at row 2, feature 1' in message


def test_a_missing_file(tmp_path):
    with pytest.raises(DataError, match=r"none\.npz: no such file"):
        Npz(str(tmp_path / "none.npz")).load()


def test_status():
    assert Npz.status() == "reads your file"
