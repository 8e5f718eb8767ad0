"""The control process's end of the channel: a named unix socket to which workers connect.

The first message of a connection is the worker's `Hello`, with its listening socket as ancillary data
(SCM_RIGHTS). A connection that sends anything else, or nothing, is closed.
"""

from __future__ import annotations

import asyncio
import os
import socket
from contextlib import suppress
from pathlib import Path
from typing import Protocol

import msgspec

from proxy import owned
from proxy.control.errors import StartupError
from proxy.control.hearing import Hearing
from proxy.control.log import log
from proxy.core.wire.framing import FrameReader, FrameTooLarge
from proxy.core.wire.messages import (
    MAX_MESSAGE,
    FromControl,
    FromWorker,
    Hello,
    UnknownType,
    decode_from_worker,
    encode,
)

SOCKET_NAME = "control.sock"
MAX_PATH = 107  # bytes in sockaddr_un.sun_path, less the closing zero (Linux; macOS has 103)
MAX_HELLO = 64 * 1024
HELLO_TIMEOUT = 5.0  # seconds
BACKLOG = 128
MOST_SILENT = 64  # connections whose Hello is awaited; of more, the oldest is hung up on
ACCEPT_AGAIN = 0.2  # seconds after descriptors ran out: the workers go on trying

_CLOEXEC = getattr(socket, "MSG_CMSG_CLOEXEC", 0)


class Link(asyncio.Protocol):
    """One worker's connection after its Hello. `listener` is the socket it sent; the owner closes it."""

    def __init__(self, hello: Hello, listener: socket.socket, rest: list[bytes], owner: Links) -> None:
        self.hello = hello
        self.listener = listener
        self._rest = rest
        self._owner = owner
        self._transport: asyncio.Transport | None = None
        self.frames = FrameReader()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport
        self._owner.on_hello(self)
        self._deliver(self._rest)

    def data_received(self, data: bytes) -> None:
        try:
            self._deliver(self.frames.feed(data))
        except FrameTooLarge as error:
            self._hang_up(error)

    def connection_lost(self, exc: Exception | None) -> None:
        self._transport = None
        self._owner.on_lost(self)

    def send(self, message: FromControl) -> None:
        """Queues the message. A worker that leaves too much unread is disconnected, and reconnects."""
        if self._transport is None or self._transport.is_closing():
            return
        if self._transport.get_write_buffer_size() > MAX_MESSAGE:
            self._hang_up(ValueError(f"more than {MAX_MESSAGE} bytes are unread"))
            return
        self._transport.write(encode(message))

    def abort(self) -> None:
        if self._transport is not None:
            self._transport.abort()

    def _deliver(self, bodies: list[bytes]) -> None:
        try:
            for body in bodies:
                with suppress(UnknownType):  # a worker that an older control process takes over
                    self._owner.on_message(self, decode_from_worker(body))
        except msgspec.DecodeError as error:
            self._hang_up(error)

    def _hang_up(self, error: Exception) -> None:
        log.error(
            "closing the connection to worker %d (pid %d): %s", self.hello.worker, self.hello.pid, error
        )
        self.abort()


class Links(Protocol):
    """Receives notice of connections: implemented by the supervisor."""

    def on_hello(self, link: Link) -> None:
        """A worker introduced itself; `link` can be sent to from now on."""

    def on_message(self, link: Link, message: FromWorker) -> None: ...

    def on_lost(self, link: Link) -> None:
        """The connection is gone, after `on_hello`, whoever ended it."""


