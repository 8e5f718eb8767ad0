"""Heads read with regular expressions: what `scan` does, as fast as it goes where nothing is compiled.

The functions have the same names, arguments and results; `scan` describes them.
"""

from __future__ import annotations

import re
from typing import Final

from proxy.core.http1.wanted import Wanted

TOKEN: Final = rb"[!#$%&'*+\-.^_`|~0-9A-Za-z]++"
VALUE: Final = rb"[\t\x20-\x7e\x80-\xff]*+"  # no control characters, so neither bare CR, LF nor NUL

_line: Final = re.compile(rb"(" + TOKEN + rb") ([\x21\x22\x24-\x7e]++) HTTP/1\.([01])\r\n").match
_is_block: Final = re.compile(rb"(?:" + TOKEN + rb":" + VALUE + rb"\r\n)*+").fullmatch

# RFC 3986 section 3.3, without percent-escapes.
PCHAR: Final = rb"A-Za-z0-9\-._~!$&'()*+,;=:@"
_FIRST: Final = PCHAR.replace(b".", b"")  # a segment that begins with a dot takes the slow way
_plain: Final = re.compile(rb"((?:/[%b][%b]*+)++/?|/)(?:\?|\Z)" % (_FIRST, PCHAR)).match  # possessive: 0.3 us


def request_line(head: bytes) -> tuple[int, int, int]:
    line = _line(head)
    if line is None:
        return -1, -1, -1
    return line.end(1), line.end(2), int(line[3])


def fields(raw: bytes, lowered: bytes, wanted: Wanted) -> tuple[dict[bytes, bytes], int, int]:
    if _is_block(raw) is None:
        return {}, 0, -1
    lines = wanted.find(lowered)
    return dict(lines), len(lines), raw.count(b"\n")


def value(lowered: bytes, name: bytes) -> tuple[int, int]:
    start = lowered.find(b"\n" + name + b":")
    if start < 0:
        return -1, -1
    start += len(name) + 2
    found = lowered[start : lowered.find(b"\r", start)]
    start += len(found) - len(found := found.lstrip(b" \t"))
    return start - 1, start - 1 + len(found.rstrip(b" \t"))


def plain_path(target: bytes) -> int:
    path = _plain(target)
    return -1 if path is None else path.end(1)
