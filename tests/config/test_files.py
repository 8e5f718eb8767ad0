from __future__ import annotations

import os
import stat
from pathlib import Path

import pytest

from proxy.config.files import Changed, replace


def test_content_is_replaced_and_mode_kept(tmp_path: Path) -> None:
    path = tmp_path / "a.yaml"
    path.write_bytes(b"old")
    path.chmod(0o640)
    replace(path, b"old", b"new")
    assert path.read_bytes() == b"new"
    assert stat.S_IMODE(path.stat().st_mode) == 0o640
    assert os.listdir(tmp_path) == ["a.yaml"]


def test_symbolic_link_stays_one(tmp_path: Path) -> None:
    (tmp_path / "real").mkdir()
    real, link = tmp_path / "real" / "a.yaml", tmp_path / "a.yaml"
    real.write_bytes(b"old")
    link.symlink_to("real/a.yaml")
    replace(link, b"old", b"new")
    assert link.is_symlink()
    assert real.read_bytes() == b"new"


def test_file_changed_meanwhile_is_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "a.yaml"
    path.write_bytes(b"somebody else's")
    with pytest.raises(Changed):
        replace(path, b"old", b"new")
    assert path.read_bytes() == b"somebody else's"
    assert os.listdir(tmp_path) == ["a.yaml"]


def test_missing_file_is_an_error_and_is_not_made(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        replace(tmp_path / "a.yaml", b"", b"new")
    assert os.listdir(tmp_path) == []


def test_reader_never_sees_a_part(tmp_path: Path) -> None:
    """The old inode is whole for who has it open; the new one is there at once."""
    path = tmp_path / "a.yaml"
    path.write_bytes(b"old")
    with path.open("rb") as reader:
        replace(path, b"old", b"new and longer")
        assert reader.read() == b"old"
    assert path.read_bytes() == b"new and longer"
