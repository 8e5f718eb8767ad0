"""What a case is: bytes in, and what the client and the upstream see of them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Literal

HOST: Final = b"Host: a.example\r\n"
CHUNKED: Final = b"Transfer-Encoding: chunked\r\n"
CLOSE: Final = b"Connection: close\r\n"
HIDDEN: Final = b"GET /hidden HTTP/1.1\r\nHost: a.example\r\n\r\n"
OK: Final = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"
ANSWER: Final = b"HTTP/1.1 200 OK\r\n"
REASONS: Final = {
    "strict": "we refuse what two parsers could read differently, whatever becomes of it behind a peer",
    "status": "both refuse; the status is another",
    "safe": "we pass on less than the peer; nothing behind us can then take it for something else",
    "limit": "the peer counts in buffers of its own size, we count bytes and lines",
}


@dataclass(frozen=True)
class Answers:
    """What the upstream does with each request: sends `data`, then keeps, closes or resets the connection.

    With `first`, the first request of every connection is answered 200 and only later ones get this.
    """

    data: bytes = OK
    then: Literal["keep", "close", "reset"] = "keep"
    first: bool = False


@dataclass(frozen=True)
class Case:
    """`sent` is what the client writes; before each further piece it waits until something comes back.

    `shows` is what our client sees: the statuses of all answers, "cut" behind one that is not whole,
    "closed" if nothing comes. `there` and `gone` are lower-case pieces that the upstream gets, or never gets.
    The bench sends `behind` right behind it: what a parser that goes on would take for the next request.
    `why` says what is behind a difference to nginx or HAProxy: a key of REASONS, or a text.
    """

    sent: bytes | tuple[bytes, ...]
    shows: str
    line: bytes = b""  # the request line that reaches the upstream, if one request does
    body: bytes = b""
    there: tuple[bytes, ...] = ()
    gone: tuple[bytes, ...] = ()
    answers: Answers = Answers()
    half_close: Literal["", "at once", "later"] = ""
    behind: bytes = b""
    why: str = ""

    @property
    def pieces(self) -> tuple[bytes, ...]:
        return (self.sent,) if isinstance(self.sent, bytes) else self.sent

    @property
    def reason(self) -> str:
        return REASONS.get(self.why, self.why)


Cases = dict[str, Case]
"""By name."""


def post(fields: bytes, body: bytes = b"") -> bytes:
    return b"POST /p HTTP/1.1\r\n" + HOST + fields + b"\r\n" + body


def get(fields: bytes, target: bytes = b"/g") -> bytes:
    return b"GET " + target + b" HTTP/1.1\r\n" + fields + b"\r\n"


def refused(status: int, sent: bytes, why: str = "") -> Case:
    """Answered with `status` and nothing else; nothing of it, nor of what comes behind it, goes out."""
    return Case(sent, str(status), behind=HIDDEN, why=why)


def bad_answer(data: bytes, why: str = "") -> Case:
    """An answer that cannot be relayed: 502."""
    return Case(get(HOST + CLOSE), "502", answers=Answers(data, "close"), why=why)
