from __future__ import annotations

import asyncio
import gzip
import json
import socket
import time
from collections.abc import Callable, Mapping
from datetime import date
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from proxy.cli import main
from proxy.config import load_file
from proxy.core.comparison.comparisons import PathCount, Sample, Scope, Shown, Side, Tally, settings_hash
from proxy.core.comparison.marks import Mark
from proxy.core.comparison.noise import Counts
from proxy.store import comparisons
from tests.compare.backends import Backend, Reply, backend

JSON = {"content-type": "application/json"}
Replies = Mapping[str, Reply | Callable[[], Reply]]


def run(tmp_path: Path, legacy: str, async_: str, *arguments: str, more: str = "") -> Result:
    path = tmp_path / "routing.yaml"
    path.write_text(f"backends: {{legacy: {{url: '{legacy}'}}, async: {{url: '{async_}'}}}}\n{more}")
    return CliRunner().invoke(main, ["compare", *arguments, "--config", str(path)])


def compared(
    tmp_path: Path, legacy: Replies, async_: Replies, *arguments: str, more: str = ""
) -> tuple[Result, Backend, Backend]:
    with backend(legacy) as ours, backend(async_) as theirs:
        return run(tmp_path, ours.url, theirs.url, *arguments, more=more), ours, theirs


def data(tmp_path: Path, legacy: bytes, async_: bytes, more: str = "") -> tuple[int, dict[str, Any]]:
    replies = {"/a": Reply(legacy)}, {"/a": Reply(async_)}
    result, *_ = compared(tmp_path, *replies, "GET", "/a", "--json", more=more)
    return result.exit_code, json.loads(result.stdout)


def test_equal_answers_exit_0(tmp_path: Path) -> None:
    code, found = data(tmp_path, b'{"a": 1, "b": 2}', b'{"b":2,"a":1}')
    assert (code, found["equal"], found["differences"]) == (0, True, [])
    assert found["legacy"]["status"] == found["async"]["status"] == 200
    assert found["legacy"]["ms"] > 0


def test_differences_exit_1_with_exact_values(tmp_path: Path) -> None:
    code, found = data(tmp_path, b'{"a":1,"b":null,"c":"x"}', b'{"a":1.0,"c":"y"}')
    assert code == 1
    assert found["differences"] == [
        {"path": "a", "kind": "type", "legacy": "1", "async": "1.0"},
        {"path": "b", "kind": "only legacy", "legacy": "null", "async": None},
        {"path": "c", "kind": "value", "legacy": '"x"', "async": '"y"'},
    ]
    assert list(found) == [
        *("method", "target", "config_hash", "endpoint", "equal", "not_comparable"),
        *("legacy", "async"),
        *("differences", "left_out", "hidden", "expired"),
    ]


def test_rules_hide_and_say_how_much(tmp_path: Path) -> None:
    more = """
compare: {rules: [{ignore: "**.id", reason: random}, {ignore: b, expires: 2020-01-01}]}
endpoints: {GET /a: {compare: {rules: [{tolerance: total, within: 0.01}]}}}
"""
    code, found = data(tmp_path, b'{"id":1,"total":1.01}', b'{"id":2,"total":1.02}', more)
    assert (code, found["endpoint"], found["differences"]) == (0, "GET /a", [])
    assert found["hidden"] == [
        {"rule": "ignore **.id (random)", "count": 1},
        {"rule": "tolerance total within 0.01", "count": 1},
    ]
    assert found["expired"] == ["ignore b (until 2020-01-01)"]


def test_people_see_status_lines_latency_values_and_rules(tmp_path: Path) -> None:
    legacy, async_ = Reply(b'{"a":"old","t":1}'), Reply(b'{"a":"new","t":2}', 404)
    result, *_ = compared(
        tmp_path, {"/a?x": legacy}, {"/a?x": async_}, "GET", "/a?x", more="compare: {rules: [{ignore: t}]}"
    )
    lines = result.stdout.splitlines()
    assert result.exit_code == 1
    assert lines[0] == "GET /a?x"
    assert lines[1].startswith("  legacy  200 OK  ")
    assert lines[2].startswith("  async   404 Not Found  ")
    assert " ms  17 bytes" in lines[2]
    assert lines[3:] == [
        *("  :status  value", "    legacy  200", "    async   404"),
        *("  a  value", '    legacy  "old"', '    async   "new"'),
        "  1 hidden by the rule: ignore t",
        "2 differences",
    ]


