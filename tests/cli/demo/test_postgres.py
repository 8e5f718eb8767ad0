import asyncio
from pathlib import Path

import asyncpg
import psycopg
import pytest

from proxy.cli.demo import postgres


async def _ask_with_asyncpg(url: str) -> int:
    connection = await asyncpg.connect(url)
    try:
        return int(await connection.fetchval("SELECT count(*) FROM kept"))
    finally:
        await connection.close()


def test_data_survives_a_restart_and_both_drivers_take_the_url(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("DATABASE_URL", raising=False)
    with postgres.running(tmp_path / "data", durable=False) as server:
        url = server.database("payments")
        with psycopg.connect(url) as connection:
            connection.execute("CREATE TABLE kept AS SELECT 1 AS one")
    with pytest.raises(psycopg.OperationalError):
        psycopg.connect(url)
    with postgres.running(tmp_path / "data", durable=False) as server:
        assert server.database("payments") == url
        assert asyncio.run(_ask_with_asyncpg(url)) == 1


def test_database_url_is_used_instead_of_starting_a_server(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DATABASE_URL", "postgresql://db.example/payments")
    with postgres.running(tmp_path / "data") as server:
        assert server.url == "postgresql://db.example/payments"
    assert not (tmp_path / "data").exists()
