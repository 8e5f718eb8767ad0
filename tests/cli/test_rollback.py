"""`history` and `rollback` beside a running control process."""

from __future__ import annotations

import json
from collections.abc import Iterator

import pytest
from click.testing import CliRunner, Result

from proxy.cli import main
from tests.control.site import Site
from tests.support.waiting import eventually


@pytest.fixture
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    site = Site(tmp_path_factory.mktemp("s"))
    site.config.write_text(text(site, 0))
    try:
        yield site
    finally:
        site.close()


def text(site: Site, weight: object) -> str:
    return site.text(weight)


def run(site: Site, *arguments: str) -> Result:
    return CliRunner().invoke(main, [*arguments, "--config", str(site.config)], env={"USER": "ada"})


def configs(site: Site) -> list[dict[str, object]]:
    found: list[dict[str, object]] = json.loads(run(site, "history", "--json").stdout)["configs"]
    return found


def test_changes_are_remembered_and_undone(site: Site) -> None:
    site.up()
    admin = f"http://127.0.0.1:{site.admin}"
    assert run(site, "set", "GET /a", "25", "--admin", admin).exit_code == 0
    eventually(lambda: len(configs(site)) == 2, "both configurations are stored")
    newest, first = configs(site)
    assert (newest["author"], newest["difference"]) == ("ada", ["GET /a: weight 0 -> 25"])
    assert (first["trigger"], first["author"]) == ("start", "")
    assert "GET /a: weight 0 -> 25" in run(site, "history").stdout

    result = run(site, "rollback", "--admin", admin)
    assert result.exit_code == 0
    assert "GET /a: weight 25 -> 0" in result.stdout
    assert site.config.read_text() == text(site, 0)
    eventually(lambda: len(configs(site)) == 3, "the rollback is stored as well")
    entries = site.get("/api/v1/audit").json()["entries"]
    assert [entry["action"] for entry in entries][-2:] == ["config accepted"] * 2

    assert run(site, "rollback", "--to", str(newest["hash"])).exit_code == 0
    assert "weight: 25" in site.config.read_text()


def test_a_broken_file_is_replaced_by_what_is_served(site: Site) -> None:
    site.up()
    eventually(lambda: configs(site), "the first configuration is stored")
    state = f"sqlite:///{site.directory / 'run' / 'state.db'}"
    site.config.write_text("endpoints: {{{")
    eventually(lambda: site.state()["last_error"], "the file is refused")
    eventually(
        lambda: any(e["action"] == "config refused" for e in site.get("/api/v1/audit").json()["entries"]),
        "the refusal is in the audit log",
    )
    assert run(site, "rollback", "--state", state).exit_code == 0
    assert site.config.read_text() == text(site, 0)


def test_without_a_past_there_is_nothing_to_go_back_to(site: Site) -> None:
    result = run(site, "rollback")
    assert result.exit_code == 1
    assert "there is no state database at" in result.stderr
    site.up()
    eventually(lambda: "(start)" in run(site, "history").stdout, "the first file is recorded")
    assert "no earlier configuration to restore" in run(site, "rollback").stderr
    assert run(site, "rollback", "--to", "abc").exit_code == 1


def test_a_rollout_is_in_the_history_and_is_undone(site: Site) -> None:
    site.up()
    admin = f"http://127.0.0.1:{site.admin}"
    plan = "rollouts: {careful: {steps: [0, 1, 100], advance: {parity: off}}}\n"
    site.config.write_text(plan + text(site, 0).replace("weight: 0", "rollout: careful"))
    eventually(lambda: len(configs(site)) == 2, "the file with the rollout is stored")
    added = ["rollouts.careful: added with steps 0, 1, 100", "GET /a: weight 0 -> rollout careful"]
    assert configs(site)[0]["difference"] == added

    result = run(site, "rollback", "--admin", admin)
    assert result.exit_code == 0, result.output
    assert "GET /a: rollout careful -> weight 0 (in force at once)" in result.stdout
    assert "rollouts.careful: removed" in result.stdout
    assert site.config.read_text() == text(site, 0)
