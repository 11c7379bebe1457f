"""Writing files: whole or not at all."""

from __future__ import annotations

import errno
import os
from pathlib import Path
from typing import Any

import pytest

from gpudl.errors import TrainingError
from gpudl.files import write_atomically


def test_writes_makes_folders_and_replaces(tmp_path: Path) -> None:
    path = tmp_path / "a" / "b.bin"
    write_atomically(path, b"one")
    write_atomically(str(path), b"second")
    assert path.read_bytes() == b"second"
    assert [p.name for p in path.parent.iterdir()] == ["b.bin"]
    assert os.stat(path).st_mode & 0o777 == 0o644


@pytest.mark.parametrize("failing", ["fsync", "replace", "chmod"])
def test_a_failure_at_any_point_costs_nothing(failing: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "b.bin"
    write_atomically(path, b"old")

    def fail(*_: Any, **__: Any) -> Any:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with monkeypatch.context() as broken:
        broken.setattr(os, failing, fail)
        with pytest.raises(TrainingError, match=r"cannot write 5,000 bytes: no space is left on the disk; .*unchanged"):
            write_atomically(path, b"x" * 5000)
    assert path.read_bytes() == b"old"
    assert [p.name for p in tmp_path.iterdir()] == ["b.bin"]


def test_a_folder_where_the_file_should_be(tmp_path: Path) -> None:
    (tmp_path / "b.bin").mkdir()
    with pytest.raises(TrainingError, match=r"b\.bin: cannot write"):
        write_atomically(tmp_path / "b.bin", b"x")
    assert [p.name for p in tmp_path.iterdir()] == ["b.bin"]


def test_a_file_where_the_folder_should_be(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"")
    with pytest.raises(TrainingError, match="cannot write 1 bytes"):
        write_atomically(tmp_path / "a" / "b.bin", b"x")


def test_an_interruption_while_writing_leaves_no_litter(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Ctrl-C is no OSError, but must not leave half a file either."""

    def interrupt(*_: Any) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as broken:
        broken.setattr(os, "fsync", interrupt)
        with pytest.raises(KeyboardInterrupt):
            write_atomically(tmp_path / "b.bin", b"x")
    assert list(tmp_path.iterdir()) == []
