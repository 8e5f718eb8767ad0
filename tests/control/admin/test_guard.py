from __future__ import annotations

import pytest
from starlette.testclient import TestClient

from proxy.control.admin.app import build
from proxy.control.security import FAILURES
from tests.control.conftest import LOCAL, MakeState


def client_of(make_state: MakeState, **settings: str) -> TestClient:
    return TestClient(build(make_state(**settings)), base_url=LOCAL)


@pytest.mark.parametrize("path", ["/", "/api/v1/config", "/healthz", "/metrics", "/nothing"])
def test_every_answer_has_security_headers(client: TestClient, path: str) -> None:
    headers = client.get(path).headers
    assert headers["x-content-type-options"] == "nosniff"
    assert headers["x-frame-options"] == "DENY"
    assert "default-src 'none'" in headers["content-security-policy"]
    assert headers["cache-control"] == "no-store"


def test_a_rebound_name_gets_nothing_from_a_loopback_port(client: TestClient) -> None:
    answer = client.get("/api/v1/config", headers={"host": "evil.example:9000"})
    assert answer.status_code == 403
    assert "hash" not in answer.json()
    assert client.get("/api/v1/config", headers={"host": "localhost:9000"}).status_code == 200


def test_another_origin_may_not_reload(client: TestClient) -> None:
    for headers in ({"origin": "http://evil.example"}, {"origin": "null"}, {"sec-fetch-site": "cross-site"}):
        answer = client.post("/api/v1/reload", headers=headers)
        assert answer.status_code == 403
        assert answer.headers["content-type"] == "application/problem+json"
    assert client.post("/api/v1/reload", headers={"origin": LOCAL}).status_code == 200


def test_changing_something_needs_the_token_and_reading_does_not(make_state: MakeState) -> None:
    client = client_of(make_state, token="s3cret")
    refused = client.post("/api/v1/reload")
    assert refused.status_code == 401
    assert refused.headers["www-authenticate"].startswith("Bearer")
    assert client.post("/api/v1/reload", headers={"authorization": "Bearer wrong"}).status_code == 401
    assert client.post("/api/v1/reload", headers={"authorization": "Bearer s3cret"}).status_code == 200
    assert client.get("/api/v1/config").status_code == 200


def test_a_port_open_to_others_answers_to_any_name(make_state: MakeState) -> None:
    client = client_of(make_state, admin="0.0.0.0:9000", token="s3cret")
    assert client.get("/healthz", headers={"host": "proxy.internal:9000"}).status_code == 200


def test_the_token_is_nowhere_to_be_read(make_state: MakeState) -> None:
    client = client_of(make_state, token="s3cret")
    for path in ("/", "/api/v1/config", "/api/v1/endpoints", "/metrics"):
        assert "s3cret" not in client.get(path).text


def test_guessing_tokens_is_slowed_down(make_state: MakeState) -> None:
    client = client_of(make_state, token="s3cret")
    for _ in range(FAILURES):
        assert client.post("/api/v1/reload", headers={"authorization": "Bearer no"}).status_code == 401
    answer = client.post("/api/v1/reload", headers={"authorization": "Bearer s3cret"})
    assert answer.status_code == 429
    assert 0 < int(answer.headers["retry-after"]) <= 60
    assert client.get("/api/v1/config").status_code == 200


SAMPLES = "/api/v1/comparisons/GET%20%2Fa/samples"


@pytest.mark.parametrize(
    "sent",
    [
        pytest.param({}, id="no token"),
        pytest.param({"authorization": "Basic b3BzOndyb25n"}, id="another scheme"),
        pytest.param({"authorization": "Bearer"}, id="an empty token"),
        pytest.param({"authorization": "Bearer no", "sec-fetch-site": "cross-site"}, id="another site"),
        pytest.param({"authorization": "Bearer no", "sec-fetch-site": "same-site"}, id="another port"),
    ],
)
@pytest.mark.parametrize("path", [SAMPLES, "/differences/samples?endpoint=x"])
def test_what_a_foreign_page_can_send_does_not_lock_the_operator_out(
    make_state: MakeState, sent: dict[str, str], path: str
) -> None:
    client = client_of(make_state, token="s3cret")
    for _ in range(2 * FAILURES):
        assert client.get(path, headers=sent).status_code in (401, 403)
    right = {"authorization": "Bearer s3cret"}
    assert client.get(path, headers=right).status_code not in (401, 403, 429)
    assert client.post("/api/v1/reload", headers=right).status_code == 200


def test_a_foreign_page_cannot_use_even_the_right_token(make_state: MakeState) -> None:
    client = client_of(make_state, token="s3cret")
    sent = {"authorization": "Bearer s3cret", "sec-fetch-site": "cross-site"}
    assert client.get(SAMPLES, headers=sent).status_code == 403


@pytest.mark.parametrize("method", ["GET", "HEAD", "OPTIONS"])
@pytest.mark.parametrize("path", [SAMPLES, f"{SAMPLES}/", "/differences/samples", "/differences/samples/"])
def test_samples_always_want_the_token(make_state: MakeState, method: str, path: str) -> None:
    client = client_of(make_state, token="s3cret")
    assert client.request(method, path, follow_redirects=False).status_code == 401
