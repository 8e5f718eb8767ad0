"""A rollout with real processes: to 100 on evidence, through a kill -9 without a jump, back for a fault."""

from __future__ import annotations

import itertools
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from proxy.cli import main
from proxy.core.routing.buckets import Buckets
from tests import plain
from tests.cli.real_site import RealSite
from tests.support.waiting import eventually

USERS = 600
PLAN = "steps: [0, 10, 50, 100], dwell: 2s, advance: {failing: 10%, no_worse: off, slower: off, parity: off}"


class Backend:
    """Answers with its name; `fails` says which users it fails."""

    def __init__(self, name: str) -> None:
        self.fails = lambda user: False
        backend = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self) -> None:
                user = int(self.headers.get("x-user-id", "u-1")[1:])
                self.send_response(500 if backend.fails(user) else 200)
                self.send_header("content-length", str(len(name)))
                self.end_headers()
                self.wfile.write(name.encode())

            def log_message(self, format: str, *args: object) -> None:
                """Says nothing."""

        class Server(ThreadingHTTPServer):
            request_queue_size = 512

        self.server = Server(("127.0.0.1", 0), Handler)
        self.server.daemon_threads = True
        threading.Thread(target=self.server.serve_forever, args=(0.05,), daemon=True).start()

    def close(self) -> None:
        self.server.shutdown()
        self.server.server_close()


class RolloutSite(RealSite):
    def text(self, weight: object, workers: int = 2) -> str:
        text = super().text(weight, 1).replace("GET /a: {weight: 0}", "GET /a: {rollout: careful}")
        return text.replace("endpoints:", f"rollouts:\n  careful: {{{PLAN}}}\nendpoints:")

    def rollout(self) -> dict[str, Any]:
        (found,) = self.get("/api/v1/rollouts").json()["rollouts"]
        return dict(found)

    def reached(self, weight: float) -> bool:
        found = self.rollout()
        assert found["state"] != "rolled_back", found
        return bool(found["weight"] >= weight)


class Users:
    """Two browsers: one asks as everybody in turn, the other always as `watched`; `answers` are its."""

    def __init__(self, url: str, watched: int) -> None:
        self.answers: list[str] = []
        self.failed: set[int] = set()
        self._url = url
        self._stop = threading.Event()
        everybody = threading.Thread(target=self._ask, args=(itertools.cycle(range(USERS)), None, 0.001))
        one = threading.Thread(target=self._ask, args=(itertools.repeat(watched), self.answers, 0.02))
        self._threads = [everybody, one]

    def _ask(self, users: Iterator[int], answers: list[str] | None, pause: float) -> None:
        with plain.client(timeout=20) as client:
            for user in users:
                if self._stop.wait(pause):
                    return
                answer = client.get(self._url, headers={"x-user-id": f"u{user}"})
                if answer.status_code != 200:
                    self.failed.add(user)
                if answers is not None:
                    answers.append(answer.text)

    def __enter__(self) -> Users:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *exc: object) -> None:
        self._stop.set()
        for thread in self._threads:
            thread.join()


@pytest.fixture
def backends() -> Iterator[tuple[Backend, Backend]]:
    made = Backend("legacy"), Backend("async")
    yield made
    for each in made:
        each.close()


@pytest.fixture
def site(
    tmp_path_factory: pytest.TempPathFactory, backends: tuple[Backend, Backend]
) -> Iterator[RolloutSite]:
    legacy, asynchronous = (each.server.server_port for each in backends)
    made = RolloutSite(tmp_path_factory.mktemp("s"), legacy, asynchronous)
    try:
        made.start()
        eventually(lambda: made.settled(1), "the worker serves")
        yield made
    finally:
        made.close()


def watched_user() -> int:
    """One of those that are on async from 10 % on."""
    buckets = Buckets(b"default", "a")
    return next(user for user in range(USERS) if buckets.of(f"u{user}".encode()) < 1000)


def test_a_rollout_goes_to_100_through_a_kill_and_comes_back_for_a_fault(
    site: RolloutSite, backends: tuple[Backend, Backend], tmp_path: Path
) -> None:
    with Users(f"http://127.0.0.1:{site.data}/a", watched_user()) as users:
        eventually(lambda: site.reached(10), "10 % are on async")
        eventually(lambda: users.answers[-1:] == ["async"], "the watched user is")
        first = len(users.answers)
        before = site.rollout()
        site.processes[-1].kill()
        site.processes[-1].wait()
        seen = len(users.answers)
        eventually(lambda: len(users.answers) > seen + 5, "workers go on")
        site.start()
        eventually(lambda: site.settled(1), "the next control process serves")
        after = site.rollout()
        assert after["attempt"] == before["attempt"]
        assert after["step"] in (before["step"], before["step"] + 1)
        eventually(lambda: site.reached(50), "50 %")
        assert set(users.answers[first:]) == {"async"}
        backends[1].fails = lambda user: user % 3 == 0
        eventually(lambda: site.rollout()["state"] == "rolled_back", "it is rolled back")
        found = site.rollout()
        assert found["weight"] == 0
        assert "async fails more often than legacy" in found["reason"]
        seen = len(users.answers)
        eventually(lambda: set(users.answers[seen + 5 :]) == {"legacy"}, "all are on legacy")
        assert _status(site) == (1, True)
        backends[1].fails = lambda user: False
        assert _rollout(site, "retry").exit_code == 0
        eventually(lambda: site.reached(100), "100 %")
        eventually(lambda: site.rollout()["state"] == "done", "it is done")
    assert users.failed
    assert not any(user % 3 for user in users.failed)
    assert _status(site) == (0, False)
    assert site.get("/api/v1/endpoints").json()["endpoints"][0]["weight"] == 100


def _status(site: RolloutSite) -> tuple[int, bool]:
    result = CliRunner().invoke(main, ["status", "--admin", f"http://127.0.0.1:{site.admin}"])
    return result.exit_code, "was rolled back" in " ".join(result.stdout.split())


def _rollout(site: RolloutSite, action: str) -> Any:
    argv = ["rollout", action, "GET /a", "--admin", f"http://127.0.0.1:{site.admin}"]
    return CliRunner().invoke(main, argv)
