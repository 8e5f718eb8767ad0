from __future__ import annotations

import os
import signal
from concurrent.futures import ThreadPoolExecutor

import pytest

from proxy.control.running import running_state
from tests.control.site import Site, alive
from tests.support.ports import free_port
from tests.support.waiting import eventually


def test_a_killed_worker_is_back_at_once_while_the_other_serves(site: Site) -> None:
    site.up()
    first, second = site.pids(site.state())
    os.kill(first, signal.SIGKILL)
    eventually(lambda: site.ask().startswith(str(second)), "the other worker answers")
    eventually(lambda: first not in site.pids(site.state()) and site.settled(), "a new worker serves")
    assert f"worker 0 (pid {first}) died" in site.log()
    assert "killed by SIGKILL; starting it again now" in site.log()


def test_requests_counted_by_a_killed_worker_stay_counted(site: Site) -> None:
    site.up()
    pid = int(site.ask().split()[0])
    eventually(lambda: "} 1.0" in _requests(site), "the request is counted")
    os.kill(pid, signal.SIGKILL)
    eventually(lambda: pid not in site.pids(site.state()) and site.settled(), "a new worker serves")
    assert _requests(site).endswith("} 1.0")


def _requests(site: Site) -> str:
    lines = site.get("/metrics").text.splitlines()
    return "".join(line for line in lines if line.startswith("strangler_requests_total{"))


def test_a_worker_that_dies_at_its_start_is_tried_again_with_growing_pauses(site: Site) -> None:
    site.start({"FAKE_DIE": "1"})
    eventually(lambda: "starting it again in 0.8 s" in site.log(), "pauses grow")
    assert "exit code 3" in site.log()
    assert site.get("/readyz").status_code == 503


def test_a_worker_that_refuses_a_configuration_is_reported(site: Site) -> None:
    site.start({"FAKE_REFUSE": "1"})
    eventually(lambda: "worker 1 refused configuration" in site.log(), "it is logged")
    assert "the test wants it so" in site.log()
    assert site.get("/readyz").status_code == 503


def test_workers_survive_a_killed_control_process_and_the_next_one_adopts_them(site: Site) -> None:
    control = site.up()
    before = site.pids(site.state())
    control.kill()
    control.wait()
    answers = {site.ask().split()[0] for _ in range(5)}
    assert answers <= {str(pid) for pid in before}
    site.up()
    assert site.pids(site.state()) == before
    assert f"adopted worker 0 (pid {before[0]})" in site.log()
    assert {site.ask().split()[0] for _ in range(5)} <= {str(pid) for pid in before}
    os.kill(before[0], signal.SIGKILL)
    eventually(
        lambda: before[0] not in site.pids(site.state()) and site.settled(), "an orphan is replaced too"
    )
    assert site.pids(site.state())[1] == before[1]


def test_an_adopted_worker_gets_the_configuration_that_is_there_now(site: Site) -> None:
    control = site.up()
    before = site.state()
    control.kill()
    control.wait()
    site.write(weight=7)
    site.up()
    after = site.state()
    assert site.pids(after) == site.pids(before)
    assert after["hash"] != before["hash"]
    assert site.ask().split()[1] == after["hash"]


def test_the_state_database_of_the_workers_is_kept_by_the_next_control_process(site: Site) -> None:
    control = site.up()
    before = site.ask("/state").split()[1]
    control.kill()
    control.wait()
    moved = site.text(weight=7).replace("/state.db", "/other.db")
    site.config.write_text(moved)
    control = site.up()
    assert any("server.state: changed (takes effect after a full stop" in line for line in warnings(site))
    os.kill(site.pids(site.state())[0], signal.SIGKILL)  # the one in its place knows the same keys
    eventually(lambda: site.settled(), "the worker is replaced")
    assert {site.ask("/state").split()[1] for _ in range(10)} == {before}
    assert running_state(site.directory / "run") == before
    control.terminate()
    control.wait()
    assert running_state(site.directory / "run") == ""
    assert not (site.directory / "run" / "other.db").exists()


def warnings(site: Site) -> list[str]:
    found = site.state()["warnings"]
    assert isinstance(found, list)
    return found


def test_orphans_beyond_the_number_of_workers_are_drained(site: Site) -> None:
    control = site.up()
    first, second = site.pids(site.state())
    control.kill()
    control.wait()
    site.write(weight=0, workers=1)
    site.start()
    eventually(lambda: site.settled(workers=1), "one worker serves")
    eventually(lambda: not alive(second), "the surplus worker has gone")
    assert site.pids(site.state()) == [first]
    assert site.ask().startswith(str(first))


def test_a_moved_address_is_served_by_new_workers_and_the_old_ones_are_drained(site: Site) -> None:
    control = site.up()
    before = site.pids(site.state())
    control.kill()
    control.wait()
    site.data = free_port()
    site.write(weight=0)
    site.up()
    assert not set(site.pids(site.state())) & set(before)
    eventually(lambda: not any(alive(pid) for pid in before), "the old workers have gone")
    assert site.ask()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_finishes_what_is_in_flight_and_exits_0(site: Site, number: signal.Signals) -> None:
    control = site.up()
    pids = site.pids(site.state())
    with ThreadPoolExecutor() as pool:
        answer = pool.submit(site.ask, "/slow")
        eventually(lambda: _busy(site), "a request is in flight")
        control.send_signal(number)
        eventually(lambda: site.get("/readyz").status_code == 503, "it is not ready any more")
        assert not answer.done()
        site.gate.touch()
        assert answer.result(20).split()[0] in {str(pid) for pid in pids}
    assert control.wait(20) == 0
    assert not any(alive(pid) for pid in pids)


def _busy(site: Site) -> bool:
    """Whether a connection of ours is established on the data port."""
    with open("/proc/net/tcp") as table:
        return any(
            line.split()[1].endswith(f":{site.data:04X}") and line.split()[3] == "01"
            for line in table.readlines()[1:]
        )


def test_a_second_signal_stops_at_once(site: Site) -> None:
    control = site.up({"FAKE_STUCK": "1"})
    pids = site.pids(site.state())
    control.send_signal(signal.SIGTERM)
    eventually(lambda: site.get("/readyz").status_code == 503, "it drains")
    control.send_signal(signal.SIGTERM)
    assert control.wait(20) == 0
    assert not any(alive(pid) for pid in pids)
    assert "stopping at once" in site.log()


def test_a_worker_that_does_not_drain_is_killed_after_the_timeout(site: Site) -> None:
    site.config.write_text(site.text(0).replace("drain: 10s", "drain: 100ms"))
    control = site.up({"FAKE_STUCK": "1"})
    pids = site.pids(site.state())
    control.terminate()
    assert control.wait(20) == 0
    assert not any(alive(pid) for pid in pids)
    assert "still busy" in site.log()
