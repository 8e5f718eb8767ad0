from __future__ import annotations

import json
from collections.abc import Callable

import pytest

from proxy.config import Loaded, compile_in_slices, compile_values
from proxy.config.compile import SLICE
from proxy.config.difference import difference
from proxy.core.routing.snapshot import Snapshot
from proxy.core.settings import Idempotency, KeySource
from tests.config.texts import load, meaning


@pytest.mark.parametrize(
    ("endpoint", "mode"),
    [
        ("POST /a: {}", "optional"),
        ("PUT /a: {}", "optional"),
        ("GET /a: {}", "off"),
        ("POST /a: {safe: true}", "off"),
        ("POST /a: {idempotency: off}", "off"),
        ("POST /a: {idempotency: record}", "record"),
        ("POST /a: {idempotency: required}", "required"),
    ],
)
def test_writes_mind_idempotency_keys_unless_told_otherwise(endpoint: str, mode: str) -> None:
    snapshot = load(f"endpoints: {{{endpoint}}}").snapshot
    assert snapshot.endpoints[0].idempotency == mode


def test_settings_of_keyed_writes_are_compiled() -> None:
    text = """idempotency: {header: X-Key, principal: 'jwt:sub', ttl: 1h, max_body: 1KiB, max_response: 2KiB,
      max_store: 3KiB, statuses: {missing: 428, in_flight: 425, mismatch: 400}}"""
    assert load(text).snapshot.idempotency == Idempotency(
        b"x-key", (KeySource("jwt", "sub"),), 3600.0, 1024, 2048, 3072, 428, 425, 400
    )
    assert load("").snapshot.idempotency == Idempotency()


def test_principals_are_one_source_or_a_list_and_a_change_of_them_is_told() -> None:
    old = load("").snapshot
    new = load("idempotency: {principal: [cookie:Sid, header:X-User, credential]}").snapshot
    assert old.idempotency.principal == (KeySource("credential"),)
    assert new.idempotency.principal == (
        KeySource("cookie", "Sid"),
        KeySource("header", "x-user"),
        KeySource("credential"),
    )
    assert difference(old, new).lines == (
        "idempotency.principal: credential -> cookie:Sid, header:x-user, credential",
    )


def test_fields_that_decide_are_known_of_all_sections() -> None:
    text = """
sticky: {key: [header:X-A, cookie:c]}
idempotency: {header: X-Key, principal: [jwt:sub, header:X-B]}
endpoints: {GET /a: {sticky: header:X-C}, POST /a: {sticky: [header:X-D, path:q]}, GET /b: {}}
"""
    text = text.replace("POST /a", "'POST /{q}'")
    names = load(text).snapshot.protected
    assert {b"x-key", b"x-a", b"x-b", b"x-c", b"x-d", b"authorization", b"cookie", b"host"} <= names
    assert not {b"q", b"sub", b"c", b"connection", b"keep-alive", b"te", b"upgrade"} & names


def test_a_change_of_them_is_told() -> None:
    old, new = load("").snapshot, load("idempotency: {header: x-key, ttl: 1h, max_body: 1KiB}").snapshot
    assert difference(old, new).lines == (
        "idempotency.header: idempotency-key -> x-key",
        "idempotency.ttl: 86400s -> 3600s",
        "idempotency.max_body: 1048576 bytes -> 1024 bytes",
    )


def sliced_values(loaded: Loaded) -> list[Snapshot | None]:
    """As a worker gets them."""
    return list(compile_values(json.loads(json.dumps(loaded.values)), loaded.snapshot.hash))


def sliced_document(loaded: Loaded) -> list[Snapshot | None]:
    """As a control process of an older version sends it."""
    return list(compile_in_slices(loaded.document, loaded.snapshot.hash))


@pytest.mark.parametrize("slices", [sliced_values, sliced_document])
def test_slices_make_the_same_snapshot_as_the_whole(
    slices: Callable[[Loaded], list[Snapshot | None]],
) -> None:
    listed = [f"GET /a{n}/{{id}}: {{weight: {n % 100}, group: g{n % 3}}}" for n in range(3 * SLICE + 1)]
    listed += [
        "POST /b/{id}: {sticky: 'path:id', breaker: {consecutive: 2}, buffers: {request: 1KiB}}",
        "HEAD /c: {}",
    ]
    listed += ["GET /c: {compare: {sample: 10%, rules: [{ignore: a}]}}"]
    whole = load("sticky: {salt: s}\nendpoints:\n" + "".join(f"  {each}\n" for each in listed))
    *pauses, sliced = slices(whole)
    assert pauses == [None] * (1 + 4)
    assert sliced is not None
    assert meaning(sliced) == meaning(whole.snapshot)
    for method, path in (("GET", ["a7", "x"]), ("HEAD", ["a7", "x"]), ("HEAD", ["c"]), ("GET", ["c"])):
        found, expected = sliced.table.find(method, path), whole.snapshot.table.find(method, path)
        assert found is not None
        assert expected is not None
        assert found.name == expected.name


def test_two_endpoints_for_the_same_requests_are_no_snapshot_in_slices_either() -> None:
    document = load("endpoints:\n  GET /a/{x}: {}").document
    document["endpoints"]["GET /a/{y}"] = {}
    with pytest.raises(ValueError, match="matches the same requests"):
        list(compile_in_slices(document, "h"))
