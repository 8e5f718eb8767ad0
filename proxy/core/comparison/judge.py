"""Compares two answers, sets aside what the rules expect, and counts how much each of them hid."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from datetime import date, datetime, timedelta
from decimal import Context, Decimal
from email.utils import parsedate_to_datetime
from itertools import chain
from typing import Final, NamedTuple

from proxy.core.comparison.differences import (
    Answer,
    Difference,
    Pairing,
    Pairs,
    bounded,
    compare,
    not_comparable,
)
from proxy.core.documents.exactjson import Json, text_of
from proxy.core.documents.fieldpaths import Steps, path_text
from proxy.core.settings import ComparisonRule

_is_number: Final = re.compile(r"-?\d{1,100}(?:\.\d{1,100})?").fullmatch
_EXACT: Final = Context(prec=300)  # a difference of two such numbers has no more digits


class Judged(NamedTuple):
    """The remaining differences, and how many each rule hid: differences, or arrays in another order.

    `unreadable` says why the bodies could not be compared: then they are neither equal nor different.
    """

    differences: tuple[Difference, ...]
    left_out: int
    hidden: tuple[tuple[ComparisonRule, int], ...]
    expired: tuple[ComparisonRule, ...]
    unreadable: str = ""


def judge(
    legacy: Answer, async_: Answer, headers: Sequence[str], rules: Sequence[ComparisonRule], today: date
) -> Judged:
    """Compares, and hides what the rules expect. `headers` are lower-case names."""
    valid = [rule for rule in rules if not rule.expired(today)]
    hidden = dict.fromkeys(valid, 0)
    order = _Order([rule for rule in valid if rule.kind == "unordered"], hidden)
    found = compare(legacy, async_, headers, order.pairs)
    left = bounded(_unexpected(found, [rule for rule in valid if rule.kind != "unordered"], hidden))
    expired = tuple(rule for rule in rules if rule.expired(today))
    unreadable = not_comparable(legacy, async_)
    return Judged(left.differences, left.left_out, tuple(hidden.items()), expired, unreadable)


def pairing(rules: Sequence[ComparisonRule], today: date) -> Pairing:
    """How elements of arrays are paired under these rules, for showing two bodies side by side."""
    unordered = [rule for rule in rules if rule.kind == "unordered" and not rule.expired(today)]
    return _Order(unordered, dict.fromkeys(unordered, 0)).pairs


def _unexpected(
    found: Iterable[Difference], rules: Sequence[ComparisonRule], hidden: dict[ComparisonRule, int]
) -> Iterator[Difference]:
    for difference in found:
        for rule in rules:
            if _hides(rule, difference):
                hidden[rule] += 1
                break
        else:
            yield difference


def _hides(rule: ComparisonRule, difference: Difference) -> bool:
    if rule.kind == "ignore":
        return rule.pattern.covers(difference.path, difference.steps)
    if difference.kind not in ("value", "type") or not rule.pattern.matches(
        difference.path, difference.steps
    ):
        return False
    legacy, async_ = difference.legacy, difference.async_
    if rule.kind == "equal":
        return _among(legacy, rule.values) and _among(async_, rule.values)
    if rule.kind == "tolerance":
        ours, theirs = number_of(legacy), number_of(async_)
        return ours is not None and theirs is not None and apart(ours, theirs) <= rule.within
    between = time_between(legacy, async_)
    return between is not None and abs(between) <= timedelta(seconds=float(rule.within))


def _among(value: Json, values: Iterable[Json]) -> bool:
    return any(type(value) is type(each) and value == each for each in values)


def number_of(value: Json) -> Decimal | None:
    if isinstance(value, bool):
        return None
    if isinstance(value, int | Decimal):
        return Decimal(value)
    return Decimal(value) if isinstance(value, str) and _is_number(value) else None


def apart(ours: Decimal, theirs: Decimal) -> Decimal:
    return _EXACT.abs(_EXACT.subtract(ours, theirs))


def time_of(value: Json) -> datetime | None:
    """ISO 8601, or an HTTP date (RFC 9110 section 5.6.7)."""
    if not isinstance(value, str) or len(value) > 64:
        return None
    for read in (datetime.fromisoformat, parsedate_to_datetime):
        try:
            return read(value)
        except (ValueError, OverflowError):
            continue
    return None


def time_between(before: Json, after: Json) -> timedelta | None:
    """None if one of them is not a time, or only one has a time zone."""
    start, end = time_of(before), time_of(after)
    if start is None or end is None or (start.tzinfo is None) != (end.tzinfo is None):
        return None
    return end - start


class _Order:
    """Pairs the elements of arrays whose order does not matter."""

    def __init__(self, rules: Sequence[ComparisonRule], hidden: dict[ComparisonRule, int]) -> None:
        self._rules = rules
        self._hidden = hidden

    def pairs(self, steps: Steps, legacy: list[Json], async_: list[Json]) -> Pairs | None:
        for rule in self._rules:
            if rule.pattern.matches(path_text(steps), steps):
                paired = _paired(_keys(legacy, rule.by), _keys(async_, rule.by))
                if any(ours != theirs for ours, theirs in paired if None not in (ours, theirs)):
                    self._hidden[rule] += 1
                return paired
        return None


def _keys(items: list[Json], by: str | None) -> list[str]:
    """What identifies each element: its member of this name, or without one its whole value."""
    return [text_of(_sorted(_member(item, by))) for item in items]


def _member(item: Json, by: str | None) -> Json:
    return item[by] if by is not None and isinstance(item, dict) and by in item else item


def _sorted(value: Json) -> Json:
    if isinstance(value, dict):
        return {name: _sorted(value[name]) for name in sorted(value)}
    return [_sorted(item) for item in value] if isinstance(value, list) else value


def _paired(legacy: Sequence[str], async_: Sequence[str]) -> list[tuple[int | None, int | None]]:
    """Equal keys together, the n-th with the n-th; then what only one side has."""
    waiting: dict[str, list[int]] = {}
    for position in range(len(async_) - 1, -1, -1):
        waiting.setdefault(async_[position], []).append(position)
    pairs: list[tuple[int | None, int | None]] = []
    for position, key in enumerate(legacy):
        pairs.append((position, waiting[key].pop() if waiting.get(key) else None))
    return [*pairs, *((None, position) for position in sorted(chain(*waiting.values())))]
