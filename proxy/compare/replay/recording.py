"""Requests of a file: an access log (the proxy's own or another's) or a HAR file.

Requests are read one by one, so memory does not grow with the file. A file is read twice: `survey` first
finds every error, before anything is sent, and counts the requests.
"""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Final, Literal, NamedTuple

import ijson
import msgspec

from proxy.compare.replay.har import Lines, of_entry
from proxy.compare.replay.logs import logged
from proxy.compare.replay.recorded import Bad, BadInput, Recorded, left_out

Format = Literal["access log", "HAR"]

MAX_LINE: Final = 256 * 1024  # bytes
MAX_ERRORS: Final = 20  # that are told

_BOM: Final = b"\xef\xbb\xbf"
_starts_as_har: Final = re.compile(
    rb'\s*\{(?:\s*"[^"]*"\s*:\s*(?:"[^"]*"|[\w.+-]+)\s*,)*\s*"log"\s*:\s*[{n]'
).match
_NOT_READ: Final = (
    ((b"\xff\xfe", b"\xfe\xff"), "it is UTF-16: save it as UTF-8"),
    ((b"\x1f\x8b", b"\x78\x01", b"\x78\x9c", b"\x78\xda"), "it is compressed: unpack it first"),
)


class Survey(NamedTuple):
    """`host` is that of the first request in a HAR file. `bad`: what is not a request, up to MAX_ERRORS."""

    format: Format
    requests: int
    host: str | None
    bad: tuple[str, ...] = ()


def format_of(path: Path) -> Format:
    """Raises BadInput or OSError."""
    with path.open("rb") as file:
        start = file.read(4096).removeprefix(_BOM)
    for marks, reason in _NOT_READ:
        if start.startswith(marks):
            raise BadInput(f"{path}: {reason}")
    return "HAR" if _starts_as_har(start) else "access log"


def survey(path: Path) -> Survey:
    """Raises BadInput if there are errors and not one request, or OSError."""
    kind = format_of(path)
    errors: list[str] = []
    count, good, host = 0, 0, None
    try:
        for found in _lines(path) if kind == "access log" else _entries(path):
            count += 1
            if isinstance(found, Recorded):
                good += 1
                host = host or found.host
            elif len(errors) < MAX_ERRORS:
                errors.append(found.error)
            elif len(errors) == MAX_ERRORS:
                errors.append("and more")
    except BadInput as broken:
        raise BadInput("\n".join([*errors, str(broken)])) from None
    if errors and not good:
        raise BadInput("\n".join(errors))
    return Survey(kind, count, host, tuple(errors))


def requests(path: Path, kind: Format) -> Iterator[Recorded]:
    """In the order of the file, with what is not one. Raises BadInput or OSError if it is not as surveyed."""
    for found in _lines(path) if kind == "access log" else _entries(path):
        yield left_out(found.skip) if isinstance(found, Bad) else found


def _lines(path: Path) -> Iterator[Recorded | Bad]:
    with path.open("rb") as file:
        for number in itertools.count(1):
            line = file.readline(MAX_LINE + 1)
            if not line:
                return
            if len(line) > MAX_LINE:
                raise BadInput(f"{path}:{number}: a line is over {MAX_LINE} bytes: this is not an access log")
            line = line.removeprefix(_BOM) if number == 1 else line
            if not line.strip():
                continue
            try:
                yield logged(line)
            except (ValueError, msgspec.MsgspecError) as error:
                why = "not a line of an access log"
                yield Bad(f"{path}:{number}: {why}: {error}", why)


def _entries(path: Path) -> Iterator[Recorded | Bad]:
    with path.open("rb") as file:
        if file.read(len(_BOM)) != _BOM:
            file.seek(0)
        lines = Lines(file)
        try:
            for entry in ijson.items(lines, "log.entries.item"):
                try:
                    yield of_entry(entry, lines.raw)
                except (KeyError, TypeError, ValueError, AttributeError) as error:
                    what = f"{error} is missing" if isinstance(error, KeyError) else str(error)
                    why = "no entry of a HAR file"
                    yield Bad(f"{path}:{lines.number}: {why} ends here: {what}", why)
        except (ijson.JSONError, UnicodeDecodeError) as error:
            reason = str(error).split("\n", 1)[0]
            raise BadInput(f"{path}:{lines.number}: not JSON: {reason}") from None
