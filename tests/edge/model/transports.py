"""Both ends of a connection in one object: the proxy writes to it, the peer sends through it."""

from __future__ import annotations

import os
from typing import Any, Final

from tests.edge.model.loop import FakeLoop

NOTHING: Final = os.open(os.devnull, os.O_RDONLY)


class FakeTransport:
    """`on_written` is what the peer reads. Once closing, nothing comes in and nothing goes out."""

    def __init__(self, loop: FakeLoop) -> None:
        self.protocol: Any = None
        self.closing = False
        self.lost = False
        self.reset = False  # ended without the end of what was written
        self.reading = True
        self.blocked = False  # the peer does not read
        self.unsent = 0  # bytes written since
        self.incoming: list[bytes] = []  # sent by the peer and not read by the proxy yet
        self.ended = False  # the peer has sent its FIN, and the proxy has not been told yet
        self._loop = loop

    def on_written(self, data: bytes) -> None:
        raise NotImplementedError

    def on_lost(self) -> None:
        """The connection is gone, for the peer too."""

    # the peer's side

    def send(self, data: bytes) -> None:
        if not self.closing:
            self.incoming.append(data)
            self._deliver()

    def send_eof(self) -> None:
        if not self.closing and not self.ended:
            self.ended = True
            self._deliver()

    def lose(self, error: Exception | None) -> None:
        """A reset by the peer, seen at once."""
        if not self.lost:
            self.closing = True
            self._on_lost(error)

    def block(self) -> None:
        if not self.blocked and not self.closing:
            self.blocked = True
            self.unsent = 1
            self.protocol.pause_writing()

    def unblock(self) -> None:
        if self.blocked and not self.lost:
            self.blocked = False
            self.unsent = 0
            if self.closing:
                self._loop.call_soon(self._on_lost, None)
            else:
                self.protocol.resume_writing()

    def is_quiet(self) -> bool:
        """What the kernel would say of an idle connection."""
        return not (self.incoming or self.ended or self.closing)

    # the proxy's side

    def write(self, data: bytes) -> None:
        if self.closing:
            return
        if self.blocked:
            self.unsent += len(data)
        self.on_written(bytes(data))

    def close(self) -> None:
        if not self.closing:
            self.closing = True
            if not self.blocked:
                self._loop.call_soon(self._on_lost, None)

    def abort(self) -> None:
        if not self.lost and not (self.closing and not self.blocked):
            self.closing = self.reset = True
            self.blocked = False
            self._loop.call_soon(self._on_lost, None)

    def is_closing(self) -> bool:
        return self.closing

    def can_write_eof(self) -> bool:
        return True

    def write_eof(self) -> None:
        """Only what comes in counts here."""

    def pause_reading(self) -> None:
        self.reading = False

    def resume_reading(self) -> None:
        if not self.reading:
            self.reading = True
            self._loop.call_soon(self._deliver)

    def get_write_buffer_size(self) -> int:
        return self.unsent if self.blocked else 0

    def set_protocol(self, protocol: Any) -> None:
        self.protocol = protocol

    def set_write_buffer_limits(self, high: int | None = None, low: int | None = None) -> None:
        """The machine says when it is full."""

    def get_extra_info(self, name: str, default: Any = None) -> Any:
        return self if name == "socket" else default

    def fileno(self) -> int:
        """Of something that is no socket."""
        return NOTHING

    def setsockopt(self, *_: object) -> None:
        """As a socket."""

    # in between

    def _deliver(self) -> None:
        while self.incoming and self.reading and not self.closing:
            self.protocol.data_received(self.incoming.pop(0))
        if self.ended and not self.incoming and self.reading and not self.closing:
            self.ended = False
            if not self.protocol.eof_received():
                self.close()

    def _on_lost(self, error: Exception | None) -> None:
        if not self.lost:
            self.lost = True
            self.on_lost()
            self.protocol.connection_lost(error)
