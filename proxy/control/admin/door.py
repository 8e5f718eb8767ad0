"""Lets connections into the admin port, and those out that keep it busy without using it.

uvicorn has no time limit for a connection that says nothing or leaves a request half sent, and asyncio's
own accepting, out of descriptors, logs and schedules thousands of attempts at once. So: an accept loop with
a cap, and limits on how long a client may keep us waiting. Who has said nothing yet waits in the lobby, as a
bare socket. At the cap the newcomer gets in and another makes room: the oldest of the lobby, else the one
that has kept us waiting longest. Whoever speaks at once is answered, however many are silent or keep coming.
"""

from __future__ import annotations

import asyncio
import errno
import socket
from collections.abc import Callable
from typing import Final

import h11
from uvicorn import Config
from uvicorn.protocols.http.h11_impl import H11Protocol
from uvicorn.server import ServerState

from proxy.control.descriptors import EXHAUSTED
from proxy.control.log import log

SWEEP = 1.0  # seconds between two looks at all connections
MOST_AT_ONCE: Final = 64  # accepted before anybody else has a turn
PEEK: Final = 4096  # bytes of a newcomer that are looked at, for the end of a head
PAUSE: Final = 0.1  # seconds without accepting after descriptors ran out

# What we wait for, and for how many seconds at most. Work of our own has limits of its own.
HEAD: Final = "head"  # of the first request, or of the next one
BODY: Final = "body"
READER: Final = "reader"  # of an answer
WORK: Final = "work"
LIMITS = {HEAD: 10.0, BODY: 20.0, READER: 20.0}

ORDER: Final = (HEAD, BODY, READER, WORK)  # in which they make room


class AdminConnection(H11Protocol):
    """One client, and since when it keeps us waiting. `asked`: its first request's head was there at once."""

    def __init__(self, door: Door, config: Config, state: ServerState, asked: bool) -> None:
        super().__init__(config, state, {})
        self._asked = asked
        self._door = door
        self._since = self.loop.time()
        self._paused: float | None = None  # since when it does not read
        self._unsent = 0  # at the last look

    def waits(self) -> tuple[str, float]:
        """What for, and since when."""
        if self._paused is not None:
            return READER, self._paused
        if self.transport.is_closing():
            return READER, self._since
        if self.cycle is None and self._asked:
            return WORK, self._since
        if self.cycle is None or self.cycle.response_complete:
            return (READER if self.transport.get_write_buffer_size() else HEAD), self._since
        return (BODY if self.cycle.more_body else WORK), self._since

    def overdue(self) -> bool:
        """Whether it has kept us waiting for too long. A reader may be slow, but not stand still."""
        now, unsent = self.loop.time(), self.transport.get_write_buffer_size()
        what, since = self.waits()
        if what == READER and unsent < self._unsent:
            self._since = since = now
            self._paused = None if self._paused is None else now
        self._unsent = unsent
        return now - since > LIMITS.get(what, float("inf"))

    def abort(self) -> None:
        self.transport.abort()

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self._door.entered(self)

    def connection_lost(self, exc: Exception | None) -> None:
        super().connection_lost(exc)
        self._door.left(self)

    def data_received(self, data: bytes) -> None:
        before = self.cycle
        super().data_received(data)
        self._asked = False  # if it has, there is a cycle now
        if self.cycle is not before:
            self._since = self.loop.time()

    def on_response_complete(self) -> None:
        self._since = self.loop.time()
        if self.conn.their_state is h11.DONE and self.conn.trailing_data[0]:
            self.transport.close()  # requests ahead of their answers: hundreds, from one that need not read
            return
        super().on_response_complete()

    def pause_writing(self) -> None:
        self._paused = self.loop.time()
        super().pause_writing()

    def resume_writing(self) -> None:
        self._paused = None
        self._since = self.loop.time()
        super().resume_writing()


