from __future__ import annotations

from datetime import date
from decimal import Decimal

import pytest

from proxy.config.difference import difference
from proxy.core.settings import ComparisonRule
from tests.config.texts import error, errors, load

EVERY_KIND = """
compare:
  headers: [ETag]
  rules:
    - {ignore: "**.id", reason: random, owner: qa, expires: 2030-01-31}
    - {unordered: items, by: id}
    - {tolerance: "items[].total", within: 0.01}
endpoints:
  GET /a:
    compare:
      max_body: 1KiB
      rules:
        - {time: "header:Last-Modified", within: 1500ms}
        - {equal: state, values: [done, null, 1.0, true]}
  GET /b:
"""


def test_rules_are_compiled_and_an_endpoints_own_come_after_the_general_ones() -> None:
    snapshot = load(EVERY_KIND).snapshot
    general = (
        ComparisonRule("ignore", "**.id", reason="random", owner="qa", expires=date(2030, 1, 31)),
        ComparisonRule("unordered", "items", by="id"),
        ComparisonRule("tolerance", "items[].total", within=Decimal("0.01")),
    )
    first, second = snapshot.endpoints
    assert snapshot.compare == second.compare
    assert (second.compare.rules, second.compare.headers) == (general, ("etag",))
    assert first.compare.rules == (
        *general,
        ComparisonRule("time", "header:last-modified", within=Decimal("1.5")),
        ComparisonRule("equal", "state", values=("done", None, Decimal("1.0"), True)),
    )
    assert (first.compare.max_body, first.compare.headers) == (1024, ("etag",))


@pytest.mark.parametrize(
    ("rule", "key", "message"),
    [
        ("{}", "", "must contain exactly one of ignore, unordered, tolerance, time, equal"),
        ("{ignore: a, time: b, within: 1s}", "", "must contain exactly one of"),
        ("{ignor: a}", ".ignor", "did you mean ignore?"),
        ("{ignore: a..b}", ".ignore", "is not a path such as items[].id"),
        ("{ignore: a, by: b}", ".by", "does not belong to ignore, only to unordered"),
        ("{unordered: ':status'}", ".unordered", "is not a place in the body"),
        ("{tolerance: a}", ".within", "is required: a number such as 0.01"),
        ("{tolerance: a, within: 1s}", ".within", "is not a number such as 0.01"),
        ("{tolerance: a, within: -1}", ".within", "is not a number of 0 or more, or a duration"),
        ("{time: a, within: 1}", ".within", "is not a duration such as 2s"),
        ("{equal: a, values: [1]}", ".values", "two or more equivalent values"),
        ("{equal: a, values: [1, [2]]}", ".values[1]", "is not text, a number, true, false or null"),
        ("{ignore: a, expires: 2030-02-30}", ".expires", "is not a day that exists"),
        ("{ignore: a, expires: soon}", ".expires", "is not a date such as 2030-01-31"),
    ],
)
@pytest.mark.parametrize(
    ("text", "key_before"),
    [
        ("compare: {rules: [%s]}", "compare.rules[0]"),
        ("endpoints: {GET /a: {compare: {rules: [%s]}}}", 'endpoints."GET /a".compare.rules[0]'),
    ],
)
def test_a_rule_that_makes_no_sense_is_refused_at_its_place(
    text: str, key_before: str, rule: str, key: str, message: str
) -> None:
    found = error(text % rule)
    assert found.key == key_before + key
    assert message in found.message
    assert found.line == 1


def test_every_rule_that_is_wrong_is_reported() -> None:
    assert len(errors("compare: {rules: [{ignore: a}, {}, {time: a}]}")) == 2


def test_a_changed_rule_is_told_and_changes_the_hash() -> None:
    old = load("compare: {rules: [{ignore: a}]}\nendpoints: {GET /a: {}}").snapshot
    new = load("compare: {rules: [{ignore: b}]}\nendpoints: {GET /a: {}}").snapshot
    assert old.hash != new.hash
    assert "compare.rules: ignore a -> ignore b" in difference(old, new).lines
    assert "GET /a: compare.rules ignore a -> ignore b" in difference(old, new).lines


def test_equal_spellings_of_a_duration_are_equal() -> None:
    texts = [f"compare: {{rules: [{{time: a, within: {each}}}]}}" for each in ("2s", "2000ms")]
    assert load(texts[0]).snapshot.hash == load(texts[1]).snapshot.hash
