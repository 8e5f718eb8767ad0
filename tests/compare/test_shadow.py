from __future__ import annotations

import pytest

from proxy.compare.client import BackendRequest
from proxy.compare.shadow import MARK, answer_of, dry_run, read_back, same
from proxy.config import load_text
from proxy.core.wire.taps import Tap, Write

SNAPSHOT = load_text(
    """
backends: {legacy: {url: 'http://a'}, async: {url: 'http://b'}}
endpoints:
  POST /things: {}
  PUT /things/{id}: {}
  POST /things/{id}/parts: {}
  GET /things/{id}: {}
""",
    source="x",
    environ={},
).snapshot
ENDPOINTS = {endpoint.name: endpoint for endpoint in SNAPSHOT.endpoints}
SHOWN = ENDPOINTS["GET /things/{id}"]


def tap(
    method: str = "POST",
    target: bytes = b"/things",
    fields: bytes = b"",
    body: bytes = b"",
    location: bytes = b"",
    answer: bytes | None = b"{}",
    answer_fields: bytes = b"Content-Type: application/json\r\n",
) -> Tap:
    write = Write(location, answer_fields, answer)
    raw = b"Host: h\r\n" + fields
    return Tap("x", method, target, b"h", raw, 1, b"10.0.0.7", True, "legacy", 201, body, write, [])


def shown(name: str, given: Tap) -> BackendRequest | None:
    return read_back(SNAPSHOT, ENDPOINTS[name], SHOWN, given)


def test_a_shadow_request_is_the_clients_but_for_its_key() -> None:
    fields = b"Authorization: Bearer t\r\nIdempotency-Key: k\r\nX-Shadow: 0\r\nExpect: 100-continue\r\n"
    wanted = same(SNAPSHOT, tap("GET", b"/things/1?x=%41", fields))
    assert (wanted.head.method, wanted.head.target, wanted.head.host) == ("GET", b"/things/1?x=%41", b"h")
    assert wanted.head.fields.raw == b"Host: h\r\nAuthorization: Bearer t\r\n"
    assert (wanted.hop.peer, wanted.hop.trusted, wanted.extra) == (b"10.0.0.7", True, (MARK,))


def test_a_body_that_came_in_chunks_goes_with_its_length() -> None:
    wanted = same(SNAPSHOT, tap(fields=b"Transfer-Encoding: chunked\r\n", body=b"{}"))
    assert wanted.head.fields.raw == b"Host: h\r\nContent-Length: 2\r\n"
    assert wanted.body == b"{}"


def test_a_dry_run_has_a_key_of_its_own_if_the_write_had_one() -> None:
    header = {"x-dry-run": "1"}
    fields = b"Idempotency-Key: k\r\nX-Dry-Run: 0\r\nContent-Length: 2\r\n"
    wanted = dry_run(SNAPSHOT, tap(fields=fields, body=b"{}"), header)
    names = dict(wanted.extra)
    assert (names[b"x-shadow"], names[b"x-dry-run"]) == (b"1", b"1")
    assert names[b"idempotency-key"].startswith(b"dry-run-")
    assert wanted.head.fields.raw == b"Host: h\r\nContent-Length: 2\r\n"
    assert b"idempotency-key" not in dict(dry_run(SNAPSHOT, tap(), header).extra)


@pytest.mark.parametrize("location", [b"/things/7", b"https://h/things/7", b"/things/7#top"])
def test_what_was_made_is_found_by_location_with_the_writers_credentials(location: bytes) -> None:
    fields = b"Authorization: Bearer t\r\nContent-Type: a/b\r\nContent-Length: 2\r\nIf-Match: x\r\n"
    wanted = shown("POST /things", tap(fields=fields, body=b"{}", location=location))
    assert wanted is not None
    assert (wanted.head.method, wanted.head.target, wanted.body) == ("GET", b"/things/7", b"")
    assert wanted.head.fields.raw == b"Host: h\r\nAuthorization: Bearer t\r\n"


@pytest.mark.parametrize(
    ("name", "target"),
    [("PUT /things/{id}", b"/things/7?dry=1"), ("POST /things/{id}/parts", b"/things/7/parts")],
)
def test_what_was_changed_is_found_by_the_writes_own_path(name: str, target: bytes) -> None:
    wanted = shown(name, tap("PUT", target))
    assert wanted is not None
    assert wanted.head.target == b"/things/7"


@pytest.mark.parametrize("location", [b"", b"/elsewhere/7", b"things/7", b"https://h", b"/things/7 8"])
def test_nothing_is_read_back_where_nothing_says_what(location: bytes) -> None:
    assert shown("POST /things", tap(location=location)) is None


def test_the_clients_answer_is_one_to_compare_if_it_was_kept_as_it_is() -> None:
    answer = answer_of(tap(answer=b'{"id":7}', answer_fields=b"X-A: 1\r\nx-a: 2\r\n"))
    assert answer is not None
    assert (answer.status, answer.headers, answer.body.content) == (201, {"x-a": "1, 2"}, b'{"id":7}')
    assert answer_of(tap(answer=None)) is None
    packed = answer_of(tap(answer_fields=b"Content-Encoding: gzip\r\n"))
    assert packed is not None
    assert packed.body.problem == "it is not gzip"
