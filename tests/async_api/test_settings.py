from __future__ import annotations

import pytest

from async_api.__main__ import main
from async_api.config import Settings


def test_settings_come_from_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DATABASE_URL", "postgresql://db/x")
    monkeypatch.setenv("POOL_MAX", "3")
    monkeypatch.setenv("STATEMENT_CACHE_SIZE", "0")
    settings = Settings()
    assert (settings.database_url, settings.pool_max, settings.statement_cache_size) == (
        "postgresql://db/x",
        3,
        0,
    )


def test_all_wrong_settings_are_named_at_once(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("DATABASE_URL", "mysql://db/x")
    monkeypatch.setenv("PORT", "70000")
    monkeypatch.setenv("POOL_MAX", "many")
    assert main() == 2
    complaints = capsys.readouterr().err
    for name in ("DATABASE_URL", "PORT", "POOL_MAX"):
        assert f"async_api: {name}: " in complaints
