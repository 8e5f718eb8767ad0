from __future__ import annotations

import stat

import pytest

from proxy.store import configs
from proxy.store.configs import AcceptedConfig
from proxy.store.places import is_sqlite, state_file

pytestmark = pytest.mark.anyio


def one(number: int) -> AcceptedConfig:
    return AcceptedConfig(
        0, float(number), f"hash{number}", "ada", "test", [f"line {number}"], f"text {number}"
    )


async def test_the_newest_come_first_and_whole(url: str) -> None:
    async with configs.opened(url) as engine, engine.begin() as connection:
        for number in range(3):
            await configs.append(connection, one(number))
    async with configs.opened(url) as engine, engine.connect() as connection:
        found = await configs.newest(connection, 2)
    assert [each._replace(id=0) for each in found] == [one(2), one(1)]


async def test_only_so_many_are_kept(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(configs, "KEPT", 3)
    async with configs.opened(url) as engine, engine.begin() as connection:
        for number in range(10):
            await configs.append(connection, one(number))
        assert [each.time for each in await configs.newest(connection, 10)] == [9.0, 8.0, 7.0]


async def test_the_file_is_for_its_owner_alone(url: str) -> None:
    async with configs.opened(url):
        assert not is_sqlite(url) or stat.S_IMODE(state_file(url).stat().st_mode) == 0o600
