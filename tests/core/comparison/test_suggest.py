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
        ([('{"t":"1.10"}', '{"t":1.1}'), ('{"t":"2.00"}', '{"t":2}')], [{"tolerance": "t", "within": "0"}]),
        ([('{"t":1}', '{"t":1.0}')], [{"tolerance": "t", "within": "0"}]),
        (
            [('{"t":"2026-01-01T00:00:00Z"}', '{"t":"2026-01-01T01:00:00.000+01:00"}')],
            [{"time": "t", "within": "0.001s"}],
        ),
        (
            [('{"t":"2026-01-01T00:00:01.75Z"}', '{"t":"2026-01-01T00:00:01Z"}')],
            [{"time": "t", "within": "1s"}],
        ),
        ([('{"t":null}', '{"t":""}'), ('{"t":""}', '{"t":null}')], [{"equal": "t", "values": [None, ""]}]),
        ([('{"t":1}', '{"t":1,"x":true}')], [{"ignore": "x"}]),
        ([('{"t":{"a":1}}', '{"t":{"a":1,"x":{"y":1}}}')], [{"ignore": "t.x"}]),
        ([("[1,2,3]", "[3,1,2]")], [{"unordered": "$"}]),
        (
            [('{"i":[{"n":1,"v":1},{"n":2,"v":1}]}', '{"i":[{"n":2,"v":1},{"n":1,"v":"1"}]}')],
            [{"unordered": "i", "by": "n"}, {"tolerance": "i[].v", "within": "0"}],
        ),
        ([('{"odd name":null}', '{"odd name":""}')], [{"equal": '["odd name"]', "values": [None, ""]}]),
        ([("[1]", "[1]")], []),
    ],
)
def test_form_is_proposed(pairs: list[tuple[str, str]], expected: list[dict[str, Any]]) -> None:
    found = of(*pairs)
    assert entries(found) == expected
    assert (found.after, found.faults) == (0, ())


@pytest.mark.parametrize(
    ("pairs", "cause"),
    [
        ([('{"favorited":true}', '{"favorited":false}')] * 5, "favorited: true against false"),
        ([('{"on":true}', '{"on":"true"}')], "on: boolean against text"),
        ([('{"amount":"1.10"}', '{"amount":"1.11"}')] * 3, "amount: another number"),
        ([('{"total":10}', '{"total":11}')] * 3, "total: another number"),
        ([('{"at":"2026-01-01T00:00:00Z"}', '{"at":"2026-01-01T01:00:00Z"}')] * 3, "at: another time"),
        ([('{"at":"2026-01-01T00:00:00Z"}', '{"at":"2026-01-01T00:00:01Z"}')] * 3, "at: another time"),
        ([('{"at":"2026-01-01T00:00:00Z"}', '{"at":"2026-01-01T00:00:00"}')] * 3, "at: another time"),
        ([('{"s":"open"}', '{"s":"closed"}')] * 5, "s: another value"),
        ([('{"t":1}', "{}")] * 5, "t: missing"),
        ([('{"t":null}', "{}")] * 5, "t: missing"),
        ([('{"t":"007"}', '{"t":7}')] * 5, "t: text against integer"),
        ([('{"t":null}', '{"t":0}')] * 5, "t: null against integer"),
        ([('{"t":""}', '{"t":null}'), ('{"t":"x"}', '{"t":null}')], "t: text against null"),
        ([('{"a":[{"x":1},{}]}', '{"a":[{"x":1},{"x":1}]}')], "x: added"),
        ([('"a"', '"b"')] * 5, "another body"),
        ([('{"a":1}', "[1]")] * 5, "another body"),
    ],
)
def test_what_is_no_form_is_a_fault_to_look_at(pairs: list[tuple[str, str]], cause: str) -> None:
    found = of(*pairs)
    assert (entries(found), found.after) == ([], found.before)
    assert [each.cause for each in found.faults] == [cause]
    assert sum(each.differences for each in found.faults) == found.before


def test_a_field_in_place_of_another_is_not_an_added_one() -> None:
    found = of(('{"name":"a","h":{"Host":1,"Via":1}}', '{"title":"a","h":{"host":1,"via":1}}'))
    assert entries(found) == []
    assert [(each.cause, each.paths) for each in found.faults] == [
        ("h: other fields", ("h.Host", "h.Via", "h.host", "h.via")),
        ("$: other fields", ("name", "title")),
    ]


