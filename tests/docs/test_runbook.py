"""Every command of docs/runbook.md and its neighbours is one that exists; the runbook's run."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from pathlib import Path

import pytest
from click.testing import CliRunner

from proxy.cli import COMMANDS, main
from tests.control.site import Site
from tests.support.waiting import eventually

DOCS = Path(__file__).parent.parent.parent / "docs"


def commands(name: str) -> list[list[str]]:
    lines = re.findall(r"^ *\$ strangler (.*)$", (DOCS / name).read_text(), re.MULTILINE)
    return [shlex.split(line, comments=True) for line in lines]


@pytest.fixture
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    site = Site(tmp_path_factory.mktemp("s"))
    site.config.write_text(site.text(0).replace("GET /a:", "GET /accounts/{account_id}:"))
    site.up()
    try:
        yield site
    finally:
        site.close()


def test_the_commands_of_the_runbook_run_in_its_order(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(site.directory)
    eventually(lambda: site.get("/api/v1/audit").json()["entries"], "the start is recorded")
    listed = commands("runbook.md")
    assert len(listed) > 10
    put_back = listed.pop(0)  # stands first in the text, and is for when something was changed
    for command in [*listed, put_back]:
        result = CliRunner().invoke(main, command)
        assert result.exit_code == 0, f"strangler {shlex.join(command)}: {result.output}"


@pytest.mark.parametrize("name", ["runbook.md", "your-own-backends.md", "comparing.md", "rollouts.md"])
def test_commands_and_options_exist(name: str) -> None:
    for command in commands(name):
        assert command[0] in COMMANDS
        options = {each for each in command[1:] if re.fullmatch(r"--?[a-z]+", each)}
        names = command[:2] if command[0] == "rollout" else command[:1]  # a group has commands of its own
        help_text = CliRunner().invoke(main, [*names, "--help"]).stdout
        assert all(re.search(rf"{option}\b", help_text) for option in options), command
