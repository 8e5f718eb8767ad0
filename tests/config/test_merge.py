from __future__ import annotations

import pytest

from proxy.config import ConfigErrors, load_text
from proxy.config.discover import DiscoveredEndpoint, Discovery
from proxy.config.merge import ADDED, GONE, Merged, merge

HEAD = "backends: {legacy: {url: 'http://a'}, async: {url: 'http://b'}}\n"


def merged(text: str, *endpoints: str) -> Merged:
    result = merge(HEAD + text, Discovery(tuple(DiscoveredEndpoint(each, "") for each in endpoints), ()))
    load_text(result.text, source="x", environ={})
    return result._replace(text=result.text.removeprefix(HEAD))


def test_what_is_new_comes_after_the_last_endpoint_and_the_rest_stays() -> None:
    text = "endpoints:\n  GET /a: {weight: 25}  # mine\n\n# about phases\nunlisted: legacy\n"
    result = merged(text, "GET /a", "POST /b")
    assert result.added == ("POST /b",)
    assert result.text == (
        f"endpoints:\n  GET /a: {{weight: 25}}  # mine\n  {ADDED}\n  POST /b: {{weight: 0}}\n"
        "\n# about phases\nunlisted: legacy\n"
    )


def test_parameters_may_have_other_names() -> None:
    result = merged("endpoints:\n  GET /a/{id}: {weight: 5}\n", "GET /a/{account_id}")
    assert (result.added, result.gone) == ((), ())


def test_what_is_gone_is_marked_once_keeps_its_weight_and_may_come_back() -> None:
    text = "endpoints:\n  GET /a: {weight: 25}\n  GET /b: {}\n"
    once = merged(text, "GET /b")
    assert once.gone == ("GET /a",)
    assert once.text == f"endpoints:\n  {GONE}\n  GET /a: {{weight: 25}}\n  GET /b: {{}}\n"
    assert merged(once.text, "GET /b") == once._replace(gone=())
    again = merged(once.text, "GET /a", "GET /b")
    assert (again.text, again.back) == (text, ("GET /a",))


@pytest.mark.parametrize(
    "text",
    [
        "",
        "endpoints:\n",
        "endpoints: {}\n",
        "endpoints: {}",
        "endpoints:\nunlisted: legacy\n",
        "endpoints:\n  GET /x:\n    weight: 5\n    group: g\n\nunlisted: legacy\n",
        "endpoints:\n  GET /x:\n    weight: 5",
        "endpoints:\n    GET /x:\n",
        "endpoints:\r\n  GET /x: {}\r\nunlisted: legacy\r\n",
    ],
)
def test_an_endpoint_is_added_to_every_form_of_the_section(text: str) -> None:
    listed = ("GET /x", "GET /new") if "/x" in text else ("GET /new",)
    result = merged(text, *listed)
    names = [each.name for each in load_text(HEAD + result.text, source="x", environ={}).snapshot.endpoints]
    assert names == list(listed)
    assert ("\r\n" in text) == ("{weight: 0}\r\n" in result.text)


def test_endpoints_in_braces_are_refused_with_their_place() -> None:
    with pytest.raises(ConfigErrors, match=r"routing.yaml:2:12: .*put each endpoint on its own line"):
        merged("endpoints: {GET /a: {}}\n", "GET /b")
