from __future__ import annotations

import os
import signal
from collections.abc import Callable
from functools import partial
from pathlib import Path

import pytest

from tests.control.site import Site
from tests.support.waiting import eventually


def weight(site: Site) -> float:
    endpoint = site.get("/api/v1/endpoints").json()["endpoints"][0]
    assert site.ask().split()[1]
    return float(endpoint["weight"])


def serves(site: Site, new: float) -> bool:
    return weight(site) == new and site.settled()


def write_in_place(site: Site, text: str) -> None:
    site.config.write_text(text)


def write_new_inode(site: Site, text: str) -> None:
    new = site.config.with_suffix(".new")
    new.write_text(text)
    new.replace(site.config)


def write_in_pieces(site: Site, text: str) -> None:
    with site.config.open("w") as file:
        for line in text.splitlines(keepends=True):
            file.write(line)
            file.flush()


@pytest.mark.parametrize("write", [write_in_place, write_new_inode, write_in_pieces])
def test_a_saved_file_is_served_by_every_worker_without_a_false_alarm(
    site: Site, write: Callable[[Site, str], None]
) -> None:
    site.up()
    for new in (5, 10):
        write(site, site.text(new))
        eventually(partial(serves, site, new), f"weight {new}")
    assert site.state()["last_difference"] == ["GET /a: weight 5 -> 10"]
    assert "strangler_config_reload_failures_total 0.0" in site.get("/metrics").text


def test_a_swapped_symlink_is_noticed_as_in_a_mounted_configmap(site: Site) -> None:
    def data(name: str, text: str) -> Path:
        directory = site.directory / name
        directory.mkdir()
        (directory / "routing.yaml").write_text(text)
        return directory

    data("..1", site.text(0))
    os.symlink("..1", site.directory / "..data")
    site.config.unlink()
    os.symlink("..data/routing.yaml", site.config)
    site.up()
    data("..2", site.text(30))
    os.symlink("..2", site.directory / "..data_tmp")
    os.rename(site.directory / "..data_tmp", site.directory / "..data")
    eventually(lambda: weight(site) == 30 and site.settled(), "the new target is served")


def test_a_target_in_another_directory_is_noticed_by_polling(site: Site) -> None:
    elsewhere = site.directory / "elsewhere"
    elsewhere.mkdir()
    target = elsewhere / "table.yaml"
    target.write_text(site.text(0))
    site.config.unlink()
    os.symlink(target, site.config)
    site.up()
    target.write_text(site.text(30))
    eventually(lambda: weight(site) == 30 and site.settled(), "the new content is served")


def test_sighup_reads_the_file_again(site: Site) -> None:
    control = site.up()
    control.send_signal(signal.SIGHUP)
    eventually(lambda: "is unchanged (SIGHUP)" in site.log(), "it was read")
    assert site.settled()


def test_a_refused_file_is_judged_once_and_the_old_one_stays(site: Site) -> None:
    site.up()
    before = site.state()["hash"]
    site.write(weight=150)
    eventually(lambda: site.state()["last_error"], "the refusal is shown")
    eventually(lambda: site.ask().split()[1] == before, "the old one is served")
    site.processes[0].send_signal(signal.SIGHUP)  # judged again only because somebody asks
    eventually(lambda: "failures_total 2.0" in site.get("/metrics").text, "that counts too")
    assert site.log().count("configuration refused (file changed)") == 1
    assert f"{site.config}:13:20: " in site.log()
    error = site.state()["last_error"]
    assert isinstance(error, dict)
    assert [(each["line"], each["column"], each["value"]) for each in error["errors"]] == [(13, 20, "150")]
    site.write(weight=3)
    eventually(lambda: weight(site) == 3 and site.settled(), "the repaired file is served")
    assert site.state()["last_error"] is None


def test_a_deleted_file_is_an_error_until_it_is_back(site: Site) -> None:
    site.up()
    site.config.unlink()
    eventually(lambda: site.state()["last_error"], "the loss is shown")
    assert site.settled()
    site.write(weight=0)
    eventually(lambda: site.state()["last_error"] is None, "it is well again")
