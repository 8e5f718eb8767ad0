from __future__ import annotations

import os
import socket
import stat

import pytest

from proxy.control.running import running_state
from tests.control.site import Site
from tests.support.waiting import DEADLINE


def refused(site: Site) -> str:
    """The log of a start that must fail with exit code 2."""
    process = site.start()
    assert process.wait(DEADLINE) == 2
    return site.log()


@pytest.mark.parametrize("setting", ["listen", "admin"])
def test_a_taken_port_ends_the_start_with_setting_and_address(site: Site, setting: str) -> None:
    port = site.data if setting == "listen" else site.admin
    with socket.create_server(("127.0.0.1", port)):
        log = refused(site)
    assert f"server.{setting}: 127.0.0.1:{port} is in use by another process" in log


def test_a_second_instance_is_refused_and_the_first_goes_on(site: Site) -> None:
    first = site.up()
    pids = site.pids(site.state())
    site.start().wait(DEADLINE)
    assert site.processes[-1].returncode == 2
    assert f"in use by another instance (pid {first.pid})" in site.log()
    assert site.settled()
    assert site.pids(site.state()) == pids


def test_an_admin_port_open_to_others_needs_a_token(site: Site) -> None:
    site.config.write_text(site.text(0).replace("admin: 127.0.0.1", "admin: 0.0.0.0"))
    assert "admin_token" in refused(site)


def test_a_wrong_configuration_ends_the_start_with_line_and_column(site: Site) -> None:
    site.write(weight=150)
    assert "routing.yaml:13:20: " in refused(site)


def test_a_missing_file_ends_the_start(site: Site) -> None:
    site.config.unlink()
    assert "routing.yaml: cannot be read: No such file" in refused(site)


def test_a_runtime_dir_too_deep_for_a_unix_socket_names_the_setting(site: Site) -> None:
    site.config.write_text(site.text(0).replace("/run\n", f"/{'d' * 100}\n"))
    assert "server.runtime_dir: the control socket's path" in refused(site)


def test_a_cold_start_with_an_endpoint_out_of_order_serves_with_a_warning(site: Site) -> None:
    site.config.write_text(site.text(0) + "  POST /b: {weight: 10}\n")
    site.up()
    assert "ahead of its phase: POST /b" in site.log()
    warnings = site.state()["warnings"]
    assert isinstance(warnings, list)
    assert any("POST /b" in line for line in warnings)


def test_in_a_shared_runtime_dir_all_is_in_a_part_of_our_own(site: Site) -> None:
    """Images and volumes make directories that others may enter; a restart finds the same part again."""
    run = site.directory / "run"
    run.mkdir()
    run.chmod(0o777)
    process = site.up()
    own = run / f"uid-{os.geteuid()}"
    assert stat.S_IMODE(own.stat().st_mode) == 0o700
    assert {each.name for each in run.iterdir()} <= {own.name, "state.db", "state.db-shm", "state.db-wal"}
    assert running_state(run) == f"sqlite:///{run / 'state.db'}"
    pids = site.pids(site.state())
    process.kill()
    process.wait(DEADLINE)
    site.up()
    assert site.pids(site.state()) == pids


def test_runtime_files_are_private(site: Site) -> None:
    site.up()
    run = site.directory / "run"
    assert stat.S_IMODE(run.stat().st_mode) == 0o700
    assert stat.S_IMODE((run / "control.sock").stat().st_mode) == 0o600
