"""Async dies under a little traffic: clients notice nothing, and everybody who looks at the proxy does."""

from __future__ import annotations

import contextlib
import re
import threading
from collections.abc import Iterator
from pathlib import Path

import httpx2
import pytest
from click.testing import CliRunner

from proxy.cli import main
from tests import plain
from tests.e2e.test_backend_killed import Backend, ServedSite
from tests.support.waiting import eventually

PACE = 1.0  # seconds between two reads


class LonelySite(ServedSite):
    """One worker, everything at 100."""

    def text(self, weight: object, workers: int = 1) -> str:
        return super().text(weight, 1).replace("open_for: 1s", "open_for: 3s")


class Reader:
    """Reads at its pace; `answers` are (status, backend), status 0 for what did not come in time."""

    def __init__(self, url: str, patience: float = 30.0) -> None:
        self.answers: list[tuple[int, str]] = []
        self._url = url
        self._patience = patience
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._read)

    def _read(self) -> None:
        while not self._stop.wait(PACE):
            try:
                answer = plain.get(self._url, timeout=self._patience)
            except httpx2.TimeoutException:
                self.answers.append((0, ""))
                continue
            self.answers.append((answer.status_code, answer.headers.get("x-served-by", "")))

    def __enter__(self) -> Reader:
        self._thread.start()
        return self

    def __exit__(self, *exc: object) -> None:
        self._stop.set()
        self._thread.join()


@pytest.fixture
def backends(tmp_path: Path) -> Iterator[tuple[Backend, Backend]]:
    started = [Backend(tmp_path, "legacy"), Backend(tmp_path, "async")]
    try:
        yield started[0], started[1]
    finally:
        for backend in started:
            backend.kill()


@pytest.fixture
def site(tmp_path_factory: pytest.TempPathFactory, backends: tuple[Backend, Backend]) -> Iterator[LonelySite]:
    site = LonelySite(tmp_path_factory.mktemp("s"), *backends)
    try:
        site.start()
        eventually(lambda: site.settled(1), "the worker serves")
        yield site
    finally:
        site.close()


def status(site: LonelySite) -> tuple[int, str]:
    result = CliRunner().invoke(main, ["status", "--admin", f"http://127.0.0.1:{site.admin}"])
    return result.exit_code, " ".join(result.stdout.split())


def test_a_dead_async_is_red_everywhere_and_well_again_when_it_is_back(
    site: LonelySite, backends: tuple[Backend, Backend]
) -> None:
    _, asynchronous = backends
    with Reader(f"http://127.0.0.1:{site.data}/a") as reader:
        eventually(lambda: (200, "async") in reader.answers, "async answers")
        assert status(site)[0] == 0
        assert "Ready." in site.get("/").text
        asynchronous.kill()
        eventually(lambda: status(site)[0] == 1, "status says no")
        assert len(reader.answers) < 30, "that took long"
        _is_red(site)
        eventually(lambda: "the breaker of GET /a has opened" in site.log(), "the breaker is logged")
        asynchronous.start()
        eventually(lambda: status(site)[0] == 0 and "Ready." in site.get("/").text, "well again")
        assert "the async backend answers again" in site.log()
        eventually(lambda: "the breaker of GET /a has closed" in site.log(), "the breaker is logged")
        eventually(lambda: reader.answers[-1] == (200, "async"), "async answers again")
    assert {code for code, _ in reader.answers} == {200}
    assert site.log().count("does not answer: its only address fails") == 1


def test_an_async_that_hangs_is_red_although_its_clients_give_up_first(
    site: LonelySite, backends: tuple[Backend, Backend]
) -> None:
    _, asynchronous = backends
    url = f"http://127.0.0.1:{site.data}/a"
    with contextlib.ExitStack() as stack:
        readers = [stack.enter_context(Reader(url, patience=2.0)) for _ in range(3)]
        eventually(lambda: all((200, "async") in reader.answers for reader in readers), "async answers")
        asynchronous.stop()
        try:
            eventually(lambda: status(site)[0] == 1, "status says no")
            eventually(lambda: any((200, "legacy") in reader.answers for reader in readers), "legacy answers")
            assert "it has sent nothing for more than 5 s" in status(site)[1]
            assert "Serving, but something is wrong" in site.get("/").text
            assert "the breaker of the whole async backend has opened" in site.log()
            assert (0, "") in [answer for reader in readers for answer in reader.answers]
        finally:
            asynchronous.go_on()
        eventually(lambda: status(site)[0] == 0 and "Ready." in site.get("/").text, "well again")
        assert "the async backend answers again" in site.log()


def _is_red(site: LonelySite) -> None:
    assert "the async backend does not answer: its only address fails" in status(site)[1]
    page = site.get("/").text
    assert "Serving, but something is wrong" in page
    assert '<li class="bad" data-alarm="backend">The async backend does not answer' in page
    assert "the async backend does not answer" in site.log()
    metrics = site.get("/metrics").text
    assert 'strangler_backend_failing{backend="async"} 1.0' in metrics
    assert 'strangler_backend_failing{backend="legacy"} 0.0' in metrics
    assert 'strangler_intended_total{backend="async",endpoint="GET /a",outcome="saved"}' in metrics
    assert 'strangler_intended_total{backend="legacy"' not in metrics
    explained = CliRunner().invoke(main, ["explain", "GET", "/a", "--config", str(site.config)])
    assert re.search(r"now       async fails [0-9.]+% in the last minute, breaker", explained.stdout)
    figures = site.get("/api/v1/endpoints").json()
    row = figures["endpoints"][0]["backends"]
    assert row["async"]["error_rate"] > 0
    assert row["legacy"]["requests"] == 0
    assert figures["backends"]["async"]["failing"]
