"""Where a request's sticky key comes from: header, bearer token, cookie, path, JWT claim or address."""

from __future__ import annotations

import binascii
import re
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import msgspec

from proxy.core.buckets import bucket_function
from proxy.core.http1.grammar import FieldBlock

if TYPE_CHECKING:
    from proxy.core.snapshot import Endpoint, KeySource

Extract = Callable[[FieldBlock, Sequence[str], str], "bytes | None"]
"""(header block, path segments, peer address) -> the key, or None if the request has none here."""

MAX_TOKEN = 16 * 1024
"""Bytes of a JWT that are looked at; a longer one is no key."""


class Rule:
    """What deciding about one endpoint needs, computed once per snapshot."""

    __slots__ = ("bucket", "keys", "weight")

    def __init__(self, endpoint: Endpoint, salt: bytes) -> None:
        self.weight = endpoint.weight
        self.bucket = bucket_function(salt, endpoint.group)
        self.keys: tuple[tuple[KeySource, Extract], ...] = tuple(
            (source, extract)
            for source in endpoint.sticky
            if (extract := extractor(source, endpoint.template)) is not None
        )


def extractor(source: KeySource, template: str) -> Extract | None:
    """Compiles a key source for one endpoint; None if the template has no such path parameter."""
    if source.kind == "header":
        return _header(source.name.lower().encode("latin-1"))
    if source.kind == "cookie":
        return _cookie(source.name.encode("latin-1"))
    if source.kind == "jwt":
        return _jwt(source.name)
    if source.kind == "path":
        return _path(source.name, template)
    return _bearer if source.kind == "bearer" else _client_ip


def _header(name: bytes) -> Extract:
    def extract(fields: FieldBlock, segments: Sequence[str], peer: str) -> bytes | None:
        return fields.get(name) or None

    return extract


def _bearer(fields: FieldBlock, segments: Sequence[str], peer: str) -> bytes | None:
    value = fields.get(b"authorization")
    if value is None or value[:7].lower() != b"bearer ":  # in any case, RFC 9110 section 11.1
        return None
    return value[7:].strip() or None


def _cookie(name: bytes) -> Extract:
    find = re.compile(rb'(?:^|;)[ \t]*%b=[ \t]*"?([^";]*)' % re.escape(name)).search

    def extract(fields: FieldBlock, segments: Sequence[str], peer: str) -> bytes | None:
        value = fields.get(b"cookie")
        if value is None:
            return None
        found = find(value)
        return (found[1].strip() or None) if found else None

    return extract


def _path(name: str, template: str) -> Extract | None:
    parts = template.split("/")[1:]
    if f"{{{name}...}}" in parts:
        start = parts.index(f"{{{name}...}}")
        return lambda fields, segments, peer: "/".join(segments[start:]).encode() or None
    if f"{{{name}}}" not in parts:
        return None
    position = parts.index(f"{{{name}}}")
    return lambda fields, segments, peer: segments[position].encode()


def _jwt(claim: str) -> Extract:
    """Reads one top-level claim, text or integer, without verifying the token: it only picks a bucket."""
    shape = msgspec.defstruct("Claim", [("value", str | int | None, msgspec.field(name=claim, default=None))])
    decode: Callable[[bytes], Any] = msgspec.json.Decoder(shape).decode

    def extract(fields: FieldBlock, segments: Sequence[str], peer: str) -> bytes | None:
        token = _bearer(fields, segments, peer)
        if token is None or len(token) > MAX_TOKEN:
            return None
        parts = token.split(b".")
        if len(parts) != 3:
            return None
        payload = parts[1].translate(_URLSAFE)
        try:
            value = decode(binascii.a2b_base64(payload + b"=" * (-len(payload) % 4))).value
            return None if value is None else str(value).encode() or None
        except (ValueError, RecursionError):  # not base64, not JSON, not text: binascii's and msgspec's too
            return None

    return extract


_URLSAFE = bytes.maketrans(b"-_", b"+/")


def _client_ip(fields: FieldBlock, segments: Sequence[str], peer: str) -> bytes | None:
    return peer.encode() or None
