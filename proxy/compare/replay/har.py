"""Entries of HAR files (HTTP Archive 1.2), as browsers and debugging proxies export them.

A request is sent exactly as it was recorded, or not at all: a body that the exporter has left out, cut or
converted is recognized by its Content-Length.
"""

from __future__ import annotations

import re
from typing import IO, Any, Final
from urllib.parse import quote, urlsplit

from proxy.compare.replay.harbody import NoBody, body_of
from proxy.compare.replay.recorded import Recorded, left_out

# Fields of the connection it was recorded on, and those that make answers not comparable.
_LEFT_OUT: Final = frozenset(
    {"connection", "content-length", "transfer-encoding", "host", "accept-encoding", "idempotency-key"}
    | {"if-match", "if-none-match", "if-modified-since", "if-unmodified-since", "if-range"}
)
_PORTS: Final = {"http": ":80", "https": ":443"}
_is_token: Final = re.compile(r"[!#$%&'*+\-.^_`|~0-9A-Za-z]{1,200}").fullmatch
_has_break: Final = re.compile(rb"[\r\n\x00]").search
_KEPT: Final = "!$%&'()*+,-./:;=?@[]_~"  # of a target, also escapes: the rest is percent-encoded
_RAW: Final = 0xF700  # U+F780 to U+F7FF stand for bytes that were no UTF-8
_AS_ESCAPES: Final = {_RAW + byte: 0xDC00 + byte for byte in range(0x80, 0x100)}


class Lines:
    """Reads JSON line by line, so that `number` is the line that the parser has reached.

    A lone surrogate (\\udc80 to \\udcff is how Python programs write a byte that is no UTF-8) is no character
    of JSON: it becomes one that the parser takes, and `raw` says that the file has such.
    """

    def __init__(self, file: IO[bytes]) -> None:
        self._file = file
        self._ended = True
        self._held = b""
        self.number = 0
        self.raw = False

    def read(self, size: int) -> bytes:
        while True:
            line = self._file.readline(size)
            if line:
                self.number += self._ended
                self._ended = line.endswith(b"\n")
            data, self._held = self._held + line, b""
            if line and not self._ended:
                data, self._held = _whole_escapes(data)
            if data or not line:
                return _surrogates.sub(self._replaced, data) if b"\\u" in data else data

    def _replaced(self, found: re.Match[bytes]) -> bytes:
        lone = found[1]
        if lone is None:
            return found[0]
        self.raw = True
        code = int(lone, 16)
        return b"\\u%04x" % (_RAW + code - 0xDC00) if 0xDC80 <= code <= 0xDCFF else b"\\ufffd"


_surrogates: Final = re.compile(
    rb"\\\\|\\ud[89ab][0-9a-f]{2}\\ud[c-f][0-9a-f]{2}|\\u(d[89a-f][0-9a-f]{2})", re.IGNORECASE
)


def _whole_escapes(data: bytes) -> tuple[bytes, bytes]:
    """Cut before an escape, or a pair of them, that may go on in the next piece."""
    start = data.find(b"\\", max(0, len(data) - 12))
    if start < 0:
        return data, b""
    while start > 0 and data[start - 1 : start] == b"\\":
        start -= 1
    return data[:start], data[start:]


def of_entry(entry: Any, raw: bool) -> Recorded:
    """Raises KeyError, TypeError, ValueError or AttributeError for what is not an entry."""
    request = entry["request"]
    method = request["method"]
    if not _is_token(method):
        raise ValueError("its method is none")
    address = request["url"]
    if any(char <= " " or char == "\x7f" for char in address.strip(" ")):
        raise ValueError("its url has blanks or control characters")
    status = _status(entry.get("response"))
    url = urlsplit(address.strip(" "))
    if url.scheme not in ("http", "https") or not url.hostname or method == "CONNECT":
        return left_out("not http", method, status)._replace(host="")
    fields = _fields(request, raw)
    host = url.netloc.rpartition("@")[2].lower().removesuffix(_PORTS[url.scheme])
    target = quote((url.path or "/") + (f"?{url.query}" if url.query else ""), safe=_KEPT)
    sent = [(name, value) for name, value in fields if name not in _LEFT_OUT]
    skip, body = None, b""
    try:
        body, type_ = body_of(request.get("postData"), dict(fields), lambda text: _bytes(text, raw))
        if type_ and "content-type" not in dict(fields):
            sent.append(("content-type", type_))
    except NoBody as why:
        skip = str(why)
    return Recorded(method, target, tuple(sent), body, host, status, skip)


def _fields(request: Any, raw: bool) -> list[tuple[str, bytes]]:
    """Without pseudo-fields of HTTP/2, and with one Cookie (RFC 9113 section 8.2.3)."""
    fields: list[tuple[str, bytes]] = []
    cookies: list[bytes] = []
    for field in request.get("headers") or ():
        name, value = field["name"].lower(), _bytes(field["value"] or "", raw).strip(b" \t")
        if name.startswith(":"):
            continue
        if not _is_token(name):
            raise ValueError("a header has no name")
        if _has_break(value):
            raise ValueError(f"there is a line break in its header {name}")
        if name == "cookie":
            cookies.append(value)
        else:
            fields.append((name, value))
    if not cookies:
        cookies = [_bytes(f"{each['name']}={each['value']}", raw) for each in request.get("cookies") or ()]
        if any(map(_has_break, cookies)):
            raise ValueError("there is a line break in its cookies")
    return [*fields, ("cookie", b"; ".join(cookies))] if cookies else fields


def _bytes(text: str, raw: bool) -> bytes:
    return (text.translate(_AS_ESCAPES) if raw else text).encode("utf-8", "surrogateescape")


def _status(response: Any) -> int | None:
    """0 and -1 are what exporters say of a request that got no answer."""
    status = response.get("status") if isinstance(response, dict) else None
    text = str(status)
    return int(text) if text.isascii() and text.isdecimal() and 0 < int(text) < 1000 else None
