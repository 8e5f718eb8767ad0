from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from proxy.core.documents.fieldpaths import Steps, parse_pattern, path_text


@pytest.mark.parametrize(
    ("steps", "text"),
    [
        ((), "$"),
        (("items", 3, "id"), "items[].id"),
        ((0, 1), "[][]"),
        ((0, "a"), "[].a"),
        (("a.b", "c"), '["a.b"].c'),
        (("a", 'say "é"'), 'a["say \\"é\\""]'),
        (("$",), '["$"]'),
        (("",), '[""]'),
    ],
)
def test_places_are_written_with_positions_left_out(steps: Steps, text: str) -> None:
    assert path_text(steps) == text
    assert parse_pattern(text).matches(text, steps)


@settings(deadline=None)
@given(st.lists(st.text(max_size=5) | st.integers(0, 9), max_size=5))
def test_every_path_is_a_pattern_of_its_own_place(steps: list[str | int]) -> None:
    place = tuple(steps)
    assert parse_pattern(path_text(place)).matches(path_text(place), place)


@pytest.mark.parametrize(
    ("pattern", "steps", "matches", "covers"),
    [
        ("items", ("items",), True, True),
        ("items", ("items", 0, "id"), False, True),
        ("items", ("itemsx",), False, False),
        ("items[].id", ("items", "x", "id"), False, False),
        ("*.id", ("a", "id"), True, True),
        ("*.id", (0, "id"), False, False),
        ("*", ("odd name",), True, True),
        ("**.id", ("id",), True, True),
        ("**.id", ("a", 1, "b", "id"), True, True),
        ("**.id", ("a", "idx"), False, False),
        ("a.**.z", ("a", "z"), True, True),
        ("a.**.z", ("a", 1, "z", "y"), False, True),
        ("a.**.b.**", ("a", "b"), True, True),
        ("$", (), True, True),
        ("$", ("a",), False, True),
        ("**", ("a", 1), True, True),
    ],
)
def test_patterns(pattern: str, steps: Steps, matches: bool, covers: bool) -> None:
    compiled = parse_pattern(pattern)
    assert compiled.matches(path_text(steps), steps) is matches
    assert compiled.covers(path_text(steps), steps) is covers


def test_status_and_headers_are_named_exactly_and_are_not_the_body() -> None:
    assert parse_pattern("header:ETag").matches("header:etag", ())
    assert parse_pattern(":status").covers(":status", ())
    assert not parse_pattern("header:etag").matches("header:location", ())
    for everything in ("$", "**"):
        assert not parse_pattern(everything).covers(":status", ())
        assert not parse_pattern(everything).covers("header:etag", ())


@pytest.mark.parametrize(
    "text",
    [
        "",
        ".a",
        "a..b",
        "a.",
        "ab*",
        "a b",
        "[0]",
        "a[b]",
        'a["b]',
        "header:",
        "é",
        "a[]b",
        "x" * 1001,
        '["\\x"]',
    ],
)
def test_what_is_no_path_is_refused_with_examples(text: str) -> None:
    with pytest.raises(ValueError, match="is not a path such as"):
        parse_pattern(text)


def test_matching_stays_cheap() -> None:
    with pytest.raises(ValueError, match="more than 3 times"):
        parse_pattern("**.a.**.a.**.a.**.b")
