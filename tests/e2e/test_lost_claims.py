"""A claims file that is gone: no key is given out before the whole proxy has stopped, whoever starts."""

from __future__ import annotations

import contextlib
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests import plain
from tests.cli.real_site import RealSite
from tests.control.site import eventually
from tests.edge.harness import Script, Wire, ok


class Counting:
    """A backend that counts what it executes."""

    def __init__(self) -> None:
        self.executed = 0

    def __call__(self, wire: Wire, number: int) -> None:
        with contextlib.suppress(EOFError):
            while True:
                wire.request()
                self.executed += 1
                wire.send(ok(b"paid"))


@pytest.fixture
def backend() -> Counting:
    return Counting()


@pytest.fixture
def site(tmp_path: Path, backend: Counting) -> Iterator[RealSite]:
    script = Script(backend)
    port = int(script.url.rpartition(":")[2])
    site = RealSite(tmp_path, port, port)
    site.config.write_text(f"{site.text(0, workers=1)}  POST /w: {{weight: 0}}\n")
    try:
        yield site
    finally:
        site.close()
        script.close()


def pay(site: RealSite) -> int:
    url = f"http://127.0.0.1:{site.data}/w"
    return plain.post(url, content=b"x", headers={"idempotency-key": "k"}, timeout=20).status_code


def known_since(site: RealSite) -> str:
    """Sorts like the time that it is; "" as long as it is not known."""
    endpoints = site.get("/api/v1/endpoints").json()["endpoints"]
    keys = next(each["keys"] for each in endpoints if each["endpoint"] == "POST /w")
    return str(keys["since"]) if keys else ""


def up(site: RealSite) -> subprocess.Popen[bytes]:
    control = site.start()
    eventually(lambda: site.settled(workers=1), "the worker serves")
    return control


def is_another(site: RealSite, before: int) -> bool:
    """Whether there is one worker, and another than before."""
    return site.settled(workers=1) and site.pids(site.state()) != [before]


def test_no_control_process_accepts_a_missing_file_while_a_worker_of_an_earlier_one_lives(
    site: RealSite, backend: Counting
) -> None:
    control = up(site)
    assert pay(site) == 200
    for file in (site.directory / "run").glob("state.claims.db*"):
        file.unlink()
    assert pay(site) == 503
    [first] = site.pids(site.state())
    control.send_signal(signal.SIGUSR2)
    eventually(lambda: is_another(site, first), "the roll has ended")
    assert pay(site) == 503
    [second] = site.pids(site.state())
    control.kill()
    control.wait()
    control = up(site)
    assert site.pids(site.state()) == [second]
    assert pay(site) == 503
    assert backend.executed == 1
    eventually(lambda: known_since(site), "the ledger has been read")
    before = known_since(site)
    control.terminate()
    control.wait()
    up(site)
    assert pay(site) == 200  # as documented: the whole proxy has stopped
    eventually(lambda: known_since(site) > before, "what is known of keys begins anew")
