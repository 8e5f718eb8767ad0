"""Groups differences that are not only of form by their likely cause. Pure.

One wrong 404 differs in every field of its body, and one missing element also changes a count. Such
differences have one cause, so they are shown as one fault.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Final, NamedTuple

from proxy.core.comparison.differences import Difference
from proxy.core.comparison.judge import number_of, time_of
from proxy.core.documents.exactjson import Json, kind_of, text_of
from proxy.core.documents.fieldpaths import HEADER, ROOT, STATUS, path_text

MAX_FAULTS: Final = 50
MAX_PATHS: Final = 20  # named of one fault
SHIFTED: Final = 3  # fields below one array that differ together: then the elements are different ones

Found = tuple[int, Difference]
"""The number of its sample, and what differs."""


class Fault(NamedTuple):
    """`differences` in `samples` samples, at these paths. `example` is one of them."""

    cause: str
    paths: tuple[str, ...]
    differences: int
    samples: int
    example: Difference


def is_other_answer(differences: Iterable[Difference]) -> bool:
    """Whether the two answers are of different kinds, so that comparing their fields says nothing."""
    return any(each.path in (STATUS, ROOT) for each in differences)


def faults(samples: Sequence[Sequence[Difference]]) -> tuple[Fault, ...]:
    """The most frequent first."""
    groups: dict[str, list[Found]] = {}
    places: dict[str, list[Found]] = {}
    for number, differences in enumerate(samples):
        whole = next((each for each in differences if each.path == STATUS), None)
        whole = whole or next((each for each in differences if each.path == ROOT), None)
        for each in differences:
            if whole is not None:
                groups.setdefault(_whole(whole), []).append((number, each))
            else:
                places.setdefault(each.path, []).append((number, each))
    for cause, found in _by_cause(places):
        groups.setdefault(cause, []).extend(found)
    made = [_fault(cause, found) for cause, found in groups.items()]
    return tuple(sorted(made, key=lambda each: (-each.samples, -each.differences, each.cause))[:MAX_FAULTS])


def _whole(difference: Difference) -> str:
    if difference.path == STATUS:
        return f"status {text_of(difference.legacy)} against {text_of(difference.async_)}"
    return "another body"


def _by_cause(places: dict[str, list[Found]]) -> list[tuple[str, list[Found]]]:
    made: list[tuple[str, list[Found]]] = []
    for array in sorted({array for found in places.values() for _, each in found if (array := _array(each))}):
        below = [path for path in places if path == array or path.startswith((f"{array}.", f'{array}["'))]
        if any(path == array for path in below):
            counts = [path for path in places if path not in below and _counts(places[path], places[array])]
            paths, cause = [array, *counts], f"{array}: {_elements(places[array])}"
        elif len(below) >= SHIFTED and len({_numbers(places[path]) for path in below}) == 1:
            paths, cause = below, f"{array}: other elements, or in another order"
        else:
            continue
        made.append((cause, [one for path in paths for one in places.pop(path)]))
    made += _other_fields(places)
    for path, found in places.items():
        made += [(f"{_name(path)}: {what}", among) for what, among in _by_kind(found)]
    return made


def _other_fields(places: dict[str, list[Found]]) -> list[tuple[str, list[Found]]]:
    """Objects in which each side has fields that the other lacks: renamed, or different objects."""
    kinds: dict[str, set[str]] = {}
    among: dict[str, list[str]] = {}
    for path, found in places.items():
        for _, each in found:
            if each.steps and each.kind in ("only legacy", "only async"):
                parent = path_text(each.steps[:-1])
                kinds.setdefault(parent, set()).add(each.kind)
                among.setdefault(parent, []).append(path)
    made = []
    for parent, both in kinds.items():
        if len(both) > 1:
            paths = dict.fromkeys(among[parent])
            made.append((f"{parent}: other fields", [one for path in paths for one in places.pop(path)]))
    return made


def _array(difference: Difference) -> str | None:
    """The path of the elements of the outermost array around a place, such as `articles[]`."""
    for length, step in enumerate(difference.steps, 1):
        if isinstance(step, int):
            return path_text(difference.steps[:length])
    return None


def _numbers(found: Iterable[Found]) -> frozenset[int]:
    return frozenset(number for number, _ in found)


def _elements(found: Sequence[Found]) -> str:
    kinds = {each.kind for _, each in found}
    if kinds == {"only legacy"}:
        return "elements are missing"
    return "elements are added" if kinds == {"only async"} else "elements differ"


def _counts(found: Sequence[Found], elements: Sequence[Found]) -> bool:
    """Whether numbers differ by exactly the number of extra or missing elements, in each sample."""
    more: dict[int, int] = {}
    for number, each in elements:
        if each.kind in ("only legacy", "only async"):
            more[number] = more.get(number, 0) + (1 if each.kind == "only async" else -1)
    return all(_apart(each) == more.get(number) for number, each in found)


def _apart(difference: Difference) -> int | None:
    ours, theirs = difference.legacy, difference.async_
    both = type(ours) is int and type(theirs) is int
    return theirs - ours if both and isinstance(ours, int) and isinstance(theirs, int) else None


def _by_kind(found: Sequence[Found]) -> list[tuple[str, list[Found]]]:
    kinds: dict[str, list[Found]] = {}
    for one in found:
        kinds.setdefault(_kind(one[1]), []).append(one)
    return list(kinds.items())


def _kind(each: Difference) -> str:
    if each.kind == "only legacy":
        return "missing"
    if each.kind == "only async":
        return "added"
    ours, theirs = each.legacy, each.async_
    if kind_of(ours) != kind_of(theirs):
        return f"{kind_of(ours)} against {kind_of(theirs)}"
    if isinstance(ours, bool):
        return f"{text_of(ours)} against {text_of(theirs)}"
    if number_of(ours) is not None and number_of(theirs) is not None:
        return "another number"
    if _both_times(ours, theirs):
        return "another time"
    return "another value"


def _both_times(ours: Json, theirs: Json) -> bool:
    return time_of(ours) is not None and time_of(theirs) is not None


def _name(path: str) -> str:
    """The same member at several places usually has one cause."""
    if path.startswith(HEADER):
        return path
    last = path.rpartition(".")[2]
    return last if last and not last.endswith(("]", '"')) else path


def _fault(cause: str, found: Sequence[Found]) -> Fault:
    paths = tuple(dict.fromkeys(each.path for _, each in found))
    example = next((each for _, each in found if each.path == STATUS), found[0][1])
    return Fault(cause, paths[:MAX_PATHS], len(found), len(_numbers(found)), example)
