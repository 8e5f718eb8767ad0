"""Reads requests from a file: an access log of the proxy (docs/access-log.md) or a HAR file (HTTP Archive
1.2).

Requests are read one by one, so memory does not grow with the file. A file is read twice: `survey` first
finds every error, before anything is sent, and counts the requests.
"""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any, Final, Literal, NamedTuple
from urllib.parse import urlsplit

import ijson
import msgspec

Format = Literal["access log", "HAR"]

MAX_LINE: Final = 256 * 1024  # bytes
MAX_ERRORS: Final = 20  # that are told
MAX_TARGET: Final = 2048  # bytes: the access log cuts longer ones

# Fields of the connection it was recorded on, and those that make answers not comparable.
_LEFT_OUT: Final = frozenset(
    {"connection", "content-length", "transfer-encoding", "host", "accept-encoding", "idempotency-key"}
    | {"if-match", "if-none-match", "if-modified-since", "if-unmodified-since", "if-range"}
)
_starts_as_har: Final = re.compile(rb'(?:\xef\xbb\xbf)?\s*\{\s*"log"\s*:').match


class BadInput(Exception):
    """The file cannot be replayed: one line for each error, with its place."""


class Recorded(NamedTuple):
    """One request. `status` is what the client got then, None if unknown; `skip` why it cannot be repeated.

    `host` is None in an access log, which does not tell it.
    """

    method: str
    target: str
    headers: dict[str, str]
    body: bytes
    host: str | None
    status: int | None
    skip: str | None


class Survey(NamedTuple):
    """`host` is that of the first request in a HAR file."""

    format: Format
    requests: int
    host: str | None


class _Line(msgspec.Struct):
    method: str | None
    target: str | None
    status: int | None = None


_decode_line: Final = msgspec.json.Decoder(_Line).decode


def format_of(path: Path) -> Format:
    """Raises OSError."""
    with path.open("rb") as file:
        return "HAR" if _starts_as_har(file.read(4096)) else "access log"


def survey(path: Path) -> Survey:
    """Raises BadInput with every error up to MAX_ERRORS, or OSError."""
    kind = format_of(path)
    errors: list[str] = []
    count, host = 0, None
    try:
        for found in _lines(path) if kind == "access log" else _entries(path):
            if isinstance(found, Recorded):
                count += 1
                host = host or found.host
            elif len(errors) < MAX_ERRORS:
                errors.append(found)
            else:
                errors.append("and more")
                break
    except BadInput as broken:
        errors.append(str(broken))
    if errors:
        raise BadInput("\n".join(errors))
    return Survey(kind, count, host)


def requests(path: Path, kind: Format) -> Iterator[Recorded]:
    """In the order of the file. Raises BadInput or OSError if it is not the file that was surveyed."""
    for found in _lines(path) if kind == "access log" else _entries(path):
        if isinstance(found, str):
            raise BadInput(found)
        yield found


def _lines(path: Path) -> Iterator[Recorded | str]:
    with path.open("rb") as file:
        for number in itertools.count(1):
            line = file.readline(MAX_LINE + 1)
            if not line:
                return
            if len(line) > MAX_LINE:
                raise BadInput(f"{path}:{number}: a line is over {MAX_LINE} bytes: this is not an access log")
            if not line.strip():
                continue
            try:
                yield _logged(_decode_line(line))
            except msgspec.MsgspecError as error:
                yield f"{path}:{number}: not a line of an access log: {error}"


def _logged(line: _Line) -> Recorded:
    method, target = line.method or "", line.target or ""
    skip = None
    if not method or not target:
        skip = "refused before it was a complete request"
    elif "***" in target:
        skip = "a value in its query is masked"
    elif len(target) >= MAX_TARGET:
        skip = "its target is cut"
    return Recorded(method, target, {}, b"", None, line.status, skip)


def _entries(path: Path) -> Iterator[Recorded | str]:
    with path.open("rb") as file:
        lines = _CountedLines(file)
        try:
            for entry in ijson.items(lines, "log.entries.item"):
                try:
                    yield _of_entry(entry)
                except (KeyError, TypeError, ValueError, AttributeError) as error:
                    what = f"{error} is missing" if isinstance(error, KeyError) else str(error)
                    yield f"{path}:{lines.number}: no entry of a HAR file ends here: {what}"
        except ijson.JSONError as error:
            reason = str(error).split("\n", 1)[0]
            raise BadInput(f"{path}:{lines.number}: not JSON: {reason}") from None


class _CountedLines:
    """Reads line by line, so that `number` is the line that the parser has come to."""

    def __init__(self, file: IO[bytes]) -> None:
        self._file = file
        self._ended = True
        self.number = 0

    def read(self, size: int) -> bytes:
        line = self._file.readline(size)
        if line:
            self.number += self._ended
            self._ended = line.endswith(b"\n")
        return line


def _of_entry(entry: Any) -> Recorded:
    request = entry["request"]
    url = urlsplit(request["url"])
    if url.scheme not in ("http", "https") or not url.hostname:
        return Recorded(str(request["method"]), "", {}, b"", "", None, "not http")
    headers: dict[str, str] = {}
    for field in request.get("headers", ()):
        name = field["name"].lower()
        if not name.startswith(":") and name not in _LEFT_OUT:
            headers.setdefault(name, field["value"])
    target = (url.path or "/") + (f"?{url.query}" if url.query else "")
    data = request.get("postData") or {}
    skip = "its body is not in the file" if data and "text" not in data else None
    status = int(entry.get("response", {}).get("status", 0))
    body = str(data.get("text", "")).encode()
    return Recorded(str(request["method"]), target, headers, body, url.netloc, status or None, skip)
