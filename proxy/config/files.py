"""Replaces a file's content in one step."""

from __future__ import annotations

import contextlib
import os
import stat
import tempfile
from pathlib import Path


class Changed(Exception):
    """Somebody else wrote the file meanwhile."""


def replace(path: str | os.PathLike[str], old: bytes, new: bytes) -> None:
    """Writes `new` if the file still holds `old`. A reader sees the one or the other, never a part.

    Keeps mode and, where permitted, owner; a symbolic link goes on pointing at the same file. Raises Changed
    or OSError, and then the file is as it was.
    """
    real = Path(os.path.realpath(path))
    before = real.stat()
    handle, name = tempfile.mkstemp(prefix=f".{real.name}.", dir=real.parent)
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(new)
            file.flush()
            with contextlib.suppress(PermissionError):  # only root may give files away
                os.fchown(file.fileno(), before.st_uid, before.st_gid)
            os.fchmod(file.fileno(), stat.S_IMODE(before.st_mode))
            os.fsync(file.fileno())
        if real.read_bytes() != old:
            raise Changed(str(path))
        os.replace(name, real)
    except BaseException:
        with contextlib.suppress(FileNotFoundError):
            os.unlink(name)
        raise
