from __future__ import annotations

from pathlib import Path

import pytest

from proxy.config import ConfigDifference, load_text
from proxy.config.difference import difference
from tests.config.texts import load


def between(old: str, new: str) -> ConfigDifference:
    return difference(load(old).snapshot, load(new).snapshot)


CHANGES = [
    ("endpoints: {GET /a: {weight: 25}}", "endpoints: {GET /a: {weight: 50}}", "GET /a: weight 25 -> 50"),
    ("endpoints: {GET /a: {weight: 0.5}}", "endpoints: {GET /a: }", "GET /a: weight 0.5 -> 0"),
    ("", "endpoints: {GET /a: {weight: 5}}", "GET /a: added at weight 5"),
    ("endpoints: {GET /a: {weight: 5}}", "", "GET /a: removed, it was at weight 5"),
    ("endpoints: {GET /a: }", "endpoints: {GET /a: {group: x}}", "GET /a: group a -> x"),
    (
        "endpoints: {GET /a: }",
        "endpoints: {GET /a: {sticky: bearer}}",
        "GET /a: sticky header:x-user-id, bearer -> bearer",
    ),
    ("endpoints: {GET /a: }", "endpoints: {GET /a: {fallback: none}}", "GET /a: fallback legacy -> none"),
    (
        "endpoints: {GET /a: }",
        "endpoints: {GET /a: {timeouts: {response: 1m}}}",
        "GET /a: response_timeout none -> 60s",
    ),
    (
        "endpoints: {GET /a: }",
        "endpoints: {GET /a: {breaker: {window: 5s}}}",
        "GET /a: breaker.window 10s -> 5s",
    ),
    (
        "endpoints: {GET /a: }",
        "endpoints: {GET /a: {timeouts: {idle: 250ms}}}",
        "GET /a: idle_timeout none -> 0.25s",
    ),
    (
        "endpoints: {GET /a: }",
        "endpoints: {GET /a: {buffers: {response: 1KiB}}}",
        "GET /a: buffers.response 262144 bytes -> 1024 bytes",
    ),
    (
        "endpoints: {GET /a: }",
        "endpoints: {GET /a: {compare: {max_body: 2B}}}",
        "GET /a: compare.max_body 262144 bytes -> 2 bytes",
    ),
    ("endpoints: {GET /a: }", "endpoints: {GET /a: {force: why}}", "GET /a: force none -> why"),
    ("", "unlisted: 404", "unlisted: legacy -> 404"),
    ("", "sticky: {unkeyed: legacy}", "sticky.unkeyed: random -> legacy"),
    ("", "sticky: {salt: x}", "sticky.salt: changed"),
    ("", "override: {token: hunter2}", "override.token: changed"),
    ("", "server: {admin_token: hunter2}", "server.admin_token: changed"),
    ("", "server: {admin_write: true}", "server.admin_write: false -> true"),
    (
        "",
        "server: {admin_users: [{name: ada, token: hunter2}, {name: bob, token: x, role: operator}]}",
        "server.admin_users: none -> ada (viewer), bob (operator)",
    ),
    (
        "server: {admin_users: [{name: ada, token: hunter2}]}",
        "server: {admin_users: [{name: ada, token: hunter3}]}",
        "server.admin_users: tokens changed",
    ),
    ("", "retries: {budget: 10%}", "retries.budget: 0.2 -> 0.1"),
    ("", "server: {timeouts: {drain: 5s}}", "server.timeouts.drain: 30s -> 5s"),
    ("", "server: {timeouts: {orphan: 2m}}", "server.timeouts.orphan: 0s -> 120s"),
    (
        "",
        "server: {limits: {min_rate: 1KiB}}",
        "server.limits.min_rate: 0 bytes per second -> 1024 bytes per second",
    ),
    ("", "idempotency: {max_store: 1B}", "idempotency.max_store: 0 bytes -> 1 bytes"),
    ("", "retries: {backoff: 1ms}", "retries.backoff: 0.025s -> 0.001s"),
    ("", "retries: {min_per_second: 1}", "retries.min_per_second: 3.0 -> 1.0"),
    ("", "server: {limits: {body_bytes: 1MiB}}", "server.limits.body_bytes: 0 bytes -> 1048576 bytes"),
    ("", "server: {expose_backend: false}", "server.expose_backend: true -> false"),
    ("", "server: {abort_on_eof: true}", "server.abort_on_eof: safe -> true"),
    ("server: {abort_on_eof: false}", "", "server.abort_on_eof: false -> safe"),
    ("", "server: {underscores: pass}", "server.underscores: drop -> pass"),
    ("", "server: {trusted_proxies: [10.0.0.0/8]}", "server.trusted_proxies: none -> 10.0.0.0/8"),
]


