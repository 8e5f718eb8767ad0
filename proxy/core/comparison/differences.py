"""What differs between two answers: status, chosen headers, body. Pure, and bounded in what it returns.

JSON is walked type-strictly (true is not 1, 1 is not 1.0), arrays by position unless the caller pairs their
elements otherwise. Text differs as a whole and is shown as a unified diff; binary and large bodies by size
and SHA-256.
"""

from __future__ import annotations

import difflib
import hashlib
from codecs import BOM_UTF8
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from itertools import islice, zip_longest
from typing import Final, Literal, NamedTuple

from proxy.core.documents.exactjson import Json, parse
from proxy.core.documents.fieldpaths import HEADER, ROOT, STATUS, Steps, path_text

MAX_DIFFERENCES: Final = 1000  # returned; the rest is counted
MAX_DIFF_LINES: Final = 1000  # per side; difflib's time is quadratic

Kind = Literal["value", "type", "only legacy", "only async", "text", "binary"]


class Body(NamedTuple):
    """`content` is None if the body was too large to keep; size and hash are of all of it.

    With a `problem` it could not be decoded completely; size and hash are then of the bytes as received.
    """

    content: bytes | None
    size: int
    sha256: str
    problem: str = ""

    @classmethod
    def of(cls, content: bytes) -> Body:
        return cls(content, len(content), hashlib.sha256(content).hexdigest())


class Answer(NamedTuple):
    """`headers` by lower-case name, several values of one joined by ", " (RFC 9110 section 5.2)."""

    status: int
    headers: Mapping[str, str]
    body: Body


class Difference(NamedTuple):
    """One place where two answers differ.

    `path` is the place with positions left out, such as `items[].id`; `steps` leads there from the body's
    root (in legacy's positions, or async's where only async has it). A value is None where `kind` says that
    this side has none.
    """

    path: str
    kind: Kind
    legacy: Json
    async_: Json
    steps: Steps = ()


class BoundedDifferences(NamedTuple):
    """`left_out` counts the differences beyond MAX_DIFFERENCES."""

    differences: tuple[Difference, ...]
    left_out: int = 0


Pairs = Iterable[tuple[int | None, int | None]]
"""Positions in legacy's and async's array; None: the other side has no such element."""

Pairing = Callable[[Steps, list[Json], list[Json]], Pairs | None]
"""How the elements of the arrays at a place belong together; None: by position."""


def by_position(_: Steps, __: list[Json], ___: list[Json]) -> None:
    return None


def compare(
    legacy: Answer, async_: Answer, headers: Sequence[str], pairing: Pairing = by_position
) -> Iterator[Difference]:
    """Every difference, in the order of the answer. `headers` are lower-case names."""
    if legacy.status != async_.status:
        yield Difference(STATUS, "value", legacy.status, async_.status)
    for name in headers:
        yield from _header(HEADER + name, legacy.headers.get(name), async_.headers.get(name))
    yield from _bodies(legacy, async_, pairing)


def not_comparable(legacy: Answer, async_: Answer) -> str:
    """Which body could not be decoded completely, so that only identical bytes are equal; "" if neither."""
    ours, theirs = legacy.body, async_.body
    if not ours.problem and not theirs.problem:
        return ""
    if ours.problem and theirs.problem and _coding(legacy) == _coding(async_) and ours == theirs:
        return ""
    sides = (("legacy", ours), ("async", theirs))
    return "; ".join(f"{side}'s body: {body.problem}" for side, body in sides if body.problem)


def bounded(found: Iterable[Difference]) -> BoundedDifferences:
    """The first MAX_DIFFERENCES, and how many there are beyond."""
    rest = iter(found)
    kept = tuple(islice(rest, MAX_DIFFERENCES))
    return BoundedDifferences(kept, sum(1 for _ in rest))


def walk(
    legacy: Json, async_: Json, pairing: Pairing = by_position, steps: Steps = ()
) -> Iterator[Difference]:
    """Differences of two JSON values: of the same type where their contents differ, else as a whole."""
    if isinstance(legacy, dict) and isinstance(async_, dict):
        for name in legacy if legacy.keys() == async_.keys() else sorted(legacy.keys() | async_.keys()):
            place = (*steps, name)
            if name not in async_:
                yield Difference(path_text(place), "only legacy", legacy[name], None, place)
            elif name not in legacy:
                yield Difference(path_text(place), "only async", None, async_[name], place)
            elif not _same_leaf(legacy[name], async_[name]):
                yield from walk(legacy[name], async_[name], pairing, place)
    elif isinstance(legacy, list) and isinstance(async_, list):
        yield from _arrays(legacy, async_, pairing, steps)
    elif type(legacy) is not type(async_):
        yield Difference(path_text(steps), "type", legacy, async_, steps)
    elif legacy != async_:
        yield Difference(path_text(steps), "value", legacy, async_, steps)


