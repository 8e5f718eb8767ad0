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
from proxy.core.evidence.stats import BOUNDS
from proxy.core.settings import Compare, ComparisonRule

SCOPE = Scope("GET /a", "1", "2", "r")
TODAY = date(2030, 1, 15)
RULE = ComparisonRule("tolerance", "total", within=Decimal("0.01"))


def test_the_verdict_is_made_from_the_counts() -> None:
    paths = (PathCount(Mark("total"), Counts(2, 1, 0, 0), 5.0, 9.0),)
    found = report(Tally(SCOPE, 500, 200, 1.0, 9.0, paths))
    assert (found.parity.verdict, found.parity.n, found.parity.k) == ("differs", 500, 2)
    assert found.seen == {Mark("total"): (5.0, 9.0)}
    assert report(Tally(SCOPE, 500, 200, 1.0, 9.0)).parity.verdict == "likely equal"
    assert report(Tally(SCOPE, 5, 2, 1.0, 9.0)).parity.verdict == "no evidence"


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
