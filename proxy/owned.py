"""Uses files, directories and sockets only if they belong to this user, are not links, and are closed to
others.

`server.runtime_dir` may be a directory to which others can write: a volume that containers share, or /tmp.
What somebody else has put there must not be followed, trusted, or given any information.
"""

from __future__ import annotations

import errno
import os
import socket
import stat
import struct
from pathlib import Path
from typing import Final, NamedTuple

DIRECTORY: Final = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
ROOT: Final = 0
_CREDENTIALS: Final = struct.Struct("iII")  # struct ucred: pid, uid, gid


class NotOurs(OSError):
    """Somebody else's, or not what it should be; `strerror` says what and what to do."""

    def __init__(self, path: Path | str, why: str) -> None:
        super().__init__(errno.EPERM, why, str(path))


class Peer(NamedTuple):
    """Who is at the other end of a unix socket: the process that connected, or that listens."""

    pid: int
    uid: int


def is_private(path: Path) -> bool:
    """Whether the directory is ours and nobody else may enter it. Raises OSError."""
    found = path.stat()
    return found.st_uid == os.geteuid() and not found.st_mode & 0o077


def subdirectory(folder: Path) -> Path:
    """The directory of this user in a shared one; it may not exist."""
    return folder / f"uid-{os.geteuid()}"


def make_private(path: Path) -> Path:
    """`path` if it is ours and closed to others, made so if it does not exist; else our own directory in it.

    Raises OSError. One that belongs to somebody else, or is a link that somebody else has made, is NotOurs.
    """
    path.mkdir(mode=0o700, parents=True, exist_ok=True)
    link = path.lstat()
    if stat.S_ISLNK(link.st_mode) and link.st_uid not in (ROOT, os.geteuid()):
        raise NotOurs(path, f"it is a link created by another user ({link.st_uid}); remove it")
    if is_private(path):
        return path
    own = subdirectory(path)
    try:
        own.mkdir(mode=0o700)
    except FileExistsError:
        """From an earlier start, if it is ours."""
    try:
        fd = os.open(own, DIRECTORY)
    except OSError as error:
        if error.errno in (errno.ENOTDIR, errno.ELOOP):
            raise NotOurs(own, "it is not a directory; remove it") from None
        raise
    try:
        owner = os.fstat(fd).st_uid
        if owner != os.geteuid():
            raise NotOurs(own, f"it belongs to another user ({owner}); remove it")
        os.fchmod(fd, 0o700)  # volumes are opened to a group at each start of a pod
    finally:
        os.close(fd)
    return own


def find_private(path: Path) -> Path | None:
    """What `make_private` has made of `path`; None if there is nothing that we may use."""
    for each in (path, subdirectory(path)):
        try:
            if is_private(each) or (os.geteuid() == 0 and not each.stat().st_mode & 0o077):
                return each
        except OSError:
            continue
    return None


def open_own(path: Path, flags: int, owner: int | None = None) -> int:
    """A descriptor of a plain file of ours (or `owner`'s), made with mode 0600 if `flags` say so.

    Raises OSError; NotOurs if it is somebody else's, or a link. One that others could read is closed to them.
    """
    try:
        fd = os.open(path, flags | os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK, 0o600)
    except OSError as error:
        if path.is_symlink():
            raise NotOurs(path, "it is a link; remove it") from error
        raise
    found = os.fstat(fd)
    why = _foreign(found, os.geteuid() if owner is None else owner)
    if why:
        os.close(fd)
        raise NotOurs(path, f"{why}; remove it")
    if owner is None and found.st_mode & 0o077:
        os.fchmod(fd, 0o600)
    return fd


def replace(path: Path, content: bytes, *, durable: bool = True) -> None:
    """A file of ours with this content: whole, or as it was. `durable`: on disk when it returns.

    Raises OSError.
    """
    beside = path.with_name(path.name + ".new")
    beside.unlink(missing_ok=True)
    with os.fdopen(open_own(beside, os.O_WRONLY | os.O_CREAT | os.O_EXCL), "wb") as file:
        file.write(content)
        file.flush()
        if durable:
            os.fsync(file.fileno())
    beside.replace(path)
    if not durable:
        return
    folder = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)


def _foreign(found: os.stat_result, owner: int) -> str:
    """Why this is no plain file of ours; "" if it is one."""
    if not stat.S_ISREG(found.st_mode):
        return "it is not a file"
    if found.st_uid != owner:
        return f"it belongs to another user ({found.st_uid})"
    if found.st_nlink != 1:
        return "it has a second hard link"
    return ""


def peer(sock: socket.socket) -> Peer | None:
    """None where the system does not tell."""
    if not hasattr(socket, "SO_PEERCRED"):
        return None
    data = sock.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _CREDENTIALS.size)
    pid, uid, _ = _CREDENTIALS.unpack(data)
    return Peer(pid, uid)


def check_peer(sock: socket.socket, path: Path | str) -> Peer | None:
    """Who is there; raises NotOurs if it is another user."""
    found = peer(sock)
    if found is not None and found.uid != os.geteuid():
        raise NotOurs(path, f"another user ({found.uid}) is at the other end")
    return found
