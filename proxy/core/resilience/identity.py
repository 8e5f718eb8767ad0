"""Whose idempotency key it is, and for which request. Pure.

A claim is found by an id over principal, method, endpoint and key. Its fingerprint says what it was claimed
for: a request under the same id with another fingerprint is refused, so that nobody gets the answer to
another request, or to another caller whom the principal does not tell apart.

Claims of version 0.1 live on for one TTL, and its workers may run beside this program. Their ids are those of
today but for unusual spellings of the Authorization scheme (`Caller.former`), and their fingerprints are
`first_fingerprint`. Version 2 is that of today but for forms, of which it took the boundary too.
"""

from __future__ import annotations

import re
from functools import lru_cache
from hashlib import blake2b
from typing import Final, NamedTuple

from proxy.core.http1.grammar import FieldBlock, Malformed
from proxy.core.http1.request import RequestHead
from proxy.core.routing.keys import Extractor, extractor
from proxy.core.settings import CREDENTIAL, Endpoint, KeySource

MAX_KEY: Final = 255  # characters, as at Stripe
ANONYMOUS: Final = "anonymous"
FINGERPRINT_VERSION: Final = 3  # of `fingerprint`; `first_fingerprint` is 1, and NULL in a database

_quoted: Final = re.compile(
    rb'"((?:[\x20\x21\x23-\x5b\x5d-\x7e]|\\["\\])*)"'
).fullmatch  # RFC 9651 section 3.3.3
_bare: Final = re.compile(rb"[\x21\x23-\x7e][\x20-\x7e]*+").fullmatch
_unescape: Final = re.compile(rb"\\(.)").sub
_parameter: Final = re.compile(r"\{[^{}]*\}")
_scheme: Final = re.compile(rb"([!#$%&'*+\-.^_`|~0-9A-Za-z]+)[ \t]+(.*)", re.DOTALL).fullmatch
_is_default_port: Final = re.compile(rb"(.+):(?:80|443|)").fullmatch

# As nearly all clients spell them, so that nearly all ids are those of version 0.1. Others: in lower case.
_SCHEMES: Final = {
    scheme.lower(): scheme
    for scheme in (
        *(b"ApiKey", b"AWS4-HMAC-SHA256", b"Basic", b"Bearer", b"Digest", b"DPoP", b"GNAP", b"Hawk", b"HOBA"),
        *(b"Mutual", b"Negotiate", b"NTLM", b"OAuth", b"PrivateToken", b"Signature", b"Token"),
    )
}
_AUTHORIZATION: Final = KeySource("header", "authorization")
_READ_APART: Final = frozenset({b"authorization", b"cookie", b"host"})


class Caller(NamedTuple):
    """`former`: the principal for version 0.1, "" if it is the same.

    `declared`: idempotency.principal named more than the credential, and was found: the operator's word that
    this is all there is to know about who asks.
    """

    principal: str
    former: str = ""
    declared: bool = False


def parse_key(values: list[bytes]) -> str:
    """The key of all lines of the header: `"abc"` and `abc` are one key. Raises Malformed (400)."""
    if len(values) != 1:
        raise Malformed(400, "idempotency_key_invalid", "the idempotency key is given more than once")
    value = values[0]
    quoted = _quoted(value)
    if quoted is not None:
        key = _unescape(rb"\1", quoted[1])
    elif _bare(value) is not None:
        key = value
    else:
        detail = "the idempotency key is not printable ASCII, bare or in double quotes"
        raise Malformed(400, "idempotency_key_invalid", detail)
    if not 1 <= len(key) <= MAX_KEY:
        detail = f"the idempotency key has {len(key)} characters; 1 to {MAX_KEY} are allowed"
        raise Malformed(400, "idempotency_key_invalid", detail)
    return key.decode("ascii")


def caller(fields: FieldBlock, sources: tuple[KeySource, ...]) -> Caller:
    """Who asks, by the first of `sources` that is there. Raises Malformed (400) where that is ambiguous.

    Credentials are hashed, not stored. The first source is hashed as version 0.1 hashed its only one; the
    others with their names, so that a value of one is never taken for one of another.
    """
    _one_of(fields.values(b"authorization"), "Authorization")
    for position, source in enumerate(sources):
        value = _value(fields, source)
        if value is None:
            continue
        declared = source != CREDENTIAL
        if position:
            return Caller(_digest(b"principal of", str(source).encode(), value), "", declared)
        principal, former = _digest(b"principal", value), ""
        if source in (CREDENTIAL, _AUTHORIZATION):
            former = _digest(b"principal", fields.get(b"authorization") or b"")
        return Caller(principal, "" if former == principal else former, declared)
    return Caller(ANONYMOUS)


def principals_of(name: str, sources: tuple[KeySource, ...]) -> frozenset[str]:
    """All under which claims of this caller may be stored: `name` is the value of a source, or a token.

    Or it is the principal itself, as `strangler writes` shows it. Also those of version 0.1 and of sources in
    another order are among them.
    """
    spelled = {name.encode(), name.encode("latin-1", "ignore")}  # a header may be in either
    values = {value for raw in spelled for value in (raw, _credential(raw), b"Bearer " + raw)} - {
        b"",
        b"Bearer ",
    }
    found = {_digest(b"principal", value) for value in values}
    for source in (*sources, CREDENTIAL):
        found |= {_digest(b"principal of", str(source).encode(), value) for value in values}
    return frozenset({*found, name} if is_principal(name) else found)


