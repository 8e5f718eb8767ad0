"""Requests that two servers, or two frameworks, could read in two ways: here both read them in the same.

Where a server refuses before its application is asked, the other application refuses with the same status.
"""

from __future__ import annotations

import json
from collections.abc import Iterator

import pytest

from tests.contract.fixtures import Ledger, order
from tests.contract.servers import Server
from tests.contract.wire import ask, send

JSON = "Content-Type: application/json"


@pytest.fixture
def account(ledger: Ledger) -> str:
    return f"/accounts/{ledger.accounts()[0]}"


@pytest.fixture
def key(ledger: Ledger) -> str:
    return f"Authorization: Bearer {ledger.api_key}"


@pytest.fixture
def payment(ledger: Ledger) -> bytes:
    return json.dumps(order(*ledger.accounts()[:2], "0.01")).encode()


@pytest.fixture
def unpaid(ledger: Ledger) -> Iterator[None]:
    """Nothing was paid in the test."""
    count = "SELECT count(*) FROM payments"
    before = ledger.execute(count)
    yield
    assert ledger.execute(count) == before


@pytest.fixture(params=["legacy", "async"])
def backend(request: pytest.FixtureRequest) -> str:
    """Base URL of a backend by itself."""
    server: Server = request.getfixturevalue(f"{request.param}_server")
    return server.url


# -- fields that are given twice


@pytest.mark.parametrize("second", ["Bearer nonsense", "", "same"])
@pytest.mark.parametrize("first", [True, False])
def test_two_credentials_are_none(
    target: str, account: str, key: str, payment: bytes, unpaid: None, second: str, first: bool
) -> None:
    other = key if second == "same" else f"Authorization: {second}"
    lines = [key, other] if first else [other, key]
    assert ask(target, "GET", account, lines).status in (400, 401)
    assert ask(target, "POST", "/payments", [*lines, JSON], payment).status in (400, 401)


def test_two_credentials_are_unauthorized(backend: str, account: str, key: str) -> None:
    answer = ask(backend, "GET", account, [key, "Authorization: Bearer nonsense"])
    assert (answer.status, answer.kind) == (401, "unauthorized")


@pytest.mark.parametrize("lines", [["{tag}", '"x"'], ['"x"', "{tag}"], ["", "{tag}"], ['"x", "y"', "{tag}"]])
def test_lines_of_if_none_match_are_one_list(target: str, account: str, key: str, lines: list[str]) -> None:
    tag = ask(target, "GET", account, [key]).headers["etag"]
    asked = [f"If-None-Match: {line.format(tag=tag)}" for line in lines]
    assert ask(target, "GET", account, [key, *asked]).status == 304


@pytest.mark.parametrize("lines", [["*", '"x"'], ['"x"', "*"], ['"x"', '"y"']])
def test_a_star_among_tags_is_no_star(target: str, account: str, key: str, lines: list[str]) -> None:
    asked = [f"If-None-Match: {line}" for line in lines]
    assert ask(target, "GET", account, [key, *asked]).status == 200


@pytest.mark.parametrize(
    "lines", [[JSON, JSON], [JSON, "Content-Type: text/plain"], ["content-type: text/plain", JSON]]
)
def test_two_content_types_are_refused(
    target: str, key: str, payment: bytes, unpaid: None, lines: list[str]
) -> None:
    assert ask(target, "POST", "/payments", [key, *lines], payment).status == 400
    assert ask(target, "GET", "/payments", [key, *lines]).status == 400


def test_two_hosts_are_refused(target: str, key: str, payment: bytes, unpaid: None) -> None:
    assert ask(target, "POST", "/payments", [key, JSON, "Host: other"], payment).status == 400


def test_fields_that_mean_nothing_here_may_come_twice(target: str, account: str, key: str) -> None:
    lines = ["Cookie: a=1", "Cookie: b=2", "Accept: ;;q", "Accept: text/xml", "X-A: 1", "X-A: 2"]
    assert ask(target, "GET", account, [key, *lines]).status == 200


@pytest.mark.parametrize("space", ["\xa0", "\x85"])
def test_only_spaces_and_tabs_surround_a_type(
    target: str, key: str, payment: bytes, unpaid: None, space: str
) -> None:
    answer = ask(target, "POST", "/payments", [key, f"{JSON}{space}"], payment)
    assert (answer.status, answer.kind) == (415, "unsupported-media-type")


def test_a_trailer_is_no_header(target: str, key: str, payment: bytes, ledger: Ledger) -> None:
    count = "SELECT count(*) FROM payments"
    before = ledger.execute(count)[0][0]
    trailers = ["X-Dry-Run: 1", "If-None-Match: *", "Idempotency-Key: \x80"]
    answer = ask(target, "POST", "/payments", [key, JSON], payment, trailers=trailers)
    assert answer.status == 201
    assert "x-dry-run" not in answer.headers
    assert ledger.execute(count)[0][0] == before + 1


# -- expectations, protocols, versions


