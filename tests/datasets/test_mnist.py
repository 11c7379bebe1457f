"""MNIST and Fashion-MNIST: where their files are found, how they are fetched, and what is wrong with bad ones."""

from __future__ import annotations

import gzip
import hashlib
import sys
import types
from pathlib import Path

import numpy as np
import pytest

from gpudl.datasets import FashionMnist, Mnist, fashion_mnist, mnist
from gpudl.datasets._mnist_family import FILES
from gpudl.errors import DataError

TWINS = pytest.mark.parametrize(("module", "cls"), [(mnist, Mnist), (fashion_mnist, FashionMnist)], ids=["m", "f"])


@pytest.fixture
def data_dir(tmp_path, monkeypatch, no_data, no_pooch):
    """An empty folder that GPUDL_DATA_DIR names, on a machine without cache or pooch."""
    folder = tmp_path / "data"
    folder.mkdir()
    monkeypatch.setenv("GPUDL_DATA_DIR", str(folder))
    return folder


@TWINS
@pytest.mark.parametrize("gzipped", [False, True])
def test_files_in_the_data_folder(data_dir, small_mnist, write_files, module, cls, gzipped):
    write_files(data_dir / module.SOURCE.name, small_mnist, gzipped)
    (x_train, y_train), (x_test, y_test) = module.load_data()
    assert (x_train.shape, y_train.shape) == ((30, 28, 28), (30,))
    assert (x_test.shape, y_test.shape) == ((12, 28, 28), (12,))
    assert {array.dtype.name for array in (x_train, y_train, x_test, y_test)} == {"uint8"}
    assert x_train.tobytes() == small_mnist["train-images-idx3-ubyte"][16:]
    assert y_test.tobytes() == small_mnist["t10k-labels-idx1-ubyte"][8:]

    data = cls().load()
    assert data.x_train.shape == (30, 28, 28, 1)
    assert data.x_train.dtype == np.uint8
    assert data.y_train.dtype == np.int64
    np.testing.assert_array_equal(data.x_train[..., 0], x_train)
    np.testing.assert_array_equal(data.x_test[..., 0], x_test)
    np.testing.assert_array_equal(data.y_train, y_train)
    np.testing.assert_array_equal(data.y_test, y_test)
    assert len(data.class_names) == 10
    assert cls.status() == f"found in {data_dir / module.SOURCE.name}"


def test_class_names():
    assert fashion_mnist.SOURCE.class_names[0] == "T-shirt/top"
    assert fashion_mnist.SOURCE.class_names[9] == "Ankle boot"
    assert mnist.SOURCE.class_names == tuple("0123456789")


def test_the_data_folder_goes_before_the_cache(data_dir, no_data, encode_idx, small_mnist, write_files):
    write_files(no_data / "mnist", small_mnist)
    other = small_mnist | {"train-labels-idx1-ubyte": encode_idx(np.full(30, 3, np.uint8))}
    write_files(data_dir / "mnist", other, gzipped=True)
    assert (mnist.load_data()[0][1] == 3).all()


def test_a_file_missing_from_the_data_folder_is_taken_from_the_cache(data_dir, no_data, small_mnist, write_files):
    write_files(no_data / "mnist", small_mnist)
    write_files(data_dir / "mnist", dict(list(small_mnist.items())[:2]))
    assert len(mnist.load_data()[1][0]) == 12
    assert Mnist.status() == f"found in {data_dir / 'mnist'} and {no_data / 'mnist'}"


def test_the_cache_serves_without_a_data_folder(no_data, no_pooch, small_mnist, write_files):
    write_files(no_data / "mnist", small_mnist)
    assert len(mnist.load_data()[0][0]) == 30
    assert Mnist.status() == f"found in {no_data / 'mnist'}"


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has LOCALAPPDATA")
def test_the_cache_is_in_the_home_folder_by_default(monkeypatch, no_data, no_pooch, tmp_path, small_mnist, write_files):
    monkeypatch.delenv("XDG_CACHE_HOME")
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    write_files(tmp_path / "home" / ".cache" / "gpudl" / "mnist", small_mnist)
    assert len(mnist.load_data()[0][0]) == 30


