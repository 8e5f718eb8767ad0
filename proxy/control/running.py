"""Tells commands which state database the running instance uses, because the file may name another one by
now.

This is stored in a file of the runtime directory, and valid while the control process holds a lock on it.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
from collections.abc import Iterator
from pathlib import Path

from proxy import owned
from proxy.control.errors import StartupError

NAME = "state"
MAX_URL = 64 * 1024


@contextlib.contextmanager
def announced_state(directory: Path, url: str) -> Iterator[None]:
    """Says for the length of the block that `url` is in use. Only readers hold the lock, for a moment.

    Raises StartupError.
    """
    path = directory / NAME
    try:
        fd = owned.open_own(path, os.O_RDWR | os.O_CREAT)
    except OSError as error:
        raise StartupError(f"server.runtime_dir: cannot use {path}: {error.strerror}") from error
    try:
        fcntl.flock(fd, fcntl.LOCK_EX)
        os.ftruncate(fd, 0)
        os.pwrite(fd, url.encode(), 0)
        yield
    finally:
        os.close(fd)


def running_state(directory: Path) -> str:
    """`server.state` of the instance with this `server.runtime_dir`; "" if none runs or we may not know."""
    try:
        folder = owned.find_private(directory)
        if folder is None:
            return ""
        fd = owned.open_own(folder / NAME, os.O_RDWR, folder.stat().st_uid)
    except OSError:
        return ""
    try:
        fcntl.flock(fd, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return os.pread(fd, MAX_URL, 0).decode("utf-8", "replace")
    finally:
        os.close(fd)
    return ""
