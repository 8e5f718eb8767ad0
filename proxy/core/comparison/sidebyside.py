"""The bodies of two answers, line by line and side by side, with their differences marked. Pure."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from itertools import islice, zip_longest
from typing import Final, Literal, NamedTuple

from proxy.core.comparison.differences import Pairing, by_position, positions, unified
from proxy.core.documents.exactjson import Json, parse, text_of
from proxy.core.documents.fieldpaths import Steps

CONTEXT: Final = 2  # equal lines that stay before and after one that differs
MAX_ROWS: Final = 400
MAX_WIDTH: Final = 300  # characters of one line
MAX_LINES: Final = 20_000  # of a document that are walked through

Mark = Literal["same", "expected", "differs", "gap"]
"""expected: the lines differ, but a rule hides that or it is noise. gap: equal lines are left out,
and `legacy` says how many."""


class Row(NamedTuple):
    """One line of each; None: this side has no such line."""

    legacy: str | None
    async_: str | None
    mark: Mark


class Bodies(NamedTuple):
    """`rows` where both are JSON, else `diff`: lines of a unified diff. `left_out` counts rows or lines."""

    rows: tuple[Row, ...] = ()
    diff: tuple[str, ...] = ()
    left_out: int = 0


def bodies(
    legacy: str | None,
    async_: str | None,
    differing: Collection[Steps],
    pairing: Pairing = by_position,
) -> Bodies:
    """`differing` are the places of the differences, in legacy's positions where it has them."""
    if legacy is None or async_ is None or legacy == async_:
        return Bodies()
    try:
        documents = parse(legacy.encode()), parse(async_.encode())
    except ValueError:
        found = list(islice(unified(legacy, async_), MAX_LINES))
        shown = tuple(map(_cut, found[:MAX_ROWS]))
        return Bodies(diff=shown, left_out=len(found) - len(shown))
    walked = list(islice(rows(*documents, frozenset(differing), pairing), MAX_LINES))
    kept = list(folded(walked))
    return Bodies(tuple(kept[:MAX_ROWS]), left_out=len(kept[MAX_ROWS:]))


def rows(
    legacy: Json, async_: Json, differing: Collection[Steps], pairing: Pairing = by_position
) -> Iterator[Row]:
    """Every line; members in legacy's order, elements as they are paired."""
    yield from _Walk(differing, pairing).both(legacy, async_, (), "", "")


def folded(walked: Sequence[Row]) -> Iterator[Row]:
    """Equal lines that are far from any other become one gap."""
    near: set[int] = set()
    for number, row in enumerate(walked):
        if row.mark != "same":
            near.update(range(number - CONTEXT, number + CONTEXT + 1))
    skipped = 0
    for number, row in enumerate(walked):
        if number not in near:
            skipped += 1
            continue
        if skipped:
            yield _gap(skipped)
        skipped = 0
        yield row
    if skipped:
        yield _gap(skipped)


def _gap(lines: int) -> Row:
    return Row(f"{lines} equal line{'' if lines == 1 else 's'}", None, "gap")


class _Walk:
    """`steps` lead to a value, `name` is what stands before it, such as `"id": `."""

    def __init__(self, differing: Collection[Steps], pairing: Pairing) -> None:
        self._differing = differing
        self._pairing = pairing

    def both(self, legacy: Json, async_: Json, steps: Steps, indent: str, name: str) -> Iterator[Row]:
        """A value that both have."""
        if isinstance(legacy, dict) and isinstance(async_, dict) and (legacy or async_):
            yield _same(f"{indent}{name}{{")
            yield from self._members(legacy, async_, steps, f"{indent}  ")
            yield _same(f"{indent}}}")
        elif isinstance(legacy, list) and isinstance(async_, list) and (legacy or async_):
            yield _same(f"{indent}{name}[")
            yield from self._elements(legacy, async_, steps, f"{indent}  ")
            yield _same(f"{indent}]")
        elif type(legacy) is type(async_) and legacy == async_:
            yield _same(f"{indent}{name}{text_of(legacy)}")
        else:
            yield from self._apart(lines(legacy, indent, name), lines(async_, indent, name), steps)

    def _members(
        self, legacy: dict[str, Json], async_: dict[str, Json], steps: Steps, indent: str
    ) -> Iterator[Row]:
        for key in dict.fromkeys([*legacy, *async_]):
            place, name = (*steps, key), f"{text_of(key)}: "
            if key not in async_:
                yield from self._apart(lines(legacy[key], indent, name), (), place)
            elif key not in legacy:
                yield from self._apart((), lines(async_[key], indent, name), place)
            else:
                yield from self.both(legacy[key], async_[key], place, indent, name)

    def _elements(self, legacy: list[Json], async_: list[Json], steps: Steps, indent: str) -> Iterator[Row]:
        pairs = self._pairing(steps, legacy, async_) or positions(len(legacy), len(async_))
        for ours, theirs in pairs:
            if ours is not None and theirs is not None:
                yield from self.both(legacy[ours], async_[theirs], (*steps, ours), indent, "")
            elif ours is not None:
                yield from self._apart(lines(legacy[ours], indent), (), (*steps, ours))
            elif theirs is not None:
                yield from self._apart((), lines(async_[theirs], indent), (*steps, theirs))

    def _apart(self, legacy: Sequence[str], async_: Sequence[str], steps: Steps) -> Iterator[Row]:
        mark: Mark = "differs" if steps in self._differing else "expected"
        for ours, theirs in zip_longest(legacy, async_):
            yield Row(None if ours is None else _cut(ours), None if theirs is None else _cut(theirs), mark)


def _same(line: str) -> Row:
    return Row(_cut(line), _cut(line), "same")


def lines(value: Json, indent: str = "", name: str = "") -> list[str]:
    """A value as indented JSON, without commas: what stands before one depends on what follows."""
    inner = f"{indent}  "
    if isinstance(value, dict) and value:
        members = [line for key, item in value.items() for line in lines(item, inner, f"{text_of(key)}: ")]
        return [f"{indent}{name}{{", *members, f"{indent}}}"]
    if isinstance(value, list) and value:
        return [f"{indent}{name}[", *(line for item in value for line in lines(item, inner)), f"{indent}]"]
    return [f"{indent}{name}{text_of(value)}"]


def _cut(line: str) -> str:
    return line if len(line) <= MAX_WIDTH else f"{line[:MAX_WIDTH]}… ({len(line)} characters)"
