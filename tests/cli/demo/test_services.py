from __future__ import annotations

import os
import socket
import sys
from pathlib import Path

import pytest

from proxy.cli.demo.services import DemoError, Ports, Service, stop_all

STUBBORN = (
    "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); print(flush=True); time.sleep(60)"
)
FAMILY = (
    "import subprocess, sys; child = subprocess.Popen(['sleep', '60'], stdout=subprocess.DEVNULL); "
    "print(child.pid, flush=True); child.wait()"
)


def running(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] not in "ZX"
    except OSError:
        return False


def service(tmp_path: Path, source: str) -> Service:
    return Service("it", [sys.executable, "-c", source], {}, tmp_path / "it.log")


def test_a_taken_port_is_replaced_by_a_free_one() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        wanted = taken.getsockname()[1]
        ports = Ports.choose(wanted)
    assert ports.data not in (wanted, 0)
    assert len(set(ports)) == 6


def test_a_service_that_exits_is_reported_with_the_end_of_its_log(tmp_path: Path) -> None:
    broken = service(tmp_path, "raise SystemExit('database is missing')")
    broken.start()
    with pytest.raises(DemoError, match="database is missing"):
        broken.wait_until_ready("http://127.0.0.1:1/")


def test_killing_takes_the_children_along(tmp_path: Path) -> None:
    family = service(tmp_path, FAMILY)
    family.start()
    while not (text := family.log.read_text()).endswith("\n"):
        assert family.running
    family.kill()
    assert not family.running
    while running(int(text)):  # SIGKILL was sent; dying takes a moment
        pass


def test_a_service_that_ignores_sigterm_is_killed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("proxy.cli.demo.services.GRACE", 0.2)
    stubborn = service(tmp_path, STUBBORN)
    stubborn.start()
    assert stubborn.process is not None
    while not stubborn.log.read_text():  # until it ignores the signal
        assert stubborn.running
    stubborn.stop()
    assert stubborn.process.returncode == -9
    stubborn.stop()  # once more does no harm


def test_a_killed_service_can_be_started_again(tmp_path: Path) -> None:
    again = service(tmp_path, "import time; time.sleep(60)")
    again.start()
    again.kill()
    again.start()
    assert again.running
    again.kill()
    assert os.path.getsize(again.log) == 0


def test_services_end_beside_each_other(tmp_path: Path) -> None:
    """Each ends only once all have been told to."""
    waits = (
        "import pathlib, signal, sys, time\n"
        "here, other = map(pathlib.Path, sys.argv[1:])\n"
        "signal.signal(signal.SIGTERM, lambda *_: here.touch())\n"
        "print(flush=True)\n"
        "while not (here.exists() and other.exists()): time.sleep(0.01)\n"
    )
    pair = []
    for here, other in (("a", "b"), ("b", "a")):
        argv = [sys.executable, "-c", waits, str(tmp_path / here), str(tmp_path / other)]
        pair.append(Service(here, argv, {}, tmp_path / f"{here}.log"))
        pair[-1].start()
    for each in pair:
        while not each.log.read_text():
            assert each.running
    stop_all(pair)
    assert [each.process and each.process.returncode for each in pair] == [0, 0]
