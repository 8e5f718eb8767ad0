"""The requests that the comparer makes of a tap. Pure.

None carries the client's idempotency key: a key belongs to one backend, and a copy must not use it up.
"""

from __future__ import annotations

import re
import uuid
from typing import Final

from proxy.compare.client import BackendRequest
from proxy.compare.decoding import decoded
from proxy.core.comparison.differences import Answer
from proxy.core.forwarding.hop_by_hop import Hop
from proxy.core.http1.grammar import FieldBlock
from proxy.core.http1.names import SHADOW
from proxy.core.http1.request import RequestHead, parse_fields
from proxy.core.routing import paths
from proxy.core.routing.snapshot import Snapshot
from proxy.core.routing.table import parameters
from proxy.core.settings import Endpoint
from proxy.core.wire.taps import Tap

MARK: Final = (SHADOW, b"1")

_is_target: Final = re.compile(rb"/[\x21-\x7e]*").fullmatch


def same(snapshot: Snapshot, tap: Tap) -> BackendRequest:
    """The client's request once more. Raises Malformed if the tap holds none."""
    dropped = [snapshot.idempotency.header, SHADOW, b"expect"]
    raw = _without(tap.fields, dropped)
    if tap.body:
        raw = _framed(raw, tap.body)
    head = RequestHead(tap.method, tap.target, tap.host, parse_fields(raw, tap.minor, snapshot.server.limits))
    return BackendRequest(head, tap.body, Hop(tap.peer, tap.trusted), (MARK,), snapshot.protected)


def dry_run(snapshot: Snapshot, tap: Tap, header: dict[str, str]) -> BackendRequest:
    """The write as a dry run, under a key of its own if it had one. Raises Malformed."""
    wanted = same(snapshot, tap)
    extra = [MARK, *((name.encode("latin-1"), value.encode("latin-1")) for name, value in header.items())]
    names = {name for name, _ in extra}
    raw = _without(wanted.head.fields.raw, list(names))
    fields = parse_fields(raw, tap.minor, snapshot.server.limits)
    if FieldBlock(tap.fields).get(snapshot.idempotency.header) is not None:
        extra.append((snapshot.idempotency.header, b"dry-run-%b" % uuid.uuid4().hex.encode()))
    head = RequestHead(tap.method, tap.target, tap.host, fields)
    return wanted._replace(head=head, extra=tuple(extra))


def read_back(snapshot: Snapshot, endpoint: Endpoint, shown: Endpoint, tap: Tap) -> BackendRequest | None:
    """What shows the resource that the write made or changed: with the writer's credentials.

    None if neither the answer's Location nor the write's own path says which one that is.
    """
    target = _named_by_location(snapshot, shown, tap) or _named_by_path(endpoint, shown, tap)
    if target is None:
        return None
    about_body = [b"content-type", b"content-length", b"content-encoding", b"transfer-encoding"]
    conditions = [b"if-match", b"if-none-match", b"if-modified-since", b"if-unmodified-since", b"range"]
    dropped = [snapshot.idempotency.header, SHADOW, b"expect", *about_body, *conditions]
    fields = parse_fields(_without(tap.fields, dropped), tap.minor, snapshot.server.limits)
    head = RequestHead(shown.method, target, tap.host, fields)
    return BackendRequest(head, b"", Hop(tap.peer, tap.trusted), (MARK,), snapshot.protected)


def answer_of(tap: Tap) -> Answer | None:
    """What the client was answered to a write; None if the body was not kept."""
    write = tap.write
    if write is None or write.answer is None:
        return None
    headers: dict[str, list[str]] = {}
    for name, value in FieldBlock(write.fields).pairs():
        headers.setdefault(name.decode("latin-1").lower(), []).append(value.decode("latin-1"))
    fields = {name: ", ".join(values) for name, values in headers.items()}
    return Answer(tap.status, fields, decoded(fields.get("content-encoding", ""), write.answer))


def _named_by_location(snapshot: Snapshot, shown: Endpoint, tap: Tap) -> bytes | None:
    location = b"" if tap.write is None else tap.write.location.partition(b"#")[0]
    if b"://" in location:
        location = b"/" + location.partition(b"://")[2].partition(b"/")[2]
    segments = paths.split(location) if _is_target(location) else None
    if segments is None or snapshot.table.find(shown.method, segments) is not shown:
        return None
    return location


def _named_by_path(endpoint: Endpoint, shown: Endpoint, tap: Tap) -> bytes | None:
    """The write's own path, or one that lies above it: PUT /accounts/{id} is shown by GET /accounts/{id}."""
    segments = paths.split(tap.target)
    if segments is None or not parameters(endpoint.template, segments):
        return None
    depth = len(shown.template.split("/"))
    if endpoint.template.split("/")[:depth] != shown.template.split("/"):
        return None
    return b"/".join(tap.target.partition(b"?")[0].split(b"/")[:depth])


def _without(raw: bytes, names: list[bytes]) -> bytes:
    return FieldBlock(raw).without(tuple(names))


def _framed(raw: bytes, body: bytes) -> bytes:
    """A body that came in chunks is sent with its length."""
    return _without(raw, [b"content-length", b"transfer-encoding"]) + b"Content-Length: %d\r\n" % len(body)
