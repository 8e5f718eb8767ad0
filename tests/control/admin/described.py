"""Answers of the admin port, held against its OpenAPI document.

`conftest.py` does it for every answer that a test of this folder gets. The document lets keys be added, as
clients have to; here an answer has the described keys and no others.
"""

from __future__ import annotations

import json
import re
from functools import cache
from typing import Any, Protocol
from urllib.parse import unquote, urlsplit

from jsonschema import Draft202012Validator

from proxy.control.admin.openapi import document

Node = dict[str, Any]
METHODS = ("get", "put", "post", "delete", "patch", "head", "options")
PAGES = ("/", "/differences", "/differences/samples", "/differences/compare", "/static")
"""For people, and not described; also what is below `/static`."""


class Answer(Protocol):
    """Of any client."""

    @property
    def status_code(self) -> int: ...
    @property
    def headers(self) -> Any: ...
    @property
    def text(self) -> str: ...


def operations() -> dict[tuple[str, str], Node]:
    """By method and path template."""
    return {
        (method.upper(), path): operation
        for path, item in document()["paths"].items()
        for method, operation in item.items()
        if method in METHODS
    }


def operation(method: str, url: str) -> Node | None:
    """That which answers, the most literal one first; None: nothing that is described."""
    path = unquote(urlsplit(url).path)
    found = [
        (each, node) for (verb, each), node in operations().items() if verb == method and _takes(each, path)
    ]
    return min(found, key=lambda pair: pair[0].count("{"), default=("", None))[1]


def faults(method: str, url: str, sent: bytes, answer: Answer) -> list[str]:
    """What the document does not say of the answer, or of a request that was accepted."""
    described = operation(method, url)
    if described is None:
        return []
    responses = described["responses"]
    response = responses.get(str(answer.status_code))
    if response is None and answer.status_code >= 400:
        response = responses["default"]
    if response is None:
        return [f"{method} {url} answers {answer.status_code}, which is not described"]
    content = resolved(response).get("content", {})
    kind = answer.headers.get("content-type", "").partition(";")[0]
    if kind not in content:
        return [f"{method} {url} answers {kind}, described are {list(content)}"]
    found = _against(content[kind], answer.text) if kind.endswith("json") else []
    if answer.status_code < 300 and "requestBody" in described:
        found += _against(described["requestBody"]["content"]["application/json"], sent.decode())
    return [f"{method} {url}: {fault}" for fault in found]


def resolved(node: Node) -> Node:
    while "$ref" in node:
        target: Any = document()
        for part in node["$ref"].removeprefix("#/").split("/"):
            target = target[part]
        node = target
    return node


def _takes(template: str, path: str) -> bool:
    pattern = re.sub(r"\\\{\w+\\\}", ".+", re.escape(template))
    return re.fullmatch(pattern, path) is not None


def _against(media: Node, text: str) -> list[str]:
    schema = {**closed(media["schema"]), "components": _components()}
    errors = Draft202012Validator(schema).iter_errors(json.loads(text))
    return [f"{error.json_path}: {error.message}" for error in errors]


@cache
def _components() -> Node:
    return {"schemas": closed(document()["components"]["schemas"])}


def closed(node: Any) -> Any:
    """The same schema without room for keys that are not described."""
    if isinstance(node, list):
        return [closed(each) for each in node]
    if not isinstance(node, dict):
        return node
    found = {key: closed(value) for key, value in node.items()}
    if node.get("type") == "object" and "properties" in node:
        found.setdefault("additionalProperties", False)
    return found
