"""Where a request's sticky key comes from: header, bearer token, cookie, path, JWT claim or address."""

from __future__ import annotations

import binascii
import re
from collections.abc import Callable, Iterable, Sequence
from typing import TYPE_CHECKING, Any

import msgspec

from proxy.core.http1.grammar import FieldBlock
from proxy.core.routing.buckets import Buckets

if TYPE_CHECKING:
    from proxy.core.settings import Endpoint, KeySource

MAX_TOKEN = 16 * 1024
"""Bytes of a JWT that are looked at; a longer one is no key."""

_URLSAFE = bytes.maketrans(b"-_", b"+/")


class Assignment:
    """How requests of one endpoint find their bucket, computed once per snapshot.

    `first` are the keys that a rollout puts on async before all others; `counted`: it counts users by keys.
    """

    __slots__ = ("buckets", "counted", "first", "keys")

    def __init__(self, buckets: Buckets, keys: tuple[tuple[KeySource, Extractor], ...]) -> None:
        self.buckets = buckets
        self.keys = keys
        self.first: frozenset[bytes] = frozenset()
        self.counted = False

    @classmethod
    def of(cls, endpoint: Endpoint, salt: bytes) -> Assignment:
        keys = tuple(
            (source, found)
            for source in endpoint.sticky
            if (found := extractor(source, endpoint.template)) is not None
        )
        return Assignment(Buckets(salt, endpoint.group), keys)

    def in_rollout(self, first: Iterable[str], *, counted: bool) -> Assignment:
        """The same, with what a rollout adds."""
        made = Assignment(self.buckets, self.keys)
        made.first = frozenset(key.encode("utf-8", "surrogateescape") for key in first)
        made.counted = counted
        return made


class Extractor:
    """Reads a key from one place of a request."""

    __slots__ = ()

    def key(self, fields: FieldBlock, segments: Sequence[str], peer: str) -> bytes | None:
        """None if there is none; `segments` are those of the path, `peer` is the client's address."""
        raise NotImplementedError


def extractor(source: KeySource, template: str) -> Extractor | None:
    """For a key source of one endpoint; None if the template has no such path parameter."""
    if source.kind == "header":
        return Header(source.name.lower().encode("latin-1"))
    if source.kind == "cookie":
        return Cookie(source.name.encode("latin-1"))
    if source.kind == "jwt":
        return JwtClaim(source.name)
    if source.kind == "path":
        return _path(source.name, template)
    return Bearer() if source.kind == "bearer" else ClientAddress()


class Header(Extractor):
    __slots__ = ("_name",)

    def __init__(self, name: bytes) -> None:
        self._name = name

    def key(self, fields: FieldBlock, segments: Sequence[str], peer: str) -> bytes | None:
        return fields.get(self._name) or None


class Bearer(Extractor):
    __slots__ = ()

    def key(self, fields: FieldBlock, segments: Sequence[str], peer: str) -> bytes | None:
        return _bearer(fields)


class Cookie(Extractor):
    __slots__ = ("_find",)

    def __init__(self, name: bytes) -> None:
        self._find = re.compile(rb'(?:^|;)[ \t]*+%b=[ \t]*+"?([^";]*+)' % re.escape(name)).search

    def key(self, fields: FieldBlock, segments: Sequence[str], peer: str) -> bytes | None:
        value = fields.get(b"cookie")
        if value is None:
            return None
        found = self._find(value)
        if found is None:  # proxies that had it from HTTP/2 may pass on a line for each pair
            found = self._find(b";".join(fields.values(b"cookie")[1:]))
        return (found[1].strip() or None) if found else None


class Segment(Extractor):
    """`{name}`"""

    __slots__ = ("_position",)

    def __init__(self, position: int) -> None:
        self._position = position

    def key(self, fields: FieldBlock, segments: Sequence[str], peer: str) -> bytes | None:
        return segments[self._position].encode()


class Rest(Extractor):
    """`{name...}`"""

    __slots__ = ("_start",)

    def __init__(self, start: int) -> None:
        self._start = start

    def key(self, fields: FieldBlock, segments: Sequence[str], peer: str) -> bytes | None:
        return "/".join(segments[self._start :]).encode() or None


class JwtClaim(Extractor):
    """Reads one top-level claim, text or integer, without verifying the token: it only picks a bucket."""

    __slots__ = ("_decode",)

    def __init__(self, claim: str) -> None:
        field: Any = msgspec.field(name=claim, default=None)
        shape = msgspec.defstruct("Claim", [("value", str | int | None, field)])
        self._decode: Callable[[bytes], Any] = msgspec.json.Decoder(shape).decode

    def key(self, fields: FieldBlock, segments: Sequence[str], peer: str) -> bytes | None:
        token = _bearer(fields)
        if token is None or len(token) > MAX_TOKEN:
            return None
        parts = token.split(b".")
        if len(parts) != 3:
            return None
        payload = parts[1].translate(_URLSAFE)
        try:
            value = self._decode(binascii.a2b_base64(payload + b"=" * (-len(payload) % 4))).value
            return None if value is None else str(value).encode() or None
        except (ValueError, RecursionError):  # not base64, not JSON, not text: binascii's and msgspec's too
            return None


class ClientAddress(Extractor):
    __slots__ = ()

    def key(self, fields: FieldBlock, segments: Sequence[str], peer: str) -> bytes | None:
        return peer.encode() or None


def _bearer(fields: FieldBlock) -> bytes | None:
    value = fields.get(b"authorization")
    if value is None or value[:7].lower() != b"bearer ":  # in any case, RFC 9110 section 11.1
        return None
    return value[7:].strip() or None


def _path(name: str, template: str) -> Extractor | None:
    parts = template.split("/")[1:]
    if f"{{{name}...}}" in parts:
        return Rest(parts.index(f"{{{name}...}}"))
    if f"{{{name}}}" in parts:
        return Segment(parts.index(f"{{{name}}}"))
    return None
