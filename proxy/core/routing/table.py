"""The routing table: a trie over path segments.

Looking up costs a step or two per segment of the request's path, however many endpoints there are.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from proxy.core.settings import Endpoint


class _Node:
    """`endpoints` end here, `rest` takes whatever follows; both by method."""

    __slots__ = ("endpoints", "literals", "param", "rest")

    def __init__(self) -> None:
        self.literals: dict[str, _Node] = {}
        self.param: _Node | None = None
        self.endpoints: dict[str, Endpoint] = {}
        self.rest: dict[str, Endpoint] = {}

    def copy(self) -> _Node:
        made = _Node()
        made.literals = self.literals.copy()
        made.param = self.param
        made.endpoints = self.endpoints.copy()
        made.rest = self.rest.copy()
        return made


class Table:
    __slots__ = ("_root",)

    def __init__(self, root: _Node) -> None:
        self._root = root

    @classmethod
    def build(cls, endpoints: Sequence[Endpoint]) -> Table:
        """Templates are "/literal/{param}/{rest...}". Raises ValueError if two match the same requests."""
        table = cls(_Node())
        for endpoint in endpoints:
            table.add(endpoint)
        return table

    def add(self, endpoint: Endpoint) -> None:
        """Used only while the table is built. HEAD goes where GET goes."""
        methods = _place(self._root, endpoint.template)
        there = methods.get(endpoint.method)
        if there is not None and there.method == endpoint.method:
            raise ValueError(f"{endpoint.name} matches the same requests as {there.name}")
        methods[endpoint.method] = endpoint
        if endpoint.method == "GET":
            methods.setdefault("HEAD", endpoint)

    def find(self, method: str, segments: Sequence[str]) -> Endpoint | None:
        """`segments` are those of `paths.split`. At each: the literal, then {param}, then {rest...}."""
        node = self._root
        depth = 0
        end = len(segments)
        later: list[tuple[_Node, int, Endpoint | None]] = []  # to come back to: less specific alternatives
        while True:
            step: _Node | None = None
            if depth == end:
                found = node.endpoints.get(method)
                if found is not None:
                    return found
            else:
                segment = segments[depth]
                depth += 1
                if method in node.rest:
                    later.append((node, depth, node.rest[method]))
                step = node.literals.get(segment)
                if segment and node.param is not None:
                    if step is None:
                        step = node.param
                    else:
                        later.append((node.param, depth, None))
            if step is not None:
                node = step
            elif not later:
                return None
            else:
                node, depth, found = later.pop()
                if found is not None:
                    return found


class TableRevision:
    """A table with some endpoints replaced by others of the same name; it shares all that stays as it was.

    Grows with what is replaced, not with the table, so that thousands of endpoints need not be placed anew.
    """

    __slots__ = ("_copied", "_root")

    def __init__(self, table: Table) -> None:
        self._root = table._root.copy()
        self._copied = {self._root}

    def replace(self, old: Endpoint, new: Endpoint) -> None:
        node = self._root
        methods = node.endpoints
        for part in old.template.split("/")[1:]:
            if part.endswith("...}"):
                methods = node.rest
                break
            node = self._below(node, part)
            methods = node.endpoints
        for method in [method for method, there in methods.items() if there is old]:  # HEAD, too
            methods[method] = new

    def table(self) -> Table:
        return Table(self._root)

    def _below(self, node: _Node, part: str) -> _Node:
        is_param = part.startswith("{")
        below = node.param if is_param else node.literals[part]
        assert below is not None
        if below not in self._copied:
            below = below.copy()
            self._copied.add(below)
            if is_param:
                node.param = below
            else:
                node.literals[part] = below
        return below


def parameters(template: str, segments: Sequence[str]) -> dict[str, str]:
    """The path parameters of a request that the template matched; `{rest...}` as "a/b/c"."""
    values: dict[str, str] = {}
    for position, part in enumerate(template.split("/")[1:]):
        if part.endswith("...}"):
            values[part[1:-4]] = "/".join(segments[position:])
        elif part.startswith("{"):
            values[part[1:-1]] = segments[position]
    return values


def _place(root: _Node, template: str) -> dict[str, Endpoint]:
    node = root
    for part in template.split("/")[1:]:
        if part.endswith("...}"):
            return node.rest
        if part.startswith("{"):
            node.param = node.param or _Node()
            node = node.param
        else:
            node = node.literals.setdefault(part, _Node())
    return node.endpoints
