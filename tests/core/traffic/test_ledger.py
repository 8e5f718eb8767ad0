from __future__ import annotations

import pytest

from proxy.core.traffic.ledger import QUIET, Hits, LedgerRow, last_hit, legacy_hits, progress, shape

NOW = 10_000_000.0
DAY = 86_400.0


def standing(weight: int, days: float, legacy_days_ago: float | None = None) -> LedgerRow:
    hits = {("async", "weight"): Hits(9, NOW)}
    if legacy_days_ago is not None:
        hits["legacy", "fallback"] = Hits(3, NOW - legacy_days_ago * DAY)
    return LedgerRow(weight, NOW - days * DAY, hits)


@pytest.mark.parametrize(
    ("seen", "expected"),
    [
        (standing(0, 100), "not started"),
        (standing(1, 100), "moving"),
        (standing(9999, 100), "moving"),
        (standing(10_000, 6), "waiting"),
        (standing(10_000, 8), "done"),
        (standing(10_000, 30, 1), "legacy still hit"),
        (standing(10_000, 30, 8), "done"),
    ],
)
def test_progress(seen: LedgerRow, expected: str) -> None:
    assert progress(seen, NOW) == expected


def test_who_asks_legacy_and_when_each_backend_was_asked() -> None:
    seen = standing(10_000, 30, 1)
    assert legacy_hits(seen) == {"fallback": Hits(3, NOW - DAY)}
    assert (last_hit(seen, "async"), last_hit(seen, "legacy")) == (NOW, NOW - DAY)
    assert last_hit(standing(0, 1), "legacy") is None
    assert QUIET == 7 * DAY


@pytest.mark.parametrize(
    ("target", "expected"),
    [
        (b"/users/42?x=1", "GET /users/{id}"),
        (b"/users/42/posts/7", "GET /users/{id}/posts/{id2}"),
        (b"/a/7b1c9a52-93d0-4d3c-9e2f-0a1b2c3d4e5f", "GET /a/{id}"),
        (b"/a/acc_9f", "GET /a/{id}"),
        (b"/users/me", "GET /users/me"),
        (b"/api/v1/users", "GET /api/v1/users"),
        (b"/", "GET /"),
        (b"/a//b", None),
        (b"/a/%20", None),
        (b"/a/{b}", None),
        (b"/1/2/3/4/5/6/7/8/9", None),
        (b"*", None),
        (b"/users/" + b"a" * 65, "GET /users/{id}"),
        (b"/users/" + b"a" * 64, "GET /users/" + "a" * 64),
        ((b"/" + b"a" * 60) * 5, None),
    ],
)
def test_an_unlisted_request_as_an_endpoint(target: bytes, expected: str | None) -> None:
    assert shape("GET", target) == expected
