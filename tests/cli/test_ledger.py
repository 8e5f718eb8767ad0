from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest
from click.testing import CliRunner

from proxy.cli import main


def row(endpoint: str, progress: str, weight: float, **more: Any) -> dict[str, Any]:
    return {"endpoint": endpoint, "progress": progress, "weight": weight, "days": 9.2, **more}


ANSWER = {
    "endpoints": [
        row("GET /a", "not started", 0),
        row("GET /b", "moving", 12.5),
        row("GET /c", "legacy still hit", 100, legacy={"fallback": 3}, last_hit={"legacy": 0}),
        row("GET /d", "waiting", 100),
        row("GET /e", "done", 100),
    ],
    "unlisted": [{"path": "POST /api/users/{id}", "hits": 2}, {"path": "other", "hits": 9}],
}


@pytest.fixture
def admin() -> Iterator[str]:
    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            assert self.path == "/api/v1/ledger"
            self.send_response(200)
            self.end_headers()
            self.wfile.write(json.dumps(ANSWER).encode())

        def log_message(self, format: str, *args: Any) -> None: ...

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()


def test_every_stage_in_words_and_unlisted_paths_as_lines(admin: str) -> None:
    result = CliRunner().invoke(main, ["ledger", "--admin", admin])
    assert result.exit_code == 0
    assert result.stdout.splitlines() == [
        "GET /a: not started",
        "GET /b: moving, at 12.5 for 9 days",
        "GET /c: at 100 for 9 days, but legacy still hit: 3 by fallback; last 1970-01-01T00:00:00Z",
        "GET /d: at 100 for 9 days, legacy not hit; done after 7",
        "GET /e: done: at 100 for 9 days, safe to delete from legacy",
        "",
        "# requested paths missing from routing.yaml; lines for endpoints:",
        "  POST /api/users/{id}: {weight: 0, group: users}",
        "  # and others that cannot be listed, or that exceed the limit",
    ]


def test_json_is_the_answer_itself(admin: str) -> None:
    assert json.loads(CliRunner().invoke(main, ["ledger", "--admin", admin, "--json"]).stdout) == ANSWER
