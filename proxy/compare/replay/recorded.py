"""What a file of recorded requests consists of."""

from __future__ import annotations

from typing import Final, NamedTuple

NO_BODY: Final = "its body is not in the log"  # a reason to skip


class BadInput(Exception):
    """The file cannot be replayed: one line for each error, with its place."""


class Recorded(NamedTuple):
    """One request. `status` is what the client got then, None if unknown; `skip` why it cannot be repeated.

    `target` has a character for each byte; names of headers are in lower case, and each may come several
    times. `host` is None in an access log, which does not contain it.
    """

    method: str
    target: str
    headers: tuple[tuple[str, bytes], ...]
    body: bytes
    host: str | None
    status: int | None
    skip: str | None


class Bad(NamedTuple):
    """A line or entry that is not a request, in a file that has some. `error` begins with its place."""

    error: str
    skip: str


def left_out(reason: str, method: str = "", status: int | None = None) -> Recorded:
    """One that cannot be repeated."""
    return Recorded(method, "", (), b"", None, status, reason)
