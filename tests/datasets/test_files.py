"""Reading a file whole."""

from __future__ import annotations

import sys

import pytest

from gpudl.datasets._files import read_file
from gpudl.errors import DataError


def test_bytes_come_back(tmp_path):
    (tmp_path / "a.bin").write_bytes(b"\0\xff")
    assert read_file(tmp_path / "a.bin") == b"\0\xff"
    assert read_file(str(tmp_path / "a.bin")) == b"\0\xff"


def test_a_tilde_is_the_home_folder(tmp_path, monkeypatch):
    for variable in ("HOME", "USERPROFILE"):
        monkeypatch.setenv(variable, str(tmp_path))
    (tmp_path / "a.bin").write_bytes(b"home")
    assert read_file("~/a.bin") == b"home"


def test_a_missing_file_names_the_nearest(tmp_path):
    (tmp_path / "iris.csv").touch()
    with pytest.raises(DataError, match=r'irsi\.csv: no such file; did you mean "iris\.csv"\?'):
        read_file(tmp_path / "irsi.csv")


def test_a_missing_file_says_where_it_was_looked_for(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(DataError) as caught:
        read_file("iris.csv")
    assert str(caught.value) == f"iris.csv: no such file; looked in {tmp_path}"


def test_a_missing_folder_is_named(tmp_path):
    with pytest.raises(DataError) as caught:
        read_file(tmp_path / "data" / "iris.csv")
    assert f"its folder {tmp_path / 'data'} does not exist" in str(caught.value)


@pytest.mark.skipif(sys.platform == "win32", reason="Windows calls it a lack of permission")
@pytest.mark.parametrize("path", ["", "sub"])
def test_a_folder_is_not_a_file(tmp_path, monkeypatch, path):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "sub").mkdir()
    with pytest.raises(DataError, match=f"^{path}: is a folder, expected a file"):
        read_file(path)


def test_an_impossible_name_is_reported():
    with pytest.raises(DataError, match=r"cannot be read .*null.*check its name and permissions"):
        read_file("a\0b")
