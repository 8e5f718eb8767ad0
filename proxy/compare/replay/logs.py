"""Lines of access logs: the proxy's own (docs/access-log.md), and those of nginx, Apache, HAProxy and Envoy.

From logs of other programs, only method, target and status are taken, of requests that only read. Each line
is recognized by itself, whatever its format has before and after the request.
"""

from __future__ import annotations

import re
from typing import Final

import msgspec

from proxy.compare.replay.recorded import NO_BODY, Recorded, left_out
from proxy.core.settings import SAFE_METHODS

MAX_TARGET: Final = 2048  # bytes: the proxy's own log cuts longer ones

_REFUSED: Final = "refused before it was a complete request"

_request: Final = re.compile(rb'"([A-Za-z]+) ((?:[^\s"\\]|\\.)+)(?: HTTP/[0-9.]+)?"')
_no_request: Final = re.compile(rb'[^"]*+"(?:[^"\\]|\\.)*+" [0-9]{3}\b').match
_status_behind: Final = re.compile(rb" ([0-9]{3})\b")
_status_before: Final = re.compile(
    rb" [0-9+\-]+(?:/[0-9+\-]+){4} ([0-9]{3}|-1) "
)  # HAProxy: behind its five times
_escape: Final = re.compile(rb'\\x([0-9A-Fa-f]{2})|\\(["\\])')
_haproxy_escape: Final = re.compile(rb"#([0-9A-Fa-f]{2})")
_origin: Final = re.compile(rb"[a-z]+://[^/?#]*(.*)", re.DOTALL | re.IGNORECASE).fullmatch

_Text = str | None | msgspec.UnsetType


class _Line(msgspec.Struct):
    """The proxy's own, and by the names that others give in JSON."""

    method: _Text = msgspec.UNSET
    target: _Text = msgspec.UNSET
    status: int | str | None = None
    path: _Text = msgspec.UNSET  # Envoy
    response_code: int | str | None = None
    request_method: _Text = msgspec.UNSET  # nginx
    request_uri: _Text = msgspec.UNSET
    request: msgspec.Raw = msgspec.Raw()


_decode_line: Final = msgspec.json.Decoder(_Line).decode
_decode_text: Final = msgspec.json.Decoder(str).decode


def logged(line: bytes) -> Recorded:
    """Raises ValueError for what is not a line of an access log."""
    if line.lstrip().startswith(b"{"):
        return _of_json(_decode_line(line))
    return _of_text(line)


def _of_json(line: _Line) -> Recorded:
    if line.target is not msgspec.UNSET:
        return _own(line.method or "", line.target or "", _status(line.status))
    status = _status(line.status) if line.response_code is None else _status(line.response_code)
    target = line.request_uri or line.path
    method = line.request_method or line.method
    if target and method:
        return _foreign(method, target.encode(), status)
    if bytes(line.request).startswith(b'"'):
        found = _request.search(b'"' + _decode_text(line.request).encode() + b'"')
        return _foreign(found[1].decode(), found[2], status) if found else left_out(_REFUSED, status=status)
    if line.method is msgspec.UNSET or target is msgspec.UNSET:
        raise ValueError("it has no method and target")
    return left_out(_REFUSED, status=status)


def _own(method: str, target: str, status: int | None) -> Recorded:
    skip = None
    if not method or not target:
        skip = _REFUSED
    elif "***" in target:
        skip = "a value in its query is masked"
    elif len(target) >= MAX_TARGET:
        skip = "its target is cut"
    return Recorded(method, target, (), b"", None, status, skip)


def _of_text(line: bytes) -> Recorded:
    found = _request.search(line)
    if found is None:
        if b"<BADREQ>" in line or _no_request(line):
            return left_out(_REFUSED)
        raise ValueError('there is no request in it, such as "GET /path HTTP/1.1"')
    behind, before = _status_behind.match(line, found.end()), _status_before.search(line[: found.start()])
    target = _unescaped(found[2], before is not None and behind is None)
    status = behind or before
    return _foreign(found[1].decode(), target, _status(status[1].decode()) if status else None)


def _foreign(method: str, target: bytes, status: int | None) -> Recorded:
    """Also what came in absolute form, as HAProxy shows the targets of HTTP/2."""
    if method not in SAFE_METHODS:
        return left_out(NO_BODY, method, status)
    absolute = _origin(target)
    path = target if absolute is None else absolute[1] if absolute[1].startswith(b"/") else b"/" + absolute[1]
    return Recorded(method, path.decode("latin-1"), (), b"", None, status, None)


def _unescaped(target: bytes, haproxy: bool) -> bytes:
    if haproxy:
        return _haproxy_escape.sub(lambda found: bytes.fromhex(found[1].decode()), target)
    return _escape.sub(lambda found: bytes.fromhex(found[1].decode()) if found[1] else found[2], target)


def _status(status: int | str | None) -> int | None:
    text = str(status)
    return int(text) if text.isascii() and text.isdecimal() and int(text) else None
