"""`strangler serve` with its real workers and two small backends."""

from __future__ import annotations

import os
import signal
import sys
import threading
from collections import Counter
from pathlib import Path

import httpx2
from click.testing import CliRunner

from proxy.cli import main
from proxy.datapath import data_path, this_build
from tests import plain
from tests.cli.real_site import RealSite
from tests.control.site import Site, alive
from tests.support.waiting import eventually


class Load:
    """Clients that keep their connections and ask as fast as they can; counts answers and failures."""

    def __init__(self, site: Site, clients: int = 4) -> None:
        self.answers: Counter[str] = Counter()
        self.failures: list[str] = []
        self._url = f"http://127.0.0.1:{site.data}/a"
        self._stop = threading.Event()
        self._threads = [threading.Thread(target=self._ask) for _ in range(clients)]

    def _ask(self) -> None:
        with plain.client(timeout=20) as client:
            while not self._stop.is_set():
                try:
                    answer = client.get(self._url)
                except httpx2.HTTPError as error:
                    self.failures.append(repr(error))
                    continue
                if answer.status_code == 200:
                    self.answers[answer.text] += 1
                else:
                    self.failures.append(f"{answer.status_code} {answer.text}")

    def __enter__(self) -> Load:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *exc: object) -> None:
        self._stop.set()
        for thread in self._threads:
            thread.join()

    def goes_on(self, name: str = "") -> None:
        """Waits for fifty more answers (by that backend)."""
        before = self.answers[name] if name else self.answers.total()
        eventually(
            lambda: (self.answers[name] if name else self.answers.total()) > before + 50, f"answers {name}"
        )


def test_clients_notice_neither_a_flip_nor_a_broken_file_nor_another_control_process(site: RealSite) -> None:
    control = site.up()
    workers = site.pids(site.state())
    with Load(site) as load:
        load.goes_on("legacy")
        site.write(weight=100)
        load.goes_on("async")
        site.write(weight="many")
        eventually(lambda: site.state()["last_error"], "the broken file is reported")
        load.goes_on("async")
        control.kill()
        control.wait()
        load.goes_on("async")
        site.write(weight=0)
        site.up()
        load.goes_on("legacy")
    assert load.failures == []
    assert site.pids(site.state()) == workers


def test_the_other_workers_serve_while_a_killed_one_is_replaced(site: RealSite) -> None:
    site.up()
    first, second = site.pids(site.state())
    os.kill(first, signal.SIGKILL)
    with Load(site) as load:
        load.goes_on()
        eventually(lambda: first not in site.pids(site.state()) and site.settled(), "the new one serves")
    assert load.failures == []
    assert second in site.pids(site.state())


def test_changes_of_state_are_in_the_log_if_it_is_asked_for_them(site: RealSite) -> None:
    site.options = ("--log-level", "debug")
    site.up()
    assert plain.get(f"http://127.0.0.1:{site.data}/a").text == "legacy"
    eventually(lambda: "<Exchange GET /a to legacy: waiting> -> sent" in site.log(), "a request is sent")
    eventually(lambda: "-> ended" in site.log(), "a request ends")


def test_sigterm_ends_every_process(site: RealSite) -> None:
    control = site.up()
    pids = site.pids(site.state())
    assert plain.get(f"http://127.0.0.1:{site.data}/a").text == "legacy"
    control.terminate()
    assert control.wait(20) == 0
    eventually(lambda: not any(alive(pid) for pid in pids), "the workers have gone")
    assert not (site.directory / "run" / "control.sock").exists()


def test_figures_of_real_traffic_reach_the_admin_port(site: RealSite) -> None:
    site.up()
    for _ in range(10):
        plain.get(f"http://127.0.0.1:{site.data}/a")
    eventually(
        lambda: site.get("/api/v1/endpoints").json()["endpoints"][0]["backends"]["legacy"]["requests"] == 10,
        "ten requests are counted",
    )
    figures = site.get("/api/v1/endpoints").json()["endpoints"][0]["backends"]["legacy"]
    assert figures["error_rate"] == 0
    assert 0 < figures["p50_ms"] <= figures["p99_ms"]


def test_a_wrong_file_exits_2_and_points_at_the_place(tmp_path: Path) -> None:
    file = tmp_path / "routing.yaml"
    file.write_text("backends: {legacy: {url: nonsense}}\n")
    result = CliRunner().invoke(main, ["serve", "--config", str(file)])
    assert result.exit_code == 2
    assert f"{file}:1:" in result.output
    assert "^" in result.output


def test_a_missing_file_exits_2(tmp_path: Path) -> None:
    result = CliRunner().invoke(main, ["serve", "--config", str(tmp_path / "none.yaml")])
    assert result.exit_code == 2
    assert "cannot be read" in result.output


def test_help_has_an_example() -> None:
    result = CliRunner().invoke(main, ["serve", "--help"])
    assert result.exit_code == 0
    assert "strangler serve --config routing.yaml" in result.output


def test_the_workers_are_of_the_build_that_was_started_and_the_log_says_which(
    site: RealSite, tmp_path: Path
) -> None:
    other = tmp_path / "proxy"
    other.mkdir()
    (other / "__init__.py").write_text("raise RuntimeError('this is another proxy')")
    site.strangler = (str(Path(sys.executable).with_name("strangler")),)
    site.folder = tmp_path
    site.up()
    assert site.state()["data_path"] == data_path()
    assert f"{this_build()}\n" in site.log()
    assert "another proxy" not in site.log()