def is_principal(name: str) -> bool:
    """Whether it may be a principal, which is a hash, and nobody's name."""
    return len(name) == 32 and all(char in "0123456789abcdef" for char in name)


def identity(principal: str, endpoint: Endpoint, key: str) -> str:
    """32 hex digits. Parameters' names do not count: renaming one in routing.yaml must not free any key."""
    scope = _parameter.sub("{}", endpoint.template)
    return _digest(b"identity", principal.encode(), endpoint.method.encode(), scope.encode(), key.encode())


def fingerprint(head: RequestHead, body: bytes, sticky: tuple[KeySource, ...], caller: Caller) -> str:
    """32 hex digits over the request as the client sent it; a chunked body without its framing.

    And over who asks, as far as the principal does not say it. Where it is declared, Authorization and Cookie
    are left out: they hold what is renewed between two tries. The rest does not change of itself.
    The boundary of a form does not count: clients choose a new one for each attempt.
    """
    boundary = _boundary_of(head, body)
    if boundary is None:
        return second_fingerprint(head, body, sticky, caller)
    pieces = (b"\r\n" + body).split(b"\r\n--" + boundary)
    parts = _request(b"request 3", head, sticky, caller)
    return _digest(*parts[:3], _digest(*pieces).encode(), *parts[3:])


def second_fingerprint(head: RequestHead, body: bytes, sticky: tuple[KeySource, ...], caller: Caller) -> str:
    """As version 2 had it, of forms with their boundary."""
    parts = _request(b"request 2", head, sticky, caller)
    return _digest(*parts[:3], body, *parts[3:])


def _boundary_of(head: RequestHead, body: bytes) -> bytes | None:
    """Of a form that begins with it; everything else is taken byte by byte."""
    kind, *parameters = (head.fields.get(b"content-type") or b"").split(b";")
    if kind.strip(b" \t").lower().startswith(b"multipart/"):
        for parameter in parameters:
            name, _, value = parameter.partition(b"=")
            boundary = value.strip(b" \t").strip(b'"')
            if name.strip(b" \t").lower() == b"boundary":
                return boundary if boundary and body.startswith(b"--" + boundary) else None
    return None


def _request(version: bytes, head: RequestHead, sticky: tuple[KeySource, ...], caller: Caller) -> list[bytes]:
    """What is fingerprinted of a request but for its body."""
    fields = head.fields
    names = {b"x-api-key", *(source.name.encode("latin-1") for source in sticky if source.kind == "header")}
    parts = [version, head.method.encode(), head.target, _host(head.host)]
    for name in sorted(names - _READ_APART):
        values = fields.values(name)
        if values:
            parts += [name, b"%d" % len(values), *values]
    if fields.values(b"x-forwarded-host"):
        parts += [b"x-forwarded-host", *map(_host, fields.values(b"x-forwarded-host"))]
    if not caller.declared:
        credential = fields.get(b"authorization")
        parts += [b"authorization", b"" if credential is None else b"=" + _credential(credential)]
        parts += [b"cookie", b"; ".join(fields.values(b"cookie"))]
    return parts


def first_fingerprint(head: RequestHead, body: bytes) -> str:
    """As version 0.1 had it."""
    return _digest(b"request", head.method.encode(), head.target, body)


def _value(fields: FieldBlock, source: KeySource) -> bytes | None:
    if source == CREDENTIAL:
        found = fields.get(b"authorization")
        return None if found is None else _credential(found)
    if source.kind == "header":
        named = _one_of(fields.values(source.name.encode("latin-1")), source.name)
        return _credential(named) if named and source == _AUTHORIZATION else named or None
    if source.kind == "cookie":
        return _cookie(fields, source.name)
    found_by = _extractor(source)
    return None if found_by is None else found_by.key(fields, (), "")


def _credential(value: bytes) -> bytes:
    """`bearer  x` as `Bearer x`: a scheme is the same in any case (RFC 9110 section 11.1)."""
    found = _scheme(value)
    if found is None:
        return value
    scheme = found[1].lower()
    return _SCHEMES.get(scheme, scheme) + b" " + found[2]


def _cookie(fields: FieldBlock, name: str) -> bytes | None:
    """A cookie with two values is ambiguous: the backend may use the other one."""
    values = set()
    for pair in b";".join(fields.values(b"cookie")).split(b";"):
        given, equals, value = pair.partition(b"=")
        if equals and given.strip(b" \t") == name.encode("latin-1"):
            value = value.strip(b" \t")
            quoted = len(value) >= 2 and value.startswith(b'"') and value.endswith(b'"')
            values.add(value[1:-1] if quoted else value)
    return _one_of(sorted(values), f"the cookie {name}") or None


def _one_of(values: list[bytes], name: str) -> bytes | None:
    if len(values) > 1:
        detail = f"{name} says who owns the idempotency key, and is given more than once"
        raise Malformed(400, "idempotency_principal_invalid", detail)
    return values[0] if values else None


def _host(host: bytes) -> bytes:
    """In lower case, without the port that a URL leaves out, whether or not TLS ends before this proxy."""
    found = _is_default_port(host.lower())
    return found[1] if found else host.lower()


@lru_cache(maxsize=64)
def _extractor(source: KeySource) -> Extractor | None:
    return extractor(source, "")


def _digest(*parts: bytes) -> str:
    digest = blake2b(digest_size=16)
    for part in parts:
        digest.update(len(part).to_bytes(8, "big"))
        digest.update(part)
    return digest.hexdigest()
