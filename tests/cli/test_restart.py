"""`strangler restart` and SIGUSR2 on real processes under load."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import socket
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import httpx2
import pytest
from click.testing import CliRunner, Result

from proxy.cli import main
from tests.cli.keepalive import KeepAlive
from tests.cli.real_site import RealSite
from tests.control.site import alive
from tests.support.ports import free_port
from tests.support.waiting import eventually


def restart(site: RealSite) -> Result:
    return CliRunner().invoke(main, ["restart", "--admin", f"http://127.0.0.1:{site.admin}"])


def pids(site: RealSite) -> list[int]:
    return site.pids(site.state())


def loaded_at(site: RealSite) -> object:
    """Differs from one control process to the next, whose pid stays."""
    return site.state()["loaded_at"]


def test_clients_that_keep_their_connections_notice_nothing(site: RealSite) -> None:
    control = site.up()
    before, began = pids(site), loaded_at(site)
    with KeepAlive(site.data) as load:
        load.goes_on()
        result = restart(site)
        load.goes_on()
    assert result.exit_code == 0, result.output + site.log()
    assert "restart done: 2 workers" in result.stdout
    assert load.failures == []
    assert load.closes >= 64
    assert control.poll() is None
    assert loaded_at(site) != began
    assert len(pids(site)) == 2
    assert not set(pids(site)) & set(before)
    assert not any(alive(pid) for pid in before)
    assert not any(os.path.exists(f"/proc/{pid}") for pid in before), "a zombie is left"


def test_sigusr2_does_the_same_and_may_come_again(site: RealSite) -> None:
    control = site.up()
    for _ in range(2):
        before = pids(site)
        control.send_signal(signal.SIGUSR2)
        eventually(lambda old=before: _rolled(site, old), "every worker is new")
    assert httpx2.get(f"http://127.0.0.1:{site.data}/a").text == "legacy"
    control.terminate()
    assert control.wait(20) == 0


def _rolled(site: RealSite, before: list[int]) -> bool:
    state: dict[str, Any] = site.state()
    return (
        bool(state["restart"]) and state["restart"]["state"] == "done" and not set(before) & set(pids(site))
    )


def test_new_number_of_workers_and_new_address_take_effect(site: RealSite) -> None:
    site.up()
    before, old_port = pids(site), site.data
    site.data = free_port()
    site.write(weight=100, workers=3)
    assert restart(site).exit_code == 0
    more = pids(site)
    assert len(more) == 3
    assert not set(more) & set(before)
    assert httpx2.get(f"http://127.0.0.1:{site.data}/a").text == "async"
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(("127.0.0.1", old_port)).close()
    site.write(weight=100, workers=1)
    assert restart(site).exit_code == 0
    assert len(pids(site)) == 1
    assert not any(alive(pid) for pid in more), "fewer workers leave none behind"


def test_moved_admin_port_is_followed(site: RealSite) -> None:
    site.up()
    old = site.admin
    site.admin = free_port()
    site.write(weight=0)
    result = CliRunner().invoke(main, ["restart", "--admin", f"http://127.0.0.1:{old}"])
    assert result.exit_code == 0
    assert f"the admin port moves to http://127.0.0.1:{site.admin}" in result.stdout


def test_a_restart_that_would_not_come_up_changes_nothing(site: RealSite) -> None:
    site.up()
    before, began = pids(site), loaded_at(site)
    for old, new, reason in (
        ("weight: 0", "weight: 200", "200 is not between 0 and 100"),
        ("/run", "/elsewhere", "server.runtime_dir: is "),
        ("listen: 127.0.0.1:", "listen: 192.0.2.1:", "server.listen: cannot listen on 192.0.2.1:"),
    ):
        site.config.write_text(site.text(0).replace(old, new))
        result = restart(site)
        assert result.exit_code == 1, reason
        assert reason in result.stderr
        assert pids(site) == before
        assert httpx2.get(f"http://127.0.0.1:{site.data}/a").text == "legacy"
        if old == "weight: 0":
            assert loaded_at(site) == began


class Admin(BaseHTTPRequestHandler):
    """An admin port whose process is killed after it was seen rolling: the next one knows of no restart."""

    looks = 0

    def do_POST(self) -> None:
        self._answer(202, {"id": "x", "admin": ""})

    def do_GET(self) -> None:
        Admin.looks += 1
        restart = {"id": "x", "state": "rolling", "detail": ""} if Admin.looks == 1 else None
        self._answer(200, {"restart": restart})

    def _answer(self, status: int, content: object) -> None:
        body = json.dumps(content).encode()
        self.send_response(status)
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:
        """Says nothing."""


def test_a_restart_whose_process_was_killed_ends_the_command() -> None:
    with ThreadingHTTPServer(("127.0.0.1", 0), Admin) as server:
        threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True).start()
        url = f"http://127.0.0.1:{server.server_port}"
        result = CliRunner().invoke(main, ["restart", "--admin", url])
        server.shutdown()
    assert result.exit_code == 1
    assert (
        "the restart was interrupted: another process answers and does not know of this restart"
        in result.stderr
    )


def test_nobody_to_restart_exits_1() -> None:
    result = CliRunner().invoke(main, ["restart", "--admin", "http://127.0.0.1:1"])
    assert result.exit_code == 1
    assert "http://127.0.0.1:1" in result.stderr


class Scraper(threading.Thread):
    """Reads one counter over and over, as often as it can: `seen` are its values."""

    def __init__(self, site: RealSite) -> None:
        super().__init__(daemon=True)
        self._url = f"http://127.0.0.1:{site.admin}/metrics"
        self._stopped = threading.Event()
        self.seen: list[float] = []

    def run(self) -> None:
        while not self._stopped.wait(0.05):
            with contextlib.suppress(httpx2.HTTPError):
                self.seen.append(counted(httpx2.get(self._url, timeout=5.0).text))

    def stop(self) -> list[float]:
        self._stopped.set()
        self.join()
        return self.seen


def counted(metrics: str) -> float:
    lines = [line for line in metrics.splitlines() if line.startswith("strangler_requests_total{")]
    return sum(float(line.rpartition(" ")[2]) for line in lines)


def test_counters_go_on_through_restarts_and_the_death_of_the_control_process(site: RealSite) -> None:
    control = site.up()
    with httpx2.Client(base_url=f"http://127.0.0.1:{site.data}") as client:
        scraper = Scraper(site)
        scraper.start()
        sent = 0

        def ask(number: int) -> None:
            nonlocal sent
            for _ in range(number):
                assert client.get("/a", headers={"connection": "close"}).status_code == 200
            sent += number
            eventually(lambda: scraper.seen and scraper.seen[-1] >= sent, f"{sent} requests are counted")

        ask(40)
        os.kill(pids(site)[0], signal.SIGKILL)  # what it had counted stays with the control process
        eventually(lambda: len(pids(site)) == 2, "there is another worker")
        for _ in range(2):
            assert restart(site).exit_code == 0
            ask(20)
        eventually(lambda: (site.directory / "run" / "totals").exists(), "the counters are on disk")
        written = (site.directory / "run" / "totals").stat().st_mtime_ns
        ask(1)
        eventually(
            lambda: (site.directory / "run" / "totals").stat().st_mtime_ns > written, "and the newest as well"
        )
        control.kill()
        control.wait()
        site.up()
        ask(20)
        seen = scraper.stop()
    assert seen == sorted(seen), "a counter went back: " + str(seen)
    assert seen[-1] == sent