class Door:
    """Accepts on `sock`; at most `cap` connections stay. `connection` makes the protocol of one."""

    def __init__(
        self, sock: socket.socket, cap: int, connection: Callable[[Door, bool], AdminConnection]
    ) -> None:
        self._socket = sock
        self._cap = cap
        self._connection = connection
        self._lobby: dict[socket.socket, float] = {}  # since when; oldest first
        self._entering: set[asyncio.Task[None]] = set()
        self._inside: dict[AdminConnection, None] = {}
        self._loop = asyncio.get_running_loop()
        self._sweeping = self._loop.call_later(SWEEP, self._sweep)
        self._open()

    def close(self) -> None:
        """Lets nobody in any more."""
        self._sweeping.cancel()
        self._loop.remove_reader(self._socket)
        self._socket.close()
        for client in list(self._lobby):
            self._dismiss(client)
        for task in self._entering:
            task.cancel()

    def entered(self, connection: AdminConnection) -> None:
        self._inside[connection] = None

    def left(self, connection: AdminConnection) -> None:
        self._inside.pop(connection, None)

    def _open(self) -> None:
        if self._socket.fileno() >= 0:
            self._loop.add_reader(self._socket, self._accept)

    def _accept(self) -> None:
        for _ in range(min(MOST_AT_ONCE, max(1, self._cap // 2))):
            if len(self._entering) >= max(1, self._cap // 2):
                return  # they cannot make room yet
            try:
                client, _ = self._socket.accept()
            except OSError as error:
                if error.errno in EXHAUSTED:
                    self._pause(error)
                if error.errno == errno.ECONNABORTED:
                    continue
                return
            client.setblocking(False)
            while len(self._lobby) + len(self._entering) + len(self._inside) >= self._cap:
                if not self._make_room():
                    break
            self._greet(client)

    def _greet(self, client: socket.socket) -> None:
        """Lets it in if it speaks, else into the lobby."""
        self._dismissed(client)
        try:
            said = client.recv(PEEK, socket.MSG_PEEK)
        except BlockingIOError:
            self._lobby[client] = self._loop.time()
            self._loop.add_reader(client, self._greet, client)
            return
        except OSError:
            said = b""
        if not said:
            client.close()
            return
        task = self._loop.create_task(self._let_in(client, b"\r\n\r\n" in said))
        self._entering.add(task)
        task.add_done_callback(self._entering.discard)

    def _dismissed(self, client: socket.socket) -> None:
        """Takes it out of the lobby, if it is there."""
        if self._lobby.pop(client, None) is not None:
            self._loop.remove_reader(client)

    def _dismiss(self, client: socket.socket) -> None:
        self._dismissed(client)
        client.close()

    async def _let_in(self, client: socket.socket, asked: bool) -> None:
        try:
            await self._loop.connect_accepted_socket(lambda: self._connection(self, asked), client)
        except (OSError, asyncio.CancelledError):
            client.close()

    def _pause(self, error: OSError) -> None:
        log.error("the admin port is short of descriptors: %s; closing connections of it", error.strerror)
        for _ in range(max(1, self._cap // 4)):
            self._make_room()
        self._loop.remove_reader(self._socket)
        self._loop.call_later(PAUSE, self._open)

    def _make_room(self) -> bool:
        if self._lobby:
            self._dismiss(next(iter(self._lobby)))
            return True
        if not self._inside:
            return False

        def patience(connection: AdminConnection) -> tuple[int, float]:
            what, since = connection.waits()
            return ORDER.index(what), since

        chosen = min(self._inside, key=patience)
        self.left(chosen)
        chosen.abort()
        return True

    def _sweep(self) -> None:
        late = self._loop.time() - LIMITS[HEAD]
        for client in [each for each, since in self._lobby.items() if since < late]:
            self._dismiss(client)
        for connection in list(self._inside):
            if connection.overdue():
                connection.abort()
        self._sweeping = self._loop.call_later(SWEEP, self._sweep)