@pytest.mark.parametrize("as_file", [False, True])
def test_a_data_folder_that_is_none_is_an_error(monkeypatch, no_data, tmp_path, as_file):
    place = tmp_path / "nowhere"
    if as_file:
        place.touch()
    monkeypatch.setenv("GPUDL_DATA_DIR", str(place))
    for call in (mnist.load_data, fashion_mnist.load_data, Mnist().load, Mnist.status):
        with pytest.raises(DataError) as caught:
            call()
        assert str(caught.value).startswith(f"GPUDL_DATA_DIR={place} is not a folder; create it")


@TWINS
def test_without_files_and_pooch_both_remedies_are_named(data_dir, no_data, module, cls):
    name = module.SOURCE.name
    with pytest.raises(DataError) as caught:
        cls().load()
    message = str(caught.value)
    assert message.startswith(f"{name}: ")
    assert f"looked in {data_dir / name} and {no_data / name}" in message
    assert "pip install pooch" in message
    assert f"put the four files {', '.join(f'{file}.gz' for file in FILES)} into {data_dir / name}" in message
    assert cls.status() == "not found; will be downloaded (needs the data extra)"


def test_only_what_is_missing_is_called_missing(data_dir, small_mnist, write_files):
    files = {name: raw for name, raw in small_mnist.items() if name != "t10k-labels-idx1-ubyte"}
    write_files(data_dir / "mnist", files)
    with pytest.raises(DataError, match=r"^mnist: t10k-labels-idx1-ubyte not found, with or without \.gz"):
        mnist.load_data()


@pytest.mark.parametrize(
    ("file", "array", "message"),
    [
        (0, np.zeros((29, 28, 28), np.uint8), "images-idx3-ubyte holds 29 images, but .*labels.* holds 30 labels"),
        (3, np.zeros(13, np.uint8), "t10k-images-idx3-ubyte holds 12 images, but .*t10k-labels.* holds 13 labels"),
        (0, np.zeros((30, 27, 28), np.uint8), r"train-images.*: uint8 of shape \(30, 27, 28\), expected uint8 images"),
        (
            2,
            np.zeros((12, 784), np.uint8),
            r"t10k-images.*: uint8 of shape \(12, 784\), expected uint8 images of shape",
        ),
        (2, np.zeros((12, 28, 28), np.int8), "t10k-images.*: int8 of shape .*, expected uint8 images"),
        (1, np.zeros((30, 1), np.uint8), r"train-labels.*: uint8 of shape \(30, 1\), expected uint8 labels of shape"),
        (1, np.zeros(30, np.int32), "train-labels.*: int32 of shape .*, expected uint8 labels"),
        (1, np.arange(30, dtype=np.uint8), r"train-labels.*: label 29 at row 29 .*expected 0 to 9"),
    ],
)
def test_files_that_do_not_fit(data_dir, encode_idx, small_mnist, write_files, file, array, message):
    write_files(data_dir / "mnist", small_mnist | {FILES[file]: encode_idx(array)})
    with pytest.raises(DataError, match=message):
        Mnist().load()


def test_a_part_without_images_is_refused(data_dir, encode_idx, small_mnist, write_files):
    empty = {FILES[0]: encode_idx(np.zeros((0, 28, 28), np.uint8)), FILES[1]: encode_idx(np.zeros(0, np.uint8))}
    write_files(data_dir / "mnist", small_mnist | empty)
    with pytest.raises(DataError, match=r"holds 0 images.*at least one"):
        mnist.load_data()


@pytest.mark.parametrize("file", FILES)
def test_a_damaged_file_is_named(data_dir, small_mnist, write_files, file):
    write_files(data_dir / "mnist", small_mnist, gzipped=True)
    path = data_dir / "mnist" / f"{file}.gz"
    path.write_bytes(path.read_bytes()[:-20])
    with pytest.raises(DataError, match=f"{file}.gz: .*damaged gzip"):
        mnist.load_data()


