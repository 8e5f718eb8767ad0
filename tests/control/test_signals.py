"""Signals that come too early, or that mean something else elsewhere, end nothing."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from proxy.signals import KEPT
from tests.cli.real_site import RealSite, backend
from tests.control.site import Site, alive
from tests.support.waiting import eventually

EARLY = """\
import signal, sys
class Finder:
    def find_spec(self, name, path=None, target=None):
        if name == "proxy.cli":
            print(*sorted(int(each) for each in signal.pthread_sigmask(signal.SIG_BLOCK, ())))
            raise SystemExit(0)
sys.meta_path.insert(0, Finder())
sys.argv = ["strangler", *{arguments!r}]
from proxy.entry import main
main()
"""


@pytest.mark.parametrize(("arguments", "held"), [(["serve", "--config", "x"], True), (["status"], False)])
def test_serve_holds_signals_back_before_it_imports_anything_else(arguments: list[str], held: bool) -> None:
    code = EARLY.format(arguments=arguments)
    said = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=True
    )
    assert {int(each) for each in said.stdout.split()} == ({int(each) for each in KEPT} if held else set())


@pytest.mark.parametrize("number", [signal.SIGHUP, signal.SIGUSR1])
def test_a_signal_before_there_are_handlers_is_acted_on_afterwards(
    site: Site, number: signal.Signals
) -> None:
    """The process is stopped for certain at an early moment: while it opens its configuration."""
    site.config.unlink()
    os.mkfifo(site.config)
    process = site.start()
    with site.config.open("w") as reader_is_there:
        process.send_signal(number)
        site.config.unlink()
        site.write(weight=0)
        reader_is_there.write(site.text(0))
    eventually(site.settled, "it serves all the same")
    assert process.poll() is None
    eventually(lambda: number.name in site.log(), "it did what the signal asks for")


def test_no_habitual_signal_ends_a_process_of_the_proxy(tmp_path: Path) -> None:
    legacy, asynchronous = backend("legacy"), backend("async")
    site = RealSite(tmp_path, legacy.server_port, asynchronous.server_port)
    site.extra = "compare: {sample: 100%}"
    site.write(weight=0)
    try:
        control = site.up()
        everyone = [*site.pids(site.state()), comparer(site)]
        for number in KEPT - {signal.SIGUSR2}:
            control.send_signal(number)
        for pid in everyone:
            for number in KEPT:
                os.kill(pid, number)
        eventually(lambda: "SIGUSR1" in site.log() and "(SIGHUP)" in site.log(), "both were acted on")
        assert site.ask("/a") == "legacy"
        assert site.settled()
        assert [*site.pids(site.state()), comparer(site)] == everyone
        assert all(alive(pid) for pid in everyone)
    finally:
        site.close()
        legacy.shutdown()
        asynchronous.shutdown()


def comparer(site: Site) -> int:
    """Its pid; waits until it is there."""
    found: list[int] = []

    def look() -> bool:
        for entry in Path("/proc").glob("[0-9]*/cmdline"):
            with contextlib.suppress(OSError):
                words = entry.read_bytes().split(b"\0")
                if b"proxy.compare" in words and str(site.directory / "run").encode() in words:
                    found.append(int(entry.parent.name))
        return bool(found)

    eventually(look, "the comparer is there")
    return found[0]
