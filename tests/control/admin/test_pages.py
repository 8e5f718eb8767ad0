from __future__ import annotations

import re
import time
from dataclasses import replace
from html.parser import HTMLParser

import pytest
from starlette.testclient import TestClient

from proxy.control.admin.app import build
from proxy.control.ledger import Ledger
from proxy.control.state import State
from proxy.store.ledger import KeysRow
from tests.control.conftest import LOCAL, MakeState, a_minute_later, traffic


class Outline(HTMLParser):
    """Checks that tags nest, and collects them."""

    VOID = frozenset({"meta", "link", "br", "img", "input", "polyline"})

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


def test_scripts_and_styles_come_from_files_of_our_own_only(client: TestClient) -> None:
    page = client.get("/")
    policy = page.headers["content-security-policy"]
    assert "default-src 'none'; style-src 'self'; script-src 'self'" in policy
    assert "unsafe" not in policy
    assert "style=" not in page.text
    assert re.findall(r"<script[^>]*>", page.text) == [
        f'<script src="/static/{name}.js" defer>' for name in ("session", "status", "rollouts")
    ]
    for path in re.findall(r'(?:src|href)="(/static/[^"]+)"', page.text):
        assert client.get(path).status_code == 200


def test_a_file_outside_the_static_folder_is_not_served(client: TestClient) -> None:
    for path in ("/static/../pages.py", "/static/%2e%2e/pages.py", "/static/"):
        assert client.get(path).status_code == 404


def test_weights_can_be_changed_only_where_the_configuration_says_so(make_state: MakeState) -> None:
    for write, token, expected in (("false", "", (0, 0)), ("true", "", (1, 0)), ("true", "s3cret", (1, 3))):
        page = TestClient(build(make_state(write=write, token=token)), base_url=LOCAL).get("/").text
        assert (page.count('<dialog id="editor"'), page.count('type="password"')) == expected
        assert page.count('class="change"') == 2 * expected[0]


@pytest.mark.parametrize(
    "text", ["POST /b", "reads", "writes", "async is", "too little data", "Breaker open"]
)
def test_everything_that_an_engineer_asks_for_is_there(client: TestClient, state: State, text: str) -> None:
    traffic(state)
    a_minute_later(state)
    page = client.get("/").text
    assert text in page
    assert 'aria-label="requests/min in the last hour: async' in page


def test_a_refused_file_is_shown_and_escaped(client: TestClient, state: State) -> None:
    path = state.reloader.path
    path.write_text(path.read_text().replace("12.5", "<script>alert(1)</script>"))
    client.post("/api/v1/reload")
    page = client.get("/").text
    assert "was refused" in page
    assert "Line 4, column" in page
    assert "<pre>  GET /a/{id}: {weight: &lt;script&gt;" in page
    assert "<script>alert" not in page


def test_it_is_said_when_every_idempotency_key_in_use_is_known(state: State) -> None:
    ledger = Ledger("", state.collector, lambda: state.reloader.running.snapshot)
    client = TestClient(build(replace(state, ledger=ledger)), base_url=LOCAL)
    ledger.look()
    read, write = client.get("/api/v1/endpoints").json()["endpoints"]
    assert read["keys"] is None
    assert write["keys"]["mode"] == "optional"
    assert 86_300 < write["keys"]["seconds_left"] <= 86_400
    ledger._claimed.take_over([KeysRow("POST /b", time.time() - 86_400 + 7_230)])
    assert "Every idempotency key in use is known in 2 h 0 min, at " in client.get("/").text
    ledger._claimed.take_over([KeysRow("POST /b", time.time() - 86_401)])
    assert client.get("/api/v1/endpoints").json()["endpoints"][1]["keys"]["seconds_left"] == 0
    assert "Every idempotency key in use is known: this may move." in client.get("/").text


def test_an_endpoint_without_requests_takes_one_line(client: TestClient, state: State) -> None:
    traffic(state)
    asked, idle = client.get("/").text.split('data-endpoint="POST /b"')
    assert "No request yet." not in asked
    assert "No request yet." in idle
    assert 'aria-label="figures of POST /b"' not in idle
