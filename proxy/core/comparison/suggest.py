"""Proposes rules for differences of form that were seen, each with how much it would hide. Pure.

Differences of form are another order, the same time or number written differently, null instead of "", and a
field that legacy does not have. Nothing else is proposed: a rule that hides a wrong status, amount or flag,
or a missing field, hides a fault. The other differences are listed as faults to look at (`faults`). The
number that a rule would hide is not estimated: the samples are judged with the rule and without it.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import date
from decimal import Decimal
from itertools import islice
from typing import Final, NamedTuple

from proxy.core.comparison.comparisons import Sample, Side
from proxy.core.comparison.differences import Answer, Body, Difference
from proxy.core.comparison.faults import Fault, faults, is_other_answer
from proxy.core.comparison.forms import form_of, general
from proxy.core.comparison.judge import Judged, judge
from proxy.core.documents.exactjson import Json, kind_of, parse, text_of
from proxy.core.documents.fieldpaths import HEADER, ROOT, STATUS, Steps, path_text
from proxy.core.settings import ComparisonRule

MAX_SAMPLES: Final = 50  # looked at, the first
MAX_RULES: Final = 20  # proposed for one endpoint
MAX_TRIED: Final = 100

Scalar = str | int | float | bool | None


class Suggestion(NamedTuple):
    """`hides` so many differences in `samples` of the samples, when applied after those before it."""

    rule: ComparisonRule
    hides: int
    samples: int

    @property
    def entry(self) -> dict[str, Scalar | list[Scalar]]:
        """As in routing.yaml."""
        rule = self.rule
        made: dict[str, Scalar | list[Scalar]] = {rule.kind: rule.path}
        if rule.by is not None:
            made["by"] = rule.by
        if rule.kind in ("time", "tolerance"):
            made["within"] = f"{rule.within:f}" + "s" * (rule.kind == "time")
        if rule.values:
            made["values"] = [_plain(each) for each in rule.values]
        return made | {"reason": rule.reason}


class Suggestions(NamedTuple):
    """`before` and `after` are differences in all samples, without and with the rules.

    `faults` are what the rules leave, by cause.
    """

    rules: tuple[Suggestion, ...]
    samples: int
    before: int
    after: int
    faults: tuple[Fault, ...] = ()


class _Pair(NamedTuple):
    legacy: Answer
    async_: Answer


def suggest(
    samples: Iterable[Sample], headers: Sequence[str], rules: Sequence[ComparisonRule], today: date
) -> Suggestions:
    """Rules for what `rules` leave of the differences in the samples of one endpoint."""
    pairs = [_Pair(_answer(each.legacy), _answer(each.async_)) for each in islice(samples, MAX_SAMPLES)]
    found = [judge(*pair, headers, rules, today) for pair in pairs]
    before = sum(map(_count, found))
    given, accepted = list(rules), list[Suggestion]()
    tried: set[ComparisonRule] = set()
    while len(accepted) < MAX_RULES and len(tried) < MAX_TRIED:
        rule = next((each for each in _candidates(pairs, found) if each not in tried), None)
        if rule is None:
            break
        tried.add(rule)
        judged = [judge(*pair, headers, [*given, rule], today) for pair in pairs]
        fewer = [_count(old) - _count(new) for old, new in zip(found, judged, strict=True)]
        if sum(fewer) > 0:
            accepted.append(Suggestion(rule, sum(fewer), sum(each > 0 for each in fewer)))
            given, found = [*given, rule], judged
    left = faults([each.differences for each in found])
    return Suggestions(tuple(accepted), len(pairs), before, sum(map(_count, found)), left)


def _candidates(pairs: Sequence[_Pair], found: Sequence[Judged]) -> Iterator[ComparisonRule]:
    """Order first, then rules for several places, then single ones.

    If a status or a whole body differs, the answers are of different kinds: their fields explain nothing.
    """
    usable = [n for n, each in enumerate(found) if not is_other_answer(each.differences)]
    places: dict[str, list[Difference]] = {}
    for number in usable:
        for difference in found[number].differences:
            places.setdefault(difference.path, []).append(difference)
    documents = [(_document(pairs[n].legacy), _document(pairs[n].async_)) for n in usable]
    yield from _orders(documents, places)
    ours = [document for document, _ in documents]
    lost = {each.steps[:-1] for each in _of_kind(places, "only legacy")}
    rules: dict[str, ComparisonRule] = {}
    for path in sorted(places, key=lambda each: -len(places[each])):
        if path != ROOT and not path.startswith((HEADER, STATUS)):
            rule = form_of(path, places[path], ours, lost)
            if rule is not None:
                rules[path] = rule
    yield from general(rules, places, ours)
    yield from rules.values()


def _of_kind(places: Mapping[str, Sequence[Difference]], kind: str) -> Iterator[Difference]:
    return (each for found in places.values() for each in found if each.kind == kind)


# Order: what differs below an array whose elements are the same on both sides.


def _orders(
    documents: Sequence[tuple[Json, Json]], places: Mapping[str, Sequence[Difference]]
) -> Iterator[ComparisonRule]:
    arrays = {_array(each.steps) for found in places.values() for each in found}
    for path in sorted(each for each in arrays if each is not None):
        sides = [tuple(list(_elements(each, path)) for each in pair) for pair in documents]
        moved = [(ours, theirs) for ours, theirs in sides if ours and ours != theirs]
        for by in _keys(moved):
            yield ComparisonRule("unordered", path, by=by, reason="seen in another order")
        if any(sorted(map(_text, ours)) == sorted(map(_text, theirs)) for ours, theirs in moved):
            yield ComparisonRule("unordered", path, reason="seen in another order")


def _array(steps: Steps) -> str | None:
    """The path of the innermost array around a place."""
    for length in range(len(steps) - 1, -1, -1):
        if isinstance(steps[length], int):
            return path_text(steps[:length])
    return None


def _keys(moved: Sequence[tuple[list[Json], list[Json]]]) -> list[str]:
    """Members that identify the elements, and are the same on both sides except for the order."""
    names: Counter[str] = Counter()
    reordered = 0
    for ours, theirs in moved:
        shared = [name for name in _common(ours) if _same(ours, theirs, name)]
        if any(_values(ours, name) != _values(theirs, name) for name in shared):
            names.update(shared)
            reordered += 1
    return [name for name, count in names.most_common(3) if count == reordered]


def _common(elements: Sequence[Json]) -> list[str]:
    first = elements[0]
    if not isinstance(first, dict):
        return []
    return [name for name in first if all(isinstance(each, dict) and name in each for each in elements)]


def _same(ours: Sequence[Json], theirs: Sequence[Json], name: str) -> bool:
    if not all(isinstance(each, dict) and name in each for each in theirs):
        return False
    mine, other = _values(ours, name), _values(theirs, name)
    return len(set(mine)) == len(mine) and sorted(mine) == sorted(other)


def _values(elements: Sequence[Json], name: str) -> list[str]:
    return [f"{kind_of(each[name])} {each[name]}" for each in elements if isinstance(each, dict)]


def _text(value: Json) -> str:
    if isinstance(value, dict):
        return "{" + ",".join(f"{name!r}:{_text(value[name])}" for name in sorted(value)) + "}"
    return "[" + ",".join(map(_text, value)) + "]" if isinstance(value, list) else text_of(value)


def _elements(value: Json, path: str, steps: Steps = ()) -> Iterator[Json]:
    """Of every array at this path."""
    if isinstance(value, list):
        if path_text(steps) == path:
            yield from value
        for position, item in enumerate(value):
            yield from _elements(item, path, (*steps, position))
    elif isinstance(value, dict):
        for name, item in value.items():
            yield from _elements(item, path, (*steps, name))


def _document(answer: Answer) -> Json:
    try:
        return parse(answer.body.content or b"null")
    except ValueError:
        return None


def _answer(side: Side) -> Answer:
    """An incomplete body is compared only by its size."""
    if side.body is None or side.cut:
        return Answer(side.status, side.headers, Body(None, side.size, ""))
    return Answer(side.status, side.headers, Body.of(side.body.encode()))


def _count(judged: Judged) -> int:
    return len(judged.differences) + judged.left_out


def _plain(value: Json) -> str | int | float | bool | None:
    if isinstance(value, Decimal):
        return float(value)
    assert not isinstance(value, list | dict)
    return value
