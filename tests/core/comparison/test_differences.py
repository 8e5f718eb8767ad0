from __future__ import annotations

import copy
import json
from collections.abc import Iterable, Sequence
from decimal import Decimal
from typing import Any

import pytest
from deepdiff import DeepDiff
from hypothesis import given, settings

from proxy.core.comparison.differences import (
    MAX_DIFF_LINES,
    MAX_DIFFERENCES,
    Answer,
    Body,
    Difference,
    bounded,
    compare,
    unified,
    walk,
)
from proxy.core.documents.exactjson import Json, text_of
from tests.core.documents.test_exactjson import DOCUMENTS

HEADERS = ("content-type", "location")


def answer(body: bytes = b"", kind: str = "application/json", status: int = 200, **headers: str) -> Answer:
    return Answer(status, {"content-type": kind, **headers}, Body.of(body))


def found(legacy: Answer, async_: Answer) -> list[tuple[str, str, Any, Any]]:
    return [tuple(each[:4]) for each in compare(legacy, async_, HEADERS)]


def bodies(legacy: bytes, async_: bytes, kind: str = "application/json") -> list[tuple[str, str, Any, Any]]:
    return found(answer(legacy, kind), answer(async_, kind))


@pytest.mark.parametrize(
    ("legacy", "async_", "expected"),
    [
        (b'{"a":1}', b'{ "a" : 1 }', []),
        (b'{"a":1,"b":2}', b'{"b":2,"a":1}', []),
        (b"1.50", b"1.5", []),
        (b"1", b"1.0", [("$", "type", 1, Decimal("1.0"))]),
        (b'{"a":true}', b'{"a":1}', [("a", "type", True, 1)]),
        (b'{"a":null}', b"{}", [("a", "only legacy", None, None)]),
        (b"{}", b'{"a":[1]}', [("a", "only async", None, [1])]),
        (
            b"[0.1]",
            b"[0.10000000000000001]",
            [("[]", "value", Decimal("0.1"), Decimal("0.10000000000000001"))],
        ),
        (b'{"i":[{"id":1},{"id":2}]}', b'{"i":[{"id":1},{"id":3}]}', [("i[].id", "value", 2, 3)]),
        (b"[1,2]", b"[1]", [("[]", "only legacy", 2, None)]),
        (b'{"a":"1"}', b'{"a":1}', [("a", "type", "1", 1)]),
        (b"[]", b"{}", [("$", "type", [], {})]),
    ],
)
def test_json_is_compared_by_type_and_exact_value(
    legacy: bytes, async_: bytes, expected: list[tuple[str, str, Any, Any]]
) -> None:
    assert bodies(legacy, async_) == expected


def test_status_and_chosen_headers_come_before_the_body() -> None:
    legacy = answer(b"1", location="/a", date="today")
    async_ = answer(b"2", "application/problem+json", 404, date="tomorrow")
    assert found(legacy, async_) == [
        (":status", "value", 200, 404),
        ("header:content-type", "value", "application/json", "application/problem+json"),
        ("header:location", "only legacy", "/a", None),
        ("$", "value", 1, 2),
    ]


def test_what_is_not_declared_json_is_text() -> None:
    assert bodies(b"1", b"1.0", "text/plain") == [("$", "text", "1", "1.0")]
    assert bodies(b'{"a":1,"a":2}', b'{"a":2}') == [("$", "text", '{"a":1,"a":2}', '{"a":2}')]


def test_binary_and_large_bodies_differ_by_size_and_hash() -> None:
    ((path, kind, ours, theirs),) = bodies(b"\x00\x01", b"\x00\x02\x03", "image/png")
    assert (path, kind) == ("$", "binary")
    assert str(ours).startswith("2 bytes, sha256 b413f47d")
    assert str(theirs).startswith("3 bytes, sha256 ")
    large = Answer(200, {}, Body(None, 10**9, "aa"))
    assert list(compare(large, large, ())) == []
    assert [each.kind for each in compare(large, answer(b"x"), ())] == ["binary"]


def test_what_is_returned_is_bounded_and_the_rest_counted() -> None:
    ours, theirs = [json.dumps([n] * (MAX_DIFFERENCES + 7)).encode() for n in (1, 2)]
    compared = bounded(compare(answer(ours), answer(theirs), ()))
    assert (len(compared.differences), compared.left_out) == (MAX_DIFFERENCES, 7)


def test_arrays_can_be_paired_otherwise() -> None:
    def reverse(steps: Sequence[str | int], ours: list[Json], theirs: list[Json]) -> list[tuple[int, int]]:
        return [(n, len(theirs) - 1 - n) for n in range(len(ours))]

    ours, theirs = answer(b"[1,2,3]"), answer(b"[3,9,1]")
    assert [each[:5] for each in compare(ours, theirs, (), reverse)] == [("[]", "value", 2, 9, (1,))]


