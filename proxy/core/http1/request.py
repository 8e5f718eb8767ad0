"""Request heads: one reading each, or refused (RFC 9112 sections 3, 5 and 6)."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Final

from proxy.core.http1 import patterns, scan
from proxy.core.http1.grammar import BARE_LF, FieldBlock, Malformed, split_list
from proxy.core.http1.known_fields import KnownFields
from proxy.core.http1.names import SHADOW
from proxy.core.http1.patterns import TOKEN
from proxy.core.settings import Limits

MAX_METHOD: Final = 32  # bytes; the longest that is registered has 17

_LINE_END: Final = b" HTTP/1.1\r\n"
_is_other_version: Final = re.compile(TOKEN + rb" [\x21-\x7e]++ HTTP/[0-9]\.[0-9]").fullmatch
_is_line_start: Final = re.compile(rb"(?:" + TOKEN + rb"(?: [\x21-\x7e]*+(?: [HTP/0-9.]*+\r?)?)?)?").fullmatch
_is_absolute: Final = re.compile(rb"https?://([^/?]*+)(.*+)", re.IGNORECASE).fullmatch

# Fields that mean something to a proxy: those of the connection, of framing, and what it writes itself.
_WANTED: Final = KnownFields(
    (
        *(b"connection", b"content-length", b"expect", b"forwarded", b"host", b"http2-settings"),
        *(
            b"keep-alive",
            b"proxy-authorization",
            b"proxy-connection",
            b"te",
            b"transfer-encoding",
            b"upgrade",
        ),
        *(b"via", b"x-backend", b"x-backend-token", b"x-request-id", b"x-served-by", SHADOW),
    ),
    open_ended=True,
)
_SINGLE: Final = frozenset({b"host", b"content-length", b"transfer-encoding", b"expect"})


class RequestFields(FieldBlock):
    """The header block of a request and what it means for framing. Never changed after parsing.

    Independent of the request line, so a connection whose client repeats the same block (most do) parses
    it once.
    """

    __slots__ = (
        "chunked",
        "connection",
        "content_length",
        "expect_continue",
        "host",
        "keep_alive",
        "minor",
        "upgrade",
    )

    def __init__(self, raw: bytes, minor: int) -> None:
        super().__init__(raw, _WANTED)
        self.minor = minor  # HTTP/1.<minor>
        self.host = b""
        self.connection: tuple[bytes, ...] = ()  # tokens of Connection
        self.keep_alive = minor == 1
        self.content_length = 0
        self.chunked = False
        self.expect_continue = False
        self.upgrade: bytes | None = None  # the protocol to switch to, if that can be offered


class RequestHead:
    """One parsed request head. `target` is what was sent, byte for byte, but for absolute-form.

    `host` is the authority the client asked for; in absolute-form it comes from the target and wins over
    the Host field (RFC 9112 section 3.2.2).
    """

    __slots__ = ("fields", "host", "method", "target")

    def __init__(self, method: str, target: bytes, host: bytes, fields: RequestFields) -> None:
        self.method = method
        self.target = target
        self.host = host
        self.fields = fields

    @classmethod
    def of(cls, method: str, target: str, fields: Mapping[str, str] | None = None) -> RequestHead:
        """From plain strings, for `explain` and tests. Raises Malformed like the wire would."""
        lines = {"Host": "localhost", **{name.title(): value for name, value in (fields or {}).items()}}
        block = "".join(f"{name}: {value}\r\n" for name, value in lines.items())
        return parse_request(f"{method} {target} HTTP/1.1\r\n{block}\r\n".encode("latin-1"), Limits())

    def get(self, name: bytes) -> bytes | None:
        """The first value of the field with this lower-case name, or None."""
        return self.fields.get(name)


def parse_request(head: bytes, limits: Limits, known: RequestFields | None = None) -> RequestHead:
    """A whole head, up to and including its empty line. Raises Malformed.

    `known` is the connection's previous header block: if the bytes are the same, so is the meaning.
    """
    if scan.COMPILED:
        space, end, minor = scan.request_line(head)
    else:
        space, end, minor = patterns.request_line(head)
    if minor < 0 or end + len(_LINE_END) + 2 > len(head):
        raise _bad_line(head[: head.find(b"\r\n")])
    if space > MAX_METHOD:
        raise _long_method()
    if end - space - 1 > limits.target_bytes:
        raise Malformed(414, "target_too_long", f"the request target is over {limits.target_bytes} bytes")
    raw = head[end + len(_LINE_END) : -2]
    if known is not None and known.raw == raw and known.minor == minor:
        fields = known
    else:
        fields = parse_fields(raw, minor, limits)
    method, target, host = head[:space], head[space + 1 : end], fields.host
    if target[0] != 0x2F:  # "/": all but origin-form is rare
        target, host = _other_form(method, target, host)
    return RequestHead(method.decode("ascii"), target, host, fields)


def parse_fields(raw: bytes, minor: int, limits: Limits) -> RequestFields:
    """The header block of an HTTP/1.`minor` request. Raises Malformed."""
    fields = RequestFields(raw, minor)
    if fields.lines > limits.headers:
        raise Malformed(431, "too_many_headers", f"more than {limits.headers} header lines")
    special = fields.special
    if b"host" in special:
        host = fields.host = fields.get(b"host") or b""
        if not _is_host(host):
            raise Malformed(400, "bad_host", "Host is not a host name or address with an optional port")
    elif minor == 1:
        raise Malformed(400, "bad_host", "Host is missing")
    if len(special) > 1 or fields.repeated or b"host" not in special:
        _read_special(fields, special)
    return fields


def _is_host(host: bytes) -> bool:
    return scan.is_host(host) if scan.COMPILED else patterns.is_host(host)


def check_partial(data: bytes, limits: Limits) -> None:
    """Refuse, as early as possible, bytes that cannot become a head that is accepted. Raises Malformed."""
    if len(data) > limits.header_bytes:
        end = data.find(b"\r\n", 0, limits.header_bytes)
        if end < 0:
            raise Malformed(414, "target_too_long", f"the request line is over {limits.header_bytes} bytes")
        raise Malformed(431, "headers_too_large", f"the request head is over {limits.header_bytes} bytes")
    if BARE_LF.search(data):
        raise Malformed(400, "bad_header", "a line ends in LF without CR")
    end = data.find(b"\r\n")
    if end >= 0:
        space, _, minor = patterns.request_line(data)
        if minor < 0:
            raise _bad_line(data[:end])
        if space > MAX_METHOD:
            raise _long_method()
    elif _is_line_start(data) is None:
        raise Malformed(400, "bad_request_line", "this is not an HTTP/1.1 request")
    elif len(data) > MAX_METHOD and data.find(b" ", 0, MAX_METHOD + 1) < 0:
        raise _long_method()


def _long_method() -> Malformed:
    """RFC 9112 section 3: longer than any that is implemented."""
    return Malformed(501, "method_too_long", f"the method is over {MAX_METHOD} bytes")


def _bad_line(line: bytes) -> Malformed:
    if _is_other_version(line) and not line.endswith((b"HTTP/1.0", b"HTTP/1.1")):
        return Malformed(505, "bad_version", "only HTTP/1.0 and HTTP/1.1 are supported")
    return Malformed(400, "bad_request_line", "the request line is not METHOD SP target SP HTTP/1.1")


def _other_form(method: bytes, target: bytes, host: bytes) -> tuple[bytes, bytes]:
    """Target and host of a request that is not in origin-form."""
    if method == b"CONNECT":
        raise Malformed(501, "connect", "CONNECT is not supported")
    if target == b"*":
        if method == b"OPTIONS":
            return target, host
        raise Malformed(400, "bad_target", "only OPTIONS may ask for *")
    absolute = _is_absolute(target)
    if absolute is None or not _is_host(absolute[1]):
        raise Malformed(400, "bad_target", "the request target is neither a path nor an http URL")
    authority, path = absolute.groups()
    if not path:
        return (b"*" if method == b"OPTIONS" else b"/"), authority
    return (path if path.startswith(b"/") else b"/" + path), authority


def _read_special(fields: RequestFields, special: Mapping[bytes, bytes]) -> None:
    if fields.repeated:
        for name in _SINGLE.intersection(special):
            if len(fields.values(name)) > 1:
                kind = "bad_host" if name == b"host" else "bad_framing"
                raise Malformed(400, kind, f"{name.decode('ascii')} is given more than once")
    if b"content-length" in special or b"transfer-encoding" in special:
        _read_framing(fields, special.get(b"transfer-encoding"), special.get(b"content-length"))
    if b"connection" in special:
        _read_connection(fields)
    if b"expect" in special:
        _read_expect(fields, special[b"expect"])


def _read_framing(fields: RequestFields, coding: bytes | None, length: bytes | None) -> None:
    """RFC 9112 section 6.3, refusing all that the section lets a server repair."""
    if coding is not None:
        if length is not None:
            raise Malformed(400, "bad_framing", "both Content-Length and Transfer-Encoding are given")
        if fields.minor == 0:
            raise Malformed(400, "bad_framing", "Transfer-Encoding is not allowed in HTTP/1.0")
        if coding.rstrip(b" \t") != b"chunked":
            codings = split_list(coding)
            known = all(re.fullmatch(rb"[a-z0-9-]+", token) for token in codings)
            status = 501 if known and codings[-1:] == (b"chunked",) else 400
            raise Malformed(status, "bad_framing", "the only Transfer-Encoding accepted is chunked")
        fields.chunked = True
    elif length is not None:
        fields.content_length = scan.number(length) if scan.COMPILED else patterns.number(length)
        if fields.content_length < 0:
            raise Malformed(400, "bad_framing", "Content-Length is not a plain number of at most 18 digits")


def _read_connection(fields: RequestFields) -> None:
    named = fields.connection = fields.connection_tokens(400)
    if b"close" in named:
        fields.keep_alive = False
    elif fields.minor == 0:
        fields.keep_alive = b"keep-alive" in named
    if b"upgrade" in named and fields.minor == 1 and not fields.chunked and not fields.content_length:
        fields.upgrade = _read_upgrade(fields)


def _read_upgrade(fields: RequestFields) -> bytes | None:
    """One protocol, and never HTTP/2: behind such a tunnel requests would pass that nobody decides about."""
    offered = fields.values(b"upgrade")
    if len(offered) != 1 or re.fullmatch(TOKEN + rb"(?:/" + TOKEN + rb")?", offered[0]) is None:
        return None
    return None if offered[0].lower().startswith((b"h2", b"http/")) else offered[0]


def _read_expect(fields: RequestFields, expectation: bytes) -> None:
    if expectation.rstrip(b" \t") != b"100-continue":
        raise Malformed(417, "bad_expect", "the only supported expectation is 100-continue")
    fields.expect_continue = fields.minor == 1