class ChannelServer:
    """Accepts workers on `path`, and passes each to `owner` after its Hello."""

    def __init__(self, path: Path, owner: Links, hearing: Hearing) -> None:
        self._hearing = hearing
        self.path = path
        self._owner = owner
        self._socket: socket.socket | None = None
        self._accepting: asyncio.Task[None] | None = None
        self._silent: dict[asyncio.Task[None], None] = {}  # oldest first

    def start(self) -> None:
        """Raises StartupError if the path is too long or the socket cannot be made."""
        if len(os.fsencode(self.path)) > MAX_PATH:
            raise StartupError(
                f"server.runtime_dir: the control socket's path {str(self.path)!r} has "
                f"{len(os.fsencode(self.path))} bytes; at most {MAX_PATH} are allowed: "
                "choose a shorter directory"
            )
        sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        try:
            self.path.unlink(missing_ok=True)  # left behind by a killed predecessor; we hold the lock
            before = os.umask(0o177)
            try:
                sock.bind(str(self.path))
            finally:
                os.umask(before)
            sock.listen(BACKLOG)
        except OSError as error:
            sock.close()
            raise StartupError(f"server.runtime_dir: cannot make {self.path}: {error.strerror}") from error
        sock.setblocking(False)
        self._socket = sock
        self._accepting = asyncio.get_running_loop().create_task(self._accept(sock))

    async def close(self) -> None:
        tasks = [*self._silent, *filter(None, [self._accepting])]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        if self._socket is not None:
            self._socket.close()
            self.path.unlink(missing_ok=True)

    async def _accept(self, sock: socket.socket) -> None:
        loop = asyncio.get_running_loop()
        while True:
            try:
                connection, _ = await loop.sock_accept(sock)
            except OSError as error:
                self._hearing.deaf = True
                log.error("cannot accept a worker: %s", error.strerror)
                await asyncio.sleep(ACCEPT_AGAIN)
                continue
            self._hearing.deaf = False
            connection.setblocking(False)
            if len(self._silent) >= MOST_SILENT:
                next(iter(self._silent)).cancel()
            task = loop.create_task(self._welcome(connection))
            self._silent[task] = None
            task.add_done_callback(self._silent.pop)

    async def _welcome(self, connection: socket.socket) -> None:
        loop = asyncio.get_running_loop()
        frames = FrameReader(limit=MAX_HELLO)
        try:
            async with asyncio.timeout(HELLO_TIMEOUT):
                peer = owned.check_peer(connection, self.path)
                hello, listener, rest = await receive_hello(connection, frames, peer)
        except (OSError, ValueError, msgspec.DecodeError) as error:
            connection.close()
            log.warning("refused a connection to %s: %s", self.path, str(error) or "it sent nothing")
            return
        except asyncio.CancelledError:
            connection.close()
            raise
        link = Link(hello, listener, rest, self._owner)
        frames.limit = MAX_MESSAGE
        link.frames = frames  # it may hold the start of the next message
        await loop.connect_accepted_socket(lambda: link, connection)


async def receive_hello(
    connection: socket.socket, frames: FrameReader, peer: owned.Peer | None = None
) -> tuple[Hello, socket.socket, list[bytes]]:
    """The peer's Hello, the listening socket that came with it, and complete messages that followed.

    `peer` is who the system says is there. Raises OSError, ValueError or msgspec.DecodeError if that is not
    one of our workers; every descriptor that it sent is closed then.
    """
    received: list[int] = []
    try:
        bodies: list[bytes] = []
        while not bodies:
            await _readable(connection)
            data, fds, _, _ = socket.recv_fds(connection, 64 * 1024, 4, _CLOEXEC)
            received += fds
            if not data:
                raise ConnectionResetError("it closed the connection before its first message")
            bodies = frames.feed(data)
        hello = decode_from_worker(bodies[0])
        if not isinstance(hello, Hello) or len(received) != 1:
            raise ValueError("the first message was not Hello with one socket")
        if peer is not None and hello.pid != peer.pid:  # whoever is named may be signalled and waited for
            raise ValueError(f"process {peer.pid} claims to be process {hello.pid}")
        return hello, _listening(received), bodies[1:]
    finally:
        for fd in received:
            os.close(fd)


def _listening(received: list[int]) -> socket.socket:
    """The received descriptor as a socket that now owns it; OSError or ValueError if it does not listen."""
    sock = socket.socket(fileno=received[0])
    received.clear()
    if not sock.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN):
        sock.close()
        raise ValueError("the descriptor that came with Hello is not a listening socket")
    sock.setblocking(False)
    return sock


async def _readable(sock: socket.socket) -> None:
    loop = asyncio.get_running_loop()
    ready = asyncio.Event()
    loop.add_reader(sock, ready.set)
    try:
        await ready.wait()
    finally:
        loop.remove_reader(sock)