@settings(deadline=None)
@given(DOCUMENTS)
def test_a_document_equals_itself(value: Json) -> None:
    assert list(walk(value, copy.deepcopy(value))) == []


@settings(deadline=None)
@given(DOCUMENTS, DOCUMENTS)
def test_differences_are_symmetric(one: Json, other: Json) -> None:
    back = [mirrored(each) for each in walk(other, one)]
    assert sorted(walk(one, other), key=str) == sorted(back, key=str)


@settings(deadline=None)
@given(DOCUMENTS, DOCUMENTS)
def test_applying_the_differences_turns_one_into_the_other(one: Json, other: Json) -> None:
    assert text_of(sorted_names(patched(one, walk(one, other)))) == text_of(sorted_names(other))


def telling(document: Json) -> Any:
    """In arrays DeepDiff takes False for 0 and 1 for 1.0, as Python does: these say what they are."""
    if isinstance(document, dict):
        return {name: telling(value) for name, value in document.items()}
    if isinstance(document, list):
        return [telling(value) for value in document]
    return f"\0{type(document).__name__} {document}" if isinstance(document, int) else document


@settings(deadline=None)
@given(DOCUMENTS, DOCUMENTS)
def test_deepdiff_sees_the_same_places(one: Json, other: Json) -> None:
    # By default it gives up on objects with few names in common.
    oracle = DeepDiff(telling(one), telling(other), view="tree", threshold_to_diff_deeper=0)
    theirs = {tuple(each.path(output_format="list")) for kind in oracle.values() for each in kind}
    ours = {each.steps for each in walk(one, other)}
    assert bool(ours) == bool(theirs)
    # DeepDiff aligns arrays by edit distance: only without them are its places those of a walk by position.
    if not has_array(one) and not has_array(other):
        assert ours == theirs


def test_text_is_shown_as_a_unified_diff() -> None:
    lines = [f"line {n}" for n in range(20)]
    other = [*lines[:10], "new", *lines[11:]]
    assert list(unified("\n".join(lines), "\n".join(other))) == [
        "@@ -8,7 +8,7 @@",
        *(f" line {n}" for n in (7, 8, 9)),
        "-line 10",
        "+new",
        *(f" line {n}" for n in (11, 12, 13)),
    ]


def test_long_text_shows_its_first_difference() -> None:
    lines = [str(n) for n in range(MAX_DIFF_LINES + 1)]
    other = [*lines[:5], "x", *lines[6:]]
    assert list(unified("\n".join(lines), "\n".join(other)))[1:] == ["-5", "+x"]
    assert list(unified("\n".join(lines), "\n".join(lines[:-1])))[1:] == [f"-{MAX_DIFF_LINES}"]


def test_other_line_ends_are_said() -> None:
    assert list(unified("a\nb\n", "a\r\nb\r\n")) == ["@@ only the ends of lines differ @@"]


def mirrored(each: Difference) -> Difference:
    kinds = {"only legacy": "only async", "only async": "only legacy"}
    return Difference(each.path, kinds.get(each.kind, each.kind), each.async_, each.legacy, each.steps)  # type: ignore[arg-type]


def patched(document: Json, differences: Iterable[Difference]) -> Json:
    """The document with every difference applied: first what goes, from behind so that positions hold."""
    box: dict[str, Any] = {"root": copy.deepcopy(document)}
    listed = list(differences)
    gone = [each for each in listed if each.kind == "only legacy"]
    for each in [*gone[::-1], *(each for each in listed if each not in gone)]:
        *way, last = ("root", *each.steps)
        inner: Any = box
        for step in way:
            inner = inner[step]
        if each.kind == "only legacy":
            del inner[last]
        elif each.kind == "only async" and isinstance(inner, list):
            inner.append(each.async_)
        else:
            inner[last] = each.async_
    return box["root"]  # type: ignore[no-any-return]


def sorted_names(value: Json) -> Json:
    if isinstance(value, dict):
        return {name: sorted_names(value[name]) for name in sorted(value)}
    return [sorted_names(item) for item in value] if isinstance(value, list) else value


def has_array(value: Json) -> bool:
    return isinstance(value, list) or (isinstance(value, dict) and any(map(has_array, value.values())))


def test_a_byte_order_mark_that_only_one_backend_sends_is_a_difference() -> None:
    def answer(content: bytes) -> Answer:
        return Answer(200, {"content-type": "application/json"}, Body.of(content))

    marked = b"\xef\xbb\xbf"
    assert len(list(compare(answer(b"{}"), answer(marked + b"{}"), ()))) == 1
    assert not list(compare(answer(marked + b"{}"), answer(marked + b"{ }"), ()))
