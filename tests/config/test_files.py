from __future__ import annotations

import errno
import os
import stat
from pathlib import Path

import pytest

from proxy.config.files import Changed, replace

MOUNTED = OSError(errno.EBUSY, "Device or resource busy")


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


@pytest.fixture(params=["mount-point", "folder-of-others"])
def irreplaceable(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A file whose folder takes no other in its place; only it can be written."""

    def refuse(*_: object, **__: object) -> None:
        raise MOUNTED if request.param == "mount-point" else OSError(errno.EROFS, "Read-only file system")

    if request.param == "mount-point":
        monkeypatch.setattr("proxy.config.files.os.replace", refuse)
    else:
        monkeypatch.setattr("proxy.config.files.tempfile.mkstemp", refuse)
    path = tmp_path / "a.yaml"
    path.write_bytes(b"old and longer")
    path.chmod(0o640)
    return path


def test_a_mounted_file_is_written_in_place_with_a_warning(irreplaceable: Path) -> None:
    before = irreplaceable.stat()
    assert "Mount the directory" in replace(irreplaceable, b"old and longer", b"new")
    assert irreplaceable.read_bytes() == b"new"
    after = irreplaceable.stat()
    assert (after.st_ino, after.st_mode) == (before.st_ino, before.st_mode)
    assert os.listdir(irreplaceable.parent) == ["a.yaml"]


def test_a_mounted_file_that_others_changed_is_left_alone(irreplaceable: Path) -> None:
    with pytest.raises(Changed):
        replace(irreplaceable, b"old", b"new")
    assert irreplaceable.read_bytes() == b"old and longer"
    assert os.listdir(irreplaceable.parent) == ["a.yaml"]


def test_what_fails_in_the_middle_of_a_mounted_file_is_put_right_again(
    irreplaceable: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write, calls = os.pwrite, []

    def full(fd: int, data: bytes, offset: int) -> int:
        calls.append(offset)
        if len(calls) == 2:
            raise OSError(errno.ENOSPC, "No space left on device")
        return write(fd, data[:2] if len(calls) == 1 else data, offset)

    monkeypatch.setattr("proxy.config.files.os.pwrite", full)
    with pytest.raises(OSError, match="No space left"):
        replace(irreplaceable, b"old and longer", b"new")
    assert irreplaceable.read_bytes() == b"old and longer"


def test_a_file_that_is_replaced_as_usual_warns_of_nothing(tmp_path: Path) -> None:
    path = tmp_path / "a.yaml"
    path.write_bytes(b"old")
    assert replace(path, b"old", b"new") == ""
