"""The same tests against SQLite and PostgreSQL."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from pathlib import Path

import pytest

from proxy.cli.demo.postgres import Postgres

_number = itertools.count()


@pytest.fixture(params=["sqlite", "postgresql"])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    """An empty `server.state`."""
    if request.param == "sqlite":
        yield f"sqlite:///{tmp_path}/state/state.db"
        return
    postgres: Postgres = request.getfixturevalue("postgres")
    name = f"store_{tmp_path.parent.name}_{next(_number)}".replace("-", "_")
    yield postgres.database(name)
    postgres.drop(name)


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"
