"""Finds the endpoints in an OpenAPI document or in a URL map of Werkzeug, in the syntax of routing.yaml."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Final, NamedTuple, Protocol
from urllib.parse import urlsplit

from proxy.config.templates import parse_endpoint, shape

_METHODS: Final = ("get", "put", "post", "delete", "options", "head", "patch", "trace", "query")
_WERKZEUG: Final = re.compile(r"<(?:([A-Za-z_][A-Za-z0-9_]*)(?:\(.*?\))?:)?([A-Za-z_][A-Za-z0-9_]*)>")
_AUTOMATIC: Final = frozenset({"HEAD", "OPTIONS"})  # HEAD follows GET, a preflight its endpoint


class DiscoveredEndpoint(NamedTuple):
    """`endpoint` is "GET /x/{y}"; `name` the operationId or the view's name, "" if there is none."""

    endpoint: str
    name: str


class Discovery(NamedTuple):
    """`skipped` are lines such as "GET /a/{b}.json: why a routing table cannot hold it"."""

    found: tuple[DiscoveredEndpoint, ...]
    skipped: tuple[str, ...]


class Rule(Protocol):
    """What is read of a werkzeug.routing.Rule."""

    @property
    def rule(self) -> str: ...
    @property
    def methods(self) -> Iterable[str] | None: ...
    @property
    def endpoint(self) -> Any: ...


def from_openapi(document: Any) -> Discovery:
    """Of OpenAPI 3 and Swagger 2. Raises ValueError that says what the document lacks."""
    if not isinstance(document, Mapping) or not ("openapi" in document or "swagger" in document):
        raise ValueError("is not an OpenAPI document: it has neither openapi nor swagger at its top")
    paths = document.get("paths")
    if not isinstance(paths, Mapping) or not paths:
        raise ValueError("is an OpenAPI document without paths: nothing can be listed")
    base = _base_path(document)
    return _collect(
        (method.upper(), base + _openapi_template(str(path)), _name(operation))
        for path, item in paths.items()
        if isinstance(item, Mapping)
        for method, operation in item.items()
        if method in _METHODS
    )


def from_url_map(rules: Iterable[Rule]) -> Discovery:
    """Of `app.url_map.iter_rules()`."""
    return _collect(
        (method, _werkzeug_template(rule.rule), str(rule.endpoint))
        for rule in rules
        for method in sorted(set(rule.methods or ("GET",)) - _AUTOMATIC)
    )


def _collect(candidates: Iterable[tuple[str, str, str]]) -> Discovery:
    found: dict[str, DiscoveredEndpoint] = {}
    skipped: list[str] = []
    for method, template, name in candidates:
        endpoint = f"{method} {template}"
        try:
            endpoint = parse_endpoint(endpoint)
        except ValueError as reason:
            skipped.append(f"{endpoint} {reason}")
            continue
        same = found.setdefault(shape(endpoint), DiscoveredEndpoint(endpoint, name))
        if same.endpoint != endpoint:
            skipped.append(f"{endpoint} matches the same requests as {same.endpoint}")
    return Discovery(tuple(found.values()), tuple(skipped))


def _base_path(document: Mapping[str, Any]) -> str:
    """The path that stands before all others: of the first server, or Swagger's basePath."""
    base = document.get("basePath", "")
    servers = document.get("servers")
    if isinstance(servers, list) and servers and isinstance(servers[0], Mapping):
        variables = servers[0].get("variables") or {}
        base = re.sub(
            r"\{([^{}]+)\}", lambda match: _default(variables, match[1]), str(servers[0].get("url", ""))
        )
    return urlsplit(str(base)).path.rstrip("/")


def _default(variables: Any, name: str) -> str:
    variable = variables.get(name) if isinstance(variables, Mapping) else None
    return str(variable.get("default", "")) if isinstance(variable, Mapping) else ""


def _openapi_template(path: str) -> str:
    """Parameters get names that a routing table allows: {account-id} is {account_id}."""
    return re.sub(r"\{([^{}/]+)\}", lambda match: "{" + _identifier(match[1]) + "}", path)


def _werkzeug_template(rule: str) -> str:
    """`<path:x>` is `{x...}`, every other converter `{x}`."""
    return _WERKZEUG.sub(lambda match: f"{{{match[2]}{'...' if match[1] == 'path' else ''}}}", rule)


def _identifier(name: str) -> str:
    plain = re.sub(r"[^A-Za-z0-9_]", "_", name)
    return f"_{plain}" if plain[:1].isdigit() else plain


def _name(operation: Any) -> str:
    name = operation.get("operationId", "") if isinstance(operation, Mapping) else ""
    return name if isinstance(name, str) else ""


def skipped_lines(discovery: Discovery, indent: str = "") -> Iterator[str]:
    """Comments for a file: what was found and cannot be listed."""
    for line in discovery.skipped:
        yield f"{indent}# not listed, so it goes to legacy: {line}"
