"""Grammar shared by requests and responses (RFC 9110 section 5, RFC 9112 sections 2, 5 and 6)."""

from __future__ import annotations

import re
from collections.abc import Collection
from functools import lru_cache
from typing import Final

TOKEN: Final = rb"[!#$%&'*+\-.^_`|~0-9A-Za-z]++"
VALUE: Final = rb"[\t\x20-\x7e\x80-\xff]*+"  # no control characters, so neither bare CR, LF nor NUL

_is_token: Final = re.compile(TOKEN).fullmatch
_TEXT: Final = bytes([0x09, *range(0x20, 0x7F), *range(0x80, 0x100)])  # what VALUE takes

DIGITS: Final = re.compile(rb"[0-9]{1,18}")  # fits 64 bits, with no room for an overflow

BARE_LF: Final = re.compile(rb"(?<!\r)\n")

Pairs = list[tuple[bytes, bytes]]


class Malformed(Exception):
    """A message that is not forwarded. `status` is what the proxy answers, `kind` is the cause in metrics."""

    def __init__(self, status: int, kind: str, detail: str) -> None:
        super().__init__(detail)
        self.status = status
        self.kind = kind
        self.detail = detail


# Fields that mean something to a proxy: those of the connection, of framing, and what it writes itself.
# Others are x-forwarded-*, and every name with `_`, because of what backends may take it for.
_SPECIAL: Final = frozenset(
    {
        b"connection",
        b"content-length",
        b"expect",
        b"forwarded",
        b"host",
        b"http2-settings",
        b"keep-alive",
        b"proxy-authorization",
        b"proxy-connection",
        b"te",
        b"transfer-encoding",
        b"upgrade",
        b"via",
        b"x-backend",
        b"x-backend-token",
        b"x-request-id",
        b"x-served-by",
    }
)


class FieldName:
    """One way of writing the name of a field."""

    __slots__ = ("lowered", "special")

    def __init__(self, lowered: bytes) -> None:
        self.lowered = lowered
        self.special = lowered in _SPECIAL or lowered.startswith(b"x-forwarded-") or b"_" in lowered


MAX_NAMES: Final = 1024  # messages have few
MAX_NAME: Final = 64  # bytes of one that is remembered
_names: dict[bytes, FieldName] = {}


class FieldBlock:
    """The field lines of one head as they came in; never changed.

    Most fields of most messages are only passed on, so the lines are told apart and no more. `special` are
    the fields that a proxy acts on: lower-case name to last value, in lower case, without surrounding blanks;
    `repeated` tells whether one of them came twice. Names are given in lower case.

    There is no regular expression here: one costs 30 instructions a byte, and what is used instead 4.
    """

    __slots__ = ("_doubled", "_values", "raw", "repeated", "special")

    def __init__(self, raw: bytes) -> None:
        """Raises Malformed with status 400."""
        lines = raw.split(b"\r\n")
        # As many CR and LF as these line ends have, and no other control character: none stands alone.
        if lines.pop() or len(raw.translate(None, _TEXT)) != 2 * len(lines):
            raise Malformed(400, "bad_header", explain_fields(raw))
        self.raw = raw
        self.repeated = False
        self._doubled = False  # any name, special or not, came twice
        special: dict[bytes, bytes] = {}
        values: dict[bytes, bytes] = {}  # the first of each name
        for line in lines:
            written, colon, value = line.partition(b":")
            name = _names.get(written)
            if name is None:
                name = _learn(written)
            if name is None or not colon:
                raise Malformed(400, "bad_header", explain_fields(raw))
            lowered = name.lowered
            if lowered in values:
                self._doubled = True
            else:
                values[lowered] = value
            if name.special:
                if lowered in special:
                    self.repeated = True
                special[lowered] = value.strip(b" \t").lower()
        self.special = special
        self._values = values

    def get(self, name: bytes) -> bytes | None:
        """The first value of the field, without surrounding blanks, or None."""
        value = self._values.get(name)
        return None if value is None else value.strip(b" \t")

    def __contains__(self, name: bytes) -> bool:
        return name in self._values

    def values(self, name: bytes) -> list[bytes]:
        """The values of all lines with this name, in order, without surrounding blanks."""
        first = self.get(name)
        if first is None:
            return []
        return [value for other, value in self.pairs() if other.lower() == name] if self._doubled else [first]

    def pairs(self) -> Pairs:
        """(name as sent, value without surrounding blanks) of every line, in order."""
        pairs = []
        for line in self.raw.split(b"\r\n")[:-1]:
            name, _, value = line.partition(b":")
            pairs.append((name, value.strip(b" \t")))
        return pairs

    def without(self, names: Collection[bytes]) -> bytes:
        """The raw lines but for those with one of these names."""
        kept = []
        for line in self.raw.split(b"\r\n"):
            if line.partition(b":")[0].lower() not in names:
                kept.append(line)
        return b"\r\n".join(kept)

    def connection_tokens(self) -> tuple[bytes, ...]:
        """Members of the list that all Connection lines make up, in lower case."""
        return split_list(b",".join(self.values(b"connection")))


def _learn(written: bytes) -> FieldName | None:
    """None: this is no name."""
    if _is_token(written) is None:
        return None
    name = FieldName(written.lower())
    if len(written) <= MAX_NAME:
        if len(_names) >= MAX_NAMES:
            _names.clear()  # somebody makes them up: begin again with those in use
        _names[written] = name
    return name


def explain_fields(block: bytes) -> str:
    """Why a block is malformed, without repeating what may be a secret."""
    if BARE_LF.search(block):
        return "a line ends in LF without CR"
    for line in block.split(b"\r\n")[:-1]:
        name, colon, _ = line.partition(b":")
        if line[:1] in (b" ", b"\t"):
            return "a header line begins with a blank (obsolete line folding)"
        if not colon:
            return "a header line has no colon"
        if name[-1:] in (b" ", b"\t"):
            return "there is a blank between a header's name and its colon"
        if re.fullmatch(TOKEN, name) is None:
            return "a header's name is empty or has a character that is not allowed"
        if re.fullmatch(VALUE, line[len(name) + 1 :]) is None:
            return "a header's value has a control character"
    return "the header block is malformed"


@lru_cache(maxsize=256)  # nearly always keep-alive or close
def split_list(value: bytes) -> tuple[bytes, ...]:
    """Members of a comma-separated list, lower case, empty ones dropped."""
    return tuple(token for part in value.lower().split(b",") if (token := part.strip(b" \t")))
