from __future__ import annotations

import json
import os
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result
from rich.console import Console

from proxy.cli import main
from proxy.cli.status import healthy, screen, serious
from tests.control.site import Site
from tests.support.waiting import eventually


@pytest.fixture
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    site = Site(tmp_path_factory.mktemp("s"))
    site.up()
    try:
        yield site
    finally:
        site.close()


def run(site: Site, *more: str) -> Result:
    return CliRunner().invoke(main, ["status", "--admin", f"http://127.0.0.1:{site.admin}", *more])


def test_status_shows_endpoints_and_says_when_the_file_was_refused(site: Site) -> None:
    result = run(site)
    assert result.exit_code == 0
    assert "GET /a" in result.stdout
    answer = json.loads(run(site, "--json").stdout)
    assert answer["endpoints"][0]["weight"] == 0
    site.config.write_text(site.text(weight=500))
    eventually(lambda: site.state()["last_error"], "the file is refused")
    refused = run(site)
    assert refused.exit_code == 1
    assert "500 is not between 0 and 100" in " ".join(refused.stdout.split())


def test_no_proxy_exits_1(tmp_path: Path) -> None:
    result = CliRunner().invoke(main, ["status", "--admin", "http://127.0.0.1:1"])
    assert result.exit_code == 1
    assert "http://127.0.0.1:1" in result.stderr


QUIET = {"requests_per_second": 0.0, "error_rate": None, "p50_ms": None, "p99_ms": None}


def config(**changes: Any) -> dict[str, Any]:
    worker = {"id": 0, "pid": 1, "hash": "new", "connections": 0}
    return {"hash": "new", "source": "x", "workers": [worker], "last_error": None, "warnings": []} | changes


def test_a_worker_that_hangs_is_said_and_exits_1(site: Site) -> None:
    pid = site.pids(site.state())[0]
    os.kill(pid, signal.SIGSTOP)
    try:
        eventually(lambda: run(site).exit_code == 1, "it is unhealthy")
        assert f"worker 0 (pid {pid}) hangs: nothing for" in run(site).stdout
    finally:
        os.kill(pid, signal.SIGCONT)
    eventually(lambda: run(site).exit_code == 0, "it is healthy again")


def test_a_worker_with_another_configuration_is_unhealthy() -> None:
    assert healthy(config())
    assert not healthy(config(hash="newer"))
    assert not healthy(config(workers=[]))
    assert not healthy(config(last_error={"time": "now", "errors": []}))


def alarm(text: str, *, serious: bool) -> dict[str, Any]:
    return {"kind": "breaker", "subject": "GET /a", "text": text, "seconds": 3.0, "serious": serious}


def test_what_is_wrong_with_the_backends_is_shown_and_what_is_serious_says_no() -> None:
    figures = {
        "endpoints": [],
        "unlisted": {"policy": "404", "backends": {"legacy": QUIET, "async": QUIET}},
        "alarms": [alarm("it is open", serious=False), alarm("it has been for long", serious=True)],
    }
    assert serious(figures) == ["it has been for long"]
    assert serious({}) == []  # an older proxy
    console = Console(width=80)
    with console.capture() as capture:
        console.print(screen(config(), figures))
    assert "it is open" in capture.get()
    assert "it has been for long" in capture.get()


def test_differences_are_called_by_their_name() -> None:
    seen = {
        "requests": 1,
        "requests_per_second": 1.0,
        "error_rate": 0.5,
        "p50_ms": 3.0,
        "p95_ms": 9.0,
        "p99_ms": 90.0,
    }
    verdicts = {"error_rate": "worse", "p50_ms": "noise", "p95_ms": "better", "p99_ms": "too little data"}
    row = {
        "endpoint": "GET /a",
        "weight": 12.5,
        "breaker": "open",
        "backends": {"legacy": seen, "async": seen},
        "difference": {key: {"verdict": verdict} for key, verdict in verdicts.items()},
        "keys": {"mode": "record", "seconds_left": 7199},
        "comparison": {"verdict": "differs", "n": 4321, "k": 37, "bound": 0.011},
    }
    console = Console(width=200)
    with console.capture() as capture:
        console.print(
            screen(config(), {"endpoints": [row], "unlisted": {"policy": "404", "backends": row["backends"]}})
        )
    text = capture.get()
    for expected in (
        "GET /a open",
        "12.5",
        "50.00%",
        "3.0/90",
        "errors worse, p50 ≈, p99 ?",
        "keys known in 2:00",
        "answers differ (37 of 4321)",
    ):
        assert expected in text


def test_80_columns_are_enough() -> None:
    seen = {"requests": 9, "requests_per_second": 1234.5, "error_rate": 0.5}
    seen |= {"p50_ms": 80.0, "p95_ms": 900.0, "p99_ms": 977.0}
    row = {
        "endpoint": "GET /accounts/{account_id}/transactions",
        "weight": 12.25,
        "breaker": "closed",
        "backends": {"legacy": seen, "async": seen},
        "difference": {key: {"verdict": "worse"} for key in ("error_rate", "p50_ms", "p95_ms", "p99_ms")},
    }
    console = Console(width=80)
    with console.capture() as capture:
        console.print(screen(config(), {"endpoints": [row], "unlisted": {"policy": "legacy", **row}}))
    text = capture.get()
    assert text.count("80/977") == 4
    assert "p99 worse" in " ".join(text.split())
