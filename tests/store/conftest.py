"""The same tests against SQLite and PostgreSQL; one server for all tests of a process."""

from __future__ import annotations

import itertools
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from proxy.cli.demo import postgres

_number = itertools.count()


@pytest.fixture(scope="session")
def server() -> Iterator[postgres.Postgres]:
    """In a folder of its own: other runs of pytest tidy up the one that tmp_path is in."""
    folder = Path(tempfile.mkdtemp(prefix="pg"))
    with postgres.running(folder / "data", durable=False) as running:
        yield running
    shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture(params=["sqlite", "postgresql"])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    """An empty `server.state`."""
    if request.param == "sqlite":
        yield f"sqlite:///{tmp_path}/state/state.db"
        return
    server: postgres.Postgres = request.getfixturevalue("server")
    name = f"store_{tmp_path.parent.name}_{next(_number)}".replace("-", "_")
    yield server.database(name)
    server.drop(name)


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"
