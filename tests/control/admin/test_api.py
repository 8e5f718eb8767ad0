from __future__ import annotations

import asyncio

import msgspec
import pytest
from starlette.testclient import TestClient

from proxy import __version__
from proxy.control.admin.app import build
from proxy.control.alarms import FULL, Alarms
from proxy.control.reload import read
from proxy.control.state import State
from proxy.core.evidence.stats import BOUNDS
from proxy.core.http1 import scan
from proxy.core.traffic.totals import EMPTY
from proxy.core.wire.messages import Latency, Requests
from tests.control.conftest import LOCAL, MakeState, a_minute_later, traffic


def test_healthz_answers_without_a_worker_and_readyz_does_not(client: TestClient) -> None:
    assert client.get("/healthz").text == "ok\n"
    answer = client.get("/readyz")
    assert answer.status_code == 503
    assert answer.headers["content-type"] == "application/problem+json"


def test_readyz_says_that_clients_find_no_room(
    client: TestClient, state: State, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(state.supervisor, "unready", lambda: "")
    assert client.get("/readyz").text == "ready\n"
    full = msgspec.structs.replace(EMPTY, full=1.0)
    object.__setattr__(state, "alarms", Alarms(lambda: full))  # it is frozen, and the app has it
    answer = client.get("/readyz")
    assert (answer.status_code, answer.text) == (200, f"ready\n{FULL}\n")
    [alarm] = client.get("/api/v1/endpoints").json()["alarms"]
    assert (alarm["kind"], alarm["subject"], alarm["text"]) == ("connections", "clients", FULL)


def test_config_has_the_documented_keys(client: TestClient, state: State) -> None:
    answer = client.get("/api/v1/config").json()
    assert answer["hash"] == state.reloader.running.snapshot.hash
    assert answer["source"] == str(state.reloader.path)
    assert answer["loaded_at"].endswith("Z")
    assert {key: answer[key] for key in answer if key not in ("hash", "source", "loaded_at")} == {
        "version": __version__,
        "data_path": "compiled" if scan.COMPILED else "interpreted",
        "generation": 1,
        "workers": [],
        "last_error": None,
        "last_difference": [],
        "warnings": list(state.reloader.warnings),
        "restart": None,
    }


def test_endpoints_have_weights_in_percent_and_figures_by_backend(client: TestClient, state: State) -> None:
    traffic(state)
    answer = client.get("/api/v1/endpoints").json()
    first, second = answer["endpoints"]
    assert (first["endpoint"], first["phase"], first["group"], first["weight"]) == (
        "GET /a/{id}",
        "reads",
        "a",
        12.5,
    )
    assert first["breaker"] == "open"
    figures = first["backends"]["async"]
    assert figures["requests"] == 100
    assert figures["requests_per_second"] > 0
    assert figures["error_rate"] == 0.02
    assert 0 < figures["p50_ms"] < figures["p95_ms"] < figures["p99_ms"]
    assert second["weight"] == 0
    assert second["backends"]["legacy"] == {
        "requests": 0,
        "requests_per_second": 0.0,
        "error_rate": None,
        "p50_ms": None,
        "p95_ms": None,
        "p99_ms": None,
    }
    assert answer["unlisted"]["backends"]["legacy"]["requests"] == 3


def test_reload_answers_hash_and_difference(client: TestClient, state: State) -> None:
    state.reloader.path.write_text(state.reloader.path.read_text().replace("12.5", "50"))
    answer = client.post("/api/v1/reload")
    assert answer.status_code == 200
    assert answer.json() == {
        "hash": state.reloader.running.snapshot.hash,
        "difference": ["GET /a/{id}: weight 12.5 -> 50"],
    }


def test_404_for_unlisted_paths_that_are_asked_for_has_to_be_forced(make_state: MakeState) -> None:
    state = make_state(unlisted=lambda: 3)
    client = TestClient(build(state), base_url=LOCAL)
    state.reloader.path.write_text(state.reloader.path.read_text() + "unlisted: 404\n")
    refused = client.post("/api/v1/reload")
    assert refused.status_code == 422
    assert "3 unlisted paths were requested" in refused.json()["errors"][0]["message"]
    assert state.reloader.running.snapshot.unlisted == "legacy"
    assert client.post("/api/v1/reload?force=perhaps").status_code == 400
    assert client.post("/api/v1/reload?force=true").status_code == 200
    assert state.reloader.running.snapshot.unlisted == "404"
    assert client.post("/api/v1/reload").status_code == 200


def test_a_refused_reload_is_a_problem_that_lists_every_error(client: TestClient, state: State) -> None:
    before = state.reloader.running
    state.reloader.path.write_text(state.reloader.path.read_text().replace("12.5", "500"))
    answer = client.post("/api/v1/reload")
    assert answer.status_code == 422
    assert answer.headers["content-type"] == "application/problem+json"
    (error,) = answer.json()["errors"]
    assert set(error) == {"line", "column", "key", "value", "message"}
    assert (error["line"], error["value"]) == (4, "500")
    assert state.reloader.running is before
    assert client.get("/api/v1/config").json()["last_error"]["errors"] == [error]


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [("GET", "/nothing", 404), ("GET", "/api/v1/reload", 405), ("POST", "/metrics", 405)],
)
def test_errors_are_problem_details(client: TestClient, method: str, path: str, status: int) -> None:
    answer = client.request(method, path)
    assert answer.status_code == status
    assert answer.headers["content-type"] == "application/problem+json"
    assert answer.json()["status"] == status


