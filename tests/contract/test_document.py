"""The document that FastAPI generates says the same as the contract, prose and examples aside."""

from __future__ import annotations

from typing import Any

import pytest

from async_api.app import create_app
from async_api.config import Settings

Node = dict[str, Any]

KEPT = (
    "type",
    "format",
    "enum",
    "const",
    "pattern",
    "minLength",
    "maxLength",
    "minimum",
    "maximum",
    "default",
)


class Document:
    """An OpenAPI document reduced to what clients depend on."""

    def __init__(self, document: Node) -> None:
        self.document = document

    def resolve(self, node: Node) -> Node:
        while "$ref" in node:
            target: Any = self.document
            for part in node["$ref"].removeprefix("#/").split("/"):
                target = target[part]
            node = target
        return node

    def operations(self) -> dict[str, Node]:
        return {
            f"{method.upper()} {path}": {**operation, "shared": item.get("parameters", [])}
            for path, item in self.document["paths"].items()
            for method, operation in item.items()
            if method in ("get", "put", "post")
        }

    def parameters(self, operation: Node) -> Node:
        found = map(self.resolve, [*operation["shared"], *operation.get("parameters", [])])
        return {
            f"{p['in']} {p['name']}": (p.get("required", False), self.schema(_without_null(p["schema"])))
            for p in found
        }

    def body(self, operation: Node) -> Node:
        content = operation.get("requestBody", {}).get("content", {})
        return {kind: self.schema(media["schema"], closed=True) for kind, media in content.items()}

    def responses(self, operation: Node) -> Node:
        return {
            status: {
                kind: self.schema(media["schema"])
                for kind, media in self.resolve(response).get("content", {}).items()
            }
            for status, response in operation["responses"].items()
        }

    def schema(self, node: Node, closed: bool = False) -> Node:
        """Names and limits of all fields; `closed` also asks whether others are refused."""
        node = self.resolve(node)
        kept = {key: node[key] for key in KEPT if key in node}
        if "const" in kept:
            kept.setdefault("type", "string")
        if "anyOf" in node:
            kept["anyOf"] = [self.schema(option, closed) for option in node["anyOf"]]
        if "items" in node:
            kept["items"] = self.schema(node["items"], closed)
        if "properties" in node:
            kept["properties"] = {
                name: self.schema(value, closed) for name, value in node["properties"].items()
            }
            kept["required"] = sorted(node.get("required", []))
            if closed:
                kept["additionalProperties"] = node.get("additionalProperties", True)
        if kept.get("type") == "array":
            kept.pop("default", None)
        return kept


def _without_null(schema: Node) -> Node:
    """A query parameter that may be left out: FastAPI writes that as one that may be null."""
    options = [option for option in schema.get("anyOf", []) if option != {"type": "null"}]
    return options[0] if len(options) == 1 else schema


@pytest.fixture(scope="module")
def documents(contract: Node) -> tuple[Document, Document]:
    app = create_app(Settings(database_url="postgresql://nowhere/x"))
    return Document(contract), Document(app.openapi())


def test_operations_and_their_names(documents: tuple[Document, Document]) -> None:
    written, generated = (
        {name: operation["operationId"] for name, operation in document.operations().items()}
        for document in documents
    )
    assert generated == written
    assert len(written) == 11


@pytest.mark.parametrize("part", ["parameters", "body", "responses"])
def test_operations_agree(documents: tuple[Document, Document], part: str) -> None:
    written, generated = (
        {name: getattr(document, part)(operation) for name, operation in document.operations().items()}
        for document in documents
    )
    assert generated == written


def test_only_health_is_open_to_all(documents: tuple[Document, Document]) -> None:
    written, generated = documents
    for name, operation in written.operations().items():
        needs_key = operation.get("security", written.document["security"]) != []
        assert ("security" in generated.operations()[name]) == needs_key == (name != "GET /healthz")


def test_every_request_body_has_an_example(documents: tuple[Document, Document]) -> None:
    _, generated = documents
    for operation in generated.operations().values():
        for media in operation.get("requestBody", {}).get("content", {}).values():
            assert generated.resolve(media["schema"])["examples"]
