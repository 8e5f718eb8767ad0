"""The node graph to plain values: types of scalars, variables, duplicate keys.

Scalars follow the YAML 1.2 core schema, so that `off` stays a word and only true and false are booleans.
"""

from __future__ import annotations

import re
from typing import Any, Final, NamedTuple

from proxy.config.errors import Path
from proxy.config.graph import Node, Position
from proxy.config.variables import Variables

_INTEGER: Final = re.compile(r"[-+]?[0-9]{1,18}").fullmatch
_NUMBER: Final = re.compile(r"[-+]?[0-9]{1,18}\.[0-9]{0,18}").fullmatch
_NULLS: Final = frozenset({"", "~", "null", "Null", "NULL"})
_BOOLEANS: Final = {"true": True, "True": True, "TRUE": True, "false": False, "False": False, "FALSE": False}
_URL: Final = re.compile(r"//\S*+").sub


class Place(NamedTuple):
    """Where a key and its value stand, and the value as written."""

    key: Position
    value: Position
    shown: str


class RefusedValue(NamedTuple):
    path: Path
    mark: Position
    shown: str
    message: str


class Values:
    """`data` is JSON-ready. `unusable` are the paths whose value was refused; `data` has None there.

    An unquoted variable is text, for a token may well be `12345678` or `null`. `otherwise` has what the same
    characters would be in the file, for where no text is wanted.
    """

    def __init__(self, variables: Variables) -> None:
        self.data: Any = None
        self.places: dict[Path, Place] = {}
        self.findings: list[RefusedValue] = []
        self.unusable: set[Path] = set()
        self.otherwise: dict[Path, int | float | bool | None] = {}
        self._variables = variables

    @classmethod
    def read(cls, root: Node | None, variables: Variables) -> Values:
        values = cls(variables)
        start = Position(0, 0, 0)
        values.places[()] = Place(start, root.start if root else start, "")
        values.data = values._value(root, ()) if root else None
        return values

    def _value(self, node: Node, path: Path) -> Any:
        if node.refused:
            self._refuse(path, node, node.refused)
            return None
        if node.kind == "mapping":
            return self._mapping(node, path)
        if node.kind == "list":
            items = []
            for position, item in enumerate(node.items):
                self.places[(*path, position)] = Place(item.start, item.start, shown(item))
                items.append(self._value(item, (*path, position)))
            return items
        return self._scalar(node, path)

    def _mapping(self, node: Node, path: Path) -> dict[str, Any]:
        result: dict[str, Any] = {}
        for key, value in node.entries:
            inner = (*path, key.text)
            if key.kind != "scalar" or key.refused:
                self.findings.append(RefusedValue(path, key.start, "", key.refused or "a key must be text"))
            elif key.text == "<<" and key.plain:
                self.findings.append(RefusedValue(inner, key.start, "", "merge keys are not supported"))
            elif key.text in result:
                line = self.places[inner].key.line + 1
                self.findings.append(RefusedValue(inner, key.start, "", f"already given in line {line}"))
            else:
                self.places[inner] = Place(key.start, value.start, shown(value))
                result[key.text] = self._value(value, inner)
        return result

    def _scalar(self, node: Node, path: Path) -> Any:
        text = node.text
        if "${" in text:
            try:
                text = self._variables.fill(text)
            except ValueError as error:
                self._refuse(path, node, str(error))
                return None
        if not node.plain:
            return text
        value = resolve(text)
        if "${" in node.text and text and path and not isinstance(value, str):
            self.otherwise[path] = value
            return text
        return value

    def _refuse(self, path: Path, node: Node, message: str) -> None:
        self.unusable.add(path)
        self.findings.append(RefusedValue(path, node.start, shown(node), message))


def resolve(text: str) -> str | int | float | bool | None:
    """The value of an unquoted scalar."""
    if text in _NULLS:
        return None
    if text in _BOOLEANS:
        return _BOOLEANS[text]
    if _INTEGER(text):
        return int(text)
    return float(text) if _NUMBER(text) else text


def shown(node: Node) -> str:
    """A value for an error message, as written and bounded in length."""
    if node.kind != "scalar":
        return f"a {node.kind}"
    if node.text == "" and not node.refused:
        return "nothing" if node.plain else '""'
    text = _URL(_without_credentials, node.text)
    text = text if text.isprintable() else repr(text)[1:-1]
    return text if len(text) <= 60 else text[:57] + "..."


def _without_credentials(url: re.Match[str]) -> str:
    _, mark, rest = url[0].rpartition("@")
    return f"//***@{rest}" if mark else url[0]
