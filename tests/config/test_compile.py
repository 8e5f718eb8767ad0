from __future__ import annotations

import pytest

from proxy.config import difference
from proxy.core.snapshot import Idempotency, KeySource
from tests.config.texts import load


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
      statuses: {missing: 428, in_flight: 425, mismatch: 400}}"""
    assert load(text).snapshot.idempotency == Idempotency(
        b"x-key", (KeySource("jwt", "sub"),), 3600.0, 1024, 2048, 428, 425, 400
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