def unified(legacy: str, async_: str) -> Iterator[str]:
    """The lines of a unified diff, without its two lines of file names."""
    ours, theirs = legacy.splitlines(), async_.splitlines()
    if ours == theirs:
        yield "@@ only the ends of lines differ @@"
    elif max(len(ours), len(theirs)) <= MAX_DIFF_LINES:
        yield from islice(difflib.unified_diff(ours, theirs, lineterm=""), 2, None)
    else:
        first = next(n for n, (one, other) in enumerate(zip_longest(ours, theirs)) if one != other)
        yield f"@@ first difference in line {first + 1}, too many lines to align @@"
        yield from (f"-{line}" for line in ours[first : first + 1])
        yield from (f"+{line}" for line in theirs[first : first + 1])


def _header(path: str, legacy: str | None, async_: str | None) -> Iterator[Difference]:
    if legacy == async_:
        return
    kind: Kind = "only async" if legacy is None else "only legacy" if async_ is None else "value"
    yield Difference(path, kind, legacy, async_)


def _same_leaf(legacy: Json, async_: Json) -> bool:
    """Most values are the same. Finding this here avoids a generator for each."""
    kind = type(legacy)
    return kind is type(async_) and kind is not dict and kind is not list and legacy == async_


def _arrays(legacy: list[Json], async_: list[Json], pairing: Pairing, steps: Steps) -> Iterator[Difference]:
    for ours, theirs in pairing(steps, legacy, async_) or positions(len(legacy), len(async_)):
        if ours is not None and theirs is not None:
            if _same_leaf(legacy[ours], async_[theirs]):
                continue
            yield from walk(legacy[ours], async_[theirs], pairing, (*steps, ours))
        elif ours is not None:
            place = (*steps, ours)
            yield Difference(path_text(place), "only legacy", legacy[ours], None, place)
        elif theirs is not None:
            place = (*steps, theirs)
            yield Difference(path_text(place), "only async", None, async_[theirs], place)


def positions(ours: int, theirs: int) -> Pairs:
    """Pairs of two arrays of these lengths, element by element."""
    for position in range(max(ours, theirs)):
        yield position if position < ours else None, position if position < theirs else None


def _bodies(legacy: Answer, async_: Answer, pairing: Pairing) -> Iterator[Difference]:
    ours, theirs = legacy.body, async_.body
    if (ours.size, ours.sha256) == (theirs.size, theirs.sha256) or ours.problem or theirs.problem:
        return  # what could not be decoded is not_comparable
    if ours.content is not None and theirs.content is not None:
        # Many parsers refuse a byte order mark, so one of a single side is a difference.
        alike = ours.content.startswith(BOM_UTF8) == theirs.content.startswith(BOM_UTF8)
        if alike and (_says_json(legacy) or _says_json(async_)):
            try:
                documents = parse(ours.content), parse(theirs.content)
            except ValueError:
                pass
            else:
                yield from walk(*documents, pairing)
                return
        mine, other = _text(ours.content), _text(theirs.content)
        if mine is not None and other is not None:
            yield Difference(ROOT, "text", mine, other)
            return
    yield Difference(ROOT, "binary", _digest(ours), _digest(theirs))


def _coding(answer: Answer) -> str:
    return answer.headers.get("content-encoding", "").strip().lower()


def _says_json(answer: Answer) -> bool:
    """RFC 6839 section 3.1: the suffix +json."""
    essence = answer.headers.get("content-type", "").partition(";")[0].strip().lower()
    return essence.endswith(("/json", "+json"))


def _text(content: bytes) -> str | None:
    """None if this is not text: not UTF-8, or with control characters that text does not contain."""
    try:
        text = content.decode()
    except UnicodeDecodeError:
        return None
    return None if any(char < " " and char not in "\t\n\r\f" for char in set(text)) else text


def _digest(body: Body) -> str:
    return f"{body.size} bytes, sha256 {body.sha256}"
