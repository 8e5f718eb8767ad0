"""Places in an answer, as text: `items[].id`, `header:etag`, `:status`, `$`.

A body's root is `$`, a member `.name` (or `["any text"]`), an element `[]` whatever its position.
Patterns may say `*` for any one member and `**` for any number of steps.
"""

from __future__ import annotations

import json
import re
from functools import lru_cache
from typing import Final, NamedTuple

from proxy.core.documents.exactjson import quoted

Steps = tuple[str | int, ...]
"""From the body's root: member names and positions."""

ROOT: Final = "$"
STATUS: Final = ":status"
HEADER: Final = "header:"
MAX_PATTERN: Final = 1000  # characters
MAX_DEEP: Final = 3  # times `**`; each one more multiplies the work of matching

MAX_TEXT: Final = 1000  # characters of a path; what is deeper, or longer, has the same

# What a pattern's steps are where they are not names.
_ELEMENT: Final = 0
_MEMBER: Final = 1
_DEEP: Final = 2
_SIGNS: Final = {"[]": _ELEMENT, "*": _MEMBER, "**": _DEEP}

_NAME: Final = r"[A-Za-z_][A-Za-z0-9_\-]*+"
_is_plain: Final = re.compile(_NAME).fullmatch
_step: Final = re.compile(rf'(\.?)(\*\*|\*|{_NAME})|(\[\])|\[("(?:[^"\\]|\\.)*+")\]').match
_is_header: Final = re.compile(r"header:[!#$%&'*+\-.^_`|~0-9A-Za-z]+").fullmatch
_ALLOWED: Final = (
    'is not a path such as items[].id, ["odd name"].id, **.updated_at, $ (the body), header:etag or :status'
)


def path_text(steps: Steps) -> str:
    """The path of a place in a body: every position becomes `[]`."""
    text = ""
    for step in steps:
        if len(text) >= MAX_TEXT:  # a thousand values below a long name must not cost a thousand names
            break
        text = f"{text}[]" if isinstance(step, int) else member_path(text, step)
    return text or ROOT


def member_path(path: str, name: str) -> str:
    """The path of a member; `path` is its object's, "" for the root."""
    if len(path) >= MAX_TEXT:
        return path
    name = name[:MAX_TEXT]
    plain = f"{path}.{name}" if path else name
    longer = plain if _is_plain(name) else f"{path}[{quoted(name)}]"
    return longer if len(longer) <= MAX_TEXT else f"{longer[: MAX_TEXT - 1]}\u2026"


class Pattern(NamedTuple):
    """`steps` is None for a header and the status, which have nothing below them."""

    text: str
    steps: tuple[str | int, ...] | None

    def matches(self, path: str, steps: Steps) -> bool:
        """`path` and `steps` say the same place; steps alone do not tell a header from the body."""
        return path == self.text if self.steps is None else _in_body(path) and _match(self.steps, steps)

    def covers(self, path: str, steps: Steps) -> bool:
        """Whether the place is a match or lies below one."""
        if self.steps is None:
            return path == self.text
        return _in_body(path) and _match((*self.steps, _DEEP), steps)


@lru_cache(maxsize=4096)
def parse_pattern(text: str) -> Pattern:
    """Raises ValueError with a phrase that follows the text."""
    if text == ROOT:
        return Pattern(text, ())
    if text == STATUS or _is_header(text):
        return Pattern(text.lower(), None)
    if not text or len(text) > MAX_PATTERN:
        raise ValueError(_ALLOWED)
    steps: list[str | int] = []
    position = 0
    while position < len(text):
        found = _step(text, position)
        if found is None or (found[2] and bool(found[1]) != bool(steps)):  # a dot between, and none before
            raise ValueError(_ALLOWED)
        steps.append(_read(found))
        position = found.end()
    if steps.count(_DEEP) > MAX_DEEP:
        raise ValueError(f"contains ** more than {MAX_DEEP} times")
    return Pattern(text, tuple(steps))


def _read(found: re.Match[str]) -> str | int:
    written = found[2] or found[3]
    if written in _SIGNS:
        return _SIGNS[written]
    try:
        return str(written or json.loads(found[4]))
    except ValueError:
        raise ValueError(_ALLOWED) from None


def _in_body(path: str) -> bool:
    return not path.startswith((HEADER, STATUS))


def _match(pattern: tuple[str | int, ...], steps: Steps) -> bool:
    """Going back to the last `**` is enough, and takes as many tries as there are steps."""
    at = place = 0
    deep = tried = -1
    while place < len(steps):
        if at < len(pattern) and pattern[at] == _DEEP:
            deep, tried = at, place
            at += 1
        elif at < len(pattern) and _fits(pattern[at], steps[place]):
            at += 1
            place += 1
        elif deep >= 0:
            tried += 1
            at, place = deep + 1, tried
        else:
            return False
    return all(wanted == _DEEP for wanted in pattern[at:])


def _fits(wanted: str | int, step: str | int) -> bool:
    if wanted == _ELEMENT:
        return isinstance(step, int)
    if wanted == _MEMBER:
        return isinstance(step, str)
    return step == wanted
