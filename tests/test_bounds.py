"""Whatever clients and backends send, what is kept of it ends somewhere; too much to work on is refused."""

from __future__ import annotations

import ast
import random
import tracemalloc
from collections.abc import Callable
from pathlib import Path
from typing import Final

import msgspec
import pytest

from proxy.compare import aggregate as module
from proxy.compare.aggregate import Aggregate
from proxy.compare.judging import Finding
from proxy.control.collect import MAX_UNLISTED, REMEMBERED, Collector
from proxy.core.comparison.comparisons import Scope
from proxy.core.comparison.differences import Difference
from proxy.core.comparison.marks import Mark
from proxy.core.comparison.noise import MAX_PATHS, OTHER, Observed
from proxy.core.documents.fieldpaths import MAX_TEXT, path_text
from proxy.core.forwarding.compression import MAX_ACCEPTED, MAX_TYPE, negotiate, plan
from proxy.core.forwarding.hop_by_hop import Hop, request_block, response_block
from proxy.core.http1.body import hold
from proxy.core.http1.grammar import MAX_OPTIONS, MAX_OPTIONS_BYTES, Malformed, split_list
from proxy.core.http1.request import MAX_METHOD, RequestHead, check_partial, parse_request
from proxy.core.http1.response import parse_response
from proxy.core.privacy.redact import MAX_SECRETS, Redactor, secrets_of
from proxy.core.settings import Compression, Limits
from proxy.core.traffic.totals import EMPTY
from proxy.core.wire.messages import Labelled
from proxy.edge.exchange.held import HeldAnswer
from proxy.edge.observe import access_log
from proxy.edge.observe.access_log import MAX_TARGET, AccessEntry, AccessLog

ROOT: Final = Path(__file__).parent.parent
NAMES: Final = random.Random(1)

CACHES: Final = {
    "config/excerpt.py _known": "the code",
    "core/comparison/parity.py nothing": "the configuration",
    "control/admin/openapi.py document": "nothing",
    "control/admin/template.py environment": "nothing",
    "control/rollouts/gathering.py _hours": "the configuration",
    "core/forwarding/compression.py _listed": "a media type of up to MAX_TYPE",
    "core/forwarding/compression.py negotiate": "an Accept-Encoding of up to MAX_ACCEPTED",
    "core/documents/fieldpaths.py parse_pattern": "a pattern of up to MAX_PATTERN, by an engineer",
    "core/forwarding/hop_by_hop.py _request_dropped": "names of _USUAL_BYTES, options of MAX_OPTIONS_BYTES",
    "core/forwarding/hop_by_hop.py _response_dropped": "names of ours, options of MAX_OPTIONS_BYTES",
    "core/evidence/sequential.py _alternatives": "a ratio of a plan",
    "core/evidence/sequential.py _chances": "four numbers",
    "core/evidence/sequential.py missing_units": "three numbers",
    "core/evidence/sequential.py upper_bound": "two numbers",
    "core/evidence/units.py dealt": "two weights",
    "core/evidence/units.py share": "a weight",
    "core/http1/grammar.py _split_usual": "a list of up to _REMEMBERED",
    "core/resilience/identity.py _extractor": "the configuration",
    "core/privacy/sensitive.py _is_secret_name": "a name of up to _NAME",
    "store/statements.py _change": "the code",
    "store/statements.py _change_all": "the code",
    "store/statements.py _change_counted": "the code",
    "store/statements.py _count": "the code",
    "store/statements.py _first_use": "the code",
}
MOST: Final = 6 * 1024 * 1024  # bytes that all caches of a worker may take


def random_name(size: int) -> bytes:
    return bytes(NAMES.choices(b"abcdefghijklmnopqrstuvwxyz", k=size))


def request(lines: bytes) -> RequestHead:
    return parse_request(b"GET / HTTP/1.1\r\nHost: a\r\n" + lines + b"\r\n", Limits())


def refused(work: Callable[[], object]) -> tuple[int, str]:
    with pytest.raises(Malformed) as error:
        work()
    return error.value.status, error.value.kind


def test_every_cache_says_what_bounds_its_keys() -> None:
    found = set()
    for path in sorted((ROOT / "proxy").rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.FunctionDef) and any(
                "cache" in ast.unparse(d) for d in node.decorator_list
            ):
                found.add(f"{path.relative_to(ROOT / 'proxy')} {node.name}")
                assert not any(ast.unparse(d) == "cache" for d in node.decorator_list), (
                    "a cache without an end"
                )
    assert found == set(CACHES)


