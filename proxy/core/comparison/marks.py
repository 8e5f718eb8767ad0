"""How two answers differ, as marks that can be counted: a place, and in which respect it differs there.

A value that differs between any two answers says nothing by itself. Some of its properties can still be
compared: the shape of a random value, the values of an array whose order is random (as a multiset), and how
far apart numbers and times are.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Hashable, Iterable, Mapping
from decimal import Decimal
from typing import Final, Literal, NamedTuple

from proxy.core.comparison.differences import Difference
from proxy.core.comparison.judge import apart, number_of, time_between
from proxy.core.documents.exactjson import Json, kind_of
from proxy.core.documents.fieldpaths import ROOT, member_path

MarkKind = Literal["value", "shape", "multiset", "distance"]
"""multiset: the values at this place of arrays, whatever their order. distance: async is farther from
legacy's first answer than legacy's second."""

is_uuid: Final = re.compile(r"[0-9A-Fa-f]{8}(?:-[0-9A-Fa-f]{4}){3}-[0-9A-Fa-f]{12}").fullmatch

_SHAPES: Final = (
    (
        "time",
        re.compile(r"\d{4}-\d\d-\d\d(?:[T ]\d\d:\d\d(?::\d\d(?:\.\d+)?)?(?:Z|[+-]\d\d:?\d\d)?)?").fullmatch,
    ),
    ("uuid", is_uuid),
    ("number", re.compile(r"-?\d+\.\d+").fullmatch),
    ("word", re.compile(r"[A-Za-z0-9_\-]+").fullmatch),
)


class Mark(NamedTuple):
    """A place at which something differed, and in which respect."""

    path: str
    kind: MarkKind = "value"

    def __str__(self) -> str:
        return f"{self.path}{WORDS[self.kind]}"


WORDS: Final[Mapping[MarkKind, str]] = {
    "value": "",
    "shape": " (its shape)",
    "multiset": " (in any order)",
    "distance": " (how far apart)",
}


def marks_of(found: Iterable[tuple[str, Difference]], legacy: Json, async_: Json) -> frozenset[Mark]:
    """The marks of differences between two documents, each given with the path under which it is counted."""
    marks: set[Mark] = set()
    arrays: dict[str, str] = {}
    for path, each in found:
        marks.add(Mark(path))
        if shape_of(each.legacy, each.kind == "only async") != shape_of(
            each.async_, each.kind == "only legacy"
        ):
            marks.add(Mark(path, "shape"))
        if any(isinstance(step, int) for step in each.steps):
            arrays[each.path] = path
    if arrays:
        ours, theirs = _values_at(legacy, arrays), _values_at(async_, arrays)
        marks.update(Mark(arrays[path], "multiset") for path in arrays if ours[path] != theirs[path])
    return frozenset(marks)


def distances(found: Iterable[tuple[str, Difference]]) -> dict[str, Decimal | None]:
    """The greatest distance between the values of each path; None where one is not a number or time."""
    farthest: dict[str, Decimal | None] = {}
    for path, each in found:
        distance = _distance(each)
        before = farthest.get(path, Decimal(0))
        farthest[path] = None if distance is None or before is None else max(before, distance)
    return farthest


def farther(
    ours: Mapping[str, Decimal | None], theirs: Mapping[str, Decimal | None]
) -> tuple[set[Mark], set[Mark]]:
    """Where async is farther from legacy's first answer than legacy's second, and the reverse."""
    async_, legacy = set[Mark](), set[Mark]()
    for path in ours.keys() | theirs.keys():
        mine, other = ours.get(path, Decimal(0)), theirs.get(path, Decimal(0))
        if mine is None or other is None or mine == other:
            continue
        (async_ if mine > other else legacy).add(Mark(path, "distance"))
    return async_, legacy


def shape_of(value: Json, absent: bool) -> str:
    """What stays the same where values are random: coarse, so that chance alone does not change it."""
    if absent:
        return "absent"
    if not isinstance(value, str):
        return kind_of(value)
    return next((name for name, matches in _SHAPES if matches(value)), "text")


def _values_at(document: Json, wanted: Iterable[str]) -> dict[str, Counter[Hashable]]:
    """All values at each of these paths, whatever their positions."""
    found: dict[str, Counter[Hashable]] = {path: Counter() for path in wanted}
    waiting: list[tuple[str, Json]] = [("", document)]
    while waiting:
        path, value = waiting.pop()
        if (path or ROOT) in found:
            found[path or ROOT][_hashable(value)] += 1
        if isinstance(value, dict):
            waiting += [(member_path(path, name), item) for name, item in value.items()]
        elif isinstance(value, list):
            waiting += [(f"{path}[]", item) for item in value]
    return found


def _hashable(value: Json) -> Hashable:
    """Equal exactly if the values are: 1 is not 1.0, 1.50 is 1.5, the order of members does not matter."""
    if isinstance(value, dict):
        return frozenset((name, _hashable(item)) for name, item in value.items())
    if isinstance(value, list):
        return tuple(map(_hashable, value))
    return type(value).__name__, value


def _distance(each: Difference) -> Decimal | None:
    if each.kind != "value":
        return None
    ours, theirs = number_of(each.legacy), number_of(each.async_)
    if ours is not None and theirs is not None:
        return apart(ours, theirs)
    between = time_between(each.legacy, each.async_)
    return None if between is None else Decimal(repr(abs(between.total_seconds())))
