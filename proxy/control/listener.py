"""The listening sockets, and the runtime directory with its lock, which only one instance may own."""

from __future__ import annotations

import errno
import fcntl
import os
import socket
from pathlib import Path

from proxy import owned
from proxy.control.errors import StartupError
from proxy.control.holders import in_use

BACKLOG = 4096  # the kernel caps it at net.core.somaxconn
LOCK_NAME = "lock"
TCP_NOTSENT_LOWAT = 25  # of Linux; Python has no name for it
# Bytes of an answer that the kernel takes for a client ahead of what it has sent. It would take megabytes,
# and until they are full whoever reads slowly would look like one who does not.
UNSENT = 128 * 1024


class AddressTaken(StartupError):
    """Another socket listens there."""


def resolve(setting: str, address: str) -> tuple[socket.AddressFamily, tuple[str, int]]:
    """`host:port` (IPv6 hosts in brackets) as family and (numeric host, port). Raises StartupError."""
    host, _, port = address.rpartition(":")
    try:
        found = socket.getaddrinfo(
            host.strip("[]") or None, int(port), type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )
    except (OSError, ValueError) as error:
        raise StartupError(f"{setting}: {address!r} is not an address of this machine: {error}") from error
    family, _, _, _, name = found[0]
    return family, (str(name[0]), int(name[1]))


def listen(setting: str, address: str) -> socket.socket:
    """A listening, non-blocking TCP socket. Raises AddressTaken, or StartupError that names `setting`."""
    family, name = resolve(setting, address)
    sock = socket.socket(family, socket.SOCK_STREAM)
    try:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)  # accepted sockets inherit it
        sock.setsockopt(socket.IPPROTO_TCP, TCP_NOTSENT_LOWAT, UNSENT)  # and this
        sock.bind(name)
        sock.listen(BACKLOG)
    except OSError as error:
        sock.close()
        if error.errno == errno.EADDRINUSE:
            raise AddressTaken(
                f"{setting}: {address} is {in_use(name[1])}, or choose another address"
            ) from error
        raise StartupError(f"{setting}: cannot listen on {address}: {error.strerror}") from error
    sock.setblocking(False)
    return sock


def address_of(sock: socket.socket) -> tuple[str, int]:
    """(numeric host, port) that the TCP socket listens on."""
    name = sock.getsockname()
    return str(name[0]), int(name[1])


def same_socket(one: socket.socket, other: socket.socket) -> bool:
    """Whether two descriptors are of one socket."""
    return os.path.sameopenfile(one.fileno(), other.fileno())


def display(sock: socket.socket) -> str:
    """`host:port`, with brackets around an IPv6 host."""
    host, port = address_of(sock)
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


class RuntimeDir:
    """The instance's runtime directory, held with a lock until `release`.

    Made with mode 0700. One that exists and is not ours alone (a mounted volume, /tmp) keeps its mode; `path`
    is then a directory of this user in it, which is.
    """

    def __init__(self, path: str) -> None:
        """Raises StartupError if it cannot be made or another instance holds it."""
        self.path = Path(path).absolute()
        try:
            self.path = owned.make_private(self.path)
            self._lock = owned.open_own(self.path / LOCK_NAME, os.O_RDWR | os.O_CREAT)
        except OSError as error:
            place = error.filename or self.path
            raise StartupError(f"server.runtime_dir: cannot use {place}: {error.strerror}") from error
        try:
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            holder = os.pread(self._lock, 32, 0).decode("ascii", "replace").strip()
            os.close(self._lock)
            raise StartupError(
                f"server.runtime_dir: {self.path} is in use by another instance (pid {holder}); "
                f"end it with `kill {holder}`, or give this instance its own directory"
            ) from error
        os.ftruncate(self._lock, 0)
        os.pwrite(self._lock, f"{os.getpid()}\n".encode(), 0)

    def release(self) -> None:
        os.close(self._lock)