def test_caches_stay_small_whatever_heads_say() -> None:
    def meet() -> None:
        options = b",".join(random_name(24) for _ in range(MAX_OPTIONS))
        names = b"".join(b"%b_a: 1\r\n" % random_name(300) for _ in range(90))
        for lines in (b"Connection: %b\r\n" % options, names, b"A_%b: 1\r\n" % random_name(30_000)):
            request_block(request(lines), Hop(b"10.0.0.1", False), None)
        answer = parse_response(b"HTTP/1.1 200 OK\r\nConnection: %b\r\n\r\n" % options, "GET")
        response_block(answer, "legacy")
        split_list(random_name(30_000))
        split_list(b",".join(random_name(1) for _ in range(60)))
        settings = Compression(codings=("gzip",), types=("text/*",), min_bytes=0)
        asked = request(b"Accept-Encoding: %b\r\n" % random_name(MAX_ACCEPTED - 1))
        kind = random_name(30_000)
        plan(
            settings,
            asked,
            parse_response(b"HTTP/1.1 200 OK\r\nContent-Type: text/%b\r\n\r\n" % kind, "GET"),
            9,
        )
        plan(settings, asked, parse_response(b"HTTP/1.1 200 OK\r\nContent-Type: text/x\r\n\r\n", "GET"), 9)

    meet()
    tracemalloc.start()
    try:
        for _ in range(300):
            meet()
        kept, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert kept < MOST


@pytest.mark.parametrize("list_", [b",".join([b"a"] * (MAX_OPTIONS + 1)), b"a" * (MAX_OPTIONS_BYTES + 1)])
def test_a_connection_has_a_few_options(list_: bytes) -> None:
    line = b"Connection: %b\r\n" % list_
    assert refused(lambda: request(line)) == (400, "bad_connection")
    many = b"".join(b"Connection: %b\r\n" % each for each in list_.split(b",")) if b"," in list_ else line * 2
    assert refused(lambda: request(many)) == (400, "bad_connection")
    answer = b"HTTP/1.1 200 OK\r\n" + line + b"\r\n"
    assert refused(lambda: parse_response(answer, "GET")) == (502, "bad_connection")


def test_as_many_options_as_are_allowed_are_obeyed() -> None:
    named = [b"x-%d" % number for number in range(MAX_OPTIONS)]
    block = request_block(
        request(b"Connection: %b\r\nX-7: a\r\nX-70: b\r\n" % b",".join(named)), Hop(b"", False), None
    )
    assert b"X-7:" not in block
    assert b"X-70: b" in block


@pytest.mark.parametrize(
    ("head", "expected"),
    [
        (b"GET /" + b"a" * 8 * 1024 + b" HTTP/1.1\r\nHost: a\r\n\r\n", (414, "target_too_long")),
        (b"GET / HTTP/1.1\r\nHost: a\r\n" + b"a: b\r\n" * 100 + b"\r\n", (431, "too_many_headers")),
    ],
)
def test_a_head_over_a_limit_is_refused(head: bytes, expected: tuple[int, str]) -> None:
    assert refused(lambda: parse_request(head, Limits())) == expected
    long = b"GET / HTTP/1.1\r\nHost: " + b"a" * Limits().header_bytes
    assert refused(lambda: check_partial(long, Limits())) == (431, "headers_too_large")


def test_a_method_that_is_too_long_is_refused_as_soon_as_it_is_seen() -> None:
    method = b"M" * MAX_METHOD
    assert parse_request(method + b" / HTTP/1.1\r\nHost: a\r\n\r\n", Limits()).method == method.decode()
    check_partial(method + b" /", Limits())
    check_partial(method, Limits())
    method += b"M"
    expected = (501, "method_too_long")
    assert refused(lambda: parse_request(method + b" / HTTP/1.1\r\nHost: a\r\n\r\n", Limits())) == expected
    assert refused(lambda: check_partial(method, Limits())) == expected
    assert refused(lambda: check_partial(method + b" / HTTP/1.1\r\nHo", Limits())) == expected