@pytest.mark.parametrize("value", ["foo", "100-continue, foo", "", "100"])
def test_an_unknown_expectation_fails(
    target: str, account: str, key: str, payment: bytes, unpaid: None, value: str
) -> None:
    assert ask(target, "POST", "/payments", [key, JSON, f"Expect: {value}"], payment).status == 417
    assert ask(target, "GET", account, [key, f"Expect: {value}"]).status == 417


@pytest.mark.parametrize("value", ["100-continue", "100-Continue"])
def test_the_known_expectation_is_met(target: str, account: str, key: str, value: str) -> None:
    assert ask(target, "GET", account, [key, f"Expect: {value}"]).status == 200


@pytest.mark.parametrize("protocol", ["websocket", "WebSocket", "h2c", "foo"])
def test_a_protocol_that_is_not_offered_is_ignored(
    target: str, account: str, key: str, protocol: str
) -> None:
    handshake = ["Sec-WebSocket-Version: 13", "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ=="]
    lines = [key, "Connection: Upgrade", f"Upgrade: {protocol}", *handshake]
    assert ask(target, "GET", account, lines).status == 200
    refused = ask(target, "DELETE", "/payments", lines)
    assert (refused.status, refused.headers["allow"]) == (405, "GET, HEAD, POST")


def test_through_the_proxy_a_body_may_come_with_an_upgrade(
    proxy_at_0_server: Server, proxy_at_100_server: Server, key: str
) -> None:
    """httptools alone takes such a body for the other protocol's bytes."""
    for server in (proxy_at_0_server, proxy_at_100_server):
        for protocol in ("websocket", "h2c", "foo"):
            lines = [key, JSON, "Connection: Upgrade", f"Upgrade: {protocol}"]
            assert ask(server.url, "POST", "/payments", lines, b"{}").status == 422


@pytest.mark.parametrize("version", ["HTTP/1.2", "HTTP/2.0", "HTTP/3.0"])
def test_only_the_known_versions_are_answered(
    target: str, key: str, payment: bytes, unpaid: None, version: str
) -> None:
    answer = ask(target, "POST", "/payments", [key, JSON], payment, version=version)
    assert answer.status in (400, 505)  # the proxy says 505


def test_an_old_version_has_no_chunks(target: str, key: str, payment: bytes, unpaid: None) -> None:
    answer = ask(target, "POST", "/payments", [key, JSON], payment, version="HTTP/1.0", trailers=[])
    assert answer.status == 400


@pytest.mark.parametrize("size", [b"zz", b"0x%x", b"-1", b""])
def test_a_body_with_broken_chunks_is_malformed(
    target: str, key: str, payment: bytes, unpaid: None, size: bytes
) -> None:
    head = f"POST /payments HTTP/1.1\r\nHost: x\r\n{key}\r\n{JSON}\r\nTransfer-Encoding: chunked\r\n\r\n"
    size = size % len(payment) if b"%" in size else size
    assert send(target, head.encode() + size + b"\r\n" + payment + b"\r\n0\r\n\r\n").status == 400


# -- paths and queries


@pytest.mark.parametrize("start", ["//", "///", "/%2F", "//%2f"])
def test_a_doubled_slash_is_another_path(
    target: str, account: str, key: str, payment: bytes, unpaid: None, start: str
) -> None:
    for answer in (
        ask(target, "GET", start + account.removeprefix("/"), [key]),
        ask(target, "POST", f"{start}payments", [key, JSON], payment),
        ask(target, "DELETE", f"{start}payments", [key]),
        ask(target, "GET", f"{start}healthz"),
    ):
        assert (answer.status, answer.kind) == (404, "not-found")


@pytest.mark.parametrize("suffix", ["%0A", "%0a", "%0D", "/", "/.", "%20", ";", "%00", "//"])
@pytest.mark.parametrize("path", ["/payments", "/healthz", "{account}", "{account}/transactions"])
def test_a_path_with_more_behind_it_is_another(
    target: str, account: str, key: str, path: str, suffix: str
) -> None:
    answer = ask(target, "GET", path.format(account=account) + suffix, [key])
    assert (answer.status, answer.kind) == (404, "not-found")


def test_nothing_is_created_at_a_path_with_more_behind_it(
    target: str, key: str, payment: bytes, unpaid: None
) -> None:
    for suffix in ("%0A", "/", "%20", ";"):
        assert ask(target, "POST", f"/payments{suffix}", [key, JSON], payment).status == 404


@pytest.mark.parametrize("path", ["/./payments", "/x/../payments", "/Payments", "/payments/.", "/."])
def test_paths_are_not_normalised(target: str, key: str, path: str) -> None:
    assert ask(target, "GET", path, [key]).status == 404


def test_an_escape_is_the_character_that_it_stands_for(target: str, account: str, key: str) -> None:
    for path in (account.replace("a", "%61", 1), account.replace("/", "%2F").replace("%2F", "/", 1)):
        assert ask(target, "GET", path, [key]).status == 200


def test_an_absolute_target_is_its_path(target: str, account: str, key: str) -> None:
    for start in ("http://localhost", "http://other:81", "HTTP://localhost"):
        assert ask(target, "GET", start + account, [key]).status == 200
    answer = ask(target, "GET", "http://localhost/payments?limit=1&limit=2", [key])
    assert (answer.status, answer.fields) == (422, ["limit"])


