"""The unit of systemd against what the code really offers."""

from __future__ import annotations

import configparser
import re
import shutil
import subprocess
import sys
from pathlib import Path

import click
import pytest

from proxy.cli import COMMANDS, main
from proxy.cli.errors import BAD_INPUT
from proxy.config import load_text
from proxy.config.model import ServerTimeoutsSection
from proxy.control import comparer
from proxy.control.handover import SIGNALS
from proxy.control.supervisor import retirement
from proxy.logs import FORMATS
from proxy.logs import VARIABLE as LOG_FORMAT
from tests.deploy.test_compose import environment_names

ROOT = Path(__file__).parent.parent.parent
UNIT = ROOT / "deploy/systemd/strangler.service"
PAGE = (ROOT / "docs/systemd.md").read_text()
EXAMPLE = re.findall(r"```yaml\n(.*?)```", PAGE, re.DOTALL)[0]
CREDENTIALS = "/run/credentials/strangler.service"


@pytest.fixture(scope="module")
def service() -> dict[str, str]:
    """The settings of the unit's [Service]."""
    parser = configparser.ConfigParser(interpolation=None, strict=True, delimiters=("=",))
    parser.optionxform = str  # type: ignore[assignment,method-assign]
    parser.read(UNIT)
    assert set(parser.sections()) == {"Unit", "Service", "Install"}
    assert parser["Install"]["WantedBy"] == "multi-user.target"
    return dict(parser["Service"])


def test_it_starts_a_command_that_there_is_with_options_that_it_has(service: dict[str, str]) -> None:
    program, command, *options = service["ExecStart"].split()
    assert Path(program).name in (ROOT / "pyproject.toml").read_text()
    assert command in COMMANDS
    found = main.get_command(click.Context(main), command)
    assert found is not None
    known = {name for each in found.params for name in each.opts}
    assert {each for each in options if each.startswith("-")} <= known
    assert options[-1] == "/etc/strangler/routing.yaml"
    assert options[-1] in PAGE
    assert f"python3 -m venv {Path(program).parent.parent}\n" in PAGE


def test_its_variables_are_ones_that_the_code_reads(service: dict[str, str]) -> None:
    name, _, value = service["Environment"].partition("=")
    assert (name, value in FORMATS) == (LOG_FORMAT, True)
    assert name in environment_names("proxy")


def test_its_signals_are_ones_that_the_control_process_listens_to(service: dict[str, str]) -> None:
    reload = re.fullmatch(r"/bin/kill -(\w+) \$MAINPID", service["ExecReload"])
    assert reload is not None
    names = {f"SIG{reload[1]}", *re.findall(r"kill -s (\w+)", PAGE.replace("-s USR2", "-s SIGUSR2"))}
    assert names == {"SIGHUP", "SIGUSR2"}
    assert names <= {each.name for each in SIGNALS}
    assert service["KillMode"] == "mixed"  # SIGTERM is for the control process alone


def test_it_is_told_when_the_proxy_is_ready(service: dict[str, str]) -> None:
    """tests/control/test_notify.py holds that it is. An exec keeps the process id that systemd knows."""
    assert (service["Type"], service["NotifyAccess"]) == ("notify", "main")


def test_a_stop_has_time_for_the_drain(service: dict[str, str]) -> None:
    drain = ServerTimeoutsSection().drain
    after = retirement.KILL_AFTER + retirement.KILL_TIMEOUT + comparer.END
    assert float(service["TimeoutStopSec"]) >= drain + after
    assert f"(`{drain:g} s`)".replace("`", "") in PAGE
    assert f"`TimeoutStopSec` {float(service['TimeoutStopSec']) - drain:g} s above it" in PAGE


def test_a_wrong_configuration_is_not_tried_again(service: dict[str, str]) -> None:
    assert service["Restart"] == "on-failure"
    assert int(service["RestartPreventExitStatus"]) == BAD_INPUT


def test_the_documented_table_is_valid_and_uses_the_units_folders_and_credential(
    service: dict[str, str], tmp_path: Path
) -> None:
    name, _, source = service["LoadCredential"].partition(":")
    assert source in PAGE
    assert f"${{file:{CREDENTIALS}/{name}}}" in EXAMPLE
    assert f"${{file:{CREDENTIALS}/{name}}}" in UNIT.read_text()
    (tmp_path / name).write_text("s3cret\n")
    text = EXAMPLE.replace(CREDENTIALS, str(tmp_path))
    server = load_text(text, source="routing.yaml", environ={}).snapshot.server
    assert server.admin_token == "s3cret"
    assert server.runtime_dir == f"/run/{service['RuntimeDirectory']}"
    assert server.state.startswith(f"sqlite:////var/lib/{service['StateDirectory']}/")
    assert (service["RuntimeDirectoryMode"], service["StateDirectoryMode"]) == ("0700", "0700")


HARDENING = {
    "NoNewPrivileges": "yes",
    "ProtectSystem": "strict",
    "ProtectHome": "yes",
    "PrivateTmp": "yes",
    "MemoryDenyWriteExecute": "yes",
    "SystemCallFilter": "@system-service",
    "RestrictAddressFamilies": "AF_UNIX AF_INET AF_INET6",
    "CapabilityBoundingSet": "",
    "AmbientCapabilities": "",
    "DynamicUser": "yes",
}


@pytest.mark.parametrize("setting", HARDENING)
def test_it_is_shut(service: dict[str, str], setting: str) -> None:
    assert service[setting] == HARDENING[setting]


def test_the_files_that_the_page_installs_are_there() -> None:
    assert str(UNIT.relative_to(ROOT)) in PAGE
    assert "(docs/systemd.md)" in (ROOT / "README.md").read_text()


def test_systemd_takes_it(tmp_path: Path) -> None:
    """Where systemd is not installed each line is of the form that it takes, and nothing is given twice."""
    analyze = shutil.which("systemd-analyze")
    lines = [each for each in UNIT.read_text().splitlines() if each and each[0] not in "#["]
    assert [each for each in lines if not re.fullmatch(r"[A-Z][A-Za-z]+=\S?.*", each)] == []
    if analyze is None:
        return
    copy = tmp_path / UNIT.name
    copy.write_text(UNIT.read_text().replace("/opt/strangler/bin/strangler", sys.executable))
    for command in (
        [analyze, "verify", "--man=no", str(copy)],
        [analyze, "security", "--offline=true", "--threshold=20", "--no-pager", str(copy)],
    ):
        done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
        assert done.returncode == 0, done.stdout + done.stderr
        assert "strangler.service:" not in done.stderr