@pytest.mark.parametrize(("old", "new", "line"), CHANGES)
def test_change_is_said_in_one_line(old: str, new: str, line: str) -> None:
    assert between(old, new) == ConfigDifference((line,), ())


RESTART = [
    ("server: {listen: '127.0.0.1:1'}", "server.listen: 127.0.0.1:8000 -> 127.0.0.1:1"),
    ("server: {admin: '127.0.0.1:1'}", "server.admin: 127.0.0.1:9000 -> 127.0.0.1:1"),
    ("server: {workers: 4}", "server.workers: auto -> 4"),
    ("server: {runtime_dir: /run/x}", "server.runtime_dir: .strangler -> /run/x"),
    ("server: {state: 'sqlite:///x'}", "server.state: changed"),
    ("server: {limits: {connections: 9}}", "server.limits.connections: auto -> 9"),
]


@pytest.mark.parametrize(("new", "line"), RESTART)
def test_what_only_a_restart_changes_is_told_apart(new: str, line: str) -> None:
    assert between("", new) == ConfigDifference((line,), (line,))


def test_a_files_content_is_not_said_even_where_the_setting_is_no_secret(tmp_path: Path) -> None:
    text = "backends: {legacy: {url: '${file:legacy}'}, async: {url: 'http://b', version: '${file:async}'}}"
    found = []
    for legacy, async_ in (("http://one.example", "hunter2"), ("http://two.example", "hunter3")):
        (tmp_path / "legacy").write_text(legacy)
        (tmp_path / "async").write_text(async_)
        found.append(load_text(text, source=str(tmp_path / "routing.yaml"), environ={}).snapshot)
    assert difference(*found).lines == (
        "backends.legacy.upstreams: ***:80 -> ***:80",
        "backends.async.version: *** -> ***",
    )


def test_equal_snapshots_have_no_difference() -> None:
    text = "phases: {x: {methods: [GET, HEAD, PUT]}}\nendpoints: {GET /a: {weight: 5}}"
    assert between(text, text) == ConfigDifference((), ())


def test_phases_and_backends_are_compared() -> None:
    old = "backends: {legacy: {url: 'http://a'}, async: {url: 'http://b'}}"
    new = (
        "backends: {legacy: {urls: ['http://a', 'https://c']}, "
        "async: {url: 'http://b', host: x, not_executed: []}}\nphases: {reads: {methods: [GET]}}"
    )
    found = difference(*(load_text(text, source="x", environ={}).snapshot for text in (old, new)))
    assert found.lines == (
        "backends.legacy.upstreams: http://a:80 -> http://a:80, https://c:443",
        "backends.async.host: none -> x",
        "backends.async.not_executed: 429 -> none",
        "phases.reads.methods: GET, HEAD, OPTIONS -> GET",
        "phases.writes.methods: DELETE, PATCH, POST, PUT -> none",
        "phases.writes.after: reads -> none",
        "phases.writes.scope: all -> none",
        "phases: reads, writes -> reads",
    )


@pytest.mark.parametrize("settings", ["dry_run: {header: 'x-dry: %s'}", "health: {headers: ['x-h: %s']}"])
def test_header_lines_that_the_proxy_sends_are_not_shown(settings: str) -> None:
    text = f"backends: {{legacy: {{url: 'http://a'}}, async: {{url: 'http://b', {settings}}}}}"
    old, new = (
        load_text(text % secret, source="x", environ={}).snapshot for secret in ("hunter2", "hunter3")
    )
    (line,) = difference(old, new).lines
    assert line.endswith(": changed")
