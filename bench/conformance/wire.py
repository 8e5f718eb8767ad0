"""As little HTTP as it takes to say what was sent: heads, and where bodies end."""

from __future__ import annotations

import itertools
import re
from dataclasses import dataclass

_length = re.compile(rb"(?im)^content-length: *(\d+)\r$")
_chunked = re.compile(rb"(?im)^transfer-encoding: *chunked\r$")
_chunk = re.compile(rb"([0-9a-fA-F]+)[^\r\n]*\r\n")


@dataclass(frozen=True)
class Head:
    """The first line, and the header block behind it up to its empty line."""

    line: bytes
    size: int
    length: int | None
    chunked: bool

    @property
    def framed(self) -> bool:
        return self.chunked or self.length is not None

    def whole(self, data: bytes) -> int | None:
        """Bytes of the message that begins with this head; None while it is not complete."""
        if not self.chunked:
            size = self.size + (self.length or 0)
            return size if len(data) >= size else None
        at = self.size
        while found := _chunk.match(data, at):
            size = int(found[1], 16)
            if not size:
                end = data.find(b"\r\n\r\n", found.end() - 2)
                return None if end < 0 else end + 4
            at = found.end() + size + 2
        return None

    def body(self, data: bytes) -> bytes | None:
        """Decoded; None if it is not complete."""
        whole = self.whole(data)
        if whole is None:
            return None
        if not self.chunked:
            return data[self.size : whole]
        body, at = b"", self.size
        while (found := _chunk.match(data, at)) and (size := int(found[1], 16)):
            body += data[found.end() : found.end() + size]
            at = found.end() + size + 2
        return body


def take_head(data: bytes) -> Head | None:
    """The head at the beginning of `data`, if it is there whole."""
    end = data.find(b"\r\n\r\n")
    if end < 0:
        return None
    block = data[: end + 2]
    length = _length.search(block)
    return Head(
        line=block.split(b"\r\n", 1)[0],
        size=end + 4,
        length=None if length is None else int(length[1]),
        chunked=_chunked.search(block) is not None,
    )


def statuses(data: bytes, methods: list[str]) -> list[str]:
    """The statuses of all answers in `data`; "cut" behind one that is not whole, or "no answer".

    `methods` are those of the requests, in order: an answer to HEAD has no body. What ends with the
    connection is whole (RFC 9112 section 6.3).
    """
    found: list[str] = []
    asked = iter(methods)
    while data:
        head = take_head(data)
        if head is None or not head.line.startswith(b"HTTP/1.") or not head.line[9:12].isdigit():
            return [*found, "cut" if data.startswith(b"HTTP/") else "no HTTP"]
        status = head.line[9:12].decode()
        found.append(status)
        if status == "101":
            return found
        interim = status.startswith("1")
        if interim or next(asked, "") == "HEAD" or status in ("204", "304"):
            data = data[head.size :]
        elif not head.framed:
            return found
        elif (whole := head.whole(data)) is None:
            return [*found, "cut"]
        else:
            data = data[whole:]
    return found


def counted(words: list[str]) -> str:
    """In one line; what comes more than twice in a row with its number."""
    parts = []
    for word, group in itertools.groupby(words):
        number = len(list(group))
        parts.append(" ".join([word] * number) if number < 3 else f"{number} x {word}")
    return " ".join(parts)
