"""Replaces a file's content, in one step wherever the file system has one."""

from __future__ import annotations

import contextlib
import errno
import os
import stat
import tempfile
from pathlib import Path
from typing import Final

_BUSY: Final = frozenset({errno.EBUSY, errno.EXDEV})  # the file is a mount point
_NO_FOLDER: Final = frozenset({errno.EROFS, errno.EACCES, errno.EPERM})  # only the file itself may be written

IN_PLACE: Final = (
    "it could not be replaced in one step ({reason}), so it was written in place: a reader at that moment "
    "may see a part of it. Mount the directory instead of the file to avoid this"
)


class Changed(Exception):
    """Somebody else wrote the file meanwhile."""


def replace(path: str | os.PathLike[str], old: bytes, new: bytes) -> str:
    """Writes `new` if the file still holds `old`. A reader sees the one or the other, never a part.

    A file that is a mount point of its own (`docker -v ./routing.yaml:/etc/routing.yaml`) cannot be replaced:
    it is written in place, and what is returned warns of that; otherwise that is empty. Keeps mode and, where
    permitted, owner; a symbolic link goes on pointing at the same file. Raises Changed or OSError, and then
    the file is as it was.
    """
    real = Path(os.path.realpath(path))
    before = real.stat()
    try:
        handle, name = tempfile.mkstemp(prefix=f".{real.name}.", dir=real.parent)
    except OSError as error:
        if error.errno not in _NO_FOLDER:
            raise
        return _in_place(real, old, new, error)
    try:
        _fill(handle, new, before)
        if real.read_bytes() != old:
            raise Changed(str(path))
        os.replace(name, real)
    except BaseException as error:
        with contextlib.suppress(FileNotFoundError):
            os.unlink(name)
        if isinstance(error, OSError) and error.errno in _BUSY:
            return _in_place(real, old, new, error)
        raise
    return ""


def _fill(handle: int, new: bytes, before: os.stat_result) -> None:
    with os.fdopen(handle, "wb") as file:
        file.write(new)
        file.flush()
        with contextlib.suppress(PermissionError):  # only root may give files away
            os.fchown(file.fileno(), before.st_uid, before.st_gid)
        os.fchmod(file.fileno(), stat.S_IMODE(before.st_mode))
        os.fsync(file.fileno())


def _in_place(real: Path, old: bytes, new: bytes, why: OSError) -> str:
    """One write, so that a reader meets a part as seldom as can be; what fails is put right again."""
    with real.open("r+b", buffering=0) as file:
        if file.read() != old:
            raise Changed(str(real))
        try:
            _overwrite(file.fileno(), new)
        except OSError:
            _overwrite(file.fileno(), old)
            raise
    return IN_PLACE.format(reason=why.strerror)


def _overwrite(fd: int, data: bytes) -> None:
    done = 0
    while done < len(data):
        done += os.pwrite(fd, data[done:], done)
    os.ftruncate(fd, len(data))
    os.fsync(fd)
