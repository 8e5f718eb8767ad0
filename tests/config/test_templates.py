from __future__ import annotations

import pytest

from proxy.config.templates import first_literal, parameters, parse_endpoint, shape


def test_parameters_are_in_order() -> None:
    assert parameters("/a/{x}/b/{y}/{rest...}") == ["x", "y", "rest"]


@pytest.mark.parametrize(
    ("template", "group"),
    [
        ("/accounts/{id}", "accounts"),
        ("/{tenant}/accounts", "accounts"),
        ("/{x}", ""),
        ("/", ""),
        ("/{x...}", ""),
    ],
)
def test_default_group_is_the_first_literal_segment(template: str, group: str) -> None:
    assert first_literal(template) == group


def test_shapes_are_equal_exactly_if_the_same_requests_match() -> None:
    assert shape("GET /a/{x}") == shape("GET /a/{y}")
    different = ["GET /a/{x}", "POST /a/{x}", "GET /a/{x}/", "GET /a/{x...}", "GET /a/x", "GET /{a}/x"]
    assert len({shape(each) for each in different}) == len(different)


@pytest.mark.parametrize("value", [None, 5, "", "GET", " /a", "GET/a", "GET  /a", "GET /a /b", "GET\t/a"])
def test_what_is_no_method_and_path_is_refused(value: object) -> None:
    with pytest.raises(ValueError):
        parse_endpoint(value)