def test_text_is_shown_as_a_diff_that_can_not_steer_the_terminal(tmp_path: Path) -> None:
    plain = {"content-type": "text/csv"}
    replies = {"/a": Reply(b"a\nb\n", headers=plain)}, {"/a": Reply(b"a\n\xc2\x9b31m\n", headers=plain)}
    result, *_ = compared(tmp_path, *replies, "GET", "/a")
    assert result.stdout.splitlines()[3:] == [
        *("  $  text", "    @@ -1,2 +1,2 @@", "     a", "    -b", "    +\\u009b31m", "1 difference")
    ]


def test_large_bodies_differ_by_hash_and_compression_does_not_matter(tmp_path: Path) -> None:
    packed = Reply(gzip.compress(b'{"a":1}'), headers={**JSON, "content-encoding": "gzip"})
    result, *_ = compared(tmp_path, {"/a": Reply(b'{"a":1}')}, {"/a": packed}, "GET", "/a")
    assert result.exit_code == 0, result.output
    code, found = data(tmp_path, b"[1,2,3]", b"[1,2,4]", "compare: {max_body: 6B}")
    assert code == 1
    assert [(each["path"], each["kind"]) for each in found["differences"]] == [("$", "binary")]


def test_what_can_not_be_decoded_whole_is_never_equal_unless_the_bytes_are(tmp_path: Path) -> None:
    packed = gzip.compress(b'{"a":1}')
    headers = {**JSON, "content-encoding": "gzip"}
    whole, cut = (Reply(body, headers=headers) for body in (packed, packed[:-4]))
    result, *_ = compared(tmp_path, {"/a": whole}, {"/a": cut}, "GET", "/a")
    assert (result.exit_code, result.stdout.splitlines()[3:]) == (
        1,
        ["  not comparable: async's body: gzip is not whole", "the rest is equal"],
    )
    result, *_ = compared(tmp_path, {"/a": whole}, {"/a": cut}, "GET", "/a", "--json")
    found = json.loads(result.stdout)
    assert (found["equal"], found["not_comparable"]) == (False, "async's body: gzip is not whole")
    assert compared(tmp_path, {"/a": cut}, {"/a": cut}, "GET", "/a")[0].exit_code == 0


def test_backends_see_a_proxied_request_and_the_raw_target(tmp_path: Path) -> None:
    target = "/a%7Eb/../c?q=%41&&x"
    arguments = (
        "GET",
        target,
        "-H",
        "Authorization: Bearer k",
        "-H",
        "Host: shop.example",
        "-H",
        "X-Backend: async",
    )
    result, legacy, async_ = compared(tmp_path, {}, {}, *arguments)
    assert result.exit_code == 0, result.output
    ((method, seen, fields),) = legacy.requests
    assert (method, seen) == ("GET", target)
    assert fields.pop("x-request-id")
    assert fields == {
        "host": "shop.example",
        "authorization": "Bearer k",
        "x-forwarded-for": "127.0.0.1",
        "x-forwarded-proto": "http",
        "x-forwarded-host": "shop.example",
        "via": "1.1 strangler",
    }
    assert async_.requests[0][2].items() >= fields.items()


def test_head_has_no_body(tmp_path: Path) -> None:
    replies = {"/a": Reply(b"1")}
    result, *_ = compared(tmp_path, replies, replies, "HEAD", "/a")
    assert (result.exit_code, result.stdout.splitlines()[-1]) == (0, "equal")


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        (("POST", "/a"), "POST may change something"),
        (("GET", "/b"), "declared safe: false"),
        (("GET", "/a", "-H", "Content-Length: 5"), "with a body"),
        (("GET", "a"), "neither a path"),
        (("GET", "/a", "-H", "nonsense"), "is not 'name: value'"),
        (("GET",), "METHOD and TARGET are missing"),
        (("GET", "/a", "--suggest"), "takes no METHOD"),
        (("--replay", "x"), "takes no METHOD"),
    ],
)
def test_what_must_not_or_can_not_be_asked_exits_2_and_sends_nothing(
    tmp_path: Path, arguments: tuple[str, ...], reason: str
) -> None:
    more = "endpoints: {POST /a: {}, GET /b: {safe: false}}"
    result, legacy, async_ = compared(tmp_path, {}, {}, *arguments, more=more)
    assert result.exit_code == 2
    assert reason in result.stderr
    assert legacy.requests == async_.requests == []


