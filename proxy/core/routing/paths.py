"""Request targets as the routing table sees them: normalized, or refused as ambiguous.

The target is forwarded unchanged; this copy only serves to decide. A path that two backends may read
differently (an encoded slash, `//`, dot segments, a backslash, controls) is ambiguous and never matches an
endpoint.
"""

from __future__ import annotations

import re
from typing import Final

from proxy.core.http1 import patterns, scan
from proxy.core.http1.patterns import PCHAR

_PCHARS: Final = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-._~!$&'()*+,;=:@"

_HEX: Final = [bytes([digit]) for digit in b"0123456789abcdefABCDEF"]

_is_legal: Final = re.compile(rb"/(?:[/%b]++|%%[0-9A-Fa-f]{2})*+" % PCHAR).fullmatch
_authority: Final = re.compile(rb"[A-Za-z][A-Za-z0-9+.\-]*+://[^/?#\\]*+").match
# Looked up, not computed: a request target may consist of nothing but escapes.
_DECODED: Final = {
    high + low: char if char in _PCHARS else b"%" + high.upper() + low.upper()
    for high in _HEX
    for low in _HEX
    for char in [bytes.fromhex((high + low).decode())]
}
# Encoded slash, backslash, and controls: `$` in a backend's route pattern may match before %0A.
_misread: Final = re.compile(rb"%(?:2F|5C|7F|[01][0-9A-F])", re.IGNORECASE).search


def split(target: bytes) -> list[str] | None:
    """The normalised path segments of a raw request target, or None if the path is ambiguous.

    "/a/b?x" -> ["a", "b"]; "/a/" -> ["a", ""]; "/" -> [""]; "*" (RFC 9112 section 3.2.4) -> [].
    """
    # Nearly every request: nothing to decode, nothing ambiguous.
    end = scan.plain_path(target) if scan.COMPILED else patterns.plain_path(target)
    if end > 0:
        path = target[:end]
    else:
        path = target.partition(b"?")[0]
        if path == b"*":
            return []
        normal = normalise(path)
        if normal is None:
            return None
        path = normal
    segments = path.decode("ascii").split("/")
    del segments[0]
    return segments


def normalise(path: bytes) -> bytes | None:
    """The path with every needlessly encoded character decoded and escapes in upper case; None: ambiguous.

    Takes origin-form and absolute-form (RFC 9112 section 3.2). Only what may stand in a path unencoded is
    decoded (RFC 3986 section 3.3), so doing it twice changes nothing.
    """
    if not path.startswith(b"/"):
        found = _authority(path)
        if found is None:
            return None
        path = path[found.end() :] or b"/"
    if _is_legal(path) is None or _misread(path):
        return None
    if b"%" in path:
        start, *escapes = path.split(b"%")
        path = start + b"".join([_DECODED[each[:2]] + each[2:] for each in escapes])
    segments = path.split(b"/")
    if b"." in segments or b".." in segments or b"" in segments[1:-1]:
        return None
    return path
