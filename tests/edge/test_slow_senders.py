"""What a slow client costs a backend with few workers: nothing, until its request is there."""

from __future__ import annotations

import contextlib
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.edge.conftest import Stage
from tests.edge.harness import Wire, eventually
from tests.support.ports import free_port

SLOW, FAST, WORKERS = 200, 40, 4
BODY = b"x" * 100
APP = """\
def app(environ, start_response):
    body = environ["wsgi.input"].read()
    start_response("200 OK", [("content-length", str(len(str(len(body)))))])
    return [str(len(body)).encode()]
"""


@pytest.fixture
def gunicorn(tmp_path: Path) -> Iterator[str]:
    """The URL of a real gunicorn with four sync workers; an answer is the length of the request's body."""
    (tmp_path / "slow_app.py").write_text(APP)
    port = free_port()
    options = ("--workers", str(WORKERS), "--bind", f"127.0.0.1:{port}", "--chdir", str(tmp_path))
    command = (sys.executable, "-m", "gunicorn", *options, "--log-level", "warning", "slow_app:app")
    with subprocess.Popen(command, stdin=subprocess.DEVNULL) as process:
        yield f"http://127.0.0.1:{port}"
        process.terminate()


def test_clients_that_drip_their_bodies_leave_every_backend_worker_free(stage: Stage, gunicorn: str) -> None:
    edge = stage.edge(gunicorn, endpoints="GET /a: {weight: 0}\nPOST /a: {weight: 0}")
    ask = b"GET /a HTTP/1.1\r\nhost: a.example\r\n\r\n"
    eventually(lambda: edge.ask(ask).status == 200, "gunicorn answers")
    head = b"POST /a HTTP/1.1\r\nhost: a.example\r\ncontent-length: %d\r\n\r\n" % len(BODY)
    with contextlib.ExitStack() as stack:
        slow: list[Wire] = [stack.enter_context(contextlib.closing(edge.connect())) for _ in range(SLOW)]
        for wire in slow:
            wire.send(head + BODY[:1])
        for drop in range(1, FAST + 1):
            answer = edge.ask(ask)
            assert (answer.status, answer.body) == (200, b"0")
            for wire in slow[drop % 4 :: 4]:
                wire.send(BODY[drop : drop + 1] if drop <= 4 else b"")
        assert edge.call(lambda: len(edge.services.clients.items)) >= SLOW, "all are still dripping"
        for number, wire in enumerate(slow):
            sent = 1 + sum(1 for drop in range(1, 5) if number % 4 == drop % 4)
            wire.send(BODY[sent:])
        answers = [wire.response("POST") for wire in slow]
    assert [(answer.status, answer.body) for answer in answers] == [(200, b"100")] * SLOW
