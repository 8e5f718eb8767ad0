"""Which samples and stored answers belong to a person or a path. Pure.

Stored answers are identified by principal, which is a hash, and by endpoint; their paths are not stored.
Samples are identified by their content: a name in them, as text or as the hash that redaction put in its
place.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Iterator
from typing import Final, Literal, NamedTuple
from urllib.parse import unquote, urlsplit

from proxy.core.comparison.comparisons import Sample, Side

MAX_NAME: Final = 4096  # characters
_PART_OF_A_WORD: Final = frozenset("-_")  # besides letters and digits: `u-1` is not in `u-12`, nor in `u-1-2`

Covered = Literal["all", "some", "none"]


class PathPattern(NamedTuple):
    """`*` and `{name}` stand for one segment; `open` ones end with `**`, any segments or none."""

    segments: tuple[str, ...]
    open: bool

    @classmethod
    def parse(cls, text: str) -> PathPattern:
        """Raises ValueError with a phrase that follows the pattern."""
        if not text.startswith("/") or len(text) > MAX_NAME:
            raise ValueError("is not a path that begins with /")
        if "?" in text or "#" in text:
            raise ValueError("has a query; remove it: the path includes all its queries")
        segments = ["*" if _is_parameter(each) else unquote(each) for each in _split(text)]
        is_open = segments[-1:] == ["**"]
        if is_open:
            segments.pop()
        if any("*" in each and each != "*" for each in segments):
            raise ValueError("is not a pattern: * is one whole segment, and ** is allowed only at the end")
        return cls(tuple(segments), is_open)

    def matches(self, target: str) -> bool:
        """Whether a request for this target, in any form, is meant."""
        path = target.partition("?")[0]
        found = [unquote(each) for each in _split(path if path.startswith("/") else urlsplit(path).path)]
        more = len(found) - len(self.segments)
        if more < 0 or (more > 0 and not self.open):
            return False
        return all(ours in ("*", theirs) for ours, theirs in zip(self.segments, found, strict=False))

    def covers(self, template: str) -> Covered:
        """How many of the requests to an endpoint with this template are meant."""
        found = _split(template)
        rest = bool(found) and found[-1].endswith("...}")  # one segment at least
        fixed = found[:-1] if rest else found
        more = len(fixed) - len(self.segments)
        if (more > 0 and not self.open) or (more < 0 and not rest) or (more == 0 and rest and not self.open):
            return "none"
        sure = more >= 0
        for ours, theirs in zip(self.segments, fixed, strict=False):
            if ours in ("*", unquote(theirs)):
                continue
            if not _is_parameter(theirs):
                return "none"
            sure = False
        return "all" if sure else "some"


class NameMatcher:
    """Finds a name, or one of the hashes that stand in its place, in the text of a sample."""

    def __init__(self, name: str, digests: Collection[str] = ()) -> None:
        self._spellings = {name, json.dumps(name)[1:-1], json.dumps(name, ensure_ascii=False)[1:-1]}
        self._digests = tuple(digests)

    def matches(self, sample: Sample) -> bool:
        return any(self._is_in(text) for text in _texts(sample))

    def _is_in(self, text: str) -> bool:
        if any(digest in text for digest in self._digests):
            return True
        return any(_has_word(text, spelling) for spelling in self._spellings)


class PathMatcher:
    """Finds samples of requests for a path."""

    def __init__(self, pattern: PathPattern) -> None:
        self._pattern = pattern

    def matches(self, sample: Sample) -> bool:
        return self._pattern.matches(sample.target)


Matcher = NameMatcher | PathMatcher


def spellings_of(name: str) -> tuple[str, ...]:
    """Whole values that say who asks: those that redaction may have hashed."""
    return (name, json.dumps(name), f"Bearer {name}", f"bearer {name}")


def _texts(sample: Sample) -> Iterator[str]:
    yield unquote(sample.target)
    yield sample.target
    for _, value in sample.headers:
        yield value
        yield unquote(value)
    for side in (sample.legacy, sample.async_):
        yield from _texts_of(side)
    for shown in sample.differences:
        yield shown.path
        yield shown.legacy or ""
        yield shown.async_ or ""


def _texts_of(side: Side) -> Iterator[str]:
    yield from side.headers.values()
    yield side.body or ""


def _has_word(text: str, word: str) -> bool:
    at = text.find(word)
    while at >= 0:
        end = at + len(word)
        if not _joins(text[at - 1 : at] if at else "") and not _joins(text[end : end + 1]):
            return True
        at = text.find(word, end)
    return False


def _joins(char: str) -> bool:
    return char.isalnum() or char in _PART_OF_A_WORD if char else False


def _split(path: str) -> list[str]:
    """Empty segments do not count: a backend may read `//a/` as `/a`."""
    return [each for each in path.split("/") if each]


def _is_parameter(segment: str) -> bool:
    return segment.startswith("{") and segment.endswith("}")