def test_an_internal_error_is_a_problem_without_details(
    client: TestClient, state: State, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(type(state), "config", lambda self: 1 / 0)
    answer = client.get("/api/v1/config")
    assert answer.status_code == 500
    assert "ZeroDivision" not in answer.text
    assert answer.json()["title"] == "Internal Server Error"


def test_a_warning_about_a_restart_is_shown(client: TestClient, state: State) -> None:
    path = state.reloader.path
    path.write_text(path.read_text().replace("server: {", "server: {workers: 3, "))
    asyncio.run(state.reloader.reload_if_changed(read(path), "test"))
    assert any("next restart" in line for line in client.get("/api/v1/config").json()["warnings"])


def test_endpoints_say_how_the_backends_differ(client: TestClient, state: State) -> None:
    traffic(state)
    answer = client.get("/api/v1/endpoints").json()
    first = answer["endpoints"][0]
    assert first["fallbacks"] == 0
    assert first["difference"]["error_rate"] == {
        "verdict": "too little data",
        "estimate": None,
        "low": None,
        "high": None,
        "missing": first["difference"]["error_rate"]["missing"],
        "eta_seconds": None,  # legacy gets no requests at all
    }
    assert first["difference"]["error_rate"]["missing"]["legacy"] == 50
    assert set(first["difference"]) == {"seconds", "error_rate", "p50_ms", "p95_ms", "p99_ms"}
    assert answer["evidence_seconds"] >= 0


def test_a_real_difference_has_an_interval_without_zero(client: TestClient, state: State) -> None:
    state.collector.joined("w", fresh=True)
    counts = [0] * (len(BOUNDS) + 1)
    fast, slow = list(counts), list(counts)
    fast[20], slow[60] = 4000, 4000
    state.collector.record(
        "w",
        msgspec.structs.replace(
            EMPTY,
            requests=[
                Requests("POST /b", "async", "weight", 200, 99_000),
                Requests("POST /b", "legacy", "fallback", 200, 1000),
                Requests("POST /b", "legacy", "weight", 500, 100),
                Requests("POST /b", "legacy", "weight", 200, 900),
            ],
            latencies=[Latency("POST /b", "async", slow, 1.0), Latency("POST /b", "legacy", fast, 1.0)],
        ),
    )
    second = client.get("/api/v1/endpoints").json()["endpoints"][1]
    assert second["fallbacks"] == 1000
    assert second["difference"]["error_rate"]["verdict"] == "better"
    assert second["difference"]["error_rate"]["high"] < 0
    assert second["difference"]["p99_ms"]["verdict"] == "worse"
    assert 0 < second["difference"]["p99_ms"]["low"] <= second["difference"]["p99_ms"]["estimate"]


def test_history_lists_the_minutes_of_endpoints_that_had_traffic(client: TestClient, state: State) -> None:
    assert client.get("/api/v1/history").json() == {"endpoints": {}}
    traffic(state)
    a_minute_later(state)
    hour = client.get("/api/v1/history").json()["endpoints"]
    assert set(hour) == {"GET /a/{id}", "unlisted"}
    assert set(hour["GET /a/{id}"]["async"][0]) == {"requests", "errors", "p95_ms"}


def test_a_restart_with_a_wrong_file_is_refused_with_its_errors(client: TestClient, state: State) -> None:
    state.reloader.path.write_text("backends: {}\n")
    answer = client.post("/api/v1/restart")
    assert answer.status_code == 422
    assert "nothing was changed" in answer.json()["detail"]
    assert answer.json()["errors"][0]["key"].startswith("backends")
