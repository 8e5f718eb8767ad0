"""Grammar shared by requests and responses (RFC 9110 section 5, RFC 9112 sections 2, 5 and 6)."""

from __future__ import annotations

import re
from typing import Final

TOKEN: Final = rb"[!#$%&'*+\-.^_`|~0-9A-Za-z]++"
VALUE: Final = rb"[\t\x20-\x7e\x80-\xff]*+"  # no control characters, so neither bare CR, LF nor NUL

FIELD_BLOCK: Final = re.compile(rb"(?:" + TOKEN + rb":" + VALUE + rb"\r\n)*+")
"""All field lines. An obs-fold, a space before the colon or a bare CR or LF does not match."""

FIELD: Final = re.compile(rb"([^:]++):[ \t]*+([^\r]*+)\r\n")
"""One line of a block that FIELD_BLOCK has accepted; the value may have trailing blanks."""

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


def split_fields(block: bytes) -> Pairs | None:
    """(name, value) of every line, blanks around values removed; None if the block is malformed."""
    if FIELD_BLOCK.fullmatch(block) is None:
        return None
    pairs: Pairs = FIELD.findall(block)
    if b" \r\n" in block or b"\t\r\n" in block:
        return [(name, value.rstrip(b" \t")) for name, value in pairs]
    return pairs


def explain_fields(block: bytes) -> str:
    """Why `split_fields` refused this block, without repeating what may be a secret."""
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


def tokens(value: bytes) -> list[bytes]:
    """Members of a comma-separated list, lower case, empty ones dropped."""
    return [token for part in value.lower().split(b",") if (token := part.strip(b" \t"))]