class FakePooch(types.ModuleType):
    """Stands in for pooch, with the published files replaced by small ones."""

    def __init__(self, raw: dict[str, bytes], known: dict[str, str], error: Exception | None = None) -> None:
        super().__init__("pooch")
        self.raw, self.known, self.error = raw, known, error
        self.calls: list[str] = []

    def retrieve(self, url, known_hash, fname, path, progressbar):
        self.calls.append(url)
        assert known_hash == f"md5:{self.known[fname]}"
        assert isinstance(progressbar, bool)
        if self.error:
            raise self.error
        Path(path).mkdir(parents=True, exist_ok=True)
        (Path(path) / fname).write_bytes(gzip.compress(self.raw[fname.removesuffix(".gz")]))
        return str(Path(path) / fname)


@pytest.fixture
def install_pooch(monkeypatch, no_data, small_mnist):
    def install(module, error=None):
        known = {f"{file}.gz": md5 for file, md5 in zip(FILES, module.SOURCE.md5, strict=True)}
        fake = FakePooch(small_mnist, known, error)
        monkeypatch.setitem(sys.modules, "pooch", fake)
        return fake

    return install


@TWINS
def test_missing_files_are_downloaded_once_into_the_cache(no_data, install_pooch, module, cls):
    fake = install_pooch(module)
    assert cls.status() == "not found; will be downloaded"
    assert fake.calls == []
    assert len(cls().load().x_train) == 30
    assert fake.calls == [f"{module.SOURCE.url}{file}.gz" for file in FILES]
    assert all((no_data / module.SOURCE.name / f"{file}.gz").is_file() for file in FILES)
    assert cls.status() == f"found in {no_data / module.SOURCE.name}"
    assert len(module.load_data()[1][1]) == 12
    assert len(fake.calls) == 4


def test_only_what_is_missing_is_downloaded(tmp_path, monkeypatch, install_pooch, small_mnist, write_files):
    write_files(tmp_path / "data" / "mnist", dict(list(small_mnist.items())[1:]))
    monkeypatch.setenv("GPUDL_DATA_DIR", str(tmp_path / "data"))
    fake = install_pooch(mnist)
    mnist.load_data()
    assert fake.calls == ["https://ossci-datasets.s3.amazonaws.com/mnist/train-images-idx3-ubyte.gz"]


def test_a_wrong_checksum(no_data, install_pooch):
    install_pooch(mnist, ValueError("MD5 hash of downloaded file does not match the known hash"))
    with pytest.raises(DataError) as caught:
        mnist.load_data()
    message = str(caught.value)
    assert (
        "mnist: https://ossci-datasets.s3.amazonaws.com/mnist/train-images-idx3-ubyte.gz is not the expected" in message
    )
    assert mnist.SOURCE.md5[0] in message
    assert "does not match the known hash" in message
    assert f"put it into {no_data / 'mnist'}" in message


def test_no_network(no_data, install_pooch):
    install_pooch(fashion_mnist, ConnectionError("name resolution failed"))
    with pytest.raises(DataError) as caught:
        FashionMnist().load()
    message = str(caught.value)
    assert "train-images-idx3-ubyte.gz cannot be downloaded" in message
    assert "name resolution failed" in message
    assert f"put it into {no_data / 'fashion_mnist'}" in message


def test_the_real_pooch_takes_the_same_arguments():
    pooch = pytest.importorskip("pooch")
    import inspect

    inspect.signature(pooch.retrieve).bind("url", known_hash="md5:0", fname="f", path=Path(), progressbar=False)


def test_the_real_mnist(real_mnist, encode_idx):
    (x_train, y_train), (x_test, y_test) = mnist.load_data()
    md5s = [hashlib.md5(encode_idx(array)).hexdigest() for array in (x_train, y_train, x_test, y_test)]
    assert md5s == [
        "6bbc9ace898e44ae57da46a324031adb",
        "a25bea736e30d166cdddb491f175f624",
        "2646ac647ad5339dbf082846283269ea",
        "27ae3e4e09519cfbb04c329615203637",
    ]
    assert x_train.shape == (60000, 28, 28)
    assert x_test.shape == (10000, 28, 28)
