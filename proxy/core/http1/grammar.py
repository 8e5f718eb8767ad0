"""Grammar shared by requests and responses (RFC 9110 section 5, RFC 9112 sections 2, 5 and 6)."""

from __future__ import annotations

import re
from functools import lru_cache
from typing import Final

from proxy.core.http1 import patterns, scan
from proxy.core.http1.known_fields import KnownFields
from proxy.core.http1.patterns import TOKEN, VALUE

# Of a block that is well-formed.
_lines: Final = re.compile(rb"(?m)^([^:\r\n]++):[ \t]*+([^\r\n]*+)\r\n").findall

BARE_LF: Final = re.compile(rb"(?<!\r)\n")

Pairs = list[tuple[bytes, bytes]]

MAX_OPTIONS: Final = 32  # of a connection; a handful is usual
MAX_OPTIONS_BYTES: Final = 1024

_NOTHING: Final = KnownFields(())
_REMEMBERED: Final = 128  # bytes of a list that is kept with its members


class Malformed(Exception):
    """A message that is not forwarded. `status` is what the proxy answers, `kind` is the cause in metrics."""

    def __init__(self, status: int, kind: str, detail: str) -> None:
        super().__init__(detail)
        self.status = status
        self.kind = kind
        self.detail = detail


class FieldBlock:
    """The field lines of one head as they came in; never changed.

    Most fields of most messages are only passed on, so nothing is taken apart: a field that matters is
    searched for, and a field that must go is cut out. Names are given in lower case.
    """

    __slots__ = ("lines", "lowered", "raw", "repeated", "special")

    def __init__(self, raw: bytes, wanted: KnownFields = _NOTHING) -> None:
        """Raises Malformed with status 400."""
        self.raw = raw
        self.lowered = lowered = b"\n" + raw.lower()  # every name stands between a line feed and a colon
        special: dict[bytes, bytes]
        if scan.COMPILED:
            special, matched, lines = scan.fields(raw, lowered, wanted)
        else:
            special, matched, lines = patterns.fields(raw, lowered, wanted)
        if lines < 0:
            raise Malformed(400, "bad_header", explain_fields(raw))
        self.lines: int = lines
        self.special = special  # wanted names, in lower case, to their last values, in lower case
        self.repeated = len(special) != matched

    def get(self, name: bytes) -> bytes | None:
        """The first value of the field, without surrounding blanks, or None."""
        if scan.COMPILED:
            start, end = scan.value(self.lowered, name)
        else:
            start, end = patterns.value(self.lowered, name)
        return None if start < 0 else self.raw[start:end]

    def __contains__(self, name: bytes) -> bool:
        return b"\n" + name + b":" in self.lowered

    def values(self, name: bytes) -> list[bytes]:
        """The values of all lines with this name, in order, without surrounding blanks."""
        mark = b"\n" + name + b":"
        values = []
        found = self.lowered.find(mark)
        while found >= 0:
            start = found + len(name) + 1
            values.append(self.raw[start : self.raw.find(b"\r", start)].strip(b" \t"))
            found = self.lowered.find(mark, start)
        return values

    def pairs(self) -> Pairs:
        """(name as sent, value without surrounding blanks) of every line, in order."""
        return [(name, value.rstrip(b" \t")) for name, value in _lines(self.raw)]

    def without(self, names: tuple[bytes, ...]) -> bytes:
        """The raw lines but for those with one of these names."""
        if scan.COMPILED:
            return scan.without(self.raw, self.lowered, names)
        return patterns.without(self.raw, self.lowered, names)

    def connection_tokens(self, status: int) -> tuple[bytes, ...]:
        """As `connection_options`, of the list that all Connection lines make up."""
        return connection_options(b",".join(self.values(b"connection")), status)


def explain_fields(block: bytes) -> str:
    """Why a block is malformed, without repeating what may be a secret."""
    if BARE_LF.search(block):
        return "a line ends in LF without CR"
    for line in block.split(b"\r\n")[:-1]:
        name, colon, _ = line.partition(b":")
        if line[:1] in (b" ", b"\t"):
            return "a header line begins with a space or tab (obsolete line folding)"
        if not colon:
            return "a header line has no colon"
        if name[-1:] in (b" ", b"\t"):
            return "there is a space between a header's name and its colon"
        if re.fullmatch(TOKEN, name) is None:
            return "a header's name is empty or has a character that is not allowed"
        if re.fullmatch(VALUE, line[len(name) + 1 :]) is None:
            return "a header's value has a control character"
    return "the header block is malformed"


def connection_options(value: bytes, status: int) -> tuple[bytes, ...]:
    """Members of the list, in lower case. Each names a field to be searched for, so there may be a few only.

    Raises Malformed with this status.
    """
    options = split_list(value) if len(value) <= MAX_OPTIONS_BYTES else ()
    if len(value) > MAX_OPTIONS_BYTES or len(options) > MAX_OPTIONS:
        detail = f"Connection has more than {MAX_OPTIONS} options, or over {MAX_OPTIONS_BYTES} bytes"
        raise Malformed(status, "bad_connection", detail)
    return options


def split_list(value: bytes) -> tuple[bytes, ...]:
    """Members of a comma-separated list, lower case, empty ones dropped."""
    return _split_usual(value) if len(value) <= _REMEMBERED else _split(value)


@lru_cache(maxsize=256)  # nearly always keep-alive or close
def _split_usual(value: bytes) -> tuple[bytes, ...]:
    return _split(value)


def _split(value: bytes) -> tuple[bytes, ...]:
    return tuple(token for part in value.lower().split(b",") if (token := part.strip(b" \t")))
