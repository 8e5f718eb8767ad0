from __future__ import annotations

from dataclasses import replace
from datetime import date
from decimal import Decimal

from proxy.core.comparison.comparisons import (
    FEW,
    Count,
    PathCount,
    Scope,
    Tally,
    Traffic,
    latest,
    report,
    settings_hash,
)
from proxy.core.comparison.marks import Mark
from proxy.core.comparison.noise import Counts
from proxy.core.comparison.units import UnitMap
from proxy.core.evidence.sequential import upper_bound
from proxy.core.evidence.stats import BOUNDS
from proxy.core.settings import Compare, ComparisonRule

SCOPE = Scope("GET /a", "1", "2", "r")
TODAY = date(2030, 1, 15)
RULE = ComparisonRule("tolerance", "total", within=Decimal("0.01"))


def test_the_verdict_is_made_from_the_counts() -> None:
    paths = (PathCount(Mark("total"), Counts(2, 1, 0, 0, lasting=2), 5.0, 9.0),)
    found = report(Tally(SCOPE, 500, 200, 1.0, 9.0, paths))
    assert (found.parity.verdict, found.parity.n, found.parity.k) == ("differs", 500, 2)
    assert found.seen == {Mark("total"): (5.0, 9.0)}
    requests = (Count("outcome", "unkeyed", 500),)
    equal = Tally(SCOPE, 500, 200, 1.0, 9.0, (), requests)
    assert report(equal).parity.verdict == "likely equal"
    assert report(equal, (), 0.001).parity.verdict == "not yet known"
    assert report(Tally(SCOPE, 5, 2, 1.0, 9.0)).parity.verdict == "not yet known"


def test_users_are_the_units_and_requests_of_nobody_known_one_by_one() -> None:
    counts = (
        Count("outcome", "unkeyed", 100),
        Count("outcome", "unkeyed differs", 1),
        Count("outcome", "differs", 9),
        Count("outcome", "once", 9),
    )
    units = (UnitMap("users", 50), UnitMap("users differing", 2), UnitMap("ids", 7))
    found = report(Tally(SCOPE, 5000, 200, 1.0, 9.0, (), counts, units))
    assert (found.parity.units, found.parity.bound) == (150, upper_bound(3, 150))
    assert (found.users, found.ids, found.parity.k, found.parity.once) == (50, 7, 9, 9)


def test_what_clients_asked_and_no_comparison_did_is_said() -> None:
    counts = (Count("asked", "?limit", FEW), Count("asked", "?page", 2))
    traffic = [Traffic("GET /a", "asked", shape, 9, 9.0) for shape in ("?limit", "?page", "?sort")]
    found = report(Tally(SCOPE, 50, 20, 1.0, 9.0, (), counts), traffic)
    assert found.unasked == ("?page", "?sort")
    assert found.asked == {"?limit": FEW, "?page": 2}


def test_async_is_slower_where_it_takes_longest_of_three_too_often() -> None:
    def pace(async_: int, legacy: int, again: int) -> str:
        numbers = (("async", async_), ("legacy", legacy), ("again", again))
        counts = tuple(Count("slowest", side, number) for side, number in numbers)
        return report(Tally(SCOPE, 500, 200, 1.0, 9.0, (), counts)).pace

    assert (pace(90, 30, 30), pace(3, 50, 60), pace(30, 35, 30)) == ("slower", "faster", "noise")
    assert pace(10, 80, 10) == "noise"  # legacy's first answer has cold caches


def test_what_was_never_exercised_is_said() -> None:
    counts = (
        Count("status", "200", 500),
        Count("status", "404", FEW - 1),
        Count("field", "id", 500),
        Count("field", "refund.id", 2),
    )
    traffic = [Traffic("GET /a", "live", status, 1, 9.0) for status in ("200", "404", "503")]
    found = report(Tally(SCOPE, 500, 200, 1.0, 9.0, (), counts), traffic)
    assert found.unseen_statuses == ("404", "503")
    assert found.rare_fields == (("refund.id", 2),)
    assert found.statuses == {"200": 500, "404": FEW - 1}


def test_what_was_hidden_and_skipped_and_how_long_it_took_is_said() -> None:
    counts = (Count("hidden", "ignore at", 7), Count("legacy seconds", "50", 9))
    traffic = [Traffic("GET /a", "skipped", "rate", 3, 9.0), Traffic("GET /b", "skipped", "rate", 5, 9.0)]
    found = report(Tally(SCOPE, 9, 2, 1.0, 9.0, (), counts), traffic)
    assert (found.hidden, found.skipped) == ({"ignore at": 7}, {"rate": 3})
    assert found.legacy.p50 is not None
    assert BOUNDS[49] < found.legacy.p50 <= BOUNDS[50]
    assert found.async_.p50 is None


def test_the_newest_tally_with_the_same_settings_counts() -> None:
    tallies = [
        Tally(SCOPE, 1, 0, 1.0, 5.0),
        Tally(SCOPE._replace(async_="3"), 1, 0, 1.0, 7.0),
        Tally(SCOPE._replace(rules="other"), 1, 0, 1.0, 9.0),
    ]
    assert latest(tallies, "GET /a") is tallies[2]
    assert latest(tallies, "GET /a", "r") is tallies[1]
    assert latest(tallies, "GET /b") is None


def test_only_what_decides_whether_answers_are_equal_makes_other_settings() -> None:
    plain = settings_hash(Compare(rules=(RULE,)), TODAY)
    assert settings_hash(Compare(rules=(replace(RULE, reason="rounding", owner="qa"),)), TODAY) == plain
    assert settings_hash(Compare(rules=(replace(RULE, within=Decimal(1)),)), TODAY) != plain
    assert settings_hash(Compare(), TODAY) != plain
    assert settings_hash(Compare(headers=("etag",), rules=(RULE,)), TODAY) != plain


def test_a_rule_that_expired_makes_other_settings() -> None:
    settings = Compare(rules=(replace(RULE, expires=date(2030, 1, 31)),))
    assert settings_hash(settings, date(2030, 2, 1)) == settings_hash(Compare(), TODAY)
    assert settings_hash(settings, TODAY) == settings_hash(Compare(rules=(RULE,)), TODAY)
