"""Just enough HTTP/1.1 to take messages apart as they come in, byte for byte."""

from __future__ import annotations

import re

_field = re.compile(rb"\r\n([^:\r\n]+): *([^\r\n]*)")


class Message:
    """A head, and a body that grows."""

    def __init__(self, head: bytes) -> None:
        self.line = head.split(b"\r\n", 1)[0]
        self.fields = {name.lower(): value for name, value in _field.findall(head)}
        self.body = b""
        self.done = False

    @property
    def status(self) -> int:
        return int(self.line[9:12])

    def text(self, name: bytes) -> str:
        return self.fields.get(name, b"").decode()


class Reader:
    """Feed it bytes; `current` is the message under way. At its end it is handed to `take`."""

    def __init__(self) -> None:
        self.current: Message | None = None
        self._buffer = b""

    def feed(self, data: bytes) -> list[Message]:
        """The messages that are complete with `data`."""
        self._buffer += data
        done: list[Message] = []
        while True:
            if self.current is None:
                end = self._buffer.find(b"\r\n\r\n")
                if end < 0:
                    return done
                self.current = Message(self._buffer[: end + 2])
                self._buffer = self._buffer[end + 4 :]
            message = self.current
            if not self._body(message):
                return done
            message.done = True
            done.append(message)
            self.current = None
            if message.line.startswith(b"HTTP/1.1 101"):
                return done  # what follows is not HTTP

    def rest(self) -> bytes:
        """What has come and is no message."""
        rest, self._buffer = self._buffer, b""
        return rest

    def _body(self, message: Message) -> bool:
        if b"transfer-encoding" in message.fields:
            return self._chunks(message)
        missing = int(message.fields.get(b"content-length", b"0")) - len(message.body)
        message.body += self._buffer[:missing]
        self._buffer = self._buffer[missing:]
        return len(message.body) == int(message.fields.get(b"content-length", b"0"))

    def _chunks(self, message: Message) -> bool:
        while b"\r\n" in self._buffer:
            line, rest = self._buffer.split(b"\r\n", 1)
            size = int(line, 16)
            if len(rest) < size + 2:
                return False
            message.body += rest[:size]
            self._buffer = rest[size + 2 :]
            if not size:
                return True
        return False
