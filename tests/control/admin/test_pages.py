from __future__ import annotations

import re
from html.parser import HTMLParser

from starlette.testclient import TestClient

from proxy.control.state import State
from tests.control.conftest import traffic


class Outline(HTMLParser):
    """Checks that tags nest, and collects them."""

    VOID = frozenset({"meta", "link", "br", "img", "input"})

    def __init__(self, html: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.seen: list[tuple[str, dict[str, str | None]]] = []
        self.feed(html)
        self.close()
        assert not self.open, f"never closed: {self.open}"

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.seen.append((tag, dict(attrs)))
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag, f"</{tag}> out of place"


def test_the_page_shows_the_same_figures_as_the_api(client: TestClient, state: State) -> None:
    traffic(state)
    page = client.get("/")
    assert page.headers["content-type"] == "text/html; charset=utf-8"
    assert state.reloader.running.snapshot.hash in page.text
    assert "GET /a/{id}" in page.text
    assert "12.5 %" in page.text
    assert "2.00 %" in page.text
    assert "Not ready" in page.text


def test_the_page_is_well_formed_with_headers_for_every_table(client: TestClient, state: State) -> None:
    traffic(state)
    tags = Outline(client.get("/").text).seen
    assert ("html", {"lang": "en"}) in tags
    scopes = [attributes.get("scope") for tag, attributes in tags if tag == "th"]
    assert scopes
    assert set(scopes) <= {"col", "row", "colgroup"}
    assert all("aria-label" in attributes for tag, attributes in tags if tag == "progress")


def test_scripts_and_styles_run_only_with_the_nonce_of_this_answer(client: TestClient) -> None:
    page = client.get("/")
    nonces = set(re.findall(r'nonce="([^"]+)"', page.text))
    assert len(nonces) == 1
    assert f"script-src 'nonce-{nonces.pop()}'" in page.headers["content-security-policy"]
    assert "style=" not in page.text


def test_a_refused_file_is_shown_and_escaped(client: TestClient, state: State) -> None:
    path = state.reloader.path
    path.write_text(path.read_text().replace("12.5", "<script>alert(1)</script>"))
    client.post("/api/v1/reload")
    page = client.get("/").text
    assert "was refused" in page
    assert "Line 4, column" in page
    assert "<script>alert" not in page