def test_a_backend_that_does_not_answer_exits_1_with_its_address(tmp_path: Path) -> None:
    with socket.socket() as taken, backend({}) as alive:
        taken.bind(("127.0.0.1", 0))  # bound and not listening: connections are refused
        dead = f"http://127.0.0.1:{taken.getsockname()[1]}"
        result = run(tmp_path, alive.url, dead, "GET", "/a")
    assert result.exit_code == 1
    assert f"async at {dead}" in result.stderr


def test_a_backend_that_never_answers_is_given_up(tmp_path: Path) -> None:
    with socket.socket() as silent, backend({}) as alive:
        silent.bind(("127.0.0.1", 0))
        silent.listen()
        url = f"http://127.0.0.1:{silent.getsockname()[1]}"
        path = tmp_path / "routing.yaml"
        path.write_text(
            f"backends: {{legacy: {{url: '{alive.url}'}}, "
            f"async: {{url: '{url}', timeouts: {{connect: 50ms, response: 50ms}}}}}}"
        )
        result = CliRunner().invoke(main, ["compare", "GET", "/a", "--config", str(path)])
    assert result.exit_code == 1
    assert f"async at {url}: no answer in time" in result.stderr


def test_rules_are_proposed_from_what_sampling_has_stored(tmp_path: Path) -> None:
    path = tmp_path / "routing.yaml"
    path.write_text(
        f"server: {{state: 'sqlite:///{tmp_path}/state.db'}}\n"
        "backends: {legacy: {url: 'http://127.0.0.1:1'}, async: {url: 'http://127.0.0.1:2'}}\n"
        "endpoints: {GET /a: {}, GET /b: {}}\n"
    )
    command = ["compare", "--suggest", "--config", str(path)]
    nowhere = CliRunner().invoke(main, command)
    assert nowhere.exit_code == 1
    assert f"no state database at {tmp_path}/state.db" in nowhere.stderr
    asyncio.run(_empty(f"sqlite:///{tmp_path}/state.db"))
    nothing = CliRunner().invoke(main, command)
    assert (nothing.exit_code, nothing.stdout) == (0, "# nothing differs in the samples that are kept\n")
    endpoint = load_file(str(path)).snapshot.endpoints[0]
    scope = Scope(endpoint.name, "1", "2", settings_hash(endpoint.compare, date.today()))
    asyncio.run(_store(f"sqlite:///{tmp_path}/state.db", scope))
    result = CliRunner().invoke(main, command)
    assert result.exit_code == 0, result.output
    assert result.stdout.splitlines() == [
        "# GET /a: faults to look at",
        '#   total: another number (1 in 1 samples) at total; total: legacy "1.10", async "1.11"',
        "# GET /a: noise, which is set aside without a rule",
        '#   id: another value (1 in 1 samples) at id; id: legacy "x", async "y"',
        "endpoints:",
        '  "GET /a":  # 3 differences in 1 samples, 2 left with these rules',
        *("    compare:", "      rules:"),
        '        - {equal: bio, values: [null, ""], reason: "null in place of an empty text"}'
        "  # hides 1 in 1 samples",
    ]


async def _empty(url: str) -> None:
    async with comparisons.opened(url):
        pass


async def _store(url: str, scope: Scope) -> None:
    kind = {"content-type": "application/json"}
    bodies = '{"id":"x","total":"1.10","bio":null}', '{"id":"y","total":"1.11","bio":""}'
    sides = (Side(200, kind, body, False, len(body), 0.1) for body in bodies)
    shown = (Shown("id", "value", '"x"', '"y"', ("id",)),)
    paths = [
        PathCount(Mark("id"), Counts(30, 0, 0, 30), 1.0, 1.0),
        PathCount(Mark("total"), Counts(2, 2, 0, 0, lasting=2), 1.0, 1.0),
    ]
    tally = Tally(scope, 30, 30, 1.0, time.time(), tuple(paths), ())
    sample = Sample("s", scope, time.time(), "GET", "/a", (), *sides, shown)
    async with comparisons.opened(url) as engine, engine.begin() as connection:
        await comparisons.add(connection, [tally], [], [sample])
