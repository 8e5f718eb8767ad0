from __future__ import annotations

import asyncio
import json
import socket
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import httpx2
import pytest

from proxy.cli.demo import admin as module
from proxy.cli.demo.admin import Admin
from proxy.cli.demo.services import DemoError

Config = dict[str, Any]


def config(hash: str, *workers: str, error: object = None) -> Config:
    return {"hash": hash, "workers": [{"hash": one} for one in workers], "last_error": error}


class Scripted(ThreadingHTTPServer):
    """Answers /api/v1/config with the next of `answers`; the last one again and again."""

    answers: list[Config]


class Handler(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        assert isinstance(self.server, Scripted)
        answers = self.server.answers
        body = json.dumps(answers.pop(0) if len(answers) > 1 else answers[0]).encode()
        self.send_response(200)
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:
        pass


@pytest.fixture
def server() -> Iterator[Scripted]:
    server = Scripted(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    yield server
    server.shutdown()
    thread.join()
    server.server_close()


async def everywhere(url: str, before: str) -> Config:
    async with httpx2.AsyncClient() as client:
        return await Admin(url, client).everywhere(before)


def test_a_change_is_everywhere_when_every_worker_has_it(server: Scripted) -> None:
    server.answers = [config("a", "a", "a"), config("b", "b", "a"), config("b", "b", "b")]
    found = asyncio.run(everywhere(f"http://127.0.0.1:{server.server_port}", "a"))
    assert found == config("b", "b", "b")


def test_a_change_that_never_arrives_is_an_error(server: Scripted, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "PATIENCE", 0.2)
    server.answers = [config("b", "b", "a")]
    with pytest.raises(DemoError, match="not every worker had the change"):
        asyncio.run(everywhere(f"http://127.0.0.1:{server.server_port}", "a"))


def test_an_admin_port_that_does_not_answer_is_an_error() -> None:
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    with pytest.raises(DemoError, match="ConnectError"):
        asyncio.run(everywhere(f"http://127.0.0.1:{port}", "a"))


def test_set_runs_the_command_line(tmp_path: Path) -> None:
    async def run() -> module.Ran:
        async with httpx2.AsyncClient() as client:
            return await Admin("http://127.0.0.1:1", client).set("GET /x", 10, tmp_path / "missing.yaml")

    ran = asyncio.run(run())
    assert ran.code == 2
    assert "missing.yaml" in ran.output
    assert "\n" not in ran.output
