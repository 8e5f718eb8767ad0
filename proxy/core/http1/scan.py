"""Heads read byte by byte. Compiled, this is machine code over machine integers, and several times as fast as
regular expressions; interpreted it is much slower, so then `patterns` reads instead. Both accept and find
the same, byte for byte: tests compare them.
"""

from __future__ import annotations

import re
from types import FunctionType
from typing import Final

from mypy_extensions import i64

from proxy.core.http1 import patterns
from proxy.core.http1.known_fields import EXACT, FORWARDED, LONGEST, PREFIXED, KnownFields

TOKEN: Final = 1  # RFC 9110 section 5.6.2
TARGET: Final = 2  # what a request target may have
PCHAR: Final = 4  # RFC 3986 section 3.3, without percent-escapes
UNDERSCORE: Final = 8
HOST: Final = 16  # RFC 3986 section 3.2.2, reg-name

_CLASSES: Final = (
    (TOKEN, rb"[!#$%&'*+\-.^_`|~0-9A-Za-z]"),
    (TARGET, rb"[\x21\x22\x24-\x7e]"),
    (PCHAR, rb"[A-Za-z0-9\-._~!$&'()*+,;=:@]"),
    (UNDERSCORE, rb"_"),
    (HOST, rb"[A-Za-z0-9\-._~!$&'()*+,;=%]"),
)
KINDS: Final = bytes(
    sum(kind for kind, pattern in _CLASSES if re.match(pattern, bytes([byte]))) for byte in range(256)
)

_TAB: Final = 9
_LF: Final = 10
_CR: Final = 13
_BLANK: Final = 32
_DOT: Final = 46
_SLASH: Final = 47
_ZERO: Final = 48
_NINE: Final = 57
_COLON: Final = 58
_QUESTION: Final = 63
_BRACKET: Final = 91
_DELETE: Final = 127
_VERSION: Final = b" HTTP/1."


def request_line(head: bytes) -> tuple[i64, i64, i64]:
    """Ends of method and target, and the minor version, of the head's first line; -1: malformed."""
    kinds = KINDS
    size: i64 = len(head)
    at: i64 = 0
    while at < size and kinds[head[at]] & TOKEN:
        at += 1
    method = at
    if at == 0 or at == size or head[at] != _BLANK:
        return -1, -1, -1
    at += 1
    while at < size and kinds[head[at]] & TARGET:
        at += 1
    target = at
    if target == method + 1 or target + 11 > size:
        return -1, -1, -1
    version = _VERSION
    offset: i64 = 0
    while offset < 8:
        if head[target + offset] != version[offset]:
            return -1, -1, -1
        offset += 1
    minor: i64 = head[target + 8] - _ZERO
    if minor < 0 or minor > 1 or head[target + 9] != _CR or head[target + 10] != _LF:
        return -1, -1, -1
    return method, target, minor


def status_line(head: bytes) -> tuple[i64, i64, i64]:
    """The minor version, the status, and the end of the line that an answer begins with; -1: malformed."""
    version = _VERSION
    size: i64 = len(head)
    if size < 14:
        return -1, -1, -1
    at: i64 = 0
    while at < 7:
        if head[at] != version[at + 1]:
            return -1, -1, -1
        at += 1
    minor: i64 = head[7] - _ZERO
    if minor < 0 or minor > 1 or head[8] != _BLANK or head[9] == _ZERO:
        return -1, -1, -1
    status: i64 = 0
    at = 9
    while at < 12:
        digit: i64 = head[at]
        if digit < _ZERO or digit > _NINE:
            return -1, -1, -1
        status = status * 10 + digit - _ZERO
        at += 1
    if head[at] != _BLANK and head[at] != _CR:
        return -1, -1, -1
    at = _value_end(head, at)
    return (minor, status, at) if at > 0 else (-1, -1, -1)


def fields(raw: bytes, lowered: bytes, wanted: KnownFields) -> tuple[dict[bytes, bytes], i64, i64]:
    """The wanted fields of a block, how many lines they have, and the number of all lines; -1: malformed.

    `lowered` is a line feed and the block in lower case, which is what names and values (the last of each
    name) are cut from; trailing blanks are left.
    """
    found: dict[bytes, bytes] = {}
    kinds = KINDS
    shapes, names = wanted.shapes, wanted.names
    underscore: i64 = UNDERSCORE if wanted.open_ended else 0
    matched: i64 = 0
    lines: i64 = 0
    size: i64 = len(raw)
    at: i64 = 0
    while at < size:
        start = at
        seen: i64 = 0
        while at < size:
            kind: i64 = kinds[raw[at]]
            if not kind & TOKEN:
                break
            seen |= kind
            at += 1
        colon = at
        if colon == start or at == size or raw[at] != _COLON:
            return found, 0, -1
        at = _value_end(raw, colon + 1)
        if at < 0:
            return found, 0, -1
        length: i64 = colon - start
        if length > LONGEST:
            length = LONGEST
        first: i64 = raw[start]
        shape: i64 = shapes[(first & 31) * 32 + length]
        if shape or seen & underscore:
            name = lowered[start + 1 : colon + 1]
            if (
                seen & underscore
                or (shape & EXACT and name in names)
                or (shape & PREFIXED and _forwarded(name))
            ):
                begin: i64 = colon + 1
                while raw[begin] == _BLANK or raw[begin] == _TAB:
                    begin += 1
                found[name] = lowered[begin + 1 : at + 1]
                matched += 1
        at += 2
        lines += 1
    return found, matched, lines


