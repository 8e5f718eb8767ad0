from __future__ import annotations

import asyncio
from collections.abc import Iterator

import pytest

from proxy.compare.replay.recorded import BadInput, Recorded
from proxy.compare.replay.results import ReplayResults
from proxy.compare.replay.run import Options, Planned, ReplayRun, Skip, plan
from proxy.config import load_text

TEXT = """
backends: {legacy: {url: 'http://a'}, async: {url: 'http://b'}}
endpoints: {'GET /a/{id}': {}, 'POST /a': {}, 'DELETE /a/{id}': {}, 'POST /search': {safe: true}}
"""
SNAPSHOT = load_text(TEXT, source="x", environ={}).snapshot
OPTIONS = Options(rate=10, concurrency=2)


def recorded(method: str = "GET", target: str = "/a/1", host: str | None = None, **more: object) -> Recorded:
    return Recorded(method, target, (), b"", host, 200, None)._replace(**more)


def reason(found: Planned | Skip) -> str:
    assert isinstance(found, Skip)
    return found.reason


def test_recorded_headers_are_sent_and_given_ones_replace_them() -> None:
    options = OPTIONS._replace(headers={"authorization": "Bearer mine"})
    headers = (("authorization", b"Bearer theirs"), ("accept", b"x"))
    found = plan(SNAPSHOT, options, recorded(host="api.example:8080", headers=headers))
    assert isinstance(found, Planned)
    assert found.endpoint.name == "GET /a/{id}"
    assert [found.request.head.get(name) for name in (b"host", b"authorization", b"accept")] == [
        *(b"api.example:8080", b"Bearer mine", b"x")
    ]


def test_a_recorded_idempotency_key_is_not_used_up_under_whatever_name() -> None:
    named = load_text(TEXT + "idempotency: {header: x-once}", source="x", environ={}).snapshot
    headers = (("x-once", b"recorded"), ("accept", b"x"))
    found = plan(named, OPTIONS, recorded(headers=headers))
    assert isinstance(found, Planned)
    assert (found.request.head.get(b"x-once"), found.request.head.get(b"accept")) == (None, b"x")
    given = plan(named, OPTIONS._replace(headers={"x-once": "given"}), recorded(headers=headers))
    assert isinstance(given, Planned)
    assert given.request.head.get(b"x-once") == b"given"


def test_repeated_lines_and_all_bytes_are_sent_as_they_were_recorded() -> None:
    headers = (("x-a", b"1"), ("accept", b"*/*"), ("x-a", "\u00e9".encode()), ("x-b", b"\xff"))
    found = plan(SNAPSHOT, OPTIONS, recorded(headers=headers))
    assert isinstance(found, Planned)
    lines = (b"Host: localhost", b"X-A: 1", b"Accept: */*", b"X-A: \xc3\xa9", b"X-B: \xff", b"")
    assert found.request.head.fields.raw == b"\r\n".join(lines)


@pytest.mark.parametrize("value", [b"1\r\nx-admin: 1", b"1\nx", b"1\0"])
def test_a_line_break_never_makes_a_second_header(value: bytes) -> None:
    found = plan(SNAPSHOT, OPTIONS, recorded(headers=(("x-a", value),)))
    assert reason(found) == "not a request that the proxy accepts"


@pytest.mark.parametrize(
    ("given", "options", "expected"),
    [
        (recorded(target="/b"), OPTIONS, "not listed in routing.yaml"),
        (recorded(target="/a//1"), OPTIONS, "not listed in routing.yaml"),
        (recorded(target="nonsense"), OPTIONS, "not a request that the proxy accepts"),
        (recorded(target="/a/\u20ac"), OPTIONS, "not a request that the proxy accepts"),
        (recorded(skip="masked"), OPTIONS, "masked"),
        (recorded(host="cdn"), OPTIONS._replace(hosts=frozenset({"api"})), "of another host than api"),
        (recorded(), OPTIONS._replace(endpoints=frozenset({"POST /a"})), "not asked for"),
        (recorded("POST", "/a"), OPTIONS, "it may change something"),
        (recorded("DELETE"), OPTIONS, "it may change something"),
        (recorded("POST", "/search"), OPTIONS, "its body is not in the log"),
        (recorded("POST", "/a"), OPTIONS._replace(sandbox=True), "its body is not in the log"),
    ],
)
def test_what_is_not_repeated_says_why(given: Recorded, options: Options, expected: str) -> None:
    assert reason(plan(SNAPSHOT, options, given)) == expected


def test_a_sandbox_takes_writes_and_a_safe_post_needs_none() -> None:
    write = recorded("POST", "/a", host="h", body=b"{}")
    found = plan(SNAPSHOT, OPTIONS._replace(sandbox=True), write)
    assert isinstance(found, Planned)
    assert (found.request.body, found.request.head.get(b"content-length")) == (b"{}", b"2")
    assert isinstance(plan(SNAPSHOT, OPTIONS, write._replace(target="/search")), Planned)
    empty = plan(SNAPSHOT, OPTIONS._replace(sandbox=True), write._replace(body=b""))
    assert isinstance(empty, Planned)
    assert empty.request.head.get(b"content-length") == b"0"


@pytest.mark.parametrize("error", [BadInput("file:7: changed meanwhile"), OSError("gone")])
def test_a_file_that_breaks_while_it_is_read_says_so(error: Exception) -> None:
    def broken() -> Iterator[Recorded]:
        yield recorded(skip="masked")
        raise error

    found = ReplayResults()
    with pytest.raises(type(error), match=str(error)):
        asyncio.run(ReplayRun(SNAPSHOT, OPTIONS, found, lambda: None).run(broken()))
    assert found.through == 1
