"""Clients of a real worker that is stopped: they do not hang for ever, and the next ones are served."""

from __future__ import annotations

import contextlib
import os
import signal
from concurrent.futures import ThreadPoolExecutor

import httpx2
import pytest

from tests.cli.real_site import RealSite
from tests.support.waiting import eventually


def test_a_client_of_a_worker_that_hangs_is_let_go_and_the_next_is_served(site: RealSite) -> None:
    text = site.text(0, workers=1).replace("{drain: 10s}", "{drain: 10s, worker: 3s}")
    site.config.write_text(text)
    site.start()
    eventually(lambda: site.settled(workers=1), "it serves")
    assert site.ask("/a") == "legacy"
    [pid] = site.pids(site.state())
    os.kill(pid, signal.SIGSTOP)
    try:
        with ThreadPoolExecutor() as pool:
            asked = pool.submit(site.ask, "/a")
            eventually(lambda: site.get("/readyz").status_code == 503, "it is not ready")
            with contextlib.suppress(httpx2.NetworkError, httpx2.RemoteProtocolError):  # and no timeout
                assert asked.result(30) == "legacy"  # it may have waited in the queue for the next worker
        eventually(lambda: site.settled(workers=1), "another serves")
        assert pid not in site.pids(site.state())
    finally:
        with pytest.raises(ProcessLookupError):
            os.kill(pid, signal.SIGCONT)
    assert site.ask("/a") == "legacy"
    assert site.get("/readyz").status_code == 200
