from __future__ import annotations

import signal
from pathlib import Path

from click.testing import CliRunner, Result

from proxy.cli import main
from tests import plain
from tests.cli.real_site import RealSite
from tests.support.waiting import eventually


def reload(site: RealSite, *more: str) -> Result:
    return CliRunner().invoke(main, ["reload", "--admin", f"http://127.0.0.1:{site.admin}", *more])


def access_log(site: RealSite) -> Path:
    return site.directory / "access.log"


def test_404_for_unlisted_paths_that_clients_use_is_refused_until_it_is_forced(site: RealSite) -> None:
    site.extra = f"  access_log: {access_log(site)}"
    site.write(weight=0)
    site.up()
    plain.get(f"http://127.0.0.1:{site.data}/old/report")
    eventually(lambda: site.get("/api/v1/ledger").json()["unlisted"], "it is in the ledger")
    site.config.write_text(site.text(weight=0) + "unlisted: 404\n")
    eventually(lambda: site.state()["last_error"], "the file is refused")
    refused = reload(site)
    assert refused.exit_code == 2
    assert "1 unlisted paths were requested in the last day" in refused.stderr
    assert "strangler reload --force" in refused.stderr
    forced = reload(site, "--force")
    assert (forced.exit_code, forced.stdout.splitlines()[0]) == (0, "unlisted: legacy -> 404")
    assert plain.get(f"http://127.0.0.1:{site.data}/old/report").status_code == 404
    assert "as before" in reload(site).stdout
    for number in (signal.SIGHUP, signal.SIGUSR1):
        access_log(site).rename(site.directory / "rotated.log")
        site.processes[0].send_signal(number)
        eventually(
            lambda: plain.get(f"http://127.0.0.1:{site.data}/a") and access_log(site).exists(),
            f"a new file after {number.name}",
        )


def test_no_proxy_exits_1() -> None:
    result = CliRunner().invoke(main, ["reload", "--admin", "http://127.0.0.1:1"])
    assert result.exit_code == 1
    assert "http://127.0.0.1:1" in result.stderr
