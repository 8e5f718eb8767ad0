"""The settings of sampling, read-back and dry run."""

from __future__ import annotations

import pytest

from proxy.config import load_text
from proxy.core.routing.snapshot import Snapshot
from tests.config.texts import error

BACKENDS = """
backends:
  legacy: {url: http://a, version: v1}
  async: {url: http://b, dry_run: {header: 'X-Dry-Run: 1'}}
"""


def loaded(text: str) -> Snapshot:
    return load_text(BACKENDS + text, source="x", environ={}).snapshot


def test_an_endpoint_has_the_general_settings_but_for_its_own() -> None:
    snapshot = loaded(
        """
compare: {sample: 5%, rate: 7, in_flight: 3, ttl: 1h, redact: [owner.name]}
endpoints:
  GET /a: {}
  GET /b: {compare: {sample: 100%, redact: [query:account_id, header:X-Who]}}
"""
    )
    first, second = (endpoint.compare for endpoint in snapshot.endpoints)
    assert (first.sample, first.redact) == (0.05, ("owner.name",))
    assert (second.sample, second.redact) == (1.0, ("owner.name", "query:account_id", "header:x-who"))
    assert (snapshot.compare.rate, snapshot.compare.in_flight, snapshot.compare.ttl) == (7.0, 3, 3600.0)
    assert (snapshot.legacy.version, snapshot.async_.dry_run) == ("v1", {"x-dry-run": "1"})


def test_a_write_says_how_it_may_be_compared() -> None:
    snapshot = loaded(
        """
endpoints:
  POST /a: {compare: {read_back: 'GET /a/{id}', dry_run: true}}
  GET /a/{id}: {}
"""
    )
    write = snapshot.endpoints[0].compare
    assert (write.read_back, write.dry_run) == ("GET /a/{id}", True)


@pytest.mark.parametrize(
    ("text", "key", "message"),
    [
        ("endpoints: {POST /a: {compare: {read_back: GET /b}}}", "read_back", "not a listed endpoint"),
        (
            "endpoints: {POST /a: {compare: {read_back: PUT /b}}, PUT /b: {}}",
            "read_back",
            "not a listed endpoint with a safe method",
        ),
        ("endpoints: {GET /a: {compare: {read_back: GET /a}}}", "read_back", "that change something"),
        ("endpoints: {GET /a: {compare: {dry_run: true}}}", "dry_run", "that change something"),
        ("endpoints: {POST /a: {compare: {dry_run: true}}}", "dry_run", "needs a backend that supports it"),
        ("endpoints: {GET /a: {compare: {rate: 5}}}", "rate", "unknown key"),
        ("compare: {redact: ['a[']}", "redact", "query:NAME"),
        ("compare: {redact: [':status']}", "redact", "cannot be redacted"),
        ("compare: {redact: ['query:']}", "redact", "is not a query parameter"),
    ],
)
def test_what_can_not_be_is_refused(text: str, key: str, message: str) -> None:
    found = error(text)
    assert key in found.key
    assert message in found.message
