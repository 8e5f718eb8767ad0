from __future__ import annotations

import pytest

from proxy.config import load_text
from proxy.config.discover import DiscoveredEndpoint, Discovery
from proxy.config.draft import draft, looks_like_search, resource


def text_of(*endpoints: str, skipped: tuple[str, ...] = ()) -> str:
    found = tuple(DiscoveredEndpoint(endpoint, "") for endpoint in endpoints)
    return draft(Discovery(found, skipped), legacy="http://old:1", async_="http://new:2")


def test_every_endpoint_is_at_0_in_its_phase_and_nothing_needs_editing() -> None:
    loaded = load_text(text_of("POST /a", "GET /a", "GET /b/{x...}"), source="x", environ={})
    table = [(each.name, each.weight, each.phase) for each in loaded.snapshot.endpoints]
    assert table == [("GET /a", 0, "reads"), ("GET /b/{x...}", 0, "reads"), ("POST /a", 0, "writes")]
    assert loaded.snapshot.legacy.upstreams[0].url == "http://old:1"
    assert loaded.snapshot.async_.upstreams[0].url == "http://new:2"
    assert (loaded.warnings, loaded.violations) == ((), ())


def test_a_prefix_is_not_taken_for_the_resource() -> None:
    text = text_of("GET /api/v1/accounts/{id}", "GET /api/v1/users")
    groups = [each.group for each in load_text(text, source="x", environ={}).snapshot.endpoints]
    assert groups == ["accounts", "users"]


def test_endpoints_of_one_resource_stand_together() -> None:
    lines = [line.split(":")[0].strip() for line in text_of("GET /a", "GET /b", "GET /a/{x}").splitlines()]
    assert lines[-3:] == ["GET /a", "GET /a/{x}", "GET /b"]


def test_nothing_found_is_still_a_valid_file_that_says_what_was_skipped() -> None:
    text = text_of(skipped=("GET /a.{x} is odd",))
    assert load_text(text, source="x", environ={}).snapshot.endpoints == ()
    assert "# not listed, so it goes to legacy: GET /a.{x} is odd" in text


def test_a_key_that_yaml_would_misread_is_quoted() -> None:
    text = text_of("GET /a:b", "GET /it's")
    names = [each.name for each in load_text(text, source="x", environ={}).snapshot.endpoints]
    assert names == ["GET /a:b", "GET /it's"]


@pytest.mark.parametrize(
    ("endpoint", "name", "expected"),
    [
        ("POST /items/search", "", True),
        ("POST /items/full-text-search", "", True),
        ("POST /items", "searchItems", True),
        ("POST /items", "shop.find_items", True),
        ("POST /items", "createItem", False),
        ("POST /research", "", False),
        ("PUT /items/search", "", False),
        ("POST /{anything}", "", False),
    ],
)
def test_posts_that_look_like_searches(endpoint: str, name: str, expected: bool) -> None:
    assert looks_like_search(DiscoveredEndpoint(endpoint, name)) is expected


def test_a_search_is_proposed_as_safe_but_not_made_so() -> None:
    text = text_of("POST /items/search")
    assert "# a search? then add: safe: true, phase: reads" in text
    (endpoint,) = load_text(text, source="x", environ={}).snapshot.endpoints
    assert (endpoint.safe, endpoint.phase) == (False, "writes")


@pytest.mark.parametrize(
    ("template", "name"), [("/api/v2/users/{id}", "users"), ("/api", "api"), ("/{x}", ""), ("/rest/x", "x")]
)
def test_resource(template: str, name: str) -> None:
    assert resource(template) == name
