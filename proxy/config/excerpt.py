"""The line of a file that an error is about, with a caret below the column, and without its secrets.

Secrets are located in the parsed text, because a value may contain quotes, commas and braces, or stand on
its own line. Text that cannot be parsed is not shown at all; the error has its line number.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import lru_cache
from typing import Any, Final, get_args

from pydantic import BaseModel

from proxy.config.graph import Node, Problem, compose, lines_of
from proxy.config.model import Config
from proxy.core.privacy.sensitive import is_secret_name

MAX_WIDTH: Final = 160
_STRUCTURE: Final = frozenset(" \t{}[],:-?")
_SECRETS: Final = frozenset(
    {"state", "salt", "header", "webhook", "first"}
)  # whose names do not say that they hold one
_NAMED: Final = frozenset({"endpoints", "phases", "rollouts"})  # whose keys are names that one chooses


def excerpt(text: str, line: int, column: int) -> list[str]:
    """The line (both from 1), cut around the column if it is very long, and a caret; [] if there is none,
    or the text is not YAML."""
    lines = lines_of(text)
    if not 0 < line <= len(lines) or text.startswith("\ufeff"):
        return []
    try:
        root = compose(text)
    except Problem:
        return []
    if root is None:
        return []
    begin = sum(map(len, lines[: line - 1]))
    bare = lines[line - 1].rstrip("\r\n")
    shown = _masked(bare, begin, root)
    start = max(0, column - 1 - MAX_WIDTH // 2) if len(shown) > MAX_WIDTH else 0
    before = "".join("\t" if char == "\t" else " " for char in shown[start : column - 1])
    cut = "".join(
        char if char.isprintable() or char == "\t" else "?" for char in shown[start : start + MAX_WIDTH]
    )
    return [cut, f"{before}^"]


def _masked(line: str, begin: int, root: Node) -> str:
    """The line, which begins at this offset, with what may be shown; the rest is masked."""
    shown = [char if char in _STRUCTURE else "*" for char in line]
    for node, visible in _scalars(root, "", root.kind != "mapping"):
        first, last = max(0, node.start.offset - begin), min(len(line), node.end.offset - begin)
        for at in range(first, last):
            shown[at] = line[at] if visible else "*"
    return "".join(shown)


def _scalars(node: Node, key: str, secret: bool) -> Iterator[tuple[Node, bool]]:
    """Each scalar of the text, and whether it may be shown. `key` is that of what is around it."""
    if node.kind == "scalar":
        yield node, not secret and "@" not in node.text
    for item in node.items:
        yield from _scalars(item, key, secret)
    cut = secret  # in `{token: a, b}` the key b may be the rest of a secret that was not quoted
    for name, value in node.entries:
        hidden = secret or _is_secret(name.text, key)
        lone = node.flow and value.kind == "scalar" and value.start.offset == value.end.offset
        yield name, not (secret or (cut and lone))
        yield from _scalars(value, name.text, hidden)
        cut = hidden if not lone else cut


def _is_secret(name: str, parent: str) -> bool:
    """A key that nobody knows is a misspelt one: what it holds may have been meant to be a secret."""
    if is_secret_name(name) or name in _SECRETS:
        return True
    return name not in _known() and parent not in _NAMED


@lru_cache(maxsize=1)
def _known() -> frozenset[str]:
    """All keys of the schema, wherever they belong."""
    found: set[str] = set()
    waiting: list[Any] = [Config]
    while waiting:
        kind = waiting.pop()
        waiting += get_args(kind)
        if isinstance(kind, type) and issubclass(kind, BaseModel):
            for name, field in kind.model_fields.items():
                found.add(field.alias or name)
                waiting.append(field.annotation)
    return frozenset(found)
