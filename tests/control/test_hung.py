"""Workers that live and do nothing are noticed, told of, killed and replaced; nobody else is."""

from __future__ import annotations

import contextlib
import os
import re
import signal
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.control.site import Site
from tests.support.waiting import eventually

BOUND = 4  # seconds; the page, the API and the metrics tell of it from 2.5 s on


@pytest.fixture
def quick(site: Site) -> Site:
    patient(site)
    return site


def patient(site: Site, workers: int = 2) -> None:
    text = site.text(0, workers).replace("{drain: 10s}", f"{{drain: 60s, worker: {BOUND}s}}")
    site.config.write_text(text)


@contextlib.contextmanager
def stopped(*pids: int) -> Iterator[None]:
    for pid in pids:
        os.kill(pid, signal.SIGSTOP)
    try:
        yield
    finally:
        for pid in pids:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGCONT)


def silent(site: Site) -> list[int]:
    workers = site.state()["workers"]
    assert isinstance(workers, list)
    return [worker["pid"] for worker in workers if worker["silent"]]


def figure(site: Site, name: str) -> float:
    found = re.search(rf"^{re.escape(name)} (\S+)$", site.get("/metrics").text, re.M)
    assert found, name
    return float(found[1])


def test_the_only_worker_is_told_of_and_replaced(quick: Site) -> None:
    site = quick
    patient(site, workers=1)
    site.start()
    eventually(lambda: site.settled(workers=1), "it serves")
    [pid] = site.pids(site.state())
    assert figure(site, "strangler_workers_hung_total") == 0
    with stopped(pid):
        eventually(lambda: silent(site) == [pid], "it is said to be silent")
        answer = site.get("/readyz")
        assert answer.status_code == 503
        assert "every worker hangs: none has reported anything for" in answer.text
        assert figure(site, 'strangler_worker_last_seen_seconds{worker="0"}') >= 2
        page = site.get("/").text
        assert 'role="alert"' in page
        assert f"Worker 0 (pid {pid}) has reported nothing for" in page
        assert f"After {BOUND} s it is killed and replaced" in page
        assert "Ready." not in page
        eventually(lambda: pid not in site.pids(site.state()), "it is gone")
        eventually(lambda: site.settled(workers=1), "another serves")
    assert site.get("/readyz").text == "ready\n"
    assert figure(site, "strangler_workers_hung_total") == 1
    assert site.ask()
    log = site.log()
    assert log.count(f"worker 0 (pid {pid}) has reported nothing for") == 1
    assert log.count(f"worker 0 (pid {pid}) hangs: it has reported nothing for") == 1
    assert f"worker 0 (pid {pid}) died" in log


def test_one_of_two_leaves_the_proxy_ready_and_the_other_alone(quick: Site) -> None:
    quick.up()
    first, second = quick.pids(quick.state())
    with stopped(first):
        eventually(lambda: silent(quick) == [first], "it is said to be silent")
        assert quick.get("/readyz").status_code == 200
        assert "1 of 2 workers hangs" in quick.get("/").text
        eventually(lambda: first not in quick.pids(quick.state()), "it is gone")
        eventually(quick.settled, "another serves")
    assert quick.pids(quick.state())[1] == second


def test_one_that_goes_on_in_time_is_left_alone(quick: Site) -> None:
    quick.up()
    pids = quick.pids(quick.state())
    with stopped(pids[0]):
        eventually(lambda: "has reported nothing" in quick.log(), "it is said to be silent")
    eventually(lambda: not silent(quick), "it is heard again")
    assert quick.pids(quick.state()) == pids
    assert f"worker 0 (pid {pids[0]}) answers again" in quick.log()


@pytest.mark.parametrize("everything", [False, True], ids=["control process", "machine"])
def test_a_pause_of_our_own_is_held_against_nobody(quick: Site, everything: bool) -> None:
    control = quick.up()
    pids = quick.pids(quick.state())
    with stopped(control.pid, *(pids if everything else [])):
        time.sleep(BOUND + 1)  # nothing tells of time that passes for nobody
    eventually(quick.settled, "it answers")
    assert figure(quick, 'strangler_worker_last_seen_seconds{worker="0"}') < BOUND
    assert quick.pids(quick.state()) == pids
    assert figure(quick, "strangler_workers_hung_total") == 0


def test_one_that_drains_is_killed_long_before_the_drain_is_over(quick: Site) -> None:
    control = quick.up({"FAKE_STUCK": "1"})
    pids = quick.pids(quick.state())
    control.kill()
    control.wait()
    patient(quick, workers=1)
    quick.start({"FAKE_STUCK": "1"})
    eventually(lambda: "draining a surplus worker" in quick.log(), "the surplus one drains")
    eventually(lambda: len(quick.pids(quick.state())) == 2, "it goes on draining")
    with stopped(pids[1]):
        eventually(lambda: quick.pids(quick.state()) == pids[:1], "it is gone, and not replaced")
    assert f"(pid {pids[1]}) hangs" in quick.log()


def test_one_that_waits_for_a_configuration_that_it_takes_is_not_hung(quick: Site) -> None:
    quick.start({"FAKE_REFUSE": "1"})
    eventually(lambda: "worker 1 refused configuration" in quick.log(), "it is logged")
    pids = quick.pids(quick.state())
    time.sleep(BOUND + 1)  # nothing tells of a silence
    assert quick.pids(quick.state()) == pids


def test_a_comparer_that_hangs_is_replaced(quick: Site) -> None:
    text = quick.config.read_text().replace(f"{BOUND}s", "3s")
    quick.config.write_text(text.replace("{weight: 0}", "{weight: 0, compare: {sample: 100%}}"))
    quick.up()
    eventually(lambda: comparers(quick), "it runs")
    [before] = comparers(quick)
    with stopped(before):
        eventually(lambda: comparers(quick) and before not in comparers(quick), "it is replaced")
    assert f"the comparer (pid {before}) hangs" in quick.log()


def comparers(site: Site) -> list[int]:
    folder = str(site.directory / "run").encode()
    found = []
    for entry in Path("/proc").glob("[0-9]*/cmdline"):
        with contextlib.suppress(OSError):
            words = entry.read_bytes().split(b"\0")
            if b"proxy.compare" in words and folder in words:
                found.append(int(entry.parent.name))
    return found
