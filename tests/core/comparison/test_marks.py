from __future__ import annotations

from decimal import Decimal

import pytest

from proxy.core.comparison.differences import walk
from proxy.core.comparison.marks import Mark, MarkKind, distances, farther, marks_of, shape_of
from proxy.core.documents.exactjson import Json


def marks(legacy: Json, async_: Json) -> set[Mark]:
    return set(marks_of(((each.path, each) for each in walk(legacy, async_)), legacy, async_))


@pytest.mark.parametrize(
    ("legacy", "async_", "expected"),
    [
        ({"a": 1}, {"a": 1}, set()),
        ({"a": 1}, {"a": 2}, {Mark("a")}),
        ({"a": 1}, {"a": "1"}, {Mark("a"), Mark("a", "shape")}),
        ({"a": 1}, {}, {Mark("a"), Mark("a", "shape")}),
        ({"a": [1, 2]}, {"a": [2, 1]}, {Mark("a[]")}),
        ({"a": [1, 2]}, {"a": [2, 3]}, {Mark("a[]"), Mark("a[]", "multiset")}),
        ({"a": [1, 1, 2]}, {"a": [1, 2, 2]}, {Mark("a[]"), Mark("a[]", "multiset")}),
        ([{"b": 1}, {"b": 2}], [{"b": 2}, {"b": 1}], {Mark("[].b")}),
        ({"a": [Decimal("1.50")]}, {"a": [Decimal("1.5")]}, set()),
        ({"a": [1, 2]}, {"a": [Decimal(2), 1]}, {Mark("a[]"), Mark("a[]", "shape"), Mark("a[]", "multiset")}),
    ],
)
def test_what_differs_and_in_which_respect(legacy: Json, async_: Json, expected: set[Mark]) -> None:
    assert marks(legacy, async_) == expected


def test_a_wrong_price_shows_in_a_list_of_any_order() -> None:
    legacy: Json = [{"id": n, "price": 100 + n} for n in range(5)]
    wrong: Json = [{"id": n, "price": 100 + n + (n == 3)} for n in (4, 2, 0, 1, 3)]
    assert Mark("[].price", "multiset") in marks(legacy, wrong)
    assert Mark("[].id", "multiset") not in marks(legacy, wrong)


def apart(legacy: Json, async_: Json, again: Json) -> tuple[set[Mark], set[Mark]]:
    ours, theirs = (distances((each.path, each) for each in walk(legacy, other)) for other in (async_, again))
    return farther(ours, theirs)


FAR: list[Mark] = [Mark("at", "distance")]


@pytest.mark.parametrize(
    ("async_", "again", "farther_async", "farther_legacy"),
    [
        ("2030-01-01T11:00:01Z", "2030-01-01T10:00:02Z", FAR, []),  # an hour off
        ("2030-01-01T10:00:01Z", "2030-01-01T10:00:02Z", [], FAR),
        ("2030-01-01T10:00:02Z", "2030-01-01T10:00:02Z", [], []),
        ("yesterday", "2030-01-01T10:00:02Z", [], []),  # no time: not a matter of distance
        ("2030-01-01T10:00:05Z", "2030-01-01T10:00:00Z", FAR, []),  # legacy said the same twice
    ],
)
def test_times_are_compared_by_how_far_they_are_apart(
    async_: str, again: str, farther_async: list[Mark], farther_legacy: list[Mark]
) -> None:
    found = apart({"at": "2030-01-01T10:00:00Z"}, {"at": async_}, {"at": again})
    assert found == (set(farther_async), set(farther_legacy))


def test_of_several_numbers_at_one_place_the_farthest_counts() -> None:
    found = apart([1, 5], [2, 5], [1, 9])
    assert found == (set(), {Mark("[]", "distance")})


@pytest.mark.parametrize(
    ("value", "shape"),
    [
        ("2030-01-01T10:00:00.123+02:00", "time"),
        ("6f1c2a3b-0000-4000-8000-0123456789ab", "uuid"),
        ("-12.34", "number"),
        ("00ff", "word"),
        ("1234", "word"),
        ("two words", "text"),
        (12, "integer"),
        (Decimal("1.5"), "decimal"),
        (None, "null"),
        ([], "array"),
    ],
)
def test_shapes(value: Json, shape: str) -> None:
    assert shape_of(value, absent=False) == shape
    assert shape_of(value, absent=True) == "absent"


@pytest.mark.parametrize(("kind", "text"), [("value", "a.b"), ("multiset", "a.b (in any order)")])
def test_a_mark_says_in_which_respect(kind: MarkKind, text: str) -> None:
    assert str(Mark("a.b", kind)) == text