def _value_end(data: bytes, at: i64) -> i64:
    """Where the line's CR LF is; -1: nowhere, or a byte before it may not be in a value.

    Allowed are all but control characters, and the tab (RFC 9110 section 5.5).
    """
    size: i64 = len(data)
    while at < size:
        byte: i64 = data[at]
        if byte == _DELETE or (byte < _BLANK and byte != _TAB):
            return at if byte == _CR and at + 1 < size and data[at + 1] == _LF else -1
        at += 1
    return -1


def _forwarded(name: bytes) -> bool:
    """`name` has at least as many bytes as the prefix."""
    prefix = FORWARDED
    at: i64 = 0
    while at < 12:
        if name[at] != prefix[at]:
            return False
        at += 1
    return True


def value(lowered: bytes, name: bytes) -> tuple[i64, i64]:
    """Where the first value of the field is in the block, without surrounding blanks; -1: nowhere.

    `lowered` is a line feed and a well-formed block in lower case; the places are those of the block.
    """
    size: i64 = len(lowered)
    length: i64 = len(name)
    at: i64 = 1
    while at < size:
        same: i64 = 0
        while same < length and lowered[at + same] == name[same]:  # at the latest the line's end differs
            same += 1
        at += same
        if same == length and lowered[at] == _COLON:
            at += 1
            while lowered[at] == _BLANK or lowered[at] == _TAB:
                at += 1
            end = at
            while lowered[end] != _CR:
                end += 1
            while end > at and (lowered[end - 1] == _BLANK or lowered[end - 1] == _TAB):
                end -= 1
            return at - 1, end - 1
        while lowered[at] != _LF:
            at += 1
        at += 1
    return -1, -1


def without(raw: bytes, lowered: bytes, names: tuple[bytes, ...]) -> bytes:
    """The lines of a well-formed block but for those with one of `names`; `lowered` as for `fields`."""
    size: i64 = len(raw)
    at: i64 = 0
    kept: i64 = 0  # where the lines begin that are kept and not yet in `result`
    result = b""
    while at < size:
        start = at
        drop = False
        for name in names:
            length: i64 = len(name)
            same: i64 = 0
            while same < length and lowered[start + 1 + same] == name[same]:
                same += 1
            if same == length and raw[start + same] == _COLON:
                drop = True
                break
        while raw[at] != _LF:
            at += 1
        at += 1
        if drop:
            result += raw[kept:start]
            kept = at
    return result + raw[kept:] if kept else raw


def number(value: bytes) -> i64:
    """A plain number of at most 18 digits (which fits), blanks may follow; -1: it is something else."""
    size: i64 = len(value)
    result: i64 = 0
    at: i64 = 0
    while at < size:
        digit: i64 = value[at]
        if digit < _ZERO or digit > _NINE:
            break
        result = result * 10 + digit - _ZERO
        at += 1
        if at > 18:
            return -1
    if at == 0:
        return -1
    while at < size and (value[at] == _BLANK or value[at] == _TAB):
        at += 1
    return result if at == size else -1


def is_host(host: bytes) -> bool:
    """A name or an address, with an optional port (RFC 9110 section 7.2)."""
    kinds = KINDS
    size: i64 = len(host)
    if size and host[0] == _BRACKET:
        return patterns.is_host(host)
    at: i64 = 0
    while at < size and kinds[host[at]] & HOST:
        at += 1
    if at == 0 or at == size:
        return at > 0
    if host[at] != _COLON or size - at > 6:
        return False
    at += 1
    while at < size and host[at] >= _ZERO and host[at] <= _NINE:
        at += 1
    return at == size


def plain_path(target: bytes) -> i64:
    """How long the path of a target is in which nothing is encoded, empty or begins with a dot; else -1."""
    kinds = KINDS
    size: i64 = len(target)
    at: i64 = 0
    empty = True  # the segment that was begun
    while at < size:
        byte: i64 = target[at]
        if byte == _QUESTION:
            break
        if byte == _SLASH:
            if empty and at > 0:
                return -1
            empty = True
        elif at == 0 or not kinds[byte] & PCHAR or (empty and byte == _DOT):
            return -1
        else:
            empty = False
        at += 1
    return at if at > 0 else -1


# A compiled function is not one of Python's.
COMPILED: Final = not isinstance(plain_path, FunctionType)
