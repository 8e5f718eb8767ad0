from __future__ import annotations

from typing import Any

import pytest
from flask import Flask

from proxy.config.discover import from_openapi, from_url_map


def document(paths: dict[str, Any], **more: Any) -> dict[str, Any]:
    return {"openapi": "3.1.0", "paths": paths, **more}


def endpoints(found: dict[str, Any]) -> list[str]:
    return [each.endpoint for each in from_openapi(found).found]


def test_every_operation_is_an_endpoint_and_other_keys_of_a_path_are_not() -> None:
    paths = {"/a": {"get": {"operationId": "listA"}, "post": {}, "parameters": [], "summary": "x"}}
    discovery = from_openapi(document(paths))
    assert [tuple(each) for each in discovery.found] == [("GET /a", "listA"), ("POST /a", "")]
    assert discovery.skipped == ()


@pytest.mark.parametrize(
    ("more", "base"),
    [
        ({"servers": [{"url": "https://api.example/v1/"}]}, "/v1"),
        ({"servers": [{"url": "/v2"}, {"url": "/v3"}]}, "/v2"),
        ({"servers": [{"url": "https://h/{v}", "variables": {"v": {"default": "v9"}}}]}, "/v9"),
        ({"servers": [{"url": "https://api.example"}]}, ""),
        ({"basePath": "/old"}, "/old"),
    ],
)
def test_the_servers_path_stands_before_all_others(more: dict[str, Any], base: str) -> None:
    assert endpoints(document({"/a": {"get": {}}}, **more)) == [f"GET {base}/a"]


def test_parameters_get_names_that_a_table_allows() -> None:
    assert endpoints(document({"/a/{account-id}/{2nd}": {"get": {}}})) == ["GET /a/{account_id}/{_2nd}"]


def test_what_a_table_cannot_hold_is_said_and_left_out() -> None:
    paths = {"/a/{b}.json": {"get": {}}, "/x/{a}": {"get": {}}, "/x/{b}": {"get": {}}}
    discovery = from_openapi(document(paths))
    assert [each.endpoint for each in discovery.found] == ["GET /x/{a}"]
    assert "GET /a/{b}.json has '{b}.json': a parameter is a whole segment" in discovery.skipped[0]
    assert discovery.skipped[1] == "GET /x/{b} matches the same requests as GET /x/{a}"


@pytest.mark.parametrize("wrong", [None, [], "text", {"paths": {"/a": {}}}, {"openapi": "3", "paths": {}}])
def test_something_else_than_openapi_is_refused(wrong: Any) -> None:
    with pytest.raises(ValueError, match="OpenAPI document"):
        from_openapi(wrong)


def test_url_map_of_flask_with_converters_and_without_automatic_methods() -> None:
    app = Flask("shop", static_folder=None)
    for rule, methods in (
        ("/items/<int:item_id>", ["GET", "PUT"]),
        ("/files/<path:name>", ["GET"]),
        ("/tags/<any(a, b):tag>/", ["DELETE"]),
    ):
        app.add_url_rule(rule, endpoint=rule, view_func=lambda **_: "", methods=methods)
    found = [each.endpoint for each in from_url_map(app.url_map.iter_rules()).found]
    assert sorted(found) == [
        "DELETE /tags/{tag}/",
        "GET /files/{name...}",
        "GET /items/{item_id}",
        "PUT /items/{item_id}",
    ]
