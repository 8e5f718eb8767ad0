"""YAML text to a graph of nodes that know where they stand in the text.

Only what a routing table needs: mappings, lists and scalars. Anchors, aliases, merge keys, tags and several
documents are refused, so one value stands in one place and the text's size bounds the graph's.
"""

from __future__ import annotations

import re
from typing import Any, Final, Literal, NamedTuple

import yaml

MAX_CHARACTERS: Final = 4 * 1024 * 1024
MAX_DEPTH: Final = 16

_FORBIDDEN: Final = re.compile(r"[^\t\n\r\x20-\x7e\x85\xa0-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]").search

_LINE: Final = re.compile(r"[^\r\n]*+(?:\r\n|\r|\n)?+")

# Line breaks in YAML 1.1, which libyaml reads, and ordinary characters since; no editor counts lines by them.
_NO_BREAKS: Final = "\x85\u2028\u2029"

# libyaml where PyYAML was built with it: ten times faster, same events.
_LOADER = yaml.CSafeLoader if yaml.__with_libyaml__ else yaml.SafeLoader


class Position(NamedTuple):
    """`offset` in characters from the start of the text; `line` and `column` from 0."""

    offset: int
    line: int
    column: int


class Problem(Exception):
    """Something this reader refuses, at a place in the text."""

    def __init__(self, mark: Position, message: str) -> None:
        super().__init__(message)
        self.mark = mark
        self.message = message


class Node:
    """`text`, `plain` (unquoted) and `refused` are a scalar's, `entries` a mapping's, `items` a list's."""

    __slots__ = ("end", "entries", "flow", "items", "kind", "plain", "refused", "start", "text")

    def __init__(self, kind: Literal["scalar", "mapping", "list"], start: Position, end: Position) -> None:
        self.kind = kind
        self.start = start
        self.end = end
        self.text = ""
        self.plain = False
        self.flow = False
        self.refused = ""  # why this value can not be used: it is an alias, or has a tag or an anchor
        self.entries: list[tuple[Node, Node]] = []
        self.items: list[Node] = []


def compose(text: str) -> Node | None:
    """The root node; None for a text without content. Raises Problem for what is not YAML."""
    if len(text) > MAX_CHARACTERS:
        raise Problem(Position(0, 0, 0), f"the file is over {MAX_CHARACTERS} characters")
    there, back = _stand_ins(text)
    builder = _Builder(back)
    try:
        for event in yaml.parse(text.translate(there) if there else text, Loader=_LOADER):
            builder.take(event)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        place = Position(mark.index, mark.line, mark.column) if mark else Position(0, 0, 0)
        raise Problem(place, f"this is not YAML: {error.problem or error.context}") from None
    except yaml.YAMLError as error:
        raise Problem(*_unreadable(text, str(error))) from None
    except UnicodeEncodeError as error:
        raise Problem(_mark_at(text, error.start), "this is not text: a lone surrogate") from None
    return builder.root


def _stand_ins(text: str) -> tuple[dict[int, int], dict[int, int]]:
    """Characters of private use that are not in the text for those that libyaml takes for line breaks."""
    found = [char for char in _NO_BREAKS if char in text]
    unused = (code for code in range(0xE000, 0xF900) if chr(code) not in text)
    there = {ord(char): code for char, code in zip(found, unused, strict=False)}
    return there, {code: char for char, code in there.items()}


def lines_of(text: str) -> list[str]:
    """The lines as they are counted here, each with its end."""
    return [line for line in _LINE.findall(text) if line]


class _Builder:
    def __init__(self, back: dict[int, int]) -> None:
        self.root: Node | None = None
        self._back = back  # from stand-ins
        self._open: list[Node] = []
        self._keys: list[Node | None] = []  # for each open mapping, the key whose value comes next

    def take(self, event: yaml.Event) -> None:
        if isinstance(event, yaml.MappingEndEvent | yaml.SequenceEndEvent):
            self._keys.pop()
            self._open.pop().end = _mark(event.end_mark)
        elif isinstance(event, yaml.NodeEvent):
            if self.root is not None and not self._open:
                raise Problem(_mark(event.start_mark), "a second document: routing.yaml is one document")
            node = _node(event)
            if self._back:
                node.text = node.text.translate(self._back)
            self._add(node)

    def _add(self, node: Node) -> None:
        if not self._open:
            self.root = node
        elif self._open[-1].kind == "list":
            self._open[-1].items.append(node)
        else:
            key = self._keys[-1]
            self._keys[-1] = node if key is None else None
            if key is not None:
                self._open[-1].entries.append((key, node))
        if node.kind != "scalar":
            self._open.append(node)
            self._keys.append(None)
            if len(self._open) > MAX_DEPTH:
                raise Problem(node.start, f"nested deeper than {MAX_DEPTH} levels")


def _node(event: yaml.NodeEvent) -> Node:
    start, end = _mark(event.start_mark), _mark(event.end_mark)
    if isinstance(event, yaml.MappingStartEvent):
        node = Node("mapping", start, end)
    elif isinstance(event, yaml.SequenceStartEvent):
        node = Node("list", start, end)
    else:
        node = Node("scalar", start, end)
    if isinstance(event, yaml.CollectionStartEvent):
        node.flow = bool(event.flow_style)
    if isinstance(event, yaml.ScalarEvent):
        node.text = event.value
        node.plain = not event.style
    if isinstance(event, yaml.AliasEvent):
        node.refused = "aliases are not supported: write the value out, or quote it if it begins with *"
    elif event.anchor is not None:
        node.refused = "anchors are not supported: write each value out, or quote what begins with &"
    elif getattr(event, "tag", None) not in (None, "!"):
        node.refused = "tags are not supported: quote a value that begins with !"
    return node


def _mark(mark: Any) -> Position:
    return Position(mark.index, mark.line, mark.column)


def _mark_at(text: str, index: int) -> Position:
    return Position(index, text.count("\n", 0, index), index - text.rfind("\n", 0, index) - 1)


def _unreadable(text: str, reason: str) -> tuple[Position, str]:
    """libyaml does not say where a character is that YAML forbids; look for it."""
    found = _FORBIDDEN(text)
    if found is not None:
        return _mark_at(text, found.start()), f"the character U+{ord(found[0]):04X} is not allowed in YAML"
    return Position(0, 0, 0), f"this is not YAML: {reason.splitlines()[0] if reason else 'unreadable'}"
