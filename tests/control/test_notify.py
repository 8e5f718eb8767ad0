from __future__ import annotations

import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from proxy.control.notify import READY, STOPPING, VARIABLE, notify
from tests.control.site import Site
from tests.support.waiting import DEADLINE


@pytest.fixture
def manager(tmp_path: Path) -> Iterator[socket.socket]:
    """A service manager's socket."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sock:
        sock.bind(str(tmp_path / "notify"))
        sock.settimeout(DEADLINE)
        yield sock


def test_the_service_manager_is_told(manager: socket.socket) -> None:
    assert notify(READY, {VARIABLE: manager.getsockname()})
    assert manager.recv(100) == b"READY=1"


def test_an_abstract_address_begins_with_an_at_sign(tmp_path: Path) -> None:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sock:
        name = f"strangler-test-{tmp_path.parent.name}-{tmp_path.name}"
        sock.bind(f"\0{name}")
        assert notify(STOPPING, {VARIABLE: f"@{name}"})
        sock.settimeout(DEADLINE)
        assert sock.recv(100) == b"STOPPING=1"


@pytest.mark.parametrize("environ", [{}, {VARIABLE: ""}, {VARIABLE: "vsock:2:1"}, {VARIABLE: "/nowhere/x"}])
def test_without_one_nothing_happens(environ: dict[str, str]) -> None:
    assert not notify(READY, environ)


def test_a_proxy_is_ready_when_a_worker_serves_and_says_when_it_stops(
    site: Site, manager: socket.socket
) -> None:
    process = site.start({VARIABLE: manager.getsockname()})
    assert manager.recv(100) == b"READY=1"
    assert site.get("/readyz").status_code == 200
    process.terminate()
    assert manager.recv(100) == b"STOPPING=1"
    process.wait(DEADLINE)
