"""Adds one rule to an endpoint's `compare.rules` in the text of a routing.yaml; the rest stays as it is."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from typing import Any, Final

from proxy.config.edit import BOM, Splice, entry, find_endpoint, instead_of_nothing, is_nothing
from proxy.config.errors import ConfigError, ConfigErrors, Path, key_text
from proxy.config.graph import Node, Position, Problem, compose

Value = str | int | float | bool | None | Sequence["Value"]
NewRule = Mapping[str, Value]
"""Such as `{"ignore": "items[].id", "reason": "random", "expires": "2030-01-31"}`."""

_PLAIN: Final = re.compile(
    r"[A-Za-z_][A-Za-z0-9_.]*|[0-9]{4}-[0-9]{2}-[0-9]{2}|[0-9]+(\.[0-9]+)?[a-z]*"
).fullmatch
_WORDS: Final = frozenset({"true", "false", "null", "yes", "no", "on", "off", "y", "n"})
_KEYS: Final = ("compare", "rules")


def rule_text(rule: NewRule) -> str:
    """The rule as one line of YAML. Raises ValueError for text that a file cannot hold as it is."""
    return "{" + ", ".join(f"{name}: {_value_text(value)}" for name, value in rule.items()) + "}"


def add_rule(text: str, endpoint: str, rule: NewRule, *, source: str = "routing.yaml") -> str:
    """The text with the rule behind the endpoint's others. Whether the rule is a good one is not judged here.

    Raises ConfigErrors if the endpoint is not listed, or there is no one place where the rule can go.
    """
    if text.startswith(BOM):  # libyaml does not count it
        return BOM + add_rule(text[1:], endpoint, rule, source=source)
    path: Path = ("endpoints", endpoint, *_KEYS)
    try:
        line = rule_text(rule)
        root = compose(text)
        edited = _splice(text, root, endpoint, line).into(text)
        if not _took(text, edited, endpoint, line):
            place = find_endpoint(root, endpoint)[1].start
            raise Problem(place, "a rule can not be added here: write the endpoint in one line")
    except ValueError as error:
        raise ConfigErrors(source, [ConfigError(0, 0, key_text(path), "", str(error))]) from None
    except Problem as problem:
        mark = problem.mark
        found = ConfigError(mark.line + 1, mark.column + 1, key_text(path), "", problem.message)
        raise ConfigErrors(source, [found]) from None
    return edited


def _value_text(value: Value) -> str:
    if isinstance(value, str):
        if "${" in value:
            raise ValueError(f"{value!r}: ${{ would be taken for an environment variable or a file")
        if not value.isprintable():
            raise ValueError(f"{value!r} has characters that do not belong into one line of text")
        plain = _PLAIN(value) and value.lower() not in _WORDS
        return value if plain else json.dumps(value, ensure_ascii=False)
    if isinstance(value, Sequence):
        # In a list of values text must stay text, and numbers numbers.
        return "[" + ", ".join(json.dumps(each, ensure_ascii=False) for each in value) + "]"
    return json.dumps(value)


def _splice(text: str, root: Node | None, endpoint: str, rule: str) -> Splice:
    _, value = find_endpoint(root, endpoint)
    for position, name in enumerate(_KEYS):
        if value.refused:
            raise Problem(value.start, value.refused)
        missing = _KEYS[position:]
        if is_nothing(value):
            return instead_of_nothing(text, value, "{" + _in_one_line(missing, rule) + "}")
        if value.kind != "mapping":
            raise Problem(value.start, f"{value.text} is not a mapping of keys to values")
        found = entry(value, name)
        if found is None:
            return _entry_added(text, value, missing, rule)
        value = found[1]
    if is_nothing(value):
        return instead_of_nothing(text, value, f"[{rule}]")
    if value.kind != "list":
        raise Problem(value.start, "is not a list of rules")
    return _item_added(text, value, rule)


def _entry_added(text: str, value: Node, missing: Sequence[str], rule: str) -> Splice:
    if value.flow:
        if not value.entries:
            return _inside(value, _in_one_line(missing, rule))
        end = value.entries[-1][1].end.offset
        return Splice(end, end, f", {_in_one_line(missing, rule)}")
    column = value.entries[0][0].start.column
    lines = [f"{' ' * (column + 2 * depth)}{name}:" for depth, name in enumerate(missing)]
    return _lines_added(text, value, [*lines, f"{' ' * (column + 2 * len(missing))}- {rule}"])


def _item_added(text: str, value: Node, rule: str) -> Splice:
    if value.flow:
        if not value.items:
            return _inside(value, rule)
        end = value.items[-1].end.offset
        return Splice(end, end, f", {rule}")
    return _lines_added(text, value, [f"{' ' * value.start.column}- {rule}"])


def _inside(value: Node, new: str) -> Splice:
    """Into an empty flow mapping or list."""
    return Splice(value.start.offset + 1, value.start.offset + 1, new)


def _lines_added(text: str, value: Node, lines: Sequence[str]) -> Splice:
    """Below the line on which the block ends; comments of what follows stay with that."""
    last = text.find("\n", _last_mark(value).offset)
    end_of_line = "\r\n" if "\r\n" in text else "\n"
    block = end_of_line.join(lines)
    if last < 0:
        return Splice(len(text), len(text), end_of_line + block)
    return Splice(last + 1, last + 1, block + end_of_line)


def _last_mark(node: Node) -> Position:
    """The last thing that is written: a block's own end is that of the blank lines and comments behind it."""
    while node.kind != "scalar" and not node.flow:
        node = node.items[-1] if node.kind == "list" else node.entries[-1][1]
    return node.end


def _in_one_line(missing: Sequence[str], rule: str) -> str:
    inner = f"[{rule}]"
    for name in reversed(missing):
        inner = f"{name}: {inner}" if name == missing[0] else f"{{{name}: {inner}}}"
    return inner


def _took(before: str, after: str, endpoint: str, rule: str) -> bool:
    """Whether the edited text says what it should; there are more ways to write YAML than one thinks of."""
    try:
        wanted, found = _data(compose(before)), _data(compose(after))
        added = _data(compose(rule))
    except Problem:
        return False
    place = wanted["endpoints"]
    for name in (endpoint, "compare"):
        place[name] = place.get(name) or {}
        place = place[name]
    place["rules"] = [*(place.get("rules") or []), added]
    return bool(wanted == found)


def _data(node: Node | None) -> Any:
    """What the nodes say, without their places; scalars as text, None for nothing."""
    if node is None or is_nothing(node):
        return None
    if node.kind == "mapping":
        return {key.text: _data(value) for key, value in node.entries}
    return [_data(item) for item in node.items] if node.kind == "list" else node.text
