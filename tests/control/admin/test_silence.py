"""Connections that say nothing, or never finish, shut nobody out of the admin port."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import threading
from collections.abc import Iterator

import pytest

from tests import plain
from tests.control.site import Site
from tests.support.waiting import DEADLINE, eventually

CROWD = 200  # more than there are descriptors
ANEW = 3  # seconds after which the crowd comes again: this is about patience, not about processors
QUIET = 64 * 1024  # bytes of log that all of it may cost

SAYS = {
    "silent": b"",
    "half a head": b"GET /readyz HTTP/1.1\r\nhost: 127.0.0.1\r\nx-more: ",
    "half a body": (
        b"POST /api/v1/announce HTTP/1.1\r\nhost: 127.0.0.1\r\ncontent-type: application/json\r\n"
        b'content-length: 50\r\n\r\n{"hash":'
    ),
    "never reads": b"GET /metrics HTTP/1.1\r\nhost: 127.0.0.1\r\n\r\n" * 200,
    "watches": b"GET /events HTTP/1.1\r\nhost: 127.0.0.1\r\n\r\n",
}


class Crowd:
    """Connections to one port that stay as they are, and are opened anew when the other side ends them."""

    def __init__(self, port: int, says: bytes, size: int = CROWD) -> None:
        self._port = port
        self._says = says
        self._size = size
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self.full = threading.Event()

    def __enter__(self) -> Crowd:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._thread.join(DEADLINE)

    def _run(self) -> None:
        with contextlib.ExitStack() as stack:
            while not self._over.is_set():
                for _ in range(self._size):
                    sock = stack.enter_context(socket.socket())
                    sock.settimeout(1)
                    with contextlib.suppress(OSError):
                        sock.connect(("127.0.0.1", self._port))
                        sock.setblocking(False)
                        sock.send(self._says)
                self.full.set()
                self._over.wait(ANEW)
                stack.close()


@pytest.fixture(params=SAYS)
def crowded(request: pytest.FixtureRequest, site: Site) -> Iterator[Site]:
    """A site with few descriptors and more connections than it has of them."""
    site.descriptors = 128
    site.up()
    with Crowd(site.admin, SAYS[request.param]) as crowd:
        assert crowd.full.wait(DEADLINE)
        yield site


def test_everything_goes_on(crowded: Site) -> None:
    site = crowded
    for path in ("/healthz", "/readyz", "/metrics"):
        assert site.get(path).status_code == 200
    assert plain.post(f"http://127.0.0.1:{site.admin}/api/v1/reload", timeout=20).status_code == 200
    site.write(weight=50)
    eventually(lambda: site.state()["generation"] == 2, "a saved weight is obeyed")
    eventually(site.settled, "by every worker")
    first = site.pids(site.state())[0]
    os.kill(first, signal.SIGKILL)
    eventually(lambda: first not in site.pids(site.state()) and site.settled(), "a dead worker is replaced")
    assert site.processes[0].poll() is None
    assert len(site.log()) < QUIET


@pytest.mark.parametrize("descriptors", [64, 1024])
def test_a_crowd_that_is_there_before_the_start_does_not_end_it(site: Site, descriptors: int) -> None:
    site.descriptors = descriptors
    with Crowd(site.admin, b"", 1100) as crowd:
        assert crowd.full.wait(DEADLINE)
        control = site.start()
        eventually(site.settled, "it serves")
        site.write(weight=50)
        eventually(lambda: site.state()["generation"] == 2, "a saved weight is obeyed")
        assert control.poll() is None
    assert len(site.log()) < QUIET
