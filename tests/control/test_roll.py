"""Rolling restarts that do not go well, with scripted workers."""

from __future__ import annotations

import os
import signal
import socket
from typing import Any

import httpx2
import pytest

from tests import plain
from tests.control.site import Site, alive
from tests.support.ports import free_port
from tests.support.waiting import eventually


def begin(site: Site) -> httpx2.Response:
    return plain.post(f"http://127.0.0.1:{site.admin}/api/v1/restart", timeout=60)


def outcome(site: Site) -> dict[str, Any]:
    """How the newest restart ended, or {} while it goes on."""
    state: dict[str, Any] = site.state()
    restart: dict[str, Any] = state["restart"] or {}
    return restart if restart.get("state") in ("done", "failed") else {}


def test_a_new_worker_that_dies_stops_the_roll_and_everything_goes_on(site: Site) -> None:
    site.up()
    before = site.pids(site.state())
    broken = site.gate.with_name("gate.die")
    broken.touch()
    assert begin(site).status_code == 202
    eventually(lambda: outcome(site), "the roll has ended")
    assert outcome(site)["state"] == "failed"
    assert "the new worker 0 did not start: exit code 3" in outcome(site)["detail"]
    eventually(lambda: site.pids(site.state()) == before and site.settled(), "the old workers are left")
    assert int(site.ask().split()[0]) in before
    broken.unlink()
    os.kill(before[0], signal.SIGKILL)
    eventually(lambda: before[0] not in site.pids(site.state()) and site.settled(), "it is replaced as ever")
    assert begin(site).status_code == 202
    eventually(lambda: outcome(site).get("state") == "done", "the next one succeeds")
    assert before[1] not in site.pids(site.state())


def test_a_roll_that_stops_at_its_start_keeps_the_old_address_and_the_next_one_moves_it(
    site: Site,
) -> None:
    site.up()
    before, old_port = site.pids(site.state()), site.data
    site.gate.with_name("gate.die").touch()
    new_port = site.data = free_port()
    site.write(weight=0)
    assert begin(site).status_code == 202
    eventually(lambda: outcome(site).get("state") == "failed", "the roll has stopped")
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(("127.0.0.1", site.data)).close()
    site.data = old_port
    assert int(site.ask().split()[0]) in before
    site.gate.with_name("gate.die").unlink()
    assert begin(site).status_code == 202
    eventually(lambda: outcome(site).get("state") == "done", "the next one succeeds")
    site.data = new_port
    assert int(site.ask().split()[0]) not in before


def test_a_worker_that_does_not_drain_is_killed_after_the_timeout(site: Site) -> None:
    site.config.write_text(site.text(0).replace("drain: 10s", "drain: 100ms"))
    site.up({"FAKE_STUCK": "1"})
    before = site.pids(site.state())
    assert begin(site).status_code == 202
    eventually(lambda: outcome(site).get("state") == "done", "the roll is over")
    assert not any(alive(pid) for pid in before)
    assert "still busy" in site.log()


def test_another_state_database_needs_a_full_stop(site: Site) -> None:
    site.up()
    before = site.pids(site.state())
    given = f"sqlite:///{site.directory / 'run' / 'state.db'}"
    site.config.write_text(site.text(0).replace("state.db", "other.db"))
    eventually(lambda: "server.state: changed" in str(site.state()["warnings"]), "the file is accepted")
    assert "after a full stop and start" in str(site.state()["warnings"])
    for pid in before:
        os.kill(pid, signal.SIGKILL)
    eventually(lambda: not set(before) & set(site.pids(site.state())) and site.settled(), "workers are new")
    assert site.ask("/state").split()[1] == given
    refused = begin(site)
    assert refused.status_code == 422
    assert "server.state: differs from the running process" in refused.json()["detail"]
    assert site.settled()


def test_a_second_restart_has_to_wait_for_the_first(site: Site) -> None:
    site.up({"FAKE_STUCK": "1"})
    assert begin(site).status_code == 202
    eventually(lambda: site.state()["restart"], "the next control process is there")
    again = begin(site)
    assert again.status_code == 409
    assert again.json()["detail"] == "a restart is already in progress"


def test_shutting_down_ends_a_roll(site: Site) -> None:
    control = site.up({"FAKE_STUCK": "1"})
    assert begin(site).status_code == 202
    eventually(lambda: site.state()["restart"], "the next control process is there")
    control.send_signal(signal.SIGTERM)
    eventually(lambda: site.get("/readyz").status_code == 503, "it drains")
    control.send_signal(signal.SIGTERM)
    assert control.wait(20) == 0
    eventually(lambda: not any(alive(pid) for pid in site.seen_pids), "nothing is left")


def test_an_announcement_that_is_not_ours_ends_the_start(site: Site) -> None:
    process = site.start({"STRANGLER_RESTART": "1"})
    assert process.wait(20) == 2
    assert "STRANGLER_RESTART is set, but not by a restart" in site.log()


def test_a_file_that_breaks_when_the_process_is_given_up_is_refused_as_any(site: Site) -> None:
    site.up()
    before = site.pids(site.state())
    assert begin(site).status_code == 202
    site.write(weight=200)
    eventually(lambda: outcome(site).get("state") == "done", "the next process serves what was judged")
    eventually(lambda: site.state()["last_error"], "the file is judged as a change")
    assert "200 is not between 0 and 100" in str(site.state()["last_error"])
    assert site.settled()
    assert not set(before) & set(site.pids(site.state()))


def test_a_worker_that_dies_when_the_process_is_given_up_is_replaced_though_the_roll_fails(
    site: Site,
) -> None:
    site.up()
    before = site.pids(site.state())
    broken = site.gate.with_name("gate.die")
    broken.touch()
    assert begin(site).status_code == 202
    os.kill(before[1], signal.SIGKILL)
    eventually(lambda: outcome(site).get("state") == "failed", "the roll has stopped")
    broken.unlink()
    eventually(lambda: site.settled(), "two workers serve")
    assert site.pids(site.state())[0] == before[0]


def test_told_to_stop_when_the_process_is_given_up_it_stops(site: Site) -> None:
    control = site.up()
    assert begin(site).status_code == 202
    control.send_signal(signal.SIGTERM)
    assert control.wait(20) == 0
    eventually(lambda: not any(alive(pid) for pid in site.seen_pids), "nothing is left")