def test_no_header_moves_the_path(target: str, account: str, key: str, payment: bytes, unpaid: None) -> None:
    """gunicorn alone lets SCRIPT_NAME cut off the path's beginning, for those that it takes for its proxy."""
    for name in ("SCRIPT_NAME", "Script-Name"):
        assert ask(target, "GET", account, [key, f"{name}: /accounts"]).status == 200
        moved = ask(target, "POST", "/x/payments", [key, JSON, f"{name}: /x"], payment)
        assert (moved.status, moved.kind) == (404, "not-found")
    assert ask(target, "GET", account, [key, "PATH_INFO: /healthz"]).body.startswith(b"{")


@pytest.mark.parametrize(
    "lines", [["X-Forwarded-Proto: https", "X-Forwarded-Ssl: off"], ["X-Forwarded-Protocol: ssl"]]
)
def test_what_headers_say_of_the_scheme_means_nothing(
    target: str, account: str, key: str, lines: list[str]
) -> None:
    assert ask(target, "GET", account, [key, *lines]).status == 200


@pytest.mark.parametrize("body", [b"{", b"", b"[]", b"x" * 17_000])
@pytest.mark.parametrize("kind", [JSON, "Content-Type: text/plain"])
def test_a_repeated_parameter_comes_before_the_body(target: str, key: str, body: bytes, kind: str) -> None:
    for path in ("/payments?a=1&a=2", "/accounts?a&a", "/payments/x/refunds?a=&a=1"):
        answer = ask(target, "POST", path, [key, kind], body)
        assert (answer.status, answer.kind, answer.fields) == (422, "invalid-request", ["a"])


@pytest.mark.parametrize(("method", "path"), [("PUT", "/accounts/x"), ("POST", "/payments/x/refunds")])
def test_a_wrong_id_comes_after_the_body_and_before_its_fields(
    target: str, key: str, method: str, path: str
) -> None:
    for body in (b"[]", b'{"z": 1}', b'"x"', b"null"):
        answer = ask(target, method, path, [key, JSON], body)
        assert (answer.status, answer.kind) == (404, "not-found")
    assert ask(target, method, path, [key, JSON], b"{").status == 400
    assert ask(target, method, path, [key], b"{}").status == 415


@pytest.mark.parametrize(
    ("query", "fields"),
    [
        ("=1&=2", [""]),
        ("limit&limit", ["limit"]),
        ("a+b=1&a%20b=2", ["a b"]),
        ("limit=1&%6Cimit=2", ["limit"]),
        ("%ff=1&%fe=2", []),
        ("%ed%a0%80=1&%ed%a0%81=1", []),
        ("%ff=1&%ff=2", ["%FF"]),
        ("x%ffy=1&x%ffy=2&x%25FFy=3", ["x%FFy"]),
        ("a=1;a=2", []),
        ("&&a=1&&", []),
        ("=1", []),
    ],
)
def test_repeated_names_are_told_by_what_they_stand_for(
    target: str, key: str, query: str, fields: list[str]
) -> None:
    answer = ask(target, "GET", f"/payments?{query}", [key])
    assert (answer.status, answer.fields if fields else []) == (422 if fields else 200, fields)


# -- sizes


@pytest.mark.parametrize(("lines", "status"), [(50, 200), (99, 200), (126, 200), (127, 431), (1000, 431)])
def test_header_lines_are_counted(backend: str, account: str, key: str, lines: int, status: int) -> None:
    """With Host and the key two more: 128 are allowed. The proxy takes 100, and adds a few."""
    assert ask(backend, "GET", account, [key, *["X-A: 1"] * lines]).status == status


@pytest.mark.parametrize(("lines", "status"), [(98, 200), (99, 431)])
def test_what_the_proxy_lets_pass_is_not_too_much_for_either(
    proxy_at_0_server: Server, proxy_at_100_server: Server, account: str, key: str, lines: int, status: int
) -> None:
    for server in (proxy_at_0_server, proxy_at_100_server):
        assert ask(server.url, "GET", account, [key, *["X-A: 1"] * lines]).status == status
        big = f"X-A: {'x' * 30_000}"
        assert ask(server.url, "GET", account, [key, big]).status == 200


@pytest.mark.parametrize(("size", "status"), [(8_200, 200), (32_000, 200), (33_000, 431), (60_000, 431)])
def test_header_lines_are_measured(backend: str, account: str, key: str, size: int, status: int) -> None:
    assert ask(backend, "GET", account, [key, f"X-A: {'x' * size}"]).status == status


@pytest.mark.parametrize(("size", "status"), [(8_190, 200), (8_191, 414), (20_000, 414), (60_000, 414)])
def test_request_lines_are_measured(backend: str, key: str, size: int, status: int) -> None:
    start = "GET /payments?a="
    query = "x" * (size - len(start) - len(" HTTP/1.1"))
    assert ask(backend, "GET", f"/payments?a={query}", [key]).status == status
