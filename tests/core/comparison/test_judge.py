from __future__ import annotations

from datetime import date
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from proxy.core.comparison.differences import Answer, Body
from proxy.core.comparison.judge import Judged, judge
from proxy.core.documents.exactjson import text_of
from proxy.core.settings import ComparisonRule, RuleKind

TODAY = date(2030, 1, 31)


def answer(body: str, **headers: str) -> Answer:
    return Answer(200, {"content-type": "application/json", **headers}, Body.of(body.encode()))


def judged(legacy: str, async_: str, *rules: ComparisonRule) -> Judged:
    return judge(answer(legacy), answer(async_), ("etag",), rules, TODAY)


def left(result: Judged) -> list[str]:
    return [each.path for each in result.differences]


def counts(result: Judged) -> list[int]:
    return [count for _, count in result.hidden]


def rule(kind: RuleKind, path: str, **settings: Any) -> ComparisonRule:
    return ComparisonRule(kind, path, **settings)


def test_ignored_places_are_hidden_with_all_that_is_below_and_counted() -> None:
    ours, theirs = '{"a":{"x":1,"y":2},"b":1,"t":1}', '{"a":{"x":2,"y":3},"b":2,"t":2}'
    result = judged(ours, theirs, rule("ignore", "a"), rule("ignore", "**.t"), rule("ignore", "c"))
    assert (left(result), counts(result)) == (["b"], [2, 1, 0])


def test_ignoring_the_body_ignores_neither_status_nor_headers() -> None:
    legacy = Answer(200, {"etag": "1"}, Body.of(b"a"))
    async_ = Answer(404, {"etag": "2"}, Body.of(b"b"))
    assert left(judge(legacy, async_, ("etag",), [rule("ignore", "$")], TODAY)) == [":status", "header:etag"]
    both = [rule("ignore", "header:etag"), rule("ignore", ":status")]
    assert left(judge(legacy, async_, ("etag",), both, TODAY)) == ["$"]


@pytest.mark.parametrize(
    ("legacy", "async_", "within", "hidden"),
    [
        ("1.00", "1.01", "0.01", True),
        ("1.00", "1.011", "0.01", False),
        ('"12.34"', '"12.33"', "0.01", True),
        ("1", "1.0", "0", True),
        ("0.1", "0.10000000000000000001", "0.00000000000000000001", True),
        ("0.1", "0.10000000000000000002", "0.00000000000000000001", False),
        ('"1"', '"one"', "9", False),
        ("true", "2", "9", False),
        ("null", "1", "9", False),
    ],
)
def test_tolerance_is_exact_and_for_numbers_only(legacy: str, async_: str, within: str, hidden: bool) -> None:
    result = judged(legacy, async_, rule("tolerance", "$", within=Decimal(within)))
    assert (left(result) == [], counts(result)) == (hidden, [int(hidden)])


@pytest.mark.parametrize(
    ("legacy", "async_", "hidden"),
    [
        ("2030-01-01T10:00:00Z", "2030-01-01T10:00:02Z", True),
        ("2030-01-01T10:00:00Z", "2030-01-01T12:00:01+02:00", True),
        ("2030-01-01T10:00:00Z", "2030-01-01T10:00:02.001Z", False),
        ("2030-01-01T10:00:00Z", "2030-01-01T10:00:00", False),
        ("Tue, 01 Jan 2030 10:00:00 GMT", "2030-01-01T10:00:01Z", True),
        ("2030-01-01T10:00:00Z", "never", False),
    ],
)
def test_times_may_be_apart_and_written_otherwise(legacy: str, async_: str, hidden: bool) -> None:
    result = judged(f'"{legacy}"', f'"{async_}"', rule("time", "$", within=Decimal(2)))
    assert (left(result) == []) is hidden


TEXTS = st.text(st.characters(codec="utf-8"), max_size=40) | st.from_regex(r"[0-9A-Za-z:,+ \-]{1,40}")


@settings(deadline=None)
@given(TEXTS, TEXTS)
def test_no_text_in_place_of_a_time_is_an_error(legacy: str, async_: str) -> None:
    result = judged(text_of(legacy), text_of(async_), rule("time", "$", within=Decimal(0)))
    assert len(result.differences) + sum(counts(result)) == (legacy != async_)


def test_equal_values_are_equal_in_both_directions_and_type_strict() -> None:
    same = rule("equal", "**.state", values=("done", "DONE", None, 1))
    assert left(judged('{"state":"done"}', '{"state":"DONE"}', same)) == []
    assert left(judged('[{"state":null}]', '[{"state":1}]', same)) == []
    assert left(judged('{"state":true}', '{"state":1}', same)) == ["state"]
    assert left(judged('{"state":"done"}', '{"state":"open"}', same)) == ["state"]
    assert left(judged('{"state":null}', "{}", same)) == ["state"]


def test_elements_are_paired_by_a_member() -> None:
    ours = '{"i":[{"id":1,"v":1},{"id":2,"v":2},{"id":3}]}'
    theirs = '{"i":[{"id":2,"v":9},{"id":4},{"v":1,"id":1}]}'
    result = judged(ours, theirs, rule("unordered", "i", by="id"))
    found = [(each.path, each.kind, each.steps) for each in result.differences]
    assert found == [
        ("i[].v", "value", ("i", 1, "v")),
        ("i[]", "only legacy", ("i", 2)),
        ("i[]", "only async", ("i", 1)),
    ]
    assert counts(result) == [1]


def test_elements_without_a_key_are_paired_as_a_whole_with_repeats() -> None:
    whole = rule("unordered", "$")
    assert left(judged('[1,{"a":1,"b":2},1]', '[{"b":2,"a":1},1,1]', whole)) == []
    assert [each.kind for each in judged("[1,1,2]", "[2,1]", whole).differences] == ["only legacy"]
    assert left(judged("[1]", "[1.0]", whole)) == ["[]", "[]"]


def test_the_same_order_hides_nothing() -> None:
    assert counts(judged("[1,2]", "[1,2,3]", rule("unordered", "$"))) == [0]


def test_an_expired_rule_hides_nothing_and_is_named() -> None:
    old = rule("ignore", "a", expires=date(2030, 1, 30))
    last_day = rule("ignore", "b", expires=TODAY)
    result = judged('{"a":1,"b":1}', '{"a":2,"b":2}', old, last_day)
    assert left(result) == ["a"]
    assert result.expired == (old,)
    assert result.hidden == ((last_day, 1),)


@pytest.mark.parametrize(
    ("given_rule", "text"),
    [
        (rule("ignore", "a"), "ignore a"),
        (rule("unordered", "a", by="id", reason="a set"), "unordered a by id (a set)"),
        (
            rule("tolerance", "a", within=Decimal("0.01"), owner="qa", expires=TODAY),
            "tolerance a within 0.01 (by qa, until 2030-01-31)",
        ),
        (rule("time", "a", within=Decimal(2)), "time a within 2s"),
        (rule("equal", "a", values=("x", None)), 'equal a "x", null'),
    ],
)
def test_a_rule_reads_like_what_was_written(given_rule: ComparisonRule, text: str) -> None:
    assert str(given_rule) == text
