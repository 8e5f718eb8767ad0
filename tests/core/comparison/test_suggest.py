from __future__ import annotations

from datetime import date
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.config import load_text
from proxy.config.edit_rules import rule_text
from proxy.core.comparison.comparisons import Sample, Scope, Side
from proxy.core.comparison.differences import Answer, Body
from proxy.core.comparison.judge import judge
from proxy.core.comparison.suggest import Suggestions, suggest
from proxy.core.documents.exactjson import text_of
from proxy.core.settings import ComparisonRule

TODAY = date(2026, 1, 31)
HEADERS = ("content-type", "etag")


def side(body: str, status: int = 200, **headers: str) -> Side:
    return Side(status, {"content-type": "application/json", **headers}, body, False, len(body), 0.01)


def sample(legacy: Side, async_: Side) -> Sample:
    return Sample("id", Scope("GET /a", "1", "2", "r"), 0.0, "GET", "/a", (), legacy, async_, ())


def of(*pairs: tuple[str, str]) -> Suggestions:
    return suggest([sample(side(a), side(b)) for a, b in pairs], HEADERS, (), TODAY)


def entries(found: Suggestions) -> list[dict[str, Any]]:
    return [{name: value for name, value in each.entry.items() if name != "reason"} for each in found.rules]


@pytest.mark.parametrize(
    ("pairs", "expected"),
    [
        (
            [('{"t":"1.10"}', '{"t":1.1}'), ('{"t":"2.00"}', '{"t":2.05}')],
            [{"tolerance": "t", "within": "0.05"}],
        ),
        (
            [('{"t":"2026-01-01T00:00:00Z"}', '{"t":"2026-01-01T00:00:01.5Z"}')],
            [{"time": "t", "within": "2s"}],
        ),
        ([('{"t":null}', '{"t":""}')] * 2, [{"equal": "t", "values": [None, ""]}]),
        ([('{"t":"a"}', '{"t":"b"}'), ('{"t":"c"}', '{"t":"d"}')], [{"ignore": "t"}]),
        ([('{"t":1}', "{}")], [{"ignore": "t"}]),
        ([("[1,2,3]", "[3,1,2]")], [{"unordered": "$"}]),
        (
            [('{"i":[{"n":1,"v":1},{"n":2,"v":1}]}', '{"i":[{"n":2,"v":1},{"n":1,"v":7}]}')],
            [{"unordered": "i", "by": "n"}, {"tolerance": "i[].v", "within": "6"}],
        ),
        (
            [('[{"v":1,"w":1}]', '[{"v":2,"w":2}]')],
            [{"tolerance": "[].v", "within": "1"}, {"tolerance": "[].w", "within": "1"}],
        ),
        ([('{"odd name":"x"}', '{"odd name":"y"}')], [{"ignore": '["odd name"]'}]),
        ([("[1]", "[1]")], []),
    ],
)
def test_the_narrowest_kind_that_explains_all_is_proposed(
    pairs: list[tuple[str, str]], expected: list[dict[str, Any]]
) -> None:
    found = of(*pairs)
    assert entries(found) == expected
    assert found.after == 0


def test_a_status_and_a_whole_body_are_never_ignored() -> None:
    plain = {"content-type": "text/plain"}
    pairs = [sample(side("a", 200, **plain), side("b", 404, **plain, etag="x"))]
    found = suggest(pairs, HEADERS, (), TODAY)
    assert entries(found) == [{"ignore": "header:etag"}]
    assert (found.before, found.after) == (3, 2)


def test_what_rules_hide_already_is_not_proposed_again() -> None:
    pairs = [sample(side('{"a":1,"b":1}'), side('{"a":2,"b":2}'))]
    found = suggest(pairs, HEADERS, [ComparisonRule("ignore", "a")], TODAY)
    assert entries(found) == [{"tolerance": "b", "within": "1"}]


def test_a_cut_body_is_no_body() -> None:
    cut = side('{"a":1')._replace(cut=True, size=99)
    found = suggest([sample(cut, cut)], HEADERS, (), TODAY)
    assert (found.before, found.rules) == (0, ())


documents = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-9, 9)
    | st.sampled_from(["", "a", "1.5", "2026-01-01T00:00:00Z"]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(["id", "v", "a b"]), inner),
    max_leaves=8,
)


@given(st.lists(st.tuples(documents, documents), min_size=1, max_size=4))
def test_each_hides_what_it_claims_and_stands_in_a_routing_yaml(pairs: list[tuple[Any, Any]]) -> None:
    samples = [sample(side(text_of(a)), side(text_of(b))) for a, b in pairs]
    found = suggest(samples, HEADERS, (), TODAY)
    lines = [rule_text(each.entry) for each in found.rules]
    text = "backends: {legacy: {url: 'http://a'}, async: {url: 'http://b'}}\n"
    text += f"endpoints: {{GET /a: {{compare: {{rules: [{', '.join(lines)}]}}}}}}\n"
    (endpoint,) = load_text(text, source="x", environ={}).snapshot.endpoints
    left = [_left(samples, endpoint.compare.rules[:count]) for count in range(len(lines) + 1)]
    assert left[0] == found.before
    assert left[-1] == found.after
    assert [before - after for before, after in pairwise(left)] == [each.hides for each in found.rules]


def _left(samples: list[Sample], rules: tuple[ComparisonRule, ...]) -> int:
    sides = [
        [
            Answer(each.status, each.headers, Body.of((each.body or "").encode()))
            for each in (one.legacy, one.async_)
        ]
        for one in samples
    ]
    return sum(len(judge(*pair, HEADERS, rules, TODAY).differences) for pair in sides)