def test_one_wrong_status_is_one_fault_however_many_fields_its_body_lacks() -> None:
    ours = side('{"slug":"a","title":"b","bio":null,"n":1,"ok":true,"at":"2026-01-01T00:00:00Z"}')
    wrong = sample(ours, side('{"errors":{"body":["not found"]}}', 404, etag="x"))
    found = suggest([wrong, sample(side('{"bio":null}'), side('{"bio":""}'))], HEADERS, (), TODAY)
    assert entries(found) == [{"equal": "bio", "values": [None, ""]}]
    (fault,) = found.faults
    assert (fault.cause, fault.samples, fault.differences) == ("status 200 against 404", 1, 9)
    assert (fault.example.path, fault.paths[:2]) == (":status", (":status", "header:etag"))


def test_a_missing_element_and_the_count_of_them_are_one_fault() -> None:
    """Neither is the array ignored, nor is the count given a tolerance."""
    pairs = []
    for more in (1, 5):
        items = ",".join(f'{{"n":{n}}}' for n in range(more + 2))
        body = f'{{"articles":[{items}],"articlesCount":{more + 2},"pages":7}}'
        pairs.append((body, '{"articles":[{"n":0},{"n":1}],"articlesCount":2,"pages":8}'))
    found = of(*pairs)
    assert entries(found) == []
    assert [(each.cause, each.paths) for each in found.faults] == [
        ("articles[]: elements are missing", ("articles[]", "articlesCount")),
        ("pages: another number", ("pages",)),
    ]


def test_a_page_that_begins_elsewhere_is_one_fault() -> None:
    items = [f'{{"id":{n},"title":"t{n}","tag":"g{n}"}}' for n in range(5)]
    found = of((f"[{','.join(items[:4])}]", f"[{','.join(items[1:])}]"))
    (fault,) = found.faults
    assert (fault.cause, fault.differences) == ("[]: other elements, or in another order", 12)


def test_one_rule_holds_for_a_name_that_has_the_same_form_at_several_places() -> None:
    ours = '{"author":{"bio":null},"articles":[{"author":{"bio":""}}],"tag":{"n":"1"},"n":1}'
    theirs = '{"author":{"bio":"","x":1},"articles":[{"author":{"bio":null,"x":2}}],"tag":{"n":1},"n":2}'
    found = of((ours, theirs))
    assert sorted(map(str, entries(found))) == [
        "{'equal': '**.bio', 'values': [None, '']}",
        "{'ignore': '**.x'}",
        "{'tolerance': 'tag.n', 'within': '0'}",
    ]
    assert [each.cause for each in found.faults] == ["n: another number"]


def test_an_added_field_is_not_ignored_where_legacy_has_one_of_that_name() -> None:
    ours = '{"a":{},"b":{},"c":{"x":1}}'
    found = of((ours, '{"a":{"x":1},"b":{"x":1},"c":{"x":1}}'))
    assert entries(found) == [{"ignore": "a.x"}, {"ignore": "b.x"}]


def test_headers_and_text_have_no_rule() -> None:
    plain = {"content-type": "text/plain"}
    pairs = [sample(side("a", 200, **plain), side("b", 200, **plain, etag="x"))]
    found = suggest(pairs, HEADERS, (), TODAY)
    assert (entries(found), found.before, found.after) == ([], 2, 2)
    assert [each.cause for each in found.faults] == ["another body"]
    found = suggest([sample(side("1"), side("1", etag="x"))], HEADERS, (), TODAY)
    assert [each.cause for each in found.faults] == ["header:etag: added"]


def test_what_rules_hide_already_is_not_proposed_again() -> None:
    pairs = [sample(side('{"a":null,"b":null}'), side('{"a":"","b":""}'))]
    found = suggest(pairs, HEADERS, [ComparisonRule("ignore", "a")], TODAY)
    assert entries(found) == [{"equal": "b", "values": [None, ""]}]


def test_a_cut_body_is_no_body() -> None:
    cut = side('{"a":1')._replace(cut=True, size=99)
    found = suggest([sample(cut, cut)], HEADERS, (), TODAY)
    assert (found.before, found.rules) == (0, ())


documents = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-9, 9)
    | st.sampled_from(["", "a", "1", "1.5", "2026-01-01T00:00:00Z", "2026-01-01T01:00:00.5+01:00"])
    | st.sampled_from(["2026-01-01T01:00:00+01:00"]),
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
    assert sum(each.differences for each in found.faults) == found.after


def _left(samples: list[Sample], rules: tuple[ComparisonRule, ...]) -> int:
    sides = [
        [
            Answer(each.status, each.headers, Body.of((each.body or "").encode()))
            for each in (one.legacy, one.async_)
        ]
        for one in samples
    ]
    return sum(len(judge(*pair, HEADERS, rules, TODAY).differences) for pair in sides)
