"""Differences of form: finds the rule by which two values mean the same, and where it holds.

These rules hide only form: the same instant, the same number, null and "", and a field that legacy never
has. So they are safe to propose, even for every place of one name.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from datetime import timedelta
from decimal import Decimal
from typing import Final

from proxy.core.comparison.differences import Difference
from proxy.core.comparison.judge import number_of, time_between
from proxy.core.documents.exactjson import Json
from proxy.core.documents.fieldpaths import Steps, member_path, parse_pattern
from proxy.core.settings import ComparisonRule

AT_LEAST: Final = Decimal("0.001")  # seconds that a rule may say
_SECOND: Final = timedelta(seconds=1)
_plain_number: Final = re.compile(r"-?(?:0|[1-9][0-9]*)(?:\.[0-9]+)?").fullmatch  # not 007, a name
_has_fraction: Final = re.compile(r":\d\d\.\d").search


def form_of(
    path: str, found: Sequence[Difference], legacy: Iterable[Json], lost: Collection[Steps]
) -> ComparisonRule | None:
    """The rule for a place at which only form differs; None if anything else does.

    `legacy` are its documents; `lost` are the objects in which legacy has fields that async lacks.
    """
    if all(each.kind == "only async" for each in found):
        return _added(path, found, legacy, lost)
    if any(each.kind not in ("value", "type") for each in found):
        return None
    values = [(each.legacy, each.async_) for each in found]
    if all(_is_empty(ours) and _is_empty(theirs) for ours, theirs in values):
        return ComparisonRule("equal", path, values=(None, ""), reason="null in place of an empty text")
    if all(_same_number(*each) for each in values):
        return ComparisonRule(
            "tolerance", path, within=Decimal(0), reason="the same number written otherwise"
        )
    apart = [_same_time(*each) for each in values]
    if all(each is not None for each in apart):
        within = Decimal(1) if any(apart) else AT_LEAST
        return ComparisonRule("time", path, within=within, reason="the same time written otherwise")
    return None


def general(
    rules: Mapping[str, ComparisonRule], places: Mapping[str, Sequence[Difference]], legacy: Sequence[Json]
) -> Iterator[ComparisonRule]:
    """One rule for all places of a name, if two or more have it and nothing else differs at any of them."""
    for name, paths in _by_name(places).items():
        alike = [rules[path] for path in paths if path in rules]
        if len(paths) < 2 or len(alike) < len(paths) or len({each.kind for each in alike}) != 1:
            continue
        one = max(alike, key=lambda each: each.within)
        if one.kind == "ignore" and any(has_member(document, name) for document in legacy):
            continue
        path = member_path("**", name)
        yield ComparisonRule(one.kind, path, within=one.within, values=one.values, reason=one.reason)


def _by_name(places: Mapping[str, Sequence[Difference]]) -> dict[str, list[str]]:
    names: dict[str, list[str]] = {}
    for path, found in places.items():
        last = found[0].steps[-1] if found[0].steps else 0
        if isinstance(last, str):
            names.setdefault(last, []).append(path)
    return names


def _added(
    path: str, found: Sequence[Difference], legacy: Iterable[Json], lost: Collection[Steps]
) -> ComparisonRule | None:
    """A field that legacy never has, and that does not replace another field."""
    pattern = parse_pattern(path)
    if not all(each.steps and isinstance(each.steps[-1], str) for each in found):
        return None
    if any(each.steps[:-1] in lost for each in found):
        return None
    if any(pattern.matches(path, steps) for document in legacy for steps in members(document)):
        return None
    return ComparisonRule("ignore", path, reason="a field that legacy does not have")


def members(value: Json, steps: Steps = ()) -> Iterator[Steps]:
    """The places of all members, at any depth."""
    if isinstance(value, dict):
        for name, item in value.items():
            yield (*steps, name)
            yield from members(item, (*steps, name))
    elif isinstance(value, list):
        for position, item in enumerate(value):
            yield from members(item, (*steps, position))


def has_member(document: Json, name: str) -> bool:
    return any(steps[-1] == name for steps in members(document))


def _is_empty(value: Json) -> bool:
    return value is None or value == ""


def _same_number(ours: Json, theirs: Json) -> bool:
    """12.30 and "12.3", 1 and 1.0, but not two texts."""
    if isinstance(ours, str) and isinstance(theirs, str):
        return False
    if any(isinstance(each, str) and not _plain_number(each) for each in (ours, theirs)):
        return False
    one, other = number_of(ours), number_of(theirs)
    return one is not None and other is not None and one == other


def _same_time(ours: Json, theirs: Json) -> bool | None:
    """Whether a fraction of a second is cut off on one side; None if these are not the same time."""
    between = time_between(ours, theirs)
    if between is None:
        return None
    if not between:
        return False
    whole = [not _has_fraction(str(each)) for each in (ours, theirs)]
    cut = between if whole[0] else -between
    return True if whole[0] != whole[1] and timedelta() <= cut < _SECOND else None