def test_an_accept_encoding_that_is_too_long_gets_the_answer_as_it_is() -> None:
    settings = Compression(codings=("gzip",), types=("text/*",), min_bytes=0)
    answer = parse_response(b"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\n\r\n", "GET")
    padding = b"x, " * (MAX_ACCEPTED // 3)
    usual, long = request(b"Accept-Encoding: gzip\r\n"), request(b"Accept-Encoding: %bgzip\r\n" % padding)
    for asked, coding in ((usual, "gzip"), (long, None)):
        planned = plan(settings, asked, answer, 9)
        assert planned is not None
        assert planned.coding == coding
    assert negotiate(b"gzip", ("gzip",)) == "gzip"
    odd = b"HTTP/1.1 200 OK\r\nContent-Type: text/%b\r\n\r\n" % (b"x" * MAX_TYPE)
    assert plan(settings, usual, parse_response(odd, "GET"), 9) is None


def test_small_pieces_of_a_body_take_about_as_much_as_their_bytes() -> None:
    pieces: list[bytes] = []
    for _ in range(50_000):
        hold(pieces, b"ab")
    hold(pieces, b"c" * 9000)
    assert b"".join(pieces) == b"ab" * 50_000 + b"c" * 9000
    assert len(pieces) < 30
    held = HeldAnswer(10**6)
    for _ in range(50_000):
        held.add(b"ab", False, [])
    assert len(held._pieces) < 30


def test_the_access_log_waits_with_so_many_bytes(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(access_log, "WAITING_BYTES", 10 * (access_log.ENTRY + MAX_TARGET))
    monkeypatch.setattr(access_log, "PAUSE", 3600.0)
    log = AccessLog(str(tmp_path / "access.log"))
    entry = AccessEntry(0.0, "", "GET", b"/" * MAX_TARGET, None, "legacy", "unlisted", 200, 0.0)
    for _ in range(15):
        log._put(entry)
    assert (len(log._entries), log.dropped) == (10, 5)
    log.close()
    log.join()
    assert len((tmp_path / "access.log").read_bytes().splitlines()) == 10
    log._put(entry)
    assert log.dropped == 5


def test_the_unlisted_paths_of_workers_that_are_long_gone_are_bounded() -> None:
    collector = Collector()
    for number in range(REMEMBERED + 10):
        collector.joined(f"w{number}", fresh=True)
        paths = [Labelled(f"GET /{number}/{each}", "legacy", 1) for each in range(500)]
        collector.record(f"w{number}", msgspec.structs.replace(EMPTY, unlisted=paths))
        collector.left(f"w{number}")
    assert len(collector.totals().unlisted) == REMEMBERED * 500 + MAX_UNLISTED


def test_a_request_with_too_many_credentials_has_no_text_shown() -> None:
    cookie = ";".join(f"{number:08}" for number in range(MAX_SECRETS + 1))
    redactor = Redactor(b"k", [], secrets_of([("cookie", cookie)]))
    assert redactor.overwhelmed
    assert redactor.json({"name": ["harmless"]}) == {redactor.digest("name"): [redactor.digest("harmless")]}
    assert not Redactor(b"k", [], secrets_of([("cookie", cookie[:90])])).overwhelmed


def test_the_text_of_a_path_has_an_end() -> None:
    assert path_text(("a", 0, "b c")) == 'a[]["b c"]'
    for steps in (("n" * 5000, 1), ("é" * 5000,), ("a",) * 5000, (1,) * 5000, ("a" * 600, "b" * 600, "c")):
        assert MAX_TEXT <= len(path_text(steps)) <= MAX_TEXT + 1


def finding(scope: Scope, path: str) -> Finding:
    found = Observed(frozenset({Mark(path)}))
    return Finding(scope, [Difference(path, "value", 1, 2)], found, 200, {path}, {}, None, None)


def test_what_is_known_of_paths_is_bounded_over_all_scopes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MAX_NAMES", 100)
    aggregate = Aggregate(lambda: 0.0)
    for number in range(50):
        scope = Scope("GET /a", "", str(number), "")
        aggregate.learn(scope, None)
        for each in range(20):
            aggregate.add(finding(scope, f"p{number}.{each}"))
    assert sum(known.names() for known in aggregate._known.values()) <= 100
    assert aggregate.knows(scope)


def test_samples_of_paths_beyond_those_told_apart_are_counted_together() -> None:
    known = module._Known(None)
    for number in range(MAX_PATHS):
        known.kept[str(number)] = (1, 0.0)
    assert (known.place("7"), known.place("new")) == ("7", OTHER)
