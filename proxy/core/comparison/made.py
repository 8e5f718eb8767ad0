"""Recognizes values in the answers to one write that each backend made up for itself.

A write is executed once on each backend, so noise cannot be measured by executing it again: an id that is
taken, or a key that is used up, would pass for noise. Instead, what differs by nature is recognized by the
values themselves, and by the other writes: a new id, a random token, the time of the write. Such a value has
the same form on both sides, is not in the request, and occurred in no other answer at this place. Everything
else that differs counts.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from typing import Final

from proxy.core.comparison.differences import Difference
from proxy.core.comparison.judge import time_between, time_of
from proxy.core.comparison.marks import is_uuid, shape_of
from proxy.core.documents.exactjson import Json, text_of
from proxy.core.documents.fieldpaths import HEADER

CLOSE: Final = 60.0  # seconds between two times that both say "now"
MAX_PLACES: Final = 200  # whose values are remembered
MAX_VALUES: Final = 10_000  # of one place; beyond that nothing is new

_LOCATION: Final = HEADER + "location"
_ETAG: Final = HEADER + "etag"
_is_id: Final = re.compile(r"id|.*_id|.*[a-z0-9]I[dD]|uuid|guid", re.DOTALL).fullmatch
_is_token: Final = re.compile(r"(?=.*[0-9])(?=.*[A-Za-z])[A-Za-z0-9_\-]{16,200}").fullmatch
_id_parts: Final = re.compile(r"((?:[A-Za-z]+[_\-:.])*)([A-Za-z0-9]{1,100})").fullmatch


class Made:
    """What the answers to one endpoint's writes have made up so far. Its size is bounded."""

    def __init__(self) -> None:
        self._seen: dict[tuple[str, str], set[int]] = {}  # side and place; hashes of values

    def among(self, differences: Sequence[Difference], request: bytes) -> list[Difference]:
        """Those that differ by nature. No value in `request`, the target and the body, was made up."""
        made, tags = [], []
        for each in differences:
            if each.path == _ETAG:
                tags.append(each)
            elif each.kind == "value" and self._is_new(each) and _is_made(each, request):
                made.append(each)
        # An entity-tag follows its representation: where only what was made up differs, so must the tag.
        if made and len(made) + len(tags) == len(differences):
            made += [each for each in tags if _weak(each.legacy) == _weak(each.async_)]
        return made

    def _is_new(self, each: Difference) -> bool:
        """Whether neither side gave this value before, at this place. A time may come twice."""
        sides = (("legacy", each.legacy), ("async", each.async_))
        new = [self._add(side, each.path, value) for side, value in sides]
        return all(new) or time_of(each.legacy) is not None

    def _add(self, side: str, path: str, value: Json) -> bool:
        known = self._seen.get((side, path))
        if known is None:
            if len(self._seen) >= 2 * MAX_PLACES:
                return False
            known = self._seen[side, path] = set()
        found = hash(text_of(value))
        if found in known or len(known) >= MAX_VALUES:
            return False
        known.add(found)
        return True


def _is_made(each: Difference, request: bytes) -> bool:
    ours, theirs = each.legacy, each.async_
    if each.path == _LOCATION:
        return _same_place(str(ours), str(theirs))
    name = next((step for step in reversed(each.steps) if isinstance(step, str)), "")
    if type(ours) is int and type(theirs) is int:
        return _is_id(name) is not None
    if (
        not isinstance(ours, str)
        or not isinstance(theirs, str)
        or shape_of(ours, False) != shape_of(theirs, False)
    ):
        return False
    if _in(request, ours) or _in(request, theirs):
        return False
    if time_of(ours) is not None:
        return _close(ours, theirs)
    return _ids(ours, theirs) if _is_id(name) else _random(ours, theirs)


def _close(ours: str, theirs: str) -> bool:
    between = time_between(ours, theirs)
    return between is not None and abs(between.total_seconds()) <= CLOSE


def _random(ours: str, theirs: str) -> bool:
    if is_uuid(ours) and is_uuid(theirs):
        return True
    return len(ours) == len(theirs) and bool(_is_token(ours) and _is_token(theirs))


def _ids(ours: str, theirs: str) -> bool:
    """Such as `pay_8f31` and `pay_77ab`."""
    if _random(ours, theirs):
        return True
    one, other = _id_parts(ours), _id_parts(theirs)
    return one is not None and other is not None and one[1] == other[1]


def _same_place(ours: str, theirs: str) -> bool:
    """Whether two addresses differ in ids alone."""
    mine, other = ours.split("/"), theirs.split("/")
    return len(mine) == len(other) and all(
        one == two or (_has_digit((one, two)) and _ids(one, two))
        for one, two in zip(mine, other, strict=True)
    )


def _has_digit(texts: Iterable[str]) -> bool:
    return all(any(char.isdigit() for char in text) for text in texts)


def _in(request: bytes, value: str) -> bool:
    return len(value) >= 4 and value.encode("utf-8", "replace") in request


def _weak(tag: Json) -> bool | None:
    return tag.startswith("W/") if isinstance(tag, str) else None
